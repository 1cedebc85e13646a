// poll(2), any Unix. Costs time in proportion to the descriptors watched. Read next: poller.h.
#include <errno.h>
#include <poll.h>

#include "core/base/check.h"
#include "core/io/poller.h"

namespace smx {

namespace {

short to_poll(uint8_t events) {
  return static_cast<short>(((events & kRead) != 0 ? POLLIN : 0) | ((events & kWrite) != 0 ? POLLOUT : 0) |
                            ((events & kUrgent) != 0 ? POLLPRI : 0));
}

}  // namespace

const char* Poller::name() { return "poll"; }

int Poller::open(Arena& arena, uint32_t max_fds) {
  s_.capacity = max_fds;
  s_.set = arena.raw<pollfd>(max_fds);
  s_.tags = arena.raw<uint32_t>(max_fds);
  s_.where = arena.raw<uint32_t>(max_fds);
  return s_.where == nullptr || s_.tags == nullptr || s_.set == nullptr ? ENOMEM : 0;
}

int Poller::forked() { return 0; }

int Poller::add(int fd, uint8_t events, uint32_t tag) {
  SMX_CHECK(s_.where[fd] == 0);
  if (s_.count == s_.capacity) return ENOMEM;
  static_cast<pollfd*>(s_.set)[s_.count] = {fd, to_poll(events), 0};
  s_.tags[s_.count] = tag;
  s_.where[fd] = ++s_.count;
  return 0;
}

int Poller::change(int fd, uint8_t events, uint32_t tag) {
  SMX_CHECK(s_.where[fd] != 0);
  static_cast<pollfd*>(s_.set)[s_.where[fd] - 1].events = to_poll(events);
  s_.tags[s_.where[fd] - 1] = tag;
  return 0;
}

void Poller::remove(int fd, bool closing) {
  (void)closing;
  pollfd* set = static_cast<pollfd*>(s_.set);
  const uint32_t at = s_.where[fd];
  if (at == 0) return;
  s_.where[fd] = 0;
  --s_.count;
  if (at - 1 == s_.count) return;
  set[at - 1] = set[s_.count];
  s_.tags[at - 1] = s_.tags[s_.count];
  s_.where[set[at - 1].fd] = at;
}

int Poller::wait(PollEvent* out, int limit, int timeout_ms) {
  pollfd* set = static_cast<pollfd*>(s_.set);
  int left = ::poll(set, s_.count, timeout_ms);
  int n = 0;
  // Starts behind the last one served: with more ready descriptors than `limit`, all get their turn.
  uint32_t at = s_.begin < s_.count ? s_.begin : 0;
  for (uint32_t looked = 0; looked < s_.count && left > 0 && n < limit; ++looked, at = at + 1 == s_.count ? 0 : at + 1) {
    const short r = set[at].revents;
    if (r == 0) continue;
    --left;
    out[n].fd = set[at].fd;
    out[n].tag = s_.tags[at];
    out[n].ready = 0;
    if ((r & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) != 0) out[n].ready |= kRead;
    if ((r & (POLLOUT | POLLHUP | POLLERR | POLLNVAL)) != 0) out[n].ready |= kWrite;
    if ((r & POLLPRI) != 0) out[n].ready |= kUrgent;
    ++n;
  }
  s_.begin = at;
  return n;
}

}  // namespace smx
