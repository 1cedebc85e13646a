// Whether the peer's servers answer: a channel to each of them, as a client of PORT would open it, and what the peer says.
//
//   free --start()--> opening --opened()--> connected --stop()--> ending --done(), abort(), a second--> free
//                        |--abort(): closed (what the peer said) ----------------------stop()---------> free
//                        +--kPatience: silent -----------------------------------------stop()---------> free
//
// Owner: Daemon. Invariants: one asker at a time; what nobody asks for any more ends by itself; no memory is taken.
// Read next: daemon_probe.cc, tools/ctl/doctor.cc (who asks). Source: sockmuxctl(8), "doctor".
#ifndef SOCKMUX_DAEMON_PROBE_H
#define SOCKMUX_DAEMON_PROBE_H

#include "core/base/features.h"
#include "core/control/control.h"
#include "core/io/reactor.h"
#include "core/session/session.h"

namespace smx {

class Probe final : public Endpoint {
 public:
  enum class State : uint8_t { free, opening, connected, closed, silent, ending };

  // session.can_open() must hold. `local`: where its client would have been accepted.
  void start(Session& session, const Address& local, bool udp, Time now);
  // It is of no more interest.
  void stop(Time now);
  // Its time is over.
  void look(Time now);
  State state() const { return state_; }
  CloseCode code() const { return code_; }  // closed
  Time since() const { return since_; }
  // The peer's name or address.
  std::string_view peer() const { return peer_.text(); }

 private:
  Pulled pull(const MutBytes* piece, int pieces) override;
  Taken push(const Bytes* piece, int pieces) override;
  void opened() override { state_ = State::connected; }
  void done() override { abort(CloseCode::done); }
  void abort(CloseCode code) override;
  void describe(OpenInfo* info) override;

  Session* session_ = nullptr;  // while there is a channel
  ChannelId id_;
  Address local_;
  Text<kPeerLabel + kAddressText> peer_;
  Time since_, until_;
  CloseCode code_ = CloseCode::done;
  State state_ = State::free;
  bool udp_ = false;
};

// The probes of one asker. While there is one, he is called again every kLook.
class Probes final : private TimerHandler {
 public:
  static constexpr uint32_t kAtOnce = 16;

  Probes(Reactor& reactor, Control& control) : reactor_(reactor), control_(control) {}
  // False: somebody asks already.
  bool begin(Time now);
  // He has all, or is gone.
  void end(Time now);
  // That of the `number`th port, of which no other than those of this asker is told.
  Probe& of(uint32_t number) { return probe_[number % kAtOnce]; }

 private:
  void on_timer(Timer& timer, Time now) override;

  Reactor& reactor_;
  Control& control_;
  Timer timer_{*this};
  bool asked_ = false;
  Probe probe_[kAtOnce];
};

}  // namespace smx

#endif
