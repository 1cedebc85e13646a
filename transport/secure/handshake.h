// The handshake as two machines: bytes, the time and randomness in, bytes and keys out.
//
//     initiator   idle --begin(): message 1--> waits --message 2 opens--> up
//     responder   waits_message --message 1, mac1 right--> queued --find(): its key opens--> found --check(): its
//                 payload opens--> checked --answer(): message 2--> waits_record --opened()--> up
//                 a failure in between: refusing (refuse(), or nothing is said) --> down
//
// **Until the first record has opened the responder changes nothing.** Message 1 can be replayed by whoever saw it, so
// all that it leads to must be without effect: the responder gives the key for what it sends only to who says that a
// record has opened, and so may everything else (session, take-over, log) wait for that.
//
// Owner: the link. Pure. Invariant: keys are erased when they are handed out, at a failure, at the end.
// Read next: message.h, noise.h, records.h. Numbers: ours.
#ifndef SOCKMUX_TRANSPORT_SECURE_HANDSHAKE_H
#define SOCKMUX_TRANSPORT_SECURE_HANDSHAKE_H

#include "core/base/rate.h"
#include "transport/secure/message.h"

namespace smx::secure {

constexpr Duration kMessageWait = seconds(5);   // from accept to message 1
constexpr Duration kAnswerWait = seconds(10);   // from message 1 to message 2
constexpr Duration kRecordWait = seconds(10);   // from message 2 to the first record
constexpr Duration kRefusalDelay = seconds(1);  // whatever the reason, so that it tells nobody who is a peer
constexpr Duration kAnewPause = seconds(1);     // between two code 4, and from message 1 to obeying one
constexpr Duration kStrangeWait = seconds(2);   // on a lossy line, up: only blocks that do not open, see stray_block()
constexpr Duration kLineWait = seconds(2);      // on a lossy line: until message 1 is sent anew; 4, then always 8 s

constexpr Duration longer(Duration a, Duration b) { return a > b ? a : b; }
// Both messages, or the second and the first record, and what may stand before each of them; and their time on a line, 0: it is fast.
constexpr size_t kHandshakeBytes = 3 * kLineFrame;
constexpr Duration handshake_time(uint32_t rate) { return rate == 0 ? Duration{0} : time_of(kHandshakeBytes, rate); }

// What lies below.
enum class Carrier : uint8_t {
  connection,  // TCP, unix, a child: both ends begin with the first byte
  pipe,        // FIFO, clean serial line: whole and in order, but old bytes may be there
  lossy_line,  // blocks, which get lost
};

class Initiator {
 public:
  enum class Got : uint8_t {
    nothing,
    up,       // keys() and payload() are there
    refused,  // code() says why, for the log alone: it is not sealed, so the answer is still waited for
    anew,     // call begin() with a new ephemeral key
    bad,      // fault() says why; the link ends
  };
  // `own` lives longer than this.
  Initiator(const KeyPair& own, const uint8_t peer[kKey], const Secret& psk, Carrier carrier);
  Initiator(const Initiator&) = delete;
  Initiator& operator=(const Initiator&) = delete;

  // handshake_time() of a line: nothing is said again sooner.
  void set_line_time(Duration takes) { line_time_ = takes; }
  // Writes message 1 to `out` (kMessage1 bytes of room); its size, or 0: the peer's public key is of low order,
  // fault(). `ephemeral`: 32 random bytes, new for every call. `hello`: at most kFirstPayload, on a lossy line
  // kFirstPayloadOfLine bytes.
  size_t begin(const Secret& ephemeral, Bytes hello, Time now, uint8_t out[kMessage1]);
  // Takes bytes from the front of `in`. After `up` the rest of it, behind rest(), is records.
  Got take(Bytes* in, Time now);
  // On a lossy line: a block for which is_handshake() holds.
  Got take_block(Bytes block, Time now);
  // When expired() must be called, unless something comes before.
  Time deadline() const { return deadline_; }
  Got expired(Time now);

  Bytes payload() const { return {payload_, payload_size_}; }
  // Record bytes that were taken with the message; valid until the next call.
  Bytes rest() const { return rest_; }
  // Once, after `up`; erases them here.
  void keys(LinkKeys* out);
  Code code() const { return code_; }
  Fault fault() const { return fault_; }
  // Message 2s, or what looked like it, that did not open, and were ignored (not on a connection).
  uint32_t ignored() const { return ignored_; }
  void erase();

 private:
  enum class State : uint8_t { idle, waits, up, down };
  Got got_message(Time now);
  Got got_refusal(Time now);
  Got fail(Fault fault);
  void set_state(State to) { state_ = to; }

  const KeyPair* own_;
  uint8_t peer_[kKey];
  Secret psk_;
  MacKey mac_;
  Carrier carrier_;
  State state_ = State::idle;
  int tries_ = 0;
  Duration line_time_{0};
  Time begun_;
  Time deadline_ = kNever;
  NoiseInitiator noise_;
  LinkKeys keys_;
  Bytes rest_;
  Code code_ = Code::none;
  Fault fault_ = Fault::none;
  uint32_t ignored_ = 0;
  size_t payload_size_ = 0;
  uint8_t payload_[kSecondPayload];
  MessageReader reader_;
  uint8_t memory_[kMessage2];
};

class Responder {
 public:
  enum class State : uint8_t { waits_message, queued, found, checked, waits_record, up, refusing, down };
  enum class Got : uint8_t {
    nothing,
    message,  // one with a right mac1: find(), when there is time for it
    bad,      // fault(); code() may be said at once, see refusal()
  };
  // `own` and `mac` (of own.shown) live longer than this.
  Responder(const KeyPair& own, const MacKey& mac, Carrier carrier, Time now);
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;

  Got take(Bytes* in, Time now);
  Got take_block(Bytes block, Time now);
  // queued: one X25519. `peer`: who it says that it is; is there such a one? If not, call refuse().
  Fault find(uint8_t peer[kKey]);
  // found: one more. It is he, or who has seen his message 1; payload() is there.
  Fault check();
  // checked: the first two of the next three, one a call, the first of which takes `ephemeral`. Then only one is left.
  Fault prepare(const Secret& ephemeral);
  bool prepared() const { return noise_.prepared(); }
  // checked: three more. Writes message 2 to `out`, `size` bytes of it. `said`: at most kSecondPayload, on a lossy line
  // kSecondPayloadOfLine bytes. From here on records are to come, the first one within `wait`: receive_key() opens them.
  Fault answer(const Secret& ephemeral, const Secret& psk, Bytes said, Time now, uint8_t out[kMessage2], size_t* size, Duration wait = kRecordWait);
  const Secret& receive_key() const;
  // The first record has opened: it is he. The key for what is sent; both are erased here.
  void opened(Secret* send_key);

  // queued..checked: not this peer, or not now.
  void refuse(Code code);
  // What is to be said, and when; Code::none: nothing, close. Also after a Fault of find(), check() and answer().
  Code code() const { return code_; }
  Time refusal_at() const { return refusal_at_; }

  // Not `connection`: bytes come that belong to nothing, so code 4 is to be said. Once a second at most.
  bool asks_anew(Time now);
  // A lossy line: a block of an old session came, while there is none; or one is up, and for kStrangeWait nothing has
  // opened that came. (Both ends can be up with different keys, if message 1 came twice or the first blocks were lost.)
  void stray_block() { ++strays_; }

  Time deadline() const { return deadline_; }
  // The deadline is over: fault() says of what; down.
  Fault expired(Time now);

  State state() const { return state_; }
  Bytes payload() const { return {payload_, payload_size_}; }
  Bytes rest() const { return rest_; }
  Fault fault() const { return fault_; }
  void erase();

 private:
  Got got_message(Time now);
  Fault fail(Fault fault, Code code);
  void set_state(State to) { state_ = to; }

  const KeyPair* own_;
  const MacKey* mac_;
  Carrier carrier_;
  State state_ = State::waits_message;
  Time message_at_;
  Time deadline_;
  Time refusal_at_ = kNever;
  Time anew_at_;  // when code 4 may be said again
  NoiseResponder noise_;
  LinkKeys keys_;
  Bytes rest_;
  Code code_ = Code::none;
  Fault fault_ = Fault::none;
  uint64_t strays_ = 0;
  uint64_t answered_ = 0;  // strays and skipped bytes for which code 4 was said
  size_t payload_size_ = 0;
  uint8_t payload_[kFirstPayload];
  MessageReader reader_;
  uint8_t memory_[kMessage1];
};

// All that somebody gets of us before we know who it is, the memory for his first record included.
static_assert(sizeof(Responder) + sizeof(RecordReader) + kFirstRecord <= 2048);

}  // namespace smx::secure

#endif
