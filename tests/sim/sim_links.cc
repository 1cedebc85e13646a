// A link that says nothing, says nonsense, or says nonsense in good packets: an error in bounded time or going on, never
// a crash, never a busy loop. Rules: sockmux(7), "Keep-alive", "Errors". Read next: node.cc.
#include <doctest/doctest.h>

#include <string.h>

#include <algorithm>

#include "tests/sim/world.h"

using namespace smx;
using namespace sim;

namespace {

constexpr MuxConfig::Proto kProtos[] = {MuxConfig::Proto::automatic, MuxConfig::Proto::v03};

LinkStart link_start(Rng& rng) {
  LinkStart start;
  for (uint8_t& b : start.random) b = static_cast<uint8_t>(rng.next());
  memcpy(start.stamp + 16, "123456", 6);
  return start;
}

// A node whose peer is played by the test, bytes against bytes.
struct Alone {
  Clock clock;
  Rng rng;
  Fault fault;
  Pipe out{clock, PipeShape{}};
  Pipe in{clock, PipeShape{}};
  Node node;
  Err ended = Err::none;
  Time ended_at;
  std::vector<std::unique_ptr<Conn>> conns;

  Alone(uint64_t seed, const MuxConfig& c) : rng(seed), node(clock, rng, fault, c, "node") {
    node.tx = &out;
    node.rx = &in;
    node.broken = [this](Node& n, Err e) {
      ended = e;
      ended_at = clock.now();
      n.stop();
    };
    node.lookup = [this](const OpenInfo&) { return new_conn(); };
    in.readable = [this] { node.read_link(); };
    out.writable = [this] { node.pump(); };
    node.checks_data = false;
  }
  Conn* new_conn() {
    conns.push_back(std::make_unique<Conn>());
    Conn& c = *conns.back();
    c.number = static_cast<uint32_t>(conns.size() - 1);
    c.whole = false;
    c.client.conn = c.server.conn = &c;
    c.server.server = true;
    for (Sock* s : {&c.client, &c.server}) {
      s->habit.sends = rng.log(20000);
      s->habit.end = rng.one_in(2) ? Habit::End::sent : Habit::End::peer_end;
      s->habit.in_buffer = rng.one_in(2) ? 65536 : 1 + rng.size(2000);
      s->habit.stalls = rng.one_in(4);
      if (rng.one_in(5)) s->habit.breaks_in = rng.log(3000);
      if (rng.one_in(5)) s->habit.breaks_out = rng.log(3000);
    }
    c.answer = rng.pick({Conn::Answer::accept, Conn::Answer::accept, Conn::Answer::accept_later, Conn::Answer::refuse,
                         Conn::Answer::refuse_later, Conn::Answer::never});
    c.answer_us = static_cast<int64_t>(rng.log(100000));
    return &c;
  }
  void feed(const std::vector<uint8_t>& bytes) {
    if (!node.linked()) return;
    in.write(bytes.data(), bytes.size());
    run(millis(3));
  }
  void packet(uint8_t version, uint8_t type, uint16_t said, uint16_t raid, const std::vector<uint8_t>& payload) {
    std::vector<uint8_t> p(kHeader);
    encode_header({version, type, said, raid, static_cast<uint16_t>(payload.size())}, p.data());
    p.insert(p.end(), payload.begin(), payload.end());
    feed(p);
  }
  void text(uint8_t type, uint16_t said, uint16_t raid, const std::string& t) {
    std::vector<uint8_t> bytes(t.begin(), t.end());
    bytes.push_back(0);
    packet(kVersion03, type, said, raid, bytes);
  }
  void run(Duration d) {
    const Time limit = clock.now() + d;
    while (!fault.any() && clock.step(limit)) {
    }
  }
  // All that the node has written.
  std::vector<uint8_t> output() {
    std::vector<uint8_t> bytes(65536);
    bytes.resize(out.read(bytes.data(), bytes.size()));
    return bytes;
  }
  void up(bool v03) {
    node.start(link_start(rng));
    run(millis(10));
    if (v03) {
      text(0x01, 0, 0, "20261123-085921.114471 vm");
      text(0x41, 0, 0, "20261123-085921.114471 vm");
      return;
    }
    text(0x01, 0xffff, 0xffff, "20261123-085921.114471 vm smx/1:00000001");
    run(millis(10));
    const std::vector<uint8_t> bytes = output();
    uint32_t nonce = 0;
    for (size_t i = 0; i + 15 < bytes.size(); ++i)
      if (memcmp(&bytes[i], "smx/1:", 6) == 0) nonce = static_cast<uint32_t>(strtoul(std::string(bytes.begin() + static_cast<long>(i) + 6, bytes.begin() + static_cast<long>(i) + 14).c_str(), nullptr, 16));
    Settings s;
    s.answered_nonce = nonce;
    s.credit = 2000;
    s.channels = 20;
    s.has_attempt = true;
    uint8_t payload[230];
    const size_t n = make_settings(s, payload, sizeof payload);
    packet(kUnnumbered, 0x10, kNone, kNone, {payload, payload + n});
  }
};

MuxConfig small(Rng& rng) {
  MuxConfig c;
  c.asks = rng.one_in(2);
  c.accepts = static_cast<uint16_t>(rng.between(1, 12));
  c.opens = static_cast<uint16_t>(rng.between(1, 12));
  c.memory_bytes = Mux::guaranteed_bytes(c) + rng.log(2000000);
  c.tx_ring = c.rx_ring = 65536;
  return c;
}

// A packet that is nearly right.
void send_near_packet(Alone& a, bool v03) {
  static constexpr uint8_t kTypes1[] = {0x02, 0x42, 0x06, 0x07, 0x20, 0x24, 0x21, 0x22, 0x23, 0x04, 0x44, 0x08,
                                        0x06, 0x06, 0x02, 0x20, 0x21, 0x08, 0x09, 0x49, 0x11, 0x10, 0x7f};
  static constexpr uint8_t kTypes03[] = {0x00, 0x02, 0x42, 0x06, 0x46, 0x07, 0x47, 0x08, 0x48, 0x09, 0x49, 0x0a,
                                         0x06, 0x46, 0x42, 0x08, 0x48, 0x02, 0x33};
  Rng& r = a.rng;
  std::vector<uint8_t> payload;
  const auto number = [&](uint64_t n) {
    const std::string t = std::to_string(n);
    payload.assign(t.begin(), t.end());
    payload.push_back(0);
  };
  const auto words = [&] {
    const std::string t = "98304 127.0.0.1:50114 127.0.0.1:9023";
    payload.assign(t.begin(), t.end());
    payload.push_back(0);
    const size_t first = r.size(r.one_in(8) ? 10000 : 300);
    payload.resize(payload.size() + first);
  };
  if (v03) {
    const uint8_t type = r.pick(kTypes03);
    const uint16_t theirs = static_cast<uint16_t>(r.between(2, 6));
    uint16_t ours = static_cast<uint16_t>(r.between(2, 6));
    if (r.one_in(30)) ours = static_cast<uint16_t>(r.next());
    switch (type) {
      case 0x02:
      case 0x42: words(); break;
      case 0x46:
      case 0x47: number(r.log(30000)); break;
      case 0x0a: payload = {static_cast<uint8_t>(r.between(1, 5)), static_cast<uint8_t>(r.log(80)), static_cast<uint8_t>(r.next())}; break;
      case 0x06: payload.resize(r.size(r.one_in(4) ? 16000 : 400)); break;
      case 0x07: payload.resize(1); break;
      case 0x08:
      case 0x48: payload = {'x', 0}; break;
      default: payload.resize(r.size(100)); break;
    }
    if (r.one_in(100)) payload.resize(r.size(kMaxPayload));
    a.packet(kVersion03, type, theirs, type == 0x02 ? kNone03 : ours, payload);
    return;
  }
  const uint8_t type = r.pick(kTypes1);
  const uint16_t n = static_cast<uint16_t>(r.below(4));
  const bool numbered = type != 0x09 && type != 0x49 && type != 0x10 && type != 0x11;
  bool from_opener = r.one_in(2);
  if (type == 0x02 || type == 0x04) from_opener = true;
  if (type == 0x42 || type == 0x44) from_opener = false;
  switch (type) {
    case 0x02: payload = {1, 1, 7, 4, 192, 168, 1, 20, 0xc3, 0xd6, 2, 7, 4, 192, 168, 1, 1, 0x23, 0x3f}; break;
    case 0x04: payload = {1, 2, 7, 4, 192, 168, 1, 1, 0x23, 0x3f}; break;
    case 0x06: payload.resize(1 + r.size(r.one_in(4) ? 16000 : 500)); break;
    case 0x07: payload.resize(1); break;
    case 0x20: payload = {0, 0, static_cast<uint8_t>(r.log(255)), static_cast<uint8_t>(r.next() | 1)}; break;
    case 0x24: payload = {0, 0, static_cast<uint8_t>(r.log(8)), static_cast<uint8_t>(r.next() | 1)}; break;
    case 0x08: payload = {static_cast<uint8_t>(r.one_in(2) ? 0 : r.below(14))}; break;
    case 0x11: payload = {0, 0, 0, 0, 0, 0, static_cast<uint8_t>(r.log(4)), static_cast<uint8_t>(r.next())}; break;
    case 0x09:
    case 0x49: payload.resize(8); break;
    case 0x10: payload.resize(60); break;
    case 0x22:
    case 0x23: payload.resize(20); break;
    default: payload.resize(r.size(20)); break;
  }
  if (r.one_in(200)) payload.resize(r.size(300));
  a.packet(numbered ? kNumbered : kUnnumbered, type, numbered && from_opener ? n : kNone, numbered && !from_opener ? n : kNone, payload);
}

}  // namespace

TEST_SUITE_BEGIN("sim");

TEST_CASE("a link with changed bytes: an error or going on, and all channels end") {
  const unsigned count = seeds(300) / 3 + 1;
  for (uint64_t seed = 1; seed <= count; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    WorldShape w;
    for (int i = 0; i < 2; ++i) {
      w.config[i] = small(rng);
      w.config[i].memory_bytes += 500000;
      w.links[0].pipe[i].write_most = 2000;
    }
    if (rng.one_in(2)) w.config[rng.below(2)].proto = MuxConfig::Proto::v03;
    w.clients[0] = w.clients[1] = 10;
    w.links[0].spoil_one_in = static_cast<unsigned>(rng.pick({3, 10, 50}));
    const std::string fault = World(seed, w).run();
    CHECK_MESSAGE(fault.empty(), "seed " << seed << ": " << fault);
  }
}

TEST_CASE("packets that are nearly right, in any order: an error or going on, and nothing is left behind") {
  const unsigned count = seeds(300);
  unsigned errors = 0;
  uint64_t accepted = 0;
  for (uint64_t seed = 1; seed <= count; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    MuxConfig c = small(rng);
    const bool v03 = rng.one_in(2);
    Alone a(seed, c);
    for (int link = 0; link < 20 && !a.fault.any(); ++link) {
      a.ended = Err::none;
      a.up(v03);
      CHECK(a.node.mux.up());
      for (int i = 0; i < 60 && a.node.linked() && !a.fault.any(); ++i) {
        if (rng.one_in(8)) a.node.client(*a.new_conn());
        send_near_packet(a, v03);
      }
      if (a.ended != Err::none) ++errors;
      if (rng.one_in(2)) a.run(seconds(static_cast<int64_t>(rng.below(20))));
      a.node.stop();
      a.in.cut();
      a.out.cut();
    }
    accepted += a.node.mux.stats().accepted;
    a.node.wake();
    a.run(seconds(60));
    CHECK_MESSAGE(!a.fault.any(), "seed " << seed << ": " << a.fault.text());
    for (const std::unique_ptr<Conn>& conn : a.conns) {
      // What is left are orphans that nobody reads from.
      for (const Sock* s : {&conn->client, &conn->server})
        if (s->live) a.node.mux.abort(s->id, CloseCode::reset);
    }
    CHECK(a.node.mux.channels() == 0);
    CHECK(a.node.mux.blocks_used() == 0);
  }
  CHECK(errors > count);  // the test reaches the rules ...
  CHECK(accepted > count);  // ... and what lies behind them
}

TEST_CASE("random bytes end the link or wait for more") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    Alone a(seed, small(rng));
    if (rng.one_in(2)) {
      a.up(rng.one_in(2));
    } else {
      a.node.start(link_start(rng));
    }
    for (int i = 0; i < 50 && a.node.linked(); ++i) {
      std::vector<uint8_t> bytes(1 + rng.size(200));
      for (uint8_t& b : bytes) b = static_cast<uint8_t>(rng.one_in(2) ? rng.next() : rng.below(20));
      a.feed(bytes);
    }
    a.run(seconds(100));
    CHECK(!a.node.linked());
    CHECK(!a.fault.any());
    CHECK(a.node.ticks() < 20);
  }
}

TEST_CASE("a peer that never says HELLO ends the link after 15 s") {
  for (const MuxConfig::Proto proto : kProtos) {
    MuxConfig c;
    c.proto = proto;
    Alone a(1, c);
    a.node.start(link_start(a.rng));
    const Time begin = a.clock.now();
    a.run(seconds(100));
    CHECK(a.ended == Err::handshake_timeout);
    CHECK(a.ended_at - begin == seconds(15));
    CHECK(a.node.ticks() == 1);
  }
}

TEST_CASE("a peer that says HELLO and nothing else ends the link 15 s later") {
  for (const char* hello : {"20261123-085921.114471 vm", "20261123-085921.114471 vm smx/1:00000001"}) {
    Alone a(1, MuxConfig{});
    a.node.start(link_start(a.rng));
    a.run(seconds(10));
    a.text(0x01, 0, 0, hello);
    const Time begin = a.clock.now();
    a.run(seconds(100));
    CHECK(a.ended == Err::handshake_timeout);
    CHECK((a.ended_at - begin).us / 1000 == 15000 - 2);
  }
}

TEST_CASE("an idle peer that falls silent is asked after a minute, and given up 10 s later") {
  Alone a(1, MuxConfig{});
  a.up(false);
  const Time begin = a.clock.now();
  a.run(seconds(5));
  CHECK(a.node.mux.up());
  (void)a.output();
  a.run(seconds(300));
  CHECK(a.ended == Err::silent);
  // The ECHO of the link's start was not answered.
  CHECK((a.ended_at - begin).us / 1000000 == 9);

  Alone b(1, MuxConfig{});
  b.up(false);
  b.packet(kUnnumbered, 0x09, kNone, kNone, {0, 0, 0, 0, 0, 0, 0, 0});
  const Time last = b.clock.now();
  b.run(seconds(300));
  CHECK(b.ended == Err::silent);
  CHECK((b.ended_at - last).us / 1000000 == 60 + 10 - 1);  // it has the larger nonce, so it asks first
  CHECK(b.node.ticks() < 5);
}

TEST_CASE("an idle 0.3 peer that falls silent is asked after 30 s, and given up 30 s later") {
  Alone a(1, MuxConfig{});
  a.up(true);
  const Time begin = a.clock.now();
  a.run(seconds(29));
  (void)a.output();
  a.run(seconds(2));
  const std::vector<uint8_t> echo = a.output();
  REQUIRE(echo.size() > kHeader);
  CHECK(echo[1] == 0x09);
  CHECK(echo.back() == 0);
  a.run(seconds(300));
  CHECK(a.ended == Err::silent);
  CHECK((a.ended_at - begin).us / 1000000 == 59);
}

TEST_CASE("with a client waiting for the peer's answer, a silent peer is asked after 5 s") {
  Alone a(1, MuxConfig{});
  a.up(false);
  a.packet(kUnnumbered, 0x09, kNone, kNone, {0, 0, 0, 0, 0, 0, 0, 0});
  Conn* c = a.new_conn();
  c->client.habit = Habit{};
  a.node.client(*c);
  const Time begin = a.clock.now();
  a.run(seconds(300));
  CHECK(a.ended == Err::silent);
  CHECK((a.ended_at - begin).us / 1000000 == 15);
}

TEST_SUITE_END();
