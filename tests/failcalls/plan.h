// The runs: each scenario once without a failure, to learn its places, then once for each place and each error that it can have.
//
// Each run is a process of its own, several beside each other, since most of their time is waiting. Read next: plan.cc, main.cc.
#ifndef SOCKMUX_TESTS_FAILCALLS_PLAN_H
#define SOCKMUX_TESTS_FAILCALLS_PLAN_H

#include <string>
#include <vector>

#include "tests/failcalls/rig.h"
#include "tests/failcalls/scenarios.h"

namespace failcalls {

struct Options {
  std::string library, scenario, only;  // only: what a run's name has in it; empty: all
  int at_once = 8;
  uint32_t depth = 3, nth = 1;
  double seconds = 0;  // so long behind the learning no more runs are begun; 0: all are
  uint32_t seed = 1;   // of the order, if not all are made
  bool verbose = false, list = false;
};

struct Sum {
  size_t passed = 0, failed = 0;
};

// Runs all that is asked for, and prints a line a scenario. A scenario in which no place was found has failed, and so has the whole if no call
// was made to fail at all, unless they are to be listed only.
Sum perform_all(const Scenario* scenarios, size_t count, const Options& options);
// Functions of libc that `program` calls, that are not among those that fail, and not known to make no system call that can.
std::vector<std::string> calls_missing(const std::string& program);

}  // namespace failcalls

#endif
