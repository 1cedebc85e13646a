"""socat, nc, tar and TLS: what ends first, and how; and mail, where the server speaks first."""
import os, sys

from dialogue import Dialogue
from place import HERE, Ports, accepts, noise, run, sha, sha_file, sha_tree, sure, wait_for
from program import Program, Service, item

NO_HALF = {'0.3': 'it has no half-close'}


class Pipes(Program):
    name, needs = 'pipes', ('socat', 'nc', 'openssl', 'curl', 'python3')

    def start(self):
        self.place.fresh('inbox')
        self.place.fresh('untarred')
        run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '7', '-subj', '/CN=localhost',
             '-keyout', self.place / 'key', '-out', self.place / 'cert'])
        self.place.write('untar', f'#!/bin/sh\ntar xf - -C {self.place / "untarred"} && echo all is here\n', 0o755)
        found = {'sort': self.inetd('EXEC:sort'), 'untar': self.inetd(f'EXEC:{self.place / "untar"}'), 'echo': self.inetd('EXEC:cat'),
                 'seq': self.inetd('EXEC:seq 1 300000'), 'date': self.inetd('EXEC:true')}
        for name, word in (('tls', '-rev'), ('files', '-WWW')):
            found[name] = Ports.free()
            self.place.start(name, ['openssl', 's_server', '-accept', f'127.0.0.1:{found[name]}', '-cert', self.place / 'cert',
                                    '-key', self.place / 'key', '-quiet', word])
        os.symlink(self.data / 'big', self.place / 'big')
        found['ends'] = Ports.free()
        self.place.start('ends', [sys.executable, '-B', os.path.join(HERE, 'servers', 'ends.py'), found['ends']])
        found['mail'] = Ports.free()
        self.place.start('mail', [sys.executable, '-B', os.path.join(HERE, 'servers', 'mail.py'), found['mail'], self.place / 'inbox'])
        for port in found.values():
            wait_for(lambda: accepts(port), 'a server')
        services = {k: Service(v) for k, v in found.items()}
        services['exec'] = Service(found['sort'], word='exec', words='sort')
        return services

    def inetd(self, what):
        port = Ports.free()
        self.place.start(f'inetd-{port}', ['socat', '-t60', f'TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=64', what])
        return port

    def ends(self, way, kind):
        return run([sys.executable, '-B', os.path.join(HERE, 'servers', 'ends.py'), way.port('ends'), kind]).text

    LINES = b''.join(b'%d\n' % (i * 7919 % 100003) for i in range(100000))

    @item('nc -N to sort: it answers when the client has ended', unit='s', without=NO_HALF)
    def half(self, way):
        return sha(run(['nc', '-N', '127.0.0.1', way.port('sort')], input=self.LINES).out)

    @item('socat to sort as a program for each client (exec)', unit='s', without=NO_HALF)
    def half_exec(self, way):
        return sha(run(['socat', '-t60', '-', f'TCP:127.0.0.1:{way.port("exec")}'], input=self.LINES).out)

    @item('tar to tar by nc: 300 files, and a word at the end', unit='s', without=NO_HALF)
    def tar(self, way):
        self.place.fresh('untarred')
        out = run(['sh', '-c', f'tar cf - -C {self.data / "tree"} . | nc -N 127.0.0.1 {way.port("untar")}']).text
        return out, sha_tree(self.place / 'untarred')

    @item('16 MiB to an echo, both ways at once', unit='s', without=NO_HALF)
    def echo(self, way):
        data = noise(16, 16 << 20)
        # The client is not socat, which writes before it reads on: with all buffers full it and the echo would wait for each other. The
        # echo is cat and not socat's PIPE, which waits for itself, with no tunnel at all, as soon as its pipe has room for less than a write.
        back = run(['nc', '-N', '127.0.0.1', way.port('echo')], input=data).out
        sure(back == data, len(back), 'bytes came back')
        return sha(back)

    @item('a server that speaks and leaves; one that says nothing')
    def speaks(self, way):
        return sha(run(['socat', '-u', f'TCP:127.0.0.1:{way.port("seq")}', '-']).out), run(['socat', '-u', f'TCP:127.0.0.1:{way.port("date")}', '-']).out

    @item('servers that reset: at once, behind a request, while it comes')
    def resets(self, way):
        return [self.ends(way, kind) for kind in ('now', 'answer', 'upload', 'end')]

    @item('clients that reset: the server hears that, and not an end')
    def client_resets(self, way):
        return self.ends(way, 'client'), self.ends(way, 'download')

    @item('openssl s_client: TLS 1.2 and 1.3, lines there and back, an end')
    def tls(self, way):
        found = []
        for version in ('-tls1_2', '-tls1_3'):
            with Dialogue(['openssl', 's_client', '-connect', f'127.0.0.1:{way.port("tls")}', version, '-quiet'], raw=True) as d:
                d.type('drawer\n')
                d.expect('reward\n')
                d.type('straw\n')
                d.expect('warts\n')
                d.type('CLOSE\n')
                found.append(d.end())
        return found

    @item('openssl s_client: 24 MiB by TLS', unit='s', rounds=1)
    def file(self, way):
        words = ['openssl', 's_client', '-connect', f'127.0.0.1:{way.port("files")}', '-quiet', '-ign_eof']
        out = run(words, input=b'GET /big HTTP/1.0\r\n\r\n', status=None).out
        data = out.split(b'\r\n\r\n', 1)[1]
        sure(data == self.data.read('big'), len(data), 'bytes came')
        return sha(data)

    @item('SMTP by curl: a letter of 1 MB, dots, one who is not known')
    def mail(self, way):
        self.place.fresh('inbox')
        os.chmod(self.place / 'inbox', 0o777)
        lines = ['Subject: test', ''] + [('.' * (i % 4)) + f'line {i}' for i in range(60000)]
        letter = self.place.write('letter', '\r\n'.join(lines) + '\r\n')
        url = f'smtp://127.0.0.1:{way.port("mail")}'
        run(['curl', '-sS', url, '--mail-from', 'tester@localhost', '--mail-rcpt', 'one@localhost', '--mail-rcpt', 'two@localhost', '-T', letter])
        wrong = run(['curl', '-sS', url, '--mail-from', 'tester@localhost', '--mail-rcpt', 'nobody@localhost', '-T', letter], status=55)
        got = {name: sha_file(self.place / f'inbox/{name}') for name in sorted(os.listdir(self.place / 'inbox'))}
        sure(got.get('one@localhost') == sha_file(letter), 'not the letter that was sent')
        return got, wrong.err


PROGRAMS = [Pipes]
