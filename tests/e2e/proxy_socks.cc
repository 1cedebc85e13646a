// The SOCKS proxy at the exit, with curl, ncat and hand-made clients. Read next: relay/socks.h, tests/test_proxy_socks.cc.
#include <doctest/doctest.h>

#include "tests/e2e/proxies.h"

using namespace e2e;

namespace {

const std::string kHello5 = bytes({5, 1, 0});
std::string by_name(const std::string& name, int port) {
  return bytes({5, 1, 0, 3, static_cast<int>(name.size())}) + name + bytes({port >> 8, port & 255});
}

// The code of the reply to a request of version 5; -1: none.
int code_of(uint16_t port, const std::string& request) {
  const std::string answer = ask(port, kHello5 + request, 5);
  return answer.size() >= 12 && answer.substr(0, 2) == bytes({5, 0}) ? static_cast<unsigned char>(answer[3]) : -1;
}

}  // namespace

TEST_CASE("socks proxy: curl by 4, 4a, 5 and 5 with names; HTTP and TLS; 50 at once; in both dialects") {
  const std::string curl = find_program("curl");
  Web web("socks");
  for (const char* proto : {"SOXCONF=proto:auto", "SOXCONF=proto:0.3"}) {
    CAPTURE(proto);
    Pair p({"PORT=127.0.0.1:0", "TIMEOUT=lin:1"}, {"SERVER=socks,-in", "HOSTS=inner/127.0.0.1", proto});
    const std::string at = local(p.a->port());
    for (const char* option : {"--socks4", "--socks4a", "--socks5", "--socks5-hostname"}) {
      CAPTURE(option);
      CHECK(run({curl, "-sS", option, at, web.url("small")}, 10) == "a small page of socks\n");
      CHECK(digest_of(run({curl, "-sS", option, at, web.url("large")}, 30)) == digest_of(web.large()));
      CHECK(run({curl, "-sS", "-k", option, at, web.tls_url("small")}, 10) == "a small page of socks\n");
      const std::string many = run({curl, "-sS", "-Z", "--parallel-max", "50", option, at, web.url("small?[1-50]")}, 30);
      CHECK(count_of(many, "a small page of") == 50);
      CHECK(p.c->wait_channels(0, 10));
    }
    // Names go to the exit: it alone knows this one.
    for (const char* option : {"--socks4a", "--socks5-hostname"})
      CHECK(run({curl, "-sS", option, at, "http://inner:" + text(web.port()) + "/small"}, 10) == "a small page of socks\n");
  }
}

TEST_CASE("socks proxy: ncat, and a stream both ways with half-close") {
  Server echo(echoes);
  Pair p({"PORT=127.0.0.1:0"}, {"SERVER=socks,-in"});
  const std::string ncat = find_program("ncat");
  TempFolder temp;
  write_file(temp / "one", pattern(57, 1 << 20));
  ProcessSetup input;
  input.input = temp / "one";
  input.separate = true;
  for (const char* type : {"socks4", "socks5"}) {
    const std::string got = run({ncat, "--proxy", local(p.a->port()), "--proxy-type", type, "127.0.0.1", text(echo.port())}, 20, input);
    CHECK(digest_of(got) == digest_of(pattern(57, 1 << 20)));
  }
  Conn c(p.a->port());
  c.send(kHello5 + by_name("127.0.0.1", echo.port()));
  CHECK(wait_for([&] { return c.text().size() == 12; }, 5));
  c.expect_pattern(3).send_pattern(3, 4 << 20).shut();
  CHECK(wait_for([&] { return c.over(); }, 20));
  CHECK(c.received() == 12 + (4 << 20));
  CHECK_FALSE(c.wrong());
}

TEST_CASE("socks proxy: codes of what fails, and what is forbidden") {
  Server echo(echoes);
  DeadPort dead;
  {
    Pair p({"PORT=127.0.0.1:0"}, {"SERVER=socks,-in(TIMEOUT=login:1)"});
    const uint16_t port = p.a->port();
    CHECK(code_of(port, by_name("127.0.0.1", dead.port())) == 5);
    CHECK(code_of(port, by_name("nobody.invalid", 80)) == 4);
    CHECK(code_of(port, bytes({5, 2, 0, 1, 127, 0, 0, 1, 0, 80})) == 7);
    CHECK(code_of(port, bytes({5, 1, 0, 9, 127, 0, 0, 1, 0, 80})) == 8);
    CHECK(ask(port, bytes({4, 1, dead.port() >> 8, dead.port() & 255, 127, 0, 0, 1, 0}), 5) == bytes({0, 91, 0, 0, 0, 0, 0, 0}));
    CHECK(ask(port, "GET / HTTP/1.0\r\n\r\n", 5).empty());
    CHECK(ask(port, std::string(1 << 20, '\x04'), 10).empty());
    Conn silent(port), half(port);
    half.send(kHello5 + bytes({5, 1}));
    CHECK(wait_for([&] { return silent.over() && half.over(); }, 5));
    silent.close();
    half.close();
    CHECK(p.c->wait_channels(0, 15));
    CHECK_FALSE(p.c->process().says("link-down"));
    CHECK(Daemon::value(p.c->statistics(), "allocations") == 0);
  }
  for (const char* server : {"SERVER=socks,-in(REACHABLE=!127.0.0.0/8)", "SERVER=socks,-in(REJECT=*:127.0.0.1:*)",
                             "SERVER=socks,-in(REMITTABLE=socks/1-1023)", "SERVER=socks,-in(PERMIT=telnet:*:*)"}) {
    CAPTURE(server);
    Pair p({"PORT=127.0.0.1:0"}, {server, "HOSTS=inner/127.0.0.1"});
    CHECK(code_of(p.a->port(), by_name("127.0.0.1", echo.port())) == 2);
    CHECK(code_of(p.a->port(), by_name("inner", echo.port())) == 2);
    CHECK(p.c->process().wait_log("request-refused", 5));
  }
  CHECK(echo.accepted() == 0);
}

// The server is there, and is not reached in any writing of this host.
TEST_CASE("socks proxy: 0.0.0.0 and :: are this host, which rules may keep out") {
  Server echo(echoes);
  const int high = echo.port() >> 8, low = echo.port() & 255;
  const std::string by_ip4 = bytes({5, 1, 0, 1, 0, 0, 0, 0, high, low});
  const std::string zeros(16, '\0'), by_ip6 = bytes({5, 1, 0, 4}) + zeros + bytes({high, low});
  const std::string by_mapped = bytes({5, 1, 0, 4}) + zeros.substr(0, 10) + bytes({255, 255, 0, 0, 0, 0, high, low});
  Pair p({"PORT=127.0.0.1:0"}, {"SERVER=socks,-in(REACHABLE=*,!127.0.0.0/8,!localhost)", "HOSTS=inner/0.0.0.0"});
  for (const std::string& wish : {by_ip4, by_ip6, by_mapped, by_name("0.0.0.0", echo.port()), by_name("::", echo.port()), by_name("0", echo.port()), by_name("inner", echo.port())}) {
    CAPTURE(wish.substr(3));
    CHECK(code_of(p.a->port(), wish) == 2);
  }
  CHECK(echo.accepted() == 0);
  Pair open({"PORT=127.0.0.1:0"}, {"SERVER=socks,-in(REACHABLE=127.0.0.1)"});
  CHECK(code_of(open.a->port(), by_ip4) == 0);
}

// The server is faster than the client, so that the proxy still has something for it when the reset is read.
TEST_CASE("socks proxy: what a server resets in the middle does not look whole to its client, and so with CONNECT") {
  Server server([](Conn& c) { c.send_pattern(61, 64 << 20); });
  for (const bool socks : {true, false}) {
    CAPTURE(socks);
    Pair p({"PORT=127.0.0.1:0"}, {socks ? "SERVER=socks,-in" : "SERVER=http,-in", "REMITTABLE=socks,https/*"});
    Conn c(p.a->port());
    c.rate = 1 << 20;
    if (socks) c.send(kHello5 + by_name("127.0.0.1", server.port()));
    else c.send("CONNECT " + local(server.port()) + " HTTP/1.1\r\nHost: x\r\n\r\n");
    REQUIRE(wait_for([&] { return c.received() > 300000; }, 10));
    server.last().reset();
    c.rate = 0;
    CHECK(wait_for([&] { return c.over(); }, 10));
    CHECK_FALSE(c.ended());
    CHECK(p.c->wait_channels(0, 10));
  }
}

// The proxy still has something for it then.
TEST_CASE("socks proxy: the end of a server that reads nothing reaches its client, and so with CONNECT; later it gets all") {
  // All of the smaller one is in the channel, with its end, when the server begins to read.
  for (int way = 0; way < 4; ++way) {
    CAPTURE(way);
    const bool socks = way % 2 == 0;
    const uint64_t kSize = way < 2 ? 2 << 20 : 200000;
    Server server([](Conn& c) { c.expect_pattern(66).reading = false; });
    server.hold_little();
    Pair p({"PORT=127.0.0.1:0"}, {socks ? "SERVER=socks,-in" : "SERVER=http,-in", "REMITTABLE=socks,https/*", "-vv"});
    Conn c(p.a->port());
    c.send(socks ? kHello5 : "CONNECT " + local(server.port()) + " HTTP/1.1\r\n");
    (void)wait_for([&] { return false; }, 0.3);  // there is credit now for more than the server takes at once
    c.send((socks ? by_name("127.0.0.1", server.port()) : "Host: x\r\n\r\n") + pattern(66, kSize)).shut();
    REQUIRE(wait_for([&] { return server.accepted() == 1 && Daemon::value(p.c->statistics(), "rx") > 150000; }, 10));
    CHECK_FALSE(p.c->process().says("from=raw to=dead"));
    server.last().send("answer").shut();
    CHECK(wait_for([&] { return c.ended(); }, 5));
    CHECK(c.text().find("answer") != std::string::npos);
    server.last().reading = true;
    CHECK(wait_for([&] { return server.last().over(); }, 20));
    CHECK(server.last().ended());
    CHECK(server.last().received() == kSize);
    CHECK_FALSE(server.last().wrong());
    CHECK(p.c->wait_channels(0, 10));
  }
}
