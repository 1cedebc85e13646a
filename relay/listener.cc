// Read next: listener.h.
#include "relay/listener.h"

#include <errno.h>

#include "core/io/log.h"
#include "core/io/socket.h"

namespace smx {

namespace {
constexpr int kAcceptsATurn = 16;
constexpr Duration kPause = seconds(1);   // while no descriptor is left, and none is closed here
// While clients wait for a channel of a 0.3 peer, lingering ones are looked for this often.
constexpr Duration kRoomPause = millis(200);
constexpr uint32_t kForOthers = 8;        // one part in so many
}  // namespace

int Listener::start(Fd listening) {
  const int error = reactor_.watch(listening.get(), *this);
  if (error != 0) return error;
  fd_ = static_cast<Fd&&>(listening);
  sessions_.count_port(true);
  starving_ = waits_ = false;
  counts_ = PortCounts();
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

void Listener::serve(Session* session, uint16_t bind) {
  for_one_ = true;
  session_ = session;
  bind_ = bind;
  if (session_ != nullptr) on_room();
}

Session* Listener::pick(Time now) {
  if (!for_one_) return sessions_.pick(now, peer_);
  return session_ == nullptr ? nullptr : session_->pick(now);
}

void Listener::stop() {
  if (!fd_.valid()) return;
  sessions_.count_port(false);
  counts_ = PortCounts{};  // it may be another port after that
  task_node.leave();
  reactor_.timers().stop(timer_);
  reactor_.unwatch(fd_.get(), false);  // a new daemon may have it, too, or a manager
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

void Listener::on_channel_over() {
  --live_;
  if (!waits_) return;
  waits_ = false;
  on_room();
}

bool Listener::has_its_share(const Session& session) const {
  const auto is_share = [&](uint32_t most) { return live_ >= most - most / kForOthers; };
  if (sessions_.ports() < 2 || !is_share(session.mux().most_own())) return false;
  return for_one_ || is_share(sessions_.most_own(peer_));
}

// Clients wait in the accept queue; on_room() comes when a channel is free, or a link is up. A 0.3 peer's lingering channels become
// free by time alone.
void Listener::wait_for_channel(Time now) {
  reactor_.want(fd_.get(), 0);
  const bool up = for_one_ ? session_ != nullptr && session_->up() : sessions_.most_own(peer_) > 0;
  if (!up || !waits_) waits_since_ = now;
  waits_ = up;
  const Duration patience = streams_.patience();
  if (up && now >= waits_since_ + patience) {
    waits_ = false;  // whoever is in front next has all of that time again
    Address client;
    int error = 0;
    const Fd socket = accept_tcp(fd_.get(), &client, &error);
    if (socket.valid()) {
      set_reset_on_close(socket.get());
      ++counts_.refused;
      LogLine(LogLevel::warning, "client-refused").kv("client", client).kv("at", local_).kv("reason", "no channel has become free");
      return reactor_.want(fd_.get(), kRead);
    }
    waits_since_ = now;
  }
  const bool soon = sessions_.channels() > 0;
  if (up) reactor_.timers().start(timer_, soon ? now + kRoomPause : waits_since_ + patience);
}

void Listener::on_ready(int fd, uint8_t ready, Time now) {
  (void)ready;
  for (int i = 0; i < kAcceptsATurn && fd_.valid(); ++i) {
    Session* session = pick(now);
    if (session == nullptr || has_its_share(*session)) return wait_for_channel(now);
    if (streams_.left() == 0 || reactor_.fds_left() <= kEntrySpareFds) {
      LogLine(LogLevel::warning, "accept-paused").kv("at", local_).kv("reason", "no descriptor left");
      return pause(now);
    }
    Address client;
    int error = 0;
    Fd socket = accept_tcp(fd, &client, &error);
    if (!socket.valid()) {
      if (error == EAGAIN || error == EWOULDBLOCK) return void(waits_ = false);
      LogLine(LogLevel::warning, "accept-paused").kv("at", local_).error(error);
      return pause(now);
    }
    const Address local = wildcard_ ? local_address(socket.get()) : local_;
    const char* refused = gate_.client_refused(client, local);
    if (refused != nullptr) {
      ++counts_.refused;
      LogLine(LogLevel::warning, "client-refused").kv("client", client).kv("at", local).kv("reason", refused);
      continue;
    }
    Stream* stream = streams_.make(static_cast<Fd&&>(socket));
    if (stream == nullptr) {
      ++counts_.refused;
      gate_.on_stream_ended(client);
      LogLine(LogLevel::warning, "client-refused").kv("client", client).kv("at", local).kv("reason", "no room");
      continue;
    }
    ++counts_.accepted;
    ++live_;
    waits_ = false;
    stream->start_client(*session, client, local, this, bind_);
    if (!for_one_) sessions_.used(*session);
  }
}

}  // namespace smx
