// Read next: line_blocks.h.
#include "transport/secure/line_blocks.h"

#include "core/base/check.h"
#include "transport/secure/noise.h"

namespace smx::secure {

namespace {
constexpr uint32_t kNumberBits = 28;
constexpr uint32_t kNumber = (1u << kNumberBits) - 1;
constexpr uint32_t kEpochs = 16;  // 4 bits
static_assert(kBlocks <= kNumber);
static_assert(kMostEpochsAhead < kEpochs / 2);
}  // namespace

void BlockWriter::start(const Secret& key, Time now, uint64_t most) {
  SMX_CHECK(most <= kBlocks);
  key_.start(key, now);
  most_ = most;
}

size_t BlockWriter::seal(Bytes content, uint8_t* out, Time now) {
  SMX_CHECK(content.size <= kBlockContent);
  const uint64_t n = key_.n();
  if (n >= most_) return 0;
  key_.seal_next(content, out + kBlockHead, now);
  store32(out, key_.epoch() << kNumberBits | static_cast<uint32_t>(n));
  return content.size + kBlockOverhead;
}

void BlockReader::start(const Secret& key) {
  key_ = key;
  epoch_ = 0;
  next_ = 0;
  first_ = 0;
}

BlockReader::Got BlockReader::open_block(Bytes block, uint8_t* out, size_t* size) {
  *size = 0;
  if (block.size < kBlockOverhead || block.size > kBlock) return Got::malformed;
  const uint32_t head = load32(block.data);
  const uint32_t n = head & kNumber;
  if (n >= kBlocks) return Got::forged;
  if (n < next_) return Got::old;
  const uint32_t ahead = ((head >> kNumberBits) - epoch_) & (kEpochs - 1);
  if (ahead > kMostEpochsAhead) return Got::forged;
  Secret key = key_;
  for (uint32_t i = 0; i < ahead; ++i) rekey(&key);
  if (!open(key, n, {}, {block.data + kBlockHead, block.size - kBlockHead}, out)) return Got::forged;
  if (ahead == 0 && n - first_ >= kMostRecords) return Got::overused;
  if (ahead > 0) {
    key_ = key;
    epoch_ += ahead;
    first_ = n;
  }
  next_ = n + 1;
  *size = block.size - kBlockOverhead;
  return Got::content;
}

}  // namespace smx::secure
