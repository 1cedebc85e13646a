// What HUP means for each peer: the list that was in force beside the one that is now, compared by key.
//
//     PeerChanges changes(old, now); while (changes.next(&change)) ...
//
// Owner: the caller; both lists must live on. Invariant: each key of the old list comes once, in the order of the keys. A
// key that is only new changes nothing for anybody who is here. Pure. Read next: peers.h, table.h.
#ifndef SOCKMUX_CONFIG_PEERS_CHANGES_H
#define SOCKMUX_CONFIG_PEERS_CHANGES_H

#include "config/peers/peers.h"

namespace smx {

struct PeerChange {
  const Peer* old = nullptr;
  const Peer* now = nullptr;  // nullptr: the key is gone; nothing else is then said
  bool psk = false;  // another PSK, or none any more, or one at last
  // The words differ: what is open must be asked about again. Whether it has less than before only that can tell.
  bool ports = false;
  bool dest = false;
  bool from = false;
  bool renamed = false;

  bool gone() const { return now == nullptr; }
  bool rights() const { return ports || dest || from; }
  bool any() const { return gone() || psk || rights() || renamed; }
};

class PeerChanges {
 public:
  PeerChanges(const PeerList& old, const PeerList& now) : old_(old), now_(now) {}
  // False: that was all.
  bool next(PeerChange* change);

 private:
  const PeerList& old_;
  const PeerList& now_;
  size_t at_ = 0;      // in old_
  size_t now_at_ = 0;  // in now_: all before it have smaller keys
};

}  // namespace smx

#endif
