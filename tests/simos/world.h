// The world of a run: virtual time, what is to happen and when, chance from one seed, and the verdict.
//
// Owner: the runner (main.cc), one for each seed. Invariant: nothing here or above it asks the real clock, the real kernel or
// an address in memory for a decision, so that a seed is one run, for ever. Objects that take part live until the world ends.
// Read next: process.h (a daemon in it), network.h (what is between them), scenario.h (what happens).
#ifndef SOCKMUX_TESTS_SIMOS_WORLD_H
#define SOCKMUX_TESTS_SIMOS_WORLD_H

#include <stdint.h>

#include <memory>
#include <string>
#include <vector>

namespace simos {

using Micros = int64_t;
constexpr Micros kMilli = 1000, kSecond = 1000000;

// splitmix64
class Random {
 public:
  explicit Random(uint64_t seed = 0) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint32_t below(uint32_t n) { return n == 0 ? 0 : static_cast<uint32_t>((next() >> 32) * n >> 32); }
  // Both ends belong to it.
  int64_t range(int64_t low, int64_t high) { return low + static_cast<int64_t>(next() % static_cast<uint64_t>(high - low + 1)); }
  bool chance(uint32_t percent) { return below(100) < percent; }
  // Many small ones, few large: each power of two is as likely as the next.
  uint32_t skewed(uint32_t low, uint32_t high);

 private:
  uint64_t state_;
};

// Whoever something happens to.
struct Callee {
  virtual ~Callee() = default;
  virtual void on_event(int what) = 0;
};

class World {
 public:
  World(uint64_t seed, bool trace);
  World(const World&) = delete;
  ~World();

  Micros now = 0;
  Micros wall_offset = 1700000000 * kSecond;  // the wall clock may jump, either way
  Random random;                              // what happens
  const uint64_t seed;
  const bool trace;

  void at(Micros when, Callee& whom, int what);
  void after(Micros delay, Callee& whom, int what) { at(now + delay, whom, what); }
  // The next that happens; false: nothing any more, or it has failed.
  bool step();
  bool run_until(Micros when);

  template <typename T, typename... A>
  T* make(A&&... a) {
    auto owned = std::make_unique<T>(static_cast<A&&>(a)...);
    T* p = owned.get();
    owned_.push_back(std::move(owned));
    return p;
  }

  // What was done, for the hash that two runs of a seed must share.
  void note(uint64_t a, uint64_t b) {
    hash = (hash ^ a) * 0x100000001b3;
    hash = (hash ^ b ^ (hash >> 29)) * 0x100000001b3;
  }
  uint64_t hash = 0xcbf29ce484222325;

  // The first one counts, and ends the run.
  void fail(const char* format, ...) __attribute__((format(printf, 2, 3)));
  bool failed() const { return !failure.empty(); }
  std::string failure;

  uint64_t events_run = 0;

 private:
  struct Event {
    Micros when;
    uint64_t order;
    Callee* whom;
    int what;
  };
  struct Later {
    bool operator()(const Event& a, const Event& b) const { return a.when != b.when ? a.when > b.when : a.order > b.order; }
  };
  std::vector<Event> heap_;
  uint64_t order_ = 0;
  std::vector<std::unique_ptr<Callee>> owned_;
};

extern World* world;

// printf to standard output, if the run is traced.
void trace(const char* format, ...) __attribute__((format(printf, 1, 2)));
#define SIM_TRACE(...) \
  do { \
    if (__builtin_expect(::simos::world->trace, 0)) ::simos::trace(__VA_ARGS__); \
  } while (false)

}  // namespace simos

#endif
