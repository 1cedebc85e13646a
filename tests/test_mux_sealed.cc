// Lossy lines of a secure link, with a sealer that is none: what is sealed, what is opened, and what that costs on the
// line. Read next: core/mux/line_sealer.h; tests/secure/test_line_cipher.cc for the real one.
#include <doctest/doctest.h>

#include <algorithm>

#include "core/mux/line.h"
#include "core/mux/line_sealer.h"
#include "tests/sim/noisy.h"

using namespace smx;
using namespace bench;

namespace {

// n, the content under a mask that n gives, and a sum over both in place of a tag.
class FakeSealer : public LineSealer {
 public:
  size_t seal(Bytes content, uint8_t* out, Time) override {
    if (has_no_key) return 0;
    REQUIRE(content.size <= kLineBlock - kOverhead);
    store32(out, ++sent);
    for (size_t i = 0; i < content.size; ++i) out[4 + i] = static_cast<uint8_t>(content.data[i] ^ mask(sent, i));
    put_tag(out, content.size);
    return content.size + kOverhead;
  }
  Got open(Bytes block, uint8_t* out, size_t* size, Time) override {
    if (block.size < kOverhead) return Got::forged;
    const uint32_t n = load32(block.data);
    const size_t content = block.size - kOverhead;
    uint8_t sealed[kLineBlock];
    memcpy(sealed, block.data, 4 + content);
    put_tag(sealed, content);
    if (memcmp(sealed, block.data, block.size) != 0) return Got::forged;
    if (n <= heard) return Got::old;
    heard = n;
    if (content == 0) return Got::aside;
    for (size_t i = 0; i < content; ++i) out[i] = static_cast<uint8_t>(block.data[4 + i] ^ mask(n, i));
    *size = content;
    return Got::content;
  }
  uint32_t sent = 0, heard = 0;
  bool has_no_key = false;

 private:
  static uint8_t mask(uint32_t n, size_t i) { return static_cast<uint8_t>(0x5a + 31 * n + 7 * i); }
  static void put_tag(uint8_t* out, size_t content) {
    for (uint32_t i = 0; i < 4; ++i) store32(out + 4 + content + 4 * i, crc32c(out, 4 + content) * (i * 2 + 1));
  }
};

struct Two : NoisyLine {
  explicit Two(uint32_t rate = 960, uint64_t seed = 1) : NoisyLine(seed, rate, line_config("a"), line_config("b")) {
    a().sealer = &sealer[0];
    b().sealer = &sealer[1];
  }
  Bench& a() { return (*this)[0]; }
  Bench& b() { return (*this)[1]; }
  void come_up() {
    both();
    REQUIRE(run(seconds(60), [&] { return a().mux.up() && b().mux.up(); }));
  }
  // A channel of A that both ends know.
  ChannelId open() {
    const ChannelId id = a().open("?");
    REQUIRE(run(seconds(60), [&] { return b().log.find("open") != std::string::npos && b().at(b().opened).in == "?"; }));
    b().at(b().opened).in.clear();
    return id;
  }
  FakeSealer sealer[2];
};

// Calls `each` with every block that passes a point of a line, and lets it change what follows.
class Tap {
 public:
  explicit Tap(std::function<void(Data, std::string*)> each) : each_(std::move(each)) {}
  void take(std::string& bytes) {
    std::string out;
    for (const char c : bytes) {
      out.push_back(c);
      const auto byte = static_cast<uint8_t>(c);
      Bytes in{&byte, 1};
      if (decoder_.take(&in) != LineDecoder::Got::block) continue;
      each_(Data(reinterpret_cast<const char*>(decoder_.block().data), decoder_.block().size), &out);
    }
    bytes = out;
  }

 private:
  std::function<void(Data, std::string*)> each_;
  LineDecoder decoder_;
};

Data framed(const Data& block) {
  uint8_t out[kLineFrame];
  return Data(reinterpret_cast<char*>(out), encode_block({reinterpret_cast<const uint8_t*>(block.data()), block.size()}, out));
}

}  // namespace

TEST_SUITE_BEGIN("lossy");

TEST_CASE("lossy, sealed: bit errors of 1e-4 and 0.1 % of the bytes lost: bytes both ways arrive whole") {
  for (const uint32_t rate : {960u, 11520u, 100000u}) {
    CAPTURE(rate);
    Two t(rate, rate);
    t.flips = 1e-4;
    t.drops = 1e-3;
    t.come_up();
    const size_t size = rate == 960 ? 50000 : 300000;
    const ChannelId id = t.open();
    t.a().send(id, pattern(1, size), true);
    t.b().send(t.b().opened, pattern(2, size), true);
    CHECK(t.run(seconds(5000), [&] { return t.a().at(id).in.size() >= size && t.b().at(t.b().opened).in.size() >= size; }));
    CHECK(t.a().at(id).in == pattern(2, size));
    CHECK(t.b().at(t.b().opened).in == pattern(1, size));
    CHECK(t.a().mux.stats().frames_again > 0);
    CHECK(t.a().mux.stats().bad_frames > 0);
    CHECK(t.a().mux.stats().forged_frames == 0);
    CHECK(t.a().mux.stats().old_frames == 0);
    CHECK(t.error[0] == Err::none);
    CHECK(t.error[1] == Err::none);
  }
}

TEST_CASE("lossy, sealed: every block has a new n, at most 230 bytes in it, and none of the content is to be seen") {
  Two t(11520);
  uint32_t last[2] = {};
  size_t largest = 0;
  bool shown = false;
  const auto look = [&](int i) {
    return [&, i](const Data& block, std::string*) {
      const uint32_t n = load32(reinterpret_cast<const uint8_t*>(block.data()));
      CHECK(n == last[i] + 1);
      last[i] = n;
      largest = std::max(largest, block.size());
      shown |= block.find("smx/1:") != Data::npos || block.find("AAAAAAAA") != Data::npos;
    };
  };
  Tap tap[2] = {Tap(look(0)), Tap(look(1))};
  t.spoil = [&](int i, std::string& bytes) { tap[i].take(bytes); };
  t.come_up();
  const ChannelId id = t.open();
  t.a().send(id, Data(20000, 'A'), true);
  REQUIRE(t.run(seconds(30), [&] { return t.b().at(t.b().opened).in.size() == 20000; }));
  CHECK(last[0] > 80);
  CHECK(largest == kLineBlock);
  CHECK_FALSE(shown);
}

TEST_CASE("lossy, sealed: repeated and forged blocks are dropped and counted apart, and change nothing") {
  Two t(11520);
  t.come_up();
  const ChannelId id = t.open();
  size_t repeated = 0, forged = 0, cleared = 0, seen = 0;
  Data old;
  Tap tap([&](const Data& block, std::string* out) {
    switch (++seen % 8) {
      case 1:
        if (old.empty()) old = block;
        *out += framed(block);
        ++repeated;
        break;
      case 3:
        *out += framed(old);
        ++repeated;
        break;
      case 5: {
        Data changed = block;
        changed[seen % block.size()] = static_cast<char>(changed[seen % block.size()] ^ 1);
        *out += framed(changed);
        ++forged;
        break;
      }
      case 7: {  // a clear frame: the ECHO of somebody who has no key
        const Data echo = packet(kUnnumbered, Type::echo, kNone, kNone, be64(3));
        *out += framed(Data("\0\0\0\0\x10", 5) + echo);
        ++cleared;
        break;
      }
      default: break;
    }
  });
  t.spoil = [&](int i, std::string& bytes) {
    if (i == 0) tap.take(bytes);
  };
  t.a().send(id, pattern(1, 50000), true);
  REQUIRE(t.run(seconds(60), [&] { return t.b().at(t.b().opened).in.size() == 50000; }));
  t.run(seconds(2));
  CHECK(t.b().at(t.b().opened).in == pattern(1, 50000));
  CHECK(repeated > 20);
  CHECK(t.b().mux.stats().old_frames == repeated);
  CHECK(t.b().mux.stats().forged_frames == forged + cleared);
  CHECK(t.b().mux.stats().bad_frames == 0);
  CHECK(t.a().mux.stats().frames_again == 0);
}

TEST_CASE("lossy, sealed: datagrams of any size arrive whole and in order") {
  Two t(11520);
  t.flips = 1e-4;
  t.drops = 1e-3;
  t.come_up();
  const ChannelId bulk = t.open();
  const ChannelId far_bulk = t.b().opened;
  t.a().send(bulk, pattern(5, 20000));
  std::vector<Data> sent;
  for (const size_t size : {0u, 1u, 200u, 216u, 217u, 218u, 2000u, 10000u}) sent.push_back(pattern(size, size));
  (void)t.a().open_flow(sent);
  REQUIRE(t.run(seconds(60), [&] { return t.b().opened.slot != far_bulk.slot && t.b().at(t.b().opened).got.size() >= sent.size(); }));
  CHECK((t.b().at(t.b().opened).got == sent));
  CHECK(t.run(seconds(60), [&] { return t.b().at(far_bulk).in.size() == 20000; }));
}

TEST_CASE("lossy, sealed: without a key nothing goes out; what was lost by that is sent when there is one") {
  Two t(11520);
  t.come_up();
  const ChannelId id = t.open();
  t.a().send(id, pattern(1, 30000), true);
  t.run(millis(500));
  t.sealer[0].has_no_key = true;
  t.run(millis(100));
  const uint64_t carried = t.carried[0];
  t.run(millis(1000));
  CHECK(t.carried[0] == carried);
  t.sealer[0].has_no_key = false;
  REQUIRE(t.run(seconds(30), [&] { return t.b().at(t.b().opened).in.size() == 30000; }));
  CHECK(t.b().at(t.b().opened).in == pattern(1, 30000));
  CHECK(t.error[0] == Err::none);
}

TEST_CASE("lossy, sealed: a side that has no sealer is not heard, and does not come up") {
  Two t;
  t.b().sealer = nullptr;
  t.both();
  CHECK_FALSE(t.run(seconds(10), [&] { return t.a().mux.up() || t.b().mux.up(); }));
  CHECK(t.a().mux.stats().forged_frames > 5);
  CHECK(t.error[0] == Err::none);
}

// The page's table counts 9 bytes around a packet of 9; the head of our frames and the 0x00 make it 11, in clear and sealed.
TEST_CASE("lossy, sealed: what key presses take on a line of 9600 baud") {
  for (const bool sealed : {false, true}) {
    CAPTURE(sealed);
    Two t;
    if (!sealed) t.a().sealer = t.b().sealer = nullptr;
    t.come_up();
    std::vector<ChannelId> keys;
    for (int i = 0; i < 10; ++i) keys.push_back(t.open());
    t.run(seconds(3));
    const auto taken = [&](size_t count) {
      // Alone on the line: nothing but the acks that are due half a second later.
      const uint64_t before = t.carried[0];
      for (size_t i = 0; i < count; ++i) t.a().send(keys[i], "k");
      t.run(millis(300));
      const uint64_t n = t.carried[0] - before;
      t.run(seconds(3));
      return n;
    };
    const uint64_t one = taken(1), ten = taken(10);
    MESSAGE(std::string(sealed ? "sealed" : "clear"), ": a key press ", one, " bytes, ten of ten channels ", ten);
    CHECK(one == (sealed ? 41 : 21));  // with the 0x00 of an idle line
    CHECK(ten == (sealed ? 122 : 102));
  }
}

TEST_CASE("lossy, sealed: at 9600 baud bulk keeps 84 % of the line, and a key press and its echo beside it take 0.38 s") {
  Two t;
  t.come_up();
  const ChannelId bulk = t.open();
  const ChannelId far_bulk = t.b().opened;
  t.a().send(bulk, pattern(1, 200000));
  const ChannelId keys = t.open();
  const ChannelId far_keys = t.b().opened;
  t.run(seconds(10));
  // Bulk alone
  const Time start = t.now();
  const size_t before = t.b().at(far_bulk).in.size();
  t.run(seconds(60));
  const double share = static_cast<double>(t.b().at(far_bulk).in.size() - before) * 1e6 / static_cast<double>((t.now() - start).us) / 960;
  std::vector<int64_t> times;
  for (size_t i = 1; i <= 60; ++i) {
    const Time press = t.now();
    t.a().send(keys, "k");
    REQUIRE(t.run(seconds(10), [&] { return t.b().at(far_keys).in.size() == i; }));
    t.b().send(far_keys, "K");
    REQUIRE(t.run(seconds(10), [&] { return t.a().at(keys).in.size() == i; }));
    times.push_back((t.now() - press).us / 1000);
    t.run(millis(static_cast<int64_t>(i * 379 % 2000)));
  }
  std::sort(times.begin(), times.end());
  MESSAGE("key press ms: median ", times[30], ", p95 ", times[56], ", longest ", times.back(), "; bulk has ", share * 100, " % of the line");
  CHECK(times[56] <= 380);
  CHECK(share >= 0.84);
}

TEST_SUITE_END();
