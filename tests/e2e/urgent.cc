// Urgent data of TCP through the link: real sockets, and a real telnet client. Read next: sockets.h, relay/stream.h.
#include <doctest/doctest.h>

#include "tests/e2e/sockets.h"
#include "tests/e2e/terminal.h"

using namespace e2e;

namespace {

void keeps(Conn& c) { c.watch_urgent(); }

// `size` bytes, an urgent one, and a few more: the other end sees the mark there and nowhere else.
void say(Conn& from, Conn& to, size_t size) {
  CAPTURE(size);
  const std::string before = pattern(size, size);
  const uint64_t had = to.received();
  const size_t marks = to.urgent().size();
  from.send(before).send_urgent('!').send("after");
  REQUIRE(wait_for([&] { return to.received() >= had + size + 6 || to.over(); }, 10));
  CHECK(to.text().substr(static_cast<size_t>(had)) == before + "!after");
  REQUIRE(to.urgent().size() == marks + 1);
  CHECK(to.urgent().back() == had + size);
}

// In front of the mark: nothing, a little, and what fills a packet, a first credit, a window.
const size_t kSizes[] = {0, 1, 100, 512, 2048, 4096, 16376, 65535, 65536, 300000};

}  // namespace

TEST_CASE("urgent data: both ways, at their place, in both dialects") {
  for (const char* proto : {"SOXCONF=proto:1", "SOXCONF=proto:0.3"}) {
    CAPTURE(std::string(proto));
    Server server(keeps);
    Pair p({"PORT=127.0.0.1:0", proto}, {"DEST=" + local(server.port())});
    Conn client(p.a->port());
    client.watch_urgent();
    REQUIRE(wait_for([&] { return server.accepted() == 1; }, 5));
    for (const size_t size : kSizes) say(client, server.last(), size);
    for (const size_t size : kSizes) say(server.last(), client, size);
    // As the first that a client says.
    for (const size_t size : kSizes) {
      CAPTURE(size);
      const size_t before = server.accepted();
      Conn fresh(p.a->port());
      fresh.watch_urgent().send(pattern(size, size)).send_urgent('!').send("after");
      REQUIRE(wait_for([&] { return server.accepted() > before && server.last().received() == size + 6; }, 10));
      CHECK(server.last().text() == pattern(size, size) + "!after");
      CHECK(server.last().urgent() == std::vector<uint64_t>{size});
      server.last().shut();
    }
    CHECK(Daemon::value(p.a->statistics(), "allocations") == 0);
  }
}

TEST_CASE("urgent data: a reader that is slow gets every byte, and of several urgent ones the last") {
  constexpr size_t kMuch = 20 << 20;  // more than all buffers
  for (const char* proto : {"SOXCONF=proto:1", "SOXCONF=proto:0.3"}) {
    CAPTURE(std::string(proto));
    Server server([](Conn& c) { c.watch_urgent().expect_pattern(5).reading = false; });
    Pair p({"PORT=127.0.0.1:0", proto}, {"DEST=" + local(server.port())});
    Conn client(p.a->port());
    const std::string all = pattern(5, kMuch + 5);
    const size_t marks[] = {1000, 1 << 20, kMuch};
    size_t at = 0;
    for (const size_t mark : marks) {
      client.send(all.substr(at, mark - at)).send_urgent(all[mark]);
      at = mark + 1;
    }
    client.send(all.substr(at)).shut();
    REQUIRE(wait_for([&] { return server.accepted() == 1; }, 5));
    // It stands until the reader goes on, and nobody is busy with it.
    uint64_t sent = 0;
    REQUIRE(wait_for([&] {
      const bool stands = client.sent() > 0 && client.sent() == sent;
      sent = client.sent();
      const double later = now() + 0.3;
      while (now() < later) turn(later - now());
      return stands;
    }, 20));
    REQUIRE(sent < kMuch);
    const int64_t before = Daemon::value(p.a->statistics(), "turns");
    const double later = now() + 1;
    while (now() < later) turn(later - now());
    CHECK(Daemon::value(p.a->statistics(), "turns") - before < 100);
    server.last().reading = true;
    CHECK(wait_for([&] { return server.last().received() == kMuch + 5 || server.last().over(); }, 60));
    CHECK_FALSE(server.last().wrong());
    REQUIRE_FALSE(server.last().urgent().empty());
    CHECK(server.last().urgent().back() == kMuch);
  }
}

TEST_CASE("urgent data: they wait while the link is away") {
  Server server(keeps);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(server.port())});
  Wire wire(a.link_port());
  Daemon c({"SERVER=sockmux://" + local(wire.port()), "PORT=127.0.0.1:0"});
  Conn client(c.port());
  REQUIRE(wait_for([&] { return server.accepted() == 1; }, 5));
  say(client, server.last(), 10);
  wire.freeze();
  client.send("abc").send_urgent('!').send("def");
  REQUIRE(wait_for([&] { return client.delivered(); }, 5));
  wire.cut();
  wire.thaw();
  REQUIRE(wait_for([&] { return server.last().received() == 16 + 7; }, 20));
  CHECK(server.last().text().substr(16) == "abc!def");
  REQUIRE(server.last().urgent().size() == 2);
  CHECK(server.last().urgent().back() == 19);
}

TEST_CASE("urgent data: a proxy that still has something for its server passes them on at their place") {
  constexpr size_t kSize = 120000;  // more than the server's connection holds, and less than the proxy has room for
  Server server([](Conn& c) { c.watch_urgent().reading = false; });
  server.hold_little();
  Pair p({"PORT=127.0.0.1:0"}, {"SERVER=socks,-in", "-vv"});
  Conn client(p.a->port());
  client.send({"\5\1\0", 3});
  (void)wait_for([] { return false; }, 0.3);  // there is credit now for more than the server takes at once
  client.send(std::string("\5\1\0\1\x7f\0\0\1", 8) + static_cast<char>(server.port() >> 8) + static_cast<char>(server.port() & 255) + pattern(7, kSize));
  client.send_urgent('!').send("after");
  REQUIRE(wait_for([&] { return server.accepted() == 1 && Daemon::value(p.c->statistics(), "rx") > static_cast<int64_t>(kSize); }, 10));
  CHECK_FALSE(p.c->process().says("from=raw to=dead"));
  const int64_t turns = Daemon::value(p.c->statistics(), "turns");
  (void)wait_for([] { return false; }, 0.3);
  CHECK(Daemon::value(p.c->statistics(), "turns") - turns < 30);  // it does not wait busily
  Conn& to = server.last();
  to.reading = true;
  REQUIRE(wait_for([&] { return to.received() == kSize + 6 || to.over(); }, 10));
  CHECK(to.text() == pattern(7, kSize) + "!after");
  CHECK(to.urgent() == std::vector<uint64_t>{kSize});
}

TEST_CASE("urgent data: a real telnet client's Synch is urgent at the server") {
  const std::string telnet = find_program("telnet");
  Server server([](Conn& c) { c.watch_urgent().send("login: "); });
  Pair plain({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
  Pair proxy({"PORT=127.0.0.1:0"}, {"SERVER=telnet,-in(REMITTABLE=telnet)"});
  const std::string synch = "\xff\xf2";  // IAC DM, RFC 854
  uint64_t mark = 0;  // which of the two is urgent, without anything between
  for (const uint16_t port : {server.port(), plain.a->port(), proxy.a->port()}) {
    CAPTURE(port);
    Terminal t({telnet, "127.0.0.1", text(port)});
    if (port == proxy.a->port()) {
      CHECK(t.shows(">> Host name: "));
      t.type("127.0.0.1 " + text(server.port()) + "\r");
    }
    CHECK(t.shows("login: "));
    t.type("\x1d");
    CHECK(t.shows("telnet> "));
    t.type("send synch\r");
    REQUIRE(wait_for([&] { return server.last().text().find(synch) != std::string::npos; }, 5));
    REQUIRE(server.last().urgent().size() == 1);
    const uint64_t at = server.last().urgent().back() - server.last().text().find(synch);
    if (port == server.port()) mark = at;
    CHECK(at == mark);
  }
}
