// The keys of a lossy line, and somebody on it who loses, doubles, keeps and changes blocks and makes some. Input: a script. What opens
// was sealed by the other end, in order and at most once; when he stops, both talk again. Read next: transport/secure/line_cipher.h.
#include "tests/fuzz/targets.h"
#include "transport/secure/line_cipher.h"

namespace fuzz {

namespace {

using namespace smx::secure;

Secret secret_of(uint32_t number) {
  uint8_t bytes[kKey];
  for (size_t i = 0; i < sizeof bytes; ++i) bytes[i] = static_cast<uint8_t>(number * 151 + (number >> 8) * 7 + i * 13);
  return Secret(bytes);
}
uint32_t fresh_count;
Secret fresh() { return secret_of(++fresh_count); }
const OwnKeys& own(int i) {
  static const OwnKeys keys[2] = {OwnKeys(secret_of(100001)), OwnKeys(secret_of(100002))};
  return keys[i];
}

struct Side {
  Side(int i, smx::Duration renew) : cipher(own(i), fresh, renew), peer(own(1 - i).shown()) {}
  LineCipher cipher;
  smx::PeerKey peer;
  uint32_t sent = 0, heard = 0;
  const uint32_t* sent_there = nullptr;

  void take(const Data& block, smx::Time now) {
    if (block.empty() || block.size() > smx::kLineBlock) return;
    if (!cipher.up() && !cipher.take(view(block), now)) return;
    uint8_t content[smx::kLineBlock];
    size_t size = 0;
    const Exact exact(block);
    if (cipher.open(exact.bytes(), content, &size, now) != smx::LineSealer::Got::content) return;
    MUST(size >= 4);
    const uint32_t number = smx::load32(content);
    MUST(number > heard);
    MUST(number <= *sent_there);
    for (size_t k = 4; k < size; ++k) MUST(content[k] == 0x5a);
    heard = number;
  }
};

}  // namespace

void secure_line(smx::Bytes input) {
  Input in(input);
  start_crypto();
  fresh_count = 0;
  const uint8_t how = in.u8();
  const smx::Duration renew = smx::seconds((how & 1) != 0 ? 20 : 0);
  const Secret psk = fresh();
  Side side[2] = {{0, renew}, {1, renew}};
  smx::Time now{1000000};
  std::vector<Data> line[2], kept;
  for (int i = 0; i < 2; ++i) {
    side[i].sent_there = &side[1 - i].sent;
    side[i].cipher.start(side[i].peer, psk, now);
    if ((how & 2) != 0) side[i].cipher.limit_blocks(kRenewAhead + how);
  }
  const auto say = [&](int i, size_t size) {
    Side& s = side[i];
    if (s.cipher.deadline() <= now) s.cipher.tick(now);
    if (s.cipher.has_block()) {
      uint8_t frame[smx::kLineFrame + 1];
      smx::Bytes rest{frame, s.cipher.take_frame(frame)};
      smx::LineDecoder decoder;
      MUST(decoder.take(&rest) == smx::LineDecoder::Got::block);
      line[i].push_back(data_of(decoder.block()));
    }
    if (!s.cipher.up()) return;
    Data content(4 + size % 200, 0x5a);
    smx::store32(reinterpret_cast<uint8_t*>(&content[0]), ++s.sent);
    Data block(content.size() + smx::LineSealer::kOverhead, '\0');
    block.resize(s.cipher.seal(view(content), reinterpret_cast<uint8_t*>(&block[0]), now));
    if (!block.empty()) line[i].push_back(block);
  };
  for (int turn = 0; turn < 120 && !in.empty(); ++turn) {
    const uint8_t op = in.u8();
    const int i = op >> 7;
    Data* block = line[i].empty() ? nullptr : &line[i].front();
    switch (op & 15) {
      case 0:
      case 1: say(i, in.u8()); break;
      case 2: now = now + smx::millis(in.u8() * ((op & 32) != 0 ? 100 : 5)); break;
      case 3:
      case 4:
        if (block != nullptr) side[1 - i].take(*block, now), line[i].erase(line[i].begin());
        break;
      case 5:
        if (block != nullptr) side[1 - i].take(*block, now);
        break;
      case 6:
        if (block != nullptr) line[i].erase(line[i].begin());
        break;
      case 7:
        if (block != nullptr) kept.push_back(*block);
        break;
      case 8:
        if (!kept.empty()) side[i].take(kept[in.u8() % kept.size()], now);
        break;
      case 9:
        if (block != nullptr && !block->empty()) (*block)[in.u8() % block->size()] ^= static_cast<char>(1 << (op >> 4 & 7));
        break;
      case 10:
        if (block != nullptr) block->resize(in.u8() % (block->size() + 1));
        break;
      case 11: side[i].take(data_of(in.bytes(in.u8())), now); break;
      case 12: {
        Data made = "SMXS\x01" + Data(1, static_cast<char>(op >> 4 & 3)) + '\0' + '\0' + data_of(in.bytes(in.u8() % 240));
        smx::store16(reinterpret_cast<uint8_t*>(&made[6]), static_cast<uint16_t>(made.size() - 8));
        side[i].take(made, now);
        break;
      }
      case 13:
        if ((op & 96) != 96) break;
        side[i].cipher.stop(now);
        if ((op & 16) != 0) side[i].cipher.forget();
        side[i].cipher.start(side[i].peer, psk, now);
        break;
      default:
        for (int k = 0; k < 2; ++k) {
          say(k, op);
          for (const Data& b : line[k]) side[1 - k].take(b, now);
          line[k].clear();
        }
        now = now + smx::millis(20);
    }
  }
  // He stops.
  const uint32_t before[2] = {side[0].heard, side[1].heard};
  const smx::Time quiet = now;
  const auto talk = [&] { return side[0].heard > before[0] + 5 && side[1].heard > before[1] + 5; };
  while (!talk() && now < quiet + smx::seconds(60)) {
    now = now + smx::millis(100);
    for (int i = 0; i < 2; ++i) {
      say(i, 1);
      for (const Data& b : line[i]) side[1 - i].take(b, now);
      line[i].clear();
    }
  }
  MUST(talk());
}

}  // namespace fuzz
