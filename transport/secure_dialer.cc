// Read next: secure_dialer.h.
#include "transport/secure_dialer.h"

#include <string.h>

namespace smx::secure {

void SecureDialer::dial(DialOwner& owner, Time now) {
  owner_ = &owner;
  if (shake_.state() != Shake::State::idle) return;
  if (kept_ == nullptr) return below_.dial(*this, now);
  Link& link = *kept_;
  kept_ = nullptr;
  reactor_.timers().stop(timer_);
  goes_on_ = true;
  begin(link, now);
}

// Our own standard input is there once: a handshake over it goes on for who dials next.
void SecureDialer::cancel() {
  const bool idle = shake_.state() == Shake::State::idle;
  if (role_ == Role::answers && (!idle || kept_ != nullptr)) return;
  drop_kept();
  if (idle) return below_.cancel();
  task_node.leave();
  shake_.reset();
}

void SecureDialer::on_dialed(Link& link, Time now) {
  goes_on_ = magic_ = false;
  rest_size_ = 0;
  begin(link, now);
}

void SecureDialer::begin(Link& link, Time now) {
  SecurePeer peer;
  Text<120> why;
  const bool found = book_.find_wanted(peer_, &peer, why);
  const Bytes rest{rest_, rest_size_};
  if (role_ == Role::answers && (found || peer_.empty())) return shake_.answer(link, carrier_, peer_, *this, now, magic_, rest);
  if (!found) {
    link.close(false);
    return owner_->on_dial_failed(why.text(), now);
  }
  if (role_ == Role::by_key && !(own_.shown() < peer.key)) return shake_.answer(link, carrier_, peer.name.text(), *this, now, magic_, rest);
  shake_.call(link, carrier_, peer, *this, now, goes_on_ ? now + kAnswerWait : patience_.us > 0 ? now + patience_ : kNever);
}

void SecureDialer::keep(Link& below, bool magic, Bytes rest, Time now) {
  SMX_CHECK(kept_ == nullptr);
  kept_ = &below;
  below.want(0);
  magic_ = magic;
  rest_size_ = rest.size < sizeof rest_ ? rest.size : sizeof rest_;
  if (rest_size_ > 0) memcpy(rest_, rest.data, rest_size_);
  if (role_ != Role::answers) reactor_.timers().start(timer_, now + kKept);
}

void SecureDialer::on_timer(Timer& timer, Time now) {
  (void)timer, (void)now;
  drop_kept();
}

void SecureDialer::drop_kept() {
  reactor_.timers().stop(timer_);
  if (kept_ != nullptr) kept_->close(false);
  kept_ = nullptr;
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
  SecureLink* link = links_.make(shake, carrier_ == Carrier::pipe ? this : nullptr, now);
  if (link == nullptr) return owner_->on_dial_failed("no room for another link", now);
  owner_->on_dialed(*link, now);
}

void SecureDialer::on_shake_failed(Shake& shake, Time now) {
  const Text<200> why(shake.why());
  shake.reset();
  if (!goes_on_) return owner_->on_dial_failed(why.text(), now);
  goes_on_ = false;
  below_.dial(*this, now);
}

}  // namespace smx::secure
