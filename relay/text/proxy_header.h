// The first bytes that a server gets if it wants to know the client behind the tunnel: the PROXY protocol, versions 1 and 2.
//
// Pure. Source: "The PROXY protocol, versions 1 & 2" of the HAProxy project, 2.1 (v1: a line), 2.2 (v2: binary).
#ifndef SOCKMUX_RELAY_PROXY_HEADER_H
#define SOCKMUX_RELAY_PROXY_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/address.h"

namespace smx {

// The longest line of v1 has 107 bytes; v2 with two IPv6 addresses 52.
using ProxyHeader = uint8_t[112];

// `client` came to the port `accepted`. `version`: 1 or 2. A client that is not known (family 0) is said to be UNKNOWN. Where
// only one of both is IPv6 the other one stands as ::ffff:a.b.c.d. The size.
size_t write_proxy_header(int version, const Address& client, const Address& accepted, ProxyHeader& out);

}  // namespace smx

#endif
