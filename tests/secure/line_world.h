// Two whole ends of a secure lossy line in virtual time: mux, SecureLine, and a line below with a rate, bit errors and lost
// bytes. What is here of a session is what core/session/session.cc does with a link.
//
// Owner: a test. Invariant: everything follows from the seed. Read next: test_secure_line.cc, tests/sim/noisy.h.
#ifndef SOCKMUX_TESTS_SECURE_LINE_WORLD_H
#define SOCKMUX_TESTS_SECURE_LINE_WORLD_H

#include <functional>
#include <memory>

#include "core/session/trial.h"
#include "tests/secure/ends.h"
#include "tests/sim/noisy.h"
#include "tests/sim/sim.h"
#include "transport/secure_line.h"

namespace securetest {

using Bits = std::string;

// The line below, as transport/tty.cc is one: it is there at once, and takes little more than it has sent.
class FakeLine final : public Dialer, public Link {
 public:
  explicit FakeLine(uint32_t bytes_a_second) : rate_(bytes_a_second) {}

  void dial(DialOwner& dialer, Time now) override {
    open = true;
    dialer.on_dialed(*this, now);
  }
  void cancel() override { FAIL("a line is there at once"); }
  std::string_view target() const override { return "tty x"; }
  IoResult readv(const MutBytes* piece, int) override {
    IoResult r;
    r.size = arrived.size() < piece->size ? arrived.size() : piece->size;
    r.again = r.size == 0;
    memcpy(piece->data, arrived.data(), r.size);
    arrived.erase(0, r.size);
    return r;
  }
  IoResult writev(const Bytes* piece, int) override {
    IoResult r;
    const size_t room = queue.size() < high() ? high() - queue.size() : 0;
    r.size = piece->size < room ? piece->size : room;
    r.again = r.size == 0;
    queue.append(reinterpret_cast<const char*>(piece->data), r.size);
    return r;
  }
  void want(uint8_t events) override { wanted = events; }
  void set_owner(LinkOwner& o) override { owner = &o; }
  void shut_write() override {}
  void close(bool) override {
    open = false;
    wanted = 0;
  }
  bool clean_start() const override { return false; }
  bool forgets() const override { return true; }
  bool lossy() const override { return true; }
  uint32_t rate() const override { return rate_; }
  size_t frame_hint() const override { return 0; }
  Address peer() const override { return {}; }
  std::string_view peer_name() const override { return "tty x"; }

  void turn(Time now) {
    if ((wanted & kWrite) != 0 && queue.size() <= low()) owner->on_link_ready(kWrite, now);
    if ((wanted & kRead) != 0 && !arrived.empty()) owner->on_link_ready(kRead, now);
  }
  bool open = false;
  Bits queue, arrived;
  uint8_t wanted = 0;
  LinkOwner* owner = nullptr;

 private:
  size_t low() const { return rate_ / 100 > 24 ? rate_ / 100 : 24; }
  size_t high() const { return rate_ / 50 > 48 ? rate_ / 50 : 48; }
  const uint32_t rate_;
};

struct OneBook final : PeerBook {
  PeerKey key;
  Secret psk;
  bool empty = false;
  bool find_only(SecurePeer* out) const override { return give(out); }
  bool find_key(const PeerKey& k, SecurePeer* out) const override { return k == key && give(out); }
  bool find_name(std::string_view name, SecurePeer* out) const override { return name == "peer" && give(out); }
  bool may_come_from(const PeerKey&, const Address&) const override { return true; }
  uint32_t edition() const override { return 0; }

 private:
  bool give(SecurePeer* out) const {
    if (empty) return false;
    out->key = key;
    out->psk = psk;
    out->name.clear();
    out->name.add("peer");
    return true;
  }
};

inline std::mt19937& world_random() {
  static std::mt19937 random;
  return random;
}
inline Secret world_secret() { return Secret(any_data(world_random(), kKey).data()); }

// One end: a process.
class Side final : private DialOwner, private LinkOwner {
 public:
  Side(int n, const KeyPair& own, const uint8_t peer[kKey], const Secret& psk, uint32_t rate, Duration renew)
      : below(rate), keys(own.own), timers_(timer_memory_, 8), bench(config(n)), line(timers_, below, keys, book, "", renew, world_secret), n_(n) {
    memcpy(book.key.bytes, peer, kKey);
    book.psk = psk;
    bench.is_line = bench.is_lossy = bench.accept_at_once = true;
    bench.rate = rate;
  }
  static MuxConfig config(int n) {
    MuxConfig c;
    c.hold = seconds(60);
    c.opens = c.accepts = 20;
    c.memory_bytes = 1u << 20;
    c.tx_ring = c.rx_ring = 64 * 1024;
    strcpy(c.host, n == 0 ? "a" : "b");
    return c;
  }

  FakeLine below;
  OneBook book;
  OwnKeys keys;

 private:
  BareTimer* timer_memory_[8];
  TimerHeap timers_;

 public:
  bench::Bench bench;
  SecureLine line;
  std::vector<Err> errors;   // that links have ended with
  std::string why;           // the last dial failed
  int links = 0;

  bool up() const { return link_ != nullptr && bench.mux.up(); }
  bool linked() const { return link_ != nullptr; }
  void start(Time now) { line.dial(*this, now); }
  void turn(Time now) {
    bench.now = now;
    if (redial_at_ <= now) {
      redial_at_ = kNever;
      line.dial(*this, now);
    }
    timers_.run(now, 8);
    below.turn(now);
    if (link_ != nullptr && bench.mux.deadline() <= now) over(bench.mux.tick(now), now);
    int error = 0;
    while (link_ != nullptr && !blocked_ && write_once(bench.mux, *link_, &blocked_, &error, now)) REQUIRE(error == 0);
    bench.mux.verify();
    if (link_ != nullptr) link_->want(static_cast<uint8_t>(kRead | (blocked_ ? kWrite : 0)));
  }
  // The link ends here, as at an error; the session is held.
  void drop(Time now) {
    if (link_ == nullptr) return;
    bench.mux.link_down(now);
    link_->close(false);
    link_ = nullptr;
    redial_at_ = now + millis(100);
  }

 private:
  void on_dialed(Link& link, Time now) override {
    link_ = &link;
    ++links;
    blocked_ = false;
    link.set_owner(*this);
    REQUIRE(link.sealer() != nullptr);
    bench.sealer = link.sealer();
    bench.now = now;
    const Data random = any_data(world_random(), 24);
    const std::string stamp = "20261123-08592" + std::to_string(n_) + "." + std::to_string(100000 + world_random()() % 900000);
    bench.up(bench::Data(random.begin(), random.end()), stamp.c_str(), uint64_t{process_} << 32 | static_cast<uint32_t>(links));
    read(now);
    if (link_ != nullptr) link_->want(kRead);
  }
  void on_dial_failed(std::string_view reason, Time now) override {
    why = std::string(reason);
    redial_at_ = now + seconds(1);
  }
  void on_link_ready(uint8_t ready, Time now) override {
    if ((ready & kWrite) != 0) blocked_ = false;
    if ((ready & kRead) != 0) read(now);
  }
  void read(Time now) {
    bench.now = now;
    while (link_ != nullptr) {
      MutBytes space[2];
      (void)bench.mux.rx_space(space);
      const IoResult r = link_->readv(space, 1);
      REQUIRE(r.error == 0);
      if (r.again) return;
      over(bench.mux.received(r.size, now), now);
    }
  }
  void over(Err e, Time now) {
    if (e == Err::none) return;
    errors.push_back(e);
    drop(now);
  }

  const uint32_t process_ = static_cast<uint32_t>(world_random()());
  Link* link_ = nullptr;
  bool blocked_ = false;
  Time redial_at_ = kNever;
  int n_;
};

class LineWorld {
 public:
  explicit LineWorld(uint32_t rate = 960, unsigned seed = 1) : rate_(rate), rng_(seed) {
    world_random().seed(seed);
    keys[0] = KeyPair(world_secret());
    keys[1] = KeyPair(world_secret());
    psk[0] = psk[1] = world_secret();
    // Side 0 begins: it has the smaller public key.
    if (memcmp(keys[0].shown, keys[1].shown, kKey) > 0) std::swap(keys[0], keys[1]);
    shown[0] = data_of({keys[1].shown, kKey});
    shown[1] = data_of({keys[0].shown, kKey});
  }

  double flips = 0, drops = 0;  // of bits, of bytes
  bool dead = false;            // nothing arrives
  Duration renew{0}, patience{0};
  KeyPair keys[2];
  Secret psk[2];
  Data shown[2];                // the key that side i knows of its peer
  uint64_t carried[2] = {};     // bytes that side i has put on the line
  std::function<void(int, Bits&)> spoil;  // what side i has sent, before it arrives
  Time now{1000000};

  Side& operator[](int i) { return *side_[i]; }
  // A new process at that end. What the old one has written last is on the line still.
  void start(int i) {
    Bits left;
    if (side_[i]) left = side_[i]->below.queue;
    side_[i].reset();
    side_[i] = std::make_unique<Side>(i, keys[i], shown[i].data(), psk[i], rate_, renew);
    side_[i]->line.set_patience(patience);
    side_[i]->below.queue = left;
    side_[i]->start(now);
  }
  void both() {
    start(0);
    start(1);
  }
  bool up() { return side_[0]->up() && side_[1]->up(); }
  // Until `done`, at most so long; false: it never was.
  bool run(Duration limit, const std::function<bool()>& done) {
    const Time until = now + limit;
    while (!done()) {
      if (now >= until) return false;
      step();
    }
    return true;
  }
  void run(Duration span) {
    (void)run(span, [] { return false; });
  }
  // A channel of side 0 that both know.
  ChannelId open() {
    Side &a = *side_[0], &b = *side_[1];
    b.bench.log.clear();
    const ChannelId id = a.bench.open("?");
    REQUIRE(run(seconds(60), [&] { return b.bench.log.find("open") != std::string::npos && b.bench.at(b.bench.opened).in == "?"; }));
    b.bench.at(b.bench.opened).in.clear();
    return id;
  }

 private:
  void step() {
    constexpr int64_t kStep = 1000;  // us
    now = now + Duration{kStep};
    Bits arrives[2];
    for (int i = 0; i < 2; ++i) {
      if (!side_[i]) continue;
      side_[i]->turn(now);
      Bits& queue = side_[i]->below.queue;
      credit_[i] = queue.empty() ? 0 : credit_[i] + static_cast<uint64_t>(rate_) * kStep;
      for (; credit_[i] >= 1000000 && !queue.empty(); credit_[i] -= 1000000) {
        char c = queue[0];
        queue.erase(0, 1);
        ++carried[i];
        if (drops > 0 && chance(drops)) continue;
        for (int bit = 0; flips > 0 && bit < 8; ++bit)
          if (chance(flips)) c = static_cast<char>(c ^ 1 << bit);
        arrives[i].push_back(c);
      }
    }
    for (int i = 0; i < 2; ++i) {
      if (spoil) spoil(i, arrives[i]);
      if (dead || !side_[1 - i]) continue;
      Bits& there = side_[1 - i]->below.arrived;
      there += arrives[i];
      if (there.size() > 4096) there.resize(4096);  // as a terminal does that nobody reads
    }
  }
  bool chance(double p) { return static_cast<double>(rng_.next() >> 11) < p * 9007199254740992.0; }

  uint32_t rate_;
  sim::Rng rng_;
  std::unique_ptr<Side> side_[2];
  uint64_t credit_[2] = {};
};

using bench::pattern;

}  // namespace securetest

#endif
