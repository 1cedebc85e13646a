// The primitives below Noise, as plain functions: all that transport/secure wants of a library. One file, crypto_x.cc,
// fills them; SECURE=x in the Makefile says which.
//
// Owner: nobody; the functions have no state and take no heap. Invariant: a Secret is erased when it dies, and every
// secret that a function had on its stack is erased before it returns. Randomness is passed in; nothing here makes any.
// Read next: noise.h. Source: RFC 7748 (X25519), RFC 8439 (ChaCha20-Poly1305), RFC 7693 (BLAKE2b), RFC 4648 (base64).
#ifndef SOCKMUX_TRANSPORT_SECURE_CRYPTO_H
#define SOCKMUX_TRANSPORT_SECURE_CRYPTO_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <initializer_list>

#include "core/base/bytes.h"

namespace smx::secure {

constexpr size_t kKey = 32;   // X25519 keys, cipher keys, PSKs
constexpr size_t kHash = 64;  // BLAKE2b
constexpr size_t kTag = 16;   // Poly1305, and mac1

// Once, before the first of the others, where that finds faster code for the processor at hand. Not thread-safe.
void start_crypto();

// Overwrites, whatever the compiler thinks of it.
void erase(void* data, size_t size);
// In a time that depends on `size` alone.
bool equal(const uint8_t* a, const uint8_t* b, size_t size);

// Bytes that nobody may see later.
template <size_t kSize>
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(const uint8_t* from) { memcpy(bytes_, from, kSize); }
  SecretBytes(const SecretBytes&) = default;
  SecretBytes& operator=(const SecretBytes&) = default;
  ~SecretBytes() { erase(); }

  void erase() { secure::erase(bytes_, kSize); }
  uint8_t* data() { return bytes_; }
  const uint8_t* data() const { return bytes_; }
  Bytes view() const { return {bytes_, kSize}; }

 private:
  uint8_t bytes_[kSize] = {};
};
using Secret = SecretBytes<kKey>;

// X25519. false: the result is all zero, since `their_public` is of low order (RFC 7748, 6.1); `out` is erased.
[[nodiscard]] bool x25519(const Secret& own, const uint8_t their_public[kKey], Secret* out);
// The public key of a private one.
void x25519_public(const Secret& own, uint8_t out[kKey]);

// ChaCha20-Poly1305 with the nonce of Noise: 4 zeros, then `n`, little-endian. `out` gets plain.size + kTag bytes and
// may be plain.data.
void seal(const Secret& key, uint64_t n, Bytes ad, Bytes plain, uint8_t* out);
// `out` gets sealed.size - kTag bytes and may be sealed.data. false: not sealed with this key and nonce (or shorter
// than a tag); `out` then holds zeros, or what it held before.
[[nodiscard]] bool open(const Secret& key, uint64_t n, Bytes ad, Bytes sealed, uint8_t* out);

// BLAKE2b of all parts in a row: out.size bytes, 16..64. With a `key` (0 or 16..64 bytes) it is the keyed hash of RFC
// 7693.
void blake2b(MutBytes out, Bytes key, std::initializer_list<Bytes> parts);

// 44 characters of base64 with padding for a key, and back. Both in constant time, but for the verdict on a bad text.
constexpr size_t kKeyText = 44;
void encode_key(const uint8_t key[kKey], char out[kKeyText]);
// false: not kKeyText characters of strict base64 (RFC 4648: padding, no blanks, the unused bits zero); `out` is
// erased.
[[nodiscard]] bool decode_key(const char* text, size_t size, uint8_t out[kKey]);

}  // namespace smx::secure

#endif
