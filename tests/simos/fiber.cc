// Read next: fiber.h.
#undef _FORTIFY_SOURCE  // its longjmp(3) refuses to go to another stack
#include "tests/simos/fiber.h"

#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#endif
#endif
#ifdef SIM_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace simos {

namespace {
Fiber* starting = nullptr;
#ifdef SIM_ASAN
const void* main_stack = nullptr;
size_t main_size = 0;
#endif
}  // namespace

Fiber::~Fiber() {
  if (stack_ != nullptr) munmap(stack_, kStack);
}

void Fiber::start(void (*entry)()) {
  if (stack_ == nullptr) {
    stack_ = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack_ == MAP_FAILED) abort();
  }
  entry_ = entry;
  getcontext(&own_);
  own_.uc_stack.ss_sp = stack_;
  own_.uc_stack.ss_size = kStack;
  own_.uc_link = nullptr;
  makecontext(&own_, reinterpret_cast<void (*)()>(+[] {
#ifdef SIM_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &main_stack, &main_size);
#endif
    Fiber* self = starting;
    self->entry_();
    abort();
  }), 0);
  fresh_ = true;
}

#ifdef SIM_ASAN
void Fiber::resume() {
  starting = this;
  fresh_ = false;
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack_, kStack);
  swapcontext(&other_, &own_);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
}

void Fiber::leave() {
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, main_stack, main_size);
  swapcontext(&own_, &other_);
  __sanitizer_finish_switch_fiber(fake, &main_stack, &main_size);
}
#else
void Fiber::resume() {
  if (_setjmp(here_) != 0) return;
  if (!fresh_) _longjmp(there_, 1);
  fresh_ = false;
  starting = this;
  setcontext(&own_);
}

void Fiber::leave() {
  if (_setjmp(there_) == 0) _longjmp(here_, 1);
}
#endif

}  // namespace simos
