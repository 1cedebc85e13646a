// An IP address with a port, as a value, and its text. Pure: names are resolved by core/io/resolver.
//
// Invariant: family is 0 (none), 4 or 6; an IPv4 address stands in ip[0..3] and the rest is zero.
// Read next: core/io/socket.h. Source of the text forms: RFC 4291 2.2, RFC 5952 (our output), and DeleGate's `__1`
// for `::1`, which its command line and its CONNECT texts use.
#ifndef SOCKMUX_CORE_BASE_ADDRESS_H
#define SOCKMUX_CORE_BASE_ADDRESS_H

#include <stdint.h>

#include <string_view>

#include "core/base/text.h"

namespace smx {

struct Address {
  uint8_t family = 0;
  uint8_t ip[16] = {};
  uint16_t port = 0;

  bool is_none() const { return family == 0; }
};

constexpr Address loopback_of(uint8_t family) {
  Address a;
  a.family = family;
  if (family == 4) {
    a.ip[0] = 127;
    a.ip[3] = 1;
  } else {
    a.ip[15] = 1;
  }
  return a;
}
// localhost is always ourselves: RFC 6761 6.3.
constexpr Address kLocalhost[] = {loopback_of(4), loopback_of(6)};

bool operator==(const Address& a, const Address& b);
bool same_ip(const Address& a, const Address& b);

// `a` as a destination. 0.0.0.0, ::ffff:0.0.0.0 and :: are none (RFC 1122 3.2.1.3 a, RFC 4291 2.5.2), but connect(2) and
// sendto(2) take them for an address of this host, which one depends on the system: we mean 127.0.0.1 and ::1.
Address meant(const Address& a);

// Longest text: '[' + 39 + ']' + ':' + 5.
constexpr size_t kAddressText = 48;

// Decimal number of 1 to 5 digits, at most 65535; false for everything else, and `port` is untouched.
bool parse_port(std::string_view text, uint16_t* port);

// "192.168.1.1", "::1", "[::1]" or "__1" (DeleGate writes '_' for ':'). False if the text is no IP address, and
// `out` is untouched; port is set to 0. Zone names (fe80::1%eth0) are not taken.
bool parse_ip(std::string_view text, Address* out);

// "127.0.0.1:80", "[::1]:80", "__1:80". False if it is not exactly that.
bool parse_ip_port(std::string_view text, Address* out);

// "127.0.0.1" or "::1".
void append_ip(TextBase& to, const Address& a);

// "127.0.0.1:80" or "[::1]:80"; "none" for none.
void append_address(TextBase& to, const Address& a);

// As DeleGate writes it in CONNECT: "127.0.0.1:80" or "__1:80".
void append_delegate(TextBase& to, const Address& a);

}  // namespace smx

#endif
