// Read next: fd_link.h.
#include "transport/fd_link.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "core/io/socket.h"

namespace smx {

namespace {
constexpr Duration kLook = millis(100);
}

int FdLink::open(Fd in, Fd out, std::string_view name, bool quiet) {
  if (reactor_.watch(in.get(), *this) != 0) return EMFILE;
  if (out.valid() && reactor_.watch(out.get(), *this) != 0) {
    reactor_.unwatch(in.get(), false);
    return EMFILE;
  }
  in_ = static_cast<Fd&&>(in);
  out_ = static_cast<Fd&&>(out);
  name_ = name;
  shut_ = false;
  quiet_ = quiet;
  return 0;
}

void FdLink::on_timer(Timer& timer, Time now) {
  (void)timer;
  int waiting = 0;
  if (ioctl(in_.get(), FIONREAD, &waiting) == 0 && waiting == 0) return reactor_.timers().start(timer_, now + kLook);
  quiet_ = false;
  reactor_.want(in_.get(), kRead);
}

void FdLink::want(uint8_t events) {
  if (quiet_) {
    if ((events & kRead) != 0 && !timer_.running()) reactor_.timers().start(timer_, reactor_.now());
    events &= kWrite;
  }
  if (!out_.valid()) return reactor_.want(in_.get(), events);
  reactor_.want(in_.get(), events & kRead);
  if (!shut_) reactor_.want(out_.get(), events & kWrite);
}

// The end of one FIFO is its close; of a socket, its shutdown.
void FdLink::shut_write() {
  if (shut_) return;
  shut_ = true;
  if (!out_.valid()) return shutdown_write(in_.get());
  reactor_.unwatch(out_.get(), false);
  out_.reset();
}

void FdLink::close(bool gently) {
  (void)gently;  // what is in a pipe or a unix socket stays there for its reader
  owner_ = nullptr;
  reactor_.timers().stop(timer_);
  // Others may hold the same files open, so that closing alone does not take them out of the kernel's set.
  reactor_.unwatch(in_.get(), false);
  in_.reset();
  if (out_.valid()) reactor_.unwatch(out_.get(), false);
  out_.reset();
  user_.on_link_closed();
}

}  // namespace smx
