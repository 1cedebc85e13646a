// A daemon's own stack: it runs until it would wait, and goes on from there.
//
// Switching costs no system call: ucontext(3) makes a stack known, _setjmp(3) and _longjmp(3) change over. With the address
// sanitizer, which must be told of each change, it is swapcontext(3). Read next: process.h.
#ifndef SOCKMUX_TESTS_SIMOS_FIBER_H
#define SOCKMUX_TESTS_SIMOS_FIBER_H

#include <setjmp.h>
#include <stddef.h>
#include <ucontext.h>

namespace simos {

class Fiber {
 public:
  ~Fiber();
  // `entry` runs at the first resume(), and must not return but leave() for good.
  void start(void (*entry)());
  // Until it leaves.
  void resume();
  // Back to who resumed, from within.
  void leave();

 private:
  static constexpr size_t kStack = 512 * 1024;
  void* stack_ = nullptr;
  ucontext_t own_{}, other_{};
  jmp_buf here_, there_;
  bool fresh_ = false;
  void (*entry_)() = nullptr;
};

}  // namespace simos

#endif
