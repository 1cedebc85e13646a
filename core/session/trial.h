// A link that is made and then has to prove itself: HELLO goes out, and the peer's is waited for. Only then does a session
// give its link of the moment up for it; a peer that accepts and never answers disturbs nobody.
//
//   idle --start()--> dialing --link--> shaking --the peer's HELLO, or its ask--> proven --take()--> idle
//                        +-------------- no link, lost, or not in time --------------> idle, on_trial_failed()
//
// It has a mux of its own, of the smallest size, so that HELLO is said and found as on any link.
// Owner: Ways, WayIn. Invariant: while the peer has not proven that it is there now, no session knows of the link.
// Read next: ways.h, way_in.h, core/mux/mux.h (LinkStart::trial). Source: sockmux(7), "Link start".
#ifndef SOCKMUX_CORE_SESSION_TRIAL_H
#define SOCKMUX_CORE_SESSION_TRIAL_H

#include "core/base/text.h"
#include "core/io/reactor.h"
#include "core/mux/mux.h"
#include "core/session/link.h"

namespace smx {

class Trial;

// Told at the end of a turn, never from within a call of the owner's.
class TrialOwner {
 public:
  // take() or cancel() it, now.
  virtual void on_proven(Trial& trial, Time now) = 0;
  // `why` is for the log and valid within the call. handshake_timeout: nobody has answered; none: see `why`.
  virtual void on_trial_failed(Trial& trial, Err e, std::string_view why, Time now) = 0;

 protected:
  ~TrialOwner() = default;
};

// What is new at each link over `link`; who asks and the attempt are left to the caller.
LinkStart new_start(Link& link);
// One write of what the mux has for the link; false: nothing. `*blocked`: the link took less. `*error`: its errno, or 0.
bool write_once(Mux& mux, Link& link, bool* blocked, int* error, Time now);

class Trial final : private MuxEvents, private LinkOwner, private DialOwner, private Task, private TimerHandler {
 public:
  Trial(Reactor& reactor, TrialOwner& owner, Dialer& dialer);

  // `config`: of the sessions.
  static uint64_t arena_bytes(const MuxConfig& config) { return Mux::arena_bytes(smallest(config)); }
  [[nodiscard]] bool init(const MuxConfig& config, Arena& arena) { return mux_.init(smallest(config), arena); }

  // It is idle. `asks`: this side has called, or has a session to name.
  void start(bool asks, Time now);
  void cancel(Time now);
  bool running() const { return state_ != State::idle; }
  std::string_view target() const { return dialer_.target(); }

  // ---- of a proven one
  Dialect dialect() const { return mux_.dialect(); }
  std::string_view peer_hello() const { return mux_.peer_hello(); }
  // What the peer asks for; nullptr: it waits for our ask.
  const Settings* ask() const { return asked_ ? &ask_ : nullptr; }
  bool asks_again() const { return mux_.asks_again(); }
  const Link& link() const { return *link_; }
  // Gives the link away.
  Link& take(LinkHandover* out, Time now);

 private:
  enum class State : uint8_t { idle, dialing, shaking, failed };
  static MuxConfig smallest(const MuxConfig& config);

  // MuxEvents: there is no session here, so most of them never come.
  void on_up() override {}
  AskAnswer on_ask(const Settings& ask) override;
  void on_room() override {}
  void on_open(ChannelId id, const OpenInfo& info) override { (void)id, (void)info; }
  void on_opened(ChannelId id) override { (void)id; }
  void describe(ChannelId id, OpenInfo* info) override { (void)id, (void)info; }
  Pulled on_pull(ChannelId id, const MutBytes* piece, int pieces) override { return (void)id, (void)piece, (void)pieces, Pulled{}; }
  Taken on_data(ChannelId id, const Bytes* piece, int pieces) override { return (void)id, (void)piece, (void)pieces, Taken{}; }
  void on_wants(ChannelId id) override { (void)id; }
  void on_end(ChannelId id) override { (void)id; }
  void on_done(ChannelId id) override { (void)id; }
  void on_abort(ChannelId id, CloseCode code) override { (void)id, (void)code; }
  // LinkOwner, DialOwner, Task, TimerHandler
  void on_link_ready(uint8_t ready, Time now) override;
  void on_dialed(Link& link, Time now) override;
  void on_dial_failed(std::string_view why, Time now) override;
  void on_task(Time now) override;
  void on_timer(Timer& timer, Time now) override;

  bool heard() const { return asked_ || mux_.heard(); }
  void kick() { reactor_.at_end_of_turn(*this); }
  void read_link(bool old, Time now);
  void write_link(Time now);
  void fail(Err e, std::string_view why, Time now);
  void drop_link(Time now);

  Mux mux_;
  Reactor& reactor_;
  TrialOwner& owner_;
  Dialer& dialer_;
  Link* link_ = nullptr;
  Timer timer_;
  Text<160> why_;
  Err error_ = Err::none;  // beside it
  Settings ask_;
  State state_ = State::idle;
  bool asks_ = false;
  bool asked_ = false;    // by the peer: ask_
  bool blocked_ = false;  // the link took less than it was given
};

}  // namespace smx

#endif
