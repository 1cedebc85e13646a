"""The line between two daemons: a TCP relay that can be cut in several ways, and is not too fast.

What was under way when a line is cut is lost, as on a real one. A silent line takes everything and hands on nothing; each end has to find
out by itself, since the end of one side is not told to the other.
"""
import errno
import socket
import struct
import time

from loop import READ, WRITE

RATE = 3e6  # bytes a second each way: a burst is under way for some time, so that cuts meet it
CHUNK = 32768


class Half:
    """Bytes from one socket to the other one."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.waiting = b""
        self.resting = False
        self.deaf = False


class Line:
    """One connection of the caller, and one to the hub for it."""

    def __init__(self, cutter, caller):
        self.cutter, self.loop = cutter, cutter.loop
        self.caller, self.hub = caller, socket.socket()
        self.hub.setblocking(False)
        self.connecting = True
        for sock in (self.caller, self.hub):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.hub.connect_ex(("127.0.0.1", cutter.to)) not in (0, errno.EINPROGRESS):
            self.end()
            return
        self.up, self.down = Half(self.caller, self.hub), Half(self.hub, self.caller)
        self.want()

    def want(self):
        if self.connecting:
            self.loop.watch(self.hub, WRITE, self.connected)
            return
        for sock, source, sink in ((self.caller, self.up, self.down), (self.hub, self.down, self.up)):
            if sock is None:
                continue
            reads = 0 if source.waiting or source.resting else READ
            self.loop.watch(sock, reads | (WRITE if sink.waiting else 0), lambda events, a=source, b=sink: self.ready(events, a, b))

    def connected(self, _events):
        if self.hub.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.end()
            return
        self.connecting = False
        self.want()

    def ready(self, events, source, sink):
        try:
            if events & WRITE and sink.waiting:
                sink.waiting = sink.waiting[sink.sink.send(sink.waiting):]
            if events & READ:
                self.read(source)
        except BlockingIOError:
            pass
        except OSError:
            self.ended(source)
        if self in self.cutter.lines:
            self.want()

    def read(self, half):
        data = half.source.recv(CHUNK)
        if not data:
            self.ended(half)
            return
        self.cutter.carried += len(data)
        if half.deaf:
            return
        data = self.cutter.damaged(data)
        half.waiting = data
        half.waiting = data[half.sink.send(data):]
        if len(data) > 4096:
            half.resting = True
            self.loop.after(len(data) / RATE, lambda: self.rested(half))

    def rested(self, half):
        half.resting = False
        if self in self.cutter.lines:
            self.want()

    def ended(self, half):
        """One side has ended its connection: the other one hears of it if the line carries something."""
        if not (self.up.deaf or self.down.deaf):
            self.end()
            return
        self.loop.watch(half.source, 0, None)
        half.source.close()
        if half.source is self.caller:
            self.caller = None
        else:
            self.hub = None
        self.up.waiting = self.down.waiting = b""
        self.up.deaf = self.down.deaf = True
        if self.caller is None and self.hub is None:
            self.end()

    def end(self, reset=False):
        for sock in (self.caller, self.hub):
            if sock is not None:
                self.loop.watch(sock, 0, None)
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
        self.caller = self.hub = None
        self.cutter.lines.discard(self)


class Cutter:
    KINDS = ("reset", "end of file", "silence", "silence one way")

    def __init__(self, loop, to, dice, damage=False):
        self.loop, self.to, self.dice, self.damage = loop, to, dice, damage
        self.lines, self.cuts, self.carried = set(), 0, 0
        self.damage_at = 2000000
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        loop.watch(self.listener, READ, self.accept)

    def accept(self, _events):
        sock, _ = self.listener.accept()
        sock.setblocking(False)
        line = Line.__new__(Line)
        self.lines.add(line)
        line.__init__(self, sock)

    def damaged(self, data):
        """With --break=flip: one bit of some 2 MB, to see that the script sees it."""
        if self.damage and self.carried >= self.damage_at and len(data) > 1000:
            self.damage_at = self.carried + 2000000
            data = bytearray(data)
            data[len(data) // 3] ^= 1  # not where a packet of 16 KB begins
            data = bytes(data)
        return data

    def cut(self):
        """Cuts what carries something now; (kind, how many connections)."""
        kind = self.KINDS[self.cuts % len(self.KINDS)]
        self.cuts += 1
        live = [line for line in self.lines if not line.connecting and not (line.up.deaf or line.down.deaf)]
        for line in live:
            if kind.startswith("silence"):
                way = self.dice.randrange(2)
                line.up.deaf = kind == "silence" or way == 0
                line.down.deaf = kind == "silence" or way == 1
                line.want()
            else:
                line.end(reset=kind == "reset")
        return kind, len(live)
