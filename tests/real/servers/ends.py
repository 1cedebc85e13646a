"""How connections end: ends.py PORT serves, ends.py PORT KIND is a client, and prints what it saw.

now: the server resets at once; answer: it answers 100,000 bytes and resets when the client has them; upload: it resets while the client sends
without end; end: it answers and ends; client: the client resets, and asks by another connection what the server saw; download: the same while
the server sends without end."""
import socket, socketserver, struct, sys, time

saw = []


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        s = self.request
        kind = s.recv(7).decode().strip()
        if kind == 'now':
            reset(s)
        elif kind == 'answer':
            s.sendall(b'x' * 100000)
            s.recv(7)  # it has them
            reset(s)
        elif kind == 'upload':
            for _ in range(50):
                s.recv(65536)
            reset(s)
        elif kind == 'end':
            s.sendall(b'x' * 100000)
        elif kind in ('client', 'downloa'):
            s.sendall(b'ready')
            try:
                while kind == 'downloa':
                    s.sendall(b'x' * 65536)
                while s.recv(100):
                    pass
                saw.append('end')
            except OSError as e:
                saw.append('a reset' if isinstance(e, (ConnectionResetError, BrokenPipeError)) else e.strerror)
        elif kind == 'saw':
            limit = time.monotonic() + 20
            while not saw and time.monotonic() < limit:
                time.sleep(0.02)
            s.sendall((saw.pop() if saw else 'nothing').encode())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True

    def shutdown_request(self, request):
        request.close()  # without a shutdown: of a closed one there is nothing to end


def client(port, kind):
    s = socket.create_connection(('127.0.0.1', port))
    s.sendall(kind.ljust(7)[:7].encode())
    got = 0
    try:
        if kind in ('client', 'download'):
            s.recv(5)
            time.sleep(0.1 if kind == 'download' else 0)  # by then nothing more goes
            reset(s)
            s = socket.create_connection(('127.0.0.1', port))
            s.sendall(b'saw    ')
            print('the server saw:', s.recv(100).decode())
            return
        while kind == 'upload':
            s.sendall(b'y' * 65536)
        while kind == 'answer' and got < 100000:
            got += len(s.recv(65536))
        if kind == 'answer':
            s.sendall(b'thanks!')
        while True:
            data = s.recv(65536)
            got += len(data)
            if not data:
                break
        print(got, 'bytes, then the end')
    except OSError as e:
        # Whoever writes hears either of the two.
        print(got, 'bytes, then', 'a reset' if isinstance(e, (ConnectionResetError, BrokenPipeError)) else e.strerror)


if len(sys.argv) > 2:
    client(int(sys.argv[1]), sys.argv[2])
else:
    Server(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
