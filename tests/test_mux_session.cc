// Sessions of SockMux 1 that outlive their links: resume, stale and unknown asks, hold times, a link that changes its mux.
// Rules: sockmux(7), "Session". Read next: sim/sim_world.cc, which cuts links at random.
#include <doctest/doctest.h>

#include "tests/sim/bench.h"

using namespace smx;
using namespace bench;

namespace {

constexpr uint64_t kProcess = uint64_t{0xc4a1f05b} << 32;

MuxConfig config(bool asks, Duration hold = seconds(60)) {
  MuxConfig c;
  c.asks = asks;
  c.hold = hold;
  c.first_credit = asks ? 2048 : 4096;
  c.memory_bytes = 32u << 20;
  strcpy(c.host, asks ? "r1" : "hub");
  return c;
}

// C asks, A answers; bytes go over by hand.
struct Two {
  explicit Two(Duration hold_c = seconds(60), Duration hold_a = seconds(60)) : c(config(true, hold_c)), a(config(false, hold_a)) {
    a.accept_at_once = true;
  }
  void start(uint64_t attempt = kProcess + 1) {
    ++links;
    c.up(be32(0x1f3c0000u + links) + Data(20, 'c'), "20261123-085921.086940", attempt);
    a.up(be32(0x21d40000u + links) + Data(16, static_cast<char>('0' + links)) + Data(4, 'a'), "20261123-085921.114471");
  }
  // Until nobody has anything to say.
  void talk() {
    for (int i = 0; i < 20; ++i) {
      const Data from_c = c.write_all();
      if (a.mux.state() != Mux::State::down) e_a = a.feed(from_c);
      if (e_a != Err::none) return;
      const Data from_a = a.write_all();
      if (c.mux.state() != Mux::State::down) e_c = c.feed(from_a);
      if (e_c != Err::none || (from_c.empty() && from_a.empty())) return;
    }
  }
  void cut() {
    c.mux.link_down(c.now);
    a.mux.link_down(a.now);
    c.mux.verify();
    a.mux.verify();
  }
  void link(uint64_t attempt) {
    start(attempt);
    talk();
    REQUIRE(e_a == Err::none);
    REQUIRE(e_c == Err::none);
    REQUIRE(c.mux.up());
    REQUIRE(a.mux.up());
  }
  Bench c, a;
  Err e_c = Err::none, e_a = Err::none;
  unsigned links = 0;
};

// The part of `bytes` that is numbered.
Data numbered_of(const Data& bytes) {
  Data out;
  for (const Packet& p : split(bytes))
    if (p.h.version == kNumbered) out += packet(p.h.version, static_cast<Type>(p.h.type), p.h.said, p.h.raid, p.payload);
  return out;
}
Settings settings_in(const Data& bytes) {
  Settings s;
  for (const Packet& p : split(bytes))
    if (p.is(Type::settings)) CHECK(parse_settings({reinterpret_cast<const uint8_t*>(p.payload.data()), p.payload.size()}, &s) == Err::none);
  return s;
}

}  // namespace

TEST_SUITE_BEGIN("session");

TEST_CASE("session: a cut in the middle of a packet: it is sent again whole, and nothing twice") {
  Two t;
  t.link(kProcess + 1);
  const ChannelId id = t.c.open("hello");
  t.talk();
  const ChannelId far = t.a.opened;
  CHECK(t.a.at(far).in == "hello");
  (void)t.c.take_log();
  (void)t.a.take_log();
  t.c.send(id, Data(100, 'x'));
  t.c.send(id, Data(400, 'y'));
  // A gets the first part of it, and the line is cut.
  const Data all = t.c.write_all();
  CHECK(t.a.feed(all.substr(0, all.size() - 200)) == Err::none);
  t.cut();
  CHECK(t.c.mux.held());
  CHECK(t.a.mux.held());
  CHECK(t.c.take_log() == "");  // nobody was told
  CHECK(t.a.take_log() == "");
  t.start(kProcess + 2);
  CHECK(t.a.feed(t.c.write_all()) == Err::none);
  CHECK(t.c.feed(t.a.write_all()) == Err::none);
  const Data ask = t.c.write_all();
  CHECK(t.a.feed(ask) == Err::none);
  const Data answer = t.a.write_all();
  CHECK(memcmp(settings_in(ask).session, settings_in(answer).session, 16) == 0);
  CHECK(settings_in(ask).received > 0);
  CHECK(settings_in(answer).received > 0);
  CHECK(t.c.feed(answer) == Err::none);
  t.talk();
  CHECK(t.c.mux.resumed());
  CHECK(t.a.mux.resumed());
  CHECK(t.a.at(far).in == "hello" + Data(100, 'x') + Data(400, 'y'));
  // The other way, and the end.
  t.a.send(far, "answer", true);
  t.talk();
  CHECK(t.c.at(id).in == "answer");
  t.c.send(id, "", true);
  t.talk();
  CHECK(t.c.mux.channels() == 0);
  CHECK(t.a.mux.channels() == 0);
}

// Half a packet is forgotten at a cut, so what was made long for a fast link is not too long for a slow one.
TEST_CASE("session: what is sent again begins with short packets, and none is longer than a fourth of what went before, and 512 bytes") {
  Two t;
  t.link(kProcess + 1);
  const ChannelId id = t.c.open("hello"), flow = t.c.open_flow();
  t.talk();
  const ChannelId far_flow = t.a.opened;
  for (char x = 'a'; x < 'd'; ++x) t.c.send_datagram(flow, Data(20000, x));
  t.c.send(id, Data(4000, 'x'));
  size_t left = t.c.write_all().size() + 2600;  // the headers of the first cut
  REQUIRE(left > 64000);
  for (int link = 2; link < 5; ++link) {
    CAPTURE(link);
    t.cut();
    t.start(kProcess + static_cast<uint64_t>(link));
    CHECK(t.a.feed(t.c.write_all()) == Err::none);
    CHECK(t.c.feed(t.a.write_all()) == Err::none);
    CHECK(t.a.feed(t.c.write_all()) == Err::none);
    CHECK(t.c.feed(t.a.write_all()) == Err::none);
    CHECK(t.c.mux.resumed());
    const Data all = numbered_of(t.c.write_all());
    CHECK(all.size() + 2000 < left);
    left = all.size();
    size_t sent = 0;
    for (const Packet& p : split(all)) {
      CHECK(kHeader + p.payload.size() <= 512 + sent / 4);
      sent += kHeader + p.payload.size();
    }
    CHECK(t.a.feed(all.substr(0, 3000)) == Err::none);
    t.c.mux.verify();
  }
  t.cut();
  t.link(kProcess + 9);
  REQUIRE(t.a.at(far_flow).got.size() == 3);
  for (char x = 'a'; x < 'd'; ++x) CHECK(t.a.at(far_flow).got[static_cast<size_t>(x - 'a')] == Data(20000, x));
  size_t streams = 0;
  for (const auto& one : t.a.locals) streams += one.second.in == "hello" + Data(4000, 'x') ? 1 : 0;
  CHECK(streams == 1);
}

// ---- sockmux(7), example 11

namespace {

MuxConfig config_11(bool asks) {
  MuxConfig c = config(asks, seconds(asks ? 60 : 300));
  if (asks) strcpy(c.name, "r1");
  return c;
}
Data hello_11(const char* word) { return packet(kVersion03, Type::hello, kNone, kNone, Data("20261123-090000.000000 x smx/1:") + word + '\0'); }
Data settings_11(uint32_t nonce, bool asks) {
  Settings s;
  s.answered_nonce = nonce;
  s.has_attempt = asks;
  s.attempt = kProcess + 1;
  s.credit = asks ? 2048 : 4096;
  s.channels = 1000;
  s.hold_s = asks ? 60 : 300;
  if (!asks) memcpy(s.session, hex("5a0f3c71b2e84d96a1c7085be43f9d20").data(), 16);
  return packet(s);
}

}  // namespace

TEST_CASE("sockmux(7), example 11: a cut in the middle of a packet, the answering side, byte by byte") {
  const std::vector<Data> c = manual(11, 'C'), as = manual(11, 'A');
  REQUIRE(c.size() == 2);
  REQUIRE(as.size() == 1);
  Bench a(config_11(false));
  a.up(hex("21d40e58 5a0f3c71b2e84d96a1c7085be43f9d20"));
  CHECK(a.feed(hello_11("9f3c01a7")) == Err::none);
  (void)a.write_all();
  CHECK(a.feed(settings_11(0x21d40e58, true)) == Err::none);
  a.accept_at_once = true;
  Data in = packet(kNumbered, Type::connect, 3, kNone, hex("01 0107 04c0a80114c3d6 0207 04c0a80101233f"));
  in += packet(kNumbered, Type::credit, 3, kNone, be32(10000));
  in += packet(kNumbered, Type::send, 3, kNone, Data(1008 - in.size() - 8, 'a'));
  REQUIRE(in.size() == 1008);
  CHECK(a.feed(in) == Err::none);
  const ChannelId id = a.opened;
  (void)a.write_all();
  a.send(id, Data(4242 - static_cast<size_t>(a.numbered) - 2 * kHeader, 'b'));  // two packets, while the rate is unknown
  (void)a.write_all();
  REQUIRE(a.numbered == 4242);
  const Data last = c[1] + Data(492, 'c');
  REQUIRE(last.size() == 500);
  CHECK(a.feed(last.substr(0, 200)) == Err::none);
  a.mux.link_down(a.now);
  REQUIRE(a.mux.held());
  a.up(hex("6b0211c3 00112233445566778899aabbccddeeff"));
  CHECK(a.feed(hello_11("d81e77f0")) == Err::none);
  (void)a.write_all();
  CHECK(a.feed(c[0]) == Err::none);
  CHECK(to_hex(a.write_all().substr(0, as[0].size())) == to_hex(as[0]));
  CHECK(a.mux.resumed());
  CHECK(a.feed(last) == Err::none);
  CHECK(a.at(id).in == Data(1008 - 27 - 12 - 8, 'a') + Data(492, 'c'));
}

TEST_CASE("sockmux(7), example 11: a cut in the middle of a packet, the asking side, byte by byte") {
  const std::vector<Data> cs = manual(11, 'C'), as = manual(11, 'A');
  REQUIRE(cs.size() == 2);
  Bench c(config_11(true));
  c.up(hex("9f3c01a7"), "20261123-085921.086940", kProcess + 1);
  (void)c.write_all();
  CHECK(c.feed(hello_11("21d40e58")) == Err::none);
  (void)c.write_all();
  CHECK(c.feed(settings_11(0x9f3c01a7, false)) == Err::none);
  ChannelId id;
  for (int n = 0; n < 4; ++n) id = c.open();
  REQUIRE(c.mux.number_of(id) == 3);
  (void)c.write_all();
  Data in = packet(kNumbered, Type::connected, kNone, 3, "") + packet(kNumbered, Type::credit, kNone, 3, be32(61440));
  in += packet(kNumbered, Type::send, kNone, 3, Data(2000, 'b'));
  CHECK(c.feed(in) == Err::none);
  (void)c.write_all();
  CHECK(c.feed(packet(kNumbered, Type::send, kNone, 3, Data(4242 - in.size() - 8, 'b'))) == Err::none);
  (void)c.write_all();
  c.send(id, Data(1008 - static_cast<size_t>(c.numbered) - 8, 'a'));
  (void)c.write_all();
  REQUIRE(c.numbered == 1008);
  c.send(id, Data(492, 'c'));
  (void)c.write_all();
  REQUIRE(c.numbered == 1508);
  c.mux.link_down(c.now);
  c.up(hex("d81e77f0"), "20261123-090000.000000", kProcess + 2);
  (void)c.write_all();
  CHECK(c.feed(hello_11("6b0211c3")) == Err::none);
  CHECK(to_hex(c.write_all()) == to_hex(cs[0]));
  CHECK(c.feed(as[0]) == Err::none);
  CHECK(c.mux.resumed());
  CHECK(to_hex(numbered_of(c.write_all())) == to_hex(cs[1] + Data(492, 'c')));
}

TEST_CASE("session: what happens while it is held goes out with the next link") {
  Two t;
  t.link(kProcess + 1);
  const ChannelId id = t.c.open("question");
  t.talk();
  t.cut();
  t.c.send(id, "more", true);
  t.a.send(t.a.opened, "answer", true);
  CHECK(t.c.write_all().empty());
  CHECK_FALSE(t.c.mux.can_open());
  t.link(kProcess + 2);
  CHECK(t.a.at(t.a.opened).in == "questionmore");
  CHECK(t.c.at(id).in == "answer");
  CHECK(t.c.mux.channels() == 0);
  CHECK(t.a.mux.channels() == 0);
}

TEST_CASE("session: the smaller hold time counts; then its channels are reset, and the next link begins a new one") {
  Two t(seconds(300), seconds(7));
  t.link(kProcess + 1);
  (void)t.c.open("x");
  t.talk();
  (void)t.c.take_log();
  t.cut();
  CHECK(t.c.wait(millis(6900)) == Err::none);
  CHECK(t.c.mux.held());
  CHECK(t.c.take_log() == "");
  CHECK(t.c.wait(millis(200)) == Err::none);
  CHECK_FALSE(t.c.mux.held());
  CHECK(t.c.take_log() == "abort ");
  CHECK(t.c.mux.channels() == 0);
  CHECK(t.a.mux.held());  // its own clock has not run here
  (void)t.a.take_log();
  t.link(kProcess + 2);
  CHECK_FALSE(t.a.mux.resumed());
  CHECK(t.a.take_log() == "abort up ");
}

TEST_CASE("session: no hold time at one side, no resume") {
  for (const bool at_c : {false, true}) {
    Two t(at_c ? seconds(0) : seconds(60), at_c ? seconds(60) : seconds(0));
    t.link(kProcess + 1);
    (void)t.c.open("x");
    t.talk();
    (void)t.c.take_log();
    t.cut();
    CHECK(t.c.take_log() == "abort ");
    CHECK_FALSE(t.c.mux.held());
    CHECK_FALSE(t.a.mux.held());
  }
}

TEST_CASE("session: a new session of which the asker has not shown that it knows ends with its link") {
  Two t;
  t.start();
  CHECK(t.a.feed(t.c.write_all()) == Err::none);
  CHECK(t.c.feed(t.a.write_all()) == Err::none);
  CHECK(t.a.feed(t.c.write_all()) == Err::none);
  CHECK(t.a.mux.up());
  CHECK_FALSE(t.a.mux.confirmed());
  t.cut();  // the answer is lost
  CHECK_FALSE(t.a.mux.held());
  t.link(kProcess + 2);
  CHECK_FALSE(t.c.mux.resumed());
}

TEST_CASE("session: an ask that was late is stale, and changes nothing") {
  Two t;
  t.link(kProcess + 5);
  (void)t.c.open("x");
  t.talk();
  t.cut();
  for (const uint64_t attempt : {kProcess + 5, kProcess + 1}) {
    CAPTURE(attempt);
    t.start(attempt);
    t.e_a = Err::none;
    t.talk();
    CHECK(t.e_a == Err::stale);
    CHECK(types(t.a.write_all()) == "13");  // BYE
    t.cut();
    CHECK(t.a.mux.held());
  }
  t.e_a = Err::none;
  t.link(kProcess + 6);
  CHECK(t.c.mux.resumed());
}

TEST_CASE("session: another process never resumes it, also if it knows its name; the old one ends") {
  Two t;
  t.link(kProcess + 1);
  (void)t.c.open("x");
  t.talk();
  (void)t.a.take_log();
  t.cut();
  t.start((uint64_t{7} << 32) + 9);
  t.talk();
  CHECK(t.a.mux.up());
  CHECK_FALSE(t.a.mux.resumed());
  CHECK(t.a.take_log() == "abort up ");
  CHECK(t.c.mux.up());
  CHECK_FALSE(t.c.mux.resumed());
}

TEST_CASE("session: the peer's fault and its goodbye end it") {
  Two t;
  t.link(kProcess + 1);
  (void)t.c.open("x");
  t.talk();
  (void)t.a.take_log();
  CHECK(t.a.feed(packet(kNumbered, Type::credit, 999, 0xffff, be32(1))) == Err::bad_id);
  t.a.mux.link_down(t.a.now, false);
  CHECK(t.a.take_log() == "abort ");
  CHECK_FALSE(t.a.mux.held());
}

TEST_CASE("session: a position that is no end of a packet breaks it, with BYE") {
  Two t;
  t.link(kProcess + 1);
  const ChannelId id = t.c.open("x");
  t.talk();
  t.a.send(t.a.opened, "never acknowledged");
  (void)t.a.write_all();
  (void)id;
  t.cut();
  for (const int64_t off : {-1, 1, 1000000}) {
    CAPTURE(off);
    Two u;
    u.link(kProcess + 1);
    (void)u.c.open("x");
    u.talk();
    u.a.send(u.a.opened, "never acknowledged");
    (void)u.a.write_all();
    u.cut();
    u.start(kProcess + 2);
    CHECK(u.a.feed(u.c.write_all()) == Err::none);
    CHECK(u.c.feed(u.a.write_all()) == Err::none);
    Settings s = settings_in(u.c.write_all());
    s.received = static_cast<uint64_t>(static_cast<int64_t>(s.received) + off);
    CHECK(u.a.feed(packet(s)) == Err::session_broken);
    const std::vector<Packet> bye = split(u.a.write_all());
    REQUIRE(bye.size() == 1);
    CHECK(bye[0].is(Type::bye));
    CHECK(static_cast<uint8_t>(bye[0].payload[0]) == static_cast<uint8_t>(ByeCode::session_broken));
  }
}

TEST_CASE("session: a link that another mux has got is given to the one that has the session") {
  Two t;
  t.link(kProcess + 1);
  const ChannelId id = t.c.open("x");
  t.talk();
  t.cut();
  struct Front : Bench {
    using Bench::Bench;
    AskAnswer on_ask(const Settings&) override { return answer; }
    AskAnswer answer = AskAnswer::elsewhere;
  } front(config(false));
  t.c.up(be32(0x1f3c0009) + Data(20, 'c'), "20261123-085921.086940", kProcess + 2);
  front.up(be32(0x21d40009) + Data(20, 'f'), "20261123-085921.114471");
  CHECK(front.feed(t.c.write_all()) == Err::none);
  CHECK(t.c.feed(front.write_all()) == Err::none);
  CHECK(front.feed(t.c.write_all()) == Err::moved);
  LinkHandover link;
  front.mux.give_link(&link, front.now);
  CHECK(front.mux.state() == Mux::State::down);
  CHECK(t.a.mux.take_link(link, t.a.now) == Err::none);
  t.talk();
  CHECK(t.c.mux.resumed());
  CHECK(t.a.mux.resumed());
  t.c.send(id, "y");
  t.talk();
  CHECK(t.a.at(t.a.opened).in == "xy");
}

TEST_CASE("session: who has no place, or knows better, says so before there is one") {
  for (const AskAnswer what : {AskAnswer::busy, AskAnswer::stale}) {
    struct Front : Bench {
      using Bench::Bench;
      AskAnswer on_ask(const Settings&) override { return answer; }
      AskAnswer answer = AskAnswer::busy;
    } front(config(false));
    front.answer = what;
    Bench c(config(true));
    c.up();
    front.up(be32(0x21d40009) + Data(20, 'f'), "20261123-085921.114471");
    CHECK(front.feed(c.write_all()) == Err::none);
    CHECK(c.feed(front.write_all()) == Err::none);
    CHECK(front.feed(c.write_all()) == (what == AskAnswer::busy ? Err::busy : Err::stale));
    CHECK(c.feed(front.write_all()) == Err::said_bye);
    CHECK(c.mux.peer_bye() == static_cast<uint8_t>(what == AskAnswer::busy ? ByeCode::busy : ByeCode::stale));
  }
}

TEST_CASE("session: a peer that comes back with 0.3 ends what was held") {
  Two t;
  t.link(kProcess + 1);
  (void)t.c.open("x");
  t.talk();
  t.cut();
  (void)t.a.take_log();
  t.a.up();
  CHECK(t.a.feed(packet(kVersion03, Type::hello, 0, 0, Data("20261123-085921.114471 vm\0", 26))) == Err::none);
  CHECK(t.a.take_log() == "abort ");
  CHECK(t.a.mux.dialect() == Dialect::v03);
  CHECK(t.a.mux.channels() == 0);
}

TEST_SUITE_END();
