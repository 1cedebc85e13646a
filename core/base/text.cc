// Read next: text.h.
#include "core/base/text.h"

#include <string.h>

#include "core/base/check.h"

namespace smx {

TextBase& TextBase::add(std::string_view s) {
  const size_t n = s.size() > capacity_ - size_ ? capacity_ - size_ : s.size();
  if (n < s.size()) cut_ = true;
  if (n > 0) memcpy(buffer_ + size_, s.data(), n);
  size_ += n;
  buffer_[size_] = 0;
  return *this;
}

TextBase& TextBase::add(const char* s) { return add(std::string_view(s)); }

TextBase& TextBase::add(char c) { return add(std::string_view(&c, 1)); }

TextBase& TextBase::add_u(uint64_t v) {
  char digits[20];
  size_t at = sizeof digits;
  do {
    digits[--at] = static_cast<char>('0' + v % 10);
    v /= 10;
  } while (v > 0);
  return add({digits + at, sizeof digits - at});
}

TextBase& TextBase::add_i(int64_t v) {
  if (v >= 0) return add_u(static_cast<uint64_t>(v));
  return add('-').add_u(uint64_t{0} - static_cast<uint64_t>(v));
}

TextBase& TextBase::add_hex(uint64_t v, int digits) {
  for (int i = digits - 1; i >= 0; --i) add("0123456789abcdef"[v >> (4 * i) & 15]);
  return *this;
}

TextBase& TextBase::add_padded(uint64_t v, int width) {
  uint64_t unit = 1;
  for (int i = 1; i < width; ++i) unit *= 10;
  for (; unit > 0; unit /= 10) add(static_cast<char>('0' + v / unit % 10));
  return *this;
}

TextBase& TextBase::add_printable(std::string_view s) {
  for (const char c : s) add(c >= 0x20 && c < 0x7f ? c : '?');
  return *this;
}

TextBase& TextBase::fill(const char* words, const std::string_view* views, size_t count) {
  for (; *words != 0; ++words) {
    if (*words != '%') {
      add(*words);
      continue;
    }
    SMX_CHECK(count > 0);
    add_printable(*views++);
    --count;
  }
  SMX_CHECK(count == 0);
  return *this;
}

}  // namespace smx
