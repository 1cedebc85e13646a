// Read next: reactor.h.
#include "core/io/reactor.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/io/clock.h"
#include "core/io/log.h"
#include "core/io/resident.h"

namespace smx {

namespace {
constexpr int kEvents = 64;         // taken from the kernel in one turn
constexpr int kTimersATurn = 256;
constexpr int kTasksATurn = 4096;
constexpr int64_t kLongestSleepMs = 60 * 60 * 1000;
// About a round trip through a tunnel on one machine or a fast network; a process that is put to sleep and woken twice
// in it spends most of it on that (README, "How fast").
constexpr Duration kAwake = micros(80);
// To forget code and to get back what is needed of it takes about 0.1 ms: that is done before a sleep that may last, and seldom;
// not behind a turn of timers alone, since what these have asked the peer is answered soon.
constexpr int kLongSleepMs = 1000;
constexpr Duration kForgetPause = seconds(5);
// Behind a turn that took longer, sleeping and waking are a small part of the time, and others need the processor more:
// bulk costs less so (docs/speed.md).
constexpr Duration kShortTurn = micros(25);
}  // namespace

uint64_t Reactor::arena_bytes(uint32_t max_fds, uint32_t max_timers) {
  // 32: what the poller has for each: nothing (epoll), 16 bytes (poll, kqueue).
  return uint64_t{max_fds} * (sizeof(Entry) + sizeof(int) + 32) + uint64_t{max_timers} * sizeof(BareTimer*) + 4096;
}

int Reactor::init(Arena& arena, uint32_t max_fds, uint32_t max_timers) {
  table_ = arena.raw<Entry>(max_fds);
  dirty_ = arena.raw<int>(max_fds);
  BareTimer** timers = arena.raw<BareTimer*>(max_timers);
  if (timers == nullptr || dirty_ == nullptr || table_ == nullptr) return ENOMEM;
  max_fds_ = max_fds;
  timers_.set_memory(timers, max_timers);
  now_ = read_clock();
  may_stay_awake_ = sysconf(_SC_NPROCESSORS_ONLN) > 1;
  return poller_.open(arena, max_fds);
}

int Reactor::watch(int fd, FdHandler& handler) {
  SMX_CHECK(fd >= 0);
  if (static_cast<uint32_t>(fd) >= max_fds_) return ENOSPC;
  Entry& e = table_[fd];
  SMX_CHECK(e.handler == nullptr);
  e.handler = &handler;
  ++e.generation;
  e.wanted = e.armed = 0;
  ++watched_;
  return 0;
}

void Reactor::want(int fd, uint8_t events) {
  Entry& e = table_[fd];
  SMX_CHECK(e.handler != nullptr);
  e.wanted = events;
  if (e.dirty) return;
  // Something new, or no longer interested in writing (which is ready nearly always). A wish to read that ends is
  // left in the kernel until it fires once in vain: under load it comes back before that.
  if ((events & ~e.armed) == 0 && !((e.armed & kWrite) != 0 && (events & kWrite) == 0)) return;
  e.dirty = true;
  dirty_[dirty_count_++] = fd;
}

void Reactor::unwatch(int fd, bool closing) {
  Entry& e = table_[fd];
  SMX_CHECK(e.handler != nullptr);
  if (e.armed != 0) poller_.remove(fd, closing);
  e.handler = nullptr;
  e.wanted = e.armed = 0;
  ++e.generation;
  --watched_;
  while (Task* t = starving_.front()) {
    t->task_node.leave();
    tasks_.push_back(t);
  }
}

void Reactor::arm(int fd, Entry& e, uint8_t events) {
  if (events == e.armed) return;
  int error = 0;
  if (events == 0) {
    poller_.remove(fd, false);
  } else if (e.armed == 0) {
    error = poller_.add(fd, events, e.generation);
  } else {
    error = poller_.change(fd, events, e.generation);
  }
  // ENOMEM or ENOSPC of the kernel (max_user_watches): it has what it had, and is asked again next turn.
  if (error == 0) e.armed = events;
}

void Reactor::apply_wishes() {
  uint32_t failed = 0;
  for (uint32_t i = 0; i < dirty_count_; ++i) {
    const int fd = dirty_[i];
    Entry& e = table_[fd];
    e.dirty = false;
    if (e.handler == nullptr) continue;
    arm(fd, e, static_cast<uint8_t>(e.wanted | (e.wanted != 0 ? e.armed & (kRead | kUrgent) : 0)));
    if ((e.wanted & ~e.armed) == 0) continue;
    e.dirty = true;
    dirty_[failed++] = fd;
  }
  dirty_count_ = failed;
}

// How long the poller may sleep in this turn, in ms.
int Reactor::sleep_ms(Duration longest) const {
  int64_t ms = longest.us < 0 ? kLongestSleepMs : (longest.us + 999) / 1000;
  const Time next = timers_.next();
  if (next != kNever) {
    const int64_t until = (next - read_clock()).us;
    const int64_t until_ms = until <= 0 ? 0 : (until + 999) / 1000;
    if (until_ms < ms) ms = until_ms;
  }
  if (dirty_count_ > 0 && ms > 50) ms = 50;  // what the kernel did not take is tried again
  if (!tasks_.empty() || !graveyard_.empty()) ms = 0;
  return log_wait_ms(static_cast<int>(ms > kLongestSleepMs ? kLongestSleepMs : ms));
}

// Fills `event`, and sets the turn's time. While events come less than kAwake apart and are soon done, the process stays awake
// between them and only lets others run; the first longer pause ends that, so an idle daemon sleeps.
int Reactor::wait_for(PollEvent* event, int ms) {
  const Time begin = ms > 0 ? read_clock() : Time{};
  int n = 0;
  if (ms > 0 && may_stay_awake_ && busy_ && begin - now_ < kShortTurn) {
    do {
      n = poller_.wait(event, kEvents, 0);
      if (n == 0) sched_yield();
    } while (n == 0 && read_clock() - begin < kAwake);
    if (n > 0) ++awake_;
  }
  if (n == 0) n = poller_.wait(event, kEvents, ms);
  now_ = read_clock();
  if (ms > 0) busy_ = now_ - begin < kAwake;
  return n;
}

void Reactor::turn(Duration longest) {
  apply_wishes();
  PollEvent event[kEvents];
  const int ms = sleep_ms(longest);
  if (small_ && !idle_ && ms >= kLongSleepMs && now_ >= forget_at_) {
    forget_at_ = now_ + kForgetPause;
    forget_code();
  }
  const int n = wait_for(event, ms);
  ++turns_;
  idle_ = n == 0;
  for (int i = 0; i < n; ++i) {
    const int fd = event[i].fd;
    Entry& e = table_[fd];
    if (e.handler == nullptr || e.generation != event[i].tag) continue;
    const uint8_t ready = event[i].ready & e.wanted;
    if (ready != 0) {
      e.handler->on_ready(fd, ready, now_);
    } else if (!e.dirty) {
      // Fired in vain. Who waits for nothing, or for an urgent byte alone, and is hung up, leaves the set.
      arm(fd, e, e.armed == e.wanted ? 0 : e.wanted);
    }
  }
  timers_.run(now_, kTimersATurn);
  finish_turn();
}

void Reactor::finish_turn() {
  // What a task asks for while it runs is for the next turn.
  int due = 0;
  for (Task* t = tasks_.front(); t != nullptr && due < kTasksATurn; t = tasks_.after(t)) ++due;
  for (; due > 0; --due) {
    Task* t = tasks_.front();
    if (t == nullptr) break;
    t->task_node.leave();
    t->on_task(now_);
  }
  while (Mortal* m = graveyard_.front()) {
    m->grave_node.leave();
    m->on_buried();
  }
}

void Reactor::run() {
  running_ = true;
  while (running_) turn(Duration{-1});
}

}  // namespace smx
