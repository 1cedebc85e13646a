// The list of list.h in half of the space: a node holds distances, so all items of a list, and its end, must lie in one
// piece of memory of at most 8 GiB.
//
// Owner: whoever lends the end, a node as any other. Invariants of list.h; an item is never moved while it is listed.
// Read next: core/mux/channel.h, relay/stream.h: what there may be 60,000 of.
#ifndef SOCKMUX_CORE_BASE_NEAR_LIST_H
#define SOCKMUX_CORE_BASE_NEAR_LIST_H

#include <stdint.h>

#include "core/base/check.h"

namespace smx {

class NearNode {
 public:
  NearNode() = default;
  NearNode(const NearNode&) = delete;
  NearNode& operator=(const NearNode&) = delete;
  bool listed() const { return next_ != 0; }
  void leave() {
    if (next_ == 0) return;
    NearNode* p = at(prev_);
    NearNode* n = at(next_);
    p->next_ = p->to(n);
    n->prev_ = n->to(p);
    prev_ = next_ = 0;
  }

 private:
  template <typename T, NearNode T::*node>
  friend class NearList;
  void join(NearNode* behind) {
    SMX_CHECK(!listed());
    NearNode* next = behind->at(behind->next_);
    prev_ = to(behind);
    next_ = to(next);
    behind->next_ = behind->to(this);
    next->prev_ = next->to(this);
  }
  static constexpr intptr_t kUnit = alignof(int32_t);
  NearNode* at(int32_t distance) const {
    return reinterpret_cast<NearNode*>(reinterpret_cast<intptr_t>(this) + distance * kUnit);  // NOLINT(performance-no-int-to-ptr): where an offset is kept, it is from an address
  }
  int32_t to(const NearNode* n) const {
    const intptr_t distance = (reinterpret_cast<intptr_t>(n) - reinterpret_cast<intptr_t>(this)) / kUnit;
    SMX_CHECK(distance == static_cast<int32_t>(distance));
    return static_cast<int32_t>(distance);
  }

  int32_t prev_ = 0;  // in units, from this node; of an end that is alone, 0 is itself
  int32_t next_ = 0;
};

template <typename T, NearNode T::*node>
class NearList {
 public:
  NearList() = default;
  // Before all else. `end` is near the items.
  void set_end(NearNode& end) { end_ = &end; }
  NearList(const NearList&) = delete;
  NearList& operator=(const NearList&) = delete;

  bool empty() const { return end_->next_ == 0; }
  T* front() const { return empty() ? nullptr : item(end_->at(end_->next_)); }
  // The item behind `i`, or nullptr.
  T* after(const T* i) const {
    NearNode* n = (i->*node).at((i->*node).next_);
    return n == end_ ? nullptr : item(n);
  }
  void push_back(T* i) { (i->*node).join(end_->at(end_->prev_)); }
  void push_front(T* i) { (i->*node).join(end_); }

 private:
  static T* item(NearNode* n) {
    // The offset of the member, found on an address that is never read.
    alignas(T) static char place[sizeof(T)];
    const T* probe = reinterpret_cast<const T*>(place);
    const auto offset = reinterpret_cast<const char*>(&(probe->*node)) - reinterpret_cast<const char*>(probe);
    return reinterpret_cast<T*>(reinterpret_cast<char*>(n) - offset);
  }

  NearNode* end_ = nullptr;
};

}  // namespace smx

#endif
