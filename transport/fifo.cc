// Read next: fifo.h.
#include "transport/fifo.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/io/log.h"

namespace smx {

namespace {
// A reader that says nothing does not wake us: so often it is looked for.
constexpr Duration kLook = seconds(1);
}  // namespace

bool check_fifo(const char* path, bool make, TextBase& why) {
  struct stat st;
  if (stat(path, &st) < 0) {
    if (errno == ENOENT && make && mkfifo(path, 0600) == 0) return true;
    why.add(strerror(errno));
    if (errno == ENOENT && !make) why.add(" (make it with mkfifo, or say SOXCONF=mkfifo)");
    return false;
  }
  if (S_ISFIFO(st.st_mode)) return true;
  why.add(S_ISREG(st.st_mode) ? "a plain file" : S_ISDIR(st.st_mode) ? "a directory" : S_ISCHR(st.st_mode) ? "a device" : "something else");
  why.add(", and a FIFO was expected");
  if (S_ISCHR(st.st_mode)) why.add(" (a device goes both ways: comm@)");
  return false;
}

FifoDialer::FifoDialer(Reactor& reactor, std::string_view in_path, std::string_view out_path)
    : reactor_(reactor), in_path_(in_path), out_path_(out_path), link_(reactor, *this), timer_(*this) {
  name_.add("fifo ").add_printable(in_path).add(' ').add_printable(out_path);
}

void FifoDialer::fail(std::string_view what, const char* path, int error, Time now) {
  cancel();
  Text<200> why(what);
  owner_->on_dial_failed(why.add_printable(path).add(": ").add(strerror(error)).text(), now);
}

int FifoDialer::keep() {
  kept_in_ = Fd(::open(in_path_.data(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (kept_in_.valid()) kept_out_ = Fd(::open(out_path_.data(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  return kept_out_.valid() ? 0 : errno;
}

void FifoDialer::join(Fd in, Fd out, Time now) {
  const int error = link_.open(static_cast<Fd&&>(in), static_cast<Fd&&>(out), name_.text(), kept_in_.valid());
  if (error != 0) return fail("no descriptor left for ", in_path_.data(), error, now);
  owner_->on_dialed(link_, now);
}

void FifoDialer::dial(DialOwner& owner, Time now) {
  owner_ = &owner;
  // As the user that we are by now, both ways? Else the kept ones are all that there is.
  if (kept_in_.valid() && access(in_path_.data(), R_OK) == 0 && access(out_path_.data(), W_OK) == 0) {
    kept_in_.reset();
    kept_out_.reset();
  }
  if (kept_in_.valid()) {
    Fd in(fcntl(kept_in_.get(), F_DUPFD_CLOEXEC, 3)), out(fcntl(kept_out_.get(), F_DUPFD_CLOEXEC, 3));
    if (!in.valid() || !out.valid()) return fail("no descriptor left for ", in_path_.data(), EMFILE, now);
    return join(static_cast<Fd&&>(in), static_cast<Fd&&>(out), now);
  }
  in_ = Fd(::open(in_path_.data(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!in_.valid()) return fail("cannot read ", in_path_.data(), errno, now);
  struct stat st;
  if (fstat(in_.get(), &st) < 0 || !S_ISFIFO(st.st_mode)) return fail("not a FIFO any more: ", in_path_.data(), EINVAL, now);
  try_out(now);
}

void FifoDialer::try_out(Time now) {
  Fd out(::open(out_path_.data(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!out.valid() && errno == ENXIO) {  // nobody reads it yet
    if (!watched_ && reactor_.watch(in_.get(), *this) != 0) return fail("no descriptor left for ", in_path_.data(), EMFILE, now);
    watched_ = true;
    if (!told_) LogLine(LogLevel::info, "waiting").kv("for", name_.text()).kv("reason", "nobody reads the FIFO yet");
    told_ = true;
    reactor_.want(in_.get(), kRead);
    return reactor_.timers().start(timer_, now + kLook);
  }
  if (!out.valid()) return fail("cannot write ", out_path_.data(), errno, now);
  reactor_.timers().stop(timer_);
  if (watched_) reactor_.unwatch(in_.get(), false);
  watched_ = told_ = false;
  join(static_cast<Fd&&>(in_), static_cast<Fd&&>(out), now);
}

// The peer has opened its end, and said HELLO: it reads, too. If not, it has gone again.
void FifoDialer::on_ready(int fd, uint8_t ready, Time now) {
  (void)ready;
  reactor_.want(fd, 0);
  try_out(now);
  if (watched_) reactor_.want(fd, 0);  // level-triggered: from here on by time
}

void FifoDialer::on_timer(Timer& timer, Time now) {
  (void)timer;
  try_out(now);
}

void FifoDialer::cancel() {
  reactor_.timers().stop(timer_);
  if (watched_) reactor_.unwatch(in_.get());
  watched_ = false;
  in_.reset();
}

}  // namespace smx
