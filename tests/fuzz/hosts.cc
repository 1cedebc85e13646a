// Lists of hosts, protocols and ports, and who is in them. Input: a byte (use and kinds), then sections that end with NUL: a list,
// then who is asked about, as an address each. A list says the same of the same, and yes where there is doubt if it says so without.
// Read next: config/hostlist.h.
#include "config/hostlist.h"
#include "core/base/letters.h"
#include "tests/fuzz/targets.h"
#include "tests/fuzz/texts.h"

namespace fuzz {

namespace {

bool has_negation(const Data& list) { return list.find('!') != Data::npos; }

void ask(const smx::HostList& list, const Data& text, Input& in) {
  const Lookup lookup;
  for (int i = 0; i < 8 && !in.empty(); ++i) {
    smx::Subject who;
    who.accepted_port = in.u16();
    const uint8_t how = in.u8();
    who.kind_known = (how & 1) != 0;
    who.kind = (how & 2) != 0 ? smx::Transport::udp : smx::Transport::tcp;
    const Data name = in.until(0);
    if (!smx::parse_ip(name, &who.client)) who.host = name;
    const bool sure = smx::matches(list, who, lookup, smx::Doubt::deny);
    const bool maybe = smx::matches(list, who, lookup, smx::Doubt::allow);
    MUST(smx::matches(list, who, lookup, smx::Doubt::deny) == sure);
    // A name says the same as its key.
    if (!who.host.empty()) {
      smx::Subject keyed = who;
      keyed.host = {};
      keyed.host_key = smx::name_key(name);
      MUST(smx::matches(list, keyed, lookup, smx::Doubt::deny) == sure);
      MUST(smx::matches(list, keyed, lookup, smx::Doubt::allow) == maybe);
    }
    // Without "!" doubt only ever adds.
    if (!has_negation(text)) MUST(!sure || maybe);
  }
}

}  // namespace

void hosts(smx::Bytes input) {
  constexpr size_t kMemory = 192 * 1024;
  Input in(input);
  const uint8_t how = in.u8();
  const Data text = in.until(0);
  smx::Arena arena(zeroed<kMemory>(), kMemory);
  smx::ListFault fault;
  if ((how & 0x80) != 0) {
    const smx::ProtoList* list = smx::parse_proto_list(text, arena, &fault);
    MUST((list == nullptr) == (fault.text.size() > 0));
    if (list == nullptr) return;
    while (!in.empty()) {
      const uint16_t port = in.u16();
      const Data protocol = in.until(0);
      const bool open = smx::matches(*list, protocol, port, true), shut = smx::matches(*list, protocol, port, false);
      MUST(open || !shut);
      if (!list->adds_to_default) MUST(open == shut);
    }
    return;
  }
  if ((how & 0x40) != 0) {
    smx::View<smx::PortRange> ports;
    const bool good = smx::parse_port_ranges(text, static_cast<smx::PortKinds>(how % 3), (how & 8) != 0, arena, &ports, &fault);
    MUST(good == (fault.text.size() == 0));
    for (size_t i = 0; good && i < ports.count; ++i) MUST(ports[i].first <= ports[i].last);
    return;
  }
  const smx::HostList* list = smx::parse_host_list(text, static_cast<smx::ListUse>(how % 5), arena, &fault);
  MUST((list == nullptr) == (fault.text.size() > 0));
  if (list == nullptr) {
    for (const char c : fault.text.text()) MUST(c >= ' ' && c < 0x7f);
    return;
  }
  MUST(list->count <= smx::kMaxTerms);
  ask(*list, text, in);
  // What a list is said to be is the same list.
  smx::ListFault none;
  MUST(smx::parse_host_list(list->text, static_cast<smx::ListUse>(how % 5), arena, &none) != nullptr || none.text.size() == 0);
}

}  // namespace fuzz
