// Lossy lines: frames out, frames in, and what was lost is asked for and sent again. Source: sockmux(7), "Lossy lines".
// Read next: line_link.h, line.h, mux_tx.cc.
#include <string.h>

#include "core/mux/mux.h"
#include "core/mux/run.h"

namespace smx {

namespace {

constexpr Duration kHelloAgain = seconds(1), kHelloSeldom = seconds(5);
constexpr Duration kHelloOften = seconds(30);  // and after that, seldom
constexpr Duration kStuck = seconds(1);        // the least
constexpr size_t kLeastFrame = 96;

// The full number of which `low` are the last 16 bits, the one that is nearest to `mine`; negative: there is none.
int64_t nearest(uint64_t mine, uint16_t low) {
  return static_cast<int64_t>(mine) + static_cast<int16_t>(static_cast<uint16_t>(low - static_cast<uint16_t>(mine)));
}

bool begins_link(const uint8_t* packet) {
  return packet[1] == static_cast<uint8_t>(Type::hello) || packet[1] == static_cast<uint8_t>(Type::settings);
}

}  // namespace

// 160 ms of line time for a frame: 87.6 % of a line of 9600 baud are left for bulk. What is read of a local socket fills one.
Pace pace_of_lossy(uint32_t rate) {
  Pace p = pace_of(rate);
  const uint64_t most = rate == 0 ? kLineFrame : uint64_t{rate} * 160 / 1000;
  p.frame = most < kLeastFrame ? kLeastFrame : most > kLineFrame ? kLineFrame : static_cast<size_t>(most);
  const uint64_t at_once = rate == 0 ? LineLink::kMostFrames : uint64_t{rate} * 5 / 1000 / kLineFrame;
  p.frames = at_once < 1 ? 1 : at_once > LineLink::kMostFrames ? LineLink::kMostFrames : static_cast<size_t>(at_once);
  p.largest = p.frame - kLineOverhead - kHeader;
  if (rate != 0) p.patience = Duration{static_cast<int64_t>((2 * p.frame * p.frames + kLineFrame) * 1000000 / rate)};
  return p;
}

void Mux::begin_line(Time now) {
  SMX_CHECK(line_ != nullptr);
  LineLink& l = *line_;
  l.out_size = l.out_sent = 0;
  l.decoder.reset();
  l.frame = pace_.frame;
  l.high = sent_;
  l.judged = l.again = 0;
  l.idle = true;
  l.ack_due = l.repeat_due = l.asked = l.came_back = l.short_one = false;
  l.last_off = 0;
  l.shorts = 0;
  l.up_since = now;
  l.stuck_at = l.echo_again_at = kNever;
}

// What the answer to something takes, with what may be on the line before it, both ways.
Duration Mux::line_turn() const {
  const uint64_t frame_us = start_.rate == 0 ? 0 : uint64_t{line_->frame} * 1000000 / start_.rate;
  return Duration{rtt_.us + static_cast<int64_t>(4 * frame_us)};
}

// ---- in

Err Mux::received_line(size_t n, Time now) {
  Bytes in{line_->in, n};
  for (;;) {
    switch (line_->decoder.take(&in)) {
      case LineDecoder::Got::nothing: return Err::none;
      case LineDecoder::Got::bad:
        ++stats_.bad_frames;
        if (ring_open_) {
          ask_again(now);
        } else if (line_->decoder.was_bare_hello() && handshake_deadline_ == kNever) {
          handshake_deadline_ = now + config_.hello_timeout + pace_.patience;  // or what an earlier run has left
        }
        break;
      case LineDecoder::Got::frame: {
        const Err e = take_frame(line_->decoder.frame(), now);
        if (e != Err::none) return e;
        break;
      }
    }
  }
}

Err Mux::take_frame(const LineFrame& f, Time now) {
  if (state_ == State::up || state_ == State::closing) {
    last_rx_ = now;
    echo_deadline_ = line_->echo_again_at = kNever;
  }
  // HELLO and SETTINGS come alone: the numbers belong to no session yet.
  const bool begins = f.unnumbered.size >= kHeader && begins_link(f.unnumbered.data);
  if (ring_open_ && !begins) {
    const int64_t ack = nearest(tx_.head(), f.ack);
    if (ack > static_cast<int64_t>(tx_.head())) {
      const Err e = ack_v1(static_cast<uint64_t>(ack));
      if (e != Err::none) return e;
      ack_moved(now);
    }
  }
  const Err e = take_unnumbered(f.unnumbered, now);
  if (e != Err::none) return e;
  if (begins || !ring_open_) return Err::none;
  const uint64_t mine = rx_numbered_ + rx_.used();
  const int64_t ahead = nearest(mine, f.off) - static_cast<int64_t>(mine);
  const uint64_t off = mine + static_cast<uint64_t>(ahead);
  if (off < line_->last_off) line_->came_back = true;
  line_->last_off = off;
  if (ahead > 0) {
    ask_again(now);
    return Err::none;
  }
  if (static_cast<int64_t>(f.numbered.size) + ahead <= 0) return Err::none;  // all of it is here
  const size_t known = static_cast<size_t>(-ahead);
  rx_.copy_in(rx_.tail(), f.numbered.data + known, f.numbered.size - known);
  rx_.append(f.numbered.size - known);
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

// Something is missing here, or may be. Once in line_turn() for the same byte, since the answer takes that long; but at once
// where what comes shows that there was an answer.
void Mux::ask_again(Time now) {
  LineLink& l = *line_;
  const uint64_t mine = rx_numbered_ + rx_.used();
  if (l.asked && l.asked_for == mine && now < l.ask_again && !l.came_back) return;
  l.came_back = false;
  l.asked = l.repeat_due = true;
  l.asked_for = mine;
  l.ask_again = now + line_turn();
}

// REPEAT: the send position goes back.
Err Mux::send_again(uint64_t from) {
  if (from > line_->high) return Err::bad_ack;
  if (from < tx_.head() || from >= sent_) return Err::none;  // it has come since, or will
  sent_ = from;
  frame_end_ = tx_.head();
  find_frame_end();
  return Err::none;
}

// ---- out

// How many numbered bytes go into `room`: whole packets, if that fills more than half of it.
size_t Mux::numbered_for(size_t room) const {
  if (!ring_open_) return 0;
  const uint64_t limit = tx_.tail() - tx_.head() > LineLink::kWindow ? tx_.head() + LineLink::kWindow : tx_.tail();
  if (sent_ >= limit) return 0;
  if (limit - sent_ <= room) return static_cast<size_t>(limit - sent_);
  size_t whole = 0;
  for (uint64_t end = frame_end_; end <= sent_ + room;) {
    whole = static_cast<size_t>(end - sent_);
    uint8_t raw[kHeader];
    tx_.copy_out(end, raw, kHeader);
    end += kHeader + load16(raw + 6);
  }
  return whole > room / 2 ? whole : room;
}

// Makes the next frames of what waits in ctl_ and in the ring, when the last ones are written.
void Mux::make_frames(Time now) {
  LineLink& l = *line_;
  if (l.writes()) return;
  const bool was_idle = l.idle;
  l.out_size = l.out_sent = 0;
  for (size_t i = 0; i < pace_.frames; ++i) {
    const size_t most = l.frame - kLineOverhead;
    const uint8_t* const ctl = ctl_ + ctl_sent_;
    size_t unnumbered = 0;
    bool begins = false;
    while (!begins && ctl_sent_ + unnumbered < ctl_size_) {
      const size_t n = kHeader + load16(ctl + unnumbered + 6);
      if (unnumbered > 0 && (begins_link(ctl + unnumbered) || unnumbered + n > most)) break;
      begins = begins_link(ctl + unnumbered);
      unnumbered += n;  // one that is too large for a frame of this size may have a larger one
    }
    const size_t numbered = begins || unnumbered >= most ? 0 : numbered_for(most - unnumbered);
    if (unnumbered == 0 && numbered == 0 && !l.ack_due) break;
    uint8_t stream[kLinePayload];
    tx_.copy_out(sent_, stream, numbered);
    LineFrame f;
    f.unnumbered = {ctl, unnumbered};
    f.numbered = {stream, numbered};
    if (!begins) {
      f.off = static_cast<uint16_t>(sent_);
      f.ack = static_cast<uint16_t>(rx_numbered_);
      l.ack_due = false;
      rx_acked_ = rx_numbered_;
      ack_deadline_ = kNever;
    }
    if (was_idle && l.out_size == 0) l.out[l.out_size++] = 0;
    l.out_size += encode_line(f, l.out + l.out_size);
    ctl_sent_ += unnumbered;
    if (numbered == 0) continue;
    // A line on which more than one in four must be sent again may do better with short ones.
    ++l.judged;
    if (sent_ < l.high) ++l.again, ++stats_.frames_again;
    if (l.judged == LineLink::kJudged) {
      const size_t half = pace_.frame / 2 > kLeastFrame ? pace_.frame / 2 : kLeastFrame;
      l.frame = l.again > LineLink::kJudged / 4 ? half : pace_.frame;
      l.judged = l.again = 0;
    }
    sent_ += numbered;
    if (sent_ > l.high) l.high = sent_;
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
  line_->stuck_at = tx_.head() == line_->high ? kNever : now + (turn > kStuck ? turn : kStuck) + pace_.patience;
}

// ---- time

Time Mux::line_deadline() const {
  return state_ == State::up ? earlier(line_->stuck_at, line_->echo_again_at) : kNever;
}

void Mux::tick_line(Time now) {
  LineLink& l = *line_;
  if (hello_again_at_ <= now) {
    hello_due_ = true;
    if (state_ == State::ask) settings_due_ = true;
    hello_again_at_ = now + (now - l.up_since < kHelloOften ? kHelloAgain : kHelloSeldom) + pace_.patience;
  }
  if (state_ != State::up) return;
  if (l.stuck_at <= now || l.echo_again_at <= now) echo_due_ = true;
  if (l.stuck_at <= now) ack_moved(now);
  if (l.echo_again_at <= now) l.echo_again_at = kNever;
}

}  // namespace smx
