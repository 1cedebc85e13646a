// Ports that we ask the peer for by BIND (RPORT=): it listens, and its clients come to our servers as those of its own ports.
//
//   idle --a session is up, ask()--> asked --BINDOK--> open --CLOSE--> refused (told as "ended")
//     |                                +--CLOSE--> refused --a while, HUP, the next session--> idle
//     +-<--session ended--(asked, open)
//
// Owner: Daemon; a table made at the start. Invariant: a client is let in by the port that is open only, and served by the
// Exit as every channel of the peer is, with all of its rules. Read next: peer_port.h (the other side), ../exit.h;
// sockmux(7), "BIND".
#ifndef SOCKMUX_RELAY_BIND_FAR_PORT_H
#define SOCKMUX_RELAY_BIND_FAR_PORT_H

#include "core/base/arena.h"
#include "core/io/reactor.h"
#include "core/io/socket.h"
#include "core/session/sessions.h"

namespace smx {

class FarPorts;

// A port of BIND, for who looks.
struct BindLook {
  Address at;         // where it listens; where it is to, as long as it does not
  bool udp = false;
  const char* state = nullptr;
  std::string_view peer;
  PortCounts counts;  // of clients; RPORT: of those whose channels have come
};

class FarPort final : public Endpoint {
 public:
  FarPort(FarPorts& table, const Address& at, bool udp) : table_(table), at_(at), udp_(udp) {}

 private:
  friend class FarPorts;
  enum class State : uint8_t { idle, asked, open, refused };

  // Endpoint
  void done() override { abort(CloseCode::done); }
  void abort(CloseCode code) override;
  void describe(OpenInfo* info) override;
  void bound(const Address& at) override;
  bool bound_client(ChannelId id, const OpenInfo& info, Time now) override;

  Duration pause(CloseCode code);  // until it is asked for again

  FarPorts& table_;
  const Address at_;
  const bool udp_;
  State state_ = State::idle;
  CloseCode why_ = CloseCode::done;  // refused: so far; done: never
  ChannelId id_;
  Time again_;          // refused: until then
  Address bound_;       // open: where the peer listens
  PortCounts counts_;
  uint8_t limits_ = 0;  // how often in a row it was one too many
  bool ended_ = false;  // refused: it was open, and somebody has ended it (sockmuxctl kick, here or there)
  bool used_ = true;    // else: a place for another one
  bool kept_ = false;   // renewal
};

class FarPorts final : public Opener, private TimerHandler {
 public:
  static constexpr uint32_t kTimers = 1;

  // `session`: the one whose links are made here.
  FarPorts(Reactor& reactor, Session& session, Exit& exit) : reactor_(reactor), session_(session), exit_(exit), timer_(*this) {}
  static uint64_t arena_bytes(size_t count) { return count * sizeof(FarPort) + 64; }
  [[nodiscard]] bool init(size_t count, Arena& arena);
  // At most `count` at once. Port 0: any.
  void add(const Address& at, bool udp);
  // Reload: keep() says whether there is one already, once for each that there is; drop_others() gives the rest back.
  bool keep(const Address& at, bool udp);
  // How many.
  uint32_t drop_others();
  void begin_renewal();

  // The session is up, or a channel is free again.
  void on_room(Time now) override;
  // HUP: asks again for what was refused.
  void retry_now(Time now);
  // TERM: gives all of them back.
  void shut();
  size_t count() const;
  // i < count()
  BindLook look(size_t i) const;
  // Why it is refused, if it is.
  void add_why(size_t i, TextBase& to) const;

 private:
  friend class FarPort;
  void on_timer(Timer& timer, Time now) override;
  void watch();
  FarPort& nth(size_t i) const;

  Reactor& reactor_;
  Session& session_;
  Exit& exit_;
  Timer timer_;               // until the first of what was refused is asked for again
  FarPort* ports_ = nullptr;
  size_t count_ = 0;
  Time link_since_;           // of the link that was seen last
  bool told_ = false;         // that a 0.3 peer has no BIND
  bool shut_ = false;
};

}  // namespace smx

#endif
