"""nginx with wrk and curl: kept connections, many files, ranges, uploads, HTTP/2, and clients that leave."""
import os, re, sys

from place import HERE, Ports, accepts, noise, run, sha, sha_file, sha_tree, sure, wait_for
from program import Program, Service, item

FILES = 200


class Web(Program):
    name, needs = 'web', ('nginx', 'wrk', 'curl', 'openssl', 'python3')

    def start(self):
        plain, tls, socket = Ports.free(), Ports.free(), Ports.free()
        os.makedirs(self.place / 'www/many')
        os.makedirs(self.place / 'www/put')
        os.chmod(self.place / 'www/put', 0o777)
        os.symlink(self.data / 'big', self.place / 'www/big')
        self.place.write('www/small', 'a small page\n')
        for i in range(FILES):
            self.place.write(f'www/many/{i}', noise(i, i * 101))
        run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '7', '-subj', '/CN=localhost',
             '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', self.place / 'key', '-out', self.place / 'cert'])
        built = run(['nginx', '-V']).err.decode()
        modules = ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi')
        temps = ''.join(f'{m}_temp_path {self.place / m};' for m in modules if f'--without-http_{m}_module' not in built)
        sure('http_dav_module' in built and 'http_v2_module' in built, 'this nginx has no dav or no HTTP/2')
        common = f'root {self.place / "www"}; client_max_body_size 100m; location /put/ {{ dav_methods PUT DELETE; }}'
        self.place.write('nginx.conf', f'daemon off; worker_processes 1; pid {self.place / "pid"}; error_log stderr;\n'
                         f'events {{ worker_connections 1024; }}\nhttp {{ access_log off; keepalive_timeout 60; keepalive_requests 1000000;\n'
                         f'gzip off; if_modified_since before; {temps}\n'
                         f'server {{ listen 127.0.0.1:{plain} backlog=1024; {common} }}\n'
                         f'server {{ listen 127.0.0.1:{tls} ssl http2; ssl_certificate {self.place / "cert"};\n'
                         f'ssl_certificate_key {self.place / "key"}; {common} }} }}\n')
        self.place.start('nginx', ['nginx', '-p', self.place.folder, '-c', self.place / 'nginx.conf'])
        self.place.start('websocket', [sys.executable, '-B', os.path.join(HERE, 'servers', 'web.py'), socket])
        for port in (plain, tls, socket):
            wait_for(lambda: accepts(port), 'nginx')
        return {'http': Service(plain), 'https': Service(tls), 'app': Service(socket)}

    def url(self, way, page, service='http'):
        return f'{"https" if service == "https" else "http"}://127.0.0.1:{way.port(service)}/{page}'

    def curl(self, *words, **more):
        return run(['curl', '-sS', *words], **more)

    def wrk(self, way, *words):
        out = run(['wrk', '-t', '1', '-c', '32', '-d', '1', *words, self.url(way, 'small')]).text
        wrong = [line for line in out.splitlines() if 'errors' in line or 'Non-2xx' in line]
        return wrong, float(re.search(r'Requests/sec: *([\d.]+)', out).group(1))

    @item('wrk: 32 kept connections', unit='/s')
    def kept(self, way):
        return self.wrk(way)

    @item('wrk: a connection for each request, 32 at once', unit='/s')
    def short(self, way):
        return self.wrk(way, '-H', 'Connection: close')

    @item('curl: 24 MiB', unit='s')
    def big(self, way):
        self.curl('-o', self.place / 'got', self.url(way, 'big'))
        return sha_file(self.place / 'got')

    @item(f'curl --parallel: {FILES} files, 50 at once', unit='s')
    def many(self, way):
        folder = self.place.fresh('many')
        self.curl('-Z', '--parallel-max', '50', '-o', folder + '/#1', self.url(way, f'many/[0-{FILES - 1}]'))
        sure(sha_tree(folder) == sha_tree(self.place / 'www/many'), 'the files are not the same')
        return sha_tree(folder)

    @item('curl: ten requests in one connection, then HTTP/1.0')
    def one_connection(self, way):
        kept = self.curl('-w', ' %{num_connects} %{http_code} ', self.url(way, 'small?[1-10]')).out
        return kept, self.curl('-0', '-i', self.url(way, 'small'), '-w', '%{http_version}').out.split(b'\r\n\r\n')[1:]

    @item('curl: ranges, several at once, and the rest of a file')
    def ranges(self, way):
        found = [sha(self.curl('-r', r, self.url(way, 'big')).out) for r in ('0-99', '1000000-1999999', '-500', '24000000-')]
        parts = self.curl('-r', '0-9,100-199,5000-5999', self.url(way, 'big')).out
        sure(parts.count(b'Content-Range') == 3, 'not three ranges')
        self.place.write('rest', self.data.read('big')[:9000000])
        self.curl('-C', '-', '-o', self.place / 'rest', self.url(way, 'big'))
        sure(sha_file(self.place / 'rest') == sha_file(self.data / 'big'), 'the rest is not right')
        return found, len(parts), sha_file(self.place / 'rest')

    @item('curl: HEAD, 304, 404, 405, 416')
    def codes(self, way):
        code = '-o', '/dev/null', '-w', '%{http_code} %{size_download}'
        return [self.curl(*code, *words, self.url(way, page)).text for words, page in (
            (['-I'], 'big'), (['-z', 'tomorrow'], 'small'), ([], 'none'), (['-X', 'DELETE'], 'small'), (['-r', '99999999-'], 'small'))]

    @item('curl: PUT of 24 MiB, and what is there then; DELETE', unit='s')
    def put(self, way):
        codes = [self.curl('-T', self.data / 'big', '-w', '%{http_code}', '-o', '/dev/null', self.url(way, 'put/it')).text]
        sure(sha_file(self.place / 'www/put/it') == sha_file(self.data / 'big'), 'not what was sent')
        for _ in range(2):
            codes.append(self.curl('-X', 'DELETE', '-w', '%{http_code}', '-o', '/dev/null', self.url(way, 'put/it')).text)
        return codes

    @item('curl: PUT in chunks, POST and its echo, by 100 Continue')
    def chunks(self, way):
        data = noise(3, 3000001)
        words = ['-T', '-', '-H', 'Transfer-Encoding: chunked', '-w', '%{http_code}', '-o', '/dev/null']
        code = self.curl(*words, self.url(way, 'put/chunks'), input=data).text
        sure(self.place.read('www/put/chunks') == data, 'not what was sent')
        os.unlink(self.place / 'www/put/chunks')
        back = self.curl('--data-binary', '@-', '-H', 'Expect: 100-continue', self.url(way, 'echo', 'app'), input=data).out
        sure(back == data, 'the echo is not right')
        return code, sha(back)

    @item('curl: HTTP/2 over TLS, 100 files in one connection', unit='s')
    def http2(self, way):
        folder = self.place.fresh('h2')
        words = ['--http2', '-Z', '--cacert', self.place / 'cert', '-o', folder + '/#1', '-w', '%{http_version}\n']
        said = self.curl(*words, self.url(way, 'many/[0-99]', 'https')).text
        return sorted(set(said.split())), sha_tree(folder)

    @item('curl: clients that leave: in the middle, in time, at a limit')
    def leaves(self, way):
        url = self.url(way, 'big')
        head = run(['sh', '-c', f'curl -s {url} | head -c 100000 | wc -c']).text.strip()
        large = self.curl('--max-filesize', '1000', url, status=63).status
        return head, large, self.curl('--limit-rate', '1M', '--max-time', '0.3', '-o', '/dev/null', url, status=28).status

    @item('a WebSocket: 200 messages each way, one of 1 MiB, close')
    def websocket(self, way):
        done = run([sys.executable, '-B', os.path.join(HERE, 'servers', 'web.py'), way.port('app'), 'client'])
        return done.out


PROGRAMS = [Web]
