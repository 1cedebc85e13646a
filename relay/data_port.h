// Data connections of FTP, at the entry: ports that the peer asks for by BIND, and calls back to a client.
//
// Both are for a client that has come to one of our ports (PORT=) and is still connected, and for it alone: a data port listens
// at the address where that client was accepted, takes one connection, from that client's host only, and ends with its channel, or
// when nobody has come for a minute in which the link was there.
// A call goes to that client's host, to a port that the client itself has just named by PORT or EPRT. So a peer gains
// nothing that the client has not asked for, and no configuration is needed. A BIND for nobody is refused.
//
// Owner: main. Invariants: at most kMostOfOne ports for one client, `count` in all; memory is set aside at start.
// Read next: ftp_data.h (the other side); sockmux(7), "BIND".
#ifndef SOCKMUX_RELAY_DATA_PORT_H
#define SOCKMUX_RELAY_DATA_PORT_H

#include "core/base/arena.h"
#include "core/io/reactor.h"
#include "core/session/session.h"
#include "relay/stream.h"

namespace smx {

class DataPorts;

class DataPort final : public Endpoint, private FdHandler, private TimerHandler, private Mortal {
 public:
  explicit DataPort(DataPorts& table) : table_(table), timer_(*this) {}

 private:
  friend class DataPorts;

  // Endpoint: of a BIND, on which nothing is sent.
  void done() override { die(); }
  void abort(CloseCode code) override;
  void describe(OpenInfo* info) override { info->local = at_; }
  // FdHandler, TimerHandler, Mortal
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void on_buried() override;

  void close(CloseCode code);
  void die();

  DataPorts& table_;
  Fd fd_;
  Timer timer_;
  Session* session_ = nullptr;
  ChannelId id_;
  bool crowded_ = false;               // somebody has come, and waits in the queue
  const Endpoint* control_ = nullptr;  // whose client it is for; nullptr: free, or dead
  Address client_, at_;
  DataPort* next_free_ = nullptr;
};

class DataPorts final : public ChannelWatch {
 public:
  static constexpr uint32_t kMost = 256;
  static constexpr uint32_t kMostOfOne = 4;

  DataPorts(Reactor& reactor, Streams& streams) : reactor_(reactor), streams_(streams) {}
  static uint64_t arena_bytes(uint32_t count) { return count * sizeof(DataPort) + 64; }
  [[nodiscard]] bool init(uint32_t count, Arena& arena);

  // A BIND of the peer. False: forbidden.
  bool open(Session& session, ChannelId id, const OpenInfo& info, Time now);
  // A CONNECT with field 85.
  void call(Session& session, ChannelId id, const OpenInfo& info);
  // A channel is free, or a link is up.
  void on_room();

 private:
  friend class DataPort;
  void on_channel_over(const Endpoint& endpoint) override;

  Reactor& reactor_;
  Streams& streams_;
  DataPort* ports_ = nullptr;
  DataPort* free_ = nullptr;
  uint32_t fresh_ = 0, count_ = 0, used_ = 0;
};

}  // namespace smx

#endif
