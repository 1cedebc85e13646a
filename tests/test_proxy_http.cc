// The HTTP proxy's dialogue, its parser and its bodies: byte by byte, in pieces of any size, and with what must not pass.
#include "relay/http.h"
#include "tests/dialogue_player.h"

using namespace smx;

namespace {

using Http = Player<HttpDialogue>;
using Next = Dialogue::Next;
constexpr size_t kPieces[] = {1, 0, SIZE_MAX};  // 0: of 1 to 7 bytes

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
bool begins(const std::string& text, const std::string& part) { return text.compare(0, part.size(), part) == 0; }

// Connects at once, and answers with that.
std::function<void(Http&)> answers(const std::string& answer, size_t piece = SIZE_MAX) {
  return [=](Http& h) {
    h.connect_ok();
    h.server_says(answer, piece);
  };
}

const std::string kGet = "GET http://host/path?q HTTP/1.1\r\nHost: host\r\n\r\n";
const std::string kHead = "GET /path?q HTTP/1.1\r\nHost: host\r\nVia: 1.1 sockmuxd\r\nConnection: close\r\n\r\n";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const std::string kOkPassed = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nVia: 1.1 sockmuxd\r\n\r\nhello";

// The status of the page that answers this request; 0: it was passed on.
int status_of(const std::string& request, size_t piece = SIZE_MAX) {
  Http h;
  h.client_says(request, piece);
  if (!h.wishes.empty() || h.client.size() < 12) return 0;
  CHECK(h.last == Next::close);
  CHECK(has(h.client, "Connection: close\r\n"));
  return std::stoi(h.client.substr(9, 3));
}
std::string with(const std::string& fields) { return "POST http://host/ HTTP/1.1\r\nHost: host\r\n" + fields + "\r\n"; }

}  // namespace

TEST_CASE("http: a request is passed on in origin form, its answer comes back, and the connection stays") {
  for (const size_t piece : kPieces) {
    CAPTURE(piece);
    Http h;
    h.on_wish = answers(kOk, piece);
    h.client_says(kGet, piece);
    CHECK(h.wishes == std::vector<std::string>{"http host:80 yes"});
    CHECK(h.server == kHead);
    CHECK(h.client == kOkPassed);
    CHECK(h.last == Next::wait);
    // The next one, to another server.
    h.server.clear();
    h.client.clear();
    h.client_says("GET http://other:8080 HTTP/1.1\r\nHost: ignored\r\nAccept:*/*\r\n\r\n", piece);
    CHECK(h.wishes.back() == "http other:8080 yes");
    CHECK(h.server == "GET / HTTP/1.1\r\nHost: other:8080\r\nAccept: */*\r\nVia: 1.1 sockmuxd\r\nConnection: close\r\n\r\n");
    CHECK(h.client == kOkPassed);
  }
}

TEST_CASE("http: pipelined requests are answered one by one, in order") {
  for (const size_t piece : kPieces) {
    Http h;
    int n = 0;
    h.on_wish = [&n](Http& p) {
      p.connect_ok();
      const std::string body = "answer " + std::to_string(++n);
      p.server_says("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    };
    // A server that answers before it has the whole request ends the connection: so the one with a body comes in one piece.
    const std::string post = "POST http://b/ HTTP/1.1\r\nHost: b\r\nContent-Length: 4\r\n\r\nGET ";
    h.client_says(kGet, piece);
    h.client_says(post + kGet, SIZE_MAX);
    h.run();
    CHECK(h.wishes.size() == 3);
    const size_t one = h.client.find("answer 1"), two = h.client.find("answer 2"), three = h.client.find("answer 3");
    CHECK(one < two);
    CHECK(two < three);
    CHECK(three != std::string::npos);
    CHECK(has(h.server, "Connection: close\r\n\r\nGET GET /path?q"));
  }
}

TEST_CASE("http: CONNECT is raw behind its answer") {
  for (const size_t piece : kPieces) {
    Http h;
    h.on_wish = [](Http& p) { p.connect_ok(); };
    h.client_says("CONNECT host:443 HTTP/1.1\r\nHost: host:443\r\nProxy-Connection: keep-alive\r\n\r\n\x16\x03\x01 tls", piece);
    CHECK(h.wishes == std::vector<std::string>{"https host:443 yes"});
    CHECK(h.client == "HTTP/1.1 200 Connection established\r\n\r\n");
    CHECK(h.last == Next::raw);
    CHECK(h.server == "\x16\x03\x01 tls");
  }
  Http h;
  h.client_says("CONNECT [2001:db8::1]:8443 HTTP/1.0\r\n\r\n");
  CHECK(h.wishes == std::vector<std::string>{"https 2001:db8::1:8443 no"});
  for (const char* bad : {"host", "host:", "host:0", "host:65536", "http://host/", "[::1]", "/", "*", "a/b:1", "u@h:1", ":443"}) {
    CAPTURE(bad);
    CHECK(status_of("CONNECT " + std::string(bad) + " HTTP/1.1\r\nHost: x\r\n\r\n") == 400);
  }
  CHECK(status_of("CONNECT host:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc") == 400);
}

TEST_CASE("http: targets") {
  const auto wish = [](const std::string& target) {
    Http h;
    h.client_says("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
    return h.wishes.empty() ? h.client.substr(9, 3) : h.wishes[0];
  };
  CHECK(wish("http://host") == "http host:80 yes");
  CHECK(wish("HTTP://host/") == "http host:80 yes");
  CHECK(wish("http://host:/") == "http host:80 yes");
  CHECK(wish("http://host?q") == "http host:80 yes");
  CHECK(wish("http://host:8080/a?b@c") == "http host:8080 yes");
  CHECK(wish("http://[2001:db8::1]/") == "http 2001:db8::1:80 yes");
  CHECK(wish("http://[2001:db8::1]:81/") == "http 2001:db8::1:81 yes");
  for (const char* bad :
       {"http://", "http:///x", "http://:80/", "http://u:p@host/", "http://ho st/", "http://host:0/", "http://host:99999/", "http://[::1/",
        "http://[x]/", "host/x", "/x", "http:/x", "http://host/#f", "http://h\\x/", "http://h%41/"}) {
    CAPTURE(bad);
    CHECK(wish(bad) == "400");
  }
  for (const char* other : {"https://host/", "ftp://host/", "gopher://host/", "file:///etc/passwd", "ws://host/"})
    CHECK(wish(other) == "501");
  Http h;
  h.on_wish = answers(kOk);
  h.client_says("OPTIONS http://[2001:db8::1]:81 HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(begins(h.server, "OPTIONS * HTTP/1.1\r\nHost: [2001:db8::1]:81\r\n"));
  CHECK(has(wish("/"), "400"));
}

TEST_CASE("http: what two readers could read in two ways is refused") {
  for (const size_t piece : kPieces) {
    CAPTURE(piece);
    CHECK(status_of(with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), piece) == 400);
    CHECK(status_of(with("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), piece) == 400);
    for (const char* n : {"", "-1", "+3", "3,3", "3, 3", "0x3", "3 3", "99999999999999999999", "3;", "\"3\""})
      CHECK(status_of(with("Content-Length: " + std::string(n) + "\r\n"), piece) == 400);
    CHECK(status_of(with("Content-Length: 3\r\nContent-Length: 3\r\n"), piece) == 400);
    CHECK(status_of(with("Content-Length: 3\r\ncontent-length: 4\r\n"), piece) == 400);
    for (const char* te :
         {"gzip", "chunked, gzip", "gzip, chunked", "chunked, chunked", "xchunked", "\"chunked\"", "chunked;q=1", "identity", ""})
      CHECK(status_of(with("Transfer-Encoding: " + std::string(te) + "\r\n"), piece) == 501);
    CHECK(status_of(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), piece) == 501);
    CHECK(status_of(with("Transfer-Encoding : chunked\r\n"), piece) == 400);
    CHECK(status_of(with("Content-Length : 3\r\n"), piece) == 400);
    CHECK(status_of(with("A: b\r\n folded\r\n"), piece) == 400);
    CHECK(status_of(with("A: b\r\n\tfolded\r\n"), piece) == 400);
    CHECK(status_of("GET http://host/ HTTP/1.1\r\n A: b\r\nHost: x\r\n\r\n", piece) == 400);
    CHECK(status_of(with("A: b\rC: d\r\n"), piece) == 400);
    CHECK(status_of(with(std::string("A: b\0c\r\n", 8)), piece) == 400);
    CHECK(status_of(with("A b\r\n"), piece) == 400);
    CHECK(status_of(with(": b\r\n"), piece) == 400);
    CHECK(status_of(with("A(b): c\r\n"), piece) == 400);
    CHECK(status_of(with("Host: host\r\n"), piece) == 400);
    CHECK(status_of("GET http://host/ HTTP/1.1\r\n\r\n", piece) == 400);
    CHECK(status_of("GET http://host/ HTTP/1.0\r\n\r\n", piece) == 0);
    CHECK(status_of("POST http://host/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", piece) == 400);
  }
  for (const char* line : {"GET", "GET http://host/", "GET  http://host/ HTTP/1.1", " GET http://host/ HTTP/1.1",
                           "GET http://host/ HTTP/1.1 ", "GET http://host/ http/1.1", "GET http://host/ HTTP/11",
                           "G(T http://host/ HTTP/1.1", "GET http://host/ HTTP/1.x", "GET\thttp://host/\tHTTP/1.1", "\x80\xff\x01"}) {
    CAPTURE(line);
    CHECK(status_of(std::string(line) + "\r\nHost: x\r\n\r\n") == 400);
  }
  CHECK(status_of("GET http://host/ HTTP/2.0\r\nHost: x\r\n\r\n") == 505);
  CHECK(status_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == 505);
}

TEST_CASE("http: empty lines in front are skipped, lone LFs end lines") {
  for (const size_t piece : kPieces) {
    Http h;
    h.on_wish = answers("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", piece);
    h.client_says("\r\n\n\r\nGET http://host/path?q HTTP/1.1\nHost: host\n\n", piece);
    CHECK(h.server == kHead);
    CHECK(h.client == kOkPassed);
  }
}

TEST_CASE("http: a head has a bound, whatever comes") {
  for (const size_t piece : {size_t{1000}, size_t{65536}}) {
    Http line;
    line.client_says("GET http://host/" + std::string(1 << 20, 'a'), piece);
    CHECK(begins(line.client, "HTTP/1.1 414 "));
    CHECK(line.taken <= 70000);
    Http head;
    head.client_says("GET http://host/ HTTP/1.1\r\nA: " + std::string(1 << 20, 'a'), piece);
    CHECK(begins(head.client, "HTTP/1.1 431 "));
    CHECK(head.taken <= 131072);
    Http fields;
    std::string many = "GET http://host/ HTTP/1.1\r\nHost: x\r\n";
    for (int i = 0; i < 300; ++i) many += "A" + std::to_string(i) + ": b\r\n";
    fields.client_says(many + "\r\n", piece);
    CHECK(begins(fields.client, "HTTP/1.1 431 "));
  }
  std::string options = "close";
  for (int i = 0; i < 40; ++i) options += ", x" + std::to_string(i);
  CHECK(status_of(with("Connection: " + options + "\r\n")) == 431);
  // The longest that passes.
  Http h;
  h.on_wish = answers(kOk);
  std::string big = "GET http://host/ HTTP/1.1\r\nHost: host\r\nA: ";
  big += std::string(65536 - big.size() - 4, 'a') + "\r\n\r\n";
  h.client_says(big);
  CHECK(h.wishes.size() == 1);
  CHECK(h.client == kOkPassed);
}

TEST_CASE("http: fields of one hop end here") {
  Http h;
  h.on_wish = answers(
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-Server, keep-alive\r\nX-Server: 1\r\nKeep-Alive: timeout=5\r\nX-Stays: 2\r\nVia: 1.1 far\r\n\r\n");
  h.client_says(
      "GET http://host/ HTTP/1.1\r\nHost: host\r\nConnection: keep-alive, X-Mine\r\nx-mine: 1\r\nProxy-Connection: keep-alive\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
      "Trailer: X\r\nUpgrade: h2c\r\nProxy-Authorization: Basic eDp5\r\nAuthorization: Basic eDp5\r\nVia: 1.0 near\r\nX-Stays: 1\r\n\r\n");
  CHECK(
      h.server ==
      "GET / HTTP/1.1\r\nHost: host\r\nAuthorization: Basic eDp5\r\nVia: 1.0 near\r\nX-Stays: 1\r\nVia: 1.1 sockmuxd\r\nConnection: close\r\n\r\n");
  CHECK(h.client == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Stays: 2\r\nVia: 1.1 far\r\nVia: 1.1 sockmuxd\r\n\r\n");
}

TEST_CASE("http: what frames a message goes on, even if Connection names it") {
  for (const size_t piece : kPieces) {
    CAPTURE(piece);
    Http h;
    h.on_wish = [](Http& p) { p.connect_ok(); };
    h.client_says(with("Connection: Content-Length\r\nContent-Length: 3\r\n") + "abc", piece);
    h.server_says("HTTP/1.1 200 OK\r\nConnection: content-length, X\r\nX: y\r\nContent-Length: 5\r\n\r\nhello", piece);
    CHECK(h.server == "POST / HTTP/1.1\r\nHost: host\r\nContent-Length: 3\r\nVia: 1.1 sockmuxd\r\nConnection: close\r\n\r\nabc");
    CHECK(h.client == kOkPassed);
    CHECK(h.last == Next::wait);
    Http c;
    c.on_wish = h.on_wish;
    c.client_says(with("Proxy-Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n", piece);
    c.server_says("HTTP/1.1 200 OK\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", piece);
    CHECK(has(c.server, "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
    CHECK(c.client == "HTTP/1.1 200 OK\r\nVia: 1.1 sockmuxd\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  }
}

TEST_CASE("http: bodies of requests, by length and in chunks") {
  for (const size_t piece : kPieces) {
    CAPTURE(piece);
    Http h;
    h.on_wish = [](Http& p) { p.connect_ok(); };
    h.client_says(with("Content-Length: 10\r\n") + "0123456789", piece);
    h.server_says(kOk, piece);
    CHECK(has(h.server, "Content-Length: 10\r\n"));
    CHECK(has(h.server, "\r\n\r\n0123456789"));
    h.server.clear();
    h.client_says(with("Transfer-Encoding: chunked\r\n") + "5;x=y\r\nhello\r\n00A\r\n0123456789\r\n0\r\nTrailer: no\r\n\r\n", piece);
    h.server_says(kOk, piece);
    CHECK(has(h.server, "Transfer-Encoding: chunked\r\n"));
    CHECK(has(h.server, "\r\n\r\n5\r\nhello\r\na\r\n0123456789\r\n0\r\n\r\n"));
    CHECK(h.client == kOkPassed + kOkPassed);
    CHECK(h.last == Next::wait);
  }
}

TEST_CASE("http: chunks that are none") {
  for (const char* bad : {"\r\n", "x\r\n", "-1\r\n", "5\nhello", "5\r\nhelloX", "5\r\nhello\n0\r\n\r\n", "5 x\ny\r\nhello",
                          "1000000000000000\r\n", "5\rhello", "0x5\r\nhello", "5;\nA\r\nhello", "0\r\nA: b\n\r\n"}) {
    for (const size_t piece : kPieces) {
      CAPTURE(bad);
      Http h;
      h.on_wish = [](Http& p) { p.connect_ok(); };
      h.client_says(with("Transfer-Encoding: chunked\r\n") + bad, piece);
      CHECK(begins(h.client, "HTTP/1.1 400 "));
      CHECK(h.last == Next::close);
    }
  }
  Http h;
  h.on_wish = [](Http& p) { p.connect_ok(); };
  h.client_says(with("Transfer-Encoding: chunked\r\n") + "5;" + std::string(1 << 20, 'x'), 1000);
  CHECK(h.last == Next::close);
  CHECK(h.taken < 100000);
}

// Servers that do not know a chunk's size before they have it pad it with blanks.
TEST_CASE("http: what stands behind the sizes of chunks is bounded by the line, that of the trailer as a whole") {
  std::string body, chunks;
  for (int i = 0; i < 20000; ++i) body += "hello", chunks += i % 2 == 0 ? "5    \r\nhello\r\n" : "5;a=b\r\nhello\r\n";
  Http h;
  h.on_wish = [](Http& p) { p.connect_ok(); };
  h.client_says("GET http://host/ HTTP/1.0\r\n\r\n");
  h.server_says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + "0\r\n\r\n", 10000);
  CHECK(h.last == Next::close);
  const size_t at = h.client.find("\r\n\r\n");
  REQUIRE(at != std::string::npos);
  CHECK(h.client.substr(at + 4) == body);
  Http u;
  u.on_wish = h.on_wish;
  u.client_says(with("Transfer-Encoding: chunked\r\n") + chunks + "0\r\n\r\n", 10000);
  u.server_says(kOk);
  CHECK(u.client == kOkPassed);
  CHECK(u.last == Next::wait);
  Http t;
  t.on_wish = h.on_wish;
  std::string trailer = "0\r\n";
  for (int i = 0; i < 10000; ++i) trailer += "A: b\r\n";
  t.client_says(with("Transfer-Encoding: chunked\r\n") + trailer, 10000);
  CHECK(begins(t.client, "HTTP/1.1 400 "));
}

TEST_CASE("http: bodies of answers: length, chunks, the server's end; HEAD, 204, 304, 1xx") {
  for (const size_t piece : kPieces) {
    CAPTURE(piece);
    Http c;
    c.on_wish = answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", piece);
    c.client_says(kGet);
    CHECK(c.client == "HTTP/1.1 200 OK\r\nVia: 1.1 sockmuxd\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    CHECK(c.last == Next::wait);
    Http e;
    e.on_wish = answers("HTTP/1.0 200 OK\r\n\r\nhello", piece);
    e.client_says(kGet);
    CHECK(e.last == Next::wait);
    e.server_ends();
    CHECK(e.client == "HTTP/1.1 200 OK\r\nVia: 1.0 sockmuxd\r\nConnection: close\r\n\r\nhello");
    CHECK(e.last == Next::close);
    // A coding that is not chunked ends with the connection, and the client is told of it.
    Http z;
    z.on_wish = answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\nzipped", piece);
    z.client_says(kGet);
    CHECK(z.last == Next::wait);
    z.server_ends();
    CHECK(z.client == "HTTP/1.1 200 OK\r\nVia: 1.1 sockmuxd\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\nzipped");
    CHECK(z.last == Next::close);
    // Both are given: chunks count, the length goes.
    Http b;
    b.on_wish = answers("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", piece);
    b.client_says(kGet);
    CHECK_FALSE(has(b.client, "Content-Length"));
    CHECK(has(b.client, "5\r\nhello\r\n0\r\n\r\n"));
    for (const char* status : {"204 No Content", "304 Not Modified"}) {
      Http n;
      n.on_wish = answers("HTTP/1.1 " + std::string(status) + "\r\nX: y\r\n\r\n", piece);
      n.client_says(kGet + kGet);
      n.run();
      CHECK(n.wishes.size() == 2);
    }
    Http h;
    h.on_wish = answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", piece);
    h.client_says("HEAD http://host/ HTTP/1.1\r\nHost: host\r\n\r\n" + kGet);
    h.run();
    CHECK(h.wishes.size() == 2);
    Http i;
    i.on_wish = answers("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + kOk, piece);
    i.client_says("POST http://host/ HTTP/1.1\r\nHost: host\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    CHECK(has(i.server, "Expect: 100-continue\r\n"));
    CHECK(begins(i.client, "HTTP/1.1 100 Continue\r\n"));
    CHECK(has(i.client, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n"));
    CHECK(has(i.client, "HTTP/1.1 200 OK\r\n"));
  }
}

TEST_CASE("http: HTTP/1.0 clients get no chunks, no 1xx, and keep their connection only if they ask for it") {
  for (const size_t piece : kPieces) {
    Http h;
    h.on_wish = answers(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", piece);
    h.client_says("GET http://host/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK(h.client == "HTTP/1.1 200 OK\r\nVia: 1.1 sockmuxd\r\nConnection: close\r\n\r\nhello!");
    CHECK(h.last == Next::close);
    Http k;
    k.on_wish = answers(kOk, piece);
    k.client_says("GET http://host/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK(has(k.client, "Connection: keep-alive\r\n"));
    CHECK(k.last == Next::wait);
    CHECK(has(k.server, "Via: 1.0 sockmuxd\r\n"));
    Http p;
    p.on_wish = answers(kOk, piece);
    p.client_says("GET http://host/ HTTP/1.0\r\n\r\n");
    CHECK(p.last == Next::close);
    Http c;
    c.on_wish = answers(kOk, piece);
    c.client_says("GET http://host/ HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n");
    CHECK(c.last == Next::close);
    CHECK(has(c.client, "Connection: close\r\n"));
  }
}

TEST_CASE("http: servers that do not answer as they should") {
  const auto status = [](const std::string& answer, bool ends) {
    Http h;
    h.on_wish = answers(answer);
    h.client_says(kGet);
    if (ends && !h.over()) h.server_ends();
    CHECK(h.last == Next::close);
    return h.client.substr(9, 3);
  };
  CHECK(status("", true) == "502");
  CHECK(status("HTTP/1.1 200 OK\r\n", true) == "502");
  CHECK(status("SSH-2.0-x\r\n\r\n", false) == "502");
  CHECK(status("HTTP/1.1 2x0 OK\r\n\r\n", false) == "502");
  CHECK(status("HTTP/2.0 200 OK\r\n\r\n", false) == "502");
  CHECK(status("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", false) == "502");
  CHECK(status("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", false) == "502");
  CHECK(status("HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", false) == "502");
  CHECK(status("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false) == "502");
  CHECK(status("HTTP/1.1 200 OK\r\nA: " + std::string(1 << 20, 'a'), false) == "502");
  // What is not whole must not look whole.
  for (const char* cut :
       {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"}) {
    Http h;
    h.on_wish = answers(cut);
    h.client_says(kGet);
    h.server_ends();
    CHECK(h.last == Next::abort);
  }
  Http r;
  r.on_wish = answers("HTTP/1.1 200 OK\r\n\r\nhello");
  r.client_says(kGet);
  r.server_ends(true);
  CHECK(r.last == Next::abort);
  // An answer before the request is whole: passed on, and the connection ends.
  Http e;
  e.on_wish = answers("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
  e.client_says(with("Content-Length: 1000\r\n") + "x");
  CHECK(begins(e.client, "HTTP/1.1 413 "));
  CHECK(has(e.client, "Connection: close\r\n"));
  CHECK(e.last == Next::close);
}

TEST_CASE("http: failures of the connect are pages") {
  const std::pair<Failure, const char*> codes[] = {
      {Failure::not_found, "502"}, {Failure::refused, "502"}, {Failure::unreachable, "502"}, {Failure::timed_out, "504"},
      {Failure::no_room, "503"},   {Failure::local, "503"},   {Failure::forbidden, "403"},   {Failure::not_remittable, "403"}};
  for (const auto& c : codes) {
    Http h;
    h.client_says(kGet);
    h.connect_fails(c.first);
    CHECK(h.client.substr(9, 3) == c.second);
    CHECK(has(h.client, in_words(c.first)));
    CHECK(h.last == Next::close);
    Http head;
    head.client_says("HEAD http://host/ HTTP/1.1\r\nHost: host\r\n\r\n");
    head.connect_fails(c.first);
    CHECK(head.client.substr(head.client.size() - 4) == "\r\n\r\n");
  }
}

TEST_CASE("http: Max-Forwards, OPTIONS of the proxy itself, rings of proxies") {
  Http o;
  o.client_says("OPTIONS http://host/ HTTP/1.1\r\nHost: host\r\nMax-Forwards: 0\r\n\r\n");
  CHECK(begins(o.client, "HTTP/1.1 200 "));
  CHECK(has(o.client, "Allow: "));
  CHECK(o.wishes.empty());
  CHECK(status_of("TRACE http://host/ HTTP/1.1\r\nHost: host\r\nMax-Forwards: 0\r\n\r\n") == 405);
  CHECK(status_of("OPTIONS * HTTP/1.1\r\nHost: host\r\n\r\n") == 200);
  CHECK(status_of("OPTIONS http://host/ HTTP/1.1\r\nHost: host\r\nMax-Forwards: x\r\n\r\n") == 400);
  Http f;
  f.on_wish = answers(kOk);
  f.client_says("TRACE http://host/ HTTP/1.1\r\nHost: host\r\nMax-Forwards: 3\r\n\r\n");
  CHECK(has(f.server, "Max-Forwards: 2\r\n"));
  Http g;
  g.on_wish = answers(kOk);
  g.client_says("GET http://host/ HTTP/1.1\r\nHost: host\r\nMax-Forwards: 0\r\n\r\n");
  CHECK(has(g.server, "Max-Forwards: 0\r\n"));
  CHECK(
      status_of(
          "GET http://host/ HTTP/1.1\r\nHost: host\r\nVia: 1.1 sockmuxd, 1.1 sockmuxd\r\nVia: 1.1 a, 1.1 sockmuxd, 1.0 sockmuxd\r\n\r\n") ==
      508);
}

TEST_CASE("http: bound to a server, requests in origin form go there") {
  for (const char* target : {"/path?q", "http://elsewhere/path?q"}) {
    Http h;
    h.dialogue.bind_to("inner", 8080);
    h.on_wish = answers(kOk);
    h.client_says("GET " + std::string(target) + " HTTP/1.1\r\nHost: outer:9080\r\n\r\n");
    CHECK(h.wishes == std::vector<std::string>{"http inner:8080 yes"});
    CHECK(h.desk.wish.configured);
    CHECK(begins(h.server, "GET /path?q HTTP/1.1\r\nHost: inner:8080\r\n"));
  }
  for (const char* target : {"path", "some/path?q", "x", "ab", "http:/path"}) {  // another path would be asked for
    CAPTURE(target);
    Http h;
    h.dialogue.bind_to("inner", 8080);
    h.client_says("GET " + std::string(target) + " HTTP/1.1\r\nHost: outer:9080\r\n\r\n");
    CHECK(h.wishes.empty());
    CHECK(begins(h.client, "HTTP/1.1 400 "));
  }
  Http c;
  c.dialogue.bind_to("inner", 8080);
  c.client_says("CONNECT inner:8080 HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(begins(c.client, "HTTP/1.1 403 "));
}

TEST_CASE("http: WebSocket") {
  for (const size_t piece : kPieces) {
    Http h;
    h.on_wish = answers(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: y\r\n\r\nframe", piece);
    h.client_says(
        "GET http://host/chat HTTP/1.1\r\nHost: host\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n", piece);
    CHECK(has(h.server, "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
    CHECK(has(h.client, "101 Switching Protocols\r\nSec-WebSocket-Accept: y\r\n"));
    CHECK(has(h.client, "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nframe"));
    CHECK(h.last == Next::raw);
    h.client_says("more");
    CHECK(h.server.substr(h.server.size() - 4) == "more");
  }
}

TEST_CASE("http: times and ends") {
  Http h;
  h.run();
  CHECK(h.desk.clock == Desk::Clock::login);
  const uint32_t round = h.desk.round;
  h.client_says("GET http://ho", 1);
  CHECK(h.desk.round == round);  // a byte now and then gains no time
  h.time_out();
  CHECK(begins(h.client, "HTTP/1.1 408 "));
  Http idle;
  idle.run();
  idle.time_out();
  CHECK(idle.last == Next::close);
  CHECK(idle.client.empty());
  Http slow;
  slow.on_wish = [](Http& p) { p.connect_ok(); };
  slow.client_says(kGet);
  CHECK(slow.desk.clock == Desk::Clock::io);
  slow.time_out();
  CHECK(begins(slow.client, "HTTP/1.1 504 "));
  Http end;
  end.client_says("GET http://ho");
  end.client_ends();
  CHECK(begins(end.client, "HTTP/1.1 400 "));
  Http quiet;
  quiet.client_ends();
  CHECK(quiet.last == Next::close);
  // A client that ends behind its request still gets the answer.
  Http half;
  half.on_wish = [](Http& p) { p.connect_ok(); };
  half.client_says(kGet);
  half.client_ends();
  half.server_says(kOk);
  CHECK(half.client == kOkPassed);
  CHECK(half.last == Next::close);
  // A body that the client does not finish.
  Http cut;
  cut.on_wish = [](Http& p) { p.connect_ok(); };
  cut.client_says(with("Content-Length: 10\r\n") + "abc");
  cut.client_ends();
  CHECK(begins(cut.client, "HTTP/1.1 400 "));
}

TEST_CASE("http: back-pressure: what has no room waits where it is") {
  Http h;
  h.on_wish = [](Http& p) { p.connect_ok(); };
  h.client_says(with("Content-Length: 200000\r\n"));
  // Nobody takes to_server: the pipe fills, and from_client stays.
  Desk& d = h.desk;
  const std::string block(60000, 'x');
  for (int i = 0; i < 3; ++i) {
    (void)d.from_client.put(as_bytes(block));
    CHECK(h.dialogue.step(d) == Next::wait);
  }
  CHECK(d.to_server.room() == 0);
  CHECK_FALSE(d.from_client.empty());
}

TEST_CASE("http: random bytes come to an end within bounds") {
  std::minstd_rand random(11);
  const std::string parts[] = {"GET ",
                               "http://host/",
                               " HTTP/1.1\r\n",
                               "Host: x\r\n",
                               "\r\n",
                               "Content-Length: 3\r\n",
                               "Transfer-Encoding: chunked\r\n",
                               "0\r\n\r\n",
                               ":",
                               " ",
                               "\n",
                               "\r",
                               "POST "};
  for (int i = 0; i < 3000; ++i) {
    std::string s;
    for (auto n = random() % 20 + 1; n > 0; --n)
      s += random() % 4 == 0 ? std::string(1, static_cast<char>(random())) : parts[random() % (sizeof parts / sizeof parts[0])];
    Http whole, pieces;
    whole.on_wish = pieces.on_wish = answers(kOk);
    whole.client_says(s);
    pieces.client_says(s, 0);
    whole.client_ends();
    pieces.client_ends();
    CHECK(whole.wishes == pieces.wishes);
    CHECK(whole.client == pieces.client);
  }
}
