// Line blocks in virtual time: what opens is what was sealed, in order, at most once; and no forged block does any
// harm.
#include "transport/secure/line_blocks.h"

#include <algorithm>
#include <fstream>

#include "tests/secure/vectors.h"

using namespace smx;
using namespace smx::secure;
using namespace securetest;
using Got = BlockReader::Got;

namespace {

const Secret kTestKey(Data(kKey, 0x31).data());

struct Line {
  BlockWriter w;
  BlockReader r;
  Data heard;

  Line() {
    w.start(kTestKey, Time{});
    r.start(kTestKey);
  }
  Data block(const Data& content, Time now = {}) {
    Data out(content.size() + kBlockOverhead);
    const size_t size = w.seal(view(content), out.data(), now);
    CHECK((size == 0 || size == out.size()));
    out.resize(size);
    return out;
  }
  Got hear(const Data& block) {
    uint8_t out[kBlockContent];
    size_t size = 1;
    const Got got = r.open_block(view(block), out, &size);
    CHECK((got == Got::content || size == 0));
    heard = data_of({out, size});
    return got;
  }
};

// A block as a sender of any kind would make it.
Data made(uint32_t epoch, uint32_t n, const Data& content, const Secret& key = kTestKey,
          uint32_t shown_epoch = UINT32_MAX) {
  Secret k = key;
  for (uint32_t i = 0; i < epoch; ++i) rekey(&k);
  Data out(content.size() + kBlockOverhead);
  store32(out.data(), (shown_epoch == UINT32_MAX ? epoch : shown_epoch) << 28 | n);
  seal(k, n, {}, view(content), out.data() + kBlockHead);
  return out;
}

}  // namespace

// Two lines: "C ", the block and its checksum; then the same on the line. The content is that of the frame in example 10.
TEST_CASE("line blocks: the example of sockmux(7)") {
  std::ifstream file("man/sockmux.7");
  std::vector<Data> content, sealed;
  std::vector<Data>* into = nullptr;
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, 3, ".Ss") == 0) into = line.compare(4, 11, "Example 10:") == 0 ? &content : line.compare(4, 11, "Example 12:") == 0 ? &sealed : nullptr;
    if (into == nullptr || (line.compare(0, 2, "C ") != 0 && line.compare(0, 2, "  ") != 0)) continue;
    line.erase(std::remove(line.begin(), line.end(), ' '), line.end());
    into->push_back(unhex(line[0] == 'C' ? line.substr(1) : line));
  }
  REQUIRE(content.size() >= 2);
  REQUIRE(sealed.size() == 2);
  const auto without_crc = [](const Data& d) { return Data(d.begin(), d.end() - 4); };
  Data key(kKey);
  for (size_t i = 0; i < kKey; ++i) key[i] = static_cast<uint8_t>(i);
  BlockWriter w;
  w.start(Secret(key.data()), Time{});
  const Data plain = without_crc(content[0]);
  Data block(plain.size() + kBlockOverhead);
  for (int n = 0; n < 8; ++n) REQUIRE(w.seal(view(plain), block.data(), Time{}) == block.size());
  CHECK(block == without_crc(sealed[0]));
  CHECK(crc32c(block.data(), block.size()) == load32(sealed[0].data() + block.size()));
  uint8_t line[kLineFrame];
  CHECK(Data(line, line + encode_block(view(block), line)) == sealed[1]);
}

TEST_CASE("line blocks: those of the vectors") {
  const Json all = load_vectors();
  for (const Json& v : all["vectors"].list) {
    CAPTURE(v["comment"].text);
    const Data block = v["link"]["init_to_resp_line_block"].hex();
    const Data content = v["messages"].list[6]["payload"].hex();
    CHECK(made(1, 3, content, v["link"]["init_to_resp_key"].secret()) == block);
    Line l;
    l.r.start(v["link"]["init_to_resp_key"].secret());
    // One of them is longer than a frame of today.
    CHECK(l.hear(block) == (content.size() <= kBlockContent ? Got::content : Got::malformed));
    if (content.size() <= kBlockContent) CHECK(l.heard == content);
  }
}

TEST_CASE("line blocks: every size of content, and none that is too short or too long") {
  std::mt19937 random(2);
  Line l;
  for (size_t size = 0; size <= kBlockContent; ++size) {
    const Data content = any_data(random, size), block = l.block(content);
    CHECK(block.size() <= kBlock);
    for (size_t cut : {size_t{0}, size_t{4}, kBlockOverhead - 1}) CHECK(l.hear(Data(cut, 0)) == Got::malformed);
    if (size > 0) CHECK(l.hear(Data(block.begin(), block.end() - 1)) == Got::forged);
    CHECK(l.hear(block) == Got::content);
    CHECK(l.heard == content);
  }
  CHECK(l.hear(Data(kBlock + 1, 0)) == Got::malformed);
}

TEST_CASE("line blocks: a bit changed anywhere changes nothing, and the same block opens behind it") {
  Line l;
  l.hear(l.block(text("before")));
  const Data block = l.block(text("a key press"));
  for (size_t bit = 0; bit < block.size() * 8; ++bit) {
    CAPTURE(bit);
    Data bad = block;
    bad[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    const Got got = l.hear(bad);
    CHECK((got == Got::forged || (got == Got::old && bit / 8 == 3)));
  }
  CHECK(l.hear(block) == Got::content);
  CHECK(l.heard == text("a key press"));
}

TEST_CASE("line blocks: lost, repeated and overtaken ones, in all orders of four") {
  int order[] = {0, 1, 2, 3};
  do {
    Line l;
    Data blocks[4];
    for (int i = 0; i < 4; ++i) blocks[i] = l.block({static_cast<uint8_t>(i)});
    int highest = -1;
    for (int i : order) {
      CHECK(l.hear(blocks[i]) == (i > highest ? Got::content : Got::old));
      highest = std::max(highest, i);
      CHECK(l.hear(blocks[i]) == Got::old);
    }
  } while (std::next_permutation(std::begin(order), std::end(order)));
}

TEST_CASE("line blocks: up to 7 lost changes of the key do no harm, 8 are too many, and none is tried again") {
  for (uint32_t lost = 1; lost <= 9; ++lost) {
    Line l;
    CHECK(l.hear(l.block(text("first"))) == Got::content);
    Time now;
    Data block;
    for (uint32_t i = 0; i < lost; ++i) {
      now = now + kRekeyAfter;
      block = l.block(text("later"), now);
    }
    CHECK(l.hear(block) == (lost <= kMostEpochsAhead ? Got::content : Got::forged));
    // From there on as ever.
    if (lost <= kMostEpochsAhead) {
      CHECK(l.hear(l.block(text("next"), now)) == Got::content);
      CHECK(l.hear(made(0, 1000, text("of the old key"), kTestKey)) == Got::forged);
      CHECK(l.hear(made(0, 1000, text("the old key, in new clothes"), kTestKey, lost)) == Got::forged);
      CHECK(l.hear(l.block(text("next"), now + kRekeyAfter)) == Got::content);
    }
  }
}

TEST_CASE("line blocks: the epoch's four bits wrap, over 100 changes of the key") {
  Line l;
  std::mt19937 random(3);
  Time now;
  for (int heard = 0, epoch = 0; heard < 100; ++heard) {
    const int steps = 1 + static_cast<int>(random() % kMostEpochsAhead);
    Data block;
    for (int i = 0; i < steps; ++i, ++epoch) block = l.block(text("x"), now = now + kRekeyAfter);
    CHECK((block[0] >> 4) == (epoch & 15));
    REQUIRE(l.hear(block) == Got::content);
  }
}

TEST_CASE("line blocks: a forged jump, of the epoch or of n, changes nothing") {
  Line l;
  const Secret other(Data(kKey, 0x99).data());
  for (uint32_t epoch = 0; epoch < 16; ++epoch) {
    for (uint32_t n : {0u, 1u, 1u << 20, (1u << 24) - 1, 1u << 24, (1u << 28) - 1})
      CHECK(l.hear(made(epoch, n, text("x"), other)) == Got::forged);
  }
  CHECK(l.hear(made(0, 1u << 24, text("beyond the last nonce of a handshake"))) == Got::forged);
  CHECK(l.hear(l.block(text("first"))) == Got::content);
}

TEST_CASE("line blocks: the key changes after 65,536 blocks, and when all nonces are used the link must be renewed") {
  Line l;
  constexpr uint32_t kMost = 2 * kRekeyRecords + 3;
  l.w.start(kTestKey, Time{}, kMost);
  for (uint32_t i = 0; i < kMost; ++i) {
    uint8_t out[kBlockOverhead];
    REQUIRE(l.w.seal({}, out, Time{}) == kBlockOverhead);
    REQUIRE(load32(out) == (i / kRekeyRecords << 28 | i));
  }
  CHECK(l.block(text("one more")).empty());
  CHECK(l.block(text("one more"), Time{} + kRekeyAfter).empty());
}

TEST_CASE(
    "line blocks: a sender that never changes its key is ended at 2^20 blocks, heard or not; a forger ends nothing") {
  Line l;
  CHECK(l.hear(made(0, 0, text("first"))) == Got::content);
  CHECK(l.hear(made(0, kMostRecords, text("x"), Secret(Data(kKey, 1).data()))) == Got::forged);
  CHECK(l.hear(made(0, kMostRecords - 1, text("the last"))) == Got::content);
  CHECK(l.hear(made(0, kMostRecords, text("one more"))) == Got::overused);
  CHECK(l.hear(made(1, kMostRecords, text("by the next key"))) == Got::content);
  CHECK(l.hear(made(1, 2 * kMostRecords - 1, text("the last of this one"))) == Got::content);
  CHECK(l.hear(made(1, 2 * kMostRecords, text("one more"))) == Got::overused);
}

TEST_CASE("line blocks: none begins as a handshake message does") {
  CHECK((load32(reinterpret_cast<const uint8_t*>(kMagic)) & 0x0fffffff) >= kBlocks);
}
