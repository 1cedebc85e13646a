#!/usr/bin/env python3
"""Completion in a real shell on a terminal: test_completion.py FOLDER SHELL... Ends with "N passed, N failed".

Each line is typed, then TAB; what stands on the line afterwards is what the user would run. FOLDER: tools/completion.
"""
import os
import pty
import select
import sys
import tempfile

# What is typed; what it becomes. A blank behind a word that is whole.
CASES = [
    ("sockmuxd SERV", "sockmuxd SERVER="),
    ("sockmuxd SERVER=htt", "sockmuxd SERVER=http,-in"),
    ("sockmuxd SERVER=sockmux:proc", "sockmuxd SERVER=sockmux:proc@"),
    ("sockmuxd SERVER=sockmux:comm@/tm", "sockmuxd SERVER=sockmux:comm@/tmp/"),
    ("sockmuxd SOXCONF=mkf", "sockmuxd SOXCONF=mkfifo"),
    ("sockmuxd SOXCONF=mkfifo,line:lo", "sockmuxd SOXCONF=mkfifo,line:lossy"),
    ("sockmuxd TIMEOUT=con:5,pi", "sockmuxd TIMEOUT=con:5,ping:"),
    ("sockmuxd MAXIMA=mem", "sockmuxd MAXIMA=memory:"),
    ("sockmuxd RELIABLE=.lo", "sockmuxd RELIABLE=.localnet"),
    ("sockmuxd PIDFILE=fil", "sockmuxd PIDFILE=file-a"),
    ("sockmuxd +=fil", "sockmuxd +=file-a"),
    ("sockmuxd --he", "sockmuxd --help"),
    ("sockmuxctl pee", "sockmuxctl peers"),
    ("sockmuxctl -s fil", "sockmuxctl -s file-a"),
    ("sockmuxctl genkey fil", "sockmuxctl genkey file-a"),
    ("sockmuxctl doctor SERV", "sockmuxctl doctor SERVER="),
    ("sockmuxctl log deb", "sockmuxctl log debug"),
    ("sockmuxctl -n 5 stat", "sockmuxctl -n 5 status"),
    ("sockmuxctl kick chan", "sockmuxctl kick channel"),
    ("sockmuxctl --soc", "sockmuxctl --socket"),
]


def start(shell, folder, home):
    """The shell's terminal, ready to be typed into."""
    if shell == "bash":
        setup = f"source {folder}/sockmux.bash; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; PS1='> '"
        words = ["bash", "--norc", "--noprofile", "-i"]
    else:
        setup = f"fpath=({folder} $fpath); autoload -Uz compinit && compinit -u -D; unsetopt beep; unset zle_bracketed_paste; PROMPT_EOL_MARK=; PS1='> '"
        words = ["zsh", "-f", "-i"]
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(home)
        os.environ.update(TERM="dumb", PS1="> ", HOME=home, LC_ALL="C")
        os.execvp(words[0], words)
    os.write(fd, (setup + "; echo set''up\n").encode())
    read_until(fd, b"setup")
    return pid, fd


def read_until(fd, end, seconds=20):
    seen = b""
    while end not in seen:
        if not select.select([fd], [], [], seconds)[0]:
            raise TimeoutError(f"{end!r} does not come: {seen!r}")
        seen += os.read(fd, 4096)
    return seen


def completed(fd, line):
    """Types the line and TAB, and has the shell print what it would run."""
    os.write(fd, line.encode() + b"\t")
    # To the line's start, and make it the argument of echo: what is there is printed as it stands.
    os.write(fd, b"\x05'\x01printf '<%s>\\n' '\n")
    seen = read_until(fd, b">\r\n")
    return seen.rsplit(b"<", 1)[1].split(b">\r\n")[0].decode()


def main():
    folder = os.path.abspath(sys.argv[1])
    passed = failed = 0
    for shell in sys.argv[2:]:
        with tempfile.TemporaryDirectory() as home:
            open(os.path.join(home, "file-a"), "w").close()
            pid, fd = start(shell, folder, home)
            for line, expected in CASES:
                # A folder's '/' goes in zsh when the next key is no part of a path.
                got = completed(fd, line).rstrip(" /")
                if got == expected.rstrip("/"):
                    passed += 1
                else:
                    failed += 1
                    print(f"FAILED: {shell}: {line!r} becomes {got!r}, not {expected!r}")
            os.close(fd)
            os.waitpid(pid, 0)
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
