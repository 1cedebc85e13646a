// Words within the width of a terminal. Read next: doctor.cc; tests/test_doctor.cc.
//
// Invariant: pure. A byte is a column, so the text is printable ASCII (TextBase::add_printable).
#ifndef SOCKMUX_TOOLS_CTL_WRAP_H
#define SOCKMUX_TOOLS_CTL_WRAP_H

#include "core/base/letters.h"
#include "core/base/text.h"

namespace smx::ctl {

// `words`, behind `indent` columns that stand there already: broken at spaces, so that no line is longer than `width`, and `indent`
// spaces before each line after the first. A word that is longer than a line stays whole: it may be a path that is to be copied.
// `width` 0: it all is one line.
inline void add_wrapped(TextBase& to, std::string_view words, size_t indent, size_t width) {
  if (width == 0) {
    to.add(words);
    return;
  }
  size_t column = indent;
  while (!words.empty()) {
    const size_t end = place_of(words, ' ');
    const std::string_view word = first(words, end);
    words = end == kNowhere ? std::string_view() : skip(words, end + 1);
    if (word.empty()) continue;
    if (column > indent && column + 1 + word.size() > width) {
      to.add('\n');
      for (column = 0; column < indent; ++column) to.add(' ');
    } else if (column > indent) {
      to.add(' ');
      ++column;
    }
    to.add(word);
    column += word.size();
  }
}

}  // namespace smx::ctl

#endif
