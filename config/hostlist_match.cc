// How lists of hosts and protocols are evaluated. Read next: hostlist.h.
#include <string.h>

#include "config/hostlist.h"
#include "config/scan.h"

namespace smx {

namespace {

constexpr uint8_t kMappedHead[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};  // RFC 4291 2.5.5.2

enum class Hit : uint8_t { no, yes, unknown };
Hit hit_if(bool yes) { return yes ? Hit::yes : Hit::no; }

bool is_loopback(const Address& a) {
  if (a.family == 4) return a.ip[0] == 127;
  static constexpr uint8_t kLoopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return a.family == 6 && memcmp(a.ip, kLoopback, sizeof kLoopback) == 0;
}

bool is_masked_equal(const Address& a, const Address& b, const uint8_t* mask) {
  if (a.family != b.family) return false;
  const unsigned size = a.family == 4 ? 4 : 16;
  for (unsigned i = 0; i < size; ++i) {
    if (((a.ip[i] ^ b.ip[i]) & mask[i]) != 0) return false;
  }
  return true;
}

Hit in_ports(View<PortRange> ports, const Subject& who) {
  if (who.accepted_port == 0) return Hit::unknown;
  for (const PortRange& p : ports) {
    if (who.accepted_port < p.first || who.accepted_port > p.last) continue;
    if (!p.has_kind || !who.kind_known || p.kind == who.kind) return Hit::yes;
  }
  return Hit::no;
}

Hit in_localnet(const Address& a, const NameLookup& lookup) {
  if (is_loopback(a)) return Hit::yes;
  for (const Network& n : lookup.local_networks()) {
    if (is_inside(a, n)) return Hit::yes;
  }
  return Hit::no;
}

Hit has_name(const HostTerm& t, const Address& a, const Subject& who, const NameLookup& lookup) {
  if (!who.host.empty() && equal_fold(who.host, t.name)) return Hit::yes;
  if (who.host_key != 0 && who.host_key == name_key(t.name)) return Hit::yes;
  if (a.is_none()) return Hit::unknown;
  if (t.is_fixed) {
    for (const Address& fixed : t.fixed) {
      if (same_ip(unmapped(fixed), a)) return Hit::yes;
    }
    return Hit::no;
  }
  switch (lookup.has_address(t.name, a)) {
    case NameLookup::Answer::yes: return Hit::yes;
    case NameLookup::Answer::no: return Hit::no;
    case NameLookup::Answer::unknown: return Hit::unknown;
  }
  return Hit::unknown;
}

// Who is asked about, with the address as it is compared.
struct Question {
  const Subject& who;
  Address address;
  const NameLookup& lookup;
};

bool evaluate(const HostList& list, const Question& q, bool doubt_is_hit);

Hit host_hit(const HostTerm& t, const Question& q) {
  const Address& a = q.address;
  switch (t.kind) {
    case HostTerm::Kind::any: return Hit::yes;
    case HostTerm::Kind::ports: return in_ports(t.ports, q.who);
    case HostTerm::Kind::name: return has_name(t, a, q.who, q.lookup);
    case HostTerm::Kind::octets:
      if (a.is_none()) return Hit::unknown;
      for (unsigned i = 0; i < 4; ++i) {
        if (a.family != 4 || a.ip[i] < t.low[i] || a.ip[i] > t.high[i]) return Hit::no;
      }
      return Hit::yes;
    case HostTerm::Kind::network: return a.is_none() ? Hit::unknown : hit_if(is_masked_equal(a, t.address, t.mask));
    case HostTerm::Kind::localnet: return a.is_none() ? Hit::unknown : in_localnet(a, q.lookup);
    case HostTerm::Kind::list: break;
  }
  return Hit::unknown;
}

bool term_hit(const HostTerm& t, const Question& q, bool doubt_is_hit) {  // NOLINT(misc-no-recursion): kMaxListDepth
  const Hit port = t.kind == HostTerm::Kind::ports || t.ports.empty() ? Hit::yes : in_ports(t.ports, q.who);
  if (port == Hit::no) return false;  // whoever it is
  Hit hit = t.kind == HostTerm::Kind::list ? hit_if(evaluate(*t.list, q, doubt_is_hit)) : host_hit(t, q);
  if (hit == Hit::yes) hit = port;
  return hit == Hit::unknown ? doubt_is_hit : hit == Hit::yes;
}

bool evaluate(const HostList& list, const Question& q, bool doubt_is_hit) {  // NOLINT(misc-no-recursion): kMaxListDepth
  bool result = false;
  bool so_far = false;
  HostTerm::Join join = HostTerm::Join::next;
  for (size_t i = 0; i <= list.count; ++i) {
    const bool ends = i == list.count || list.terms[i].join != HostTerm::Join::next;
    if (i > 0 && ends) {
      if (join == HostTerm::Join::both) so_far = so_far && result;
      if (join == HostTerm::Join::either) so_far = so_far || result;
      if (join == HostTerm::Join::next) so_far = result;
    }
    if (i == list.count) break;
    const HostTerm& t = list.terms[i];
    if (i == 0 || ends) {
      join = t.join;
      result = t.negated;
    }
    if (term_hit(t, q, doubt_is_hit != t.negated)) result = !t.negated;
  }
  return so_far;
}

}  // namespace

Address unmapped(const Address& a) {
  if (a.family != 6 || memcmp(a.ip, kMappedHead, sizeof kMappedHead) != 0) return a;
  Address v4;
  v4.family = 4;
  v4.port = a.port;
  memcpy(v4.ip, a.ip + sizeof kMappedHead, 4);
  return v4;
}

bool is_inside(const Address& a, const Network& network) {
  uint8_t mask[16];
  for (unsigned i = 0; i < 16; ++i) mask[i] = mask_byte(network.bits, i);
  return is_masked_equal(unmapped(a), network.address, mask);
}

bool matches(const HostList& list, const Subject& who, const NameLookup& lookup, Doubt doubt) {
  return evaluate(list, Question{who, unmapped(who.client), lookup}, doubt == Doubt::allow);
}

bool matches(const ProtoList& list, std::string_view protocol, uint16_t port, bool otherwise) {
  const bool starts_open = !list.terms.empty() && list.terms[0].negated;
  bool result = list.adds_to_default ? otherwise : starts_open;
  for (const ProtoTerm& t : list.terms) {
    if (t.name != "*" && !equal_fold(t.name, protocol)) continue;
    bool hit = t.ports.empty();
    for (const PortRange& p : t.ports) hit = hit || (port >= p.first && port <= p.last);
    if (hit) result = !t.negated;
  }
  return result;
}

}  // namespace smx
