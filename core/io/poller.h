// What the reactor asks of the kernel: six functions, written once a kernel interface (poll_epoll.cc, poll_kqueue.cc,
// poll_poll.cc); the Makefile takes one of them.
//
// Invariant: level-triggered; a descriptor is in the set with at least one event, or not at all. Owner: the reactor.
// Read next: reactor.h.
#ifndef SOCKMUX_CORE_IO_POLLER_H
#define SOCKMUX_CORE_IO_POLLER_H

#include <stdint.h>

#include "core/base/arena.h"
#include "core/io/fd.h"

namespace smx {

constexpr uint8_t kRead = 1;
constexpr uint8_t kWrite = 2;
// For sockets whose urgent byte stays in line: there is one, as the next byte to be read or behind it (tcp(7)). A system
// that can't tell never says it; the byte is ordinary data then.
constexpr uint8_t kUrgent = 4;

struct PollEvent {
  int fd = -1;
  uint32_t tag = 0;    // as given to add() or change()
  uint8_t ready = 0;   // kRead, kWrite, kUrgent; an error or a hang-up is both of the first two
};

class Poller {
 public:
  static const char* name();

  // Memory for descriptors 0..max_fds-1. 0 or errno (ENOMEM: the arena is used up).
  int open(Arena& arena, uint32_t max_fds);
  // The first thing that a child of fork(2) does that goes on with what it inherits. 0 or errno.
  int forked();
  // `events` is not 0. 0 or errno; kqueue tries what its kernel refuses again by itself.
  int add(int fd, uint8_t events, uint32_t tag);
  int change(int fd, uint8_t events, uint32_t tag);
  // closing: the descriptor is closed right behind, which may save the call.
  void remove(int fd, bool closing);
  // Waits for at most `timeout_ms` (-1: for ever), fills at most `limit` events, returns how many; 0 when interrupted.
  int wait(PollEvent* out, int limit, int timeout_ms);

 private:
  struct State {
    Fd handle;                   // epoll, kqueue
    void* set = nullptr;         // poll: pollfd[]; kqueue: what its file says
    uint32_t* tags = nullptr;    // poll: beside set
    uint32_t* where = nullptr;   // poll: descriptor -> index in set + 1
    uint32_t count = 0;
    uint32_t capacity = 0;
    uint32_t begin = 0;          // poll: where to look first, so that all get their turn
  };
  State s_;
};

}  // namespace smx

#endif
