// Read next: tcp_link.h.
#include "transport/tcp_link.h"

#include <new>

#include "core/io/socket.h"

namespace smx {

namespace {
constexpr uint32_t kUnsentInKernel = 128 * 1024;  // at first
constexpr uint32_t kMostUnsent = 512 * 1024;
// Less would let a line wait for a process that is not scheduled at once.
constexpr uint32_t kLeastUnsent = 16 * 1024;
constexpr Duration kGentle = seconds(1);
constexpr size_t kDropATurn = 65536;
}  // namespace

// A system call, so only where it makes a difference.
void TcpLink::keep_unsent(size_t bytes) {
  uint32_t n = bytes < kMostUnsent ? static_cast<uint32_t>(bytes) : kMostUnsent;
  if (n < kLeastUnsent) n = kLeastUnsent;
  if (n <= unsent_ / 4 * 7 && n >= unsent_ / 2) return;
  unsent_ = n;
  set_notsent_lowat(fd_.get(), n);
}

void TcpLink::shut_write() { shutdown_write(fd_.get()); }

// A socket that is closed with bytes unread sends a reset, and that may overtake what was written last: gently means to
// end the write side, and to read on until the peer has ended, too (RFC 1122 4.2.2.13).
void TcpLink::close(bool gently) {
  owner_ = nullptr;
  if (gently) {
    shutdown_write(fd_.get());
    reactor_.want(fd_.get(), kRead);
    reactor_.timers().start(timer_, reactor_.now() + kGentle);
    return;
  }
  reactor_.timers().stop(timer_);
  reactor_.unwatch(fd_.get());
  fd_.reset();
  table_.give(*this);
}

void TcpLink::on_ready(int fd, uint8_t ready, Time now) {
  if (owner_ != nullptr) return owner_->on_link_ready(ready, now);
  uint8_t waste[4096];
  for (size_t n = 0; n < kDropATurn; n += sizeof waste) {
    const IoResult r = read_fd(fd, waste, sizeof waste);
    if (r.again) return;
    if (r.error != 0 || r.size == 0) return close(false);
  }
}

void TcpLink::on_timer(Timer& timer, Time now) {
  (void)timer;
  (void)now;
  close(false);
}

bool TcpLinks::init(uint32_t count, Arena& arena) {
  fresh_ = arena.raw<TcpLink>(count);
  left_ = count;
  return fresh_ != nullptr;
}

TcpLink* TcpLinks::take() {
  TcpLink* link = free_;
  if (link != nullptr) {
    free_ = link->next_free_;
  } else if (left_ > 0) {
    --left_;
    link = new (fresh_++) TcpLink(reactor_, *this);
  }
  return link;
}

TcpLink* TcpLinks::make(Fd fd, const Address& peer) {
  TcpLink* link = take();
  if (link == nullptr) return nullptr;
  if (reactor_.watch(fd.get(), *link) != 0) {
    give(*link);
    return nullptr;
  }
  set_nodelay(fd.get());
  set_notsent_lowat(fd.get(), kUnsentInKernel);
  link->unsent_ = kUnsentInKernel;
  link->fd_ = static_cast<Fd&&>(fd);
  link->peer_ = peer;
  link->name_.clear();
  link->name_.add("tcp ");
  append_address(link->name_, peer);
  return link;
}

void TcpLinks::give(TcpLink& link) {
  link.next_free_ = free_;
  free_ = &link;
}

}  // namespace smx
