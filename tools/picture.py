#!/usr/bin/env python3
"""A picture of a terminal: picture.py TITLE <TEXT >FILE.svg

TEXT is what a program has written, with colours by SGR (ECMA-48 8.3.117), as `tmux capture-pane -e -p` gives it. Other escape
sequences are left out. The picture is the same, byte for byte, for the same text.
"""
import re
import sys
from xml.sax.saxutils import escape

CELL_W, CELL_H, PAD, BAR = 8.4, 18, 14, 30
BACK, FORE, DIM = "#1d2021", "#d5c4a1", "#7c6f64"
COLOURS = ["#3c3836", "#fb4934", "#b8bb26", "#fabd2f", "#83a598", "#d3869b", "#8ec07c", "#d5c4a1"]


class Style:
    def __init__(self):
        self.fore = self.back = None
        self.bold = self.dim = self.reverse = False

    def apply(self, codes):
        codes = [int(c or 0) for c in codes.split(";")]
        while codes:
            c = codes.pop(0)
            if c == 0:
                self.__init__()
            elif c == 1:
                self.bold = True
            elif c == 2:
                self.dim = True
            elif c == 22:
                self.bold = self.dim = False
            elif c in (7, 27):
                self.reverse = c == 7
            elif 30 <= c <= 37 or 90 <= c <= 97:
                self.fore = COLOURS[c % 10]
            elif 40 <= c <= 47:
                self.back = COLOURS[c % 10]
            elif c == 39:
                self.fore = None
            elif c == 49:
                self.back = None
            elif c in (38, 48) and codes[:1] == [5]:
                colour = COLOURS[codes[1] % 8] if len(codes) > 1 else None
                del codes[:2]
                if c == 38:
                    self.fore = colour
                else:
                    self.back = colour

    def key(self):
        fore, back = self.fore or (DIM if self.dim else FORE), self.back
        if self.reverse:
            fore, back = back or BACK, fore
        return fore, back, self.bold


def runs(line, style):
    """(column, text, fore, back, bold) of a line; the style goes on to the next one."""
    column, out = 0, []
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z])", line):
        if part.startswith("\x1b["):
            if part.endswith("m"):
                style.apply(part[2:-1])
        elif part:
            out.append((column, part, *style.key()))
            column += len(part)
    return out, column


def main():
    title = sys.argv[1]
    lines = sys.stdin.read().replace("\r", "").rstrip("\n").split("\n")
    style, drawn, widest = Style(), [], len(title) + 8
    for line in lines:
        out, width = runs(line.expandtabs(8), style)
        drawn.append(out)
        widest = max(widest, width)
    width, height = widest * CELL_W + 2 * PAD, BAR + len(lines) * CELL_H + 2 * PAD
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}" '
          'font-family="ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" xml:space="preserve">')
    print(f'<rect width="100%" height="100%" rx="8" fill="{BACK}"/>')
    print(f'<text x="{PAD}" y="21" fill="{DIM}">{escape(title)}</text>')
    for row, out in enumerate(drawn):
        y = BAR + PAD + row * CELL_H
        for column, text, fore, back, bold in out:
            x, length = PAD + column * CELL_W, len(text) * CELL_W
            if back:
                print(f'<rect x="{x:.1f}" y="{y - 1}" width="{length:.1f}" height="{CELL_H}" fill="{back}"/>')
            if text.strip():
                weight = ' font-weight="bold"' if bold else ""
                print(f'<text x="{x:.1f}" y="{y + 13}" fill="{fore}"{weight} textLength="{length:.1f}">{escape(text)}</text>')
    print("</svg>")


if __name__ == "__main__":
    main()
