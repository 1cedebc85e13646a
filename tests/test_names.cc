// What the names in lists of hosts mean, and what of that outlives a change of the lists.
#include "core/io/names.h"

#include <doctest/doctest.h>

#include "tests/loop.h"

using namespace smx;

namespace {

// 192.0.2.N for the name of one letter, "a": 1
int known(void* asked, std::string_view name, Address out[Resolved::kMost]) {
  ++*static_cast<int*>(asked);
  if (name.size() != 1) return 0;
  out[0] = Address{4, {192, 0, 2, static_cast<uint8_t>(name[0] - 'a' + 1)}, 0};
  return 1;
}

struct World : smxtest::Loop {
  World() : Loop(static_cast<size_t>(Names::arena_bytes(3))) { resolver.set_known(known, &asked); }
  Names::Answer is(std::string_view name, uint8_t last) const { return names.has_address(name, Address{4, {192, 0, 2, last}, 0}, reactor.now()); }

  Resolver resolver{reactor};
  Names names{reactor, resolver};
  int asked = 0;
};

}  // namespace

TEST_CASE("names: a list that changes keeps what is known of the names that stay, and forgets the others") {
  World w;
  const std::string_view first[] = {"a", "b"}, second[] = {"c", "b", "d"}, third[] = {"d"};
  REQUIRE(w.names.init(first, 2, 3, w.arena));
  CHECK(w.is("a", 1) == Names::Answer::unknown);
  w.names.refresh(w.reactor.now());
  CHECK(w.until([&] { return w.is("a", 1) == Names::Answer::yes && w.is("b", 2) == Names::Answer::yes; }));
  CHECK(w.is("a", 2) == Names::Answer::no);
  const int asked = w.asked;
  w.names.renew(second, 3);
  CHECK(w.asked == asked);
  CHECK(w.is("a", 1) == Names::Answer::unknown);
  CHECK(w.is("b", 2) == Names::Answer::yes);  // not asked for again
  CHECK(w.is("c", 3) == Names::Answer::unknown);
  w.names.refresh(w.reactor.now());
  CHECK(w.until([&] { return w.is("c", 3) == Names::Answer::yes && w.is("d", 4) == Names::Answer::yes; }));
  for (int i = 0; i < 5; ++i) {  // within the room that there is
    w.names.renew(third, 1);
    CHECK(w.is("d", 4) == Names::Answer::yes);
    CHECK(w.is("b", 2) == Names::Answer::unknown);
    w.names.renew(second, 3);
  }
}
