// Who a key belongs to, and what that peer may do. Read next: peers.h.
#include "config/peers/peers.h"

namespace smx {

namespace {

// FROM= has no names.
class NoNames final : public NameLookup {
 public:
  Answer has_address(std::string_view, const Address&) const override { return Answer::unknown; }
  View<Network> local_networks() const override { return {}; }
};

}  // namespace

const Peer* PeerList::find(const PeerKey& key) const {
  size_t low = 0, high = peers.count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    const bool is_before = at(middle).key < key;
    (is_before ? low : high) = is_before ? middle + 1 : middle;
  }
  return low < peers.count && at(low).key == key ? &at(low) : nullptr;
}

const Peer* PeerList::find(std::string_view name) const {
  size_t low = 0, high = peers.count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    const bool is_before = peers[by_name[middle]].name < name;
    (is_before ? low : high) = is_before ? middle + 1 : middle;
  }
  return low < peers.count && peers[by_name[low]].name == name ? &peers[by_name[low]] : nullptr;
}

// As in lists of hosts: the last item that matches decides, and a list that begins with "!" begins with yes.
bool may_bind(const PeerRights& rights, const Address& at, Transport transport) {
  bool result = !rights.ports.empty() && rights.ports[0].negated;
  for (const PeerPort& p : rights.ports) {
    if (p.transport != transport || at.port < p.first || at.port > p.last) continue;
    if (p.at.is_none() || same_ip(unmapped(p.at), unmapped(at))) result = !p.negated;
  }
  return result;
}

bool may_reach(const PeerRights& rights, std::string_view host, uint64_t host_key, const Address& to, Transport transport,
               const NameLookup& lookup) {
  if (rights.dest == nullptr) return true;
  Subject s;
  s.client = meant(to);
  s.accepted_port = to.port;
  s.kind_known = true;
  s.kind = transport;
  s.host = host;
  s.host_key = host_key;
  return matches(*rights.dest, s, lookup);
}

bool may_call(const PeerRights& rights, const Address& from) {
  if (rights.from == nullptr || from.is_none()) return true;
  Subject s;
  s.client = from;
  return matches(*rights.from, s, NoNames{});
}

}  // namespace smx
