// Small tools for reading text. Read next: scan.h.
#include "config/scan.h"

#include <string.h>

namespace smx {

namespace {

constexpr size_t kHostNameText = 253;  // RFC 1035 2.3.4, without the last dot

}  // namespace

std::string_view trim(std::string_view s) {
  while (!s.empty() && is_blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && is_blank(s.back())) s.remove_suffix(1);
  return s;
}

bool starts_with(std::string_view s, std::string_view head) { return first(s, head.size()) == head; }
bool starts_with(std::string_view s, const char* head) { return starts_with(s, std::string_view(head)); }
bool ends_with(std::string_view s, std::string_view tail) {
  return s.size() >= tail.size() && skip(s, s.size() - tail.size()) == tail;
}
bool contains(std::string_view s, std::string_view part) { return s.find(part) != kNowhere; }

bool has_blank(std::string_view s) {
  for (const char c : s) {
    if (is_blank(c)) return true;
  }
  return false;
}

namespace {

bool say_all(TextBase& why, const char* words, Views views) {
  why.clear();
  why.fill(words, views);
  return false;
}

}  // namespace

bool say(TextBase& why, const char* words) { return say_all(why, words, {}); }
bool say(TextBase& why, const char* words, std::string_view a) { return say_all(why, words, {a}); }
bool say(TextBase& why, const char* words, std::string_view a, std::string_view b) {
  return say_all(why, words, {a, b});
}
bool say(TextBase& why, const char* words, std::string_view a, std::string_view b, std::string_view c) {
  return say_all(why, words, {a, b, c});
}

size_t find_outside(std::string_view s, char what) {
  size_t depth = 0;
  for (size_t i = 0; i < s.size(); ++i) {
    if (depth == 0 && s[i] == what) return i;
    if (s[i] == '{' || s[i] == '[') ++depth;
    if ((s[i] == '}' || s[i] == ']') && depth > 0) --depth;
  }
  return kNowhere;
}

bool is_balanced(std::string_view s) {
  size_t braces = 0;
  bool bracket = false;  // nothing nests inside of [...]
  for (const char c : s) {
    if (bracket && (c == '{' || c == '}' || c == '[')) return false;
    if (c == '{') ++braces;
    if (c == '}' && braces-- == 0) return false;
    if (c == ']' && !bracket) return false;
    if (c == '[' || c == ']') bracket = c == '[';
  }
  return braces == 0 && !bracket;
}

std::string_view without_braces(std::string_view s) {
  s = trim(s);
  while (s.size() >= 2 && s.front() == '{' && s.back() == '}') {
    const std::string_view inner{s.data() + 1, s.size() - 2};
    if (!is_balanced(inner)) break;
    s = trim(inner);
  }
  return s;
}

bool Items::next(std::string_view* item) {
  if (!more_) return false;
  const size_t comma = find_outside(rest_, ',');
  *item = trim(first(rest_, comma));
  rest_ = comma == kNowhere ? std::string_view{} : skip(rest_, comma + 1);
  more_ = !trim(rest_).empty();
  return true;
}

int place_in(const char* list, std::string_view name) {
  Items items(list);
  std::string_view known;
  for (int place = 0; items.next(&known); ++place) {
    if (known == name) return place;
  }
  return -1;
}

bool parse_number(std::string_view s, uint64_t max, uint64_t* out) {
  if (s.empty()) return false;
  uint64_t value = 0;
  for (const char c : s) {
    if (!is_digit(c)) return false;
    const uint64_t digit = static_cast<uint64_t>(c - '0');
    if (value > (UINT64_MAX - digit) / 10) return false;
    value = value * 10 + digit;
  }
  if (value > max) return false;
  *out = value;
  return true;
}

bool is_host_name(std::string_view s) {
  if (s.empty() || s.size() > kHostNameText || s[0] == '-' || s[0] == '.' || !is_name_text(s)) return false;
  bool numeric = true;
  for (const char c : s) numeric = numeric && (is_digit(c) || c == '.');
  return !numeric && !contains(s, "..");
}

bool parse_host(std::string_view s, Arena& arena, std::string_view* out) {
  Address a;
  if (parse_ip(s, &a)) {
    if (a.family == 4) {
      *out = s;
      return true;
    }
    if (s[0] != '[' && contains(s, ":")) return false;
    Text<kAddressText> text;
    append_ip(text, a);
    *out = arena.copy(text.text());
    return out->data() != nullptr;
  }
  if (!is_host_name(s)) return false;
  *out = s;
  return true;
}

// Optimal string alignment: three rows of the usual table.
unsigned unlikeness(std::string_view a, std::string_view b) {
  if (a.size() > kLikeText || b.size() > kLikeText) return kLikeMost + 1;
  unsigned rows[3][kLikeText + 1] = {};
  for (unsigned j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    unsigned* row = rows[i % 3];
    const unsigned* above = rows[(i + 2) % 3];
    const unsigned* above2 = rows[(i + 1) % 3];
    row[0] = static_cast<unsigned>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = fold(a[i - 1]) == fold(b[j - 1]);
      unsigned least = above[j - 1] + (same ? 0 : 1);
      if (above[j] + 1 < least) least = above[j] + 1;
      if (row[j - 1] + 1 < least) least = row[j - 1] + 1;
      const bool swapped = i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]);
      if (swapped && above2[j - 2] + 1 < least) least = above2[j - 2] + 1;
      row[j] = least;
    }
  }
  const unsigned result = rows[a.size() % 3][b.size()];
  return result > kLikeMost ? kLikeMost + 1 : result;
}

void Nearest::look_at(std::string_view known) {
  const unsigned unlike = unlikeness(wanted_, known);
  if (unlike >= unlike_ || unlike >= known.size() || unlike >= wanted_.size()) return;
  unlike_ = unlike;
  best_ = known;
}

void Nearest::give_all(const char* list) {
  if constexpr (!kHasHints) return;
  Items items(list);
  std::string_view known;
  while (items.next(&known)) give(known);
}

bool GrowBase::put(Arena& arena, const void* value, size_t size) {
  if (count_ == most_) return false;
  if (count_ == room_) {
    const uint32_t room = room_ == 0 ? 4 : room_ * 2;
    void* wider = arena.take(room * size);
    if (wider == nullptr) return false;
    if (count_ > 0) memcpy(wider, first_, count_ * size);
    first_ = wider;
    room_ = room;
  }
  memcpy(static_cast<char*>(first_) + count_++ * size, value, size);
  return true;
}

void GrowBase::cut_out(size_t at, size_t size) {
  --count_;
  char* place = static_cast<char*>(first_) + at * size;
  memmove(place, place + size, (count_ - at) * size);
}

}  // namespace smx
