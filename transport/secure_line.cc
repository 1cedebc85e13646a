// Read next: secure_line.h.
#include "transport/secure_line.h"

#include <string.h>

#include "core/base/check.h"
#include "core/io/log.h"

namespace smx::secure {

namespace {

constexpr int kReads = 2;  // of the line in one turn
}

SecureLine::SecureLine(TimerHeap& timers, Dialer& below, const OwnKeys& own, const PeerBook& book, std::string_view name, Duration renew,
                       Secret (*fresh)())
    : timers_(timers), below_(below), book_(book), name_(name), cipher_(own, fresh, renew), timer_(*this) {}

// ---- Dialer

void SecureLine::dial(DialOwner& owner, Time now) {
  SMX_CHECK(state_ == State::idle);
  now_ = now;
  dialer_ = &owner;
  Text<120> why;
  if (!book_.find_wanted(name_, &peer_, why)) {
    cipher_.forget();
    return owner.on_dial_failed(why.text(), now);
  }
  state_ = State::dialing;
  below_.dial(*this, now);
}

void SecureLine::cancel() {
  if (state_ == State::dialing) below_.cancel();
  if (state_ == State::shaking) close(false);
  state_ = State::idle;
}

void SecureLine::on_dial_failed(std::string_view why, Time now) {
  state_ = State::idle;
  dialer_->on_dial_failed(why, now);
}

void SecureLine::on_dialed(Link& link, Time now) {
  SMX_CHECK(link.lossy());
  now_ = now;
  link_ = &link;
  link.set_owner(*this);
  state_ = State::shaking;
  give_up_ = patience_.us > 0 ? now + patience_ : kNever;
  wanted_ = kRead;
  between_frames_ = true;
  own_at_ = own_size_ = kept_at_ = kept_size_ = 0;
  decoder_.reset();
  cipher_.set_line_time(handshake_time(link.rate()));
  cipher_.start(peer_.key, peer_.psk, now);
  peer_.psk.erase();
  if (cipher_.up()) return begin_link({}, {}, now);  // the peer has begun anew, and we have its keys
  (void)flush();
  wish();
}

// `block`: one that the mux is to see first. `rest`: what came behind it.
void SecureLine::begin_link(Bytes block, Bytes rest, Time now) {
  state_ = State::linked;
  give_up_ = kNever;
  said_trouble_.clear();
  kept_at_ = 0;
  kept_size_ = block.size > 0 ? encode_block(block, kept_) : 0;
  if (rest.size > 0) memcpy(kept_ + kept_size_, rest.data, rest.size);
  kept_size_ += rest.size;
  wanted_ = 0;
  wish();
  dialer_->on_dialed(*this, now);
}

void SecureLine::fail(std::string_view why, Time now) {
  close(false);
  dialer_->on_dial_failed(why, now);
}

void SecureLine::on_new_book(Time now) {
  if (state_ != State::shaking) return;
  Text<120> why;
  if (!book_.find_wanted(name_, &peer_, why)) {
    cipher_.forget();
    return fail(why.text(), now);
  }
  cipher_.start(peer_.key, peer_.psk, now);
  peer_.psk.erase();
  (void)flush();
  wish();
}

// ---- the line

void SecureLine::on_link_ready(uint8_t ready, Time now) {
  now_ = now;
  if ((ready & kWrite) != 0) (void)flush();  // an error is told by the next read
  if (state_ == State::shaking) {
    if ((ready & kRead) != 0) read_handshake(now);
    return state_ == State::shaking ? wish() : void();
  }
  wish();
  if (ours_goes() || (wanted_ & kWrite) == 0) ready = static_cast<uint8_t>(ready & ~kWrite);
  if (ready != 0) owner_->on_link_ready(ready, now);
}

void SecureLine::read_handshake(Time now) {
  uint8_t chunk[kChunk];
  const MutBytes space{chunk, sizeof chunk};
  for (int i = 0; i < kReads; ++i) {
    const IoResult r = link_->readv(&space, 1);
    if (r.again) break;
    if (r.error != 0 || r.size == 0) return fail(r.error != 0 ? strerror(r.error) : "end of file", now);
    Bytes rest{chunk, r.size};
    for (;;) {
      const LineDecoder::Got got = decoder_.take(&rest);
      if (got == LineDecoder::Got::nothing) break;
      if (got == LineDecoder::Got::bad) continue;
      const Bytes block = decoder_.block();
      const bool first = cipher_.take(block, now);
      if (cipher_.up()) return begin_link(first ? block : Bytes{}, rest, now);
    }
  }
  say_trouble();
  (void)flush();
}

// Once for each reason: it may be tried again for hours.
void SecureLine::say_trouble() {
  if (cipher_.trouble().empty() || cipher_.trouble() == said_trouble_.text()) return;
  said_trouble_.clear();
  said_trouble_.add(cipher_.trouble());
  LogLine(LogLevel::warning, "secure-waits").kv("to", target()).kv("peer", peer_.name.text()).kv("reason", said_trouble_.text());
}

// Frames of ours, as far as the line takes them and none of the mux's is torn. again: some are left.
IoResult SecureLine::flush() {
  IoResult r;
  for (;;) {
    if (own_at_ == own_size_) {
      own_at_ = own_size_ = 0;
      if (!between_frames_ || !cipher_.has_block()) break;
      own_size_ = cipher_.take_frame(own_);
    }
    const Bytes part{own_ + own_at_, own_size_ - own_at_};
    r = link_->writev(&part, 1);
    if (r.error != 0) return r;
    own_at_ += r.size;
    if (r.again || r.size < part.size) break;
  }
  r.size = 0;
  r.again = own_at_ < own_size_;
  return r;
}

IoResult SecureLine::readv(const MutBytes* piece, int pieces) {
  if (kept_at_ == kept_size_) return link_->readv(piece, pieces);
  IoResult r;
  for (int i = 0; i < pieces && kept_at_ < kept_size_; ++i) {
    const size_t n = piece[i].size < kept_size_ - kept_at_ ? piece[i].size : kept_size_ - kept_at_;
    memcpy(piece[i].data, kept_ + kept_at_, n);
    kept_at_ += n;
    r.size += n;
  }
  return r;
}

// On a lossy line the mux has one piece, of whole frames: a few milliseconds. A block of ours waits for its end.
IoResult SecureLine::writev(const Bytes* piece, int pieces) {
  SMX_CHECK(pieces == 1);
  IoResult r = flush();
  if (r.again || r.error != 0) return r;
  r = link_->writev(piece, 1);
  if (r.size > 0) between_frames_ = piece->data[r.size - 1] == 0;
  return r;
}

void SecureLine::want(uint8_t events) {
  wanted_ = events;
  if (link_ != nullptr) wish();
}

// What the owner wants, what is left of ours, and the time.
void SecureLine::wish() {
  link_->want(static_cast<uint8_t>(wanted_ | (ours_goes() ? kWrite : 0)));
  timers_.stop(timer_);
  const Time due = earlier(cipher_.deadline(), give_up_);
  if (due != kNever) timers_.start(timer_, due);
}

void SecureLine::on_timer(Timer& timer, Time now) {
  (void)timer;
  now_ = now;
  if (give_up_ <= now) return fail("no answer to the handshake in time", now);
  cipher_.tick(now);
  (void)flush();
  wish();
}

void SecureLine::close(bool gently) {
  timers_.stop(timer_);
  cipher_.stop(now_);
  if (link_ != nullptr) link_->close(gently);
  link_ = nullptr;
  owner_ = nullptr;
  wanted_ = 0;
  give_up_ = kNever;
  state_ = State::idle;
}

// ---- LineSealer

size_t SecureLine::seal(Bytes content, uint8_t* out, Time now) {
  now_ = now;
  return cipher_.seal(content, out, now);
}

LineSealer::Got SecureLine::open(Bytes block, uint8_t* out, size_t* size, Time now) {
  now_ = now;
  const Got got = cipher_.open(block, out, size, now);
  if (cipher_.has_block()) wish();  // want() may not come in this turn
  return got;
}

}  // namespace smx::secure
