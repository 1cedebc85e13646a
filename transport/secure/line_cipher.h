// The keys of one lossy line: the handshakes that make them, and the blocks that they seal and open.
//
//   down --start()--> shaking --message 2 opens (who begins), or the first block (who answers)--> up
//   up --a second handshake beside it, whose first block opens--> up, with new keys;    stop(), forget() --> down
//
// A line has no direction: the side with the smaller public key begins, the other one answers. A handshake message is a
// block of its own between those of the mux, so the mux and its session live on while keys change below them. What could
// be a replay (message 1) or is not sealed (code 4) only begins a handshake; what runs already is not touched by it.
//
// Owner: SecureLine. Pure: blocks, the time and random secrets in, blocks out. Invariants: no nonce serves twice under a
// key; until the first block of who has called opens, his message 1 has changed nothing.
// Read next: secure_line.h, handshake.h, line_blocks.h. Source: sockmux(7), "Secure lines".
#ifndef SOCKMUX_TRANSPORT_SECURE_LINE_CIPHER_H
#define SOCKMUX_TRANSPORT_SECURE_LINE_CIPHER_H

#include <optional>

#include "core/mux/line_sealer.h"
#include "transport/secure/handshake.h"
#include "transport/secure/peer_book.h"

namespace smx::secure {

constexpr uint64_t kRenewAhead = 4096;         // blocks that are left when a new handshake is begun
constexpr Duration kForNextLink = seconds(5);  // so long after a handshake beside a link the keys are for the next one
constexpr Duration kMessagePause = millis(250);  // who answers looks at no more messages 1 than that: each costs 2 X25519

static_assert(LineSealer::kOverhead == kBlockOverhead);
static_assert(kLineBlock == kBlock);

class LineCipher final : public LineSealer {
 public:
  // `own` lives longer; `fresh` makes 32 random bytes. `renew`: new keys after so long; 0: never.
  LineCipher(const OwnKeys& own, Secret (*fresh)(), Duration renew) : own_(own), fresh_(fresh), renew_(renew) {}
  LineCipher(const LineCipher&) = delete;
  LineCipher& operator=(const LineCipher&) = delete;

  // In which the line carries kHandshakeBytes: before start().
  void set_line_time(Duration takes) { line_time_ = takes; }
  // The line is wanted. Keys that are up and of this peer go on; else a handshake begins.
  void start(const PeerKey& peer, const Secret& psk, Time now);
  // It is not any more. The keys go, unless they have just taken the place of others and the peer uses them: who has started
  // anew at the other end made them for the link that is to come, and would else have to make them again, and so would we.
  void stop(Time now);
  void forget();
  bool up() const { return up_; }

  // Not up: a block has come. True: it is the first one of who has called, and is to be opened now that it is up.
  bool take(Bytes block, Time now);
  // LineSealer
  size_t seal(Bytes content, uint8_t* out, Time now) override;
  Got open(Bytes block, uint8_t* out, size_t* size, Time now) override;

  // A block of the handshake waits to be sent, as soon as the line is between two frames.
  bool has_block() const { return out_size_ > 0; }
  // As a frame, with a 0x00 in front; its size.
  size_t take_frame(uint8_t out[kLineFrame + 1]);

  // When tick() must be called.
  Time deadline() const;
  void tick(Time now);

  // What may keep the line from coming up, for the log; empty: nothing is known. Forgotten when keys are there.
  std::string_view trouble() const { return trouble_.text(); }
  uint32_t handshakes() const { return handshakes_; }
  // For tests: fewer blocks than kBlocks under one handshake.
  void limit_blocks(uint64_t most) { most_ = most; }

 private:
  void call(Time now);
  void wait(Time now);
  void take_handshake(Bytes block, Time now);
  void begin_anew(Time now);
  void take_answer(Bytes block, Time now);
  void take_message(Bytes block, Time now);
  void answer_message(Time now);
  void take_over(Time now);
  void new_keys(const Secret& send_key, Time now);
  void stray(Bytes block, Time now);
  void say(Bytes block);
  void say_anew(Time now);
  void refuse(Fault fault, Time now);
  void set_trouble(std::string_view what, std::string_view more = {});

  const OwnKeys& own_;
  Secret (*const fresh_)();
  const Duration renew_;
  PeerKey peer_;
  Secret psk_;
  bool running_ = false;
  bool begins_ = false;
  bool up_ = false;
  bool has_next_ = false;  // a handshake beside: its keys are in next_, and no block of them has come
  std::optional<Initiator> caller_;
  std::optional<Responder> callee_;
  BlockWriter writer_;
  BlockReader reader_, next_;
  uint64_t most_ = kBlocks;
  Duration line_time_{0};
  Time heard_at_;             // when a block has opened last
  Time begun_at_;             // the last message 1 of ours, ...
  Time message_at_;           // ... and when one of the peer's is looked at again
  Time anew_at_;              // when code 4 may be said again
  Time next_link_until_;      // when the keys were new beside a link, and kForNextLink
  Time renew_at_ = kNever;
  Time hail_at_ = kNever;     // code 4 is said without being asked for: who begins may wait for its next try
  int hails_ = 0;
  Time refuse_at_ = kNever;
  Code refuse_code_ = Code::none;
  uint32_t handshakes_ = 0;
  Text<120> trouble_;
  size_t out_size_ = 0;
  uint8_t out_[kBlock];
};

}  // namespace smx::secure

#endif
