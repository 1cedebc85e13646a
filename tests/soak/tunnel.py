"""Two daemons and the line between them: what is done to them, and what they must do then.

A cut ends no channel. A kill ends all of its tunnel, at both ends, and new ones work within seconds. Read next: soak.py (when what is done).
"""
import errno
import random
import socket
import time

import kinds
from channel import HEADER
from cutter import Cutter
from daemons import Daemon, free_port
from loop import READ

SETTLE = 25  # seconds within which new channels work after a start: a line that is silent just then is noticed in some 15 s
NOTICE = 30  # and within which all ends of old ones are told


class Tunnel:
    def __init__(self, world, name, disk, secure, counts):
        self.world, self.name = world, name
        self.dice = random.Random(f"{world.options.seed} {name}")
        self.settled, self.settled_at, self.killed_at, self.turn = False, time.monotonic(), 0, 0
        self.pressed_from = self.pressed_until = 0
        self.bulks, self.flood, self.slots = set(), [], counts
        self.probes = {True: 0, False: 0}
        self.ports = {(side, udp): free_port() for side in ("hub", "caller") for udp in (False, True)}
        self.extra = {side: free_port() for side in ("hub", "caller")}
        link = free_port()
        self.cutter = Cutter(world.loop, link, self.dice, world.options.break_it == "flip" and not secure)
        kind, more = ("sockmuxs", secure) if secure else ("sockmux", (f"SOXCONF=name:{name}-hub", f"SOXCONF=name:{name}-caller"))
        to = f"SERVER={kind}://127.0.0.1:{self.cutter.port}"
        self.hub = Daemon(world, name + "-hub", [f"SERVER={kind}", f"-P127.0.0.1:{link}", more[0]] + self.forwards("hub"), disk.folder)
        self.caller = Daemon(world, name + "-caller", [to, more[1]] + self.forwards("caller"), disk.folder)
        self.daemons = (self.hub, self.caller)
        self.hub.tunnel = self.caller.tunnel = self

    def forwards(self, side):
        """A port for clients of each kind, and our servers for those of the other side."""
        tcp = socket.create_server(("127.0.0.1", 0), backlog=1024)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        for sock, handler in ((tcp, self.accept), (udp, self.datagram)):
            sock.setblocking(False)
            self.world.loop.watch(sock, READ, lambda _events, s=sock, h=handler: h(s))
        ping = self.world.options.ping
        return [f"PORT=127.0.0.1:{self.ports[side, False]}", f"PORT=127.0.0.1:{self.ports[side, True]}/udp",
                f"DEST=127.0.0.1:{tcp.getsockname()[1]}", f"DEST=127.0.0.1:{udp.getsockname()[1]}/udp"] + ([f"TIMEOUT=ping:{ping}"] if ping else [])

    def port(self, to_caller, udp=False):
        return self.ports["hub" if to_caller else "caller", udp]

    # Our servers.
    def accept(self, listener):
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.world.loop.watch(sock, READ, lambda _events: self.who(sock))

    def who(self, sock):
        """The client's first bytes say which channel it is."""
        try:
            data = sock.recv(HEADER.size, socket.MSG_PEEK)
        except OSError as wrong:
            if wrong.errno == errno.EAGAIN:
                return
            data = b""
        if len(data) == HEADER.size:
            sock.recv(HEADER.size)
            magic, number = HEADER.unpack(data)
            self.world.loop.watch(sock, 0, None)
            channel = self.world.channels.get(number)
            if channel is not None and magic == b"SK":
                channel.accept(sock)
                return
            if magic != b"SK" or number > self.world.last_id:
                self.world.fail(f"{self.name}: a client that nobody is: {data!r}")
            sock.close()
        elif not data:
            self.world.loop.watch(sock, 0, None)
            sock.close()

    def datagram(self, sock):
        for _ in range(8):
            try:
                data, client = sock.recvfrom(65536)
            except OSError:
                return
            if len(data) < kinds.Flow.HEADER.size:
                self.world.fail(f"{self.name}: a datagram of {len(data)} bytes at the server")
                continue
            flow = self.world.flows.get(kinds.Flow.HEADER.unpack_from(data)[1])
            answer = flow and flow.asked(data)
            if answer:
                try:
                    sock.sendto(answer, client)
                except OSError:
                    pass

    # Traffic.
    def fill(self):
        """Every slot has a channel, one after the other."""
        for kind, count in self.slots:
            for n in range(count):
                self.world.loop.after(self.dice.uniform(0, 5), lambda k=kind, c=n % 2 == 0: self.slot(k, c))

    def slot(self, kind, to_caller):
        if self.world.ending:
            return
        if not self.settled:
            self.world.loop.after(1, lambda: self.slot(kind, to_caller))
            return
        pause = (0.2, 1) if kind is kinds.Short else (0.5, 4)
        kind(self, to_caller, lambda _channel: self.world.loop.after(self.dice.uniform(*pause), lambda: self.slot(kind, to_caller)))

    def forgives(self, channel):
        """May a channel fail now that nobody has ended? One that began while a side was down, or had no descriptors left."""
        return channel.born < self.settled_at or self.pressed_from <= channel.born < self.pressed_until or not self.settled

    def start(self, which=None):
        for daemon in self.daemons if which is None else (which,):
            daemon.start()
        self.started_at = time.monotonic()
        self.probes = {True: 0, False: 0}
        for way in (True, False):
            self.probe(way)

    def probe(self, to_caller):
        """Short channels, one after the other, until one has worked: who came before the new link may have to wait."""
        started = self.started_at
        tried = []

        def look():
            if started != self.started_at or self.settled or self.world.ending:
                return
            if any(p.done for p in tried):
                self.probes[to_caller] = time.monotonic() - started
                if all(self.probes.values()):
                    self.settle()
                return
            if not tried or tried[-1].over or time.monotonic() - tried[-1].born > 0.5:
                tried.append(Probe(self, to_caller, None))
            self.world.loop.after(0.1, look)
        look()

    def settle(self):
        self.settled, self.settled_at = True, time.monotonic()
        took = max(self.probes.values())
        self.world.check(took < SETTLE, "start", f"{self.name}: new channels worked {took:.1f} s after a start")
        self.world.settles.append(took)
        for channel in list(self.world.channels.values()):
            if channel.tunnel is self and channel.may_end == "killed" and not channel.must_end_by:
                channel.must_end_by = self.settled_at + NOTICE

    def kill(self):
        """kill -9 of the sides in turn, and a start again a little later."""
        if not self.settled:
            return
        daemon = self.daemons[self.turn % 2]
        self.turn += 1
        self.world.note(f"kill -9 of {daemon.name}")
        self.died(daemon)

    def died(self, daemon):
        self.settled, self.killed_at = False, time.monotonic()
        self.world.killed(daemon)
        daemon.kill()
        for channel in list(self.world.channels.values()):
            if channel.tunnel is self and channel.may_end in ("", "killed on its way"):
                # One that nobody has accepted yet may still be served by the daemon's next life.
                channel.may_end = "killed" if channel.accepted else "killed on its way"
        self.world.loop.after(self.dice.uniform(0.2, 3), lambda: self.start(daemon))

    # What is done to it.
    def cut(self):
        """Cuts the line while bursts are under way."""
        for channel in self.dice.sample(sorted(self.bulks, key=lambda c: c.id), min(2, len(self.bulks))):
            channel.burst()
        self.world.loop.after(self.dice.uniform(0.01, 0.4), self.cut_now)

    def cut_now(self):
        kind, lines = self.cutter.cut()
        self.world.cut_done(kind, lines)

    def port_goes(self, port):
        """HUP is about to take it: who came there is ended at both ends."""
        for channel in self.world.channels.values():
            if channel.tunnel is self and channel.port == port and not channel.may_end:
                channel.may_end = "its port has gone"
                channel.must_end_by = time.monotonic() + self.world.limit

    def pressed(self):
        return self.pressed_from <= time.monotonic() < self.pressed_until

    def press(self, count, seconds):
        """More clients than a daemon may have descriptors: it goes on, and so do all that were there."""
        if not self.settled:
            return
        self.world.note(f"{self.name}: {count} clients at once for {seconds} s")
        self.pressed_from = time.monotonic()
        for channel in self.world.channels.values():
            if channel.tunnel is self and not channel.accepted and not channel.may_end:
                channel.may_end = "under pressure"  # on its way: there may be no descriptor left for it at the other side
        self.pressed_until = time.monotonic() + seconds + 25  # through a silent line nothing ends, nor is a descriptor free
        to_caller = self.dice.random() < 0.5
        before = [(d, d.lives, self.world.usual_extra(d)) for d in self.daemons]
        for _ in range(count):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port(to_caller)))
            self.flood.append(sock)
        self.world.loop.after(seconds, lambda: self.release(before))

    def release(self, before):
        for sock in self.flood:
            sock.close()
        self.flood = []
        for one in before:
            self.world.loop.after(12, lambda words=one: self.world.look_released(*words))


class Probe(kinds.Short):
    kind = "probe"
    done = False

    def last(self):
        self.done = True
        self.client.fin()
