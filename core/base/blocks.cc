// Byte queues in blocks. Read next: blocks.h.
#include "core/base/blocks.h"

#include <string.h>

#include "core/base/check.h"

namespace smx {

uint32_t BlockPool::take() {
  uint32_t block = free_;
  if (block != kNone) {
    free_ = next_[block];
  } else if (fresh_ < count_) {
    block = fresh_++;
    if (touched_ < fresh_) touched_ = fresh_;
  } else {
    return kNone;
  }
  ++used_;
  next_[block] = kNone;
  return block;
}

void BlockPool::give(uint32_t block) {
  SMX_CHECK(block < fresh_);
  SMX_CHECK(used_ > 0);
  next_[block] = free_;
  free_ = block;
  --used_;
  if (used_ > 0) return;
  free_ = kNone;
  fresh_ = 0;
}

MutBytes BlockPool::spare(uint32_t least) {
  if (used_ > 0 || touched_ < least) return {};
  // With what is on the same page as its end.
  constexpr uint32_t kPage = 64 * 1024 / kBlock;
  const MutBytes all{data_, size_t{count_ - touched_ < kPage ? count_ : touched_ + kPage} * kBlock};
  touched_ = 0;
  return all;
}

bool BlockQueue::push(BlockPool& pool, Bytes bytes) {
  if (bytes.size == 0) return true;
  const size_t tail_room = last_ == BlockPool::kNone ? 0 : kBlock - end_;
  if (bytes.size > tail_room) {
    const size_t wanted = (bytes.size - tail_room + kBlock - 1) / kBlock;
    if (wanted > pool.count() - pool.used()) return false;
  }
  while (bytes.size > 0) {
    if (last_ == BlockPool::kNone || end_ == kBlock) {
      const uint32_t block = pool.take();
      SMX_CHECK(block != BlockPool::kNone);
      if (last_ == BlockPool::kNone) {
        first_ = block;
        begin_ = 0;
      } else {
        pool.next(last_) = block;
      }
      last_ = block;
      end_ = 0;
    }
    const size_t room = kBlock - end_;
    const size_t n = bytes.size < room ? bytes.size : room;
    memcpy(pool.at(last_) + end_, bytes.data, n);
    end_ = static_cast<uint16_t>(end_ + n);
    size_ += static_cast<uint32_t>(n);
    bytes.data += n;
    bytes.size -= n;
  }
  return true;
}

int BlockQueue::view(const BlockPool& pool, Bytes* out, int limit) const {
  int pieces = 0;
  size_t left = size_;
  size_t offset = begin_;
  for (uint32_t block = first_; left > 0; block = pool.next(block)) {
    SMX_CHECK(block != BlockPool::kNone);
    const size_t here = left < kBlock - offset ? left : kBlock - offset;
    const uint8_t* data = pool.at(block) + offset;
    if (pieces > 0 && out[pieces - 1].data + out[pieces - 1].size == data) {
      out[pieces - 1].size += here;
    } else {
      if (pieces == limit) break;
      out[pieces++] = {data, here};
    }
    left -= here;
    offset = 0;
  }
  return pieces;
}

void BlockQueue::pop(BlockPool& pool, size_t n) {
  SMX_CHECK(n <= size_);
  size_ -= static_cast<uint32_t>(n);
  while (n > 0) {
    const size_t here = first_ == last_ ? static_cast<size_t>(end_ - begin_) : kBlock - begin_;
    if (n < here) {
      begin_ = static_cast<uint16_t>(begin_ + n);
      return;
    }
    n -= here;
    const uint32_t block = first_;
    first_ = pool.next(block);
    begin_ = 0;
    pool.give(block);
  }
  if (size_ == 0) {
    if (first_ != BlockPool::kNone) pool.give(first_);
    first_ = last_ = BlockPool::kNone;
    begin_ = end_ = 0;
  }
}

}  // namespace smx
