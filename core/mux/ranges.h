// Pieces of a stream, in order, of which none touches another.
//
// Owner: the line of the moment. Pure. Read next: gaps.h, mux_line.cc.
#ifndef SOCKMUX_CORE_MUX_RANGES_H
#define SOCKMUX_CORE_MUX_RANGES_H

#include <stddef.h>
#include <stdint.h>

namespace smx {

// [from, to)
struct Range {
  uint64_t from = 0, to = 0;
};

// On `count` things that are such pieces, and know more.
template <typename R>
void remove_range(R* r, int* count, int i) {
  --*count;
  for (; i < *count; ++i) r[i] = r[i + 1];
}
// r[i] is there twice: the new one, and behind it what stood there.
template <typename R>
void insert_range(R* r, int* count, int i) {
  for (int k = (*count)++; k > i; --k) r[k] = r[k - 1];
}
// r[i] grows by [from, to), which it touches, and takes in those behind it that it reaches then.
template <typename R>
void join_range(R* r, int* count, int i, uint64_t from, uint64_t to) {
  if (from < r[i].from) r[i].from = from;
  if (to > r[i].to) r[i].to = to;
  while (i + 1 < *count && r[i + 1].from <= r[i].to) {
    if (r[i + 1].to > r[i].to) r[i].to = r[i + 1].to;
    remove_range(r, count, i + 1);
  }
}
// The first that does not end before `position`; `count`: there is none.
template <typename R>
int find_range(const R* r, int count, uint64_t position) {
  int i = 0;
  while (i < count && r[i].to < position) ++i;
  return i;
}

// What must be sent again.
class Ranges {
 public:
  static constexpr int kMost = 64;

  void clear() { count_ = 0; }
  // from < to. One that has no place any more is forgotten: it will be asked for once more.
  void add(uint64_t from, uint64_t to) {
    const int at = find_range(range_, count_, from);
    if (at < count_ && range_[at].from <= to) return join_range(range_, &count_, at, from, to);
    if (count_ == kMost) return;
    insert_range(range_, &count_, at);
    range_[at] = {from, to};
  }
  // Takes the first bytes out that are not before `least`, `most` at most; how many, and from where.
  size_t take(uint64_t least, size_t most, uint64_t* from) {
    for (; count_ > 0; remove_range(range_, &count_, 0)) {
      Range& r = range_[0];
      if (r.from < least) r.from = least;
      if (r.from >= r.to) continue;
      const size_t n = r.to - r.from < most ? static_cast<size_t>(r.to - r.from) : most;
      *from = r.from;
      r.from += n;
      return n;
    }
    return 0;
  }

 private:
  Range range_[kMost];
  int count_ = 0;
};

}  // namespace smx

#endif
