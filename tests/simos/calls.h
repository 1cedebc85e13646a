// The system calls of a simulated daemon: sim_NAME stands for NAME in its copies (tools/simos.sh).
//
// Each begins with Gate: it counts, lets time pass, and says whether this call fails. Read next: calls_io.cc, calls_net.cc,
// calls_files.cc, calls_process.cc.
#ifndef SOCKMUX_TESTS_SIMOS_CALLS_H
#define SOCKMUX_TESTS_SIMOS_CALLS_H

#include "tests/simos/network.h"
#include "tests/simos/process.h"

namespace simos {

// What every call goes through first. error(): it is to fail with that, 0: it is not.
class Gate {
 public:
  explicit Gate(Call call, int fd = -1);
  int error() const { return error_; }

 private:
  int error_ = 0;
};

// A new daemon waits at the control socket of the one before it, for as long as SO_RCVTIMEO and SO_SNDTIMEO let it.
bool may_wait(const File* f);

// `io` until it returns anything else than -EAGAIN, or it has waited enough.
template <typename F>
ssize_t waited(File* f, short events, F io) {
  const Micros until = world->now + static_cast<Tcp*>(f)->patience;
  for (;;) {
    const ssize_t r = io();
    if (r != -EAGAIN || world->now >= until) return r;
    if (!current->wait_for(f, events, until)) return -EINTR;
  }
}

// As system calls return: -1 and errno.
inline int refuse(int error) {
  errno = error;
  return -1;
}

}  // namespace simos

#endif
