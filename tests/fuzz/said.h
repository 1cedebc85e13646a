// In place of what sockmuxctl writes to its terminal and to files: it is kept, or only looked at.
//
// Read next: ctl.cc, dump.cc, tools/ctl/ctl.h.
#ifndef SOCKMUX_TESTS_FUZZ_SAID_H
#define SOCKMUX_TESTS_FUZZ_SAID_H

#include "tests/fuzz/fuzz.h"

namespace fuzz {

extern bool keeps_said;  // what is put to a descriptor that is none
extern Data said;

}  // namespace fuzz

#endif
