// The daemon's part of BIND: the ports that peers ask us for, and those that we ask a peer for (RPORT). Read next: daemon.h,
// relay/bind/peer_port.h, relay/bind/far_port.h.
#include "core/base/check.h"
#include "daemon.h"

namespace smx {

// Only a peer with a key has PORT= in the peers file, and HUP may bring that.
uint32_t Daemon::bound_ports_count() const {
  if (!kHasBind || !has_secure_link(config_) || config_.proto == Config::Proto::v03) return 0;
  return links_count_ < BoundPorts::kMost / BoundPorts::kMostOfOne ? links_count_ * BoundPorts::kMostOfOne : BoundPorts::kMost;
}

// Each has 64 KiB for a datagram, not touched before the first one comes: 1 MiB of address space for one link.
uint32_t Daemon::bound_udp_ports_count() const {
  constexpr uint32_t kForALink = 16;
  if (bound_ports_count() == 0) return 0;
  return links_count_ < BoundPorts::kMostUdp / kForALink ? links_count_ * kForALink : BoundPorts::kMostUdp;
}

uint64_t Daemon::bind_arena_bytes() const {
  uint64_t n = config_.remote_listens.empty() ? 0 : sizeof(FarPorts) + FarPorts::arena_bytes(config_.remote_listens.count) + 64;
  if (bound_ports_count() > 0) n += sizeof(BoundPorts) + 64 + BoundPorts::arena_bytes(bound_ports_count(), bound_udp_ports_count(), own_ports_count());
  return n;
}

bool Daemon::init_binds() {
  if constexpr (!kHasBind) return true;
  if (bound_ports_count() > 0) {
    bound_ports_ = tables_.create<BoundPorts>(reactor_, streams_, sessions_, static_cast<ClientGate&>(*rules_), static_cast<Router&>(*rules_));
    const int backlog = static_cast<int>(config_.listen_backlog);
    if (bound_ports_ == nullptr || !bound_ports_->init(bound_ports_count(), bound_udp_ports_count(), own_ports_count(), backlog, client_flows_, tables_)) return false;
    exit_->set_bound_ports(*bound_ports_);
  }
  if (config_.remote_listens.empty()) return true;
  // Links that are made are of the first session: start_links().
  far_ports_ = tables_.create<FarPorts>(reactor_, sessions_.at(0), static_cast<Exit&>(*exit_));
  if (far_ports_ == nullptr || !far_ports_->init(config_.remote_listens.count, tables_)) return false;
  for (const ListenSpec& l : config_.remote_listens) {
    Address at{4, {}, 0};
    if (!l.at.host.empty()) SMX_CHECK(parse_ip(l.at.host, &at));
    at.port = l.at.port;
    far_ports_->add(at, l.transport == Transport::udp);
  }
  return true;
}

}  // namespace smx
