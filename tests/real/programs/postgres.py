"""PostgreSQL with pgbench, psql and pg_dump."""
import glob, os, pwd, re, signal, time

from place import PATH, Ports, run, sha, sure, wait_for
from program import Program, Service, item


def folder_of_programs():
    """Debian and Alpine keep each version's programs in a folder of its own, where initdb and postgres belong together."""
    found = [p for f in ('/usr/lib/postgresql/*/bin', '/usr/libexec/postgresql*') for p in glob.glob(f) if os.path.exists(p + '/postgres')]
    found += [p for p in PATH.split(':') if os.path.exists(p + '/postgres')]
    sure(found, 'no postgres')
    return sorted(found, key=lambda p: [int(n) for n in re.findall(r'\d+', p)])[-1]


class Postgres(Program):
    name, needs = 'postgres', ('postgres', 'openssl')

    def start(self):
        self.bin, port = folder_of_programs(), Ports.free()
        who = pwd.getpwnam('postgres' if 'postgres' in [p.pw_name for p in pwd.getpwall()] else 'nobody')
        self.user = (who.pw_uid, who.pw_gid) if os.geteuid() == 0 else None  # it runs as anybody but root
        data = self.place.fresh('pg')
        run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '7', '-subj', '/CN=localhost',
             '-keyout', self.place / 'key', '-out', self.place / 'cert'])
        if self.user:
            for path in (data, self.place / 'key', self.place / 'cert'):
                os.chown(path, *self.user)
        run([self.bin + '/initdb', '-D', data, '-U', 'tester', '-A', 'trust', '-N', '-E', 'UTF8', '--locale=C'], user=self.user, cwd=data)
        settings = {'listen_addresses': '127.0.0.1', 'port': port, 'unix_socket_directories': '', 'fsync': 'off', 'max_connections': '60', 'ssl': 'on',
                    'ssl_key_file': self.place / 'key', 'ssl_cert_file': self.place / 'cert', 'shared_buffers': '64MB', 'autovacuum': 'off'}
        self.place.start('postgres', [self.bin + '/postgres', '-D', data] + [w for k, v in settings.items() for w in ('-c', f'{k}={v}')], user=self.user)
        wait_for(lambda: 'ready to accept' in self.place.log('postgres'), 'postgres')
        self.direct = port
        self.tool('createdb', port, 'bench')
        return {'postgres': Service(port)}

    def words(self, name, port):
        return [os.path.join(self.bin, name), '-h', '127.0.0.1', '-p', port, '-U', 'tester']

    def tool(self, name, port, *words, **more):
        mode = more.pop('mode', 'disable')
        return run([*self.words(name, port), *words], env={'PGSSLMODE': mode}, **more)

    def sql(self, port, text, *words, **more):
        return self.tool('psql', port, '-X', '-q', '-A', '-t', *words, '-c', text, more.pop('base', 'bench'), **more)

    @item('pgbench -i: 100,000 rows', unit='s', rounds=1)
    def init(self, way):
        self.tool('pgbench', way.port('postgres'), '-i', '-q', '-s', '1', 'bench')
        return self.sql(way.port('postgres'), 'select count(*), sum(aid) from pgbench_accounts').text

    @item('pgbench: 8 clients, a second, and its sums', unit='tps')
    def bench(self, way):
        out = self.tool('pgbench', way.port('postgres'), '-n', '-c', '8', '-T', '1', 'bench').text
        same = self.sql(self.direct, 'select (select sum(abalance) from pgbench_accounts) = (select sum(tbalance) from pgbench_tellers), '
                        '(select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches)').text.strip()
        return (same, re.findall(r'failed transactions: (\d+)', out)), tps(out)

    @item('pgbench -S: 300 connections, a query in each', unit='tps')
    def connects(self, way):
        out = self.tool('pgbench', way.port('postgres'), '-n', '-S', '-C', '-c', '4', '-t', '75', 'bench').text
        return re.findall(r'actually processed: (\d+)/(\d+)', out), tps(out)

    @item('psql: COPY of 200,000 rows out and in, and their digests', unit='s', rounds=1)
    def copy(self, way):
        port = way.port('postgres')
        rows = self.sql(port, "copy (select i, md5(i::text) from generate_series(1, 200000) i) to stdout").out
        self.sql(port, 'drop table if exists c; create table c (i int, t text)', '-o', '/dev/null')
        self.sql(port, 'copy c from stdin', input=rows)
        return sha(rows), self.sql(port, "select count(*), md5(string_agg(t, '' order by i)) from c").text

    @item('pg_dump, restored in another base, dumped again: the same', unit='s', rounds=1)
    def dump(self, way):
        port = way.port('postgres')
        first = self.tool('pg_dump', port, '-t', 'pgbench_accounts', 'bench').out
        self.tool('dropdb', port, '--if-exists', 'other')
        self.tool('createdb', port, 'other')
        self.tool('psql', port, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', 'other', input=first)
        second = self.tool('pg_dump', port, '-t', 'pgbench_accounts', 'other').out
        sure(unnamed(first) == unnamed(second), 'the dumps are not the same')
        return len(first) > 1000000

    @item('a query by TLS; one that fails; a base that is not there')
    def answers(self, way):
        port = way.port('postgres')
        tls = self.sql(port, 'select ssl, version from pg_stat_ssl where pid = pg_backend_pid()', mode='require').text
        wrong = self.sql(port, 'select 1 / 0', status=1).err
        none = self.sql(port, 'select 1', base='none', status=2).err.replace(str(port).encode(), b'PORT')
        return tls, wrong, none

    @item('psql: ^C ends a query, by a second connection')
    def cancel(self, way):
        p = self.place.start('psql', [*self.words('psql', way.port('postgres')), '-X', '-c', 'select pg_sleep(50)', 'bench'], env={'PGSSLMODE': 'disable'})
        wait_for(lambda: self.sql(self.direct, "select count(*) from pg_stat_activity where query like 'select pg_sleep(50%'").text.strip() == '1', 'the query')
        begin = time.monotonic()
        p.send_signal(signal.SIGINT)
        wait_for(lambda: p.poll() is not None, 'its end')
        sure(time.monotonic() - begin < 20, 'it took too long')
        return p.poll(), self.place.log('psql', 1)

    @item('LISTEN, and a NOTIFY from elsewhere')
    def notify(self, way):
        p = self.place.start('listener', [*self.words('psql', way.port('postgres')), '-X', '-q', 'bench'], stdin=-1, env={'PGSSLMODE': 'disable'})
        p.stdin.write(b"listen news; select 'hears';\n")
        p.stdin.flush()
        wait_for(lambda: 'hears' in self.place.log('listener'), 'the listener')
        self.sql(self.direct, "notify news, 'at last'")
        wait_for(lambda: (p.stdin.write(b'select 1;\n'), p.stdin.flush(), 'with payload "at last"' in self.place.log('listener', 500))[2], 'the news')
        p.stdin.close()
        p.stdin = None
        wait_for(lambda: p.poll() is not None, 'its end')
        return p.poll()


def unnamed(dump):
    """newer versions put a word of chance into each dump"""
    return re.sub(rb'(?m)^\\(un)?restrict .*$', b'', dump)


def tps(out):
    return float(re.search(r'^tps = ([\d.]+)', out, re.M).group(1))


PROGRAMS = [Postgres]
