// Every call fails once. Read next: every_call.cc.
#ifndef SOCKMUX_TESTS_SIMOS_EVERY_CALL_H
#define SOCKMUX_TESTS_SIMOS_EVERY_CALL_H

#include "tests/simos/scenario.h"

namespace simos {

// One call of one daemon that fails.
struct Plan {
  int process = 0;  // 1 to kProcesses; 0: none
  uint64_t number = 0;
  int error = 0;
};

// "process:number:errno"
bool parse_plan(const char* text, Plan* out);

using Run = Verdict (*)(uint64_t seed, Process* const (&daemons)[kProcesses], bool traced, const Plan& plan, bool recording);

// Each place where either daemon makes a call, in the run of that seed, fails with each errno that it can have: at its first
// call, its last one, and `more` in between; those of them that are `part` of `parts`. What failed is explained.
void fail_every_call(uint64_t seed, Process* const (&daemons)[kProcesses], Run run, uint32_t more, uint64_t part, uint64_t parts, const char* program,
                     unsigned long long* passed, unsigned long long* failed);

}  // namespace simos

#endif
