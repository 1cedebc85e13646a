// core/mux/tap: who watches is told of every packet, of both dialects and on any line; of what is secret nothing gets into
// the ring; what does not fit is counted. Read next: e2e/dump.cc (a daemon that is watched).
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <set>

#include "tests/sim/bench.h"

using namespace smx;
using bench::Bench;
using bench::Data;
using bench::hex;
using bench::packet;

namespace {

Data copy(const TapPacket& p) {
  uint8_t h[kHeader];
  encode_header(p.header, h);
  Data d(reinterpret_cast<const char*>(h), sizeof h);
  for (int i = 0; i < p.pieces; ++i)
    if (p.piece[i].size > 0) d.append(reinterpret_cast<const char*>(p.piece[i].data), p.piece[i].size);
  return d;
}

struct Told : MuxTap {
  void on_packet(const TapPacket& p) override {
    CHECK(p.session == 7);
    (p.sent ? sent : received).push_back(copy(p));
    dialects.push_back(p.dialect);
  }
  std::vector<Data> sent, received;
  std::vector<Dialect> dialects;
};

// Numbered packets are written in their order, and so are the others; but these go first.
std::vector<Data> kind(const std::vector<Data>& all, bool numbered) {
  std::vector<Data> out;
  for (const Data& d : all)
    if ((d[0] == static_cast<char>(kNumbered)) == numbered) out.push_back(d);
  return out;
}
std::vector<Data> packets(const Data& wire) {
  std::vector<Data> out;
  for (const bench::Packet& p : bench::split(wire)) {
    uint8_t h[kHeader];
    encode_header(p.h, h);
    out.push_back(Data(reinterpret_cast<const char*>(h), sizeof h) + p.payload);
  }
  return out;
}

MuxConfig config_of(MuxConfig::Proto proto, const char* host) {
  MuxConfig c;
  c.proto = proto;
  strcpy(c.host, host);
  return c;
}

// Two muxes with a line in between that tears packets apart.
struct Two {
  Two(MuxConfig::Proto proto, bool lossy) : a(config_of(proto, "a")), b(config_of(proto, "b")) {
    a.is_asker = true;
    for (Bench* x : {&a, &b}) {
      x->is_line = x->is_lossy = lossy;
      x->accept_at_once = true;
    }
    a.mux.set_tap(&at_a, 7);
    b.mux.set_tap(&at_b, 7);
    a.up();
    b.up(hex("11223344556677889900aabbccddeeff0011223344556677"));
  }
  bool pass(Bench& from, Bench& to, Data& wire) {
    const Data some = from.write(3000);
    wire += some;
    CHECK(to.feed(some) == Err::none);
    return !some.empty();
  }
  void settle() {
    for (;;) {
      const bool one = pass(a, b, to_b), other = pass(b, a, to_a);
      if (b.mux.wants_write(b.opened)) b.mux.drain(b.opened, b.now);
      if (!one && !other) return;
    }
  }
  void wait(Duration d) {
    CHECK(a.wait(d) == Err::none);
    CHECK(b.wait(d) == Err::none);
    settle();
  }
  Bench a, b;
  Told at_a, at_b;
  Data to_a, to_b;
};

std::string types_of(const std::vector<Data>& one, const std::vector<Data>& other) {
  std::set<std::string> types;
  for (const std::vector<Data>* all : {&one, &other})
    for (const Data& d : *all) types.insert(bench::to_hex(d.substr(1, 1)));
  std::string out;
  for (const std::string& s : types) out += (out.empty() ? "" : " ") + s;
  return out;
}

// Everything that there is, and more than the rings hold.
void traffic(Two& t, bool v1) {
  t.settle();
  REQUIRE(t.a.mux.up());
  const ChannelId id = t.a.open(Data(700000, 'd'));
  t.settle();
  for (int i = 0; i < 200; ++i) t.wait(millis(10));
  const ChannelId there = t.b.opened;
  t.b.send(there, Data(700000, 'e'));
  for (int i = 0; i < 200; ++i) t.wait(millis(10));
  CHECK((t.b.at(there).in == Data(700000, 'd')));
  CHECK((t.a.at(id).in == Data(700000, 'e')));
  t.b.mux.abort(there, CloseCode::reset);
  t.settle();
  t.a.open_flow({Data("first"), Data(1000, 'f')});
  t.settle();
  if (v1) {
    t.a.open_flow({Data(40000, 'f')});
    const ChannelId idle = t.a.open("some");
    t.settle();
    t.wait(seconds(6));  // REFUND
    t.a.send(idle, "last", true);
    const ChannelId asks = t.a.mux.open_bind(t.a.now);
    t.a.locals[asks.slot] = bench::Local{};
    t.settle();
    t.a.mux.abort(asks, CloseCode::done);
  }
  for (int i = 0; i < 100; ++i) t.wait(millis(20));
  t.a.mux.probe(t.a.now, seconds(5));
  t.settle();
  t.a.mux.bye(ByeCode::shutdown);
  for (;;) {
    const Data some = t.a.write_all();
    if (some.empty()) break;
    t.to_b += some;
    CHECK(t.b.feed(some) == (v1 ? Err::said_bye : Err::none));
  }
}

TapPacket tap_packet(unsigned version, unsigned type, const Bytes* piece, int pieces) {
  TapPacket p;
  p.header = {static_cast<uint8_t>(version), static_cast<uint8_t>(type), 1, kNone, static_cast<uint16_t>(total_size(piece, pieces))};
  p.piece = piece;
  p.pieces = pieces;
  return p;
}
Bytes view(const Data& d) { return {reinterpret_cast<const uint8_t*>(d.data()), d.size()}; }

struct RingMemory {
  std::vector<uint8_t> bytes = std::vector<uint8_t>(65536);
  TapRing ring{bytes.data(), bytes.size()};
  // The oldest one, taken out: what is shown of it.
  Data take(TapRing::Record* r) {
    REQUIRE(ring.front(r));
    Data d(kHeader + r->shown, '\0');
    ring.read(0, reinterpret_cast<uint8_t*>(&d[0]), d.size());
    ring.pop();
    return d;
  }
};

}  // namespace

TEST_SUITE_BEGIN("tap");

TEST_CASE("tap: SockMux 1: each packet on the wire was told, whole, at both ends") {
  Two t(MuxConfig::Proto::automatic, false);
  traffic(t, true);
  for (const bool numbered : {false, true}) {
    CAPTURE(numbered);
    CHECK((kind(t.at_a.sent, numbered) == kind(packets(t.to_b), numbered)));
    CHECK((kind(t.at_b.sent, numbered) == kind(packets(t.to_a), numbered)));
  }
  CHECK((t.at_b.received == packets(t.to_b)));
  CHECK((t.at_a.received == packets(t.to_a)));
  CHECK(types_of(t.at_a.sent, t.at_b.sent) == "01 02 04 06 08 09 10 11 13 20 21 22 23 24 42 49");
  CHECK(t.at_a.dialects.front() == Dialect::unknown);
  CHECK(t.at_a.dialects.back() == Dialect::v1);
}

TEST_CASE("tap: 0.3: each packet on the wire was told, whole, at both ends") {
  Two t(MuxConfig::Proto::v03, false);
  traffic(t, false);
  // HELLO, HELLOOK, SETOPT, ECHO are written before what waits in the ring.
  std::vector<Data> told = t.at_a.sent, wire = packets(t.to_b);
  CHECK((t.at_b.received == wire));
  std::sort(told.begin(), told.end());
  std::sort(wire.begin(), wire.end());
  CHECK((told == wire));
  CHECK((t.at_a.received == packets(t.to_a)));
  CHECK(types_of(t.at_a.sent, t.at_b.sent) == "01 02 06 08 09 0a 41 42 46 48 49");
  CHECK(t.at_a.dialects.back() == Dialect::v03);
}

TEST_CASE("tap: lossy lines: the packets inside of the frames are told") {
  Two t(MuxConfig::Proto::automatic, true);
  traffic(t, true);
  CHECK((kind(t.at_a.sent, true) == kind(t.at_b.received, true)));
  CHECK((kind(t.at_b.sent, true) == kind(t.at_a.received, true)));
  CHECK(types_of(t.at_b.received, t.at_a.received) == "01 02 04 06 08 09 10 13 20 21 22 23 24 42 49");
}

TEST_CASE("tap: a packet at fault is told, by its header") {
  Two t(MuxConfig::Proto::automatic, false);
  t.settle();
  const Data bad = packet(kNumbered, Type::send, 3, 4, "x");  // both ids
  CHECK(t.a.feed(bad) == Err::bad_id);
  CHECK(t.at_a.received.back() == bad.substr(0, kHeader));
}

TEST_CASE("tap: nobody watches any more") {
  Two t(MuxConfig::Proto::automatic, false);
  t.settle();
  const size_t before = t.at_a.sent.size();
  t.a.mux.set_tap(nullptr, 0);
  t.a.open("x");
  t.settle();
  CHECK(t.at_a.sent.size() == before);
  CHECK(t.at_b.received.size() > before);
}

TEST_CASE("tap: what may be seen of each type: no data, but so much as is asked for") {
  const Data secret(300, 's');
  const Bytes two[2] = {{view(secret).data, 100}, {view(secret).data + 100, 200}};
  for (unsigned type = 0; type < 256; ++type) {
    for (const unsigned version : {0x03u, 0x10u, 0x11u}) {
      CAPTURE(type);
      CAPTURE(version);
      const TapPacket p = tap_packet(version, type, two, 2);
      static const Data kControl = hex("01 04 08 09 0a 0e 11 12 13 20 21 24 41 44 46 47 48 49");
      const bool words03 = version == 0x03 && (type == 0x02 || type == 0x42);  // without NUL: all of it may be data
      const bool control = kControl.find(static_cast<char>(type)) != Data::npos || ((type == 0x02 || type == 0x42) && version != 0x03);
      const bool never = type == 0x0c || type == 0x10 || words03;  // keys; SETTINGS of 300 bytes are none
      CHECK(shown_bytes(p, 0) == (control ? 300 : 0));
      CHECK(shown_bytes(p, 120) == (control ? 300 : never ? 0 : 120));
      CHECK(shown_bytes(p, 16376) == (never ? 0 : 300));
    }
  }
  const Data hello(9000, 'h');
  const Bytes long_one = view(hello);
  CHECK(shown_bytes(tap_packet(3, 0x41, &long_one, 1), 0) == 320);
  CHECK(shown_bytes(tap_packet(0x11, 0x08, &long_one, 1), 0) == 1024);
  const Data words = Data("98304 127.0.0.1:1 127.0.0.1:2") + '\0' + "hello";
  for (size_t cut = 0; cut <= words.size(); ++cut) {  // wherever it wraps
    const Bytes piece[2] = {{view(words).data, cut}, {view(words).data + cut, words.size() - cut}};
    CHECK(shown_bytes(tap_packet(3, 0x02, piece, 2), 0) == 30);
    CHECK(shown_bytes(tap_packet(3, 0x42, piece, 2), 2) == 32);
    CHECK(shown_bytes(tap_packet(3, 0x02, piece, 2), 100) == 35);
  }
}

TEST_CASE("tap: the session's id is never in the ring, and neither is what nobody knows") {
  const auto masked = [](const std::string& text) {
    Data d = hex(text);
    mask_settings(reinterpret_cast<uint8_t*>(&d[0]), d.size());
    return bench::to_hex(d);
  };
  const std::string id = "0110a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", stars = "01102a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a";
  CHECK(masked("01020304" + id + "02080000000000000001") == "01020304" + stars + "02080000000000000001");
  CHECK(masked("01020304" + id + "020100" + id) == "01020304" + stars + "020100" + stars);
  CHECK(masked("01020304011000000000000000000000000000000000050203e8") == "01020304011000000000000000000000000000000000050203e8");
  CHECK(masked("01020304080401020304070141") == "0102030408042a2a2a2a070141");
  CHECK(masked("0102030400021122") == "0102030400022a2a");
  CHECK(masked("010203040102aabb03") == "0102030401022a2a2a");  // cut
  CHECK(masked("0102030401ffaabb") == "010203042a2a2a2a");
  CHECK(masked("010203") == "010203");
  Settings s;
  for (uint8_t& b : s.session) b = 0xcc;
  s.credit = 2048;
  s.channels = 5;
  strcpy(s.peer_name, "branch");
  const Data whole = packet(s);
  const Data payload = whole.substr(kHeader);
  const Bytes piece[2] = {{view(payload).data, 9}, {view(payload).data + 9, payload.size() - 9}};
  RingMemory m;
  REQUIRE(m.ring.add(tap_packet(0x10, 0x10, piece, 2), 16376, Time{5}));
  TapRing::Record r;
  const Data seen = m.take(&r);
  CHECK(seen.size() == whole.size());
  CHECK(seen.find('\xcc') == Data::npos);
  CHECK(Data(m.bytes.begin(), m.bytes.end()).find("\xcc\xcc") == Data::npos);  // one alone may be of the time
  Settings back;
  CHECK(parse_settings({reinterpret_cast<const uint8_t*>(seen.data()) + kHeader, seen.size() - kHeader}, &back) == Err::none);
  CHECK(back.channels == 5);
}

TEST_CASE("tap: the ring gives what it got, in order; what finds no room is counted where it is missing") {
  RingMemory m;
  std::deque<std::pair<Data, uint32_t>> model;  // and how many were lost before it
  uint32_t lost = 0, total_lost = 0;
  unsigned seed = 1;
  const auto random = [&seed](unsigned most) {
    seed = seed * 1103515245 + 12345;
    return (seed >> 8) % most;
  };
  for (unsigned i = 0; i < 30000; ++i) {
    if (random(100) < (i / 3000 % 2 == 0 ? 60 : 40)) {
      const Data payload(random(random(20) == 0 ? 16377 : 60), static_cast<char>(i));
      const Bytes piece = view(payload);
      TapPacket p = tap_packet(0x11, 0x06, &piece, 1);
      p.session = i;
      p.sent = i % 3 == 0;
      const size_t before = m.ring.empty() ? 0 : 1;
      if (m.ring.add(p, 8000, Time{i})) {
        model.emplace_back(copy(p).substr(0, kHeader + 8000), lost);
        lost = 0;
      } else {
        CHECK(before == 1);  // an empty one takes any
        ++lost, ++total_lost;
      }
    } else if (!model.empty()) {
      TapRing::Record r;
      CHECK((m.take(&r) == model.front().first));
      CHECK(r.lost == model.front().second);
      CHECK(static_cast<int64_t>(r.session) == r.at.us);
      CHECK(r.sent == (r.session % 3 == 0));
      model.pop_front();
    }
    CHECK(m.ring.empty() == model.empty());
  }
  CHECK(total_lost > 100);
  for (; !model.empty(); model.pop_front()) {
    TapRing::Record r;
    CHECK((m.take(&r) == model.front().first));
  }
  CHECK(m.ring.take_lost() == lost);
  CHECK(m.ring.take_lost() == 0);
}

TEST_SUITE_END();
