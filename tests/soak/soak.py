#!/usr/bin/env python3
"""Hours of mixed traffic through two tunnels, a plain and a secure one, while all that may go wrong does: `make soak HOURS=2`.

A line is cut every 20 s (reset, end of file, silence, silence one way), a side is killed (-9) every 5 minutes, HUP comes every minute with a
port that comes and goes, the disk of logs is full now and then, and now and then there are more clients than descriptors. Every byte is
compared; a cut alone ends no channel. What the daemons need is sampled and has to be flat. It is about time, not load: some percent of a core.

The last lines are the summary and "N passed, N failed". The folder of the run (--folder) keeps events, samples.csv, soak.svg and all logs.
Read next: tunnel.py (a tunnel, and what is done to it), channel.py (how a channel may end), kinds.py (what is said).
"""
import argparse
import collections
import os
import random
import resource
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import kinds
import plot
import samples
from daemons import Disk, Guard, can_do_secure, keys
from loop import Loop
from streams import Streams
from tunnel import Tunnel

# Of each tunnel, where there are 200 in both.
SLOTS = ((kinds.Dialogue, 30), (kinds.Idle, 46), (kinds.Bulk, 10), (kinds.HalfClose, 8), (kinds.Short, 4), (kinds.Flow, 10))

# Seconds, as they are usually, and in a short run at least.
INTERVALS = (
    ("cut", 20, 8, "between two cuts of a line"),
    ("kill", 300, 25, "between two kill -9 in the first tunnel"),
    ("hup", 60, 8, "between two HUPs"),
    ("full", 420, 40, "between two times of a full disk"),
    ("full-for", 25, 6, "that it is full"),
    ("press", 540, 45, "between two crowds of clients"),
    ("press-for", 25, 6, "that they stay"),
    ("sample", 10, 1, "between two samples"),
)


class World:
    """What all parts of a run share: the loop, the dice, the count of checks, and the words that are said."""

    def __init__(self, options, disk, guard):
        self.options, self.disk, self.guard = options, disk, guard
        self.begun, self.folder = time.monotonic(), options.folder
        os.makedirs(os.path.join(self.folder, "logs"), exist_ok=True)
        os.chmod(self.folder, 0o755)
        self.events = open(os.path.join(self.folder, "events.txt"), "w", buffering=1)
        self.loop, self.streams, self.dice = Loop(), Streams(options.seed), random.Random(options.seed)
        self.limit, self.pace = options.limit, options.pace
        self.last_id = options.seed % 1000 << 32
        self.channels, self.flows = {}, {}
        self.counted, self.failures = collections.Counter(), []
        self.compared, self.ending = 0, False
        self.datagrams, self.settles, self.waits = [0, 0], [], []
        self.cuts = collections.Counter()
        self.table = samples.Samples(os.path.join(self.folder, "samples.csv"))
        self.filled = False
        secure = keys(options, self.folder, ("hub", "caller")) if can_do_secure(options, self.folder) else None
        slots = tuple((kind, max(1, n * options.channels // 200)) for kind, n in SLOTS)
        self.tunnels = [Tunnel(self, "plain", self.disk, None, slots), Tunnel(self, "secure" if secure else "second", self.disk, secure, slots)]
        if not secure:
            self.note("no secure link: built without SECURE=sodium")
        if not self.disk.mounted:
            self.note("no full disk: that needs root, and mount(8)")

    def next_id(self):
        self.last_id += 1
        return self.last_id

    # What is counted and said.
    def note(self, text):
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {time.monotonic() - self.begun:8.1f} {text}"
        self.events.write(line + "\n")
        if not self.options.quiet:
            print(line, flush=True)

    def passed(self, what):
        self.counted[what] += 1

    def fail(self, text):
        self.failures.append(text)
        self.note(f"FAILED (seed {self.options.seed}): {text}")
        if len(self.failures) >= self.options.failures and not self.ending:
            self.note("too many failures: the run ends here")
            self.ending = True
            self.loop.stop()

    def check(self, good, what, text):
        if good:
            self.passed(what)
            self.note(text)
        else:
            self.fail(f"{what}: {text}")

    def answered(self, seconds):
        self.waits.append(seconds)
        if len(self.waits) > 100000:
            self.waits = self.waits[::2]

    def cut_done(self, kind, lines):
        self.cuts[kind if lines else kind + ", nothing to cut"] += 1

    def killed(self, daemon):
        daemon.collect()

    # What comes by the clock.
    def daemons(self):
        return [d for t in self.tunnels for d in t.daemons]

    def watch(self):
        """Every second: what is stuck, and who has died by itself."""
        now = time.monotonic()
        for thing in list(self.channels.values()) + list(self.flows.values()):
            thing.watch(now)
        for tunnel in self.tunnels:
            if not tunnel.settled and tunnel.started_at > tunnel.killed_at and now - tunnel.started_at > 60:
                self.fail(f"{tunnel.name}: no new channel works for {now - tunnel.started_at:.0f} s after a start")
                tunnel.started_at = now
            for daemon in tunnel.daemons:
                if daemon.died():
                    self.fail(f"{daemon.name} has ended by itself, status {daemon.process.returncode}")
                    tunnel.died(daemon)

    def sample(self):
        for daemon in self.daemons():
            daemon.collect()
            if not daemon.expected_dead:
                self.ask(daemon, lambda d=daemon, p=daemon.pid, n=daemon.lives: samples.measure(d, p, n, self.begun), self.table.add)

    def ask(self, daemon, work, answer):
        """Asks a daemon; one that does not answer although it was not killed is a failure."""
        life, started = daemon.lives, time.monotonic()

        def came(result):
            if life != daemon.lives or daemon.expected_dead or self.ending:
                return
            if isinstance(result, Exception):
                if started - daemon_started(daemon) > 5:
                    self.fail(f"{daemon.name}: cannot be asked: {result!r}")
                return
            answer(result)

        def daemon_started(one):
            return next(t.started_at for t in self.tunnels if one in t.daemons)
        self.loop.ask(work, came)

    def hup(self):
        """A port more, or one less, in each file, and HUP."""
        for tunnel in self.tunnels:
            for side, daemon in zip(("hub", "caller"), tunnel.daemons):
                # A crowd leaves no descriptor for a new port: the reload fails then, and says so.
                if daemon.expected_dead or not tunnel.settled or tunnel.pressed():
                    continue
                port = tunnel.extra[side]
                there = not daemon.extra
                daemon.extra = [f"PORT=127.0.0.1:{port}"] if there else []
                if not there:
                    tunnel.port_goes(port)
                daemon.hup()
                self.loop.after(1, lambda d=daemon, t=tunnel, s=side, h=there: self.look_reloaded(d, t, s, h, d.lives, 10))

    def look_reloaded(self, daemon, tunnel, side, there, life, tries):
        port = f"127.0.0.1:{tunnel.extra[side]}"

        def look(status):
            if any(p["address"] == port for p in status["ports"]) == there:
                self.passed("HUP")
                if there and tunnel.settled and daemon.extra:
                    kinds.Guest(tunnel, side == "hub", None, tunnel.extra[side])
            elif tries:
                self.loop.after(1, lambda: self.look_reloaded(daemon, tunnel, side, there, life, tries - 1))
            else:
                self.fail(f"{daemon.name}: HUP, and the port {port} is {'not there' if there else 'still there'}")
        if life == daemon.lives and there == bool(daemon.extra):
            self.ask(daemon, lambda: daemon.ask("status"), look)

    def fill_disk(self):
        if not self.disk.mounted:
            return
        if any(not t.settled or t.pressed() for t in self.tunnels):
            self.loop.after(5, self.fill_disk)
            return
        for daemon in self.daemons():
            daemon.collect()
        self.disk.fill()
        self.filled = True
        self.note(f"the disk is full: {self.disk.full()}")
        self.loop.after(self.options.full_for, self.empty_disk)

    def empty_disk(self):
        self.disk.empty()
        self.filled = False
        was = {}
        for daemon in self.daemons():
            daemon.collect()
            was[daemon] = (daemon.logged, daemon.lives)
        self.hup()
        pressed = [d for t in self.tunnels if t.pressed() for d in t.daemons]

        def look():
            for daemon in self.daemons():
                daemon.collect()
                if daemon in pressed:
                    continue
                if daemon.lives == was[daemon][1] and not daemon.expected_dead:
                    self.check(daemon.logged > was[daemon][0], "full disk", f"{daemon.name} writes its log again behind a full disk")
        self.loop.after(5, look)

    def kill(self, tunnel):
        if not self.filled:  # a PIDFILE that cannot be written is a reason not to start: sockmuxd(8), status 73
            tunnel.kill()
        else:
            self.loop.after(self.options.full_for, lambda: tunnel.kill())

    def usual_extra(self, daemon):
        """How many descriptors this life has beside those of channels; None: not known yet."""
        rows = [r for r in self.table.rows[-400:] if r["daemon"] == daemon.name and r["life"] == daemon.lives and not r["crowd"]]
        return sorted(map(samples.extra, rows))[len(rows) // 2] if len(rows) > 2 else None

    def look_released(self, daemon, life, was, tries=10):
        """Some seconds after a crowd has gone: as many descriptors as before? Through a silent line nothing ends."""
        if was is None or life != daemon.lives or daemon.expected_dead:
            return

        def look(row):
            now = samples.extra(row)
            if now > was + samples.DESCRIPTORS and tries:
                self.loop.after(5, lambda: self.look_released(daemon, life, was, tries - 1))
                return
            self.check(now <= was + samples.DESCRIPTORS, "crowd", f"{daemon.name}: {now} descriptors beside those of channels behind a crowd, {was} before")
        self.ask(daemon, lambda p=daemon.pid: samples.measure(daemon, p, life, self.begun), look)

    def run(self):
        o = self.options
        for n, tunnel in enumerate(self.tunnels):
            tunnel.start()
            tunnel.fill()
            self.loop.every(o.cut, tunnel.cut, first=o.cut * (1 + n / 2))
            self.loop.every(o.kill * (1 if n == 0 else o.kill_second), lambda t=tunnel: self.kill(t))
            self.loop.every(o.press, lambda t=tunnel: t.press(o.crowd, o.press_for), first=o.press * (0.6 + n / 3))
        self.loop.every(o.hup, self.hup)
        self.loop.every(o.full, self.fill_disk, first=o.full / 2)
        self.loop.every(o.sample, self.sample)
        self.loop.every(1, self.watch)
        self.loop.every(o.report, self.report)
        self.loop.run(time.monotonic() + o.seconds)
        self.finish()

    def report(self):
        self.note(f"{len(self.channels)} channels, {len(self.flows)} flows, {self.compared / 1e6:.0f} MB compared, {sum(self.cuts.values())} cuts, "
                  f"{sum(self.counted.values())} passed, {len(self.failures)} failed")
        self.draw()

    def draw(self):
        title = f"make soak: {self.options.channels} channels, {plot.time_words(time.monotonic() - self.begun)}, seed {self.options.seed}"
        with open(os.path.join(self.folder, "soak.svg"), "w") as out:
            out.write(plot.svg([{k: r[k] for k in samples.FIELDS} for r in self.table.rows], title))

    def finish(self):
        self.ending = True
        self.disk.empty()
        alive = len([c for c in self.channels.values() if not c.may_end])
        self.counted["alive at the end"] += alive
        for thing in list(self.channels.values()) + list(self.flows.values()):
            thing.over_function = None
            thing.close() if hasattr(thing, "close") else thing.sock.close()
        alive = [d for d in self.daemons() if not d.expected_dead]
        for daemon in alive:
            daemon.ask_to_end()
        for daemon in alive:
            status = daemon.ended()
            self.check(status == 0, "end", f"{daemon.name} was asked to end: status {status}")
        for daemon in self.daemons():
            daemon.collect()
        for (name, _), rows in self.table.lives().items():
            for what, good, text in samples.judged(rows):
                self.check(good, "flat " + what, text)
        for daemon in self.daemons():
            rows = [r for r in self.table.rows if r["daemon"] == daemon.name]
            for what, good, text in samples.over_the_run(rows) if rows else ():
                self.check(good, "flat " + what, text)
        self.draw()
        self.disk.remove()
        self.summary()

    def summary(self):
        took = time.monotonic() - self.begun
        ours = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        theirs = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
        waits = sorted(self.waits) or [0]
        say = [f"seed {self.options.seed}, {took:.0f} s, {self.compared / 1e6:.1f} MB compared; CPU: the script {ours / took * 100:.1f} %, the daemons {theirs / took * 100:.1f} % of a core",
               "checks: " + ", ".join(f"{what} {n}" for what, n in sorted(self.counted.items())),
               "cuts: " + ", ".join(f"{what} {n}" for what, n in sorted(self.cuts.items())),
               f"answers in dialogues: {len(waits)}, median {waits[len(waits) // 2] * 1000:.1f} ms, longest {waits[-1]:.1f} s",
               f"datagrams: {self.datagrams[0]} sent, {self.datagrams[1]} came back",
               f"starts: new channels work after {max(self.settles, default=0):.1f} s at most",
               f"{sum(self.counted.values())} passed, {len(self.failures)} failed"]
        for line in [f"FAILED: {f}" for f in self.failures] + say:
            self.events.write(line + "\n")
            print(line, flush=True)


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--sockmuxd", default="./sockmuxd")
    p.add_argument("--sockmuxctl", default="", help="default: beside sockmuxd")
    p.add_argument("--hours", default="2")
    p.add_argument("--seconds", default="", help="in place of --hours; in less than half an hour all intervals are shorter, too")
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1000000))
    p.add_argument("--folder", help="of the run; default: a new one")
    p.add_argument("--channels", type=int, default=200)
    p.add_argument("--crowd", type=int, default=400, help="clients that come at once, now and then")
    p.add_argument("--descriptors", type=int, default=256, help="ulimit -n of the daemons")
    p.add_argument("--ping", type=int, default=0, help="TIMEOUT=ping of the daemons; 0: their default")
    p.add_argument("--limit", type=float, default=60, help="seconds after which what does not move is stuck")
    p.add_argument("--report", type=float, default=300)
    p.add_argument("--failures", type=int, default=50, help="after so many it ends")
    p.add_argument("--quiet", action="store_true", help="the summary alone")
    p.add_argument("--break", dest="break_it", choices=("flip",), help="flips a bit in the plain line now and then: the run has to fail")
    p.add_argument("--kill-second", type=float, default=4, help="so many times as rarely is a side of the second tunnel killed, for longer lives")
    for name, _, least, what in INTERVALS:
        p.add_argument("--" + name, type=float, help=f"{what}; {least} s at least in a short run")
    o = p.parse_args()
    o.seconds = float(o.seconds or float(o.hours) * 3600)
    o.pace = min(1, o.seconds / 1800)
    for name, usual, least, _ in INTERVALS:
        name = name.replace("-", "_")
        if getattr(o, name) is None:
            setattr(o, name, max(least, usual * o.pace))
    o.sockmuxd = os.path.abspath(o.sockmuxd)
    o.sockmuxctl = os.path.abspath(o.sockmuxctl or os.path.join(os.path.dirname(o.sockmuxd), "sockmuxctl"))
    o.folder = os.path.abspath(o.folder or tempfile.mkdtemp(prefix="soak."))
    return o


def main():
    o = options()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard != resource.RLIM_INFINITY else 8192, hard))
    world = guard = None
    disk = Disk(o.folder)

    def asked_to_end(*_):
        if world is None:
            sys.exit(1)
        world.loop.stop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as nohup(1) has it
            signal.signal(number, asked_to_end)
    try:
        disk.mount()
        guard = Guard(o.folder, disk.folder)
        world = World(o, disk, guard)
        world.note(f"seed {o.seed}, folder {o.folder}")
        world.run()
    finally:
        for daemon in world.daemons() if world is not None else ():
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.process.kill()
        disk.remove()
        if guard is not None:
            guard.close()
    return 1 if world.failures else 0


if __name__ == "__main__":
    sys.exit(main())
