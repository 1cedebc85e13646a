// Kinds of ASCII characters, whatever the locale says; comparison, parts and places of texts.
//
// Pure. Read next: config/scan.h (reading options), relay/text/http_head.h.
#ifndef SOCKMUX_CORE_BASE_LETTERS_H
#define SOCKMUX_CORE_BASE_LETTERS_H

#include <stddef.h>
#include <stdint.h>

#include <string_view>

namespace smx {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
constexpr char fold(char c) { return is_upper(c) ? static_cast<char>(c + ('a' - 'A')) : c; }
constexpr bool is_alnum(char c) { return is_digit(c) || (fold(c) >= 'a' && fold(c) <= 'z'); }

// All of A-Z a-z 0-9 . _ - : what names of hosts and peers are made of. True for the empty text.
constexpr bool is_name_text(std::string_view s) {
  for (size_t i = 0; i < s.size(); ++i)
    if (!is_alnum(s[i]) && s[i] != '.' && s[i] != '_' && s[i] != '-') return false;
  return true;
}

// The number whose digits to `base` (at most 10) stand at `text`, behind blanks, and where they end: `text` if there are none. One
// beyond 2^60 is cut. Not strtoul(), which a small static program has no other need of.
inline const char* read_digits(const char* text, unsigned base, uint64_t* out) {
  const char* at = text;
  while (*at == ' ' || *at == '\t') ++at;
  uint64_t v = 0;
  const char* const begin = at;
  for (; *at >= '0' && static_cast<unsigned>(*at - '0') < base; ++at)
    if (v < uint64_t{1} << 60) v = v * base + static_cast<unsigned>(*at - '0');
  *out = v;
  return at == begin ? text : at;
}

bool equal_fold(std::string_view a, std::string_view b);
// A number for a name, whatever the case of its letters, where there is no room for the name itself. Never 0.
uint64_t name_key(std::string_view name);

// The same for literals, and "==" as std has it: one word at each of the many places that have one, where a view is two
// that are made there.
bool equal_fold(std::string_view text, const char* literal);
bool operator==(std::string_view text, const char* literal);
inline bool operator!=(std::string_view text, const char* literal) { return !(text == literal); }

// Free functions take a text in registers; members of std::string_view that are not inline need it in memory.

constexpr size_t kNowhere = std::string_view::npos;

// Where the first such character, or text, or one of these characters is; kNowhere: nowhere.
size_t place_of(std::string_view s, char what);
size_t place_of(std::string_view s, const char* part);
size_t place_of_any(std::string_view s, const char* characters);

// The text without its first `n` characters; empty if it is shorter. (substr() would need the C++ library.)
constexpr std::string_view skip(std::string_view s, size_t n) {
  return n >= s.size() ? std::string_view{} : std::string_view{s.data() + n, s.size() - n};
}
// The first `n` characters, or all if there are fewer.
constexpr std::string_view first(std::string_view s, size_t n) { return {s.data(), n < s.size() ? n : s.size()}; }

}  // namespace smx

#endif
