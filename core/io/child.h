// Programs that the daemon starts: for a link (proc@) or a channel (exec). Each runs by sh(1) in a process group of its own.
//
//   free --start()--> running --exit--> (owner told) free
//                        +--stop()--> stopping: TERM to the group, KILL after 2 s, --exit--> free
//
// Owner: Daemon. The helper process starts them, signals them and waits for them (helper.h); one that it cannot start
// counts as one that has ended with status 126. Invariants: at most as many as were set aside run at once; a program has
// nothing of ours open but what it was given. What it writes to standard error goes to the log, line by line.
// Read next: helper.h, transport/program.h, relay/exec.h.
#ifndef SOCKMUX_CORE_IO_CHILD_H
#define SOCKMUX_CORE_IO_CHILD_H

#include <stdint.h>

#include <string_view>

#include "core/base/address.h"
#include "core/base/arena.h"
#include "core/base/text.h"
#include "core/io/fd.h"
#include "core/io/helper.h"
#include "core/io/reactor.h"

namespace smx {

class ChildOwner {
 public:
  // It has ended by itself, with this status of waitpid(2), which is in the log already.
  virtual void on_child_ended(int status, Time now) = 0;

 protected:
  ~ChildOwner() = default;
};

struct ChildSetup {
  const char* command = nullptr;  // for sh -c; the helper has it, with its environment
  std::string_view label;         // for the log
  Address client;                 // for the log; none: it serves no client
  int fd[3] = {-1, -1, -1};       // becomes 0, 1, 2; the last one -1: the log
  const std::string_view* values = nullptr;  // of kClientVariables
};

class Children;

class Child final : private FdHandler, private TimerHandler {
 public:
  explicit Child(Children& table) : table_(table), timer_(*this) {}
  // The owner hears no more of it. Its end is still logged, since it may be the reason why it is stopped: the end of its
  // output comes before its exit status.
  void stop(Time now);

 private:
  friend class Children;
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void read_log(int reads);
  void say();
  void log_end(int status, Time now);
  void ended(int status, Time now);

  Children& table_;
  ChildOwner* owner_ = nullptr;
  Child* next_free_ = nullptr;
  Fd log_;
  Timer timer_;
  Text<100> label_;  // a copy: its owner may be gone before it
  Text<240> line_;
  Address client_;
  Time started_;
  bool running_ = false, stopped_ = false, killed_ = false;
  bool cut_ = false;  // the rest of a line that was too long is dropped
};

class Children final : private HelperUser {
 public:
  Children(Reactor& reactor, Helper& helper, Helper::Topic topic) : reactor_(reactor), helper_(helper), topic_(topic) {}
  static uint64_t arena_bytes(uint32_t count) { return count * sizeof(Child) + 64; }
  [[nodiscard]] bool init(uint32_t count, Arena& arena);

  // nullptr: `error` is EAGAIN if too many run already, else an errno: of pipe(2), or the helper has none for us.
  Child* start(const ChildSetup& setup, ChildOwner& owner, int* error);
  // The end of the daemon: TERM, or KILL, to all groups.
  void end_all(bool kill);
  uint32_t running() const { return running_; }
  bool full() const { return free_ == nullptr; }

 private:
  friend class Child;
  void on_helper_answer(const HelperAnswer& a, Time now) override;
  void on_helper_ended(Time now) override;
  bool signal(const Child& c, int signal);

  Reactor& reactor_;
  Helper& helper_;
  Helper::Topic topic_;
  Child* children_ = nullptr;
  uint32_t count_ = 0;
  uint32_t running_ = 0;
  Child* free_ = nullptr;
};

// "status 1", "signal 9"; for what sh(1) says by its status, in words, too
void append_exit(TextBase& to, int status);

}  // namespace smx

#endif
