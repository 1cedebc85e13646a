// The secure link on a lossy line: a Dialer and a Link around those of the line. Frames travel as they are; what is in
// them the mux seals and opens through this link's sealer(), and the blocks of handshakes stand between its frames.
//
//   idle --dial()--> dialing --the line below--> shaking --keys, and the peer has shown that it has them--> linked
//   linked --close()--> idle        any --the line below fails--> idle, or the end of the link
//
// Owner: the daemon, one for each line, which is its own dialer as the line below is. Invariants: nothing of the mux goes
// out, and nothing comes to it, before the keys are there; a frame is never torn by one of ours.
// Read next: secure/line_cipher.h (the keys), core/mux/line_sealer.h, transport/tty.h.
#ifndef SOCKMUX_TRANSPORT_SECURE_LINE_H
#define SOCKMUX_TRANSPORT_SECURE_LINE_H

#include "core/base/text.h"
#include "core/base/timer.h"
#include "core/session/link.h"
#include "transport/random_secret.h"
#include "transport/secure/line_cipher.h"

namespace smx::secure {

class SecureLine final : public Dialer, public Link, private LineSealer, private DialOwner, private LinkOwner, private TimerHandler {
 public:
  // `below` makes lossy links. `name`: who must be at the other end; empty: the only peer of the book. It, `own` and `book`
  // live longer than this. `renew`: new keys after so long; 0: never. `fresh`: 32 random bytes.
  SecureLine(TimerHeap& timers, Dialer& below, const OwnKeys& own, const PeerBook& book, std::string_view name, Duration renew,
             Secret (*fresh)() = random_secret);

  // How long an answer is waited for; without it, for ever.
  void set_patience(Duration d) { patience_ = d; }

  // The book has changed. A link of a peer that is not in it any more is for its session to end.
  void on_new_book(Time now);

  // Dialer
  void dial(DialOwner& owner, Time now) override;
  void cancel() override;
  std::string_view target() const override { return below_.target(); }
  // Link
  IoResult readv(const MutBytes* piece, int pieces) override;
  IoResult writev(const Bytes* piece, int pieces) override;
  void want(uint8_t events) override;
  void set_owner(LinkOwner& owner) override { owner_ = &owner; }
  void shut_write() override { link_->shut_write(); }
  void close(bool gently) override;
  bool clean_start() const override { return link_->clean_start(); }
  bool forgets() const override { return link_->forgets(); }
  bool lossy() const override { return true; }
  LineSealer* sealer() override { return this; }
  uint32_t rate() const override { return link_->rate(); }
  size_t frame_hint() const override { return link_->frame_hint(); }
  void keep_unsent(size_t bytes) override { link_->keep_unsent(bytes); }
  Address peer() const override { return link_->peer(); }
  std::string_view peer_name() const override { return below_.target(); }
  const PeerKey* peer_key() const override { return &peer_.key; }
  std::string_view peer_label() const override { return peer_.name.text(); }
  std::string_view why() const override { return link_->why(); }

  LineCipher& cipher() { return cipher_; }

  SecureLine* next = nullptr;  // the owner's

 private:
  enum class State : uint8_t { idle, dialing, shaking, linked };

  void on_dialed(Link& link, Time now) override;
  void on_dial_failed(std::string_view why, Time now) override;
  void on_link_ready(uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  size_t seal(Bytes content, uint8_t* out, Time now) override;
  Got open(Bytes block, uint8_t* out, size_t* size, Time now) override;

  void read_handshake(Time now);
  void begin_link(Bytes block, Bytes rest, Time now);
  IoResult flush();
  void wish();
  void say_trouble();
  void fail(std::string_view why, Time now);
  // It is the turn of a frame of ours.
  bool ours_goes() const { return own_at_ < own_size_ || (between_frames_ && cipher_.has_block()); }

  static constexpr size_t kChunk = 256;  // of the line, in one read while it shakes

  TimerHeap& timers_;
  Dialer& below_;
  const PeerBook& book_;
  const std::string_view name_;
  LineCipher cipher_;
  SecurePeer peer_;
  Timer timer_;
  Link* link_ = nullptr;         // below
  DialOwner* dialer_ = nullptr;
  LinkOwner* owner_ = nullptr;
  State state_ = State::idle;
  uint8_t wanted_ = 0;           // by the owner
  bool between_frames_ = true;   // what the mux wrote last was the end of a frame
  Duration patience_;
  Time give_up_ = kNever;        // shaking, and that is over
  Time now_;                     // the last one that we were told
  LineDecoder decoder_;          // while it shakes
  Text<120> said_trouble_;
  size_t kept_at_ = 0, kept_size_ = 0;  // read with the handshake, for the mux
  size_t own_at_ = 0, own_size_ = 0;
  uint8_t own_[kLineFrame + 1];         // a frame of ours
  uint8_t kept_[kLineFrame + kChunk];
};

}  // namespace smx::secure

#endif
