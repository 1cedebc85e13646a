// The daemon's UDP: its tables, ports and figures. Read next: daemon.h, relay/udp_listener.h, relay/udp_exit.h.
#include "core/io/log.h"
#include "daemon.h"

namespace smx {

namespace {

size_t udp_ports(const Config& config) {
  if constexpr (!kHasUdp) return 0;
  size_t n = 0;
  for (const ListenSpec& l : config.listens) n += l.transport == Transport::udp ? 1u : 0u;
  return n;
}

bool has_udp_server(const Config& config) {
  for (const ServerSpec& s : config.servers)
    if (s.transport == Transport::udp) return true;
  return false;
}

bool has_socks(const Config& config) {
  if constexpr (!kHasSocks) return false;
  for (const ServerSpec& s : config.servers)
    if (s.run && s.label == "socks") return true;
  return false;
}
constexpr uint32_t kSocksFlows = 256;

void add_drops(LogLine& line, const UdpCounts& counts) {
  for (int i = 0; i < kUdpDrops; ++i)
    if (counts.dropped[i] > 0) line.kv(drop_name(static_cast<UdpDrop>(i)), counts.dropped[i]);
}

}  // namespace

uint64_t Daemon::udp_arena_bytes() const {
  const size_t ports = most_udp_ports();
  uint64_t n = ports * (UdpListener::arena_bytes() + sizeof(UdpListener*)) + 256;
  if (ports + bound_udp_ports_count() > 0) n += sizeof(ClientFlows) + ClientFlows::arena_bytes(config_.max_udp_flows);
  if (has_udp_server(config_) || reloads()) n += sizeof(ServerFlows) + ServerFlows::arena_bytes(config_.max_udp_flows);
  if (has_socks(config_) || (kHasSocks && reloads() && proxies_count() > 0)) n += sizeof(SocksFlows) + SocksFlows::arena_bytes(kSocksFlows);
  return n;
}

// A reload may bring more.
size_t Daemon::most_udp_ports() const { return !kHasUdp ? 0 : reloads() ? start_.ports : udp_ports(config_); }

bool Daemon::init_udp() {
  if constexpr (!kHasUdp) return true;
  udp_listener_ = tables_.raw<UdpListener*>(most_udp_ports() + 1);
  return udp_listener_ != nullptr && make_udp_tables();
}

// Those that the configuration needs and that are not there yet.
bool Daemon::make_udp_tables() {
  if constexpr (!kHasUdp) return true;
  const Duration silence = or_never(config_.udp_timeout);
  if (client_flows_ == nullptr && udp_ports(config_) + bound_udp_ports_count() > 0) {
    client_flows_ = tables_.create<ClientFlows>(reactor_, sessions_, *rules_);
    if (client_flows_ == nullptr || !client_flows_->init(config_.max_udp_flows, silence, tables_)) return false;
  }
  if (socks_flows_ == nullptr && has_socks(config_) && proxies_count() > 0) {
    socks_flows_ = tables_.create<SocksFlows>(reactor_, resolver_, *rules_);
    if (socks_flows_ == nullptr || !socks_flows_->init(kSocksFlows, silence, tables_)) return false;
    exit_->set_socks_udp(*socks_flows_);
    proxies_->set_socks_udp(*socks_flows_);
  }
  if (server_flows_ != nullptr || !has_udp_server(config_)) return true;
  server_flows_ = tables_.create<ServerFlows>(reactor_, resolver_, *rules_);
  if (server_flows_ == nullptr) return false;
  exit_->set_udp(*server_flows_);
  return server_flows_->init(config_.max_udp_flows, silence, tables_);
}

int Daemon::open_udp_port(Fd socket, std::string_view peer, UdpListener** out) {
  if constexpr (!kHasUdp) return 0;
  const bool again = udp_listeners_ < made_udp_listeners_;
  if (!again) udp_listener_[made_udp_listeners_++] = tables_.create<UdpListener>(*client_flows_);
  UdpListener* l = udp_listener_[udp_listeners_++];
  SMX_CHECK(l != nullptr);
  l->set_peer(peer);
  *out = l;
  return again ? l->start_again(static_cast<Fd&&>(socket)) : l->start(static_cast<Fd&&>(socket), tables_);
}

// TERM: datagrams have no end that could be awaited.
void Daemon::stop_udp() {
  for (size_t i = 0; kHasUdp && i < udp_listeners_; ++i) udp_listener_[i]->stop();
  if (client_flows_ != nullptr) client_flows_->shut();
  if (server_flows_ != nullptr) server_flows_->shut();
}

void Daemon::write_udp_statistics() {
  if (client_flows_ != nullptr) {
    const UdpCounts& c = client_flows_->counts();
    LogLine line(LogLevel::info, "statistics-udp-ports");
    line.kv("flows", client_flows_->count()).kv("begun", c.flows).kv("made_room", c.made_room);
    line.kv("rx", c.rx).kv("tx", c.tx).kv("joined", c.joined).kv("by_kernel", c.by_kernel);
    add_drops(line, c);
  }
  if (server_flows_ != nullptr) {
    const UdpCounts& c = server_flows_->counts();
    LogLine line(LogLevel::info, "statistics-udp-servers");
    line.kv("flows", server_flows_->count()).kv("begun", c.flows).kv("made_room", c.made_room);
    line.kv("rx", c.rx).kv("tx", c.tx).kv("joined", c.joined).kv("not_there", c.server_errors);
    add_drops(line, c);
  }
  uint64_t empty = 0, late = 0;
  for (uint32_t i = 0; i < sessions_.count(); ++i) {
    empty += sessions_.at(i).mux().stats().empty_datagrams;
    late += sessions_.at(i).mux().stats().late_datagrams;
  }
  if (client_flows_ == nullptr && server_flows_ == nullptr) return;
  LogLine(LogLevel::info, "statistics-udp-links").kv("dropped_empty", empty).kv("dropped_ended", late);
}

}  // namespace smx
