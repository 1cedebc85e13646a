// Addresses to and from the kernel's form. Private to core/io. Read next: socket.h, udp.h.
#ifndef SOCKMUX_CORE_IO_SOCKADDR_H
#define SOCKMUX_CORE_IO_SOCKADDR_H

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/address.h"

namespace smx {

inline socklen_t to_sockaddr(const Address& a, sockaddr_storage* out) {
  memset(out, 0, sizeof *out);
  if (a.family == 6) {
    sockaddr_in6 s{};
    s.sin6_family = AF_INET6;
    s.sin6_port = htons(a.port);
    memcpy(&s.sin6_addr, a.ip, 16);
    memcpy(out, &s, sizeof s);
    return sizeof s;
  }
  sockaddr_in s{};
  s.sin_family = AF_INET;
  s.sin_port = htons(a.port);
  memcpy(&s.sin_addr, a.ip, 4);
  memcpy(out, &s, sizeof s);
  return sizeof s;
}

inline Address from_sockaddr(const sockaddr_storage& in) {
  Address a;
  if (in.ss_family == AF_INET) {
    sockaddr_in s;
    memcpy(&s, &in, sizeof s);
    a.family = 4;
    memcpy(a.ip, &s.sin_addr, 4);
    a.port = ntohs(s.sin_port);
  } else if (in.ss_family == AF_INET6) {
    sockaddr_in6 s;
    memcpy(&s, &in, sizeof s);
    a.family = 6;
    memcpy(a.ip, &s.sin6_addr, 16);
    a.port = ntohs(s.sin6_port);
  }
  return a;
}

// Bytes of `*p`; `most` where sockaddr does not tell its length.
template <typename T>
auto sockaddr_bytes(const T* p, size_t most, int) -> decltype(static_cast<size_t>(p->sa_len)) {
  return p->sa_len < most ? p->sa_len : most;
}
template <typename T>
size_t sockaddr_bytes(const T* p, size_t most, long) {
  (void)p;
  return most;
}

// An address or a netmask of `family`, of getifaddrs(3). A netmask of a BSD may lack its family, and its zero bytes at the end:
// sa_len leaves them out.
template <typename T>
Address from_pointer(const T* p, sa_family_t family) {
  sockaddr_storage s{};
  memcpy(&s, p, sockaddr_bytes(p, family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in), 0));
  s.ss_family = family;
  return from_sockaddr(s);
}

// Binds to `source`, unless that is none, and connects. 0 or errno; EINPROGRESS: on its way.
inline int connect_from(int fd, const Address& source, const Address& to) {
  sockaddr_storage s;
  if (source.family != 0) {
    const socklen_t n = to_sockaddr(source, &s);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&s), n) < 0) return errno;
  }
  const socklen_t n = to_sockaddr(meant(to), &s);  // whom the rules were asked about
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&s), n) < 0 ? errno : 0;
}

}  // namespace smx

#endif
