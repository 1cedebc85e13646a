// The secure link on a lossy line, both ends whole: whatever the line and the ends do, bytes arrive once, whole and in
// order, or not at all. Rules: sockmux(7), "Secure lines". Read next: line_world.h.
#include <algorithm>

#include "tests/secure/line_world.h"

using namespace securetest;

TEST_CASE("secure line: two ends come up, and data go both ways") {
  LineWorld w;
  w.both();
  REQUIRE(w.run(seconds(10), [&] { return w.up(); }));
  const ChannelId id = w[0].bench.open(pattern(1, 5000), true);
  bench::Bench &a = w[0].bench, &b = w[1].bench;
  REQUIRE(w.run(seconds(30), [&] { return b.at(b.opened).in.size() == 5000; }));
  CHECK(b.at(b.opened).in == pattern(1, 5000));
  b.send(b.opened, pattern(2, 3000), true);
  REQUIRE(w.run(seconds(30), [&] { return a.log.find("done") != std::string::npos && b.log.find("done") != std::string::npos; }));
  CHECK(a.at(id).in == pattern(2, 3000));
  for (int i = 0; i < 2; ++i) {
    const MuxStats& s = w[i].bench.mux.stats();
    CHECK(s.bad_frames + s.old_frames + s.forged_frames + s.frames_again == 0);
    CHECK(w[i].links == 1);
    CHECK(w[i].line.cipher().handshakes() == 1);
    CHECK(w[i].errors.empty());
  }
}

namespace {

// Data of `size` bytes each way over a channel that is open already, from now on.
void exchange(LineWorld& w, ChannelId id, ChannelId there, uint64_t seed, size_t size, Duration limit) {
  bench::Bench &a = w[0].bench, &b = w[1].bench;
  const size_t had_a = a.at(id).in.size(), had_b = b.at(there).in.size();
  a.send(id, pattern(seed, size));
  b.send(there, pattern(seed + 1, size));
  CHECK(w.run(limit, [&] { return a.at(id).in.size() >= had_a + size && b.at(there).in.size() >= had_b + size; }));
  CHECK(a.at(id).in.substr(had_a) == pattern(seed + 1, size));
  CHECK(b.at(there).in.substr(had_b) == pattern(seed, size));
}

bool come_up(LineWorld& w, Duration limit) {
  return w.run(limit, [&] { return w.up(); });
}

// Blocks that side `from` puts on the line.
struct Tap {
  explicit Tap(int side) : from(side) {}
  void take(int side, const Bits& bytes) {
    if (side != from) return;
    Bytes in{reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
    for (;;) {
      const LineDecoder::Got got = decoder.take(&in);
      if (got == LineDecoder::Got::nothing) return;
      if (got == LineDecoder::Got::block) blocks.push_back(data_of(decoder.block()));
    }
  }
  int from;
  LineDecoder decoder;
  std::vector<Data> blocks;
};

Bits framed(const Data& block) {
  uint8_t out[kLineFrame];
  return Bits(1, '\0') + Bits(reinterpret_cast<char*>(out), encode_block(view(block), out));
}

}  // namespace

TEST_CASE("secure line: the handshake at 9600 baud takes about 200 bytes each way, and half a second until the session is up") {
  LineWorld w;
  uint64_t at_link[2] = {};
  w.both();
  REQUIRE(w.run(seconds(5), [&] { return w[0].linked(); }));
  at_link[0] = w.carried[0], at_link[1] = w.carried[1];
  REQUIRE(come_up(w, seconds(5)));
  const int64_t ms = (w.now.us - 1000000) / 1000;
  MESSAGE("keys after ", at_link[0], " and ", at_link[1], " bytes; up after ", w.carried[0], " and ", w.carried[1], " bytes, ", ms, " ms");
  for (int i = 0; i < 2; ++i) CHECK(at_link[i] <= 200);
  CHECK(ms <= 600);
}

TEST_CASE("secure line: at 9600 baud bulk keeps 84 % of the line, and a key press and its echo beside it take 0.38 s") {
  LineWorld w;
  w.both();
  REQUIRE(come_up(w, seconds(5)));
  bench::Bench &a = w[0].bench, &b = w[1].bench;
  const ChannelId bulk = w.open();
  const ChannelId far_bulk = b.opened;
  a.send(bulk, pattern(1, 200000));
  const ChannelId keys = w.open();
  const ChannelId far_keys = b.opened;
  w.run(seconds(10));
  const Time start = w.now;
  const size_t before = b.at(far_bulk).in.size();
  w.run(seconds(60));
  const double share = static_cast<double>(b.at(far_bulk).in.size() - before) * 1e6 / static_cast<double>((w.now - start).us) / 960;
  std::vector<int64_t> ms;
  for (size_t i = 1; i <= 60; ++i) {
    const Time press = w.now;
    a.send(keys, "k");
    REQUIRE(w.run(seconds(10), [&] { return b.at(far_keys).in.size() == i; }));
    b.send(far_keys, "K");
    REQUIRE(w.run(seconds(10), [&] { return a.at(keys).in.size() == i; }));
    ms.push_back((w.now - press).us / 1000);
    w.run(millis(static_cast<int64_t>(i * 379 % 2000)));
  }
  std::sort(ms.begin(), ms.end());
  MESSAGE("key press ms: median ", ms[30], ", p95 ", ms[56], ", longest ", ms.back(), "; bulk has ", share * 100, " % of the line");
  CHECK(ms[56] <= 380);
  CHECK(share >= 0.84);
}

TEST_CASE("secure line: bit errors of 1e-4 and 0.1 % of the bytes lost: bytes both ways arrive whole") {
  for (const uint32_t rate : {960u, 11520u, 100000u}) {
    CAPTURE(rate);
    LineWorld w(rate, rate);
    w.flips = 1e-4;
    w.drops = 1e-3;
    w.both();
    REQUIRE(come_up(w, seconds(60)));
    const ChannelId id = w.open();
    exchange(w, id, w[1].bench.opened, 1, rate == 960 ? 30000 : 200000, seconds(2000));
    for (int i = 0; i < 2; ++i) {
      const MuxStats& s = w[i].bench.mux.stats();
      CHECK(s.frames_again > 0);
      CHECK(s.bad_frames > 0);
      CHECK(s.old_frames + s.forged_frames == 0);
      CHECK(w[i].links == 1);
    }
  }
}

TEST_CASE("secure line: links that end here and there: the session goes on, and bytes are whole") {
  for (unsigned seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    LineWorld w(11520, seed);
    w.flips = 1e-4;
    w.drops = 1e-3;
    std::mt19937 random(seed);
    w.both();
    REQUIRE(come_up(w, seconds(60)));
    const ChannelId id = w.open();
    bench::Bench &a = w[0].bench, &b = w[1].bench;
    const ChannelId there = b.opened;
    const size_t size = 100000;
    a.send(id, pattern(1, size));
    b.send(there, pattern(2, size));
    for (int i = 0; i < 8; ++i) {
      w.run(millis(static_cast<int64_t>(random() % 3000)));
      w[static_cast<int>(random() % 2)].drop(w.now);
    }
    CHECK(w.run(seconds(300), [&] { return a.at(id).in.size() >= size && b.at(there).in.size() >= size; }));
    CHECK(a.at(id).in == pattern(2, size));
    CHECK(b.at(there).in == pattern(1, size));
    CHECK(w[0].links + w[1].links > 3);
  }
}

TEST_CASE("secure line: either end starts anew at any time, and soon both talk again") {
  int64_t longest_ms[2] = {}, sum_ms[2] = {};
  for (unsigned seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    LineWorld w(11520, seed);
    if (seed % 2 == 0) {
      w.flips = 1e-4;
      w.drops = 1e-3;
    }
    std::mt19937 random(seed);
    w.both();
    for (int i = 0; i < 6; ++i) {
      // At any moment: of a handshake, or of a transfer.
      w.run(millis(static_cast<int64_t>(draw(random, random() % 2 == 0 ? 100 : 3000))));
      if (random() % 2 == 0 && w.up()) w[0].bench.send(w[0].bench.open(), pattern(9, 20000));
      w.start(static_cast<int>(random() % 2));
    }
    const Time begin = w.now;
    const auto fresh_up = [&] { return w.up() && w[0].bench.mux.channels() + w[1].bench.mux.channels() == 0; };
    REQUIRE(w.run(seconds(40), fresh_up));
    const int64_t ms = (w.now - begin).us / 1000;
    const bool noisy = seed % 2 == 0;
    longest_ms[noisy] = std::max(longest_ms[noisy], ms);
    sum_ms[noisy] += ms;
    const ChannelId id = w.open();
    exchange(w, id, w[1].bench.opened, seed, 5000, seconds(60));
  }
  for (int noisy = 0; noisy < 2; ++noisy)
    MESSAGE(noisy, ": up again after ", sum_ms[noisy] / 30, " ms on average, ", longest_ms[noisy], " ms at most");
  CHECK(longest_ms[0] <= 4000);
}

TEST_CASE("secure line: one end starts anew on a good line: up again within 1 s, whichever it is") {
  for (int who = 0; who < 2; ++who) {
    CAPTURE(who);
    LineWorld w(11520);
    w.both();
    REQUIRE(come_up(w, seconds(5)));
    w.run(seconds(3));
    w.start(who);
    const Time begin = w.now;
    REQUIRE(w.run(seconds(5), [&] { return !w.up(); }));
    REQUIRE(come_up(w, seconds(5)));
    MESSAGE("side ", who, ": ", (w.now - begin).us / 1000, " ms");
    CHECK((w.now - begin).us / 1000 <= 1000);
    CHECK(w[1 - who].errors == std::vector<Err>{Err::restarted});
  }
}

TEST_CASE("secure line: who comes late is waited for, however long, and then answered at once") {
  for (int late = 0; late < 2; ++late) {
    CAPTURE(late);
    LineWorld w(960);
    w.start(1 - late);
    w.run(seconds(61));
    CHECK_FALSE(w[1 - late].linked());
    CHECK(w.carried[1 - late] < 61 * 960 / 20);  // and little is said
    w.start(late);
    const Time begin = w.now;
    REQUIRE(come_up(w, seconds(10)));
    CHECK((w.now - begin).us / 1000 <= 1500);
  }
}

TEST_CASE("secure line: where an answer is waited for so long and no longer, dialing fails, is tried again, and then a link stays") {
  LineWorld w(960);
  w.patience = seconds(15);
  w.start(0);
  w.run(seconds(14));
  CHECK(w[0].why.empty());
  w.run(seconds(2));
  CHECK(w[0].why == "no answer to the handshake in time");
  w.run(seconds(20));
  w.start(1);
  REQUIRE(come_up(w, seconds(20)));
  w[0].why.clear();
  w.run(seconds(40));
  CHECK(w[0].why.empty());
  CHECK(w[0].links == 1);
  CHECK(w[0].up());
}

TEST_CASE("secure line: a handshake that is played again, to an end that is up or waits, gains nothing") {
  LineWorld w(11520);
  Tap tap(0);
  w.spoil = [&](int i, Bits& bytes) { tap.take(i, bytes); };
  w.both();
  REQUIRE(come_up(w, seconds(5)));
  const ChannelId id = w.open();
  const ChannelId there = w[1].bench.opened;
  exchange(w, id, there, 1, 5000, seconds(30));
  const std::vector<Data> old = tap.blocks;
  REQUIRE(old.size() > 10);
  REQUIRE(is_handshake(view(old[0])));
  // Up: all of it, again and again, between what is sent.
  size_t next = 0;
  int turns = 0;
  Tap answers(1);
  const Time begin = w.now;
  w.spoil = [&](int i, Bits& bytes) {
    answers.take(i, bytes);
    if (i == 0 && bytes.empty() && ++turns % 10 == 0) bytes += framed(turns % 20 == 0 ? old[0] : old[next++ % old.size()]);
  };
  exchange(w, id, there, 3, 20000, seconds(60));
  w.run(seconds(20));
  exchange(w, id, there, 5, 20000, seconds(60));
  for (int i = 0; i < 2; ++i) CHECK(w[i].errors.empty());
  CHECK(w[1].bench.mux.stats().old_frames > 10);
  // Each answer costs 5 X25519.
  const auto count = std::count_if(answers.blocks.begin(), answers.blocks.end(), [](const Data& b) { return is_handshake(view(b)); });
  CHECK(count > 10);
  CHECK(count <= (w.now - begin).us / kMessagePause.us + 1);
  // To one that waits, while nobody is at the other end.
  w.spoil = nullptr;
  w.dead = true;
  w.start(1);
  for (int round = 0; round < 20; ++round) {
    for (const Data& block : old) {
      w[1].below.arrived += framed(block);
      w.run(millis(40));
      REQUIRE_FALSE(w[1].linked());
    }
  }
  // It still serves who it should.
  w.dead = false;
  w.start(0);
  REQUIRE(come_up(w, seconds(40)));
}

TEST_CASE("secure line: codes 4 that somebody else sends make handshakes, one a second at most, and lose nothing") {
  LineWorld w(11520);
  w.both();
  REQUIRE(come_up(w, seconds(5)));
  const ChannelId id = w.open();
  const ChannelId there = w[1].bench.opened;
  uint8_t anew[kRefusal];
  put_refusal(Code::anew, anew);
  const Data refusal(anew, anew + kRefusal);
  w.spoil = [&](int i, Bits& bytes) {
    if (i == 1 && bytes.empty()) bytes += framed(refusal);
  };
  const uint32_t before = w[0].line.cipher().handshakes();
  const Time begin = w.now;
  exchange(w, id, there, 1, 50000, seconds(60));
  w.run(seconds(10));
  const int64_t took = (w.now - begin).us / 1000000;
  CHECK(w[0].line.cipher().handshakes() > before + 2);
  CHECK(w[0].line.cipher().handshakes() <= before + took + 2);
  for (int i = 0; i < 2; ++i) CHECK(w[i].errors.empty());
}

TEST_CASE("secure line: keys are renewed beside the link, by time and before the nonces end; the session does not notice") {
  for (const bool by_time : {true, false}) {
    for (int sender = 0; sender < 2; ++sender) {
      CAPTURE(by_time);
      CAPTURE(sender);
      LineWorld w(11520, 3);
      if (by_time) w.renew = seconds(3);
      w.both();
      // So the first ones are used up soon, at the side that sends most.
      if (!by_time) w[sender].line.cipher().limit_blocks(kRenewAhead + 100);
      REQUIRE(come_up(w, seconds(5)));
      const ChannelId id = w.open();
      exchange(w, id, w[1].bench.opened, 1, 150000, seconds(100));
      for (int i = 0; i < 2; ++i) {
        for (const Err e : w[i].errors) FAIL_CHECK(std::string(name(e)));
        CHECK(w[i].links == 1);
        CHECK(w[i].line.cipher().handshakes() >= 3);
        CHECK(w[i].bench.mux.stats().bad_frames == 0);  // no frame is torn by one of a handshake
      }
    }
  }
}

TEST_CASE("secure line: both are up with different keys, since the first blocks of the new ones were lost: they begin anew") {
  LineWorld w(11520);
  w.both();
  REQUIRE(come_up(w, seconds(5)));
  const ChannelId id = w.open();
  const ChannelId there = w[1].bench.opened;
  uint8_t anew[kRefusal];
  put_refusal(Code::anew, anew);
  w.run(seconds(2));
  w[0].below.arrived += framed(Data(anew, anew + kRefusal));
  REQUIRE(w.run(seconds(1), [&] { return w[0].line.cipher().handshakes() == 2; }));
  // Until who was called waits for them no more.
  w.spoil = [](int i, Bits& bytes) {
    if (i == 0) bytes.clear();
  };
  w.run(kRecordWait + millis(100));
  w.spoil = nullptr;
  const Time begin = w.now;
  REQUIRE(w.run(seconds(5), [&] { return w[1].line.cipher().handshakes() == 2; }));
  CHECK((w.now - begin).us <= (kAnewPause + millis(3200)).us);  // ECHO is said again every 3 s
  exchange(w, id, there, 1, 5000, seconds(10));
  for (int i = 0; i < 2; ++i) CHECK(w[i].errors.empty());
}

TEST_CASE("secure line: nonces that are all used seal nothing more") {
  LineWorld w(11520);
  w.both();
  w[0].line.cipher().limit_blocks(15);
  Tap tap(0);
  w.spoil = [&](int i, Bits& bytes) {
    tap.take(i, bytes);
    if (i == 1 && w.up()) bytes.clear();  // no handshake ends
  };
  REQUIRE(come_up(w, seconds(5)));
  w[0].bench.send(w[0].bench.open(), pattern(1, 100000));
  w.run(seconds(9));
  uint32_t blocks = 0;
  for (const Data& block : tap.blocks) blocks += is_handshake(view(block)) ? 0 : 1;
  CHECK(blocks == 15);
}

TEST_CASE("secure line: another key, another PSK: never linked, and the log can say why") {
  const struct {
    const char* what;
    bool psk;
    int who;         // has something wrong
    bool same_role;  // with a wrong key: it still begins, or answers
    const char* trouble[2];
  } kCases[] = {
      {"PSK differs", true, 0, true, {"the answer does not open: PSK= differs, or it was changed on the way", ""}},
      {"who answers expects another one", false, 1, true, {"not accepted there: its peers file needs our key", "unknown key "}},
      {"who calls expects another one", false, 0, true, {"", "does not know our public key"}},
      {"so that both begin", false, 1, false, {"begins, as we do: its key here, or ours there, is wrong", "begins, as we do: its key here, or ours there, is wrong"}},
      {"so that both answer", false, 0, false, {"waits for us to begin, as we for it: its key here", "waits for us to begin, as we for it: its key here"}},
  };
  for (const auto& k : kCases) {
    CAPTURE(std::string(k.what));
    LineWorld w;
    if (k.psk) {
      w.psk[k.who] = world_secret();
    } else {
      const Data mine(w.keys[k.who].shown, w.keys[k.who].shown + kKey);
      do w.shown[k.who] = data_of({KeyPair(world_secret()).shown, kKey});
      while ((mine < w.shown[k.who]) != ((k.who == 0) == k.same_role));
    }
    w.both();
    CHECK_FALSE(w.run(seconds(40), [&] { return w[0].linked() || w[1].linked(); }));
    for (int i = 0; i < 2; ++i) {
      const std::string said(w[i].line.cipher().trouble());
      CHECK(said.substr(0, strlen(k.trouble[i])) == k.trouble[i]);
    }
  }
}

TEST_CASE("secure line: one of 50 baud comes up, and one of 300 that is full both ways renews its keys") {
  for (const uint32_t rate : {5u, 11u, 20u, 30u, 60u, 120u}) {
    CAPTURE(rate);
    LineWorld w(rate);
    w.both();
    CHECK(come_up(w, seconds(3 * int64_t{kHandshakeBytes} / rate + 5)));
    for (int i = 0; i < 2; ++i) {
      w.start(i);
      REQUIRE(w.run(seconds(3 * int64_t{kHandshakeBytes} / rate + 5), [&] { return !w.up(); }));
      CHECK(come_up(w, seconds(3 * int64_t{kHandshakeBytes} / rate + 5)));
    }
  }
  for (const uint32_t rate : {30u, 60u}) {
    CAPTURE(rate);
    LineWorld w(rate);
    w.renew = seconds(600);
    w.both();
    REQUIRE(come_up(w, seconds(100)));
    const ChannelId id = w.open();
    w[0].bench.send(id, pattern(1, 200000));
    w[1].bench.send(w[1].bench.opened, pattern(2, 200000));
    w.run(seconds(700));
    for (int i = 0; i < 2; ++i) {
      CHECK(w[i].line.cipher().handshakes() == 2);
      CHECK(w[i].errors.empty());
    }
  }
}

TEST_CASE("secure line: who begins has its keys, and then the way back is cut for longer than keys can be followed") {
  LineWorld w(960);
  w.both();
  REQUIRE(w.run(seconds(5), [&] { return w[0].linked(); }));
  REQUIRE_FALSE(w.up());
  w.spoil = [](int i, Bits& bytes) {
    if (i == 1) bytes.clear();
  };
  w.run(seconds(1200));
  w.spoil = nullptr;
  CHECK(come_up(w, seconds(20)));
}
