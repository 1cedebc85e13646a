// A link over one serial line, or another character device that goes both ways: SERVER=sockmux:comm@/dev/ttyS0,9600.
//
// It is its own dialer: the device stays open, raw and locked while links over it come and go, so that nothing the peer
// says in between is lost and DTR does not flicker; it is opened anew when it hung up, was unplugged, or failed.
//
//     closed --dial()--> open --(modem: carrier)--> linked --close()--> open, or closed if the device is gone
//
// Invariants: what waits in the driver is bounded by the line's own time, since all of it is ahead of a key press;
// nothing blocks; end() puts the device back as it was. Unless it is known to be clean, a line is lossy: see core/mux/mux_line.cc.
// Owner: Daemon. Read next: core/io/serial.h, core/io/line_lock.h, core/session/link.h. Source: sockmux.conf(5).
#ifndef SOCKMUX_TRANSPORT_TTY_H
#define SOCKMUX_TRANSPORT_TTY_H

#include "core/io/line_lock.h"
#include "core/io/reactor.h"
#include "core/io/serial.h"
#include "core/session/link.h"

namespace smx {

constexpr size_t kDevicePath = 255;

// The path of what the user calls `name`: com1 is the system's first line (DeleGate's name), what does not begin with '/'
// is in the current directory, now. False: too long.
bool find_device(std::string_view name, Text<kDevicePath>* path);

class TtyLine final : public Dialer, public Link, private FdHandler, private TimerHandler {
 public:
  TtyLine(Reactor& reactor, std::string_view path, const SerialSettings& settings);

  // Before privileges are dropped: opens the device if it is there. wrong: it never can be (`why`); later: not now, dial()
  // tries again (`why`); open: `why` may be a warning.
  enum class Start : uint8_t { open, later, wrong };
  Start start(TextBase& why);
  // The user that the daemon becomes; after the fork.
  void give_to(uint32_t uid, uint32_t gid) { lock_.give_to(uid, gid); }
  void forked();
  // The line may change or drop bytes. Before start().
  void set_lossy(bool lossy) { lossy_ = lossy; }
  // For good: settings put back, lock file removed. No link over it may be in use.
  void end();

  // Dialer
  void dial(DialOwner& owner, Time now) override;
  void cancel() override;
  std::string_view target() const override { return name_.text(); }
  // Link
  IoResult readv(const MutBytes* piece, int pieces) override;
  IoResult writev(const Bytes* piece, int pieces) override;
  void want(uint8_t events) override;
  void set_owner(LinkOwner& owner) override { owner_ = &owner; }
  void shut_write() override;
  void close(bool gently) override;
  bool clean_start() const override { return false; }
  bool forgets() const override { return true; }
  bool lossy() const override { return lossy_; }
  uint32_t rate() const override { return rate_; }
  size_t frame_hint() const override { return 0; }
  Address peer() const override { return {}; }
  std::string_view peer_name() const override { return name_.text(); }

 private:
  //   idle --dial(), no carrier--> carrier --it comes--> linked;  linked --shut_write()--> draining --empty--> ended
  enum class State : uint8_t { idle, carrier, linked, draining, ended };

  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  bool open(TextBase& why);
  void drop_device();
  void announce();
  size_t waiting(Time now) const;
  void look_later(Time now);

  Reactor& reactor_;
  const SerialSettings settings_;
  Text<kDevicePath> path_;
  Text<kDevicePath + 8> name_;
  LineLock lock_;
  SerialPort port_;
  Timer timer_;
  DialOwner* dialer_ = nullptr;
  LinkOwner* owner_ = nullptr;
  uint32_t rate_ = 0;        // bytes a second; 0: unknown, and not paced
  uint32_t model_rate_ = 0;  // the same for busy_until_
  Time busy_until_;          // when the line will have sent all that it was given
  size_t last_waiting_ = 0;
  Duration pause_;
  State state_ = State::idle;
  bool lossy_ = false;
  bool broken_ = false;       // the device failed, or is gone
  bool driver_full_ = false;  // its own buffer is, so it can say when it is not
  bool announced_ = false;
  bool warned_lock_ = false;
  int lock_error_ = 0;
};

}  // namespace smx

#endif
