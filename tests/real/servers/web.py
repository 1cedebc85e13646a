"""What nginx has no module for: web.py PORT serves an echo of POST, and of the messages of a WebSocket (RFC 6455); web.py PORT client is a
client of the latter, and prints what came of it."""
import base64, hashlib, os, socket, struct, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def frame(kind, data, mask=None):
    size = len(data)
    head = bytes([0x80 | kind]) + (bytes([size | (0x80 if mask else 0)]) if size < 126 else
                                   struct.pack('!BH', 126 | (0x80 if mask else 0), size) if size < 65536 else
                                   struct.pack('!BQ', 127 | (0x80 if mask else 0), size))
    if mask:
        key = (mask * (size // 4 + 1))[:size]
        data = (int.from_bytes(data, 'big') ^ int.from_bytes(key, 'big')).to_bytes(size, 'big')
    return head + (mask or b'') + data


def read_frame(f):
    first, second = f.read(2)
    size = second & 127
    if size == 126:
        size = struct.unpack('!H', f.read(2))[0]
    elif size == 127:
        size = struct.unpack('!Q', f.read(8))[0]
    mask = f.read(4) if second & 128 else b''
    data = f.read(size)
    if mask:
        key = (mask * (size // 4 + 1))[:size]
        data = (int.from_bytes(data, 'big') ^ int.from_bytes(key, 'big')).to_bytes(size, 'big')
    return first & 15, data


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        data = self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(200)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.send_response(101)
        self.send_header('Upgrade', 'websocket')
        self.send_header('Connection', 'Upgrade')
        self.send_header('Sec-WebSocket-Accept', accept_of(self.headers['Sec-WebSocket-Key']))
        self.end_headers()
        self.close_connection = True
        while True:
            kind, data = read_frame(self.rfile)
            self.wfile.write(frame(PONG if kind == PING else kind, data))
            if kind == CLOSE:
                return

    def log_message(self, *words):
        pass


def client(port):
    s = socket.create_connection(('127.0.0.1', port))
    f = s.makefile('rb')
    s.sendall(f'GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
              f'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'.encode())
    lines = []
    while not lines or lines[-1]:
        lines.append(f.readline().strip())
    assert lines[0].split()[1] == b'101', lines
    assert b's3pPLMBiTxaQ9kYGzzhZRbK+xOo=' in b' '.join(lines), lines  # RFC 6455, 1.3
    right = 0
    for i in range(200):
        s.sendall(frame(TEXT, b'message %d' % i, os.urandom(4)))
        right += read_frame(f) == (TEXT, b'message %d' % i)
    big = os.urandom(1 << 20)
    s.sendall(frame(BINARY, big, os.urandom(4)))
    same = read_frame(f) == (BINARY, big)
    s.sendall(frame(PING, b'there?', os.urandom(4)))
    pong = read_frame(f)
    s.sendall(frame(CLOSE, struct.pack('!H', 1000), os.urandom(4)))
    closed = read_frame(f)
    print(right, same, pong, closed, f.read())


if len(sys.argv) > 2:
    client(int(sys.argv[1]))
else:
    ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
