// The name of the socket that a target listens at. It has the process in it, so that whoever started that one takes it away: a process that
// is killed, or ends by _exit(2), leaves it behind.
//
// Read next: control.cc, ctl.cc; files.cc, which takes it away.
#ifndef SOCKMUX_TESTS_FUZZ_SOCKET_H
#define SOCKMUX_TESTS_FUZZ_SOCKET_H

#include <stdlib.h>
#include <sys/types.h>

#include <string>

namespace fuzz {

constexpr const char* kSockets[] = {"control", "ctl"};

// In TMPDIR if that is set, and short enough for a sockaddr_un; else in /tmp.
inline std::string socket_path(const std::string& kind, pid_t pid) {
  const char* top = getenv("TMPDIR");
  const std::string folder = top != nullptr && *top != 0 ? top : "/tmp", name = "/sockmux-fuzz-" + kind + "-" + std::to_string(pid);
  return (folder.size() + name.size() < 100 ? folder : "/tmp") + name;
}

}  // namespace fuzz

#endif
