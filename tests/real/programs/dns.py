"""dnsmasq with dig: by UDP, by TCP, and answers that are too large for the one."""
import time

from place import Ports, run, sure, wait_for
from program import Program, Service, item

QUERIES = 300
PATIENT = ('+time=1', '+tries=8')  # datagrams do not wait for a link


class Dns(Program):
    name, needs = 'dns', ('dnsmasq', 'dig')

    def start(self):
        port = Ports.free()
        lines = [f'address=/host{i}.test/192.0.2.{i % 250}' for i in range(50)]
        lines += [f'host-record=six{i}.test,198.51.100.{i},2001:db8::{i:x}' for i in range(20)]
        lines += ['mx-host=test,mail.test,10', 'srv-host=_sip._udp.test,sip.test,5060', 'cname=alias.test,six1.test',
                  'ptr-record=1.2.0.192.in-addr.arpa,back.test']
        lines += [f'txt-record=large.test,{i:03}{"x" * 180}' for i in range(16)]
        self.place.write('dnsmasq.conf', '\n'.join(lines) + '\n')
        self.place.start('dnsmasq', ['dnsmasq', '--keep-in-foreground', '--log-facility=-', '-C', self.place / 'dnsmasq.conf', '-p', port, '-a', '127.0.0.1',
                                     '--bind-interfaces', '--no-resolv', '--no-hosts', '--edns-packet-max=4096', '--pid-file=', '--user=', '--local=/test/'])
        wait_for(lambda: run(['dig', '@127.0.0.1', '-p', port, '+short', '+time=1', '+tries=1', 'host1.test'], status=None).text == '192.0.2.1\n', 'dnsmasq')
        return {'both': Service(port, 'both'), 'udp': Service(port, 'udp'), 'tcp': Service(port, 'tcp')}

    def dig(self, way, service, *words, **more):
        out = run(['dig', '@127.0.0.1', '-p', way.port(service), '+nocmd', '+nostats', *PATIENT, *words], **more).text
        sure(out, 'dig says nothing')
        for line in out.splitlines():
            sure(';; Warning' not in line and 'mismatch' not in line, line)
        lines = [line.split(', id:')[0] for line in out.splitlines() if not line.startswith(';; communications error') and not line.startswith('; COOKIE')]
        return sorted(line for line in lines if line)

    KINDS = (('host1.test', 'A'), ('six2.test', 'AAAA'), ('test', 'MX'), ('_sip._udp.test', 'SRV'), ('alias.test', 'A'), ('-x', '192.0.2.1'),
             ('none.test', 'A'), ('host1.test', 'AAAA'), ('elsewhere.example', 'A'))

    @item('dig by UDP: nine kinds of answers')
    def kinds(self, way):
        return [self.dig(way, 'udp', *words) for words in self.KINDS]

    @item('dig +tcp: the same')
    def kinds_tcp(self, way):
        return [self.dig(way, 'tcp', '+tcp', *words) for words in self.KINDS]

    @item('dig +notcp: an answer of 3 KB in one datagram; cut at 512')
    def large(self, way):
        whole = self.dig(way, 'udp', '+notcp', '+ignore', '+bufsize=4096', 'large.test', 'TXT')
        sure(len([line for line in whole if 'xxx' in line]) == 16, 'not the whole answer')
        short = self.dig(way, 'udp', '+notcp', '+ignore', '+noedns', 'large.test', 'TXT')
        sure(any(' tc ' in line for line in short), 'it is not marked as cut')
        return whole, [line for line in short if 'flags' in line]

    @item('dig: cut at 512, so asked again by TCP', without={'0.3': 'it cannot tell UDP and TCP of one number apart'})
    def again(self, way):
        return self.dig(way, 'both', '+noedns', 'large.test', 'TXT')

    @item(f'dig -f: {QUERIES} questions by UDP', unit='/s')
    def rate(self, way):
        asked = ''.join(f'host{i % 50}.test A\n' for i in range(QUERIES))
        path = self.place.write('asked', asked)
        begin = time.monotonic()
        out = run(['dig', '@127.0.0.1', '-p', way.port('udp'), '+short', *PATIENT, '-f', path]).text
        took = time.monotonic() - begin
        answers = [line for line in out.splitlines() if not line.startswith(';;')]
        return answers, QUERIES / took


PROGRAMS = [Dns]
