// The machine of the simulation: numbers from a seed, a clock that jumps from event to event, and one direction of a link
// with rate, delay, a bounded buffer, short reads and writes, stalls and cuts.
//
// Owner: a world (world.h). Invariant: everything follows from the seed; no clock, thread or file is touched.
// Read next: node.h.
#ifndef SOCKMUX_TESTS_SIM_SIM_H
#define SOCKMUX_TESTS_SIM_SIM_H

#include <stddef.h>
#include <stdint.h>

#include <deque>
#include <functional>
#include <queue>
#include <string>
#include <vector>

#include "core/base/clock.h"

namespace sim {

using smx::Duration;
using smx::Time;

// splitmix64.
class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t below(uint64_t n) { return n == 0 ? 0 : next() % n; }
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  bool one_in(uint64_t n) { return below(n) == 0; }
  // Small numbers are as likely as large ones: 0..limit.
  uint64_t log(uint64_t limit) {
    uint64_t bits = 0;
    while (bits < 63 && uint64_t{1} << bits <= limit) ++bits;
    const uint64_t n = below(uint64_t{1} << below(bits + 1));
    return n < limit ? n : limit;
  }
  // The same two, of what fits into memory.
  size_t index(size_t n) { return static_cast<size_t>(below(n)); }
  size_t size(size_t limit) { return static_cast<size_t>(log(limit)); }
  template <typename T, size_t n>
  const T& pick(const T (&from)[n]) {
    return from[below(n)];
  }

 private:
  uint64_t state_;
};

// Events in order of time, then of their making.
class Clock {
 public:
  Time now() const { return now_; }
  void at(Time when, std::function<void()> what) { events_.push({when < now_ ? now_ : when, ++count_, std::move(what)}); }
  void in(int64_t us, std::function<void()> what) { at(now_ + smx::micros(us), std::move(what)); }
  // Runs the next event that is due by `limit`; false if there is none, and then it is `limit`.
  bool step(Time limit) {
    if (events_.empty() || events_.top().when > limit) {
      now_ = limit;
      return false;
    }
    now_ = events_.top().when;
    const std::function<void()> what = std::move(const_cast<Event&>(events_.top()).what);
    events_.pop();
    ++steps_;
    what();
    return true;
  }
  uint64_t steps() const { return steps_; }

 private:
  struct Event {
    Time when;
    uint64_t number;
    std::function<void()> what;
    bool operator<(const Event& b) const { return when == b.when ? number > b.number : when > b.when; }
  };
  std::priority_queue<Event> events_;
  Time now_{1000000};
  uint64_t count_ = 0;
  uint64_t steps_ = 0;
};

struct PipeShape {
  int64_t bytes_per_second = 10000000;
  int64_t delay_us = 1000;
  size_t buffer = 65536;     // bytes that were written and have not left yet
  size_t write_most = SIZE_MAX;  // in one write
  size_t read_most = SIZE_MAX;   // in one read
};

// One direction of a link. Bytes and ends arrive in the order in which they were written, whatever holds them up.
class Pipe {
 public:
  Pipe(Clock& clock, const PipeShape& shape) : clock_(clock), shape_(shape) {}

  // How many of `n` bytes were taken; 0: full, and `writable` is called when that changes.
  size_t write(const uint8_t* data, size_t n);
  // Up to an end, if there is one.
  size_t read(uint8_t* to, size_t n);
  bool has_input() const { return !inbox_.empty() && inbox_.front().end == 0; }
  // The writer has closed it behind what was written before; `mark` is not 0, and says which time it was.
  void end(uint64_t mark);
  // The mark of the end that is next, or 0; take_end() goes past it.
  uint64_t at_end() const { return inbox_.empty() ? 0 : inbox_.front().end; }
  void take_end() { inbox_.pop_front(); }
  // Nothing leaves before `when`.
  void stall(Time when) {
    if (busy_until_ < when) busy_until_ = when;
  }
  // Nothing arrives before `when`.
  void late(Time when) {
    if (late_until_ < when) late_until_ = when;
  }
  // All that is on its way is lost.
  void cut();
  // Bytes that were there before.
  void put(std::vector<uint8_t> bytes);
  // Nobody reads: what has arrived is lost.
  void discard() { inbox_.clear(), at_ = 0; }
  // Changes bytes on their way: tests of garbage.
  std::function<void(std::vector<uint8_t>&)> spoil;
  // Sees what was written.
  std::function<void(const uint8_t* data, size_t n)> tap;

  std::function<void()> readable, writable;

 private:
  struct Chunk {
    std::vector<uint8_t> bytes;
    uint64_t end = 0;
  };
  void arrive(uint64_t epoch);
  void send(Chunk chunk, Time when);

  Clock& clock_;
  PipeShape shape_;
  std::deque<Chunk> way_, inbox_;
  size_t at_ = 0;  // of the first chunk of inbox_
  size_t unsent_ = 0;
  bool full_ = false;
  Time busy_until_, late_until_;
  uint64_t epoch_ = 0;
};

// Byte number `i` of the stream `stream`: what is sent, and what must arrive.
inline uint8_t pattern(uint64_t stream, uint64_t i) {
  const uint64_t z = (stream * 0x9e3779b97f4a7c15u) ^ ((i + 1) * 0xd6e8feb86659fd93u);
  return static_cast<uint8_t>(z >> 32 ^ z >> 11);
}

// The first thing that went wrong in this run; empty: nothing. A run stops at it.
class Fault {
 public:
  void set(const char* file, int line, const std::string& what) {
    if (text_.empty()) text_ = std::string(file) + ":" + std::to_string(line) + ": " + what;
  }
  const std::string& text() const { return text_; }
  bool any() const { return !text_.empty(); }

 private:
  std::string text_;
};

// How many seeds a test runs: SMX_SIM_SEEDS or SEEDS of the environment, else `usual`.
unsigned seeds(unsigned usual);

#define SIM_EXPECT(fault, condition, what) \
  do { \
    if (!(condition)) (fault).set(__FILE__, __LINE__, std::string(#condition ": ") + (what)); \
  } while (false)

}  // namespace sim

#endif
