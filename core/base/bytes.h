// Views of bytes, big-endian integers, and a cursor that cannot leave its view.
//
// Invariant: nothing here owns or copies memory; every read is inside the view or fails. Pure.
// Read next: ring.h, core/mux/packet.h. Source of the byte order: sockmux(7), "Packet".
#ifndef SOCKMUX_CORE_BASE_BYTES_H
#define SOCKMUX_CORE_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include <string_view>

namespace smx {

// Bytes that somebody else owns. The view is valid until the call that was given it returns.
struct Bytes {
  const uint8_t* data = nullptr;
  size_t size = 0;
};

// The same, to be written to.
struct MutBytes {
  uint8_t* data = nullptr;
  size_t size = 0;
};

inline Bytes as_bytes(std::string_view text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }
inline std::string_view as_text(Bytes b) { return {reinterpret_cast<const char*>(b.data), b.size}; }

inline uint16_t load16(const uint8_t* p) { return static_cast<uint16_t>(p[0] << 8 | p[1]); }
inline uint32_t load32(const uint8_t* p) { return static_cast<uint32_t>(load16(p)) << 16 | load16(p + 2); }
inline uint64_t load64(const uint8_t* p) { return static_cast<uint64_t>(load32(p)) << 32 | load32(p + 4); }

inline void store16(uint8_t* p, uint16_t v) {
  p[0] = static_cast<uint8_t>(v >> 8);
  p[1] = static_cast<uint8_t>(v);
}
inline void store32(uint8_t* p, uint32_t v) {
  store16(p, static_cast<uint16_t>(v >> 16));
  store16(p + 2, static_cast<uint16_t>(v));
}
inline void store64(uint8_t* p, uint64_t v) {
  store32(p, static_cast<uint32_t>(v >> 32));
  store32(p + 4, static_cast<uint32_t>(v));
}

// Reads a view from its start. After the first read that would leave the view, ok() is false and all reads give 0.
class Cursor {
 public:
  explicit Cursor(Bytes view) : view_(view) {}

  bool ok() const { return ok_; }
  size_t left() const { return view_.size; }

  uint8_t u8() {
    const uint8_t* p = take(1);
    return p == nullptr ? uint8_t{0} : *p;
  }
  uint16_t u16() {
    const uint8_t* p = take(2);
    return p == nullptr ? uint16_t{0} : load16(p);
  }
  uint32_t u32() {
    const uint8_t* p = take(4);
    return p == nullptr ? uint32_t{0} : load32(p);
  }
  uint64_t u64() {
    const uint8_t* p = take(8);
    return p == nullptr ? uint64_t{0} : load64(p);
  }
  // The next `n` bytes, or an empty view.
  Bytes bytes(size_t n) {
    const uint8_t* p = take(n);
    return p == nullptr ? Bytes{} : Bytes{p, n};
  }

 private:
  const uint8_t* take(size_t n) {
    if (!ok_ || n > view_.size) {
      ok_ = false;
      return nullptr;
    }
    const uint8_t* p = view_.data;
    view_.data += n;
    view_.size -= n;
    return p;
  }

  Bytes view_;
  bool ok_ = true;
};

// Bytes of all pieces together; of Bytes or MutBytes.
template <typename Piece>
size_t total_size(const Piece* piece, int pieces) {
  size_t n = 0;
  for (int i = 0; i < pieces; ++i) n += piece[i].size;
  return n;
}

}  // namespace smx

#endif
