// Where secure links are accepted: those that have not shown yet who they are, and what a flood of them may cost.
//
//   a link is accepted --> waits for message 1 (5 s) --> waits for its turn --> answered, waits for a record (10 s) --> a link
//
// Bounds (sockmux(7), "What a flood costs"): MAXIMA=halfopen links in all and kOfOneAddress of one address (IPv6: of one /64).
// Where they are reached, one that is late, or only waits to be refused, makes room for a new one. If there is none, one link
// waits outside and no more are accepted: but those of an address from where no peer has come yet are closed, since a queue
// that one stranger fills would keep everybody out. A bucket of failed handshakes for each address. One step of a handshake in
// each turn of the loop, and while links have work, at most a tenth of the time; known addresses first, but for one step behind
// each kAhead, so that none of them keeps the others out.
//
// Owner: Daemon. Invariant: until a record of its peer has opened, no session knows of a link. Read next: shake.h, buckets.h.
#ifndef SOCKMUX_TRANSPORT_SECURE_DOOR_H
#define SOCKMUX_TRANSPORT_SECURE_DOOR_H

#include "transport/secure/buckets.h"
#include "transport/secure_link.h"

namespace smx::secure {

class SecureDoor final : public LinkTaker, private ShakeOwner, private Task, private TimerHandler {
 public:
  static constexpr uint32_t kOfOneAddress = 16;
  static constexpr Duration kPatience = seconds(1);  // of message 1, and of the first record, where others wait
  static constexpr int kAhead = 5;                   // steps for known addresses, then one for the others that wait
  static constexpr int kShare = 10;                  // of the time, one part for handshakes while links have work

  SecureDoor(Reactor& reactor, SecureLinks& links, LinkTaker& sessions) : reactor_(reactor), links_(links), sessions_(sessions), timer_(*this) {}
  static uint64_t arena_bytes(uint32_t half_open);
  // False: the arena is too small.
  [[nodiscard]] bool init(uint32_t half_open, const OwnKeys& own, const PeerBook& book, const Greeter* greeter, Arena& arena);

  // LinkTaker
  bool attach(Link& link, Time now) override;
  bool has_room(Task& task) override;

 private:
  using Shakes = List<Shake, &Shake::node>;

  void on_message(Shake& shake, Time now) override;
  void on_shaken(Shake& shake, Time now) override;
  void on_shake_failed(Shake& shake, Time now) override;
  void on_task(Time now) override;
  void on_timer(Timer& timer, Time now) override;
  Shake* place_for(const Address& from, Time now, bool* crowded);
  bool let_in(Link& link, Time now);
  void let_in_waiting(Time now);
  void wait(Time now);
  void charge(Shake& shake, Time now);
  void give(Shake& shake);
  void place_is_free();

  Reactor& reactor_;
  SecureLinks& links_;
  LinkTaker& sessions_;
  Timer timer_;              // when the next of those that are open is late
  Link* waiting_ = nullptr;  // outside
  List<Task, &Task::task_node> acceptors_;  // that wait for it to come in
  Shakes free_;
  Shakes open_;              // wait for their peer, or to be refused
  Shakes queued_, known_;    // wait for their turn; those from where peers have come before, in known_
  int ahead_ = 0;            // steps for known addresses while others wait
  Time next_step_;           // not before that, while links have work
  Buckets buckets_;
};

}  // namespace smx::secure

#endif
