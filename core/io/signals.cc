// Read next: signals.h.
#include "core/io/signals.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

namespace smx {

namespace {

constexpr int kCaught[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGCHLD};
int pipe_fd = -1;

void on_any(int signal) {
  const int saved = errno;
  const char byte = static_cast<char>(signal);
  // A full pipe holds thousands of signals already: one more says nothing new.
  if (::write(pipe_fd, &byte, 1) < 0) errno = saved;
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
  sigaction(SIGPIPE, &action, nullptr);
  reactor.want(ends[0], kRead);
  return 0;
}

void Signals::restore() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigemptyset(&action.sa_mask);
  for (const int s : kCaught) sigaction(s, &action, nullptr);
  sigaction(SIGPIPE, &action, nullptr);
}

void Signals::on_ready(int fd, uint8_t ready, Time now) {
  (void)ready;
  char bytes[64];
  const IoResult r = read_fd(fd, bytes, sizeof bytes);
  for (size_t i = 0; i < r.size; ++i) handler_->on_signal(bytes[i], now);
}

}  // namespace smx
