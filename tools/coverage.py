"""What the tests of `make coverage` reached: coverage.py GOAL_LINES GOAL_BRANCHES FOLDER... <JSON of `llvm-cov export`

Counted is what this machine's daemon is built from. A line counts if it holds code; it is covered if it ran once. A branch is one outcome
(true, false) of one condition as it stands in the source: each operand of && and ||, each if, ?:, loop, and each case of a switch. What
the compiler folds (if constexpr, kHasUdp && ...) is none. Not counted are the conditions in SMX_CHECK(), which fails for a bug of ours alone.

Prints a table for each folder, the files that lack most, and ends with 1 if a goal is missed. With -m FILE...: the lines of these files
that never ran, and the outcomes that never were.
"""
import json
import os
import re
import sys

# kHasUdp, !kHasUdp, kFlags == 0
CONSTANT = re.compile(r"!?k[A-Z]\w*( *[=!<>]=? *(k[A-Z]\w*|\d+))?")


def check_spans(text):
    """The places [begin, end) of all SMX_CHECK(...) in the text."""
    for m in re.finditer(r"\bSMX_CHECK\(", text):
        depth, i = 1, m.end()
        while depth and i < len(text):
            depth += {"(": 1, ")": -1}.get(text[i], 0)
            i += 1
        yield m.start(), i


class File:
    def __init__(self, data):
        self.name = os.path.relpath(data["filename"])
        with open(self.name, encoding="utf-8") as f:
            self.text = f.read()
        self.source = self.text.split("\n")
        if max([s[0] for s in data["segments"]], default=0) > len(self.source):
            sys.exit("coverage.py: %s is not what the programs were built from" % self.name)
        starts = [0]
        for line in self.source:
            starts.append(starts[-1] + len(line) + 1)
        spans = list(check_spans(self.text))
        in_check = lambda line, column: any(a <= starts[line - 1] + column - 1 < b for a, b in spans)
        self.lines = {n: count for n, count in line_counts(data["segments"]) if self.is_code(n)}
        # Each instance of a template brings its own; one that was there is enough.
        self.branches = {}
        for b in data["branches"]:
            place = (b[0], b[1], b[2], b[3])
            folded = b[4] == b[5] == 0 and b[0] == b[2] and CONSTANT.fullmatch(self.source[b[0] - 1][b[1] - 1:b[3] - 1])
            if folded or in_check(b[0], b[1]):
                continue
            was = self.branches.get(place, (0, 0))
            self.branches[place] = (was[0] + b[4], was[1] + b[5])

    def is_code(self, line):
        text = self.source[line - 1].strip()
        return not (text.startswith("//") or re.fullmatch(r"[{}();,\s]*", text.split("//")[0]))

    def numbers(self):
        outcomes = [n > 0 for pair in self.branches.values() for n in pair]
        return [sum(n > 0 for n in self.lines.values()), len(self.lines), sum(outcomes), len(outcomes)]

    def tell_missing(self):
        at = {}
        for (line, column, _, end), pair in sorted(self.branches.items()):
            never = [word for word, n in zip(("true", "false"), pair) if n == 0]
            if never:
                what = self.source[line - 1][column - 1:end - 1] or "?"
                at.setdefault(line, []).append("`%s` never %s" % (what, " nor ".join(never)))
        for line, source in enumerate(self.source, 1):
            unrun = self.lines.get(line) == 0
            if unrun or line in at:
                told = [] if unrun else at[line]
                print("%s:%d: %s %s%s" % (self.name, line, "-" if unrun else " ", source.strip(), "".join("\n        " + t for t in told)))


def line_counts(segments):
    """(line, count) of each line that has code, as llvm-cov counts: the most of what begins there and of what goes on from above."""
    by_line = {}
    for s in segments:
        by_line.setdefault(s[0], []).append(s)
    if not by_line:
        return
    above = None
    for line in range(min(by_line), max(by_line) + 1):
        here = by_line.get(line, [])
        begins = [s for s in here if s[3] and s[4] and not s[5]]
        skipped = here and not here[0][3] and here[0][4]
        if not skipped and ((above and above[3]) or begins):
            yield line, max([above[2] if above else 0] + [s[2] for s in begins])
        if here:
            above = here[-1]


def percent(part, whole):
    return 100.0 * part / whole if whole else 100.0


def row(name, n):
    print("%-28s %6d of %6d %6.1f %%   %6d of %6d %6.1f %%" % (name, n[0], n[1], percent(n[0], n[1]), n[2], n[3], percent(n[2], n[3])))


def total(rows):
    return [sum(r[i] for r in rows) for i in range(4)]


def main():
    missing = sys.argv[1:] and sys.argv[1] == "-m"
    wanted = sys.argv[2:] if missing else sys.argv[3:]
    files = [File(f) for f in json.load(sys.stdin)["data"][0]["files"]
             if os.path.relpath(f["filename"]).startswith(tuple(wanted))]
    files.sort(key=lambda f: f.name)
    if missing:
        for f in files:
            f.tell_missing()
        return 0
    goal_lines, goal_branches = float(sys.argv[1]), float(sys.argv[2])
    print("%-28s %26s %28s" % ("", "lines", "branches"))
    folders = {}
    for f in files:
        folders.setdefault(os.path.dirname(f.name), []).append(f.numbers())
    for name, rows in sorted(folders.items()):
        row(name, total(rows))
    every = [n for rows in folders.values() for n in rows]
    tops = []
    for top in wanted:
        tops.append(total([n for name, rows in folders.items() if name.startswith(top) for n in rows]))
        row(top + " in all", tops[-1])
    whole = total(every)
    row("all", whole)
    print("\nmost outcomes that never were:")
    for f in sorted(files, key=lambda f: f.numbers()[2] - f.numbers()[3])[:15]:
        row("  " + f.name, f.numbers())
    good = all(percent(n[0], n[1]) >= goal_lines and percent(n[2], n[3]) >= goal_branches for n in tops)
    print("\ngoal: %g %% of lines and %g %% of branches of each of %s: %s" % (goal_lines, goal_branches, ", ".join(wanted), "reached" if good else "MISSED"))
    return 0 if good else 1


sys.exit(main())
