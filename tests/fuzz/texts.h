// What targets for texts share: an input as sections, files and names in memory, memory that is used again.
//
// Read next: options.cc.
#ifndef SOCKMUX_TESTS_FUZZ_TEXTS_H
#define SOCKMUX_TESTS_FUZZ_TEXTS_H

#include <map>

#include "config/choose.h"
#include "config/explain.h"
#include "config/parse.h"
#include "config/reload/compare.h"
#include "tests/fuzz/fuzz.h"

namespace fuzz {

// Sections end with a NUL, lines with '\n'.
inline std::vector<Data> lines_of(const Data& section) {
  std::vector<Data> out;
  for (size_t at = 0; at < section.size();) {
    const size_t end = section.find('\n', at);
    out.push_back(section.substr(at, end == Data::npos ? end : end - at));
    if (end == Data::npos) break;
    at = end + 1;
  }
  return out;
}

class Files final : public smx::FileSource {
 public:
  // A section: the first line is the name, the rest is in the file.
  void add(const Data& section) {
    const size_t end = section.find('\n');
    if (end != Data::npos) files_[section.substr(0, end)] = section.substr(end + 1);
  }
  smx::FileText read(std::string_view path, smx::Arena& arena) override {
    smx::FileText result;
    MUST(path.data()[path.size()] == 0);
    while (path.substr(0, 2) == "./") path.remove_prefix(2);
    const auto found = files_.find(Data(path));
    if (found == files_.end()) return result;
    if (found->second == "directory") result.status = smx::FileText::Status::is_directory;
    else if (found->second == "secret") result.status = smx::FileText::Status::unreadable;
    else {
      result.text = arena.copy(found->second);
      result.status = result.text.data() == nullptr ? smx::FileText::Status::no_memory : smx::FileText::Status::ok;
    }
    return result;
  }

 private:
  std::map<Data, Data> files_;
};

// Every name that begins with 'k' is known, as 10.0.0.<its length>; one network is ours.
class Lookup final : public smx::NameLookup {
 public:
  Lookup() {
    MUST(smx::parse_ip("192.0.2.0", &network_.address));
    network_.bits = 24;
  }
  Answer has_address(std::string_view name, const smx::Address& a) const override {
    if (name.empty() || name[0] != 'k') return Answer::unknown;
    return a.family == 4 && a.ip[0] == 10 && a.ip[3] == static_cast<uint8_t>(name.size()) ? Answer::yes : Answer::no;
  }
  smx::View<smx::Network> local_networks() const override { return {&network_, 1}; }

 private:
  smx::Network network_;
};

// Zero bytes at the start of each run. One block for each of a few users.
template <size_t kSize, int kWhich = 0>
void* zeroed() {
  static uint8_t memory[kSize];
  memset(memory, 0, sizeof memory);
  return memory;
}

// Messages go to a log and a terminal: one line each, and nothing that steers one.
inline void look_at(const smx::Report& report, bool good) {
  MUST(good == (report.error_count() == 0));
  MUST(good == (report.status() == 0));
  for (const smx::View<smx::Problem>& list : {report.errors(), report.warnings()}) {
    for (const smx::Problem& p : list) {
      MUST(p.text.size() > 0);
      for (const char c : p.text.text()) MUST(c >= ' ' && c < 0x7f);
    }
  }
}

// All that is asked of a Config while the daemon runs.
void use_config(const smx::Config& config, const Lookup& lookup);

}  // namespace fuzz

#endif
