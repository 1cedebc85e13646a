// transport/secure_door and buckets: what strangers may cost before they have shown who they are. Time is what the test says it
// is; links are buffers. Rules: sockmux(7), "What a flood costs".
#include <stdlib.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "core/io/process.h"
#include "core/io/resident.h"
#include "tests/secure/ends.h"
#include "transport/secure_door.h"

using namespace securetest;

namespace {

Address ip(uint32_t n) {
  Address a;
  a.family = 4;
  store32(a.ip, 0x0a000000u + n);
  a.port = 1000;
  return a;
}

Address ip6(uint32_t net, uint32_t host) {
  Address a;
  a.family = 6;
  store32(a.ip + 4, net);
  store32(a.ip + 12, host);
  return a;
}

// A link whose other end is the test.
class FakeLink final : public Link {
 public:
  explicit FakeLink(const Address& from) : from_(from) {}
  IoResult readv(const MutBytes* piece, int) override {
    if (in.empty()) return ended ? IoResult{0, false, 0} : IoResult{0, true, 0};
    const size_t n = piece[0].size < in.size() ? piece[0].size : in.size();
    memcpy(piece[0].data, in.data(), n);
    in.erase(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(n));
    return {n, false, 0};
  }
  IoResult writev(const Bytes* piece, int pieces) override {
    size_t all = 0;
    for (int i = 0; i < pieces; ++i) {
      out += data_of(piece[i]);
      all += piece[i].size;
    }
    return {all, false, 0};
  }
  void want(uint8_t) override {}
  void set_owner(LinkOwner& o) override { owner = &o; }
  void shut_write() override {}
  void close(bool) override { closed = true; }
  bool lossy() const override { return false; }
  uint32_t rate() const override { return 0; }
  size_t frame_hint() const override { return 0; }
  Address peer() const override { return from_; }
  std::string_view peer_name() const override { return "test"; }

  void says(const Data& bytes, Time now) {
    in += bytes;
    owner->on_link_ready(kRead, now);
  }
  void ends(Time now) {
    ended = true;
    owner->on_link_ready(kRead, now);
  }
  LinkOwner* owner = nullptr;
  Data in, out;
  bool closed = false, ended = false;

 private:
  Address from_;
};

class OnePeer final : public PeerBook {
 public:
  explicit OnePeer(const Keys& keys) : keys_(keys) {}
  bool find_key(const PeerKey& key, SecurePeer* out) const override {
    if (!equal(key.bytes, keys_.ours.shown, kKey)) return false;
    out->key = key;
    out->name.clear();
    out->name.add("branch1");
    out->psk = keys_.psk;
    return true;
  }
  bool find_name(std::string_view, SecurePeer*) const override { return false; }
  bool find_only(SecurePeer*) const override { return false; }
  bool may_come_from(const PeerKey&, const Address&) const override { return true; }
  uint32_t edition() const override { return changes; }
  uint32_t changes = 0;

 private:
  const Keys& keys_;
};

// One for all tests, since it keeps a descriptor for ever.
Reactor& loop() {
  static Arena arena;
  static Reactor reactor;
  static const bool made = [] {
    const size_t bytes = size_t{1} << 20;
    new (&arena) Arena(reserve_memory(bytes), bytes);
    return reactor.init(arena, 64, 4096) == 0;
  }();
  REQUIRE(made);
  return reactor;
}

// What a door is put into.
struct House final : private LinkTaker {
  explicit House(uint32_t half_open) {
    const size_t bytes = size_t{64} << 20;
    new (&arena) Arena(reserve_memory(bytes), bytes);
    REQUIRE(links.init(64, Duration{0}, arena));
    REQUIRE(door.init(half_open, own, book, nullptr, arena));
    now = reactor.now();
  }
  FakeLink& comes(const Address& from) {
    all.push_back(std::make_unique<FakeLink>(from));
    static_cast<void>(door.attach(*all.back(), now));
    return *all.back();
  }
  void turns(int n) {
    for (int i = 0; i < n; ++i) reactor.turn(Duration{0});
  }
  bool attach(Link& link, Time) override {
    proven.push_back(&link);
    return true;
  }
  // Behind message 2: it is the peer.
  void proves(Caller& c, FakeLink& l) {
    REQUIRE(c.take(l.out, now) == Initiator::Got::up);
    LinkKeys link_keys;
    c.i.keys(&link_keys);
    RecordWriter w;
    w.start(link_keys.tx, now);
    Data record(kRecord);
    memcpy(record.data() + kRecordHead, "x", 1);
    record.resize(w.seal(record.data(), 1, now));
    l.says(record, now);
  }
  void comes_in(const Address& from) {
    FakeLink& l = comes(from);
    Caller c(keys);
    l.says(c.begin(), now);
    turns(6);
    proves(c, l);
  }
  // A message 1 of somebody whom the book does not name.
  Data of_stranger() {
    Caller c(keys, keys.stranger, keys.theirs.shown, keys.psk);
    return c.begin();
  }

  Keys keys;
  Secret own_secret = keys.theirs.own;
  OwnKeys own{own_secret};
  OnePeer book{keys};
  Reactor& reactor = loop();
  Arena arena;
  SecureLinks links{reactor};
  std::vector<std::unique_ptr<FakeLink>> all;
  std::vector<Link*> proven;
  SecureDoor door{reactor, links, *this};
  Time now;
};

// They live on, as their timers do.
House& house(uint32_t half_open) {
  static std::vector<std::unique_ptr<House>> all;
  all.push_back(std::make_unique<House>(half_open));
  return *all.back();
}

// Runs once.
struct Waker final : Task {
  ~Waker() { task_node.leave(); }
  int woken = 0;
  void on_task(Time) override { ++woken; }
};

size_t open_ones(const House& h) {
  size_t n = 0;
  for (const auto& l : h.all) n += l->closed ? 0u : 1u;
  return n;
}

}  // namespace

TEST_SUITE_BEGIN("door");

TEST_CASE("buckets: 20 handshakes may fail, and one more in each second; those of others do not count") {
  auto b = std::make_unique<Buckets>();
  for (int i = 0; i < Buckets::kFull; ++i) {
    CHECK(b->has_some(ip(1), at(i)));
    b->charge(ip(1), at(i));
  }
  CHECK_FALSE(b->has_some(ip(1), at(20)));
  CHECK(b->has_some(ip(2), at(20)));
  CHECK_FALSE(b->has_some(ip(1), at(999)));
  CHECK(b->has_some(ip(1), at(1000)));  // a second after the first one
  b->charge(ip(1), at(1000));
  CHECK_FALSE(b->has_some(ip(1), at(1999)));
  CHECK(b->has_some(ip(1), at(2000)));
}

TEST_CASE("buckets: what is left of a second is not lost, and a bucket is never more than full") {
  auto b = std::make_unique<Buckets>();
  for (int i = 0; i < Buckets::kFull; ++i) b->charge(ip(1), at(0));
  int allowed = 0;
  for (int ms = 100; ms <= 30000; ms += 700) {
    if (!b->has_some(ip(1), at(ms))) continue;
    b->charge(ip(1), at(ms));
    ++allowed;
  }
  CHECK(allowed >= 29);
  CHECK(allowed <= 30);
  for (int i = 0; i < Buckets::kFull; ++i) {
    CHECK(b->has_some(ip(1), at(10000000)));
    b->charge(ip(1), at(10000000));
  }
  CHECK_FALSE(b->has_some(ip(1), at(10000000)));
}

TEST_CASE("buckets: one for each address of IPv4 and each /64 of IPv6; ports do not count") {
  auto b = std::make_unique<Buckets>();
  Address other_port = ip(1);
  other_port.port = 7;
  for (int i = 0; i < Buckets::kFull; ++i) b->charge(i % 2 == 0 ? ip(1) : other_port, at(0));
  CHECK_FALSE(b->has_some(ip(1), at(0)));
  for (uint32_t i = 0; i < Buckets::kFull; ++i) b->charge(ip6(1, i), at(0));
  CHECK_FALSE(b->has_some(ip6(1, 99), at(0)));
  CHECK(b->has_some(ip6(2, 0), at(0)));
}

TEST_CASE("buckets: of more addresses than there are buckets the oldest is forgotten; none from where peers have come") {
  auto b = std::make_unique<Buckets>();
  for (int i = 0; i < Buckets::kFull; ++i) b->charge(ip(0), at(0));
  for (int i = 0; i < Buckets::kFull; ++i) b->charge(ip(1), at(1));
  b->praise(ip(7));
  for (uint32_t i = 2; i < Places::kMost; ++i) b->charge(ip(i), at(2));
  CHECK_FALSE(b->has_some(ip(0), at(2)));
  b->charge(ip(5000), at(3));
  CHECK(b->has_some(ip(0), at(3)));
  CHECK_FALSE(b->has_some(ip(1), at(3)));
  for (uint32_t i = 0; i < 5000; ++i) b->charge(ip(10000 + i), at(4));
  CHECK(b->is_known(ip(7)));
  CHECK_FALSE(b->is_known(ip(8)));
  for (uint32_t i = 0; i < Places::kMost; ++i) b->praise(ip(20000 + i));
  CHECK_FALSE(b->is_known(ip(7)));
  CHECK(b->is_known(ip(20000)));
}

TEST_CASE("door: 16 of one address may be half open; one that has said nothing for a second makes room") {
  House& h = house(64);
  for (uint32_t i = 0; i < SecureDoor::kOfOneAddress; ++i) CHECK_FALSE(h.comes(ip(1)).closed);
  CHECK(h.comes(ip(1)).closed);
  CHECK_FALSE(h.comes(ip(2)).closed);
  h.now = h.now + seconds(1);
  CHECK_FALSE(h.comes(ip(1)).closed);
  CHECK(h.all[0]->closed);
  CHECK(open_ones(h) == SecureDoor::kOfOneAddress + 1);
}

TEST_CASE("door: where all places are taken one link waits outside, no more are accepted, and it comes in when there is room") {
  House& h = house(4);
  Waker waker;
  for (uint32_t i = 0; i < 4; ++i) {
    CHECK(h.door.has_room(waker));
    h.comes(ip(i));
  }
  FakeLink& outside = h.comes(ip(9));
  CHECK_FALSE(outside.closed);
  CHECK(outside.owner == nullptr);
  CHECK_FALSE(h.door.has_room(waker));
  CHECK(open_ones(h) == 5);
  SUBCASE("one of them ends") { h.all[2]->ends(h.now); }
  SUBCASE("one of them says what is none of ours") { h.all[1]->says(text("GET / HTTP/1.0\r\n"), h.now); }
  h.turns(2);
  CHECK(outside.owner != nullptr);
  CHECK(h.door.has_room(waker));
  h.turns(1);
  CHECK(waker.woken == 1);
}

TEST_CASE("door: who does not know our key is closed without a word, and after 20 times not heard for a while") {
  House& h = house(64);
  Data wrong = h.of_stranger();
  wrong.back() ^= 1;
  for (int i = 0; i < Buckets::kFull; ++i) {
    FakeLink& l = h.comes(ip(1));
    CHECK_FALSE(l.closed);
    l.says(wrong, h.now);
    CHECK(l.closed);
    CHECK(l.out.empty());
  }
  CHECK(h.comes(ip(1)).closed);
  CHECK_FALSE(h.comes(ip(2)).closed);
  h.now = h.now + seconds(1);
  CHECK_FALSE(h.comes(ip(1)).closed);
}

TEST_CASE("door: one that only waits to be refused makes room at once, and is charged") {
  House& h = house(1);
  for (int i = 0; i <= Buckets::kFull; ++i) {
    FakeLink& l = h.comes(ip(1));
    CHECK(l.closed == (i == Buckets::kFull));
    if (i > 0) CHECK(h.all[static_cast<size_t>(i) - 1]->closed == (i < Buckets::kFull));
    if (l.closed) break;
    l.says(h.of_stranger(), h.now);
    h.turns(2);
    CHECK(l.out.empty());  // a second has to pass
    CHECK_FALSE(l.closed);
    h.now = h.reactor.now();
  }
}

TEST_CASE("door: a peer gets in; from then on its address comes first, and waits where a stranger's is closed") {
  House& h = house(64);
  h.comes_in(ip(1));
  REQUIRE(h.proven.size() == 1);
  CHECK(h.proven[0]->peer_label() == "branch1");

  FakeLink& stranger = h.comes(ip(2));
  stranger.says(h.of_stranger(), h.now);
  FakeLink& known = h.comes(ip(1));
  Caller c(h.keys);
  known.says(c.begin(), h.now);
  h.turns(5);
  CHECK(c.take(known.out, h.now) == Initiator::Got::up);

  Waker waker;
  for (uint32_t i = 1; i < SecureDoor::kOfOneAddress; ++i) CHECK_FALSE(h.comes(ip(1)).closed);
  FakeLink& outside = h.comes(ip(1));
  CHECK_FALSE(outside.closed);
  CHECK_FALSE(h.door.has_room(waker));
}

TEST_CASE("door: who says nothing behind message 2 keeps others out for a second, and not until he is given up") {
  House& h = house(64);
  h.comes_in(ip(1));
  REQUIRE(h.proven.size() == 1);
  h.now = h.reactor.now();
  std::vector<FakeLink*> silent;
  for (uint32_t i = 0; i < SecureDoor::kOfOneAddress; ++i) {
    Caller c(h.keys);
    silent.push_back(&h.comes(ip(1)));
    silent.back()->says(c.begin(), h.now);
    h.turns(6);
    REQUIRE(c.take(silent.back()->out, h.now) == Initiator::Got::up);
    h.now = h.reactor.now();
  }
  FakeLink& outside = h.comes(ip(1));
  Waker waker;
  CHECK_FALSE(h.door.has_room(waker));
  h.reactor.timers().run(h.now + seconds(1), 10);
  CHECK(outside.owner != nullptr);
  CHECK(h.door.has_room(waker));
  CHECK(silent[0]->closed);
  CHECK_FALSE(silent[1]->closed);
}

TEST_CASE("door: one peer that comes in again and again does not keep out another one from where none has come") {
  House& h = house(64);
  h.comes_in(ip(1));
  FakeLink& other = h.comes(ip(2));
  Caller c(h.keys);
  other.says(c.begin(), h.now);
  struct Again {
    explicit Again(House& h) : caller(h.keys), link(h.comes(ip(1))) { link.says(caller.begin(), h.now); }
    Caller caller;
    FakeLink& link;
  };
  std::vector<std::unique_ptr<Again>> again;
  for (int turn = 0; turn < 100 && other.out.empty(); ++turn) {
    for (auto& a : again)
      if (a != nullptr && !a->link.out.empty()) h.proves(a->caller, a->link), a = nullptr;
    again.erase(std::remove(again.begin(), again.end(), nullptr), again.end());
    while (again.size() < 3) again.push_back(std::make_unique<Again>(h));
    h.turns(1);
    h.now = h.reactor.now();
  }
  CHECK(h.proven.size() > 2);  // they were served, too
  CHECK(c.take(other.out, h.now) == Initiator::Got::up);
}

TEST_CASE("door: the HELLO of a clear link is answered with BYE, in words") {
  House& h = house(4);
  FakeLink& l = h.comes(ip(1));
  l.says(unhex("030100ff00ff000461626300"), h.now);
  CHECK(l.closed);
  REQUIRE(l.out.size() > 9);
  CHECK(l.out[0] == 0x10);
  CHECK(l.out[8] == 0x83);
  CHECK(Data(l.out.begin() + 9, l.out.end()) == text("secure link only: use SERVER=sockmuxs://"));
}

TEST_SUITE_END();
