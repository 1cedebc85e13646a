// What a daemon says, as JSON (RFC 8259) on standard output.
//
// Invariant: a key's name says what a number counts, and each key has always the same type, or null where nothing is known.
// Source: sockmuxctl(8), "JSON", which lists all of them; a test compares.
#ifndef SOCKMUX_TOOLS_CTL_JSON_H
#define SOCKMUX_TOOLS_CTL_JSON_H

#include <string_view>

#include "core/base/text.h"

namespace smx::ctl {

// One object: members are added in turn. What cannot be printed ends it; code() says so.
class Json {
 public:
  // {"format": 1
  void begin();
  void add(std::string_view key, std::string_view field);
  // Lines "name value" behind a title: members of the object itself.
  void add_values(std::string_view lines);
  // A list of objects, one a row.
  void add_table(std::string_view key, std::string_view lines);
  // A list of texts.
  void begin_list(std::string_view key);
  void add_text(std::string_view text);
  void end_list();
  void end();
  // The exit code.
  int code() const { return code_; }

 private:
  void put(std::string_view text);
  void put_text(std::string_view text);
  void put_value(std::string_view key, std::string_view field);
  void flush();

  Text<8192> text_;
  int code_ = 0;
  bool first_ = true;  // of a list
};

}  // namespace smx::ctl

#endif
