// UDP servers (DEST=host:port/udp, SERVER=udprelay://host:port,-in): each flow that a peer opens gets a connected socket.
//
//   free --the peer's channel--> looking --the name is found--> open --silence, CLOSE, link lost, a newer flow--> free
//                                  +--no such name, forbidden: refuse()--> free
//
// Owner: Daemon; flows and servers live in tables made at the start. Invariants: a name is looked up once for all flows to
// it, and again after kAgain; a server that is not there ends no flow: what is sent to it is counted, and the next of its
// addresses is tried. Read next: udp_exit.cc, udp_listener.h (the other end).
#ifndef SOCKMUX_RELAY_UDP_EXIT_H
#define SOCKMUX_RELAY_UDP_EXIT_H

#include "core/base/arena.h"
#include "core/base/list.h"
#include "core/io/fd.h"
#include "core/io/reactor.h"
#include "core/io/resolver.h"
#include "core/io/udp_batch.h"
#include "core/session/session.h"
#include "relay/relay.h"
#include "relay/udp.h"

namespace smx {

class ServerFlows;

class ServerFlow final : public Endpoint, private FdHandler, private TimerHandler, private UdpSender {
 public:
  explicit ServerFlow(ServerFlows& table) : table_(table), timer_(*this) {}
  // Its server may still answer.
  bool waits(Time now) const { return waits_ && now - last_ < kAnswerPatience; }

 private:
  friend class ServerFlows;
  enum class State : uint8_t { free, looking, open };

  // Endpoint
  PulledDatagram pull_datagram(const MutBytes* piece, int pieces, size_t largest) override;
  void datagram(const Bytes* piece, int pieces) override;
  void wants_changed() override { update(); }
  void done() override { abort(CloseCode::done); }
  void abort(CloseCode code) override;
  void describe(OpenInfo* info) override;
  // FdHandler, TimerHandler
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;

  // UdpSender
  void send_one(const Bytes* piece, int pieces) override;
  int send_joined(Bytes all, size_t segment, int count) override;

  void drop_input(UdpDrop why);
  void update();

  ServerFlows& table_;
  ListNode age_;
  ListNode look_;                // while looking: in the list of its server
  Fd fd_;
  Timer timer_;                  // while the peer does not acknowledge (0.3): until what the server sends is dropped
  Session* session_ = nullptr;
  ChannelId id_;
  OpenInfo info_;
  Address source_;
  const void* rule_ = nullptr;
  uint8_t* kept_ = nullptr;      // a datagram that came while looking
  uint16_t kept_size_ = 0;
  bool has_kept_ = false;
  bool has_place_ = false;       // among the descriptors: it has one, or another flow has left it one
  bool waits_ = false;           // a datagram has come for the server since its last one
  uint16_t server_ = 0;          // index in the table of servers
  int at_ = 0;                   // index of the address in use
  Time last_;
  State state_ = State::free;
};

class ServerFlows final : private TimerHandler {
 public:
  static constexpr size_t kKept = 2048;   // the largest datagram that waits for a name
  static constexpr uint16_t kServers = 64;  // remembered; the one not used longest makes room

  ServerFlows(Reactor& reactor, Resolver& resolver, Router& router)
      : reactor_(reactor), resolver_(resolver), router_(router), batch_(reactor), timer_(*this) {}
  static uint64_t arena_bytes(uint32_t flows);
  // False: the arena is too small.
  [[nodiscard]] bool init(uint32_t flows, Duration silence, Arena& arena);
  void shut();

  // Takes the channel: answers accept() or refuse(), now or later. False: no room; the caller refuses.
  bool open(Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info);

  uint32_t ask_again(const char* why);  // exit.cc
  void set_silence(Duration silence);

  uint32_t count() const { return used_; }
  const UdpCounts& counts() const { return counts_; }

 private:
  friend class ServerFlow;
  // host:port and what it resolved to.
  struct Server final : ResolveQuery {
    void on_resolved(const Resolved& answer, Time now) override { table->found(*this, answer, now); }
    ServerFlows* table = nullptr;
    std::string_view host;
    uint16_t port = 0;
    Resolved list;
    int at = 0;             // the address that new flows try first
    Time good_until, used;
    bool known = false;
    bool told = false;      // that it is not there: logged, and not again before it has answered
    uint32_t users = 0;     // flows
    List<ServerFlow, &ServerFlow::look_> looking;
  };

  void on_timer(Timer& timer, Time now) override;
  Server* server(const RelayTarget& target, Time now);
  void found(Server& s, const Resolved& answer, Time now);
  void connect(ServerFlow& f, Time now);
  Fd connect_any(ServerFlow& f, int first, CloseCode* code, int* error);
  void try_next_address(ServerFlow& f);
  void not_there(ServerFlow& f, int error);
  void touch(ServerFlow& f, Time now);
  void finish(ServerFlow& f, CloseCode code);  // closes its channel
  void refuse(ServerFlow& f, CloseCode code, std::string_view why);
  void forget(ServerFlow& f);                  // its channel is gone
  void watch();
  void remember_hosts();  // exit.cc

  Reactor& reactor_;
  Resolver& resolver_;
  Router& router_;
  UdpBatch batch_;
  Timer timer_;
  UdpCounts counts_;
  Duration silence_;
  List<ServerFlow, &ServerFlow::age_> by_age_;
  List<ServerFlow, &ServerFlow::age_> free_;
  ServerFlow* flow_ = nullptr;
  uint8_t* kept_ = nullptr;
  uint32_t most_ = 0, fresh_ = 0, used_ = 0;
  Server servers_[kServers];
};

}  // namespace smx

#endif
