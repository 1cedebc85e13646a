// Makes secure links over what another dialer makes: SERVER=sockmuxs://..., sockmuxs:comm@..., sockmuxs:proc@...
//
//   idle --dial()--> dialing below --> shaking hands --> on_dialed() with a secure link
//
// Who begins: on a TCP link, and toward a program, we; at our own standard input, the other side; over what has no direction
// (FIFO, serial), the side whose public key is the smaller one.
// Owner: Daemon. Read next: shake.h, secure_link.h.
#ifndef SOCKMUX_TRANSPORT_SECURE_DIALER_H
#define SOCKMUX_TRANSPORT_SECURE_DIALER_H

#include "transport/secure_link.h"

namespace smx::secure {

class SecureDialer final : public Dialer, private DialOwner, private ShakeOwner, private Task {
 public:
  enum class Role : uint8_t { calls, answers, by_key };

  // `peer`: its name in the book; empty: the only one there. It outlives this.
  SecureDialer(Reactor& reactor, Dialer& below, SecureLinks& links, const OwnKeys& own, const PeerBook& book, std::string_view peer, Role role,
               Carrier carrier)
      : reactor_(reactor), below_(below), links_(links), own_(own), book_(book), peer_(peer), role_(role), carrier_(carrier), shake_(reactor, own, book) {}
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

  Reactor& reactor_;
  Dialer& below_;
  SecureLinks& links_;
  const OwnKeys& own_;
  const PeerBook& book_;
  std::string_view peer_;
  Role role_;
  Carrier carrier_;
  DialOwner* owner_ = nullptr;
  Shake shake_;
};

}  // namespace smx::secure

#endif
