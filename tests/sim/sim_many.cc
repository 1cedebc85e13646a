// What one turn of a mux costs does not depend on how many channels are idle: two of them, 10, 1,000 and 50,000 channels,
// one of which talks. CPU time of this thread alone, the best of several, so that other work of the machine is not counted.
// Read next: bench.h; tools/bench/muxmany measures the same of two daemons; docs/speed.md, "Many channels".
#include <doctest/doctest.h>
#include <time.h>

#include <algorithm>

#include "tests/sim/bench.h"

using namespace smx;
using namespace bench;

namespace {

double cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

MuxConfig config_of(uint16_t channels, bool asks) {
  MuxConfig c;
  c.asks = asks;
  c.accepts = c.opens = channels;
  strcpy(c.host, "host");
  c.memory_bytes = Mux::guaranteed_bytes(c) / 5 * 8;
  return c;
}

// `channels` of them are open and idle, and one more talks.
struct Crowd {
  explicit Crowd(uint16_t channels) : a(config_of(static_cast<uint16_t>(channels + 1), true)), b(config_of(static_cast<uint16_t>(channels + 1), false)) {
    a.up(hex("9f3c01a7"), "20261123-085921.086940", 0xc4a1f05b00000001);
    b.up(hex("21d40e58 5a0f3c71b2e84d96a1c7085be43f9d20"), "20261123-085921.114471");
    b.accept_at_once = true;
    carry();
    for (uint16_t i = 0; i < channels + 1; ++i) {
      id = a.open("x");
      if (i % 1000 == 0) carry();
    }
    carry();
    REQUIRE(a.mux.channels() == channels + 1u);
    REQUIRE(b.mux.channels() == channels + 1u);
    const Time end = a.now + seconds(3);
    while (a.now < end) step(millis(10));  // what is due behind the opening is done
  }

  // As Bench does, but without verify(), which looks at all channels.
  static bool carry(Bench& from, Bench& to) {
    from.mux.gather(from.now);
    Bytes out[Mux::kTxPieces];
    const int pieces = from.mux.tx_pending(out);
    size_t all = 0;
    for (int i = 0; i < pieces; ++i) {
      for (size_t at = 0; at < out[i].size;) {
        MutBytes space[2];
        REQUIRE(to.mux.rx_space(space) > 0);
        const size_t n = std::min(space[0].size, out[i].size - at);
        memcpy(space[0].data, out[i].data + at, n);
        at += n;
        REQUIRE(to.mux.received(n, to.now) == Err::none);
      }
      all += out[i].size;
    }
    from.mux.sent(all);
    return all > 0;
  }
  void carry() {
    for (bool moved = true; moved;) {
      moved = carry(a, b);
      moved = carry(b, a) || moved;
    }
  }
  void step(Duration d) {
    a.now = b.now = a.now + d;
    for (Bench* x : {&a, &b})
      if (x->mux.deadline() <= x->now) REQUIRE(x->mux.tick(x->now) == Err::none);
    carry();
  }
  double cpu_us_a_turn() {
    constexpr int kTurns = 200;
    const double begin = cpu_seconds();
    for (int i = 0; i < kTurns; ++i) {
      a.send(id, "ping");
      step(millis(1));
    }
    return (cpu_seconds() - begin) * 1e6 / kTurns;
  }

  Bench a, b;
  ChannelId id;
};

}  // namespace

TEST_CASE("a turn costs the same beside 10, 1,000 and 50,000 idle channels") {
  Crowd few(10), many(1000), most(50000);
  double best[3] = {1e9, 1e9, 1e9};
  const auto good = [&] { return std::max(best[1], best[2]) < 4 * best[0]; };
  for (int i = 0; i < 20 && (i < 5 || !good()); ++i) {
    best[0] = std::min(best[0], few.cpu_us_a_turn());
    best[1] = std::min(best[1], many.cpu_us_a_turn());
    best[2] = std::min(best[2], most.cpu_us_a_turn());
  }
  MESSAGE("CPU of a turn of both sides: " << best[0] << ", " << best[1] << ", " << best[2] << " us with 10, 1,000 and 50,000 idle channels");
  // What looked at 50,000 channels would take ten times as long at least; caches make the difference that there is.
  CHECK(good());
  CHECK(most.b.at(most.b.opened).in.size() > 4);
}
