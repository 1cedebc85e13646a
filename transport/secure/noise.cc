// Read next: noise.h.
#include "transport/secure/noise.h"

#include "core/base/check.h"

namespace smx::secure {

namespace {

constexpr std::string_view kName = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b";
static_assert(kName.size() <= kHash);  // 5.2: then it is padded with zeros, not hashed

constexpr size_t kBlock = 128;  // BLAKE2b's BLOCKLEN, 12.8

// HMAC of RFC 2104 over BLAKE2b. Not its keyed mode: 4.3 asks for HMAC whatever the hash.
void hmac(const uint8_t key[kHash], Bytes data, Bytes more, uint8_t out[kHash]) {
  SecretBytes<kBlock> pad;
  SecretBytes<kHash> inner;
  for (size_t i = 0; i < kBlock; ++i) pad.data()[i] = static_cast<uint8_t>((i < kHash ? key[i] : 0) ^ 0x36);
  blake2b({inner.data(), kHash}, {}, {pad.view(), data, more});
  for (size_t i = 0; i < kBlock; ++i) pad.data()[i] ^= 0x36 ^ 0x5c;
  blake2b({out, kHash}, {}, {pad.view(), inner.view()});
}

// HKDF, 4.3, with `outputs` of 1 to 3.
struct Derived {
  SecretBytes<kHash> out[3];

  Derived(const SecretBytes<kHash>& chaining, Bytes material, int outputs) {
    SecretBytes<kHash> temp;
    hmac(chaining.data(), material, {}, temp.data());
    for (int i = 0; i < outputs; ++i) {
      const uint8_t number = static_cast<uint8_t>(i + 1);
      hmac(temp.data(), i == 0 ? Bytes{} : out[i - 1].view(), {&number, 1}, out[i].data());
    }
  }
};

// MixKey(DH(own, theirs)); false: the result is all zeros.
bool mix_dh(SymmetricState* state, const Secret& own, const uint8_t theirs[kKey]) {
  Secret shared;
  if (!x25519(own, theirs, &shared)) return false;
  state->mix_key(shared.view());
  return true;
}

// The token e in a handshake with psk, 9.2: MixHash, and MixKey too.
void mix_ephemeral(SymmetricState* state, const uint8_t shown[kKey]) {
  state->mix_hash({shown, kKey});
  state->mix_key({shown, kKey});
}

}  // namespace

void rekey(Secret* key) {
  const uint8_t zeros[kKey] = {};
  SecretBytes<kKey + kTag> sealed;
  seal(*key, UINT64_MAX, {}, {zeros, sizeof zeros}, sealed.data());
  memcpy(key->data(), sealed.data(), kKey);
}

void SymmetricState::start(Bytes prologue, const uint8_t responder[kKey]) {
  memset(hash_, 0, kHash);
  memcpy(hash_, kName.data(), kName.size());
  memcpy(chaining_.data(), hash_, kHash);
  key_.erase();
  n_ = 0;
  mix_hash(prologue);
  mix_hash({responder, kKey});
}

void SymmetricState::mix_hash(Bytes data) { blake2b({hash_, kHash}, {}, {Bytes{hash_, kHash}, data}); }

void SymmetricState::mix_key(Bytes material) {
  const Derived d(chaining_, material, 2);
  chaining_ = d.out[0];
  memcpy(key_.data(), d.out[1].data(), kKey);
  n_ = 0;
}

void SymmetricState::mix_key_and_hash(Bytes material) {
  const Derived d(chaining_, material, 3);
  chaining_ = d.out[0];
  mix_hash(d.out[1].view());
  memcpy(key_.data(), d.out[2].data(), kKey);
  n_ = 0;
}

void SymmetricState::encrypt_and_hash(Bytes plain, uint8_t* out) {
  seal(key_, n_++, {hash_, kHash}, plain, out);
  mix_hash({out, plain.size + kTag});
}

bool SymmetricState::decrypt_and_hash(Bytes sealed, uint8_t* out) {
  if (!open(key_, n_, {hash_, kHash}, sealed, out)) return false;
  ++n_;
  mix_hash(sealed);
  return true;
}

void SymmetricState::split(Secret* forth, Secret* back) {
  const Derived d(chaining_, {}, 2);
  memcpy(forth->data(), d.out[0].data(), kKey);
  memcpy(back->data(), d.out[1].data(), kKey);
  erase();
}

void SymmetricState::erase() {
  chaining_.erase();
  key_.erase();
}

void NoiseInitiator::start(const KeyPair& own, const uint8_t peer[kKey], Bytes prologue) {
  own_ = &own;
  memcpy(peer_, peer, kKey);
  ephemeral_.erase();
  state_.start(prologue, peer);
}

Fault NoiseInitiator::write_first(const Secret& ephemeral, Bytes payload, uint8_t* out) {
  SMX_CHECK(own_ != nullptr);
  ephemeral_ = ephemeral;
  x25519_public(ephemeral_, out);
  mix_ephemeral(&state_, out);
  if (!mix_dh(&state_, ephemeral_, peer_)) {  // es
    erase();
    return Fault::ephemeral;
  }
  state_.encrypt_and_hash({own_->shown, kKey}, out + kKey);  // s
  if (!mix_dh(&state_, own_->own, peer_)) {                  // ss
    erase();
    return Fault::weak_static;
  }
  state_.encrypt_and_hash(payload, out + kKey + kKey + kTag);
  return Fault::none;
}

Fault NoiseInitiator::read_second(Bytes message, const Secret& psk, uint8_t* payload, LinkKeys* keys) {
  SMX_CHECK(own_ != nullptr);
  SMX_CHECK(message.size >= kSecond);
  SymmetricState state = state_;  // an answer to another try must not spoil this one
  mix_ephemeral(&state, message.data);
  if (!mix_dh(&state, ephemeral_, message.data)) return Fault::ephemeral;  // ee
  if (!mix_dh(&state, own_->own, message.data)) return Fault::ephemeral;   // se
  state.mix_key_and_hash(psk.view());
  if (!state.decrypt_and_hash({message.data + kKey, message.size - kKey}, payload)) return Fault::answer;
  state.split(&keys->tx, &keys->rx);
  state_ = state;
  erase();
  return Fault::none;
}

void NoiseInitiator::erase() {
  own_ = nullptr;
  ephemeral_.erase();
  state_.erase();
}

void NoiseResponder::start(const KeyPair& own, Bytes prologue) {
  own_ = &own;
  prepared_ = 0;
  state_.start(prologue, own.shown);
}

Fault NoiseResponder::read_key(Bytes message, uint8_t peer[kKey]) {
  SMX_CHECK(own_ != nullptr);
  SMX_CHECK(message.size >= kFirst);
  memcpy(peer_ephemeral_, message.data, kKey);
  mix_ephemeral(&state_, peer_ephemeral_);
  if (!mix_dh(&state_, own_->own, peer_ephemeral_)) {  // es
    erase();
    return Fault::ephemeral;
  }
  if (!state_.decrypt_and_hash({message.data + kKey, kKey + kTag}, peer_)) {  // s
    erase();
    return Fault::static_key;
  }
  memcpy(peer, peer_, kKey);
  return Fault::none;
}

Fault NoiseResponder::read_first(Bytes message, uint8_t* payload) {
  SMX_CHECK(own_ != nullptr);
  SMX_CHECK(message.size >= kFirst);
  if (!mix_dh(&state_, own_->own, peer_)) {  // ss
    erase();
    return Fault::weak_static;
  }
  constexpr size_t kBefore = kFirst - kTag;
  if (!state_.decrypt_and_hash({message.data + kBefore, message.size - kBefore}, payload)) {
    erase();
    return Fault::payload;
  }
  return Fault::none;
}

Fault NoiseResponder::prepare_second(const Secret& ephemeral) {
  SMX_CHECK(own_ != nullptr);
  SMX_CHECK(!prepared());
  if (prepared_ == 0) {
    ephemeral_ = ephemeral;
    x25519_public(ephemeral_, shown_);
  } else {
    mix_ephemeral(&state_, shown_);
    if (!mix_dh(&state_, ephemeral_, peer_ephemeral_)) return Fault::ephemeral;  // ee
  }
  ++prepared_;
  return Fault::none;
}

Fault NoiseResponder::write_second(const Secret& ephemeral, const Secret& psk, Bytes payload, uint8_t* out,
                                   LinkKeys* keys) {
  SMX_CHECK(own_ != nullptr);
  Fault fault = Fault::none;
  while (fault == Fault::none && !prepared()) fault = prepare_second(ephemeral);
  memcpy(out, shown_, kKey);
  if (fault == Fault::none && !mix_dh(&state_, ephemeral_, peer_)) fault = Fault::weak_static;  // se
  if (fault == Fault::none) {
    state_.mix_key_and_hash(psk.view());
    state_.encrypt_and_hash(payload, out + kKey);
    state_.split(&keys->rx, &keys->tx);
  }
  erase();
  return fault;
}

void NoiseResponder::erase() {
  own_ = nullptr;
  ephemeral_.erase();
  state_.erase();
}

}  // namespace smx::secure
