"""A program at a terminal, and who types there: what comes is waited for, then something is typed."""
import fcntl, os, pty, re, select, signal, struct, termios, time, tty

from place import PATIENCE, Failed, end_with_parent, environment

COLUMNS, ROWS = 91, 33  # nobody's default


class Dialogue:
    def __init__(self, words, raw=False):
        self.seen, self.at, self.status = b'', 0, None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            end_with_parent()
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', ROWS, COLUMNS, 0, 0))
            os.chdir('/')
            os.execvpe(words[0], [str(w) for w in words], environment({'TERM': 'vt100', 'HOME': '/nowhere'}))
        if raw:
            tty.setraw(self.fd)

    def read(self, seconds):
        """False when nothing comes any more"""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b''
        self.seen += data
        return bool(data)

    def expect(self, pattern, seconds=PATIENCE):
        """the first match behind the last one"""
        limit = time.monotonic() + seconds
        while True:
            m = re.compile(pattern.encode(), re.S).search(self.seen, self.at)
            if m:
                self.at = m.end()
                return m
            if time.monotonic() > limit or not self.read(0.1):
                raise Failed(f'{pattern!r} was not said; but: {self.seen[-1500:]!r}')

    def type(self, text):
        data = text.encode()
        while data:
            data = data[os.write(self.fd, data):]

    def end(self, seconds=PATIENCE):
        """its status, when it has ended by itself"""
        limit = time.monotonic() + seconds
        while self.read(0.1) and time.monotonic() < limit:
            pass
        while time.monotonic() < limit:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid, self.status = 0, status
                self.close()
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
            time.sleep(0.02)
        raise Failed(f'it does not end: {self.seen[-500:]!r}')

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.close()
