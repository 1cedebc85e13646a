// What tests of the options share: files and names in memory, and one parse with all that it needs.
//
// Read next: config/parse.h, config/choose.h.
#ifndef SOCKMUX_TESTS_OPTIONS_H
#define SOCKMUX_TESTS_OPTIONS_H

#include <map>
#include <string>
#include <vector>

#include "config/choose.h"
#include "config/parse.h"

namespace smx_test {

using Strings = std::vector<std::string>;

constexpr size_t kArenaBytes = 4 << 20;

inline std::string text_of(std::string_view s) { return std::string(s); }

class MemoryFiles final : public smx::FileSource {
 public:
  std::map<std::string, std::string> files;
  std::map<std::string, smx::FileText::Status> broken;  // what is said of these

  smx::FileText read(std::string_view path, smx::Arena& arena) override {
    smx::FileText result;
    std::string name(path);
    while (name.compare(0, 2, "./") == 0) name.erase(0, 2);
    if (broken.count(name) > 0) {
      result.status = broken[name];
      return result;
    }
    const auto found = files.find(name);
    if (found == files.end()) return result;
    result.text = arena.copy(found->second);
    result.status = result.text.data() == nullptr ? smx::FileText::Status::no_memory : smx::FileText::Status::ok;
    return result;
  }
};

// Names that were told are known, all others are not resolved.
class Names final : public smx::NameLookup {
 public:
  std::map<std::string, Strings> known;
  std::vector<smx::Network> networks;

  Answer has_address(std::string_view name, const smx::Address& address) const override {
    const auto found = known.find(text_of(name));
    if (found == known.end()) return Answer::unknown;
    for (const std::string& text : found->second) {
      smx::Address a;
      if (smx::parse_ip(text, &a) && smx::same_ip(a, address)) return Answer::yes;
    }
    return Answer::no;
  }
  smx::View<smx::Network> local_networks() const override { return {networks.data(), networks.size()}; }

  void add_network(const std::string& address, uint8_t bits) {
    smx::Network n;
    smx::parse_ip(address, &n.address);
    n.bits = bits;
    networks.push_back(n);
  }
};

struct Run {
  explicit Run(size_t arena_bytes = kArenaBytes) : memory(arena_bytes), arena(memory.data(), memory.size()) {}

  std::vector<char> memory;
  smx::Arena arena;
  MemoryFiles files;
  Strings words;
  smx::Config config;
  smx::Report report;
  bool good = false;

  void parse() {
    std::vector<const char*> argv;
    for (const std::string& w : words) argv.push_back(w.c_str());
    good = smx::parse_command_line(argv.data(), argv.size(), files, arena, &config, &report);
  }
  void parse(const Strings& given) {
    words = given;
    parse();
  }
  // Behind SERVER=sockmux -P9000.
  void parse_more(const Strings& given) {
    words = {"SERVER=sockmux", "-P9000"};
    words.insert(words.end(), given.begin(), given.end());
    parse();
  }
  std::string error(size_t i = 0) const {
    return i < report.errors().count ? text_of(report.errors()[i].text.text()) : "";
  }
  std::string warning(size_t i = 0) const {
    return i < report.warnings().count ? text_of(report.warnings()[i].text.text()) : "";
  }
  bool has_setting(const std::string& name, const std::string& value) const {
    for (const smx::Setting& s : config.settings) {
      if (s.name == name && s.value == value) return true;
    }
    return false;
  }
};

inline smx::Subject client(const std::string& ip, uint16_t port = 0) {
  smx::Subject s;
  smx::parse_ip(ip, &s.client);
  s.accepted_port = port;
  return s;
}

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace smx_test

#endif
