// Signals as events of the reactor: a handler notes which one came, and writes a byte into a pipe.
//
// Invariant: nothing else happens in signal context; SIGPIPE and SIGXFSZ are ignored; the pipe holds at most one byte a kind of signal, so
// none is lost for want of place. One of the two global things in the process.
// Read next: sockmuxd.cc.
#ifndef SOCKMUX_CORE_IO_SIGNALS_H
#define SOCKMUX_CORE_IO_SIGNALS_H

#include "core/io/fd.h"
#include "core/io/reactor.h"

namespace smx {

class SignalHandler {
 public:
  virtual void on_signal(int signal, Time now) = 0;

 protected:
  ~SignalHandler() = default;
};

class Signals final : private FdHandler {
 public:
  // Catches HUP, INT, TERM, USR1 and CHLD from now on; none is blocked. 0 or errno.
  int init(Reactor& reactor, SignalHandler& handler);
  // In a child process: all signals as they were.
  static void restore();

 private:
  void on_ready(int fd, uint8_t ready, Time now) override;

  Fd read_end_;
  Fd write_end_;
  SignalHandler* handler_ = nullptr;
};

}  // namespace smx

#endif
