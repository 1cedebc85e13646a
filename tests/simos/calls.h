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

// What `io` returns; who may wait does so while that is -EAGAIN.
template <typename F>
ssize_t waited(File* f, short events, F io) {
  ssize_t r = io();
  if (!may_wait(f)) return r;
  for (const Micros until = world->now + static_cast<Tcp*>(f)->patience; r == -EAGAIN && world->now < until; r = io())
    if (!current->wait_for({{f, events}}, until)) return -EINTR;
  return r;
}

// As system calls return: -1 and errno.
inline int refuse(int error) {
  errno = error;
  return -1;
}

}  // namespace simos

#endif
