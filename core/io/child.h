// Programs that the daemon starts: for a link (proc@) or a channel (exec). Each runs by sh(1) in a process group of its own.
//
//   free --start()--> running --exit--> (owner told) free
//                        +--stop()--> stopping: TERM to the group, KILL after 2 s, --exit--> free
//
// Owner: Daemon. Invariants: at most as many as were set aside run at once; a program has nothing of ours open but what it
// was given; each is waited for by its pid, so that none stays a zombie and the resolver's helper is left alone. What it
// writes to standard error goes to the log, line by line. Source: execve(2), setpgid(2), waitpid(2).
// Read next: transport/program.h, relay/exec.h.
#ifndef SOCKMUX_CORE_IO_CHILD_H
#define SOCKMUX_CORE_IO_CHILD_H

#include <stdint.h>

#include <string_view>

#include "core/base/arena.h"
#include "core/base/text.h"
#include "core/io/fd.h"
#include "core/io/reactor.h"

namespace smx {

class ChildOwner {
 public:
  // It has ended by itself, with this status of waitpid(2).
  virtual void on_child_ended(int status, Time now) = 0;

 protected:
  ~ChildOwner() = default;
};

struct ChildSetup {
  static constexpr int kMostEnvironment = 64;
  const char* command = nullptr;  // for sh -c
  std::string_view label;         // for the log; must outlive the child
  int fd[3] = {-1, -1, -1};       // becomes 0, 1, 2; the last one -1: the log
  const char* const* environment = nullptr;  // NAME=value, more than we have ourselves; a name that is there is replaced
  int environment_size = 0;
};

class Children;

class Child final : private FdHandler, private TimerHandler {
 public:
  explicit Child(Children& table) : table_(table), timer_(*this) {}
  bool running() const { return pid_ > 0; }
  // The owner hears no more of it.
  void stop(Time now);

 private:
  friend class Children;
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void read_log();
  void say();
  void ended(int status, Time now);

  Children& table_;
  ChildOwner* owner_ = nullptr;
  Child* next_free_ = nullptr;
  int pid_ = -1;
  Fd log_;
  Timer timer_;
  std::string_view label_;
  Text<240> line_;
  bool cut_ = false;  // the rest of a line that was too long is dropped
};

class Children {
 public:
  explicit Children(Reactor& reactor) : reactor_(reactor) {}
  static uint64_t arena_bytes(uint32_t count) { return count * sizeof(Child) + 64; }
  [[nodiscard]] bool init(uint32_t count, Arena& arena);

  // nullptr: `error` is EAGAIN if too many run already, else the errno of pipe(2) or fork(2).
  Child* start(const ChildSetup& setup, ChildOwner& owner, int* error);
  // SIGCHLD.
  void reap(Time now);
  // The end of the daemon: TERM, or KILL, to all groups.
  void end_all(bool kill);
  uint32_t running() const { return running_; }
  bool full() const { return free_ == nullptr; }

 private:
  friend class Child;
  Reactor& reactor_;
  Child* children_ = nullptr;
  uint32_t count_ = 0;
  uint32_t running_ = 0;
  Child* free_ = nullptr;
};

// "status 1", "signal 9"
void append_exit(TextBase& to, int status);

}  // namespace smx

#endif
