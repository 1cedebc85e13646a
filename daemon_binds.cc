// Read next: daemon_binds.h.
#include "daemon_binds.h"

#include "core/io/log.h"

namespace smx {

namespace {
constexpr Duration kAgain = seconds(60);
constexpr Duration kSoon = seconds(1);
}  // namespace

bool AskedPorts::init(const Config& config, Reactor& reactor, Session& session, Exit& exit, Arena& arena) {
  port_ = arena.raw<AskedPort*>(config.binds.count + 1);
  if (port_ == nullptr) return false;
  for (const Address& at : config.binds) {
    port_[count_] = arena.create<AskedPort>(reactor, session, exit, at);
    if (port_[count_++] == nullptr) return false;
  }
  return true;
}

void AskedPort::on_room() {
  if (state_ == State::refused && session_.up() && session_.link_since() != asked_over_) retry_now();
  if (state_ != State::idle || !session_.can_bind()) return;
  state_ = State::asking;
  asked_over_ = session_.link_since();
  id_ = session_.open_bind(*this);
}

void AskedPort::retry_now() {
  if (state_ != State::refused) return;
  reactor_.timers().stop(timer_);
  on_timer(timer_, reactor_.now());
}

void AskedPort::on_timer(Timer& timer, Time now) {
  (void)timer;
  (void)now;
  state_ = State::idle;
  on_room();
}

void AskedPort::bound(const Address& at) {
  state_ = State::bound;
  told_ = CloseCode::done;
  LogLine(LogLevel::info, "bind-open").kv("session", session_.number()).kv("name", session_.peer_label()).kv("at", at);
}

bool AskedPort::bound_client(ChannelId id, const OpenInfo& info, Time now) {
  OpenInfo plain = info;
  plain.bind = kNone;
  exit_.on_open(session_, id, plain, now);
  return true;
}

// The peer has closed the channel, or the session is over. What was refused is asked for again later, since the peers file
// there may be another one by then; the log says it once.
void AskedPort::abort(CloseCode code) {
  if (state_ == State::ended) return;
  const bool over = !session_.up();
  if (!over && told_ != code && code != CloseCode::reset) {
    LogLine(LogLevel::warning, "bind-refused")
        .kv("session", session_.number())
        .kv("name", session_.peer_label())
        .kv("at", at_)
        .kv("reason", name(code));
    told_ = code;
  }
  state_ = over ? State::idle : State::refused;
  if (over) return;
  // So ends a session that the peer does not know any more, too.
  reactor_.timers().start(timer_, reactor_.now() + (code == CloseCode::reset ? kSoon : kAgain));
}

void AskedPort::shut() {
  const bool open = state_ == State::asking || state_ == State::bound;
  state_ = State::ended;
  reactor_.timers().stop(timer_);
  if (open) session_.abort(id_, CloseCode::shutdown);
}

}  // namespace smx
