// Texts of IP addresses. Read next: address.h.
#include "core/base/address.h"

#include <string.h>

#include "core/base/letters.h"

namespace smx {

namespace {

// One decimal octet without sign or blanks: "0".."255", leading zeros refused (some read them as octal).
bool parse_octet(std::string_view text, uint8_t* out) {
  if (text.empty() || text.size() > 3) return false;
  if (text.size() > 1 && text[0] == '0') return false;
  unsigned value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  if (value > 255) return false;
  *out = static_cast<uint8_t>(value);
  return true;
}

bool parse_ip4(std::string_view text, uint8_t* ip) {
  for (int i = 0; i < 4; ++i) {
    const size_t dot = place_of(text, '.');
    if ((dot == kNowhere) != (i == 3)) return false;
    if (!parse_octet(first(text, dot), ip + i)) return false;
    if (i < 3) text.remove_prefix(dot + 1);
  }
  return true;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_colon(char c) { return c == ':' || c == '_'; }

// RFC 4291 2.2: up to eight groups, one "::", the last 32 bits possibly as dotted decimal.
bool parse_ip6(std::string_view text, uint8_t* ip) {
  uint8_t out[16] = {};
  size_t n = 0;          // bytes written
  size_t gap = SIZE_MAX;  // where "::" stood
  size_t i = 0;
  if (text.size() >= 2 && is_colon(text[0]) && is_colon(text[1])) {
    gap = 0;
    i = 2;
  }
  while (i < text.size()) {
    if (n == 16) return false;
    size_t end = i;
    unsigned value = 0;
    while (end < text.size() && hex_digit(text[end]) >= 0) {
      if (end - i >= 4) return false;
      value = value << 4 | static_cast<unsigned>(hex_digit(text[end]));
      ++end;
    }
    if (end == i) return false;
    if (end < text.size() && text[end] == '.') {
      if (n > 12 || !parse_ip4(skip(text, i), out + n)) return false;
      n += 4;
      break;
    }
    out[n++] = static_cast<uint8_t>(value >> 8);
    out[n++] = static_cast<uint8_t>(value);
    i = end;
    if (i == text.size()) break;
    if (!is_colon(text[i])) return false;
    ++i;
    if (i < text.size() && is_colon(text[i])) {
      if (gap != SIZE_MAX) return false;
      gap = n;
      ++i;
    } else if (i == text.size()) {
      return false;
    }
  }
  if (gap == SIZE_MAX ? n != 16 : n > 14) return false;
  memset(ip, 0, 16);
  if (gap == SIZE_MAX) gap = n;
  memcpy(ip, out, gap);
  memcpy(ip + 16 - (n - gap), out + gap, n - gap);
  return true;
}

}  // namespace

bool same_ip(const Address& a, const Address& b) { return a.family == b.family && memcmp(a.ip, b.ip, sizeof a.ip) == 0; }
bool operator==(const Address& a, const Address& b) { return same_ip(a, b) && a.port == b.port; }

bool parse_port(std::string_view text, uint16_t* port) {
  if (text.empty() || text.size() > 5) return false;
  uint32_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  if (value > 65535) return false;
  *port = static_cast<uint16_t>(value);
  return true;
}

bool parse_ip(std::string_view text, Address* out) {
  Address a;
  if (parse_ip4(text, a.ip)) {
    a.family = 4;
    *out = a;
    return true;
  }
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') text = first(skip(text, 1), text.size() - 2);
  if (place_of_any(text, ":_") == kNowhere) return false;
  if (!parse_ip6(text, a.ip)) return false;
  a.family = 6;
  *out = a;
  return true;
}

bool parse_ip_port(std::string_view text, Address* out) {
  const size_t colon = text.rfind(':');
  if (colon == kNowhere) return false;
  const std::string_view host = first(text, colon);
  if (place_of(host, ':') != kNowhere && host.front() != '[') return false;
  Address a;
  uint16_t port = 0;
  if (!parse_ip(host, &a) || !parse_port(skip(text, colon + 1), &port)) return false;
  a.port = port;
  *out = a;
  return true;
}

namespace {

void append_ip6(TextBase& to, const uint8_t* ip, char colon) {
  uint16_t group[8];
  for (int i = 0; i < 8; ++i) group[i] = static_cast<uint16_t>(ip[2 * i] << 8 | ip[2 * i + 1]);
  int best = -1;
  int best_length = 1;  // RFC 5952 4.2.2: a single zero group is not shortened
  for (int i = 0; i < 8; ++i) {
    int length = 0;
    while (i + length < 8 && group[i + length] == 0) ++length;
    if (length > best_length) {
      best = i;
      best_length = length;
    }
    if (length > 0) i += length - 1;
  }
  for (int i = 0; i < 8; ++i) {
    if (i == best) {
      to.add(colon).add(colon);
      i += best_length - 1;
      continue;
    }
    if (i > 0 && i != best + best_length) to.add(colon);
    bool begun = false;
    for (int shift = 12; shift >= 0; shift -= 4) {
      const int digit = group[i] >> shift & 15;
      begun = begun || digit != 0 || shift == 0;
      if (begun) to.add("0123456789abcdef"[digit]);
    }
  }
}

void append_ip4(TextBase& to, const uint8_t* ip) {
  for (int i = 0; i < 4; ++i) {
    if (i > 0) to.add('.');
    to.add_u(ip[i]);
  }
}

}  // namespace

Address meant(const Address& a) {
  static constexpr uint8_t kNone[16] = {};
  static constexpr uint8_t kMappedNone[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  const bool six = a.family == 6;
  Address out = a;
  if (six && memcmp(a.ip, kNone, 16) == 0) {
    out.ip[15] = 1;
  } else if (six ? memcmp(a.ip, kMappedNone, 16) == 0 : a.family == 4 && memcmp(a.ip, kNone, 4) == 0) {
    uint8_t* four = out.ip + (six ? 12 : 0);
    four[0] = 127;
    four[3] = 1;
  }
  return out;
}

void append_ip(TextBase& to, const Address& a) {
  if (a.family == 4) {
    append_ip4(to, a.ip);
  } else if (a.family == 6) {
    append_ip6(to, a.ip, ':');
  } else {
    to.add("none");
  }
}

void append_address(TextBase& to, const Address& a) {
  if (a.family == 6) to.add('[');
  append_ip(to, a);
  if (a.family == 6) to.add(']');
  if (a.family != 0) to.add(':').add_u(a.port);
}

void append_delegate(TextBase& to, const Address& a) {
  if (a.family == 6) {
    append_ip6(to, a.ip, '_');
  } else {
    append_ip(to, a);
  }
  to.add(':').add_u(a.port);
}

}  // namespace smx
