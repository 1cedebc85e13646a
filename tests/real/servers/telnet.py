"""A Telnet server (RFC 854) with a shell behind a login, one client after the other or at once: telnet.py PORT.

It asks for the terminal's kind and size, turns IP, BRK, AYT and EC into what they mean, answers IP with a DM as urgent data (as telnetd does),
and counts the marks of urgent data that it sees: the shell's `exit` is followed by a line that tells all that.
"""
import fcntl, os, pty, select, signal, socket, struct, sys, termios

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
EC, AYT, AO, IP, BRK, DM = 247, 246, 245, 244, 243, 242
ECHO, SGA, TTYPE, NAWS = 1, 3, 24, 31
SIOCATMARK = getattr(termios, 'SIOCATMARK', 0x8905)


class Server:
    def __init__(self, sock):
        self.sock, self.shell, self.pid = sock, -1, 0
        self.facts = {'kind': '?', 'size': '?', 'marks': 0, 'echo': '?', 'codes': []}
        self.rest, self.left = b'', False
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        sock.sendall(bytes([IAC, WILL, ECHO, IAC, WILL, SGA, IAC, DO, TTYPE, IAC, DO, NAWS]))

    def command(self, data):
        """how many bytes of DATA, which begins with IAC, are one command; 0: more must come"""
        if len(data) < 2:
            return 0
        code = data[1]
        if code in (DO, DONT, WILL, WONT):
            if len(data) < 3:
                return 0
            if code == WILL and data[2] == TTYPE:
                self.sock.sendall(bytes([IAC, SB, TTYPE, 1, IAC, SE]))
            if data[2] == ECHO:
                self.facts['echo'] = {DO: 'here', DONT: 'there'}.get(code, '?')
            return 3
        if code == SB:
            end = data.find(bytes([IAC, SE]))
            if end < 0:
                return 0
            if data[2] == TTYPE:
                self.facts['kind'] = data[4:end].decode().lower()
            if data[2] == NAWS:
                columns, rows = struct.unpack('!HH', data[3:7])
                self.facts['size'] = f'{columns}x{rows}'
                if self.shell >= 0:
                    fcntl.ioctl(self.shell, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
            return end + 2
        self.facts['codes'].append({EC: 'EC', AYT: 'AYT', AO: 'AO', IP: 'IP', BRK: 'BRK', DM: 'DM'}.get(code, str(code)))
        if code == AYT:
            self.sock.sendall(b'\r\n[Yes]\r\n')
        elif code == IP:
            os.write(self.shell, b'\x03')
            self.sock.sendall(bytes([IAC]))
            self.sock.send(bytes([DM]), socket.MSG_OOB)
        elif code == EC:
            os.write(self.shell, b'\x7f')
        return 2

    def take(self):
        """from the client; its text, without commands. None at the end"""
        if struct.unpack('i', fcntl.ioctl(self.sock, SIOCATMARK, struct.pack('i', 0)))[0]:
            self.facts['marks'] += 1
            data = self.sock.recv(1)  # else the mark stays where it is
        else:
            data = self.sock.recv(4096)
        if not data:
            return None
        data, text = self.rest + data, b''
        while data:
            if data[0] != IAC:
                text += data[:1]
                data = data[1:]
            elif data[1:2] == bytes([IAC]):
                text += data[:1]
                data = data[2:]
            else:
                used = self.command(data)
                if not used:
                    break
                data = data[used:]
        self.rest = data
        return text.replace(b'\r\n', b'\r').replace(b'\r\0', b'\r')

    def line(self, prompt, shown):
        """a line that the client types"""
        self.sock.sendall(prompt)
        got = b''
        while not got.endswith(b'\r'):
            text = self.take()
            if text is None:
                sys.exit()
            self.sock.sendall(text.replace(b'\r', b'\r\n') if shown else b'\r\n' if b'\r' in text else b'')
            got += text
        return got[:-1]

    def run(self):
        name = self.line(b'login: ', True)
        if self.line(b'Password: ', False) != b'secret':
            self.sock.sendall(b'Login incorrect\r\n')
            return
        self.pid, self.shell = pty.fork()
        if self.pid == 0:
            os.execve('/bin/sh', ['sh', '-i'], {'PATH': os.environ['PATH'], 'PS1': 'sh> ', 'TERM': self.facts['kind'], 'WHO': name.decode(), 'LC_ALL': 'C'})
        if 'x' in self.facts['size']:
            columns, rows = map(int, self.facts['size'].split('x'))
            fcntl.ioctl(self.shell, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
        while True:
            ready = select.select([self.sock, self.shell], [], [])[0]
            if self.shell in ready:
                try:
                    data = os.read(self.shell, 4096)
                except OSError:
                    data = b''
                if not data:
                    break
                self.sock.sendall(data.replace(b'\xff', b'\xff\xff'))
            if self.sock in ready:
                text = self.take()
                if text is None:
                    os.kill(self.pid, signal.SIGHUP)
                    return
                while text:
                    text = text[os.write(self.shell, text):]
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) if hasattr(os, 'waitstatus_to_exitcode') else os.waitpid(self.pid, 0)[1] >> 8
        self.sock.sendall(f'facts: {status} {self.facts}\r\n'.encode())


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('127.0.0.1', int(sys.argv[1])))
listener.listen(16)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    client, _ = listener.accept()
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        listener.close()
        Server(client).run()
        os._exit(0)
    client.close()
