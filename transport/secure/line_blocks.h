// Line blocks: what records are on a lossy line, where the mux repairs what is lost, and what is repeated is sealed
// anew.
//
//     0   4   E (bits 31..28: low bits of the sender's key epoch), n (bits 27..0)
//     4       the content, sealed with nonce n, and the tag; no associated data
//
// The content is that of a frame of core/mux/line.h without its CRC (off, ack, ulen, packets, stream bytes); the block
// gets a CRC and COBS of its own. Owner: the link. Pure. Invariant: a block is handed up once at most, none behind a
// later one, and a block that does not open changes nothing. Read next: records.h. Source: as there.
#ifndef SOCKMUX_TRANSPORT_SECURE_LINE_BLOCKS_H
#define SOCKMUX_TRANSPORT_SECURE_LINE_BLOCKS_H

#include "core/mux/line.h"
#include "transport/secure/records.h"

namespace smx::secure {

constexpr size_t kBlockHead = 4;
constexpr size_t kBlockOverhead = kBlockHead + kTag;
constexpr size_t kBlock = kLineContent - sizeof(uint32_t);  // the CRC stays outside: 250
constexpr size_t kBlockContent = kBlock - kBlockOverhead;   // 230, where a clear line has 250
constexpr uint64_t kBlocks = 1u << 24;                      // under one handshake; then the link is renewed
constexpr uint32_t kMostEpochsAhead = 7;

// So no block begins with kMagic: its n would be larger.
static_assert(((static_cast<uint32_t>('S') << 24 | 'M' << 16 | 'X' << 8 | 'S') & 0x0fffffff) >= kBlocks);

class BlockWriter {
 public:
  // `most`: fewer blocks than kBlocks, for tests.
  void start(const Secret& key, Time now, uint64_t most = kBlocks);
  // `out` gets content.size + kBlockOverhead bytes; content.size <= kBlockContent, and not in place. The size, or 0:
  // all nonces of this handshake are used, a new one is due.
  size_t seal(Bytes content, uint8_t* out, Time now);
  // Blocks that may still be sealed.
  uint64_t left() const { return most_ - key_.n(); }
  void erase() { key_.erase(); }

 private:
  SendKey key_;
  uint64_t most_ = kBlocks;
};

class BlockReader {
 public:
  enum class Got : uint8_t {
    content,
    old,        // n is not above the last one: repeated or overtaken
    forged,     // does not open, or no sender makes such a one; behind a good CRC that is somebody, not noise
    malformed,  // too short or too long
    overused,   // 2^20 blocks and still the same key: the link ends
  };
  void start(const Secret& key);
  // One block, without CRC. `out` gets block.size - kBlockOverhead bytes, counted in *size; it must not be block.data,
  // which is left as it is.
  Got open_block(Bytes block, uint8_t* out, size_t* size);
  void erase() { key_.erase(); }

 private:
  Secret key_;
  uint32_t epoch_ = 0;
  uint32_t next_ = 0;   // the lowest n that may come
  uint32_t first_ = 0;  // n with which this epoch began, as far as we have heard
};

}  // namespace smx::secure

#endif
