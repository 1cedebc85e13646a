// Where a running daemon is asked what it does: a Unix socket, a command a connection, an answer in lines of text.
//
//   client:  1 COMMAND [ARGUMENT]      1: the version of these rules
//   daemon:  1 ok                      or: 1 error WHY
//            line ...
//            end                       without it the answer was cut
//
//   client:  asking --line whole--> answering --all written--> closed;  either --5 s without progress--> closed
//   of a command that goes on:  answering --nothing to say--> waiting --wake()--> answering;  both --client's end of file-->
//                               answering, as any other, with what there is, but no more
//
// Owner: Daemon. Invariants: only root and the daemon's own user are answered; nothing here blocks, takes memory, or is as
// large as an answer: a command makes its answer piece by piece, as the socket takes it. While kClients are there, more of
// them wait in the socket's queue.
// Read next: unix_socket.h, daemon_control.cc (the commands), tools/ctl/sockmuxctl.cc. Source: sockmuxctl(8), "The socket".
#ifndef SOCKMUX_CORE_CONTROL_CONTROL_H
#define SOCKMUX_CORE_CONTROL_CONTROL_H

#include <stdint.h>

#include <string_view>

#include "core/base/text.h"
#include "core/io/fd.h"
#include "core/io/reactor.h"

namespace smx {

// What a command adds its lines to.
class ControlReply {
 public:
  static constexpr size_t kLine = 512;     // bytes of a line at most
  static constexpr size_t kBuffer = 4096;  // of an answer that wait at once

  // Is there room for another line? If not, return, and be called again.
  bool has_room() const { return kBuffer - text_.size() > kLine + kEnd; }
  // has_room() must hold. A longer one is cut.
  void line(std::string_view text) { text_.add(text.substr(0, kLine)).add('\n'); }
  // All that was added before is written.
  bool empty() const { return text_.size() == 0; }
  // A command that goes on is to come to its end: true as soon as there is nothing left to say.
  bool over() const { return over_; }
  // In place of an answer; in the command's first call only.
  void fail(std::string_view why);

  // A descriptor that goes with the lines so far (SCM_RIGHTS, unix(7)); it stays the caller's. has_room_for_fd() must hold.
  bool has_room_for_fd() const { return fds_ < kFds; }
  void attach(int fd) { fd_[fds_++] = fd; }
  // Who asks.
  uint32_t uid() const { return uid_; }

 private:
  friend class Control;
  static constexpr int kFds = 16;
  static constexpr size_t kEnd = 8;  // "end" behind it, and line ends
  Text<kBuffer> text_;
  bool failed_ = false;
  bool over_ = false;
  int fd_[kFds];
  int fds_ = 0;
  uint32_t uid_ = 0;
};

struct ControlCommand {
  const char* name;
  // Adds lines, beginning at the `*next`th of what it tells of, and counts *next on. True: that was all. False: there was no
  // room for more, or it has looked at enough for one turn; it is called again when there is, and in the next turn.
  bool (*answer)(void* context, std::string_view argument, uint32_t* next, ControlReply& reply);
  // Not nullptr: the command goes on. When it has added nothing it is called again after wake(), and its client may read as
  // slowly as it likes. Is called once, with its `next`, when nobody listens any more, or all is said.
  void (*ended)(void* context, uint32_t next) = nullptr;
  // False: a word behind it is refused, and its `argument` is always empty.
  bool takes_argument = false;
};

class Control final : private FdHandler, private TimerHandler {
 public:
  static constexpr int kClients = 4;
  static constexpr uint32_t kFds = kClients + 2;  // and the listener, and one that is refused
  static constexpr uint32_t kTimers = kClients + 1;
  static constexpr size_t kAsk = 128;  // bytes of a client's line at most

  explicit Control(Reactor& reactor) : reactor_(reactor) {}

  // Takes a socket that listens (listen_unix()). `commands`: `count` of them, which live on. 0 or errno.
  int start(Fd listening, const ControlCommand* commands, size_t count, void* context);
  // A command that goes on has something to say.
  void wake();
  // Nobody new is answered; the socket is the caller's.
  Fd stop();
  int fd() const { return fd_.get(); }
  // Who is answered beside root.
  void set_user(uint32_t uid) { user_ = uid; }

 private:
  class Client final : private FdHandler, private TimerHandler {
   public:
    Client() : timer_(*this) {}
    bool free() const { return !fd_.valid(); }
    void start(Control& control, Fd fd, uint32_t uid, Time now);
    void wake();

   private:
    void on_ready(int fd, uint8_t ready, Time now) override;
    void on_timer(Timer& timer, Time now) override;
    void read_some(Time now);
    void read_end(Time now);
    void ask(std::string_view line);
    void refuse(std::string_view why);
    void write_some(Time now);
    IoResult write_out();
    void close();

    Control* control_ = nullptr;
    Fd fd_;
    Timer timer_;
    char line_[kAsk];
    size_t size_ = 0;
    std::string_view argument_;
    const ControlCommand* command_ = nullptr;  // while it has more to say
    const ControlCommand* lasting_ = nullptr;  // it goes on
    bool waits_ = false;                       // for wake()
    uint32_t next_ = 0;
    bool answering_ = false;
    ControlReply reply_;
    size_t written_ = 0;  // of reply_
  };

  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  bool permitted(int fd, uint32_t* uid);
  void listen_again();

  Reactor& reactor_;
  Fd fd_;
  Timer pause_{*this};
  const ControlCommand* commands_ = nullptr;
  size_t count_ = 0;
  void* context_ = nullptr;
  uint32_t user_ = 0;
  Client client_[kClients];
};

}  // namespace smx

#endif
