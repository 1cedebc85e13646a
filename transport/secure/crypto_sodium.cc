// crypto.h over libsodium. sodium_init() is not needed for any of these (libsodium manual, "Usage": without it the
// slower code is taken, and the random generator, which is not used here, is not safe for threads). It knows faster code
// for x86 alone, and costs 24 KB and more, so elsewhere it is left out. Read next: crypto.h.
#include "transport/secure/crypto.h"

#include <sodium.h>

#include "core/base/check.h"

namespace smx::secure {

static_assert(kKey == crypto_scalarmult_BYTES);
static_assert(kKey == crypto_scalarmult_SCALARBYTES);
static_assert(kKey == crypto_aead_chacha20poly1305_ietf_KEYBYTES);
static_assert(kTag == crypto_aead_chacha20poly1305_ietf_ABYTES);
static_assert(kHash == crypto_generichash_blake2b_BYTES_MAX);
static_assert(kTag >= crypto_generichash_blake2b_BYTES_MIN);
static_assert(kKeyText + 1 == sodium_base64_ENCODED_LEN(kKey, sodium_base64_VARIANT_ORIGINAL));

namespace {

struct Nonce {
  uint8_t bytes[crypto_aead_chacha20poly1305_ietf_NPUBBYTES] = {};
  explicit Nonce(uint64_t n) {
    static_assert(sizeof bytes == 12);
    for (int i = 0; i < 8; ++i) bytes[4 + i] = static_cast<uint8_t>(n >> (8 * i));
  }
};

}  // namespace

void start_crypto() {
#if defined(__x86_64__) || defined(__i386__)
  const int failed = sodium_init();
  SMX_CHECK(failed >= 0);
#endif
}

void erase(void* data, size_t size) { sodium_memzero(data, size); }

bool equal(const uint8_t* a, const uint8_t* b, size_t size) { return sodium_memcmp(a, b, size) == 0; }

bool x25519(const Secret& own, const uint8_t their_public[kKey], Secret* out) {
  if (crypto_scalarmult(out->data(), own.data(), their_public) == 0) return true;
  out->erase();
  return false;
}

void x25519_public(const Secret& own, uint8_t out[kKey]) {
  const int failed = crypto_scalarmult_base(out, own.data());
  SMX_CHECK(failed == 0);
}

void seal(const Secret& key, uint64_t n, Bytes ad, Bytes plain, uint8_t* out) {
  const Nonce nonce(n);
  unsigned long long size = 0;
  const int failed = crypto_aead_chacha20poly1305_ietf_encrypt(out, &size, plain.data, plain.size, ad.data, ad.size,
                                                               nullptr, nonce.bytes, key.data());
  SMX_CHECK(failed == 0);
  SMX_CHECK(size == plain.size + kTag);
}

bool open(const Secret& key, uint64_t n, Bytes ad, Bytes sealed, uint8_t* out) {
  if (sealed.size < kTag) return false;
  const Nonce nonce(n);
  unsigned long long size = 0;
  // With no room asked for, libsodium takes a null `m` as "only verify"; a byte of our own keeps the two cases one.
  uint8_t none = 0;
  if (sealed.size == kTag) out = &none;
  return crypto_aead_chacha20poly1305_ietf_decrypt(out, &size, nullptr, sealed.data, sealed.size, ad.data, ad.size,
                                                   nonce.bytes, key.data()) == 0;
}

void blake2b(MutBytes out, Bytes key, std::initializer_list<Bytes> parts) {
  crypto_generichash_blake2b_state state;
  int failed = crypto_generichash_blake2b_init(&state, key.data, key.size, out.size);
  for (const Bytes& part : parts) {
    if (part.size > 0) failed |= crypto_generichash_blake2b_update(&state, part.data, part.size);
  }
  failed |= crypto_generichash_blake2b_final(&state, out.data, out.size);
  erase(&state, sizeof state);
  SMX_CHECK(failed == 0);
}

void encode_key(const uint8_t key[kKey], char out[kKeyText]) {
  char text[kKeyText + 1];
  sodium_bin2base64(text, sizeof text, key, kKey, sodium_base64_VARIANT_ORIGINAL);
  memcpy(out, text, kKeyText);
  erase(text, sizeof text);
}

bool decode_key(const char* text, size_t size, uint8_t out[kKey]) {
  size_t got = 0;
  const char* end = nullptr;
  // libsodium 1.0.18 takes bytes of 0x80 and more for '/', where char has a sign.
  int high = 0;
  for (size_t i = 0; i < size; ++i) high |= text[i] & 0x80;
  if (size == kKeyText && high == 0 &&
      sodium_base642bin(out, kKey, text, size, nullptr, &got, &end, sodium_base64_VARIANT_ORIGINAL) == 0 &&
      got == kKey && end == text + size) {
    return true;
  }
  erase(out, kKey);
  return false;
}

}  // namespace smx::secure
