// What has arrived of a stream whose pieces are lost. Read next: core/mux/gaps.h.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "core/mux/gaps.h"

using namespace smx;

namespace {

constexpr Duration kTurn = millis(100);

std::string due(Gaps& g, Time now) {
  std::string out;
  Range gap;
  while (g.next_due(now, kTurn, &gap)) out += std::to_string(gap.from) + "-" + std::to_string(gap.to) + " ";
  return out;
}

}  // namespace

TEST_SUITE_BEGIN("gaps");

TEST_CASE("gaps: in order there are none") {
  Gaps g;
  g.reset(100);
  g.add(100, 50, Time{1});
  g.add(150, 0, Time{1});
  g.add(90, 70, Time{1});
  CHECK(g.mine() == 160);
  CHECK(g.seen() == 160);
  CHECK(g.none());
  CHECK(due(g, Time{1}) == "");
  CHECK(g.deadline(kTurn) == kNever);
}

TEST_CASE("gaps: each is named once, and again when its answer is late") {
  Gaps g;
  g.reset(0);
  g.add(10, 5, Time{1000});
  g.add(20, 0, Time{1000});
  CHECK(g.has_new());
  CHECK(g.deadline(kTurn) == kNever);  // it is to be asked for now
  CHECK(due(g, Time{1000}) == "0-10 15-20 ");
  CHECK_FALSE(g.has_new());
  CHECK(g.mine() == 0);
  CHECK(g.seen() == 20);
  CHECK(g.deadline(kTurn) == Time{101000});
  CHECK(due(g, Time{100999}) == "");
  CHECK(due(g, Time{101000}) == "0-10 15-20 ");
  g.add(0, 10, Time{102000});
  CHECK(g.mine() == 15);
  g.add(15, 5, Time{103000});
  CHECK(g.mine() == 20);
  CHECK(g.none());
}

TEST_CASE("gaps: how long an answer takes is learned from those that were asked for once") {
  Gaps g;
  g.reset(0);
  g.add(10, 10, Time{1});
  CHECK(due(g, Time{1}) == "0-10 ");
  g.add(0, 10, Time{40001});
  g.add(30, 10, Time{50000});
  CHECK(due(g, Time{50000}) == "20-30 ");
  CHECK(g.deadline(kTurn) == Time{50000 + 80000});
}

TEST_CASE("gaps: more pieces than there is place for are missed again later") {
  Gaps g;
  g.reset(0);
  for (uint64_t i = 1; i <= Gaps::kMost + 5; ++i) g.add(i * 10, 5, Time{1});
  CHECK(g.seen() == Gaps::kMost * 10 + 5);
  g.add(3, 2, Time{1});
  g.add(0, 3, Time{1});  // 3 to 5 had no place
  CHECK(g.mine() == 3);
  g.add(3, 7, Time{1});
  CHECK(g.mine() == 15);
}

TEST_CASE("gaps: pieces in any order and of any size: what it says is what there is") {
  std::mt19937 random(1);
  const auto below = [&](uint64_t n) { return static_cast<size_t>(std::uniform_int_distribution<uint64_t>(0, n - 1)(random)); };
  for (int run = 0; run < 60; ++run) {
    Gaps g;
    g.reset(0);
    std::vector<bool> there(400, false);
    for (int i = 0; i < 200 && g.mine() < 400; ++i) {
      const size_t off = below(400);
      const size_t n = below(400 - off < 30 ? 400 - off + 1 : 30);
      g.add(off, n, Time{i});
      for (size_t k = 0; k < n; ++k) there[off + k] = true;
      size_t mine = 0;
      while (mine < 400 && there[mine]) ++mine;
      REQUIRE(g.mine() == mine);
      // All that it asks for is missing, and all that is missing before seen() is asked for in time.
      std::vector<bool> asked(400, false);
      Range gap;
      while (g.next_due(Time{int64_t{1000000} * (i + 1)}, kTurn, &gap)) {
        REQUIRE(gap.from < gap.to);
        for (uint64_t k = gap.from; k < gap.to; ++k) asked[static_cast<size_t>(k)] = true;
      }
      for (size_t k = 0; k < g.seen(); ++k) REQUIRE(asked[k] == !there[k]);
    }
  }
}

TEST_CASE("ranges: what must be sent again is joined, taken in order, and what was acknowledged since is left out") {
  Ranges r;
  uint64_t from = 0;
  CHECK(r.take(0, 100, &from) == 0);
  r.add(50, 60);
  r.add(10, 20);
  r.add(20, 30);   // touches
  r.add(58, 70);   // overlaps
  r.add(90, 100);
  CHECK(r.take(0, 15, &from) == 15);
  CHECK(from == 10);
  CHECK(r.take(0, 100, &from) == 5);
  CHECK(from == 25);
  CHECK(r.take(55, 100, &from) == 15);
  CHECK(from == 55);
  r.add(80, 200);  // takes the last one in
  CHECK(r.take(0, 1000, &from) == 120);
  CHECK(from == 80);
  CHECK(r.take(0, 1000, &from) == 0);
}

TEST_CASE("ranges: random ones, against a set of bytes") {
  std::mt19937 random(2);
  const auto below = [&](uint64_t n) { return static_cast<size_t>(std::uniform_int_distribution<uint64_t>(0, n - 1)(random)); };
  for (int run = 0; run < 60; ++run) {
    Ranges r;
    std::vector<bool> wanted(100, false);
    for (int i = 0; i < 40; ++i) {
      const size_t a = below(99), b = a + 1 + below(99 - a);
      r.add(a, b);
      for (size_t k = a; k < b; ++k) wanted[k] = true;
      if (below(2) == 0) continue;
      const size_t least = below(20);
      uint64_t from = 0;
      const size_t n = r.take(least, 1 + below(20), &from);
      size_t first = least;
      while (first < 100 && !wanted[first]) ++first;
      REQUIRE((n > 0) == (first < 100));
      if (n > 0) REQUIRE(from == first);
      for (size_t k = 0; k < (n > 0 ? from + n : 100); ++k) {
        if (n > 0 && k >= from) REQUIRE(wanted[k]);
        wanted[k] = false;
      }
    }
  }
}

TEST_SUITE_END();
