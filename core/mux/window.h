// How much may be under way on a link whose rate nobody has said, so that a key press is not behind seconds of bulk: measured
// from what the peer acknowledges, and when.
//
// All that is in the tx ring, in the kernel and on the line is ahead of a key press. Bulk is held to a window of bytes that
// are not acknowledged: what the line holds in one round trip, and 6 ms of it more. A byte's time is taken from the moment at
// which it comes into the ring until the ACK behind it; that time less the least one of late is the queue, wherever it is.
//
//   start --ACKs that are far apart: rate known; or a queue of 10 ms--> rounds: settle (1 round trip) --> measure (1) --> fit
//
// Owner: the mux. Invariant: kLeast <= bytes() <= the largest that reset() was told, where that allows it. Pure: times are
// passed in. Read next: mux_tx.cc, gather_data(). Source: sockmux(7), "Order of sending".
#ifndef SOCKMUX_CORE_MUX_WINDOW_H
#define SOCKMUX_CORE_MUX_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/rate.h"

namespace smx {

// A rate from the distance of things in a row: how fast a line carries shows before it is full, and without a pause between
// them. Faster lines than 16 MB/s need a longer row, or do not show: they lie too close.
class Train {
 public:
  void reset(uint64_t at) { *this = Train{}, from_ = at; }
  // All up to `position` is there. What comes after more than `pause` begins another row. The rate, if this row tells one.
  uint32_t add(uint64_t position, Time now, Duration pause);
  // Begins another row.
  void part(uint64_t position, Time now);
  // Of the last row that has told one; 0: none has.
  uint32_t rate() const { return rate_; }

 private:
  uint64_t from_ = 0;
  Time since_, last_;
  uint32_t rate_ = 0;
};

// The highest of the values of a time, which is remembered for once or twice as long.
class Highest {
 public:
  void add(uint32_t value, Duration span, Time now);
  uint32_t get() const { return now_ > before_ ? now_ : before_; }

 private:
  uint32_t now_ = 0, before_ = 0;
  Time since_;
};

// The queue of the other direction, where bulk comes and ACKs wait: from the peer's clock in its ECHO, if that is what it puts
// there. Only how the difference of the clocks changes counts.
class BackQueue {
 public:
  void reset() { *this = BackQueue{}; }
  void heard(uint64_t theirs_us, Time now);
  // The least of what was heard since `since`; none if nothing was.
  Duration least(Time since) const;

 private:
  static constexpr int kKept = 4;
  Duration apart_[kKept];
  Time at_[kKept];
  uint32_t count_ = 0;
  Duration base_, base_before_;
  Time base_since_;
};

// Of one link.
class SendWindow {
 public:
  static constexpr size_t kFirst = 72 * 1024;   // before anything is known: the largest datagram goes at once
  static constexpr size_t kLeast = 16 * 1024;   // the peer may keep an ACK back for 8,191 bytes
  static constexpr size_t kPlain = 224 * 1024;  // need not be earned: what a near link may always use
  static constexpr size_t kFast = 960 * 1024;   // nor this, where it is kMoment of the link: one of a gigabyte a second
  // So short that nobody feels it, and long enough for what the two processes cost one another: each burst wakes the other
  // side, and on a fast link that is dearer than the bytes of a small one (docs/speed.md).
  static constexpr Duration kMoment = millis(1);
  // An ACK of so many comes at once; one of fewer may have waited for a timer of the peer's, if nothing was behind it.
  static constexpr size_t kAckBytes = 8192;
  static constexpr size_t kSoonBytes = 2048;

  static constexpr uint32_t kStamps = 128;
  // Low bits of both: fewer than 2^31 bytes and 35 minutes lie between two that are compared.
  struct Stamp {
    uint32_t position;
    uint32_t us;
  };

  // kStamps of them. Before anything else.
  void set_memory(Stamp* stamps) { stamps_ = stamps; }
  // A new link. bytes() will be `most` at most; `at`: number of the next byte that was not acknowledged.
  void reset(size_t most, uint64_t at);

  // Bytes that bulk may have in the ring, acknowledged not yet.
  size_t bytes() const { return window_; }
  // Bytes a second; 0: not known yet.
  uint32_t rate() const { return rate_; }
  // The highest rate of a round within the last minute: what the line can carry, though a busy processor may not. 0: not known.
  uint32_t line_rate() const { return line_.get(); }
  // `span` of the measured rate, within limits; before it is known, `most`.
  size_t worth(Duration span, size_t least, size_t most) const;

  // The ring holds bytes up to `tail` now.
  void put(uint64_t tail, Time now);
  // Bulk has been held back by the window.
  void hold() { held_ = true; }
  // The peer has acknowledged all up to `position`; `heard`: bytes that have come from it in all.
  void acked(uint64_t position, uint64_t heard, Time now);
  // The round trip of an ECHO.
  void echoed(Duration rtt, Time now) { note(rtt, now); }
  // An ECHO of the peer's.
  void asked(uint64_t payload, Time now) { back_.heard(payload, now); }
  // The peer should have an ECHO of ours now and then: bulk goes both ways, and now (else two sides would ask for ever).
  bool should_ask() const { return both_ways_ && tail_ - acked_ >= kAckBytes; }

 private:
  Duration queue_of(Duration rtt, Time now) const;
  Duration target() const;
  Duration high() const { return {target().us + 4000}; }
  Duration base() const { return least_ < before_ ? least_ : before_; }
  void note(Duration rtt, Time now);
  bool sample(uint64_t position, Time now, Duration* rtt);
  void begin_round(Time now, bool settle);
  void grow(size_t n, Duration queue, uint32_t rate, Time now);
  void measure(Time now);
  void fit(Time now);
  uint64_t fitting(Duration queue) const;
  void give_way(Duration queue);
  void set(uint64_t bytes);

  size_t most_ = kPlain;
  size_t window_ = kFirst;
  uint32_t rate_ = 0;
  uint64_t tail_ = 0;
  uint64_t acked_ = 0;

  // The least time of this quarter of a minute and of the one before: a link may move, and its way become longer.
  Duration least_, before_;
  Time least_since_;
  Time drained_at_;  // when it could show last: the window was small, or not used up

  // The highest rate of a round: of a second or two, and of the last minute.
  Highest top_, line_;

  // The round: it ends with the ACK of what was the last byte in the ring when it began.
  uint64_t round_end_ = 0, round_from_ = 0;
  Time round_since_;
  Duration round_least_;
  size_t round_window_ = 0, round_peak_ = 0;  // the window when it began; the most that was under way in it
  uint64_t round_heard_ = 0, heard_ = 0;
  uint32_t round_acks_ = 0;
  Duration ack_each_;       // how far apart the ACKs of the last one were
  bool both_ways_ = false;  // bulk comes, too: ACKs wait in its queue, and what it does not fill is the most that ours may
  bool settling_ = false;  // what comes was put in under the window before
  bool held_ = false;
  bool starting_ = true;
  bool draining_ = false;  // the window is small for a moment, so that the least time shows
  size_t kept_ = 0;        // and what it was
  Duration kept_base_;
  bool doubtful_ = false;  // the least time may hold a queue of others, which may be gone
  // Fits in a row that found no queue. The start may have ended by chance: then all goes on as fast.
  uint8_t rises_ = 3;

  Train train_;  // of ACKs
  BackQueue back_;

  // The window when it began to shrink, and the queue then; 0: it does not.
  size_t shrink_from_ = 0;
  Duration shrink_queue_;
  uint8_t shrink_vain_ = 0;  // fits in a row that found the queue as long at half of the window

  Stamp* stamps_ = nullptr;
  uint32_t first_stamp_ = 0, stamp_count_ = 0;
};

}  // namespace smx

#endif
