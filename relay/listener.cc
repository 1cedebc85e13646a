// Read next: listener.h.
#include "relay/listener.h"

#include <errno.h>
#include <string.h>

#include "core/io/log.h"
#include "core/io/socket.h"

namespace smx {

namespace {
constexpr int kAcceptsATurn = 16;
constexpr Duration kPause = seconds(1);   // while no descriptor is left, and none is closed here
// While clients wait for a channel of a 0.3 peer, lingering ones are looked for this often.
constexpr Duration kRoomPause = millis(200);
}  // namespace

int Listener::start(Fd listening) {
  const int error = reactor_.watch(listening.get(), *this);
  if (error != 0) return error;
  fd_ = static_cast<Fd&&>(listening);
  starving_ = false;
  local_ = local_address(fd_.get());
  const Address zero;
  wildcard_ = true;
  for (int i = 0; i < 16; ++i) wildcard_ = wildcard_ && local_.ip[i] == zero.ip[i];
  set_keepalive(fd_.get());  // its clients inherit all three
  set_oob_inline(fd_.get());
  set_nodelay(fd_.get());
  reactor_.want(fd_.get(), kRead);
  return 0;
}

void Listener::stop() {
  if (!fd_.valid()) return;
  task_node.leave();
  reactor_.timers().stop(timer_);
  reactor_.unwatch(fd_.get());
  fd_.reset();
}

void Listener::on_room() {
  if (!fd_.valid() || starving_) return;
  reactor_.timers().stop(timer_);
  reactor_.want(fd_.get(), kRead);
}

void Listener::pause(Time now) {
  starving_ = true;
  reactor_.want(fd_.get(), 0);
  reactor_.timers().start(timer_, now + kPause);
  reactor_.when_fd_closes(*this);
}

void Listener::on_timer(Timer& timer, Time now) {
  (void)timer;
  (void)now;
  if (!fd_.valid()) return;
  starving_ = false;
  reactor_.timers().stop(timer_);
  task_node.leave();
  reactor_.want(fd_.get(), kRead);
}

void Listener::on_ready(int fd, uint8_t ready, Time now) {
  (void)ready;
  for (int i = 0; i < kAcceptsATurn && fd_.valid(); ++i) {
    Session* session = session_ == nullptr ? sessions_.pick(now, peer_) : session_->can_open() ? session_ : nullptr;
    if (session == nullptr) {
      // Clients wait in the accept queue; on_room() comes when a channel is free, or a link is up. A 0.3 peer's lingering
      // channels become free by time alone.
      reactor_.want(fd, 0);
      if (sessions_.channels() > 0) reactor_.timers().start(timer_, now + kRoomPause);
      return;
    }
    if (streams_.full() || reactor_.fds_left() <= kEntrySpareFds) {
      LogLine(LogLevel::warning, "accept-paused").kv("at", local_).kv("reason", "no descriptor left");
      return pause(now);
    }
    Address client;
    int error = 0;
    Fd socket = accept_tcp(fd, &client, &error);
    if (!socket.valid()) {
      if (error == EAGAIN || error == EWOULDBLOCK) return;
      LogLine(LogLevel::warning, "accept-paused").kv("at", local_).error(error);
      return pause(now);
    }
    const Address local = wildcard_ ? local_address(socket.get()) : local_;
    const char* refused = gate_.client_refused(client, local);
    if (refused != nullptr) {
      LogLine(LogLevel::warning, "client-refused").kv("client", client).kv("at", local).kv("reason", refused);
      continue;
    }
    Stream* stream = streams_.make(static_cast<Fd&&>(socket));
    if (stream == nullptr) {
      gate_.on_stream_ended(client);
      LogLine(LogLevel::warning, "client-refused").kv("client", client).kv("at", local).kv("reason", "no room");
      continue;
    }
    stream->start_client(*session, client, local, &gate_, session_ == nullptr ? kNone : session_->mux().number_of(bind_));
    sessions_.used(*session);
  }
}

// ---- ports that peers ask for

BoundPort::BoundPort(BoundPorts& table) : table_(table), listener_(table.reactor_, table.streams_, table.sessions_, *table.gate_) {}

bool BoundPorts::init(uint32_t count, int backlog, ClientGate& gate, Arena& arena) {
  ports_ = arena.raw<BoundPort>(count);
  count_ = count;
  backlog_ = backlog;
  gate_ = &gate;
  return ports_ != nullptr;
}

void BoundPorts::open(Session& session, ChannelId id, const Address& at) {
  const auto refuse = [&](CloseCode code, const char* why) {
    LogLine(LogLevel::warning, "bind-refused")
        .kv("session", session.number())
        .kv("name", session.peer_label())
        .kv("at", at)
        .kv("reason", why);
    session.refuse(id, code);
  };
  uint32_t of_one = 0;
  for (uint32_t i = 0; i < fresh_; ++i) {
    BoundPort& p = ports_[i];
    if (p.session_ == &session) ++of_one;
    // The peer has come again: its session of before, which still stands or is held, has the same ports.
    if (p.session_ != nullptr && p.session_ != &session && same_key(p.session_->peer_key(), session.peer_key())) p.close(CloseCode::shutdown);
  }
  if (of_one >= kMostOfOne) return refuse(CloseCode::limit, "too many of this peer");
  if ((free_ == nullptr && fresh_ == count_) || reactor_.fds_left() <= kEntrySpareFds) return refuse(CloseCode::limit, "too many ports");
  int error = 0;
  Fd fd = listen_tcp(at, backlog_, &error);
  if (!fd.valid()) return refuse(CloseCode::local_error, strerror(error));
  BoundPort* p = free_;
  if (p != nullptr) {
    free_ = p->next_free_;
  } else {
    p = new (&ports_[fresh_++]) BoundPort(*this);
  }
  p->listener_.set_session(session, id);
  error = p->listener_.start(static_cast<Fd&&>(fd));
  if (error != 0) {
    p->next_free_ = free_;
    free_ = p;
    return refuse(CloseCode::local_error, strerror(error));
  }
  ++used_;
  p->session_ = &session;
  p->id_ = id;
  p->asked_ = at;
  session.bind(id, *p);
  session.bound(id);
  LogLine(LogLevel::info, "bind-open").kv("session", session.number()).kv("name", session.peer_label()).kv("at", p->listener_.at());
}

void BoundPorts::on_room() {
  for (uint32_t i = 0; i < fresh_ && used_ > 0; ++i)
    if (ports_[i].session_ != nullptr) ports_[i].listener_.on_room();
}

void BoundPorts::ask_again(Router& router) {
  for (uint32_t i = 0; i < fresh_ && used_ > 0; ++i) {
    BoundPort& p = ports_[i];
    if (p.session_ != nullptr && !router.bind_allowed(p.session_->peer_key(), p.asked_, false)) p.close(CloseCode::forbidden);
  }
}

void BoundPorts::shut() {
  for (uint32_t i = 0; i < fresh_ && used_ > 0; ++i)
    if (ports_[i].session_ != nullptr) ports_[i].close(CloseCode::shutdown);
}

void BoundPort::close(CloseCode code) {
  session_->abort(id_, code);
  abort(code);
}

// Clients that have come through stay.
void BoundPort::abort(CloseCode code) {
  if (session_ == nullptr) return;
  LogLine(LogLevel::info, "bind-ended")
      .kv("session", session_->number())
      .kv("name", session_->peer_label())
      .kv("at", listener_.at())
      .kv("reason", name(code));
  listener_.stop();
  session_ = nullptr;
  table_.reactor_.bury(*this);
}

void BoundPort::on_buried() {
  next_free_ = table_.free_;
  table_.free_ = this;
  --table_.used_;
}

}  // namespace smx
