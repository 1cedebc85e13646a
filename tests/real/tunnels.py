"""The ways from a program's clients to its servers: direct, and through two sockmuxd with a link between them.

A tunnel serves where the direct way does: the same servers, seen at other ports. What each one tells apart:
  plain   SockMux 1; clients come to the side that has made the link
  secure  sockmuxs; the servers' side asks for the ports at the other one (RPORT), as ssh -R does
  0.3     the old dialect; clients come to the side that has accepted the link
  cut     secure; the link goes through cutter.py, and is lost every second
  serial  SockMux 1 over a line (two pseudo terminals), as between ttyS0 and ttyUSB0
Read next: program.py.
"""
import json, os, signal, sys

from place import HERE, Failed, Ports, accepts, run, sure, wait_for

SHORTEST, LONGEST = 1.05, 1.9  # seconds between two cuts; a link that stood for less than one is made anew after growing pauses
CALM = 5  # seconds until the tunnel has no channel any more, behind the last client


class Service:
    """What a program serves: KIND tcp, udp, or both at one number (which dialect 0.3 cannot tell apart)."""
    def __init__(self, port, kind='tcp', word='tcprelay', words=''):
        self.port, self.kind, self.word, self.words = port, kind, word, words

    def kinds(self):
        return ('tcp', 'udp') if self.kind == 'both' else (self.kind,)

    def servers(self, client_port):
        """SERVER= words for those who come to CLIENT_PORT"""
        for kind in self.kinds():
            if self.word == 'exec':
                yield f'SERVER=exec,-in(XCOM=\'{self.words}\'):-:-P{client_port}'
            else:
                word, slash = ('udprelay', '/udp') if kind == 'udp' else (self.word, '')
                yield f'SERVER={word}://127.0.0.1:{self.port},-in:-:-P{client_port}{slash}'


class Way:
    """How clients get to the services."""
    name = 'direct'
    cutter = None

    def __init__(self, place, services):
        self.place, self.services = place, services

    def port(self, name):
        return self.services[name].port

    def cuts(self):
        return 0

    def complaints(self):
        """what is not as it should be, when all clients have gone"""
        return []

    def logs(self):
        return ''

    def stop(self):
        return []


class Tunnel(Way):
    def __init__(self, name, place, services, build):
        super().__init__(place, {k: v for k, v in services.items() if name != '0.3' or v.kind != 'both'})
        self.name, self.build = name, build
        self.link = self.dial = Ports.free()
        self.ports = {k: Ports.free() for k in self.services}
        self.daemons = []
        servers = [w for k, s in self.services.items() for w in s.servers(self.ports[k])]
        asked = ','.join(f'127.0.0.1:{self.ports[k]}' + ('/udp' if kind == 'udp' else '') for k, s in self.services.items() for kind in s.kinds())
        if name == 'cut':
            self.dial = Ports.free()
            self.cutter = place.start('cutter', [sys.executable, '-B', os.path.join(HERE, 'cutter.py'), self.dial, self.link, SHORTEST, LONGEST])
            wait_for(lambda: accepts(self.dial), 'the cutter')
        getattr(self, {'plain': 'plain', '0.3': 'old', 'secure': 'secure', 'cut': 'cut', 'serial': 'serial'}[name])(servers, asked)
        for side in self.daemons:
            wait_for(lambda: self.says(side, 'link-up'), f'the link of {side.name}')
        # No connection is made to see that: iperf3 ends a test for one. PORT is open before the link is up.
        if name == 'secure':
            wait_for(lambda: self.says(self.daemons[1], 'bind-open', sum(len(s.kinds()) for s in self.services.values())), 'the ports at the peer')

    # ---- the kinds of links

    def plain(self, servers, asked):
        self.daemon('server-side', 'SERVER=sockmux', f'-P127.0.0.1:{self.link}', *servers)
        self.daemon('client-side', f'SERVER=sockmux://127.0.0.1:{self.dial}', f'PORT={asked}')

    def old(self, servers, asked):
        # 0.3 cannot tell who has only ended his direction from who has gone: such a channel stays for TIMEOUT=lin.
        self.daemon('client-side', 'SERVER=sockmux', f'-P127.0.0.1:{self.link}', f'PORT={asked}', f'TIMEOUT=lin:{CALM - 3}')
        self.daemon('server-side', f'SERVER=sockmux://127.0.0.1:{self.dial}', 'SOXCONF=proto:0.3', f'TIMEOUT=lin:{CALM - 3}', *servers)

    def secure(self, servers, asked):
        hub, branch = self.keys(asked)
        self.daemon('client-side', 'SERVER=sockmuxs', f'-P127.0.0.1:{self.link}', hub)
        self.daemon('server-side', f'SERVER=sockmuxs://127.0.0.1:{self.dial}', branch, f'RPORT={asked}', *servers)

    def cut(self, servers, asked):
        hub, branch = self.keys(asked)
        self.daemon('server-side', 'SERVER=sockmuxs', f'-P127.0.0.1:{self.link}', hub, *servers)
        self.daemon('client-side', f'SERVER=sockmuxs://127.0.0.1:{self.dial}', branch, f'PORT={asked}')

    def serial(self, servers, asked):
        self.place.start('line', [sys.executable, '-B', os.path.join(HERE, 'servers', 'line.py')])
        one, other = wait_for(lambda: self.place.read('line.log').split(), 'the line')[-2:]
        self.daemon('server-side', f'SERVER=sockmux:comm@{one.decode()}', *servers)
        self.daemon('client-side', f'SERVER=sockmux:comm@{other.decode()}', f'PORT={asked}')

    def keys(self, asked):
        """the SOXCONF words of two who know each other, the first gives the second one what it asks for"""
        shown = {}
        for who in ('hub', 'branch'):
            os.path.exists(self.place / who) and os.unlink(self.place / who)
            shown[who] = run([os.path.join(self.build, 'sockmuxctl'), 'genkey', self.place / who]).text.strip()
        self.place.write('hub.peers', f'branch {shown["branch"]} PORT={asked}\n')
        self.place.write('branch.peers', f'hub {shown["hub"]}\n')
        return [f'SOXCONF=key:{self.place / who},peers:{self.place / (who + ".peers")}' for who in ('hub', 'branch')]

    def daemon(self, name, *words):
        words = [os.path.join(self.build, 'sockmuxd'), '-f', f'SOXCONF=control:{self.place / (name + ".sock")}', *words]
        self.daemons.append(self.place.start(name, words))

    # ---- how it is

    def says(self, side, event, times=1):
        sure(side.poll() is None, f'the {side.name} has ended with {side.poll()}:\n{self.place.log(side.name)}')
        return self.place.read(side.name + '.log').decode(errors='replace').count(event) >= times

    def port(self, name):
        return self.ports[name]

    def cuts(self):
        return self.place.read('cutter.log').count(b'cut') if self.cutter else 0

    def status(self, side):
        return json.loads(run([os.path.join(self.build, 'sockmuxctl'), 'status', '-j', '-s', self.place / (side.name + '.sock')]).text)

    def streams(self, side):
        """channels that are open and no UDP flow"""
        rows = json.loads(run([os.path.join(self.build, 'sockmuxctl'), 'channels', '-j', '-s', self.place / (side.name + '.sock')]).text)
        rows = rows if isinstance(rows, list) else rows['channels']
        return [r for r in rows if r.get('transport') == 'tcp' and r.get('kind') in ('client', 'server')]

    def complaints(self):
        wrong = []
        for side in self.daemons:
            if side.poll() is not None:
                wrong.append(f'the {side.name} has ended with {side.poll()}')
                continue
            try:
                wait_for(lambda: not self.streams(side), 'the end of all channels', CALM)
            except Failed:
                left = self.streams(side)
                wrong.append(f'the {side.name} still has {len(left)} channels, such as {left[:2]}')
        return wrong

    def logs(self):
        return ''.join(f'-- {side.name}\n{self.place.log(side.name)}\n' for side in self.daemons)

    def stop(self):
        wrong = []
        for side in self.daemons:
            if side.poll() is None:
                side.send_signal(signal.SIGTERM)
        for side in self.daemons:
            wait_for(lambda: side.poll() is not None, f'the end of the {side.name}', 15)
            if side.poll() != 0:
                wrong.append(f'the {side.name} ended with status {side.poll()}')
        self.place.stop()
        return wrong


def open_way(name, place, services, build):
    if name == 'direct':
        return Way(place, services)
    try:
        return Tunnel(name, place, services, build)
    except Exception as e:
        said = ''.join(f'\n-- {n}\n{place.log(n)}' for n in ('server-side', 'client-side'))
        place.stop()
        raise Failed(f'the tunnel does not come up: {e}{said}') from e
