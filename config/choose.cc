// Access rules and the choice of the server. Read next: choose.h.
#include "config/choose.h"

#include "config/scan.h"

namespace smx {

namespace {

bool matches_or_all(const HostList* list, const Subject& who, const NameLookup& lookup, Doubt doubt) {
  return list == nullptr || matches(*list, who, lookup, doubt);
}

Subject as_client(const Address& a) {
  Subject s;
  s.client = a;
  return s;
}

bool is_in_localnet(const Subject& who, const NameLookup& lookup) {
  HostTerm term;
  term.kind = HostTerm::Kind::localnet;
  HostList list;
  list.terms = &term;
  list.count = 1;
  return matches(list, who, lookup);
}

Subject as_subject(const Target& target) {
  Subject s;
  s.client = target.address;
  s.accepted_port = target.port;
  s.kind_known = true;
  s.kind = target.transport;
  s.host = target.host;
  s.host_key = target.host_key;
  Address literal;
  if (s.client.is_none() && parse_ip(target.host, &literal)) s.client = literal;
  s.client = meant(s.client);
  return s;
}

// `protocol` empty: unknown.
bool rule_matches(const AccessRule& rule, std::string_view protocol, const Subject& who, const Subject& target,
                  const NameLookup& lookup, Doubt doubt) {
  const bool unknown = protocol.empty() && rule.protocols != "*";
  return (unknown ? doubt == Doubt::allow : matches(*rule.protocol_list, protocol, target.accepted_port)) &&
         matches_or_all(rule.servers, target, lookup, doubt) && matches_or_all(rule.clients, who, lookup, doubt);
}

// Of lists that let in; for those that keep out it is the other one.
enum class For : uint8_t { news, open };  // what is to be let in, or is in already
constexpr Doubt doubt_in(For what) { return what == For::open ? Doubt::allow : Doubt::deny; }
constexpr Doubt doubt_out(For what) { return what == For::open ? Doubt::deny : Doubt::allow; }

// `every`: rules for all protocols and servers count here, too (inside of -in).
bool rules_allow(const Config& config, bool every, std::string_view protocol, const Subject& who, const Subject& target,
                 const NameLookup& lookup, For what) {
  if (!matches_or_all(config.reachable, target, lookup, doubt_in(what))) return false;
  bool is_needed = false;
  bool is_permitted = false;
  for (const AccessRule& rule : config.permit) {
    is_needed = is_needed || every || rule.at_exit;
    is_permitted = is_permitted || rule_matches(rule, protocol, who, target, lookup, doubt_in(what));
  }
  if (is_needed && !is_permitted) return false;
  for (const AccessRule& rule : config.reject) {
    if (!every && !rule.at_exit) continue;
    if (rule_matches(rule, protocol, who, target, lookup, doubt_out(what))) return false;
  }
  return true;
}

bool client_may(const Config& config, const Subject& who, const NameLookup& lookup, For what) {
  for (const AccessRule& rule : config.reject) {
    if (!rule.at_exit && matches_or_all(rule.clients, who, lookup, doubt_out(what))) return false;
  }
  bool is_permitted = config.permit.empty();
  for (const AccessRule& rule : config.permit) {
    is_permitted = is_permitted || matches_or_all(rule.clients, who, lookup, doubt_in(what));
  }
  if (!is_permitted) return false;
  if (config.reliable != nullptr) return matches(*config.reliable, who, lookup, doubt_in(what));
  return !config.permit.empty() || is_in_localnet(who, lookup);
}

bool connect_may(const Config& config, const ServerSpec& server, std::string_view protocol, const Subject& who, const Target& target,
                 const NameLookup& lookup, For what) {
  const Subject to = as_subject(target);
  if (!rules_allow(config, false, protocol, who, to, lookup, what)) return false;
  if (server.options == nullptr) return true;
  const Config& own = *server.options;
  if (own.reliable != nullptr && !matches(*own.reliable, who, lookup, doubt_in(what))) return false;
  return rules_allow(own, true, protocol, who, to, lookup, what);
}

}  // namespace

bool allowed_client(const Config& config, const Subject& who, const NameLookup& lookup) {
  return client_may(config, who, lookup, For::news);
}
bool still_allowed_client(const Config& config, const Subject& who, const NameLookup& lookup) {
  return client_may(config, who, lookup, For::open);
}

const ServerSpec* choose(const Config& config, const Subject& who, const NameLookup& lookup) {
  for (const ServerSpec& server : config.servers) {
    if (who.kind_known && server.transport != who.kind) continue;
    if (matches_or_all(server.when, who, lookup, Doubt::deny)) return &server;
  }
  return nullptr;
}

bool allowed_connect(const Config& config, const ServerSpec& server, const Subject& who, const Target& target,
                     const NameLookup& lookup) {
  return connect_may(config, server, target.protocol.empty() ? server.label : target.protocol, who, target, lookup, For::news);
}

bool still_allowed_connect(const Config& config, const ServerSpec& server, const Target& target, const NameLookup& lookup) {
  const bool knows = !target.protocol.empty() || (server.run && server.label != "exec");
  return connect_may(config, server, knows ? target.protocol : server.label, Subject{}, target, lookup, For::open);
}

bool remittable(const Config& config, const ServerSpec& server, std::string_view protocol, uint16_t port,
                bool otherwise) {
  const ProtoList* list = server.options == nullptr ? nullptr : server.options->remittable;
  if (list == nullptr) list = config.remittable;
  return list == nullptr ? otherwise : matches(*list, protocol, port, otherwise);
}

View<Address> find_host(const Config& config, std::string_view name) {
  for (size_t i = config.hosts.count; i-- > 0;) {
    if (equal_fold(config.hosts[i].name, name)) return config.hosts[i].addresses;
  }
  return {};
}

View<Address> find_host(const Config& config, const ServerSpec& server, std::string_view name) {
  const View<Address> own = server.options == nullptr ? View<Address>{} : find_host(*server.options, name);
  return own.empty() ? find_host(config, name) : own;
}

namespace {

// Nothing is resolved, and we have no networks.
class Nowhere final : public NameLookup {
 public:
  Answer has_address(std::string_view, const Address&) const override { return Answer::no; }
  View<Network> local_networks() const override { return {}; }
};

constexpr std::string_view kNobodys[] = {"192.0.2.1", "198.51.100.77", "203.0.113.200"};
constexpr Address kUnspecified6{6, {}, 0};
constexpr std::string_view kNobodys6[] = {"2001:db8::1", "2001:db8:7777::2"};

bool all_allowed(const Config& config, View<std::string_view> addresses, uint16_t port) {
  for (const std::string_view text : addresses) {
    Subject who;
    who.accepted_port = port;
    if (!parse_ip(text, &who.client) || !allowed_client(config, who, Nowhere{})) return false;
  }
  return true;
}

}  // namespace

bool is_open_to_world(const Config& config, const HostPort& at) {
  if (equal_fold(at.host, "localhost")) return false;
  Address a;
  const bool is_ip = parse_ip(at.host, &a);
  if (is_ip && is_in_localnet(as_client(a), Nowhere{})) return false;
  const bool is_six = is_ip && a.family == 6;
  if (is_six && all_allowed(config, {kNobodys6, 2}, at.port)) return true;
  // "::" may take IPv4 clients, too.
  const bool takes_four = !is_six || same_ip(a, kUnspecified6);
  return takes_four && all_allowed(config, {kNobodys, 3}, at.port);
}

}  // namespace smx
