"""What only our daemon is measured by, for `muxbench --goals`: system calls, wake-ups, memory, start, size, many channels."""
import importlib.machinery, importlib.util, os, re, shutil, signal, socket, statistics, subprocess, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Tunnel:
    """two daemons with a link, logs in files"""

    def __init__(self, binary, target, words=()):
        self.dir = tempfile.mkdtemp(prefix='muxbench-own-')
        self.port, link = free_port(), free_port()
        self.daemons, self.logs = [], []
        self.start(binary, ['SERVER=sockmux', f'-P127.0.0.1:{link}', f'DEST=127.0.0.1:{target}', *words])
        self.start(binary, [f'SERVER=sockmux://127.0.0.1:{link}', f'PORT=127.0.0.1:{self.port}', *words])
        end = time.time() + 10
        while not all(' link-up ' in open(log).read() for log in self.logs):
            if time.time() > end:
                self.stop()
                raise OSError('no link')
            time.sleep(0.02)

    def start(self, binary, words):
        self.logs.append(os.path.join(self.dir, f'log{len(self.logs)}'))
        with open(self.logs[-1], 'w') as log:
            self.daemons.append(subprocess.Popen([binary, '-f', 'SOXCONF=control:no', *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def figures(self, i):
        """(turns, bytes received) of daemon i"""
        before = os.path.getsize(self.logs[i])
        self.daemons[i].send_signal(signal.SIGUSR1)
        for _ in range(200):
            time.sleep(0.02)
            text = open(self.logs[i]).read()[before:]
            turns, rx = re.search(r' turns=(\d+)', text), re.search(r'statistics-link .* rx=(\d+)', text)
            if turns and rx:
                return int(turns.group(1)), int(rx.group(1))
        raise OSError('no statistics')

    def stop(self):
        for d in self.daemons:
            d.kill()
            d.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def rss_kib(pid):
    return int(re.search(r'VmRSS:\s+(\d+)', open(f'/proc/{pid}/status').read()).group(1))


def calls_of(summary):
    """the number of calls in what `strace -c` has printed: what ends where the title of its column does (older ones leave out
    a column before it in the sum)"""
    end = None
    for line in summary.splitlines():
        words = line.split()
        if 'calls' in words:
            end = re.search(r'\bcalls\b', line.replace('usecs/call', ' ' * 10)).end()
        if words and words[-1] == 'total' and end is not None:
            return int(line[:end].split()[-1])
    return None


def calls_per_mib(binary, target, load, mib=256):
    if not shutil.which('strace'):
        return None
    t = Tunnel(binary, target)
    try:
        out = [os.path.join(t.dir, f'calls{i}') for i in range(2)]
        tracers = [subprocess.Popen(['strace', '-c', '-f', '-o', out[i], '-p', str(t.daemons[i].pid)], stderr=subprocess.DEVNULL) for i in range(2)]
        time.sleep(0.5)
        subprocess.run([load, 'bulk', str(t.port), '1', 'up', str(mib)], check=True, stdout=subprocess.DEVNULL, timeout=120)
        for p in tracers:
            p.send_signal(signal.SIGINT)
            p.wait()
        calls = [calls_of(open(f).read()) for f in out]
        return None if None in calls else max(calls) / mib
    finally:
        t.stop()


def wakeups(binary, target, seconds=60):
    """beyond those of the keep-alive, of both sides, in a minute of keep-alives that come every second"""
    t = Tunnel(binary, target, ['TIMEOUT=ping:1'])
    try:
        time.sleep(3)
        least = None
        for _ in range(3):  # what comes once is over then
            before = [t.figures(i) for i in range(2)]
            time.sleep(seconds)
            after = [t.figures(i) for i in range(2)]
            turns = [a[0] - b[0] for a, b in zip(after, before)]
            heard = [(a[1] - b[1]) // 16 for a, b in zip(after, before)]  # ECHO, or its answer
            # Daemon 0 wakes up for what it answers, daemon 1 to ask and for the answer; each for USR1, and maybe in the middle.
            extra = max(0, turns[0] - heard[0] - 2) + max(0, turns[1] - 2 * heard[1] - 2)
            least = extra if least is None else min(least, extra)
            if least == 0:
                break
        return least * 60 / seconds
    finally:
        t.stop()


def resident(binary, target):
    """the larger of both sides, behind a few keep-alives"""
    t = Tunnel(binary, target, ['TIMEOUT=ping:6'])
    try:
        time.sleep(14)
        return max(rss_kib(d.pid) for d in t.daemons)
    finally:
        t.stop()


def start_ms(binary, times=15):
    took = []
    for _ in range(times):
        port = free_port()
        begin = time.perf_counter()
        p = subprocess.Popen([binary, '-f', '-vs', 'SOXCONF=control:no', 'SERVER=sockmux', f'-P127.0.0.1:{port}'], stdin=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        while time.perf_counter() - begin < 5:
            with socket.socket() as s:
                if s.connect_ex(('127.0.0.1', port)) == 0:
                    s.recv(1)  # of its HELLO: it has accepted
                    took.append((time.perf_counter() - begin) * 1000)
                    break
        p.kill()
        p.wait()
    return statistics.median(took) if took else None


def size_kib(binary):
    with tempfile.NamedTemporaryFile() as out:
        if subprocess.run([os.environ.get('STRIP', 'strip'), '-o', out.name, binary]).returncode != 0:
            return None
        return os.path.getsize(out.name) / 1024


def many(binary, load):
    """(channels opened a second, CPU of a ping beside most of them as a multiple of that beside 10, how many they were)"""
    loader = importlib.machinery.SourceFileLoader('muxmany', os.path.join(HERE, 'muxmany'))
    m = importlib.util.module_from_spec(importlib.util.spec_from_loader('muxmany', loader))
    loader.exec_module(m)
    cost = []
    for channels in (10, m.most_channels(50000)):
        t = m.Tunnel(binary, load, channels)
        try:
            cost.append(statistics.median(m.one_round(t, 64)['CPU us a ping'] for _ in range(3)))
        finally:
            t.stop()
    return t.opened, cost[1] / cost[0], channels


def measure(binary, static, small, target, load, say):
    """all of them; what fails or cannot be measured here is left out, and said. small: what `make size` has built with
    FLAVOUR=small, dynamic and static, which is what the goals of size are for"""
    own = {}

    def one(name, work):
        try:
            own[name] = work()
        except (OSError, ValueError, KeyError, AttributeError, subprocess.SubprocessError, SystemExit) as e:
            say(f'{name}: {e}')
        say(f'{name} {own.get(name)}')

    one('calls_per_mib', lambda: calls_per_mib(binary, target, load))
    one('wakeups', lambda: wakeups(binary, target))
    one('rss_kib', lambda: resident(binary, target))
    one('start_ms', lambda: start_ms(binary))
    for name, program in zip(('size_kib', 'static_size_kib'), small):
        if program and os.path.exists(program):
            one(name, lambda: size_kib(program))
        else:
            say(f'{name}: make size has not built it')
    one('many', lambda: many(binary, load))
    if own.get('many'):
        own['opened'], own['many_cpu'], own['channels'] = own.pop('many')
    if static and os.path.exists(static):
        one('static_rss_kib', lambda: resident(static, target))
    return own
