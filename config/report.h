// What was wrong with the options, in words for the user: errors with the exit status that each of them asks for,
// warnings, and the names that have no meaning here.
//
// Owner: main(), which prints it. Invariant: at most kMaxErrors errors are kept, the rest is counted; a text is one
// printable line. It needs no arena, so that it can say that the arena is used up. Read next: parse.h.
#ifndef SOCKMUX_CONFIG_REPORT_H
#define SOCKMUX_CONFIG_REPORT_H

#include <string_view>

#include "config/config.h"
#include "core/base/text.h"

namespace smx {

constexpr size_t kMaxErrors = 10;
constexpr size_t kMaxWarnings = 20;
constexpr size_t kMaxIgnored = 128;
constexpr size_t kMessageText = 400;    // a longer message is cut
constexpr size_t kShownWordText = 120;  // how much of a word is repeated in front of its message

// sysexits(3), as sockmuxd(8) uses them.
constexpr int kExitUsage = 64;    // a wrong word on the command line
constexpr int kExitNoInput = 66;  // a file named by += can't be read
constexpr int kExitPermission = 77;  // a file that others can read, or that we can't
constexpr int kExitConfig = 78;   // wrong inside of a file, or the whole makes no sense

struct Problem {
  int status = 0;  // 0: a warning
  Text<kMessageText> text;
  Origin origin;  // views into the words and the arena
};

class Report {
 public:
  Report() = default;
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;

  // The text is "file:line: " and the word, or the word alone, then ": ", then `words` with a view in place of
  // each '%'. An origin without a word gives the words alone.
  void error(int status, const Origin& origin, const char* words, Views views = {});
  void warn(const Origin& origin, const char* words, Views views = {});
  // Each name is kept once; those beyond kMaxIgnored are dropped. The view must live on.
  void ignore(std::string_view name);
  void clear_errors() { error_count_ = 0; }
  void clear() { error_count_ = warning_count_ = ignored_count_ = 0; }

  View<Problem> errors() const { return {errors_, error_count_ < kMaxErrors ? error_count_ : kMaxErrors}; }
  View<Problem> warnings() const { return {warnings_, warning_count_ < kMaxWarnings ? warning_count_ : kMaxWarnings}; }
  View<std::string_view> ignored() const { return {ignored_, ignored_count_}; }
  // How many there were, also beyond those that are kept.
  size_t error_count() const { return error_count_; }
  size_t warning_count() const { return warning_count_; }
  // The exit status: that of the first error; 0 without errors.
  int status() const { return error_count_ == 0 ? 0 : errors_[0].status; }

 private:
  size_t error_count_ = 0;
  size_t warning_count_ = 0;
  size_t ignored_count_ = 0;
  Problem errors_[kMaxErrors];
  Problem warnings_[kMaxWarnings];
  std::string_view ignored_[kMaxIgnored];
};

}  // namespace smx

#endif
