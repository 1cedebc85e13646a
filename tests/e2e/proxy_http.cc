// The HTTP proxy at the exit, with curl, nginx and hand-made clients. Read next: relay/http.h, tests/test_proxy_http.cc.
#include <doctest/doctest.h>

#include "tests/e2e/clocks.h"
#include "tests/e2e/proxies.h"

using namespace e2e;

namespace {

// A pair whose c side is the exit with these words; a's port leads to it.
Pair pair_to(const std::string& server, const Words& more = {}, const char* proto = "SOXCONF=proto:auto") {
  Words c{server, proto};
  c.insert(c.end(), more.begin(), more.end());
  return Pair({"PORT=127.0.0.1:0", "TIMEOUT=lin:1"}, c);  // 0.3 has no half-close: it waits for a silence
}

std::string answer_of(uint16_t port, const std::string& request) { return ask(port, request, 5); }

}  // namespace

TEST_CASE("http proxy: curl with nginx: GET, POST, PUT, HEAD, kept connections, other servers, in both dialects") {
  const std::string curl = find_program("curl");
  Web left("left"), right("right");
  TempFolder temp;
  const std::string large = pattern(31, 5 << 20);
  write_file(temp / "large", large);
  for (const char* proto : {"SOXCONF=proto:auto", "SOXCONF=proto:0.3"}) {
    CAPTURE(proto);
    Pair p = pair_to("SERVER=http,-in", {}, proto);
    const Words via{curl, "-sS", "-x", "http://" + local(p.a->port())};
    CHECK(run(join(via, {left.url("small")}), 10) == "a small page of left\n");
    CHECK(run(join(via, {"-0", left.url("small")}), 10) == "a small page of left\n");
    CHECK(digest_of(run(join(via, {left.url("large")}), 30)) == digest_of(left.large()));
    CHECK(run(join(via, {"-I", "-o", "/dev/null", "-w", "%{http_code}", left.url("small")}), 10) == "200");
    CHECK(run(join(via, {"-o", "/dev/null", "-w", "%{http_code}", left.url("missing")}), 10) == "404");
    // Kept: one connection for all, to two servers by turns.
    Words many = join(via, {"-w", "%{num_connects}"});
    for (int i = 0; i < 10; ++i) many.push_back(i % 2 == 0 ? left.url("small") : right.url("small"));
    const std::string kept = run(many, 20);
    CHECK(count_of(kept, "a small page of left\n") == 5);
    CHECK(count_of(kept, "a small page of right\n") == 5);
    CHECK(count_of(kept, "\n0") == 9);
    // Bodies toward the server: by length (with Expect: 100-continue), in chunks.
    CHECK(run(join(via, {"-T", temp / "large", "-w", "%{http_code}", left.url("put")}), 30) == "201");
    CHECK(digest_of(left.file("put")) == digest_of(large));
    CHECK(run(join(via, {"-T", temp / "large", "-H", "Transfer-Encoding: chunked", "-w", "%{http_code}", left.url("chunked")}), 30) ==
          "201");
    CHECK(digest_of(left.file("chunked")) == digest_of(large));
    CHECK(run(join(via, {"-d", "a=b", "-o", "/dev/null", "-w", "%{http_code}", left.url("small")}), 10) == "405");
    left.forget("put");
    left.forget("chunked");
    // 50 at once.
    const std::string parallel = run({curl, "-sS", "-Z", "--parallel-max", "50", "-x", "http://" + local(p.a->port()),
                                      left.url("small?[1-25]"), right.url("small?[1-25]")},
                                     30);
    CHECK(count_of(parallel, "a small page of") == 50);
    CHECK(p.c->wait_channels(0, 10));
  }
}

TEST_CASE("http proxy: CONNECT carries TLS end to end") {
  const std::string curl = find_program("curl");
  Web web("secret");
  for (const char* proto : {"SOXCONF=proto:auto", "SOXCONF=proto:0.3"}) {
    CAPTURE(proto);
    Pair p = pair_to("SERVER=http,-in(REMITTABLE=http,https)", {}, proto);
    const Words via{curl, "-sS", "-k", "-x", "http://" + local(p.a->port())};
    CHECK(run(join(via, {web.tls_url("small")}), 10) == "a small page of secret\n");
    CHECK(digest_of(run(join(via, {web.tls_url("large")}), 30)) == digest_of(web.large()));
    const std::string parallel = run(
        join({curl, "-sS", "-k", "-Z", "--parallel-max", "50", "-x", "http://" + local(p.a->port())}, {web.tls_url("small?[1-50]")}), 60);
    CHECK(count_of(parallel, "a small page of") == 50);
    CHECK(p.c->wait_channels(0, 10));
  }
}

TEST_CASE("http proxy: like a browser: 6 connections of many requests, and long CONNECTs beside them") {
  const std::string curl = find_program("curl");
  Web web("busy");
  Server echo(echoes);
  Pair p = pair_to("SERVER=http,-in", {"REMITTABLE=*"});
  std::vector<std::unique_ptr<Process>> browsers;
  Words words{curl, "-sS", "-x", "http://" + local(p.a->port()), "-Z", "--parallel-max", "6", "-o", "/dev/null", web.url("large")};
  for (int i = 1; i <= 60; ++i) words = join(words, {"-o", "/dev/null", web.url("small")});
  words = join(words, {"-w", "%{http_code} "});
  ProcessSetup apart;
  apart.separate = true;
  for (int i = 0; i < 4; ++i) browsers.push_back(std::make_unique<Process>(words, apart));
  std::vector<std::unique_ptr<Conn>> tunnels;
  for (int i = 0; i < 20; ++i) {
    tunnels.push_back(std::make_unique<Conn>(p.a->port()));
    tunnels.back()->send("CONNECT " + local(echo.port()) + " HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  const std::string established = "HTTP/1.1 200 Connection established\r\n\r\n";
  for (auto& t : tunnels) CHECK(wait_for([&] { return t->text() == established; }, 10));
  for (auto& t : tunnels) t->expect_pattern(5).send_pattern(5, 300000).shut();
  for (auto& t : tunnels) {
    CHECK(wait_for([&] { return t->over(); }, 30));
    CHECK(t->received() == established.size() + 300000);
    CHECK_FALSE(t->wrong());
  }
  for (auto& b : browsers) {
    CHECK(b->wait_end(60));
    CHECK(b->status() == 0);
    CHECK(count_of(b->output(), "200 ") == 61);
  }
  CHECK(p.c->wait_channels(0, 10));
}

TEST_CASE("http proxy: what may be asked for: REMITTABLE, REACHABLE, REJECT, PERMIT, in and outside of -in(...)") {
  Web web("guarded");
  DeadPort dead;
  const std::string get = "GET " + web.url("small") + " HTTP/1.0\r\n\r\n";
  const std::string connect = "CONNECT " + local(web.port()) + " HTTP/1.0\r\n\r\n";
  const auto status = [&](const std::string& server, const Words& more, const std::string& request) {
    CAPTURE(server);
    Pair p = pair_to(server, more);
    const std::string answer = answer_of(p.a->port(), request);
    if (answer.compare(0, 12, "HTTP/1.1 403") == 0) CHECK((p.c->process().says("request-refused")));
    return answer.size() > 12 ? answer.substr(9, 3) : answer;
  };
  CHECK(status("SERVER=http,-in", {}, get) == "200");
  CHECK(status("SERVER=http,-in", {}, connect) == "403");  // the default: https/{80,443}
  CHECK(status("SERVER=http,-in(REMITTABLE=https)", {}, get) == "403");
  CHECK(status("SERVER=http,-in", {"REMITTABLE=https"}, get) == "403");
  CHECK(status("SERVER=http,-in(REMITTABLE=http/1-1023)", {}, get) == "403");
  CHECK(status("SERVER=http,-in(REACHABLE=192.0.2.1)", {}, get) == "403");
  CHECK(status("SERVER=http,-in(REACHABLE=127.0.0.1)", {}, get) == "200");
  CHECK(status("SERVER=http,-in", {"REACHABLE=!127.0.0.0/8"}, get) == "403");
  CHECK(status("SERVER=http,-in(REJECT=*:127.0.0.1:*)", {}, get) == "403");
  CHECK(status("SERVER=http,-in", {"REJECT=http:127.0.0.1:*"}, get) == "403");
  CHECK(status("SERVER=http,-in", {"REJECT=telnet:127.0.0.1:*"}, get) == "200");
  CHECK(status("SERVER=http,-in(PERMIT=http:127.0.0.2:*)", {}, get) == "403");
  CHECK(status("SERVER=http,-in(PERMIT=http:127.0.0.1:127.0.0.1)", {}, get) == "200");
  CHECK(status("SERVER=http,-in(RELIABLE=127.0.0.2)", {}, get) == "403");
  // A name that leads to a forbidden address gets nobody there.
  CHECK(status("SERVER=http,-in(REACHABLE=!127.0.0.0/8)", {"HOSTS=inner/127.0.0.1"},
               "GET http://inner:" + text(web.port()) + "/small HTTP/1.0\r\n\r\n") == "403");
  CHECK(status("SERVER=http,-in", {"HOSTS=inner/127.0.0.1"}, "GET http://inner:" + text(web.port()) + "/small HTTP/1.0\r\n\r\n") == "200");
  // What cannot be reached.
  CHECK(status("SERVER=http,-in", {}, "GET http://" + local(dead.port()) + "/ HTTP/1.0\r\n\r\n") == "502");
  CHECK(status("SERVER=http,-in", {}, "GET http://nobody.invalid/ HTTP/1.0\r\n\r\n") == "502");
}

TEST_CASE("http proxy: bound to a server by -in(words); raw without words") {
  Web web("inner");
  for (const char* in : {",-in(-vs)", ",-in"}) {
    Pair p = pair_to("SERVER=http://" + local(web.port()) + in);
    const std::string answer = answer_of(p.a->port(), "GET /small HTTP/1.0\r\n\r\n");
    CHECK(answer.find("a small page of inner\n") != std::string::npos);
    CHECK((answer.find("Via: 1.1 sockmuxd") != std::string::npos) == (std::string(in) != ",-in"));
  }
}

TEST_CASE("http proxy: bad input ends with a page or an end, and the next client is served") {
  Web web("steady");
  Pair p = pair_to("SERVER=http,-in(TIMEOUT=login:2)");
  const uint16_t port = p.a->port();
  CHECK(answer_of(port, "GET / HTTP/1.0\r\n\r\n").find("this is a proxy") != std::string::npos);
  CHECK(answer_of(port, "\x16\x03\x01\x02 tls\r\n\r\n").substr(0, 12) == "HTTP/1.1 400");
  // 1 MiB without end, in one header and in the first line.
  for (const char* begin : {"GET http://host/ HTTP/1.1\r\nA: ", "GET http://host/"}) {
    Conn c(port);
    c.send(begin + std::string(1 << 20, 'a'));
    CHECK(wait_for([&] { return c.over(); }, 10));
    CHECK(c.text().substr(0, 12) == (std::string(begin).find('\n') != std::string::npos ? "HTTP/1.1 431" : "HTTP/1.1 414"));
  }
  // A byte now and then gains no time.
  Conn slow(port);
  size_t sent = 0;
  const std::string request = "GET " + web.url("small") + " HTTP/1.1\r\nHost: x\r\nX: " + std::string(1000, 'x');
  const double began = now();
  double next = began;
  CHECK(wait_for(
      [&] {
        if (now() > next && sent < request.size() && !slow.over()) {
          slow.send(request.substr(sent++, 1));
          next = now() + 0.02;
        }
        return slow.text().substr(0, 12) == "HTTP/1.1 408";
      },
      10));
  CHECK(now() - began > 1.5);
  // A whole request by single bytes is as good as any.
  Conn bytewise(port);
  const std::string good = "GET " + web.url("small") + " HTTP/1.0\r\n\r\n";
  sent = 0;
  CHECK(wait_for(
      [&] {
        if (sent < good.size()) bytewise.send(good.substr(sent++, 1));
        return bytewise.text().find("a small page of steady\n") != std::string::npos;
      },
      5));
  // A client that goes away while its server is slow to answer, one that resets in mid-body.
  Server silent(reads_nothing);
  for (const bool resets : {false, true}) {
    Conn gone(port);
    gone.send("POST http://" + local(silent.port()) + "/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + std::string(50000, 'x'));
    CHECK(wait_for([&] { return gone.all_sent(); }, 5));
    if (resets) {
      gone.reset();
    } else {
      gone.close();
    }
  }
  slow.close();
  bytewise.close();
  CHECK(p.c->wait_channels(0, 15));
  CHECK_FALSE(p.c->process().says("link-down"));
  CHECK(answer_of(port, good).find("a small page of steady\n") != std::string::npos);
  CHECK(Daemon::value(p.c->statistics(), "allocations") == 0);
}

TEST_CASE("http proxy: a server that closes too early: the client sees that the answer is not whole") {
  Server cut([](Conn& c) { c.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello").close_behind(); });
  Pair p = pair_to("SERVER=http,-in");
  const std::string curl = find_program("curl");
  Process c({curl, "-sS", "-x", "http://" + local(p.a->port()), "http://" + local(cut.port()) + "/"});
  CHECK(c.wait_end(10));
  CHECK(c.status() != 0);
}

TEST_CASE("http proxy: a reader that reads nothing, a server that reads nothing: bounded memory, and all arrives in the end") {
  constexpr size_t kMuch = 48 << 20;
  Server giver([](Conn& c) { c.send("HTTP/1.1 200 OK\r\nContent-Length: " + text(kMuch) + "\r\n\r\n").send_pattern(9, kMuch); });
  Server taker([](Conn& c) { c.reading = false; });
  for (const char* proto : {"SOXCONF=proto:auto", "SOXCONF=proto:0.3"}) {
    CAPTURE(proto);
    Pair p = pair_to("SERVER=http,-in", {}, proto);
    CHECK(ask(p.a->port(), "GET / HTTP/1.0\r\n\r\n", 5).find("this is a proxy") != std::string::npos);
    const int64_t a_before = p.a->resident_kib(), c_before = p.c->resident_kib();
    const size_t given = giver.accepted(), taken = taker.accepted();
    Conn lazy(p.a->port()), busy(p.a->port());
    lazy.reading = false;
    std::string got;
    lazy.on_bytes = [&](const char* b, size_t n) { got.append(b, n); };
    lazy.send("GET http://" + local(giver.port()) + "/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    busy.send("PUT http://" + local(taker.port()) + "/ HTTP/1.1\r\nHost: x\r\nContent-Length: " + text(kMuch) + "\r\n\r\n")
        .send_pattern(10, kMuch);
    CHECK(wait_for([&] { return giver.accepted() == given + 1 && taker.accepted() == taken + 1; }, 5));
    // Others go on.
    for (int i = 0; i < 50; ++i) CHECK(ask(p.a->port(), "GET / HTTP/1.0\r\n\r\n", 5).find("this is a proxy") != std::string::npos);
    CHECK(giver.last().sent() < kMuch / 2);
    CHECK(busy.sent() < kMuch / 2);
    if (!daemon_sanitized()) {
      CHECK(p.a->resident_kib() - a_before < 4096);
      CHECK(p.c->resident_kib() - c_before < 4096);
    }
    lazy.reading = true;
    taker.last().reading = true;
    std::string upload;
    taker.last().on_bytes = [&](const char* b, size_t n) { upload.append(b, n); };
    CHECK(wait_for([&] { return lazy.over() && upload.size() > kMuch; }, 60));
    CHECK(got.size() > kMuch);
    CHECK(digest_of(got.substr(got.size() - kMuch)) == digest_of(pattern(9, kMuch)));
    CHECK(wait_for([&] { return busy.all_sent() && upload.size() == upload.find("\r\n\r\n") + 4 + kMuch; }, 60));
    CHECK(digest_of(upload.substr(upload.size() - kMuch)) == digest_of(pattern(10, kMuch)));
  }
}

TEST_CASE("http proxy: the link is cut in the middle of downloads, uploads and tunnels: they go on") {
  const std::string curl = find_program("curl");
  Web web("resumed");
  Daemon exit({"SERVER=sockmux", "-P127.0.0.1:0", "SERVER=http,-in", "REMITTABLE=*"});
  Wire wire(exit.link_port());
  Daemon entry({"SERVER=sockmux://" + local(wire.port()), "PORT=127.0.0.1:0"});
  REQUIRE(entry->wait_log(" link-up ", 5));
  TempFolder temp;
  write_file(temp / "large", web.large());
  ProcessSetup apart;
  apart.separate = true;
  const Words via{curl, "-sS", "-k", "--limit-rate", "5M", "-x", "http://" + local(entry.port())};
  Process down(join(via, {web.url("large")}), apart), tls(join(via, {web.tls_url("large")}), apart),
      up(join(via, {"-T", temp / "large", web.url("put")}), apart);
  for (int i = 1; i <= 3; ++i) {
    const size_t from = entry->log().size();
    CHECK(wait_for([&] { return down.output().size() > static_cast<size_t>(i) * 300000; }, 10));
    wire.cut();
    CHECK(entry->wait_log("resumed=yes", 5, from));
  }
  for (Process* program : {&down, &tls, &up}) {
    CHECK(program->wait_end(30));
    CHECK_MESSAGE(program->status() == 0, program->log());
  }
  CHECK(digest_of(down.output()) == digest_of(web.large()));
  CHECK(digest_of(tls.output()) == digest_of(web.large()));
  CHECK(digest_of(web.file("put")) == digest_of(web.large()));
}

TEST_CASE("http proxy: 400 clients that keep their connections: those that are idle make room") {
  Web web("kept");
  Pair p = pair_to("SERVER=http,-in");
  const std::string page = "a small page of kept\n", request = "GET " + web.url("small") + " HTTP/1.1\r\nHost: x\r\n\r\n";
  std::vector<std::unique_ptr<Conn>> clients;
  size_t served = 0, open = 0;
  // As programs do: whose connection has ended closes it.
  const auto look = [&] {
    served = open = 0;
    for (auto& c : clients) {
      served += c->text().find(page) != std::string::npos ? 1 : 0;
      if (c->over()) c->close();
      open += c->alive() ? 1 : 0;
    }
    return served == clients.size();
  };
  for (int i = 0; i < 400; ++i) {
    clients.push_back(std::make_unique<Conn>(p.a->port()));
    clients.back()->send(request);
    if (i % 10 == 9) CHECK(wait_for(look, 5));
  }
  CHECK(open >= 200);
  CHECK(open <= 256);
  CHECK_FALSE(p.c->process().says("proxies-full"));
  CHECK_FALSE(p.c->process().says("link-down"));
  // One that has waited is still good for a request.
  clients.back()->send(request);
  CHECK(wait_for([&] { return count_of(clients.back()->text(), page) == 2; }, 5));
}

// The places of the proxies are taken, but for 14 or fewer, by those that have said nothing yet, and one by a client that was told
// everything by the exit, and has not read it.
TEST_CASE("http proxy: where places are few an answer that is on its way arrives, and who stays for half a minute behind its end makes room") {
  if (cannot_shift()) return;
  static constexpr uint64_t kSize = 50000;
  for (const bool stays : {false, true}) {
    CAPTURE(stays);
    Clocks clocks;
    Server server([&](Conn& c) {
      const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: " + text(kSize) + "\r\n\r\n";
      c.on_bytes = [&c, head](const char*, size_t) { c.send(head).send_pattern(64, kSize).close_behind(); };
    });
    Pair p({"PORT=127.0.0.1:0"}, {"SERVER=http,-in", "TIMEOUT=login:1h", "-vv"}, {}, clocks.setup());
    const std::string request = "GET http://" + local(server.port()) + "/ HTTP/1.0\r\n\r\n";
    Conn slow(connect_small(p.a->port()));
    slow.reading = false;
    slow.send(request);
    REQUIRE((*p.c)->wait_log("to=ending", 5));
    std::vector<std::unique_ptr<Conn>> silent;
    for (int64_t n = 1; n <= 241; ++n) {
      silent.push_back(std::make_unique<Conn>(p.a->port()));
      if (n % 10 == 1) REQUIRE(p.c->wait_channels(n + 1, 5));
    }
    if (stays) clocks.add_monotonic(31);
    for (int i = 0; i < 20; ++i) CHECK(ask(p.a->port(), request).size() > kSize);
    slow.reading = true;
    CHECK(wait_for([&] { return slow.over(); }, 10));
    CHECK(slow.ended() == !stays);
    const size_t body = slow.text().find("\r\n\r\n");
    if (!stays) CHECK(digest_of(slow.text().substr(body + 4)) == digest_of(pattern(64, kSize)));
    CHECK_FALSE((*p.c)->says("proxies-full"));
  }
}

TEST_CASE("http proxy: a client that stays after the end: nothing is lost, and the link stays") {
  // Slow to read, and silent after that: what is at the other end of the link arrives, whenever it is read.
  Web web("late");
  for (const char* proto : {"SOXCONF=proto:auto", "SOXCONF=proto:0.3"}) {
    CAPTURE(proto);
    Pair p = pair_to("SERVER=http,-in", {}, proto);
    Conn c(p.a->port());
    c.rate = 1 << 20;
    c.send("GET " + web.url("large") + " HTTP/1.0\r\n\r\n");
    CHECK(wait_for([&] { return c.over(); }, 30));
    REQUIRE(c.text().size() > web.large().size());
    CHECK(digest_of(c.text().substr(c.text().size() - web.large().size())) == digest_of(web.large()));
    CHECK_FALSE(p.c->process().says("link-down"));
    c.close();
    CHECK(p.c->wait_channels(0, 10));
  }
}
