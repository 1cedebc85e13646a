// The primitives: examples of the RFCs, and what is special in our use of them.
#include <doctest/doctest.h>

#include "tests/secure/bytes.h"
#include "transport/secure/crypto.h"

using namespace smx;
using namespace smx::secure;
using namespace securetest;

TEST_CASE("crypto: X25519, the example of RFC 7748, 6.1") {
  const Secret bob(unhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb").data());
  Data of_bob(kKey);
  x25519_public(bob, of_bob.data());
  CHECK(of_bob == unhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"));
  Secret shared;
  REQUIRE(x25519(bob, unhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a").data(), &shared));
  CHECK(data_of(shared.view()) == unhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"));
}

TEST_CASE("crypto: public keys of low order give no shared secret, and leave zeros") {
  const Secret own(Data(kKey, 0x77).data());
  for (const char* low : {"0000000000000000000000000000000000000000000000000000000000000000",
                          "0100000000000000000000000000000000000000000000000000000000000000",
                          "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                          "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                          "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    Secret shared(Data(kKey, 0xaa).data());
    CHECK_FALSE(x25519(own, unhex(low).data(), &shared));
    CHECK(data_of(shared.view()) == Data(kKey, 0));
  }
}

TEST_CASE("crypto: BLAKE2b, the example of RFC 7693, in any parts") {
  const Data wanted = unhex(
      "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386"
      "edd4009923");
  Data got(kHash);
  blake2b({got.data(), got.size()}, {}, {as_bytes("abc")});
  CHECK(got == wanted);
  blake2b({got.data(), got.size()}, {}, {as_bytes("a"), Bytes{}, as_bytes("bc")});
  CHECK(got == wanted);
}

TEST_CASE("crypto: what was sealed opens in place, with its key, nonce and associated data only") {
  std::mt19937 random(1);
  const Secret key(any_data(random, kKey).data()), other(any_data(random, kKey).data());
  for (size_t size :
       {size_t{0}, size_t{1}, size_t{15}, size_t{16}, size_t{17}, size_t{63}, size_t{64}, size_t{65}, size_t{16384}}) {
    const Data plain = any_data(random, size), ad = any_data(random, size % 100);
    Data sealed(size + kTag), in_place = plain;
    seal(key, 7, view(ad), view(plain), sealed.data());
    in_place.resize(size + kTag);
    seal(key, 7, view(ad), {in_place.data(), size}, in_place.data());
    CHECK(in_place == sealed);
    Data out(size + 1);
    CHECK_FALSE(open(other, 7, view(ad), view(sealed), out.data()));
    CHECK_FALSE(open(key, 8, view(ad), view(sealed), out.data()));
    CHECK_FALSE(open(key, uint64_t{7} << 32, view(ad), view(sealed), out.data()));
    CHECK_FALSE(open(key, 7, as_bytes("x"), view(sealed), out.data()));
    CHECK_FALSE(open(key, 7, view(ad), {sealed.data(), sealed.size() - 1}, out.data()));
    REQUIRE(open(key, 7, view(ad), view(in_place), in_place.data()));
    CHECK(Data(in_place.data(), in_place.data() + size) == plain);
  }
  uint8_t out = 0;
  CHECK_FALSE(open(key, 7, {}, view(Data(kTag - 1)), &out));
}

TEST_CASE("crypto: a secret is erased when it dies") {
  alignas(Secret) uint8_t memory[sizeof(Secret)];
  Secret* s = new (memory) Secret(Data(kKey, 0x5a).data());
  CHECK(memory[kKey - 1] == 0x5a);
  s->~SecretBytes();
  CHECK(Data(memory, memory + sizeof memory) == Data(sizeof memory, 0));
}

TEST_CASE("crypto: equal looks at all bytes") {
  const Data a(kTag, 1);
  CHECK(equal(a.data(), Data(kTag, 1).data(), kTag));
  for (size_t i = 0; i < kTag; ++i) {
    Data b = a;
    b[i] ^= 0x80;
    CHECK_FALSE(equal(a.data(), b.data(), kTag));
  }
}
