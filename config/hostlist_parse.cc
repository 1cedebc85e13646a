// How lists of hosts are read. Read next: hostlist.h; protolist.cc (ports), hostlist_match.cc.
#include <string.h>

#include "config/hostlist.h"
#include "config/scan.h"

namespace smx {

namespace {

// One list with the lists in its braces; each {...} is a reader of its own, one deeper.
class ListReader {
 public:
  ListReader(ListUse use, Arena& arena, ListFault* fault, size_t depth)
      : use_(use), arena_(arena), fault_(fault), depth_(depth), terms_(kMaxTerms) {}

  HostList* read(std::string_view text);

 private:
  bool take(std::string_view item);
  bool extend_ports(std::string_view item);
  bool term(std::string_view t, HostTerm* out);
  bool host(std::string_view t, HostTerm* out);
  bool network(std::string_view t, size_t slash, HostTerm* out);
  bool octets(std::string_view t, HostTerm* out);
  bool colon(std::string_view* t, HostTerm* out, bool* has_ports);
  bool put(const HostTerm& term);
  bool names_servers() const { return use_ == ListUse::servers || use_ == ListUse::dest; }

  ListUse use_;
  Arena& arena_;
  ListFault* fault_;
  size_t depth_;
  GrowList<HostTerm> terms_;
  HostTerm::Join join_ = HostTerm::Join::next;
  bool joined_ = false;         // "&" or "|" waits for what stands behind it
  std::string_view port_text_;  // the text of the last term, if that is a -P, to be continued by bare numbers
};

bool ListReader::put(const HostTerm& term) {
  if (terms_.is_full()) return say(fault_->text, "the list has more than 1024 parts");
  return terms_.add(arena_, term);
}

HostList* ListReader::read(std::string_view text) {  // NOLINT(misc-no-recursion): kMaxBraces
  text = without_braces(text);
  if (!is_balanced(text)) {
    const bool brackets = place_of(text, '{') == kNowhere && place_of(text, '}') == kNowhere;
    say(fault_->text, "'%': %", text, brackets ? "[ and ] do not match" : "{ and } do not match");
    return nullptr;
  }
  Items items(text);
  std::string_view item;
  while (items.next(&item)) {
    if (!take(item)) return nullptr;
  }
  if (joined_) {
    say(fault_->text, "'%': nothing stands behind the last & or |", text);
    return nullptr;
  }
  if (terms_.count() == 0) {
    say(fault_->text, "the list of hosts is empty; * is everybody, .localnet the local networks");
    return nullptr;
  }
  HostList* list = arena_.make<HostList>();
  if (list == nullptr) return nullptr;
  list->terms = terms_.begin();
  list->count = terms_.count();
  // The text as it is shown: without blanks (those at commas; others were refused).
  char* to = static_cast<char*>(arena_.take(text.size() + 1, 1));
  if (to == nullptr) return nullptr;
  size_t n = 0;
  for (const char c : text) {
    if (!is_blank(c)) to[n++] = c;
  }
  to[n] = 0;
  list->text = {to, n};
  return list;
}

bool ListReader::take(std::string_view item) {  // NOLINT(misc-no-recursion): kMaxBraces
  if (item.empty()) return say(fault_->text, "an empty part between two commas");
  if (item == "&" || item == "|") {
    if (joined_ || terms_.count() == 0) return say(fault_->text, "'%' needs a host on either side", item);
    join_ = item == "&" ? HostTerm::Join::both : HostTerm::Join::either;
    joined_ = true;
    port_text_ = {};
    return true;
  }
  if (!port_text_.empty() && is_digit(item[0]) && place_of_any(item, ".:") == kNowhere) return extend_ports(item);
  HostTerm out;
  out.join = join_;
  join_ = HostTerm::Join::next;
  joined_ = false;
  port_text_ = {};
  std::string_view t = item;
  if (t[0] == '!') {
    out.negated = true;
    t = trim(skip(t, 1));
    if (t.empty()) return say(fault_->text, "a '!' alone; it must stand in front of a host");
    if (t[0] == '!') return say(fault_->text, "'%': one '!' is enough", item);
  }
  if (!term(t, &out)) return false;
  if (out.kind == HostTerm::Kind::ports) port_text_ = skip(t, 2);
  return put(out);
}

// "-P8023,8024" means both ports. The text between the first and this item is one piece of the list.
bool ListReader::extend_ports(std::string_view item) {
  const char* begun = port_text_.data();
  port_text_ = {begun, static_cast<size_t>(item.data() + item.size() - begun)};
  HostTerm& last = terms_[terms_.count() - 1];
  return parse_port_ranges(port_text_, PortKinds::optional, true, arena_, &last.ports, fault_);
}

bool ListReader::term(std::string_view t, HostTerm* out) {  // NOLINT(misc-no-recursion): kMaxBraces
  if (place_of(t, ';') != kNowhere)
    return say(fault_->text, "'%': ';' separates nothing; hosts are separated by ','", t);
  if (t[0] == '{') {
    if (without_braces(t).size() == t.size()) return say(fault_->text, "'%': unexpected text at { }", t);
    if (depth_ + 1 == kMaxBraces) return say(fault_->text, "more than 8 { inside of each other");
    ListReader inner(use_, arena_, fault_, depth_ + 1);
    out->kind = HostTerm::Kind::list;
    out->list = inner.read(t);
    return out->list != nullptr;
  }
  if (first(t, 2) == "-P") {
    if (use_ == ListUse::reliable) {
      return say(fault_->text, "'%': no -P here; which port a client may use is for PERMIT or a server's condition", t);
    }
    if (use_ == ListUse::sources) return say(fault_->text, "'%': expected an address or a network", t);
    if (names_servers()) return say(fault_->text, "'%': no -P in a list of servers; write host:port", t);
    out->kind = HostTerm::Kind::ports;
    return parse_port_ranges(skip(t, 2), PortKinds::optional, true, arena_, &out->ports, fault_);
  }
  if (has_blank(t)) return say(fault_->text, "'%': a blank inside; hosts are separated by ','", t);
  if (t[0] == '-') return say(fault_->text, "'%': not supported; of the forms with - there is -Pport only", t);
  if (place_of(t, '@') != kNowhere && place_of(t, '/') == kNowhere) {
    return say(fault_->text, "'%': user@ can't be checked here; give the host alone", t);
  }
  return host(t, out);
}

// "host:port" of a list of servers: takes the ports off.
bool ListReader::colon(std::string_view* t, HostTerm* out, bool* has_ports) {
  const size_t at = find_outside(*t, ':');
  if (at == kNowhere) return true;
  Address a;
  const size_t slash = place_of(*t, '/');
  const std::string_view whole = first(*t, slash);
  if (at < slash && parse_ip(whole, &a)) return true;  // IPv6 without brackets
  if (use_ == ListUse::sources) return say(fault_->text, "'%': expected an address or a network", *t);
  if (!names_servers()) {
    return say(fault_->text,
               "'%': a ':' that belongs to no IPv6 address; the client's port does not count, and -Pport is the "
               "port where it was accepted",
               *t);
  }
  const std::string_view ports = skip(*t, at + 1);
  *t = first(*t, at);
  if (t->empty()) return say(fault_->text, "':%': a host is missing in front of the port", ports);
  *has_ports = true;
  const PortKinds kinds = use_ == ListUse::dest ? PortKinds::tcp_if_none : PortKinds::none;
  return ports == "*" || parse_port_ranges(ports, kinds, false, arena_, &out->ports, fault_);
}

bool ListReader::host(std::string_view t, HostTerm* out) {
  bool has_ports = false;
  if (!colon(&t, out, &has_ports)) return false;
  if (t == "*") {
    out->kind = HostTerm::Kind::any;
    return true;
  }
  if (use_ == ListUse::dest && !has_ports) {
    return say(fault_->text, "'%': a port is missing; :* behind the host is every port", t);
  }
  const size_t slash = place_of(t, '/');
  if (slash != kNowhere) return network(t, slash, out);
  Address a;
  if (parse_ip(t, &a)) {
    out->kind = HostTerm::Kind::network;
    out->address = unmapped(a);
    memset(out->mask, 0xff, sizeof out->mask);
    return true;
  }
  if (t.find_first_not_of("0123456789.*[]-") == kNowhere && t != "." && t[0] != '-') return octets(t, out);
  if (starts_with(t, "_4.") || starts_with(t, "_6.")) {
    return say(fault_->text, "'%': not supported; write 0.0.0.0/0 or an IPv6 network", t);
  }
  if (place_of(t, '*') != kNowhere) {
    return say(fault_->text, "'%': names are never looked up from addresses; list addresses or whole names instead", t);
  }
  if (use_ == ListUse::sources) {
    return say(fault_->text, "'%': expected an address or a network; nothing is resolved here", t);
  }
  if (t == ".localnet") {
    out->kind = HostTerm::Kind::localnet;
    out->name = t;
    return true;
  }
  if (!is_host_name(t)) {
    return say(fault_->text, "'%': expected an address, a network, a name, .localnet or *", t);
  }
  out->kind = HostTerm::Kind::name;
  out->name = t;
  return true;
}

// The mask of IPv4: "24", "255.255.255.0", "FFFFFF00".
bool mask4(std::string_view text, uint32_t* mask) {
  uint64_t bits = 0;
  Address dotted;
  if (text.size() <= 2 && parse_number(text, 32, &bits)) {
    *mask = bits == 0 ? 0 : UINT32_MAX << (32 - bits);
    return true;
  }
  if (parse_ip(text, &dotted) && dotted.family == 4) {
    *mask = static_cast<uint32_t>(dotted.ip[0]) << 24 | static_cast<uint32_t>(dotted.ip[1]) << 16 |
            static_cast<uint32_t>(dotted.ip[2]) << 8 | dotted.ip[3];
    return true;
  }
  if (text.size() != 8) return false;
  *mask = 0;
  for (const char c : text) {
    const char low = fold(c);
    if (!is_digit(c) && (low < 'a' || low > 'f')) return false;
    *mask = *mask << 4 | static_cast<uint32_t>(is_digit(c) ? c - '0' : low - 'a' + 10);
  }
  return true;
}

bool ListReader::network(std::string_view t, size_t slash, HostTerm* out) {
  const std::string_view bits_text = skip(t, slash + 1);
  Address a;
  if (!parse_ip(first(t, slash), &a)) {
    return say(fault_->text, "'%': in front of the / must stand an address", t);
  }
  if (!bits_text.empty() && (bits_text[0] == '@' || bits_text[0] == '.')) {
    return say(fault_->text, "'%': masks of classes are not supported; write /8, /16 or /24", t);
  }
  bool all = false;
  if (a.family == 4) {
    uint32_t mask = 0;
    if (!mask4(bits_text, &mask)) {
      return say(fault_->text, "'%': the mask of IPv4 is /0 to /32, /255.255.0.0 or /FFFF0000", t);
    }
    for (unsigned i = 0; i < 4; ++i) out->mask[i] = static_cast<uint8_t>(mask >> (24 - 8 * i));
    all = mask == 0;
  } else {
    uint64_t bits = 0;
    if (!parse_number(bits_text, 128, &bits)) return say(fault_->text, "'%': the mask of IPv6 is /0 to /128", t);
    all = bits == 0;
    const Address v4 = unmapped(a);
    if (v4.family == 4 && bits >= 96) {
      a = v4;
      bits -= 96;
    }
    for (unsigned i = 0; i < 16; ++i) out->mask[i] = mask_byte(bits, i);
  }
  out->kind = all ? HostTerm::Kind::any : HostTerm::Kind::network;
  out->address = a;
  return true;
}

// "7", "*", "[0-5]".
bool octet(std::string_view text, uint8_t* low, uint8_t* high) {
  uint64_t from = 0;
  uint64_t to = 255;
  if (text == "*") {
  } else if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
    const std::string_view range{text.data() + 1, text.size() - 2};
    const size_t dash = place_of(range, '-');
    if (dash == kNowhere || !parse_number(first(range, dash), 255, &from)) return false;
    if (!parse_number(skip(range, dash + 1), 255, &to)) return false;
  } else {
    if (text.size() > 3 || !parse_number(text, 255, &from)) return false;
    to = from;
  }
  if (from > to) return false;
  *low = static_cast<uint8_t>(from);
  *high = static_cast<uint8_t>(to);
  return true;
}

bool ListReader::octets(std::string_view t, HostTerm* out) {
  out->kind = HostTerm::Kind::octets;
  std::string_view rest = t;
  size_t n = 0;
  for (; n < 4; ++n) {
    const size_t dot = place_of(rest, '.');
    const std::string_view part = first(rest, dot);
    if (!octet(part, &out->low[n], &out->high[n])) {
      return say(fault_->text, "'%': '%' is no part of an address; expected 0 to 255, [low-high] or *", t, part);
    }
    if (dot == kNowhere) {
      // A last * stands for all parts that are left.
      if (n < 3 && part != "*") break;
      for (size_t i = n + 1; i < 4; ++i) out->high[i] = 255;
      return true;
    }
    rest = skip(rest, dot + 1);
  }
  return say(fault_->text, "'%': an IPv4 address has four parts; the last ones may be one *, as in 10.1.*", t);
}

}  // namespace

HostList* parse_host_list(std::string_view text, ListUse use, Arena& arena, ListFault* fault) {
  ListReader reader(use, arena, fault, 0);
  return reader.read(text);
}

}  // namespace smx
