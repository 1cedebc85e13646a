// Who sends next: deficit round robin over two lists, as in fq_codel (RFC 8290 4.2): a channel that was quiet joins the
// new list and goes first; one that has spent its quantum joins the old list.
//
// Invariant: a channel is in at most one list; every kNewBurst or kSparseBurst grants the old list gets one, so that
// nobody starves; who is next has a deficit above 0, so nobody owes more than one datagram.
// Owner: the mux. Pure. Read next: mux_tx.cc, gather_data().
#ifndef SOCKMUX_CORE_MUX_SCHEDULER_H
#define SOCKMUX_CORE_MUX_SCHEDULER_H

#include "core/mux/channel.h"

namespace smx {

class Scheduler {
 public:
  // Bytes that a channel may send before it is another's turn, if nothing else is set: four full packets.
  static constexpr int32_t kQuantum = 4 * static_cast<int32_t>(kMaxPayload);
  static constexpr int kNewBurst = 8;
  // Grants of sparse ones between two of the old list, which waits while the ring is nearly full: many that say little
  // could keep it so for ever.
  static constexpr int kSparseBurst = 256;

  static constexpr size_t kLists = 2;
  // Before all else: nodes near the channels, for the ends of the lists.
  void set_ends(NearNode* ends) {
    new_.set_end(ends[0]);
    old_.set_end(ends[1]);
  }

  // Fewer on a slow line, more on a fast one; at least 1. Counts from each one's next turn on.
  void set_quantum(int32_t bytes) { quantum_ = bytes; }
  bool empty() const { return new_.empty() && old_.empty(); }
  // `c` has something to send. Nothing happens if it is listed already.
  void ready(Channel& c);
  // Who is next, or nullptr. It stays listed until one of the two calls below.
  Channel* next();
  // Who is next of those that have sent nothing since they became ready, or nullptr; the others of the new list join
  // the old one. None either when it is the old list's turn.
  Channel* next_sparse();
  // It was next, sent `n` bytes, which may be more than its deficit (a datagram), and may have more.
  void served(Channel& c, size_t n);
  // It has no more for now, or may not send.
  void remove(Channel& c) { c.sched.leave(); }

 private:
  Channel* next_old();
  void share();
  void move_behind(Channel& c);

  NearList<Channel, &Channel::sched> new_;
  NearList<Channel, &Channel::sched> old_;
  int32_t quantum_ = kQuantum;
  int burst_ = 0;
  int sparse_ = 0;
};

}  // namespace smx

#endif
