// Two LineCiphers over somebody who loses, doubles, keeps and changes blocks, and makes some of his own: what opens was
// sealed by the other end, in order and at most once; and when he stops, both talk again. Read next: test_secure_line.cc.
#include "transport/secure/line_cipher.h"

#include <algorithm>

#include "tests/secure/ends.h"

using namespace securetest;

namespace {

std::mt19937& cipher_random() {
  static std::mt19937 random;
  return random;
}
Secret cipher_secret() { return Secret(any_data(cipher_random(), kKey).data()); }

struct End {
  End(const KeyPair& pair, const uint8_t peer_key[kKey], const Secret& p, Duration renew)
      : own(pair.own), cipher(own, cipher_secret, renew), psk(p) {
    memcpy(peer.bytes, peer_key, kKey);
  }
  // The content is a number that only grows.
  Data seal(uint32_t number, size_t size, Time now) {
    Data content(4 + size % 200, 0x5a);
    store32(content.data(), number);
    Data block(content.size() + LineSealer::kOverhead);
    block.resize(cipher.seal(view(content), block.data(), now));
    return block;
  }
  Data own_block() {
    uint8_t frame[kLineFrame + 1];
    Bytes in{frame, cipher.take_frame(frame)};
    LineDecoder decoder;
    REQUIRE(decoder.take(&in) == LineDecoder::Got::block);
    return data_of(decoder.block());
  }
  // Checks what it hears. True: something new.
  bool take(const Data& block, Time now) {
    if (!cipher.up() && !cipher.take(view(block), now)) return false;
    uint8_t content[kLineBlock];
    size_t size = 0;
    if (cipher.open(view(block), content, &size, now) != LineSealer::Got::content) return false;
    REQUIRE(size >= 4);
    const uint32_t number = load32(content);
    REQUIRE(number > heard);
    REQUIRE(number <= *sent_there);
    REQUIRE(std::count(content + 4, content + size, 0x5a) == static_cast<std::ptrdiff_t>(size - 4));
    heard = number;
    return true;
  }

  OwnKeys own;
  LineCipher cipher;
  PeerKey peer;
  Secret psk;
  uint32_t heard = 0, sent = 0;
  const uint32_t* sent_there = nullptr;
};

}  // namespace

TEST_CASE("line cipher: whatever somebody does to the blocks, what opens was sealed there, in order and at most once") {
  uint32_t heard = 0, handshakes = 0;
  for (unsigned seed = 1; seed <= 16; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    cipher_random().seed(seed);
    const KeyPair a{cipher_secret()}, b{cipher_secret()};
    const Secret psk = cipher_secret();
    const Duration renew = seconds(seed % 3 == 0 ? 20 : 0);
    End end[2] = {{a, b.shown, psk, renew}, {b, a.shown, psk, renew}};
    Time now{1000000};
    std::vector<Data> on_line[2], kept;
    for (int i = 0; i < 2; ++i) {
      end[i].sent_there = &end[1 - i].sent;
      end[i].cipher.start(end[i].peer, end[i].psk, now);
      if (seed % 2 == 0) end[i].cipher.limit_blocks(kRenewAhead + random() % 100);
    }
    const auto say = [&](int i) {
      if (end[i].cipher.deadline() <= now) end[i].cipher.tick(now);
      if (end[i].cipher.has_block()) on_line[i].push_back(end[i].own_block());
      if (!end[i].cipher.up()) return;
      const Data block = end[i].seal(++end[i].sent, random(), now);
      if (!block.empty()) on_line[i].push_back(block);
    };
    for (int turn = 0; turn < 1500; ++turn) {
      now = now + millis(random() % 8 == 0 ? 1000 : 20);
      const int i = static_cast<int>(random() % 2);
      say(i);
      End& there = end[1 - i];
      for (const Data& block : on_line[i]) {
        if (random() % 8 == 0) kept.push_back(block);
        switch (random() % 12) {
          case 0: break;  // lost
          case 1:
            there.take(block, now);
            there.take(block, now);
            break;
          case 2: {
            Data changed = block;
            changed[random() % changed.size()] ^= static_cast<uint8_t>(1u << random() % 8);
            there.take(changed, now);
            break;
          }
          case 3: {  // begins or ends elsewhere
            const auto front = static_cast<std::ptrdiff_t>(random() % 3), back = static_cast<std::ptrdiff_t>(random() % 3);
            Data cut(block.begin() + front, block.end() - back);
            if (!cut.empty()) there.take(cut, now);
            break;
          }
          default: there.take(block, now);
        }
      }
      on_line[i].clear();
      // Old ones, to either end, and some of his own.
      if (!kept.empty() && random() % 4 == 0) end[random() % 2].take(kept[random() % kept.size()], now);
      if (random() % 10 == 0) end[random() % 2].take(any_data(random, 1 + random() % kLineBlock), now);
      if (random() % 10 == 0) {
        Data made = any_data(random, 1 + random() % kLineBlock);
        memcpy(made.data(), "SMXS\x01\x01\0\x60", made.size() < 8 ? made.size() : 8);
        if (made.size() > 5) made[5] = static_cast<uint8_t>(random() % 5);
        if (made.size() > 8 && random() % 2 == 0) store16(&made[6], static_cast<uint16_t>(made.size() - 8));
        end[random() % 2].take(made, now);
      }
      if (random() % 100 == 0) {
        End& anew = end[random() % 2];
        anew.cipher.stop(now);
        if (random() % 2 == 0) anew.cipher.forget();
        anew.cipher.start(anew.peer, anew.psk, now);
      }
    }
    // He stops.
    const uint32_t before[2] = {end[0].heard, end[1].heard};
    const Time quiet = now;
    const auto talk = [&] { return end[0].heard > before[0] + 20 && end[1].heard > before[1] + 20; };
    while (!talk() && now < quiet + seconds(40)) {
      now = now + millis(100);
      for (int i = 0; i < 2; ++i) {
        say(i);
        for (const Data& block : on_line[i]) end[1 - i].take(block, now);
        on_line[i].clear();
      }
    }
    CHECK(talk());
    for (const End& e : end) heard += e.heard, handshakes += e.cipher.handshakes();
  }
  MESSAGE("heard up to ", heard, " under ", handshakes, " handshakes");
  CHECK(handshakes > 500);
}

TEST_CASE("line cipher: who begins has not heard the other side for longer than its keys can be followed: they begin anew") {
  for (const Duration away : {seconds(900), seconds(1100), seconds(3000)}) {
    CAPTURE(away.us);
    cipher_random().seed(1);
    KeyPair a{cipher_secret()}, b{cipher_secret()};
    if (memcmp(a.shown, b.shown, kKey) > 0) std::swap(a, b);
    const Secret psk = cipher_secret();
    End end[2] = {{a, b.shown, psk, {}}, {b, a.shown, psk, {}}};  // the first one begins
    Time now{1000000};
    for (int i = 0; i < 2; ++i) {
      end[i].sent_there = &end[1 - i].sent;
      end[i].cipher.start(end[i].peer, end[i].psk, now);
    }
    const auto turn = [&](bool cut) {
      now = now + seconds(1);
      for (int i = 0; i < 2; ++i) {
        if (end[i].cipher.deadline() <= now) end[i].cipher.tick(now);
        std::vector<Data> said;
        if (end[i].cipher.has_block()) said.push_back(end[i].own_block());
        if (end[i].cipher.up()) said.push_back(end[i].seal(++end[i].sent, 40, now));
        if (i == 1 && cut) continue;
        for (const Data& block : said) end[1 - i].take(block, now);
      }
    };
    for (int n = 0; n < 10; ++n) turn(false);
    REQUIRE(end[0].heard > 0);
    REQUIRE(end[1].heard > 0);
    for (const Time until = now + away; now < until;) turn(true);
    const uint32_t before = end[0].heard;
    for (int n = 0; n < 20; ++n) turn(false);
    CHECK(end[0].heard > before + 10);
    CHECK(end[1].heard > end[1].sent_there[0] - 5);
  }
}
