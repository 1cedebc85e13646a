"""What the channels say: dialogues, bulk in bursts, long silence, half-close, short ones; and UDP flows."""
import socket
import struct
import time

from channel import Channel
from loop import READ


class Dialogue(Channel):
    """Questions and answers, one after the other, for some minutes."""
    kind = "dialogue"
    life, pause, size = (30, 600), (0.3, 2), (1, 300)

    def opened(self):
        self.until = self.born + self.dice.uniform(*self.life) * self.world.pace
        self.asked = 0
        self.ask()

    def ask(self):
        if self.over or self.must_end_by:
            return
        self.asked = time.monotonic()
        self.client.send(self.dice.randint(*self.size))

    def heard(self, end):
        other = end.other
        if end.rx_off < other.tx_target:
            return
        if not end.is_client:
            end.send(self.dice.randint(*self.size))
            return
        self.world.answered(time.monotonic() - self.asked)
        if time.monotonic() >= self.until:
            self.last()
        else:
            self.world.loop.after(self.dice.uniform(*self.pause) * (self.world.pace if self.pause[0] > 5 else 1), self.ask)

    def last(self):
        self.client.fin()


class Idle(Dialogue):
    """Says nothing for minutes."""
    kind = "long idle"
    life, pause = (120, 1200), (20, 300)


class Short(Dialogue):
    """Opens, asks once, and is closed; or is reset by its client or its server."""
    kind = "short"
    life = (0, 0)

    def last(self):
        way = self.dice.random()
        if way < 0.7:
            self.client.fin()
        elif way < 0.85:
            self.abort(self.client)
        else:
            self.abort(self.server)


class Guest(Dialogue):
    """At a port that a HUP has brought: it lives until a HUP takes it."""
    kind = "at a port that goes"
    life = (1e9, 1e9)


class Bulk(Channel):
    """Bursts one way or both, now and then a reader that does not read for seconds."""
    kind = "bulk"
    life, pause, size = (60, 600), (10, 30), (50000, 1000000)

    def opened(self):
        self.until = self.born + self.dice.uniform(*self.life) * self.world.pace
        self.bursting = False
        self.tunnel.bulks.add(self)
        self.world.loop.after(self.dice.uniform(0, 5), self.burst)

    def burst(self):
        if self.over or self.must_end_by or self.bursting:
            return
        if time.monotonic() >= self.until:
            self.bursting = True
            self.client.fin()
            return
        self.bursting = True
        for end in self.dice.choice(((self.client,), (self.server,), (self.client, self.server))):
            end.send(self.dice.randint(*self.size))
        if self.dice.random() < 0.2:
            slow = self.dice.choice((self.client, self.server))
            slow.deaf = True
            slow.want()
            self.world.loop.after(self.dice.uniform(1, 6), lambda: self.awake(slow))

    def awake(self, end):
        end.deaf = False
        self.touched()
        end.want()

    def heard(self, end):
        ends = (self.client, self.server)
        if self.bursting and all(e.rx_off == e.other.tx_target for e in ends) and not self.client.fin_due:
            self.bursting = False
            self.world.loop.after(self.dice.uniform(*self.pause), self.burst)

    def close(self):
        self.tunnel.bulks.discard(self)
        super().close()


class HalfClose(Channel):
    """One side ends its direction first, the other one answers all of it then."""
    kind = "half-close"
    size = (0, 150000)

    def opened(self):
        self.first = self.dice.choice((self.client, self.server))
        self.first.send(self.dice.randint(*self.size))
        self.first.fin()

    def answer_end(self, end):
        if end is not self.first:
            self.world.loop.after(self.dice.uniform(0, 4), lambda: self.answer(end))

    def answer(self, end):
        if not self.over and end.sock is not None:
            end.send(self.dice.randint(*self.size))
            end.fin()
            self.finished()


class Flow:
    """A UDP flow: datagrams come whole, unchanged, none twice, none before an older one; some are lost while the line is cut."""
    kind = "UDP flow"
    HEADER = struct.Struct(">2sQIB")

    def __init__(self, tunnel, to_caller, over):
        self.tunnel, self.world, self.to_caller, self.over_function = tunnel, tunnel.world, to_caller, over
        self.dice, self.id = self.world.dice, self.world.next_id()
        self.born = self.heard = time.monotonic()
        self.until = self.born + self.dice.uniform(60, 900) * self.world.pace
        self.sent, self.last_there, self.last_back, self.over = 0, 0, 0, False
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.connect(("127.0.0.1", tunnel.port(to_caller, udp=True)))
        self.world.flows[self.id] = self
        self.world.loop.watch(self.sock, READ, self.ready)
        self.speak()

    def datagram(self, number, back):
        size = (number * 7919 + self.id * 31) % 1400 if number % 50 else (number * 7919) % 40000
        return self.HEADER.pack(b"SK", self.id, number, back) + self.world.streams.bytes(self.world.streams.start(self.id, number, back), 0, size)

    def speak(self):
        if self.over:
            return
        if time.monotonic() >= self.until:
            self.end()
            self.world.passed(self.kind)
            return
        self.sent += 1
        self.world.datagrams[0] += 1
        try:
            self.sock.send(self.datagram(self.sent, 0))
        except OSError:
            pass  # a port that is not open: its daemon was killed
        self.world.loop.after(self.dice.uniform(0.5, 2), self.speak)

    def check(self, data, back, last):
        """The number of a datagram that is right; 0: it was not."""
        _, _, number, _ = self.HEADER.unpack_from(data)
        if data != self.datagram(number, back):
            self.fail(f"datagram {number} was changed")
            return 0
        if number <= last:
            self.fail(f"datagram {number} behind {last}")
            return 0
        self.world.compared += len(data)
        return number

    def asked(self, data):
        """At our server."""
        self.last_there = self.check(data, 0, self.last_there)
        return self.datagram(self.last_there, 1) if self.last_there else None

    def ready(self, _events):
        try:
            data = self.sock.recv(65536)
        except OSError:
            return
        if len(data) < self.HEADER.size:
            self.fail("a datagram too short")
            return
        self.last_back = self.check(data, 1, self.last_back)
        self.heard = time.monotonic()
        self.world.datagrams[1] += 1

    def watch(self, now):
        if now - max(self.heard, self.tunnel.settled_at) > 2 * self.world.limit and self.tunnel.settled:
            self.fail(f"nothing has come back for {now - self.heard:.0f} s")

    def fail(self, what):
        self.world.fail(f"{self.tunnel.name} {self.kind} {self.id:x}: {what}")
        self.end()

    def end(self):
        if self.over:
            return
        self.over = True
        self.world.flows.pop(self.id, None)
        self.world.loop.watch(self.sock, 0, None)
        self.sock.close()
        self.over_function(self)
