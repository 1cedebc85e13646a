// A reactor with memory of its own, for tests that turn it until something has come true.
//
// Read next: core/io/reactor.h, test_reactor.cc.
#ifndef SOCKMUX_TESTS_LOOP_H
#define SOCKMUX_TESTS_LOOP_H

#include <doctest/doctest.h>

#include <vector>

#include "core/io/clock.h"
#include "core/io/reactor.h"

namespace smxtest {

struct Loop {
  // `more`: bytes of the arena for what else the test has. A turn waits for at most `step`.
  explicit Loop(size_t more = 0, smx::Duration patience_ = smx::seconds(20), smx::Duration step_ = smx::millis(50))
      : memory(static_cast<size_t>(smx::Reactor::arena_bytes(256, 64)) + more), arena(memory.data(), memory.size()), patience(patience_), step(step_) {
    REQUIRE(reactor.init(arena, 256, 64) == 0);
  }
  // Turns until `done`; false if that takes longer than `patience`.
  template <typename F>
  bool until(F done) {
    const smx::Time end = smx::read_clock() + patience;
    while (!done()) {
      if (smx::read_clock() > end) return false;
      reactor.turn(step);
    }
    return true;
  }
  std::vector<uint8_t> memory;
  smx::Arena arena;
  smx::Reactor reactor;
  smx::Duration patience, step;
};

}  // namespace smxtest

#endif
