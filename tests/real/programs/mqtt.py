"""mosquitto: connections that live long and say nothing but their keep-alive."""
import time

from place import Ports, accepts, noise, run, sha, sure, wait_for
from program import Program, Service, item

KEEP_ALIVE = 5  # seconds, the least that mosquitto_sub takes
IDLE = KEEP_ALIVE * 1.5 + 0.5  # later a broker that hears nothing has dropped its client


class Mqtt(Program):
    name, needs = 'mqtt', ('mosquitto', 'mosquitto_pub')

    def start(self):
        port = Ports.free()
        self.place.write('mosquitto.conf', f'listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type all\nmax_queued_messages 2000\n'
                         'set_tcp_nodelay true\n')
        self.place.start('mosquitto', ['mosquitto', '-c', self.place / 'mosquitto.conf'])
        wait_for(lambda: accepts(port), 'mosquitto')
        return {'mqtt': Service(port)}

    def subscriber(self, way, name, *words):
        """its messages go to a file, whose name comes with it; up when the broker has said so"""
        out = self.place / f'{name}-{way.name}'
        before = self.place.read('mosquitto.log').count(b'Sending SUBACK to ' + name.encode())
        with open(out, 'wb') as f:
            p = self.place.start(name, ['mosquitto_sub', '-p', way.port('mqtt'), '-i', name, *words], stdout=f)
        wait_for(lambda: self.place.read('mosquitto.log').count(b'Sending SUBACK to ' + name.encode()) > before, 'the subscription')
        return p, out

    def publish(self, way, *words, **more):
        return run(['mosquitto_pub', '-p', way.port('mqtt'), *words], **more)

    def heard(self, p, out):
        wait_for(lambda: p.poll() is not None, 'the end of a subscriber')
        return p.poll(), self.place.read(out)

    def opened(self, way):
        self.idle = getattr(self, 'idle', {})
        self.idle[way.name] = (time.monotonic(), *self.subscriber(way, 'idle-' + way.name, '-k', KEEP_ALIVE, '-t', 'idle/' + way.name, '-C', '1'))

    @item('200 messages, QoS 0, 1 and 2, in order', unit='s', rounds=1)
    def levels(self, way):
        found = []
        for level in '012':
            p, out = self.subscriber(way, f'q{level}', '-t', 'levels', '-q', level, '-C', '200')
            self.publish(way, '-t', 'levels', '-q', level, '-l', input=''.join(f'{level} number {i}\n' for i in range(200)).encode())
            status, said = self.heard(p, out)
            found.append((status, said.decode().split('\n')[-3:], sha(said)))
        return found

    @item('a message of 1 MiB')
    def large(self, way):
        data = noise(5, 1 << 20)
        p, out = self.subscriber(way, 'large', '-t', 'large', '-q', '2', '-C', '1', '-N')
        self.publish(way, '-t', 'large', '-q', '2', '-s', input=data)
        status, said = self.heard(p, out)
        sure(said == data, 'not what was sent')
        return status, sha(said)

    @item('retained: who comes later gets it; and no more when it is cleared')
    def retained(self, way):
        topic = 'retained/' + way.name
        self.publish(way, '-t', topic, '-r', '-q', '1', '-m', 'for later')
        first = self.heard(*self.subscriber(way, 'later', '-t', topic, '-C', '1'))
        self.publish(way, '-t', topic, '-r', '-q', '1', '-n')
        none = run(['mosquitto_sub', '-p', way.port('mqtt'), '-t', topic, '-C', '1', '-W', '1'], status=27)
        return first, none.out

    @item('a session that stays: messages of the time between')
    def session(self, way):
        words = '-t', 'stays', '-q', '1', '-c'
        p, _ = self.subscriber(way, 'stays', *words, '-C', '1')
        self.publish(way, '-t', 'stays', '-q', '1', '-m', 'one')
        self.heard(p, self.place / 'mosquitto.log')
        self.publish(way, '-t', 'stays', '-q', '1', '-l', input=b'two\nthree\nfour\n')
        got = self.heard(*self.subscriber(way, 'stays', *words, '-C', '3'))
        run(['mosquitto_sub', '-p', way.port('mqtt'), '-i', 'stays', '-t', 'stays', '-E'])  # a clean one forgets it
        return got

    @item('the last will of a client that is killed')
    def will(self, way):
        hears, out = self.subscriber(way, 'heir', '-t', 'will', '-C', '1')
        dies, _ = self.subscriber(way, 'dies', '-t', 'other', '-k', '600', '--will-topic', 'will', '--will-payload', 'gone')
        dies.kill()
        dies.wait()
        return self.heard(hears, out)

    @item(f'a subscriber that was idle for longer than {KEEP_ALIVE} s of keep-alive')
    def idles(self, way):
        begin, p, out = self.idle[way.name]
        time.sleep(max(0.0, begin + IDLE - time.monotonic()))
        if p.poll() is None:
            self.publish(way, '-t', 'idle/' + way.name, '-q', '2', '-m', 'awake?')
        sure(self.place.read('mosquitto.log').count(b'New client connected') > 0, 'nobody came')
        asked = self.place.read('mosquitto.log').count(f'Received PINGREQ from idle-{way.name}'.encode())
        status, said = self.heard(p, out)
        sure(asked, 'it has not asked')
        self.idle[way.name] = begin, p, out
        return status, said


PROGRAMS = [Mqtt]
