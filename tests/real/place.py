"""Where a program's servers run: a temporary folder, ports that nobody has, processes that end with it. Read next: tunnels.py."""
import ctypes, hashlib, os, random, shutil, signal, socket, subprocess, sys, time

PATH = os.environ.get('PATH', '') + ':/usr/sbin:/usr/local/sbin:/sbin'
PATIENCE = 30  # seconds until something that was started answers; a loaded machine is slow
LINUX = sys.platform.startswith('linux')
HERE = os.path.dirname(os.path.abspath(__file__))


class Failed(Exception):
    """what is wrong, in words"""


def sure(condition, *words):
    if not condition:
        raise Failed(' '.join(str(w) for w in words))


def prctl(option, value):
    if LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def end_with_parent():
    prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Ports:
    """Below those that the kernel gives to who asks for any (Linux: from 32768 on), so that nobody gets them meanwhile."""
    taken = set()

    @classmethod
    def free(cls):
        while True:
            port = random.randrange(12000, 32000)
            if port in cls.taken:
                continue
            try:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    for host in ('127.0.0.1', '0.0.0.0'):
                        with socket.socket(socket.AF_INET, kind) as s:
                            s.bind((host, port))
            except OSError:
                continue
            cls.taken.add(port)
            return port


def wait_for(done, what, seconds=PATIENCE):
    limit = time.monotonic() + seconds
    while True:
        got = done()
        if got:
            return got
        sure(time.monotonic() < limit, 'waited in vain for', what)
        time.sleep(0.02)


def accepts(port):
    try:
        socket.create_connection(('127.0.0.1', port), 1).close()
        return True
    except OSError:
        return False


def sha(data):
    return hashlib.sha256(data).hexdigest()[:16]


def sha_file(path):
    h = hashlib.sha256()
    with open(path, 'rb') as f:
        for block in iter(lambda: f.read(1 << 20), b''):
            h.update(block)
    return h.hexdigest()[:16]


def sha_tree(folder):
    """names, modes and bytes of all files below"""
    h = hashlib.sha256()
    for at, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(at, name)
            h.update(f'{os.path.relpath(path, folder)} {os.stat(path).st_mode & 0o777:o} {sha_file(path)}\n'.encode())
    return h.hexdigest()[:16]


def noise(seed, size):
    """the same bytes for the same seed, and nothing that packs well"""
    return random.Random(seed).getrandbits(size * 8).to_bytes(size, 'little') if size else b''


class Place:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o755)  # servers that leave root behind go through
        self.processes = []

    def __truediv__(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data, mode=0o644):
        path = self / name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        os.chmod(path, mode)
        return path

    def read(self, name):
        with open(self / name, 'rb') as f:
            return f.read()

    def fresh(self, name):
        """an empty folder"""
        shutil.rmtree(self / name, ignore_errors=True)
        os.makedirs(self / name)
        return self / name

    def start(self, name, words, user=None, stdin=subprocess.DEVNULL, stdout=None, env=None, own_session=True):
        """a process that goes on; what it says is in NAME.log"""
        def before():
            if own_session:
                os.setsid()
            if user is not None:
                os.setgroups([])
                os.setgid(user[1])
                os.setuid(user[0])
            end_with_parent()
        self.write(name + '.log', '')
        with open(self / (name + '.log'), 'ab') as log:
            p = subprocess.Popen([str(w) for w in words], stdin=stdin, stdout=stdout or log, stderr=log, cwd=self.folder,
                                 env=environment(env), preexec_fn=before)
        p.name = name
        self.processes.append(p)
        return p

    def log(self, name, lines=15):
        try:
            return '\n'.join(self.read(name + '.log').decode(errors='replace').splitlines()[-lines:])
        except OSError:
            return ''

    def stop(self):
        for p in reversed(self.processes):
            end(p)
        self.processes = []


def end(p):
    for sig, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        if p.poll() is not None:
            break
        try:
            p.send_signal(sig)
            p.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
    for pipe in (p.stdin, p.stdout):
        if pipe:
            pipe.close()
    try:  # what it has left behind in its group
        os.killpg(p.pid, signal.SIGKILL)
    except OSError:
        pass


def environment(more=None):
    keep = {k: v for k, v in os.environ.items() if k in ('TERM', 'LD_LIBRARY_PATH', 'TMPDIR')}
    keep.update(PATH=PATH, LC_ALL='C', TZ='UTC', **(more or {}))
    return keep


class Done:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def text(self):
        return self.out.decode(errors='replace')


def run(words, seconds=60, input=b'', status=0, env=None, cwd='/', user=None):
    """a program to its end; its status must be STATUS, if that is not None"""
    words = [str(w) for w in words]

    def before():
        os.setsid()
        if user is not None:
            os.setgroups([])
            os.setgid(user[1])
            os.setuid(user[0])
        end_with_parent()
    p = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(env), cwd=cwd,
                         preexec_fn=before)
    try:
        out, err = p.communicate(input, seconds)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        out, err = p.communicate()
        raise Failed(f'{" ".join(words[:6])}: not at its end after {seconds} s\n{(out[-500:] + err[-1000:]).decode(errors="replace")}')
    done = Done(p.returncode, out, err)
    if status is not None and done.status != status:
        raise Failed(f'{" ".join(words[:12])}: status {done.status}\n{(out[-500:] + err[-1500:]).decode(errors="replace")}')
    return done
