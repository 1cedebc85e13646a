// What a service manager hears of the daemon while it runs: that it is ready, that it lives, and a line of how it is.
//
// Owner: Daemon. Invariant: without $NOTIFY_SOCKET there is no Service, and without WATCHDOG_USEC none that wakes an idle daemon.
// Read next: core/io/notify.h, daemon_upgrade.cc.
#ifndef SOCKMUX_DAEMON_SERVICE_H
#define SOCKMUX_DAEMON_SERVICE_H

#include "core/io/reactor.h"
#include "core/session/sessions.h"

namespace smx {

class Service final : private TimerHandler, private LinkWatcher, private Opener {
 public:
  static constexpr uint32_t kTimers = 2;

  Service(Reactor& reactor, Sessions& sessions) : reactor_(reactor), sessions_(sessions) {}
  // All is open.
  void start(Time now);
  // Again after a reload; said again until the manager has it, which would else end us.
  void tell_ready(Time now);
  void end(const char* why);

 private:
  void on_timer(Timer& timer, Time now) override;
  void on_link_closed(const Link& link, Time now) override;
  void on_room(Time now) override;
  void look_soon(Time now);
  void tell_status();

  Reactor& reactor_;
  Sessions& sessions_;
  Timer watchdog_{*this}, status_{*this};
  static constexpr uint32_t kEnding = UINT32_MAX;  // of links_: the status says that
  uint32_t links_ = 0, channels_ = 0;              // as told
  bool told_ = false, ready_ = false;
};

}  // namespace smx

#endif
