// Read next: buckets.h.
#include "transport/secure/buckets.h"

#include <string.h>

#include "core/base/check.h"

namespace smx::secure {

namespace {

size_t place_bytes(const Address& a) { return a.family == 6 ? 8 : 4; }

// FNV-1a. Who chooses his addresses so that hashes meet gains a few comparisons.
uint32_t hash_of(const Address& a) {
  uint32_t h = 2166136261u ^ a.family;
  for (size_t i = 0; i < place_bytes(a); ++i) h = (h ^ a.ip[i]) * 16777619u;
  return h;
}

}  // namespace

bool is_same_place(const Address& a, const Address& b) { return a.family == b.family && memcmp(a.ip, b.ip, place_bytes(a)) == 0; }

uint32_t Places::find(const Address& from) const {
  const uint32_t hash = hash_of(from);
  for (uint32_t i = 0; i < count_; ++i)
    if (hash_[i] == hash && is_same_place(from_[i], from)) return i;
  return kNone;
}

void Places::put(uint32_t i, const Address& from) {
  SMX_CHECK(i <= count_);
  SMX_CHECK(i < kMost);
  if (i == count_) ++count_;
  hash_[i] = hash_of(from);
  from_[i] = from;
}

// What is in it by now; what is left of a second stays.
Buckets::Bucket Buckets::at(const Bucket& b, Time now) {
  const int64_t more = (now - b.at).us / kRefill.us;
  if (more >= kFull - b.left) return {now, kFull};
  return {b.at + Duration{more * kRefill.us}, b.left + static_cast<int>(more)};
}

bool Buckets::has_some(const Address& from, Time now) const {
  const uint32_t i = places_.find(from);
  return i == Places::kNone || at(bucket_[i], now).left > 0;
}

// A new one, or the one that was charged longest ago.
uint32_t Buckets::place_for(const Address& from) {
  uint32_t i = places_.find(from);
  if (i != Places::kNone) return i;
  i = places_.count();
  if (i == Places::kMost) {
    i = 0;
    for (uint32_t k = 1; k < Places::kMost; ++k)
      if (bucket_[k].at < bucket_[i].at) i = k;
  }
  places_.put(i, from);
  bucket_[i] = {Time{}, kFull};
  return i;
}

void Buckets::charge(const Address& from, Time now) {
  Bucket& b = bucket_[place_for(from)];
  b = at(b, now);
  if (b.left > 0) --b.left;
}

void Buckets::praise(const Address& from) {
  if (is_known(from)) return;
  known_.put(next_known_, from);
  next_known_ = (next_known_ + 1) % Places::kMost;
}

}  // namespace smx::secure
