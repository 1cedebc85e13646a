"""One connection through a tunnel, with both of its ends here, which compare every byte and know how each direction must end.

A channel that ends by itself is a failure, unless the script has ended it, or has killed a daemon under it (may_end). Each direction ends
behind exactly the byte that was sent last. Read next: kinds.py (what the channels say), tunnel.py (what they run through).
"""
import errno
import socket
import struct
import time

import streams
from loop import READ, WRITE

HEADER = struct.Struct(">2sQ")  # what a client says first: who it is


class End:
    """One end: what it sends (tx) and gets (rx), each a stream of bytes with a known place for each byte."""

    def __init__(self, channel, is_client):
        self.channel, self.is_client = channel, is_client
        world = channel.world
        self.tx_start = world.streams.start(channel.id, is_client)
        self.rx_start = world.streams.start(channel.id, not is_client)
        self.tx_off = self.tx_target = self.rx_off = 0
        self.fin_due = self.fin_sent = self.rx_ended = self.deaf = False
        self.sock = None
        self.connecting = False
        self.pending = b""  # the header of a client

    @property
    def other(self):
        return self.channel.server if self.is_client else self.channel.client

    def send(self, n):
        """`n` bytes more."""
        self.tx_target += n
        self.channel.touched()
        self.pump()

    def fin(self):
        self.fin_due = True
        self.channel.touched()
        self.pump()

    def pump(self):
        if self.sock is None or self.connecting:
            return
        try:
            if self.pending:
                self.pending = self.pending[self.sock.send(self.pending):]
            while not self.pending and self.tx_off < self.tx_target:
                n = min(self.tx_target - self.tx_off, streams.CHUNK)
                self.tx_off += self.sock.send(self.channel.world.streams.bytes(self.tx_start, self.tx_off, n))
        except BlockingIOError:
            pass
        except OSError as wrong:
            self.broken(wrong)
            return
        if self.fin_due and not self.fin_sent and self.tx_off == self.tx_target and not self.pending:
            self.fin_sent = True
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError as wrong:
                self.broken(wrong)
                return
        self.want()

    def want(self):
        if self.sock is None:
            return
        waits = self.connecting or self.pending or self.tx_off < self.tx_target
        self.channel.world.loop.watch(self.sock, (0 if self.rx_ended or self.deaf else READ) | (WRITE if waits else 0), self.ready)

    def ready(self, events):
        if self.connecting:
            wrong = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if wrong:
                self.broken(OSError(wrong, "connect"))
                return
            self.connecting = False
        if events & READ:
            self.read()
        if self.sock is not None and events & WRITE:
            self.pump()

    def read(self):
        try:
            data = self.sock.recv(streams.CHUNK)
        except BlockingIOError:
            return
        except OSError as wrong:
            self.broken(wrong)
            return
        self.got(data)

    def got(self, data):
        channel, world = self.channel, self.channel.world
        channel.touched()
        if not data:
            self.rx_ended = True
            self.want()
            channel.ended(self)
            return
        want = world.streams.bytes(self.rx_start, self.rx_off, len(data))
        if data != want:
            at = streams.first_difference(data, want)
            channel.fail(f"wrong byte at {self.rx_off + at} of what the {'client' if self.is_client else 'server'} gets")
            return
        self.rx_off += len(data)
        world.compared += len(data)
        if self.rx_off > self.other.tx_off:
            channel.fail(f"{self.rx_off} bytes have come of {self.other.tx_off} that were sent")
            return
        channel.heard(self)

    def broken(self, wrong):
        self.drop()
        self.channel.lost(self, errno.errorcode.get(wrong.errno, str(wrong)))

    def drop(self, reset=False):
        if self.sock is not None:
            self.channel.world.loop.watch(self.sock, 0, None)
            if reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()
            self.sock = None


class Channel:
    """Life of a channel; a kind says what is sent: opened(), heard(end), ended(end)."""
    kind = "channel"

    def __init__(self, tunnel, to_caller, over, port=None):
        self.tunnel, self.world, self.over_function = tunnel, tunnel.world, over
        self.dice = self.world.dice
        self.id = self.world.next_id()
        self.to_caller = to_caller
        self.client, self.server = End(self, True), End(self, False)
        self.born = self.moved = time.monotonic()
        self.over = self.accepted = False
        self.may_end = ""       # a reason why it may be lost
        self.must_end_by = 0    # it was lost at one end; the other one has to notice
        self.port = port or tunnel.port(to_caller)
        self.connect(self.port)

    def name(self):
        return f"{self.tunnel.name} {self.kind} {self.id:x} {'hub to caller' if self.to_caller else 'caller to hub'}"

    def connect(self, port):
        self.world.channels[self.id] = self
        end = self.client
        end.sock = socket.socket()
        end.sock.setblocking(False)
        end.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end.pending = HEADER.pack(b"SK", self.id)
        end.connecting = True
        wrong = end.sock.connect_ex(("127.0.0.1", port))
        if wrong not in (0, errno.EINPROGRESS):
            self.world.loop.after(0, lambda: end.broken(OSError(wrong, "connect")))
            return
        end.want()
        self.opened()

    def accept(self, sock):
        """The tunnel has connected to our server for this channel."""
        self.touched()
        if self.accepted or self.over:
            if self.accepted:
                self.world.fail(f"{self.name()}: came out of the tunnel twice")
            sock.close()
            return
        self.accepted = True
        self.server.sock = sock
        if self.server.sock is not None:
            self.server.pump()

    def touched(self):
        self.moved = time.monotonic()

    # What a kind says.
    def opened(self):
        pass

    def heard(self, end):
        pass

    def ended(self, end):
        """The other direction has ended at `end`."""
        other = end.other
        if end.rx_off != other.tx_target or not other.fin_sent:
            self.lost(end, f"end after {end.rx_off} bytes of {other.tx_off}")
            return
        self.answer_end(end)
        self.finished()

    def answer_end(self, end):
        end.fin()

    def finished(self):
        ends = (self.client, self.server)
        if not self.over and all(e.rx_ended and e.fin_sent for e in ends):
            self.close()
            self.world.passed(self.kind)

    # How it ends.
    def close(self):
        self.over = True
        self.world.channels.pop(self.id, None)
        self.client.drop()
        self.server.drop()
        if self.over_function:
            self.over_function(self)

    def abort(self, end):
        """The script ends it here; the other end has to notice."""
        self.may_end = "aborted by the script"
        self.must_end_by = time.monotonic() + self.world.limit
        end.drop(reset=True)
        if end.other.sock is None:
            self.close()

    def lost(self, end, why):
        """This end is gone, or its direction has ended too early."""
        if self.over:
            return
        end.drop()
        if not self.may_end and self.tunnel.forgives(self):
            self.may_end = "under pressure"
        if not self.may_end:
            self.fail(f"the {'client' if end.is_client else 'server'} lost it ({why}) after {time.monotonic() - self.born:.1f} s")
            return
        if end.other.sock is None or end.other.rx_ended:  # who has read all hears no more
            self.close()
            self.world.passed(self.kind + ", " + self.may_end)
        else:
            self.must_end_by = self.must_end_by or time.monotonic() + self.world.limit

    def fail(self, what):
        self.world.fail(f"{self.name()}: {what}")
        self.may_end = "failed"
        self.close()

    def watch(self, now):
        """Every second: is it stuck?"""
        if self.must_end_by and now > self.must_end_by:
            left = [n for n, e in (("client", self.client), ("server", self.server)) if e.sock is not None]
            self.fail(f"{self.may_end}, and the {' and '.join(left) or 'slot'} did not hear of it")
            return
        if self.must_end_by or now - self.moved < self.world.limit:
            return
        for end in (self.client, self.server):
            other = end.other
            if end.rx_off < other.tx_target or other.fin_due and not end.rx_ended or not self.accepted:
                self.fail(f"stuck for {now - self.moved:.0f} s: the {'client' if end.is_client else 'server'} has {end.rx_off} bytes of {other.tx_target}"
                          + ("" if self.accepted else ", it never came out of the tunnel"))
                return
