// Read next: handshake.h.
#include "transport/secure/handshake.h"

#include "core/base/check.h"

namespace smx::secure {

namespace {
constexpr int kMostDoublings = 2;  // kLineWait becomes 8 s
}

Initiator::Initiator(const KeyPair& own, const uint8_t peer[kKey], const Secret& psk, Carrier carrier)
    : own_(&own), psk_(psk), mac_(peer), carrier_(carrier) {
  memcpy(peer_, peer, kKey);
}

size_t Initiator::begin(const Secret& ephemeral, Bytes hello, Time now, uint8_t out[kMessage1]) {
  SMX_CHECK(hello.size <= (carrier_ == Carrier::lossy_line ? kFirstPayloadOfLine : kFirstPayload));
  keys_.erase();
  rest_ = {};
  code_ = Code::none;
  fault_ = Fault::none;
  payload_size_ = 0;
  noise_.start(*own_, peer_, prologue());
  const size_t body = kFirst + hello.size;
  put_head(MessageType::first, body, out);
  fault_ = noise_.write_first(ephemeral, hello, out + kMessageHead);
  if (fault_ != Fault::none) {
    set_state(State::down);
    deadline_ = kNever;
    return 0;
  }
  mac_.put(out, kMessageHead + body);
  // A second begin() on the same pipe goes on in the middle of what the first has read.
  if (state_ != State::waits) reader_.start(MessageReader::Side::initiator, carrier_ == Carrier::pipe, memory_);
  set_state(State::waits);
  begun_ = now;
  if (carrier_ == Carrier::lossy_line) {
    deadline_ = now + longer(kLineWait * (1 << tries_), line_time_);
    if (tries_ < kMostDoublings) ++tries_;
  } else {
    deadline_ = now + longer(kAnswerWait, line_time_);
  }
  return kMessageHead + body + kTag;
}

Initiator::Got Initiator::take(Bytes* in, Time now) {
  SMX_CHECK(carrier_ != Carrier::lossy_line);
  SMX_CHECK(state_ == State::waits);
  for (;;) {
    const MessageReader::Got got = reader_.take(in);
    if (got == MessageReader::Got::nothing) return Got::nothing;
    if (got == MessageReader::Got::bad) return fail(reader_.fault());
    const Got next = got_message(now);
    if (next != Got::nothing) return next;
  }
}

Initiator::Got Initiator::take_block(Bytes block, Time now) {
  SMX_CHECK(carrier_ == Carrier::lossy_line);
  SMX_CHECK(state_ == State::waits);
  if (reader_.take_block(block) == MessageReader::Got::message) return got_message(now);
  ++ignored_;
  return Got::nothing;
}

Initiator::Got Initiator::got_message(Time now) {
  if (reader_.type() == MessageType::refusal) return got_refusal(now);
  const Bytes message = reader_.noise();
  const Fault fault = noise_.read_second(message, psk_, payload_, &keys_);
  if (fault == Fault::none) {
    payload_size_ = message.size - kSecond;
    rest_ = reader_.accept();
    noise_.erase();
    set_state(State::up);
    deadline_ = kNever;
    tries_ = 0;
    return Got::up;
  }
  reader_.reject();
  if (carrier_ == Carrier::connection) return fail(fault);
  // Changed on the line, or the answer to an earlier try.
  ++ignored_;
  return Got::nothing;
}

Initiator::Got Initiator::got_refusal(Time now) {
  const Code code = reader_.code();
  reader_.pass();
  if (code == Code::anew && carrier_ != Carrier::connection) {
    const Time least = begun_ + longer(kAnewPause, line_time_);
    if (now >= least) return Got::anew;
    // Message 1 may be lost with what was skipped there, and it is said again only behind more of that.
    if (carrier_ == Carrier::pipe) deadline_ = earlier(deadline_, least);
    return Got::nothing;
  }
  code_ = code;
  return Got::refused;
}

Initiator::Got Initiator::expired(Time now) {
  if (state_ != State::waits || now < deadline_) return Got::nothing;
  return carrier_ != Carrier::connection ? Got::anew : fail(Fault::no_answer);
}

void Initiator::keys(LinkKeys* out) {
  SMX_CHECK(state_ == State::up);
  *out = keys_;
  erase();
}

Initiator::Got Initiator::fail(Fault fault) {
  fault_ = fault;
  set_state(State::down);
  deadline_ = kNever;
  erase();
  return Got::bad;
}

void Initiator::erase() {
  noise_.erase();
  keys_.erase();
}

Responder::Responder(const KeyPair& own, const MacKey& mac, Carrier carrier, Time now)
    : own_(&own), mac_(&mac), carrier_(carrier), message_at_(now), anew_at_(now) {
  // A line has no beginning: who waits there, waits.
  deadline_ = carrier == Carrier::connection ? now + kMessageWait : kNever;
  // On a pipe the message may have come with the end of the link before, and be lost with it.
  if (carrier == Carrier::pipe) strays_ = 1;
  reader_.start(MessageReader::Side::responder, carrier == Carrier::pipe, memory_);
}

Responder::Got Responder::take(Bytes* in, Time now) {
  SMX_CHECK(carrier_ != Carrier::lossy_line);
  SMX_CHECK(state_ == State::waits_message);
  for (;;) {
    const MessageReader::Got got = reader_.take(in);
    if (got == MessageReader::Got::nothing) return Got::nothing;
    if (got == MessageReader::Got::bad) {
      static_cast<void>(fail(reader_.fault(), Code::none));
      return Got::bad;
    }
    const Got next = got_message(now);
    if (next != Got::nothing) return next;
  }
}

Responder::Got Responder::take_block(Bytes block, Time now) {
  SMX_CHECK(carrier_ == Carrier::lossy_line);
  SMX_CHECK(state_ == State::waits_message);
  if (reader_.take_block(block) != MessageReader::Got::message) return Got::nothing;
  return got_message(now);
}

Responder::Got Responder::got_message(Time now) {
  const bool fits = mac_->fits(reader_.whole());
  if (fits && !reader_.is_other_version()) {
    message_at_ = now;
    deadline_ = kNever;
    noise_.start(*own_, prologue());
    set_state(State::queued);
    return Got::message;
  }
  const Fault fault = reader_.is_other_version() ? Fault::version : Fault::mac1;
  if (!fits && carrier_ != Carrier::connection) {  // noise
    reader_.reject();
    fault_ = fault;
    return Got::nothing;
  }
  static_cast<void>(fail(fault, fits ? Code::version : Code::none));
  if (fits) refusal_at_ = now;
  return Got::bad;
}

Fault Responder::find(uint8_t peer[kKey]) {
  SMX_CHECK(state_ == State::queued);
  const Fault fault = noise_.read_key(reader_.noise(), peer);
  if (fault != Fault::none) return fail(fault, Code::not_accepted);
  set_state(State::found);
  return Fault::none;
}

Fault Responder::check() {
  SMX_CHECK(state_ == State::found);
  const Bytes message = reader_.noise();
  const Fault fault = noise_.read_first(message, payload_);
  if (fault != Fault::none) return fail(fault, Code::not_accepted);
  payload_size_ = message.size - kFirst;
  set_state(State::checked);
  return Fault::none;
}

Fault Responder::prepare(const Secret& ephemeral) {
  SMX_CHECK(state_ == State::checked);
  const Fault fault = noise_.prepare_second(ephemeral);
  return fault == Fault::none ? fault : fail(fault, Code::not_accepted);
}

Fault Responder::answer(const Secret& ephemeral, const Secret& psk, Bytes said, Time now, uint8_t out[kMessage2],
                        size_t* size, Duration wait) {
  SMX_CHECK(state_ == State::checked);
  SMX_CHECK(said.size <= (carrier_ == Carrier::lossy_line ? kSecondPayloadOfLine : kSecondPayload));
  *size = 0;
  put_head(MessageType::second, kSecond + said.size, out);
  const Fault fault = noise_.write_second(ephemeral, psk, said, out + kMessageHead, &keys_);
  if (fault != Fault::none) return fail(fault, Code::not_accepted);
  *size = kMessageHead + kSecond + said.size;
  rest_ = reader_.accept();
  deadline_ = now + wait;
  set_state(State::waits_record);
  return Fault::none;
}

const Secret& Responder::receive_key() const {
  SMX_CHECK(state_ == State::waits_record);
  return keys_.rx;
}

void Responder::opened(Secret* send_key) {
  SMX_CHECK(state_ == State::waits_record);
  *send_key = keys_.tx;
  erase();
  deadline_ = kNever;
  set_state(State::up);
}

void Responder::refuse(Code code) {
  SMX_CHECK(state_ == State::queued || state_ == State::found || state_ == State::checked);
  static_cast<void>(fail(Fault::none, code));
}

bool Responder::asks_anew(Time now) {
  const uint64_t strays = strays_ + reader_.skipped();
  if (carrier_ == Carrier::connection || state_ != State::waits_message || strays == answered_ || now < anew_at_)
    return false;
  // Nothing was skipped: the message may be on its way.
  if (carrier_ == Carrier::pipe && strays == 1 && now < message_at_ + kAnewPause) return false;
  answered_ = strays;
  anew_at_ = now + kAnewPause;
  return true;
}

Fault Responder::expired(Time now) {
  if (now < deadline_) return Fault::none;
  return fail(state_ == State::waits_record ? Fault::no_record : Fault::no_message, Code::none);
}

Fault Responder::fail(Fault fault, Code code) {
  fault_ = fault;
  code_ = code;
  erase();
  deadline_ = kNever;
  refusal_at_ = code == Code::none ? kNever : message_at_ + kRefusalDelay;
  set_state(code == Code::none ? State::down : State::refusing);
  return fault;
}

void Responder::erase() {
  noise_.erase();
  keys_.erase();
}

}  // namespace smx::secure
