// The messages of the handshake around those of Noise: how each is made, and how it is found in what arrives.
//
//     message 1 (initiator), 120 + P1 bytes                  message 2 (responder), 56 + P2 bytes
//     0    4      "SMXS"                                     0    4      "SMXS"
//     4    1      version 0x01                               4    1      version 0x01
//     5    1      0x01                                       5    1      0x02
//     6    2      N = 96 + P1              (96..351)         6    2      N = 48 + P2              (48..1072)
//     8    32     e                                          8    32     e
//     40   48     s, sealed                                  40   P2+16  payload, sealed          (P2 0..1024)
//     88   P1+16  payload, sealed          (P1 0..255)
//     8+N  16     mac1                                       refusal: the same 8 bytes, with 0x03, N = 1, then a code u8
//
// mac1 is BLAKE2b, keyed with a hash of the responder's public key, over all before it: who does not know that key
// costs a hash, and gets no answer. Owner: handshake.h. Pure. Invariant: N is checked before a byte behind it is kept.
// Read next: handshake.h.
#ifndef SOCKMUX_TRANSPORT_SECURE_MESSAGE_H
#define SOCKMUX_TRANSPORT_SECURE_MESSAGE_H

#include "transport/secure/line_blocks.h"
#include "transport/secure/noise.h"

namespace smx::secure {

constexpr size_t kMessageHead = 8;
constexpr size_t kPrologue = 5;  // of the head: what both sides must agree on
constexpr uint8_t kVersion = 1;
constexpr size_t kFirstPayload = 255;
constexpr size_t kSecondPayload = 1024;
constexpr size_t kMessage1 = kMessageHead + kFirst + kFirstPayload + kTag;
constexpr size_t kMessage2 = kMessageHead + kSecond + kSecondPayload;
constexpr size_t kRefusal = kMessageHead + 1;
static_assert(kMessage1 == 375);
static_assert(kMessage2 == 1080);

// On a lossy line a message is one block.
constexpr size_t kFirstPayloadOfLine = kBlock - (kMessage1 - kFirstPayload);
constexpr size_t kSecondPayloadOfLine = kBlock - (kMessage2 - kSecondPayload);
static_assert(kFirstPayloadOfLine == 130);
static_assert(kSecondPayloadOfLine == 194);

enum class MessageType : uint8_t { first = 1, second = 2, refusal = 3 };

// Why a responder refuses. Not sealed, so only for the log of who reads it.
enum class Code : uint8_t {
  none = 0,          // nothing is said
  not_accepted = 1,  // key, payload or address; which one is not told
  busy = 2,
  version = 3,  // byte 4 says which one it speaks
  anew = 4,     // on lines without connections: begin anew, what you send belongs to nothing
};

Bytes prologue();
// The first 8 bytes. `body` is N.
void put_head(MessageType type, size_t body, uint8_t out[kMessageHead]);
void put_refusal(Code code, uint8_t out[kRefusal]);
// Does this line block belong to a handshake? Others are for BlockReader.
bool is_handshake(Bytes block);

// The key of mac1 for one responder, made once.
class MacKey {
 public:
  explicit MacKey(const uint8_t responder[kKey]);
  // mac1 behind the `size` bytes at `message`.
  void put(uint8_t* message, size_t size) const;
  // Is mac1, the last kTag bytes of `message`, right?
  bool fits(Bytes message) const;
  const uint8_t* data() const { return key_; }

 private:
  void make(Bytes covered, uint8_t out[kTag]) const;

  uint8_t key_[kKey];
};

// Finds one message. What it keeps is in the caller's memory.
class MessageReader {
 public:
  enum class Side : uint8_t { initiator, responder };  // who reads: message 2 and refusals, or message 1
  enum class Got : uint8_t {
    nothing,  // all bytes are taken, and none was wrong
    message,  // look at it; accept() or reject() it before you go on
    bad,      // fault() says what came in place of one; not with `search`
  };
  // `memory`: kMessage2 bytes for an initiator, kMessage1 for a responder. `search`: skip what is no message (a line
  // without connections has old bytes, boot messages, noise); else anything but a message is bad.
  void start(Side side, bool search, uint8_t* memory);
  // Takes bytes from the front of `in`; of those behind a message only with `search`, see accept().
  Got take(Bytes* in);
  // A line block, which must be a message and nothing else. bad ends nothing here.
  Got take_block(Bytes block);

  // A message of another version. Whether it is meant for us, mac1 may tell all the same; see Fault::version.
  bool is_other_version() const { return memory_[kMessageHead - 4] != kVersion; }
  MessageType type() const { return static_cast<MessageType>(memory_[kMessageHead - 3]); }
  Code code() const { return static_cast<Code>(memory_[kMessageHead]); }
  Bytes whole() const { return {memory_, size_}; }
  Bytes noise() const { return {memory_ + kMessageHead, load16(memory_ + 6)}; }
  Fault fault() const { return fault_; }
  // Bytes that were no message, with `search`, and blocks that were none.
  uint64_t skipped() const { return skipped_; }

  // The message is used. What was taken behind it (if what came before it had looked like the head of a longer one) is
  // returned, valid until the next call.
  Bytes accept();
  // The same, and the search goes on, in what was taken behind it first.
  void pass();
  // It was none of ours after all. With `search` it may hold the beginning of another one.
  void reject();

 private:
  Fault judge(size_t* wanted) const;
  Fault judge_magic() const;
  Got fail(Fault fault);
  void skip();

  uint8_t* memory_ = nullptr;
  size_t held_ = 0;
  size_t size_ = 0;  // of the message
  uint64_t skipped_ = 0;
  Side side_ = Side::initiator;
  bool searches_ = false;
  bool whole_ = false;  // a message was told, and not accepted or rejected yet
  Fault fault_ = Fault::none;
};

}  // namespace smx::secure

#endif
