// Read next: line_cipher.h.
#include "transport/secure/line_cipher.h"

#include <string.h>

#include "core/base/check.h"
#include "core/mux/packet.h"

namespace smx::secure {

namespace {

constexpr int kMostDoublings = 2;  // kLineWait becomes 8 s

// Of a handshake's block.
bool is_of(MessageType type, Bytes block) { return block.size > 5 && block.data[5] == static_cast<uint8_t>(type); }

constexpr std::string_view kBothAnswer = "waits for us to begin, as we for it: its key here, or ours there, is wrong";
constexpr std::string_view kBothBegin = "begins, as we do: its key here, or ours there, is wrong";

bool is_clear_hello(Bytes block) {
  LineFrame frame;
  if (!parse_block(block, &frame) || frame.unnumbered.size < kHeader) return false;
  const Header h = decode_header(frame.unnumbered.data);
  return h.version == kVersion03 && h.type == static_cast<uint8_t>(Type::hello);
}

}  // namespace

// ---- the line as a whole

void LineCipher::start(const PeerKey& peer, const Secret& psk, Time now) {
  running_ = true;
  if (up_ && peer == peer_ && equal(psk.data(), psk_.data(), kKey)) return;
  forget();
  running_ = true;
  peer_ = peer;
  psk_ = psk;
  begins_ = memcmp(own_.pair.shown, peer.bytes, kKey) < 0;
  begun_at_ = message_at_ = anew_at_ = now;
  if (begins_) return call(now);
  wait(now);
  hail_at_ = now;
  tick(now);
}

void LineCipher::stop(Time now) {
  running_ = false;
  if (!up_ || now >= next_link_until_ || now >= heard_at_ + kStrangeWait) forget();
}

void LineCipher::forget() {
  running_ = up_ = has_next_ = false;
  if (caller_) caller_->erase();
  if (callee_) callee_->erase();
  caller_.reset();
  callee_.reset();
  writer_.erase();
  reader_.erase();
  next_.erase();
  psk_.erase();
  renew_at_ = hail_at_ = refuse_at_ = kNever;
  hails_ = 0;
  out_size_ = 0;
  trouble_.clear();
}

Time LineCipher::deadline() const {
  if (!running_) return kNever;
  if (begins_) return caller_ ? caller_->deadline() : up_ ? renew_at_ : kNever;
  return earlier(callee_->deadline(), earlier(refuse_at_, hail_at_));
}

void LineCipher::tick(Time now) {
  if (!running_) return;
  if (begins_) {
    const bool late = caller_ && caller_->expired(now) == Initiator::Got::anew;
    if (late || (!caller_ && up_ && renew_at_ <= now)) call(now);
    return;
  }
  if (callee_->expired(now) != Fault::none) wait(now);
  if (refuse_at_ <= now) {
    uint8_t refusal[kRefusal];
    put_refusal(refuse_code_, refusal);
    say({refusal, sizeof refusal});
    refuse_at_ = kNever;
  }
  if (hail_at_ <= now) {
    if (callee_->state() == Responder::State::waits_message) say_anew(now);
    hail_at_ = now + longer(kLineWait * (1 << hails_), line_time_);
    if (hails_ < kMostDoublings) ++hails_;
  }
}

// ---- handshakes

void LineCipher::call(Time now) {
  if (!caller_) caller_.emplace(own_.pair, peer_.bytes, psk_, Carrier::lossy_line);
  caller_->set_line_time(line_time_);
  uint8_t message[kMessage1];
  const size_t size = caller_->begin(fresh_(), {}, now, message);
  begun_at_ = now;
  if (size == 0) {
    caller_.reset();
    renew_at_ = kNever;
    return set_trouble("the peer's public key is none");
  }
  say({message, size});
}

void LineCipher::wait(Time now) {
  if (callee_) callee_->erase();
  callee_.emplace(own_.pair, own_.mac, Carrier::lossy_line, now);
  has_next_ = false;
}

void LineCipher::take_handshake(Bytes block, Time now) {
  if (!running_) return;
  if (begins_) return take_answer(block, now);
  take_message(block, now);
}

// UP, and nothing is under way: as soon as it may.
void LineCipher::begin_anew(Time now) {
  renew_at_ = earlier(renew_at_, begun_at_ + longer(kAnewPause, line_time_));
  tick(now);
}

void LineCipher::take_answer(Bytes block, Time now) {
  if (!caller_) {
    // UP, and the other side asks for a new beginning: beside it, one a second at most.
    const bool anew = block.size == kRefusal && block.data[kRefusal - 1] == static_cast<uint8_t>(Code::anew);
    return anew ? begin_anew(now) : tick(now);
  }
  if (is_of(MessageType::first, block)) set_trouble(kBothBegin);
  switch (caller_->take_block(block, now)) {
    case Initiator::Got::anew: return call(now);
    case Initiator::Got::refused:
      if (caller_->code() == Code::not_accepted) set_trouble("not accepted there: its peers file needs our key");
      if (caller_->code() == Code::busy) set_trouble("busy there; trying again");
      if (caller_->code() == Code::version) set_trouble("speaks another version of secure links");
      return;
    case Initiator::Got::nothing:
    case Initiator::Got::bad:
      // One may be the late answer to an earlier try.
      if (caller_->ignored() > 1 && is_of(MessageType::second, block)) set_trouble("the answer does not open: PSK= differs, or it was changed on the way");
      return;
    case Initiator::Got::up: break;
  }
  LinkKeys keys;
  caller_->keys(&keys);
  caller_.reset();
  heard_at_ = now;
  new_keys(keys.tx, now);
  if (!up_) {
    up_ = true;
    reader_.start(keys.rx);
    return;
  }
  // What the peer sends under the old keys is on the line still. It gets the new ones with the first block that opens
  // there; the mux may have nothing to say, so that is an empty one.
  next_.start(keys.rx);
  has_next_ = true;
  uint8_t first[kBlockOverhead];
  say({first, writer_.seal({}, first, now)});
}

void LineCipher::take_message(Bytes block, Time now) {
  if (!up_ && is_of(MessageType::refusal, block)) return set_trouble(kBothAnswer);
  if (now < message_at_) return;
  // Another message 1 takes the place of one that was answered and of which nothing was heard.
  if (callee_->state() != Responder::State::waits_message) {
    if (block.size < kMessage1 - kFirstPayload || !own_.mac.fits(block)) return;
    wait(now);
  }
  if (callee_->take_block(block, now) == Responder::Got::nothing) {
    if (callee_->fault() == Fault::mac1) set_trouble("does not know our public key");
    if (callee_->asks_anew(now)) say_anew(now);
    return;
  }
  if (callee_->state() != Responder::State::queued) return refuse(callee_->fault(), now);  // another version
  message_at_ = now + kMessagePause;
  answer_message(now);
}

void LineCipher::answer_message(Time now) {
  PeerKey key;
  Fault fault = callee_->find(key.bytes);
  if (fault == Fault::none && key != peer_) {
    callee_->refuse(Code::not_accepted);
    Text<kKeyText> text;
    append_key(text, key);
    set_trouble("unknown key ", text.text());
    return refuse(Fault::none, now);
  }
  if (fault == Fault::none) fault = callee_->check();
  uint8_t message[kMessage2];
  size_t size = 0;
  if (fault == Fault::none) fault = callee_->answer(fresh_(), psk_, {}, now, message, &size, longer(kRecordWait, line_time_));
  if (fault != Fault::none) return refuse(fault, now);
  next_.start(callee_->receive_key());
  has_next_ = true;
  say({message, size});
}

// It says so some time later, if it says anything, and waits for the next message.
void LineCipher::refuse(Fault fault, Time now) {
  if (fault == Fault::version) set_trouble("speaks another version of secure links");
  else if (fault != Fault::none) set_trouble("handshake changed");
  refuse_at_ = callee_->refusal_at();
  refuse_code_ = callee_->code();
  wait(now);
}

// A block of the new keys has opened: they take the place of the old ones, at who has called and who was called.
void LineCipher::take_over(Time now) {
  reader_ = next_;
  next_.erase();
  has_next_ = false;
  heard_at_ = now;
  if (begins_) return;
  Secret send_key;
  callee_->opened(&send_key);
  new_keys(send_key, now);
  up_ = true;
  wait(now);
}

void LineCipher::new_keys(const Secret& send_key, Time now) {
  writer_.start(send_key, now, most_);
  next_link_until_ = up_ ? now + kForNextLink : now;
  ++handshakes_;
  renew_at_ = renew_.us > 0 ? now + renew_ : kNever;
  hail_at_ = kNever;
  hails_ = 0;
  trouble_.clear();
}

// ---- blocks

bool LineCipher::take(Bytes block, Time now) {
  SMX_CHECK(!up_);
  if (is_handshake(block)) {
    take_handshake(block, now);
    return false;
  }
  // Looked at with a copy: open() is to give it to the mux.
  BlockReader reader = next_;
  uint8_t content[kBlockContent];
  size_t size = 0;
  if (!has_next_ || reader.open_block(block, content, &size) != BlockReader::Got::content) {
    stray(block, now);
    return false;
  }
  take_over(now);
  return true;
}

size_t LineCipher::seal(Bytes content, uint8_t* out, Time now) {
  if (!up_) return 0;
  const size_t size = writer_.seal(content, out, now);
  if (writer_.left() <= kRenewAhead) {
    renew_at_ = earlier(renew_at_, now);
    if (!begins_) hail_at_ = earlier(hail_at_, now);  // who answers can only ask for it
  }
  return size;
}

LineSealer::Got LineCipher::open(Bytes block, uint8_t* out, size_t* size, Time now) {
  *size = 0;
  if (is_handshake(block)) {
    take_handshake(block, now);
    return Got::aside;
  }
  BlockReader::Got got = up_ ? reader_.open_block(block, out, size) : BlockReader::Got::forged;
  const bool old = got == BlockReader::Got::old;
  if (got != BlockReader::Got::content && has_next_) {
    got = next_.open_block(block, out, size);
    if (got == BlockReader::Got::content) take_over(now);
  }
  if (got != BlockReader::Got::content) {
    stray(block, now);
    return old ? Got::old : Got::forged;
  }
  heard_at_ = now;
  return *size > 0 ? Got::content : Got::aside;
}

// A block that belongs to nothing: of keys that one of us has lost, or of a peer that speaks clear. If both sides are up
// with different keys, which happens when a message 1 came twice or the first blocks were lost, nothing opens. And who begins may
// be heard all the while, but not hear: the other side's key has changed more often than he can follow.
void LineCipher::stray(Bytes block, Time now) {
  if (!running_) return;
  if (!up_ && is_clear_hello(block)) set_trouble("speaks clear SockMux; refused: SERVER=sockmuxs is needed there");
  if (up_ && now < heard_at_ + longer(kStrangeWait, line_time_)) return;
  if (begins_) {
    if (up_ && !caller_) begin_anew(now);
    return;
  }
  callee_->stray_block();
  if (callee_->asks_anew(now)) say_anew(now);
}

size_t LineCipher::take_frame(uint8_t out[kLineFrame + 1]) {
  SMX_CHECK(out_size_ > 0);
  out[0] = 0;  // ends whatever stands before it
  const size_t size = 1 + encode_block({out_, out_size_}, out + 1);
  out_size_ = 0;
  return size;
}

// In place of one that waits: on such a line anything may be lost.
void LineCipher::say(Bytes block) {
  SMX_CHECK(block.size > 0);
  SMX_CHECK(block.size <= sizeof out_);
  memcpy(out_, block.data, block.size);
  out_size_ = block.size;
}

void LineCipher::say_anew(Time now) {
  if (now < anew_at_) return;
  anew_at_ = now + longer(kAnewPause, line_time_);
  uint8_t refusal[kRefusal];
  put_refusal(Code::anew, refusal);
  say({refusal, sizeof refusal});
}

void LineCipher::set_trouble(std::string_view what, std::string_view more) {
  trouble_.clear();
  trouble_.add(what).add(more);
}

}  // namespace smx::secure
