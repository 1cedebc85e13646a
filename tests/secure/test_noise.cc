// Noise against the vectors, which three other implementations agree on, and against what an attacker may change in
// them.
#include "transport/secure/noise.h"

#include "tests/secure/vectors.h"

using namespace smx;
using namespace smx::secure;
using namespace securetest;

namespace {

// Both ends of one handshake, with the keys of a vector.
struct Pair {
  KeyPair ours, theirs;  // initiator, responder
  Secret psk, ephemeral, their_ephemeral;
  Data prologue;
  NoiseInitiator initiator;
  NoiseResponder responder;

  explicit Pair(const Json& v)
      : ours(v["init_static"].secret()),
        theirs(v["resp_static"].secret()),
        psk(v["init_psks"].list.at(0).secret()),
        ephemeral(v["init_ephemeral"].secret()),
        their_ephemeral(v["resp_ephemeral"].secret()),
        prologue(v["init_prologue"].hex()) {
    initiator.start(ours, theirs.shown, view(prologue));
    responder.start(theirs, view(prologue));
  }

  Data first(const Data& payload) {
    Data out(kFirst + payload.size());
    REQUIRE(initiator.write_first(ephemeral, view(payload), out.data()) == Fault::none);
    return out;
  }
  // The fault of the first step that fails.
  Fault read(const Data& message, Data* payload = nullptr) {
    uint8_t key[kKey];
    if (const Fault f = responder.read_key(view(message), key); f != Fault::none) return f;
    CHECK(data_of({key, kKey}) == data_of({ours.shown, kKey}));
    Data out(message.size() - kFirst);
    const Fault f = responder.read_first(view(message), out.data());
    if (payload != nullptr) *payload = out;
    return f;
  }
  Data second(const Data& payload, LinkKeys* keys) {
    Data out(kSecond + payload.size());
    REQUIRE(responder.write_second(their_ephemeral, psk, view(payload), out.data(), keys) == Fault::none);
    return out;
  }
};

Data sealed(const Secret& key, uint64_t n, const Data& plain) {
  Data out(plain.size() + kTag);
  seal(key, n, {}, view(plain), out.data());
  return out;
}

}  // namespace

TEST_CASE("noise: the vectors, byte by byte, in both roles") {
  const Json all = load_vectors();
  for (const Json& v : all["vectors"].list) {
    CAPTURE(v["comment"].text);
    REQUIRE(v["protocol_name"].text == "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b");
    Pair p(v);
    CHECK(data_of({p.theirs.shown, kKey}) == v["init_remote_static"].hex());
    CHECK(data_of({p.ours.shown, kKey}) == v["public"]["init_static"].hex());
    const std::vector<Json>& m = v["messages"].list;
    CHECK(p.first(m[0]["payload"].hex()) == m[0]["ciphertext"].hex());
    Data payload;
    REQUIRE(p.read(m[0]["ciphertext"].hex(), &payload) == Fault::none);
    CHECK(payload == m[0]["payload"].hex());

    LinkKeys ours, theirs;
    const Data second = p.second(m[1]["payload"].hex(), &theirs);
    CHECK(second == m[1]["ciphertext"].hex());
    payload.assign(second.size() - kSecond, 0);
    REQUIRE(p.initiator.read_second(view(second), p.psk, payload.data(), &ours) == Fault::none);
    CHECK(payload == m[1]["payload"].hex());
    CHECK(data_of({p.initiator.hash(), kHash}) == v["handshake_hash"].hex());
    CHECK(data_of({p.responder.hash(), kHash}) == v["handshake_hash"].hex());

    CHECK(data_of(ours.tx.view()) == v["link"]["init_to_resp_key"].hex());
    CHECK(data_of(ours.rx.view()) == v["link"]["resp_to_init_key"].hex());
    CHECK(data_of(theirs.rx.view()) == data_of(ours.tx.view()));
    CHECK(data_of(theirs.tx.view()) == data_of(ours.rx.view()));
    for (size_t i = 2; i < m.size(); ++i) {
      CHECK(sealed(i % 2 == 0 ? ours.tx : theirs.tx, (i - 2) / 2, m[i]["payload"].hex()) == m[i]["ciphertext"].hex());
    }
    rekey(&ours.tx);
    CHECK(data_of(ours.tx.view()) == v["link"]["init_to_resp_key_after_rekey"].hex());
  }
}

TEST_CASE("noise: a bit changed anywhere in message 1 is found at the part where it is") {
  const Json all = load_vectors();
  for (const Json& v : all["vectors"].list) {
    Pair p(v);
    const Data good = p.first(v["messages"].list[0]["payload"].hex());
    for (size_t i = 0; i < good.size(); ++i) {
      CAPTURE(i);
      Data bad = good;
      bad[i] ^= static_cast<uint8_t>(1u << i % 8);
      Pair q(v);
      // The top bit of e is no part of the X25519 number (RFC 7748, 5), but the hash covers it.
      CHECK(q.read(bad) == (i < kFirst - kTag ? Fault::static_key : Fault::payload));
    }
  }
}

TEST_CASE("noise: a changed message 2 changes nothing, and the right one opens behind it") {
  const Json v = load_vectors()["vectors"].list[0];
  Pair p(v);
  REQUIRE(p.read(p.first({})) == Fault::none);
  LinkKeys ours, theirs;
  const Data payload = text("hello"), good = p.second(payload, &theirs);
  Data out(payload.size());
  for (size_t i = 0; i < good.size(); ++i) {
    Data bad = good;
    bad[i] ^= 0x40;
    CHECK(p.initiator.read_second(view(bad), p.psk, out.data(), &ours) == Fault::answer);
  }
  Data weak = good;
  std::fill_n(weak.begin(), kKey, uint8_t{0});
  CHECK(p.initiator.read_second(view(weak), p.psk, out.data(), &ours) == Fault::ephemeral);
  Secret other_psk = p.psk;
  other_psk.data()[31] ^= 1;
  CHECK(p.initiator.read_second(view(good), other_psk, out.data(), &ours) == Fault::answer);
  CHECK(data_of(ours.tx.view()) == Data(kKey, 0));
  REQUIRE(p.initiator.read_second(view(good), p.psk, out.data(), &ours) == Fault::none);
  CHECK(out == payload);
  CHECK(data_of(ours.tx.view()) == data_of(theirs.rx.view()));
}

TEST_CASE("noise: another prologue, another responder, another psk") {
  const Json v = load_vectors()["vectors"].list[1];
  SUBCASE("prologue") {
    Pair p(v);
    const Data first = p.first({});
    p.responder.start(p.theirs, as_bytes("SMXS\2"));
    CHECK(p.read(first) == Fault::static_key);
  }
  SUBCASE("message 1 is for somebody else") {
    Pair p(v);
    const Data first = p.first({});
    p.responder.start(p.ours, view(p.prologue));
    CHECK(p.read(first) == Fault::static_key);
  }
  SUBCASE("the responder has another psk") {
    Pair p(v);
    REQUIRE(p.read(p.first({})) == Fault::none);
    Secret psk = p.psk;
    psk.data()[0] ^= 1;
    LinkKeys ours, theirs;
    uint8_t second[kSecond];
    REQUIRE(p.responder.write_second(p.their_ephemeral, psk, {}, second, &theirs) == Fault::none);
    CHECK(p.initiator.read_second({second, kSecond}, p.psk, nullptr, &ours) == Fault::answer);
  }
}

TEST_CASE("noise: keys of low order are an error in every place") {
  const Json v = load_vectors()["vectors"].list[0];
  const uint8_t zeros[kKey] = {};
  SUBCASE("that of the responder, as the initiator has it") {
    Pair p(v);
    p.initiator.start(p.ours, zeros, view(p.prologue));
    uint8_t out[kFirst];
    CHECK(p.initiator.write_first(p.ephemeral, {}, out) == Fault::ephemeral);
  }
  SUBCASE("e of the initiator") {
    Pair p(v);
    Data first = p.first({});
    std::fill_n(first.begin(), kKey, uint8_t{0});
    CHECK(p.read(first) == Fault::ephemeral);
  }
  SUBCASE("s of the initiator: sealed as it must be, but nobody has such a key") {
    Pair p(v);
    memset(p.ours.shown, 0, kKey);
    CHECK(p.read(p.first({})) == Fault::weak_static);
  }
}

TEST_CASE("noise: behind the end, or a failure, no secret is left in memory") {
  const Json v = load_vectors()["vectors"].list[2];
  const auto holds = [](const void* memory, size_t size, const Secret& s) {
    const auto* p = static_cast<const uint8_t*>(memory);
    for (size_t i = 0; i + kKey <= size; ++i) {
      if (memcmp(p + i, s.data(), kKey) == 0) return true;
    }
    return false;
  };
  Pair p(v);
  const Data first = p.first({});
  CHECK(holds(&p.initiator, sizeof p.initiator, p.ephemeral));
  REQUIRE(p.read(first) == Fault::none);
  LinkKeys ours, theirs;
  const Data second = p.second({}, &theirs);
  REQUIRE(p.initiator.read_second(view(second), p.psk, nullptr, &ours) == Fault::none);
  CHECK_FALSE(holds(&p.initiator, sizeof p.initiator, p.ephemeral));
  CHECK_FALSE(holds(&p.responder, sizeof p.responder, p.their_ephemeral));
  // Two secrets of a state are what is not public in it: the chaining key, and the key of the moment.
  for (const uint8_t* hash : {p.initiator.hash(), p.responder.hash()}) {
    const uint8_t* chaining = hash - kHash;
    CHECK(data_of({chaining, kHash}) == Data(kHash, 0));
    CHECK(data_of({hash + kHash, kKey}) == Data(kKey, 0));
  }
  Pair q(v);
  Data bad = q.first({});
  bad.back() ^= 1;
  CHECK(q.read(bad) == Fault::payload);
  CHECK(data_of({q.responder.hash() - kHash, kHash}) == Data(kHash, 0));
}
