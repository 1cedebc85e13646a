// core/session/likeness: which older link of a clear hub a new one is taken to follow. Rules: sockmux(7), "Session".
#include <doctest/doctest.h>

#include "core/session/likeness.h"

using namespace smx;

namespace {

Address at(uint8_t last) {
  Address a = loopback_of(4);
  a.ip[3] = last;
  return a;
}

}  // namespace

TEST_SUITE_BEGIN("likeness");

TEST_CASE("likeness: names decide where both have one") {
  CHECK(likeness({"r1", "OpenWrt", at(2)}, {"r1", "x", at(3)}) == Likeness::is);
  CHECK(likeness({"r1", "OpenWrt", at(2)}, {"r2", "OpenWrt", at(2)}) == Likeness::other);
  CHECK(likeness({"r1", "OpenWrt", at(2)}, {"", "x", at(2)}) == Likeness::seems);
  CHECK(likeness({"", "", at(2)}, {"r1", "", {}}) == Likeness::other);
}

TEST_CASE("likeness: an address is enough, and a host name only where there is none") {
  CHECK(likeness({"", "a", at(2)}, {"", "b", at(2)}) == Likeness::seems);
  CHECK(likeness({"", "a", at(2)}, {"", "a", {}}) == Likeness::seems);
  CHECK(likeness({"", "a", {}}, {"", "a", {}}) == Likeness::seems);
  CHECK(likeness({"", "a", {}}, {"", "b", {}}) == Likeness::other);
  CHECK(likeness({"", "", {}}, {"", "", {}}) == Likeness::other);
}

TEST_CASE("likeness: two addresses with one host name may be two hosts; and localhost is everybody") {
  CHECK(likeness({"", "OpenWrt", at(2)}, {"", "OpenWrt", at(3)}) == Likeness::maybe);
  CHECK(likeness({"", "localhost", at(2)}, {"", "localhost", at(3)}) == Likeness::other);
  CHECK(likeness({"", "localhost", {}}, {"", "localhost", at(3)}) == Likeness::other);
}

TEST_SUITE_END();
