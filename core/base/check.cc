// The end of the process after a bug. Read next: check.h.
#include "core/base/check.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/base/text.h"

namespace smx {

void check_failed(const char* file, int line, const char* text) {
  // Not stdio, which the program has no other need of.
  Text<300> message("sockmux: bug at ");
  message.add(file).add(':').add_u(static_cast<uint64_t>(line)).add(": CHECK(").add(text).add(") failed\n");
  const ssize_t put = write(STDERR_FILENO, message.c_str(), message.size());
  (void)put;
  abort();
}

}  // namespace smx
