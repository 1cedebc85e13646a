// What leaves memory comes back as it was.
#include <doctest/doctest.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/io/resident.h"

using namespace smx;

#if defined(__linux__)
namespace {
constexpr size_t kPage = 64 * 1024;  // the largest that Linux has
alignas(kPage) const uint8_t constant[2 * kPage] = {1, 2, 3};
}  // namespace

TEST_CASE("forget_code() leaves what is in no file: a program may have been unpacked into memory") {
  // In a child: the test changes what its own constants are.
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const volatile uint8_t* const now = constant;  // read, not computed
    void* volatile where = const_cast<uint8_t*>(constant);  // else clang leaves out what writes to a constant
    void* const at = where;
    if (mmap(at, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at) _exit(3);
    memset(at, 42, kPage);
    if (mprotect(at, kPage, PROT_READ) != 0) _exit(4);
    find_code();
    forget_code();
    _exit(now[0] != 42 ? 1 : now[kPage] != 0 ? 2 : 0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
#endif
