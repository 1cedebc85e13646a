// A list whose nodes are members of what is listed: joins and leaves without memory, in constant time.
//
// Owner: the list owns nothing; an item leaves the list before it dies. Invariant: an item is in at most one list
// through one node. Read next: core/mux/scheduler.h.
#ifndef SOCKMUX_CORE_BASE_LIST_H
#define SOCKMUX_CORE_BASE_LIST_H

#include "core/base/check.h"

namespace smx {

struct ListNode {
  ListNode* prev = nullptr;
  ListNode* next = nullptr;
  bool listed() const { return next != nullptr; }
  // The list that `behind` is in, or the end of.
  void join(ListNode* behind) {
    SMX_CHECK(!listed());
    prev = behind;
    next = behind->next;
    behind->next->prev = this;
    behind->next = this;
  }
  void leave() {
    if (next == nullptr) return;
    prev->next = next;
    next->prev = prev;
    prev = next = nullptr;
  }
};

// `T` is the item, `node` its member.
template <typename T, ListNode T::*node>
class List {
 public:
  List() { end_.prev = end_.next = &end_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;

  bool empty() const { return end_.next == &end_; }
  T* front() const { return empty() ? nullptr : item(end_.next); }
  // The item behind `i`, or nullptr.
  T* after(const T* i) const {
    ListNode* n = (i->*node).next;
    return n == &end_ ? nullptr : item(n);
  }
  void push_back(T* i) { (i->*node).join(end_.prev); }
  void push_front(T* i) { (i->*node).join(&end_); }

 private:
  static T* item(ListNode* n) {
    // The offset of the member, found on an address that is never read.
    alignas(T) static char place[sizeof(T)];
    const T* probe = reinterpret_cast<const T*>(place);
    const auto offset = reinterpret_cast<const char*>(&(probe->*node)) - reinterpret_cast<const char*>(probe);
    return reinterpret_cast<T*>(reinterpret_cast<char*>(n) - offset);
  }

  ListNode end_;
};

}  // namespace smx

#endif
