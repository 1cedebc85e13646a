// Links on trial: HELLO and no more, until another mux takes the link. Read next: core/session/trial.h; e2e/failover.cc.
#include <doctest/doctest.h>

#include "tests/sim/bench.h"

using namespace smx;
using namespace bench;

namespace {

constexpr uint64_t kProcess = uint64_t{0xc4a1f05b} << 32;
const char* const kStampC = "20261123-085921.086940";
const char* const kStampA = "20261123-085921.114471";

MuxConfig config(bool asks, MuxConfig::Proto proto = MuxConfig::Proto::automatic) {
  MuxConfig c;
  c.asks = asks;
  c.proto = proto;
  c.hold = seconds(60);
  c.opens = c.accepts = 20;
  c.first_credit = 512;
  c.memory_bytes = 2u << 20;
  c.tx_ring = c.rx_ring = 64 * 1024;
  strcpy(c.host, asks ? "r1" : "hub");
  return c;
}

// A mux whose links are on trial. What the peer asks for is for others.
struct Trial : Bench {
  explicit Trial(bool asks, MuxConfig::Proto proto = MuxConfig::Proto::automatic) : Bench(config(asks, proto)) { trial = true; }
  AskAnswer on_ask(const Settings&) override { return AskAnswer::elsewhere; }
  // The link goes to `to`, as an ask of this attempt if it asks.
  Err give(Bench& to, uint64_t attempt = kProcess + 100) {
    LinkHandover link;
    mux.give_link(&link, now);
    CHECK(mux.state() == Mux::State::down);
    link.start.attempt = attempt;
    return to.mux.take_link(link, to.now);
  }
};

void talk(Bench& a, Bench& b) {
  for (int i = 0; i < 20; ++i) {
    const Data from_a = a.write_all();
    if (!from_a.empty()) REQUIRE(b.feed(from_a) == Err::none);
    const Data from_b = b.write_all();
    if (!from_b.empty()) REQUIRE(a.feed(from_b) == Err::none);
    if (from_a.empty() && from_b.empty()) return;
  }
  FAIL("they never stop");
}

// C and A have a session, with a channel.
struct Two {
  Two() : c(config(true)), a(config(false)) {
    a.accept_at_once = true;
    c.up(be32(0x1f3c0001) + Data(20, 'c'), kStampC, kProcess + 1);
    a.up(be32(0x21d40001) + Data(20, 'a'), kStampA);
    talk(c, a);
    id = c.open("x");
    talk(c, a);
    REQUIRE(a.at(a.opened).in == "x");
  }
  void check_alive() {
    CHECK(c.mux.resumed());
    CHECK(a.mux.resumed());
    c.send(id, "y");
    a.send(a.opened, "z");
    talk(c, a);
    CHECK(a.at(a.opened).in == "xy");
    CHECK(c.at(id).in == "z");
  }
  Bench c, a;
  ChannelId id;
};

}  // namespace

TEST_CASE("trial: says HELLO and no more, hears the peer's, and a session goes on over the link") {
  Two t;
  Trial trial(true), front(false);
  front.trial = false;
  trial.up(be32(0x1f3c0009) + Data(20, 'c'), kStampC);
  front.up(be32(0x21d40009) + Data(20, 'f'), kStampA);
  const Data hello = front.write_all();
  CHECK(trial.feed(hello) == Err::none);
  CHECK(trial.mux.heard());
  CHECK_FALSE(trial.mux.proven());  // ours is not out
  const Data ours = trial.write_all();
  CHECK(types(ours) == "01");
  CHECK(trial.mux.proven());
  CHECK(trial.write_types() == "");
  CHECK(front.feed(ours) == Err::none);
  // Meanwhile the session lives on its link, and then moves.
  t.c.send(t.id, "");
  talk(t.c, t.a);
  t.c.mux.link_down(t.c.now);
  REQUIRE(trial.give(t.c) == Err::none);
  CHECK(front.feed(t.c.write_all()) == Err::moved);
  t.a.mux.link_down(t.a.now);
  LinkHandover link;
  front.mux.give_link(&link, front.now);
  REQUIRE(t.a.mux.take_link(link, t.a.now) == Err::none);
  talk(t.c, t.a);
  t.check_alive();
}

TEST_CASE("trial: a HELLO that was there before ours proves nothing, the answer to ours does") {
  Trial trial(true);
  Bench peer(config(false));
  trial.search = peer.search = true;
  const Data old = packet(kVersion03, Type::hello, kNone, kNone, "20250102-030405.678901 hub smx/1:11111111" + Data(1, '\0'));
  trial.up(be32(0x1f3c0009) + Data(20, 'c'), kStampC);
  CHECK(trial.feed(old) == Err::none);
  CHECK_FALSE(trial.mux.heard());
  const Data ours = trial.write_all();
  CHECK(types(ours) == "01");
  CHECK_FALSE(trial.mux.proven());
  // A peer that lives must answer: its own may have been said before we were there to hear it.
  peer.up(be32(0x21d40009) + Data(20, 'a'), kStampA);
  (void)peer.write_all();
  CHECK(peer.feed(ours) == Err::none);
  CHECK(trial.feed(peer.write_all()) == Err::none);
  CHECK(trial.mux.heard());
  Bench taker(config(true));
  taker.search = true;
  // Its answer to that HELLO may still be due.
  CHECK(peer.feed(trial.write_all()) == Err::none);
  REQUIRE(trial.mux.proven());
  REQUIRE(trial.give(taker) == Err::none);
  talk(taker, peer);
  CHECK(taker.mux.up());
  CHECK(peer.mux.up());
}

TEST_CASE("trial: without an answer it ends in time") {
  Trial trial(true);
  trial.up();
  CHECK(types(trial.write_all()) == "01");
  CHECK(trial.wait(seconds(14)) == Err::none);
  CHECK(trial.wait(seconds(2)) == Err::handshake_timeout);
}

TEST_CASE("trial: of the side that is asked the ask is the proof, and it goes on with it") {
  Two t;
  Trial trial(false);
  trial.up(be32(0x21d40009) + Data(20, 'f'), kStampA);
  t.c.mux.link_down(t.c.now);
  t.c.up(be32(0x1f3c0009) + Data(20, 'c'), kStampC, kProcess + 2);
  CHECK(t.c.feed(trial.write_all()) == Err::none);
  const Data first = t.c.write_all();
  CHECK(types(first) == "01 10");
  CHECK(trial.feed(first.substr(0, first.size() - 1)) == Err::none);
  CHECK_FALSE(trial.mux.proven());
  CHECK(trial.feed(first.substr(first.size() - 1)) == Err::moved);
  t.a.mux.link_down(t.a.now);
  REQUIRE(trial.give(t.a) == Err::none);
  talk(t.c, t.a);
  t.check_alive();
}

TEST_CASE("trial: of a 0.3 peer; what it says behind HELLO goes over with the link") {
  for (const bool search : {false, true}) {
    CAPTURE(search);
    Bench peer(config(false, MuxConfig::Proto::v03));
    Trial trial(true);
    Bench taker(config(true));
    peer.search = trial.search = taker.search = search;
    peer.accept_at_once = true;
    trial.up(be32(0x1f3c0009) + Data(20, 'c'), kStampC);
    peer.up(be32(0x21d40009) + Data(20, 'a'), kStampA);
    const Data ours = trial.write_all();
    CHECK(types(ours) == "01");
    CHECK(peer.feed(ours) == Err::none);
    const Data theirs = peer.write_all();
    CHECK(types(theirs).substr(0, 5) == "01 41");
    CHECK(trial.feed(theirs) == Err::none);
    REQUIRE(trial.mux.proven());
    CHECK(trial.log == "");  // it is not up here
    CHECK(trial.mux.dialect() == Dialect::v03);
    REQUIRE(trial.give(taker) == Err::none);
    talk(taker, peer);
    REQUIRE(taker.mux.up());
    REQUIRE(peer.mux.up());
    const ChannelId id = taker.open("x");
    talk(taker, peer);
    if (peer.mux.wants_write(peer.opened)) (void)peer.mux.drain(peer.opened, peer.now);  // it came with CONNECT
    CHECK(peer.at(peer.opened).in == "x");
    CHECK(taker.mux.dialect() == Dialect::v03);
    (void)id;
  }
}

TEST_CASE("trial: over a lossy line HELLO is said again, without end, and nothing but HELLO until another mux has the link") {
  MuxConfig asks = config(true), waits = config(false);
  Trial trial(true);
  Bench taker(asks), peer(waits);
  for (Bench* b : {static_cast<Bench*>(&trial), &taker, &peer}) b->is_line = b->is_lossy = true;
  trial.up(be32(0x1f3c0009) + Data(20, 'c'), kStampC);
  size_t hellos = 0;
  for (int i = 0; i < 60; ++i) {
    hellos += trial.write_all().empty() ? 0 : 1;
    CHECK(trial.wait(seconds(1)) == Err::none);
  }
  CHECK(hellos > 30);
  peer.up(be32(0x21d40009) + Data(20, 'a'), kStampA);
  CHECK(trial.feed(peer.write_all()) == Err::none);
  CHECK(trial.mux.heard());
  // Time passes before ours is out: still no ask. The peer would be up with a session that is none of anybody's.
  CHECK(trial.wait(seconds(10)) == Err::none);
  CHECK(peer.feed(trial.write_all()) == Err::none);
  REQUIRE(trial.mux.proven());
  CHECK(peer.mux.state() == Mux::State::wait);
  taker.now = peer.now = trial.now;
  REQUIRE(trial.give(taker) == Err::none);
  talk(taker, peer);
  CHECK(taker.mux.up());
  CHECK(peer.mux.up());
}

TEST_CASE("trial: our own HELLO that comes back is no peer") {
  Trial trial(true);
  trial.up();
  CHECK(trial.feed(trial.write_all()) == Err::own_echo);
  Trial line(true);
  line.search = true;
  line.up();
  CHECK(line.feed(line.write_all()) == Err::none);
  CHECK_FALSE(line.mux.heard());
}
