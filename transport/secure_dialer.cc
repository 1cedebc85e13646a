// Read next: secure_dialer.h.
#include "transport/secure_dialer.h"

namespace smx::secure {

void SecureDialer::dial(DialOwner& owner, Time now) {
  owner_ = &owner;
  if (shake_.state() == Shake::State::idle) below_.dial(*this, now);
}

// Our own standard input is there once: a handshake over it goes on for who dials next.
void SecureDialer::cancel() {
  if (role_ == Role::answers && shake_.state() != Shake::State::idle) return;
  if (shake_.state() == Shake::State::idle) return below_.cancel();
  task_node.leave();
  shake_.reset();
}

void SecureDialer::on_dialed(Link& link, Time now) {
  SecurePeer peer;
  Text<120> why;
  const bool found = book_.find_wanted(peer_, &peer, why);
  if (role_ == Role::answers && (found || peer_.empty())) return shake_.answer(link, carrier_, peer_, *this, now);
  if (!found) {
    link.close(false);
    return owner_->on_dial_failed(why.text(), now);
  }
  if (role_ == Role::by_key && !(own_.shown() < peer.key)) return shake_.answer(link, carrier_, peer.name.text(), *this, now);
  shake_.call(link, carrier_, peer, *this, now);
}

// Nobody else calls here, so there is always time.
void SecureDialer::on_message(Shake& shake, Time now) {
  (void)shake, (void)now;
  reactor_.at_end_of_turn(*this);
}

void SecureDialer::on_task(Time now) {
  if (shake_.state() == Shake::State::queued) shake_.step(now);
  if (shake_.state() == Shake::State::queued) reactor_.at_end_of_turn(*this);
}

void SecureDialer::on_shaken(Shake& shake, Time now) {
  SecureLink* link = links_.make(shake, now);
  if (link == nullptr) return owner_->on_dial_failed("no room for another link", now);
  owner_->on_dialed(*link, now);
}

void SecureDialer::on_shake_failed(Shake& shake, Time now) {
  const Text<200> why(shake.why());
  shake.reset();
  owner_->on_dial_failed(why.text(), now);
}

}  // namespace smx::secure
