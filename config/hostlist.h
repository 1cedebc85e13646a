// Lists of hosts and of protocols: who a rule or a condition is for.
//
// Owner: the arena. Invariant: a list that parse_host_list() and the parser's linking let through has no loop, at most
// kMaxListCost terms in all, and is evaluated without a resolver: a NameLookup answers at once.
// Read next: choose.h (who asks). Source: sockmux.conf(5), "Who may"; DeleGate's manual.
//
//     list = term {("," | ",&," | ",|,") term}           term = ["!"] (host | "{" list "}")
//
// The result starts as no, or as yes if the first term has "!". Terms go from left to right: one that matches sets yes,
// with "!" no. Behind "&" or "|" a new list begins, whose result is joined to that so far.
#ifndef SOCKMUX_CONFIG_HOSTLIST_H
#define SOCKMUX_CONFIG_HOSTLIST_H

#include <stddef.h>
#include <stdint.h>

#include <string_view>

#include "config/config.h"
#include "core/base/address.h"
#include "core/base/arena.h"
#include "core/base/text.h"

namespace smx {

constexpr size_t kMaxTerms = 1024;        // in one list
constexpr size_t kMaxBraces = 8;          // {...} inside of each other
constexpr size_t kMaxPortRanges = 64;     // in one -P, one host:{...}, one protocol/{...}
constexpr uint32_t kMaxListCost = 65536;  // terms of a list and of all lists that it names
constexpr uint32_t kMaxListDepth = 32;    // lists that name lists

// Ports first..last. `only`: the kind of the client must be known to be that (or is unknown).
struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;
  bool has_kind = false;
  Transport kind = Transport::tcp;
};

struct HostTerm {
  enum class Kind : uint8_t {
    any,       // "*", and every network with /0
    octets,    // IPv4, each octet within low..high
    network,   // address and mask
    name,      // to be resolved; `fixed` has what HOSTS= says, or loopback for localhost
    list,      // {...}, or a HOSTLIST by its name
    localnet,  // ".localnet"
    ports,     // -P: the port at which the client was accepted
  };
  enum class Join : uint8_t { next, both, either };  // what stands before it: ","  ",&,"  ",|,"
  Kind kind = Kind::any;
  Join join = Join::next;
  bool negated = false;
  bool is_fixed = false;
  uint8_t low[4] = {};
  uint8_t high[4] = {};
  Address address;
  uint8_t mask[16] = {};
  std::string_view name;
  View<Address> fixed;
  struct HostList* list = nullptr;
  View<PortRange> ports;  // ports: of the accepted port; else, if there are some: of the server
};

struct HostList {
  HostTerm* terms = nullptr;
  size_t count = 0;
  std::string_view text;  // without blanks at commas and braces around the whole
  // Filled in when names are linked.
  enum class Mark : uint8_t { fresh, open, done };
  Mark mark = Mark::fresh;
  bool has_ports = false;  // there is a -P in it, or in a list that it names
  uint32_t cost = 0;
  uint32_t depth = 0;
};

struct ProtoTerm {
  bool negated = false;
  std::string_view name;  // "*": all
  View<PortRange> ports;  // none: all
};
struct ProtoList {
  View<ProtoTerm> terms;
  bool adds_to_default = false;  // begins with "+"
};

// What is asked about.
struct Subject {
  Address client;              // family 0: unknown. An IPv4-mapped one counts as IPv4. For servers: meant(), theirs
  uint16_t accepted_port = 0;  // 0: unknown. For servers: their port
  bool kind_known = false;     // SockMux 1 tells it, 0.3 does not
  Transport kind = Transport::tcp;
  std::string_view host;  // for servers: the name that was asked for, if it is one
  uint64_t host_key = 0;  // or name_key() of it
};

// What is known at this moment; must not block.
class NameLookup {
 public:
  enum class Answer : uint8_t { unknown, no, yes };
  // Is `address` one of those of `name`? unknown: not resolved (yet), or it has none.
  virtual Answer has_address(std::string_view name, const Address& address) const = 0;
  // The networks of our interfaces, with their real masks. Loopback need not be among them.
  virtual View<Network> local_networks() const = 0;

 protected:
  ~NameLookup() = default;
};

// What a term that can't be decided (name not resolved, client or port unknown) does to the result: deny is for lists
// that let in, allow for lists that keep out (REJECT). Behind "!" it is the other way round.
enum class Doubt : uint8_t { deny, allow };
bool matches(const HostList& list, const Subject& who, const NameLookup& lookup, Doubt doubt = Doubt::deny);

// "http,https/{80,443}", "*,!telnet". Case of names does not count. `otherwise`: the result of the list's default.
bool matches(const ProtoList& list, std::string_view protocol, uint16_t port, bool otherwise = false);

// IPv4 in IPv6 (::ffff:1.2.3.4) as IPv4, everything else as it is.
Address unmapped(const Address& a);
// Byte `i` of the mask whose first `bits` bits are set.
constexpr uint8_t mask_byte(uint64_t bits, unsigned i) {
  return bits >= 8 * i + 8 ? uint8_t{0xff}
         : bits <= 8 * i   ? uint8_t{0}
                           : static_cast<uint8_t>(0xff00 >> (bits - 8 * i));
}
bool is_inside(const Address& a, const Network& network);

// Who a list is for decides what may stand in it.
enum class ListUse : uint8_t {
  clients,   // and -P: the port at which they were accepted
  reliable,  // no -P
  servers,   // "host:port" and "host:{ports}", no -P
  dest,      // as servers, for DEST= of a peer: the port must be given, and is TCP's unless /udp stands behind it
  sources,   // addresses and networks only: FROM= of a peer, for which nothing is resolved
};

// Why a list could not be read: the part and what was expected. `note` is a warning; both may be empty.
struct ListFault {
  Text<240> text;
  Text<240> note;
};

// Reads a list; nullptr: fault->text says why, or is empty if the arena is used up. Names are not linked yet.
HostList* parse_host_list(std::string_view text, ListUse use, Arena& arena, ListFault* fault);

// protocol["/" ports], ["!" | "-"] in front; by commas.
ProtoList* parse_proto_list(std::string_view text, Arena& arena, ListFault* fault);

// May /tcp or /udp stand behind a port, and what does it mean if none does?
enum class PortKinds : uint8_t { none, optional, tcp_if_none };
// "8023", "8023-8025", "{8023,8024}", "*", with a kind behind each port as `kinds` says; a host in front of a port
// within braces is dropped with a note if `hosts`.
bool parse_port_ranges(std::string_view text, PortKinds kinds, bool hosts, Arena& arena, View<PortRange>* out,
                       ListFault* fault);

}  // namespace smx

#endif
