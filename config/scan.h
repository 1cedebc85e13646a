// Small tools for reading text: trimming, lists with commas, numbers, likeness of names, lists that grow in an arena.
//
// Invariant: no function reads outside of its view, throws, or needs anything but memory of the arena. Pure.
// Read next: words.h (quotes), tables.h (known names).
#ifndef SOCKMUX_CONFIG_SCAN_H
#define SOCKMUX_CONFIG_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include <string_view>
#include <type_traits>

#include "config/config.h"
#include "core/base/arena.h"
#include "core/base/features.h"
#include "core/base/letters.h"
#include "core/base/text.h"

namespace smx {

constexpr bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view trim(std::string_view s);
bool starts_with(std::string_view s, std::string_view head);
bool starts_with(std::string_view s, const char* head);
bool ends_with(std::string_view s, std::string_view tail);
bool contains(std::string_view s, std::string_view part);
bool has_blank(std::string_view s);

// Puts `words` with a text in place of each '%' into `why`, in place of what was there; false, for "return say(...)".
bool say(TextBase& why, const char* words);
bool say(TextBase& why, const char* words, std::string_view a);
bool say(TextBase& why, const char* words, std::string_view a, std::string_view b);
bool say(TextBase& why, const char* words, std::string_view a, std::string_view b, std::string_view c);

// The first place of `what` outside of {...} and [...], or kNowhere.
size_t find_outside(std::string_view s, char what);

// Does every { and [ have its partner, in order?
bool is_balanced(std::string_view s);

// "{a,b}" gives "a,b", "{a},{b}" stays: braces that hold the whole are taken off, as often as there are some.
std::string_view without_braces(std::string_view s);

// Walks over a list: parts between commas outside of {...} and [...], without blanks at their ends. Nothing behind a
// last comma is no part; an empty part elsewhere is given as such.
class Items {
 public:
  explicit Items(std::string_view list) : rest_(list), more_(!trim(list).empty()) {}
  bool next(std::string_view* item);

 private:
  std::string_view rest_;
  bool more_;
};

// Where `name` stands in a list with commas: 0 is its start, -1: nowhere.
int place_in(const char* list, std::string_view name);
inline bool is_one_of(const char* list, std::string_view name) { return place_in(list, name) >= 0; }

// Decimal digits only, at most `max`; else false, and `out` is untouched.
bool parse_number(std::string_view s, uint64_t max, uint64_t* out);

// A host: a name of [A-Za-z0-9._-], or an IPv4 or IPv6 address ("[::1]", "__1", not "::1"). `out` is the text of
// Config: IPv6 with ':' and without brackets; it is in `s` or in the arena. False: it is none, or there is no memory.
bool parse_host(std::string_view s, Arena& arena, std::string_view* out);

// A name as parse_host takes it: not only of digits and dots, at most 253 characters.
bool is_host_name(std::string_view s);

// Longest name that is compared for likeness; longer ones are like nothing.
constexpr size_t kLikeText = 24;
// How unlike two names may be to be taken for a slip.
constexpr unsigned kLikeMost = 2;

// How many letters must be changed, added, left out, or swapped with their neighbour to make `b` of `a`, case aside;
// kLikeMost + 1 if it is more than kLikeMost.
unsigned unlikeness(std::string_view a, std::string_view b);

// Collects the nearest of many names: give() each, the first of the nearest ones wins. Source: sockmuxd(8).
class Nearest {
 public:
  explicit Nearest(std::string_view wanted) : wanted_(wanted) {}
  void give(std::string_view known) {
    if constexpr (kHasHints) look_at(known);
  }
  // All of a list with commas.
  void give_all(const char* list);
  // Empty if none is near enough.
  std::string_view best() const { return best_; }
  // What goes before best() in a message, if there is one.
  std::string_view lead() const { return best_.empty() ? "" : "; do you mean "; }

 private:
  void look_at(std::string_view known);

  std::string_view wanted_;
  std::string_view best_;
  unsigned unlike_ = kLikeMost + 1;
};

// A list that grows in an arena, by doubling; what it outgrows is lost to the arena. T is a plain value. GrowBase is what
// needs no T, so that it is there once.
class GrowBase {
 public:
  // A copy of the `size` bytes at `value` becomes the last item. False when `most` is reached or the arena is used up.
  bool put(Arena& arena, const void* value, size_t size);
  bool is_full() const { return count_ == most_; }
  size_t count() const { return count_; }

 protected:
  explicit GrowBase(size_t most) : most_(static_cast<uint32_t>(most)) {}
  void cut_out(size_t at, size_t size);

  void* first_ = nullptr;
  uint32_t most_;
  uint32_t count_ = 0;
  uint32_t room_ = 0;
};

template <typename T>
class GrowList : public GrowBase {
 public:
  static_assert(std::is_trivially_copyable<T>::value, "");
  explicit GrowList(size_t most) : GrowBase(most) {}

  bool add(Arena& arena, const T& value) { return put(arena, &value, sizeof value); }
  void remove(size_t at) { cut_out(at, sizeof(T)); }
  T& operator[](size_t i) { return begin()[i]; }
  T* begin() { return static_cast<T*>(first_); }
  T* end() { return begin() + count_; }
  View<T> view() { return {begin(), count_}; }
};

}  // namespace smx

#endif
