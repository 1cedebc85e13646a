// Quotes and lines. Read next: words.h.
#include "config/words.h"

#include "config/scan.h"

namespace smx {

WordsFault split_words(std::string_view text, Arena& arena, View<std::string_view>* out) {
  // Each word gets a NUL behind it; it has a blank, a quote or the end there to make room.
  char* to = arena.make<char>(text.size() + 1);
  if (to == nullptr) return WordsFault::no_memory;
  GrowList<std::string_view> words(kMaxListWords);
  size_t i = 0;
  while (i < text.size()) {
    if (is_blank(text[i])) {
      ++i;
      continue;
    }
    const char* begun = to;
    char quote = 0;
    for (; i < text.size() && (quote != 0 || !is_blank(text[i])); ++i) {
      const char c = text[i];
      if (quote == 0 && (c == '\'' || c == '"')) {
        quote = c;
      } else if (quote == c && quote != 0) {
        quote = 0;
      } else {
        *to++ = c;
      }
    }
    if (quote != 0) return WordsFault::open_quote;
    if (to == begun) continue;
    const std::string_view word{begun, static_cast<size_t>(to - begun)};
    *to++ = 0;
    if (words.is_full()) return WordsFault::too_many;
    if (!words.add(arena, word)) return WordsFault::no_memory;
  }
  *out = words.view();
  return WordsFault::none;
}

size_t find_closing(std::string_view text) {
  size_t depth = 0;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')' && depth-- == 0) {
      return i;
    }
  }
  return kNowhere;
}

bool looks_like_option(std::string_view text) {
  if (text.size() < 2) return false;
  if (text[0] == '+') return text[1] == '=';
  if (text[0] == '-') return is_alnum(text[1]) && !is_digit(text[1]);
  size_t i = 0;
  while (i < text.size() && (is_upper(text[i]) || (i > 0 && (is_digit(text[i]) || text[i] == '_')))) ++i;
  return i > 0 && i < text.size() && text[i] == '=';
}

bool LineReader::open(Arena& arena) {
  out_ = arena.make<char>(rest_.size() + 1);
  return out_ != nullptr;
}

// The next line of the file, without its end and outer blanks.
bool LineReader::take_physical(std::string_view* raw) {
  if (rest_.empty()) return false;
  const size_t end = place_of(rest_, '\n');
  *raw = trim(first(rest_, end));
  rest_ = end == kNowhere ? std::string_view{} : skip(rest_, end + 1);
  ++number_;
  return true;
}

bool LineReader::next(Line* line) {
  std::string_view raw;
  while (take_physical(&raw)) {
    *line = Line{};
    line->number = number_;
    seen_equals_ = plain_;
    parens_ = 0;
    begun_ = used_;
    while (lex(raw, line) && take_physical(&raw)) {
    }
    line->text = {out_ + begun_, used_ - begun_};
    if (line->text.empty() && line->fault == LineFault::none) continue;
    put(0);
    return true;
  }
  return false;
}

// Does an option of its own begin at raw[at], behind a blank outside of quotes? Blanks at commas belong to a list,
// those in (...) to the words of -in, and those behind proc@ to its command.
bool LineReader::is_second_option(std::string_view raw, size_t at, size_t begun) const {
  if (plain_ || parens_ > 0) return false;
  const std::string_view so_far = trim({out_ + begun, used_ - begun});
  if (so_far.empty() || so_far.back() == ',') return false;
  if (starts_with(so_far, "SERVER=")) {
    for (size_t i = 0; i + 5 <= so_far.size(); ++i) {
      if (equal_fold(first(skip(so_far, i), 5), "proc@")) return false;
    }
  }
  return looks_like_option(skip(raw, at));
}

// Appends one physical line to the line at hand; true if a last `\` asks for the next one.
bool LineReader::lex(std::string_view raw, Line* line) {
  char quote = 0;
  size_t keep = used_;  // blanks behind this are outside of quotes
  bool continued = false;
  for (size_t i = 0; i < raw.size(); ++i) {
    const char c = raw[i];
    if (c == 0) line->fault = LineFault::nul;
    if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        put(c);
      }
      keep = used_;
      continue;
    }
    if (c == '#') break;
    if (c == '\'' || c == '"') {
      quote = c;
      continue;
    }
    if (c == '\\') {
      if (i + 1 == raw.size()) {
        continued = true;
        keep = used_;
        break;
      }
      put(raw[++i]);
      keep = used_;
      continue;
    }
    const bool behind_blank = used_ > keep;
    if (c == '=' && !seen_equals_) {
      const bool before = used_ > begun_ && behind_blank;
      const bool behind = i + 1 < raw.size() && is_blank(raw[i + 1]);
      if ((before || behind) && line->fault == LineFault::none) line->fault = LineFault::blank_at_equals;
      seen_equals_ = true;
    } else if (behind_blank && line->fault == LineFault::none && is_second_option(raw, i, begun_)) {
      line->fault = LineFault::two_options;
      line->fault_at = skip(raw, i);
      size_t n = 0;
      while (n < line->fault_at.size() && !is_blank(line->fault_at[n])) ++n;
      line->fault_at = first(line->fault_at, n);
    }
    if (c == '(') ++parens_;
    if (c == ')' && parens_ > 0) --parens_;
    put(c);
    if (!is_blank(c)) keep = used_;
  }
  if (quote != 0) line->fault = LineFault::open_quote;
  used_ = keep;
  return continued && quote == 0;
}

}  // namespace smx
