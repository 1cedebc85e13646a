// Read next: reader.h.
#include "config/reload/reader.h"

#include "config/scan.h"
#include "core/base/check.h"

namespace smx {

bool ConfigReader::read(void* memory, size_t size, Report* report) {
  Arena arena(memory, size);
  return parse_command_line(words_, count_, files_, arena, &config_, report);
}

bool ConfigReader::names_files() const {
  for (size_t i = 0; i < count_; ++i)
    if (contains(words_[i], "+=")) return true;
  return false;
}

bool ConfigReader::read_again(Report* report) {
  SMX_CHECK(halves_ != nullptr);
  Arena arena(spare(), size_);
  next_ = arena.make<Config>();
  SMX_CHECK(next_ != nullptr);
  return parse_command_line(words_, count_, files_, arena, next_, report);
}

}  // namespace smx
