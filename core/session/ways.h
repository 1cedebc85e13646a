// Several ways to make one session's link, in order of preference (SERVER=sockmux... more than once).
//
//   no link:     trials of all ways, the best first; each next one starts when those before it have failed, or have had a
//                head start. The first that proves itself gives the session its link.
//   link over w: ways behind w rest; those before it are tried again and again, and the first that proves itself takes the
//                session over. What fails is tried after 5 s, then after pauses that double to 60 s.
//
//   doubt:       the peer was asked for a sign of life, and 2 s later there is none: the ways behind w are tried, too, and one
//                that proves itself meanwhile takes over. Else the session loses its link only when its own time is over.
//
// The link that works is given up only for one whose peer has answered (trial.h), and not while that would end channels:
// where sessions do not resume (0.3, TIMEOUT=resume:0), or another host answers, channels must be none.
// A way whose link has not stood for 10 s counts as flaky: tried behind all others, and later each time.
//
// Owner: Daemon. Invariants: the link of the session, if there is one, is over way current_; no way behind it is tried.
// Read next: trial.h, session.h (LinkSource). Source: sockmuxd(8), "Several links".
#ifndef SOCKMUX_CORE_SESSION_WAYS_H
#define SOCKMUX_CORE_SESSION_WAYS_H

#include "core/session/backoff.h"
#include "core/session/session.h"
#include "core/session/trial.h"

namespace smx {

class Ways final : public LinkSource, private TrialOwner, private TimerHandler {
 public:
  static constexpr uint32_t kMost = 8;
  // Before the next way is tried as well; before a better one is tried again, at first and at most; for a link to prove
  // that it lasts.
  static constexpr Duration kHeadStart = seconds(2);
  static constexpr Duration kSoon = seconds(5), kLate = seconds(60);
  static constexpr Duration kLasting = seconds(10);
  // For a peer that has said HELLO to answer the ask as well, beside the line's own time.
  static constexpr Duration kAnswer = seconds(5);
  // For a peer that was asked for a sign of life to give one.
  static constexpr Duration kDoubt = seconds(2);

  Ways(Reactor& reactor, Session& session) : reactor_(reactor), session_(session), timer_(*this) {}
  static uint64_t arena_bytes(const MuxConfig& config) { return sizeof(Way) + Trial::arena_bytes(config) + 64; }
  // The next less preferred way. False: the arena is too small.
  [[nodiscard]] bool add(Dialer& dialer, Duration longest_pause, const MuxConfig& config, Arena& arena);

  // Which one the session's link is over; -1: it has none of them.
  int current() const { return current_; }

  // LinkSource
  void on_link_wanted(Time now) override;
  void on_link_up(Time now) override;
  void on_link_asked(Time now) override;
  void retry_now(Time now) override;
  void stop(Time now) override;

 private:
  struct Way {
    Way(Reactor& reactor, TrialOwner& owner, Dialer& dialer) : trial(reactor, owner, dialer) {}
    Trial trial;
    Backoff backoff;           // while there is no link
    Duration pause = kSoon;    // while there is a worse one
    Time due;                  // it is not tried before
    Time start;                // and neither before this, for the sake of better ones: plan()
    Time since;                // of the trial
    uint32_t failures = 0;     // in a row
    bool flaky = false;
  };
  void on_proven(Trial& trial, Time now) override;
  void on_trial_failed(Trial& trial, Err e, std::string_view why, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  uint32_t index_of(const Trial& trial) const;
  bool is_behind(uint32_t i) const { return current_ >= 0 && i > static_cast<uint32_t>(current_); }
  bool is_tried(uint32_t i) const { return current_ < 0 || i < static_cast<uint32_t>(current_) || (doubtful_ && is_behind(i)); }
  Time doubt_begins() const;
  void look_at_doubt(Time now);
  bool may_move() const;
  bool is_good(const Trial& trial) const;
  void put_off(Way& way, Time now);
  void plan(Time now);

  Reactor& reactor_;
  Session& session_;
  Way* way_[kMost] = {};
  uint32_t count_ = 0;
  int current_ = -1;  // of the session's link
  int last_ = -1;     // of its last one that was up
  bool up_ = false;   // that over current_ is
  bool doubtful_ = false;   // so are the ways behind it
  Time doubt_at_ = kNever;  // and if nothing comes until then
  bool stopped_ = true;
  Time since_;        // that it is up; before: that it was taken
  Timer timer_;
};

}  // namespace smx

#endif
