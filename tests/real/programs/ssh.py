"""ssh with its programs: commands, rsync, scp, sftp. Sshd is for others, too."""
import os, shutil

from place import PATIENCE, Ports, noise, run, sha, sha_file, sha_tree, sure, wait_for
from program import Program, Service, item

FAST = '-oCompression=no'


class Sshd:
    """A real sshd with keys of its own, at a free port."""
    def __init__(self, place):
        self.place, self.port = place, Ports.free()
        for key in ('host', 'user'):
            run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', place / key])
        if os.geteuid() == 0:
            os.makedirs('/run/sshd', exist_ok=True)  # where it puts its part without rights
        place.write('sshd.conf', f'ListenAddress 127.0.0.1:{self.port}\nHostKey {place / "host"}\nAuthorizedKeysFile {place / "user.pub"}\n'
                    f'StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\nMaxStartups 100\n'
                    f'Subsystem sftp internal-sftp\nSetEnv HOME={place.folder}\n')
        path = shutil.which('sshd', path=os.environ['PATH'] + ':/usr/sbin:/usr/local/sbin')
        place.start('sshd', [path, '-D', '-e', '-f', place / 'sshd.conf'])  # it wants its whole path
        wait_for(lambda: 'Server listening' in place.log('sshd'), 'sshd', PATIENCE)

    def options(self):
        return ['-F', 'none', '-i', self.place / 'user', '-oStrictHostKeyChecking=no', '-oUserKnownHostsFile=/dev/null', '-oLogLevel=ERROR',
                '-oBatchMode=yes', '-oIdentitiesOnly=yes', FAST]

    def command(self, port):
        """as one string, for programs that call ssh"""
        return ' '.join(str(w) for w in ['ssh', '-p', port, *self.options()])


class Ssh(Program):
    name, needs = 'ssh', ('ssh', 'sshd', 'rsync', 'scp', 'sftp')

    def start(self):
        self.sshd = Sshd(self.place)
        return {'ssh': Service(self.sshd.port)}

    def ssh(self, way, *words, **more):
        return run(['ssh', '-p', way.port('ssh'), *self.sshd.options(), *words], **more)

    @item('a command: its status and both of its outputs', unit='s')
    def command(self, way):
        done = self.ssh(way, '127.0.0.1', 'echo out; echo err >&2; exit 7', status=7)
        return done.status, done.out, done.err

    @item('a terminal: ssh -tt, what is typed, and the end by ^D')
    def terminal(self, way):
        script = 'stty -echo; test -t 0 && echo terminal; read a; echo "got $a"; cat; echo end'
        done = self.ssh(way, '-tt', '127.0.0.1', script, input=b'hello\nmore\n\x04', status=None)
        said = done.out[done.out.index(b'terminal'):]  # in front of it perhaps the echo of what came early
        sure(said.startswith(b'terminal\r\ngot hello\r\n') and b'end' in said, 'it says', done.out)
        return said, done.status

    @item('8 MiB to cat, and back', unit='s')
    def cat(self, way):
        data = noise(1, 8 << 20)
        done = self.ssh(way, '127.0.0.1', 'cat', input=data)
        sure(done.out == data, len(done.out), 'bytes came back')
        return sha(done.out)

    @item('a client that leaves in the middle of an endless command')
    def leaves(self, way):
        out = run(['sh', '-c', f'{self.sshd.command(way.port("ssh"))} 127.0.0.1 "yes $$; true" | head -c 3000000 | wc -c']).text
        return out.strip()

    def rsync(self, way, source, target):
        out = run(['rsync', '-a', '--stats', '--delete', '-e', self.sshd.command(way.port('ssh')), source, target]).text
        return next(line.split(':')[1].strip() for line in out.splitlines() if 'regular files transferred' in line)

    @item('rsync: 300 files there', unit='s')
    def rsync_there(self, way):
        self.place.fresh('there')
        return self.rsync(way, self.data / 'tree/', f'127.0.0.1:{self.place / "there"}/'), sha_tree(self.place / 'there')

    @item('rsync: once more, 30 have changed and 3 are gone', unit='s')
    def rsync_again(self, way):
        shutil.rmtree(self.place / 'changed', ignore_errors=True)
        shutil.copytree(self.data / 'tree', self.place / 'changed')
        self.rsync(way, f'{self.place / "changed"}/', f'127.0.0.1:{self.place / "there"}/')
        for i in range(33):
            name = self.place / f'changed/{i % 7}/{i % 5}/file{i}'
            if i < 3:
                os.unlink(name)
            else:
                with open(name, 'ab') as f:
                    f.write(b'more')
        count = self.rsync(way, f'{self.place / "changed"}/', f'127.0.0.1:{self.place / "there"}/')
        sure(sha_tree(self.place / 'changed') == sha_tree(self.place / 'there'), 'the trees are not the same')
        return count, sha_tree(self.place / 'there')

    @item('rsync: back', unit='s')
    def rsync_back(self, way):
        self.place.fresh('back')
        return self.rsync(way, f'127.0.0.1:{self.data / "tree"}/', self.place / 'back/'), sha_tree(self.place / 'back')

    @item('scp: 24 MiB there', unit='s')
    def scp_there(self, way):
        run(['scp', '-q', '-P', way.port('ssh'), *self.sshd.options(), self.data / 'big', f'127.0.0.1:{self.place / "big"}'])
        return sha_file(self.place / 'big')

    @item('scp: 24 MiB back', unit='s')
    def scp_back(self, way):
        run(['scp', '-q', '-P', way.port('ssh'), *self.sshd.options(), f'127.0.0.1:{self.data / "big"}', self.place / 'big'])
        return sha_file(self.place / 'big')

    @item('sftp: put, rename, list, get, and the rest of a half file')
    def sftp(self, way):
        folder = self.place.fresh('sftp')
        half = self.place.write('sftp/half', self.data.read('tree/1/1/file1')[:3000])
        batch = (f'mkdir {folder}/d\nput {self.data / "tree/2/2/file2"} {folder}/d/a\nrename {folder}/d/a {folder}/d/b\nls -1 {folder}/d\n'
                 f'get {folder}/d/b {folder}/c\nreget {self.data / "tree/1/1/file1"} {half}\n-get {folder}/none {folder}/x\n')
        done = run(['sftp', '-q', '-P', way.port('ssh'), *self.sshd.options(), '-b', '-', '127.0.0.1'], input=batch.encode())
        sure(sha_file(half) == sha_file(self.data / 'tree/1/1/file1'), 'the half file is not whole')
        return [line for line in done.text.splitlines() if not line.startswith('sftp>')], sha_tree(folder)


PROGRAMS = [Ssh]
