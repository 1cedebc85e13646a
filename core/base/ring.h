// A ring of bytes addressed by positions that only grow: byte number n of a stream stands at n, whatever the wrap.
//
// Owner: the mux; the memory is somebody else's. Invariant: head() <= tail() <= head() + capacity(). An empty ring starts
// again at the first byte of its memory, so that light traffic stays within one page; and one that may grow() is as small
// then as it was at first, so that most of its memory is touched only where it is needed. Pure.
// Read next: core/mux/mux.h (its tx ring keeps bytes until they are released, its rx ring until they are parsed).
#ifndef SOCKMUX_CORE_BASE_RING_H
#define SOCKMUX_CORE_BASE_RING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/check.h"

namespace smx {

class Ring {
 public:
  Ring() = default;
  // `capacity` is a power of two.
  Ring(uint8_t* memory, size_t capacity) : Ring(memory, capacity, capacity) {}
  // It begins with `capacity` bytes and may grow() to `most`, a power of two as well; the memory is there for all of them.
  Ring(uint8_t* memory, size_t capacity, size_t most)
      : memory_(memory), mask_(capacity - 1), first_mask_(capacity - 1), last_mask_(most - 1) {
    SMX_CHECK(capacity > 0 && (capacity & (capacity - 1)) == 0);
    SMX_CHECK(most >= capacity && (most & (most - 1)) == 0);
  }

  size_t capacity() const { return mask_ + 1; }
  size_t largest() const { return last_mask_ + 1; }
  uint64_t head() const { return head_; }
  uint64_t tail() const { return tail_; }
  size_t used() const { return static_cast<size_t>(tail_ - head_); }
  size_t room() const { return capacity() - used(); }

  // Bytes up to `position` are no longer needed. head() <= position <= tail(). `stays`: something was written behind tail(),
  // so its place must not change.
  void release(uint64_t position, bool stays = false) {
    SMX_CHECK(position >= head_);
    SMX_CHECK(position <= tail_);
    head_ = position;
    if (head_ == tail_ && !stays) restart();
  }
  // Twice the capacity. capacity() < largest(). Views of before are void.
  void grow() {
    SMX_CHECK(mask_ < last_mask_);
    const size_t at = static_cast<size_t>(head_ - base_) & mask_;
    const size_t end = at + used();
    // What stands at the front of the memory moves behind the old end.
    if (end > capacity()) memcpy(memory_ + capacity(), memory_, end - capacity());
    base_ = head_ - at;
    mask_ = 2 * mask_ + 1;
  }
  // `n` bytes behind tail() have been filled in. n <= room().
  void append(size_t n) {
    SMX_CHECK(n <= room());
    tail_ += n;
    if (tail_ - base_ > touched_) touched_ = tail_ - base_;
  }
  // Makes `n` bytes of place before the byte at `position`, which with all behind it gets a number higher by `n`: what is before
  // it moves towards the front of the memory, and keeps its numbers. head() <= position <= tail(); n <= room(). Views of before
  // are void.
  void insert(uint64_t position, size_t n) {
    SMX_CHECK(position >= head_);
    SMX_CHECK(position <= tail_);
    SMX_CHECK(n <= room());
    base_ += n;
    tail_ += n;
    if (base_ > head_) touched_ = largest();  // at the end of the memory
    for (uint64_t at = head_; at < position; ++at) memory_[(at - base_) & mask_] = memory_[(at + n - base_) & mask_];
  }
  // How far from its beginning the memory was written to, at most, since spare() was last called.
  size_t touched() const { return touched_ < largest() ? static_cast<size_t>(touched_) : largest(); }
  // That memory, if nothing is in it now; the ring does not count on its content.
  MutBytes spare() {
    if (used() > 0) return {};
    // With what is on the same page as its end.
    constexpr size_t kPage = 64 * 1024;
    const MutBytes all{memory_, largest() - touched() < kPage ? largest() : touched() + kPage};
    touched_ = 0;
    return all;
  }
  // Forgets everything and counts from `position`.
  void reset(uint64_t position) {
    head_ = tail_ = position;
    restart();
  }

  // The memory of `n` bytes from `position` in one or two pieces; returns how many. The range is within
  // [head, head + capacity), used or not.
  int view(uint64_t position, size_t n, MutBytes out[2]) const {
    SMX_CHECK(position >= head_);
    SMX_CHECK(position - head_ + n <= capacity());
    if (n == 0) return 0;
    const size_t at = static_cast<size_t>(position - base_) & mask_;
    const size_t first = capacity() - at < n ? capacity() - at : n;
    out[0] = {memory_ + at, first};
    if (first == n) return 1;
    out[1] = {memory_, n - first};
    return 2;
  }
  void copy_in(uint64_t position, const uint8_t* from, size_t n) {
    MutBytes part[2];
    const int parts = view(position, n, part);
    for (int i = 0; i < parts; ++i) {
      memcpy(part[i].data, from, part[i].size);
      from += part[i].size;
    }
  }
  void copy_out(uint64_t position, uint8_t* to, size_t n) const {
    MutBytes part[2];
    const int parts = view(position, n, part);
    for (int i = 0; i < parts; ++i) {
      memcpy(to, part[i].data, part[i].size);
      to += part[i].size;
    }
  }

 private:
  void restart() {
    base_ = tail_;
    mask_ = first_mask_;
  }

  uint8_t* memory_ = nullptr;
  size_t mask_ = 0;
  size_t first_mask_ = 0, last_mask_ = 0;
  uint64_t base_ = 0;  // position that stands at memory_[0]
  uint64_t head_ = 0;
  uint64_t tail_ = 0;
  uint64_t touched_ = 0;
};

}  // namespace smx

#endif
