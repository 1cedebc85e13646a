// Ports that we ask the peer for (BIND=): asked for anew with each session, and every minute while the peer does not give
// one. Clients that come to them are served as if they had come to a PORT= of the peer.
//
// Owner: Daemon. Invariant: one channel of BIND at most for each port. Read next: relay/listener.h (the other side);
// sockmux(7), "BIND".
#ifndef SOCKMUX_DAEMON_BINDS_H
#define SOCKMUX_DAEMON_BINDS_H

#include "config/config.h"
#include "core/base/arena.h"
#include "core/io/reactor.h"
#include "core/session/session.h"

namespace smx {

class AskedPort final : public Endpoint, private TimerHandler {
 public:
  AskedPort(Reactor& reactor, Session& session, Exit& exit, const Address& at)
      : reactor_(reactor), session_(session), exit_(exit), at_(at), timer_(*this) {}
  // The session may have room for it. Asks unless that has been done.
  void on_room();
  // HUP: not in a minute, but now.
  void retry_now();
  // TERM
  void shut();

 private:
  //   idle --room--> asking --bound()--> bound
  //     ^              +--CLOSE--> refused <--CLOSE--+
  //     +--a minute, HUP, or another link--+
  enum class State : uint8_t { idle, asking, bound, refused, ended };
  // Endpoint
  void bound(const Address& at) override;
  bool bound_client(ChannelId id, const OpenInfo& info, Time now) override;
  void done() override { abort(CloseCode::done); }
  void abort(CloseCode code) override;
  void describe(OpenInfo* info) override { info->local = at_; }
  // TimerHandler
  void on_timer(Timer& timer, Time now) override;

  Reactor& reactor_;
  Session& session_;
  Exit& exit_;
  const Address at_;
  Timer timer_;
  ChannelId id_;
  Time asked_over_;  // the link of that moment: since when it stands
  State state_ = State::idle;
  CloseCode told_ = CloseCode::done;  // why it was refused the last time, as the log has it already
};

class AskedPorts {
 public:
  static uint64_t arena_bytes(const Config& config) { return config.binds.count * (sizeof(AskedPort) + sizeof(AskedPort*)) + 64; }
  // False: the arena is too small. `session` is the one that makes its links.
  [[nodiscard]] bool init(const Config& config, Reactor& reactor, Session& session, Exit& exit, Arena& arena);
  void on_room() {
    for (size_t i = 0; i < count_; ++i) port_[i]->on_room();
  }
  void retry_now() {
    for (size_t i = 0; i < count_; ++i) port_[i]->retry_now();
  }
  void shut() {
    for (size_t i = 0; i < count_; ++i) port_[i]->shut();
  }

 private:
  AskedPort** port_ = nullptr;
  size_t count_ = 0;
};

}  // namespace smx

#endif
