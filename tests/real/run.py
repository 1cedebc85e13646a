#!/usr/bin/env python3
"""Real programs through the tunnel, and the same without it: run.py BUILD [PROGRAM...]. `make check-real` runs it.

Each item of each program (programs/) is done directly and then through each kind of tunnel (tunnels.py), and must give the same: bytes,
exit codes, answers. Where the link is cut again and again an item is repeated until it has been cut at least once meanwhile. The table
has figures, of which only absurd ones count as failed. The last line is "N passed, N failed": items, each way for itself; what is missing
and cannot be installed counts as failed. Read next: program.py.
"""
import argparse, importlib, os, shutil, signal, statistics, subprocess, sys, tempfile, time, traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from place import HERE, LINUX, Failed, Place, end_with_parent, noise, prctl  # noqa: E402
from tunnels import open_way  # noqa: E402

PROGRAMS = 'ssh web postgres redis iperf dns mqtt git terminals ftp pipes'
ABSURD = 20  # times slower than direct
PATIENT = 10  # seconds in which an item is repeated until the link was cut meanwhile
BIG = 24 << 20
LESS_IS_BETTER = ('s',)  # units; the rest are rates
TURNS = {'direct': range(3), 'plain': range(3), 'secure': [0]}  # of an item that has three; the other ways are for the results


# ---- the data, and the way through it

def make_data(folder):
    place = Place(folder)
    place.write('big', noise(9, BIG))
    for i in range(300):
        place.write(f'tree/{i % 7}/{i % 5}/file{i}', noise(i, (i * 7919) % 60000), 0o755 if i % 10 == 0 else 0o644)
    return place


class Cell:
    """What came of one item in one way."""
    def __init__(self):
        self.result, self.figures, self.error, self.cuts = None, [], None, 0

    def figure(self):
        return statistics.median(self.figures) if self.figures else None


def do(item, program, way, cell):
    """once, or until it was cut"""
    before, limit = way.cuts(), time.monotonic() + PATIENT
    while True:
        begin = time.monotonic()
        try:
            got = item.call(program, way)
        except (Failed, OSError, ValueError, KeyError, IndexError, subprocess.SubprocessError, EOFError) as e:
            cell.error = str(e) if isinstance(e, Failed) else traceback.format_exc(limit=-3)
            return
        took = time.monotonic() - begin
        if item.unit and item.unit != 's':
            got, took = got
        if item.unit:
            cell.figures.append(took)
        if cell.result is not None and got != cell.result:
            cell.error = f'not the same twice: {shown(cell.result)}, then {shown(got)}'
            return
        cell.result = got
        cell.cuts = way.cuts() - before
        if cell.cuts or not way.cutter:
            return
        if time.monotonic() > limit:
            cell.error = 'the link was not cut once'
            return


def shown(result):
    text = repr(result)
    return text if len(text) < 600 else text[:600] + '...'


class Runner:
    def __init__(self, build, folder):
        self.build, self.folder, self.passed, self.failed = build, folder, 0, 0
        self.data = make_data(os.path.join(folder, 'data'))
        self.cuts = 0

    def fail(self, text):
        self.failed += 1
        print('  FAILED: ' + text.replace('\n', '\n    '), flush=True)

    def program(self, name):
        module = importlib.import_module('programs.' + name)
        for kind in module.PROGRAMS:
            self.kind(kind)

    def kind(self, kind):
        need = os.path.join(HERE, '..', '..', 'tools', 'need.sh')
        missing = subprocess.run(['sh', need, *kind.needs], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if missing.returncode:
            self.failed += sum(len(kind.ways) - len(i.without) for i in kind.items())
            print(f'{kind.name}: FAILED, each of its items: {missing.stdout.strip()}', flush=True)
            return
        program = None
        begin = time.monotonic()
        try:
            program = kind(os.path.join(self.folder, kind.name), self.data)
            self.items(program)
        except Failed as e:
            self.fail(f'{kind.name}: {e}')
        finally:
            if program:
                program.stop()
            shutil.rmtree(os.path.join(self.folder, kind.name), ignore_errors=True)
            if os.environ.get('TIMES'):
                print(f'  ({kind.name}: {time.monotonic() - begin:.1f} s)')

    def items(self, program):
        cells = {(i.what, w): Cell() for i in program.items() for w in program.ways}
        # Those that have figures by turns, so that what else the machine does hits all of them.
        for names in [program.ways[:3]] + [[w] for w in program.ways[3:]]:
            begin = time.monotonic()
            for text in self.some_ways(program, names, cells):
                self.fail(f'{program.name}, {text}')
            if os.environ.get('TIMES'):
                print(f'  ({program.name}, {" ".join(names)}: {time.monotonic() - begin:.1f} s)', flush=True)
        for item in program.items():
            self.line(program, item, cells)

    def some_ways(self, program, names, cells):
        """all items through these ways. What else is wrong."""
        ways, wrong = [], []
        try:
            for name in names:
                ways.append(open_way(name, Place(os.path.join(program.place.folder, 'way-' + name)), program.services, self.build))
                program.opened(ways[-1])
            for item in program.items():
                for turn in range(item.rounds if len(ways) > 1 else 1):
                    for way in ways:
                        cell = cells[item.what, way.name]
                        if way.name in item.without or cell.error or turn not in TURNS.get(way.name, [0]):
                            continue
                        do(item, program, way, cell)
                        if cell.error:
                            cell.error += '\n' + way.logs()
            for way in ways:
                wrong += [f'{way.name}: {text}' for text in way.complaints()]
                self.cuts += way.cuts()
        finally:
            for way in ways:
                wrong += [f'{way.name}: {text}' for text in way.stop()]
        return wrong

    def line(self, program, item, cells):
        direct = cells[item.what, 'direct']
        different, absurd = [], []
        for name in program.ways:
            cell = cells[item.what, name]
            if name in item.without:
                continue
            problem = cell.error
            if not problem and name != 'direct' and cell.result != direct.result:
                problem = f'direct: {shown(direct.result)}\nhere:   {shown(cell.result)}'
            if problem:
                different.append((name, problem))
            elif name in ('plain', 'secure') and ratio(item, direct, cell) is not None and ratio(item, direct, cell) < 1 / ABSURD:
                absurd.append((name, f'{ABSURD} times slower than direct'))
            else:
                self.passed += 1
        same = 'yes' if not different else 'NO: ' + ' '.join(n for n, _ in different)
        if item.without:
            same += f' (not {", ".join(f"{k}: {v}" for k, v in item.without.items())})'
        figures = [figure(item, direct)]
        for name in program.ways[1:3]:
            r = ratio(item, direct, cells[item.what, name])
            figures += [figure(item, cells[item.what, name]), '' if r is None else f'{r:.2f}']
        print(COLUMNS.format(program.name, item.what, *figures, same), flush=True)
        for name, problem in different + absurd:
            self.fail(f'{program.name}, {item.what}, {name}: {problem}')


COLUMNS = '{:<10} {:<68} {:>12} {:>12} {:>5} {:>12} {:>5}  {}'


def figure(item, cell):
    value = cell.figure()
    if value is None:
        return ''
    return f'{value:.{0 if value >= 1000 else 1 if value >= 100 else 2}f} {item.unit}'


def ratio(item, direct, cell):
    """1: as fast as direct; 0.5: half as fast"""
    a, b = direct.figure(), cell.figure()
    if not a or not b:
        return None
    return a / b if item.unit in LESS_IS_BETTER else b / a


# ---- the process: whatever happens, nothing is left of it

def children():
    found = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/stat') as f:
                found.setdefault(int(f.read().rsplit(')', 1)[1].split()[1]), []).append(int(pid))
        except (OSError, IndexError):
            pass
    return found


def end_all():
    """whoever comes from us: orphans have become our children (Linux)"""
    limit = time.monotonic() + 20
    while LINUX and time.monotonic() < limit:
        tree, all_pids, look = children(), [], [os.getpid()]
        while look:
            below = tree.get(look.pop(), [])
            all_pids += below
            look += below
        if not all_pids:
            return
        for pid in all_pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def supervised(work):
    """runs WORK(folder) in a process of its own; ends with its status"""
    folder = tempfile.mkdtemp(prefix='sockmux-real-')
    os.chmod(folder, 0o755)
    prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
    sys.stdout.flush()
    pid, told = os.fork(), []
    if pid == 0:
        end_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        status = 70
        try:
            status = work(folder)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda n, frame: (told.append(n), os.kill(pid, signal.SIGKILL)))
    try:
        while True:  # orphans that end are ours, too
            ended, status = os.wait()
            if ended == pid:
                break
    finally:
        end_all()
        shutil.rmtree(folder, ignore_errors=True)
    if told:
        print(f'interrupted by signal {told[0]}')
        return 128 + told[0]
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 70


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('build', help='the folder of sockmuxd and sockmuxctl, built with SECURE=sodium')
    a.add_argument('program', nargs='*', help=PROGRAMS)
    o = a.parse_args()
    names = o.program or PROGRAMS.split()
    unknown = [n for n in names if n not in PROGRAMS.split()]
    if unknown:
        a.error(f'no program {unknown[0]}; there are: {PROGRAMS}')

    def work(folder):
        runner, begin = Runner(os.path.abspath(o.build), folder), time.monotonic()
        print(COLUMNS.format('program', 'what', 'direct', 'tunnel', 'ratio', 'secure', 'ratio', 'the same result'), flush=True)
        for name in names:
            runner.program(name)
        print(f'{time.monotonic() - begin:.0f} s; the link was cut {runner.cuts} times')
        print(f'{runner.passed} passed, {runner.failed} failed')
        return 0 if runner.passed and not runner.failed else 1
    return supervised(work)


if __name__ == '__main__':
    sys.exit(main())
