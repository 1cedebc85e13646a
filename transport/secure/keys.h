// Keys as texts, as WireGuard's tools write them: 32 bytes in base64, 44 characters, and a line end in a file.
//
// Pure: randomness is passed in. Read next: key_file.h. Source: wg(8), "genkey", "pubkey", "genpsk"; RFC 4648, 4.
#ifndef SOCKMUX_TRANSPORT_SECURE_KEYS_H
#define SOCKMUX_TRANSPORT_SECURE_KEYS_H

#include <string_view>

#include "transport/secure/noise.h"

namespace smx::secure {

enum class [[nodiscard]] KeyFault : uint8_t {
  none,
  empty,
  too_short,
  too_long,
  blank,      // a blank, a tab, a CR: as they come with a copy
  character,  // one that base64 has not, or padding before the end
  ending,     // the last two characters are none that 32 bytes end with: another length, or one was mistyped
  lines,      // more than one line
};
// What is wrong, for "bad key: ...": lower case, one line. Never nullptr.
const char* name(KeyFault f);

// 44 characters of base64 and nothing else. `out` is erased if it is none.
KeyFault parse_key(std::string_view text, Secret* out);
// The same, with or without one LF behind it: a file, or what a pipe brings.
KeyFault parse_key_line(std::string_view text, Secret* out);

// What `genkey` writes: a private key of 32 random bytes, clamped as wg does (X25519 would do it anyway).
void genkey(const Secret& random, char out[kKeyText]);
// What `genpsk` writes: the random bytes as they are.
void genpsk(const Secret& random, char out[kKeyText]);
// What `pubkey` writes for what it reads, a private key's line.
KeyFault pubkey(std::string_view private_line, char out[kKeyText]);

}  // namespace smx::secure

#endif
