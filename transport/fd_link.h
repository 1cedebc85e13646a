// A link over two descriptors, or over one that does both ways: FIFOs, our own standard input and output, a socket to a
// program, a line.
//
// Owner: its dialer, which has one at a time and hears of its end. Invariant: a descriptor that waits for nothing is not in
// the poll set. Read next: core/session/link.h, fifo.h.
#ifndef SOCKMUX_TRANSPORT_FD_LINK_H
#define SOCKMUX_TRANSPORT_FD_LINK_H

#include "core/io/fd.h"
#include "core/io/reactor.h"
#include "core/session/link.h"

namespace smx {

// The dialer of an FdLink.
class FdLinkUser {
 public:
  // The session has ended the link; its descriptors are closed.
  virtual void on_link_closed() = 0;

 protected:
  ~FdLinkUser() = default;
};

class FdLink final : public Link, private FdHandler {
 public:
  FdLink(Reactor& reactor, FdLinkUser& user);

  // Takes the descriptors; `out` invalid: `in` is for both ways. `name` is for the log and must outlive the link. 0 or
  // errno, and then they are closed.
  int open(Fd in, Fd out, std::string_view name);
  // What is between the two may change or drop bytes (SOXCONF=line:lossy). Before open().
  void set_lossy(bool lossy) { lossy_ = lossy; }
  // Who is at its other end says something soon, or never (a program); else, if it is lossy, somebody may come at any time.
  void set_prompt() { prompt_ = true; }

  IoResult readv(const MutBytes* piece, int pieces) override { return readv_fd(in_.get(), piece, pieces); }
  IoResult writev(const Bytes* piece, int pieces) override { return shut_ ? IoResult{0, true, 0} : writev_fd(out(), piece, pieces); }
  void want(uint8_t events) override;
  void set_owner(LinkOwner& owner) override { owner_ = &owner; }
  void shut_write() override;
  void close(bool gently) override;
  bool clean_start() const override { return false; }
  bool lossy() const override { return lossy_; }
  bool forgets() const override { return lossy_ && !prompt_; }
  uint32_t rate() const override { return 0; }
  size_t frame_hint() const override { return 0; }
  Address peer() const override { return {}; }
  std::string_view peer_name() const override { return name_; }

 private:
  void on_ready(int fd, uint8_t ready, Time now) override { (void)fd, owner_->on_link_ready(ready, now); }
  int out() const { return out_.valid() ? out_.get() : in_.get(); }

  Reactor& reactor_;
  FdLinkUser& user_;
  LinkOwner* owner_ = nullptr;
  Fd in_, out_;
  bool shut_ = false;  // nothing more is written
  bool lossy_ = false, prompt_ = false;
  std::string_view name_;
};

}  // namespace smx

#endif
