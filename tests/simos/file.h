// What a descriptor leads to. Read next: network.h, files.h, calls.h.
#ifndef SOCKMUX_TESTS_SIMOS_FILE_H
#define SOCKMUX_TESTS_SIMOS_FILE_H

#include <errno.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/simos/world.h"

namespace simos {

class Process;

// Whoever of the world holds a socket without being a daemon.
struct Holder : Callee {
  // The socket may be readable, writable, over.
  virtual void on_socket() = 0;
};

struct File : Callee {
  enum class Kind : uint8_t { tcp, udp, unix_socket, pipe, plain, null, log, terminal, epoll };
  explicit File(Kind k) : kind(k) {}

  // EPOLLIN and so on, as epoll_wait(2) would tell them: EPOLLHUP and EPOLLERR also unasked.
  virtual uint32_t ready() const { return 0; }
  // Bytes, or -errno.
  virtual ssize_t read(uint8_t* to, size_t n) { return (void)to, (void)n, -EINVAL; }
  virtual ssize_t write(const uint8_t* from, size_t n) { return (void)from, (void)n, -EINVAL; }
  virtual void closed() {}  // the last descriptor of it
  void on_event(int what) override { (void)what; }

  // Something may be ready that was not.
  void poke();

  const Kind kind;
  int refs = 0;            // descriptors, and those under way to another process
  Process* owner = nullptr;
  Process* second = nullptr;  // where a daemon has it from the one before it
  Holder* holder = nullptr;
  int flags = 0;           // O_NONBLOCK and the like
};

inline ssize_t fail_with(ssize_t r) {
  if (r >= 0) return r;
  errno = static_cast<int>(-r);
  return -1;
}

}  // namespace simos

#endif
