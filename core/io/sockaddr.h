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
