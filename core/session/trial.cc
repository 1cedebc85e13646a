// Read next: trial.h.
#include "core/session/trial.h"

#include <string.h>

#include "core/base/bytes.h"
#include "core/base/check.h"
#include "core/io/clock.h"

namespace smx {

namespace {
constexpr int kReads = 2;      // of the link in one turn
constexpr int kOldReads = 64;  // and before HELLO, of what a line has kept: no more than a terminal does
}  // namespace

LinkStart new_start(Link& link) {
  LinkStart start;
  write_stamp(start.stamp);
  fill_random(start.random, sizeof start.random);
  // Two daemons of one host that begin in the same microsecond would take each other's HELLO for an echo of their own, where
  // it has no nonce (0.3): the last three digits are chance.
  uint32_t digits = load32(start.random + 20) % 1000;
  for (size_t i = 0; i < 3; ++i, digits /= 10) start.stamp[sizeof start.stamp - 2 - i] = static_cast<char>('0' + digits % 10);
  start.rate = link.rate();
  start.search = !link.clean_start();
  start.lossy = link.lossy();
  start.sealer = link.sealer();
  start.repeat = link.forgets();
  return start;
}

bool write_once(Mux& mux, Link& link, bool* blocked, int* error, Time now) {
  mux.gather(now);
  Bytes out[Mux::kTxPieces];
  const int pieces = mux.tx_pending(out);
  if (pieces == 0) return false;
  const size_t total = total_size(out, pieces);
  const IoResult r = link.writev(out, pieces);
  *error = r.error;
  if (r.error != 0) return true;
  mux.sent(r.size);
  *blocked = r.again || r.size < total;
  return true;
}

Trial::Trial(Reactor& reactor, TrialOwner& owner, Dialer& dialer)
    : mux_(*this), reactor_(reactor), owner_(owner), dialer_(dialer), timer_(*this) {}

MuxConfig Trial::smallest(const MuxConfig& config) {
  MuxConfig c = config;
  c.accepts = c.opens = 1;
  c.tx_ring = c.rx_ring = 64 * 1024;
  c.tx_ring_most = 0;
  c.memory_bytes = Mux::guaranteed_bytes(c);
  return c;
}

void Trial::start(bool asks, Time now) {
  SMX_CHECK(state_ == State::idle);
  asks_ = asks;
  asked_ = false;
  why_.clear();
  state_ = State::dialing;
  dialer_.dial(*this, now);
}

void Trial::drop_link(Time now) {
  reactor_.timers().stop(timer_);
  mux_.link_down(now, false);
  Link* link = link_;
  link_ = nullptr;
  if (link != nullptr) link->close(false);
}

void Trial::cancel(Time now) {
  if (state_ == State::dialing) dialer_.cancel();
  drop_link(now);
  state_ = State::idle;
}

void Trial::fail(Err e, std::string_view why, Time now) {
  error_ = e;
  why_.clear();
  why_.add(why);
  if (e != Err::none) why_.add(name(e));
  drop_link(now);
  state_ = State::failed;
  kick();
}

Link& Trial::take(LinkHandover* out, Time now) {
  SMX_CHECK(link_ != nullptr);
  SMX_CHECK(heard());
  Link& link = *link_;
  link_ = nullptr;
  mux_.give_link(out, now);
  reactor_.timers().stop(timer_);
  state_ = State::idle;
  return link;
}

// ---- the link

void Trial::on_dialed(Link& link, Time now) {
  link_ = &link;
  link.set_owner(*this);
  state_ = State::shaking;
  blocked_ = false;
  LinkStart start = new_start(link);
  start.asks = asks_;
  start.trial = true;
  mux_.link_up(start, now);
  if (start.search) read_link(true, now);
  if (link_ == nullptr) return;
  link.want(kRead);
  kick();
}

void Trial::on_dial_failed(std::string_view why, Time now) { fail(Err::none, why, now); }

AskAnswer Trial::on_ask(const Settings& ask) {
  ask_ = ask;
  return AskAnswer::elsewhere;
}

void Trial::on_link_ready(uint8_t ready, Time now) {
  if ((ready & kWrite) != 0) blocked_ = false;
  if ((ready & kRead) != 0) read_link(false, now);
  kick();
}

// `old`: what was there before our HELLO; an end or an error waits for the next time, since a FIFO that nobody has written
// to yet looks like an ended one. Behind what proves the link nothing is read: it is for the session.
void Trial::read_link(bool old, Time now) {
  for (int i = 0; i < (old ? kOldReads : kReads) && link_ != nullptr && !heard(); ++i) {
    MutBytes space[2];
    const IoResult r = link_->readv(space, mux_.rx_space(space));
    if (r.again || (old && r.size == 0)) return;
    if (r.error != 0) return fail(Err::none, link_->why().empty() ? strerror(r.error) : link_->why(), now);
    if (r.size == 0) return fail(Err::none, "end of file", now);
    const Err e = mux_.received(r.size, now);
    if (e == Err::moved) asked_ = true;
    else if (e != Err::none) return fail(e, "", now);
  }
}

void Trial::write_link(Time now) {
  int error = 0;
  while (!blocked_ && write_once(mux_, *link_, &blocked_, &error, now))
    if (error != 0) return fail(Err::none, strerror(error), now);
}

void Trial::on_task(Time now) {
  if (state_ == State::shaking) write_link(now);
  if (state_ == State::failed) {
    state_ = State::idle;
    return owner_.on_trial_failed(*this, error_, why_.text(), now);
  }
  if (state_ != State::shaking) return;
  if (asked_ || mux_.proven()) return owner_.on_proven(*this, now);
  link_->want(static_cast<uint8_t>((heard() ? 0 : kRead) | (blocked_ ? kWrite : 0)));
  reactor_.timers().start(timer_, mux_.deadline());
}

void Trial::on_timer(Timer& timer, Time now) {
  (void)timer;
  const Err e = mux_.tick(now);
  if (e != Err::none) return fail(e, "", now);
  kick();
}

}  // namespace smx
