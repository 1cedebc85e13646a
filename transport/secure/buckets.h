// How many failed handshakes an address may cause: a bucket of kFull each, one more in each second. And from where peers have
// come: they go first.
//
// Only what fails is charged, so that a hundred routers behind one address may return at once. Owner: SecureDoor. Pure.
// Invariant: no table grows; in each the oldest entry makes room, and those of strangers push no known one out. An IPv6 address
// counts as its /64.
#ifndef SOCKMUX_TRANSPORT_SECURE_BUCKETS_H
#define SOCKMUX_TRANSPORT_SECURE_BUCKETS_H

#include "core/base/address.h"
#include "core/base/clock.h"

namespace smx::secure {

// Of two addresses: are they one host, or one network of a host (IPv6 /64)?
bool is_same_place(const Address& a, const Address& b);

// Some places, side by side, each with a number of its own.
class Places {
 public:
  static constexpr uint32_t kMost = 1024;
  static constexpr uint32_t kNone = kMost;

  uint32_t find(const Address& from) const;
  uint32_t count() const { return count_; }
  // Number `i` is that place from now on; i <= count().
  void put(uint32_t i, const Address& from);

 private:
  uint32_t hash_[kMost] = {};  // what a search runs over
  Address from_[kMost];
  uint32_t count_ = 0;
};

class Buckets {
 public:
  static constexpr int kFull = 20;
  static constexpr Duration kRefill = seconds(1);

  // May a handshake from there begin?
  bool has_some(const Address& from, Time now) const;
  // One has failed.
  void charge(const Address& from, Time now);
  // One has gone well: it comes first from now on.
  void praise(const Address& from);
  bool is_known(const Address& from) const { return known_.find(from) != Places::kNone; }

 private:
  struct Bucket {
    Time at;       // that `left` was counted
    int left = 0;
  };
  uint32_t place_for(const Address& from);
  static Bucket at(const Bucket& b, Time now);

  Places places_;
  Bucket bucket_[Places::kMost];
  Places known_;
  uint32_t next_known_ = 0;
};

}  // namespace smx::secure

#endif
