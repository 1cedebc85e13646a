// Lossy lines: whatever a line does to the bytes, they arrive once, whole and in order. Rules: sockmux(7), "Lossy lines".
// Read next: core/mux/mux_line.cc; test_line.cc for the frames alone.
#include <doctest/doctest.h>

#include <algorithm>

#include "core/mux/line.h"
#include "tests/sim/noisy.h"

using namespace smx;
using namespace bench;

namespace {

struct Two : NoisyLine {
  explicit Two(uint32_t rate = 11520, uint64_t seed = 1) : NoisyLine(seed, rate, line_config("a"), line_config("b")) {}
  Bench& a() { return (*this)[0]; }
  Bench& b() { return (*this)[1]; }
  bool up() { return a().mux.up() && b().mux.up(); }
  bool come_up(Duration limit = seconds(20)) {
    return run(limit, [&] { return up(); });
  }
  // A channel of A that both ends know.
  ChannelId open() {
    const ChannelId id = a().open("?");
    REQUIRE(run(seconds(60), [&] { return b().log.find("open") != std::string::npos && b().at(b().opened).in == "?"; }));
    b().at(b().opened).in.clear();
    return id;
  }
  // Up, with a channel; then the link is lost, and both hold the session.
  void come_up_and_hold() {
    both();
    REQUIRE(come_up());
    (void)open();
    stop(0);
    stop(1);
    REQUIRE(a().mux.held());
    REQUIRE(b().mux.held());
  }
};

// One frame of a hand-made peer.
Data frame(uint64_t off, uint64_t ack, const Data& unnumbered, const Data& numbered = "") {
  uint8_t out[kLineFrame];
  LineFrame f;
  f.off = static_cast<uint16_t>(off);
  f.ack = static_cast<uint16_t>(ack);
  f.unnumbered = {reinterpret_cast<const uint8_t*>(unnumbered.data()), unnumbered.size()};
  f.numbered = {reinterpret_cast<const uint8_t*>(numbered.data()), numbered.size()};
  return Data(reinterpret_cast<char*>(out), encode_line(f, out));
}

struct Heard {
  uint16_t off, ack;
  Data unnumbered, numbered;
};
std::vector<Heard> frames(const Data& line) {
  LineDecoder d;
  std::vector<Heard> out;
  Bytes in{reinterpret_cast<const uint8_t*>(line.data()), line.size()};
  for (;;) {
    const LineDecoder::Got got = d.take(&in);
    if (got == LineDecoder::Got::nothing) return out;
    REQUIRE(got == LineDecoder::Got::block);
    LineFrame f;
    REQUIRE(parse_block(d.block(), &f));
    out.push_back({f.off, f.ack, Data(reinterpret_cast<const char*>(f.unnumbered.data), f.unnumbered.size),
                   Data(reinterpret_cast<const char*>(f.numbered.data), f.numbered.size)});
  }
}

Data hello(const char* word = " smx/1:00000001", const char* stamp = "20261123-085921.114471") {
  return packet(kVersion03, Type::hello, kNone, kNone, std::string(stamp) + " peer" + word + std::string(1, '\0'));
}

// A mux on a line whose other end is made by hand: it answers.
struct Alone {
  // `patient`: the peer is waited for without end.
  explicit Alone(bool patient = true) : e(line_config("a")) {
    e.is_line = patient;
    e.search = e.is_lossy = e.accept_at_once = true;
    e.rate = 960;
    e.up();
  }
  void up() {
    const std::vector<Heard> first = frames(e.write_all());
    REQUIRE(!first.empty());
    const HelloWord word = parse_hello_word({reinterpret_cast<const uint8_t*>(first[0].unnumbered.data()) + kHeader, first[0].unnumbered.size() - kHeader});
    REQUIRE(word.present);
    nonce = word.nonce;
    CHECK(e.feed(frame(0, 0, hello())) == Err::none);
    CHECK(types(frames(e.write_all()).back().unnumbered) == "10");
    CHECK(e.feed(frame(0, 0, settings())) == Err::none);
    REQUIRE(e.mux.up());
    (void)e.write_all();
  }
  Data settings() const {
    Settings s;
    s.answered_nonce = nonce;
    memset(s.session, 7, sizeof s.session);
    s.credit = 4096;
    s.channels = 100;
    s.hold_s = 60;
    s.has_attempt = nonce < 1;
    return packet(s);
  }
  Bench e;
  uint32_t nonce = 0;
};

}  // namespace

TEST_SUITE_BEGIN("lossy");

TEST_CASE("lossy: two sides come up, data go both ways, and an end of each") {
  Two t;
  t.both();
  REQUIRE(t.come_up());
  const ChannelId id = t.a().open(pattern(1, 5000), true);
  REQUIRE(t.run(seconds(30), [&] { return t.b().at(t.b().opened).in.size() == 5000; }));
  CHECK(t.b().at(t.b().opened).in == pattern(1, 5000));
  t.b().send(t.b().opened, pattern(2, 3000), true);
  REQUIRE(t.run(seconds(30), [&] { return t.a().log.find("done") != std::string::npos && t.b().log.find("done") != std::string::npos; }));
  CHECK(t.a().at(id).in == pattern(2, 3000));
  CHECK(t.run(seconds(5), [&] { return t.a().mux.channels() + t.b().mux.channels() == 0; }));
  CHECK(t.a().mux.stats().bad_frames == 0);
  CHECK(t.a().mux.stats().frames_again == 0);
}

TEST_CASE("lossy: bit errors of 1e-4 and 0.1 % of the bytes lost: 1 MB each way arrives whole, at every speed") {
  for (const uint32_t rate : {960u, 11520u, 100000u, 300000u}) {
    CAPTURE(rate);
    Two t(rate, rate);
    t.flips = 1e-4;
    t.drops = 1e-3;
    t.both();
    REQUIRE(t.come_up(seconds(60)));
    const size_t size = rate == 960 ? 100000 : 1000000;
    const ChannelId id = t.open();
    t.a().send(id, pattern(1, size), true);
    t.b().send(t.b().opened, pattern(2, size), true);
    const Time start = t.now();
    const bool done = t.run(seconds(5000), [&] { return t.a().at(id).in.size() >= size && t.b().at(t.b().opened).in.size() >= size; });
    CHECK(done);
    CHECK(t.a().at(id).in == pattern(2, size));
    CHECK(t.b().at(t.b().opened).in == pattern(1, size));
    const double share = static_cast<double>(size) * 1e6 / static_cast<double>((t.now() - start).us) / rate;
    MESSAGE(rate, " bytes/s: ", share * 100, " % of the line for data; bad frames ", t.a().mux.stats().bad_frames, ", sent again ", t.a().mux.stats().frames_again);
    CHECK(share > 0.2);
    CHECK(t.error[0] == Err::none);
    CHECK(t.error[1] == Err::none);
  }
}

TEST_CASE("lossy: at 9600 baud with bulk both ways a key press takes at most 500 ms in 95 of 100, and bulk keeps 85 % of the line") {
  Two t(960);
  t.both();
  REQUIRE(t.come_up());
  const size_t size = 200000;
  const ChannelId bulk = t.open();
  const ChannelId far_bulk = t.b().opened;
  t.a().send(bulk, pattern(1, size));
  t.b().send(far_bulk, pattern(2, size));
  const ChannelId keys = t.open();
  const ChannelId far_keys = t.b().opened;
  t.run(seconds(10));
  const Time start = t.now();
  const size_t before = t.b().at(far_bulk).in.size();
  std::vector<int64_t> times;
  for (size_t i = 1; i <= 60; ++i) {
    const Time press = t.now();
    t.a().send(keys, "k");
    REQUIRE(t.run(seconds(10), [&] { return t.b().at(far_keys).in.size() == i; }));
    t.b().send(far_keys, "K");
    REQUIRE(t.run(seconds(10), [&] { return t.a().at(keys).in.size() == i; }));
    times.push_back((t.now() - press).us / 1000);
    t.run(millis(static_cast<int64_t>(i * 379 % 2000)));  // a second, on average
  }
  std::sort(times.begin(), times.end());
  const double share = static_cast<double>(t.b().at(far_bulk).in.size() - before) * 1e6 / static_cast<double>((t.now() - start).us) / 960;
  MESSAGE("key press ms: median ", times[30], ", p95 ", times[56], ", longest ", times.back(), "; bulk has ", share * 100, " % of the line");
  CHECK(times[56] <= 500);
  CHECK(share >= 0.85);
}

TEST_CASE("lossy: what comes back from the line, as from a modem that echoes, is not the other side's") {
  for (const int side : {0, 1}) {
    CAPTURE(side);
    Two t;
    t.both();
    REQUIRE(t.come_up());
    const ChannelId id = t.open(), far = t.b().opened;
    Bench& echoed = t[side];
    std::string said;
    bool comes_back = true;
    t.spoil = [&](int i, std::string& bytes) {
      if (i != side || !comes_back) return;
      said += bytes;
      bytes.clear();
    };
    echoed.send(side == 0 ? id : far, pattern(1, 500));
    t.run(seconds(1));
    const uint64_t bad = echoed.mux.stats().bad_frames;
    CHECK(echoed.feed(said) == Err::none);
    CHECK(echoed.mux.stats().bad_frames > bad);
    echoed.mux.verify();
    comes_back = false;
    t.a().send(id, pattern(3, 700), true);
    t.b().send(far, pattern(2, 3000), true);
    CHECK(t.run(seconds(60), [&] { return t.a().mux.channels() + t.b().mux.channels() == 0; }));
    CHECK(t.a().at(id).in == (side == 0 ? "" : pattern(1, 500)) + pattern(2, 3000));
    CHECK(t.b().at(far).in == (side == 0 ? pattern(1, 500) : "") + pattern(3, 700));
    CHECK(t.error[0] == Err::none);
    CHECK(t.error[1] == Err::none);
  }
}

TEST_CASE("lossy: frames that come again when their numbers are in use again are noise, and nothing that comes now") {
  Two t(115200);
  t.both();
  REQUIRE(t.come_up());
  const ChannelId id = t.open(), far = t.b().opened;
  std::string kept;
  t.spoil = [&](int i, std::string& bytes) {
    if (i == 0 && kept.size() < 3000) kept += bytes;
  };
  t.a().send(id, pattern(1, 90000), true);
  REQUIRE(t.run(seconds(60), [&] { return t.b().at(far).in.size() >= 50000; }));
  REQUIRE(kept.size() >= 3000);
  const uint64_t bad = t.b().mux.stats().bad_frames;
  CHECK(t.b().feed(kept) == Err::none);  // of 65536 bytes before what would look like them
  CHECK(t.b().mux.stats().bad_frames > bad);
  t.b().send(far, "", true);
  CHECK(t.run(seconds(60), [&] { return t.a().mux.channels() + t.b().mux.channels() == 0; }));
  CHECK(t.b().at(far).in == pattern(1, 90000));
  CHECK(t.error[0] == Err::none);
  CHECK(t.error[1] == Err::none);
}

TEST_CASE("lossy: behind 64 KiB, too, what is lost is sent again, and the session goes on over the next link") {
  Two t(115200);
  t.flips = 1e-4;
  t.drops = 1e-3;
  t.both();
  REQUIRE(t.come_up());
  const ChannelId id = t.open(), far = t.b().opened;
  t.a().send(id, pattern(1, 300000), true);
  t.b().send(far, pattern(2, 200000), true);
  for (const size_t upto : {70000u, 140000u}) {
    REQUIRE(t.run(seconds(120), [&] { return t.b().at(far).in.size() >= upto; }));
    t.a().mux.link_down(t.now());
    t.start(0);
    REQUIRE(t.run(seconds(10), [&] { return t.error[1] == Err::restarted; }));
    t.start(1);
    REQUIRE(t.come_up());
    CHECK(t.a().mux.resumed());
  }
  CHECK(t.run(seconds(300), [&] { return t.a().mux.channels() + t.b().mux.channels() == 0; }));
  CHECK(t.b().at(far).in == pattern(1, 300000));
  CHECK(t.a().at(id).in == pattern(2, 200000));
}

TEST_CASE("lossy: HELLO is said every second, later every 5 s, until somebody is there, however long that takes") {
  Two t;
  t.start(0);
  t.dead = true;
  t.run(seconds(30));
  const uint64_t often = t.carried[0];
  CHECK(t.error[0] == Err::none);
  t.run(seconds(300));
  const uint64_t seldom = t.carried[0] - often;
  CHECK(seldom < often * 3);
  CHECK(seldom > often);
  CHECK(t.error[0] == Err::none);
  t.dead = false;
  t.start(1);
  CHECK(t.come_up(seconds(7)));
}

TEST_CASE("lossy: a HELLO or SETTINGS that is lost comes again; the same ask gets the same answer") {
  // Everything of one side is lost for a while, at each moment of the handshake.
  for (int from_ms = 0; from_ms < 60; from_ms += 2) {
    for (int side = 0; side < 2; ++side) {
      CAPTURE(from_ms);
      CAPTURE(side);
      Two t;
      const Time begin = t.now();
      t.spoil = [&](int i, std::string& bytes) {
        const int64_t ms = (t.now() - begin).us / 1000;
        if (i == side && ms >= from_ms && ms < from_ms + 40) bytes.clear();
      };
      t.both();
      REQUIRE(t.come_up(seconds(10)));
      const ChannelId id = t.a().open(pattern(1, 100), true);
      REQUIRE(t.run(seconds(30), [&] { return t.b().at(t.b().opened).in.size() == 100; }));
      t.b().send(t.b().opened, "", true);
      CHECK(t.run(seconds(30), [&] { return t.a().log.find("done") != std::string::npos; }));
      (void)id;
      CHECK(t.error[0] == Err::none);
      CHECK(t.error[1] == Err::none);
    }
  }
}

TEST_CASE("lossy: what was lost at the very end of a burst is asked for, too") {
  for (int lose_ms = 0; lose_ms < 40; ++lose_ms) {
    CAPTURE(lose_ms);
    Two t;
    t.both();
    REQUIRE(t.come_up());
    const ChannelId id = t.open();
    t.run(seconds(2));
    const Time begin = t.now();
    t.spoil = [&](int i, std::string& bytes) {
      const int64_t us = (t.now() - begin).us;
      if (i == 0 && us >= lose_ms * 1000 && us < (lose_ms + 3) * 1000) bytes.clear();
    };
    t.a().send(id, pattern(3, 150));
    REQUIRE(t.run(seconds(10), [&] { return t.b().at(t.b().opened).in.size() == 150; }));
    CHECK(t.b().at(t.b().opened).in == pattern(3, 150));
    CHECK(t.error[0] == Err::none);
  }
}

TEST_CASE("lossy: a spoilt byte costs two frames at most") {
  Two t;
  t.both();
  REQUIRE(t.come_up());
  const ChannelId id = t.open();
  t.a().send(id, pattern(1, 100000));
  for (int i = 0; i < 20; ++i) {
    t.spoil = nullptr;
    t.run(millis(97));
    bool done = false;
    t.spoil = [&done, i](int side, std::string& bytes) {
      if (side != 0 || done || bytes.empty()) return;
      done = true;
      switch (i % 3) {
        case 0: bytes[0] = static_cast<char>(bytes[0] ^ 0x10); break;
        case 1: bytes.erase(0, 1); break;
        default: bytes.insert(0, 1, '\0'); break;
      }
    };
    const uint64_t before = t.b().mux.stats().bad_frames;
    t.run(millis(200));
    CHECK(done);
    CHECK(t.b().mux.stats().bad_frames - before >= 1);
    CHECK(t.b().mux.stats().bad_frames - before <= 2);
  }
  t.spoil = nullptr;
  REQUIRE(t.run(seconds(30), [&] { return t.b().at(t.b().opened).in.size() == 100000; }));
  CHECK(t.b().at(t.b().opened).in == pattern(1, 100000));
}

TEST_CASE("lossy: datagrams of any size arrive whole and in order, one that would take the line for 2 s is dropped") {
  Two t;
  t.flips = 1e-4;
  t.drops = 1e-3;
  t.both();
  REQUIRE(t.come_up());
  const ChannelId bulk = t.open();
  t.a().send(bulk, pattern(5, 40000));
  const ChannelId far_bulk = t.b().opened;
  std::vector<Data> sent;
  for (const size_t size : {0u, 1u, 200u, 237u, 238u, 2000u, 10000u}) sent.push_back(pattern(size, size));
  std::vector<Data> all = sent;
  all.insert(all.begin() + 3, pattern(9, 60000));
  const ChannelId flow = t.a().open_flow(all);
  REQUIRE(t.run(seconds(60), [&] { return t.b().opened.slot != far_bulk.slot && t.b().at(t.b().opened).got.size() >= sent.size(); }));
  CHECK((t.b().at(t.b().opened).got == sent));
  CHECK(t.a().at(flow).too_large == 1);
  CHECK(t.run(seconds(60), [&] { return t.b().at(far_bulk).in.size() == 40000; }));
}

TEST_CASE("lossy: a line that falls silent is given up, and the session goes on when it is back") {
  Two t;
  t.both();
  REQUIRE(t.come_up());
  const ChannelId id = t.open();
  t.a().send(id, pattern(1, 20000));
  t.run(millis(300));
  t.dead = true;
  const Time begin = t.now();
  REQUIRE(t.run(seconds(30), [&] { return t.error[0] != Err::none; }));
  CHECK(t.error[0] == Err::silent);
  CHECK((t.now() - begin).us / 1000000 <= 17);
  CHECK(t.a().mux.held());
  t.dead = false;
  t.start(0);  // the other side is told by its HELLO
  REQUIRE(t.run(seconds(10), [&] { return t.error[1] != Err::none; }));
  CHECK(t.error[1] == Err::restarted);
  t.start(1);
  REQUIRE(t.come_up());
  CHECK(t.a().mux.resumed());
  CHECK(t.b().mux.resumed());
  REQUIRE(t.run(seconds(30), [&] { return t.b().at(t.b().opened).in.size() == 20000; }));
  CHECK(t.b().at(t.b().opened).in == pattern(1, 20000));
}

// As with one wire of a cable broken: it never hears us, and says HELLO without end.
TEST_CASE("lossy: a session is held for no longer where the peer says HELLO and nothing behind it, whoever is to ask") {
  for (const bool asker : {false, true}) {
    CAPTURE(asker);
    Two t;
    t.a().is_asker = asker;
    t.b().is_asker = !asker;
    t.come_up_and_hold();
    t.spoil = [](int i, std::string& bytes) {
      if (i == 0) bytes.clear();
    };
    t.both();
    t.run(seconds(55), [&] { return t.error[0] != Err::none; });
    CHECK(t.error[0] == Err::none);
    CHECK(t.a().mux.state() == (asker ? Mux::State::ask : Mux::State::wait));
    CHECK(t.a().mux.channels() == 1);
    REQUIRE(t.run(seconds(10), [&] { return t.error[0] != Err::none; }));
    CHECK(t.error[0] == Err::handshake_timeout);
    (void)t.a().mux.tick(t.now());
    CHECK(t.a().mux.channels() == 0);
  }
}

TEST_CASE("lossy: the answerer starts anew while the asker still asks: the same ask, said again, is no late one") {
  Two t;
  t.a().is_asker = true;
  t.come_up_and_hold();
  bool lost = true;  // what the answerer says from its answer on
  t.spoil = [&](int i, std::string& bytes) {
    if (lost && i == 1 && t.b().mux.up()) bytes.clear();
  };
  t.both();
  REQUIRE(t.run(seconds(5), [&] { return t.b().mux.up(); }));
  t.run(millis(200));
  REQUIRE_FALSE(t.a().mux.up());
  t.stop(1);
  lost = false;
  t.start(1);
  REQUIRE(t.come_up());
  CHECK(t.a().mux.resumed());
  CHECK(t.b().mux.resumed());
}

TEST_CASE("lossy: our own bytes that come back, a login prompt and noise are no HELLO") {
  Alone one;
  const Data mine = one.e.write_all();
  CHECK(one.e.feed(mine) == Err::none);
  CHECK(one.e.feed("\r\nrouter login: ") == Err::none);
  CHECK(one.e.feed(pattern(9, 5000)) == Err::none);
  CHECK(one.e.mux.state() == Mux::State::hello);
  CHECK(one.e.wait(seconds(100)) == Err::none);
}

TEST_CASE("lossy: a peer that makes no frames is told from noise, and the user what to do") {
  Alone one;
  (void)one.e.write_all();
  CHECK(one.e.feed(Data(1, '\0') + hello("")) == Err::none);
  CHECK(one.e.wait(seconds(30)) == Err::unframed);
  // But not if frames come, too: that was of an earlier run.
  Alone other;
  CHECK(other.e.feed(Data(1, '\0') + hello("")) == Err::none);
  CHECK(other.e.wait(seconds(10)) == Err::none);
  CHECK(other.e.feed(frame(0, 0, hello())) == Err::none);
  CHECK(other.e.wait(seconds(30)) == Err::none);
  CHECK(other.e.mux.state() == Mux::State::ask);
}

TEST_CASE("lossy: behind a program nobody is waited for without end, and the log says what came") {
  Alone silent(false);
  CHECK(silent.e.wait(seconds(10)) == Err::none);
  CHECK(silent.e.wait(seconds(20)) == Err::handshake_timeout);
  Alone bare(false);
  CHECK(bare.e.feed(Data(1, '\0') + hello("")) == Err::none);
  CHECK(bare.e.wait(seconds(30)) == Err::unframed);
  Alone stuck(false);  // what is bare was of an earlier run, and the next says no more than HELLO
  CHECK(stuck.e.feed(Data(1, '\0') + hello("")) == Err::none);
  CHECK(stuck.e.feed(frame(0, 0, hello())) == Err::none);
  CHECK(stuck.e.wait(seconds(60)) == Err::handshake_timeout);
  Alone good(false);
  good.up();
  const Err later = good.e.wait(seconds(30));  // this peer acknowledges nothing
  CHECK(later != Err::handshake_timeout);
  CHECK(later != Err::unframed);
}

TEST_CASE("lossy: the peer is a secure link: the link ends, and the log says what is missing; but not one that is up") {
  const Data block("SMXS\x01\x03\x00\x01\x04", 9);
  uint8_t out[kLineFrame];
  const Data line(reinterpret_cast<char*>(out), encode_block({reinterpret_cast<const uint8_t*>(block.data()), block.size()}, out));
  Alone one;
  CHECK(one.e.feed(line) == Err::speaks_secure);
  CHECK(std::string(name(Err::speaks_secure)).find("SERVER=sockmuxs") != std::string::npos);
  Alone other;
  other.up();
  CHECK(other.e.feed(line) != Err::speaks_secure);
}

TEST_CASE("lossy: a HELLO without the word does not lead to 0.3") {
  Alone one;
  CHECK(one.e.feed(frame(0, 0, hello(""))) == Err::none);
  CHECK(one.e.mux.dialect() == Dialect::unknown);
  one.up();
}

TEST_CASE("lossy: frames that break the rules: the link ends") {
  const auto unnumbered = [](Type t, const Data& payload) { return packet(kUnnumbered, t, kNone, kNone, payload); };
  const struct {
    const char* what;
    Data line;
    Err e;
  } kCases[] = {
      {"REPEAT of what was never sent", frame(0, 0, unnumbered(Type::repeat, be64(0) + be64(1))), Err::bad_ack},
      {"REPEAT from there", frame(0, 0, unnumbered(Type::repeat, be64(1) + be64(0))), Err::bad_ack},
      {"ACK, which frames do not need", frame(0, 0, unnumbered(Type::ack, be64(0))), Err::bad_type},
      {"an unnumbered packet in the stream", frame(0, 0, "", unnumbered(Type::echo, be64(0))), Err::bad_version},
      {"a numbered packet among the others", frame(0, 0, packet(kNumbered, Type::fin, 0, kNone, "")), Err::bad_version},
      {"half a packet", frame(0, 0, unnumbered(Type::echo, be64(0)).substr(0, 12)), Err::bad_length},
      {"half a header", frame(0, 0, Data("\x10\x09", 2)), Err::bad_length},
      {"a type that is none", frame(0, 0, unnumbered(static_cast<Type>(0x92), "")), Err::bad_type},
  };
  for (const auto& k : kCases) {
    CAPTURE(std::string(k.what));
    Alone one;
    one.up();
    CHECK(one.e.feed(k.line) == k.e);
  }
  Alone good;
  good.up();
  CHECK(good.e.feed(frame(0, 0, unnumbered(Type::repeat, be64(0) + be64(0)))) == Err::none);
  CHECK(good.e.feed(frame(0, 0, unnumbered(Type::echo, be64(3)))) == Err::none);
  const std::vector<Heard> answer = frames(good.e.write_all());
  REQUIRE(answer.size() == 1);
  CHECK(types(answer[0].unnumbered) == "49");
}

TEST_CASE("lossy: a frame that acknowledges what was never sent is noise, whatever its checksum") {
  Alone one;
  one.up();
  const uint64_t before = one.e.mux.stats().bad_frames;
  CHECK(one.e.feed(frame(0, 1, "")) == Err::none);
  CHECK(one.e.feed(frame(0, 20000, Data(9, 'x'), Data("\x10\x49", 2))) == Err::none);
  CHECK(one.e.mux.stats().bad_frames == before + 2);
  CHECK(one.e.feed(frame(0, 0, packet(kUnnumbered, Type::echo, kNone, kNone, be64(3)))) == Err::none);
  CHECK(types(frames(one.e.write_all()).back().unnumbered) == "49");
}

TEST_CASE("lossy: a gap is asked for at once, once, and again if the answer does not come; what is behind it is kept") {
  Alone one;
  one.up();
  (void)one.e.wait(seconds(1));
  (void)one.e.write_all();
  const Data connect = manual(3, 'C')[0];
  const Data send = packet(kNumbered, Type::send, 5, kNone, "hello");
  const Data more = packet(kNumbered, Type::send, 5, kNone, ", world");
  const size_t first = connect.size(), second = first + send.size(), all = second + more.size();
  const auto asked = [&] {
    std::string out;
    for (const Heard& h : frames(one.e.write_all()))
      for (const Packet& p : split(h.unnumbered))
        if (p.is(Type::repeat)) out += to_hex(p.payload.substr(6, 2)) + "-" + to_hex(p.payload.substr(14, 2)) + " ";
    return out;
  };
  const auto range = [](size_t from, size_t to) { return to_hex(be64(from).substr(6)) + "-" + to_hex(be64(to).substr(6)) + " "; };
  CHECK(one.e.feed(frame(first, 0, "", send.substr(0, 6))) == Err::none);
  CHECK(asked() == range(0, first));
  CHECK(one.e.feed(frame(second, 0, "", more)) == Err::none);
  CHECK(asked() == range(first + 6, second));
  CHECK(one.e.feed(frame(second, 0, "", more)) == Err::none);
  CHECK(one.e.feed(frame(all, 0, "")) == Err::none);
  CHECK(asked() == "");
  CHECK(one.e.wait(seconds(2)) == Err::none);
  CHECK(asked() == range(0, first) + range(first + 6, second));
  // It came, in two pieces, the second one first.
  CHECK(one.e.feed(frame(10, 0, "", connect.substr(10))) == Err::none);
  CHECK(one.e.log.find("open") == std::string::npos);
  CHECK(one.e.feed(frame(0, 0, "", connect.substr(0, 10))) == Err::none);
  CHECK(one.e.log.find("open") != std::string::npos);
  CHECK(one.e.at(one.e.opened).in.empty());
  CHECK(one.e.feed(frame(first - 3, 0, "", connect.substr(first - 3) + send)) == Err::none);  // some of it again
  CHECK(one.e.at(one.e.opened).in == "hello, world");
  CHECK(asked() == "");
  CHECK(one.e.wait(seconds(2)) == Err::none);
  CHECK(asked() == "");
  // A frame that shows nothing but that more was sent.
  CHECK(one.e.feed(frame(all + 5, 0, "")) == Err::none);
  CHECK(asked() == range(all, all + 5));
}

TEST_CASE("lossy: noise with nothing behind it: was it the last frame?") {
  Alone one;
  one.up();
  (void)one.e.wait(seconds(1));
  (void)one.e.write_all();
  CHECK(one.e.feed(Data("noise\0", 6)) == Err::none);
  CHECK(to_hex(one.e.write_all()) == "");
  CHECK(one.e.wait(seconds(1)) == Err::none);
  const std::vector<Heard> said = frames(one.e.write_all());
  REQUIRE(said.size() == 1);
  CHECK(to_hex(said[0].unnumbered) == "1012ffffffff0010" + std::string(32, '0'));
  CHECK(one.e.wait(millis(900)) == Err::none);
  CHECK(one.e.write_all().empty());
}

TEST_CASE("lossy: good frames with anything in them: an error or going on, and nothing is left behind") {
  unsigned errors = 0, opened = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    sim::Rng rng(seed);
    Alone one;
    one.up();
    static constexpr uint8_t kTypes[] = {0x01, 0x10, 0x11, 0x12, 0x09, 0x49, 0x13, 0x30, 0x92};
    static constexpr uint8_t kNumberedTypes[] = {0x02, 0x42, 0x06, 0x06, 0x20, 0x21, 0x22, 0x23, 0x08, 0x24};
    Data stream = manual(3, 'C')[0];
    uint64_t sent = 0;
    Err e = Err::none;
    for (int i = 0; i < 40 && e == Err::none; ++i) {
      Data unnumbered;
      if (rng.one_in(3)) {
        Data payload(rng.one_in(2) ? 8 : rng.one_in(2) ? 16 : rng.size(60), '\0');
        for (char& c : payload) c = static_cast<char>(rng.one_in(4) ? rng.next() : 0);
        unnumbered = packet(kUnnumbered, static_cast<Type>(rng.pick(kTypes)), kNone, kNone, payload);
      }
      if (rng.one_in(2)) {
        const char filler = static_cast<char>(rng.below(3));
        const Data payload(rng.one_in(2) ? 4 : rng.size(40), filler);
        stream += packet(kNumbered, static_cast<Type>(rng.pick(kNumberedTypes)), 5, kNone, payload);
      }
      // From somewhere: new, sent before, or behind a gap.
      const uint64_t from = rng.one_in(3) ? rng.below(stream.size() + 1) : sent < stream.size() ? sent : stream.size();
      const size_t most = kLinePayload - unnumbered.size();
      const Data piece = stream.substr(static_cast<size_t>(from), rng.index(most));
      if (from + piece.size() > sent) sent = from + piece.size();
      const uint64_t offset = rng.one_in(50) ? rng.next() : from;
      e = one.e.feed(frame(offset, rng.one_in(30) ? rng.next() : 0, unnumbered, piece));
      if (e == Err::none && rng.one_in(2)) (void)one.e.write_all();
      if (e == Err::none && rng.one_in(4)) e = one.e.wait(millis(static_cast<int64_t>(rng.below(500))));
    }
    if (e != Err::none) ++errors;
    if (one.e.log.find("open") != std::string::npos) ++opened;
    one.e.mux.link_down(one.e.now, false);
    one.e.mux.verify();
    CHECK(one.e.mux.blocks_used() == 0);
  }
  CHECK(errors > 100);
  CHECK(opened > 50);
}

TEST_CASE("lossy: numbers go on beyond 16 bits, and no more than 32,767 bytes are on their way") {
  Alone one;
  one.up();
  const ChannelId id = one.e.open(pattern(1, 200000));
  uint64_t stream = 0, acked = 0;
  Data got;
  for (int i = 0; i < 3000 && got.size() < 150000; ++i) {
    for (const Heard& h : frames(one.e.write_all())) {
      CHECK(h.off == static_cast<uint16_t>(stream));
      stream += h.numbered.size();
      got += h.numbered;
    }
    CHECK(stream - acked <= 32767);
    if (stream == 0) continue;
    // All of it is acknowledged, at the end of its last whole packet.
    size_t at = static_cast<size_t>(acked);
    while (got.size() - at >= kHeader) {
      const size_t n = kHeader + decode_header(reinterpret_cast<const uint8_t*>(got.data()) + at).length;
      if (got.size() - at < n) break;
      at += n;
    }
    if (i == 0) {
      Data answer = packet(kNumbered, Type::connected, kNone, 0, "") + packet(kNumbered, Type::credit, kNone, 0, be32(1000000));
      CHECK(one.e.feed(frame(0, 0, "", answer)) == Err::none);
      continue;
    }
    if (stream - acked < 30000) continue;
    acked = at;
    CHECK(one.e.feed(frame(20, acked, "")) == Err::none);
  }
  CHECK(got.size() >= 150000);
  (void)id;
}

TEST_SUITE_END();
