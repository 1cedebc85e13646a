// What the configuration says, asked at run time: who may come in, where a channel goes. It joins config/ to the questions
// that transport/ and relay/ ask.
//
// Owner: Daemon. Invariant: no answer waits for a resolver. Read next: config/choose.h, relay/relay.h.
#ifndef SOCKMUX_RULES_H
#define SOCKMUX_RULES_H

#include "config/choose.h"
#include "config/peers/table.h"
#include "config/reload/places.h"
#include "core/base/check.h"
#include "core/base/features.h"
#include "core/base/letters.h"
#include "core/io/log.h"
#include "core/io/names.h"
#include "core/io/reactor.h"
#include "core/io/socket.h"
#include "relay/listener.h"
#include "relay/relay.h"
#include "relay/udp.h"
#include "transport/tcp.h"

namespace smx {

// TIMEOUT=word:0 means never: far enough away, and small enough to be added to a time.
inline Duration or_never(Duration d) { return d.us == 0 ? seconds(int64_t{10} * 365 * 86400) : d; }

class Rules final : public LinkGate, public ClientGate, public FlowGate, public Router, public NameLookup {
 public:
  // `places`: how channels know the servers of the configuration.
  Rules(const Config& config, const ServerPlaces& places, const Address& source, Names& names, Reactor& reactor)
      : config_(config), places_(places), source_(source), names_(names), reactor_(reactor) {
    read_networks();
  }

  // Why still_allowed() is asked: the peers file was read again; the configuration was, and only servers that are gone count, or
  // its lists, too.
  enum class Asked : uint8_t { peers, servers, lists };
  void set_asked(Asked why) { asked_ = why; }

  // From now on a peer with a key may do what its line allows, and nothing if it has none. Without this, as a clear one.
  void set_peers(const Peers& peers) { peers_ = &peers; }

  bool link_allowed(const Address& peer) override {
    Subject who;
    who.client = peer;
    return allowed(who);
  }

  const char* client_refused(const Address& client, const Address& local) override {
    return refused(client, local, Transport::tcp);
  }
  const char* flow_refused(const Address& client, const Address& local) override {
    return refused(client, local, Transport::udp);
  }
  void on_flow_ended(const Address& client) override { on_stream_ended(client); }

  const char* refused(const Address& client, const Address& local, Transport kind) {
    Subject who;
    who.client = client;
    who.accepted_port = local.port;
    who.kind_known = true;
    who.kind = kind;
    if (!allowed(who)) return "not in RELIABLE or PERMIT";
    return count(client) ? nullptr : "MAXIMA=conpch reached";
  }

  void on_stream_ended(const Address& client) override {
    for (Host& h : hosts_)
      if (h.streams > 0 && same_ip(h.address, client)) --h.streams;
  }

  bool choose(const OpenInfo& info, Dialect dialect, RelayTarget* target) override {
    const ServerSpec* server = smx::choose(config_, subject(info, dialect), *this);
    if (server == nullptr) return false;
    if (!server->missing_file.empty()) {
      // Among its words may be who is kept out: without them it serves nobody.
      LogLine(LogLevel::warning, "words-missing").kv("server", server->label).kv("file", server->missing_file);
      return false;
    }
    const ServerPlace* place = places_.find(server);
    SMX_CHECK(place != nullptr);
    target->rule = place;
    target->udp = server->transport == Transport::udp;
    target->label = place->label.text();
    target->host = place->host.text();
    target->port = server->to.port;
    const Config& limits = server->options != nullptr ? *server->options : config_;
    target->has_address = server->has_address;
    target->run = server->run;
    target->connect_limit = or_never(limits.connect_timeout);
    target->login_limit = or_never(limits.login_timeout);
    target->io_limit = or_never(limits.io_timeout);
    target->source = source_;
    if (kHasSendProxy && (!server->run || server->label == "tcprelay")) target->send_proxy = static_cast<uint8_t>(limits.send_proxy);
    if (server->run && server->label == "exec") choose_program(*server->options, *place, target);
    Address own;
    if (server->options != nullptr && parse_ip(server->options->source.host, &own)) {
      target->source = own;
      target->source.port = server->options->source.port;
    }
    return true;
  }

  bool address_allowed(const void* rule, const OpenInfo& info, Dialect dialect, const PeerKey* peer, const Address& to) override {
    const ServerSpec* server = spec_of(rule);
    if (server == nullptr) return false;
    Target asked;
    asked.host = server->to.host;
    asked.port = server->to.port;
    asked.address = to;
    asked.transport = server->transport;
    Address at = to;
    at.port = asked.port;
    return peer_may_reach(peer, asked.host, 0, at, asked.transport) &&
           allowed_connect(config_, *server, subject(info, dialect), asked, *this);
  }

  bool remittable(const void* rule, std::string_view protocol, uint16_t port, bool otherwise) override {
    const ServerSpec* server = spec_of(rule);
    return server != nullptr && smx::remittable(config_, *server, protocol, port, otherwise);
  }

  bool asked_allowed(const void* rule, const OpenInfo& info, Dialect dialect, const PeerKey* peer, std::string_view protocol,
                     std::string_view host, const Address& to) override {
    Target asked;
    asked.host = host;
    asked.port = to.port;
    asked.address = to;
    asked.protocol = protocol;
    const ServerSpec* server = spec_of(rule);
    return server != nullptr && peer_may_reach(peer, host, 0, to, info.udp ? Transport::udp : Transport::tcp) &&
           allowed_connect(config_, *server, subject(info, dialect), asked, *this);
  }

  bool still_allowed(const void* rule, const PeerKey* peer, std::string_view protocol, std::string_view host, uint64_t host_key, const Address& to) override {
    const ServerSpec* server = spec_of(rule);
    if (server == nullptr) return false;
    if (kHasReload && asked_ == Asked::servers) return true;
    if (kHasReload && asked_ == Asked::lists) {
      Target asked;
      asked.host = host.empty() ? server->to.host : host;
      asked.host_key = host_key;
      asked.port = to.port;
      asked.address = to;
      asked.transport = server->transport;
      asked.protocol = protocol;
      return still_allowed_connect(config_, *server, asked, *this);
    }
    if (peer == nullptr || peers_ == nullptr) return true;
    const Peer* now = peers_->find(*peer);
    const Peer* old = peers_->old().find(*peer);
    // Who has the words of before has the channels of before, also those that a name has let through.
    if (now != nullptr && old != nullptr && now->rights.dest_text == old->rights.dest_text) return true;
    return peer_may_reach(peer, host.empty() ? server->to.host : host, host_key, to, server->transport);
  }

  bool is_gone(const void* rule) const override { return kHasReload && rule != nullptr && spec_of(rule) == nullptr; }
  std::string_view host_of(const void* rule) const override { return static_cast<const ServerPlace*>(rule)->host.text(); }

  // Of a client that is in.
  bool client_may_stay(const Address& client, const Address& local, Transport kind) const {
    Subject who;
    who.client = client;
    who.accepted_port = local.port;
    who.kind_known = true;
    who.kind = kind;
    return still_allowed_client(config_, who, *this);
  }

  bool bind_allowed(const PeerKey* peer, const Address& at, bool udp) override {
    const Peer* p = peer == nullptr || peers_ == nullptr ? nullptr : peers_->find(*peer);
    return p != nullptr && may_bind(p->rights, at, udp ? Transport::udp : Transport::tcp);
  }

  bool known_host(const void* rule, std::string_view host, Address* out) override {
    const ServerSpec* server = spec_of(rule);
    if (server == nullptr) return false;
    const View<Address> list = find_host(config_, *server, host);
    if (!list.empty()) *out = list[0];
    return !list.empty();
  }

  Answer has_address(std::string_view name, const Address& address) const override {
    switch (names_.has_address(name, address, reactor_.now())) {
      case Names::Answer::unknown: return Answer::unknown;
      case Names::Answer::no: return Answer::no;
      case Names::Answer::yes: return Answer::yes;
    }
    return Answer::unknown;
  }

  View<Network> local_networks() const override { return {network_, networks_}; }

  // Interfaces come and go: read at start, on HUP, and when somebody is refused (at most every 10 s).
  void read_networks() {
    OwnNetwork own[kMaxNetworks];
    networks_ = own_networks(own);
    networks_read_ = reactor_.now();
    for (size_t i = 0; i < networks_; ++i) network_[i] = {own[i].address, own[i].prefix};
  }

 private:
  struct Host {
    Address address;
    uint32_t streams = 0;
  };
  static constexpr size_t kHosts = 512;

  static const ServerSpec* spec_of(const void* rule) { return static_cast<const ServerPlace*>(rule)->spec; }

  static void choose_program(const Config& words, const ServerPlace& place, RelayTarget* target) {
    target->pipes = words.xcom.empty();
    target->command = {place.command, place.command_size};
    target->max_programs = words.max_programs;
    target->max_per_client = words.max_per_client;
  }

  static Subject subject(const OpenInfo& info, Dialect dialect) {
    Subject who;
    who.client = info.client;
    who.accepted_port = info.local.port;
    who.kind_known = dialect == Dialect::v1;
    who.kind = info.udp ? Transport::udp : Transport::tcp;
    return who;
  }

  // DEST= of the peers file, which narrows what the options offer.
  bool peer_may_reach(const PeerKey* peer, std::string_view host, uint64_t host_key, const Address& to, Transport kind) const {
    if (peer == nullptr || peers_ == nullptr) return true;
    const Peer* p = peers_->find(*peer);
    return p != nullptr && may_reach(p->rights, host, host_key, to, kind, *this);
  }

  bool allowed(const Subject& who) {
    if (allowed_client(config_, who, *this)) return true;
    if (reactor_.now() - networks_read_ < seconds(10)) return false;
    read_networks();
    return allowed_client(config_, who, *this);
  }

  // MAXIMA=conpch: streams of one client host. A full table lets nobody new in.
  bool count(const Address& client) {
    const uint32_t most = config_.max_per_client;  // 0: no limit; counted all the same, since a reload may bring one
    if (!kHasReload && most == 0) return true;
    Host* place = nullptr;
    for (Host& h : hosts_) {
      if (h.streams == 0) {
        if (place == nullptr) place = &h;
      } else if (same_ip(h.address, client)) {
        if (most != 0 && h.streams >= most) return false;
        ++h.streams;
        return true;
      }
    }
    if (place == nullptr) return most == 0;
    *place = {client, 1};
    return true;
  }

  const Config& config_;
  const ServerPlaces& places_;
  const Address source_;
  Names& names_;
  Reactor& reactor_;
  const Peers* peers_ = nullptr;
  Asked asked_ = Asked::peers;
  Network network_[kMaxNetworks];
  size_t networks_ = 0;
  Time networks_read_;
  Host hosts_[kHosts];
};

}  // namespace smx

#endif
