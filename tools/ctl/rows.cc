// Read next: rows.h.
#include "tools/ctl/rows.h"

namespace smx::ctl {

std::string_view next_part(std::string_view* rest, char end) {
  const size_t at = rest->find(end);
  const std::string_view part = rest->substr(0, at);
  *rest = at == std::string_view::npos ? std::string_view() : rest->substr(at + 1);
  return part;
}

bool number_of(std::string_view text, uint64_t* out) {
  constexpr uint64_t kMost = 9999999999999999999u;  // 19 digits
  return parse_number(text, kMost, out);
}

void add_seconds(TextBase& to, uint64_t s) {
  if (s < 60) to.add_u(s).add('s');
  else if (s < 3600) to.add_u(s / 60).add('m').add_u(s % 60).add('s');
  else if (s < 86400) to.add_u(s / 3600).add('h').add_u(s % 3600 / 60).add('m');
  else to.add_u(s / 86400).add('d').add_u(s % 86400 / 3600).add('h');
}

void add_bytes(TextBase& to, uint64_t n) {
  if (n < 1024) {
    to.add_u(n);
    return;
  }
  const char* unit = "KMGTPE";
  while (n >= 1024 * 1024) {
    n /= 1024;
    ++unit;
  }
  to.add_u(n / 1024);
  if (n < 10 * 1024) to.add('.').add_u(n % 1024 * 10 / 1024);
  to.add(*unit);
}

void add_micros(TextBase& to, uint64_t us) {
  to.add_u(us / 1000);
  if (us < 10000) to.add('.').add_padded(us % 1000 / 10, 2);
  else if (us < 100000) to.add('.').add_u(us % 1000 / 100);
  to.add("ms");
}

void add_cell(TextBase& to, std::string_view column, std::string_view field) {
  uint64_t n = 0;
  // NOLINTNEXTLINE(bugprone-branch-clone): no number, and a number without a unit
  if (!number_of(field, &n)) to.add_printable(field);
  else if (ends_with(column, "_s")) add_seconds(to, n);
  else if (ends_with(column, "_bytes")) add_bytes(to, n);
  else if (ends_with(column, "_us")) add_micros(to, n);
  else to.add_printable(field);
}

std::string_view Values::get(std::string_view name) const {
  std::string_view rest = lines_;
  while (!rest.empty()) {
    std::string_view line = next_part(&rest, '\n');
    if (next_part(&line, '\t') == name) return next_part(&line, '\t');
  }
  return {};
}

}  // namespace smx::ctl
