// Read next: peer_key.h.
#include "core/base/peer_key.h"

namespace smx {

void append_key(TextBase& to, const PeerKey& key) {
  static const char kDigit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < PeerKey::kSize; i += 3) {
    uint32_t three = 0;
    for (size_t k = 0; k < 3; ++k) three = three << 8 | (i + k < PeerKey::kSize ? key.bytes[i + k] : 0u);
    for (int shift = 18; shift >= 0; shift -= 6) {
      const bool padding = shift == 0 && i + 3 > PeerKey::kSize;  // 32 bytes leave one place empty
      to.add(padding ? '=' : kDigit[three >> shift & 63]);
    }
  }
}

}  // namespace smx
