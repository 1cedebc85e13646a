// The end of the process after a bug. Read next: check.h.
#include "core/base/check.h"

#include <stdio.h>
#include <stdlib.h>

namespace smx {

void check_failed(const char* file, int line, const char* text) {
  fprintf(stderr, "sockmux: bug at %s:%d: CHECK(%s) failed\n", file, line, text);
  abort();
}

}  // namespace smx
