// Bytes for the link: who sends what next, and where unnumbered packets go. Read next: scheduler.h, mux_v03.cc and mux_v1.cc
// (the packets that a channel owes).
#include "core/mux/mux.h"

#include <string.h>

#include "core/base/rate.h"
#include "core/mux/run.h"

namespace smx {

namespace {

// Bytes that may wait unsent in the ring: all of it is ahead of a key press.
constexpr size_t kUnsent = 128 * 1024;
constexpr Duration kTurn = millis(5);
// On a fast line a turn may be longer than four packets, where it is so short a time: what two processes cost one another is
// counted in turns, not in bytes (docs/speed.md).
constexpr Duration kFastTurn = micros(500);
constexpr size_t kFastQuantum = 256 * 1024;
constexpr Duration kAskEach = millis(50);  // ECHO, while bulk goes both ways
constexpr size_t kLeastSlowPayload = 128;
// As long as a link may be as slow as any: the peer, to whom only whole packets are signs of life, waits 15 s for one.
constexpr size_t kUnknownPayload = 4096 - kHeader;
constexpr size_t kSlowUnsent = 32;
constexpr size_t kLeastPackSize = 129;  // 128 and less are ignored by the peer
// Data are pulled only if at least so much fits, so that a full ring does not make small packets.
constexpr size_t kPullRoom = 2048;
// Frames that one read of a local socket may fill.
constexpr int kFrames = 16;
constexpr int kGrants = 64;  // turns of data in one gather(), not counting those that found nothing
constexpr size_t kControlRoom = 1024;  // ring room that the control of one channel may need
constexpr Duration kEchoAgain = seconds(3);  // lossy line: the first one may be lost
constexpr size_t kSparseLeaves = 4096;  // ring room that is for control alone

}  // namespace

// The page asks for at most 10 ms of line, or 2 turns where these are longer, in the ring and in the kernel together: half
// of it is what may wait when the next packet is pulled.
Pace pace_of(uint32_t rate) {
  if (rate == 0) return {kMaxPayload, kUnsent, kMaxPacket, Duration{0}};
  Pace p;
  p.largest = bytes_in(rate, millis(5), kLeastSlowPayload, kMaxPayload);
  p.unsent = bytes_in(rate, millis(5), kSlowUnsent, kUnsent);
  p.packet = bytes_in(rate, millis(250), kLeastPackSize, kMaxPacket);
  // A packet that is on its way already, ours and the peer's; and a handshake, whose packets are short.
  p.patience = time_of(2 * (kHeader + p.largest) + 256, rate);
  return p;
}

void Mux::gather(Time now) {
  if (state_ == State::down) return;
  if (start_.lossy && line_->writes()) return;
  if (handshake_due()) fill_ctl(now);
  // Nothing goes into the ring before the handshake has gone into ctl_, which is written first.
  const bool was_idle = tx_.used() == 0;
  if (dialect_ != Dialect::unknown && !handshake_due()) {
    if (state_ == State::up) {
      gather_control(now);
      gather_data(now);
      gather_control(now);  // FIN
    } else if (state_ == State::closing && !bye_gathered_) {
      gather_control(now);
      bye_gathered_ = true;
      bye_at_ = tx_.tail();
    }
  }
  if (was_idle && tx_.used() > 0) waits_since_ = now;
  if (windowed()) {
    window_.put(tx_.tail(), now);
    if (state_ == State::up && window_.should_ask()) ask_round_trip(now, kAskEach);
  }
  fill_ctl(now);
  if (start_.lossy) make_frames(now);
}

void Mux::gather_control(Time now) {
  while (Channel* c = due_.front()) {
    if (tx_.room() < kControlRoom + (dialect_ == Dialect::v03 ? kMaxPacket / 4 : 0)) return;
    c->due_node.leave();
    if (dialect_ == Dialect::v03) {
      emit_v03(*c, now);
    } else {
      emit_v1(*c, now);
    }
  }
  tx_cut_ = false;
}

// Bytes that bulk may have in the ring: 7/8 of it, since the rest is for control and for sparse channels, so that a ring
// full of one download never keeps a key press out. Where nobody has said the link's rate, what its window says; and the
// measured rate is the pace.
size_t Mux::bulk_limit() {
  if (!windowed()) return tx_.capacity() / 8 * 7;
  const size_t fast = bytes_in(window_.line_rate(), kFastTurn, Scheduler::kQuantum, kFastQuantum);
  const size_t turn = window_.worth(kTurn, kLeastSlowPayload, fast);
  if (turn > turn_ + turn_ / 8 || turn < turn_ - turn_ / 8) {
    turn_ = turn;
    scheduler_.set_quantum(static_cast<int32_t>(turn));
    pace_.unsent = window_.worth(kTurn * 2, turn < kPullRoom ? 2 * kPullRoom : 2 * turn, 2 * fast > kUnsent ? 2 * fast : kUnsent);
  }
  pace_.largest = window_.worth(Duration{kTurn.us / 2}, kLeastSlowPayload, window_.rate() == 0 ? kUnknownPayload : kMaxPayload);
  const size_t window = window_.bytes();
  while (tx_.capacity() / 8 * 7 < window && tx_.capacity() < tx_.largest()) tx_.grow();
  return window;
}

void Mux::gather_data(Time now) {
  const size_t most = bulk_limit();
  const bool slow = start_.rate != 0;
  constexpr size_t kFrameRoom = kHeader + 32;  // less is not worth a packet
  const size_t target = start_.lossy ? line_target() : 0;
  for (int grants = 0; grants < kGrants;) {
    const size_t unsent = static_cast<size_t>(tx_.tail() - sent_);
    const bool no_window = tx_.used() + kPullRoom > most;
    const bool many = slow ? unsent > pace_.unsent : unsent + kPullRoom > pace_.unsent;
    const bool enough = start_.lossy ? unsent + kFrameRoom > target : many;
    const bool full = enough || no_window;
    if (no_window && !scheduler_.empty()) window_.hold();
    if (full && (tx_.room() < kPullRoom + kSparseLeaves || (windowed() && tx_.used() > most + most / 8))) return;
    size_t bulk = kPullRoom;
    if (start_.lossy) bulk = full ? kHeader + pace_.largest : target - unsent;
    else if (slow) bulk = kHeader + pace_.largest;
    else if (!full) bulk = pace_.unsent - unsent < most - tx_.used() ? pace_.unsent - unsent : most - tx_.used();
    Channel* const sparse = full || start_.lossy ? scheduler_.next_sparse() : nullptr;
    if (start_.lossy && sparse == nullptr && !frame_may_grow()) return;
    if (tx_pieces_size_ > 0 && !full && sparse == nullptr) {
      put_pieces(bulk);
      continue;
    }
    Channel* c = full || sparse != nullptr ? sparse : scheduler_.next();
    if (c == nullptr) return;
    if (!may_send(*c) || send_room(*c) == 0) {
      scheduler_.remove(*c);
      continue;
    }
    if (c->udp) {
      const uint64_t before = tx_.tail();
      if (pull_datagram(*c, bulk, now)) ++grants;
      if (start_.lossy && sparse != nullptr && tx_.tail() != before && tx_pieces_size_ == 0) line_->short_one = true;
      continue;
    }
    Pulled::State state = Pulled::State::more;
    const size_t n = pull(*c, bulk, now, &state);
    if (n > 0) ++grants;
    if (start_.lossy && sparse != nullptr && n > 0 && n < pace_.largest) line_->short_one = true;
    if (n == 0 && state == Pulled::State::more) state = Pulled::State::empty;
    if (state == Pulled::State::error) {
      detach(*c);
      abort_local(*c, CloseCode::reset);
      continue;
    }
    if (state != Pulled::State::more) c->readable = false;
    if (state == Pulled::State::end) {
      scheduler_.remove(*c);
      end_of_local(*c, now);
    } else if (state == Pulled::State::empty || send_room(*c) == 0) {
      scheduler_.remove(*c);
      if (state == Pulled::State::empty) events_.on_wants(id_of(*c));
    } else {
      scheduler_.served(*c, n);
    }
  }
}

// Reads the local socket straight into the ring, behind the places of the headers: `space` ring bytes at most.
size_t Mux::pull(Channel& c, size_t space, Time now, Pulled::State* state) {
  const bool v1 = dialect_ == Dialect::v1;
  const size_t theirs = (v1 ? kMaxPacket : peer_packet_) - kHeader;
  const size_t largest = theirs < pace_.largest ? theirs : pace_.largest;
  size_t left = send_room(c);
  if (left > static_cast<size_t>(c.deficit)) left = static_cast<size_t>(c.deficit);
  MutBytes piece[2 * kFrames];
  size_t frame[kFrames];
  int frames = 0;
  int pieces = 0;
  size_t asked = 0;
  for (uint64_t at = tx_.tail(); frames < kFrames && left > 0 && space > kHeader; ++frames) {
    size_t n = left < largest ? left : largest;
    if (n > space - kHeader) n = space - kHeader;
    pieces += tx_.view(at + kHeader, n, piece + pieces);
    frame[frames] = n;
    at += kHeader + n;
    space -= kHeader + n;
    left -= n;
    asked += n;
  }
  SMX_CHECK(frames > 0);
  const Pulled p = events_.on_pull(id_of(c), piece, pieces);
  SMX_CHECK(p.size <= asked);
  SMX_CHECK(!p.urgent || p.size == 1);
  *state = p.state;
  size_t rest = p.size;
  for (int i = 0; rest > 0; ++i) {
    const size_t n = rest < frame[i] ? rest : frame[i];  // NOLINT(clang-analyzer-core.UndefinedBinaryOperatorResult): p.size <= asked, their sum
    append_packet(send_header(c, p.urgent ? Type::sendoob : Type::send, n));
    rest -= n;
  }
  const uint32_t sent_now = static_cast<uint32_t>(p.size);
  c.tx_credit = v1 ? c.tx_credit - sent_now : c.tx_credit + sent_now;
  if (sent_now > 0) c.sent_at = now;
  count_tx(c, p.size, now);
  return p.size;
}

// Of a packet that carries the channel's data.
Header Mux::send_header(const Channel& c, Type type, size_t length) const {
  const bool v1 = dialect_ == Dialect::v1;
  Header h{v1 ? kNumbered : kVersion03, static_cast<uint8_t>(type), c.number, c.peer_number, static_cast<uint16_t>(length)};
  if (v1) {
    h.said = c.mine ? c.number : kNone;
    h.raid = c.mine ? kNone : c.number;
  }
  return h;
}

void Mux::put_packet(const Header& h, const uint8_t* payload) {
  tx_.copy_in(tx_.tail() + kHeader, payload, h.length);
  append_packet(h);
}

// Its payload stands in its place, behind that of the header.
void Mux::append_packet(const Header& h) {
  uint8_t raw[kHeader];
  encode_header(h, raw);
  tx_.copy_in(tx_.tail(), raw, kHeader);
  tx_.append(kHeader + h.length);
  ++stats_.tx_packets;
  if (tap_ != nullptr) tell_sent(h, tx_.tail() - h.length);
}

void Mux::put_ctl(const Header& h, const uint8_t* payload) {
  SMX_CHECK(kHeader + h.length <= sizeof ctl_ - ctl_size_);
  encode_header(h, ctl_ + ctl_size_);
  if (h.length > 0) memcpy(ctl_ + ctl_size_ + kHeader, payload, h.length);
  ctl_size_ += kHeader + h.length;
  ++stats_.tx_packets;
  const Bytes piece{payload, h.length};
  if (tap_ != nullptr) tell(true, h, &piece, 1);
}

// Unnumbered packets, made when the last ones are written; they go out at the next packet end.
void Mux::fill_ctl(Time now) {
  if (ctl_sent_ < ctl_size_) return;
  ctl_size_ = ctl_sent_ = 0;
  const uint8_t version = dialect_ == Dialect::v1 ? kUnnumbered : kVersion03;
  const uint16_t none = dialect_ == Dialect::v1 ? kNone : kNone03;
  if (hello_due_ || hellook_due_ > 0) {
    Text<kHelloText> text;
    make_hello(config_, start_, nonce_, text);
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(text.c_str());
    if (hello_due_) put_ctl(kVersion03, Type::hello, kNone, bytes, text.size() + 1);
    for (; hellook_due_ > 0; --hellook_due_) put_ctl(kVersion03, Type::hellook, kNone, bytes, text.size() + 1);
    hello_due_ = false;
    hello_out_ = true;
  }
  if (settings_due_) {
    settings_due_ = false;
    Settings s;
    s.answered_nonce = peer_nonce_;
    s.has_attempt = is_asker();
    s.marks = kHasLossy && start_.lossy && start_.sealer == nullptr && (is_asker() || line_->mark != 0);
    s.attempt = start_.attempt;
    if (session_live_) {
      memcpy(s.session, session_, sizeof session_);
      s.received = rx_numbered_;
    }
    s.hold_s = static_cast<uint16_t>(config_.hold < seconds(65535) ? config_.hold.us / 1000000 : 65535);
    s.credit = config_.first_credit;
    s.channels = config_.accepts;
    memcpy(s.peer_name, config_.name, sizeof s.peer_name);
    uint8_t payload[230];
    put_ctl(kUnnumbered, Type::settings, kNone, payload, make_settings(s, payload, sizeof payload));
  }
  if (setopt_due_) {
    setopt_due_ = false;
    uint32_t packet = my_packet_ < config_.packet_size ? my_packet_ : config_.packet_size;
    if (packet > pace_.packet) packet = static_cast<uint32_t>(pace_.packet);
    const uint8_t size[3] = {kOptPackSize, static_cast<uint8_t>(packet >> 8), static_cast<uint8_t>(packet)};
    const uint8_t data[3] = {kOptConnData, 1, 0};
    put_ctl(kVersion03, Type::setopt, kNone03, size, sizeof size);
    put_ctl(kVersion03, Type::setopt, kNone03, data, sizeof data);
  }
  if (start_.lossy) {
    if (ack_due_ && ring_open_) line_->ack_due = true;  // each frame has an ack
    if (state_ == State::up) ask_for_gaps(now);
  } else if (ack_due_ && rx_numbered_ > rx_acked_) {
    uint8_t payload[8];
    store64(payload, rx_numbered_);
    put_ctl(kUnnumbered, Type::ack, kNone, payload, sizeof payload);
    rx_acked_ = rx_numbered_;
    rx_acked_at_ = now;
    ack_deadline_ = kNever;
  }
  ack_due_ = false;
  if (echook_due_) {
    echook_due_ = false;
    put_ctl({version, static_cast<uint8_t>(Type::echook), echook_said_, echook_raid_, echook_size_}, echook_);
  }
  if (echo_due_ && state_ == State::up) {
    echo_due_ = false;
    if (echo_deadline_ == kNever) echo_deadline_ = now + (dialect_ == Dialect::v1 ? seconds(10) : seconds(30)) + pace_.patience;
    echo_sent_ = now;
    if (start_.lossy) line_->echo_again_at = now + kEchoAgain;
    if (dialect_ == Dialect::v1) {
      uint8_t payload[8];
      store64(payload, static_cast<uint64_t>(now.us));
      put_ctl(version, Type::echo, none, payload, sizeof payload);
    } else {
      Text<24> text;
      text.add_u(static_cast<uint64_t>(now.us / 1000));
      put_ctl(version, Type::echo, none, reinterpret_cast<const uint8_t*>(text.c_str()), text.size() + 1);
    }
  }
  if (bye_due_ && bye_gathered_ && sent_ >= bye_at_) {
    bye_due_ = false;
    const uint8_t payload[1] = {static_cast<uint8_t>(bye_code_)};
    put_ctl(kUnnumbered, Type::bye, kNone, payload, sizeof payload);
  }
}

// Of the packet in the tx ring that begins at `begin`.
uint64_t Mux::packet_end(uint64_t begin) const {
  uint8_t raw[kHeader];
  tx_.copy_out(begin, raw, kHeader);
  return begin + kHeader + decode_header(raw).length;
}

void Mux::find_frame_end() {
  while (frame_end_ < sent_) frame_end_ = packet_end(frame_end_);
}

// Ring bytes up to the end of the packet that is being written, then ctl_, then the rest of the ring.
int Mux::tx_pending(Bytes out[kTxPieces]) const {
  int pieces = 0;
  if (start_.lossy) {
    if (line_->writes()) out[pieces++] = {line_->out + line_->out_sent, line_->out_size - line_->out_sent};
    return pieces;
  }
  MutBytes part[2];
  const auto add_ring = [&](uint64_t from, uint64_t to) {
    const int parts = tx_.view(from, static_cast<size_t>(to - from), part);
    for (int i = 0; i < parts; ++i) out[pieces++] = {part[i].data, part[i].size};
  };
  uint64_t from = sent_;
  if (ctl_sent_ < ctl_size_) {
    if (ring_goes() && ctl_sent_ == 0 && sent_ < frame_end_) {
      add_ring(sent_, frame_end_);
      from = frame_end_;
    }
    out[pieces++] = {ctl_ + ctl_sent_, ctl_size_ - ctl_sent_};
  }
  if (ring_goes()) add_ring(from, tx_.tail());
  return pieces;
}

void Mux::sent(size_t n) {
  stats_.tx_bytes += n;
  if (start_.lossy) {
    SMX_CHECK(n <= line_->out_size - line_->out_sent);
    line_->out_sent += n;
    return;
  }
  const auto take_ring = [&](uint64_t limit) {
    const size_t k = n < limit - sent_ ? n : static_cast<size_t>(limit - sent_);
    sent_ += k;
    n -= k;
  };
  if (ctl_sent_ < ctl_size_) {
    if (ring_goes() && ctl_sent_ == 0 && sent_ < frame_end_) take_ring(frame_end_);
    const size_t k = n < ctl_size_ - ctl_sent_ ? n : ctl_size_ - ctl_sent_;
    ctl_sent_ += k;
    n -= k;
  }
  if (ring_goes()) take_ring(tx_.tail());
  SMX_CHECK(n == 0);
  find_frame_end();
  // 0.3 keeps nothing once it is written; 1 keeps numbered packets until ACK.
  if (dialect_ != Dialect::v1) tx_.release(sent_);
}

}  // namespace smx
