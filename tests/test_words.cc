// Quotes, lines of files, and the small tools for texts: config/words.h, config/scan.h.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "config/scan.h"
#include "config/words.h"

namespace {

using smx::LineFault;
using smx::WordsFault;
using Strings = std::vector<std::string>;

struct Memory {
  std::vector<char> bytes = std::vector<char>(256 * 1024);
  smx::Arena arena{bytes.data(), bytes.size()};
};

Strings words(const std::string& text) {
  Memory m;
  smx::View<std::string_view> out;
  if (smx::split_words(text, m.arena, &out) != WordsFault::none) return {"fault"};
  Strings result;
  for (const std::string_view w : out) result.emplace_back(w);
  return result;
}

struct Read {
  Strings lines;
  std::vector<uint32_t> numbers;
  std::vector<LineFault> faults;
  std::string fault_at;
};

Read lines(const std::string& text, bool plain = false) {
  Memory m;
  smx::LineReader reader(text, plain);
  REQUIRE(reader.open(m.arena));
  Read read;
  smx::Line line;
  while (reader.next(&line)) {
    read.lines.emplace_back(line.text);
    read.numbers.push_back(line.number);
    read.faults.push_back(line.fault);
    if (line.fault == LineFault::two_options) read.fault_at = std::string(line.fault_at);
    CHECK(line.text.data()[line.text.size()] == 0);
  }
  return read;
}

LineFault fault(const std::string& text) {
  const Read read = lines(text);
  REQUIRE(read.faults.size() == 1);
  return read.faults[0];
}

}  // namespace

TEST_CASE("words of -in are split at blanks, quotes group and vanish, backslashes are plain") {
  CHECK(words("a b") == Strings{"a", "b"});
  CHECK(words(" \t-vs   TIMEOUT=io:3 ") == Strings{"-vs", "TIMEOUT=io:3"});
  CHECK(words("'a b'\"c d\" e\\ f") == Strings{"a bc d", "e\\", "f"});
  CHECK(words("'' \"\"").empty());
  CHECK(words("").empty());
  CHECK(words("'a") == Strings{"fault"});
  std::string many;
  for (size_t i = 0; i < smx::kMaxListWords; ++i) many += "w ";
  CHECK(words(many).size() == smx::kMaxListWords);
  CHECK(words(many + "w") == Strings{"fault"});
}

TEST_CASE("an option list ends at its own parenthesis") {
  CHECK(smx::find_closing("a)b") == 1);
  CHECK(smx::find_closing("a(b)c)d") == 5);
  CHECK(smx::find_closing("\")\"')')") == 6);
  CHECK(smx::find_closing("(a)") == smx::kNowhere);
  CHECK(smx::find_closing("'a)") == smx::kNowhere);
}

TEST_CASE("a line of a file: blanks, comments, quotes, backslash") {
  CHECK(lines("a\n\n  b\t\r\n#c\nd # e\nf#g\n").lines == Strings{"a", "b", "d", "f"});
  CHECK(lines("a\n\n  b\t\r\n#c\nd").numbers == std::vector<uint32_t>{1, 3, 5});
  CHECK(lines("'a #b'\"c 'd\"").lines == Strings{"a #bc 'd"});
  CHECK(lines("a\\#b\\ \\ c\\\\").lines == Strings{"a#b  c\\"});
  CHECK(lines("'a '  # tail").lines == Strings{"a "});
  CHECK(lines("").lines.empty());
  CHECK(lines("\n\n#\n \t \n").lines.empty());
}

TEST_CASE("a last backslash continues the line, and the number is that of the first") {
  const Read read = lines("x\nPORT=1,\\\n  2,\\\r\n3\ny\n");
  CHECK(read.lines == Strings{"x", "PORT=1,2,3", "y"});
  CHECK(read.numbers == std::vector<uint32_t>{1, 2, 5});
  CHECK(lines("a\\").lines == Strings{"a"});
}

TEST_CASE("what is wrong in a line") {
  CHECK(fault("PORT=\"1") == LineFault::open_quote);
  CHECK(fault("PORT=1 PORT=2") == LineFault::two_options);
  CHECK(lines("PORT=1 -v").fault_at == "-v");
  CHECK(lines("PORT=1   +=f x").fault_at == "+=f");
  CHECK(fault("PORT =1") == LineFault::blank_at_equals);
  CHECK(fault("PORT= 1") == LineFault::blank_at_equals);
  CHECK(fault(std::string("a\0b", 3)) == LineFault::nul);
}

TEST_CASE("blanks that are no fault: in quotes, in -in(...), behind proc@, at commas, in a path") {
  CHECK(fault("PIDFILE=\"a PORT=1\"") == LineFault::none);
  CHECK(fault("SERVER=telnet,-in(-vs TIMEOUT=io:3)") == LineFault::none);
  CHECK(fault("SERVER=sockmux:proc@ssh -T A=b hub") == LineFault::none);
  CHECK(fault("DEST=h:1:10.1.1.1, -P8023") == LineFault::none);
  CHECK(fault("PORT=1, 2") == LineFault::none);
  CHECK(fault("PIDFILE=a b") == LineFault::none);
  CHECK(lines("a = b -c", true).faults[0] == LineFault::none);
}

TEST_CASE("an arena that is too small is told") {
  char bytes[4];
  smx::Arena arena(bytes, sizeof bytes);
  smx::View<std::string_view> out;
  CHECK(smx::split_words("a b c d e", arena, &out) == WordsFault::no_memory);
  smx::LineReader reader("a line", false);
  CHECK_FALSE(reader.open(arena));
}

TEST_CASE("lists are split at commas outside of braces and brackets") {
  Strings items;
  smx::Items list(" a , {b,c} ,[d,e],,f, ");
  std::string_view item;
  while (list.next(&item)) items.emplace_back(item);
  CHECK(items == Strings{"a", "{b,c}", "[d,e]", "", "f"});
  smx::Items none("  ");
  CHECK_FALSE(none.next(&item));
  CHECK(smx::without_braces(" {{a,b}} ") == "a,b");
  CHECK(smx::without_braces("{a},{b}") == "{a},{b}");
  CHECK_FALSE(smx::is_balanced("{a"));
  CHECK_FALSE(smx::is_balanced("a}"));
  CHECK_FALSE(smx::is_balanced("[{]}"));
}

TEST_CASE("numbers are digits only and end at their bound") {
  uint64_t n = 7;
  CHECK(smx::parse_number("65535", 65535, &n));
  CHECK(n == 65535);
  for (const char* bad : {"", "65536", "-1", "+1", "1x", " 1", "99999999999999999999999"}) {
    CHECK_FALSE(smx::parse_number(bad, 65535, &n));
  }
  CHECK(smx::parse_number("18446744073709551615", UINT64_MAX, &n));
  CHECK_FALSE(smx::parse_number("18446744073709551616", UINT64_MAX, &n));
}

TEST_CASE("likeness counts changes and swaps, case aside, up to 2") {
  CHECK(smx::unlikeness("PORT", "port") == 0);
  CHECK(smx::unlikeness("PROT", "PORT") == 1);
  CHECK(smx::unlikeness("RELAIBLE", "RELIABLE") == 1);
  CHECK(smx::unlikeness("DES", "DEST") == 1);
  CHECK(smx::unlikeness("DXXT", "DEST") == 2);
  CHECK(smx::unlikeness("abc", "xyz") == 3);
  CHECK(smx::unlikeness("", "") == 0);
  CHECK(smx::unlikeness(std::string(25, 'a'), std::string(25, 'a')) == 3);
  smx::Nearest nearest("cno");
  nearest.give("io");
  nearest.give("con");
  nearest.give("lin");
  CHECK(nearest.best() == "con");
  smx::Nearest none("ab");
  none.give("xy");
  CHECK(none.best().empty());
}

TEST_CASE("a growing list ends at its bound, or with the arena") {
  Memory m;
  smx::GrowList<int> list(10);
  for (int i = 0; i < 10; ++i) REQUIRE(list.add(m.arena, i));
  CHECK_FALSE(list.add(m.arena, 10));
  CHECK(list.is_full());
  list.remove(0);
  CHECK(list.count() == 9);
  CHECK(list[0] == 1);
  CHECK(list[8] == 9);
  char few[8];
  smx::Arena small(few, sizeof few);
  smx::GrowList<int> other(10);
  CHECK_FALSE(other.add(small, 1));
}
