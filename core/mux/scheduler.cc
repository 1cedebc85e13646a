// Read next: scheduler.h.
#include "core/mux/scheduler.h"

namespace smx {

void Scheduler::ready(Channel& c) {
  if (c.sched.listed()) return;
  c.deficit = quantum_;
  c.sparse = true;
  new_.push_back(&c);
}

Channel* Scheduler::next() {
  if (new_.empty() || (burst_ >= kNewBurst && !old_.empty())) {
    burst_ = sparse_ = 0;
    return next_old();
  }
  ++burst_;
  return new_.front();
}

// A datagram is sent whole: who owes for one waits until the others have had as much. At most two rounds of the list.
Channel* Scheduler::next_old() {
  const Channel* first = nullptr;
  for (;;) {
    Channel* c = old_.front();
    if (c == first && c != nullptr) share();
    if (c == nullptr || c->deficit > 0) return c;
    if (first == nullptr) first = c;
    move_behind(*c);
  }
}

// All have spent what they had: each gets the same, a quantum for who owes least.
void Scheduler::share() {
  int32_t most = INT32_MIN;
  for (const Channel* c = old_.front(); c != nullptr; c = old_.after(c))
    if (c->deficit > most) most = c->deficit;
  for (Channel* c = old_.front(); c != nullptr; c = old_.after(c)) c->deficit += quantum_ - most;
}

Channel* Scheduler::next_sparse() {
  if (sparse_ >= kSparseBurst && !old_.empty()) return nullptr;
  while (Channel* c = new_.front()) {
    if (c->sparse) {
      ++sparse_;
      return c;
    }
    served(*c, static_cast<size_t>(c->deficit));
  }
  return nullptr;
}

void Scheduler::served(Channel& c, size_t n) {
  if (n > 0) c.sparse = false;
  c.deficit -= static_cast<int32_t>(n);
  if (c.deficit <= 0) move_behind(c);
}

void Scheduler::move_behind(Channel& c) {
  c.sched.leave();
  old_.push_back(&c);
}

}  // namespace smx
