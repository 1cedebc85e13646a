// What daemons go through while one of their calls fails. Read next: links.cc, services.cc, starts.cc; rig.h.
#ifndef SOCKMUX_TESTS_FAILCALLS_SCENARIOS_H
#define SOCKMUX_TESTS_FAILCALLS_SCENARIOS_H

#include "tests/failcalls/rig.h"

namespace failcalls {

struct Scenario {
  const char* name;
  void (*run)(Run&);
  const char* about;
};

// links.cc
void run_tcp(Run& run);
void run_fifo(Run& run);
void run_tty(Run& run);
void run_program(Run& run);
void run_secure(Run& run);
// services.cc
void run_servers(Run& run);
void run_udp(Run& run);
void run_control(Run& run);
void run_manager(Run& run);
// starts.cc
void run_background(Run& run);
void run_upgrade(Run& run);
void run_checks(Run& run);

}  // namespace failcalls

#endif
