// Read next: pair.h.
#include "tests/simos/pair.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

namespace simos {

void let_go(File* f) {
  if (--f->refs > 0) return;
  f->holder = nullptr;
  f->closed();
}

void PairEnd::join(PairEnd& one, PairEnd& two, bool packets) {
  one.other_ = &two;
  two.other_ = &one;
  one.packets_ = two.packets_ = packets;
}

uint32_t PairEnd::ready() const {
  uint32_t r = 0;
  if (waiting() > 0 || other_is_done() || error_ != 0) r |= EPOLLIN;
  if (other_->gone_ || other_->waiting() < kRoom) r |= EPOLLOUT;
  if (other_->gone_) r |= EPOLLHUP;
  if (error_ != 0) r |= EPOLLERR;
  return r;
}

ssize_t PairEnd::read(uint8_t* to, size_t n) {
  if (packets_) {
    if (error_ != 0) return -std::exchange(error_, 0);  // before what there is
    Packet p;
    const int r = take(&p);
    if (r <= 0) return r == 0 ? -EAGAIN : 0;
    for (File* f : p.files) let_go(f);
    n = std::min(n, p.bytes.size());
    std::copy_n(p.bytes.begin(), n, to);
    return static_cast<ssize_t>(n);
  }
  if (bytes_.empty()) return error_ != 0 ? -std::exchange(error_, 0) : other_is_done() ? 0 : -EAGAIN;
  n = std::min(n, bytes_.size());
  if (n > 1 && world->random.chance(20)) n = 1 + world->random.below(static_cast<uint32_t>(n));
  std::copy_n(bytes_.begin(), n, to);
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(n));
  other_->poke();
  return static_cast<ssize_t>(n);
}

ssize_t PairEnd::write(const uint8_t* from, size_t n) {
  if (packets_) return send({std::string(reinterpret_cast<const char*>(from), n), {}});
  if (other_->gone_ || shut_) return -EPIPE;
  const size_t held = other_->bytes_.size();
  if (held >= kRoom) return -EAGAIN;
  n = std::min(n, kRoom - held);
  if (n > 1 && world->random.chance(20)) n = 1 + world->random.below(static_cast<uint32_t>(n));
  other_->bytes_.insert(other_->bytes_.end(), from, from + n);
  other_->poke();
  return static_cast<ssize_t>(n);
}

ssize_t PairEnd::send(Packet p) {
  const ssize_t n = static_cast<ssize_t>(p.bytes.size());
  const int error = other_->gone_ || shut_ ? EPIPE : other_->waiting() >= kRoom ? EAGAIN : 0;
  if (error != 0) {
    for (File* f : p.files) let_go(f);
    return -error;
  }
  other_->packet_.push_back(std::move(p));
  other_->poke();
  return n;
}

int PairEnd::take(Packet* out) {
  if (packet_.empty()) return other_is_done() ? -1 : 0;
  *out = std::move(packet_.front());
  packet_.pop_front();
  other_->poke();
  return 1;
}

void PairEnd::shut_write() {
  shut_ = true;
  other_->poke();
}

void PairEnd::closed() {
  gone_ = true;
  if (waiting() > 0) other_->error_ = ECONNRESET;
  bytes_.clear();
  for (const Packet& p : packet_)
    for (File* f : p.files) let_go(f);
  packet_.clear();
  other_->poke();
}

}  // namespace simos
