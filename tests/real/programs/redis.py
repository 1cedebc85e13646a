"""redis-server, redis-cli, redis-benchmark; a replica, whose connection lives long."""
import re, time

from place import Ports, accepts, run, sha, sure, noise, wait_for
from program import Program, Service, item


class Redis(Program):
    name, needs = 'redis', ('redis-server', 'redis-benchmark')

    def start(self):
        return {'redis': Service(self.server('redis'))}

    def server(self, name, *words):
        port = Ports.free()
        self.place.start(name, ['redis-server', '--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', self.place.folder,
                                '--dbfilename', name + '.rdb', '--repl-diskless-sync-delay', '0', *words])
        wait_for(lambda: accepts(port), 'redis-server')
        return port

    def cli(self, port, *words, **more):
        return run(['redis-cli', '-p', port, *words], **more).text

    def benchmark(self, way, count, *words):
        out = run(['redis-benchmark', '-p', way.port('redis'), '-n', count, '-c', '50', '--csv', *words]).text
        rates = [float(line.split(',')[1].strip('"')) for line in out.splitlines() if re.match(r'"(SET|GET|LPUSH)', line)]
        sure(rates, 'redis-benchmark says', out)
        return f'{len(rates)} tests', min(rates)

    @item('redis-benchmark: SET and GET, 50 clients', unit='/s')
    def plain(self, way):
        return self.benchmark(way, 10000, '-t', 'set,get')

    @item('redis-benchmark: SET, 16 in a pipeline', unit='/s')
    def pipeline(self, way):
        return self.benchmark(way, 100000, '-t', 'set', '-P', '16')

    @item('SET and GET of 0 bytes to 4 MiB, and their digests')
    def set_get(self, way):
        port, found = way.port('redis'), []
        for size in (0, 1, 1000, 65536, 4 << 20):
            data = noise(size, size)
            sure(self.cli(port, '-x', 'set', f'k{size}', input=data).strip() == 'OK', 'SET failed')
            back = run(['redis-cli', '-p', port, 'get', f'k{size}']).out[:-1]  # and its newline
            sure(back == data, size, 'bytes came back as', len(back))
            found.append(sha(back))
        return found

    @item('redis-cli --pipe: 50,000 commands', unit='s')
    def pipe(self, way):
        self.cli(way.port('redis'), 'flushall')
        commands = ''.join(f'*3\r\n$3\r\nSET\r\n${len(str(i)) + 1}\r\nk{i}\r\n${len(str(i * i))}\r\n{i * i}\r\n' for i in range(50000))
        said = self.cli(way.port('redis'), '--pipe', input=commands.encode()).splitlines()[-1]
        return said, self.cli(way.port('redis'), 'dbsize'), self.cli(way.port('redis'), 'mget', 'k7', 'k49999')

    @item('PUBLISH to a subscriber that was idle')
    def subscribe(self, way):
        out = self.place / f'heard-{way.name}'
        with open(out, 'wb') as f:
            heard = self.place.start('subscriber', ['redis-cli', '-p', way.port('redis'), 'subscribe', 'news'], stdout=f)
        wait_for(lambda: b'subscribe' in self.place.read(out), 'the subscription')
        wait_cut(way)
        for i in range(20):
            sure(self.cli(way.port('redis'), 'publish', 'news', f'number {i}').strip() == '1', 'nobody hears')
        wait_for(lambda: b'number 19' in self.place.read(out), 'the last message')
        heard.kill()
        heard.wait()
        return sha(self.place.read(out))

    @item('BLPOP that waits, and is given something')
    def blocked(self, way):
        out = self.place / f'popped-{way.name}'
        with open(out, 'wb') as f:
            waits = self.place.start('popper', ['redis-cli', '-p', way.port('redis'), 'blpop', 'queue', '60'], stdout=f)
        wait_for(lambda: 'cmd=blpop' in self.cli(self.services['redis'].port, 'client', 'list'), 'BLPOP')
        wait_cut(way)
        self.cli(self.services['redis'].port, 'rpush', 'queue', 'at last')
        wait_for(lambda: waits.poll() is not None, 'its end')
        return self.place.read(out)

    @item('a replica: 50,000 keys at once, then each change')
    def replica(self, way):
        self.cli(self.services['redis'].port, 'flushall')
        self.cli(self.services['redis'].port, 'debug', 'populate', '50000', status=None)
        self.cli(self.services['redis'].port, 'eval', "for i = 1, 50000 do redis.call('set', 'r' .. i, i * 3) end", '0')
        name = f'replica-{way.name}'
        port = self.server(name, '--replicaof', f'127.0.0.1 {way.port("redis")}')
        wait_for(lambda: 'master_link_status:up' in self.cli(port, 'info', 'replication'), 'the replica')
        wait_cut(way)
        for i in range(20):
            self.cli(self.services['redis'].port, 'incrby', 'r1', i)
        wait_for(lambda: self.cli(port, 'get', 'r1').strip() == '193', 'the last change')
        found = self.cli(port, 'dbsize'), self.cli(port, 'mget', 'r1', 'r2', 'r50000')
        syncs = self.cli(self.services['redis'].port, 'info', 'stats')
        server = self.place.processes.pop()
        server.terminate()
        server.wait()
        wait_for(lambda: 'connected_slaves:0' in self.cli(self.services['redis'].port, 'info', 'replication'), 'the end of the replica')
        self.cli(self.services['redis'].port, 'config', 'resetstat')
        sure('sync_full:1' in syncs.split(), 'it was copied more than once')
        return found


def wait_cut(way, seconds=10):
    """until the link was cut, if it is cut at all, and has come back a moment ago"""
    before, limit = way.cuts(), time.monotonic() + seconds
    while way.cutter and way.cuts() == before and time.monotonic() < limit:
        time.sleep(0.02)


PROGRAMS = [Redis]
