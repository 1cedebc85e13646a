// The secure link over a link below that takes and gives as little as it likes, and breaks when it likes: what is read is always
// the beginning of what counts as sent, and all of it where nothing breaks.
//
// The loop is a real one with nothing to wait for; both links below live in memory. Each case prints its seed when it fails.
#include <doctest/doctest.h>
#include <errno.h>
#include <stdlib.h>

#include <deque>
#include <memory>

#include "tests/secure/ends.h"
#include "transport/secure_link.h"

using namespace securetest;

namespace {

struct World;

// One end of a link in memory.
class Below final : public Link {
 public:
  Below(std::mt19937& random, std::deque<uint8_t>& in, std::deque<uint8_t>& out) : random_(random), in_(in), out_(out) {}

  IoResult readv(const MutBytes* piece, int pieces) override {
    if (in_.empty()) return broken || ended ? IoResult{0, false, broken ? ECONNRESET : 0} : IoResult{0, true, 0};
    const size_t most = 1 + draw(random_, 1 + (random_() % 4 == 0 ? 100000u : 300u));
    size_t n = 0;
    for (int i = 0; i < pieces; ++i)
      for (size_t k = 0; k < piece[i].size && n < most && !in_.empty(); ++k, ++n) {
        piece[i].data[k] = in_.front();
        in_.pop_front();
      }
    return {n, false, 0};
  }
  IoResult writev(const Bytes* piece, int pieces) override {
    if (breaks_in > 0 && --breaks_in == 0) broken = true;  // in the middle of what somebody writes
    if (broken) return {0, false, EPIPE};
    if (random_() % 4 == 0) return {0, true, 0};
    const size_t most = 1 + draw(random_, 1 + (random_() % 2 == 0 ? 100000u : 300u));
    size_t n = 0;
    for (int i = 0; i < pieces; ++i)
      for (size_t k = 0; k < piece[i].size && n < most && room > 0; ++k, ++n, --room) out_.push_back(piece[i].data[k]), wrote.push_back(piece[i].data[k]);
    return {n, n == 0, 0};
  }
  void want(uint8_t events) override { wanted = events; }
  void set_owner(LinkOwner& o) override { owner = &o; }
  void shut_write() override { shut = true; }
  void close(bool gently) override { (void)gently, closed = shut = true, owner = nullptr; }
  bool lossy() const override { return false; }
  uint32_t rate() const override { return a_second; }
  size_t frame_hint() const override { return 0; }
  Address peer() const override { return {}; }
  std::string_view peer_name() const override { return "memory"; }

  LinkOwner* owner = nullptr;
  uint8_t wanted = 0;
  bool broken = false;  // for both: what is on its way still arrives
  int breaks_in = 0;    // writes
  bool ended = false;   // the other side has shut
  bool shut = false, closed = false;
  Data wrote;
  uint32_t a_second = 0;    // bytes that it carries
  size_t room = SIZE_MAX;   // of these, that it takes now

 private:
  std::mt19937& random_;
  std::deque<uint8_t>&in_, &out_;
};

class Book final : public PeerBook {
 public:
  Keys& keys;
  explicit Book(Keys& k) : keys(k) {}
  bool find_key(const PeerKey& key, SecurePeer* out) const override {
    out->key = key;
    out->name.clear();
    out->name.add("peer");
    out->psk = keys.psk;
    return memcmp(key.bytes, keys.ours.shown, kKey) == 0;
  }
  bool find_name(std::string_view, SecurePeer*) const override { return false; }
  bool find_only(SecurePeer*) const override { return false; }
  bool may_come_from(const PeerKey&, const Address&) const override { return true; }
  uint32_t edition() const override { return changes; }
  uint32_t changes = 0;
};

// One end: a handshake, and then a secure link that is written and read by chance.
class End final : private ShakeOwner, private LinkOwner {
 public:
  End(Reactor& r, Keys& keys, const Book& book, std::mt19937& random, Below& under, bool calls, Carrier carrier)
      : own(calls ? keys.ours.own : keys.theirs.own), links(r), shake(r, own, book), below(under), random_(random) {
    memory.resize(static_cast<size_t>(SecureLinks::arena_bytes(2)));
    new (&arena) Arena(memory.data(), memory.size());
    REQUIRE(links.init(2, Duration{}, arena));
    if (calls) {
      SecurePeer peer;
      memcpy(peer.key.bytes, keys.theirs.shown, kKey);
      peer.psk = keys.psk;
      shake.call(below, carrier, peer, *this, r.now());
    } else {
      shake.answer(below, carrier, {}, *this, r.now());
    }
  }
  ~End() {
    if (link != nullptr) link->close(false);
    shake.reset();
  }

  void act(Time now) {
    if (below.owner != nullptr) {
      const uint8_t ready = static_cast<uint8_t>(below.wanted & (random_() % 3 == 0 ? 0xff : static_cast<unsigned>(kRead)));
      if (ready != 0) below.owner->on_link_ready(ready, now);
    }
    if (shake.state() == Shake::State::queued) shake.step(now);
    if (link == nullptr || error != 0) return;
    if (!blocked && goal > sent.size()) write();
    link->want(static_cast<uint8_t>(kRead | (blocked ? kWrite : 0)));
  }
  void write() {
    const size_t size = 1 + draw(random_, random_() % 4 == 0 ? 200000 : 2000);
    Data bytes = any_data(random_, size);
    const size_t cut = random_() % (size + 1), cut2 = cut + random_() % (size - cut + 1);
    const Bytes piece[3] = {{bytes.data(), cut}, {bytes.data() + cut, cut2 - cut}, {bytes.data() + cut2, size - cut2}};
    const IoResult r = link->writev(piece, 3);
    if (r.error != 0) {
      error = r.error;
      return;
    }
    bytes.resize(r.size);
    sent += bytes;
    blocked = r.again || r.size < size;
    if (goal <= sent.size()) link->shut_write();
  }
  void on_link_ready(uint8_t ready, Time now) override {
    (void)now;
    if ((ready & kWrite) != 0) blocked = false;
    if ((ready & kRead) == 0 || over) return;
    for (int i = 0; i < 2; ++i) {
      Data space(1 + draw(random_, random_() % 2 == 0 ? 100000 : 500));
      const size_t cut = random_() % (space.size() + 1);
      const MutBytes piece[2] = {{space.data(), cut}, {space.data() + cut, space.size() - cut}};
      const IoResult r = link->readv(piece, 2);
      if (r.again) return;
      if (r.size == 0) {
        over = true;
        read_error = r.error;
        return;
      }
      space.resize(r.size);
      heard += space;
    }
  }

  OwnKeys own;
  Data memory;
  Arena arena;
  SecureLinks links;
  Shake shake;
  Below& below;
  SecureLink* link = nullptr;
  Data sent, heard;
  size_t goal = 0;
  bool blocked = false, over = false, failed = false;
  int error = 0, read_error = 0;

 private:
  void on_message(Shake&, Time) override {}
  void on_shaken(Shake& s, Time now) override {
    link = links.make(s, nullptr, now);
    REQUIRE(link != nullptr);
    link->set_owner(*this);
    link->want(kRead);
  }
  void on_shake_failed(Shake& s, Time) override {
    failed = true;
    s.reset();
  }
  std::mt19937& random_;
};

// One for all: it has a descriptor, which it keeps to the end of the process.
Reactor& loop() {
  static Data memory(static_cast<size_t>(Reactor::arena_bytes(64, 64)) + 4096);
  static Arena arena(memory.data(), memory.size());
  static Reactor reactor;
  static const int error = reactor.init(arena, 64, 64);
  REQUIRE(error == 0);
  return reactor;
}

struct World {
  std::mt19937 random;
  Carrier carrier;
  Keys keys;
  Book book{keys};
  Reactor& reactor = loop();
  std::deque<uint8_t> forth, back;
  Below near{random, back, forth}, far{random, forth, back};
  std::unique_ptr<End> caller, callee;

  explicit World(unsigned seed, Carrier c = Carrier::connection, uint32_t rate = 0) : random(seed), carrier(c) {
    near.a_second = far.a_second = rate;
    if (rate > 0) near.room = far.room = 0;
    keys.random.seed(seed);
    callee = std::make_unique<End>(reactor, keys, book, random, far, false, carrier);
    call();
  }
  void call() { caller = std::make_unique<End>(reactor, keys, book, random, near, true, carrier); }
  void step() {
    if (near.shut && forth.empty()) far.ended = true;
    if (far.shut && back.empty()) near.ended = true;
    reactor.turn(Duration{0});
    caller->act(reactor.now());
    callee->act(reactor.now());
  }
};

bool is_prefix(const Data& a, const Data& b) { return a.size() <= b.size() && std::equal(a.begin(), a.end(), b.begin()); }

unsigned seeds(unsigned usual) {
  const char* given = getenv("SEEDS");
  return given == nullptr ? usual : static_cast<unsigned>(atoi(given));
}

}  // namespace

TEST_CASE("secure link: all of both streams arrives, with both ends, over a link that takes and gives as it likes") {
  const uint8_t byte = 0;
  const Bytes more{&byte, 1};
  for (unsigned seed = 1; seed <= seeds(60); ++seed) {
    CAPTURE(seed);
    World w(seed);
    w.caller->goal = 1 + w.random() % 600000;
    w.callee->goal = 1 + w.random() % 600000;
    for (int turn = 0; turn < 200000 && !(w.caller->over && w.callee->over); ++turn) w.step();
    for (const End* e : {w.caller.get(), w.callee.get()}) {
      CHECK(e->over);
      CHECK(e->read_error == 0);
      CHECK(e->error == 0);
      // Nothing goes behind our end: who would still write is not woken for it, again and again.
      CHECK(e->link->writev(&more, 1).again);
      e->link->want(kRead | kWrite);
      CHECK(e->below.wanted == kRead);
    }
    CHECK(w.caller->heard == w.callee->sent);
    CHECK(w.callee->heard == w.caller->sent);
    CHECK(w.callee->link->peer_label() == "peer");
  }
}

// Half a record is nothing when the link is cut.
TEST_CASE("secure link: it begins with short records, and none is longer than a fourth of all before it, and 768 bytes") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    World w(seed);
    w.caller->goal = w.callee->goal = 200000;
    for (int turn = 0; turn < 200000 && !(w.caller->over && w.callee->over); ++turn) w.step();
    CHECK(w.caller->heard == w.callee->sent);
    CHECK(w.callee->heard == w.caller->sent);
    for (const Below* side : {&w.near, &w.far}) {
      const uint8_t* const bytes = side->wrote.data();
      size_t sealed = 0, longest = 0;
      for (size_t at = kMessageHead + load16(bytes + 6) + (side == &w.near ? kTag : 0); at < side->wrote.size(); at += kRecordHead + load16(bytes + at)) {
        REQUIRE(load16(bytes + at) >= kTag);
        const size_t content = load16(bytes + at) - kTag;
        CHECK(content <= 768 + sealed / 4);
        sealed += content;
        longest = std::max(longest, content);
      }
      CHECK(sealed >= 200000);
      CHECK(longest == kRecordContent);
    }
  }
}

TEST_CASE("secure link: on a pipe, who begins again before his first record has come is answered anew") {
  for (unsigned seed = 1; seed <= seeds(20); ++seed) {
    CAPTURE(seed);
    World w(seed, Carrier::pipe);
    for (int turn = 0; turn < 1000 && w.callee->shake.state() != Shake::State::answered; ++turn) w.step();
    REQUIRE(w.callee->shake.state() == Shake::State::answered);
    REQUIRE(w.callee->link == nullptr);
    // The caller starts anew, and what was on its way to it is lost with it. Nobody hears of that on a pipe.
    w.caller.reset();
    w.forth.clear();
    w.back.clear();
    w.near.shut = w.near.closed = false;
    w.call();
    w.caller->goal = w.callee->goal = 10000;
    for (int turn = 0; turn < 20000 && !(w.caller->over && w.callee->over); ++turn) w.step();
    CHECK(w.caller->heard == w.callee->sent);
    CHECK(w.callee->heard == w.caller->sent);
    CHECK(w.caller->sent.size() >= 10000);
    CHECK(w.callee->sent.size() >= 10000);
  }
}

// A clean serial line.
TEST_CASE("secure link: one over a line of 50 baud comes up, too") {
  for (const uint32_t rate : {5u, 11u, 20u, 30u, 60u, 120u, 960u}) {
    CAPTURE(rate);
    World w(rate, Carrier::pipe, rate);
    const Data hello(72);
    Time now = w.reactor.now();
    bool said = false;
    const auto up = [&] { return w.callee->link != nullptr; };
    for (uint64_t ms = 0; !up() && ms < 1000 * (5 + 1000 / rate); ++ms) {
      now = now + millis(1);
      const size_t carried = rate * (ms + 1) / 1000 - rate * ms / 1000;
      for (Below* side : {&w.near, &w.far}) side->room = side->room + carried < 48 ? side->room + carried : 48;
      w.reactor.timers().run(now, 8);
      w.caller->act(now);
      w.callee->act(now);
      if (w.caller->link == nullptr || said) continue;
      const Bytes piece{hello.data(), hello.size()};
      said = w.caller->link->writev(&piece, 1).size > 0;
    }
    CHECK(up());
    CHECK_FALSE(w.caller->failed);
    CHECK_FALSE(w.callee->failed);
  }
}

TEST_CASE("secure link: when the link below breaks, what was read is the beginning of what counts as sent, and that is told as a cut") {
  int mid = 0;
  for (unsigned seed = 1; seed <= seeds(300); ++seed) {
    CAPTURE(seed);
    World w(seed);
    w.caller->goal = w.callee->goal = 400000;
    const unsigned when = static_cast<unsigned>(w.random() % 100);
    for (unsigned turn = 0; turn < 3000; ++turn) {
      if (turn == when) w.near.breaks_in = 1 + static_cast<int>(w.random() % 8);
      w.step();
      if (w.near.broken) w.far.broken = true;
      if (turn == when + 500) w.near.broken = true;
    }
    for (const End* e : {w.caller.get(), w.callee.get()}) {
      const End* other = e == w.caller.get() ? w.callee.get() : w.caller.get();
      CHECK((e->failed || e->over));
      // A stream that had ended before is no cut.
      if (!e->failed && e->read_error == 0) CHECK(e->heard == other->sent);
      if (e->read_error != 0) CHECK(e->link->why().size() > 0);
    }
    CHECK(is_prefix(w.caller->heard, w.callee->sent));
    CHECK(is_prefix(w.callee->heard, w.caller->sent));
    mid += !w.caller->heard.empty() && w.caller->heard.size() < w.callee->sent.size();
  }
  CHECK(mid > static_cast<int>(seeds(300)) / 30);
}

TEST_CASE("secure link: a bit that flips on the way is never read, nor anything behind it") {
  for (unsigned seed = 1; seed <= seeds(200); ++seed) {
    CAPTURE(seed);
    World w(seed);
    w.caller->goal = w.callee->goal = 100000;
    const unsigned when = 20 + static_cast<unsigned>(w.random() % 200);
    bool flipped = false;
    for (unsigned turn = 0; turn < 3000; ++turn) {
      std::deque<uint8_t>& wire = w.random() % 2 == 0 ? w.forth : w.back;
      if (turn >= when && !flipped && !wire.empty()) {
        wire[w.random() % wire.size()] ^= static_cast<uint8_t>(1u << w.random() % 8);
        flipped = true;
      }
      w.step();
    }
    CHECK(is_prefix(w.caller->heard, w.callee->sent));
    CHECK(is_prefix(w.callee->heard, w.caller->sent));
    if (flipped) CHECK((w.caller->failed || w.callee->failed || w.caller->read_error != 0 || w.callee->read_error != 0 || !w.caller->over || !w.callee->over));
  }
}
