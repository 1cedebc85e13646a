// Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b, revision 34: both roles, each as the two messages that it writes and reads.
//
//     <- s                            known beforehand
//     -> e, es, s, ss                 message 1: 96 bytes and the payload
//     <- e, ee, se, psk               message 2: 48 bytes and the payload
//
// Owner: handshake.h. Pure: ephemeral keys are passed in, and must be new for every message; nothing here has a bound
// on the payloads but the caller's. Invariant: chaining key, ephemeral key and X25519 results are erased as soon as no
// step needs them, after a failure too. Read next: records.h (what the two keys are for). Source: The Noise Protocol
// Framework, revision 34 (section numbers below are its own).
#ifndef SOCKMUX_TRANSPORT_SECURE_NOISE_H
#define SOCKMUX_TRANSPORT_SECURE_NOISE_H

#include "transport/secure/crypto.h"
#include "transport/secure/fault.h"

namespace smx::secure {

constexpr size_t kFirst = 96;   // bytes of message 1 that are not payload: e, s and its tag, the payload's tag
constexpr size_t kSecond = 48;  // of message 2: e, the payload's tag

struct KeyPair {
  Secret own;             // the private key
  uint8_t shown[kKey]{};  // the public one

  KeyPair() = default;
  explicit KeyPair(const Secret& key) : own(key) { x25519_public(own, shown); }
};

// k = REKEY(k), 4.2: the first 32 bytes of 32 zeros, sealed at nonce 2^64-1. Nonces go on (11.3).
void rekey(Secret* key);

// A key for each direction; seen from one side.
struct LinkKeys {
  Secret tx, rx;
  void erase() { tx.erase(), rx.erase(); }
};

// Chaining key, hash, and the key of the moment: 5.2.
class SymmetricState {
 public:
  // InitializeSymmetric with our protocol name, MixHash of the prologue and of the responder's static key.
  void start(Bytes prologue, const uint8_t responder[kKey]);
  void mix_hash(Bytes data);
  void mix_key(Bytes material);
  void mix_key_and_hash(Bytes material);
  // plain.size + kTag bytes; `out` may be plain.data.
  void encrypt_and_hash(Bytes plain, uint8_t* out);
  // sealed.size - kTag bytes; not in place, since the hash is over what was sealed. false changes no state.
  [[nodiscard]] bool decrypt_and_hash(Bytes sealed, uint8_t* out);
  // The keys from initiator to responder, and back; ends this state.
  void split(Secret* forth, Secret* back);
  // The handshake hash, 11.2: unique to this handshake.
  const uint8_t* hash() const { return hash_; }
  void erase();

 private:
  SecretBytes<kHash> chaining_;
  uint8_t hash_[kHash] = {};
  Secret key_;
  uint64_t n_ = 0;
};

class NoiseInitiator {
 public:
  // `own` lives longer than this; `own` is not the peer. A try that was under way is given up.
  void start(const KeyPair& own, const uint8_t peer[kKey], Bytes prologue);
  // Writes kFirst + payload.size bytes. `ephemeral`: 32 new random bytes. Fault::ephemeral or weak_static: the peer's
  // key as we have it is of low order.
  Fault write_first(const Secret& ephemeral, Bytes payload, uint8_t* out);
  // `message`: at least kSecond bytes; `payload` gets message.size - kSecond bytes. Fault::ephemeral, Fault::answer:
  // nothing has changed, the right answer may still come. `keys` are written only if it opens.
  Fault read_second(Bytes message, const Secret& psk, uint8_t* payload, LinkKeys* keys);
  const uint8_t* hash() const { return state_.hash(); }
  void erase();

 private:
  const KeyPair* own_ = nullptr;
  uint8_t peer_[kKey] = {};
  Secret ephemeral_;
  SymmetricState state_;
};

class NoiseResponder {
 public:
  void start(const KeyPair& own, Bytes prologue);
  // The first part of message 1, one X25519: who calls. `message`: at least kFirst bytes. Fault::ephemeral, static_key.
  Fault read_key(Bytes message, uint8_t peer[kKey]);
  // The rest of the same message, one more: is it really him? `payload` gets message.size - kFirst bytes.
  // Fault::weak_static, payload.
  Fault read_first(Bytes message, uint8_t* payload);
  // The first two X25519 of write_second(), one a call, for who has not the time for three at once; the first call takes
  // `ephemeral`. Fault::ephemeral.
  Fault prepare_second(const Secret& ephemeral);
  bool prepared() const { return prepared_ == 2; }
  // Writes kSecond + payload.size bytes; three more, or the last one behind prepare_second(), whose `ephemeral` counts then.
  // Fault::ephemeral, weak_static.
  Fault write_second(const Secret& ephemeral, const Secret& psk, Bytes payload, uint8_t* out, LinkKeys* keys);
  const uint8_t* hash() const { return state_.hash(); }
  void erase();

 private:
  const KeyPair* own_ = nullptr;
  uint8_t peer_[kKey] = {};            // his static key, ...
  uint8_t peer_ephemeral_[kKey] = {};  // ... and that of this handshake
  int prepared_ = 0;                   // X25519 of message 2
  Secret ephemeral_;                   // ours, and what is shown of it
  uint8_t shown_[kKey] = {};
  SymmetricState state_;
};

}  // namespace smx::secure

#endif
