// Queues of bytes in 512-byte blocks of one pool: what a local socket did not take at once waits here, within the
// credit of its channel.
//
// Owner: the mux. Invariant: a queue of n bytes holds at most n / kBlock + 2 blocks; a pool never hands out more than
// it has. Pure: the memory is the caller's and is not touched before its first use. A pool that is empty begins again with
// its first block, so that light traffic stays within one page.
// Read next: core/mux/mux.h, "Memory".
#ifndef SOCKMUX_CORE_BASE_BLOCKS_H
#define SOCKMUX_CORE_BASE_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"

namespace smx {

constexpr size_t kBlock = 512;

class BlockPool {
 public:
  static constexpr uint32_t kNone = 0xffffffff;

  BlockPool() = default;
  // `data` has count * kBlock bytes, `next` has count entries; both untouched.
  BlockPool(uint8_t* data, uint32_t* next, uint32_t count) : data_(data), next_(next), count_(count) {}

  uint32_t count() const { return count_; }
  uint32_t used() const { return used_; }
  uint32_t take();  // kNone when all are in use
  void give(uint32_t block);
  // Blocks from the first on that were used since spare() was last called.
  uint32_t touched() const { return touched_; }
  // Memory that was used since the last call and holds nothing now: none while a block is in use, or if it is of fewer
  // than `least` blocks.
  MutBytes spare(uint32_t least);
  uint8_t* at(uint32_t block) const { return data_ + size_t{block} * kBlock; }
  uint32_t& next(uint32_t block) const { return next_[block]; }

 private:
  uint8_t* data_ = nullptr;
  uint32_t* next_ = nullptr;
  uint32_t count_ = 0;
  uint32_t fresh_ = 0;  // blocks from here on have not been used since the pool was empty
  uint32_t touched_ = 0;  // of those before, the most since spare()
  uint32_t free_ = kNone;
  uint32_t used_ = 0;
};

// First in, first out. Empty queues hold no block.
class BlockQueue {
 public:
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Copies `bytes` behind the end. False when the pool has too few blocks; then nothing is changed.
  [[nodiscard]] bool push(BlockPool& pool, Bytes bytes);

  // The first bytes in at most `limit` pieces; neighbours in memory are one piece. Returns how many pieces.
  int view(const BlockPool& pool, Bytes* out, int limit) const;

  // Forgets the first `n` bytes. n <= size().
  void pop(BlockPool& pool, size_t n);
  void clear(BlockPool& pool) { pop(pool, size_); }

 private:
  uint32_t first_ = BlockPool::kNone;
  uint32_t last_ = BlockPool::kNone;
  uint32_t size_ = 0;
  uint16_t begin_ = 0;  // offset of the first byte in the first block
  uint16_t end_ = 0;    // offset behind the last byte in the last block
};

}  // namespace smx

#endif
