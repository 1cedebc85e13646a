// `sockmuxctl` about ports (PORT=, -P, RPORT=, BIND of peers) and servers (SERVER=...,-in, DEST=). Read next: daemon_tell.h.
#include "config/choose.h"
#include "daemon.h"
#include "daemon_tell.h"

namespace smx {

namespace {

// Is it open to the world, as RELIABLE, PERMIT and REJECT are now?
const char* world(const Config& config, const Address& at) {
  Text<kAddressText> host;
  append_ip(host, at);
  return yes(is_open_to_world(config, {host.text(), at.port}));
}

void add_port(ControlReply& reply, const char* kind, bool udp, const Address& at, std::string_view peer, const char* state, const char* open_to_world,
              const PortCounts& n) {
  reply.line(Row().add(kind).add(udp ? "udp" : "tcp").add(at).add(peer).add(state).add(open_to_world).add(n.accepted).add(n.refused).text());
}

}  // namespace

// -P, then PORT, then what is asked of the peer, then what peers have asked for.
bool Daemon::tell_port(uint32_t i, ControlReply& reply) {
  if (i < acceptors_) {
    const TcpAcceptor& a = *acceptor_[i];
    if (a.open()) add_port(reply, "-P", false, a.local(), {}, "open", world(config_, a.local()), a.counts());
    return true;
  }
  i -= static_cast<uint32_t>(acceptors_);
  if (i < listeners_) {
    const Listener& l = *listener_[i];
    if (l.open()) add_port(reply, "PORT", false, l.local(), l.peer(), "open", world(config_, l.local()), l.counts());
    return true;
  }
  i -= static_cast<uint32_t>(listeners_);
  if (kHasUdp && i < udp_listeners_) {
    const UdpListener& l = *udp_listener_[i];
    if (l.open()) add_port(reply, "PORT", true, l.local(), l.peer(), "open", world(config_, l.local()), l.counts());
    return true;
  }
  i -= static_cast<uint32_t>(udp_listeners_);
  if (far_ports_ != nullptr && i < far_ports_->count()) {
    const BindLook p = far_ports_->look(i);
    add_port(reply, "RPORT", p.udp, p.at, p.peer, p.state, "-", p.counts);
    return true;
  }
  i -= far_ports_ == nullptr ? 0 : static_cast<uint32_t>(far_ports_->count());
  if (bound_ports_ == nullptr || i >= bound_ports_->count()) return false;
  BindLook p;
  if (bound_ports_->look(i, &p)) add_port(reply, "BIND", p.udp, p.at, p.peer, p.state, world(config_, p.at), p.counts);
  return true;
}

bool Daemon::tell_ports(void* self, std::string_view, uint32_t* next, ControlReply& reply) {
  Daemon& d = *static_cast<Daemon*>(self);
  if (*next == 0) reply.line("kind\ttransport\taddress\tpeer\tstate\topen_to_world\taccepted\trefused");
  while (reply.has_room()) {
    if (!d.tell_port(*next, reply)) return true;
    ++*next;
  }
  return false;
}

bool Daemon::tell_servers(void* self, std::string_view, uint32_t* next, ControlReply& reply) {
  Daemon& d = *static_cast<Daemon*>(self);
  if (*next == 0) reply.line("protocol\ttransport\taddress\tclients");
  for (; *next < d.config_.servers.count; ++*next) {
    if (!reply.has_room()) return false;
    const ServerSpec& s = d.config_.servers[*next];
    Text<300> to;
    if (s.has_address) {
      const bool six = place_of(s.to.host, ':') != kNowhere;
      to.add(six ? "[" : "").add(s.to.host).add(six ? "]:" : ":").add_u(s.to.port);
    }
    reply.line(Row().add(s.label).add(s.transport == Transport::udp ? "udp" : "tcp").add(to.text()).add(first(s.when_text, 100)).text());
  }
  return true;
}

}  // namespace smx
