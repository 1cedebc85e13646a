// One attempt to reach HOST:PORT by TCP: resolves, tries the addresses one after the other, gives up in time.
//
// Owner: the dialer of a link, or a relay. Invariant: one of on_connected() and on_connect_failed() is called for each
// start(), never from within start(), unless cancel() comes first. Read next: resolver.h, socket.h.
#ifndef SOCKMUX_CORE_IO_CONNECT_H
#define SOCKMUX_CORE_IO_CONNECT_H

#include <string_view>

#include "core/io/fd.h"
#include "core/io/reactor.h"
#include "core/io/resolver.h"

namespace smx {

struct ConnectFailure {
  enum class Kind : uint8_t { not_found, refused, unreachable, timed_out, no_descriptor, local, forbidden };
  Kind kind = Kind::unreachable;
  int error = 0;          // errno; not_found: EAI_* of getaddrinfo(3)
  Address tried;          // the last address, if any
};
// In words, for the log.
const char* text(const ConnectFailure& f);

class ConnectOwner {
 public:
  virtual void on_connected(Fd fd, const Address& to, Time now) = 0;
  virtual void on_connect_failed(const ConnectFailure& why, Time now) = 0;
  // So many of the reactor's last places are left to others: an attempt that would need one of them fails with EMFILE.
  virtual uint32_t fds_to_leave() { return 0; }
  // Asked for each address before it is tried; if none may be, the failure is `forbidden`.
  virtual bool address_allowed(const Address& to) {
    (void)to;
    return true;
  }

 protected:
  ~ConnectOwner() = default;
};

class Connect final : private ResolveQuery, private FdHandler, private TimerHandler {
 public:
  Connect(Reactor& reactor, Resolver& resolver);
  ~Connect() { cancel(); }

  // `host` must stay valid until the end of the attempt. `limit` is for all of it: name and addresses. `session`: whose client
  // wishes for the name, as in Resolver::resolve().
  void start(std::string_view host, uint16_t port, const Address& source, Duration limit, ConnectOwner& owner, const void* session = nullptr);
  // The same with an address in place of a name.
  void start_at(const Address& to, const Address& source, Duration limit, ConnectOwner& owner);
  void cancel();
  bool running() const { return owner_ != nullptr; }

 private:
  void on_resolved(const Resolved& answer, Time now) override;
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void begin(const Address& source, Duration limit, ConnectOwner& owner);
  void try_next(Time now);
  void filter();
  void end_attempt();
  void fail(Time now);

  Reactor& reactor_;
  Resolver& resolver_;
  ConnectOwner* owner_ = nullptr;
  Timer timer_;
  Fd fd_;
  Resolved list_;
  int next_ = 0;
  Address source_;
  Time deadline_;
  ConnectFailure failure_;
};

}  // namespace smx

#endif
