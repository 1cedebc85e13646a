// Read next: stdio.h.
#include "transport/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

namespace smx {

namespace {

// A terminal would need settings of its own (comm@ and its path), and there is no waiting for a plain file.
bool is_fit(int fd, int wanted_mode, const char* name, TextBase& why) {
  struct stat st;
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fstat(fd, &st) < 0) return why.add(name).add(": ").add(strerror(errno)), false;
  const bool wrong_way = (flags & O_ACCMODE) != O_RDWR && (flags & O_ACCMODE) != wanted_mode;
  if (!wrong_way && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))) return true;
  why.add(name).add(" is ");
  if (isatty(fd) == 1) why.add("a terminal");
  else if (wrong_way) why.add(wanted_mode == O_RDONLY ? "not open to read" : "not open to write");
  else why.add(S_ISREG(st.st_mode) ? "a plain file" : S_ISDIR(st.st_mode) ? "a directory" : "a device");
  why.add(", and a pipe or a socket was expected");
  return false;
}

}  // namespace

bool StdioDialer::take(TextBase& why) {
  if (!is_fit(0, O_RDONLY, "standard input", why) || !is_fit(1, O_WRONLY, "standard output", why)) return false;
  in_ = Fd(fcntl(0, F_DUPFD_CLOEXEC, 3));
  out_ = Fd(fcntl(1, F_DUPFD_CLOEXEC, 3));
  kept_in_ = Fd(fcntl(0, F_DUPFD_CLOEXEC, 3));
  kept_out_ = Fd(fcntl(1, F_DUPFD_CLOEXEC, 3));
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!in_.valid() || !out_.valid() || !kept_in_.valid() || !kept_out_.valid() || !null.valid() || dup2(null.get(), 0) < 0 || dup2(2, 1) < 0) {
    why.add(strerror(errno));
    return false;
  }
  return true;
}

void StdioDialer::dial(DialOwner& owner, Time now) {
  // The second time the link has ended, and we with it.
  if (!in_.valid()) return reactor_.at_end_of_turn(*this);
  in_flags_ = fcntl(in_.get(), F_GETFL);
  out_flags_ = fcntl(out_.get(), F_GETFL);
  int error = prepare_fd(in_.get());
  if (error == 0) error = prepare_fd(out_.get());
  if (error == 0) error = link_.open(static_cast<Fd&&>(in_), static_cast<Fd&&>(out_), "stdio");
  if (error == 0) return owner.on_dialed(link_, now);
  restore();
  reactor_.at_end_of_turn(*this);
}

void StdioDialer::on_link_closed() { restore(); }

void StdioDialer::restore() {
  // Where both are one open file, either gives back what it was at first.
  if (kept_in_.valid() && in_flags_ >= 0) (void)fcntl(kept_in_.get(), F_SETFL, in_flags_);
  if (kept_out_.valid() && out_flags_ >= 0) (void)fcntl(kept_out_.get(), F_SETFL, out_flags_);
  kept_in_.reset();
  kept_out_.reset();
}

}  // namespace smx
