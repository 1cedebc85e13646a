// Nobody starves: who waits for its turn to send is served before the others have got more than their share.
//
// While one waits, another that has waited for as long gets at most two quanta and one datagram; those that came later get
// at most kNewBurst and kSparseBurst turns for each turn of an older one.
// Owner: a node. Source: core/mux/scheduler.h. Read next: node.cc, served().
#ifndef SOCKMUX_TESTS_SIM_TURNS_H
#define SOCKMUX_TESTS_SIM_TURNS_H

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <vector>

#include "core/mux/scheduler.h"

namespace sim {

// Of one socket.
struct Turn {
  bool listed = false;
  uint64_t listed_at = 0;       // numbers of turns
  uint64_t waits_since = 0;
  uint64_t older = 0, newer = 0;  // turns that others got since
  std::vector<uint64_t> then;   // what the others had got when it began to wait, by slot
};

class Turns {
 public:
  explicit Turns(size_t slots) : got_(slots) {}
  // A look at one socket, between two steps.
  void look(Turn& t, bool listed) {
    if (listed && !t.listed) {
      t.listed_at = number_;  // who came first between two turns is not seen
      wait(t);
    }
    t.listed = listed;
  }
  // `n` bytes of the socket with this slot were taken. The others are judged next.
  void served(Turn& t, uint32_t slot, size_t n) {
    got_[slot] += n;
    ++number_;
    if (t.listed) wait(t);
  }
  // `t` waits while `other` was served. What is wrong with that; empty: nothing.
  std::string judge(Turn& t, const Turn& other, uint32_t other_slot, size_t quantum) const {
    if (!t.listed || !other.listed) return {};
    if (other.listed_at <= t.waits_since) {
      ++t.older;
      const uint64_t n = got_[other_slot] - t.then[other_slot];
      if (n > 2 * quantum + smx::kMaxDatagram) return "waits while another one gets " + std::to_string(n) + " bytes";
    } else {
      ++t.newer;
      if (t.newer > (smx::Scheduler::kNewBurst + smx::Scheduler::kSparseBurst) * (t.older + 1))
        return "waits while newer ones get " + std::to_string(t.newer) + " turns, and older ones " + std::to_string(t.older);
    }
    return {};
  }

 private:
  void wait(Turn& t) const {
    t.waits_since = number_;
    t.older = t.newer = 0;
    t.then = got_;
  }

  std::vector<uint64_t> got_;
  uint64_t number_ = 0;
};

}  // namespace sim

#endif
