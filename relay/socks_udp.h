// SOCKS UDP ASSOCIATE at the exit: the datagrams of a client whose control connection (socks.h) is open.
//
//     client --UDP--> PORT=1080/udp == link ==> SocksFlow --one unconnected socket a family--> anywhere that is allowed
//            <----------------------- == link == answers, with the header of RFC 1928, 7 in front
//
// The control connection was accepted at PORT=1080, and the client sends its datagrams to the UDP port of the same number.
// Owner: Daemon. Invariants: a flow is served only while an association of the same session, client address and port is open,
// under the rules of that one (address and port are what a peer says: none meets those of another); each datagram is judged by itself; fragments are dropped (RFC 1928 lets us).
// Read next: socks_udp.cc, udp_exit.h (what has one server).
#ifndef SOCKMUX_RELAY_SOCKS_UDP_H
#define SOCKMUX_RELAY_SOCKS_UDP_H

#include "core/base/arena.h"
#include "core/base/list.h"
#include "core/io/fd.h"
#include "core/io/reactor.h"
#include "core/io/resolver.h"
#include "core/session/session.h"
#include "relay/relay.h"
#include "relay/udp.h"

namespace smx {

// The header in front of each datagram: RFC 1928, 7. `host` is a name, or empty if `to` is the address.
struct SocksUdpHeader {
  std::string_view host;
  Address to;
  size_t size = 0;
};
constexpr size_t kMostSocksUdpHeader = 22;  // of those that we make
// False: cut, a fragment, or no address.
bool parse_socks_udp(Bytes datagram, SocksUdpHeader* out);
size_t make_socks_udp(const Address& from, uint8_t out[kMostSocksUdpHeader]);

class SocksFlows;

class SocksFlow final : public Endpoint, private FdHandler, private ResolveQuery {
 public:
  explicit SocksFlow(SocksFlows& table) : table_(table) {}
  // Who was asked may still answer.
  bool waits(Time now) const { return waits_ && now - last_ < kAnswerPatience; }

 private:
  friend class SocksFlows;
  // Endpoint
  PulledDatagram pull_datagram(const MutBytes* piece, int pieces, size_t largest) override;
  void datagram(const Bytes* piece, int pieces) override;
  void wants_changed() override { update(); }
  void done() override { abort(CloseCode::done); }
  void abort(CloseCode code) override;
  void describe(OpenInfo* info) override;
  // FdHandler, ResolveQuery
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_resolved(const Resolved& answer, Time now) override;

  void take(Bytes datagram);
  void send(std::string_view host, const Address& to, Bytes data);
  bool may_answer(const Address& from) const;
  int socket_for(const Address& to);
  void update();

  SocksFlows& table_;
  ListNode age_;
  Fd fd_[2];                 // IPv4, IPv6; opened when needed
  int next_ = 0;             // which of them is read first
  Session* session_ = nullptr;
  ChannelId id_;
  OpenInfo info_;
  RelayTarget target_;
  Dialect dialect_ = Dialect::unknown;
  uint8_t* kept_ = nullptr;  // a datagram whose name is looked up
  uint16_t kept_size_ = 0;
  uint8_t name_size_ = 0;
  char name_[255];           // the name that is known, or looked up
  Address address_;          // of it
  Time good_until_, last_;
  bool waits_ = false;       // a datagram has come from the client since the last answer
};

class SocksFlows final : private TimerHandler {
 public:
  static constexpr uint32_t kMostAssociations = 256;
  static constexpr uint32_t kMostOfOne = 16;  // of a hub's peer, so that none takes all
  static constexpr size_t kKept = 2048;

  SocksFlows(Reactor& reactor, Resolver& resolver, Router& router) : reactor_(reactor), resolver_(resolver), router_(router), timer_(*this) {}
  static uint64_t arena_bytes(uint32_t flows);
  [[nodiscard]] bool init(uint32_t flows, Duration silence, Arena& arena);

  // A control connection is open, or has ended. False: no room.
  bool associate(const Session& session, const Address& client, const Address& accepted, const RelayTarget& target);
  void dissociate(const Session& session, const Address& client, const Address& accepted);
  // Takes the channel of a flow, if there is an association for it; it is refused if there is no room.
  bool open(Session& session, ChannelId id, const OpenInfo& info);
  uint32_t ask_again();  // exit.cc
  void set_silence(Duration silence);

 private:
  friend class SocksFlow;
  struct Association {
    const Session* session = nullptr;
    Address client, accepted;
    RelayTarget target;
    uint32_t users = 0;  // control connections; 0: free
  };
  void on_timer(Timer& timer, Time now) override;
  Association* find(const Session& session, const Address& client, const Address& accepted);
  void touch(SocksFlow& f);
  void watch();
  void finish(SocksFlow& f, CloseCode code);
  void forget(SocksFlow& f);

  Reactor& reactor_;
  Resolver& resolver_;
  Router& router_;
  Timer timer_;
  Duration silence_;
  List<SocksFlow, &SocksFlow::age_> by_age_, free_;
  SocksFlow* flow_ = nullptr;
  uint8_t* kept_ = nullptr;
  uint8_t* scratch_ = nullptr;  // one datagram on its way
  Association* association_ = nullptr;
  uint32_t most_ = 0, fresh_ = 0, used_ = 0;
};

}  // namespace smx

#endif
