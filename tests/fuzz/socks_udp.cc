// The header of SOCKS's datagrams (RFC 1928, 7). Input: one datagram. What is made of an address is understood as the same.
// Read next: relay/socks_udp.h.
#include "relay/socks_udp.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

void socks_udp(smx::Bytes input) {
  smx::SocksUdpHeader h;
  if (!smx::parse_socks_udp(input, &h)) return;
  MUST(h.size <= input.size);
  MUST(h.size >= 8);
  MUST(h.host.size() <= 255);
  if (!h.host.empty()) return;
  uint8_t out[smx::kMostSocksUdpHeader];
  const size_t n = smx::make_socks_udp(h.to, out);
  MUST(n == h.size);
  smx::SocksUdpHeader again;
  MUST(smx::parse_socks_udp({out, n}, &again));
  MUST(again.host.empty());
  MUST(again.to == h.to);
  MUST(again.size == n);
}

}  // namespace fuzz
