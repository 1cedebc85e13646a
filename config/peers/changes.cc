// Read next: changes.h.
#include "config/peers/changes.h"

namespace smx {

namespace {

// In a time that does not tell where they differ. One that is left out is 32 zeros.
bool is_same_psk(const Peer& a, const Peer& b) {
  unsigned differ = 0;
  for (size_t i = 0; i < sizeof a.psk; ++i) differ |= static_cast<unsigned>(a.psk[i] ^ b.psk[i]);
  return differ == 0;
}

}  // namespace

bool PeerChanges::next(PeerChange* change) {
  if (at_ == old_.count()) return false;
  *change = PeerChange{};
  const Peer& old = old_.at(at_++);
  change->old = &old;
  while (now_at_ < now_.count() && now_.at(now_at_).key < old.key) ++now_at_;
  if (now_at_ == now_.count() || now_.at(now_at_).key != old.key) return true;
  const Peer& now = now_.at(now_at_);
  change->now = &now;
  change->psk = !is_same_psk(old, now);
  // PORT= left out is none, and has no text, either.
  change->ports = old.rights.ports_text != now.rights.ports_text;
  change->dest = old.rights.dest_text != now.rights.dest_text;
  change->from = old.rights.from_text != now.rights.from_text;
  change->renamed = old.name != now.name;
  return true;
}

}  // namespace smx
