// Far, slow and near lines in virtual time: how long a key press takes beside bulk, and how much of the line bulk gets.
//
//     mux --Line: rate, then a queue as deep as you like, then delay--> mux
//
// Rules: sockmux(7), "Order of sending". Read next: core/mux/window.h, test_window.cc (the rules one by one).
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/mux/mux.h"
#include "tests/sim/sim.h"

using namespace smx;

namespace {

constexpr size_t kSegment = 1448;
constexpr size_t kKey = 64;  // bytes of a key press, and of its echo

// One direction: segments leave at `rate` bytes a second and arrive `delay` later. What is written may wait, to `queue` bytes.
class Line {
 public:
  Line(sim::Clock& clock, double bytes_a_second, Duration takes, size_t queue)
      : rate(bytes_a_second), delay(takes), clock_(clock), queue_(queue) {}
  double rate;
  Duration delay;
  std::function<void(const std::string&)> arrived;
  std::function<void()> writable;

  size_t write(const uint8_t* data, size_t n) {
    if (n > kSegment) n = kSegment;
    if (n > queue_ - held_) n = queue_ - held_;
    if (n == 0) {
      full_ = true;
      return 0;
    }
    held_ += n;
    const double now = static_cast<double>(clock_.now().us);
    free_at_ = (free_at_ > now ? free_at_ : now) + static_cast<double>(n) * 1e6 / rate;
    const std::string bytes(reinterpret_cast<const char*>(data), n);
    const Time leaves{static_cast<int64_t>(free_at_)};
    clock_.at(leaves, [this, n] {
      held_ -= n;
      if (full_) {
        full_ = false;
        writable();
      }
    });
    clock_.at(leaves + delay, [this, bytes] { arrived(bytes); });
    return n;
  }

 private:
  sim::Clock& clock_;
  size_t queue_, held_ = 0;
  double free_at_ = 0;
  bool full_ = false;
};

// One side. A channel whose client has port 1 is bulk from there, 2: bulk toward it, 3: key presses from there.
class Side final : public MuxEvents {
 public:
  Side(sim::Clock& clock, const MuxConfig& c)
      : clock_(clock), memory_(static_cast<size_t>(Mux::arena_bytes(c))), arena_(memory_.data(), memory_.size()) {
    ready = mux.init(c, arena_);
  }
  Mux mux{*this};
  Line* tx = nullptr;
  bool ready = false, broken = false;
  uint64_t got = 0;                // bytes of bulk
  std::vector<double> presses_ms;  // how long they took
  size_t most_used = 0;            // bytes of the ring

  void open(uint16_t port) {
    const ChannelId id = mux.open(clock_.now());
    Local& l = locals_[id.slot];
    l = Local{port, port == 1 ? UINT64_MAX : 0, 0, id, clock_.now()};
    if (port == 3) press(l);
    soon();
  }
  void take(const std::string& bytes) {
    for (size_t at = 0; at < bytes.size() && !broken;) {
      MutBytes space[2];
      if (mux.rx_space(space) == 0) break;
      const size_t n = std::min(space[0].size, bytes.size() - at);
      memcpy(space[0].data, bytes.data() + at, n);
      at += n;
      if (mux.received(n, clock_.now()) != Err::none) broken = true;
    }
    soon();
  }
  void stop() {
    for (auto& one : locals_) one.second.left = 0;
  }
  void soon() {
    if (soon_) return;
    soon_ = true;
    clock_.in(0, [this] {
      soon_ = false;
      pump();
    });
  }

  void on_up() override {}
  void on_room() override {}
  void on_open(ChannelId id, const OpenInfo& info) override {
    locals_[id.slot] = Local{static_cast<uint16_t>(10 + info.client.port), info.client.port == 2 ? UINT64_MAX : 0, 0, id, Time{}};
    mux.accept(id, clock_.now());
    mux.local_readable(id);
  }
  void on_opened(ChannelId) override {}
  void describe(ChannelId id, OpenInfo* info) override {
    info->client.family = info->local.family = 4;
    info->client.port = locals_[id.slot].port;
    info->local.port = 9;
  }
  Pulled on_pull(ChannelId id, const MutBytes* piece, int pieces) override {
    Local& l = locals_[id.slot];
    Pulled p;
    for (int i = 0; i < pieces; ++i) {
      const size_t n = l.left < piece[i].size ? static_cast<size_t>(l.left) : piece[i].size;
      memset(piece[i].data, 'x', n);
      if (l.left != UINT64_MAX) l.left -= n;
      p.size += n;
    }
    p.state = l.left > 0 ? Pulled::State::more : Pulled::State::empty;
    return p;
  }
  Taken on_data(ChannelId id, const Bytes* piece, int pieces) override {
    Local& l = locals_[id.slot];
    Taken t;
    for (int i = 0; i < pieces; ++i) t.size += piece[i].size;
    if (l.port != 3 && l.port != 13) {
      got += t.size;
      return t;
    }
    l.got += t.size;
    if (l.port == 13) {
      l.left += t.size;
      mux.local_readable(id);
    } else if (l.got >= kKey) {
      l.got -= kKey;
      presses_ms.push_back(static_cast<double>((clock_.now() - l.since).us) / 1000);
      const uint32_t slot = id.slot;
      clock_.in(20000 + static_cast<int64_t>(rng_.below(30000)), [this, slot] { press(locals_[slot]); });
    }
    return t;
  }
  void on_wants(ChannelId id) override {
    if (mux.wants_read(id) && locals_[id.slot].left > 0) mux.local_readable(id);
  }
  void on_end(ChannelId) override {}
  void on_done(ChannelId) override {}
  void on_abort(ChannelId, CloseCode) override { broken = true; }

 private:
  struct Local {
    uint16_t port = 0;
    uint64_t left = 0;  // bytes that it will send
    uint64_t got = 0;
    ChannelId id;
    Time since;
  };
  void press(Local& l) {
    l.left += kKey;
    l.since = clock_.now();
    mux.local_readable(l.id);
    soon();
  }
  void pump() {
    for (bool more = true; more;) {
      mux.gather(clock_.now());
      Bytes out[Mux::kTxPieces];
      const int pieces = mux.tx_pending(out);
      more = pieces > 0;
      for (int i = 0; i < pieces && more; ++i) {
        const size_t n = tx->write(out[i].data, out[i].size);
        mux.sent(n);
        more = n > 0;
        if (n < out[i].size) break;
      }
    }
    const Time at = mux.deadline();
    if (at == kNever || at == watched_) return;
    watched_ = at;
    clock_.at(at, [this] {
      if (mux.deadline() > clock_.now()) return;
      if (mux.tick(clock_.now()) != Err::none) broken = true;
      soon();
    });
  }

  sim::Clock& clock_;
  sim::Rng rng_{7};
  std::vector<char> memory_;
  Arena arena_;
  std::map<uint32_t, Local> locals_;
  Time watched_ = kNever;
  bool soon_ = false;
};

MuxConfig config(bool asks) {
  MuxConfig c;
  c.asks = asks;
  c.tx_ring_most = 2u << 20;
  return c;
}

struct Pair {
  Pair(double mbit, Duration delay, size_t queue)
      : c(clock, config(true)),
        a(clock, config(false)),
        up(clock, mbit * 125000, delay, queue),
        down(clock, mbit * 125000, delay, queue) {
    REQUIRE(c.ready);
    REQUIRE(a.ready);
    c.tx = &up;
    a.tx = &down;
    up.arrived = [this](const std::string& b) { a.take(b); };
    down.arrived = [this](const std::string& b) { c.take(b); };
    up.writable = [this] { c.soon(); };
    down.writable = [this] { a.soon(); };
    LinkStart s;
    s.random[0] = 1;
    c.mux.link_up(s, clock.now());
    s.random[0] = 2;
    a.mux.link_up(s, clock.now());
    c.soon();
    a.soon();
    run(seconds(1));
    REQUIRE(c.mux.up());
  }
  void run(Duration d) {
    const Time end = clock.now() + d;
    while (clock.step(end)) {
    }
    CHECK_FALSE(c.broken);
    CHECK_FALSE(a.broken);
    c.mux.verify();
    a.mux.verify();
  }
  void set_rate(double mbit) { up.rate = down.rate = mbit * 125000; }
  // Share of a line of `mbit` that bulk got toward `side` within `d`.
  double share(Side& side, double mbit, Duration d) {
    const uint64_t before = side.got;
    run(d);
    return static_cast<double>(side.got - before) / (mbit * 125000 * static_cast<double>(d.us) / 1e6);
  }
  sim::Clock clock;
  Side c, a;
  Line up, down;
};

double percentile(std::vector<double> v, size_t percent) {
  REQUIRE(v.size() > 50);
  std::sort(v.begin(), v.end());
  return v[v.size() * percent / 100];
}

}  // namespace

TEST_SUITE_BEGIN("sim");

TEST_CASE("10 Mbit/s, 40 ms, a queue of a megabyte: a key press beside bulk takes 20 ms more at most, and bulk fills the line") {
  for (const int bulks : {1, 8}) {
    for (const int ways : {1, 2, 3}) {  // bits: upwards, downwards
      CAPTURE(bulks);
      CAPTURE(ways);
      Pair p(10, millis(20), 1u << 20);
      for (int i = 0; i < bulks; ++i) {
        if ((ways & 1) != 0) p.c.open(1);
        if ((ways & 2) != 0) p.c.open(2);
      }
      p.run(seconds(3));
      p.c.open(3);
      p.a.open(3);
      const uint64_t before = p.a.got;
      const double down = p.share(p.c, 10, seconds(30));
      const double up = static_cast<double>(p.a.got - before) / (10 * 125000 * 30);
      for (const Side* s : {&p.c, &p.a}) {
        CHECK(percentile(s->presses_ms, 50) < 55);
        CHECK(percentile(s->presses_ms, 99) < (ways == 3 ? 66 : 60));  // both ways: two queues, and ACKs in the other's
      }
      const double least = ways == 3 ? 0.8 : 0.96;
      if ((ways & 1) != 0) CHECK(up > least);
      if ((ways & 2) != 0) CHECK(down > least);
    }
  }
}

TEST_CASE("100 Mbit/s, 100 ms: one channel fills it, from the start on") {
  for (const uint16_t port : {uint16_t{1}, uint16_t{2}}) {
    CAPTURE(port);
    Pair p(100, millis(50), 1u << 20);
    p.c.open(port);
    Side& side = port == 1 ? p.a : p.c;
    CHECK(p.share(side, 100, seconds(4)) > 0.9);
    CHECK(p.share(side, 100, seconds(4)) > 0.97);
  }
}

TEST_CASE("1 Gbit/s, 0.1 ms: bulk is not slowed down, and the ring stays small") {
  Pair p(1000, micros(50), 4u << 20);
  for (int i = 0; i < 4; ++i) p.c.open(1);
  CHECK(p.share(p.a, 1000, millis(500)) > 0.97);
  CHECK(p.c.mux.window().bytes() <= SendWindow::kPlain);
}

TEST_CASE("a slow line is filled, too, and a key press passes most of the bulk") {
  for (const double mbit : {0.1, 0.5, 2.0}) {
    CAPTURE(mbit);
    Pair p(mbit, millis(20), 1u << 20);
    p.c.open(2);
    p.run(seconds(20));
    p.c.open(3);
    CHECK(p.share(p.c, mbit, seconds(60)) > 0.9);
    const double whole_ms = static_cast<double>(SendWindow::kLeast + 3072) * 1000 / (mbit * 125000);
    CHECK(percentile(p.c.presses_ms, 99) < whole_ms + 60);
  }
}

TEST_CASE("a line that becomes slower, faster or longer: bulk follows") {
  Pair p(10, millis(20), 1u << 20);
  p.c.open(2);
  p.c.open(3);
  p.run(seconds(5));
  p.set_rate(2);
  p.run(seconds(5));
  p.c.presses_ms.clear();
  CHECK(p.share(p.c, 2, seconds(20)) > 0.9);
  CHECK(percentile(p.c.presses_ms, 99) < 120);
  p.set_rate(50);
  p.run(seconds(5));
  p.c.presses_ms.clear();
  CHECK(p.share(p.c, 50, seconds(20)) > 0.9);
  CHECK(percentile(p.c.presses_ms, 99) < 60);
  p.up.delay = p.down.delay = millis(80);
  p.run(seconds(10));
  CHECK(p.share(p.c, 50, seconds(20)) > 0.9);
}

TEST_CASE("after bulk both ways the link is as quiet as before") {
  Pair p(10, millis(50), 1u << 20);
  p.c.open(1);
  p.c.open(2);
  p.run(seconds(5));
  CHECK(p.c.got > 1000000);
  p.c.stop();
  p.a.stop();
  p.run(seconds(10));
  const uint64_t before = p.c.mux.stats().tx_bytes + p.a.mux.stats().tx_bytes;
  p.run(seconds(600));
  CHECK(p.c.mux.stats().tx_bytes + p.a.mux.stats().tx_bytes - before < 11 * 32);
}

TEST_CASE("many minutes of bulk do not make the queue longer and longer") {
  Pair p(10, millis(20), 1u << 20);
  p.c.open(2);
  p.run(seconds(200));
  p.c.open(3);
  CHECK(p.share(p.c, 10, seconds(60)) > 0.93);
  CHECK(percentile(p.c.presses_ms, 99) < 60);
}

TEST_SUITE_END();
