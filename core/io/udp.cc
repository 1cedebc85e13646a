// Read next: udp.h.
#if defined(__APPLE__)
#define __APPLE_USE_RFC_3542 1  // else <netinet/in.h> has no IPV6_PKTINFO
#endif
#include "core/io/udp.h"

#include "core/io/sockaddr.h"

#include <errno.h>
#include <netinet/in.h>
#ifdef __linux__
#include <netinet/udp.h>
#endif
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace smx {

namespace {

// The largest datagram counts as twice its size and more in the kernel; systems cut this to their own limit.
constexpr int kListenBuffer = 1024 * 1024;  // many clients share it
constexpr int kServerBuffer = 256 * 1024;
constexpr int kPieces = 64;

int set_int(int fd, int level, int option, int value) { return setsockopt(fd, level, option, &value, sizeof value); }

void set_buffers(int fd, int receive) {
  set_int(fd, SOL_SOCKET, SO_RCVBUF, receive);
  set_int(fd, SOL_SOCKET, SO_SNDBUF, kServerBuffer);  // BSD: also the largest datagram that can be sent
}

Fd open_udp(const Address& a, int buffer, int* error) {
#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
  Fd fd(::socket(a.family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  *error = fd.valid() ? 0 : errno;
#else
  Fd fd(::socket(a.family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0));
  *error = fd.valid() ? prepare_fd(fd.get()) : errno;
#endif
  if (*error != 0) {
    fd.reset();
    return fd;
  }
  set_buffers(fd.get(), buffer);
  return fd;
}

// Which option makes the kernel tell our address, and takes it for what we send. Linux has IP_PKTINFO, the BSDs two others.
void ask_for_own_address(int fd, bool six) {
  if (six) {
#ifdef IPV6_RECVPKTINFO
    set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
#endif
    return;
  }
#if defined(IP_PKTINFO) && defined(__linux__)
  set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
#elif defined(IP_RECVDSTADDR)
  set_int(fd, IPPROTO_IP, IP_RECVDSTADDR, 1);
#endif
}

template <typename T>
T control_value(const cmsghdr* c) {
  T value;
  memcpy(&value, CMSG_DATA(const_cast<cmsghdr*>(c)), sizeof value);
  return value;
}

void read_control(const cmsghdr* c, Datagram* d) {
#if defined(IP_PKTINFO) && defined(__linux__)
  if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
    const in_pktinfo info = control_value<in_pktinfo>(c);
    d->to.family = 4;
    memcpy(d->to.ip, &info.ipi_spec_dst, 4);  // ours also where the datagram went to a broadcast address
  }
#elif defined(IP_RECVDSTADDR)
  if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVDSTADDR) {
    const in_addr own = control_value<in_addr>(c);
    d->to.family = 4;
    memcpy(d->to.ip, &own, 4);
  }
#endif
#ifdef IPV6_PKTINFO
  if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
    const in6_pktinfo info = control_value<in6_pktinfo>(c);
    d->to.family = 6;
    memcpy(d->to.ip, &info.ipi6_addr, 16);
    if (d->from.family == 6 && d->from.ip[0] == 0xfe && (d->from.ip[1] & 0xc0) == 0x80) d->interface = info.ipi6_ifindex;
  }
#endif
#ifdef SO_RXQ_OVFL
  if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) d->lost = control_value<uint32_t>(c);
#endif
}

union Control {
  cmsghdr align;
  char room[256];
};

// Behind what stands there already.
template <typename T>
void put_control(msghdr* m, Control* room, int level, int type, const T& value) {
  cmsghdr c{};
  c.cmsg_level = level;
  c.cmsg_type = type;
  c.cmsg_len = CMSG_LEN(sizeof value);
  char* at = room->room + m->msg_controllen;
  memset(at, 0, CMSG_SPACE(sizeof value));
  memcpy(at, &c, sizeof c);
  memcpy(CMSG_DATA(reinterpret_cast<cmsghdr*>(at)), &value, sizeof value);
  m->msg_control = room;
  m->msg_controllen = static_cast<decltype(m->msg_controllen)>(m->msg_controllen + CMSG_SPACE(sizeof value));
}

void say_own_address(msghdr* m, Control* room, const Address& from, uint32_t interface) {
  if (from.family == 6) {
#ifdef IPV6_PKTINFO
    in6_pktinfo info{};
    memcpy(&info.ipi6_addr, from.ip, 16);
    info.ipi6_ifindex = interface;
    put_control(m, room, IPPROTO_IPV6, IPV6_PKTINFO, info);
#endif
  } else {
#if defined(IP_PKTINFO) && defined(__linux__)
    in_pktinfo info{};
    memcpy(&info.ipi_spec_dst, from.ip, 4);
    put_control(m, room, IPPROTO_IP, IP_PKTINFO, info);
#elif defined(IP_SENDSRCADDR)
    in_addr own{};
    memcpy(&own, from.ip, 4);
    put_control(m, room, IPPROTO_IP, IP_SENDSRCADDR, own);
#endif
  }
}

void say_segment(msghdr* m, Control* room, size_t segment) {
#ifdef UDP_SEGMENT
  put_control(m, room, IPPROTO_UDP, UDP_SEGMENT, static_cast<uint16_t>(segment));
#else
  (void)m, (void)room, (void)segment;
#endif
}

int send_message(int fd, msghdr m, const Bytes* piece, int pieces) {
  iovec v[kPieces];
  if (pieces > kPieces) return EMSGSIZE;
  for (int i = 0; i < pieces; ++i) v[i] = {const_cast<uint8_t*>(piece[i].data), piece[i].size};  // sendmsg(2) does not write
  m.msg_iov = v;
  m.msg_iovlen = static_cast<decltype(m.msg_iovlen)>(pieces);
  ssize_t n;
  do {
    n = ::sendmsg(fd, &m, 0);
  } while (n < 0 && errno == EINTR);
  return n < 0 ? errno : 0;
}

}  // namespace

namespace {
// What is to come with each datagram.
void ask_clients(int fd, bool six) {
  ask_for_own_address(fd, six);
#ifdef SO_RXQ_OVFL
  set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
#endif
}
}  // namespace

bool prepare_udp(int fd, uint8_t family) {
  if (prepare_fd(fd) != 0) return false;
  set_buffers(fd, kListenBuffer);
  ask_clients(fd, family == 6);
  return true;
}

Fd listen_udp(const Address& at, int* error) {
  Fd fd = open_udp(at, kListenBuffer, error);
  if (!fd.valid()) return fd;
  if (at.family == 6) set_int(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  ask_clients(fd.get(), at.family == 6);
  sockaddr_storage s;
  const socklen_t n = to_sockaddr(at, &s);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&s), n) < 0) {
    *error = errno;
    fd.reset();
  }
  return fd;
}

Fd connect_udp(const Address& to, const Address& source, int* error) {
  Fd fd = open_udp(to, kServerBuffer, error);
  if (!fd.valid()) return fd;
  *error = connect_from(fd.get(), source, to);
  if (*error == EINTR) *error = 0;  // it is set, or will be: connect(2)
  if (*error != 0) fd.reset();
  return fd;
}

Datagram receive_udp(int fd, const MutBytes* piece, int pieces) {
  Datagram d;
  sockaddr_storage from{};
  Control control;
  iovec v[kPieces];
  msghdr m{};
  m.msg_name = &from;
  m.msg_namelen = sizeof from;
  m.msg_control = &control;
  m.msg_controllen = sizeof control;
  m.msg_iov = v;
  const int count = pieces < kPieces ? pieces : kPieces;
  m.msg_iovlen = static_cast<decltype(m.msg_iovlen)>(count);
  for (int i = 0; i < count; ++i) v[i] = {piece[i].data, piece[i].size};
  ssize_t n;
  do {
    n = ::recvmsg(fd, &m, 0);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    d.again = errno == EAGAIN || errno == EWOULDBLOCK;
    d.error = d.again ? 0 : errno;
    return d;
  }
  d.size = static_cast<size_t>(n);
  d.cut = (m.msg_flags & MSG_TRUNC) != 0;
  d.from = from_sockaddr(from);
  for (const cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, const_cast<cmsghdr*>(c))) read_control(c, &d);
  return d;
}

int send_udp_to(int fd, const Bytes* piece, int pieces, const Address& to, const Address& from, uint32_t interface, size_t segment) {
  sockaddr_storage s;
  Control control;
  msghdr m{};
  m.msg_name = &s;
  m.msg_namelen = to_sockaddr(meant(to), &s);
  if (from.family != 0) say_own_address(&m, &control, from, interface);
  if (segment != 0) say_segment(&m, &control, segment);
  return send_message(fd, m, piece, pieces);
}

int send_udp(int fd, const Bytes* piece, int pieces, size_t segment) {
  Control control;
  msghdr m{};
  if (segment != 0) say_segment(&m, &control, segment);
  return send_message(fd, m, piece, pieces);
}

uint32_t drop_datagrams(int fd) {
  constexpr int kMost = 128;
  uint8_t waste[64];
  const MutBytes piece{waste, sizeof waste};
  uint32_t dropped = 0;
  for (int i = 0; i < kMost; ++i) {
    const Datagram d = receive_udp(fd, &piece, 1);
    if (d.again) break;
    dropped += d.error == 0;
  }
  return dropped;
}

bool udp_joins() {
#ifdef UDP_SEGMENT
  const Fd fd(::socket(AF_INET, SOCK_DGRAM, 0));
  int size = 0;
  socklen_t n = sizeof size;
  return fd.valid() && getsockopt(fd.get(), IPPROTO_UDP, UDP_SEGMENT, &size, &n) == 0;
#else
  return false;
#endif
}

}  // namespace smx
