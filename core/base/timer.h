// Timers: a heap of deadlines whose entries are members of what waits.
//
// Owner: whoever has the Timer; it stops it before it dies. Invariant: a Timer that runs is in exactly one heap, at
// heap_[index]; the heap never grows beyond the array it was given. Pure: time is passed in.
// Read next: core/io/reactor.h (who asks for the next deadline).
#ifndef SOCKMUX_CORE_BASE_TIMER_H
#define SOCKMUX_CORE_BASE_TIMER_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/clock.h"

namespace smx {

class Timer;

// Who is told. Called once for each start().
class TimerHandler {
 public:
  virtual void on_timer(Timer& timer, Time now) = 0;

 protected:
  ~TimerHandler() = default;
};

// A deadline without anybody to tell: for those of which there are many, and whose heap's owner knows them.
class BareTimer {
 public:
  BareTimer() = default;
  BareTimer(const BareTimer&) = delete;
  BareTimer& operator=(const BareTimer&) = delete;
  bool running() const { return index_ != kIdle; }
  Time deadline() const { return deadline_; }

 private:
  friend class TimerHeap;
  static constexpr uint32_t kIdle = 0xffffffff;
  Time deadline_ = kNever;
  uint32_t index_ = kIdle;
};

class TimerHeap {
 public:
  TimerHeap() = default;
  TimerHeap(BareTimer** memory, uint32_t capacity) : heap_(memory), capacity_(capacity) {}
  TimerHeap(const TimerHeap&) = delete;
  TimerHeap& operator=(const TimerHeap&) = delete;
  // Only before the first start().
  void set_memory(BareTimer** memory, uint32_t capacity) {
    heap_ = memory;
    capacity_ = capacity;
  }

  // Starts, or moves, `timer`. More timers at once than the capacity: a bug, CHECK.
  void start(BareTimer& timer, Time deadline);
  void stop(BareTimer& timer);
  Time next() const;
  // The earliest that is due, stopped; nullptr: none is.
  BareTimer* pop(Time now);
  // A heap of Timers alone: calls the handlers of all timers that are due at `now`, earliest first, at most `limit` of them; returns how many.
  int run(Time now, int limit);
  uint32_t count() const { return count_; }

 private:
  void place(uint32_t at, BareTimer* timer);
  void up(uint32_t at);
  void down(uint32_t at);

  BareTimer** heap_ = nullptr;
  uint32_t capacity_ = 0;
  uint32_t count_ = 0;
};

class Timer : public BareTimer {
 public:
  explicit Timer(TimerHandler& handler);

 private:
  friend class TimerHeap;
  TimerHandler* handler_;
};

}  // namespace smx

#endif
