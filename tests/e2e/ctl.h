// sockmuxctl(8) as a user runs it. Read next: control.cc, keys.cc.
#ifndef SOCKMUX_TESTS_E2E_CTL_H
#define SOCKMUX_TESTS_E2E_CTL_H

#include <memory>
#include <string>

#include "tests/e2e/harness.h"
#include "tests/e2e/sockets.h"

namespace e2e {

struct Said {
  int status = -1;
  std::string out, error;
};

// Runs it with these words to its end, which is a test failure if it does not come.
Said ctl(const Words& words, const ProcessSetup& setup = {});
// The same by the shell, which sees it as "$ctl"; what the shell itself says is in `error`, too.
Said ctl_shell(const std::string& script);
// A connection to the socket of that path; nullptr: its queue is full.
std::unique_ptr<Conn> connect_unix(const std::string& path);

}  // namespace e2e

#endif
