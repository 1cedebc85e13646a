// The link to a program that we start (SERVER="sockmux:proc@command"): its fd 0 and 1 are one end of a socket pair.
//
//   idle --dial()--> started, link over the pair --the program ends: end of file--> link lost, status logged --> dial()
//                                                --the link ends: the program is stopped
//
// Owner: Daemon. Invariant: at most one program for each dialer is not yet told to end. Read next: core/io/child.h, fd_link.h.
#ifndef SOCKMUX_TRANSPORT_PROGRAM_H
#define SOCKMUX_TRANSPORT_PROGRAM_H

#include "core/io/child.h"
#include "transport/fd_link.h"

namespace smx {

class ProgramDialer final : public Dialer, private FdLinkUser, private ChildOwner {
 public:
  // `command` ends with NUL and outlives it.
  ProgramDialer(Reactor& reactor, Children& children, std::string_view command);
  void set_lossy(bool lossy) { link_.set_lossy(lossy); }
  void dial(DialOwner& owner, Time now) override;
  void cancel() override {}
  std::string_view target() const override { return name_.text(); }

 private:
  void on_link_closed() override;
  void on_child_ended(int status, Time now) override;

  Reactor& reactor_;
  Children& children_;
  ChildSetup setup_;
  Child* child_ = nullptr;
  FdLink link_;
  Text<120> name_;
};

}  // namespace smx

#endif
