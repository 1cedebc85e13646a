// Read next: socket.h.
#include "core/io/socket.h"

#include "core/io/sockaddr.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

namespace smx {

namespace {

int set_int(int fd, int level, int option, int value) { return setsockopt(fd, level, option, &value, sizeof value); }

Fd open_tcp(const Address& a, int* error) {
#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
  Fd fd(::socket(a.family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  *error = fd.valid() ? 0 : errno;
#else
  Fd fd(::socket(a.family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0));
  *error = fd.valid() ? prepare_fd(fd.get()) : errno;
#endif
  if (*error != 0) fd.reset();
  return fd;
}

}  // namespace

Fd listen_tcp(const Address& at, int backlog, int* error) {
  Fd fd = open_tcp(at, error);
  if (!fd.valid()) return fd;
  set_int(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (at.family == 6) set_int(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  sockaddr_storage s;
  const socklen_t n = to_sockaddr(at, &s);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&s), n) < 0 || ::listen(fd.get(), backlog) < 0) {
    *error = errno;
    fd.reset();
  }
  return fd;
}

Fd connect_tcp(const Address& to, const Address& source, int* error) {
  Fd fd = open_tcp(to, error);
  if (!fd.valid()) return fd;
  *error = connect_from(fd.get(), source, to);
  if (*error == EINPROGRESS || *error == EINTR) *error = 0;  // goes on by itself
  if (*error != 0) fd.reset();
  return fd;
}

Fd accept_tcp(int listener, Address* peer, int* error) {
  constexpr int kTries = 16;  // dead connections that may be skipped in one call
  for (int i = 0; i < kTries; ++i) {
    sockaddr_storage s;
    socklen_t n = sizeof s;
#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)  // who has these has accept4(2)
    Fd fd(::accept4(listener, reinterpret_cast<sockaddr*>(&s), &n, SOCK_NONBLOCK | SOCK_CLOEXEC));
#else
    Fd fd(::accept(listener, reinterpret_cast<sockaddr*>(&s), &n));
    if (fd.valid() && prepare_fd(fd.get()) != 0) fd.reset();
#endif
    if (fd.valid()) {
      *error = 0;
      *peer = from_sockaddr(s);
      return fd;
    }
    *error = errno;
    if (errno != EINTR && errno != ECONNABORTED) return fd;
  }
  *error = EAGAIN;
  return Fd();
}

int connect_result(int fd) {
  int error = 0;
  socklen_t n = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 ? errno : error;
}

Address local_address(int fd) {
  sockaddr_storage s{};
  socklen_t n = sizeof s;
  return getsockname(fd, reinterpret_cast<sockaddr*>(&s), &n) < 0 ? Address{} : from_sockaddr(s);
}
Address peer_address(int fd) {
  sockaddr_storage s{};
  socklen_t n = sizeof s;
  return getpeername(fd, reinterpret_cast<sockaddr*>(&s), &n) < 0 ? Address{} : from_sockaddr(s);
}

void set_nodelay(int fd) { set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1); }
void set_notsent_lowat(int fd, uint32_t bytes) {
#ifdef TCP_NOTSENT_LOWAT
  set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, static_cast<int>(bytes));
#else
  (void)fd;
  (void)bytes;
#endif
}
void set_oob_inline(int fd) { set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1); }
bool at_urgent(int fd) { return sockatmark(fd) == 1; }
void set_keepalive(int fd) {
  set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#if defined(__APPLE__) && defined(TCP_KEEPALIVE)
  set_int(fd, IPPROTO_TCP, TCP_KEEPALIVE, 60);  // its name of TCP_KEEPIDLE
#elif defined(TCP_KEEPIDLE) && defined(TCP_KEEPINTVL)
  set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
#endif
}
// Whoever cannot be told the end in this direction is told it in both: without an end it would wait for ever.
void shutdown_write(int fd) {
  if (::shutdown(fd, SHUT_WR) < 0) (void)::shutdown(fd, SHUT_RDWR);
}
void set_reset_on_close(int fd) {
  const linger hard{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

namespace {

uint8_t prefix_of(const Address& mask) {
  uint8_t bits = 0;
  const int n = mask.family == 4 ? 4 : 16;
  for (int i = 0; i < n; ++i)
    for (int b = 7; b >= 0; --b) {
      if ((mask.ip[i] >> b & 1) == 0) return bits;
      ++bits;
    }
  return bits;
}

}  // namespace

size_t own_networks(OwnNetwork out[kMaxNetworks]) {
  size_t n = 0;
  out[n].address.family = 4;
  out[n].address.ip[0] = 127;
  out[n++].prefix = 8;
  out[n].address.family = 6;
  out[n].address.ip[15] = 1;
  out[n++].prefix = 128;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) < 0) return n;
  for (const ifaddrs* i = list; i != nullptr && n < kMaxNetworks; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || i->ifa_netmask == nullptr) continue;
    const sa_family_t family = i->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    out[n].address = from_pointer(i->ifa_addr, family);
    out[n].address.port = 0;
    out[n++].prefix = prefix_of(from_pointer(i->ifa_netmask, family));
  }
  freeifaddrs(list);
  return n;
}

}  // namespace smx
