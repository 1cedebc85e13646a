// The tables of packets in sockmux(7) against check_header(): each type at its limits and one beyond, and every type that
// is in no table. Read next: test_packet.cc; e2e/bad_peers.cc, where a daemon gets what is outside of them.
#include <doctest/doctest.h>

#include <map>
#include <sstream>

#include "tests/sim/bench.h"

using namespace smx;

namespace {

struct Row {
  unsigned version = 3;
  std::string ids;  // any, none, opener, acceptor, either
  unsigned least = 0, most = 0;
};

bool range(const std::string& s, unsigned* least, unsigned* most) {
  if (s.empty() || s.find_first_not_of("0123456789.") != std::string::npos) return false;
  const size_t dots = s.find("..");
  *least = static_cast<unsigned>(std::stoul(s));
  *most = dots == std::string::npos ? *least : static_cast<unsigned>(std::stoul(s.substr(dots + 2)));
  return true;
}

// By type; the first table behind `section`.
std::map<unsigned, Row> table(const std::string& section, bool first_byte) {
  std::map<unsigned, Row> rows;
  std::ifstream file("man/sockmux.7");
  bool here = false, literal = false;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(".Sh ", 0) == 0) here = line == ".Sh " + section;
    if (!here) continue;
    if (line.rfind(".Bd", 0) == 0) literal = true;
    if (line.rfind(".Ed", 0) == 0) break;
    if (!literal) continue;
    std::istringstream words(line);
    std::vector<std::string> word;
    for (std::string w; words >> w;) word.push_back(w);
    if (word.size() < 4 || word[0].size() != 2 || bench::hex(word[0]).size() != 1) continue;
    Row r;
    size_t at = 0;
    if (first_byte) r.version = static_cast<unsigned>(std::stoul(word[at++], nullptr, 16));
    const unsigned type = static_cast<unsigned>(std::stoul(word[at], nullptr, 16));
    r.ids = first_byte ? word[at + 2] : "any";
    bool found = false;
    for (size_t i = at + 2; i < word.size() && !found; ++i) found = range(word[i], &r.least, &r.most);
    CAPTURE(line);
    CHECK(found);
    CHECK(rows.emplace(type, r).second);
  }
  return rows;
}

Err check(unsigned version, unsigned type, unsigned said, unsigned raid, size_t length, Dialect d, bool* known) {
  return check_header({static_cast<uint8_t>(version), static_cast<uint8_t>(type), static_cast<uint16_t>(said),
                       static_cast<uint16_t>(raid), static_cast<uint16_t>(length)}, d, known);
}

constexpr unsigned kNo = 0xffff;

}  // namespace

TEST_SUITE_BEGIN("packet");

TEST_CASE("sockmux(7), SockMux 1: its table of packets is what is taken, and nothing else is") {
  std::map<unsigned, Row> rows = table("SOCKMUX 1", true);
  CHECK(rows.size() >= 18);
  rows[0x41] = {3, "any", 0, 16376};  // of 0.3: taken before the link is up
  bool known = false;
  for (unsigned type = 0; type < 256; ++type) {
    CAPTURE(type);
    const auto found = rows.find(type);
    if (found == rows.end()) {
      // The others are skipped below 0x80, with a first byte and a length that could be.
      for (const unsigned version : {0x10u, 0x11u}) {
        for (const unsigned length : {0u, 16376u}) {
          CHECK(check(version, type, 1, kNo, length, Dialect::v1, &known) == (type < 0x80 ? Err::none : Err::bad_type));
          CHECK(!known);
        }
        CHECK(check(version, type, 1, kNo, 16377, Dialect::v1, &known) == Err::bad_length);
        CHECK(check(version, type, 1, kNo, 65535, Dialect::v1, &known) == Err::bad_length);
      }
      for (const unsigned version : {0x00u, 0x03u, 0x0fu, 0x12u, 0xffu}) CHECK(check(version, type, 1, kNo, 0, Dialect::v1, &known) == Err::bad_version);
      continue;
    }
    const Row& r = found->second;
    const bool any = r.ids == "any";
    const bool by_opener = any || r.ids == "opener" || r.ids == "either", by_acceptor = any || r.ids == "acceptor" || r.ids == "either";
    const unsigned said = by_opener ? 7 : kNo, raid = by_opener || r.ids == "none" ? kNo : 7;
    for (const unsigned length : {r.least, r.most}) {
      CHECK(check(r.version, type, said, raid, length, Dialect::v1, &known) == Err::none);
      CHECK(known);
    }
    if (r.least > 0) CHECK(check(r.version, type, said, raid, r.least - 1, Dialect::v1, &known) == Err::bad_length);
    CHECK(check(r.version, type, said, raid, r.most + 1, Dialect::v1, &known) == Err::bad_length);
    CHECK(check(r.version, type, said, raid, 65535, Dialect::v1, &known) == Err::bad_length);
    for (const unsigned version : {0x00u, 0x02u, 0x03u, 0x04u, 0x0fu, 0x10u, 0x11u, 0x12u, 0xffu})
      if (version != r.version) CHECK(check(version, type, said, raid, r.least, Dialect::v1, &known) == Err::bad_version);
    CHECK(check(0x83, type, said, raid, r.least, Dialect::v1, &known) == Err::encrypted);
    for (const unsigned id : {0u, 7u, 0xfffeu}) {
      CHECK((check(r.version, type, id, kNo, r.least, Dialect::v1, &known) == Err::none) == by_opener);
      CHECK((check(r.version, type, kNo, id, r.least, Dialect::v1, &known) == Err::none) == by_acceptor);
      CHECK((check(r.version, type, id, id, r.least, Dialect::v1, &known) == Err::none) == any);
    }
    CHECK((check(r.version, type, kNo, kNo, r.least, Dialect::v1, &known) == Err::none) == (any || r.ids == "none"));
  }
}

TEST_CASE("sockmux(7), SockMux 0.3: its table of packets is what is taken, the other types are ignored") {
  const std::map<unsigned, Row> rows = table("SOCKMUX 0.3", false);
  CHECK(rows.size() == 15);
  bool known = false;
  for (unsigned type = 0; type < 256; ++type) {
    CAPTURE(type);
    const auto found = rows.find(type);
    const unsigned least = found == rows.end() ? 0 : found->second.least, most = found == rows.end() ? 16376 : found->second.most;
    for (const unsigned id : {0u, 0xffu, 0x1234u, 0xffffu}) {
      for (const unsigned length : {least, most}) {
        CHECK(check(3, type, id, id, length, Dialect::v03, &known) == Err::none);
        CHECK(known == (found != rows.end()));
      }
    }
    if (least > 0) CHECK(check(3, type, 0, 0, least - 1, Dialect::v03, &known) == Err::bad_length);
    CHECK(check(3, type, 0, 0, most + 1, Dialect::v03, &known) == Err::bad_length);
    CHECK(check(3, type, 0, 0, 65535, Dialect::v03, &known) == Err::bad_length);
    for (const unsigned version : {0x00u, 0x02u, 0x04u, 0x10u, 0x11u, 0xffu}) CHECK(check(version, type, 0, 0, least, Dialect::v03, &known) == Err::bad_version);
    CHECK(check(0x83, type, 0, 0, least, Dialect::v03, &known) == Err::encrypted);
  }
}

TEST_SUITE_END();
