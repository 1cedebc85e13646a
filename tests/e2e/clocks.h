// Clocks of daemons that a test moves, by a library that is loaded before libc. Read next: clock_shift.c; clock.cc.
#ifndef SOCKMUX_TESTS_E2E_CLOCKS_H
#define SOCKMUX_TESTS_E2E_CLOCKS_H

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "tests/e2e/harness.h"

namespace e2e {

inline bool cannot_shift() {
  constexpr size_t kClass = 4;  // of an ELF file: 1: 32 bits, 2: 64
  const std::string program = read_file(daemon_path());
  bool cannot = daemon_sanitized() || daemon_static() || program.size() <= kClass || program[kClass] != 2 || sizeof(void*) != 8;
#if !defined(__linux__)
  cannot = true;
#endif
  if (cannot) MESSAGE("not for this build: the library that shifts the clock cannot be loaded into it");
  return cannot;
}

// The clocks of one machine: of daemons that get setup().
class Clocks {
 public:
  Clocks() : path_(folder_ / "shift") {
    write_file(path_, std::string(64, '\0'));
    const int fd = open(path_.c_str(), O_RDWR);
    void* map = mmap(nullptr, 64, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    REQUIRE(map != MAP_FAILED);
    seconds_ = static_cast<volatile int64_t*>(map);
    const char* given = getenv("CC");
    (void)run({given != nullptr && *given != 0 ? given : "cc", "-O1", "-shared", "-fPIC", "-o", folder_ / "shift.so", "tests/e2e/clock_shift.c"}, 20);
  }
  ~Clocks() { munmap(const_cast<int64_t*>(seconds_), 64); }
  ProcessSetup setup() const {
    ProcessSetup s;
    s.environment = {"LD_PRELOAD=" + folder_ / "shift.so", "CLOCK_SHIFT_FILE=" + path_};
    return s;
  }
  void set_wall(int64_t seconds) { seconds_[0] = seconds; }
  void add_monotonic(int64_t seconds) { seconds_[1] = seconds_[1] + seconds; }

 private:
  TempFolder folder_;
  std::string path_;
  volatile int64_t* seconds_ = nullptr;
};

}  // namespace e2e

#endif
