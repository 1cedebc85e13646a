#!/usr/bin/env python3
"""Where a corpus begins: inputs made of what other tests know. seeds.py FOLDER puts them into FOLDER/TARGET, for run.sh.

Sources: tests/data (captures, packets of every type, vectors of the command line), and texts of the tests of proxies, peers and
host lists. Run once for a new target; `make fuzz FUZZ=merge` keeps what reaches something of its own.
"""
import os
import re
import struct
import sys

MARK = b"\xf5"


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


class Seeds:
    def __init__(self, folder):
        self.folder = folder
        self.count = {}

    def add(self, target, data):
        if isinstance(data, str):
            data = data.encode("latin-1", "replace")
        folder = os.path.join(self.folder, target)
        os.makedirs(folder, exist_ok=True)
        n = self.count.get(target, 0)
        self.count[target] = n + 1
        with open(os.path.join(folder, f"seed-{n:04}"), "wb") as f:
            f.write(data)


def literals(path):
    """String literals of a test's source."""
    for text in re.findall(r'"((?:[^"\\\n]|\\.)*)"', read(path)):
        yield re.sub(r"\\(x[0-9a-f]{1,2}|[rnt0\"\\])", lambda m: {"r": "\r", "n": "\n", "t": "\t", "0": "\0"}.get(
            m[1], chr(int(m[1][1:], 16)) if m[1][0] == "x" else m[1]), text)


def packets(seeds):
    dialects = {"1": "packet1", "0.3": "packet03", "?": "packet03"}
    for line in read("tests/data/dump-packets.txt").split("\n"):
        m = re.match(r"(sent|received) (\S+) ([0-9a-f ]+)$", line)
        if m:
            seeds.add(dialects[m[2]], bytes.fromhex(m[3].replace(" ", "")))
    for name in ("tcp-one-channel.txt", "udp-one-flow.txt"):
        for line in read("tests/data/captures/" + name).split("\n"):
            m = re.search(r" : ([0-9a-f ]+)$", line)
            if m:
                seeds.add("packet03", bytes.fromhex(m[1].replace(" ", "")))


def words_of(text):
    return ["".join(a or b or c for a, b, c in re.findall(r"""'([^']*)'|"([^"]*)"|([^\s'"]+)""", w))
            for w in re.findall(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+""", text)]


def options(seeds):
    for line in read("tests/data/option-vectors.txt").split("\n"):
        m = re.match(r"\d+ (parse|hosts|choose|args) (.*?) => ", line)
        if not m:
            continue
        words = words_of(m[2])
        files = [w for w in words if w.startswith("FILE:")]
        if m[1] in ("parse", "choose"):
            plain = [w for w in words if not w.startswith("FILE:")]
            seeds.add("options", "\n".join(plain))
            sections = ["\n".join(plain), "\n".join(reversed(plain))]
            for f in files:
                name, text = f[5:].split("=", 1)
                sections.append(name + "\n" + text.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r"))
            seeds.add("config", "\0".join(sections))
        if m[1] == "hosts":
            parts = m[2].split(" @ ")
            who = parts[1].strip() if len(parts) > 1 else "10.1.1.1"
            seeds.add("hosts", "\0" + words_of(parts[0])[-1] + "\0\x1f\x57\1" + who + "\0\0\0\0" + "host\0")
    for use in range(5):
        for text in literals("tests/test_hostlist.cc"):
            if len(text) < 60:
                seeds.add("hosts", chr(use) + text + "\0\x1f\x57\1" + "10.1.1.1\0\0\x50\0::1\0")
    for text in ("http", "http,https/{80,443}", "*,!telnet", "+ftp/21", "socks/1080-1090"):
        seeds.add("hosts", "\x80" + text + "\0\0\x50http\0\4\x38socks\0")
    for text in ("8023", "8023-8025", "{8023,8024}", "*", "53/udp,80/tcp", "{host:80,h:81}"):
        seeds.add("hosts", "\x49" + text)
    conf = [l for l in read("packaging/sockmux.conf").split("\n")]
    seeds.add("config", "\n".join(l.lstrip("#").strip() for l in conf)[:2800])


def peers(seeds):
    keys = ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "//////////////////////////////////////////8=",
            "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8="]
    rights = sorted({t for t in literals("tests/test_peers.cc") if re.match(r"(PORT|DEST|FROM)=", t) and len(t) < 90})
    for i, r in enumerate(rights):
        seeds.add("peers", f"# who\nbranch{i} {keys[i % 3]} {r}\n")
    seeds.add("peers", "".join(f"p{i}\t{k} PORT=22{i},8023/udp DEST=127.0.0.1:80 FROM=10.0.0.0/8 PSK={keys[0]}\r\n" for i, k in enumerate(keys)))


def dialogues(seeds):
    m = MARK.decode("latin-1")
    answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    requests = [t for t in literals("tests/test_proxy_http.cc") if re.match(r"[A-Z]+ \S+ HTTP/1", t)]
    answers = [t for t in literals("tests/test_proxy_http.cc") if t.startswith("HTTP/1.")]
    fields = [t for t in literals("tests/test_proxy_http.cc") if re.match(r"[A-Z][A-Za-z-]+: ?\S*.*\r\n$", t)]
    for i, r in enumerate(requests):
        seeds.add("http_head", r)
        for bound in "\0\1":
            seeds.add("http", bound + "\2" + r + m + "s" + answers[i % len(answers)] + m + "S" + m + "c" + r)
    for i, a in enumerate(answers):
        seeds.add("http_head", a)
        seeds.add("http", "\0\2GET http://host/path?q HTTP/1.1\r\nHost: host\r\n\r\n" + m + "s" + a + "data" + m + "S")
    for f in fields:
        seeds.add("http_head", "POST http://host/ HTTP/1.1\r\nHost: host\r\n" + f + "\r\n")
        seeds.add("http", "\0\2POST http://host/ HTTP/1.1\r\nHost: host\r\n" + f + "\r\nbody" + m + "s" + answer)
    chunks = "5;a=b\r\nhello\r\n0a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
    for how in "\2\3\12\33":
        seeds.add("http", "\0" + how + "POST http://host/ HTTP/1.1\r\nHost: host\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + m + "s" +
                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    seeds.add("http", "\0\2CONNECT host:443 HTTP/1.1\r\nHost: host:443\r\n\r\ntls" + m + "sback" + m + "S" + m + "C")
    for t in ("host\r\n", "host 2323\r\n", "telnet://host:23\r\n", "\xff\xfd\x01\xff\xfa\x18\x00xterm\xff\xf0host\r\0user\r\n", "quit\r\n", "[2001:db8::1]:23\n"):
        for how in "\0\2\10":
            seeds.add("telnet", how + t.replace("\xf5", m + m) + m + "k" + m + "slogin: " + m + "cme\r\n" + m + "S")
            seeds.add("telnet", how + t + m + "x\1" + "other\r\n" + m + "t")
    socks = ["\5\1\0" + "\5\1\0\3\4host\0\x50data", "\5\2\0\2\5\1\0\1\xc0\0\2\1\0\x50", "\5\1\0\5\3\0\1\0\0\0\0\0\0", "\4\1\0\x50\xc0\0\2\1user\0",
             "\4\1\0\x50\0\0\0\1user\0host.example\0data", "\5\1\0\5\1\0\4" + "\x20\1\x0d\xb8" + "\0" * 11 + "\1\1\0", "\5\1\0\5\2\0\1\1\2\3\4\0\x50"]
    for s in socks:
        for how in "\0\2\6\12":
            seeds.add("socks", how + s + m + "k" + m + "sback" + m + "C")
            seeds.add("socks", how + s + m + "x\3")
    seeds.add("socks_udp", "\0\0\0\1\xc0\0\2\1\0\x35data")
    seeds.add("socks_udp", "\0\0\0\3\4host\0\x35data")
    seeds.add("socks_udp", "\0\0\0\4" + "\x20\1\x0d\xb8" + "\0" * 12 + "\0\x35data")
    says = [t for t in literals("tests/test_ftp.cc") if t.endswith("\r\n")]
    commands = [t for t in says if re.match(r"[A-Z]{3,4}\b", t)]
    replies = [t for t in says if re.match(r"[0-9]{3}[ -]", t)]
    for i, c in enumerate(commands):
        for kind in "\0\1\2":
            seeds.add("ftp", kind + "\2" + "USER me@host\r\n" + m + "s220 hello\r\n" + m + "c" + c + m + "s" + replies[i % len(replies)] + m + "d\1" +
                      m + "c" + commands[(i * 7 + 3) % len(commands)] + m + "s" + replies[(i * 5 + 1) % len(replies)])
        seeds.add("ftp_text", c)
    for r in replies:
        seeds.add("ftp_text", r)
        seeds.add("ftp", "\0\2" + m + "s220 hello\r\n" + m + "cPASV\r\n" + m + "s" + r + m + "d\1" + m + "cRETR a\r\n" + m + "s150 ok\r\n226 done\r\n")


def line(seeds):
    seeds.add("line", b"\0\1\0\2\7" + b"\4abcd" + b"\5hello" + b"\x41" + b"\x05ab\0c\0\0")
    seeds.add("line", b"\xff\xff\0\2\0" + b"\0" + b"\x64" + b"x" * 100)


def pcapng(packets):
    """A file as sockmuxctl dump -w writes it."""
    def block(kind, body):
        body += b"\0" * (-len(body) % 4)
        size = len(body) + 12
        return struct.pack("<II", kind, size) + body + struct.pack("<I", size)
    name = b"session 1: tcp 198.51.100.7:41022"
    out = block(0x0a0d0d0a, struct.pack("<IHHq", 0x1a2b3c4d, 1, 0, -1))
    out += block(1, struct.pack("<HHIHH", 147, 0, 0, 2, len(name)) + name + b"\0" * (-len(name) % 4) + struct.pack("<HH", 0, 0))
    for i, (sent, dialect, packet) in enumerate(packets):
        body = bytes([1, sent, {"1": 1, "0.3": 3}.get(dialect, 0), 0]) + struct.pack(">I", 1) + packet
        out += block(6, struct.pack("<IIIII", 0, 0x60000, i, len(body), len(body)) + body + b"\0" * (-len(body) % 4) +
                     struct.pack("<HHIHHQHH", 2, 4, 1, 4, 8, i % 3, 0, 0))
    return out


def told(seeds):
    """What daemons say, and what they are asked."""
    packets = []
    for line in read("tests/data/dump-packets.txt").split("\n"):
        m = re.match(r"(sent|received) (\S+) ([0-9a-f ]+)$", line)
        if m:
            packets.append((m[1] == "sent", m[2], bytes.fromhex(m[3].replace(" ", ""))))
    for i in range(0, len(packets), 6):
        some = packets[i:i + 6]
        for how in b"\0\1\x81":
            seeds.add("dump", bytes([how]) + pcapng(some))
        lines = ["1 ok", "begin", "session\t1\tbranch1\ttcp 198.51.100.7:41022"]
        for sent, dialect, p in some:
            lines.append(f"packet\t1764096000000000\t{'sent' if sent else 'received'}\t1\t{dialect}\t{len(p)}\t{p[:20].hex()}")
            if len(p) > 20:
                lines.append("more\t" + p[20:].hex())
            lines.append("lost\t3")
        seeds.add("dump", b"\xf2" + "\n".join(lines + ["end", ""]).encode())
    titles = []
    for name in ("channels", "peers", "ports", "probe"):
        for title in re.findall(r'reply\.line\(("[a-z_\\" \n]*")\)', read(f"daemon_{name}.cc")):
            titles.append("".join(re.findall(r'"([^"]*)"', title)).replace("\\t", "\t"))
    values = {"kind": "tcp", "state": "up", "id": "1.17.3", "name": "branch1", "session": "1", "dialect": "1", "address": "198.51.100.7:41022"}
    tables = []
    for t in titles:
        columns = t.split("\t")
        rows = ["\t".join(values.get(c, str(i * 1237 + n)) for i, c in enumerate(columns)) for n in range(3)]
        tables.append("\n".join([t] + rows))
    names = re.findall(r'f\.add\("([a-z_]+)"', read("daemon_status.cc"))
    status = "\n".join(f"{n}\t{v if n == 'name' else i * 997}" for i, (n, v) in enumerate((n, "value") for n in names))
    for how in range(9):
        for more in (0, 0x80, 0x40):
            for n in range(len(tables)):
                first = [status] if how in (0, 3, 8) else []
                seeds.add("ctl", bytes([how + (more - how % 9 + how) // 9 * 9 if more else how]) +
                          "\0".join("+" + a for a in first + tables[n:] + tables[:n]).encode())
            seeds.add("ctl", bytes([how | more]) + ("+" + status + "\0+" + tables[0]).encode())
    seeds.add("ctl", b"\x04+warning\tx\nerror\ta.conf:1: y\nfailed\tno\0")
    seeds.add("ctl", b"\x04+done\tports +1\0")
    seeds.add("ctl", b"\x061 error no such peer\n\0+" + tables[1].encode())
    for ask in ("1 plain\n", "1 count\n", "1 count none\n", "1 last\n", "1 plain x\n", "2 plain\n", "plain\n", "1  count  a \n", "1 nothing\n"):
        for how in b"\0\1\2\3\x43":
            seeds.add("control", bytes([how]) + ask.encode())


def muxes(seeds):
    """Scripts as mux_pair.cc, mux_peer.cc and mux_line.cc read them: open, write, deliver, cut; shake hands, CONNECT, SEND, CREDIT."""
    for how in (0x18, 0x1a, 0x1b, 0x3c):
        for body in ("1d03 00 02ff20 1d03 82ff10 1d03", "1d03 01 02ff40 1d03", "1d03 00 800023ff 13 1503 18 19 1d03", "1d03 0d 1d03 8c00 1d03 00 1d03 0400 1d03",
                     "1d03 00 22ff 1300 1b00000107 1d03", "1d03 00 22ff 1300 1b00020107 1d03"):
            seeds.add("mux_pair", bytes([how, 3, how, 3]) + bytes.fromhex(body.replace(" ", "")))
    for how in (0x00, 0x08, 0x04, 0x80, 0x83):
        for shake in ("00", "01"):
            for body in ("04 01 06 01 20 0a 01 07d0 49 01", "24 02 10 02 05", "11 13 00 20 0f 00 2a 00 00ff 14 00 49 00", "12 2f 00", "1b 1c 00 00 03 09",
                         "04 01 66 01 ff 16 00 04 06 01 30 36 00 0b"):
                seeds.add("mux_peer", bytes([how, 3, 0]) + bytes.fromhex("00" + shake + body.replace(" ", "")))
    for rate in range(5):
        for body in ("00 01ff40 0d 81ff20 3d 08000012 3d", "20 01ff30 2d 0b2800 3d", "00 21ffff 05ff 0a080000 06ff 3d 6c 3d"):
            seeds.add("mux_line", bytes([rate, 0, 0]) + bytes.fromhex(body.replace(" ", "")))


def secure(seeds):
    for how in range(0, 64, 4):
        for carrier in range(3):
            seeds.add("secure_handshake", bytes([how + carrier - (how + carrier) % 3 + carrier, 7, 5, 0, 9, 0, 30, 0]))
            seeds.add("secure_handshake", bytes([how, 7, 5, 1, 0, 60, 1, 0, 0]))
    for n in range(1, 7):
        seeds.add("secure_records", bytes([n] + [0, 20, 1, 30, 2, 9] * n + [1, 0, 1, 0]))
        seeds.add("secure_records", bytes([n] + [0, 20] * n + [1, 1, 0, 3, 9, n % 4, 1, 7]))
    for how in range(8):
        seeds.add("secure_message", bytes([how]) + b"noiseSMXS\x01\x01\x00\x60" + bytes(96 + 16) + b"SMXS\x01\x03\x00\x01\x02")
        seeds.add("secure_message", bytes([how]) + b"SMXS\x01\x02\x00\x30" + bytes(48))
    seeds.add("secure_message", b"\x08AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    for how in range(4):
        seeds.add("secure_line", bytes([how]) + bytes.fromhex("0e0e0e0e0e 0005 0305 8005 83 0e 07 0800 0e 09 03 0e 6d 0e0e 027f 0e".replace(" ", "")))


def main():
    seeds = Seeds(sys.argv[1])
    for part in (packets, options, peers, dialogues, line, told, muxes, secure):
        part(seeds)
    print(", ".join(f"{t} {n}" for t, n in sorted(seeds.count.items())))


if __name__ == "__main__":
    main()
