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

// A datagram is sent whole: who owes for one lets the others go first, a quantum each time. At most two rounds of the list.
Channel* Scheduler::next_old() {
  const Channel* first = nullptr;
  Channel* c = old_.front();
  while (c != nullptr && c->deficit <= 0) {
    if (c == first) skip_rounds();
    if (first == nullptr) first = c;
    move_behind(*c);
    c = old_.front();
  }
  return c;
}

// As many rounds at once as nobody could send in.
void Scheduler::skip_rounds() {
  int32_t rounds = INT32_MAX;
  for (const Channel* c = old_.front(); c != nullptr && rounds > 0; c = old_.after(c)) {
    const int32_t owes = c->deficit < 0 ? -c->deficit / quantum_ : 0;
    if (owes < rounds) rounds = owes;
  }
  if (rounds == 0) return;
  for (Channel* c = old_.front(); c != nullptr; c = old_.after(c)) c->deficit += rounds * quantum_;
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
  c.deficit += quantum_;
  c.sched.leave();
  old_.push_back(&c);
}

}  // namespace smx
