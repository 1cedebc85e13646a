// Read next: shake.h.
#include "transport/shake.h"

#include <string.h>

#include <new>

#include "core/base/check.h"
#include "transport/random_secret.h"

namespace smx::secure {

namespace {

constexpr std::string_view kOutdated = "the peers file was read again meanwhile";

}  // namespace

void Shake::begin(Link& below, Carrier carrier, ShakeOwner& owner, Time now) {
  SMX_CHECK(state_ == State::idle);
  owner_ = &owner;
  below_ = &below;
  carrier_ = carrier;
  fault_ = Fault::none;
  since_ = now;
  from_ = below.peer();
  why_.clear();
  blameless_ = false;
  plain_ = {};
  said_.said = false;
  in_ = {};
  out_size_ = out_at_ = 0;
  below.set_owner(*this);
}

void Shake::call(Link& below, Carrier carrier, const SecurePeer& peer, ShakeOwner& owner, Time now, Time until) {
  begin(below, carrier, owner, now);
  answers_ = false;
  until_ = until;
  peer_ = peer;
  edition_ = book_.edition();
  new (machine_) Initiator(own_.pair, peer.key.bytes, peer.psk, carrier);
  made_ = true;
  if (carrier != Carrier::connection) initiator().set_line_time(handshake_time(below.rate()));
  state_ = State::calls;
  begin_message(now);
}

void Shake::answer(Link& below, Carrier carrier, std::string_view only, ShakeOwner& owner, Time now, bool magic, Bytes come) {
  begin(below, carrier, owner, now);
  answers_ = true;
  only_.clear();
  only_.add(only);
  new (machine_) Responder(own_.pair, own_.mac, carrier, now);
  made_ = true;
  state_ = State::waits;
  if (magic) take_magic(now);
  in_ = {chunk_, come.size < sizeof chunk_ ? come.size : sizeof chunk_};
  if (in_.size == 0) return wait(now);
  memcpy(chunk_, come.data, in_.size);
  take_message(now);
}

void Shake::take_magic(Time now) {
  Bytes magic = as_bytes(std::string_view(kMagic, sizeof kMagic - 1));
  static_cast<void>(responder().take(&magic, now));
}

void Shake::reset() {
  reactor_.timers().stop(timer_);
  if (below_ != nullptr) below_->close(false);
  below_ = nullptr;
  if (made_) {
    if (answers_) responder().~Responder();
    else initiator().~Initiator();
  }
  made_ = false;
  reader_.erase();
  send_key_.erase();
  peer_.psk.erase();
  erase(first_, sizeof first_);
  erase(chunk_, sizeof chunk_);
  state_ = State::idle;
}

Link& Shake::take(SecureStart* out) {
  SMX_CHECK(state_ == State::up);
  SMX_CHECK(below_ != nullptr);
  reactor_.timers().stop(timer_);
  out->send_key = send_key_;
  out->reader = reader_;
  out->peer = peer_;
  out->plain = plain_;
  out->called = !answers_;
  out->said = said_;
  // Who has called has sent no record yet, so nothing of the peer's can be behind its message: that is noise.
  out->sealed = answers_ ? Bytes{in_.data, in_.size} : Bytes{};
  Link& below = *below_;
  below_ = nullptr;
  return below;
}

// ---- what is waited for

void Shake::wait(Time now) {
  (void)now;
  Time next = kNever;
  if (state_ == State::calls) next = earlier(initiator().deadline(), until_);
  if (state_ == State::waits || state_ == State::answered) next = responder().deadline();
  if (state_ == State::refusing) next = responder().refusal_at();
  // A line on which something comes that belongs to nothing is asked once a second to begin anew.
  if (state_ == State::waits && carrier_ != Carrier::connection) next = earlier(next, now + kAnewPause);
  reactor_.timers().stop(timer_);
  if (next != kNever) reactor_.timers().start(timer_, next);
  const bool reads = state_ == State::calls || state_ == State::waits || state_ == State::answered;
  below_->want(static_cast<uint8_t>((reads ? kRead : 0) | (out_at_ < out_size_ ? kWrite : 0)));
}

void Shake::on_timer(Timer& timer, Time now) {
  (void)timer;
  if (state_ == State::calls) {
    if (now >= until_) return fail(Fault::no_answer, "", now);
    const Initiator::Got got = initiator().expired(now);
    if (got == Initiator::Got::bad) return fail(Fault::no_answer, "no answer in 10 s", now);
    if (got == Initiator::Got::anew) return begin_message(now);
    return wait(now);
  }
  if (state_ == State::refusing) {
    put_refusal(responder().code(), out_);
    out_at_ = 0;
    out_size_ = kRefusal;
    static_cast<void>(flush(now));
    below_->close(true);
    below_ = nullptr;
    return fail(fault_, "", now);
  }
  const Fault fault = responder().expired(now);
  if (fault != Fault::none) return fail(fault, "", now);
  if (state_ == State::waits && responder().asks_anew(now)) {
    put_refusal(Code::anew, out_);
    return send(kRefusal, now);
  }
  wait(now);
}

void Shake::on_link_ready(uint8_t ready, Time now) {
  if ((ready & kWrite) != 0 && !flush(now)) return;
  if ((ready & kRead) != 0) return read_link(now);
  wait(now);
}

// ---- bytes

void Shake::send(size_t size, Time now) {
  out_at_ = 0;
  out_size_ = size;
  if (flush(now)) wait(now);
}

// False: the link is lost.
bool Shake::flush(Time now) {
  while (out_at_ < out_size_) {
    const Bytes rest{out_ + out_at_, out_size_ - out_at_};
    const IoResult r = below_->writev(&rest, 1);
    if (r.error != 0) {
      if (state_ != State::refusing) at_end(r.error, now);
      return false;
    }
    if (r.size == 0) return true;
    out_at_ += r.size;
  }
  return true;
}

void Shake::read_link(Time now) {
  MutBytes space{chunk_, sizeof chunk_};
  const IoResult r = below_->readv(&space, 1);
  if (r.again) return wait(now);
  if (r.error != 0 || r.size == 0) return at_end(r.error, now);
  in_ = {chunk_, r.size};
  if (state_ == State::calls) return take_answer(now);
  if (state_ == State::waits) return take_message(now);
  take_record(now);
}

// ---- who calls

void Shake::begin_message(Time now) {
  const size_t size = initiator().begin(random_secret(), {}, now, out_);
  if (size == 0) return fail(initiator().fault(), "", now);
  send(size, now);
}

void Shake::take_answer(Time now) {
  while (in_.size > 0) {
    Bytes in{in_.data, in_.size};
    const Initiator::Got got = initiator().take(&in, now);
    in_ = {in_.data + (in_.size - in.size), in.size};
    switch (got) {
      case Initiator::Got::nothing:
      case Initiator::Got::refused: break;
      case Initiator::Got::anew: begin_message(now); break;
      case Initiator::Got::bad: {
        const Fault fault = initiator().fault();
        return fail(fault, fault == Fault::clear_hello ? "speaks clear SockMux; refused: SERVER=sockmuxs is needed there" : "", now);
      }
      case Initiator::Got::up: {
        if (is_outdated(now)) return;
        LinkKeys keys;
        initiator().keys(&keys);
        send_key_ = keys.tx;
        reader_.start(keys.rx, first_, sizeof first_);
        plain_ = initiator().payload();
        state_ = State::up;
        return owner_->on_shaken(*this, now);
      }
    }
    if (state_ != State::calls) return;
  }
  wait(now);
}

// ---- who is called

void Shake::take_message(Time now) {
  Bytes in{in_.data, in_.size};
  const Responder::Got got = responder().take(&in, now);
  in_ = {in_.data + (in_.size - in.size), in.size};
  if (got == Responder::Got::bad) return fail_answering(responder().fault(), now);
  if (got == Responder::Got::nothing) {
    if (!responder().asks_anew(now)) return wait(now);
    put_refusal(Code::anew, out_);
    return send(kRefusal, now);
  }
  state_ = State::queued;
  wait(now);
  owner_->on_message(*this, now);
}

void Shake::step(Time now) {
  SMX_CHECK(state_ == State::queued);
  if (responder().state() == Responder::State::queued) {
    PeerKey key;
    const Fault fault = responder().find(key.bytes);
    if (fault != Fault::none) return fail_answering(fault, now);
    edition_ = book_.edition();
    if (!book_.find_key(key, &peer_) || (only_.size() > 0 && only_.text() != peer_.name.text())) {
      Text<80> why("unknown key ");
      append_key(why, key);
      return refuse(Code::not_accepted, why.text(), now);
    }
    if (book_.may_come_from(key, from_)) return;
    return refuse(Code::not_accepted, Text<80>("peer ").add(peer_.name.text()).add(": FROM= forbids").text(), now);
  }
  if (responder().state() == Responder::State::found) {
    const Fault fault = responder().check();
    if (fault != Fault::none) fail_answering(fault, now);
    return;
  }
  if (!responder().prepared()) {
    const Fault fault = responder().prepare(random_secret());
    if (fault != Fault::none) fail_answering(fault, now);
    return;
  }
  answer_message(now);
}

// The peer was taken out of the book, or has other words in it now, while the handshake was under way: it tries again.
bool Shake::is_outdated(Time now) {
  if (edition_ == book_.edition()) return false;
  edition_ = book_.edition();
  SecurePeer p;
  const bool same = book_.find_key(peer_.key, &p) && equal(p.psk.data(), peer_.psk.data(), kKey) && p.name.text() == peer_.name.text();
  if (same && (!answers_ || book_.may_come_from(peer_.key, from_))) return false;
  blameless_ = true;
  fail(Fault::none, kOutdated, now);
  return true;
}

void Shake::answer_message(Time now) {
  if (is_outdated(now)) return;
  size_t size = 0;
  uint8_t hello[kSecondPayload];
  static_assert(Mux::kFirstPacket <= kSecondPayload);
  const size_t said = greeter_ == nullptr ? 0 : greeter_->greet(*below_, &said_, hello);
  said_.said = said > 0;
  const Duration patience = carrier_ == Carrier::connection ? kRecordWait : longer(kRecordWait, handshake_time(below_->rate()));
  const Fault fault = responder().answer(random_secret(), peer_.psk, {hello, said}, now, out_, &size, patience);
  if (fault != Fault::none) return fail_answering(fault, now);
  state_ = State::answered;
  since_ = now;
  reader_.start(responder().receive_key(), first_, sizeof first_);
  send(size, now);
  if (state_ == State::answered && in_.size > 0) take_record(now);
}

void Shake::take_record(Time now) {
  const RecordReader::Got got = reader_.take(&in_);
  switch (got) {
    case RecordReader::Got::nothing: return wait(now);
    case RecordReader::Got::bad: return fail(reader_.fault(), "", now);
    case RecordReader::Got::end: return fail(Fault::cut, "ended at once", now);
    case RecordReader::Got::anew: {
      if (carrier_ == Carrier::connection) return fail(Fault::magic, "", now);
      // Whoever is there has begun again.
      responder().~Responder();
      new (machine_) Responder(own_.pair, own_.mac, carrier_, now);
      state_ = State::waits;
      take_magic(now);
      return take_message(now);
    }
    case RecordReader::Got::content: break;
  }
  if (is_outdated(now)) return;
  responder().opened(&send_key_);
  plain_ = reader_.content();
  state_ = State::up;
  owner_->on_shaken(*this, now);
}

// ---- ends

void Shake::at_end(int error, Time now) {
  if (error != 0) return fail(Fault::none, strerror(error), now);
  if (state_ == State::answered) return fail(reader_.end_of_file() == Fault::cut_in_record ? Fault::cut_in_record : Fault::no_record, "closed behind our message", now);
  if (answers_) return fail(Fault::no_message, "closed before its message", now);
  refused(now);
}

// The peer has closed a link that we had begun. What it said before is not sealed, so it is for this line alone.
void Shake::refused(Time now) {
  Text<200> why;
  switch (initiator().code()) {
    case Code::not_accepted:
      append_key(why.add("not accepted there: its peers file needs the line 'NAME "), own_.shown());
      why.add("', and FROM= must allow us");
      break;
    case Code::busy: why.add("busy there; trying again"); break;
    case Code::version: why.add("speaks another version of secure links than ours, ").add_u(kVersion); break;
    case Code::none:
    case Code::anew:
      why.add("closed without an answer: another service, or the key of ").add(peer_.name.text()).add(" in our peers file is wrong ('sockmuxctl pubkey' there tells it)");
      break;
  }
  fail(Fault::no_answer, why.text(), now);
}

void Shake::refuse(Code code, std::string_view why, Time now) {
  why_.clear();
  why_.add(why);
  responder().refuse(code);
  fail_answering(Fault::none, now);
}

// HELLO of a clear link: it is told what is wanted here, in the words of such a link. Source: sockmux(7), "BYE".
void Shake::say_bye(Time now) {
  constexpr std::string_view kText = "secure link only: use SERVER=sockmuxs://";
  Header h;
  h.version = kUnnumbered;
  h.type = static_cast<uint8_t>(Type::bye);
  h.said = h.raid = kNone;
  h.length = static_cast<uint16_t>(1 + kText.size());
  static_assert(kHeader + 1 + kText.size() <= sizeof out_);
  encode_header(h, out_);
  out_[kHeader] = static_cast<uint8_t>(ByeCode::forbidden);
  memcpy(out_ + kHeader + 1, kText.data(), kText.size());
  out_at_ = 0;
  out_size_ = kHeader + h.length;
  const Bytes all{out_, out_size_};
  static_cast<void>(below_->writev(&all, 1));
  out_size_ = 0;
  below_->close(true);
  below_ = nullptr;
  fail(Fault::clear_hello, "", now);
}

// At once, or with a word behind it that tells nobody more than he must know.
void Shake::fail_answering(Fault fault, Time now) {
  fault_ = fault;
  if (fault == Fault::clear_hello) return say_bye(now);
  if (responder().code() == Code::none) return fail(fault, why_.text(), now);
  state_ = State::refusing;
  wait(now);
}

void Shake::fail(Fault fault, std::string_view why, Time now) {
  fault_ = fault;
  if (why_.size() == 0) why_.add(why.empty() ? std::string_view(name(fault)) : why);
  reactor_.timers().stop(timer_);
  if (below_ != nullptr) below_->close(false);
  below_ = nullptr;
  state_ = State::failed;
  owner_->on_shake_failed(*this, now);
}

}  // namespace smx::secure
