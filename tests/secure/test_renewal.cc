// Secure links that are made anew over what is no connection: the pipe below stays, nothing that is in it is lost, and no time is
// waited for. The loop is a real one with nothing to wait for; the pipe lives in memory. Read next: transport/secure_dialer.h.
#include <doctest/doctest.h>
#include <errno.h>

#include <deque>
#include <memory>

#include "tests/secure/ends.h"
#include "transport/secure_dialer.h"

using namespace securetest;

namespace {

// One end of a pipe, and who opens it.
class Pipe final : public Link, public Dialer {
 public:
  Pipe(std::mt19937& random, std::deque<uint8_t>& in, std::deque<uint8_t>& out) : random_(random), in_(in), out_(out) {}

  IoResult readv(const MutBytes* piece, int pieces) override {
    REQUIRE(pieces > 0);
    if (in_.empty()) return ended ? IoResult{} : IoResult{0, true, 0};
    const size_t most = 1 + draw(random_, random_() % 2 == 0 ? 70000 : 100);
    size_t n = 0;
    for (; n < piece[0].size && n < most && !in_.empty(); ++n) {
      piece[0].data[n] = in_.front();
      in_.pop_front();
    }
    return {n, false, 0};
  }
  IoResult writev(const Bytes* piece, int pieces) override {
    if (random_() % 4 == 0) return {0, true, 0};
    const size_t most = 1 + draw(random_, random_() % 2 == 0 ? 70000 : 100);
    size_t n = 0;
    for (int i = 0; i < pieces; ++i)
      for (size_t k = 0; k < piece[i].size && n < most; ++k, ++n) {
        if (mute) continue;
        out_.push_back(piece[i].data[k]);
        written += static_cast<char>(piece[i].data[k]);
      }
    return {n, false, 0};
  }
  void want(uint8_t events) override { wanted = events; }
  void set_owner(LinkOwner& o) override { owner = &o; }
  void shut_write() override { ++shuts; }
  void close(bool gently) override { (void)gently, owner = nullptr, open = ended = false; }
  bool clean_start() const override { return false; }
  bool lossy() const override { return false; }
  uint32_t rate() const override { return 0; }
  size_t frame_hint() const override { return 0; }
  Address peer() const override { return {}; }
  std::string_view peer_name() const override { return "memory"; }

  void dial(DialOwner& o, Time now) override {
    ++dials;
    open = true;
    o.on_dialed(*this, now);
  }
  void cancel() override {}
  std::string_view target() const override { return "memory"; }

  // Handshake messages that were written.
  int messages() const {
    int n = 0;
    for (size_t at = 0; (at = written.find(kMagic, at)) != std::string::npos; ++at) ++n;
    return n;
  }

  LinkOwner* owner = nullptr;
  uint8_t wanted = 0;
  bool open = false, ended = false, mute = false;
  int dials = 0, shuts = 0;
  std::string written;

 private:
  std::mt19937& random_;
  std::deque<uint8_t>&in_, &out_;
};

class Book final : public PeerBook {
 public:
  explicit Book(const uint8_t* key) { memcpy(key_.bytes, key, kKey); }
  bool find_key(const PeerKey& key, SecurePeer* out) const override { return memcmp(key.bytes, key_.bytes, kKey) == 0 && find_only(out); }
  bool find_name(std::string_view, SecurePeer*) const override { return false; }
  bool find_only(SecurePeer* out) const override {
    out->key = key_;
    out->name.clear();
    out->name.add("peer");
    return true;
  }
  bool may_come_from(const PeerKey&, const Address&) const override { return true; }
  uint32_t edition() const override { return 0; }

 private:
  PeerKey key_;
};

// Of one world: whose own standard input it is never stops to wait for the other side, so timers are left at the end.
struct Loop {
  Loop() : memory(static_cast<size_t>(Reactor::arena_bytes(64, 64)) + 4096), arena(memory.data(), memory.size()) {
    REQUIRE(reactor.init(arena, 64, 64) == 0);
    now = this;
  }
  Data memory;
  Arena arena;
  Reactor reactor;
  static Loop* now;
};
Loop* Loop::now = nullptr;
Reactor& loop() { return Loop::now->reactor; }

// Who uses the links, as a session does: it says something on each, and dials anew when one is lost.
class Side final : private DialOwner, private LinkOwner {
 public:
  Side(const KeyPair& own_pair, const KeyPair& peer, Pipe& p, SecureDialer::Role role, Duration renew)
      : own(own_pair.own), book(peer.shown), pipe(p), links(loop()), dialer(loop(), p, links, own, book, {}, role, Carrier::pipe) {
    memory.resize(static_cast<size_t>(SecureLinks::arena_bytes(2)));
    new (&arena) Arena(memory.data(), memory.size());
    REQUIRE(links.init(2, renew, arena));
  }
  ~Side() {
    if (link != nullptr) link->close(false);
    dialer.cancel();
  }
  void act(Time now) {
    if (pipe.owner != nullptr && pipe.wanted != 0) pipe.owner->on_link_ready(pipe.wanted, now);
    if (link != nullptr && to_say > 0) {
      const uint8_t bytes[1000] = {};
      const Bytes piece{bytes, to_say};
      const IoResult r = link->writev(&piece, 1);
      if (r.error == 0) to_say -= r.size;
      link->want(kRead | kWrite);
    }
    if (link == nullptr && lost && dials) {
      lost = false;
      dialer.dial(*this, now);
    }
  }

  OwnKeys own;
  Book book;
  Pipe& pipe;
  Data memory;
  Arena arena;
  SecureLinks links;
  SecureDialer dialer;
  SecureLink* link = nullptr;
  size_t to_say = 0, heard = 0;
  bool dials = true, lost = true;
  int ups = 0, failures = 0;

 private:
  void on_dialed(Link& l, Time) override {
    ++ups;
    link = static_cast<SecureLink*>(&l);
    link->set_owner(*this);
    link->want(kRead);
    to_say = 1000;
  }
  void on_dial_failed(std::string_view, Time) override { ++failures; }
  void on_link_ready(uint8_t ready, Time) override {
    if ((ready & kRead) == 0) return;
    uint8_t space[300];
    const MutBytes piece{space, sizeof space};
    const IoResult r = link->readv(&piece, 1);
    heard += r.size;
    if (r.again || r.size > 0) return;
    link->close(false);
    link = nullptr;
    lost = true;
  }
};

constexpr Duration kOften{1000}, kNeverAnew{};

struct World {
  Loop of_it;
  std::mt19937 random;
  Keys keys;
  std::deque<uint8_t> forth, back;
  Pipe near{random, back, forth}, far{random, forth, back};
  std::unique_ptr<Side> caller, callee;

  explicit World(unsigned seed, Duration renew) : random(seed) {
    callee = std::make_unique<Side>(keys.theirs, keys.ours, far, SecureDialer::Role::answers, kNeverAnew);
    call(renew);
  }
  void call(Duration renew) { caller = std::make_unique<Side>(keys.ours, keys.theirs, near, SecureDialer::Role::calls, renew); }
  template <typename Done>
  void run(Done done) {
    for (int turn = 0; turn < 3000000 && !done(); ++turn) {
      loop().turn(Duration{0});
      caller->act(loop().now());
      callee->act(loop().now());
    }
    REQUIRE(done());
  }
  bool is_up() const { return caller->link != nullptr && callee->link != nullptr && caller->heard >= 1000 && callee->heard >= 1000; }
};

}  // namespace

TEST_CASE("secure renewal: over a pipe the next link begins behind the last one, and nothing is said twice, asked for or waited for") {
  for (unsigned seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    World w(seed, kOften);
    w.run([&w] { return w.caller->ups >= 10 && w.callee->ups >= 10; });
    for (const Side* s : {w.caller.get(), w.callee.get()}) {
      CHECK(s->failures == 0);
      CHECK(s->pipe.dials == 1);
      CHECK(s->pipe.shuts == 0);
    }
    CHECK(w.near.messages() <= w.caller->ups + 1);
    CHECK(w.far.messages() <= w.callee->ups + 1);
    CHECK(w.callee->heard >= 1000);
  }
}

TEST_CASE("secure renewal: who finds another process at a pipe where a record was due answers it at once") {
  for (unsigned seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    World w(seed, kNeverAnew);
    w.run([&w] { return w.is_up(); });
    // It is killed, and said no end; its next life begins on the same line.
    w.near.mute = true;
    w.caller = nullptr;
    w.near.mute = false;
    w.near.written.clear();
    w.call(kNeverAnew);
    w.run([&w] { return w.is_up(); });
    CHECK(w.caller->ups == 1);
    CHECK(w.callee->ups == 2);
    CHECK(w.far.dials == 1);
    CHECK(w.near.messages() == 1);
  }
}

TEST_CASE("secure renewal: a pipe on which nobody goes on is given up, and is no failure") {
  World w(1, kOften);
  w.run([&w] { return w.is_up(); });
  w.caller->dials = false;
  w.run([&w] { return w.caller->lost && w.callee->link == nullptr && !w.callee->lost; });
  CHECK(w.near.open);
  loop().timers().run(loop().now() + seconds(1), 10);
  CHECK_FALSE(w.near.open);
  CHECK(w.far.dials == 1);
  w.far.ended = true;
  w.run([&w] { return w.far.dials == 2; });
  CHECK(w.callee->failures == 0);
}

TEST_CASE("secure renewal: a pipe on which no answer comes for 10 s is opened anew") {
  World w(1, kOften);
  w.run([&w] { return w.is_up(); });
  w.callee->dials = false;
  w.run([&w] { return w.callee->lost && w.caller->link == nullptr && !w.caller->lost && w.near.messages() > w.caller->ups; });
  CHECK(w.near.dials == 1);
  loop().timers().run(loop().now() + millis(9900), 10);
  CHECK(w.near.dials == 1);
  loop().timers().run(loop().now() + seconds(11), 10);
  CHECK(w.near.dials == 2);
  CHECK(w.caller->failures == 0);
}
