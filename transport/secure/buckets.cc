// Read next: buckets.h.
#include "transport/secure/buckets.h"

#include <string.h>

namespace smx::secure {

bool is_same_place(const Address& a, const Address& b) {
  if (a.family != b.family) return false;
  return memcmp(a.ip, b.ip, a.family == 6 ? 8 : 4) == 0;
}

const Buckets::Bucket* Buckets::find(const Address& from) const {
  for (uint32_t i = 0; i < used_; ++i)
    if (is_same_place(bucket_[i].from, from)) return &bucket_[i];
  return nullptr;
}

int Buckets::left_at(const Bucket& b, Time now) {
  const int64_t more = (now - b.at).us / kRefill.us;
  return more >= kFull - b.left ? kFull : b.left + static_cast<int>(more);
}

Buckets::Bucket& Buckets::place_for(const Address& from, Time now) {
  Bucket* oldest = nullptr;
  for (uint32_t i = 0; i < used_; ++i) {
    Bucket& b = bucket_[i];
    if (is_same_place(b.from, from)) {
      const int left = left_at(b, now);
      if (left != b.left) b.at = now;
      b.left = left;
      return b;
    }
    if (oldest == nullptr || b.at < oldest->at) oldest = &b;
  }
  Bucket& b = used_ < kMost ? bucket_[used_++] : *oldest;
  b = {from, now, kFull, false};
  return b;
}

bool Buckets::has_some(const Address& from, Time now) const {
  const Bucket* b = find(from);
  return b == nullptr || left_at(*b, now) > 0;
}

void Buckets::charge(const Address& from, Time now) {
  Bucket& b = place_for(from, now);
  if (b.left > 0) --b.left;
}

void Buckets::praise(const Address& from, Time now) { place_for(from, now).known = true; }

bool Buckets::is_known(const Address& from) const {
  const Bucket* b = find(from);
  return b != nullptr && b->known;
}

}  // namespace smx::secure
