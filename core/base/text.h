// A text of bounded length that is put together piece by piece: log lines, error messages, packets' texts.
//
// Invariant: size() <= capacity; what does not fit is cut, and cut() says so; text() needs no NUL, c_str() has one.
// Pure: no heap, no locale. Read next: core/io/log.h.
#ifndef SOCKMUX_CORE_BASE_TEXT_H
#define SOCKMUX_CORE_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include <initializer_list>
#include <string_view>

namespace smx {

// What goes into the holes of a message.
using Views = std::initializer_list<std::string_view>;

// The part that does not depend on the capacity.
class TextBase {
 public:
  // Literals go as const char*, which is one word at each of the many places that have one.
  TextBase& add(std::string_view s);
  TextBase& add(const char* s);
  TextBase& add(char c);
  TextBase& add_u(uint64_t v);
  TextBase& add_i(int64_t v);
  // `digits` hexadecimal digits, lower case.
  TextBase& add_hex(uint64_t v, int digits);
  // `width` decimal digits with zeros in front.
  TextBase& add_padded(uint64_t v, int width);
  // Text from a peer or a user: bytes outside of 0x20..0x7E become '?', so that a log line stays one line.
  TextBase& add_printable(std::string_view s);
  // `words`, with the next of the views, made printable, in place of each '%': fill("'%': expected %", {word, what}).
  TextBase& fill(const char* words, Views views) { return fill(words, views.begin(), views.size()); }
  TextBase& fill(const char* words, const std::string_view* views, size_t count);

  void clear() {
    size_ = 0;
    cut_ = false;
    buffer_[0] = 0;
  }
  std::string_view text() const { return {buffer_, size_}; }
  const char* c_str() const { return buffer_; }
  size_t size() const { return size_; }
  bool cut() const { return cut_; }

 protected:
  TextBase(char* buffer, size_t capacity) : buffer_(buffer), capacity_(capacity) { buffer_[0] = 0; }
  ~TextBase() = default;
  TextBase(const TextBase&) = delete;
  TextBase& operator=(const TextBase&) = delete;

 private:
  char* buffer_;
  size_t capacity_;
  size_t size_ = 0;
  bool cut_ = false;
};

template <size_t kCapacity>
class Text : public TextBase {
 public:
  Text() : TextBase(memory_, kCapacity) {}
  explicit Text(std::string_view s) : Text() { add(s); }
  explicit Text(const char* s) : Text() { add(s); }

 private:
  char memory_[kCapacity + 1];
};

}  // namespace smx

#endif
