// Read next: stdio.h.
#include "transport/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace smx {

int StdioDialer::take() {
  struct stat st;
  for (const int fd : {0, 1})
    if (fstat(fd, &st) < 0 || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) return EBADF;
  in_ = Fd(fcntl(0, F_DUPFD_CLOEXEC, 3));
  if (!in_.valid()) return errno;
  out_ = Fd(fcntl(1, F_DUPFD_CLOEXEC, 3));
  if (!out_.valid()) return errno;
  kept_in_ = Fd(fcntl(0, F_DUPFD_CLOEXEC, 3));
  kept_out_ = Fd(fcntl(1, F_DUPFD_CLOEXEC, 3));
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!kept_in_.valid() || !kept_out_.valid() || !null.valid() || dup2(null.get(), 0) < 0 || dup2(2, 1) < 0) return errno;
  in_flags_ = fcntl(in_.get(), F_GETFL);
  out_flags_ = fcntl(out_.get(), F_GETFL);
  if (in_flags_ < 0 || out_flags_ < 0) return errno;
  if ((in_flags_ & O_ACCMODE) == O_WRONLY || (out_flags_ & O_ACCMODE) == O_RDONLY) return EBADF;
  int error = prepare_fd(in_.get());
  if (error == 0) error = prepare_fd(out_.get());
  return error;
}

void StdioDialer::dial(DialOwner& owner, Time now) {
  // The second time the link has ended, and we with it.
  if (!in_.valid()) return reactor_.at_end_of_turn(*this);
  const int error = link_.open(static_cast<Fd&&>(in_), static_cast<Fd&&>(out_), "stdio");
  if (error == 0) return owner.on_dialed(link_, now);
  reactor_.at_end_of_turn(*this);
}

void StdioDialer::on_link_closed() { restore(); }

void StdioDialer::restore() {
  if (kept_in_.valid() && in_flags_ >= 0) (void)fcntl(kept_in_.get(), F_SETFL, in_flags_);
  if (kept_out_.valid() && out_flags_ >= 0) (void)fcntl(kept_out_.get(), F_SETFL, out_flags_);
  kept_in_.reset();
  kept_out_.reset();
}

}  // namespace smx
