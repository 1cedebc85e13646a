// One call that fails, of all that a daemon makes: which one, and how.
//
// Calls have a number each, in the order in which they are made, and a place: the function, and who called it. A run that only
// records says which there are; then each place fails once with each errno, in a run of its own.
// Read next: calls.h, every_call.cc.
#ifndef SOCKMUX_TESTS_SIMOS_FAULT_H
#define SOCKMUX_TESTS_SIMOS_FAULT_H

#include <stdint.h>

#include <vector>

namespace simos {

// What can be told to fail. Names: fault.cc.
enum class Call : uint8_t {
  accept4, access, bind, close, connect, epoll_create1, epoll_ctl, epoll_wait, poll, fcntl, flock, fstat, ftruncate, getrandom, getsockname,
  getpeername, getsockopt, ioctl, listen, lseek, mkfifo, mmap, nanosleep, open, pipe, pread, read, recv, recvmsg, send, sendmsg, setrlimit, setsockopt, shutdown,
  sigaction, sockatmark, socket, stat, tcgetattr, tcsetattr, unlink, write, getrlimit, gethostname, getcwd, getifaddrs, fork, count_
};
const char* name(Call call);

struct Faults {
  struct Record {
    uint64_t place;    // who called what: the same hash for the same callers
    uint64_t number;   // which of all calls of the process, from 1 on
    Call call;
    bool started;      // behind the start of the daemon
  };
  bool recording = false;
  std::vector<Record> calls;
  uint64_t count = 0;
  // The plan: call `number` fails with `error`; 0: none.
  uint64_t number = 0;
  int error = 0;
  bool done = false, done_at_start = false;
  Call what = Call::count_;
};

// How `call` may fail, by its manual page; ends with 0.
const int* errors_of(Call call);
// Is this one that costs nothing, since it is only to be made again?
bool costs_nothing(Call call, int error);

}  // namespace simos

#endif
