"""Dialogues by telnet, and with a serial console: a shell at the other end of a terminal line, shared by socat as ser2net does it, or by
SERVER=exec. They go over a serial line, too."""
import glob, os, sys

from dialogue import COLUMNS, ROWS, Dialogue
from place import HERE, Ports, accepts, sha, sure, wait_for
from program import Program, Service, item

LONG = 'i=0; while [ $i -lt 3000 ]; do echo "line $i of a long answer"; i=$((i + 1)); done'  # 80 KB

SLEEPS = 'sh -c "echo sl""eeps; exec sleep 60"'  # it has begun when it says so


class Terminals(Program):
    name, needs = 'terminals', ('telnet', 'socat', 'python3')
    ways = ('direct', 'plain', 'secure', '0.3', 'cut', 'serial')

    def start(self):
        self.held, self.keepers = [], {}  # keepers: who has a line open before anybody comes
        telnet, console, program = Ports.free(), Ports.free(), Ports.free()
        self.place.start('telnet', [sys.executable, '-B', os.path.join(HERE, 'servers', 'telnet.py'), telnet])
        shell = self.place.write('shell', '#!/bin/sh\nPS1="console> "\nexport PS1\nexec sh -i\n', 0o755)
        for name in ('ttyS0', 'ttyS1'):
            self.place.start(name, ['socat', f'PTY,link={self.place / name},mode=666,rawer', f'EXEC:{shell},pty,setsid,ctty,stderr,sane'])
            wait_for(lambda: os.path.exists(self.place / name), name)
            self.held.append(os.open(self.place / name, os.O_RDWR | os.O_NOCTTY))  # else the line goes with the first who leaves it
            self.keepers[name] = self.readers(name)
        self.place.start('ser2net', ['socat', f'TCP-LISTEN:{console},bind=127.0.0.1,reuseaddr,fork', f'FILE:{self.place / "ttyS0"},rawer'])
        reach = self.place.write('reach', f'#!/bin/sh\nexec socat - FILE:{self.place / "ttyS1"},rawer\n', 0o755)
        self.place.start('inetd', ['socat', f'TCP-LISTEN:{program},bind=127.0.0.1,reuseaddr,fork', f'EXEC:{reach}'])
        for port in (telnet, console, program):
            wait_for(lambda: accepts(port), 'a server')
        return {'telnet': Service(telnet), 'console': Service(console), 'exec': Service(program, word='exec', words=reach)}

    def stop(self):
        for fd in self.held:
            os.close(fd)
        super().stop()

    def login(self, way, password='secret'):
        d = Dialogue(['telnet', '127.0.0.1', way.port('telnet')])
        d.expect('login: ')
        d.type('tester\r')
        d.expect('Password: ')
        d.type(password + '\r')
        return d

    @item('telnet: login, options, commands, a long answer')
    def telnet(self, way):
        with self.login(way) as d:
            d.expect('sh> ')
            d.type('echo "$WHO $TERM"; stty size; tty >/dev/null && echo terminal\r')
            found = [d.expect('\r\n(tester [^\r]*)\r\n(.*?)\r\n(terminal)').groups()]
            sure(found[0][1] == f'{ROWS} {COLUMNS}'.encode(), 'the size did not arrive:', found)
            d.type(LONG + '; echo END\r')
            found.append(sha(d.expect('\r\n(line 0 .*?)END').group(1)))
            d.type('exit 3\r')
            found.append(d.expect('facts: ([^\r]*)').group(1))
            return found, d.end()

    @item('telnet: AYT, EC, IP and its urgent DM, synch')
    def codes(self, way):
        with self.login(way) as d:
            d.expect('sh> ')
            escape(d, 'ayt')
            d.expect(r'\[Yes\]')
            d.type('echo wrongX')
            d.expect('wrongX')
            escape(d, 'ec')
            d.expect('\b')
            d.type('\r')
            d.expect('wrong\r\n')
            d.type(SLEEPS + '\r')
            d.expect('sleeps\r\n')
            escape(d, 'ip')
            d.expect('sh> ')
            for i in range(2):
                escape(d, 'synch')
                d.type(f'echo here$(({i} + 5))\r')
                d.expect(f'\r\nhere{i + 5}\r\n')
            d.type('exit\r')
            return d.expect("facts: [^\r]*(.marks.: [^\r]*)").group(1), d.end()

    @item('telnet: a wrong password, and the server hangs up')
    def wrong(self, way):
        with self.login(way, 'guess') as d:
            d.expect('Login incorrect')
            d.expect('closed by foreign host')
            return d.end()

    @item('telnet: a client that is killed takes its shell with it')
    def killed(self, way):
        mark = self.place.write('pid', '')
        with self.login(way) as d:
            d.expect('sh> ')
            d.type(f'echo $$ >{mark}; echo done\r')
            d.expect('\r\ndone\r\n')
        pid = int(self.place.read('pid'))
        wait_for(lambda: not os.path.exists(f'/proc/{pid}'), 'the end of the shell')
        return True

    def readers(self, line):
        """who has it open, and may take a part of what it says"""
        device, found = os.path.realpath(self.place / line), set()
        for fd in glob.glob('/proc/[0-9]*/fd/*'):
            try:
                if os.readlink(fd) == device:
                    found.add(int(fd.split('/')[2]))
            except OSError:
                pass
        return found

    def console(self, way, service, line):
        wait_for(lambda: self.readers(line) <= self.keepers[line], 'the end of the one before')
        with Dialogue(['socat', '-,rawer', f'TCP:127.0.0.1:{way.port(service)}']) as d:
            d.type('\r')
            d.expect('console> ')
            d.type('echo $((6 * 7)); test -t 0 && echo terminal\r')
            found = [d.expect('\r\n(42)\r\n(terminal)').groups()]
            d.type(SLEEPS + '\r')
            d.expect('sleeps\r\n')
            d.type('\x03')
            d.expect('console> ')
            d.type(LONG + '; echo "E"ND\r')
            found.append(sha(d.expect('\r\n(line 0 .*?)END').group(1)))
            d.expect('console> ')
            return found

    @item('a serial console by socat: commands, ^C, a long answer')
    def shared(self, way):
        return self.console(way, 'console', 'ttyS0')

    @item('a serial console by a program for each client (exec)')
    def by_exec(self, way):
        return self.console(way, 'exec', 'ttyS1')


def escape(dialogue, what):
    dialogue.type('\x1d')
    dialogue.expect('telnet> ')
    dialogue.type(f'send {what}\r')


PROGRAMS = [Terminals]
