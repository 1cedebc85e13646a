// Datagrams in core/mux, both dialects, byte by byte: whole, in pieces, too long, of nothing, on channels that are no
// flows; and what each rule of the page forbids. Rules: sockmux(7), "Datagrams".
// Read next: core/mux/mux_datagram.cc, test_mux.cc, e2e/udp.cc.
#include <doctest/doctest.h>

#include <random>

#include "tests/sim/bench.h"

using namespace smx;
using namespace bench;

namespace {

constexpr unsigned kNo = 0xffff;

Data filled(size_t n) {
  Data d(n, ' ');
  for (size_t i = 0; i < n; ++i) d[i] = static_cast<char>(i * 31 + i / 256);
  return d;
}
Data chan(Type t, unsigned said, unsigned raid, const Data& payload = "") { return packet(kNumbered, t, said, raid, payload); }
Data close(unsigned said, unsigned raid, unsigned code) { return chan(Type::close, said, raid, Data(1, static_cast<char>(code))); }
// Channel `n` of kind 2 (UDP), or 1.
Data connect(unsigned n, bool udp = true) {
  return chan(Type::connect, n, kNo, hex(udp ? "02" : "01") + hex("0107 04c0a80114c3d6 0207 04c0a80101233f"));
}

// Up in dialect 1 on the accepting side; the peer takes channels 0..999.
struct A : Bench {
  explicit A(uint32_t bytes_a_second = 0, const MuxConfig& c = MuxConfig()) : Bench(c) {
    LinkStart s;
    const Data random = hex("21d40e58 5a0f3c71b2e84d96a1c7085be43f9d20");
    memcpy(s.random, random.data(), random.size());
    s.rate = bytes_a_second;
    mux.link_up(s, now);
    Settings settings;
    settings.answered_nonce = 0x21d40e58;
    settings.credit = 2048;
    settings.channels = 1000;
    settings.has_attempt = true;
    CHECK(feed(packet(kVersion03, Type::hello, 0, 0, Data("20261123-085921.086940 r1 smx/1:9f3c01a7") + '\0')) == Err::none);
    (void)write_all();
    CHECK(feed(packet(settings)) == Err::none);
    (void)write_all();
    CHECK(take_log() == "up ");
  }
  ChannelId accepted(unsigned n, bool udp = true) {
    CHECK(feed(connect(n, udp)) == Err::none);
    mux.accept(opened, now);
    (void)write_all();
    (void)take_log();
    return opened;
  }
  ChannelId connected() {
    const ChannelId id = open_flow();
    (void)write_all();
    CHECK(feed(chan(Type::connected, kNo, id.slot)) == Err::none);
    CHECK(take_log() == "opened ");
    return id;
  }
  Err ack() { return feed(packet(kUnnumbered, Type::ack, kNo, kNo, be64(Bench::numbered))); }
};

// Up in dialect 0.3 toward a peer that takes packets of `size` bytes.
struct Old : Bench {
  explicit Old(unsigned size = 16384, bool conn_data = true) : Bench(memory()) {
    up();
    const Data hello = Data("20261123-085921.114471 vm") + '\0';
    CHECK(feed(old(Type::hello, 0, 0, hello)) == Err::none);
    CHECK(feed(old(Type::hellook, 0, 0, hello)) == Err::none);
    if (size > 0) CHECK(feed(old(Type::setopt, 0xff, 0xff, Data(1, '\3') + static_cast<char>(size >> 8) + static_cast<char>(size))) == Err::none);
    if (conn_data) CHECK(feed(old(Type::setopt, 0xff, 0xff, Data("\2\1\0", 3))) == Err::none);
    (void)write_all();
    CHECK(take_log() == "up ");
  }
  static MuxConfig memory() {
    MuxConfig c;
    c.memory_bytes = 32u << 20;
    return c;
  }
  static Data old(Type t, unsigned said, unsigned raid, const Data& payload) { return packet(kVersion03, t, said, raid, payload); }
  static Data words() { return Data("98304 127.0.0.1:50114 127.0.0.1:9023") + '\0'; }
  ChannelId connected(unsigned n) {
    const ChannelId id = open_flow();
    (void)write_all();
    CHECK(feed(old(Type::connected, n, id.slot, words())) == Err::none);
    CHECK(take_log() == "opened ");
    return id;
  }
  Err sent(ChannelId id, unsigned n, unsigned count) {
    return feed(old(Type::sent, n, id.slot, Data(std::to_string(count)) + '\0'));
  }
};

}  // namespace

TEST_SUITE_BEGIN("datagrams");

TEST_CASE("sockmux(7), example 7: datagrams of 0 and 20,000 bytes on channel 7") {
  A a;
  const ChannelId id = a.accepted(7);
  const Data large = filled(20000);
  const std::vector<Data> c = manual(7, 'C');
  REQUIRE(c.size() == 3);
  CHECK(to_hex(joined(c)) == "11220007ffff0000" "11230007ffff3ff8" "11220007ffff0e28");
  CHECK(a.feed(c[0]) == Err::none);
  CHECK(a.feed(c[1] + large.substr(0, 16376)) == Err::none);
  CHECK(a.at(id).got.size() == 1);
  CHECK(a.feed(c[2] + large.substr(16376)) == Err::none);
  REQUIRE(a.at(id).got.size() == 2);
  CHECK(a.at(id).got[0].empty());
  CHECK(a.at(id).got[1] == large);
  CHECK(a.mux.stats().rx_datagrams == 2);
  // and the other way
  (void)a.write_all();  // ACK
  a.send_datagram(id, "");
  a.send_datagram(id, large);
  const std::vector<Packet> out = split(a.write_all());
  REQUIRE(out.size() == 3);
  CHECK(to_hex(packet(out[0].h.version, Type::dgram, out[0].h.said, out[0].h.raid, "")) == "1122ffff00070000");
  CHECK(out[0].is(Type::dgram));
  CHECK(out[1].is(Type::part));
  CHECK(out[1].h.length == 16376);
  CHECK(out[2].is(Type::dgram));
  CHECK(out[2].h.length == 3624);
  CHECK(out[1].payload + out[2].payload == large);
}

TEST_CASE("a flow of ours: CONNECT of kind 2, and datagrams behind it at once, without credit") {
  A a;
  const ChannelId id = a.open_flow({"one", "", "three"});
  a.at(id).info.local.family = 4;
  const std::vector<Packet> out = split(a.write_all());
  REQUIRE(out.size() == 4);
  CHECK(out[0].is(Type::connect));
  CHECK(out[0].payload[0] == 2);
  CHECK(out[1].payload == "one");
  CHECK(out[2].payload == "");
  CHECK(out[3].payload == "three");
  for (int i = 1; i < 4; ++i) CHECK(out[static_cast<size_t>(i)].is(Type::dgram));
  CHECK(a.feed(chan(Type::connected, kNo, id.slot)) == Err::none);
  CHECK(a.feed(chan(Type::dgram, kNo, id.slot, "answer")) == Err::none);
  CHECK(a.at(id).got == std::vector<Data>{"answer"});
  CHECK(a.write_all().empty());  // neither CREDIT nor REFUND, not even later
  CHECK(a.ack() == Err::none);
  CHECK(a.wait(seconds(6)) == Err::none);
  CHECK(a.write_types().find("24") == std::string::npos);
}

TEST_CASE("every size that UDP knows goes whole from one mux to another") {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{512}, size_t{1472}, size_t{9000}, size_t{16375}, size_t{16376}, size_t{16377},
                            size_t{32752}, size_t{32753}, size_t{65506}, kMaxDatagram}) {
    CAPTURE(size);
    A from, to;
    const Data d = filled(size);
    const ChannelId id = from.open_flow({d});
    CHECK(to.feed(from.write_all()) == Err::none);
    REQUIRE(to.log == "open ");
    CHECK(to.open_info.udp);
    CHECK(from.ack() == Err::none);
    CHECK(to.at(to.opened).got == std::vector<Data>{d});
    (void)id;
  }
}

TEST_CASE("datagrams come before the acceptor has its server: it decides what becomes of them") {
  A a;
  CHECK(a.feed(connect(3) + chan(Type::dgram, 3, kNo, "early")) == Err::none);
  CHECK(a.at(a.opened).got == std::vector<Data>{"early"});
  a.mux.accept(a.opened, a.now);
  CHECK(a.write_types() == "42");
}

TEST_CASE("more than 65,507 bytes in all are an error, and exactly so many are not") {
  A a;
  const ChannelId id = a.accepted(1);
  const Data part = filled(16376);
  for (int i = 0; i < 4; ++i) CHECK(a.feed(chan(Type::part, 1, kNo, part)) == Err::none);
  CHECK(a.feed(chan(Type::dgram, 1, kNo, "abc")) == Err::none);
  REQUIRE(a.at(id).got.size() == 1);
  CHECK(a.at(id).got[0].size() == kMaxDatagram);
  for (int i = 0; i < 4; ++i) CHECK(a.feed(chan(Type::part, 1, kNo, part)) == Err::none);
  CHECK(a.feed(chan(Type::dgram, 1, kNo, "abcd")) == Err::bad_length);
}

TEST_CASE("a PART beyond 65,507 is an error before its datagram ends") {
  A a;
  (void)a.accepted(1);
  for (int i = 0; i < 4; ++i) CHECK(a.feed(chan(Type::part, 1, kNo, filled(16376))) == Err::none);
  CHECK(a.feed(chan(Type::part, 1, kNo, "abcd")) == Err::bad_length);
}

TEST_CASE("between the pieces of one datagram: another channel's DGRAM or PART is an error, all else may come") {
  for (const Type wrong : {Type::dgram, Type::part}) {
    A a;
    const ChannelId one = a.accepted(1);
    const ChannelId tcp = a.accepted(3, false);
    (void)a.accepted(2);
    CHECK(a.feed(chan(Type::part, 1, kNo, "ab")) == Err::none);
    CHECK(a.feed(chan(Type::send, 3, kNo, "stream")) == Err::none);
    CHECK(a.feed(packet(kUnnumbered, Type::echo, kNo, kNo, be64(1))) == Err::none);
    CHECK(a.feed(connect(4)) == Err::none);
    CHECK(a.feed(close(4, kNo, 8)) == Err::none);
    CHECK(a.feed(chan(Type::part, 1, kNo, "cd")) == Err::none);
    CHECK(a.feed(chan(Type::dgram, 1, kNo, "e")) == Err::none);
    CHECK(a.at(one).got == std::vector<Data>{"abcde"});
    CHECK(a.at(tcp).in == "stream");
    CHECK(a.feed(chan(Type::part, 1, kNo, "ab")) == Err::none);
    CHECK(a.feed(chan(wrong, 2, kNo, "x")) == Err::bad_state);
  }
}

TEST_CASE("a DGRAM without bytes ends a datagram in pieces, too") {
  A a;
  const ChannelId id = a.accepted(1);
  CHECK(a.feed(chan(Type::part, 1, kNo, "ab")) == Err::none);
  CHECK(a.feed(chan(Type::dgram, 1, kNo, "")) == Err::none);
  CHECK(a.at(id).got == std::vector<Data>{"ab"});
}

TEST_CASE("CLOSE drops the pieces that came; the next flow begins clean") {
  A a;
  (void)a.accepted(1);
  const ChannelId two = a.accepted(2);
  CHECK(a.feed(chan(Type::part, 1, kNo, "ab")) == Err::none);
  CHECK(a.feed(close(1, kNo, 8)) == Err::none);
  CHECK(a.take_log() == "abort ");
  CHECK(a.code == CloseCode::idle);
  CHECK(a.feed(chan(Type::dgram, 2, kNo, "x")) == Err::none);
  CHECK(a.at(two).got == std::vector<Data>{"x"});
  CHECK(a.write_types() == "08");
  const ChannelId again = a.accepted(1);
  CHECK(a.feed(chan(Type::dgram, 1, kNo, "y")) == Err::none);
  CHECK(a.at(again).got == std::vector<Data>{"y"});
}

TEST_CASE("CLOSE with any code at any time ends a flow; there is no FIN to wait for") {
  for (const unsigned code : {0u, 1u, 8u, 12u}) {
    A a;
    (void)a.accepted(1);
    CHECK(a.feed(close(1, kNo, code)) == Err::none);
    CHECK(a.take_log() == "abort ");
    CHECK(a.write_types() == "08");
    CHECK(a.mux.channels() == 0);
  }
}

TEST_CASE("what still comes for a flow that was closed here is dropped and counted, pieces included") {
  A a;
  const ChannelId id = a.accepted(1);
  (void)a.accepted(2);
  CHECK(a.feed(chan(Type::part, 1, kNo, "ab")) == Err::none);
  a.mux.abort(id, CloseCode::idle);
  CHECK(to_hex(a.write_all()) == to_hex(close(kNo, 1, 8)));
  CHECK(a.feed(chan(Type::dgram, 1, kNo, "c")) == Err::none);
  CHECK(a.feed(chan(Type::dgram, 2, kNo, "x")) == Err::none);
  CHECK(a.at(id).got.empty());
  CHECK(a.mux.stats().late_datagrams == 1);
  CHECK(a.feed(close(1, kNo, 8)) == Err::none);
  CHECK(a.mux.channels() == 1);
}

TEST_CASE("datagrams on a TCP channel, and a TCP channel's packets on a flow, are errors") {
  const Data four = be32(1000);
  struct {
    bool udp;
    Type type;
    Data payload;
  } const wrong[] = {{false, Type::dgram, "x"}, {false, Type::part, "x"}, {true, Type::send, "x"},    {true, Type::sendoob, "x"},
                     {true, Type::fin, ""},     {true, Type::credit, four}, {true, Type::refund, four}};
  for (const auto& w : wrong) {
    CAPTURE(static_cast<int>(w.type));
    A a;
    (void)a.accepted(1, w.udp);
    CHECK(a.feed(chan(w.type, 1, kNo, w.payload)) == Err::bad_state);
  }
}

TEST_CASE("DGRAM and PART: lengths and ids outside of the table") {
  A a;
  (void)a.accepted(1);
  CHECK(a.feed(chan(Type::part, 1, kNo, "")) == Err::bad_length);
  A b;
  CHECK(b.feed(chan(Type::dgram, 5, kNo, "x")) == Err::bad_id);
  A c;
  CHECK(c.feed(chan(Type::dgram, kNo, kNo, "x")) == Err::bad_id);
  A d;
  (void)d.accepted(1);
  CHECK(d.feed(hex("11220001ffff3ff9")) == Err::bad_length);
  A e;
  const ChannelId mine = e.open_flow();
  (void)e.write_all();
  CHECK(e.feed(chan(Type::dgram, kNo, mine.slot, "x")) == Err::bad_state);  // before CONNECTED
}

TEST_CASE("a datagram longer than the link takes in 2 s is dropped, and the next one goes") {
  A a(960);  // 9600 baud
  const ChannelId id = a.accepted(1);
  a.at(id).datagrams = {filled(1921), filled(1920)};
  a.mux.local_readable(id);
  const std::vector<Packet> out = split(a.write_all());
  // In pieces, so that a key press may go in between.
  Data whole;
  for (const Packet& p : out) {
    CHECK(p.is(&p == &out.back() ? Type::dgram : Type::part));
    CHECK(p.payload.size() <= 128);
    whole += p.payload;
  }
  CHECK(whole == filled(1920));
  CHECK(a.at(id).too_large == 1);
}

TEST_CASE("a full ring: datagrams stay where they are, one goes in pieces as there is room, no other in between") {
  MuxConfig c;
  c.tx_ring = 64 * 1024;
  A a(0, c);
  const ChannelId one = a.accepted(1), two = a.accepted(2);
  a.at(one).datagrams = {filled(60000), filled(60000)};
  a.at(two).datagrams = {"small"};
  a.mux.local_readable(one);
  a.mux.local_readable(two);
  Data all;
  for (int i = 0; i < 20; ++i) {
    all += a.write_all();
    CHECK(a.ack() == Err::none);
  }
  size_t whole = 0, small = 0;
  Data pieces;
  for (const Packet& p : split(all)) {
    if (p.is(Type::part) || p.is(Type::dgram)) {
      if (p.h.raid == 2) {
        ++small;
        CHECK(pieces.empty());
        CHECK(p.payload == "small");
        continue;
      }
      pieces += p.payload;
      if (p.is(Type::part)) continue;
      CHECK(pieces == filled(60000));
      pieces.clear();
      ++whole;
    }
  }
  CHECK(whole == 2);
  CHECK(small == 1);
}

TEST_CASE("a flow that is closed in the middle of a datagram: the rest is dropped, CLOSE ends the pieces") {
  MuxConfig c;
  c.tx_ring = 64 * 1024;
  A a(0, c);
  const ChannelId one = a.accepted(1), two = a.accepted(2);
  a.send_datagram(one, filled(65000));
  (void)a.write_all();
  a.mux.abort(one, CloseCode::idle);
  a.send_datagram(two, "next");
  CHECK(a.write_types() == "08 22");
}

TEST_CASE("a flow that is closed in the middle of a datagram while others are read: no other datagram before its CLOSE") {
  MuxConfig c;
  c.tx_ring = 64 * 1024;
  A a(0, c);
  const ChannelId one = a.accepted(1), two = a.accepted(2), control = a.accepted(3, false);
  a.send_datagram(one, filled(65000));
  (void)a.write_all();
  a.at(control).out = "the end of the flow";
  a.at(control).when_pulled = [&] { a.mux.abort(one, CloseCode::idle); };
  a.at(two).datagrams = {"next"};
  a.mux.local_readable(control);
  a.mux.local_readable(two);
  CHECK(a.write_types() == "06 08");
  CHECK(a.ack() == Err::none);
  CHECK(a.write_types() == "22");
}

TEST_CASE("bulk that fills the ring does not keep a small datagram out") {
  A a;
  const ChannelId tcp = a.accepted(3, false);
  CHECK(a.feed(chan(Type::credit, 3, kNo, be32(10000000))) == Err::none);
  const ChannelId udp = a.accepted(1);
  a.send(tcp, Data(5000000, 'x'));
  (void)a.write(1000);
  a.send_datagram(udp, "query");
  a.mux.gather(a.now);
  a.mux.verify();
  CHECK(a.at(tcp).out.size() > 4000000);  // waits
  CHECK(a.at(udp).datagrams.empty());
}

TEST_CASE("the link goes: flows end with it, half a datagram is forgotten both ways") {
  MuxConfig c;
  c.tx_ring = 64 * 1024;
  A a(0, c);
  const ChannelId one = a.accepted(1);
  a.send_datagram(one, filled(65000));
  (void)a.write_all();
  CHECK(a.feed(chan(Type::part, 1, kNo, "ab")) == Err::none);
  a.mux.link_down(a.now);
  a.mux.verify();
  CHECK(a.take_log() == "abort ");
  CHECK(a.mux.channels() == 0);
}

TEST_CASE("a waiting client: the flow of ours that was silent longest makes room, if it was so for a second") {
  MuxConfig c;
  c.opens = 2;
  A a(0, c);
  const ChannelId one = a.connected(), two = a.connected();
  CHECK(!a.mux.can_open());
  CHECK(!a.mux.make_room(a.now));
  CHECK(a.wait(millis(700)) == Err::none);
  a.send_datagram(one, "x");
  (void)a.write_all();
  CHECK(a.wait(millis(700)) == Err::none);
  CHECK(a.mux.make_room(a.now));
  CHECK(a.take_log() == "abort ");
  CHECK(a.code == CloseCode::idle);
  CHECK(to_hex(a.write_all()) == to_hex(close(two.slot, kNo, 8)));
  CHECK(a.feed(close(kNo, two.slot, 8)) == Err::none);
  CHECK(a.take_log() == "room ");
  CHECK(!a.mux.make_room(a.now));  // `one` is fresh
}

TEST_CASE("a waiting client: while no flow was silent for a second, one whose questions are answered makes room, if its client has not come again") {
  MuxConfig c;
  c.opens = 5;
  A a(0, c);
  const ChannelId silent = a.connected(), one = a.connected(), two = a.connected(), talks = a.connected(), streams = a.connected();
  const auto asks = [&](ChannelId id) {
    a.send_datagram(id, "?");
    (void)a.write_all();
  };
  const auto answered = [&](ChannelId id) { CHECK(a.feed(chan(Type::dgram, kNo, id.slot, "!")) == Err::none); };
  for (const ChannelId id : {silent, one, two, two, talks, streams}) asks(id);
  CHECK(!a.mux.make_room(a.now));  // each waits for an answer
  for (const ChannelId id : {two, talks, streams, streams}) answered(id);
  asks(talks);
  answered(talks);
  CHECK(!a.mux.make_room(a.now));  // `two` for another one; `talks` and `streams` are more than a question
  CHECK(a.wait(millis(100)) == Err::none);
  answered(two);
  CHECK(a.wait(millis(100)) == Err::none);
  answered(one);
  for (const ChannelId id : {two, one}) {  // who has been silent longer goes first
    CHECK(a.mux.make_room(a.now));
    CHECK(to_hex(a.write_all()) == to_hex(close(id.slot, kNo, 8)));
    CHECK(a.feed(close(kNo, id.slot, 8)) == Err::none);
  }
  CHECK(!a.mux.make_room(a.now));
  // The place of one that was answered begins anew.
  CHECK(a.wait(millis(200)) == Err::none);
  (void)a.take_log();
  const ChannelId next = a.connected();
  asks(next);
  CHECK(!a.mux.make_room(a.now));
}

TEST_CASE("many waiting clients: one flow at a time makes room, until the peer has let go of it") {
  MuxConfig c;
  c.opens = 20;
  A a(0, c);
  std::vector<ChannelId> flows;
  while (a.mux.can_open()) flows.push_back(a.connected());
  CHECK(a.wait(seconds(2)) == Err::none);
  for (int served = 1; served <= 3; ++served) {
    for (int i = 0; i < 50; ++i) CHECK(a.mux.make_room(a.now));
    CHECK(a.mux.stats().aborted == static_cast<uint64_t>(served));
    (void)a.write_all();
    CHECK(a.feed(close(kNo, flows[static_cast<size_t>(served - 1)].slot, 8)) == Err::none);
    CHECK(a.take_log() == "abort room ");
    (void)a.connected();
  }
  // A peer that does not let go: others may have room, and much later one more is tried.
  CHECK(a.mux.make_room(a.now));
  CHECK(a.wait(seconds(2)) == Err::none);
  CHECK(!a.mux.make_room(a.now));
  CHECK(a.mux.stats().aborted == 4);
  CHECK(a.wait(seconds(9)) == Err::none);
  CHECK(a.mux.make_room(a.now));
  CHECK(a.mux.stats().aborted == 5);
}

// Two muxes, flows and TCP channels by chance, links that carry by bits, owners that leave: what arrives is what was sent,
// whole and in order, and nothing is missing but behind an abort.
TEST_CASE("datagrams by chance: whole, in order, none lost, beside TCP") {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    MuxConfig c;
    c.opens = c.accepts = 8;
    c.tx_ring = seed % 2 == 0 ? 64 * 1024 : 256 * 1024;
    A left(0, c);
    Bench right(c);
    right.accept_at_once = true;
    // `left` has met a hand-made peer already: both begin anew.
    left.mux.link_down(left.now);
    left.up(hex("1f3c01a7"), "20261123-085921.086940");
    right.up(hex("81d40e58"), "20261123-085921.114471");
    Data to_right, to_left;
    const auto carry = [&](size_t most) {
      to_right += left.write_all();
      to_left += right.write_all();
      const size_t a = to_right.size() < most ? to_right.size() : most, b = to_left.size() < most ? to_left.size() : most;
      CHECK(right.feed(to_right.substr(0, a)) == Err::none);
      CHECK(left.feed(to_left.substr(0, b)) == Err::none);
      to_right.erase(0, a);
      to_left.erase(0, b);
    };
    for (int i = 0; i < 20; ++i) carry(SIZE_MAX);
    REQUIRE(left.mux.up());
    REQUIRE(right.mux.up());
    struct Flow {
      ChannelId id;
      std::vector<Data> sent;
    };
    std::map<uint32_t, Flow> flows;  // by slot of `left`, which is the number
    (void)left.open(Data(300000, 't'));
    for (int step = 0; step < 400; ++step) {
      const unsigned what = below(10);
      if (what == 0 && left.mux.can_open()) {
        const ChannelId id = left.open_flow();
        flows[id.slot] = {id, {}};
      } else if (what < 6 && !flows.empty()) {
        auto f = flows.begin();
        std::advance(f, below(static_cast<unsigned>(flows.size())));
        const size_t size = below(3) == 0 ? below(kMaxDatagram + 1) : below(300);
        f->second.sent.push_back(Data(size, static_cast<char>('a' + f->second.sent.size() % 26)));
        left.send_datagram(f->second.id, f->second.sent.back());
      } else if (what == 6 && !flows.empty() && below(4) == 0) {
        const auto f = flows.begin();
        left.mux.abort(f->second.id, CloseCode::idle);
        flows.erase(f);
      } else {
        carry(below(3) == 0 ? 1 + below(100) : 1 + below(40000));
      }
    }
    for (int i = 0; i < 200; ++i) carry(SIZE_MAX);
    CHECK(to_right.empty());
    // Whoever still lives has got everything; the others' slots were used again.
    size_t whole = 0;
    for (const auto& f : flows) {
      bool found = f.second.sent.empty();
      for (const auto& l : right.locals) found = found || l.second.got == f.second.sent;
      whole += found;
    }
    CHECK(whole == flows.size());
    CHECK(right.mux.stats().rx_datagrams + right.mux.stats().late_datagrams <= left.mux.stats().tx_datagrams);
    bool stream = false;
    for (const auto& l : right.locals) stream = stream || l.second.in == Data(300000, 't');
    CHECK(stream);
  }
}

// ---- 0.3

TEST_CASE("0.3: the first datagram rides in CONNECT, each further one is one SEND") {
  Old o;
  const ChannelId id = o.open_flow({"first", "second"});
  const std::vector<Packet> out = split(o.write_all());
  REQUIRE(out.size() == 1);
  CHECK(out[0].is(Type::connect));
  CHECK(out[0].payload.substr(out[0].payload.find('\0') + 1) == "first");
  CHECK(o.mux.waits_for_peer(id));
  CHECK(o.feed(Old::old(Type::connected, 9, id.slot, Old::words())) == Err::none);
  CHECK(!o.mux.waits_for_peer(id));
  const std::vector<Packet> more = split(o.write_all());
  REQUIRE(more.size() == 1);
  CHECK(more[0].is(Type::send));
  CHECK(more[0].payload == "second");
  CHECK(o.feed(Old::old(Type::send, 9, id.slot, "a") + Old::old(Type::send, 9, id.slot, "bc")) == Err::none);
  CHECK(o.at(id).got == std::vector<Data>{"a", "bc"});
  const std::vector<Packet> acks = split(o.write_all());
  REQUIRE(acks.size() == 1);
  CHECK(acks[0].is(Type::sent));
  CHECK(acks[0].payload == Data("3") + '\0');
}

TEST_CASE("0.3: a first datagram that does not fit into CONNECT waits for CONNECTED") {
  Old o;
  const Data large = filled(16376);
  const ChannelId id = o.open_flow({large});
  std::vector<Packet> out = split(o.write_all());
  REQUIRE(out.size() == 1);
  CHECK(out[0].payload.find('\0') == out[0].payload.size() - 1);
  CHECK(o.feed(Old::old(Type::connected, 9, id.slot, Old::words())) == Err::none);
  out = split(o.write_all());
  REQUIRE(out.size() == 1);
  CHECK(out[0].payload == large);
  Old none(16384, false);  // the peer takes no first data
  (void)none.open_flow({"first"});
  out = split(none.write_all());
  CHECK(out[0].payload.find('\0') == out[0].payload.size() - 1);
}

TEST_CASE("0.3: larger than the peer's packet, and nothing at all: dropped, never cut") {
  Old o(1024);
  const ChannelId id = o.connected(9);
  o.at(id).datagrams = {filled(1017), "", filled(1016), "x"};
  o.mux.local_readable(id);
  const std::vector<Packet> out = split(o.write_all());
  REQUIRE(out.size() == 2);
  CHECK(out[0].payload == filled(1016));
  CHECK(out[1].payload == "x");
  CHECK(o.at(id).too_large == 1);
  CHECK(o.mux.stats().empty_datagrams == 1);
}

TEST_CASE("0.3: 4 packets are under way at most until SENT comes") {
  Old o(1024);
  const ChannelId id = o.connected(9);
  for (int i = 0; i < 10; ++i) o.send_datagram(id, filled(1000));
  CHECK(split(o.write_all()).size() == 5);  // more than 4 x 1024 are out
  CHECK(o.mux.waits_for_peer(id));
  CHECK(o.sent(id, 9, 1000) == Err::none);
  CHECK(!o.mux.waits_for_peer(id));
  CHECK(split(o.write_all()).size() == 1);
  CHECK(o.sent(id, 9, 5000) == Err::none);
  CHECK(split(o.write_all()).size() == 4);
}

TEST_CASE("0.3: the choice of the server makes a flow of the peer's channel; its first data are a datagram") {
  Old o;
  CHECK(o.feed(Old::old(Type::connect, 9, 0xff, Old::words() + "first")) == Err::none);
  CHECK(o.take_log() == "open ");
  o.mux.serve_datagrams(o.opened);
  o.mux.verify();
  o.mux.accept(o.opened, o.now);
  o.mux.verify();
  CHECK(o.at(o.opened).got == std::vector<Data>{"first"});
  CHECK(o.mux.blocks_used() == 0);
  CHECK(o.write_types() == "42");
  CHECK(o.feed(Old::old(Type::send, 9, o.opened.slot, "") + Old::old(Type::send, 9, o.opened.slot, "2")) == Err::none);
  CHECK(o.at(o.opened).got == std::vector<Data>{"first", "", "2"});
  // The peer's CLOSE is an orderly end.
  CHECK(o.feed(Old::old(Type::close, 9, o.opened.slot, Data("DO close") + '\0')) == Err::none);
  CHECK(o.take_log() == "end done ");
  CHECK(o.write_types() == "48");
  CHECK(o.mux.channels() == 0);
}

TEST_CASE("0.3: a peer that sends faster than SENT comes is taken as it is: nothing is kept") {
  Old o;
  CHECK(o.feed(Old::old(Type::connect, 9, 0xff, Old::words())) == Err::none);
  o.mux.serve_datagrams(o.opened);
  o.mux.accept(o.opened, o.now);
  (void)o.write_all();
  for (int i = 0; i < 20; ++i) CHECK(o.feed(Old::old(Type::send, 9, o.opened.slot, filled(16000))) == Err::none);
  CHECK(o.at(o.opened).got.size() == 20);
  CHECK(o.mux.blocks_used() == 0);
}

TEST_CASE("0.3: a flow that ends while the peer still connects is closed when it has told its id") {
  Old o;
  const ChannelId id = o.open_flow({"x"});
  (void)o.write_all();
  o.mux.abort(id, CloseCode::idle);
  CHECK(o.write_all().empty());
  CHECK(o.feed(Old::old(Type::connected, 9, id.slot, Old::words())) == Err::none);
  CHECK(o.write_types() == "08");
}

TEST_CASE("0.3: a datagram that comes in CONNECTED is the flow's first") {
  Old o;
  const ChannelId id = o.open_flow();
  (void)o.write_all();
  CHECK(o.feed(Old::old(Type::connected, 9, id.slot, Old::words() + "answer")) == Err::none);
  CHECK(o.take_log() == "opened ");
  CHECK(o.at(id).got == std::vector<Data>{"answer"});
}

TEST_CASE("a flow whose socket fails is closed; before its CONNECT of 0.3, which would carry a datagram, nobody hears of it") {
  A a;
  const ChannelId id = a.connected();
  a.at(id).fails = true;
  a.mux.local_readable(id);
  CHECK(to_hex(a.write_all()) == to_hex(close(id.slot, kNo, 1)));
  CHECK(a.mux.channels() == 1);  // until the peer has closed it, too
  CHECK(a.feed(close(kNo, id.slot, 0)) == Err::none);
  CHECK(a.mux.channels() == 0);
  Old o;
  const ChannelId early = o.open_flow();
  o.at(early).fails = true;
  CHECK(o.write_all().empty());
  CHECK(o.mux.channels() == 0);
  CHECK(o.log == "");
}

TEST_SUITE_END();
