// The link over our own standard input and output (SERVER=sockmux:comm@-): what a program that was started to be a link
// (proc@ at the other end) speaks.
//
// Owner: Daemon. Invariant: there is one link in the life of the process; when it is over, so is the daemon. The two may be
// shared with other processes (a shell), so their O_NONBLOCK is given back. Read next: fd_link.h.
#ifndef SOCKMUX_TRANSPORT_STDIO_H
#define SOCKMUX_TRANSPORT_STDIO_H

#include "core/base/text.h"
#include "transport/fd_link.h"

namespace smx {

class StdioOwner {
 public:
  virtual void on_stdio_ended(Time now) = 0;

 protected:
  ~StdioOwner() = default;
};

class StdioDialer final : public Dialer, private FdLinkUser, private Task {
 public:
  StdioDialer(Reactor& reactor, StdioOwner& owner) : reactor_(reactor), owner_(owner), link_(reactor, *this) {}
  // Takes fd 0 and 1 away: 0 is /dev/null, and 1 standard error from then on, so that nothing but the protocol is written
  // there. False: `why` says why not.
  bool take(TextBase& why);
  void set_lossy(bool lossy) { link_.set_lossy(lossy); }
  // Gives O_NONBLOCK back. At the end of the process, if the link has not come to its own.
  void restore();
  void dial(DialOwner& owner, Time now) override;
  void cancel() override {}
  std::string_view target() const override { return "standard input and output"; }

 private:
  void on_link_closed() override;
  void on_task(Time now) override { owner_.on_stdio_ended(now); }

  Reactor& reactor_;
  StdioOwner& owner_;
  FdLink link_;
  Fd in_, out_;               // until dial()
  Fd kept_in_, kept_out_;     // for restore()
  int in_flags_ = -1, out_flags_ = -1;
};

}  // namespace smx

#endif
