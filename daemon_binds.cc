// The daemon's part of BIND: the ports that peers ask us for, and those that we ask a peer for (RPORT). Read next: daemon.h,
// relay/bind/peer_port.h, relay/bind/far_port.h.
#include "core/base/check.h"
#include "daemon.h"

#include <initializer_list>

namespace smx {

namespace {

Address far_address(const ListenSpec& port) {
  Address at{4, {}, 0};
  if (!port.at.host.empty()) SMX_CHECK(parse_ip(port.at.host, &at));
  at.port = port.at.port;
  return at;
}

}  // namespace

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
  uint64_t n = start_.far_ports == 0 ? 0 : sizeof(FarPorts) + FarPorts::arena_bytes(start_.far_ports) + 64;
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
  if (start_.far_ports == 0) return true;
  // Links that are made are of the first session: start_links().
  far_ports_ = tables_.create<FarPorts>(reactor_, sessions_.at(0), static_cast<Exit&>(*exit_));
  if (far_ports_ == nullptr || !far_ports_->init(start_.far_ports, tables_)) return false;
  for (const ListenSpec& l : config_.remote_listens) far_ports_->add(far_address(l), l.transport == Transport::udp);
  return true;
}

// Reload: those of before that are asked for still keep what they have.
void Daemon::renew_far_ports() {
  if (!kHasBind || far_ports_ == nullptr) return;
  for (const bool news : {false, true}) {
    far_ports_->begin_renewal();
    for (const ListenSpec& l : config_.remote_listens) {
      const bool udp = l.transport == Transport::udp;
      if (far_ports_->keep(far_address(l), udp) || !news) continue;
      far_ports_->add(far_address(l), udp);
      ++reloaded_.rports_added;
    }
    if (!news) reloaded_.rports_removed = far_ports_->drop_others();
  }
}

}  // namespace smx
