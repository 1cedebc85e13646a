// Tables that a daemon has sent, row by row, and their fields as people and programs read them.
//
// Invariant: a field is named by its column, so that a daemon may have more of them, or fewer. Read next: daemon_tell.h.
#ifndef SOCKMUX_TOOLS_CTL_ROWS_H
#define SOCKMUX_TOOLS_CTL_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include <string_view>

#include "config/scan.h"
#include "core/base/text.h"

namespace smx::ctl {

// The part before `end`, which is cut off `*rest` with it.
std::string_view next_part(std::string_view* rest, char end);
// Decimal digits alone.
bool number_of(std::string_view text, uint64_t* out);

// "12s", "5m12s", "3h20m", "4d3h"
void add_seconds(TextBase& to, uint64_t s);
// "512", "1.2K", "34K", "5.6M"
void add_bytes(TextBase& to, uint64_t n);
// "0.42ms", "12.3ms", "340ms"
void add_micros(TextBase& to, uint64_t us);
// As the end of the column's name says: since_s, rx_bytes, rtt_us.
void add_cell(TextBase& to, std::string_view column, std::string_view field);

constexpr int kColumns = 24;
constexpr size_t kCell = 512;

class Rows {
 public:
  explicit Rows(std::string_view lines) : rest_(lines) {
    std::string_view title = next_part(&rest_, '\n');
    while (!title.empty() && columns_ < kColumns) name_[columns_++] = next_part(&title, '\t');
  }
  // Goes to the next row. False: there is none.
  bool next() {
    if (rest_.empty()) return false;
    std::string_view row = next_part(&rest_, '\n');
    for (int i = 0; i < columns_; ++i) field_[i] = next_part(&row, '\t');
    return true;
  }
  int columns() const { return columns_; }
  std::string_view name(int i) const { return name_[i]; }
  std::string_view field(int i) const { return field_[i]; }
  // -1: there is no such column.
  int find(std::string_view column) const {
    for (int i = 0; i < columns_; ++i)
      if (name_[i] == column) return i;
    return -1;
  }
  // Empty: there is no such column.
  std::string_view get(std::string_view column) const {
    const int i = find(column);
    return i < 0 ? std::string_view() : field_[i];
  }
  // 0: it has no number.
  uint64_t number(std::string_view column) const {
    uint64_t n = 0;
    (void)number_of(get(column), &n);
    return n;
  }

 private:
  std::string_view rest_;
  std::string_view name_[kColumns], field_[kColumns];
  int columns_ = 0;
};

// Lines "name value" behind a title: of `status`.
class Values {
 public:
  explicit Values(std::string_view lines) : lines_(lines) {}
  std::string_view get(std::string_view name) const;
  uint64_t number(std::string_view name) const {
    uint64_t n = 0;
    (void)number_of(get(name), &n);
    return n;
  }

 private:
  std::string_view lines_;
};

}  // namespace smx::ctl

#endif
