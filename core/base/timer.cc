// The heap of timers. Read next: timer.h.
#include "core/base/timer.h"

#include "core/base/check.h"

namespace smx {

Timer::Timer(TimerHandler& handler) : handler_(&handler) {}

void TimerHeap::place(uint32_t at, BareTimer* timer) {
  heap_[at] = timer;
  timer->index_ = at;
}

void TimerHeap::up(uint32_t at) {
  BareTimer* timer = heap_[at];
  while (at > 0) {
    const uint32_t parent = (at - 1) / 2;
    if (heap_[parent]->deadline_ <= timer->deadline_) break;
    place(at, heap_[parent]);
    at = parent;
  }
  place(at, timer);
}

void TimerHeap::down(uint32_t at) {
  BareTimer* timer = heap_[at];
  for (;;) {
    uint32_t child = 2 * at + 1;
    if (child >= count_) break;
    if (child + 1 < count_ && heap_[child + 1]->deadline_ < heap_[child]->deadline_) ++child;
    if (timer->deadline_ <= heap_[child]->deadline_) break;
    place(at, heap_[child]);
    at = child;
  }
  place(at, timer);
}

void TimerHeap::start(BareTimer& timer, Time deadline) {
  if (timer.running() && timer.deadline_ == deadline) return;
  stop(timer);
  if (deadline == kNever) return;
  SMX_CHECK(count_ < capacity_);
  timer.deadline_ = deadline;
  place(count_, &timer);
  ++count_;
  up(count_ - 1);
}

void TimerHeap::stop(BareTimer& timer) {
  if (!timer.running()) return;
  const uint32_t at = timer.index_;
  SMX_CHECK(at < count_);
  SMX_CHECK(heap_[at] == &timer);
  timer.index_ = BareTimer::kIdle;
  timer.deadline_ = kNever;
  --count_;
  if (at == count_) return;
  place(at, heap_[count_]);
  up(at);
  down(heap_[at]->index_);
}

Time TimerHeap::next() const { return count_ == 0 ? kNever : heap_[0]->deadline_; }

BareTimer* TimerHeap::pop(Time now) {
  if (count_ == 0 || heap_[0]->deadline_ > now) return nullptr;
  BareTimer* first = heap_[0];
  stop(*first);
  return first;
}

int TimerHeap::run(Time now, int limit) {
  int done = 0;
  for (; done < limit; ++done) {
    BareTimer* due = pop(now);
    if (due == nullptr) break;
    Timer& timer = static_cast<Timer&>(*due);
    timer.handler_->on_timer(timer, now);
  }
  return done;
}

}  // namespace smx
