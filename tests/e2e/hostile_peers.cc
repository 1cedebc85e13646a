// Peers that shake hands, or nearly, and then do too much of what is allowed, or too little. What breaks a rule is in bad_peers.cc
// and garbage.cc. Read next: hostile.h.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/e2e/hostile.h"

using namespace e2e;

namespace {

std::string connect(unsigned n, char kind = 1) { return numbered(kConnect, n, kNoId, connect_fields(kind)); }
std::string close(unsigned n) { return numbered(kClose, n, kNoId, std::string(1, 1)); }
std::string times(size_t n, const std::string& bytes) {
  std::string all;
  all.reserve(n * bytes.size());
  for (size_t i = 0; i < n; ++i) all += bytes;
  return all;
}
std::string zero_ended(const std::string& s) { return s + std::string(1, '\0'); }

// A peer of its own kind each time: two with the same process number would be one.
Peer1::Ask newcomer() {
  static uint64_t number = 0x20000000;
  Peer1::Ask ask;
  ask.attempt = ++number << 32 | 1;
  return ask;
}

struct Hostile : Peer1 {
  explicit Hostile(Stage& s, const Ask& ask = newcomer()) : Peer1(s.hub().link_port(), ask) {
    keeps = false;
    acks = true;
    REQUIRE(wait_for([&] { return up(); }, 5));
  }
  ~Hostile() override { link().reset(); }
};

// The bytes of `hundred`, which end a hundred channels, again and again, once those before have been ended; at least `least` channels.
void open_and_close(Stage& s, const std::string& hundred, size_t least) {
  Hostile peer(s);
  size_t asked = 0;
  const auto step = [&] {
    if (peer.closes < asked) return;
    peer.raw(hundred);
    asked += 100;
  };
  CHECK(keep_doing_until(step, [&] { return asked >= least; }));
  CHECK(wait_for([&] { return peer.closes == asked; }, 10));
  CHECK_FALSE(peer.over());
}

// Behind port 9023, which is what connect_fields() names.
Words served_by(const Server& server) { return {"SERVER=tcprelay://" + local(server.port()) + ",-in:-:-P9023"}; }

}  // namespace

TEST_CASE("hostile peer: 60,000 channels at once: what has no room is refused, and what stands is let be") {
  ProcessSetup few;
  few.files = 300;
  Stage s({"MAXIMA=channels:60000,links:4"}, {}, few);
  s.most_kib = 2048;
  std::string all;
  for (unsigned n = 0; n < 60000; ++n) all += connect(n);
  s.survives([&] {
    Hostile peer(s);
    peer.raw(all);
    CHECK(wait_for([&] { return peer.closes > 59000; }, 60));
    CHECK_FALSE(peer.over());
    CHECK(peer.closes < 60000);  // the others have got their server
  });
  CHECK(s.hub()->count(" channel-refused ") < 50);
}

TEST_CASE("hostile peer: CONNECT and CLOSE without end, thousands a second") {
  Stage s;
  std::string hundred;
  for (unsigned n = 0; n < 100; ++n) hundred += connect(n) + close(n);
  s.survives([&] { open_and_close(s, hundred, 5000); });
}

TEST_CASE("hostile peer: ECHO without end, whose answers nobody reads") {
  Stage s;
  const std::string flood = times(20000, unnumbered(kEcho, be64(7)));
  s.survives([&] {
    Hostile peer(s);
    peer.link().reading = false;
    for (int i = 0; i < 5; ++i) {
      peer.raw(flood);
      CHECK(wait_for([&] { return peer.link().all_sent(); }, 10));
    }
    // Answers are not kept: the last one counts.
    peer.link().reading = true;
    peer.raw(connect(1));
    CHECK(wait_for([&] { return peer.packets > 0; }, 5));
    CHECK_FALSE(peer.over());
    CHECK(peer.link().received() < flood.size());
  });
}

TEST_CASE("hostile peer: 0.3: what the page lets pass, 20,000 times each") {
  Stage s;
  const std::string floods[] = {
      packet(3, 0x77, 0xff, 0xff, "unknown"), packet(3, kSetopt, 0xff, 0xff, std::string("\x03\x40\x00", 3)), packet(3, kNoop, 0xff, 0xff, ""),
      packet(3, kSent, 5, 200, zero_ended("12")), packet(3, kHellook, 0, 0, zero_ended("20260102-030405.678901 x")), packet(3, kEcho, 0, 0, "x"),
      packet(3, kClose, 5, 200, zero_ended("late")), packet(3, kClosed, 5, 200, zero_ended("late"))};
  s.survives([&] {
    Peer03 peer(s.hub().link_port());
    REQUIRE(wait_for([&] { return peer.up(); }, 5));
    for (const std::string& f : floods) peer.raw(times(20000, f));
    const unsigned id = peer.open("hello");
    CHECK(wait_for([&] { return peer.received(id) == "hello"; }, 20));
    CHECK_FALSE(peer.over());
    peer.link().reset();
  });
}

TEST_CASE("hostile peer: it takes fifty downloads and reads nothing: bounded memory, and others go on") {
  Server giver(gives(5, uint64_t{1} << 40));
  Stage s(served_by(giver));
  s.most_kib = 3072;
  s.survives([&] {
    const int64_t before = s.hub().resident_kib();
    Hostile peer(s);
    for (unsigned n = 0; n < 50; ++n) peer.raw(connect(n) + numbered(kCredit, n, kNoId, be32(1u << 30)));
    peer.link().reading = false;
    keep_doing(0.7, [] {});
    if (!daemon_sanitized()) CHECK(s.hub().resident_kib() < before + 8192);
  });
}

TEST_CASE("hostile peer: it reads a little now and then, and talks, so that it is never silent") {
  Server giver(gives(5, uint64_t{1} << 40));
  Stage s(served_by(giver));
  s.most_kib = 3072;
  s.survives([&] {
    const int64_t before = s.hub().resident_kib();
    Hostile peer(s);
    peer.acks = false;
    for (unsigned n = 0; n < 50; ++n) peer.raw(connect(n) + numbered(kCredit, n, kNoId, be32(1u << 30)));
    peer.link().rate = 2000;
    keep_doing(1, [&] {
      if (peer.link().all_sent()) peer.raw(unnumbered(kEcho, be64(1)));
    });
    CHECK_FALSE(peer.over());
    if (!daemon_sanitized()) CHECK(s.hub().resident_kib() < before + 8192);
  });
}

TEST_CASE("hostile peer: credit that runs over, by one CREDIT and by many") {
  Stage s;
  const std::string wholes[] = {be32(0xffffffff), be32(0x80000000), be32(0x7fffffff)};
  s.survives([&] {
    for (const std::string& whole : wholes) {
      Hostile peer(s);
      peer.raw(connect(1) + numbered(kCredit, 1, kNoId, whole));
      CHECK(wait_for([&] { return peer.over(); }, 5));
      CHECK(peer.bye() == 0x81);
    }
    Hostile peer(s);
    peer.raw(connect(1) + times(7, numbered(kCredit, 1, kNoId, be32(1u << 28))));
    peer.raw(unnumbered(kEcho, be64(1)));
    CHECK(wait_for([&] { return peer.packets > 0; }, 5));
    CHECK_FALSE(peer.over());
    peer.raw(numbered(kCredit, 1, kNoId, be32(1u << 28)));
    CHECK(wait_for([&] { return peer.over(); }, 5));
    CHECK(peer.bye() == 0x81);
  });
  CHECK(s.hub()->count("more data than credit") == 8);
}

TEST_CASE("hostile peer: handshakes one byte at a time get no more time than others, and keep nobody out") {
  Stage s({"TIMEOUT=hello:1", "MAXIMA=links:3"});
  const std::string hello = packet(3, kHello, 0xffff, 0xffff, zero_ended("20260102-030405.678901 by-hand smx/1:fffffff0"));
  s.survives([&] {
    std::vector<std::unique_ptr<Conn>> conns;
    std::vector<std::unique_ptr<Slowly>> slow;
    for (int i = 0; i < 12; ++i) {
      conns.push_back(std::make_unique<Conn>(s.hub().link_port()));
      slow.push_back(std::make_unique<Slowly>(*conns.back(), hello, 0.1));
    }
    {
      Hostile peer(s);  // who says who it is gets in
      peer.raw(connect(1));
      CHECK(wait_for([&] { return peer.packets > 0; }, 5));
    }
    CHECK(all_over(conns, 10));
    for (const auto& one : slow) CHECK(one->sent() < hello.size());
  });
}

TEST_CASE("hostile peer: HELLO again and again does not make a handshake last") {
  Stage s({"TIMEOUT=hello:1"});
  s.survives([&] {
    Conn c(s.hub().link_port());
    unsigned nonce = 0xfffffff0;
    double next = 0;
    CHECK(wait_for(
        [&] {
          if (now() >= next && !c.over()) {
            char word[16];
            (void)snprintf(word, sizeof word, "%08x", nonce--);
            c.send(packet(3, kHello, 0xffff, 0xffff, zero_ended(std::string("20260102-030405.678901 by-hand smx/1:") + word)));
            next = now() + 0.05;
          }
          return c.over();
        },
        10));
  });
}

TEST_CASE("hostile peer: links made and thrown away without end, with and without a handshake") {
  Stage s;
  const std::string hello = packet(3, kHello, 0xffff, 0xffff, zero_ended("20260102-030405.678901 by-hand smx/1:fffffff0"));
  s.survives([&] {
    std::vector<std::unique_ptr<Conn>> conns;
    size_t made = 0;
    const auto step = [&] {
      while (conns.size() < 50) {
        conns.push_back(std::make_unique<Conn>(s.hub().link_port()));
        if (++made % 2 == 0) conns.back()->send(hello);
      }
      for (auto& c : conns)
        if (c->over() || (c->connected() && c->all_sent())) c->reset();
      conns.erase(std::remove_if(conns.begin(), conns.end(), [](const std::unique_ptr<Conn>& c) { return c->closed(); }), conns.end());
    };
    CHECK(keep_doing_until(step, [&] { return made >= 1000; }));
    for (auto& c : conns) c->reset();
  });
}

TEST_CASE("hostile peer: a handshake that was captured, and is sent again while its session stands") {
  Stage s;
  s.survives([&] {
    Peer1::Ask ask = newcomer();
    ask.hold = 60;
    Hostile peer(s, ask);
    peer.keeps = true;
    peer.raw(connect(1) + numbered(kSend, 1, kNoId, "mine"));
    REQUIRE(wait_for([&] { return peer.find(kSend, kNoId, 1) != nullptr; }, 5));
    // What it has said: its HELLO, and then SETTINGS for the session, with the nonce of that time.
    Peer1::Ask again = ask;
    again.session = peer.session();
    const std::string hello = packet(3, kHello, 0xffff, 0xffff, zero_ended("20260102-030405.678901 by-hand smx/1:fffffff0"));
    const std::string settings = packet(0x10, kSettings, 0xffff, 0xffff, be32(0x12345678) + "\x01\x10" + again.session + "\x02\x08" + be64(0) + "\x03\x08" + be64(ask.attempt + 1) +
                                                                                "\x04\x04" + be32(65536) + "\x05\x02" + be16(100) + "\x06\x02" + be16(60));
    Conn replay(s.hub().link_port());
    replay.send(hello + settings + connect(2));
    CHECK(wait_for([&] { return replay.over(); }, 20));
    peer.raw(numbered(kSend, 1, kNoId, "still"));
    CHECK(wait_for([&] { return peer.seen.size() >= 2 && peer.seen.back().payload == "still"; }, 5));
    CHECK_FALSE(peer.over());
    peer.raw(unnumbered(kBye, "\x80"));
    CHECK(wait_for([&] { return peer.over(); }, 5));
  });
}

TEST_CASE("hostile peer: a session that is resumed again and again, and then from where nothing is kept any more") {
  Stage s;
  s.survives([&] {
    Peer1::Ask ask = newcomer();
    ask.hold = 60;
    const auto link = [&] {
      ++ask.attempt;
      auto peer = std::make_unique<Peer1>(s.hub().link_port(), ask);
      REQUIRE(wait_for([&] { return peer->up() || peer->over(); }, 5));
      return peer;
    };
    {
      const auto first = link();
      ask.session = first->session();
      first->raw(connect(1) + close(1));
      REQUIRE(wait_for([&] { return first->closes == 1; }, 5));
      first->link().reset();
    }
    for (int i = 0; i < 100; ++i) {  // half of them while the one before seems to stand
      const auto again = link();
      CHECK(again->session() == ask.session);
      if (i % 2 == 0) again->link().reset();
    }
    {
      const auto last = link();
      REQUIRE(wait_for([&] { return last->closes == 1; }, 5));  // what was not acknowledged comes again
      last->raw(unnumbered(kAck, be64(last->came())) + unnumbered(kEcho, be64(9)));
      REQUIRE(wait_for([&] { return last->echooks > 0; }, 5));
      last->link().reset();
    }
    const auto late = link();
    CHECK(wait_for([&] { return late->over(); }, 5));
    CHECK(late->bye() == 0x84);
  });
}

TEST_CASE("hostile peer: BIND without end, on a link that has no right to it") {
  Stage s;
  std::string hundred;
  for (unsigned n = 0; n < 100; ++n) hundred += numbered(kBind, n, kNoId, std::string("\x01\x02\x07\x04\x7f\x00\x00\x01\x00\x50", 10));
  std::string closes;
  for (unsigned n = 0; n < 100; ++n) closes += close(n);
  s.survives([&] {
    Hostile peer(s);
    size_t asked = 0;
    const auto step = [&] {
      if (peer.closes < asked) return;
      peer.raw((asked > 0 ? closes : "") + hundred);
      asked += 100;
    };
    CHECK(keep_doing_until(step, [&] { return asked >= 1000; }));
    CHECK(wait_for([&] { return peer.closes == asked; }, 10));
    CHECK_FALSE(peer.over());
  });
  CHECK(s.hub()->count(" bind-refused ") < 50);
}

TEST_CASE("hostile peer: UDP flows and datagrams without end, to a server that answers each") {
  Stage s;
  std::string hundred;
  for (unsigned n = 0; n < 100; ++n) hundred += connect(n, 2) + numbered(0x22, n, kNoId, "x") + close(n);
  s.survives([&] { open_and_close(s, hundred, 500); });
}
