// Read next: far_port.h.
#include "relay/bind/far_port.h"

#include <new>

#include "core/io/clock.h"
#include "core/io/log.h"

namespace smx {

namespace {

// What was refused is asked for again; soon if it was one too many, as when many peers come at once, and then less and less
// often, each with up to kSpread of chance.
constexpr Duration kAgain = seconds(60);
constexpr Duration kSoon = seconds(2);
constexpr Duration kSpread = seconds(2);
constexpr unsigned kMostDoublings = 5;  // up to 64 s
constexpr uint16_t kPrivileged = 1024;  // ports below belong to root

// What the peer means, and what helps. Source: sockmux(7), "BIND".
void add_reason(TextBase& to, CloseCode code, const Address& at, bool udp) {
  switch (code) {
    case CloseCode::forbidden:
      to.add("our line in the peers file there needs PORT=").add_u(at.port).add(udp ? "/udp" : "");
      return;
    case CloseCode::refused: to.add("the address is in use there"); return;
    case CloseCode::not_found: to.add("that host has no such address"); return;
    case CloseCode::limit: to.add("too many ports there"); return;
    case CloseCode::unsupported: to.add("the peer does not know such ports"); return;
    case CloseCode::shutdown: to.add("the peer ends"); return;
    case CloseCode::local_error:
      to.add(at.port != 0 && at.port < kPrivileged ? "ports below 1024 need root's rights there" : "not possible there; its log tells why");
      return;
    case CloseCode::done:
    case CloseCode::reset:
    case CloseCode::unreachable:
    case CloseCode::timed_out:
    case CloseCode::no_server:
    case CloseCode::idle: to.add("closed there: ").add(name(code)); return;
  }
}

}  // namespace

bool FarPorts::init(size_t count, Arena& arena) {
  ports_ = arena.raw<FarPort>(count);
  return ports_ != nullptr;
}

void FarPorts::add(const Address& at, bool udp) {
  size_t i = 0;
  while (i < count_ && ports_[i].used_) ++i;
  if (i == count_) ++count_;
  new (&ports_[i]) FarPort(*this, at, udp);
  ports_[i].kept_ = true;
}

void FarPorts::begin_renewal() {
  for (size_t i = 0; i < count_; ++i) ports_[i].kept_ = false;
}

bool FarPorts::keep(const Address& at, bool udp) {
  for (size_t i = 0; i < count_; ++i) {
    FarPort& p = ports_[i];
    if (!p.used_ || p.kept_ || p.udp_ != udp || !(p.at_ == at)) continue;
    return p.kept_ = true;
  }
  return false;
}

uint32_t FarPorts::drop_others() {
  uint32_t n = 0;
  for (size_t i = 0; i < count_; ++i) {
    FarPort& p = ports_[i];
    if (!p.used_ || p.kept_) continue;
    if (p.state_ == FarPort::State::asked || p.state_ == FarPort::State::open) session_.abort(p.id_, CloseCode::done);
    p.state_ = FarPort::State::idle;
    p.used_ = false;
    ++n;
  }
  watch();
  return n;
}

size_t FarPorts::count() const {
  size_t n = 0;
  for (size_t i = 0; i < count_; ++i) n += ports_[i].used_ ? 1u : 0u;
  return n;
}

FarPort& FarPorts::nth(size_t i) const {
  size_t k = 0;
  while (!ports_[k].used_ || i-- > 0) ++k;
  return ports_[k];
}

void FarPorts::on_room(Time now) {
  (void)now;
  if (shut_ || !session_.up()) return;
  if (session_.link_since() != link_since_) {
    link_since_ = session_.link_since();
    for (size_t i = 0; i < count_ && !session_.mux().resumed(); ++i)
      if (ports_[i].state_ == FarPort::State::refused) ports_[i].state_ = FarPort::State::idle;
  }
  if (session_.mux().dialect() != Dialect::v1) {
    if (!told_) LogLine(LogLevel::warning, "bind-refused").kv("session", session_.number()).kv("reason", "the peer speaks 0.3, which has no BIND: RPORT= is without effect");
    told_ = true;
    return;
  }
  for (size_t i = 0; i < count_; ++i) {
    FarPort& p = ports_[i];
    if (!p.used_ || p.state_ != FarPort::State::idle) continue;
    if (!session_.can_bind()) return;
    p.state_ = FarPort::State::asked;
    p.id_ = session_.open_bind(p);
  }
}

void FarPorts::on_timer(Timer& timer, Time now) {
  (void)timer;
  for (size_t i = 0; i < count_; ++i)
    if (ports_[i].state_ == FarPort::State::refused && ports_[i].again_ <= now) ports_[i].state_ = FarPort::State::idle;
  on_room(now);
  watch();
}

void FarPorts::watch() {
  const FarPort* first = nullptr;
  for (size_t i = 0; i < count_; ++i)
    if (ports_[i].state_ == FarPort::State::refused && (first == nullptr || ports_[i].again_ < first->again_)) first = &ports_[i];
  if (first != nullptr) reactor_.timers().start(timer_, first->again_);
  else reactor_.timers().stop(timer_);
}

void FarPorts::retry_now(Time now) {
  reactor_.timers().stop(timer_);
  for (size_t i = 0; i < count_; ++i)
    if (ports_[i].state_ == FarPort::State::refused) ports_[i].state_ = FarPort::State::idle;
  on_room(now);
}

void FarPorts::shut() {
  shut_ = true;
  reactor_.timers().stop(timer_);
  for (size_t i = 0; i < count_; ++i) {
    FarPort& p = ports_[i];
    if (p.state_ == FarPort::State::asked || p.state_ == FarPort::State::open) session_.abort(p.id_, CloseCode::shutdown);
    p.state_ = FarPort::State::idle;
  }
}

BindLook FarPorts::look(size_t i) const {
  static const char* const kState[] = {"waiting", "asked", "open", "refused"};
  const FarPort& p = nth(i);
  const bool ended = p.state_ == FarPort::State::refused && p.ended_;
  const bool open = p.state_ == FarPort::State::open;
  return {open ? p.bound_ : p.at_, p.udp_, ended ? "ended" : kState[static_cast<int>(p.state_)], session_.peer_label(), p.counts_};
}

void FarPorts::add_why(size_t i, TextBase& to) const {
  const FarPort& p = nth(i);
  if (p.state_ == FarPort::State::refused) add_reason(to, p.why_, p.at_, p.udp_);
}

// ---- one of them

void FarPort::describe(OpenInfo* info) {
  info->local = at_;
  info->udp = udp_;
}

void FarPort::bound(const Address& at) {
  state_ = State::open;
  bound_ = at;
  why_ = CloseCode::done;
  limits_ = 0;
  LogLine line(LogLevel::info, "bind-open");
  line.kv("session", table_.session_.number()).kv("name", table_.session_.peer_label()).kv("at", at);
  if (udp_) line.kv("kind", "udp");
}

bool FarPort::bound_client(ChannelId id, const OpenInfo& info, Time now) {
  const bool welcome = state_ == State::open && info.udp == udp_;
  ++(welcome ? counts_.accepted : counts_.refused);
  if (!welcome) return false;
  table_.exit_.on_open(table_.session_, id, info, now);
  return true;
}

Duration FarPort::pause(CloseCode code) {
  if (code != CloseCode::limit) limits_ = 0;
  if (code != CloseCode::limit) return kAgain;
  uint32_t random = 0;
  fill_random(&random, sizeof random);
  const Duration chance = micros(random % static_cast<uint32_t>(kSpread.us));
  const Duration least = kSoon * (int64_t{1} << limits_);
  if (limits_ < kMostDoublings) ++limits_;
  return least + chance;
}

void FarPort::abort(CloseCode code) {
  if (!table_.session_.mux().up()) {  // the session is over: the next one asks again
    state_ = State::idle;
    return;
  }
  const bool was_open = state_ == State::open;
  state_ = State::refused;
  ended_ = was_open && code != CloseCode::forbidden;
  Text<160> reason;
  add_reason(reason, code, at_, udp_);
  const LogLevel level = was_open || code != why_ ? LogLevel::warning : LogLevel::debug;  // news once
  why_ = code;
  LogLine line(level, was_open ? "bind-ended" : "bind-refused");
  line.kv("session", table_.session_.number()).kv("name", table_.session_.peer_label()).kv("at", at_);
  if (udp_) line.kv("kind", "udp");
  line.kv("reason", reason.text());
  again_ = table_.reactor_.now() + pause(code);
  table_.watch();
}

}  // namespace smx
