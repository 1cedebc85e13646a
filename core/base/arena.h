// Memory that is set aside at start, handed out once and never given back: tables, rings, parsed options.
//
// Owner: whoever made the block that init() is given. Invariant: what was handed out does not overlap. Pure: no heap.
// Read next: pool.h. Why: "All memory is set aside at start" (README, "How it is built").
#ifndef SOCKMUX_CORE_BASE_ARENA_H
#define SOCKMUX_CORE_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <new>
#include <string_view>

namespace smx {

class Arena {
 public:
  Arena() = default;
  Arena(void* memory, size_t size) : next_(static_cast<uint8_t*>(memory)), left_(size) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // `size` bytes at an address that is a multiple of `align` (a power of two), as they were in the block (zero, for
  // fresh pages); nullptr when the block is used up, which the caller reports: it is the user's options, not a bug.
  void* take(size_t size, size_t align = alignof(max_align_t)) {
    const size_t pad = (align - reinterpret_cast<uintptr_t>(next_) % align) % align;
    if (pad > left_ || size > left_ - pad) return nullptr;
    void* result = next_ + pad;
    next_ += pad + size;
    left_ -= pad + size;
    return result;
  }

  // An array of `n` default-made T, or nullptr. T must need no destructor.
  template <typename T>
  T* make(size_t n = 1) {
    if (n > left_ / sizeof(T)) return nullptr;
    void* memory = take(n * sizeof(T), alignof(T));
    if (memory == nullptr) return nullptr;
    T* first = static_cast<T*>(memory);
    for (size_t i = 0; i < n; ++i) new (first + i) T();
    return first;
  }

  // One T, made of `arguments` (references stay references), or nullptr. T must need no destructor that anybody awaits.
  template <typename T, typename... A>
  T* create(A&&... arguments) {
    void* memory = take(sizeof(T), alignof(T));
    return memory == nullptr ? nullptr : new (memory) T(static_cast<A&&>(arguments)...);
  }

  // An array of `n` T that are all zero bytes, not touched (fresh pages are zero), so that it costs nothing until used.
  template <typename T>
  T* raw(size_t n) {
    if (n > left_ / sizeof(T)) return nullptr;
    return static_cast<T*>(take(n * sizeof(T), alignof(T)));
  }

  // A copy of `text` that lives as long as the arena, with a NUL behind it that is not part of the view. An empty view
  // with data() == nullptr when the block is used up.
  std::string_view copy(std::string_view text) {
    char* to = static_cast<char*>(take(text.size() + 1, 1));
    if (to == nullptr) return {};
    if (!text.empty()) memcpy(to, text.data(), text.size());
    to[text.size()] = 0;
    return {to, text.size()};
  }

  size_t left() const { return left_; }

 private:
  uint8_t* next_ = nullptr;
  size_t left_ = 0;
};

}  // namespace smx

#endif
