"""A serial line: prints the names of the two devices at its ends, for everybody to open, and joins them."""
import os, pty, select, sys, tty

ends = {}
for _ in range(2):
    master, slave = pty.openpty()  # the slave stays open, so that nobody who goes hangs the line up
    tty.setraw(slave)
    os.chmod(os.ttyname(slave), 0o666)
    ends[master] = os.ttyname(slave)
print(*ends.values(), flush=True)
a, b = ends
other, held = {a: b, b: a}, {a: b'', b: b''}  # held: what has come from there
while True:
    readable, writable, _ = select.select([f for f in held if not held[f]], [other[f] for f in held if held[f]], [])
    for fd in readable:
        held[fd] = os.read(fd, 4096)
        if not held[fd]:
            sys.exit()
    for fd in writable:
        held[other[fd]] = held[other[fd]][os.write(fd, held[other[fd]]):]
