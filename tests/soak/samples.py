"""What each daemon needs, every few seconds: a table (CSV), and whether it is flat.

Each life of a process is judged by itself, after its first half minute: the second half of it beside the first half.
"""
import os
import statistics
import time

FIELDS = ("seconds", "daemon", "life", "rss_kb", "private_kb", "descriptors", "of_channels", "cpu_s", "switches", "channels", "links", "flows",
          "opened", "aborted", "crowd")
TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
WARM = 30      # seconds until a process has touched what its traffic needs
ENOUGH = 8     # samples, below which a life is too short to be judged
MEMORY = (1.10, 512)      # times, and KB more
DESCRIPTORS = 3           # more, beside those of channels
CPU = (1.5, 0.6)          # times, and seconds a minute more


def fields_of(text, names):
    """Sum of the named lines of a file of "Name: n kB"."""
    return sum(int(line.split()[1]) for line in text.splitlines() if line.split(":")[0] in names)


def measure(daemon, pid, life, since):
    """One row; blocks, so only for the worker."""
    status = daemon.ask("status")
    proc = f"/proc/{pid}"
    with open(proc + "/smaps_rollup") as file:
        memory = file.read()
    with open(proc + "/stat") as file:
        cpu = sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13])) / TICK
    with open(proc + "/status") as file:
        switches = fields_of(file.read(), ("voluntary_ctxt_switches",))
    # A client of a UDP port is a channel without a socket of its own.
    of_channels = sum(c["kind"] != "client" or c["transport"] != "udp" for c in daemon.ask("channels")["channels"])
    descriptors = len(os.listdir(proc + "/fd"))
    return {"seconds": round(time.monotonic() - since, 1), "daemon": daemon.name, "life": life, "rss_kb": fields_of(memory, ("Rss",)),
            "private_kb": fields_of(memory, ("Private_Clean", "Private_Dirty")), "descriptors": descriptors,
            "of_channels": of_channels, "cpu_s": cpu, "switches": switches,
            "channels": status["channels"], "links": status["links_up"], "flows": status["udp_flows"], "opened": status["channels_opened"],
            "aborted": status["channels_aborted"], "crowd": int(daemon.tunnel.pressed())}


def extra(row):
    """Descriptors that no channel has."""
    return row["descriptors"] - row["of_channels"]


class Samples:
    def __init__(self, file):
        self.rows, self.file = [], open(file, "w", buffering=1)
        self.file.write(",".join(FIELDS) + "\n")

    def add(self, row):
        self.rows.append(row)
        self.file.write(",".join(str(row[f]) for f in FIELDS) + "\n")

    def lives(self):
        found = {}
        for row in self.rows:
            found.setdefault((row["daemon"], row["life"]), []).append(row)
        return found


def cpu_a_minute(rows):
    return (rows[-1]["cpu_s"] - rows[0]["cpu_s"]) * 60 / (rows[-1]["seconds"] - rows[0]["seconds"])


def halves(rows):
    return rows[:len(rows) // 2], rows[len(rows) // 2:]


def judged(rows):
    """(what, whether it is flat, a sentence) of one life."""
    rows = [r for r in rows if r["seconds"] >= rows[0]["seconds"] + WARM]
    if len(rows) < ENOUGH:
        return
    name = f"{rows[0]['daemon']} life {rows[0]['life']}"
    first, second = halves(rows)

    def medians(value, first, second):
        return statistics.median(map(value, first)), statistics.median(map(value, second))
    a, b = medians(lambda r: r["private_kb"], first, second)
    yield "memory", b <= a * MEMORY[0] + MEMORY[1], f"{name}: private memory {a:.0f} KB, then {b:.0f} KB"
    # Of a crowd that goes there are channels without a socket, until the other side has heard of it.
    calm = [r for r in rows if not r["crowd"]]
    if len(calm) >= ENOUGH:
        a, b = medians(extra, *halves(calm))
        yield "descriptors", b <= a + DESCRIPTORS, f"{name}: {a:.0f} descriptors beside those of channels, then {b:.0f}"
    a, b = cpu_a_minute(first), cpu_a_minute(second)
    yield "CPU", b <= a * CPU[0] + CPU[1], f"{name}: {a:.2f} s of CPU a minute, then {b:.2f}"


def over_the_run(rows):
    """The same of one daemon's lives in the first and the last third of the run, for what a single life does not show."""
    lives = {}
    for row in rows:
        lives.setdefault(row["life"], []).append(row)
    lives = [life for life in lives.values() if len(life) >= ENOUGH]
    third = len(lives) // 3
    if not third:
        return
    name = rows[0]["daemon"]
    first, last = sum(lives[:third], []), sum(lives[-third:], [])
    a, b = (statistics.median(r["private_kb"] for r in part) for part in (first, last))
    yield "memory", b <= a * MEMORY[0] + MEMORY[1], f"{name}, lives at the beginning and at the end: private memory {a:.0f} KB, then {b:.0f} KB"
    a, b = (statistics.mean(cpu_a_minute(life) for life in part) for part in (lives[:third], lives[-third:]))
    yield "CPU", b <= a * CPU[0] + CPU[1], f"{name}, lives at the beginning and at the end: {a:.2f} s of CPU a minute, then {b:.2f}"
