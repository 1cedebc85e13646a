// What an idle link costs in a day, and how long a dead one is taken for a live one: two muxes in virtual time, with the
// defaults. The figures stand in sockmux(7), "Keep-alive". Read next: sim_links.cc.
#include <doctest/doctest.h>

#include "tests/sim/bench.h"

using namespace smx;
using namespace bench;

namespace {

// A header of IPv4 and one of TCP.
constexpr uint64_t kHeaders = 40;

struct Two {
  explicit Two(MuxConfig::Proto proto = MuxConfig::Proto::automatic) : asker(config(true, proto)), answerer(config(false, proto)) {
    asker.up(hex("9f3c01a7"), "20261123-085921.086940", 0xc4a1f05b00000001);
    answerer.up(hex("21d40e58 5a0f3c71b2e84d96a1c7085be43f9d20"), "20261123-085921.114471");
    carry();
    REQUIRE(asker.mux.up());
    REQUIRE(answerer.mux.up());
    packets = bytes = 0;
  }
  static MuxConfig config(bool asks, MuxConfig::Proto proto) {
    MuxConfig c;
    c.asks = asks;
    c.proto = proto;
    strcpy(c.host, "host");
    return c;
  }
  // All that both want to say arrives at once; each write is a packet, and the other side's TCP answers it with one.
  void carry() {
    for (bool more = true; more;) {
      more = false;
      for (Bench* from : {&asker, &answerer}) {
        const Data data = from->write_all();
        if (data.empty()) continue;
        more = true;
        packets += 2;
        bytes += data.size() + 2 * kHeaders;
        CHECK((from == &asker ? answerer : asker).feed(data) == Err::none);
      }
    }
  }
  // Time passes at both; false: one of them has given the link up.
  bool run(Duration d) {
    const Time end = asker.now + d;
    for (;;) {
      const Time next = earlier(asker.mux.deadline(), answerer.mux.deadline());
      const bool last = next > end;
      const Time now = last ? end : next > asker.now ? next : asker.now;
      for (Bench* b : {&asker, &answerer}) {
        b->now = now;
        if (b->mux.tick(now) != Err::none) return false;
      }
      carry();
      if (last) return true;
    }
  }
  // The other side says nothing any more. How long until `who` gives the link up.
  Duration silence(Bench& who) {
    const Time begin = who.now;
    for (;;) {
      (void)who.write_all();
      REQUIRE(who.mux.deadline() - begin < seconds(3600));
      if (who.now < who.mux.deadline()) who.now = who.mux.deadline();
      const Err e = who.mux.tick(who.now);
      if (e == Err::none) continue;
      CHECK(e == Err::silent);
      return who.now - begin;
    }
  }

  Bench asker, answerer;
  uint64_t packets = 0, bytes = 0;
};

uint64_t day_of(MuxConfig::Proto proto) {
  Two t(proto);
  REQUIRE(t.run(seconds(24 * 3600)));
  CHECK(t.asker.mux.up());
  CHECK(t.answerer.mux.up());
  MESSAGE("an idle link: " << t.bytes << " bytes a day in " << t.packets << " packets, both ways, headers of TCP/IP included");
  return t.bytes;
}

}  // namespace

TEST_CASE("an idle link costs at most 276,480 bytes a day, one of 0.3 at most 900,000") {
  // Once a minute ECHO, ECHOOK, and an ACK of TCP for each.
  const uint64_t v1 = day_of(MuxConfig::Proto::automatic);
  CHECK(v1 <= 24 * 60 * (2 * 16 + 4 * kHeaders));
  CHECK(v1 > 24 * 59 * (2 * 16 + 4 * kHeaders));
  CHECK(v1 <= 300000);
  // Twice a minute, and both may ask at the same moment; the text is a decimal number.
  CHECK(day_of(MuxConfig::Proto::v03) <= 900000);
}

TEST_CASE("a silent link is given up in bounded time: idle, with data that are not acknowledged, with a client that waits; at both sides") {
  for (const bool asks : {true, false}) {
    CAPTURE(asks);
    const auto who = [asks](Two& t) -> Bench& { return asks ? t.asker : t.answerer; };
    {
      Two t;  // idle, at the worst moment: just heard of
      CHECK(t.silence(who(t)) == seconds(asks ? 70 : 76));
    }
    {
      Two t;  // idle for long before
      REQUIRE(t.run(seconds(3600 + 17)));
      CHECK(t.silence(who(t)).us <= seconds(asks ? 70 : 76).us);
    }
    {
      Two t;  // a client waits for the answer to its CONNECT
      (void)who(t).open("hello");
      CHECK(t.silence(who(t)) == seconds(15));
    }
    {
      Two t;  // data of an open channel are not acknowledged
      const ChannelId id = who(t).open("hello");
      t.carry();
      Bench& other = asks ? t.answerer : t.asker;
      other.mux.accept(other.opened, other.now);
      t.carry();
      REQUIRE(t.run(seconds(30)));
      who(t).send(id, "more");
      CHECK(t.silence(who(t)) == seconds(15));
    }
    {
      Two t;  // the same, and more and more is said meanwhile
      const ChannelId id = who(t).open("hello");
      t.carry();
      Bench& other = asks ? t.answerer : t.asker;
      other.mux.accept(other.opened, other.now);
      t.carry();
      const Time begin = who(t).now;
      Err e = Err::none;
      while (e == Err::none) {
        who(t).send(id, "x");
        (void)who(t).write_all();
        e = who(t).wait(millis(100));
        REQUIRE(who(t).now - begin < seconds(100));
      }
      CHECK(e == Err::silent);
      CHECK((who(t).now - begin).us <= seconds(15).us);
    }
    {
      Two t(MuxConfig::Proto::v03);  // 0.3: in every state
      CHECK(t.silence(who(t)) == seconds(60));
    }
    {
      Two t(MuxConfig::Proto::v03);
      (void)who(t).open("hello");
      CHECK(t.silence(who(t)) == seconds(60));
    }
  }
}
