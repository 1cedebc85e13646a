// Links over two FIFOs (SERVER=sockmux:commin@F and commout@F).
//
//   nothing open --dial()--> reads F, waits until somebody reads the other --> link
//
// The side that comes second finds a reader and opens at once; its HELLO tells the first one to try again. So none has to
// ask the system by time alone. Owner: Daemon. Invariants: no FIFO's other end is held open by us, so that the peer's end
// shows as an end of file (a DeleGate holds both, there the silence shows it). FIFOs that only root may open are opened
// before the privileges go, and kept: what the peer reads for both ways, since it may not be there yet.
// Source: fifo(7), open(2) O_NONBLOCK.
// Read next: fd_link.h.
#ifndef SOCKMUX_TRANSPORT_FIFO_H
#define SOCKMUX_TRANSPORT_FIFO_H

#include "core/base/text.h"
#include "transport/fd_link.h"

namespace smx {

// Is `path` a FIFO, or could it be made one (`make`)? False: `why` says why not.
bool check_fifo(const char* path, bool make, TextBase& why);

class FifoDialer final : public Dialer, private FdLinkUser, private FdHandler, private TimerHandler {
 public:
  // The paths end with NUL and outlive it.
  FifoDialer(Reactor& reactor, std::string_view in_path, std::string_view out_path);
  // Before privileges are dropped: opens what may not be opened later. 0 or errno.
  int keep();
  void dial(DialOwner& owner, Time now) override;
  void cancel() override;
  std::string_view target() const override { return name_.text(); }

 private:
  void on_link_closed() override {}
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void try_out(Time now);
  void join(Fd in, Fd out, Time now);
  void fail(std::string_view what, const char* path, int error, Time now);

  Reactor& reactor_;
  std::string_view in_path_, out_path_;
  Text<300> name_;
  FdLink link_;
  Timer timer_;
  Fd kept_in_, kept_out_;
  Fd in_;  // while nobody reads the other one
  bool watched_ = false;
  bool told_ = false;
  DialOwner* owner_ = nullptr;
};

}  // namespace smx

#endif
