// How lists of ports and of protocols are read. Read next: hostlist.h; hostlist_parse.cc.
#include "config/hostlist.h"
#include "config/scan.h"

namespace smx {

namespace {

// One port or range, maybe with a host in front and a kind behind.
bool parse_port_range(std::string_view item, PortKinds kinds, bool hosts, PortRange* out, ListFault* fault) {
  std::string_view t = item;
  const size_t colon = t.rfind(':');
  if (hosts && colon != kNowhere && colon > 0) {
    fault->note.clear();
    fault->note.add("'").add_printable(t).add("': the host is ignored, the port alone counts");
    t = skip(t, colon + 1);
  }
  const size_t slash = place_of(t, '/');
  if (kinds == PortKinds::tcp_if_none) out->has_kind = true;  // Transport::tcp
  if (kinds != PortKinds::none && slash != kNowhere) {
    const std::string_view kind = skip(t, slash + 1);
    if (kind != "tcp" && kind != "udp") {
      return say(fault->text, "'%': expected /tcp or /udp, in lower case, behind the port", item);
    }
    out->has_kind = true;
    out->kind = kind == "udp" ? Transport::udp : Transport::tcp;
    t = first(t, slash);
  }
  if (t == "*") {
    out->first = 0;
    out->last = 65535;
    return true;
  }
  const size_t dash = place_of(t, '-');
  const bool good = parse_port(first(t, dash), &out->first) &&
                    parse_port(dash == kNowhere ? t : skip(t, dash + 1), &out->last) && out->first <= out->last;
  return good || say(fault->text, "'%': expected a port of 0 to 65535, or a range low-high", item);
}

}  // namespace

bool parse_port_ranges(std::string_view text, PortKinds kinds, bool hosts, Arena& arena, View<PortRange>* out,
                       ListFault* fault) {
  if (!is_balanced(text)) return say(fault->text, "'%': { and } do not match", text);
  GrowList<PortRange> ranges(kMaxPortRanges);
  Items outer(text);
  std::string_view part;
  while (outer.next(&part)) {
    Items inner(without_braces(part));
    std::string_view item;
    while (inner.next(&item)) {
      PortRange range;
      if (!parse_port_range(item, kinds, hosts, &range, fault)) return false;
      if (ranges.is_full()) return say(fault->text, "more than 64 ports and ranges in one list");
      if (!ranges.add(arena, range)) return false;
    }
  }
  if (ranges.count() == 0) return say(fault->text, "a port is missing");
  *out = ranges.view();
  return true;
}

ProtoList* parse_proto_list(std::string_view text, Arena& arena, ListFault* fault) {
  ProtoList* list = arena.make<ProtoList>();
  if (list == nullptr) return nullptr;
  if (!is_balanced(text)) {
    say(fault->text, "'%': { and } do not match", text);
    return nullptr;
  }
  GrowList<ProtoTerm> terms(kMaxTerms);
  Items items(without_braces(text));
  std::string_view item;
  bool begun = false;
  while (items.next(&item)) {
    ProtoTerm term;
    std::string_view t = item;
    const bool is_plus = t == "+" && !begun;
    begun = true;
    if (is_plus) {
      list->adds_to_default = true;
      continue;
    }
    term.negated = !t.empty() && (t[0] == '!' || t[0] == '-');
    if (term.negated) t = trim(skip(t, 1));
    const size_t slash = place_of(t, '/');
    term.name = first(t, slash);
    const std::string_view ports = slash == kNowhere ? std::string_view{} : skip(t, slash + 1);
    if (find_outside(ports, '/') != kNowhere) {
      say(fault->text, "'%': methods are not supported; expected protocol or protocol/ports", item);
      return nullptr;
    }
    if (term.name != "*" && (!is_host_name(term.name) || place_of(term.name, '.') != kNowhere)) {
      say(fault->text, "'%': expected a protocol, or *", item);
      return nullptr;
    }
    const bool all_ports = slash == kNowhere || ports.empty() || ports == "*";
    if (!all_ports && !parse_port_ranges(ports, PortKinds::none, false, arena, &term.ports, fault)) return nullptr;
    if (terms.is_full()) {
      say(fault->text, "the list has more than 1024 parts");
      return nullptr;
    }
    if (!terms.add(arena, term)) return nullptr;
  }
  if (terms.count() == 0 && !list->adds_to_default) {
    say(fault->text, "the list of protocols is empty; * is all");
    return nullptr;
  }
  list->terms = terms.view();
  return list;
}

}  // namespace smx
