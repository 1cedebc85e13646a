// The pipes. Read next: dialogue.h.
#include "relay/dialogue.h"

#include <string.h>

#include "core/base/check.h"

namespace smx {

void Pipe::consume(size_t n) {
  SMX_CHECK(n <= size());
  head_ += n;
  moved_ += n;
  if (head_ == tail_) head_ = tail_ = 0;
}

MutBytes Pipe::space() {
  if (head_ > 0) {
    memmove(memory_, memory_ + head_, size());
    tail_ -= head_;
    head_ = 0;
  }
  return {memory_ + tail_, capacity_ - tail_};
}

void Pipe::append(size_t n) {
  SMX_CHECK(n <= capacity_ - tail_);
  tail_ += n;
  moved_ += n;
}

size_t Pipe::put(Bytes from) {
  const size_t n = from.size < room() ? from.size : room();
  if (n == 0) return 0;
  if (n > capacity_ - tail_) (void)space();
  memcpy(memory_ + tail_, from.data, n);
  append(n);
  return n;
}

bool Pipe::say(std::string_view text) {
  if (text.size() > room()) return false;
  (void)put(as_bytes(text));
  return true;
}

bool Pipe::say(const char* text) { return say(std::string_view(text)); }

size_t move_bytes(Pipe& from, Pipe& to, uint64_t most) {
  Bytes b = from.data();
  if (b.size > most) b.size = static_cast<size_t>(most);
  const size_t n = to.put(b);
  from.consume(n);
  return n;
}

Saying& Saying::add(std::string_view piece) {
  fits_ = fits_ && to_.say(piece);
  return *this;
}

Saying& Saying::add(const char* piece) { return add(std::string_view(piece)); }

}  // namespace smx
