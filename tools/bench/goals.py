"""What muxbench's figures mean: each goal with its figure, and whether it is met. Pure arithmetic, tested by tests/test_bench.py.

`results` is {test: {contender: {figure: number}}}, medians; `own` is {figure: number} of what only we are measured by.
A goal whose figures are missing (a peer that is not installed, no strace) is neither met nor missed.
"""

OURS = 'ours'
MULTIPLEXERS = ('smux', 'yamux', 'openssh', 'opensshchacha', 'dropbear', 'frp', 'chisel', 'rathole')


class Goal:
    def __init__(self, name, text, met):
        self.name, self.text, self.met = name, text, met

    def line(self):
        word = {True: 'met', False: 'NOT MET', None: 'not measured'}[self.met]
        return f'  {self.name:44s} {self.text:52s} {word}'


def best(results, test, key, names, largest=True):
    """(contender, figure) of the best of `names`, or None"""
    have = [(n, results.get(test, {}).get(n, {}).get(key)) for n in names]
    have = [(n, v) for n, v in have if v]
    return (max if largest else min)(have, key=lambda x: x[1]) if have else None


def against(name, results, test, key, rivals, factor, largest=True, unit=''):
    """ours is at least `factor` times the best of `rivals`; with largest=False: at most"""
    ours = best(results, test, key, [OURS])
    rival = best(results, test, key, rivals, largest)
    if not ours or not rival:
        return Goal(name, 'no figure of ours' if not ours else 'no figure of ' + (rivals[0] if len(rivals) == 1 else 'the peers'), None)
    ratio = ours[1] / rival[1]
    met = ratio >= factor if largest else ratio <= factor
    return Goal(name, f'{ours[1]:.4g}{unit}, {ratio:.2f} x {rival[0]} ({rival[1]:.4g})', met)


def bound(name, value, most=None, least=None, unit=''):
    if value is None:
        return Goal(name, 'no figure', None)
    return Goal(name, f'{value:.4g}{unit}', value <= most if most is not None else value >= least)


def all_goals(results, own):
    def figure(test, key):
        return results.get(test, {}).get(OURS, {}).get(key)

    def ms(test, key):
        v = figure(test, key)
        return None if v is None else v / 1000

    tunnels = sorted({n for rows in results.values() for n in rows} - {'direct', OURS, 'secure'}) or ['any tunnel']
    speed = [(f'{t} >= 2 x the best multiplexer', t) for t in ('bulk1', 'bulk8', 'bulk64')]
    yield against(*[speed[0][0]], results, 'bulk1', 'mib_per_s', MULTIPLEXERS, 2, unit=' MiB/s')
    yield against('bulk1 >= 1.2 x haproxy2', results, 'bulk1', 'mib_per_s', ['haproxy2'], 1.2, unit=' MiB/s')
    for name, test in speed[1:]:
        yield against(name, results, test, 'mib_per_s', MULTIPLEXERS, 2, unit=' MiB/s')
    yield against('CPU s/GiB <= 0.6 x haproxy2 (bulk1)', results, 'bulk1', 'cpu_s_per_gib', ['haproxy2'], 0.6, largest=False)
    yield against('ping p50 <= 3.5 x direct', results, 'ping', 'p50_us', ['direct'], 3.5, largest=False, unit=' us')
    yield against('ping p50 below every tunnel', results, 'ping', 'p50_us', tunnels, 1, largest=False, unit=' us')
    yield against('rr32 >= 1.3 x the best tunnel', results, 'rr32', 'conn_per_s', tunnels, 1.3, unit=' conn/s')
    yield bound('pingwan p50 <= 60 ms', ms('pingwan', 'p50_us'), most=60, unit=' ms')
    yield bound('pingwan p99 <= 80 ms', ms('pingwan', 'p99_us'), most=80, unit=' ms')
    yield bound('bulkwan >= 11.3 MiB/s', figure('bulkwan', 'mib_per_s'), least=11.3, unit=' MiB/s')
    yield bound('rrwan >= 190 conn/s', figure('rrwan', 'conn_per_s'), least=190, unit=' conn/s')
    yield bound('system calls a MiB of bulk, a side <= 40', own.get('calls_per_mib'), most=40)
    yield bound('idle: wake-ups a minute beyond keep-alive: 0', own.get('wakeups'), most=0)
    yield bound('idle: RSS <= 1 MiB, dynamic', own.get('rss_kib'), most=1024, unit=' KiB')
    yield bound('idle: RSS <= 512 KiB, static musl', own.get('static_rss_kib'), most=512, unit=' KiB')
    yield bound('channels opened a second >= 5,000', own.get('opened'), least=5000)
    yield bound('CPU of a ping beside many idle ones <= 1.2 x', own.get('many_cpu'), most=1.2, unit=' x that beside 10')
    yield bound('start to listening <= 10 ms', own.get('start_ms'), most=10, unit=' ms')
    yield bound('size, small, dynamic, stripped <= 120 KiB', own.get('size_kib'), most=120, unit=' KiB')
    yield bound('size, small, static musl, stripped <= 200 KiB', own.get('static_size_kib'), most=200, unit=' KiB')
