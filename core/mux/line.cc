// Read next: line.h.
#include "core/mux/line.h"

#include <string.h>

#include "core/base/check.h"
#include "core/mux/packet.h"

namespace smx {

namespace {

constexpr size_t kHead = 5;
constexpr size_t kCrc = 4;
static_assert(kLineContent - kCrc == kLineBlock);

struct CrcTable {
  uint32_t word[16] = {};
  constexpr CrcTable() {
    for (uint32_t i = 0; i < 16; ++i) {
      uint32_t c = i;
      for (int k = 0; k < 4; ++k) c = (c & 1) != 0 ? c >> 1 ^ 0x82f63b78u : c >> 1;
      word[i] = c;
    }
  }
};
constexpr CrcTable kCrcTable;  // four bits at a time: lines are slow, memory is not to spare

// COBS: each zero becomes the distance to the next one. `in` is at most kLineContent bytes, so no block but the last can be full.
size_t encode_cobs(const uint8_t* in, size_t size, uint8_t* out) {
  size_t code = 0, at = 1;
  for (size_t i = 0; i < size; ++i) {
    if (in[i] != 0) {
      out[at++] = in[i];
      continue;
    }
    out[code] = static_cast<uint8_t>(at - code);
    code = at++;
  }
  out[code] = static_cast<uint8_t>(at - code);
  return at;
}

// In place; the size of the content, or 0 if it is no COBS.
size_t decode_cobs(uint8_t* data, size_t size) {
  size_t at = 0, n = 0;
  while (at < size) {
    const size_t code = data[at];
    if (at + code > size) return 0;
    if (at > 0) data[n++] = 0;
    memmove(data + n, data + at + 1, code - 1);
    n += code - 1;
    at += code;
    if (code == 255 && at < size) return 0;  // a full block is the last one
  }
  return n;
}

// The length is a u16 whose first byte is 0x00, the text ends with NUL: its second byte and the text stand between zeros.
bool is_bare_hello(const uint8_t* data, size_t size) {
  return size > kHelloStamp && may_be_hello_stamp({data + 1, size - 1});
}

}  // namespace

uint32_t crc32c(const uint8_t* data, size_t size) {
  uint32_t c = 0xffffffff;
  for (size_t i = 0; i < size; ++i) {
    c ^= data[i];
    c = c >> 4 ^ kCrcTable.word[c & 15];
    c = c >> 4 ^ kCrcTable.word[c & 15];
  }
  return ~c;
}

size_t make_block(const LineFrame& f, uint8_t* out) {
  SMX_CHECK(f.unnumbered.size <= 255);
  SMX_CHECK(f.unnumbered.size + f.numbered.size <= kLinePayload);
  store16(out, f.off);
  store16(out + 2, f.ack);
  out[4] = static_cast<uint8_t>(f.unnumbered.size);
  size_t n = kHead;
  if (f.unnumbered.size > 0) memcpy(out + n, f.unnumbered.data, f.unnumbered.size);
  n += f.unnumbered.size;
  if (f.numbered.size > 0) memcpy(out + n, f.numbered.data, f.numbered.size);
  return n + f.numbered.size;
}

size_t encode_block(Bytes block, uint8_t* out, uint32_t mark) {
  SMX_CHECK(block.size > 0);
  SMX_CHECK(block.size <= kLineBlock);
  uint8_t content[kLineContent];
  memcpy(content, block.data, block.size);
  store32(content + block.size, crc32c(block.data, block.size) ^ mark);
  const size_t size = encode_cobs(content, block.size + kCrc, out);
  out[size] = 0;
  return size + 1;
}

size_t encode_line(const LineFrame& f, uint8_t* out) {
  uint8_t block[kLineBlock];
  return encode_block({block, make_block(f, block)}, out);
}

bool parse_block(Bytes block, LineFrame* out) {
  if (block.size < kHead) return false;
  const size_t unnumbered = block.data[4];
  if (unnumbered > block.size - kHead) return false;
  out->off = load16(block.data);
  out->ack = load16(block.data + 2);
  out->unnumbered = {block.data + kHead, unnumbered};
  out->numbered = {block.data + kHead + unnumbered, block.size - kHead - unnumbered};
  return true;
}

LineDecoder::Got LineDecoder::take(Bytes* in) {
  while (in->size > 0) {
    const uint8_t byte = *in->data;
    ++in->data;
    --in->size;
    if (byte == 0) {
      const bool was_noise = skips_;
      skips_ = false;
      if (was_noise) {
        size_ = 0;
        return Got::bad;
      }
      if (size_ == 0) continue;  // an empty frame: the line was idle
      return finish();
    }
    if (size_ == sizeof held_ - 1) skips_ = true;
    if (!skips_) held_[size_++] = byte;
  }
  return Got::nothing;
}

LineDecoder::Got LineDecoder::finish() {
  bare_hello_ = is_bare_hello(held_, size_);
  const size_t n = decode_cobs(held_, size_);
  size_ = 0;
  if (n <= kCrc) return Got::bad;
  const uint32_t mark = load32(held_ + n - kCrc) ^ crc32c(held_, n - kCrc);
  if (mark != 0) {
    if (mark_ == 0 || n < kHead + kCrc) return Got::bad;
    const auto off = static_cast<uint64_t>(nearest(off_, load16(held_))), ack = static_cast<uint64_t>(nearest(ack_, load16(held_ + 2)));
    if (mark != frame_mark(mark_, off, ack)) return Got::bad;
  }
  marked_ = mark != 0;
  block_ = {held_, n - kCrc};
  return Got::block;
}

}  // namespace smx
