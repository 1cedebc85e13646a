// What tests of the doctor look for in what it says. Read next: doctor.cc, doctor_secure.cc.
#ifndef SOCKMUX_TESTS_E2E_DOCTOR_H
#define SOCKMUX_TESTS_E2E_DOCTOR_H

#include <string>

#include "tests/e2e/ctl.h"
#include "tests/e2e/sockets.h"

namespace e2e {

inline Words doctor(Words words) {
  words.insert(words.begin(), "doctor");
  return words;
}

// Says HELLO as a DeleGate does, to each who comes.
void greets_as_03(Conn& c);

// It ends with this status, names this cause, and makes it the verdict. `cause`: how its line begins.
void check_broken(const Said& said, int status, const std::string& cause);
// ... and no other.
void check_one_cause(const Said& said, int status, const std::string& cause);
// Nothing is broken.
void check_well(const Said& said);

}  // namespace e2e

#endif
