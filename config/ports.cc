// Addresses with ports. Read next: ports.h.
#include "config/ports.h"

#include "config/scan.h"

namespace smx {

namespace {

// "::1:9000", where nobody can tell the port from the address.
bool is_bare_ip6_port(std::string_view text) {
  const size_t colon = text.rfind(':');
  Address a;
  return colon != kNowhere && text[0] != '[' && place_of(text, ':') < colon && parse_ip(first(text, colon), &a);
}

bool check_host(std::string_view host, std::string_view whole, Arena& arena, HostPort* out, Why* why) {
  if (is_bare_ip6_port(whole)) {
    const size_t colon = whole.rfind(':');
    return say(*why, "'%': an IPv6 address stands in brackets: [%]%", whole, first(whole, colon), skip(whole, colon));
  }
  if (host.empty()) return say(*why, "'%': a host is missing", whole);
  if (has_blank(host)) return say(*why, "'%': a blank inside", whole);
  why->clear();
  if (parse_host(host, arena, &out->host)) return true;
  return say(*why, "'%' is no host; expected a name, an IPv4 address or [IPv6]", host);
}

}  // namespace

size_t host_length(std::string_view text) {
  const size_t colon = find_outside(text, ':');
  return colon == kNowhere ? text.size() : colon;
}

bool parse_host_port(std::string_view text, Arena& arena, HostPort* out, bool* has_port, Why* why) {
  const size_t length = host_length(text);
  *has_port = length < text.size();
  if (!check_host(first(text, length), text, arena, out, why)) return false;
  if (!*has_port) return true;
  const std::string_view port = skip(text, length + 1);
  if (parse_port(port, &out->port) && out->port != 0) return true;
  return say(*why, "'%': '%' is no port; expected 1 to 65535", text, port);
}

bool parse_port_item(std::string_view item, Arena& arena, PortItem* out, Why* why) {
  const size_t slash = place_of(item, '/');
  const std::string_view t = first(item, slash);
  out->suffix = slash == kNowhere ? std::string_view{} : skip(item, slash);
  const size_t length = host_length(t);
  std::string_view port = t;
  if (length < t.size()) {
    if (!check_host(first(t, length), t, arena, &out->at, why)) return false;
    port = skip(t, length + 1);
  }
  const size_t dash = place_of(port, '-');
  const bool is_range = dash != kNowhere;
  bool good = parse_port(first(port, dash), &out->at.port);
  out->last = out->at.port;
  if (is_range) good = good && parse_port(skip(port, dash + 1), &out->last);
  if (good && (!is_range || (out->at.port != 0 && out->at.port <= out->last))) return true;
  if (place_of(item, ';') != kNowhere) return say(*why, "'%': ';' separates nothing; items are separated by ','", item);
  return say(*why, "'%': '%' is no port; expected [host:]port or [host:]low-high, 0 to 65535", item, port);
}

void append_host_port(TextBase& to, const HostPort& at) {
  const bool is_ip6 = place_of(at.host, ':') != kNowhere;
  if (is_ip6) to.add('[');
  to.add(at.host.empty() ? std::string_view("0.0.0.0") : at.host);
  if (is_ip6) to.add(']');
  to.add(':').add_u(at.port);
}

}  // namespace smx
