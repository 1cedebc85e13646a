// What users pay for: their bytes arrive, whole, in order, both ways, whatever the others do.
// Read next: sockets.h; failures.cc for what happens when something breaks.
#include <doctest/doctest.h>

#include <utility>
#include <errno.h>

#include "tests/e2e/sockets.h"

using namespace e2e;

TEST_CASE("both directions at once: 100 clients at each side") {
  Server left(echoes), right(echoes);
  Pair p({"PORT=127.0.0.1:0", "DEST=" + local(left.port())}, {"PORT=127.0.0.1:0", "DEST=" + local(right.port())});
  Crowd crowd;
  crowd.ports = {p.a->port(), p.c->port()};
  crowd.count = crowd.at_once = 200;
  crowd.most_bytes = 100000;
  check_crowd(crowd);
  CHECK(left.accepted() == 100);
  CHECK(right.accepted() == 100);
}

TEST_CASE("1,000 connections of 0 to 300 KiB: every byte is the one that was sent") {
  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
  for (const size_t at_once : {size_t{50}, size_t{200}}) {
    Crowd crowd;
    crowd.ports = {p.a->port()};
    crowd.count = 500;
    crowd.at_once = at_once;
    crowd.most_bytes = 300 * 1024;
    crowd.seed = at_once;
    check_crowd(crowd);
  }
  CHECK(server.accepted() == 1000);
}

TEST_CASE("a reader that reads nothing stops nobody else, costs bounded memory, and gets all in the end") {
  constexpr uint64_t kMuch = 64 << 20;
  Server giver(gives(7, kMuch)), echo(echoes);
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(giver.port()) + ":127.0.0.2", "DEST=" + local(echo.port())});
  check_crowd({{p.a->port()}, 100, 20, 100000, 1, 30});
  const int64_t a_before = p.a->resident_kib(), c_before = p.c->resident_kib();
  Conn lazy("127.0.0.1", p.a->port(), "127.0.0.2");
  lazy.expect_pattern(7).reading = false;
  CHECK(wait_for([&] { return giver.accepted() == 1; }, 5));
  check_crowd({{p.a->port()}, 400, 50, 100000, 2, 30});
  REQUIRE(giver.conns().size() == 1);
  CHECK(giver.last().sent() < kMuch / 2);
  if (!daemon_sanitized()) {
    CHECK(p.a->resident_kib() - a_before < 4096);
    CHECK(p.c->resident_kib() - c_before < 4096);
  }
  lazy.reading = true;
  CHECK(wait_for([&] { return lazy.over(); }, 30));
  CHECK(lazy.ended());
  CHECK(lazy.received() == kMuch);
  CHECK_FALSE(lazy.wrong());
}

TEST_CASE("half-close: a client ends after 5 MB, and still gets the answer that needs all of it") {
  Server server(answers_digest);
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
  Conn client(p.a->port());
  client.send_pattern(3, 5 << 20).shut();
  CHECK(wait_for([&] { return client.over(); }, 20));
  CHECK(client.ended());
  CHECK(client.text() == digest_of(pattern(3, 5 << 20)));
}

TEST_CASE("half-close the other way: a server ends first, and still takes what the client sends") {
  Server server([](Conn& c) { c.send_pattern(4, 1 << 20).shut().expect_pattern(5); });
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
  Conn client(p.a->port());
  client.expect_pattern(4);
  CHECK(wait_for([&] { return client.over(); }, 20));
  CHECK(client.ended());
  CHECK(client.received() == 1 << 20);
  REQUIRE(server.conns().size() == 1);
  Conn& far = server.last();
  client.send_pattern(5, 5 << 20);
  CHECK(wait_for([&] { return far.received() == 5 << 20 || far.over(); }, 20));
  CHECK(far.received() == 5 << 20);
  CHECK_FALSE(far.over());
  client.shut();
  CHECK(wait_for([&] { return server.conns().empty() || server.last().over(); }, 5));
  CHECK_FALSE(client.wrong());
}

TEST_CASE("nothing is thrown away: a server sends 3 MB and closes at once, the client reads slowly") {
  constexpr uint64_t kSize = 3 << 20;
  for (const char* proto : {"SOXCONF=proto:1", "SOXCONF=proto:0.3"}) {
    CAPTURE(proto);
    Server server(gives(9, kSize));
    Pair p({"PORT=127.0.0.1:0", "TIMEOUT=lin:1"}, {"DEST=" + local(server.port()), proto, "TIMEOUT=lin:1"});
    Conn client(p.a->port());
    client.expect_pattern(9).rate = 1500000;
    CHECK(wait_for([&] { return client.over(); }, 20));
    CHECK(client.ended());
    CHECK(client.received() == kSize);
    CHECK_FALSE(client.wrong());
  }
}

TEST_CASE("1,000 channels open at once, each alive; then none is left") {
  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
  const uint16_t port = p.a->port();
  std::vector<std::unique_ptr<Conn>> clients;
  for (int i = 0; i < 1000; ++i) {
    clients.push_back(std::make_unique<Conn>(port));
    clients.back()->send("I am " + text(static_cast<uint64_t>(i)));
  }
  const auto all_answered = [&] {
    for (size_t i = 0; i < clients.size(); ++i)
      if (clients[i]->text() != "I am " + text(i)) return false;
    return true;
  };
  CHECK(wait_for(all_answered, 20));
  CHECK(server.conns().size() == 1000);
  CHECK(Daemon::value(p.a->statistics(), "channels") == 1000);
  CHECK(Daemon::value(p.c->statistics(), "channels") == 1000);
  for (auto& c : clients) c->shut();
  CHECK(p.a->wait_channels(0, 10));
  CHECK(p.c->wait_channels(0, 10));
}

TEST_CASE("with little memory and small packets all arrives too, and nobody stops the others") {
  Server server(echoes), lazy(reads_nothing);
  for (const char* proto : {"SOXCONF=proto:1", "SOXCONF=proto:0.3,packsize:129", "SOXCONF=proto:0.3,packsize:16384"}) {
    CAPTURE(proto);
    const Words small{"MAXIMA=channels:60,memory:2m,links:1", "TIMEOUT=lin:1"};
    Words a{"PORT=127.0.0.1:0"}, c{"DEST=" + local(lazy.port()) + ":127.0.0.2", "DEST=" + local(server.port()), proto};
    a.insert(a.end(), small.begin(), small.end());
    c.insert(c.end(), small.begin(), small.end());
    Pair p(a, c);
    std::vector<std::unique_ptr<Conn>> stuck;
    for (int i = 0; i < 20; ++i) {
      stuck.push_back(std::make_unique<Conn>("127.0.0.1", p.a->port(), "127.0.0.2"));
      stuck.back()->send_pattern(1, 8 << 20);
    }
    check_crowd({{p.a->port()}, 36, 36, 50000, 1, 20});
    for (auto& s : stuck) CHECK(s->alive());
    CHECK((*p.a)->count(" link-up ") == 1);
  }
}

TEST_CASE("after 200 connections each daemon has as many descriptors as before") {
  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
  const size_t a = p.a->descriptors(), c = p.c->descriptors();
  check_crowd({{p.a->port()}, 200, 40, 20000, 3, 30});
  CHECK(wait_for([&] { return p.a->descriptors() == a && p.c->descriptors() == c; }, 8));
  CHECK(p.a->descriptors() == a);
  CHECK(p.c->descriptors() == c);
}

TEST_CASE("IPv6: link, port and server") {
  Server server(echoes, "::1");
  Daemon a({"SERVER=sockmux", "-P[::1]:0", "PORT=__1:0"});
  Daemon c({"SERVER=sockmux://[::1]:" + text(a.link_port()), "DEST=[::1]:" + text(server.port())});
  CHECK(a->wait_log(" link-up ", 5));
  CHECK(ask(a.port(), "six", 5, "::1") == "six");
  CHECK(a->wait_log("peer=\"tcp [::1]:", 5));
}

TEST_CASE("a reset is a reset at the other end, and an end is an end: both ways, in both dialects, with data in front") {
  for (const char* proto : {"SOXCONF=proto:1", "SOXCONF=proto:0.3"}) {
    Server server([](Conn& c) { c.expect_pattern(1); });
    Pair p({"PORT=127.0.0.1:0", proto, "TIMEOUT=lin:2"}, {"DEST=" + local(server.port())});
    for (const bool by_client : {true, false}) {
      for (const bool reset : {true, false}) {
        for (const uint64_t size : {uint64_t{0}, uint64_t{100}, uint64_t{3} << 20}) {
          CAPTURE(std::string(proto));
          CAPTURE(by_client);
          CAPTURE(reset);
          CAPTURE(size);
          const size_t before = server.accepted();
          Conn client(p.a->port());
          client.expect_pattern(1);
          REQUIRE(wait_for([&] { return server.accepted() > before; }, 5));
          Conn& maker = by_client ? client : server.last();
          Conn& other = by_client ? server.last() : client;
          maker.send_pattern(1, size);
          if (size > 0) REQUIRE(wait_for([&] { return maker.all_sent() && other.received() > 0; }, 10));
          if (reset) {
            maker.reset();
          } else {
            maker.shut();
          }
          const uint64_t got = other.received();
          REQUIRE(wait_for([&] { return other.over(); }, 10));
          CHECK_FALSE(other.wrong());
          CHECK(other.ended() == !reset);
          CHECK(other.error() == (reset ? ECONNRESET : 0));
          CHECK(other.received() >= got);
          if (!reset) CHECK(other.received() == size);
          client.close();
          for (const std::unique_ptr<Conn>& c : server.conns()) c->close();  // those that it has not forgotten
        }
      }
    }
    CHECK(p.a->wait_channels(0, 10));
    CHECK(p.c->wait_channels(0, 10));
  }
}

// The kernel tells a reset once, to the write or to the read that comes first (Linux), and behind a write reading ends as if
// all had come. Told as an end, what was cut off would be taken for whole.
TEST_CASE("a reset that a write of ours has met is a reset, too, and no end: both ways, in both dialects") {
  constexpr uint64_t kSaid = 100000, kEndless = uint64_t{1} << 40;
  for (const char* proto : {"SOXCONF=proto:1", "SOXCONF=proto:0.3"}) {
    Server server([](Conn&) {});
    Pair p({"PORT=127.0.0.1:0", proto}, {"DEST=" + local(server.port())});
    for (const bool by_client : {true, false}) {
      CAPTURE(std::string(proto));
      CAPTURE(by_client);
      const size_t before = server.accepted();
      Conn client(p.a->port());
      REQUIRE(wait_for([&] { return server.accepted() > before; }, 5));
      Conn& maker = by_client ? client : server.last();
      Conn& other = by_client ? server.last() : client;
      other.expect_pattern(1);
      maker.reading = false;
      maker.send_pattern(1, kSaid);
      other.send_pattern(2, kEndless);  // until nobody takes any more, so that a write is due when the reset comes
      REQUIRE(wait_for([&] { return other.received() == kSaid && other.sent() > 0; }, 10));
      uint64_t sent = 0;
      REQUIRE(wait_for([&] { return std::exchange(sent, other.sent()) == other.sent(); }, 10));
      maker.reset();
      REQUIRE(wait_for([&] { return other.over(); }, 10));
      CHECK_FALSE(other.ended());
      CHECK_FALSE(other.wrong());
      for (const std::unique_ptr<Conn>& c : server.conns()) c->close();
    }
    CHECK(p.a->wait_channels(0, 10));
    CHECK(p.c->wait_channels(0, 10));
  }
}

TEST_CASE("a client that resets leaves no channel behind, and its server is reset, not ended") {
  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
  Conn client(p.a->port());
  client.send("hello");
  REQUIRE(wait_for([&] { return client.text() == "hello"; }, 5));
  int end = 0;
  bool clean = false;
  client.reset();
  CHECK(wait_for([&] {
    if (server.conns().empty()) return true;
    end = server.last().error();
    clean = server.last().ended();
    return end != 0 || clean;
  }, 5));
  CHECK_FALSE(clean);
  CHECK(end != 0);
  CHECK(p.a->wait_channels(0, 5));
  CHECK(p.c->wait_channels(0, 5));
}

TEST_CASE("a client that sends on to a server that has gone is reset after 5 s, not kept for ever") {
  Server server([](Conn& c) { c.send("bye").close_behind(); });
  Pair p({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(server.port()), "-vv"}, {"PORT=127.0.0.1:0"});
  Conn client(p.c->port());
  REQUIRE(wait_for([&] { return client.ended(); }, 5));
  CHECK(client.text() == "bye");
  client.send_pattern(1, uint64_t{1} << 40);
  CHECK((*p.a)->wait_log("stream-error", 5));
  CHECK(wait_for([&] { return client.error() != 0; }, 8));
  CHECK(p.a->wait_channels(0, 5));
  CHECK(p.c->wait_channels(0, 5));
}
