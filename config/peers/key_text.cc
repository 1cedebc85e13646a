// Public keys as texts. Read next: peers.h.
#include "config/peers/peers.h"
#include "core/base/letters.h"

namespace smx {

namespace {

int value_of(char c) {
  if (is_upper(c)) return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (is_digit(c)) return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

}  // namespace

bool parse_public_key(std::string_view text, PeerKey* out) {
  if (text.size() != kKeyTextSize || text.back() != '=') return false;
  PeerKey key;
  uint32_t bits = 0;
  size_t have = 0, n = 0;
  for (size_t i = 0; i + 1 < kKeyTextSize; ++i) {
    const int v = value_of(text[i]);
    if (v < 0) return false;
    bits = (bits << 6 | static_cast<uint32_t>(v)) & 0xffff;
    have += 6;
    if (have < 8) continue;
    have -= 8;
    key.bytes[n++] = static_cast<uint8_t>(bits >> have);
  }
  if ((bits & 3) != 0) return false;  // 43 * 6 bits are 2 more than 32 bytes
  *out = key;
  return true;
}

void erase_bytes(void* at, size_t size) {
  if (size == 0) return;
  memset(at, 0, size);
  __asm__ __volatile__("" : : "r"(at) : "memory");  // somebody may look at it, for all the compiler knows
}

}  // namespace smx
