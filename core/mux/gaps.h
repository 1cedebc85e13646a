// What has arrived of a stream whose pieces can be lost: all up to mine(), and some pieces behind it.
//
// Owner: Mux, on a lossy line. Invariant: mine() < piece[0].from <= piece[0].to < piece[1].from ...; the last one ends at
// seen(). Pure: the bytes are somebody else's. Read next: mux_line.cc. Source: sockmux(7), "Lossy lines".
#ifndef SOCKMUX_CORE_MUX_GAPS_H
#define SOCKMUX_CORE_MUX_GAPS_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/clock.h"
#include "core/mux/ranges.h"

namespace smx {

class Gaps {
 public:
  static constexpr int kMost = 64;

  void reset(uint64_t mine) {
    mine_ = seen_ = mine;
    count_ = 0;
    turn_ = Duration{0};
  }
  uint64_t mine() const { return mine_; }
  uint64_t seen() const { return seen_; }
  bool none() const { return count_ == 0; }
  // There is a gap that next_due() has not named yet.
  bool has_new() const;

  // [off, off + n) has arrived. n may be 0: nothing, but all before `off` was sent. mine() and seen() move. What makes more
  // than kMost pieces is forgotten: it is missed again when there is room.
  void add(uint64_t off, size_t n, Time now);
  // A gap whose turn it is, which counts as asked for from now on; false: none. `patience`: how long the answer takes, as
  // long as no answer has shown it.
  bool next_due(Time now, Duration patience, Range* out);
  // When next_due() has one again of those that were asked for.
  Time deadline(Duration patience) const;

 private:
  struct Piece : Range {
    Time asked = Time{};   // when the gap in front of it was asked for last; zero: not yet
    uint8_t times = 0;
  };
  Duration wait_for(Duration patience) const;
  void answered(const Piece& p, Time now);

  uint64_t mine_ = 0, seen_ = 0;
  Piece piece_[kMost];
  int count_ = 0;
  Duration turn_;  // from the question to its answer, smoothed; 0: not known
};

}  // namespace smx

#endif
