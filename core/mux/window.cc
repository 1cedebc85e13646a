// Read next: window.h.
#include "core/mux/window.h"

namespace smx {

namespace {

constexpr Duration kUnknown{INT64_MAX};
// The queue that the window aims at: what keeps the line busy while ACKs come in lumps.
constexpr Duration kTarget = millis(6);
constexpr Duration kTargetBoth = millis(4);  // where bulk goes both ways: a key press and its echo meet two queues
constexpr Duration kTargetMost = millis(20);
constexpr Duration kClear = millis(2);     // a queue of less is none
constexpr Duration kForget = seconds(15);  // what was the least time so long ago may not be that of this way
constexpr Duration kJump = seconds(2);     // a clock does not do that
constexpr Duration kDrainAfter = seconds(10);
constexpr Duration kDoubtAfter = seconds(2);
constexpr uint8_t kVain = 3;
constexpr Duration kShortRound = micros(50);
constexpr Duration kTopFor = seconds(1);
constexpr Duration kLineFor = seconds(30);
// A rate is read from ACKs in a row only if they lie clearly apart; a faster line shows itself by growing.
constexpr size_t kTrain = 32 * 1024;
constexpr Duration kTrainSpan = millis(2);
constexpr Duration kTrainMost = millis(500);

uint32_t per_second(uint64_t bytes, Duration span) {
  const uint64_t us = span.us > 0 ? static_cast<uint64_t>(span.us) : 1;
  const uint64_t rate = bytes * 1000000 / us;
  return rate < UINT32_MAX ? static_cast<uint32_t>(rate) : UINT32_MAX;
}

}  // namespace

void Highest::add(uint32_t value, Duration span, Time now) {
  if (now - since_ > span) {
    before_ = now - since_ > span * 2 ? 0 : now_;
    now_ = 0;
    since_ = now;
  }
  if (value > now_) now_ = value;
}

void BackQueue::heard(uint64_t theirs_us, Time now) {
  const Duration apart{now.us - static_cast<int64_t>(theirs_us & INT64_MAX)};
  const uint32_t last = (count_ + kKept - 1) % kKept;
  // No clock, or one that was set: all begins anew.
  if (count_ > 0 && (apart > apart_[last] + kJump || apart_[last] > apart + kJump)) reset();
  if (count_ == 0 || now - base_since_ > kForget) {
    base_before_ = count_ == 0 ? apart : base_;
    base_ = apart;
    base_since_ = now;
  } else if (apart < base_) {
    base_ = apart;
  }
  apart_[count_ % kKept] = apart;
  at_[count_ % kKept] = now;
  ++count_;
}

Duration BackQueue::least(Time since) const {
  const Duration base = base_ < base_before_ ? base_ : base_before_;
  Duration least = kUnknown;
  for (uint32_t i = 0; i < kKept && i < count_; ++i)
    if (at_[i] >= since && apart_[i] < least) least = apart_[i];
  return least == kUnknown ? Duration{0} : Duration{least.us - base.us};
}

// How much of a round trip was our own queue.
Duration SendWindow::queue_of(Duration rtt, Time now) const {
  const Duration all{rtt.us - base().us};
  const Duration back = both_ways_ ? back_.least(Time{now.us - 2 * rtt.us}) : Duration{0};
  const Duration least{both_ways_ ? all.us / 3 : all.us};
  return back + least < all ? Duration{all.us - back.us} : least;
}

Duration SendWindow::target() const {
  const Duration least = both_ways_ ? kTargetBoth : kTarget;
  return ack_each_ < least ? least : ack_each_ < kTargetMost ? ack_each_ : kTargetMost;
}

uint32_t Train::add(uint64_t position, Time now, Duration pause) {
  const Duration span = now - since_;
  if (now - last_ > pause || span > kTrainMost) {
    part(position, now);
    return 0;
  }
  last_ = now;
  if (position - from_ < kTrain || span < kTrainSpan) return 0;
  rate_ = per_second(position - from_, span);
  return rate_;
}

void Train::part(uint64_t position, Time now) {
  from_ = position;
  since_ = last_ = now;
}

void SendWindow::reset(size_t most, uint64_t at) {
  Stamp* const stamps = stamps_;
  *this = SendWindow{};
  stamps_ = stamps;
  most_ = most;
  window_ = kFirst < most ? kFirst : most;
  tail_ = acked_ = round_end_ = round_from_ = at;
  train_.reset(at);
  least_ = before_ = round_least_ = kUnknown;
}

size_t SendWindow::worth(Duration span, size_t least, size_t most) const {
  return rate_ == 0 ? most : bytes_in(rate_, span, least, most);
}

void SendWindow::put(uint64_t tail, Time now) {
  if (tail == tail_) return;
  const bool idle = tail_ == acked_;
  tail_ = tail;
  if (idle) {
    begin_round(now, false);
    drained_at_ = now;
  }
  if (tail_ - acked_ > round_peak_) round_peak_ = static_cast<size_t>(tail_ - acked_);
  const uint32_t position = static_cast<uint32_t>(tail);
  const uint32_t us = static_cast<uint32_t>(now.us);
  if (stamp_count_ > 0) {
    // What comes soon behind the last one shares its stamp: its time is then taken for longer, never for shorter than it was.
    const int64_t soon = base() == kUnknown || base().us < 6400 ? 100 : base().us / 64;
    Stamp& last = stamps_[(first_stamp_ + stamp_count_ - 1) % kStamps];
    if (us - last.us < soon || stamp_count_ == kStamps) {
      last.position = position;
      return;
    }
  }
  stamps_[(first_stamp_ + stamp_count_++) % kStamps] = {position, us};
}

// When byte `position` - 1 came into the ring: the first stamp that is not before it.
bool SendWindow::sample(uint64_t position, Time now, Duration* rtt) {
  const uint32_t low = static_cast<uint32_t>(position);
  while (stamp_count_ > 0 && static_cast<int32_t>(stamps_[first_stamp_].position - low) < 0) {
    first_stamp_ = (first_stamp_ + 1) % kStamps;
    --stamp_count_;
  }
  if (stamp_count_ == 0) return false;
  *rtt = Duration{static_cast<uint32_t>(now.us) - stamps_[first_stamp_].us};
  return true;
}

void SendWindow::note(Duration rtt, Time now) {
  if (least_ == kUnknown || now - least_since_ > kForget) {
    before_ = least_;
    least_ = rtt;
    least_since_ = now;
  } else if (rtt < least_) {
    least_ = rtt;
  }
}

void SendWindow::begin_round(Time now, bool settle) {
  settling_ = settle;
  round_end_ = tail_;
  round_from_ = acked_;
  round_heard_ = heard_;
  round_since_ = now;
  round_least_ = kUnknown;
  round_window_ = window_;
  round_peak_ = static_cast<size_t>(tail_ - acked_);
  round_acks_ = 0;
  held_ = false;
}

void SendWindow::set(uint64_t bytes) {
  const uint64_t twice = base() == kUnknown ? 0 : 2 * bytes_in(rate_, base());
  const uint64_t plain = bytes_in(line_.get(), kMoment, kPlain, kFast);
  uint64_t limit = twice < plain ? plain : twice;
  if (limit > most_) limit = most_;
  if (bytes < kLeast) bytes = kLeast;
  window_ = static_cast<size_t>(bytes < limit ? bytes : limit);
}

void SendWindow::acked(uint64_t position, uint64_t heard, Time now) {
  heard_ = heard;
  if (position <= acked_) return;
  const size_t n = static_cast<size_t>(position - acked_);
  Duration rtt;
  const bool timed = sample(position, now, &rtt) && (n >= kAckBytes || (n >= kSoonBytes && position != tail_));
  acked_ = position;
  ++round_acks_;
  if (timed) {
    note(rtt, now);
    if (rtt < round_least_) round_least_ = rtt;
  }
  if (!timed) train_.part(position, now);
  const uint32_t told = train_.add(position, now, Duration{base().us / 2});
  if (starting_ && timed && round_peak_ >= round_window_ / 2) grow(n, queue_of(rtt, now), told, now);
  if (position < round_end_) return;
  if (settling_) return begin_round(now, false);
  measure(now);
  if (!starting_) fit(now);
  begin_round(now, !starting_);
}

// The start: twice as much each round trip, or at once what the distance of the ACKs tells.
void SendWindow::grow(size_t n, Duration queue, uint32_t rate, Time now) {
  if (queue > high()) {
    starting_ = false;
    begin_round(now, true);
    return;
  }
  uint64_t wanted = window_ + n;
  if (rate > rate_) rate_ = rate;
  const uint64_t whole = bytes_in(rate, base() + target());
  if (whole > wanted) wanted = whole;
  set(wanted);
}

void SendWindow::measure(Time now) {
  const Duration span = now - round_since_;
  const uint32_t rate = per_second(acked_ - round_from_, span);
  if (held_) ack_each_ = Duration{(now - round_since_).us / round_acks_};
  const uint64_t out = acked_ - round_from_;
  both_ways_ = out >= kAckBytes && heard_ - round_heard_ > out / 4;
  // Shorter than it can be: ACKs that waited for us are read one behind the other, and tell no rate.
  if (span < kShortRound || span < Duration{base().us / 2}) return;
  top_.add(rate, kTopFor, now);
  line_.add(rate, kLineFor, now);
  if (draining_) return;
  if (rate > rate_ && (rate_ != 0 || held_)) {
    rate_ = rate;
  } else if (held_ && !starting_) {
    rate_ -= (rate_ - rate) / 4;
  }
}

// The window that leaves no queue is in proportion to the round trip; what the queue may hold is in proportion to the line, not
// to the window, so that the two directions, whose queues look like one, share it alike. (So FAST TCP.)
uint64_t SendWindow::fitting(Duration queue) const {
  const uint64_t us = static_cast<uint64_t>((base() + queue).us > 0 ? (base() + queue).us : 1);
  const uint64_t twice = uint64_t{top_.get()} * 2;
  const uint32_t line = line_.get() < twice ? line_.get() : static_cast<uint32_t>(twice);
  return uint64_t{window_} * static_cast<uint64_t>(base().us) / us + bytes_in(line, target());
}

void SendWindow::fit(Time now) {
  if (draining_) {
    draining_ = false;
    doubtful_ = doubtful_ && base() + kClear < kept_base_;
    set(kept_);
    drained_at_ = now;
    return;
  }
  if (round_least_ == kUnknown) return;
  const Duration queue = queue_of(round_least_, now);
  if (queue > high()) return give_way(queue);
  shrink_from_ = 0;
  if (!held_) {
    drained_at_ = now;
    return;
  }
  if (now - drained_at_ > (doubtful_ ? kDoubtAfter : kDrainAfter) && window_ > kLeast) {
    draining_ = true;
    kept_ = window_;
    kept_base_ = base();
    set(doubtful_ ? window_ / 2 : bytes_in(rate_, base()) / 8 * 7);
    if (window_ < kept_) return;
    draining_ = false;
  }
  uint64_t wanted = fitting(queue);
  if (both_ways_) {
    wanted = (wanted + window_) / 2;
  } else if (queue < kClear) {
    // The line is not full: 1/8 more, then twice that step each time.
    wanted = window_ + (window_ >> (3 - rises_));
    if (rises_ < 3) ++rises_;
  } else {
    rises_ = 0;
  }
  set(wanted);
}

// Less by as much as the queue is too long, to a quarter at most; but not less than what the line has just been seen to carry
// in that time: where it can, it was one of the two processes that had to wait for its processor. A queue that stays though
// the window is only half of what it was is not ours: others fill the line, or the way has become longer. Then that is the
// least time.
void SendWindow::give_way(Duration queue) {
  rises_ = 0;
  if (shrink_from_ == 0) {
    shrink_from_ = window_;
    shrink_queue_ = queue;
    shrink_vain_ = 0;
  } else if (window_ > shrink_from_ / 2 || queue.us <= shrink_queue_.us / 4 * 3) {
    shrink_vain_ = 0;
  } else if (++shrink_vain_ == kVain) {
    least_ = before_ = base() + queue;
    const size_t was = shrink_from_;
    shrink_from_ = 0;
    doubtful_ = true;
    return set(was);
  }
  uint64_t wanted = fitting(queue);
  if (wanted < window_ / 4) wanted = window_ / 4;
  const uint64_t least = bytes_in(top_.get(), base() > kTarget ? base() : kTarget);
  if (wanted < least) wanted = least < window_ ? least : window_;
  set(wanted);
}

}  // namespace smx
