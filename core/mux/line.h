// Frames of lossy lines: what a serial line, which flips and drops bytes, carries in place of bare packets.
//
//   +-------+-------+--------+---------------------+---------------------+---------+    COBS-coded, then 0x00
//   |off u16|ack u16|ulen u8 | unnumbered packets, | bytes of the        | CRC-32C |
//   |       |       |        | whole, ulen bytes   | numbered stream     | u32     |
//   +-------+-------+--------+---------------------+---------------------+---------+
//
// On a secure link all before the CRC is sealed as a whole: line_sealer.h. Else, if both sides know of it, the CRC of a frame
// that does not begin a link is marked by who sends it, to whom, and with the upper halves of the numbers: what a modem or a login
// gives back is not taken for the other side's, nor what comes late, of an earlier link or of this one, for what comes now.
//
// Owner: Mux. Pure: a frame is made in, and taken from, the caller's memory. Invariant: a frame with a byte changed,
// lost or added is never taken for a good one, but for 1 in 2^32; a bad one costs at most itself and the next.
// Source: sockmux(7), "Lossy lines"; COBS: Cheshire and Baker, IEEE/ACM Transactions on Networking 7(2), 1999;
// CRC-32C: RFC 3720 12.1. Read next: mux.h.
#ifndef SOCKMUX_CORE_MUX_LINE_H
#define SOCKMUX_CORE_MUX_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"

namespace smx {

constexpr size_t kLineContent = 254;                      // bytes of a frame before COBS, CRC included
constexpr size_t kLineBlock = kLineContent - 4;           // and without it
constexpr size_t kLineFrame = kLineContent + 2;           // on the line: one byte of COBS, and the 0x00
constexpr size_t kLineOverhead = 11;                      // of a frame that are neither packets nor stream
constexpr size_t kLinePayload = kLineFrame - kLineOverhead;  // unnumbered and numbered bytes together: 245

uint32_t crc32c(const uint8_t* data, size_t size);

// What a frame says. The views are the caller's.
struct LineFrame {
  uint16_t off = 0;  // low bits of the number of the first numbered byte here, or of the next one to be sent
  uint16_t ack = 0;  // low bits of the count of numbered bytes processed
  Bytes unnumbered;
  Bytes numbered;
};

// The full number of which `low` are the last 16 bits, the one that is nearest to `mine`; negative: there is none.
inline int64_t nearest(uint64_t mine, uint16_t low) {
  return static_cast<int64_t>(mine) + static_cast<int16_t>(static_cast<uint16_t>(low - static_cast<uint16_t>(mine)));
}

// The mark of a frame with these numbers on a link that has the mark `link`, never 0. Of a number as IPsec has its own: the upper half
// is not sent, and is in the checksum. Source: RFC 4304, "Extended Sequence Number".
inline uint32_t frame_mark(uint32_t link, uint64_t off, uint64_t ack) {
  const uint32_t mark = link ^ (static_cast<uint32_t>(off >> 16) & 0xffff) ^ (static_cast<uint32_t>(ack >> 16) & 0xffff) << 16;
  return mark != 0 ? mark : 1;
}

// Writes all of the frame before its CRC to `out`, which has room for kLineBlock bytes; how many. The payloads together are
// at most kLinePayload bytes, the unnumbered ones at most 255.
size_t make_block(const LineFrame& frame, uint8_t* out);
// Adds CRC (by exclusive or with `mark`), COBS and 0x00 to the 1..kLineBlock bytes of `block`. `out` has room for kLineFrame bytes; how many.
size_t encode_block(Bytes block, uint8_t* out, uint32_t mark = 0);
// Both.
size_t encode_line(const LineFrame& frame, uint8_t* out);
// What the block says; false: no frame of ours. The views of `out` point into it.
[[nodiscard]] bool parse_block(Bytes block, LineFrame* out);

// Takes a line apart.
class LineDecoder {
 public:
  enum class Got : uint8_t {
    nothing,  // all bytes are taken
    block,    // of a frame with a right CRC: look at block(), then call again with the rest
    bad,      // one that is broken, or noise
  };
  // Takes bytes from the front of `in`, which is shortened by what was taken.
  Got take(Bytes* in);
  // Valid until the next call.
  Bytes block() const { return block_; }
  bool is_marked() const { return marked_; }
  // The other side's frames may be marked, on a link with this mark; 0: they are not.
  void expect(uint32_t mark) { mark_ = mark; }
  // Whose full numbers are the nearest to these: what we have, and what the other side has of ours.
  void expect_near(uint64_t off, uint64_t ack) { off_ = off, ack_ = ack; }
  // The bad one looks like the HELLO of a peer that makes no frames.
  bool was_bare_hello() const { return bare_hello_; }
  // A new line begins.
  void reset() { size_ = 0, mark_ = 0, skips_ = false; }

 private:
  Got finish();

  uint8_t held_[kLineFrame];
  size_t size_ = 0;
  uint32_t mark_ = 0;
  uint64_t off_ = 0, ack_ = 0;
  bool marked_ = false;
  bool skips_ = false;  // too long for a frame: noise until the next 0x00
  bool bare_hello_ = false;
  Bytes block_;
};

}  // namespace smx

#endif
