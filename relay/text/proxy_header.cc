// Read next: proxy_header.h.
#include "relay/text/proxy_header.h"

#include <string.h>

#include "core/base/bytes.h"
#include "core/base/check.h"

namespace smx {

namespace {

// Version 2, 2.2:
//     0          12       13       14       16
//     +----------+--------+--------+--------+-----------------------------------------------------+
//     | kMark    | 21     | family | length | source address, destination address, both ports     |
//     +----------+--------+--------+--------+-----------------------------------------------------+
constexpr uint8_t kMark[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
constexpr uint8_t kVersion2Proxy = 0x21;
constexpr uint8_t kUnspecified = 0x00, kTcp4 = 0x11, kTcp6 = 0x21;
constexpr size_t kFixed = 16;

Address as_ipv6(const Address& a) {
  if (a.family == 6) return a;
  Address mapped;
  mapped.family = 6;
  mapped.port = a.port;
  mapped.ip[10] = mapped.ip[11] = 0xff;
  memcpy(mapped.ip + 12, a.ip, 4);
  return mapped;
}

size_t write_line(const Address& client, const Address& accepted, uint8_t* out) {
  Text<sizeof(ProxyHeader)> line("PROXY ");
  if (client.is_none()) {
    line.add("UNKNOWN\r\n");
  } else {
    append_ip(line.add(client.family == 4 ? "TCP4 " : "TCP6 "), client);
    append_ip(line.add(' '), accepted);
    line.add(' ').add_u(client.port).add(' ').add_u(accepted.port).add("\r\n");
  }
  memcpy(out, line.text().data(), line.size());
  return line.size();
}

size_t write_binary(const Address& client, const Address& accepted, uint8_t* out) {
  const size_t ip = client.is_none() ? 0 : client.family == 4 ? 4 : 16;
  memcpy(out, kMark, sizeof kMark);
  out[12] = kVersion2Proxy;
  out[13] = client.is_none() ? kUnspecified : client.family == 4 ? kTcp4 : kTcp6;
  const size_t length = ip == 0 ? 0 : 2 * ip + 4;
  store16(out + 14, static_cast<uint16_t>(length));
  if (ip == 0) return kFixed;
  uint8_t* at = out + kFixed;
  memcpy(at, client.ip, ip);
  memcpy(at + ip, accepted.ip, ip);
  store16(at + 2 * ip, client.port);
  store16(at + 2 * ip + 2, accepted.port);
  return kFixed + length;
}

}  // namespace

size_t write_proxy_header(int version, const Address& client, const Address& accepted, ProxyHeader& out) {
  SMX_CHECK(version == 1 || version == 2);
  Address from = client, at = accepted;
  if (from.is_none() || at.is_none()) {
    from = at = Address{};
  } else if (from.family != at.family) {
    from = as_ipv6(from);
    at = as_ipv6(at);
  }
  return version == 1 ? write_line(from, at, out) : write_binary(from, at, out);
}

}  // namespace smx
