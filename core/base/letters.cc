// Comparison of texts. Read next: letters.h.
#include "core/base/letters.h"

namespace smx {

bool equal_fold(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (fold(a[i]) != fold(b[i])) return false;
  return true;
}

// FNV-1a
uint64_t name_key(std::string_view name) {
  uint64_t h = 14695981039346656037u;
  for (size_t i = 0; i < name.size(); ++i) h = (h ^ static_cast<uint8_t>(fold(name[i]))) * 1099511628211u;
  return h == 0 ? 1 : h;
}

bool equal_fold(std::string_view text, const char* literal) { return equal_fold(text, std::string_view(literal)); }

bool operator==(std::string_view text, const char* literal) { return text == std::string_view(literal); }

size_t place_of(std::string_view s, char what) { return s.find(what); }
size_t place_of(std::string_view s, const char* part) { return s.find(part); }
size_t place_of_any(std::string_view s, const char* characters) { return s.find_first_of(characters); }

}  // namespace smx
