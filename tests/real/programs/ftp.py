"""vsftpd with lftp, curl and ftplib: data connections of their own, both ways, and an ABOR with its urgent byte."""
import ftplib, os, pwd, socket

from place import Ports, accepts, run, sha, sha_file, sha_tree, sure, wait_for
from program import Program, Service, item


class Ftp(Program):
    name, needs = 'ftp', ('vsftpd', 'lftp', 'curl')
    ways = ('direct', 'plain', 'secure', 'cut')  # over 0.3 no data connections can be asked for

    def start(self):
        port = Ports.free()
        user = 'ftp' if 'ftp' in [p.pw_name for p in pwd.getpwall()] else 'nobody'
        self.place.fresh('root/pub')
        self.place.fresh('empty')
        os.chmod(self.place / 'root/pub', 0o777)
        run(['cp', '-r', self.data / 'tree', self.place / 'root/tree'])
        run(['cp', self.data / 'big', self.place / 'root/big'])
        rights = '' if os.geteuid() == 0 else 'run_as_launching_user=YES\n'
        self.place.write('vsftpd.conf', 'listen=YES\nlisten_address=127.0.0.1\nbackground=NO\nanonymous_enable=YES\nno_anon_password=YES\nlocal_enable=NO\n'
                         'write_enable=YES\nanon_upload_enable=YES\nanon_mkdir_write_enable=YES\nanon_other_write_enable=YES\nanon_umask=022\n'
                         f'connect_from_port_20=NO\nseccomp_sandbox=NO\nftp_username={user}\nasync_abor_enable=YES\nlisten_port={port}\n'
                         f'anon_root={self.place / "root"}\nsecure_chroot_dir={self.place / "empty"}\n{rights}')
        self.place.start('vsftpd', ['vsftpd', self.place / 'vsftpd.conf'])
        wait_for(lambda: accepts(port), 'vsftpd')
        return {'ftp': Service(port, word='ftp')}

    def url(self, way, path=''):
        return f'ftp://127.0.0.1:{way.port("ftp")}/{path}'

    def lftp(self, way, commands):
        settings = 'set cmd:fail-exit yes; set net:max-retries 1; set net:timeout 20; set ftp:prefer-epsv no; set mirror:parallel-transfer-count 4; '
        return run(['lftp', '-c', settings + f'open {self.url(way)}; ' + commands], env={'HOME': self.place.fresh('home')}).text

    @item('lftp: mirror of 300 files, four at once', unit='s', rounds=1)
    def mirror(self, way):
        self.lftp(way, f'mirror tree {self.place.fresh("mirror")}/tree')
        return names_and_bytes(self.place / 'mirror/tree')

    @item('lftp: mirror -R of 300 files, and rm -r', unit='s', rounds=1)
    def mirror_there(self, way):
        self.lftp(way, f'mirror -R {self.data / "tree"} pub/tree')
        there = names_and_bytes(self.place / 'root/pub/tree')
        self.lftp(way, 'rm -r pub/tree')  # each way finds the same
        return there, os.path.exists(self.place / 'root/pub/tree')

    @item('curl: 24 MiB, passive', unit='s')
    def passive(self, way):
        run(['curl', '-sS', '-o', self.place / 'got', self.url(way, 'big')])
        return sha_file(self.place / 'got')

    @item('curl: 24 MiB, active', unit='s')
    def active(self, way):
        run(['curl', '-sS', '-P', '127.0.0.1', '-o', self.place / 'got', self.url(way, 'big')])
        return sha_file(self.place / 'got')

    @item('curl: there, the rest of a half file, a list, what is not there')
    def others(self, way):
        run(['curl', '-sS', '-T', self.data / 'big', self.url(way, 'pub/up')])
        there = sha_file(self.place / 'root/pub/up')
        self.place.write('got', self.data.read('big')[:9000000])
        run(['curl', '-sS', '-C', '-', '-o', self.place / 'got', self.url(way, 'big')])
        names = run(['curl', '-sS', '-l', self.url(way, 'tree/3/')]).text
        return there, sha_file(self.place / 'got'), names, run(['curl', '-sS', self.url(way, 'none')], status=78).status

    @item('ftplib: ABOR of a transfer that stands, as urgent data; another')
    def abort(self, way):
        f = ftplib.FTP()
        f.connect('127.0.0.1', way.port('ftp'), 30)
        f.login()
        f.voidcmd('TYPE I')
        data = f.transfercmd('RETR big')
        sure(len(data.recv(1000)) > 0, 'nothing came')
        # Telnet's IP and Synch in front, as RFC 959 has it (4.1.3). ftplib's own abort() makes the end of the line urgent, which vsftpd misreads.
        f.sock.sendall(b'\xff\xf4')
        f.sock.sendall(b'\xff', socket.MSG_OOB)
        f.sock.sendall(b'\xf2ABOR\r\n')
        said = [f.getmultiline()[:3] for _ in range(2)]  # while nobody reads the data
        data.close()
        got = bytearray()
        said.append(f.retrbinary('RETR tree/3/3/file3', got.extend)[:3])
        said.append(f.quit()[:3])
        return said, sha(got)


def names_and_bytes(folder):
    for at, _, files in os.walk(folder):
        for name in files:
            os.chmod(os.path.join(at, name), 0o644)  # anonymous users give no modes
    return sha_tree(folder)


PROGRAMS = [Ftp]
