// Serves the channels that peers open: asks the configuration where to, and lets a relay do it.
//
// Owner: main. Read next: relay.h, registry.cc.
#ifndef SOCKMUX_RELAY_EXIT_H
#define SOCKMUX_RELAY_EXIT_H

#include "core/session/endpoint.h"
#include "relay/data_port.h"
#include "relay/socks_udp.h"
#include "relay/stream.h"
#include "relay/udp_exit.h"

namespace smx {

// Who gives ports to peers that ask for one for everybody (BIND without field 86): bind/peer_port.h.
class PortGiver {
 public:
  // Answers with session.bound() or refuse().
  virtual void open(Session& session, ChannelId id, const OpenInfo& info, Time now) = 0;
  // The peers file was read again: ports that are not allowed any more end.
  virtual void ask_again() = 0;
  // TERM
  virtual void shut() = 0;

 protected:
  ~PortGiver() = default;
};

class ExitDoor final : public Exit {
 public:
  ExitDoor(Streams& streams, Router& router) : streams_(streams), router_(router) {}
  // TERM: new channels are refused from now on.
  void shut() {
    shut_ = true;
    shut_ports();
  }
  // Ports that peers have asked for close, and they get no others.
  void shut_ports() {
    ports_shut_ = true;
    if (bound_ports_ != nullptr) bound_ports_->shut();
  }
  // Who serves UDP servers; without it such channels are refused.
  void set_udp(ServerFlows& flows) { udp_ = &flows; }
  void set_socks_udp(SocksFlows& flows) { socks_udp_ = &flows; }
  void on_open(Session& session, ChannelId id, const OpenInfo& info, Time now) override;
  bool on_bind(Session& session, ChannelId id, const OpenInfo& info, Time now) override;
  // For ports that peers may ask for; without it that is refused.
  void set_bound_ports(PortGiver& ports) { bound_ports_ = &ports; }
  // The peers file, or the configuration, was read again: what is open and not allowed any more ends, and so does what goes to
  // a server that is gone. How many channels; `why` is a literal.
  uint32_t ask_again(const char* why);
  // For what peers ask on behalf of our clients; without it that is refused.
  void set_data_ports(DataPorts& ports) { ports_ = &ports; }

 private:
  Streams& streams_;
  Router& router_;
  Part<kHasUdp, ServerFlows> udp_;
  Part<kHasFtp, DataPorts> ports_;
  Part<kHasBind, PortGiver> bound_ports_;
  Part<kHasUdp && kHasSocks, SocksFlows> socks_udp_;
  bool shut_ = false, ports_shut_ = false;
};

}  // namespace smx

#endif
