// Ports that a peer asks for by BIND, for everybody: it has asked us to listen, and serves the clients itself (ssh -R).
//
//   free --open(): allowed, bound--> open --the peer's CLOSE, lost rights, TERM--> free
//                                     |--session ended--> kept --the same peer's next BIND for it--> open
//                                                           +--5 s, lost rights, TERM--> free
//
// While the link is cut and the session held, a port stays open, and its clients wait in the accept queue; so they do while
// it is kept. A kept one belongs to the key, so that a peer that comes again never meets "address in use".
//
// Owner: Daemon; memory is set aside at start, and not touched before it is needed. Invariants: a port that is not free was
// allowed by PORT= in the peers file when that was last read; at most kMostOfOne of one key, `count` in all; none of one key
// can get clients that mean a port of another key or of ours.
// Read next: ../listener.h and ../udp_listener.h (the sockets), far_port.h (the other side), ../data_port.h (ports for one client);
// sockmux(7), "BIND".
#ifndef SOCKMUX_RELAY_BIND_PEER_PORT_H
#define SOCKMUX_RELAY_BIND_PEER_PORT_H

#include "core/base/arena.h"
#include "core/io/reactor.h"
#include "core/session/sessions.h"
#include "relay/bind/far_port.h"
#include "relay/exit.h"
#include "relay/listener.h"
#include "relay/udp_listener.h"

namespace smx {

class BoundPorts;

class BoundPort final : public Endpoint, private TimerHandler {
 public:
  explicit BoundPort(BoundPorts& table);

 private:
  friend class BoundPorts;
  enum class State : uint8_t { free, open, kept };

  // Endpoint: of a BIND, on which nothing is sent.
  void done() override { abort(CloseCode::done); }
  void abort(CloseCode code) override;
  void describe(OpenInfo* info) override { info->local = at_; }
  // TimerHandler
  void on_timer(Timer& timer, Time now) override;

  void serve(Session& session, ChannelId id);
  void close(CloseCode code, const char* why);
  void log_end(std::string_view why) const;
  bool udp() const { return datagrams_ != nullptr; }

  BoundPorts& table_;
  Listener clients_;
  UdpListener* datagrams_ = nullptr;  // in place of clients_
  Timer timer_;                       // kept: until then
  Session* session_ = nullptr;
  ChannelId id_;
  PeerKey key_;
  Address asked_, at_;  // where it was to listen (port 0: any), and where it does
  State state_ = State::free;
};

class BoundPorts final : public PortGiver, public Opener {
 public:
  static constexpr uint32_t kMost = 4096;
  static constexpr uint32_t kMostOfOne = 64;
  static constexpr uint32_t kMostUdp = 256;  // in all: each holds a datagram

  BoundPorts(Reactor& reactor, Streams& streams, Sessions& sessions, ClientGate& gate, Router& router)
      : reactor_(reactor), streams_(streams), sessions_(sessions), gate_(gate), router_(router) {}
  static uint64_t arena_bytes(uint32_t count, uint32_t udp, uint32_t own);
  // `backlog` of each TCP port; `flows` of all UDP ports, nullptr if there are none; `own`: how often add_own() is called.
  [[nodiscard]] bool init(uint32_t count, uint32_t udp, uint32_t own, int backlog, ClientFlows* flows, Arena& arena);
  // Where the daemon itself listens.
  void add_own(const Address& at, bool udp) { own_[own_count_++] = {at, udp}; }
  // Not any more.
  void drop_own(const Address& at, bool udp) {
    for (uint32_t i = 0; i < own_count_; ++i)
      if (own_[i].at == at && own_[i].udp == udp) own_[i--] = own_[--own_count_];
  }

  // Has a peer a port with which one of ours at `at` could be mixed up?
  bool has_near(const Address& at, bool udp) const;

  // Places of ports, some of them free.
  uint32_t count() const { return fresh_; }
  // i < count(). False: it is free.
  bool look(uint32_t i, BindLook* out) const;

  // PortGiver
  void open(Session& session, ChannelId id, const OpenInfo& info, Time now) override;
  void ask_again() override;
  void shut() override;
  void on_room(Time now) override;

 private:
  friend class BoundPort;
  struct Refusal {
    CloseCode code = CloseCode::done;
    const char* why = nullptr;  // nullptr: none
  };
  struct Own {
    Address at;
    bool udp = false;
  };
  static bool is_left(const BoundPort& p, const Session& session);
  BoundPort* find_own(const Session& session, const OpenInfo& info);
  bool make_way(const Session& session, const OpenInfo& info);
  const char* whose(const Session& session, const Address& at, bool udp) const;
  Refusal listen(const Session& session, const OpenInfo& info, Fd* socket);
  Refusal make(Session& session, const OpenInfo& info, BoundPort** out);
  Refusal start(BoundPort& p, Fd socket, bool udp);
  UdpListener* take_udp();

  Reactor& reactor_;
  Streams& streams_;
  Sessions& sessions_;
  ClientGate& gate_;
  Router& router_;
  ClientFlows* flows_ = nullptr;
  BoundPort* ports_ = nullptr;
  UdpListener* udp_ = nullptr;
  uint8_t* datagrams_ = nullptr;  // kMaxDatagram bytes for each of udp_
  UdpListener** free_udp_ = nullptr;
  Own* own_ = nullptr;
  uint32_t own_count_ = 0;
  int backlog_ = 0;
  uint32_t fresh_ = 0, count_ = 0;
  uint32_t fresh_udp_ = 0, idle_udp_ = 0, udp_count_ = 0;
};

}  // namespace smx

#endif
