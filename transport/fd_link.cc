// Read next: fd_link.h.
#include "transport/fd_link.h"

#include <errno.h>

#include "core/io/socket.h"

namespace smx {

FdLink::FdLink(Reactor& reactor, FdLinkUser& user) : reactor_(reactor), user_(user) {}

int FdLink::open(Fd in, Fd out, std::string_view name) {
  if (reactor_.watch(in.get(), *this) != 0) return EMFILE;
  if (out.valid() && reactor_.watch(out.get(), *this) != 0) {
    reactor_.unwatch(in.get(), false);
    return EMFILE;
  }
  in_ = static_cast<Fd&&>(in);
  out_ = static_cast<Fd&&>(out);
  name_ = name;
  shut_ = false;
  return 0;
}

void FdLink::want(uint8_t events) {
  if (shut_) events &= kRead;
  if (!out_.valid()) return reactor_.want(in_.get(), events);
  reactor_.want(in_.get(), events & kRead);
  reactor_.want(out_.get(), events & kWrite);
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
  // Others may hold the same files open, so that closing alone does not take them out of the kernel's set.
  reactor_.unwatch(in_.get(), false);
  in_.reset();
  if (out_.valid()) reactor_.unwatch(out_.get(), false);
  out_.reset();
  user_.on_link_closed();
}

}  // namespace smx
