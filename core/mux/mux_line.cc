// Lossy lines: frames out, frames in, and what was lost is asked for and sent again. Source: sockmux(7), "Lossy lines".
// Read next: line_link.h, line.h, mux_tx.cc.
#include <string.h>

#include "core/base/rate.h"
#include "core/mux/mux.h"
#include "core/mux/run.h"

namespace smx {

namespace {

constexpr Duration kHelloOften = seconds(30), kHelloSeldom = seconds(5);  // each kHelloRepeat so long, and then so seldom
constexpr Duration kStuck = seconds(1);        // the least
constexpr size_t kLeastFrame = 96;

// Every build knows it: sockmux(7), "Secure lines".
bool is_secure_handshake(Bytes block) { return block.size > 4 && memcmp(block.data, "SMXS", 4) == 0; }

// Of whose nonces these are: another one each way, and on each link. 0 would be none.
uint32_t line_mark(uint32_t sender, uint32_t receiver) {
  const uint32_t mark = sender ^ (receiver << 1 | receiver >> 31);
  return mark != 0 ? mark : 1;
}

bool is_begin(const uint8_t* packet) {
  return packet[1] == static_cast<uint8_t>(Type::hello) || packet[1] == static_cast<uint8_t>(Type::settings);
}
// HELLO and SETTINGS come alone: the numbers of such a frame belong to no session yet, and it has no mark.
bool begins_link(const LineFrame& f) { return f.unnumbered.size >= kHeader && is_begin(f.unnumbered.data); }

}  // namespace

// 160 ms of line time for a frame: 87.6 % of a line of 9600 baud are left for bulk. Sealed ones have 20 bytes more that are
// no data: 267 ms leave 85 %. What is read of a local socket fills one.
Pace pace_of_lossy(uint32_t rate, bool sealed) {
  Pace p = pace_of(rate);
  const size_t overhead = kLineOverhead + (sealed ? LineSealer::kOverhead : 0);
  p.frame = rate == 0 ? kLineFrame : bytes_in(rate, sealed ? millis(267) : millis(160), kLeastFrame, kLineFrame);
  p.frames = rate == 0 ? LineLink::kMostFrames : bytes_in(rate, millis(5), kLineFrame, LineLink::kMostFrames * kLineFrame) / kLineFrame;
  p.largest = p.frame - overhead - kHeader;
  if (rate != 0) p.patience = time_of(2 * p.frame * p.frames + kLineFrame, rate);
  return p;
}

void Mux::begin_line(Time now) {
  SMX_CHECK(line_ != nullptr);
  LineLink& l = *line_;
  l.out_size = l.out_sent = 0;
  l.frame = pace_.frame;
  l.again.clear();
  l.judged = l.repeated = l.shorts = 0;
  l.mark = 0;
  l.short_one = l.ack_due = l.asks_for_tail = l.asks_again = false;
  l.idle = true;
  l.decoder.reset();
  l.gaps.reset(rx_numbered_);
  l.up_since = now;
  l.tail_at = l.stuck_at = l.echo_again_at = kNever;
}

// What the answer to something takes, with what may be on the line before it, both ways.
Duration Mux::line_turn() const {
  return start_.rate == 0 ? rtt_ : rtt_ + time_of(line_->frame, start_.rate) * 4;
}

// Who sends, and on which link, is in it. On a sealed line it is in the keys.
void Mux::mark_line(bool both) {
  if (!kHasLossy || !start_.lossy || start_.sealer != nullptr) return;
  line_->mark = both ? line_mark(nonce_, peer_nonce_) : 0;
  line_->decoder.expect(both ? line_mark(peer_nonce_, nonce_) : 0);
}

// ---- in

Err Mux::received_line(size_t n, Time now) {
  Bytes in{line_->in, n};
  for (;;) {
    line_->decoder.expect_near(line_->gaps.mine(), tx_.head());
    switch (line_->decoder.take(&in)) {
      case LineDecoder::Got::nothing: return Err::none;
      case LineDecoder::Got::bad:
        ++stats_.bad_frames;
        if (ring_open_) {
          line_->tail_at = now + Duration{line_turn().us / 4};
        } else if (line_->decoder.was_bare_hello() && start_.sealer == nullptr) {
          bare_hello_ = true;  // or what an earlier run has left
          if (handshake_deadline_ == kNever) handshake_deadline_ = now + config_.hello_timeout + pace_.patience;
        }
        break;
      case LineDecoder::Got::block: {
        bare_hello_ = false;
        const Err e = take_block(line_->decoder.block(), now);
        if (e != Err::none) return e;
        break;
      }
    }
  }
}

Err Mux::take_block(Bytes block, Time now) {
  uint8_t opened[kLineBlock];
  if (start_.sealer != nullptr) {
    size_t size = 0;
    switch (start_.sealer->open(block, opened, &size, now)) {
      case LineSealer::Got::content: block = {opened, size}; break;
      case LineSealer::Got::aside: return Err::none;
      case LineSealer::Got::old: ++stats_.old_frames; return Err::none;
      case LineSealer::Got::forged: ++stats_.forged_frames; return Err::none;
    }
  }
  if (start_.sealer == nullptr && state_ == State::hello && is_secure_handshake(block)) return Err::speaks_secure;
  LineFrame frame;
  if (parse_block(block, &frame)) return take_frame(frame, now);
  ++stats_.bad_frames;
  return Err::none;
}

Err Mux::take_frame(const LineFrame& f, Time now) {
  const bool begins = begins_link(f);
  if (line_->mark != 0 && line_->decoder.is_marked() == begins) {
    ++stats_.bad_frames;
    return Err::none;
  }
  // Noise has the right checksum once in 2^32 times. Its peer is not at fault.
  const int64_t ack = nearest(tx_.head(), f.ack);
  if (start_.sealer == nullptr && ring_open_ && !begins && ack > static_cast<int64_t>(sent_)) {
    ++stats_.bad_frames;
    return Err::none;
  }
  if (state_ == State::up || state_ == State::closing) {
    last_rx_ = now;
    echo_deadline_ = line_->echo_again_at = kNever;
  }
  if (ring_open_ && !begins) {
    if (ack > static_cast<int64_t>(tx_.head())) {
      const Err e = ack_v1(static_cast<uint64_t>(ack));
      if (e != Err::none) return e;
      ack_moved(now);
    }
  }
  const Err e = take_unnumbered(f.unnumbered, now);
  if (e != Err::none) return e;
  if (begins || !ring_open_) return Err::none;
  Gaps& gaps = line_->gaps;
  const uint64_t mine = gaps.mine();
  const int64_t at = nearest(mine, f.off);
  if (at < 0) return Err::none;
  const uint64_t off = static_cast<uint64_t>(at);
  if (off >= gaps.seen()) line_->tail_at = kNever;  // if something was lost before it, that is a gap now
  const size_t known = off >= mine ? 0 : mine - off < f.numbered.size ? static_cast<size_t>(mine - off) : f.numbered.size;
  const uint64_t place = rx_.tail() + (off + known > mine ? off + known - mine : 0);
  rx_.copy_in(place, f.numbered.data + known, f.numbered.size - known);
  gaps.add(off, f.numbered.size, now);
  if (gaps.mine() == mine) return Err::none;
  rx_.append(static_cast<size_t>(gaps.mine() - mine));
  return parse(now);
}

Err Mux::take_unnumbered(Bytes packets, Time now) {
  while (packets.size > 0) {
    if (packets.size < kHeader) return Err::bad_length;
    header_ = decode_header(packets.data);
    if (packets.size - kHeader < header_.length) return Err::bad_length;
    const Bytes payload{packets.data + kHeader, header_.length};
    packets = {payload.data + payload.size, packets.size - kHeader - payload.size};
    const bool v1 = dialect_ == Dialect::v1 && state_ != State::hello;
    bool known = true;
    // What is neither HELLO nor of our handshake may be the end of an earlier run.
    const Type type = static_cast<Type>(header_.type);
    if (!ring_open_ && state_ != State::closing && type != Type::hello && !(v1 && (type == Type::settings || type == Type::bye))) continue;
    Err e = check_header(header_, v1 ? Dialect::v1 : Dialect::v03, &known);
    if (e == Err::none && header_.version == kNumbered) e = Err::bad_version;
    Run run;
    if (e == Err::none) e = take_packet(payload, known, run, now);
    if (e != Err::none) return e;
  }
  return Err::none;
}

// REPEAT: [from, to), or all that was sent.
Err Mux::send_again(uint64_t from, uint64_t to) {
  if (from > sent_ || to > sent_ || (to != 0 && to < from)) return Err::bad_ack;
  if (to == 0) to = sent_;
  if (from < tx_.head()) from = tx_.head();  // it has come since
  if (from < to) line_->again.add(from, to);
  return Err::none;
}

// ---- out

// The numbered bytes that go into `room`, from `*from` on: what must be sent again first, then what is new: whole packets, if
// that fills more than half of it.
size_t Mux::numbered_for(size_t room, uint64_t* from) {
  *from = sent_;
  if (!ring_open_) return 0;
  const size_t again = line_->again.take(tx_.head(), room, from);
  if (again > 0) return again;
  const uint64_t limit = tx_.tail() - tx_.head() > LineLink::kWindow ? tx_.head() + LineLink::kWindow : tx_.tail();
  if (sent_ >= limit) return 0;
  if (limit - sent_ <= room) return static_cast<size_t>(limit - sent_);
  size_t whole = 0;
  for (uint64_t end = frame_end_; end <= sent_ + room;) {
    whole = static_cast<size_t>(end - sent_);
    end = packet_end(end);
  }
  return whole > room / 2 ? whole : room;
}

// A frame arrives as a whole: one that holds something quiet is not made longer by bulk, but now and then.
bool Mux::frame_may_grow() {
  line_->short_one = line_->hurries();
  return !line_->short_one || line_->shorts >= LineLink::kMostShort;
}

// Adds it to what is to be written. If it can't be sealed now, that is as if the line had lost it. `off`, `ack`: its full numbers.
void Mux::put_frame(const LineFrame& frame, uint64_t off, uint64_t ack, Time now) {
  LineLink& l = *line_;
  uint8_t block[kLineBlock], sealed[kLineBlock];
  Bytes content{block, make_block(frame, block)};
  if (start_.sealer != nullptr) {
    SMX_CHECK(content.size <= kLineBlock - LineSealer::kOverhead);
    content = {sealed, start_.sealer->seal(content, sealed, now)};
    if (content.size == 0) return;
  }
  if (l.idle && l.out_size == 0) l.out[l.out_size++] = 0;
  l.out_size += encode_block(content, l.out + l.out_size, l.mark == 0 || begins_link(frame) ? 0 : frame_mark(l.mark, off, ack));
}

// Makes the next frames of what waits in ctl_ and in the ring, when the last ones are written.
void Mux::make_frames(Time now) {
  LineLink& l = *line_;
  if (l.writes()) return;
  l.out_size = l.out_sent = 0;
  for (size_t i = 0; i < pace_.frames; ++i) {
    const size_t most = l.frame - line_overhead();
    const uint8_t* const ctl = ctl_ + ctl_sent_;
    size_t unnumbered = 0;
    bool begins = false;
    while (!begins && ctl_sent_ + unnumbered < ctl_size_) {
      const size_t n = kHeader + load16(ctl + unnumbered + 6);
      if (unnumbered > 0 && (is_begin(ctl + unnumbered) || unnumbered + n > most)) break;
      begins = is_begin(ctl + unnumbered);
      unnumbered += n;  // one that is too large for a frame of this size may have a larger one
    }
    uint64_t from = sent_;
    const size_t numbered = begins || unnumbered >= most ? 0 : numbered_for(most - unnumbered, &from);
    if (unnumbered == 0 && numbered == 0 && !l.ack_due) break;
    uint8_t stream[kLinePayload];
    tx_.copy_out(from, stream, numbered);
    LineFrame f;
    f.unnumbered = {ctl, unnumbered};
    f.numbered = {stream, numbered};
    if (!begins) {
      f.off = static_cast<uint16_t>(from);
      f.ack = static_cast<uint16_t>(rx_numbered_);
      l.ack_due = false;
      rx_acked_ = rx_numbered_;
      ack_deadline_ = kNever;
    }
    put_frame(f, from, rx_numbered_, now);
    ctl_sent_ += unnumbered;
    if (numbered == 0) continue;
    // A line on which more than one in four must be sent again may do better with short ones.
    ++l.judged;
    if (from < sent_) ++l.repeated, ++stats_.frames_again;
    if (l.judged == LineLink::kJudged) {
      const size_t half = pace_.frame / 2 > kLeastFrame ? pace_.frame / 2 : kLeastFrame;
      l.frame = l.repeated > LineLink::kJudged / 4 ? half : pace_.frame;
      l.judged = l.repeated = 0;
    }
    if (from == sent_) sent_ += numbered;
    find_frame_end();
    ack_moved(now);
  }
  l.idle = l.out_size == 0;
  l.shorts = l.short_one && l.shorts < LineLink::kMostShort ? l.shorts + 1 : 0;
  l.short_one = false;
}

// All is sent, and if ack does not move now, some of it or of the acks was lost.
void Mux::ack_moved(Time now) {
  const Duration turn = line_turn();
  line_->stuck_at = tx_.head() == sent_ ? kNever : now + (turn > kStuck ? turn : kStuck) + pace_.patience;
}

// ---- time

Time Mux::line_deadline() const {
  if (state_ != State::up) return kNever;
  const Time missed = line_->asks_again ? kNever : line_->gaps.deadline(line_turn());
  return earlier(earlier(line_->tail_at, missed), earlier(line_->stuck_at, line_->echo_again_at));
}

// Puts REPEAT into ctl_ for what is missing here and was not asked for, or long ago.
void Mux::ask_for_gaps(Time now) {
  LineLink& l = *line_;
  uint8_t payload[16];
  const auto ask = [&](uint64_t from, uint64_t to) {
    store64(payload, from);
    store64(payload + 8, to);
    put_ctl(kUnnumbered, Type::repeat, kNone, payload, sizeof payload);
  };
  Range gap;
  int asked = 0;
  while (asked < LineLink::kMostAsked && l.gaps.next_due(now, line_turn(), &gap)) {
    ask(gap.from, gap.to);
    ++asked;
  }
  l.asks_again = asked == LineLink::kMostAsked;
  if (l.asks_for_tail) ask(l.gaps.seen(), 0);
  l.asks_for_tail = false;
}

void Mux::tick_line(Time now) {
  LineLink& l = *line_;
  if (hello_again_at_ <= now) {
    hello_due_ = true;
    if (state_ == State::ask && !start_.trial) settings_due_ = true;
    hello_again_at_ = now + (now - l.up_since < kHelloOften ? kHelloRepeat : kHelloSeldom) + pace_.patience;
  }
  if (state_ != State::up) return;
  if (l.tail_at <= now) {
    l.tail_at = kNever;
    l.asks_for_tail = true;
  }
  if (l.gaps.deadline(line_turn()) <= now) l.asks_again = true;
  if (l.stuck_at <= now || l.echo_again_at <= now) echo_due_ = true;
  if (l.stuck_at <= now) ack_moved(now);
  if (l.echo_again_at <= now) l.echo_again_at = kNever;
}

}  // namespace smx
