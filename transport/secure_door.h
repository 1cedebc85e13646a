// Where secure links are accepted: those that have not shown yet who they are, and what a flood of them may cost.
//
//   a link is accepted --> waits for message 1 (5 s) --> waits for its turn --> answered, waits for a record (10 s) --> a link
//
// Bounds (sockmux(7), "What a flood costs"): kHalfOpen links in all and kOfOneAddress of one address (IPv6: of one /64); one
// that is late, or that only waits to be refused, makes room for a new one; a bucket of failed handshakes for each address;
// one step of a handshake, of three X25519 at most, in each turn of the loop, known addresses first.
//
// Owner: Daemon. Invariant: until a record of its peer has opened, no session knows of a link. Read next: shake.h, buckets.h.
#ifndef SOCKMUX_TRANSPORT_SECURE_DOOR_H
#define SOCKMUX_TRANSPORT_SECURE_DOOR_H

#include "transport/secure/buckets.h"
#include "transport/secure_link.h"

namespace smx::secure {

class SecureDoor final : public LinkTaker, private ShakeOwner, private Task {
 public:
  static constexpr uint32_t kOfOneAddress = 16;
  static constexpr Duration kPatience = seconds(1);  // of message 1, where others wait

  SecureDoor(Reactor& reactor, SecureLinks& links, LinkTaker& sessions) : reactor_(reactor), links_(links), sessions_(sessions) {}
  static uint64_t arena_bytes(uint32_t half_open);
  // False: the arena is too small.
  [[nodiscard]] bool init(uint32_t half_open, const OwnKeys& own, const PeerBook& book, const Greeter* greeter, Arena& arena);

  // LinkTaker
  bool attach(Link& link, Time now) override;

 private:
  using Shakes = List<Shake, &Shake::node>;

  void on_message(Shake& shake, Time now) override;
  void on_shaken(Shake& shake, Time now) override;
  void on_shake_failed(Shake& shake, Time now) override;
  void on_task(Time now) override;
  Shake* place_for(const Address& from, Time now);
  void give(Shake& shake);

  Reactor& reactor_;
  SecureLinks& links_;
  LinkTaker& sessions_;
  Shakes free_;
  Shakes open_;              // wait for their peer, or to be refused
  Shakes queued_, known_;    // wait for their turn; those from where peers have come before, in known_
  Buckets buckets_;
};

}  // namespace smx::secure

#endif
