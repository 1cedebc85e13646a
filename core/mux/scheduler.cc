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
    return old_.front();
  }
  ++burst_;
  return new_.front();
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
  if (c.deficit > 0) return;
  c.deficit += quantum_;
  c.sched.leave();
  old_.push_back(&c);
}

}  // namespace smx
