// Quotes: how the option list of -in(...) and the lines of a +=file become words.
//
// Invariant: output is never longer than input. Pure; memory is the arena's. Read next: parser.h (who uses it).
// Source: sockmux.conf(5).
#ifndef SOCKMUX_CONFIG_WORDS_H
#define SOCKMUX_CONFIG_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include <string_view>

#include "config/config.h"
#include "core/base/arena.h"

namespace smx {

// Most words in one -in(...).
constexpr size_t kMaxListWords = 64;

// The words of an option list: split at blanks; '...' and "..." group and are removed, everything inside is plain;
// backslashes are plain; empty words vanish.
enum class WordsFault : uint8_t { none, open_quote, too_many, no_memory };
WordsFault split_words(std::string_view text, Arena& arena, View<std::string_view>* out);

// `text` begins behind a "(": the place of the ")" that closes it, quotes and inner pairs skipped, or kNowhere.
size_t find_closing(std::string_view text);

// Does a word that stands here look like an option of its own: "-x", "+=", "NAME="?
bool looks_like_option(std::string_view text);

enum class LineFault : uint8_t { none, open_quote, two_options, blank_at_equals, nul };

// One line of a file, quotes, comment and outer blanks removed, lines that a last `\` continues joined.
struct Line {
  std::string_view text;  // a NUL stands behind its end
  uint32_t number = 0;    // from 1; of the first line, if joined
  LineFault fault = LineFault::none;
  std::string_view fault_at;  // two_options: the second one
};

// Reads a file's text line by line; empty lines and comments are left out.
class LineReader {
 public:
  // `plain`: the lines are values (NAME=+=file), where '=' and a second option have no meaning.
  LineReader(std::string_view text, bool plain) : rest_(text), plain_(plain) {}

  // Memory for all lines; false: the arena is used up.
  bool open(Arena& arena);

  // False at the end. open() must have come before.
  bool next(Line* line);

 private:
  bool take_physical(std::string_view* raw);
  bool lex(std::string_view raw, Line* line);
  void put(char c) { out_[used_++] = c; }
  bool is_second_option(std::string_view raw, size_t at, size_t begun) const;

  std::string_view rest_;
  bool plain_;
  uint32_t number_ = 0;
  char* out_ = nullptr;
  size_t used_ = 0;
  // of the line at hand
  bool seen_equals_ = false;
  size_t parens_ = 0;
  size_t begun_ = 0;
};

}  // namespace smx

#endif
