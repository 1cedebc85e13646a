// epoll(7), Linux. Read next: poller.h.
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/io/poller.h"

namespace smx {

namespace {

uint32_t to_epoll(uint8_t events) {
  return ((events & kRead) != 0 ? EPOLLIN : 0u) | ((events & kWrite) != 0 ? EPOLLOUT : 0u) | ((events & kUrgent) != 0 ? EPOLLPRI : 0u);
}

int control(int handle, int op, int fd, uint8_t events, uint32_t tag) {
  epoll_event e;
  e.events = to_epoll(events);
  e.data.u64 = static_cast<uint64_t>(tag) << 32 | static_cast<uint32_t>(fd);
  return epoll_ctl(handle, op, fd, &e) < 0 ? errno : 0;
}

}  // namespace

const char* Poller::name() { return "epoll"; }

int Poller::open(Arena& arena, uint32_t max_fds) {
  (void)arena;
  s_.capacity = max_fds;
  s_.handle = Fd(epoll_create1(EPOLL_CLOEXEC));
  return s_.handle.valid() ? 0 : errno;
}

int Poller::forked() { return 0; }  // it is shared with the parent, who ends
int Poller::add(int fd, uint8_t events, uint32_t tag) {
  const int error = control(s_.handle.get(), EPOLL_CTL_ADD, fd, events, tag);
  return error == EEXIST ? change(fd, events, tag) : error;  // it could not be taken out
}
int Poller::change(int fd, uint8_t events, uint32_t tag) { return control(s_.handle.get(), EPOLL_CTL_MOD, fd, events, tag); }

void Poller::remove(int fd, bool closing) {
  if (closing) return;  // the last close(2) of a file takes it out of every epoll set
  // Who stays in the set and is hung up would wake us for ever.
  for (int i = 0; i < 3 && control(s_.handle.get(), EPOLL_CTL_DEL, fd, 0, 0) == ENOMEM; ++i) {
  }
}

int Poller::wait(PollEvent* out, int limit, int timeout_ms) {
  constexpr int kMost = 64;
  epoll_event e[kMost];
  const int n = epoll_wait(s_.handle.get(), e, limit < kMost ? limit : kMost, timeout_ms);
  for (int i = 0; i < n; ++i) {
    out[i].fd = static_cast<int>(e[i].data.u64 & 0xffffffff);
    out[i].tag = static_cast<uint32_t>(e[i].data.u64 >> 32);
    out[i].ready = 0;
    if ((e[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) out[i].ready |= kRead;
    if ((e[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) out[i].ready |= kWrite;
    if ((e[i].events & EPOLLPRI) != 0) out[i].ready |= kUrgent;
  }
  return n < 0 ? 0 : n;
}

}  // namespace smx
