// Makes secure links over what another dialer makes: SERVER=sockmuxs://..., sockmuxs:comm@..., sockmuxs:proc@...
//
//   idle --dial()--> dialing below --> shaking hands --> on_dialed() with a secure link
//     ^                     ^--- failed ---- shaking hands <--dial()-- kept <--keep(): the link was renewed, or the peer's is
//     +------------------------------- not dialed within kKept -------+
//
// What is no connection (FIFO, serial, a program) stays open from one link to the next that is renewed: it would not be seen when
// one ends and the other begins, and the first bytes of the next one would be read with the last ones before.
//
// Who begins: on a TCP link, and toward a program, we; at our own standard input, the other side; over what has no direction
// (FIFO, serial), the side whose public key is the smaller one.
// Owner: Daemon. Read next: shake.h, secure_link.h.
#ifndef SOCKMUX_TRANSPORT_SECURE_DIALER_H
#define SOCKMUX_TRANSPORT_SECURE_DIALER_H

#include "transport/secure_link.h"

namespace smx::secure {

class SecureDialer final : public Dialer, private DialOwner, private ShakeOwner, private LinkKeeper, private Task, private TimerHandler {
 public:
  enum class Role : uint8_t { calls, answers, by_key };

  // `peer`: its name in the book; empty: the only one there. It outlives this.
  SecureDialer(Reactor& reactor, Dialer& below, SecureLinks& links, const OwnKeys& own, const PeerBook& book, std::string_view peer, Role role,
               Carrier carrier)
      : reactor_(reactor), below_(below), links_(links), own_(own), book_(book), peer_(peer), role_(role), carrier_(carrier), timer_(*this), shake_(reactor, own, book) {}
  // How long an answer is waited for on a link that was dialed; without it, for ever, but on a connection.
  void set_patience(Duration d) { patience_ = d; }
  void dial(DialOwner& owner, Time now) override;
  void cancel() override;
  std::string_view target() const override { return below_.target(); }

 private:
  void on_dialed(Link& link, Time now) override;
  void on_dial_failed(std::string_view why, Time now) override { owner_->on_dial_failed(why, now); }
  void on_message(Shake& shake, Time now) override;
  void on_shaken(Shake& shake, Time now) override;
  void on_shake_failed(Shake& shake, Time now) override;
  void on_task(Time now) override;
  void keep(Link& below, bool magic, Bytes rest, Time now) override;
  void on_link_ready(uint8_t ready, Time now) override { (void)ready, (void)now; }
  void on_timer(Timer& timer, Time now) override;
  void drop_kept();
  void begin(Link& link, Time now);

  static constexpr Duration kKept = seconds(1);

  Reactor& reactor_;
  Dialer& below_;
  SecureLinks& links_;
  const OwnKeys& own_;
  const PeerBook& book_;
  std::string_view peer_;
  Role role_;
  Carrier carrier_;
  DialOwner* owner_ = nullptr;
  Timer timer_;
  Link* kept_ = nullptr;   // its last link has ended
  Duration patience_;
  bool goes_on_ = false;   // the link of shake_ was kept: if it fails, that is no news
  bool magic_ = false;     // what was read of the next link
  size_t rest_size_ = 0;
  uint8_t rest_[kMessage1];
  Shake shake_;
};

}  // namespace smx::secure

#endif
