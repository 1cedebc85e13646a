// Read next: signals.h.
#include "core/io/signals.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

namespace smx {

namespace {

constexpr int kCaught[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGCHLD};
constexpr int kKinds = sizeof kCaught / sizeof kCaught[0];
constexpr int kIgnored[] = {SIGPIPE, SIGXFSZ};  // what a write may cost: nobody reads; the log is as long as a file may be (setrlimit(2))
// Came, and was not told yet. A signal that comes once more before that is the same one, as the kernel has it; were each a byte in
// the pipe, thousands of one kind would fill it, and TERM would find no place.
volatile sig_atomic_t came[kKinds];
int pipe_fd = -1;

void on_any(int signal) {
  const int saved = errno;
  for (int i = 0; i < kKinds; ++i) {
    if (kCaught[i] != signal || came[i] != 0) continue;
    came[i] = 1;
    const char byte = 0;
    // Whatever it is, it passes: there is room for one of each, and nobody else writes there.
    for (int tries = 0; tries < 3 && ::write(pipe_fd, &byte, 1) < 0; ++tries) {
    }
  }
  errno = saved;
}

}  // namespace

int Signals::init(Reactor& reactor, SignalHandler& handler) {
  int ends[2];
  if (::pipe(ends) < 0) return errno;
  read_end_ = Fd(ends[0]);
  write_end_ = Fd(ends[1]);
  int error = prepare_fd(ends[0]);
  if (error == 0) error = prepare_fd(ends[1]);
  if (error == 0) error = reactor.watch(ends[0], *this);
  if (error != 0) return error;
  handler_ = &handler;
  pipe_fd = ends[1];
  struct sigaction action {};
  action.sa_handler = on_any;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int s : kCaught) sigaction(s, &action, nullptr);
  action.sa_handler = SIG_IGN;
  for (const int s : kIgnored) sigaction(s, &action, nullptr);
  // Who has started us may have blocked them (execve(2) leaves that as it is), and then nothing but KILL would end us.
  (void)sigprocmask(SIG_SETMASK, &action.sa_mask, nullptr);
  reactor.want(ends[0], kRead);
  return 0;
}

void Signals::restore() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigemptyset(&action.sa_mask);
  for (const int s : kCaught) sigaction(s, &action, nullptr);
  for (const int s : kIgnored) sigaction(s, &action, nullptr);
}

void Signals::on_ready(int fd, uint8_t ready, Time now) {
  (void)ready;
  // The bytes first: what comes behind them writes one more.
  char bytes[kKinds];
  (void)read_fd(fd, bytes, sizeof bytes);
  for (int i = 0; i < kKinds; ++i) {
    if (came[i] == 0) continue;
    came[i] = 0;
    handler_->on_signal(kCaught[i], now);
  }
}

}  // namespace smx
