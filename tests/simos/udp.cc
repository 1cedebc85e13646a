// Read next: udp.h.
#include "tests/simos/udp.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include <algorithm>
#include <utility>

#include "tests/simos/process.h"

namespace simos {

namespace {
constexpr size_t kMostQueued = 64;

// A datagram under way.
struct Flight final : Callee {
  Flight(Udp::Datagram d, Udp* s) : datagram(std::move(d)), sender(s) {}
  void on_event(int what) override {
    (void)what;
    if (Udp* to = network->udp(datagram.to)) {
      if (to->remote.port != 0 && (to->remote.ip != datagram.from.ip || to->remote.port != datagram.from.port)) return;
      if (to->queue.size() >= kMostQueued) return;
      to->queue.push_back(datagram);
      to->poke();
    } else if (sender->remote.port != 0 && sender->refs > 0) {
      sender->error = ECONNREFUSED;  // told by ICMP
      sender->poke();
    }
  }
  Udp::Datagram datagram;
  Udp* sender;
};

template <typename T>
void put_control(msghdr& m, int level, int type, const T& info) {
  cmsghdr c{};
  c.cmsg_level = level;
  c.cmsg_type = type;
  c.cmsg_len = CMSG_LEN(sizeof info);
  memcpy(m.msg_control, &c, sizeof c);
  memcpy(CMSG_DATA(static_cast<cmsghdr*>(m.msg_control)), &info, sizeof info);
  m.msg_controllen = CMSG_SPACE(sizeof info);
}

}  // namespace

uint32_t Udp::ready() const { return EPOLLOUT | (queue.empty() && error == 0 ? 0u : uint32_t{EPOLLIN}) | (error != 0 ? uint32_t{EPOLLERR} : 0u); }

void Udp::closed() {
  holder = nullptr;
  network->unbind_udp(this);
}

int Udp::bind_to(Place at) {
  if (at.port == 0) at.port = network->free_port();
  if (network->udp(at) != nullptr) return EADDRINUSE;
  local = at;
  network->bind_udp(this);
  return 0;
}

int Udp::connect_to(Place to) {
  if (local.port == 0 && bind_to({local.ip, 0}) != 0) return EADDRINUSE;
  remote = to;
  return 0;
}

void Udp::send_bytes(Place to, std::string bytes) {
  Path& path = *network->path(local.ip, to.ip);
  Random& chance = world->random;
  if (local.port == 0) (void)bind_to({local.ip, 0});
  if (path.stalled || chance.below(100) < path.odd / 4) return;
  const int copies = chance.below(100) < path.odd / 8 ? 2 : 1;
  for (int i = 0; i < copies; ++i)
    world->after(path.delay + chance.below(static_cast<uint32_t>(path.jitter) + 2), *world->make<Flight>(Datagram{local, to, bytes}, this), 0);
}

ssize_t Udp::send(const msghdr& m, Place to) {
  if (error != 0) return -std::exchange(error, 0);
  if (to.port == 0) to = remote;
  if (to.port == 0) return -EDESTADDRREQ;
  std::string bytes;
  for (size_t i = 0; i < m.msg_iovlen; ++i) bytes.append(static_cast<const char*>(m.msg_iov[i].iov_base), m.msg_iov[i].iov_len);
  if (bytes.size() > 65507) return -EMSGSIZE;
  const ssize_t n = static_cast<ssize_t>(bytes.size());
  if (world->random.below(100) < network->path(local.ip, to.ip)->odd / 8) return world->random.chance(50) ? -EAGAIN : -ENOBUFS;
  send_bytes(to, std::move(bytes));
  return n;
}

bool Udp::take(std::string* bytes, Place* from) {
  if (queue.empty()) return false;
  *bytes = std::move(queue.front().bytes);
  *from = queue.front().from;
  queue.pop_front();
  return true;
}

ssize_t Udp::receive(msghdr& m, Place* from) {
  if (error != 0) return -std::exchange(error, 0);
  if (queue.empty()) return -EAGAIN;
  const Datagram d = std::move(queue.front());
  queue.pop_front();
  *from = d.from;
  size_t at = 0;
  for (size_t i = 0; i < m.msg_iovlen && at < d.bytes.size(); ++i) {
    const size_t n = std::min(m.msg_iov[i].iov_len, d.bytes.size() - at);
    memcpy(m.msg_iov[i].iov_base, d.bytes.data() + at, n);
    at += n;
  }
  m.msg_flags = at < d.bytes.size() ? MSG_TRUNC : 0;
  const size_t room = m.msg_controllen;
  m.msg_controllen = 0;
  if (m.msg_control != nullptr && room >= CMSG_SPACE(sizeof(in6_pktinfo)) && remote.port == 0) {
    if (six) {
      in6_pktinfo info{};
      info.ipi6_addr = six_of(d.to.ip);
      put_control(m, IPPROTO_IPV6, IPV6_PKTINFO, info);
    } else {
      in_pktinfo info{};
      info.ipi_spec_dst.s_addr = htonl(d.to.ip);
      info.ipi_addr = info.ipi_spec_dst;
      put_control(m, IPPROTO_IP, IP_PKTINFO, info);
    }
  }
  return static_cast<ssize_t>(at);
}

}  // namespace simos
