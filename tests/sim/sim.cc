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
  if (tap) tap(data, n);
  std::vector<uint8_t> bytes(data, data + n);
  if (spoil) spoil(bytes);
  send({std::move(bytes), 0}, busy_until_);
  return n;
}

void Pipe::end(uint64_t mark) { send({{}, mark}, busy_until_ < clock_.now() ? clock_.now() : busy_until_); }

void Pipe::send(Chunk chunk, Time when) {
  way_.push_back(std::move(chunk));
  const uint64_t epoch = epoch_;
  clock_.at(when + smx::micros(shape_.delay_us), [this, epoch] { arrive(epoch); });
}

void Pipe::arrive(uint64_t epoch) {
  if (epoch != epoch_) return;
  if (clock_.now() < late_until_) return clock_.at(late_until_, [this, epoch] { arrive(epoch); });
  inbox_.push_back(std::move(way_.front()));
  way_.pop_front();
  if (readable) readable();
}

size_t Pipe::read(uint8_t* to, size_t n) {
  if (n > shape_.read_most) n = shape_.read_most;
  size_t done = 0;
  while (done < n && has_input()) {
    const std::vector<uint8_t>& bytes = inbox_.front().bytes;
    const size_t k = n - done < bytes.size() - at_ ? n - done : bytes.size() - at_;
    if (k > 0) memcpy(to + done, bytes.data() + at_, k);
    done += k;
    at_ += k;
    if (at_ < bytes.size()) break;
    inbox_.pop_front();
    at_ = 0;
  }
  return done;
}

void Pipe::cut() {
  ++epoch_;
  way_.clear();
  discard();
  unsent_ = 0;
  full_ = false;
  busy_until_ = late_until_ = clock_.now();
}

void Pipe::put(std::vector<uint8_t> bytes) {
  if (!bytes.empty()) inbox_.push_back({std::move(bytes), 0});
}

unsigned seeds(unsigned usual) {
  for (const char* name : {"SMX_SIM_SEEDS", "SEEDS"}) {
    const char* text = getenv(name);
    if (text != nullptr && atoi(text) > 0) return static_cast<unsigned>(atoi(text));
  }
#ifdef __SANITIZE_ADDRESS__
  return usual / 4;  // it takes ten times as long
#else
  return usual;
#endif
}

}  // namespace sim
