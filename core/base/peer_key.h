// Who is at the other end of a link, where that is proven: the public key of its peer.
//
// Owner: whoever holds one. Pure. Read next: core/session/link.h, config/peers/peers.h (what a key may do).
#ifndef SOCKMUX_CORE_BASE_PEER_KEY_H
#define SOCKMUX_CORE_BASE_PEER_KEY_H

#include <stdint.h>
#include <string.h>

#include "core/base/text.h"

namespace smx {

struct PeerKey {
  static constexpr size_t kSize = 32;  // X25519
  uint8_t bytes[kSize] = {};
};

// Of a name in the peers file.
constexpr size_t kPeerLabel = 32;

inline bool operator==(const PeerKey& a, const PeerKey& b) { return memcmp(a.bytes, b.bytes, PeerKey::kSize) == 0; }
inline bool operator!=(const PeerKey& a, const PeerKey& b) { return !(a == b); }
inline bool operator<(const PeerKey& a, const PeerKey& b) { return memcmp(a.bytes, b.bytes, PeerKey::kSize) < 0; }
// Of two that may have none: nullptr.
inline bool same_key(const PeerKey* a, const PeerKey* b) { return a == nullptr || b == nullptr ? a == b : *a == *b; }

// As it stands in a peers file: 44 characters of base64 (RFC 4648, 4).
void append_key(TextBase& to, const PeerKey& key);

}  // namespace smx

#endif
