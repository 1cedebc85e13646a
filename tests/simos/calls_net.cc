// Calls on sockets. Read next: calls.h, network.h, udp.h.
#include "tests/simos/calls.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "tests/simos/files.h"
#include "tests/simos/network.h"
#include "tests/simos/pair.h"
#include "tests/simos/udp.h"

using namespace simos;

namespace {

File* socket_of(int fd) {
  File* f = current->file(fd);
  if (f == nullptr) return errno = EBADF, nullptr;
  if (f->kind != File::Kind::tcp && f->kind != File::Kind::udp && f->kind != File::Kind::unix_socket) return errno = ENOTSOCK, nullptr;
  return f;
}

Tcp* as_tcp(File* f) { return f != nullptr && f->kind == File::Kind::tcp ? static_cast<Tcp*>(f) : nullptr; }
Udp* as_udp(File* f) { return f != nullptr && f->kind == File::Kind::udp ? static_cast<Udp*>(f) : nullptr; }

Place from_address(const sockaddr* a) {
  Place p;
  if (a->sa_family == AF_UNIX) return control_place(current->ip());
  if (a->sa_family == AF_INET6) {
    sockaddr_in6 s;
    memcpy(&s, a, sizeof s);
    uint32_t low;
    memcpy(&low, s.sin6_addr.s6_addr + 12, sizeof low);
    p = {ntohl(low), ntohs(s.sin6_port)};
    if (!is_six_of_a_host(s.sin6_addr) && p.ip == 1) p.ip = kLoopback;
  } else if (a->sa_family == AF_INET) {
    sockaddr_in s;
    memcpy(&s, a, sizeof s);
    p = {ntohl(s.sin_addr.s_addr), ntohs(s.sin_port)};
  }
  if (p.ip == kLoopback) p.ip = current->ip();
  return p;
}

// An address as the kernel tells it, cut where there is no room.
void tell(const void* address, size_t size, sockaddr* a, socklen_t* n) {
  if (a == nullptr) return;
  memcpy(a, address, std::min<size_t>(*n, size));
  *n = static_cast<socklen_t>(size);
}

// As a socket of this family tells it.
void to_address(Place p, bool six, sockaddr* a, socklen_t* n) {
  if (six) {
    sockaddr_in6 s{};
    s.sin6_family = AF_INET6;
    s.sin6_port = htons(p.port);
    s.sin6_addr = six_of(p.ip);
    return tell(&s, sizeof s, a, n);
  }
  sockaddr_in s{};
  s.sin_family = AF_INET;
  s.sin_port = htons(p.port);
  s.sin_addr.s_addr = htonl(p.ip);
  tell(&s, sizeof s, a, n);
}

void to_unix(const std::string& name, sockaddr* a, socklen_t* n) {
  sockaddr_un s{};
  s.sun_family = AF_UNIX;
  memcpy(s.sun_path, name.data(), std::min(name.size(), sizeof s.sun_path - 1));
  tell(&s, offsetof(sockaddr_un, sun_path) + (name.empty() ? 0 : name.size() + 1), a, n);
}

bool is_six(const File* f) { return f->kind == File::Kind::tcp ? static_cast<const Tcp*>(f)->six : f->kind == File::Kind::udp && static_cast<const Udp*>(f)->six; }
// The kernel takes an address of the socket's own family alone.
bool fits(const File* f, const sockaddr* a) {
  const bool is_unix = f->kind == File::Kind::tcp && static_cast<const Tcp*>(f)->is_unix;
  return a->sa_family == (is_unix ? AF_UNIX : is_six(f) ? AF_INET6 : AF_INET);
}

// With the descriptors that go along.
PairEnd::Packet packet_of(const msghdr& m) {
  PairEnd::Packet p;
  for (size_t i = 0; i < m.msg_iovlen; ++i) p.bytes.append(static_cast<const char*>(m.msg_iov[i].iov_base), m.msg_iov[i].iov_len);
  if (m.msg_control == nullptr) return p;
  cmsghdr c;
  memcpy(&c, m.msg_control, sizeof c);
  for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c.cmsg_len; at += sizeof(int)) {
    int fd;
    memcpy(&fd, static_cast<const char*>(m.msg_control) + at, sizeof fd);
    File* f = current->file(fd);
    if (f == nullptr) current->crash("sends a descriptor that is not open");
    ++f->refs;
    p.files.push_back(f);
  }
  return p;
}

void receive_files(const std::vector<File*>& files, msghdr* m) {
  cmsghdr c{};
  c.cmsg_level = SOL_SOCKET;
  c.cmsg_type = SCM_RIGHTS;
  c.cmsg_len = CMSG_LEN(0);
  for (File* f : files) {
    const int fd = m->msg_controllen < c.cmsg_len + sizeof(int) ? -1 : current->take_fd(f);
    if (fd < 0) m->msg_flags |= MSG_CTRUNC;
    else memcpy(static_cast<char*>(m->msg_control) + c.cmsg_len, &fd, sizeof fd), c.cmsg_len += sizeof fd;
    let_go(f);
  }
  m->msg_controllen = c.cmsg_len == CMSG_LEN(0) ? 0 : c.cmsg_len;
  if (m->msg_controllen > 0) memcpy(m->msg_control, &c, sizeof c);
}

int tell_number(int number, void* value, socklen_t* n) {
  memcpy(value, &number, std::min<size_t>(*n, sizeof number));
  return 0;
}

}  // namespace

extern "C" {

int sim_socket(int domain, int type, int protocol) {
  (void)protocol;
  const Gate gate(Call::socket);
  if (gate.error() != 0) return refuse(gate.error());
  if (domain != AF_INET && domain != AF_INET6 && (domain != AF_UNIX || (type & 15) != SOCK_STREAM)) return refuse(EAFNOSUPPORT);
  File* f;
  if ((type & 15) == SOCK_STREAM) {
    f = world->make<Tcp>();
    static_cast<Tcp*>(f)->local.ip = current->ip();
    static_cast<Tcp*>(f)->six = domain == AF_INET6;
    static_cast<Tcp*>(f)->is_unix = domain == AF_UNIX;
  } else {
    f = world->make<Udp>(current->ip());
    static_cast<Udp*>(f)->six = domain == AF_INET6;
  }
  if ((type & SOCK_NONBLOCK) != 0) f->flags |= O_NONBLOCK;
  const int fd = current->take_fd(f);
  if (fd < 0) return refuse(EMFILE);
  SIM_TRACE("%d socket() = %d\n", current->number(), fd);
  return fd;
}

int sim_bind(int fd, const sockaddr* a, socklen_t n) {
  (void)n;
  const Gate gate(Call::bind, fd);
  File* f = socket_of(fd);
  if (f == nullptr) return -1;
  if (gate.error() != 0) return refuse(gate.error());
  if (!fits(f, a)) return refuse(EINVAL);
  Place at = from_address(a);
  if (Udp* u = as_udp(f)) {
    if (at.ip == 0) at.ip = current->ip();  // of all of them, of which there is one
    const int error = u->bind_to(at);
    return error != 0 ? refuse(error) : 0;
  }
  Tcp* t = as_tcp(f);
  if (t->is_unix) {
    t->name = reinterpret_cast<const sockaddr_un*>(a)->sun_path;
    Disk& disk = disk_of(current->ip());
    if (disk.find(t->name) != nullptr) return refuse(EADDRINUSE);
    (void)disk.put(t->name, Node::Kind::socket);
  }
  if (at.port == 0) at.port = network->free_port();
  if (network->is_taken(at)) return refuse(EADDRINUSE);
  t->local = at;
  t->state = Tcp::State::bound;
  return 0;
}

int sim_listen(int fd, int backlog) {
  const Gate gate(Call::listen, fd);
  Tcp* t = as_tcp(socket_of(fd));
  if (t == nullptr) return -1;
  if (gate.error() != 0) return refuse(gate.error());
  const int error = network->listen(t, t->local, static_cast<size_t>(backlog));
  if (error != 0) return refuse(error);
  t->state = Tcp::State::listening;
  SIM_TRACE("%d listens at %u\n", current->number(), t->local.port);
  return 0;
}

int sim_accept4(int fd, sockaddr* a, socklen_t* n, int flags) {
  const Gate gate(Call::accept4, fd);
  Tcp* door = as_tcp(socket_of(fd));
  if (door == nullptr) return -1;
  if (gate.error() == ECONNABORTED && !door->queue.empty()) {  // one that is gone again
    Tcp* gone = door->accept();
    gone->hard_close = true;
    gone->closed();
  }
  if (gate.error() != 0) return refuse(gate.error());
  if (door->queue.empty()) {
    if ((door->flags & O_NONBLOCK) == 0) current->crash("accept(2) blocks");
    return refuse(EAGAIN);
  }
  if (door->queue.front()->reset && current->random.chance(50)) {  // as on BSD
    door->accept()->closed();
    return refuse(ECONNABORTED);
  }
  const int client = current->take_fd(door->queue.front());
  if (client < 0) return refuse(EMFILE);
  Tcp* t = door->accept();
  t->flags = (flags & SOCK_NONBLOCK) != 0 ? O_NONBLOCK : 0;
  if (t->is_unix) to_unix("", a, n);
  else to_address(t->remote, t->six, a, n);
  SIM_TRACE("%d accept(%d) = %d\n", current->number(), fd, client);
  return client;
}

int sim_connect(int fd, const sockaddr* a, socklen_t n) {
  (void)n;
  const Gate gate(Call::connect, fd);
  File* f = socket_of(fd);
  if (f == nullptr) return -1;
  if (!fits(f, a)) return refuse(EAFNOSUPPORT);
  const Place to = from_address(a);
  if (as_tcp(f) != nullptr && as_tcp(f)->is_unix) {
    if (gate.error() != 0) return refuse(gate.error());
    if (disk_of(current->ip()).find(reinterpret_cast<const sockaddr_un*>(a)->sun_path) == nullptr) return refuse(ENOENT);
    const ssize_t error = -waited(f, 0, [&] { return -as_tcp(f)->connect_unix(to); });
    return error != 0 ? refuse(static_cast<int>(error)) : 0;
  }
  if (gate.error() == EINTR && as_tcp(f) != nullptr) (void)as_tcp(f)->connect_to(to, *network->path(current->ip(), to.ip));  // it goes on by itself
  if (gate.error() != 0) return refuse(gate.error());
  if (Udp* u = as_udp(f)) {
    const int error = u->connect_to(to);
    return error != 0 ? refuse(error) : 0;
  }
  const int error = as_tcp(f)->connect_to(to, *network->path(current->ip(), to.ip));
  SIM_TRACE("%d connect(%d, port %u) %d\n", current->number(), fd, to.port, error);
  return error != 0 ? refuse(error) : 0;
}

int sim_shutdown(int fd, int how) {
  const Gate gate(Call::shutdown, fd);
  File* f = socket_of(fd);
  if (f == nullptr) return -1;
  if (gate.error() != 0) return refuse(gate.error());
  if (f->kind == File::Kind::unix_socket) return static_cast<PairEnd*>(f)->shut_write(), 0;
  Tcp* t = as_tcp(f);
  if (t->state != Tcp::State::connected) return refuse(ENOTCONN);
  SIM_TRACE("%d shutdown(%d)\n", current->number(), fd);
  if (how != SHUT_RD) t->shut_write();
  return 0;
}

int sim_getsockname(int fd, sockaddr* a, socklen_t* n) {
  const Gate gate(Call::getsockname, fd);
  File* f = socket_of(fd);
  if (f == nullptr) return -1;
  if (gate.error() != 0) return refuse(gate.error());
  if (as_tcp(f) != nullptr && as_tcp(f)->is_unix) to_unix(as_tcp(f)->name, a, n);
  else to_address(as_tcp(f) != nullptr ? as_tcp(f)->local : as_udp(f)->local, is_six(f), a, n);
  return 0;
}

int sim_getpeername(int fd, sockaddr* a, socklen_t* n) {
  const Gate gate(Call::getpeername, fd);
  File* f = socket_of(fd);
  if (f == nullptr) return -1;
  if (gate.error() != 0) return refuse(gate.error());
  if (Tcp* t = as_tcp(f)) {
    if (t->state != Tcp::State::connected || t->reset) return refuse(ENOTCONN);
    to_address(t->remote, t->six, a, n);
    return 0;
  }
  if (as_udp(f)->remote.port == 0) return refuse(ENOTCONN);
  to_address(as_udp(f)->remote, is_six(f), a, n);
  return 0;
}

int sim_getsockopt(int fd, int level, int option, void* value, socklen_t* n) {
  const Gate gate(Call::getsockopt, fd);
  File* f = socket_of(fd);
  if (f == nullptr) return -1;
  if (gate.error() != 0) return refuse(gate.error());
  if (level == SOL_SOCKET && option == SO_ERROR) {
    const int error = as_tcp(f) != nullptr ? as_tcp(f)->take_error() : 0;
    memcpy(value, &error, sizeof error);
    return 0;
  }
  if (level == SOL_SOCKET && option == SO_TYPE) return tell_number(as_udp(f) != nullptr ? SOCK_DGRAM : SOCK_STREAM, value, n);
  if (level == IPPROTO_IPV6 && option == IPV6_V6ONLY) return tell_number(1, value, n);
  if (level == SOL_SOCKET && option == SO_PEERCRED && as_tcp(f) != nullptr && as_tcp(f)->is_unix) {
    const int32_t who[3] = {1, 0, 0};  // root
    memcpy(value, who, std::min<size_t>(*n, sizeof who));
    return 0;
  }
  return refuse(ENOPROTOOPT);
}

int sim_setsockopt(int fd, int level, int option, const void* value, socklen_t n) {
  const Gate gate(Call::setsockopt, fd);
  File* f = socket_of(fd);
  if (f == nullptr) return -1;
  if (gate.error() != 0) return refuse(gate.error());
  if (Tcp* t = as_tcp(f)) {
    if (level == SOL_SOCKET && option == SO_OOBINLINE) t->oob_inline = true;
    if (level == SOL_SOCKET && option == SO_RCVTIMEO && n == sizeof(timeval)) {
      timeval limit;
      memcpy(&limit, value, sizeof limit);
      t->patience = limit.tv_sec * kSecond;
    }
    if (level == SOL_SOCKET && option == SO_LINGER && n == sizeof(linger)) {
      linger l;
      memcpy(&l, value, sizeof l);
      t->hard_close = l.l_onoff != 0 && l.l_linger == 0;
    }
  }
  return 0;
}

int sim_sockatmark(int fd) {
  const Gate gate(Call::sockatmark, fd);
  Tcp* t = as_tcp(socket_of(fd));
  if (t == nullptr) return -1;
  if (gate.error() != 0) return refuse(gate.error());
  return t->at_mark() ? 1 : 0;
}

ssize_t sim_send(int fd, const void* from, size_t n, int flags) {
  const Gate gate(Call::send, fd);
  Tcp* t = as_tcp(socket_of(fd));
  if (t == nullptr) return -1;
  if (gate.error() != 0) return refuse(gate.error());
  if ((flags & MSG_OOB) != 0 && n == 1) return fail_with(t->write_urgent(*static_cast<const uint8_t*>(from)));
  return fail_with(t->write(static_cast<const uint8_t*>(from), n));
}

ssize_t sim_recv(int fd, void* to, size_t n, int flags) {
  (void)flags;
  const Gate gate(Call::recv, fd);
  File* f = socket_of(fd);
  if (f == nullptr) return -1;
  if (gate.error() != 0) return refuse(gate.error());
  return fail_with(f->read(static_cast<uint8_t*>(to), n));
}

ssize_t sim_sendmsg(int fd, const msghdr* m, int flags) {
  (void)flags;
  const Gate gate(Call::sendmsg, fd);
  File* f = socket_of(fd);
  Udp* u = as_udp(f);
  if (f == nullptr || gate.error() != 0) return refuse(f == nullptr ? EBADF : gate.error());
  if (f->kind == File::Kind::unix_socket) return fail_with(static_cast<PairEnd*>(f)->send(packet_of(*m)));
  if (Tcp* t = as_tcp(f); t != nullptr && t->is_unix) {
    PairEnd::Packet p = packet_of(*m);
    Stream* const out = t->out;
    const uint64_t before = out->wrote;
    const ssize_t r = t->write(reinterpret_cast<const uint8_t*>(p.bytes.data()), p.bytes.size());
    if (r > 0) out->pass(before, p.files);
    else for (File* passed : p.files) let_go(passed);
    return fail_with(r);
  }
  if (u == nullptr) return refuse(EOPNOTSUPP);
  if (m->msg_name != nullptr && !fits(f, static_cast<const sockaddr*>(m->msg_name))) return refuse(EAFNOSUPPORT);
  return fail_with(u->send(*m, m->msg_name == nullptr ? Place{} : from_address(static_cast<const sockaddr*>(m->msg_name))));
}

ssize_t sim_recvmsg(int fd, msghdr* m, int flags) {
  (void)flags;
  const Gate gate(Call::recvmsg, fd);
  File* f = socket_of(fd);
  Udp* u = as_udp(f);
  if (f == nullptr || gate.error() != 0) return refuse(f == nullptr ? EBADF : gate.error());
  if (f->kind == File::Kind::unix_socket) {
    m->msg_controllen = 0;
    return fail_with(f->read(static_cast<uint8_t*>(m->msg_iov[0].iov_base), m->msg_iov[0].iov_len));
  }
  if (Tcp* t = as_tcp(f); t != nullptr && t->is_unix) {
    std::vector<File*> files;
    const ssize_t r = waited(f, POLLIN, [&] { return t->read_with(static_cast<uint8_t*>(m->msg_iov[0].iov_base), m->msg_iov[0].iov_len, &files); });
    receive_files(files, m);
    return fail_with(r);
  }
  if (u == nullptr) return refuse(EOPNOTSUPP);
  Place from;
  const ssize_t r = u->receive(*m, &from);
  if (r >= 0 && m->msg_name != nullptr) to_address(from, u->six, static_cast<sockaddr*>(m->msg_name), &m->msg_namelen);
  return fail_with(r);
}

int sim_socketpair(int domain, int type, int protocol, int* ends) {
  (void)domain, (void)protocol;
  const Gate gate(Call::socket);
  if (gate.error() != 0) return refuse(gate.error());
  PairEnd* one = world->make<PairEnd>();
  PairEnd* two = world->make<PairEnd>();
  PairEnd::join(*one, *two, (type & 15) == SOCK_SEQPACKET);
  ends[0] = current->take_fd(one);
  ends[1] = ends[0] < 0 ? -1 : current->take_fd(two);
  current->last_pair = two;
  if (ends[1] >= 0) return 0;
  if (ends[0] >= 0) current->close_fd(ends[0]);
  return refuse(EMFILE);
}

}  // extern "C"
