// Two muxes at the ends of a serial line in virtual time: a driver's queue that is kept short as transport/tty does, bytes
// at the line's rate, and bytes that are changed or lost.
//
// Owner: a test. Invariant: everything follows from the seed. Read next: bench.h, test_mux_line.cc.
#ifndef SOCKMUX_TESTS_SIM_NOISY_H
#define SOCKMUX_TESTS_SIM_NOISY_H

#include <deque>
#include <functional>

#include "tests/sim/bench.h"
#include "tests/sim/sim.h"

namespace bench {

// Of the mux at one end of such a line.
inline smx::MuxConfig line_config(const char* host) {
  smx::MuxConfig c;
  c.hold = smx::seconds(60);
  c.opens = c.accepts = 20;
  c.memory_bytes = 2u << 20;
  c.tx_ring = c.rx_ring = 64 * 1024;
  strcpy(c.host, host);
  return c;
}

// The first `size` bytes of a stream.
inline Data pattern(uint64_t stream, size_t size) {
  Data d(size, '\0');
  for (size_t i = 0; i < size; ++i) d[i] = static_cast<char>(sim::pattern(stream, i));
  return d;
}

class NoisyLine {
 public:
  NoisyLine(uint64_t seed, uint32_t bytes_a_second, const smx::MuxConfig& a, const smx::MuxConfig& b)
      : rng_(seed), rate_(bytes_a_second), a_(a), b_(b) {
    for (Bench* end : {&a_, &b_}) {
      Bench& e = *end;
      e.rate = bytes_a_second;
      e.is_line = e.is_lossy = true;
      e.accept_at_once = true;
    }
  }

  double flips = 0, drops = 0;  // of bits, of bytes
  bool dead = false;            // nothing arrives
  smx::Err error[2] = {smx::Err::none, smx::Err::none};
  uint64_t carried[2] = {};     // bytes that side i has put on the line
  std::function<void(int, std::string&)> spoil;  // what side i has sent, before it arrives

  Bench& operator[](int i) { return i == 0 ? a_ : b_; }
  smx::Time now() const { return a_.now; }
  void start(int i) {
    uint8_t random[24];
    for (uint8_t& b : random) b = static_cast<uint8_t>(rng_.next());
    queue_[i].clear();
    (*this)[i].up(Data(reinterpret_cast<char*>(random), sizeof random), stamp(i).c_str(), ++attempts_);
    error[i] = smx::Err::none;
    linked_[i] = true;
  }
  void stop(int i) {
    linked_[i] = false;
    (*this)[i].mux.link_down((*this)[i].now);
  }
  void both() {
    start(0);
    start(1);
  }
  // Until `done`, at most so long; false: it never was.
  bool run(smx::Duration limit, const std::function<bool()>& done) {
    const smx::Time until = now() + limit;
    while (!done()) {
      if (now() >= until) return false;
      step();
    }
    return true;
  }
  void run(smx::Duration span) {
    (void)run(span, [] { return false; });
  }

 private:
  static constexpr int64_t kStep = 1000;  // us
  // As in transport/tty.cc.
  size_t low() const { return rate_ / 100 > 24 ? rate_ / 100 : 24; }
  size_t high() const { return rate_ / 50 > 48 ? rate_ / 50 : 48; }
  std::string stamp(int i) const { return "20261123-08592" + std::to_string(i) + "." + std::to_string(100000 + attempts_); }

  void step() {
    std::string arrives[2];
    for (int i = 0; i < 2; ++i) {
      Bench& e = (*this)[i];
      e.now = e.now + smx::Duration{kStep};
      if (linked_[i] && e.mux.deadline() <= e.now) fail(i, e.mux.tick(e.now));
      if (linked_[i] && queue_[i].size() <= low()) {
        while (queue_[i].size() < high()) {
          const Data some = e.write(high() - queue_[i].size());
          if (some.empty()) break;
          queue_[i] += some;
        }
      }
      credit_[i] = queue_[i].empty() ? 0 : credit_[i] + static_cast<uint64_t>(rate_) * kStep;
      for (; credit_[i] >= 1000000 && !queue_[i].empty(); credit_[i] -= 1000000) {
        char c = queue_[i][0];
        queue_[i].erase(0, 1);
        ++carried[i];
        if (drops > 0 && chance(drops)) continue;
        for (int bit = 0; flips > 0 && bit < 8; ++bit)
          if (chance(flips)) c = static_cast<char>(c ^ 1 << bit);
        arrives[i].push_back(c);
      }
    }
    for (int i = 0; i < 2; ++i) {
      if (spoil) spoil(i, arrives[i]);
      if (!arrives[i].empty() && !dead && linked_[1 - i]) fail(1 - i, (*this)[1 - i].feed(arrives[i]));
    }
  }
  bool chance(double p) { return static_cast<double>(rng_.next() >> 11) < p * 9007199254740992.0; }
  void fail(int i, smx::Err e) {
    if (e == smx::Err::none) return;
    error[i] = e;
    stop(i);
  }

  sim::Rng rng_;
  uint32_t rate_;
  Bench a_, b_;
  std::string queue_[2];
  uint64_t credit_[2] = {};
  bool linked_[2] = {};
  uint64_t attempts_ = 0;
};

}  // namespace bench

#endif
