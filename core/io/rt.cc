// What C++ needs at run time and libstdc++ would bring: the daemon is linked by the C driver and needs libc alone.
//
// Invariant: after start nothing calls operator new; allocations() proves it. Not linked into test programs.
// Read next: sockmuxd.cc.
#include "core/io/rt.h"

#include <stdlib.h>

#include <new>
#include <string_view>

namespace {
uint64_t count;

void* take(size_t size) {
  ++count;
  void* p = malloc(size == 0 ? 1 : size);
  if (p == nullptr) abort();
  return p;
}
}  // namespace

namespace smx {
uint64_t allocations() { return count; }
}  // namespace smx

void* operator new(size_t size) { return take(size); }
void* operator new[](size_t size) { return take(size); }
void operator delete(void* p) noexcept { free(p); }
void operator delete[](void* p) noexcept { free(p); }
void operator delete(void* p, size_t) noexcept { free(p); }
void operator delete[](void* p, size_t) noexcept { free(p); }

// A pure virtual function was called: a bug of ours.
// NOLINTBEGIN(bugprone-reserved-identifier, cert-dcl50-cpp, cert-dcl58-cpp): from here on the names are the library's
extern "C" void __cxa_pure_virtual();
extern "C" void __cxa_pure_virtual() { abort(); }

// string_view::substr() beyond the end: a bug of ours.
#if defined(_LIBCPP_VERSION)
#if _LIBCPP_VERSION >= 15000
// LLVM's library (BSDs, macOS) calls this. Source: its manual, "Overriding the default termination handler".
#if !defined(_LIBCPP_VERBOSE_ABORT_NOEXCEPT)
#define _LIBCPP_VERBOSE_ABORT_NOEXCEPT
#endif
void std::__libcpp_verbose_abort(const char* format, ...) _LIBCPP_VERBOSE_ABORT_NOEXCEPT {
  (void)format;
  abort();
}
#endif
#else
namespace std {
void __throw_out_of_range_fmt(const char*, ...) __attribute__((__noreturn__, __visibility__("default")));
void __throw_out_of_range_fmt(const char*, ...) { abort(); }
}  // namespace std
#endif
// NOLINTEND(bugprone-reserved-identifier, cert-dcl50-cpp, cert-dcl58-cpp)
