// Links that are slow, and cut again and again before a largest packet is through: each brings something that stays.
//
// Two muxes in virtual time, with what waits in kernel and line between them. Rules: sockmux(7), "Session".
// Read next: core/mux/mux_session.cc, cut_anew().
#include <doctest/doctest.h>

#include <string>

#include "tests/sim/bench.h"

using namespace smx;
using namespace bench;

namespace {

constexpr size_t kBuffer = 2048;  // of a kernel, or a modem
constexpr Duration kStep = millis(20);

MuxConfig side(bool asks) {
  MuxConfig c;
  c.asks = asks;
  c.hold = seconds(300);
  c.tx_ring = c.rx_ring = 65536;
  c.memory_bytes = 32u << 20;
  return c;
}

Data stream_of(size_t n) {
  Data out;
  for (size_t i = 0; out.size() < n; ++i) out += std::to_string(i) + ' ';
  out.resize(n);
  return out;
}

struct Pair {
  Bench end[2]{Bench(side(true)), Bench(side(false))};
  Data way[2];         // [0]: from 0 to 1
  size_t carried[2]{};  // bytes that the link of the moment has brought to each side
  uint64_t links = 0;

  Pair() { end[1].accept_at_once = true; }
  void link_up(bool lossy, uint32_t told) {
    ++links;
    for (int i = 0; i < 2; ++i) {
      end[i].is_line = end[i].is_lossy = lossy;
      end[i].rate = told;
      end[i].up(be32(0x10000000u + static_cast<uint32_t>(2 * links) + static_cast<uint32_t>(i)) + Data(20, static_cast<char>('a' + links % 20)), "20261123-085921.086940",
                (uint64_t{7} << 32) + links);
      carried[i] = 0;
    }
  }
  void cut() {
    for (int i = 0; i < 2; ++i) {
      end[i].mux.link_down(end[i].now);
      way[i].clear();
    }
  }
  // For so long, `rate` bytes a second each way.
  void run(Duration span, uint64_t rate) {
    const Time until = end[0].now + span;
    for (uint64_t due = 0; end[0].now < until;) {
      due += rate * static_cast<uint64_t>(kStep.us);
      const size_t n = static_cast<size_t>(due / 1000000);
      due %= 1000000;
      for (int i = 0; i < 2; ++i) {
        CHECK(end[i].wait(kStep) == Err::none);
        if (way[i].size() < kBuffer) way[i] += end[i].write(kBuffer - way[i].size());
      }
      for (int i = 0; i < 2; ++i) {
        const Data some = way[i].substr(0, n);
        way[i].erase(0, some.size());
        carried[1 - i] += some.size();
        CHECK(end[1 - i].feed(some) == Err::none);
      }
    }
  }
};

}  // namespace

TEST_SUITE_BEGIN("sim");

TEST_CASE("a slow link that is cut again and again: most of what each one carries has arrived for good") {
  struct {
    uint64_t rate;
    int64_t life_s;
    bool lossy;
  } const kinds[] = {{300, 3, false}, {960, 2, false}, {960, 10, false}, {11000, 1, false}, {960, 10, true}, {240, 8, true}};
  for (const auto& kind : kinds) {
    CAPTURE(kind.rate);
    CAPTURE(kind.life_s);
    CAPTURE(kind.lossy);
    Pair w;
    w.link_up(false, 0);
    w.run(seconds(1), 1000000);
    Bench* const end = w.end;
    const ChannelId near = end[0].open("?");
    w.run(seconds(1), 1000000);
    const ChannelId far = end[1].opened;
    REQUIRE(end[1].at(far).in == "?");
    Data* const in[2] = {&end[0].at(near).in, &end[1].at(far).in};
    in[1]->clear();
    // What is in the ring was made for a fast link.
    const Data sent[2] = {stream_of(60000), stream_of(30000)};
    end[0].send(near, sent[0]);
    end[1].send(far, sent[1]);
    for (int i = 0; i < 2; ++i) CHECK(end[i].write(1).size() == 1);
    w.cut();
    while (*in[0] != sent[1] || *in[1] != sent[0]) {
      CAPTURE(w.links);
      const size_t before[2] = {in[0]->size(), in[1]->size()};
      w.link_up(kind.lossy, kind.lossy ? static_cast<uint32_t>(kind.rate) : 0);
      w.run(seconds(kind.life_s), kind.rate);
      w.cut();
      for (int i = 0; i < 2; ++i) {
        REQUIRE(end[i].mux.held());
        REQUIRE(*in[i] == sent[1 - i].substr(0, in[i]->size()));
        if (in[i]->size() == sent[1 - i].size()) continue;
        // HELLO, SETTINGS, ECHO and ACK are carried, too; frames are an eighth of a lossy line.
        const size_t carried = (kind.lossy ? w.carried[i] / 8 * 7 : w.carried[i]) - 200;
        REQUIRE(in[i]->size() > before[i]);
        REQUIRE(in[i]->size() - before[i] + 550 >= carried / 4 * 3);
      }
    }
  }
}

// Only a whole packet is a sign of life.
TEST_CASE("a slow link whose rate nobody has said is not taken for a dead one") {
  for (const uint64_t rate : {400u, 960u, 1500u, 3000u}) {
    CAPTURE(rate);
    Pair w;
    Bench* const end = w.end;
    w.link_up(false, 0);
    w.run(seconds(3), rate);
    const ChannelId near = end[0].open("?");
    w.run(seconds(3), rate);
    const ChannelId far = end[1].opened;
    REQUIRE(end[1].at(far).in == "?");
    const Data sent = stream_of(100000);
    end[0].send(near, sent);
    end[1].send(far, sent);
    w.run(seconds(500), rate);
    CHECK(end[0].at(near).in == sent);
    CHECK(end[1].at(far).in == "?" + sent);
  }
}

TEST_SUITE_END();
