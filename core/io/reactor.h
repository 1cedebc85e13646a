// The event loop: one thread waits for descriptors and timers, and tells their handlers.
//
//   one turn: apply changed wishes -> poll -> dispatch -> timers -> before-sleep tasks -> graveyard
//
// Owner: main. Invariants: a descriptor's generation makes events void that were meant for its predecessor; what events
// it waits for is what its owner last said in want(), changed in the kernel only when it must be; nothing here blocks
// but the poll.
// Read next: poller.h, core/base/timer.h; relay/stream.h for a typical handler.
#ifndef SOCKMUX_CORE_IO_REACTOR_H
#define SOCKMUX_CORE_IO_REACTOR_H

#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/timer.h"
#include "core/io/poller.h"

namespace smx {

class FdHandler {
 public:
  // `ready` means only "go and read, or write": the truth comes from read() and write().
  virtual void on_ready(int fd, uint8_t ready, Time now) = 0;

 protected:
  ~FdHandler() = default;
};

// Work to be done once at the end of the turn, however often it is asked for.
class Task {
 public:
  ListNode task_node;
  virtual void on_task(Time now) = 0;

 protected:
  ~Task() = default;
};

// Something that died within the turn: its memory is given back at the end of it.
class Mortal {
 public:
  ListNode grave_node;
  virtual void on_buried() = 0;

 protected:
  ~Mortal() = default;
};

class Reactor {
 public:
  Reactor() = default;
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  static uint64_t arena_bytes(uint32_t max_fds, uint32_t max_timers);
  // Descriptors 0..max_fds-1 can be watched. 0 or errno.
  int init(Arena& arena, uint32_t max_fds, uint32_t max_timers);

  // The first thing that a child of fork(2) does that goes on with the loop. 0 or errno.
  int forked() { return poller_.forked(); }

  // Puts `fd` into the table; it waits for nothing yet. ENOSPC when it is too large for the table, else 0.
  int watch(int fd, FdHandler& handler);
  // What it waits for from now on; takes effect before the next poll.
  void want(int fd, uint8_t events);
  // Takes it out. `closing`: the caller closes it at once, and no other process has it.
  void unwatch(int fd, bool closing = true);
  // So many of the process' descriptors are not ours and stay open.
  void set_foreign_fds(uint32_t fds) { foreign_fds_ = fds; }
  // The table is smaller than all that may be asked of it at once: who can, leaves others room.
  void set_scarce() { scarce_ = true; }
  bool scarce() const { return scarce_; }
  // How many more descriptors the table (and so the process) can hold.
  uint32_t fds_left() const { return watched_ + foreign_fds_ < max_fds_ ? max_fds_ - watched_ - foreign_fds_ : 0; }

  TimerHeap& timers() { return timers_; }
  void at_end_of_turn(Task& task) {
    if (!task.task_node.listed()) tasks_.push_back(&task);
  }
  void bury(Mortal& m) { graveyard_.push_back(&m); }
  // `task` runs at the end of the turn in which a descriptor is closed.
  void when_fd_closes(Task& task) {
    if (!task.task_node.listed()) starving_.push_back(&task);
  }

  // The time of this turn.
  Time now() const { return now_; }
  uint64_t turns() const { return turns_; }
  // No descriptor was ready in this turn.
  bool idle() const { return idle_; }
  // How many of them got their events without having slept.
  uint64_t awake() const { return awake_; }

  // The code that was run so far leaves the process before a long sleep (forget_code()), as often as makes no difference.
  void stay_small() { small_ = true; }
  // Until stop(). Each turn's work is bounded by the handlers' own bounds.
  void run();
  void stop() { running_ = false; }
  // One turn that waits for at most `longest`.
  void turn(Duration longest);

 private:
  struct Entry {
    FdHandler* handler;
    uint32_t generation;
    uint8_t wanted;
    uint8_t armed;   // what the kernel was told
    bool dirty;      // listed in dirty_
  };

  void apply_wishes();
  void arm(int fd, Entry& e, uint8_t events);
  int sleep_ms(Duration longest) const;
  int wait_for(PollEvent* event, int ms);
  void finish_turn();

  Poller poller_;
  Entry* table_ = nullptr;
  int* dirty_ = nullptr;
  uint32_t dirty_count_ = 0;
  uint32_t max_fds_ = 0;
  uint32_t foreign_fds_ = 0;
  bool scarce_ = false;
  uint32_t watched_ = 0;
  TimerHeap timers_;
  List<Task, &Task::task_node> tasks_;
  List<Task, &Task::task_node> starving_;  // wait for a descriptor
  List<Mortal, &Mortal::grave_node> graveyard_;
  Time now_;
  uint64_t turns_ = 0;
  uint64_t awake_ = 0;
  bool may_stay_awake_ = false;  // more than one processor
  bool busy_ = false;            // the last wait was short
  bool idle_ = false;
  bool running_ = false;
  bool small_ = false;
  Time forget_at_;
};

}  // namespace smx

#endif
