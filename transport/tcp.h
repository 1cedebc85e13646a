// How TCP links come to be: accepted at a port (-P), or made to one (SERVER=sockmux://host:port).
//
// Owner: main. Read next: tcp_link.h, core/session/sessions.h.
#ifndef SOCKMUX_TRANSPORT_TCP_H
#define SOCKMUX_TRANSPORT_TCP_H

#include "core/io/connect.h"
#include "core/io/socket.h"
#include "core/session/link.h"
#include "transport/tcp_link.h"

namespace smx {

// Who may bring a link.
class LinkGate {
 public:
  virtual bool link_allowed(const Address& peer) = 0;

 protected:
  ~LinkGate() = default;
};

// One port at which links are accepted.
class TcpAcceptor final : private FdHandler, private TimerHandler, private Task {
 public:
  TcpAcceptor(Reactor& reactor, TcpLinks& links, LinkTaker& taker, LinkGate& gate)
      : reactor_(reactor), links_(links), taker_(taker), gate_(gate), timer_(*this) {}
  // Takes a socket that listens. 0 or errno.
  int start(Fd listening);
  void stop();
  int fd() const { return fd_.get(); }

  // For who looks.
  const Address& local() const { return local_; }
  bool open() const { return fd_.valid(); }
  const PortCounts& counts() const { return counts_; }

 private:
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void on_task(Time now) override;

  Reactor& reactor_;
  TcpLinks& links_;
  LinkTaker& taker_;
  LinkGate& gate_;
  Fd fd_;
  Address local_;
  PortCounts counts_;
  Timer timer_;
};

// Makes links to one HOST:PORT. `host` must outlive it.
class TcpDialer final : public Dialer, private ConnectOwner {
 public:
  TcpDialer(Reactor& reactor, Resolver& resolver, TcpLinks& links, std::string_view host, uint16_t port, const Address& source,
            Duration limit);
  void dial(DialOwner& owner, Time now) override;
  void cancel() override { connect_.cancel(); }
  // From the next attempt on it is this one; one that is made goes on. At most 255 bytes of `host`, which need not outlive it.
  void set_target(std::string_view host, uint16_t port);
  // So is this.
  void set_limit(Duration limit) { limit_ = limit; }
  std::string_view target() const override { return target_.text(); }

 private:
  void on_connected(Fd fd, const Address& to, Time now) override;
  void on_connect_failed(const ConnectFailure& why, Time now) override;

  TcpLinks& links_;
  Connect connect_;
  std::string_view host_;
  uint16_t port_;
  Address source_;
  Duration limit_;
  DialOwner* owner_ = nullptr;
  Text<300> target_;
  Text<256> other_host_;  // of set_target()
};

}  // namespace smx

#endif
