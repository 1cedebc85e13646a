// Read next: fifo.h.
#include "transport/fifo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/io/log.h"

namespace smx {

namespace {

// A reader that comes and says nothing does not wake us: so often it is looked for, at first and then.
// After the start nothing is opened for so long: a daemon that was killed in the middle of a packet has left the rest of it to
// whoever comes next, unless the reader sees an end of file before.
constexpr Duration kRest = millis(500);
constexpr Duration kFirstLook = millis(20);
constexpr Duration kLook = seconds(1);
constexpr int kFlags = O_NONBLOCK | O_CLOEXEC | O_NOCTTY;

// Nobody is at the other end (any more). A reader's end that has never had a writer does not count as left.
bool is_left(int fd, short asked) {
  pollfd p{fd, asked, 0};
  return ::poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

// Is the file at `path` another one than that behind `fd`, or none?
bool is_replaced(int fd, const char* path) {
  struct stat a, b;
  return fstat(fd, &a) < 0 || stat(path, &b) < 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino;
}

bool is_fifo(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

// Until who reads at `path` has read what a daemon before us has left, and with it that nobody writes any more: an end that we
// open before would make one stream of the two. At most half a second, since there may be nobody.
void await_drained(const char* path) {
  const Fd reads(::open(path, O_RDONLY | kFlags));
  if (!reads.valid()) return;
  constexpr timespec kStep{0, 10 * 1000 * 1000};
  constexpr int kSteps = 50, kQuiet = 10;
  for (int i = 0, quiet = 0; i < kSteps && quiet < kQuiet; ++i) {
    int left = 0;
    quiet = ioctl(reads.get(), FIONREAD, &left) == 0 && left == 0 ? quiet + 1 : 0;
    (void)nanosleep(&kStep, nullptr);
  }
}

}  // namespace

int check_fifo(const char* path, bool writes, bool make, TextBase& why) {
  struct stat st {};
  if (stat(path, &st) < 0 && (errno != ENOENT || !make || mkfifo(path, 0600) < 0 || stat(path, &st) < 0)) {
    const int error = errno;
    why.add(strerror(error));
    if (error == ENOENT && !make) why.add(" (make it with mkfifo, or say SOXCONF=mkfifo)");
    return error;
  }
  if (!S_ISFIFO(st.st_mode)) {
    why.add(S_ISREG(st.st_mode) ? "a plain file" : S_ISDIR(st.st_mode) ? "a directory" : S_ISCHR(st.st_mode) ? "a device" : "something else");
    why.add(", and a FIFO was expected");
    if (S_ISCHR(st.st_mode)) why.add(" (a device goes both ways: comm@)");
    return EINVAL;
  }
  if (access(path, writes ? W_OK : R_OK) == 0) return 0;
  const int error = errno;
  why.add(writes ? "cannot write: " : "cannot read: ").add(strerror(error));
  return error;
}

bool same_file(const char* a, const char* b) {
  struct stat one, two;
  return stat(a, &one) == 0 && stat(b, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
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
  await_drained(out_path_.data());
  kept_in_ = Fd(::open(in_path_.data(), O_RDONLY | kFlags));
  if (!kept_in_.valid()) return errno;
  // An end to write to can be opened only while there is a reader: for a moment that is ourselves.
  const Fd both(::open(out_path_.data(), O_RDWR | kFlags));
  if (both.valid()) kept_out_ = Fd(::open(out_path_.data(), O_WRONLY | kFlags));
  return kept_out_.valid() ? 0 : errno;
}

void FifoDialer::dial(DialOwner& owner, Time now) {
  owner_ = &owner;
  pause_ = kFirstLook;
  // As the user that we are by now, both ways? Else the kept ones are all that there is.
  if (kept_in_.valid() && access(in_path_.data(), R_OK) == 0 && access(out_path_.data(), W_OK) == 0) {
    kept_in_.reset();
    kept_out_.reset();
  }
  if (!rested_) {
    rested_ = true;
    return reactor_.timers().start(timer_, now + kRest);
  }
  if (open_in(now)) look(now);
}

bool FifoDialer::open_in(Time now) {
  const bool kept = kept_in_.valid();
  in_ = Fd(kept ? fcntl(kept_in_.get(), F_DUPFD_CLOEXEC, 3) : ::open(in_path_.data(), O_RDONLY | kFlags));
  if (!in_.valid()) {
    fail("cannot read ", in_path_.data(), errno, now);
  } else if (!is_fifo(in_.get())) {
    fail("not a FIFO any more: ", in_path_.data(), EINVAL, now);
  } else if (reactor_.watch(in_.get(), *this) != 0) {
    fail("no descriptor left for ", in_path_.data(), EMFILE, now);
  } else {
    watched_ = true;
    return true;
  }
  return false;
}

// Is somebody at the other end of both?
void FifoDialer::look(Time now) {
  const bool kept = kept_out_.valid();
  if (!kept && is_replaced(in_.get(), in_path_.data())) {
    cancel();
    if (!open_in(now)) return;
  }
  Fd out(kept ? fcntl(kept_out_.get(), F_DUPFD_CLOEXEC, 3) : ::open(out_path_.data(), O_WRONLY | kFlags));
  if (!out.valid() && errno != ENXIO) return fail("cannot write ", out_path_.data(), errno, now);
  if (out.valid() && !is_fifo(out.get())) return fail("not a FIFO any more: ", out_path_.data(), EINVAL, now);
  bool in_left = is_left(in_.get(), POLLIN);
  const bool there = out.valid() && !is_left(out.get(), POLLOUT);
  if (there && in_left && !kept_in_.valid() && pause_ > kFirstLook) {
    // Who reads there may have left our end only behind such a look as this one, and see the same of us: two would wait for
    // ever. An end that is opened anew has been left by nobody.
    leave();
    in_.reset();
    if (!open_in(now)) return;
    in_left = false;
  }
  if (!there || in_left) return wait(now, !in_left);
  leave();
  told_ = false;
  const int error = link_.open(static_cast<Fd&&>(in_), static_cast<Fd&&>(out), name_.text());
  if (error != 0) return fail("no descriptor left for ", in_path_.data(), error, now);
  owner_->on_dialed(link_, now);
}

// The peer opens its end and says HELLO, which wakes us; if its end is still the one that it has left, only the time does.
void FifoDialer::wait(Time now, bool asleep) {
  if (!told_) LogLine(LogLevel::info, "waiting").kv("for", name_.text()).kv("reason", "nobody is at the other end yet");
  told_ = true;
  reactor_.want(in_.get(), asleep ? kRead : 0);
  reactor_.timers().start(timer_, now + pause_);
  pause_ = pause_ * 2 < kLook ? pause_ * 2 : kLook;
}

void FifoDialer::on_ready(int fd, uint8_t ready, Time now) {
  (void)ready;
  reactor_.want(fd, 0);
  look(now);
  if (watched_) reactor_.want(in_.get(), 0);  // what woke us is still there: from here on by time
}

void FifoDialer::on_timer(Timer& timer, Time now) {
  (void)timer;
  if (in_.valid() || open_in(now)) look(now);
}

void FifoDialer::leave() {
  reactor_.timers().stop(timer_);
  if (watched_) reactor_.unwatch(in_.get(), false);
  watched_ = false;
}

void FifoDialer::cancel() {
  leave();
  in_.reset();
}

}  // namespace smx
