"""The samples as a picture: SVG, in the colours of tools/picture.py.  plot.py SAMPLES.csv >FILE.svg"""
import collections
import csv
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
from picture import BACK, COLOURS, DIM, FORE

WIDTH, PANEL, LEFT, GAP, TOP = 900, 150, 64, 34, 56
POINTS = 180  # of a line, at most: the picture stays small
PANELS = (("private memory, KB", "private_kb"), ("descriptors", "descriptors"), ("channels", "channels"), ("CPU in the last minute, % of a core", "cpu"))
LINES = (COLOURS[1], COLOURS[3], COLOURS[2], COLOURS[4])


def read(file):
    with open(file) as text:
        return [{k: v if k == "daemon" else float(v) for k, v in row.items()} for row in csv.DictReader(text)]


def with_cpu(rows):
    """Adds the share of a core in the last minute; the first minute of a life has none."""
    before = collections.defaultdict(collections.deque)
    for row in rows:
        last = before[row["daemon"], row["life"]]
        last.append(row)
        while len(last) > 2 and last[1]["seconds"] <= row["seconds"] - 60:
            last.popleft()
        took = row["seconds"] - last[0]["seconds"]
        row["cpu"] = (row["cpu_s"] - last[0]["cpu_s"]) * 100 / took if took >= 60 else None
    return rows


def thinned(points, step):
    """The greatest value of each `step` points that follow each other in one life: peaks stay."""
    return [max(points[i:i + step], key=lambda p: p[1]) for i in range(0, len(points), step)]


def scale_of(top):
    for step in (10 ** e * m for e in range(-1, 9) for m in (1, 2, 5)):
        if top <= step * 5:
            return step
    return top


def time_words(seconds):
    return f"{seconds / 86400:.1f} d" if seconds >= 2 * 86400 else f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min"


def svg(rows, title):
    rows = with_cpu(rows)
    names = sorted({r["daemon"] for r in rows})
    end = max((r["seconds"] for r in rows), default=1) or 1
    height = TOP + len(PANELS) * (PANEL + GAP) + 10
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
           f'font-family="monospace" font-size="12"><rect width="100%" height="100%" rx="8" fill="{BACK}"/>',
           f'<text x="14" y="20" fill="{FORE}">{title}</text>']
    for n, name in enumerate(names):
        out.append(f'<text x="{14 + n * 200}" y="40" fill="{LINES[n % len(LINES)]}">&#9472; {name}</text>')
    for n, (label, field) in enumerate(PANELS):
        out += panel(rows, names, field, label, end, TOP + n * (PANEL + GAP) + 16)
    out.append("</svg>")
    return "\n".join(out) + "\n"


def panel(rows, names, field, label, end, y):
    values = [r[field] for r in rows if r[field] is not None]
    step = scale_of(max(values, default=1) or 1)
    top = step * max(1, -(-max(values, default=1) // step))
    wide = WIDTH - LEFT - 20

    def at(seconds, value):
        return f"{LEFT + seconds / end * wide:.0f},{y + PANEL - value / top * PANEL:.0f}"
    out = [f'<text x="{LEFT}" y="{y - 5}" fill="{DIM}">{label}</text>']
    for i in range(int(top / step) + 1):
        h = y + PANEL - i * step / top * PANEL
        out.append(f'<path d="M{LEFT} {h:.1f}h{wide}" stroke="{COLOURS[0]}"/><text x="{LEFT - 6}" y="{h + 4:.1f}" fill="{DIM}" text-anchor="end">{i * step:g}</text>')
    for i in range(5):
        out.append(f'<text x="{LEFT + wide * i / 4:.0f}" y="{y + PANEL + 14}" fill="{DIM}" text-anchor="{"start" if i == 0 else "end" if i == 4 else "middle"}">{time_words(end * i / 4)}</text>')
    for n, name in enumerate(names):
        lives = {}
        for row in rows:
            if row["daemon"] == name and row[field] is not None:
                lives.setdefault(row["life"], []).append((row["seconds"], row[field]))
        every = max(1, -(-sum(map(len, lives.values())) // POINTS))
        path = "".join("M" + "L".join(at(*p) for p in thinned(points, every)) for points in lives.values())
        out.append(f'<path d="{path}" fill="none" stroke="{LINES[n % len(LINES)]}" stroke-width="1.2" stroke-opacity="0.85"/>')
    return out


if __name__ == "__main__":
    sys.stdout.write(svg(read(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "soak"))
