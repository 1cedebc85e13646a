"""The line of a link that is cut again and again: cutter.py PORT TARGET SHORTEST LONGEST [SEED].

Relays from PORT to TARGET, and after SHORTEST to LONGEST seconds, by chance, ends every connection: by turns with a reset,
and in the middle, as by a line that ends politely. Says "cut" for each time that there was one to cut.
"""
import random, selectors, socket, struct, sys, time

PIECE = 1 << 18


class Way:
    """from one socket to the other"""
    def __init__(self, source, sink):
        self.source, self.sink, self.held = source, sink, b''


def main():
    port, target = int(sys.argv[1]), int(sys.argv[2])
    shortest, longest = float(sys.argv[3]), float(sys.argv[4])
    chance = random.Random(int(sys.argv[5]) if len(sys.argv) > 5 else 1)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(('127.0.0.1', port))
    listener.listen(64)
    poll, ways = selectors.DefaultSelector(), {}  # socket that is read: its way
    poll.register(listener, selectors.EVENT_READ)
    due, resets = time.monotonic() + chance.uniform(shortest, longest), True

    def watch(sock):
        """a socket is read if what it gave is gone, and written if something is for it"""
        mine, other = ways[sock], ways[ways[sock].sink]
        wanted = (0 if mine.held else selectors.EVENT_READ) | (selectors.EVENT_WRITE if other.held else 0)
        try:
            if wanted:
                poll.modify(sock, wanted)
            else:
                poll.unregister(sock)
        except KeyError:
            if wanted:
                poll.register(sock, wanted)

    def drop(sock, reset):
        for s in (sock, ways[sock].sink):
            if reset:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            try:
                poll.unregister(s)
            except KeyError:
                pass
            s.close()
        del ways[ways[sock].sink], ways[sock]

    def step(sock, events):
        mine, other = ways[sock], ways[ways[sock].sink]
        if events & selectors.EVENT_READ and not mine.held:
            mine.held = sock.recv(PIECE)
            if not mine.held:
                return drop(sock, False)
        for way in (mine, other):
            if way.held:
                try:
                    way.held = way.held[way.sink.send(way.held):]
                except BlockingIOError:
                    pass
        watch(sock)
        watch(mine.sink)

    while True:
        for key, events in poll.select(max(0.0, due - time.monotonic())):
            sock = key.fileobj
            if sock is listener:
                near, _ = listener.accept()
                try:
                    far = socket.create_connection(('127.0.0.1', target), 2)
                except OSError:
                    near.close()
                    continue
                for a, b in ((near, far), (far, near)):
                    a.setblocking(False)
                    a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    ways[a] = Way(a, b)
                for a in (near, far):
                    poll.register(a, selectors.EVENT_READ)
            elif sock in ways:
                try:
                    step(sock, events)
                except OSError:
                    drop(sock, True)
        if time.monotonic() >= due:
            if ways:
                while ways:
                    drop(next(iter(ways)), resets)
                resets = not resets
                print('cut', flush=True)
            due = time.monotonic() + chance.uniform(shortest, longest)


main()
