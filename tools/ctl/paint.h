// Colours on a terminal, for who can see them: never into a pipe or a file, and not with NO_COLOR (https://no-color.org).
//
// Read next: status.cc, top.cc.
#ifndef SOCKMUX_TOOLS_CTL_PAINT_H
#define SOCKMUX_TOOLS_CTL_PAINT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/text.h"

namespace smx::ctl {

constexpr size_t kWide = 80;  // columns of a terminal that everybody has

enum class Color : uint8_t { none, strong, good, doubtful, bad, reverse };

class Paint {
 public:
  explicit Paint(int fd) {
    const char* no = getenv("NO_COLOR");
    const char* term = getenv("TERM");
    on_ = isatty(fd) != 0 && (no == nullptr || *no == 0) && term != nullptr && strcmp(term, "dumb") != 0;
  }
  bool on() const { return on_; }
  void begin(TextBase& to, Color c) const {
    static const char* const kCode[] = {"", "\033[1m", "\033[32m", "\033[33m", "\033[31m", "\033[7m"};
    if (on_) to.add(kCode[static_cast<int>(c)]);
  }
  void end(TextBase& to, Color c) const {
    if (on_ && c != Color::none) to.add("\033[m");
  }

 private:
  bool on_ = false;
};

}  // namespace smx::ctl

#endif
