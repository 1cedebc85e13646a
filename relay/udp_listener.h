// A UDP port for clients (PORT=n/udp, or a peer's BIND). Each (port, client address, client port) is a flow, and each flow a channel.
//
//   socket --> one datagram held --> its flow's channel takes it --> the next is read
//                                \-> nobody takes it in time: dropped, counted
//   flow: free --first datagram--> open --silence, CLOSE, link lost, a newer flow needs its place--> free
//                                   \--refused by the peer--> resting (a second: what comes is dropped) --> free
//
// Owner: Daemon; flows live in a table made at the start. Invariants: one datagram at most is held; all others wait in the
// socket; the flows stand in a list, the one that was silent longest in front. Answers leave from the address that the
// client used. Nothing that the network says of a client ends the port.
// Read next: udp_listener.cc, core/mux/mux_datagram.cc, udp_exit.h (the other end).
#ifndef SOCKMUX_RELAY_UDP_LISTENER_H
#define SOCKMUX_RELAY_UDP_LISTENER_H

#include "core/base/arena.h"
#include "core/base/list.h"
#include "core/io/reactor.h"
#include "core/io/socket.h"
#include "core/io/udp_batch.h"
#include "core/session/sessions.h"
#include "relay/relay.h"
#include "relay/udp.h"

namespace smx {

class UdpListener;
class ClientFlows;

class ClientFlow final : public Endpoint, private UdpSender {
 public:
  explicit ClientFlow(ClientFlows& table) : table_(table) {}
  // An answer to what its client has sent may still come.
  bool waits(Time now) const { return waits_ && now - last_ < kAnswerPatience; }

 private:
  friend class ClientFlows;
  friend class UdpListener;
  enum class State : uint8_t { free, open, resting };

  // Endpoint
  PulledDatagram pull_datagram(const MutBytes* piece, int pieces, size_t largest) override;
  void datagram(const Bytes* piece, int pieces) override;
  void wants_changed() override { stuck_ = false; }
  void opened() override;
  void done() override;
  void abort(CloseCode code) override;
  void describe(OpenInfo* info) override;
  // UdpSender
  void send_one(const Bytes* piece, int pieces) override;
  int send_joined(Bytes all, size_t segment, int count) override;

  ClientFlows& table_;
  ListNode age_;                  // in the list of flows, or of free ones
  ClientFlow* next_ = nullptr;    // in the hash chain
  UdpListener* listener_ = nullptr;
  Session* session_ = nullptr;
  ChannelId id_;
  Address client_, local_;
  uint32_t interface_ = 0;
  Time last_;                     // when a datagram passed, either way; resting: since when
  State state_ = State::free;
  bool answered_ = false;         // the peer has connected it
  bool waits_ = false;            // its client has sent something since the last answer
  bool stuck_ = false;            // a datagram waited in vain: none is held for it until its channel moves
};

// The flows of all UDP ports. MAXIMA=udprelay is the number of one port's, TIMEOUT=silence their patience.
class ClientFlows final : private TimerHandler {
 public:
  ClientFlows(Reactor& reactor, Sessions& sessions, FlowGate& gate)
      : reactor_(reactor), sessions_(sessions), gate_(gate), batch_(reactor), timer_(*this) {}
  static uint64_t arena_bytes(uint32_t flows);
  // False: the arena is too small.
  [[nodiscard]] bool init(uint32_t flows, Duration silence, Arena& arena);
  // Ends all of them.
  void shut();
  // Ends those of one port.
  void end(const UdpListener& port, CloseCode code);
  uint32_t judge_clients(ClientJudge& judge);  // exit.cc
  void set_silence(Duration silence);

  uint32_t count() const { return used_; }
  const UdpCounts& counts() const { return counts_; }

 private:
  friend class ClientFlow;
  friend class UdpListener;
  void on_timer(Timer& timer, Time now) override;
  uint32_t bucket(const UdpListener& l, const Address& client, const Address& local) const;
  ClientFlow* find(const UdpListener& l, const Address& client, const Address& local) const;
  // Is there a place for a flow of this port, or one that can make room?
  bool has_place(const UdpListener& l, Time now) const;
  ClientFlow* find_spare_for(const UdpListener& l, Time now) const;
  // A flow for this client. has_place() must hold.
  ClientFlow& make(UdpListener& l, const Address& client, const Address& local);
  void touch(ClientFlow& f, Time now);
  void finish(ClientFlow& f, CloseCode code);  // closes its channel
  void forget(ClientFlow& f);                  // its channel is gone
  void leave_hash(ClientFlow& f);
  void watch();

  Reactor& reactor_;
  Sessions& sessions_;
  FlowGate& gate_;
  UdpBatch batch_;
  Timer timer_;
  UdpCounts counts_;
  Duration silence_;
  List<ClientFlow, &ClientFlow::age_> by_age_;
  List<ClientFlow, &ClientFlow::age_> free_;
  ClientFlow* flow_ = nullptr;
  ClientFlow** hash_ = nullptr;
  uint32_t most_ = 0, fresh_ = 0, used_ = 0;
  uint32_t mask_ = 0;
  uint64_t seed_ = 0;  // so that no client can choose its bucket
};

class UdpListener final : private FdHandler, private TimerHandler, private Task {
 public:
  explicit UdpListener(ClientFlows& flows) : flows_(flows), timer_(*this) {}
  static uint64_t arena_bytes() { return sizeof(UdpListener) + kMaxDatagram + 128; }

  // Takes a bound socket. 0 or errno (ENOMEM: the arena is too small).
  int start(Fd socket, Arena& arena);
  // The same with kMaxDatagram bytes that the caller has set aside. It may be started again after stop().
  int start(Fd socket, uint8_t* memory);
  // The same with the memory of before.
  int start_again(Fd socket) { return start(static_cast<Fd&&>(socket), memory_); }
  // Others may be welcome now.
  void forget_unwelcome() {
    for (Unwelcome& u : unwelcome_) u = Unwelcome{};
  }
  // Clients are for this peer alone (PORT=NAME@.../udp); the text outlives it.
  void set_peer(std::string_view name) { peer_ = name; }
  // Clients are for this session alone, and come as those of its peer's BIND of this number; nullptr: what they send waits
  // in the socket.
  void serve(Session* session, uint16_t bind);
  void stop();
  int fd() const { return fd_.get(); }
  // A channel can be opened again.
  void on_room(Time now);

  // For who looks. Clients that were accepted are flows that have begun.
  const Address& local() const { return local_; }
  std::string_view peer() const { return peer_; }
  bool open() const { return fd_.valid(); }
  const PortCounts& counts() const { return counts_; }

 private:
  friend class ClientFlow;
  friend class ClientFlows;
  struct Unwelcome {
    Address client;
    Time until;
  };
  std::string_view peer_;
  Session* session_ = nullptr;
  bool for_one_ = false;       // for the session that serve() names, or none
  uint16_t bind_ = kNone;
  static constexpr size_t kUnwelcome = 64;

  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void on_task(Time now) override;
  void read(Time now, bool may_open);
  void dispatch(Time now, bool may_open);
  void begin_flow(Time now);
  void wait(ClientFlow& f, Time now);
  void let_go();
  void drop(UdpDrop why);
  void lost(const ClientFlow& f);
  Unwelcome& unwelcome(const Address& client);
  void remember(const Address& client, Time now);
  PulledDatagram pull(ClientFlow& f, const MutBytes* piece, int pieces, size_t largest);
  int answer(const ClientFlow& f, const Bytes* piece, int pieces, size_t segment);
  void update();
  bool has_link();
  Session* pick(Time now);

  ClientFlows& flows_;
  Fd fd_;
  Timer timer_;
  Address local_;
  uint8_t* memory_ = nullptr;  // of the datagram that is held
  size_t size_ = 0;
  Address from_, to_;
  uint32_t interface_ = 0;
  bool held_ = false;
  bool full_ = false;          // one has waited in vain for a channel, and none was free since
  Time asked_at_;              // for room
  ClientFlow* for_ = nullptr;  // whose it is; nullptr: a flow is to be begun
  const Session* late_ = nullptr;  // that took nothing for too long, as long as it has moved no more than that
  uint64_t late_progress_ = 0;
  uint64_t turn_ = 0;          // what is read in one turn of the loop is bounded
  size_t read_bytes_ = 0;
  int read_count_ = 0;
  uint32_t lost_ = 0;
  uint32_t own_ = 0;           // flows
  PortCounts counts_;
  Unwelcome unwelcome_[kUnwelcome];
};

}  // namespace smx

#endif
