// The end of the process after a bug. Read next: check.h.
#include "core/base/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/text.h"

namespace smx {

void check_failed(const char* file, int line, const char* text) {
  // Not printf, which the small program has no other need of.
  Text<300> message("sockmux: bug at ");
  message.add(file).add(':').add_u(static_cast<uint64_t>(line)).add(": CHECK(").add(text).add(") failed\n");
  fputs(message.c_str(), stderr);
  abort();
}

}  // namespace smx
