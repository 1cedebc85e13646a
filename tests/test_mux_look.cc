// Looking at all channels of a mux, a part at a time, while they come and go; and what is counted of each.
// Rules: core/mux/mux.h, next_channel(). Read next: daemon_channels.cc, which looks.
#include <doctest/doctest.h>

#include <map>
#include <set>

#include "tests/sim/bench.h"

using namespace smx;
using namespace bench;

namespace {

// The side that accepts, with as many channels each way as there can be.
MuxConfig largest() {
  MuxConfig c;
  c.accepts = c.opens = 60000;
  c.first_credit = 512;
  c.memory_bytes = Mux::guaranteed_bytes(c);
  return c;
}

struct Hub : Bench {
  Hub() : Bench(largest()) {
    REQUIRE(ok);
    up(hex("21d40e58 5a0f3c71b2e84d96a1c7085be43f9d20"), "20261123-085921.114471");
    const Data hello = hex("0301ffffffff0029 32303236313132332d3038353932312e30383639343020723120736d782f313a396633633031613700");
    REQUIRE(feed(hello) == Err::none);
    (void)write_all();
    Settings s;
    s.answered_nonce = 0x21d40e58;
    s.credit = 512;
    s.channels = 60000;
    s.has_attempt = true;
    REQUIRE(feed(packet(s)) == Err::none);
    REQUIRE(feed(packet(kUnnumbered, Type::echo, 0xffff, 0xffff, be64(0))) == Err::none);
    (void)write_all();
  }
};

using Id = std::pair<uint32_t, uint32_t>;
Id of(ChannelId id) { return {id.slot, id.generation}; }

}  // namespace

TEST_CASE("looking at 60,000 channels: each that stays is seen once, in pieces that are bounded, while others come and go") {
  Hub a;
  std::vector<ChannelId> open;
  while (a.mux.can_open() && open.size() < 60000) open.push_back(a.mux.open(a.now));
  REQUIRE(open.size() == 60000);
  REQUIRE(a.mux.channels() == 60000);
  std::set<Id> stays;
  for (size_t i = 0; i < open.size(); i += 3) stays.insert(of(open[i]));
  std::map<Id, int> seen;
  uint32_t slot = 0, turns = 0, goes = 1;
  uint64_t most = 0;
  while (slot < a.mux.slots()) {
    uint32_t looks = 500;
    for (int rows = 0; rows < 25 && looks > 0; ++rows, ++slot) {
      const Channel* c = a.mux.next_channel(&slot, &looks);
      if (c == nullptr) break;
      ++seen[of(a.mux.id_of_slot(slot))];
      CHECK(a.mux.has(a.mux.id_of_slot(slot)));
    }
    most = std::max<uint64_t>(most, 500 - looks);
    ++turns;
    // Between two pieces some end, and others begin in their places.
    for (int i = 0; i < 40 && goes < open.size(); ++i, goes += goes % 3 == 1 ? 1 : 2) a.mux.abort(open[goes], CloseCode::reset);
    for (int i = 0; i < 20; ++i) (void)a.mux.open(a.now);
  }
  CHECK(turns > 60000 / 3 / 25);
  CHECK(most <= 500);
  for (const Id& id : stays) CHECK(seen[id] == 1);
  for (const auto& s : seen) CHECK(s.second == 1);
  a.mux.verify();
}

TEST_CASE("looking at few channels in a large table costs few looks, and none where there is none") {
  Hub a;
  uint32_t slot = 0, looks = 1000;
  CHECK(a.mux.next_channel(&slot, &looks) == nullptr);
  CHECK(slot == a.mux.slots());
  CHECK(looks == 1000);
  const ChannelId id = a.mux.open(a.now);
  slot = 0;
  looks = 1000;
  REQUIRE(a.mux.next_channel(&slot, &looks) != nullptr);
  CHECK(slot == id.slot);
  ++slot;
  CHECK(a.mux.next_channel(&slot, &looks) == nullptr);
  CHECK(slot == a.mux.slots());
  CHECK(looks >= 998);
  CHECK_FALSE(a.mux.has({id.slot, id.generation + 1}));
  CHECK_FALSE(a.mux.has({a.mux.slots(), 0}));
  CHECK_FALSE(a.mux.has({0xffffffff, 0}));
  CHECK_FALSE(a.mux.has({id.slot + 1, 0}));  // never made
}

TEST_CASE("of a channel: bytes each way, when it was opened and moved last, and the peer's client") {
  Hub a;
  const Data connect = packet(kNumbered, Type::connect, 7, 0xffff, hex("01 0107 04c0a80114c3d6 0207 04c0a80101233f"));
  a.now = a.now + seconds(100);
  REQUIRE(a.feed(connect) == Err::none);
  uint32_t slot = 0, looks = 1000;
  const Channel* c = a.mux.next_channel(&slot, &looks);
  REQUIRE(c != nullptr);
  Text<60> client;
  append_address(client, a.mux.client_of(*c));
  CHECK(client.text() == "192.168.1.20:50134");
  const ChannelFacts* f = c->facts();
  CHECK(f->rx_bytes == 0);
  a.now = a.now + seconds(10);
  a.mux.accept(a.opened, a.now);
  a.locals[a.opened.slot].out = "12345";
  a.mux.local_readable(a.opened);
  (void)a.write_all();
  REQUIRE(a.feed(packet(kNumbered, Type::send, 7, 0xffff, "abc")) == Err::none);
  CHECK(f->tx_bytes == 5);
  CHECK(f->rx_bytes == 3);
  const Time later = a.now + seconds(5);
  const auto about = [](Duration d, int64_t s) { return d.us / 1000 >= s * 1000 - 70 && d.us / 1000 <= s * 1000 + 70; };
  CHECK(about(ChannelFacts::since(f->opened, later), 15));
  CHECK(about(ChannelFacts::since(f->moved, later), 5));
}
