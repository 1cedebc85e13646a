// Read next: message.h.
#include "transport/secure/message.h"

#include "core/base/check.h"

namespace smx::secure {

namespace {

constexpr size_t kMagicSize = sizeof kMagic - 1;
constexpr size_t kVersionAt = kMagicSize;
constexpr size_t kTypeAt = kVersionAt + 1;
constexpr size_t kLengthAt = kTypeAt + 1;
static_assert(kPrologue == kVersionAt + 1);
static_assert(kMessageHead == kLengthAt + 2);

struct Bounds {
  size_t least, most, behind;  // N, and what follows the N bytes
};

// N of a message that `side` may get; 0..0 for one that it may not.
Bounds bounds(MessageReader::Side side, uint8_t type) {
  const bool is_responder = side == MessageReader::Side::responder;
  if (is_responder && type == static_cast<uint8_t>(MessageType::first)) return {kFirst, kFirst + kFirstPayload, kTag};
  if (!is_responder && type == static_cast<uint8_t>(MessageType::second)) return {kSecond, kSecond + kSecondPayload, 0};
  if (!is_responder && type == static_cast<uint8_t>(MessageType::refusal)) return {1, 1, 0};
  return {0, 0, 0};
}

}  // namespace

Bytes prologue() {
  static constexpr uint8_t kBytes[kPrologue] = {'S', 'M', 'X', 'S', kVersion};
  return {kBytes, sizeof kBytes};
}

void put_head(MessageType type, size_t body, uint8_t out[kMessageHead]) {
  memcpy(out, prologue().data, kPrologue);
  out[kTypeAt] = static_cast<uint8_t>(type);
  store16(out + kLengthAt, static_cast<uint16_t>(body));
}

void put_refusal(Code code, uint8_t out[kRefusal]) {
  SMX_CHECK(code != Code::none);
  put_head(MessageType::refusal, 1, out);
  out[kMessageHead] = static_cast<uint8_t>(code);
}

bool is_handshake(Bytes block) { return block.size >= kMagicSize && memcmp(block.data, kMagic, kMagicSize) == 0; }

MacKey::MacKey(const uint8_t responder[kKey]) {
  blake2b({key_, kKey}, {}, {as_bytes("sockmuxs mac1"), Bytes{responder, kKey}});
}

void MacKey::make(Bytes covered, uint8_t out[kTag]) const { blake2b({out, kTag}, {key_, kKey}, {covered}); }

void MacKey::put(uint8_t* message, size_t size) const { make({message, size}, message + size); }

bool MacKey::fits(Bytes message) const {
  SMX_CHECK(message.size >= kTag);
  uint8_t mac[kTag];
  make({message.data, message.size - kTag}, mac);
  return equal(mac, message.data + message.size - kTag, kTag);
}

void MessageReader::start(Side side, bool search, uint8_t* memory) {
  memory_ = memory;
  held_ = 0;
  skipped_ = 0;
  side_ = side;
  searches_ = search;
  whole_ = false;
  fault_ = Fault::none;
}

MessageReader::Got MessageReader::take(Bytes* in) {
  SMX_CHECK(!whole_);
  if (fault_ != Fault::none) return Got::bad;
  for (;;) {
    size_t wanted = 0;
    const Fault fault = judge(&wanted);
    if (fault != Fault::none) {
      if (!searches_) return fail(fault);
      skip();
      continue;
    }
    if (held_ >= wanted) {
      size_ = wanted;
      whole_ = true;
      return Got::message;
    }
    if (in->size == 0) return Got::nothing;
    const size_t n = wanted - held_ < in->size ? wanted - held_ : in->size;
    memcpy(memory_ + held_, in->data, n);
    held_ += n;
    in->data += n;
    in->size -= n;
  }
}

MessageReader::Got MessageReader::take_block(Bytes block) {
  SMX_CHECK(!whole_);
  held_ = 0;
  fault_ = Fault::none;
  for (;;) {
    size_t wanted = 0;
    Fault fault = judge(&wanted);
    if (fault == Fault::none && wanted > block.size) fault = Fault::length;
    if (fault == Fault::none && held_ == wanted && wanted != block.size) fault = Fault::length;
    if (fault != Fault::none) {
      held_ = 0;
      ++skipped_;
      fault_ = fault;
      return Got::bad;
    }
    if (held_ == wanted) {
      size_ = wanted;
      whole_ = true;
      return Got::message;
    }
    memcpy(memory_ + held_, block.data + held_, wanted - held_);
    held_ = wanted;
  }
}

// Is what is held the beginning of a message? *wanted: how many bytes to hold before it must be asked again.
Fault MessageReader::judge(size_t* wanted) const {
  *wanted = held_ + 1;  // the head byte by byte: what is wrong is known at once
  const Fault fault = judge_magic();
  if (fault != Fault::none || held_ <= kTypeAt) return fault;
  const bool is_other = is_other_version();
  const Bounds b = bounds(side_, memory_[kTypeAt]);
  // Whatever a later version changes, its refusals must be understood; and mac1 of its message 1 says if it is meant
  // for us.
  if (is_other && (b.most == 0 || type() == MessageType::second)) return Fault::version;
  if (b.most == 0) return Fault::type;
  if (held_ < kMessageHead) return Fault::none;
  const size_t body = load16(memory_ + kLengthAt);
  if (body < b.least || body > b.most) return is_other ? Fault::version : Fault::length;
  *wanted = kMessageHead + body + b.behind;
  if (type() != MessageType::refusal || held_ < kRefusal) return Fault::none;
  const uint8_t said = memory_[kMessageHead];
  return said == 0 || said > static_cast<uint8_t>(Code::anew) ? Fault::code : Fault::none;
}

Fault MessageReader::judge_magic() const {
  const size_t n = held_ < kMagicSize ? held_ : kMagicSize;
  if (memcmp(memory_, kMagic, n) == 0) return Fault::none;
  // HELLO of sockmux(7) begins with 03 01.
  if (memory_[0] != 3) return Fault::magic;
  if (held_ == 1) return Fault::none;
  return memory_[1] == 1 ? Fault::clear_hello : Fault::magic;
}

MessageReader::Got MessageReader::fail(Fault fault) {
  fault_ = fault;
  return Got::bad;
}

Bytes MessageReader::accept() {
  SMX_CHECK(whole_);
  whole_ = false;
  const Bytes rest{memory_ + size_, held_ - size_};
  held_ = 0;
  return rest;
}

void MessageReader::pass() {
  SMX_CHECK(whole_);
  whole_ = false;
  held_ -= size_;
  memmove(memory_, memory_ + size_, held_);
}

void MessageReader::reject() {
  SMX_CHECK(whole_);
  whole_ = false;
  if (searches_) {
    skip();
  } else {
    held_ = 0;
  }
}

// The first byte begins no message.
void MessageReader::skip() {
  ++skipped_;
  --held_;
  memmove(memory_, memory_ + 1, held_);
}

}  // namespace smx::secure
