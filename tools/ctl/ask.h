// Asks a running daemon by its control socket.
//
// Invariant: an answer is shown only if it is whole. Read next: core/control/control.h (what is said), rows.h.
// Source: sockmuxctl(8), "The socket".
#ifndef SOCKMUX_TOOLS_CTL_ASK_H
#define SOCKMUX_TOOLS_CTL_ASK_H

#include <stddef.h>
#include <stdlib.h>

#include <initializer_list>
#include <string_view>

#include "core/base/text.h"
#include "core/io/fd.h"

namespace smx::ctl {

// What a daemon has said. Memory that grows; it may be used again.
class Answer {
 public:
  Answer() = default;
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
  ~Answer() { free(data_); }
  // Asks the daemon at `path` (nullptr: the usual one). 0, or the exit code, and the user was told.
  [[nodiscard]] int ask(std::string_view command, const char* path);
  // The same, but nobody was told: why() says it.
  [[nodiscard]] int try_ask(std::string_view command, const char* path);
  void complain(const char* path) const;
  // Who can ask again waits less long, so that the user does not wait with it.
  void set_patience(int seconds) { patience_s_ = seconds; }
  // A connection to the daemon at `path`, who may be believed: 0, or the exit code, and why() says it.
  [[nodiscard]] int reach(const char* path, Fd* out);
  // The lines between "1 ok" and "end".
  std::string_view lines() const { return lines_; }
  std::string_view why() const { return why_.text(); }

 private:
  bool grow();
  int fail(int code, std::initializer_list<std::string_view> why);
  int cannot_reach(int error);
  int exchange(std::string_view command, const char* path);
  int unwrap();

  char* data_ = nullptr;
  size_t size_ = 0, room_ = 0;
  int patience_s_ = 15;  // others may be asking: control.h
  std::string_view lines_;
  Text<512> why_;
};

}  // namespace smx::ctl

#endif
