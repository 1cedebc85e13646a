// UDP sockets: one that takes the datagrams of many clients, and one that is connected to a server.
//
// Invariant: what is returned is CLOEXEC and NONBLOCK; a datagram is whole or said to be cut. Errors are errno values.
// Read next: relay/udp_listener.h, relay/udp_exit.h. Source: udp(7), ip(7), ipv6(7), RFC 3542.
#ifndef SOCKMUX_CORE_IO_UDP_H
#define SOCKMUX_CORE_IO_UDP_H

#include <stdint.h>

#include "core/base/address.h"
#include "core/base/bytes.h"
#include "core/io/fd.h"

namespace smx {

// A bound socket that tells to which of our addresses a datagram was sent; an IPv6 one takes IPv6 only.
Fd listen_udp(const Address& at, int* error);
// The same of a socket that somebody else has bound. False: it cannot be.
bool prepare_udp(int fd, uint8_t family);

// A socket that sends to `to` and hears from nobody else; `source` none: the system chooses.
Fd connect_udp(const Address& to, const Address& source, int* error);

// One datagram that came, or why none did.
struct Datagram {
  size_t size = 0;
  bool cut = false;        // it was longer than the pieces
  bool again = false;      // there is none
  int error = 0;           // errno; for a connected socket also what an earlier datagram of ours met
  Address from;
  Address to;              // our address that the client used, without the port; none where the system does not say
  uint32_t interface = 0;  // IPv6 link-local clients: where they are
  uint32_t lost = 0;       // datagrams that the kernel has dropped at this socket so far, where it says so (Linux)
};
Datagram receive_udp(int fd, const MutBytes* piece, int pieces);
// Receives datagrams that nobody wants, at most 128 a call. How many there were.
uint32_t drop_datagrams(int fd);

// Sends one datagram to `to`, from our address `from` where that is not none. Never waits: 0 or errno.
// `segment` not 0: several of that size, the last one maybe shorter; all of them go, or none. Only where udp_joins().
int send_udp_to(int fd, const Bytes* piece, int pieces, const Address& to, const Address& from, uint32_t interface, size_t segment = 0);
// The same on a connected socket.
int send_udp(int fd, const Bytes* piece, int pieces, size_t segment = 0);
// The system takes several datagrams with one call (Linux 4.18; an older one would send them as a single one).
bool udp_joins();

}  // namespace smx

#endif
