// Read next: program.h.
#include "transport/program.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

namespace smx {

ProgramDialer::ProgramDialer(Reactor& reactor, Children& children, std::string_view command)
    : reactor_(reactor), children_(children), link_(reactor, *this) {
  name_.add("program ").add_printable(command);
  setup_.command = command.data();
  setup_.label = name_.text();
  link_.set_prompt();  // one that says nothing is better started anew
}

void ProgramDialer::dial(DialOwner& owner, Time now) {
  int pair[2];
  int error = 0;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) return owner.on_dial_failed(strerror(errno), now);
  Fd ours(pair[0]), theirs(pair[1]);
  error = prepare_fd(pair[0]);
  if (error == 0 && fcntl(pair[1], F_SETFD, FD_CLOEXEC) < 0) error = errno;  // blocking, as programs expect it
  if (error == 0) {
    setup_.fd[0] = setup_.fd[1] = theirs.get();
    child_ = children_.start(setup_, *this, &error);
  }
  if (error == 0) error = link_.open(static_cast<Fd&&>(ours), Fd(), name_.text());
  if (error == 0) return owner.on_dialed(link_, now);
  on_link_closed();
  owner.on_dial_failed(error == EAGAIN ? "the last one has not ended yet" : strerror(error), now);
}

void ProgramDialer::on_link_closed() {
  if (child_ != nullptr) child_->stop(reactor_.now());
  child_ = nullptr;
}

// The end of file at the link tells the session.
void ProgramDialer::on_child_ended(int status, Time now) {
  (void)status;
  (void)now;
  child_ = nullptr;
}

}  // namespace smx
