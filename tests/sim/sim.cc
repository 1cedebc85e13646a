// Read next: sim.h.
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

namespace sim {

size_t Pipe::write(const uint8_t* data, size_t n) {
  if (n > shape_.write_most) n = shape_.write_most;
  const size_t room = shape_.buffer - unsent_;
  if (n > room) n = room;
  if (n == 0) {
    full_ = true;
    return 0;
  }
  unsent_ += n;
  const Time start = busy_until_ < clock_.now() ? clock_.now() : busy_until_;
  busy_until_ = start + smx::micros(static_cast<int64_t>(n) * 1000000 / shape_.bytes_per_second);
  const uint64_t epoch = epoch_;
  clock_.at(busy_until_, [this, n, epoch] {
    if (epoch != epoch_) return;
    unsent_ -= n;
    if (full_ && writable) {
      full_ = false;
      writable();
    }
  });
  std::vector<uint8_t> bytes(data, data + n);
  if (spoil) spoil(bytes);
  clock_.at(busy_until_ + smx::micros(shape_.delay_us), [this, bytes = std::move(bytes), epoch] {
    if (epoch != epoch_) return;
    if (at_ == inbox_.size()) {
      inbox_.clear();
      at_ = 0;
    }
    inbox_.insert(inbox_.end(), bytes.begin(), bytes.end());
    if (readable) readable();
  });
  return n;
}

size_t Pipe::read(uint8_t* to, size_t n) {
  if (n > shape_.read_most) n = shape_.read_most;
  if (n > inbox_.size() - at_) n = inbox_.size() - at_;
  if (n > 0) memcpy(to, inbox_.data() + at_, n);
  at_ += n;
  return n;
}

void Pipe::cut() {
  ++epoch_;
  inbox_.clear();
  at_ = 0;
  unsent_ = 0;
  full_ = false;
  busy_until_ = clock_.now();
}

unsigned seeds(unsigned usual) {
  for (const char* name : {"SMX_SIM_SEEDS", "SEEDS"}) {
    const char* text = getenv(name);
    if (text != nullptr && atoi(text) > 0) return static_cast<unsigned>(atoi(text));
  }
  return usual;
}

}  // namespace sim
