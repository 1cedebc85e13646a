// Texts that name an address and a port: "host:port", and the items of -P and PORT.
//
// Invariant: a host that comes out of here is a name or an address as Config wants it. Pure. Read next: parser.h.
// Source: sockmux.conf(5), "PORT"; DeleGate's manual.
#ifndef SOCKMUX_CONFIG_PORTS_H
#define SOCKMUX_CONFIG_PORTS_H

#include <stddef.h>
#include <stdint.h>

#include <string_view>

#include "config/config.h"
#include "core/base/arena.h"
#include "core/base/text.h"

namespace smx {

// What was expected, for a message; empty if the arena is used up.
using Why = Text<240>;

// "host", "host:port": has_port tells which. A host is a name, IPv4, "[IPv6]" or "__1". The port is 1..65535.
bool parse_host_port(std::string_view text, Arena& arena, HostPort* out, bool* has_port, Why* why);

// How many characters of "host:port/udp:more" belong to the host: up to the first ':' that is not inside of [...].
size_t host_length(std::string_view text);

// One item of -P or PORT: [host ":"] port ["-" port] {"/" word}. Ports are 0..65535; 0 is no end of a range.
struct PortItem {
  HostPort at;
  uint16_t last = 0;
  std::string_view suffix;  // from the first '/' on; may be empty
};
bool parse_port_item(std::string_view item, Arena& arena, PortItem* out, Why* why);

// The text of `at`: "0.0.0.0:80" without a host, "[::1]:80".
void append_host_port(TextBase& to, const HostPort& at);

}  // namespace smx

#endif
