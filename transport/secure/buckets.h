// How many failed handshakes an address may cause: a bucket of kFull each, one more in each second.
//
// Only what fails is charged, so that a hundred routers behind one address may return at once. Owner: SecureDoor. Pure.
// Invariant: the table never grows; the oldest entry makes room. An IPv6 address counts as its /64.
#ifndef SOCKMUX_TRANSPORT_SECURE_BUCKETS_H
#define SOCKMUX_TRANSPORT_SECURE_BUCKETS_H

#include "core/base/address.h"
#include "core/base/clock.h"

namespace smx::secure {

// Of two addresses: are they one host, or one network of a host (IPv6 /64)?
bool is_same_place(const Address& a, const Address& b);

class Buckets {
 public:
  static constexpr uint32_t kMost = 1024;
  static constexpr int kFull = 20;
  static constexpr Duration kRefill = seconds(1);

  // May a handshake from there begin?
  bool has_some(const Address& from, Time now) const;
  // One has failed.
  void charge(const Address& from, Time now);
  // One has gone well: it comes first from now on.
  void praise(const Address& from, Time now);
  bool is_known(const Address& from) const;

 private:
  struct Bucket {
    Address from;
    Time at;       // that `left` was counted
    int left = 0;
    bool known = false;
  };
  const Bucket* find(const Address& from) const;
  Bucket& place_for(const Address& from, Time now);
  static int left_at(const Bucket& b, Time now);

  Bucket bucket_[kMost];
  uint32_t used_ = 0;
};

}  // namespace smx::secure

#endif
