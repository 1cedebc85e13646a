// A whole terminal: lines that are drawn again only where they have changed, and keys.
//
// Invariants: between open() and close() the terminal has no cursor and echoes nothing; however the program ends, but for
// SIGKILL, it is as before; a refresh is one write(2). Source: termios(3); ECMA-48.
// Read next: top.cc.
#ifndef SOCKMUX_TOOLS_CTL_TERMINAL_H
#define SOCKMUX_TOOLS_CTL_TERMINAL_H

#include <stddef.h>
#include <stdint.h>
#include <termios.h>

#include "core/base/text.h"

namespace smx::ctl {

enum class Key : uint8_t { none, text, up, down, page_up, page_down, home, escape, enter, erase, redraw, ended };

class Terminal {
 public:
  static constexpr int kMostRows = 300, kMostColumns = 400;
  static constexpr size_t kLine = 1400;  // bytes of a line, with colours and characters of three bytes

  // Are standard input and output one?
  static bool here();

  // 0 or errno.
  int open();
  void close();
  int rows() const { return rows_; }
  int columns() const { return columns_; }
  // Line `row`, from 0. It may be longer than the terminal is wide only in bytes that take no place.
  void line(int row, std::string_view text);
  // Lines from `row` on are empty; shows what has changed.
  void show(int row);
  // Waits for a key, a change of size (redraw), or the end of `ms`. text: *c is the character. ended: by a signal, or the
  // terminal is gone.
  Key wait(int ms, char* c);
  // The signal that has ended it, which the caller lets happen after close(); 0: none.
  int signal() const { return signal_; }

 private:
  void begin();
  void take_over();
  void leave();
  void measure();
  void stop_for_a_while();
  Key take_signals();
  Key read_key(char* c);

  termios before_;
  int rows_ = 24, columns_ = 80;
  int signal_ = 0;
  bool open_ = false;
  bool whole_ = true;  // nothing on the screen is known
  char old_[kMostRows][kLine], now_[kMostRows][kLine];
  size_t old_size_[kMostRows] = {}, now_size_[kMostRows] = {};
  char out_[64 * 1024];
};

}  // namespace smx::ctl

#endif
