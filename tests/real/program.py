"""A program under test: what it needs, its servers, and what its clients do there.

    class Redis(Program):
        name, needs = 'redis', ('redis-server', 'redis-benchmark')
        def start(self): starts servers in self.place, and returns {name: Service}
        @item('set and get, 1 MiB', unit='s')
        def set_get(self, way): does it by way.port(name), and returns what came of it, which must be the same each way

With unit 's' the time that it takes is the figure; with another unit it returns (what came of it, figure). Without a unit there is
no figure. Read next: programs/.
"""
from place import Place
from tunnels import Service  # noqa: F401  for programs


class Item:
    def __init__(self, what, call, unit, without, rounds):
        self.what, self.call, self.unit, self.without, self.rounds = what, call, unit, without, rounds


def item(what, unit=None, without=None, rounds=3):
    """without: {way: why not there}; rounds: of which the figure is the median, direct and plain"""
    def mark(function):
        function.item = Item(what, function, unit, without or {}, rounds if unit else 1)
        return function
    return mark


class Program:
    name, needs = '', ()
    ways = ('direct', 'plain', 'secure', '0.3', 'cut')

    def __init__(self, folder, data):
        self.place, self.data = Place(folder), data  # data: a folder with "big" and "tree", for all programs
        self.services = self.start()

    @classmethod
    def items(cls):
        return [f.item for f in vars(cls).values() if hasattr(f, 'item')]

    def start(self):
        raise NotImplementedError

    def opened(self, way):
        """a way is open; its items follow"""

    def stop(self):
        self.place.stop()
