// Ways for data connections of FTP, at the exit: the machine behind data_door.h.
//
//   none --listen()--> binding --BINDOK--> bound --a client has come: a Stream--> none
//   none --call()--> calling --CONNECTED--> connecting --server connected: a Stream--> done
//   all --drop()--> none          all --CLOSE, no connection--> failed
//
// Owner: FtpLegs, one leg for each proxied channel that speaks FTP. Invariants: a leg connects to the one address that it was
// given, and lets in only the client of its control channel; what has come through belongs to a Stream, and the leg
// knows no more of it. Read next: data_door.h, data_port.h (the other side); sockmux(7), "BIND".
#ifndef SOCKMUX_RELAY_FTP_DATA_H
#define SOCKMUX_RELAY_FTP_DATA_H

#include "core/base/arena.h"
#include "core/io/connect.h"
#include "core/session/session.h"
#include "relay/data_door.h"
#include "relay/stream.h"

namespace smx {

class FtpLegs;

class FtpLeg final : public DataDoor, private Endpoint, private ConnectOwner {
 public:
  FtpLeg(FtpLegs& table, Reactor& reactor, Resolver& resolver) : table_(table), connect_(reactor, resolver) {}
  // `wake` runs at the end of the turn in which state() has changed. Ends what is under way, and gives itself back.
  void release();

  // The control connection has its server.
  void set_control(uint16_t port, uint64_t host_key) {
    control_port_ = port;
    host_key_ = host_key;
  }

  // DataDoor
  void listen(const Address& server) override;
  void call(uint16_t client_port, const Address& server) override;
  void drop() override;
  DataDoor::State state() const override;
  Address where() const override { return at_; }
  CloseCode why() const override { return why_; }

 private:
  friend class FtpLegs;
  enum class Step : uint8_t { none, binding, bound, calling, connecting, done, failed };

  // Endpoint
  // pull() and push() are Endpoint's: nothing is taken before there is somebody to give it to; it waits in the channel,
  // within its first credit.
  void opened() override;
  void end() override { end_seen_ = true; }
  void done() override { fail(CloseCode::reset); }
  void abort(CloseCode code) override { fail(code); }
  void describe(OpenInfo* info) override;
  void bound(const Address& at) override;
  bool bound_client(ChannelId id, const OpenInfo& info, Time now) override;
  // ConnectOwner
  void on_connected(Fd fd, const Address& to, Time now) override;
  void on_connect_failed(const ConnectFailure& why, Time now) override;
  uint32_t fds_to_leave() override;

  void set_step(Step to);
  void fail(CloseCode why);

  FtpLegs& table_;
  Connect connect_;
  Session* session_ = nullptr;
  ChannelId control_;
  ChannelId id_;              // of the BIND, or of the data channel that we have opened
  Task* wake_ = nullptr;
  Address client_, accepted_;  // of the control channel
  Address source_;             // SRCIF
  Duration limit_;
  Address server_, at_;
  const void* rule_ = nullptr; // of the control channel
  uint64_t host_key_ = 0;      // name_key() of its server
  uint16_t control_port_ = 0, client_port_ = 0;
  Step step_ = Step::none;
  CloseCode why_ = CloseCode::done;
  bool end_seen_ = false;
  FtpLeg* next_free_ = nullptr;
};

class FtpLegs {
 public:
  FtpLegs(Reactor& reactor, Resolver& resolver, Streams& streams) : reactor_(reactor), resolver_(resolver), streams_(streams) {}
  static uint64_t arena_bytes(uint32_t count) { return count * sizeof(FtpLeg) + 64; }
  [[nodiscard]] bool init(uint32_t count, Arena& arena);
  // nullptr: the link can't do it (0.3), or all are in use.
  FtpLeg* take(Session& session, ChannelId control, const OpenInfo& info, const RelayTarget& target, Task& wake);

 private:
  friend class FtpLeg;
  Reactor& reactor_;
  Resolver& resolver_;
  Streams& streams_;
  FtpLeg* legs_ = nullptr;
  FtpLeg* free_ = nullptr;
  uint32_t fresh_ = 0, count_ = 0;
};

}  // namespace smx

#endif
