// A serial line between two daemons: two pseudo terminals, and between them bytes at the speed of a line.
//
// Invariant: what a daemon has written waits in its own terminal until the line has carried it, as in a real driver; the
// line neither changes nor drops a byte unless it is told to, and then the same ones each time. Read next: tty.cc.
#ifndef SOCKMUX_TESTS_E2E_LINE_H
#define SOCKMUX_TESTS_E2E_LINE_H

#include <termios.h>

#include <random>
#include <string>

#include "tests/e2e/harness.h"

namespace e2e {

class Line final : public Actor {
 public:
  // Both ends are reached by names in `folder`. `rate`: bytes a second each way; 0: no limit.
  explicit Line(const TempFolder& folder, double rate = 0);
  ~Line() override;

  // Names for the daemons: end 0 and 1.
  const std::string& name(int end) const { return name_[end]; }
  // What the name leads to, "/dev/pts/3".
  const std::string& device(int end) const { return device_[end]; }
  // Its lock file, as the tools of the system call it.
  std::string lock(int end) const;
  // How that end is set now.
  termios settings(int end) const;
  // Plugs an end out: the device and its name are gone. And in again.
  void unplug(int end);
  void plug(int end);
  // Carries nothing, and drops what comes.
  bool dead = false;
  // Flips bits, drops bytes: how likely it does.
  double flips = 0, drops = 0;
  uint64_t carried(int from) const { return way_[from].carried; }
  // What is written into the end that the line reads, as if a daemon had sent it.
  void inject(int to, const std::string& bytes) { way_[1 - to].held += bytes; }

  void want(std::vector<pollfd>& list) override;
  void ready(const pollfd* list, size_t count) override;

 private:
  struct Way {
    std::string held;
    double allowed = 0;
    uint64_t carried = 0;
  };
  void carry(int from, double passed);
  std::string spoilt(const char* bytes, size_t n);

  std::string name_[2], device_[2];
  int master_[2] = {-1, -1}, slave_[2] = {-1, -1};
  int ticks_ = -1;
  double rate_, last_;
  Way way_[2];
  std::mt19937 random_{1};
};

}  // namespace e2e

#endif
