// Read next: json.h.
#include "tools/ctl/json.h"

#include "tools/ctl/ctl.h"
#include "tools/ctl/rows.h"

namespace smx::ctl {

namespace {

// What is no number, whatever it looks like.
constexpr std::string_view kTexts[] = {"version", "configuration", "log",    "poller", "sandbox", "name",   "key",  "address", "state",    "transport",
                                       "dialect", "down_reason",   "id",     "peer",   "kind",    "client", "local", "server",  "protocol", "clients"};
constexpr std::string_view kBooleans[] = {"ending", "secure", "open_to_world"};

template <size_t kCount>
bool is_in(const std::string_view (&list)[kCount], std::string_view word) {
  for (const std::string_view w : list)
    if (w == word) return true;
  return false;
}

}  // namespace

void Json::flush() {
  if (code_ == 0) code_ = print(text_.text());
  text_.clear();
}

void Json::put(std::string_view text) {
  if (text_.size() + text.size() > 8000) flush();
  text_.add(text);
}

// What comes from a daemon is printable ASCII.
void Json::put_text(std::string_view text) {
  Text<2 * kCell + 2> out("\"");
  for (const char c : text.substr(0, kCell)) {
    if (c == '"' || c == '\\') out.add('\\');
    out.add(c >= 0x20 && c < 0x7f ? c : '?');
  }
  put(out.add('"').text());
}

void Json::put_value(std::string_view key, std::string_view field) {
  uint64_t n = 0;
  if (field.empty() || field == "-") put("null");
  else if (is_in(kBooleans, key)) put(field == "yes" ? "true" : "false");
  else if (!is_in(kTexts, key) && number_of(field, &n)) put(Text<24>().add_u(n).text());
  else put_text(field);
}

void Json::begin() { put("{\n  \"format\": 1"); }
void Json::end() {
  put("\n}\n");
  flush();
}

void Json::add(std::string_view key, std::string_view field) {
  put(",\n  ");
  put_text(key);
  put(": ");
  put_value(key, field);
}

void Json::add_values(std::string_view lines) {
  (void)next_part(&lines, '\n');  // the title
  while (!lines.empty()) {
    std::string_view line = next_part(&lines, '\n');
    const std::string_view key = next_part(&line, '\t');
    add(key, line);
  }
}

void Json::begin_list(std::string_view key) {
  put(",\n  ");
  put_text(key);
  put(": [");
  first_ = true;
}

void Json::end_list() { put(first_ ? "]" : "\n  ]"); }

void Json::add_text(std::string_view text) {
  put(first_ ? "\n    " : ",\n    ");
  first_ = false;
  put_text(text);
}

void Json::add_table(std::string_view key, std::string_view lines) {
  begin_list(key);
  Rows rows(lines);
  for (; rows.next(); first_ = false) {
    put(first_ ? "\n    {" : ",\n    {");
    for (int i = 0; i < rows.columns(); ++i) {
      if (i > 0) put(", ");
      put_text(rows.name(i));
      put(": ");
      put_value(rows.name(i), rows.field(i));
    }
    put("}");
  }
  end_list();
}

}  // namespace smx::ctl
