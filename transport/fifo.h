// Links over two FIFOs (SERVER=sockmux:commin@F and commout@F).
//
//   nothing open --dial()--> reads F, waits until somebody reads the other --> link
//
// The side that comes second finds a reader and opens at once; its HELLO tells the first one to try again. So none has to
// ask the system by time alone. A FIFO that was removed and made again is found at the next look, or at the next dial().
//
// Owner: Daemon. Invariants: no FIFO's other end is held open by us, so that the peer's end shows as an end of file (a
// DeleGate holds both; there its silence shows it, or the HELLO of its next start). FIFOs that only root may open are
// opened once, before the privileges go, and kept: the kernel still tells by poll(2) whether somebody is at the other end.
// Source: fifo(7), pipe(7), open(2) O_NONBLOCK. Read next: fd_link.h.
#ifndef SOCKMUX_TRANSPORT_FIFO_H
#define SOCKMUX_TRANSPORT_FIFO_H

#include "core/base/text.h"
#include "transport/fd_link.h"

namespace smx {

// Is `path` a FIFO, or could it be made one (`make`), and may we open it to read, or to write (`writes`)? 0; or errno, and
// `why` says why not.
int check_fifo(const char* path, bool writes, bool make, TextBase& why);
bool same_file(const char* a, const char* b);

class FifoDialer final : public Dialer, private FdLinkUser, private FdHandler, private TimerHandler {
 public:
  // The paths end with NUL and outlive it.
  FifoDialer(Reactor& reactor, std::string_view in_path, std::string_view out_path);
  // Before privileges are dropped: opens what may not be opened later. 0 or errno.
  int keep();
  void set_lossy(bool lossy) { link_.set_lossy(lossy); }
  void dial(DialOwner& owner, Time now) override;
  void cancel() override;
  std::string_view target() const override { return name_.text(); }

 private:
  void on_link_closed() override {}
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  bool open_in(Time now);
  void look(Time now);
  void wait(Time now, bool asleep);
  void leave();
  void fail(std::string_view what, const char* path, int error, Time now);

  Reactor& reactor_;
  std::string_view in_path_, out_path_;
  Text<300> name_;
  FdLink link_;
  Timer timer_;
  Fd kept_in_, kept_out_;
  Fd in_;           // while nobody is at the other end of both
  Duration pause_;  // before the next look
  bool watched_ = false;
  bool told_ = false;
  bool rested_ = false;  // kRest is over
  DialOwner* owner_ = nullptr;
};

}  // namespace smx

#endif
