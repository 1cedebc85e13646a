// Read next: gaps.h.
#include "core/mux/gaps.h"

#include "core/base/check.h"

namespace smx {

// Only of what was asked once: else nobody knows which question it answers (Karn and Partridge, SIGCOMM 1987).
void Gaps::answered(const Piece& p, Time now) {
  if (p.times != 1 || now < p.asked) return;
  const Duration sample = now - p.asked;
  turn_ = turn_.us == 0 ? sample : Duration{(7 * turn_.us + sample.us) / 8};
}

void Gaps::add(uint64_t off, size_t n, Time now) {
  const uint64_t end = off + n;
  if (end <= mine_) return;
  if (off > seen_) {
    if (count_ == kMost) return;
    piece_[count_] = Piece{};
    piece_[count_].from = off;
    piece_[count_++].to = end;
    seen_ = end;
    return;
  }
  // The first piece that is not wholly before it, and what of them it joins.
  const int at = find_range(piece_, count_, off);
  if (at < count_ && off < piece_[at].from) answered(piece_[at], now);
  if (off <= mine_) {
    mine_ = end;
    while (count_ > 0 && piece_[0].from <= mine_) {
      if (piece_[0].to > mine_) mine_ = piece_[0].to;
      remove_range(piece_, &count_, 0);
    }
    if (seen_ < mine_) seen_ = mine_;
    return;
  }
  SMX_CHECK(at < count_);  // it begins at seen_ or before: there the last piece ends
  if (end < piece_[at].from) {  // within a gap
    if (count_ == kMost || n == 0) return;
    insert_range(piece_, &count_, at);
    piece_[at].from = off;
    piece_[at].to = end;  // asked: with the gap that it divides
    return;
  }
  join_range(piece_, &count_, at, off, end);
  if (seen_ < piece_[count_ - 1].to) seen_ = piece_[count_ - 1].to;
}

Duration Gaps::wait_for(Duration patience) const {
  if (turn_.us == 0) return patience;
  return 2 * turn_.us > patience.us / 4 ? Duration{2 * turn_.us} : Duration{patience.us / 4};
}

bool Gaps::next_due(Time now, Duration patience, Range* out) {
  for (int i = 0; i < count_; ++i) {
    Piece& p = piece_[i];
    if (p.times > 0 && now < p.asked + wait_for(patience)) continue;
    p.asked = now;
    if (p.times < 2) ++p.times;
    *out = {i == 0 ? mine_ : piece_[i - 1].to, p.from};
    return true;
  }
  return false;
}

bool Gaps::has_new() const {
  for (int i = 0; i < count_; ++i)
    if (piece_[i].times == 0) return true;
  return false;
}

Time Gaps::deadline(Duration patience) const {
  Time first = kNever;
  for (int i = 0; i < count_; ++i) {
    if (piece_[i].times > 0) first = earlier(first, piece_[i].asked + wait_for(patience));
  }
  return first;
}

}  // namespace smx
