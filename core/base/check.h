// CHECK: a bug of ours ends the process at once, with the place where it was found. Never used for what a peer,
// a user or the system can cause (those are Err, see result.h).
//
// Invariant: always on, in every build. Read next: result.h.
#ifndef SOCKMUX_CORE_BASE_CHECK_H
#define SOCKMUX_CORE_BASE_CHECK_H

namespace smx {

// Writes "file:line: CHECK(text) failed" to standard error and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* text);

}  // namespace smx

#define SMX_CHECK(condition) \
  do { \
    if (__builtin_expect(!(condition), 0)) ::smx::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)

#endif
