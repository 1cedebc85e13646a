// One handshake over a link below, until the keys are there: what makes a secure link of a clear one.
//
//   idle --call()--> calls --message 2 opens--> up --take()--> idle
//   idle --answer()--> waits --message 1, mac1 right--> queued --step() ...--> answered --first record opens--> up
//   any of them: late, wrong, refused, cut --> refusing, at most 1 s --> failed --reset()--> idle
//
// The answering side tells nobody of the link before the first record has opened, since message 1 may be a replay.
// Owner: SecureDialer, SecureDoor. Invariants: the link below is ours from call() or answer() to take(), or to the failure,
// which closes it; the owner is told of each end once. Read next: handshake.h (the machines), secure_link.h.
#ifndef SOCKMUX_TRANSPORT_SHAKE_H
#define SOCKMUX_TRANSPORT_SHAKE_H

#include "core/base/list.h"
#include "core/io/reactor.h"
#include "core/mux/mux.h"
#include "core/session/link.h"
#include "transport/secure/handshake.h"
#include "transport/secure/peer_book.h"

namespace smx::secure {

class Shake;

class ShakeOwner {
 public:
  // Answering: message 1 has come, and mac1 is right: step() it when there is time.
  virtual void on_message(Shake& shake, Time now) = 0;
  // take() it, now.
  virtual void on_shaken(Shake& shake, Time now) = 0;
  // The link below is closed; why() says why. reset() it.
  virtual void on_shake_failed(Shake& shake, Time now) = 0;

 protected:
  ~ShakeOwner() = default;
};

// Says HELLO in message 2, for a session that is not found yet, so that a link needs one round trip less.
class Greeter {
 public:
  // HELLO for a link over `below`: its size in `out`, and what was said in `*start`. At most Mux::kFirstPacket bytes.
  virtual size_t greet(Link& below, LinkStart* start, uint8_t* out) const = 0;

 protected:
  ~Greeter() = default;
};

// What goes on behind the handshake.
struct SecureStart {
  Secret send_key;
  RecordReader reader;   // the first record of who called is read
  SecurePeer peer;
  Bytes plain, sealed;   // that came already; valid until reset()
  bool called = false;   // by us
  LinkStart said;        // by the other side, with `said.said`
};

class Shake final : private LinkOwner, private TimerHandler {
 public:
  enum class State : uint8_t { idle, calls, waits, queued, answered, up, refusing, failed };

  Shake(Reactor& reactor, const OwnKeys& own, const PeerBook& book) : reactor_(reactor), own_(own), book_(book), timer_(*this) {}
  ~Shake() = default;
  Shake(const Shake&) = delete;
  Shake& operator=(const Shake&) = delete;

  // It is idle. The owner may be told of a failure from within.
  // An answer is waited for until `until`; on a connection for kAnswerWait at most.
  void call(Link& below, Carrier carrier, const SecurePeer& peer, ShakeOwner& owner, Time now, Time until = kNever);
  // `only`: of all peers, this one; empty: any of the book. `come`: what was read from the link already, behind kMagic if
  // `magic`; what is more than kChunk of it is lost.
  void answer(Link& below, Carrier carrier, std::string_view only, ShakeOwner& owner, Time now, bool magic = false, Bytes come = {});
  // Of answers. It outlives this.
  void set_greeter(const Greeter* greeter) { greeter_ = greeter; }
  // queued: the next X25519, of five. It may fail, or is answered some time.
  void step(Time now);
  // waits, queued: says no, 1 s behind message 1, and then fails with `why`.
  void refuse(Code code, std::string_view why, Time now);
  // Closes the link, if there is one; idle then. The owner is not told.
  void reset();
  // up: gives the link away; `out` is valid until reset(), which is to follow.
  Link& take(SecureStart* out);

  State state() const { return state_; }
  bool is_answering() const { return answers_; }
  std::string_view why() const { return why_.text(); }
  // Failed by no fault of the peer's.
  bool is_blameless() const { return blameless_; }
  // That the other side has its turn: the beginning, or our answer.
  Time since() const { return since_; }
  // Of the link, which may be closed by now.
  const Address& from() const { return from_; }

  ListNode node;         // the owner's
  bool charged = false;  // the owner's

 private:
  void on_link_ready(uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void begin(Link& below, Carrier carrier, ShakeOwner& owner, Time now);
  void begin_message(Time now);
  void read_link(Time now);
  void take_answer(Time now);
  void take_message(Time now);
  void take_magic(Time now);
  void take_record(Time now);
  void at_end(int error, Time now);
  bool is_outdated(Time now);
  void answer_message(Time now);
  void send(size_t size, Time now);
  bool flush(Time now);
  void refused(Time now);
  void fail(Fault fault, std::string_view why, Time now);
  void fail_answering(Fault fault, Time now);
  void say_bye(Time now);
  void wait(Time now);
  Initiator& initiator() { return *reinterpret_cast<Initiator*>(machine_); }
  Responder& responder() { return *reinterpret_cast<Responder*>(machine_); }

  static constexpr size_t kMachine = sizeof(Initiator) > sizeof(Responder) ? sizeof(Initiator) : sizeof(Responder);
  static constexpr size_t kChunk = 512;

  Reactor& reactor_;
  const OwnKeys& own_;
  const PeerBook& book_;
  const Greeter* greeter_ = nullptr;
  LinkStart said_;
  ShakeOwner* owner_ = nullptr;
  Link* below_ = nullptr;
  Timer timer_;
  State state_ = State::idle;
  Carrier carrier_ = Carrier::connection;
  bool answers_ = false;
  Time until_ = kNever;  // calls: for an answer
  bool blameless_ = false;
  uint32_t edition_ = 0;  // of the book when it was asked
  bool made_ = false;  // there is a machine in machine_
  Fault fault_ = Fault::none;
  Time since_;
  Address from_;
  Text<kPeerName> only_;
  Text<200> why_;
  SecurePeer peer_;
  RecordReader reader_;
  Secret send_key_;
  Bytes plain_;          // of the first record
  MutBytes in_;          // in chunk_, not taken yet
  size_t out_size_ = 0, out_at_ = 0;
  alignas(8) uint8_t machine_[kMachine];
  uint8_t chunk_[kChunk];
  uint8_t first_[kFirstRecord];
  uint8_t out_[kMessage2];
};

}  // namespace smx::secure

#endif
