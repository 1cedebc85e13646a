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
}  // namespace

int Listener::start(Fd listening) {
  const int error = reactor_.watch(listening.get(), *this);
  if (error != 0) return error;
  fd_ = static_cast<Fd&&>(listening);
  starving_ = false;
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
  return session_ != nullptr && session_->can_open() ? session_ : nullptr;
}

void Listener::stop() {
  if (!fd_.valid()) return;
  counts_ = PortCounts{};  // it may be another port after that
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
    Session* session = pick(now);
    if (session == nullptr) {
      // Clients wait in the accept queue; on_room() comes when a channel is free, or a link is up. A 0.3 peer's lingering
      // channels become free by time alone.
      reactor_.want(fd, 0);
      if (!for_one_ && sessions_.channels() > 0) reactor_.timers().start(timer_, now + kRoomPause);
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
    stream->start_client(*session, client, local, &gate_, bind_);
    if (!for_one_) sessions_.used(*session);
  }
}

}  // namespace smx
