// peers, channels, version: answers of a daemon as tables with aligned columns, or as JSON.
//
// Read next: rows.h, json.h.
#include <initializer_list>

#include "tools/ctl/ctl.h"
#include "tools/ctl/ask.h"
#include "tools/ctl/json.h"
#include "tools/ctl/rows.h"

namespace smx::ctl {

namespace {

void add_title(TextBase& to, std::string_view column) {
  for (const std::string_view unit : {"_s", "_bytes", "_us"})
    if (ends_with(column, unit)) {
      column.remove_suffix(unit.size());
      break;
    }
  for (const char c : column) to.add(c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c == '_' ? ' ' : c);
}

// A table of all columns but some.
class Table {
 public:
  Table(std::string_view lines, std::initializer_list<std::string_view> hidden) : lines_(lines) {
    Rows rows(lines_);
    for (int i = 0; i < rows.columns(); ++i) {
      shown_[i] = true;
      for (const std::string_view h : hidden) shown_[i] = shown_[i] && rows.name(i) != h;
      last_ = shown_[i] ? i : last_;
      widen(i, [&](TextBase& to) { add_title(to, rows.name(i)); });
    }
    while (rows.next())
      for (int i = 0; i < rows.columns(); ++i) widen(i, [&](TextBase& to) { add_cell(to, rows.name(i), rows.field(i)); });
  }

  int print() const {
    Rows rows(lines_);
    int code = print_line(rows, [&](TextBase& to, int i) { add_title(to, rows.name(i)); });
    while (code == 0 && rows.next()) code = print_line(rows, [&](TextBase& to, int i) { add_cell(to, rows.name(i), rows.field(i)); });
    return code;
  }

 private:
  template <typename F>
  void widen(int i, F add) {
    Text<kCell> cell;
    add(cell);
    if (cell.size() > width_[i]) width_[i] = cell.size();
  }
  template <typename F>
  int print_line(const Rows& rows, F add) const {
    Text<kColumns * (kCell + 2)> line;
    for (int i = 0; i < rows.columns(); ++i) {
      if (!shown_[i]) continue;
      const size_t end = line.size() + width_[i] + 2;
      Text<kCell> cell;  // cut as in widen(): all of them have room in the line
      add(cell, i);
      line.add(cell.text());
      while (i != last_ && line.size() < end) line.add(' ');
    }
    return ctl::print(line.add('\n').text());
  }

  std::string_view lines_;
  bool shown_[kColumns] = {};
  int last_ = 0;
  size_t width_[kColumns] = {};
};

int show(std::string_view what, const Words& words, std::initializer_list<std::string_view> hidden) {
  Answer answer;
  const int code = answer.ask(what, words.socket);
  if (code != 0) return code;
  if (!words.json) return Table(answer.lines(), hidden).print();
  Json json;
  json.begin();
  json.add_table(what, answer.lines());
  json.end();
  return json.code();
}

}  // namespace

int peers(const Words& words) {
  return show("peers", words, {"session", "transport", "secure", "dialect", "unsent_bytes", "unacked_bytes", "waiting_bytes", "reconnects", "down_s", "down_reason"});
}

int channels(const Words& words) { return show("channels", words, {"session", "credit_bytes", "queued_bytes", "local"}); }

int version(const Words& words) {
  Answer answer;
  int code = answer.ask("version", words.socket);
  if (code != 0) return code;
  code = print(answer.lines());
  return code != 0 || answer.lines().empty() ? code : print("\n");
}

}  // namespace smx::ctl
