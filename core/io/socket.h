// Sockets: addresses to and from the kernel's form, and the few calls the daemon makes on them.
//
// Invariant: what is returned is CLOEXEC and NONBLOCK. Errors are errno values. Read next: fd.h, resolver.h.
#ifndef SOCKMUX_CORE_IO_SOCKET_H
#define SOCKMUX_CORE_IO_SOCKET_H

#include <stdint.h>

#include "core/base/address.h"
#include "core/io/fd.h"

namespace smx {

// A new listening TCP socket with SO_REUSEADDR; an IPv6 one takes IPv6 only. `error` is set when the Fd is not valid.
Fd listen_tcp(const Address& at, int backlog, int* error);

// Begins to connect; `source` none: the system chooses. The result is connecting (EINPROGRESS) or connected.
Fd connect_tcp(const Address& to, const Address& source, int* error);

// One client, or none: *error is EAGAIN, EMFILE, ... Connections that died in the queue are skipped.
Fd accept_tcp(int listener, Address* peer, int* error);

// SO_ERROR of a connecting socket: 0 when it is connected.
int connect_result(int fd);

// What became of those who have come to a port.
struct PortCounts {
  uint64_t accepted = 0, refused = 0;
};

Address local_address(int fd);
Address peer_address(int fd);
void set_nodelay(int fd);
// Bytes that may wait unsent in the kernel before the socket stops being writable; no effect where unknown.
void set_notsent_lowat(int fd, uint32_t bytes);
// SO_OOBINLINE: an urgent byte stays at its place in the stream, so that it is not lost.
void set_oob_inline(int fd);
// The next byte to be read is the urgent one: sockatmark(3). Reads stop in front of it, whatever they ask for.
bool at_urgent(int fd);
// SO_KEEPALIVE, after a minute of silence where that can be said: a host that vanished does not hold its channel for
// ever. Accepted sockets have it from their listener.
void set_keepalive(int fd);
void shutdown_write(int fd);
// Closing it will reset the connection (linger 0) instead of ending it.
void set_reset_on_close(int fd);

// Networks of our own interfaces, loopback included, as address and prefix length: `.localnet`.
struct OwnNetwork {
  Address address;
  uint8_t prefix = 0;
};
constexpr size_t kMaxNetworks = 64;
// Fills `out`, returns how many; allocates within the C library (getifaddrs).
size_t own_networks(OwnNetwork out[kMaxNetworks]);

}  // namespace smx

#endif
