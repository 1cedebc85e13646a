// Dialect 0.3, as a DeleGate would see us. Read next: peer.h.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>

#include "tests/e2e/clocks.h"
#include "tests/e2e/peer.h"

using namespace e2e;

TEST_CASE("0.3: a hand-made peer connects, and an echo goes both ways") {
  Server server(echoes);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "DEST=" + local(server.port()), "TIMEOUT=lin:1"});
  Peer03 peer(a.link_port());
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  REQUIRE(a->wait_log(" link-up ", 5));
  CHECK(a->wait_log("dialect=0.3", 5));
  CHECK(serves(a.port(), 5));
  CHECK(peer.connects == 1);
  const unsigned id = peer.open("with CONNECT, ");
  REQUIRE(wait_for([&] { return peer.opened(id); }, 5));
  peer.send(id, "with SEND");
  CHECK(wait_for([&] { return peer.received(id) == "with CONNECT, with SEND"; }, 5));
  peer.close(id);
  CHECK(wait_for([&] { return peer.closed(id) && server.conns().empty(); }, 5));
  CHECK(peer.fault() == "");
}

TEST_CASE("0.3: the link is made by us, and proto:0.3 says nothing of SockMux 1") {
  for (const char* proto : {"SOXCONF=proto:0.3", "SOXCONF=proto:auto"}) {
    CAPTURE(proto);
    std::unique_ptr<Peer03> peer;
    Server deleGate([&](Conn& c) { peer = std::make_unique<Peer03>(c); });
    Daemon c({"SERVER=sockmux://" + local(deleGate.port()), "PORT=127.0.0.1:0", proto, "TIMEOUT=lin:1"});
    CHECK(serves(c.port(), 5));
    REQUIRE(peer != nullptr);
    CHECK((peer->hello_text().find("smx/1:") == std::string::npos) == (std::string(proto) == "SOXCONF=proto:0.3"));
    CHECK(peer->fault() == "");
    c.kill();
  }
}

TEST_CASE("0.3: never more than 56 channels at once; who waits is served when one ends") {
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "TIMEOUT=lin:1"});
  Peer03 peer(a.link_port());
  REQUIRE(a->wait_log(" link-up ", 5));
  const uint16_t port = a.port();
  std::vector<std::unique_ptr<Conn>> clients;
  for (int i = 0; i < 60; ++i) {
    clients.push_back(std::make_unique<Conn>(port));
    clients.back()->send("?");
  }
  const auto answered = [&] {
    size_t n = 0;
    for (auto& c : clients) n += c->text() == "?" ? 1 : 0;
    return n;
  };
  REQUIRE(wait_for([&] { return answered() == 56; }, 5));
  CHECK(peer.connects == 56);
  // One that ends makes room for one, four for all.
  for (size_t i = 1; i <= 4; ++i) {
    peer.close_one();
    CHECK(wait_for([&] { return answered() == 56 + i; }, 5));
    CHECK(peer.connects == 56 + i);
  }
  CHECK(peer.most == 56);
  CHECK(peer.fault() == "");
}

TEST_CASE("0.3: channels of both sides count together, since a DeleGate has one table for both") {
  Server server(echoes);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "DEST=" + local(server.port())});
  Peer03 peer(a.link_port());
  REQUIRE(a->wait_log(" link-up ", 5));
  std::vector<unsigned> theirs;
  for (int i = 0; i < 30; ++i) theirs.push_back(peer.open("x"));
  CHECK(wait_for([&] { return server.conns().size() == 30; }, 5));
  std::vector<std::unique_ptr<Conn>> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(std::make_unique<Conn>(a.port()));
    clients.back()->send("x");
  }
  const auto served = [&] {
    size_t n = 0;
    for (auto& c : clients) n += c->text() == "x" ? 1 : 0;
    return n;
  };
  CHECK(wait_for([&] { return served() >= 26; }, 5));
  CHECK(Daemon::value(a.statistics(), "channels") == 56);
  CHECK(served() == 26);
  for (const unsigned id : theirs) peer.close(id);
  CHECK(wait_for([&] { return served() == 40; }, 5));
  CHECK(peer.most == 56);
  CHECK(peer.fault() == "");
}

TEST_CASE("0.3: 200 short connections; no id is used again before CLOSED, however late that comes") {
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "TIMEOUT=lin:1"});
  Peer03 peer(a.link_port());
  peer.closed_after = 0.05;
  REQUIRE(a->wait_log(" link-up ", 5));
  const uint16_t port = a.port();
  // Clients that know what they wait for and go; the end of a direction alone would cost TIMEOUT=lin each.
  std::vector<std::unique_ptr<Conn>> clients;
  size_t started = 0, good = 0;
  const bool done = wait_for(
      [&] {
        for (size_t i = 0; i < clients.size();) {
          if (clients[i]->text() == "short") {
            ++good;
            clients[i]->reset();
          }
          if (clients[i]->closed() || clients[i]->over()) {
            clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(i));
          } else {
            ++i;
          }
        }
        while (started < 200 && clients.size() < 80) {
          clients.push_back(std::make_unique<Conn>(port));
          clients.back()->send("short");
          ++started;
        }
        return clients.empty();
      },
      20);
  CHECK(done);
  CHECK(good == 200);
  CHECK(peer.connects == 200);
  CHECK(peer.most <= 56);
  CHECK(peer.fault() == "");
}

TEST_CASE("0.3: 80 clients at once between two of ours are all served in the end") {
  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0", "TIMEOUT=lin:1"}, {"DEST=" + local(server.port()), "SOXCONF=proto:0.3", "TIMEOUT=lin:1"});
  Crowd crowd;
  crowd.ports = {p.a->port()};
  crowd.count = crowd.at_once = 80;
  crowd.most_bytes = 50000;
  check_crowd(crowd);
  CHECK(server.accepted() == 80);
  CHECK((*p.a)->says("dialect=0.3"));
}

TEST_CASE("0.3 has no half-close: who ends its direction still gets the answer, within TIMEOUT=lin") {
  constexpr uint64_t kSize = 5 << 20;
  Server server([](Conn& c) {
    // Knows by itself where the question ends, and thinks for a while.
    auto got = std::make_shared<std::string>();
    c.on_bytes = [&c, got](const char* bytes, size_t size) {
      got->append(bytes, size);
      if (got->size() == kSize) c.send(digest_of(*got)).shut();
    };
  });
  for (const bool from_connector : {false, true}) {
    CAPTURE(from_connector);
    const std::string port = "PORT=127.0.0.1:0", dest = "DEST=" + local(server.port());
    Pair p({from_connector ? dest : port, "TIMEOUT=lin:1"}, {from_connector ? port : dest, "SOXCONF=proto:0.3", "TIMEOUT=lin:1"});
    Conn client(from_connector ? p.c->port() : p.a->port());
    client.send_pattern(3, kSize).shut();
    CHECK(wait_for([&] { return client.over(); }, 20));
    CHECK(client.ended());
    CHECK(client.text() == digest_of(pattern(3, kSize)));
    CHECK(p.a->wait_channels(0, 5));
    CHECK(p.c->wait_channels(0, 5));
  }
}

TEST_CASE("0.3: a server that ends does not cut off what the client was sent") {
  Server server(gives(8, 3 << 20));
  Pair p({"PORT=127.0.0.1:0", "SOXCONF=proto:0.3"}, {"DEST=" + local(server.port())});
  for (int i = 0; i < 5; ++i) {
    Conn client(p.a->port());
    client.expect_pattern(8);
    CHECK(wait_for([&] { return client.over(); }, 10));
    CHECK(client.ended());
    CHECK(client.received() == 3 << 20);
    CHECK_FALSE(client.wrong());
  }
}

TEST_CASE("0.3: a peer's \"No server\" ends the client at once, and its id is free again") {
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
  Peer03 peer(a.link_port());
  peer.refuses = true;
  REQUIRE(a->wait_log(" link-up ", 5));
  for (int i = 0; i < 300; ++i) {  // more than there are ids
    Conn client(a.port());
    REQUIRE(wait_for([&] { return client.over(); }, 2));
  }
  CHECK(peer.connects == 300);
  CHECK(peer.fault() == "");
  peer.refuses = false;
  CHECK(wait_for([&] { return peer.now_open() == 0; }, 2));
  Conn client(a.port());
  client.send("now");
  CHECK(wait_for([&] { return client.text() == "now"; }, 2));
}

TEST_CASE("0.3: what a server sent before it closed arrives, also when a write of ours has met its reset") {
  constexpr size_t kSize = 120 * 1024;  // more than may be on its way without SENT, and fits into the kernel's buffers
  Server server([](Conn& c) { c.send_pattern(3, kSize); });
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(server.port()), "-vv"});
  Peer03 peer(a.link_port());
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  peer.acks = false;
  const unsigned id = peer.open();
  REQUIRE(wait_for([&] { return peer.opened(id) && peer.received(id).size() > 64 * 1024 && server.last().delivered(); }, 5));
  CHECK(peer.received(id).size() < kSize);
  server.last().close();
  peer.send(id, "this is answered by a reset, ");
  REQUIRE(wait_for([&] { return peer.sents == 1; }, 5));
  peer.send(id, "and this does not even get out");
  CHECK(wait_for([&] { return a->says("stream-error"); }, 5));
  peer.ack_all();
  CHECK(wait_for([&] { return peer.received(id) == pattern(3, kSize); }, 5));
  CHECK(peer.fault() == "");
}

// The client closes when all that it said is acknowledged, but most of it has had no room in the server's socket yet. How much can be
// acknowledged without a server that reads is found out first.
TEST_CASE("0.3: a proxy's server that reads slowly gets all, though the channel is closed right behind it, also while we end; or it sees a reset") {
  if (cannot_shift()) return;
  const std::string all = pattern(65, 1 << 20);
  size_t most = all.size();
  for (const std::string server_is : {"measured", "slow", "stuck", "slow, at TERM", "stuck, at TERM"}) {
    CAPTURE(server_is);
    const bool slow = server_is[1] == 'l', term = server_is.back() == 'M';
    Clocks clocks;
    Server server([](Conn& c) { c.expect_pattern(65).reading = false; });
    server.hold_little();
    Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "SERVER=socks,-in", "-vv"}, clocks.setup());
    Peer03 peer(a.link_port());
    REQUIRE(wait_for([&] { return peer.up(); }, 5));
    const unsigned id = peer.open();
    REQUIRE(wait_for([&] { return peer.opened(id); }, 5));
    std::string wish("\5\1\0\5\1\0\1\x7f\0\0\1", 11);
    wish += be16(server.port());
    size_t sent = 60000;  // nearly all that may be on its way without SENT, so that it is not through at once
    peer.send(id, wish + all.substr(0, sent));
    const auto acknowledged = [&] { return peer.sent_bytes == wish.size() + sent; };
    while (sent < most && wait_for(acknowledged, most == all.size() ? 0.5 : 5)) {
      const size_t n = std::min<size_t>(16000, most - sent);
      peer.send(id, all.substr(sent, n));
      sent += n;
    }
    if (server_is == "measured") {
      REQUIRE(peer.sent_bytes > 100000);
      most = peer.sent_bytes - 20000;
      continue;
    }
    REQUIRE(wait_for(acknowledged, 5));
    peer.close(id);
    REQUIRE(wait_for([&] { return peer.closed(id); }, 5));
    if (server_is == "stuck") clocks.add_monotonic(125);
    if (term) {
      peer.link().close();
      a->signal(SIGTERM);
      if (slow) (void)wait_for([] { return false; }, 0.3);
      else CHECK(a->wait_end(6));
    } else {
      (void)a.statistics();
    }
    Conn& to = server.last();
    to.reading = true;
    REQUIRE(wait_for([&] { return to.over(); }, 10));
    CHECK(to.ended() == slow);
    CHECK_FALSE(to.wrong());
    if (slow) CHECK(to.received() == sent);
    to.close();
    CHECK((term ? a->wait_end(3) : wait_for([&] { return a->says("from=dead to=free"); }, 5)));
  }
}

// The proxy waits for the LF that may follow when both come in one turn.
TEST_CASE("0.3: what comes with CLOSE behind the CR that ends the telnet proxy's line is the server's, but for an LF") {
  for (const std::string end : {"", "\n"}) {
    CAPTURE(end.size());
    Server server([](Conn& c) { (void)c; });
    Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "SERVER=telnet,-in", "REMITTABLE=telnet/*"});
    Peer03 peer(a.link_port());
    REQUIRE(wait_for([&] { return peer.up(); }, 5));
    const unsigned id = peer.open("127.0.0.1 " + text(server.port()) + "\r");
    REQUIRE(wait_for([&] { return peer.opened(id) && peer.received(id).find("-- connected") != std::string::npos; }, 5));
    a->signal(SIGSTOP);
    peer.send(id, end + "data");
    peer.close(id);
    (void)wait_for([] { return false; }, 0.1);
    a->signal(SIGCONT);
    REQUIRE(wait_for([&] { return server.last().over(); }, 5));
    CHECK(server.last().ended());
    CHECK(server.last().text() == "data");
  }
}

TEST_CASE("0.3: 10,000 connections leave no slot behind, in either role and whoever ends first") {
  Server server(echoes);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "DEST=" + local(server.port()), "TIMEOUT=lin:1"});
  Peer03 peer(a.link_port());
  peer.ends_on = "p";
  REQUIRE(a->wait_log(" link-up ", 5));
  const uint16_t port = a.port();
  constexpr size_t kEach = 5000;
  std::vector<std::unique_ptr<Conn>> clients;
  std::vector<std::pair<unsigned, bool>> theirs;  // id, closed by us
  size_t ours_started = 0, ours_good = 0, theirs_started = 0, theirs_good = 0;
  const bool done = wait_for(
      [&] {
        // Clients of ours: every second one resets, the others are ended by the peer.
        for (size_t i = 0; i < clients.size();) {
          Conn& c = *clients[i];
          if (c.text() == "r") c.reset();
          if (c.closed() || c.over()) {
            ours_good += c.text() == "r" || c.text() == "p" ? 1 : 0;
            clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(i));
          } else {
            ++i;
          }
        }
        while (ours_started < kEach && clients.size() < 20) {
          clients.push_back(std::make_unique<Conn>(port));
          clients.back()->send(ours_started++ % 2 == 0 ? "r" : "p");
        }
        // Channels of the peer, which closes them once it has its answer.
        for (size_t i = 0; i < theirs.size();) {
          auto& [id, closing] = theirs[i];
          if (!closing && !peer.closed(id) && peer.opened(id) && peer.received(id) == "x") {
            ++theirs_good;
            closing = true;
            peer.close(id);
          }
          if (peer.closed(id)) {
            theirs.erase(theirs.begin() + static_cast<std::ptrdiff_t>(i));
          } else {
            ++i;
          }
        }
        while (theirs_started < kEach && theirs.size() < 20) {
          theirs.emplace_back(peer.open("x"), false);
          ++theirs_started;
        }
        return ours_started == kEach && theirs_started == kEach && clients.empty() && theirs.empty();
      },
      60);
  CHECK(done);
  CHECK(ours_good == kEach);
  CHECK(theirs_good == kEach);
  CHECK(peer.connects == kEach);
  CHECK(peer.most <= 56);
  CHECK(peer.fault() == "");
  CHECK(wait_for([&] { return peer.now_open() == 0; }, 5));
  CHECK(a.wait_channels(0, 5));
}

TEST_CASE("0.3: DeleGate's offer of its own encryption is declined, and the session works in clear") {
  Server server(echoes);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "DEST=" + local(server.port()), "TIMEOUT=lin:1"});
  Peer03 peer(a.link_port());
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  // SETOPT CRYPT (1): type and a key, as "Credhy" sends it, with the ECHO behind it.
  peer.raw(packet(3, kSetopt, 0xff, 0xff, std::string{1, 1} + pattern(5, 64)));
  peer.raw(packet(3, kEcho, 0xff, 0xff, std::string("1234567") + '\0'));
  CHECK(wait_for([&] { return peer.echooks == 1; }, 5));
  CHECK(serves(a.port(), 5));
  const unsigned id = peer.open("in clear");
  CHECK(wait_for([&] { return peer.received(id) == "in clear"; }, 5));
  CHECK(a->count(" link-up ") == 1);
  CHECK_FALSE(a->says(" link-down "));
  CHECK(peer.fault() == "");
}
