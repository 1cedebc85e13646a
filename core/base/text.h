// A text of bounded length that is put together piece by piece: log lines, error messages, packets' texts.
//
// Invariant: size() <= capacity; what does not fit is cut, and cut() says so; text() needs no NUL, c_str() has one.
// Pure: no heap, no locale. Read next: core/io/log.h.
#ifndef SOCKMUX_CORE_BASE_TEXT_H
#define SOCKMUX_CORE_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <string_view>

namespace smx {

// The part that does not depend on the capacity.
class TextBase {
 public:
  TextBase& add(std::string_view s) {
    const size_t n = s.size() > capacity_ - size_ ? capacity_ - size_ : s.size();
    if (n < s.size()) cut_ = true;
    if (n > 0) memcpy(buffer_ + size_, s.data(), n);
    size_ += n;
    buffer_[size_] = 0;
    return *this;
  }
  TextBase& add(char c) { return add(std::string_view(&c, 1)); }
  TextBase& add_u(uint64_t v) {
    char digits[20];
    size_t at = sizeof digits;
    do {
      digits[--at] = static_cast<char>('0' + v % 10);
      v /= 10;
    } while (v > 0);
    return add({digits + at, sizeof digits - at});
  }
  TextBase& add_i(int64_t v) {
    if (v >= 0) return add_u(static_cast<uint64_t>(v));
    return add('-').add_u(uint64_t{0} - static_cast<uint64_t>(v));
  }
  // `digits` hexadecimal digits, lower case.
  TextBase& add_hex(uint64_t v, int digits) {
    for (int i = digits - 1; i >= 0; --i) add("0123456789abcdef"[v >> (4 * i) & 15]);
    return *this;
  }
  // `width` decimal digits with zeros in front.
  TextBase& add_padded(uint64_t v, int width) {
    uint64_t unit = 1;
    for (int i = 1; i < width; ++i) unit *= 10;
    for (; unit > 0; unit /= 10) add(static_cast<char>('0' + v / unit % 10));
    return *this;
  }
  // Text from a peer or a user: bytes outside of 0x20..0x7E become '?', so that a log line stays one line.
  TextBase& add_printable(std::string_view s) {
    for (const char c : s) add(c >= 0x20 && c < 0x7f ? c : '?');
    return *this;
  }

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

 private:
  char memory_[kCapacity + 1];
};

}  // namespace smx

#endif
