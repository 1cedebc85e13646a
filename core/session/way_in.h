// A line at which whoever is at its other end may call, beside the ports where links are accepted: it is always listened
// at, and a link over it goes to the session that the peer asks for, which may have come by another way before.
//
//   trying (trial) --the peer is there--> used by a session --closed--> trying
//
// Owner: Daemon. Invariant: there is at most one link over it, on trial or in a session. Read next: trial.h, sessions.h.
#ifndef SOCKMUX_CORE_SESSION_WAY_IN_H
#define SOCKMUX_CORE_SESSION_WAY_IN_H

#include "core/session/backoff.h"
#include "core/session/sessions.h"
#include "core/session/trial.h"

namespace smx {

class WayIn final : private TrialOwner, private LinkWatcher, private TimerHandler {
 public:
  WayIn(Reactor& reactor, Sessions& sessions, Dialer& dialer) : reactor_(reactor), sessions_(sessions), trial_(reactor, *this, dialer), timer_(*this) {}
  [[nodiscard]] bool init(const MuxConfig& config, Arena& arena) { return trial_.init(config, arena); }

  void start(Duration longest_pause, Time now);
  void retry_now(Time now);
  // Who may be there has changed: what is on trial begins anew.
  void on_new_peers(Time now);
  // TERM: no new links.
  void stop(Time now);

 private:
  void on_proven(Trial& trial, Time now) override;
  void on_trial_failed(Trial& trial, Err e, std::string_view why, Time now) override;
  void on_link_closed(const Link& link, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void try_again(bool later, Time now);

  Reactor& reactor_;
  Sessions& sessions_;
  Trial trial_;
  Timer timer_;
  Backoff backoff_;
  const Link* link_ = nullptr;  // in a session
  Time since_;                  // of the link, or of the trial
  uint32_t failures_ = 0;       // in a row
  bool stopped_ = false;
};

}  // namespace smx

#endif
