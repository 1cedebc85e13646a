// Read next: tcp.h.
#include "transport/tcp.h"

#include <errno.h>

#include "core/io/log.h"
#include "core/io/socket.h"

namespace smx {

namespace {
constexpr int kAcceptsATurn = 16;
constexpr Duration kPause = millis(500);  // after running out of descriptors
}  // namespace

int TcpAcceptor::start(Fd listening) {
  const int error = reactor_.watch(listening.get(), *this);
  if (error != 0) return error;
  fd_ = static_cast<Fd&&>(listening);
  local_ = local_address(fd_.get());
  reactor_.want(fd_.get(), kRead);
  return 0;
}

void TcpAcceptor::stop() {
  if (!fd_.valid()) return;
  counts_ = PortCounts{};  // it may be another port after that
  reactor_.timers().stop(timer_);
  task_node.leave();
  reactor_.unwatch(fd_.get(), false);  // a new daemon may have it, too, or a manager
  fd_.reset();
}

void TcpAcceptor::on_ready(int fd, uint8_t ready, Time now) {
  (void)ready;
  for (int i = 0; i < kAcceptsATurn; ++i) {
    if (!taker_.has_room(*this)) return reactor_.want(fd, 0);
    Address peer;
    int error = 0;
    Fd client = accept_tcp(fd, &peer, &error);
    if (!client.valid()) {
      if (error == EAGAIN || error == EWOULDBLOCK) return;
      // No descriptor, no memory: links wait in the queue until there is.
      LogLine(LogLevel::warning, "accept-paused").kv("at", local_address(fd)).error(error);
      reactor_.want(fd, 0);
      reactor_.timers().start(timer_, now + kPause);
      return;
    }
    if (!gate_.link_allowed(peer)) {
      ++counts_.refused;
      LogLine(LogLevel::warning, "link-refused").kv("peer", peer).kv("reason", "not in RELIABLE or PERMIT");
      continue;
    }
    TcpLink* link = links_.make(static_cast<Fd&&>(client), peer);
    if (link == nullptr) {
      ++counts_.refused;
      LogLine(LogLevel::warning, "link-refused").kv("peer", peer).kv("reason", "no room for another link");
      continue;
    }
    ++counts_.accepted;
    static_cast<void>(taker_.attach(*link, now));
  }
}

void TcpAcceptor::on_timer(Timer& timer, Time now) {
  (void)timer;
  on_task(now);
}

void TcpAcceptor::on_task(Time now) {
  (void)now;
  reactor_.want(fd_.get(), kRead);
}

TcpDialer::TcpDialer(Reactor& reactor, Resolver& resolver, TcpLinks& links, std::string_view host, uint16_t port,
                     const Address& source, Duration limit)
    : links_(links), connect_(reactor, resolver), host_(host), port_(port), source_(source), limit_(limit) {
  target_.add("tcp ").add_printable(host).add(':').add_u(port);
}

void TcpDialer::set_target(std::string_view host, uint16_t port) {
  other_host_.clear();
  host_ = other_host_.add(host).text();
  port_ = port;
  target_.clear();
  target_.add("tcp ").add_printable(host).add(':').add_u(port);
}

void TcpDialer::dial(DialOwner& owner, Time now) {
  (void)now;
  owner_ = &owner;
  connect_.start(host_, port_, source_, limit_, *this);
}

void TcpDialer::on_connected(Fd fd, const Address& to, Time now) {
  TcpLink* link = links_.make(static_cast<Fd&&>(fd), to);
  if (link == nullptr) return owner_->on_dial_failed("no room for another link", now);
  owner_->on_dialed(*link, now);
}

void TcpDialer::on_connect_failed(const ConnectFailure& why, Time now) {
  Text<200> reason(text(why));
  if (why.tried.family != 0) {
    reason.add(" at ");
    append_address(reason, why.tried);
  }
  owner_->on_dial_failed(reason.text(), now);
}

}  // namespace smx
