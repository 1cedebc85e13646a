"""iperf3: its control connection and its data are connections to one port, and so are its datagrams."""
import json

from place import Failed, Ports, run, sure, wait_for
from program import Program, Service, item

OLD = {'0.3': 'it cannot tell UDP and TCP of one number apart'}
LOSSY = {**OLD, 'cut': 'datagrams do not wait for a link, and iperf3 asks once'}


class Iperf(Program):
    name, needs = 'iperf3', ('iperf3',)

    def start(self):
        port = Ports.free()
        self.place.start('iperf3', ['iperf3', '-s', '-B', '127.0.0.1', '-p', port, '--forceflush'])
        wait_for(lambda: 'listening' in self.place.log('iperf3'), 'iperf3')  # a connection would be a test for it
        return {'tcp': Service(port), 'both': Service(port, 'both')}

    def test(self, way, service, *words):
        done = run(['iperf3', '-J', '-c', '127.0.0.1', '-p', way.port(service), *words], status=None)
        said = json.loads(done.text)
        if done.status or 'error' in said:
            raise Failed(f'status {done.status}: {said.get("error")}')
        return said['end']

    def tcp(self, way, *words):
        end = self.test(way, 'tcp', *words)
        rate = end['sum_received']['bits_per_second'] + end.get('sum_received_bidir_reverse', {}).get('bits_per_second', 0)
        return len(end['streams']), rate / 8 / (1 << 20)

    @item('TCP, 200 MiB', unit='MiB/s')
    def up(self, way):
        return self.tcp(way, '-n', '200M')

    @item('TCP -R, 200 MiB', unit='MiB/s')
    def down(self, way):
        return self.tcp(way, '-R', '-n', '200M')

    @item('TCP -P 4, 400 MiB', unit='MiB/s')
    def four(self, way):
        return self.tcp(way, '-P', '4', '-n', '400M')

    @item('TCP --bidir, a second', unit='MiB/s', rounds=1)
    def bidir(self, way):
        return self.tcp(way, '--bidir', '-t', '1')

    def udp(self, way, *words):
        end = self.test(way, 'both', '-u', '-b', '50M', '-l', '1200', '-t', '1', *words)['sum']
        sure(end['packets'] > 100, end)
        return 'arrive', end['packets'] * (1 - end['lost_percent'] / 100)

    @item('UDP, 50 Mbit/s: datagrams that arrive', unit='/s', without=LOSSY, rounds=1)
    def udp_up(self, way):
        return self.udp(way)

    @item('UDP -R, 50 Mbit/s: datagrams that arrive', unit='/s', without=LOSSY, rounds=1)
    def udp_down(self, way):
        return self.udp(way, '-R')


PROGRAMS = [Iperf]
