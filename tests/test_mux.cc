// core/mux in dialect 1, byte by byte: link start, channels, credit, ACK, the end. The examples are those of sockmux(7).
// Rules: sockmux(7). Read next: test_mux03.cc, sim/sim_world.cc.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/sim/bench.h"

using namespace smx;
using namespace bench;

namespace {

constexpr unsigned kNo = 0xffff;

MuxConfig config_c() {
  MuxConfig c;
  c.asks = true;
  c.first_credit = 2048;
  strcpy(c.host, "r1");
  strcpy(c.name, "r1");
  return c;
}
MuxConfig config_a() {
  MuxConfig c;
  c.first_credit = 4096;
  c.memory_bytes = 32u << 20;
  strcpy(c.host, "hub");
  return c;
}

const char* const kHelloC = "0301ffffffff0029 32303236313132332d3038353932312e30383639343020723120736d782f313a396633633031613700";
const char* const kHelloA = "0301ffffffff002a 32303236313132332d3038353932312e3131343437312068756220736d782f313a323164343065353800";

Data settings(uint32_t nonce, uint32_t credit, uint16_t channels, bool asks) {
  Settings s;
  s.answered_nonce = nonce;
  s.credit = credit;
  s.channels = channels;
  s.has_attempt = asks;
  return packet(s);
}
Data numbered(Type t, unsigned said, unsigned raid, const Data& payload = "") { return packet(kNumbered, t, said, raid, payload); }
Data close(unsigned said, unsigned raid, unsigned code) { return numbered(Type::close, said, raid, Data(1, static_cast<char>(code))); }
Data connect(unsigned n) { return numbered(Type::connect, n, kNo, hex("01 0107 04c0a80114c3d6 0207 04c0a80101233f")); }

// The side that accepts, up, and what it wrote until then thrown away. The peer gives `credit`, and takes channels 0..999.
struct A : Bench {
  explicit A(const MuxConfig& c = config_a(), uint32_t credit = 2048, uint16_t channels = 1000) : Bench(answers(c)) {
    link(credit, channels);
  }
  static MuxConfig answers(MuxConfig c) {
    c.asks = false;
    return c;
  }
  void link(uint32_t credit = 2048, uint16_t channels = 1000) {
    up(hex("21d40e58 5a0f3c71b2e84d96a1c7085be43f9d20"), "20261123-085921.114471");
    CHECK(feed(hex(kHelloC)) == Err::none);
    (void)write_all();
    CHECK(feed(settings(0x21d40e58, credit, channels, true)) == Err::none);
    CHECK(feed(packet(kUnnumbered, Type::echo, kNo, kNo, be64(0))) == Err::none);
    (void)write_all();
    CHECK(take_log() == "up ");
  }
  // The peer acknowledges all that was written.
  Err ack() { return feed(kUnnumbered, Type::ack, kNo, kNo, be64(numbered)); }
  // The peer opens channel n, and we accept.
  ChannelId accepted(unsigned n) {
    CHECK(feed(connect(n)) == Err::none);
    mux.accept(opened, now);
    (void)write_all();
    (void)take_log();
    return opened;
  }
};
// One that we have opened and the peer has connected.
ChannelId connected(A& a, unsigned* n) {
  const ChannelId id = a.open();
  (void)a.write_all();
  *n = id.slot;
  CHECK(a.feed(numbered(Type::connected, kNo, *n)) == Err::none);
  CHECK(a.take_log() == "opened ");
  return id;
}

}  // namespace

TEST_SUITE_BEGIN("mux");

// ---- link start

TEST_CASE("sockmux(7), example 1: two v1 sides, byte by byte") {
  const std::vector<Data> cs = manual(1, 'C'), as = manual(1, 'A');
  REQUIRE(cs.size() == 2);
  REQUIRE(as.size() == 2);
  Bench c(config_c()), a(config_a());
  c.up(hex("1f3c01a7"), "20261123-085921.086940", 0xc4a1f05b00000001);
  a.up(hex("a1d40e58 5a0f3c71b2e84d96a1c7085be43f9d20"), "20261123-085921.114471");
  CHECK(to_hex(c.write_all()) == to_hex(cs[0]));
  CHECK(to_hex(a.write_all()) == to_hex(as[0]));
  CHECK(c.feed(as[0]) == Err::none);
  CHECK(a.feed(cs[0]) == Err::none);
  CHECK(c.mux.state() == Mux::State::ask);
  CHECK(a.mux.state() == Mux::State::wait);
  CHECK(a.write_all().empty());
  CHECK(to_hex(c.write_all()) == to_hex(cs[1]));
  CHECK(a.feed(cs[1]) == Err::none);
  CHECK(a.mux.up());
  const Data answer = a.write_all();
  CHECK(to_hex(answer.substr(0, as[1].size())) == to_hex(as[1]));
  CHECK(types(answer) == "10 09");
  CHECK(c.feed(answer) == Err::none);
  CHECK(c.mux.up());
  CHECK(c.mux.dialect() == Dialect::v1);
  CHECK(c.write_types() == "49 09");
  CHECK(c.log == "up ");
  CHECK(a.log == "up ");
}

TEST_CASE("link start: of two sides that both ask, the larger nonce does") {
  MuxConfig both = config_c();
  Bench x(both), y(both);
  x.up(hex("00000001"), "20261123-085921.000001");
  y.up(hex("00000002"), "20261123-085921.000002");
  const Data hx = x.write_all(), hy = y.write_all();
  CHECK(x.feed(hy) == Err::none);
  CHECK(y.feed(hx) == Err::none);
  CHECK(x.mux.state() == Mux::State::wait);
  CHECK(y.mux.state() == Mux::State::ask);
}

TEST_CASE("link start: HELLO's text is at most 63 characters") {
  MuxConfig c = config_c();
  strcpy(c.host, "abcdefghijklmnopqrstuvwxy");
  Bench b(c);
  b.up();
  CHECK(b.write_all().size() == kHeader + 22 + 1 + 25 + 15 + 1);
  CHECK(22 + 1 + 25 + 15 == 63);
}

TEST_CASE("link start: nothing but HELLO comes first") {
  for (const Data& other : {settings(0x9f3c01a7, 2048, 10, true), packet(kVersion03, Type::hellook, 0, 0, Data("x\0", 2)),
                            packet(kVersion03, Type::noop, 0, 0, ""), connect(0)}) {
    Bench b(config_c());
    b.up();
    CHECK(b.feed(other) != Err::none);
  }
}

TEST_CASE("link start: SETTINGS with another nonce belong to an earlier link") {
  Bench b(config_a());
  b.up(hex("21d40e58 5a0f3c71b2e84d96a1c7085be43f9d20"), "20261123-085921.114471");
  CHECK(b.feed(hex(kHelloC)) == Err::none);
  CHECK(b.feed(settings(0x21d40e59, 2048, 1000, true)) == Err::none);
  CHECK(!b.mux.up());
  CHECK(b.feed(settings(0x21d40e58, 2048, 1000, false)) == Err::bad_field);  // an ask needs `attempt`
  CHECK(b.feed(settings(0x21d40e58, 2048, 1000, true)) == Err::none);
  CHECK(b.mux.up());
  CHECK(b.feed(settings(0x21d40e58, 2048, 1000, true)) == Err::bad_state);
}

TEST_CASE("link start: our own HELLO that comes back ends the link, in both dialects") {
  for (const MuxConfig::Proto p : {MuxConfig::Proto::automatic, MuxConfig::Proto::v03}) {
    MuxConfig c = config_c();
    c.proto = p;
    Bench b(c);
    b.up();
    CHECK(b.feed(b.write_all()) == Err::own_echo);
  }
}

TEST_CASE("link start: proto:1 ends the link with a 0.3 peer; proto:0.3 sends no word") {
  MuxConfig c = config_c();
  c.proto = MuxConfig::Proto::v1;
  Bench one(c);
  one.up();
  CHECK(one.feed(packet(kVersion03, Type::hello, 0, 0, Data("20261123-085921.114471 vm\0", 26))) == Err::wrong_dialect);
  c.proto = MuxConfig::Proto::v03;
  Bench old(c);
  old.up();
  CHECK(!parse_hello_word({reinterpret_cast<const uint8_t*>(old.write_all().data()) + 8, 40}).present);
  CHECK(old.feed(hex(kHelloA)) == Err::none);
  CHECK(old.mux.dialect() == Dialect::v03);
}

TEST_CASE("link start: nothing is in front of the handshake, however slowly it is written") {
  Bench c(config_c());
  c.up(hex("1f3c01a7"));
  Data out = c.write(1);  // the first byte of HELLO
  CHECK(c.feed(hex(kHelloA)) == Err::none);
  out += c.write(1);
  CHECK(c.feed(settings(0x9f3c01a7, 4096, 1000, false)) == Err::bad_state);  // the answer before the ask
  for (const size_t step : {size_t{1}, size_t{50}, size_t{100}, SIZE_MAX}) {
    Bench a(config_a());
    a.up(hex("21d40e58 5a0f3c71b2e84d96a1c7085be43f9d20"), "20261123-085921.114471");
    out = a.write(1);
    CHECK(a.feed(hex(kHelloC)) == Err::none);
    CHECK(a.feed(settings(0x21d40e58, 2048, 1000, true)) == Err::none);
    CHECK(a.mux.up());
    (void)a.open("hello");
    for (;;) {
      const Data some = a.write(step);
      if (some.empty()) break;
      out += some;
    }
    CHECK(types(out) == "01 10 09 02 20 06");
  }
}

TEST_CASE("link start: a HELLO with a new nonce on a link that is up means that the peer has started anew") {
  A a;
  CHECK(a.feed(hex(kHelloC)) == Err::none);
  Data other = hex(kHelloC);
  other[other.size() - 2] = '8';
  CHECK(a.feed(other) == Err::restarted);
}

TEST_CASE("link start: HELLOOK is ignored before the link is up, and an error then") {
  Bench a(config_a());
  a.up(hex("21d40e58"), "20261123-085921.114471");
  CHECK(a.feed(hex(kHelloC)) == Err::none);
  CHECK(a.feed(packet(kVersion03, Type::hellook, 0, 0, Data("x\0", 2))) == Err::none);
  CHECK(a.feed(settings(0x21d40e58, 2048, 1000, true)) == Err::none);
  CHECK(a.feed(packet(kVersion03, Type::hellook, 0, 0, Data("x\0", 2))) == Err::bad_state);
}

// ---- channels

TEST_CASE("a channel from CONNECT to the last CLOSE; CREDIT is one packet, however much was taken before") {
  A a;
  CHECK(a.feed(hex("11020005ffff0013 01 0107 04c0a80114c3d6 0207 04c0a80101233f")) == Err::none);
  CHECK(a.feed(hex("11060005ffff0005 68656c6c6f")) == Err::none);
  CHECK(a.take_log() == "open ");
  Address client, local;
  CHECK(parse_ip_port("192.168.1.20:50134", &client));
  CHECK(parse_ip_port("192.168.1.1:9023", &local));
  CHECK(a.open_info.client == client);
  CHECK(a.open_info.local == local);
  a.mux.accept(a.opened, a.now);
  CHECK(a.mux.wants_write(a.opened));
  CHECK(a.mux.drain(a.opened, a.now));
  CHECK(a.at(a.opened).in == "hello");
  a.send(a.opened, "HELLO");
  CHECK(to_hex(a.write_all()) == to_hex(hex("1142ffff00050000 1120ffff00050004 0000f005 1106ffff00050005 48454c4c4f")));
  CHECK(a.feed(hex("11210005ffff0000")) == Err::none);
  CHECK(a.take_log() == "end ");
  a.send(a.opened, "bye", true);
  CHECK(to_hex(a.write_all()) == to_hex(hex("1106ffff00050003 627965 1108ffff00050001 00")));
  CHECK(a.take_log() == "done ");
  CHECK(a.feed(hex("11080005ffff0001 00")) == Err::none);
  CHECK(a.mux.channels() == 0);
  CHECK(a.wait(millis(500)) == Err::none);
  CHECK(to_hex(a.write_all()) == to_hex(hex("1011ffffffff0008 0000000000000039")));
  CHECK(a.feed(connect(5)) == Err::none);  // the number is free
}

TEST_CASE("sockmux(7), examples 3 and 4: the accepting side, byte by byte") {
  const std::vector<Data> c3 = manual(3, 'C'), a3 = manual(3, 'A'), c4 = manual(4, 'C'), a4 = manual(4, 'A');
  REQUIRE(c4.size() == 2);
  REQUIRE(a4.size() == 3);
  A a;
  CHECK(a.feed(joined(c3)) == Err::none);
  a.mux.accept(a.opened, a.now);
  a.send(a.opened, "HELLO");
  CHECK(to_hex(a.write_all()) == to_hex(joined(a3)));
  CHECK(a.mux.drain(a.opened, a.now));
  CHECK(a.at(a.opened).in == "hello");
  CHECK(a.feed(c4[0]) == Err::none);
  a.send(a.opened, "bye", true);
  CHECK(to_hex(a.write_all()) == to_hex(a4[0] + a4[1]));
  CHECK(a.feed(c4[1]) == Err::none);
  CHECK(a.mux.channels() == 0);
  CHECK(a.wait(millis(500)) == Err::none);
  CHECK(to_hex(a.write_all()) == to_hex(a4[2]));
}

TEST_CASE("sockmux(7), examples 3, 4 and 5: the opening side, byte by byte") {
  const std::vector<Data> c3 = manual(3, 'C'), a3 = manual(3, 'A'), c4 = manual(4, 'C'), a4 = manual(4, 'A'), c5 = manual(5, 'C');
  REQUIRE(c5.size() == 1);
  for (const bool refunds : {false, true}) {
    A a(config_c(), 4096);
    ChannelId id;
    for (int i = 0; i < 6; ++i) {
      id = a.open();
      CHECK(parse_ip_port("192.168.1.20:50134", &a.at(id).info.client));
      CHECK(parse_ip_port("192.168.1.1:9023", &a.at(id).info.local));
      if (i == 5) break;
      (void)a.write_all();
      CHECK(a.feed(numbered(Type::connected, kNo, id.slot)) == Err::none);
    }
    a.at(id).out = "hello";
    const std::vector<Packet> out = split(a.write_all());
    REQUIRE(out.size() == 3);  // with a CREDIT, since memory is plenty
    CHECK(out[1].is(Type::credit));
    CHECK(to_hex(packet(kNumbered, Type::connect, 5, kNo, out[0].payload)) == to_hex(c3[0]));
    CHECK(to_hex(packet(kNumbered, Type::send, 5, kNo, out[2].payload)) == to_hex(c3[1]));
    CHECK(a.feed(joined(a3)) == Err::none);
    (void)a.write_all();
    CHECK(a.ack() == Err::none);
    CHECK(a.at(id).in == "HELLO");
    if (refunds) {
      CHECK(a.wait(millis(4999)) == Err::none);
      CHECK(a.write_types().find("24") == std::string::npos);
      CHECK(a.wait(millis(2)) == Err::none);
      CHECK(to_hex(a.write_all()) == to_hex(c5[0]));
      CHECK(a.wait(seconds(4)) == Err::none);
      CHECK(a.write_types().find("24") == std::string::npos);
      continue;
    }
    (void)a.take_log();
    a.send(id, "", true);
    CHECK(to_hex(a.write_all()) == to_hex(c4[0]));
    CHECK(a.feed(a4[0] + a4[1]) == Err::none);
    CHECK(a.at(id).in == "HELLObye");
    CHECK(a.take_log() == "end done ");
    CHECK(to_hex(a.write_all()) == to_hex(c4[1]));
  }
}

TEST_CASE("data follow CONNECT at once, within the peer's first credit") {
  A a(config_a(), 600);
  const ChannelId id = a.open(Data(1000, 'x'));
  const std::vector<Packet> p = split(a.write_all());
  REQUIRE(p.size() == 3);
  CHECK(p[0].is(Type::connect));
  CHECK(p[2].payload.size() == 600);
  CHECK(!a.mux.wants_read(id));
  CHECK(a.feed(numbered(Type::connected, kNo, id.slot)) == Err::none);
  CHECK(a.write_all().empty());
  CHECK(a.feed(numbered(Type::credit, kNo, id.slot, be32(300))) == Err::none);
  CHECK(split(a.write_all())[0].payload.size() == 300);
}

TEST_CASE("an end of file alone goes out without waiting for anything else") {
  A a;
  unsigned n = 0;
  const ChannelId id = connected(a, &n);
  a.at(id).ends = true;
  a.mux.local_readable(id);
  a.mux.gather(a.now);
  Bytes piece[Mux::kTxPieces];
  CHECK(a.mux.tx_pending(piece) == 1);
  CHECK(a.write_types() == "21");
}

TEST_CASE("FIN from the peer leaves the other direction open") {
  A a;
  const ChannelId id = a.accepted(3);
  CHECK(a.feed(numbered(Type::send, 3, kNo, "ask") + numbered(Type::fin, 3, kNo)) == Err::none);
  CHECK(a.at(id).in == "ask");
  CHECK(a.take_log() == "end ");
  for (int i = 0; i < 3; ++i) {
    a.send(id, "answer");
    CHECK(a.write_types() == "06");
  }
}

TEST_CASE("FIN waits behind data that the server has not taken, also while it is being connected") {
  A a;
  CHECK(a.feed(connect(3) + numbered(Type::send, 3, kNo, "ask") + numbered(Type::fin, 3, kNo)) == Err::none);
  CHECK(a.take_log() == "open ");
  a.at(a.opened).takes = 2;
  CHECK(!a.mux.wants_write(a.opened));
  a.mux.accept(a.opened, a.now);
  CHECK(a.mux.drain(a.opened, a.now));
  CHECK(a.take_log() == "");
  a.at(a.opened).takes = 9;
  CHECK(a.mux.wants_write(a.opened));
  CHECK(a.mux.drain(a.opened, a.now));
  CHECK(a.at(a.opened).in == "ask");
  CHECK(a.take_log() == "end ");
  CHECK(!a.mux.wants_write(a.opened));
}

TEST_CASE("a FIN that comes before the server is connected is told when it is") {
  A a;
  CHECK(a.feed(connect(3) + numbered(Type::fin, 3, kNo)) == Err::none);
  CHECK(a.take_log() == "open ");
  a.mux.accept(a.opened, a.now);
  CHECK(a.mux.wants_write(a.opened));
  CHECK(a.mux.drain(a.opened, a.now));
  CHECK(a.take_log() == "end ");
}

TEST_CASE("refused, at once or later: CLOSE with the code, and the opener's owner hears it") {
  A a;
  a.refuse_at_once = true;
  CHECK(a.feed(connect(0)) == Err::none);
  CHECK(to_hex(a.write_all()) == to_hex(close(kNo, 0, 2)));
  CHECK(a.feed(close(0, kNo, 2)) == Err::none);
  CHECK(a.mux.channels() == 0);
  a.refuse_at_once = false;
  CHECK(a.feed(connect(0)) == Err::none);
  a.mux.refuse(a.opened, CloseCode::not_found);
  CHECK(to_hex(a.write_all()) == to_hex(close(kNo, 0, 9)));
  a.mux.refuse(a.opened, CloseCode::not_found);  // no second time
  CHECK(a.write_all().empty());

  const ChannelId id = a.open("x");
  (void)a.write_all();
  CHECK(a.feed(close(kNo, id.slot, 9)) == Err::none);
  CHECK(a.take_log() == "open open abort ");
  CHECK(a.code == CloseCode::not_found);
  CHECK(to_hex(a.write_all()) == to_hex(close(id.slot, kNo, 9)));
  CHECK(a.mux.channels() == 1);
}

TEST_CASE("a client that leaves before its CONNECT is written leaves no trace") {
  A a;
  const ChannelId id = a.open("x");
  a.mux.abort(id, CloseCode::reset);
  CHECK(a.write_all().empty());
  CHECK(a.mux.channels() == 0);
}

TEST_CASE("a client that leaves before the answer: CLOSE, and what still comes is dropped until the peer's CLOSE") {
  A a;
  const ChannelId id = a.open("x");
  (void)a.write_all();
  a.mux.abort(id, CloseCode::reset);
  CHECK(to_hex(a.write_all()) == to_hex(close(id.slot, kNo, 1)));
  CHECK(a.feed(numbered(Type::connected, kNo, id.slot)) == Err::none);
  CHECK(a.feed(numbered(Type::credit, kNo, id.slot, be32(9))) == Err::none);
  CHECK(a.feed(numbered(Type::send, kNo, id.slot, "late")) == Err::none);
  CHECK(a.feed(numbered(Type::fin, kNo, id.slot)) == Err::none);
  CHECK(a.mux.channels() == 1);
  CHECK(a.feed(close(kNo, id.slot, 1)) == Err::none);
  CHECK(a.mux.channels() == 0);
  CHECK(a.log == "");
}

TEST_CASE("CLOSE that crosses: each side sends exactly one, and the number is free") {
  A a;
  unsigned n = 0;
  const ChannelId id = connected(a, &n);
  a.mux.abort(id, CloseCode::local_error);
  CHECK(a.feed(close(kNo, n, 1)) == Err::none);  // before ours is written
  CHECK(to_hex(a.write_all()) == to_hex(close(n, kNo, 11)));
  CHECK(a.mux.channels() == 0);
  const ChannelId next = connected(a, &n);
  a.mux.abort(next, CloseCode::local_error);
  CHECK(to_hex(a.write_all()) == to_hex(close(n, kNo, 11)));
  CHECK(a.feed(close(kNo, n, 1)) == Err::none);  // behind it
  CHECK(a.write_all().empty());
  CHECK(a.mux.channels() == 0);
}

TEST_CASE("CLOSE with another code than 0 drops what the local socket has not taken, and is answered with the same code") {
  A a;
  const ChannelId id = a.accepted(3);
  a.at(id).takes = 1;
  CHECK(a.feed(numbered(Type::send, 3, kNo, "data")) == Err::none);
  CHECK(a.mux.blocks_used() == 1);
  CHECK(a.feed(close(3, kNo, 200)) == Err::none);
  CHECK(a.take_log() == "abort ");
  CHECK(a.code == CloseCode::reset);
  CHECK(a.at(id).in == "d");
  CHECK(a.mux.blocks_used() == 0);
  CHECK(to_hex(a.write_all()) == to_hex(close(kNo, 3, 1)));
  CHECK(a.mux.channels() == 0);
}

TEST_CASE("a local socket that fails while reading or writing is a reset") {
  A a;
  const ChannelId id = a.accepted(3);
  a.at(id).fails = true;
  CHECK(a.feed(numbered(Type::send, 3, kNo, "data") + numbered(Type::send, 3, kNo, "more")) == Err::none);
  CHECK(to_hex(a.write_all()) == to_hex(close(kNo, 3, 1)));
  const ChannelId id2 = a.accepted(4);
  a.at(id2).fails = true;
  a.mux.local_readable(id2);
  CHECK(to_hex(a.write_all()) == to_hex(close(kNo, 4, 1)));
  CHECK(a.log == "");
  CHECK(!a.mux.drain(id2, a.now));
  const ChannelId id3 = a.accepted(5);
  a.at(id3).fails = true;
  CHECK(a.feed(numbered(Type::sendoob, 5, kNo, "!")) == Err::none);
  CHECK(to_hex(a.write_all()) == to_hex(close(kNo, 5, 1)));
}

TEST_CASE("packets that a channel must not get") {
  const auto fresh = [](A& a) { (void)a.accepted(3); };
  const Data fin = numbered(Type::fin, 3, kNo);
  struct Bad {
    const char* what;
    Data bytes;
    Err err;
  };
  const Bad kBad[] = {
      {"CONNECT of a number in use", connect(3), Err::bad_state},
      {"CONNECT at the limit", connect(1000), Err::bad_id},
      {"data for a number that is free", numbered(Type::send, 4, kNo, "x"), Err::bad_id},
      {"data for a number of ours that is free", numbered(Type::send, kNo, 3, "x"), Err::bad_id},
      {"data behind FIN", fin + numbered(Type::send, 3, kNo, "x"), Err::bad_state},
      {"FIN behind FIN", fin + fin, Err::bad_state},
      {"CONNECTED from the opener", numbered(Type::connected, kNo, 3), Err::bad_id},
      {"CLOSE 0 before our FIN", close(3, kNo, 0), Err::bad_state},
      {"a packet behind CLOSE", close(3, kNo, 1) + fin, Err::bad_state},
      {"a datagram on a TCP channel", numbered(Type::dgram, 3, kNo, "x"), Err::bad_state},
      {"CREDIT of nothing", numbered(Type::credit, 3, kNo, be32(0)), Err::credit_overrun},
      {"REFUND of nothing", numbered(Type::refund, 3, kNo, be32(0)), Err::credit_overrun},
      {"REPEAT, which is for lossy lines", packet(kUnnumbered, Type::repeat, kNo, kNo, be64(0) + be64(0)), Err::bad_type},
  };
  for (const Bad& b : kBad) {
    CAPTURE(b.what);
    A a;
    fresh(a);
    CHECK(a.feed(b.bytes) == b.err);
  }
}

TEST_CASE("the peer can't know a channel whose CONNECT is not written yet") {
  A a;
  const ChannelId id = a.open("x");
  CHECK(a.feed(close(kNo, id.slot, 2)) == Err::bad_state);
}

TEST_CASE("an acceptor's first packet is CONNECTED or CLOSE") {
  A a;
  const ChannelId id = a.open("x");
  (void)a.write_all();
  CHECK(a.feed(numbered(Type::send, kNo, id.slot, "x")) == Err::bad_state);
}

TEST_CASE("unknown kinds are answered with CLOSE 10, BIND that nobody serves with CLOSE 5") {
  A a;
  CHECK(a.feed(numbered(Type::bind, 0, kNo, hex("01 0207 04c0a80101233f"))) == Err::none);
  CHECK(a.feed(numbered(Type::connect, 1, kNo, hex("00 0207 04c0a80101233f"))) == Err::none);
  CHECK(a.feed(numbered(Type::connect, 2, kNo, hex("03 0207 04c0a80101233f"))) == Err::none);
  CHECK(a.feed(numbered(Type::connect, 3, kNo, hex("01 0207 04c0a80101233f 8000"))) == Err::none);
  CHECK(a.log == "");
  const Data out = a.write_all();
  CHECK(to_hex(out) == to_hex(close(kNo, 0, 5) + close(kNo, 1, 10) + close(kNo, 2, 10) + close(kNo, 3, 10)));
  CHECK(a.feed(numbered(Type::send, 1, kNo, "late")) == Err::none);
  for (unsigned n = 0; n < 4; ++n) CHECK(a.feed(close(n, kNo, 10)) == Err::none);
  CHECK(a.mux.channels() == 0);
}

TEST_CASE("unknown numbered packets are skipped, and counted by ACK") {
  A a;
  CHECK(a.feed(packet(kNumbered, static_cast<Type>(0x7f), 1, kNo, "what is that")) == Err::none);
  CHECK(a.feed(packet(kUnnumbered, static_cast<Type>(0x7f), kNo, kNo, "and that")) == Err::none);
  CHECK(a.mux.stats().skipped_packets == 2);
  CHECK(a.wait(millis(500)) == Err::none);
  CHECK(to_hex(a.write_all()) == to_hex(packet(kUnnumbered, Type::ack, kNo, kNo, be64(20))));
}

// ---- numbers and limits

TEST_CASE("we never open more than we have set memory aside for, nor more than the peer takes") {
  for (const unsigned theirs : {3u, 1000u}) {
    MuxConfig c = config_a();
    c.opens = 5;
    A a(c, 2048, static_cast<uint16_t>(theirs));
    unsigned count = 0;
    while (a.mux.can_open()) {
      const ChannelId id = a.open();
      CHECK(id.slot < std::min(5u, theirs));
      ++count;
      a.mux.verify();
    }
    CHECK(count == std::min(5u, theirs));
  }
}

TEST_CASE("on_room() comes when a number is free again, and not before") {
  MuxConfig c = config_a();
  c.opens = 2;
  A a(c);
  const ChannelId first = a.open();
  (void)a.open();
  CHECK(!a.mux.can_open());
  (void)a.write_all();
  a.mux.abort(first, CloseCode::reset);
  (void)a.write_all();
  CHECK(a.log == "");
  CHECK(a.feed(close(kNo, first.slot, 1)) == Err::none);
  CHECK(a.log == "room ");
  CHECK(a.mux.can_open());
}

TEST_CASE("a peer that allows no channel at all: nobody can open, and nothing breaks") {
  A a(config_a(), 2048, 0);
  CHECK(!a.mux.can_open());
  (void)a.accepted(0);
}

TEST_CASE("numbers of a session with a larger limit are not used in one with a smaller limit") {
  A a;
  for (int i = 0; i < 20; ++i) (void)a.open();
  a.mux.link_down(a.now);
  (void)a.take_log();
  a.link(2048, 3);
  for (int i = 0; i < 3; ++i) CHECK(a.open().slot < 3);
  CHECK(!a.mux.can_open());
  a.mux.link_down(a.now);
  (void)a.take_log();
  a.link(2048, 30);
  for (int i = 0; i < 30; ++i) CHECK(a.open().slot < 30);
  CHECK(!a.mux.can_open());
}

// ---- credit

TEST_CASE("data up to the credit are taken, one byte more is the peer's error") {
  A a;
  CHECK(a.feed(connect(3)) == Err::none);
  CHECK(a.feed(numbered(Type::send, 3, kNo, Data(4096, 'x'))) == Err::none);
  CHECK(a.feed(numbered(Type::send, 3, kNo, "x")) == Err::credit_overrun);
  A b;
  CHECK(b.feed(connect(3)) == Err::none);
  CHECK(b.feed(numbered(Type::send, 3, kNo, Data(4097, 'x'))) == Err::credit_overrun);
}

TEST_CASE("CREDIT up to a total of 2^31 - 1 is taken, 2^31 is the peer's error") {
  A a(config_a(), 2048);
  unsigned n = 0;
  (void)connected(a, &n);
  CHECK(a.feed(numbered(Type::credit, kNo, n, be32(0x7fffffff - 2048))) == Err::none);
  CHECK(a.feed(numbered(Type::credit, kNo, n, be32(1))) == Err::credit_overrun);
}

TEST_CASE("REFUND: the window is the first credit again, and more than is out is the peer's error") {
  A a;
  const ChannelId id = a.accepted(3);  // 65,536 are out
  CHECK(a.feed(numbered(Type::refund, 3, kNo, be32(61440))) == Err::none);
  CHECK(a.feed(numbered(Type::send, 3, kNo, Data(4096, 'x'))) == Err::none);
  CHECK(a.at(id).in.size() == 4096);
  CHECK(a.write_types() == "11 20");
  CHECK(a.feed(numbered(Type::refund, 3, kNo, be32(65536))) == Err::none);
  CHECK(a.feed(numbered(Type::refund, 3, kNo, be32(1))) == Err::credit_overrun);
}

TEST_CASE("CREDIT is due when half of the window is consumed, not when it has only arrived, and never behind FIN") {
  A a;
  const ChannelId id = a.accepted(3);
  a.at(id).takes = 0;
  CHECK(a.feed(numbered(Type::send, 3, kNo, Data(16000, 'x'))) == Err::none);
  CHECK(a.feed(numbered(Type::send, 3, kNo, Data(16000, 'x'))) == Err::none);
  CHECK(a.feed(numbered(Type::send, 3, kNo, Data(16000, 'x'))) == Err::none);
  CHECK(a.write_types() == "11");
  a.at(id).takes = 32767;
  CHECK(a.mux.drain(id, a.now));
  CHECK(a.write_all().empty());
  a.at(id).takes = 1;
  CHECK(a.mux.drain(id, a.now));
  CHECK(a.write_types() == "20");
  CHECK(a.feed(numbered(Type::fin, 3, kNo)) == Err::none);
  a.at(id).takes = SIZE_MAX;
  CHECK(a.mux.drain(id, a.now));
  CHECK(a.write_all().empty());
}

TEST_CASE("a slow server does not take back what was promised: a burst counts once") {
  // The rest of a run that the socket did not take must not be given as credit again.
  A a;
  const ChannelId id = a.accepted(3);
  a.at(id).takes = 1;
  Data burst;
  for (int i = 0; i < 4; ++i) burst += numbered(Type::send, 3, kNo, Data(16000, 'x'));
  CHECK(a.feed(burst) == Err::none);
  CHECK(a.write_types() == "11");
}

TEST_CASE("REFUND is not sent while data wait for the link, nor behind FIN") {
  A a(config_c(), 4096);
  unsigned n = 0;
  const ChannelId id = connected(a, &n);
  CHECK(a.feed(numbered(Type::credit, kNo, n, be32(10000000))) == Err::none);
  a.send(id, Data(2000000, 'x'));
  (void)a.write_all();  // the ring is full, and the peer acknowledges nothing
  for (int i = 0; i < 3; ++i) {
    CHECK(a.wait(seconds(4)) == Err::none);
    CHECK(a.feed(packet(kUnnumbered, Type::echo, kNo, kNo, be64(1))) == Err::none);
    CHECK(a.write_types().find("24") == std::string::npos);
  }
  unsigned m = 0;
  const ChannelId other = connected(a, &m);
  CHECK(a.feed(numbered(Type::credit, kNo, m, be32(10000))) == Err::none);
  a.send(other, "", true);
  (void)a.write_all();
  for (int i = 0; i < 3; ++i) {
    CHECK(a.wait(seconds(4)) == Err::none);
    CHECK(a.feed(packet(kUnnumbered, Type::echo, kNo, kNo, be64(1))) == Err::none);
    CHECK(a.write_types().find("24") == std::string::npos);
  }
}

TEST_CASE("memory: a window never grows beyond the blocks that are left") {
  MuxConfig c = config_a();
  c.accepts = 10;
  c.opens = 1;
  c.memory_bytes = Mux::guaranteed_bytes(c) + 100 * 1024;
  A a(c);
  for (unsigned n = 0; n < 10; ++n) {
    const ChannelId id = a.accepted(n);
    a.at(id).takes = 0;
  }
  // All that was promised comes, and has its place.
  for (unsigned n = 0; n < 10; ++n) {
    Err e = Err::none;
    for (int i = 0; i < 1000 && e == Err::none; ++i) {
      MutBytes ignored[2];
      (void)a.mux.rx_space(ignored);
      e = a.feed(numbered(Type::send, n, kNo, Data(512, 'x')));
      if (e != Err::none) break;
    }
    CHECK(e == Err::credit_overrun);
  }
}

// ---- ACK

TEST_CASE("ACK comes at once when 8,192 bytes are owed, else 500 ms after the first") {
  A a;
  (void)a.accepted(3);
  CHECK(a.wait(millis(500)) == Err::none);
  (void)a.write_all();
  CHECK(a.feed(numbered(Type::send, 3, kNo, Data(8192 - 8, 'x'))) == Err::none);
  CHECK(a.write_types() == "11");
  CHECK(a.feed(numbered(Type::send, 3, kNo, Data(8191 - 8, 'x'))) == Err::none);
  CHECK(a.write_types() == "");
  CHECK(a.wait(micros(499999)) == Err::none);
  CHECK(a.write_all().empty());
  CHECK(a.wait(micros(1)) == Err::none);
  CHECK(a.write_types() == "11");
}

TEST_CASE("ACK beyond what was sent, or within a packet, is the peer's error; a lower one is ignored") {
  const auto fresh = [](A& a) {
    (void)a.open("hello");
    return a.write_all().size();
  };
  const auto ack = [](uint64_t n) { return packet(kUnnumbered, Type::ack, kNo, kNo, be64(n)); };
  A a;
  const size_t all = fresh(a);
  CHECK(a.feed(ack(all)) == Err::none);
  CHECK(a.feed(ack(0)) == Err::none);
  CHECK(a.feed(ack(all + 1)) == Err::bad_ack);
  A b;
  (void)fresh(b);
  CHECK(b.feed(ack(all - 1)) == Err::bad_ack);
  A c;
  (void)fresh(c);
  CHECK(c.feed(ack(all - 13)) == Err::none);
  A d;
  (void)d.open("hello");
  (void)d.write(10);
  CHECK(d.feed(ack(all)) == Err::bad_ack);
}

TEST_CASE("a full ring: ACK and ECHOOK still go out, control has room of its own, and ACK lets data go on") {
  MuxConfig c = config_a();
  c.tx_ring = 65536;
  A a(c);
  unsigned n = 0;
  const ChannelId id = connected(a, &n);
  CHECK(a.ack() == Err::none);
  const uint64_t before = a.numbered;
  CHECK(a.feed(numbered(Type::credit, kNo, n, be32(10000000))) == Err::none);
  a.send(id, Data(200000, 'x'));
  const Data out = a.write_all();
  CHECK(out.size() > 50000);
  CHECK(out.size() <= 65536);
  (void)a.open("key press");
  CHECK(a.feed(packet(kUnnumbered, Type::echo, kNo, kNo, be64(7))) == Err::none);
  const std::string types = a.write_types();
  CHECK(types.find("49") != std::string::npos);
  CHECK(types.find("02") != std::string::npos);
  CHECK(a.feed(packet(kUnnumbered, Type::ack, kNo, kNo, be64(0))) == Err::none);
  CHECK(a.write_all().empty());
  CHECK(a.feed(packet(kUnnumbered, Type::ack, kNo, kNo, be64(before + kHeader + split(out)[0].h.length))) == Err::none);
  CHECK(a.write_types().find("06") != std::string::npos);
}

TEST_CASE("unnumbered packets go between packets, never into one, whatever the link takes at a time") {
  for (size_t step = 1; step < 40; step += 3) {
    CAPTURE(step);
    A a;
    unsigned n = 0;
    const ChannelId id = connected(a, &n);
    CHECK(a.feed(numbered(Type::credit, kNo, n, be32(100000))) == Err::none);
    a.send(id, Data(3000, 'x'));
    Data out;
    for (int i = 0; i < 4000; ++i) {
      if (i % 7 == 0) CHECK(a.feed(packet(kUnnumbered, Type::echo, kNo, kNo, be64(static_cast<uint64_t>(i)))) == Err::none);
      out += a.write(step);
    }
    out += a.write_all();
    size_t data = 0;
    for (const Packet& p : split(out)) {
      CHECK((p.is(Type::echook) || p.is(Type::send) || p.is(Type::ack)));
      if (p.is(Type::send)) data += p.payload.size();
    }
    CHECK(data == 3000);
  }
}

// ---- order

TEST_CASE("a key press does not wait for the whole download of another channel") {
  A a;
  unsigned n = 0, m = 0;
  const ChannelId bulk = connected(a, &n);
  const ChannelId key = connected(a, &m);
  for (const unsigned one : {n, m}) CHECK(a.feed(numbered(Type::credit, kNo, one, be32(10000000))) == Err::none);
  a.send(bulk, Data(1000000, 'x'));
  Data out;
  while (out.size() < 100000) {
    out += a.write(1000);
    CHECK(a.ack() == Err::none);
  }
  a.send(key, "l");
  Data behind;
  while (behind.find("l") == Data::npos && behind.size() < 400000) {
    const Data some = a.write(5000);
    behind += some;
    if (some.empty()) break;
    CHECK(a.ack() == Err::none);
  }
  CHECK(behind.find("l") < 140000);  // what the ring held
}

TEST_CASE("bulk channels share the link alike") {
  MuxConfig c = config_a();
  A a(c);
  ChannelId id[4];
  unsigned n[4];
  for (int i = 0; i < 4; ++i) {
    id[i] = connected(a, &n[i]);
    CHECK(a.feed(numbered(Type::credit, kNo, n[i], be32(10000000))) == Err::none);
    a.send(id[i], Data(4000000, 'x'));
  }
  size_t got[4] = {};
  for (int turn = 0; turn < 400; ++turn) {
    const Data out = a.write_all();
    for (const Packet& p : split(out))
      for (int i = 0; i < 4; ++i)
        if (p.is(Type::send) && p.h.said == n[i]) got[i] += p.payload.size();
    CHECK(a.ack() == Err::none);
    if (*std::max_element(got, got + 4) > 3000000) break;
  }
  constexpr size_t kLongestTurn = 256 * 1024;  // no time passes, so this line is the fastest of all
  CHECK(*std::min_element(got, got + 4) + 2 * kLongestTurn > *std::max_element(got, got + 4));
  CHECK(*std::max_element(got, got + 4) > 1000000);
}

// ---- the end of a link

TEST_CASE("BYE goes out behind what is in the ring, once, and nothing follows") {
  A a;
  unsigned n = 0;
  const ChannelId id = connected(a, &n);
  a.send(id, "last words");
  Data out = a.write(5);
  a.mux.bye(ByeCode::shutdown);
  a.mux.bye(ByeCode::restart);
  CHECK(a.feed(numbered(Type::send, kNo, n, Data(1000, 'x'))) == Err::none);
  out += a.write_all();
  CHECK(types(out) == "06 13");
  CHECK(out.back() == static_cast<char>(0x80));
  CHECK(a.write_all().empty());
  CHECK(a.mux.tx_idle());
  CHECK(!a.mux.can_open());
}

TEST_CASE("BYE also comes before the link is up") {
  Bench a(config_a());
  a.up(hex("21d40e58"), "20261123-085921.114471");
  (void)a.write_all();
  CHECK(a.feed(hex(kHelloC)) == Err::none);
  a.mux.bye(ByeCode::busy);
  CHECK(to_hex(a.write_all()) == to_hex(packet(kUnnumbered, Type::bye, kNo, kNo, Data(1, '\x04'))));
}

// The lengths of what comes are those of 0.3 then, where ECHO may have one byte.
TEST_CASE("a link that ends before the peer's HELLO takes nothing for a packet of SockMux 1") {
  for (const Data& late : {packet(kVersion03, Type::echo, 0, 0, Data(1, 'x')), packet(kVersion03, Type::noop, 0, 0, ""), hex(kHelloC)}) {
    Bench a(config_a());
    a.up(hex("21d40e58"), "20261123-085921.114471");
    (void)a.write_all();
    a.mux.bye(ByeCode::shutdown);
    CHECK(a.feed(late) == Err::none);
    CHECK(a.write_all().empty());
  }
}

TEST_CASE("the peer's BYE ends the link, and its code is kept") {
  A a;
  CHECK(a.feed(packet(kUnnumbered, Type::bye, kNo, kNo, Data("\x01why", 4))) == Err::said_bye);
  CHECK(a.mux.peer_bye() == 1);
}

TEST_CASE("BYE in place of HELLO ends the link, and its words are kept") {
  Bench a(config_a());
  a.up(hex("21d40e58"), "20261123-085921.114471");
  CHECK(a.feed(packet(kUnnumbered, Type::bye, kNo, kNo, Data("\x83use the other port\x07", 20))) == Err::said_bye);
  CHECK(a.mux.peer_bye() == 0x83);
  CHECK(a.mux.peer_bye_text() == "use the other port?");
  // Nothing else does that there.
  Bench b(config_a());
  b.up(hex("21d40e58"), "20261123-085921.114471");
  CHECK(b.feed(packet(kUnnumbered, Type::echo, kNo, kNo, Data(8, 'x'))) == Err::bad_version);
}

TEST_CASE("message 1 of a secure link in place of HELLO has a name of its own; behind HELLO it is what it is") {
  Bench a(config_a());
  a.up(hex("21d40e58"), "20261123-085921.114471");
  CHECK(a.feed("SMXS") == Err::none);
  CHECK(a.feed(hex("01010060")) == Err::speaks_secure);
  Bench b(config_a());
  b.up(hex("21d40e58"), "20261123-085921.114471");
  (void)b.write_all();
  CHECK(b.feed(hex(kHelloC)) == Err::none);
  CHECK(b.feed(Data("SMXS\x01\x01\x00\x60", 8)) != Err::speaks_secure);
}

TEST_CASE("when the link is lost every channel is aborted once, but for those whose data are all here") {
  A a;
  const ChannelId plain = a.accepted(1);
  const ChannelId whole = a.accepted(2);
  const ChannelId half = a.accepted(3);
  (void)a.open("x");
  for (const ChannelId id : {plain, whole, half}) a.at(id).takes = 0;
  for (unsigned n = 1; n <= 3; ++n) CHECK(a.feed(numbered(Type::send, n, kNo, Data(1000, 'x'))) == Err::none);
  CHECK(a.feed(numbered(Type::fin, 2, kNo)) == Err::none);
  a.mux.link_down(a.now);
  a.mux.verify();
  CHECK(a.log == "abort abort abort ");
  CHECK(a.mux.channels() == 1);
  CHECK(a.mux.orphans() == 1);
  CHECK(a.mux.blocks_used() == 2);
  a.at(whole).takes = 600;
  CHECK(a.mux.wants_write(whole));
  CHECK(a.mux.drain(whole, a.now));
  a.at(whole).takes = 600;
  CHECK(!a.mux.drain(whole, a.now));
  CHECK(a.at(whole).in.size() == 1000);
  CHECK(a.log == "abort abort abort end done ");
  CHECK(a.mux.channels() == 0);
  CHECK(a.mux.blocks_used() == 0);
}

TEST_CASE("when the link is lost a channel that was told the peer's end is not broken as the others are, but its other direction ends") {
  A a;
  const ChannelId told = a.accepted(1);
  CHECK(a.feed(numbered(Type::send, 1, kNo, Data(1000, 'x')) + numbered(Type::fin, 1, kNo)) == Err::none);
  CHECK(a.log == "end ");
  CHECK(a.at(told).in.size() == 1000);
  a.code = CloseCode::reset;
  a.mux.link_down(a.now);
  a.mux.verify();
  CHECK(a.log == "end abort ");
  CHECK(a.code == CloseCode::done);
  CHECK(a.mux.channels() == 0);
}

TEST_CASE("a server that is still being connected when the link is lost is given up") {
  A a;
  CHECK(a.feed(connect(1) + numbered(Type::send, 1, kNo, "ask") + numbered(Type::fin, 1, kNo)) == Err::none);
  a.mux.link_down(a.now);
  CHECK(a.log == "open abort ");
  CHECK(a.mux.channels() == 0);
}

TEST_CASE("data that are all here survive the loss of the link even when every block was promised") {
  MuxConfig c = config_a();
  c.accepts = 4;
  c.opens = 4;
  c.memory_bytes = Mux::guaranteed_bytes(c);
  A a(c);
  unsigned n = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const ChannelId id = a.accepted(i);
    a.at(id).takes = 0;
    CHECK(a.feed(numbered(Type::send, i, kNo, Data(4096, 'x')) + numbered(Type::fin, i, kNo)) == Err::none);
  }
  (void)n;
  a.mux.link_down(a.now);
  a.mux.verify();
  CHECK(a.mux.orphans() == 4);
  CHECK(a.log == "");
}

TEST_CASE("orphans make way for the next session's memory and numbers, the oldest first") {
  MuxConfig c = config_a();
  c.accepts = 3;
  c.opens = 2;
  c.memory_bytes = Mux::guaranteed_bytes(c);
  A a(c, 2048, 2);
  // Sessions that leave orphans behind, on both kinds of slots, until there is no room for more.
  for (int round = 0; round < 60; ++round) {
    CAPTURE(round);
    unsigned mine[2];
    for (unsigned i = 0; i < 2; ++i) {
      REQUIRE(a.mux.can_open());
      const ChannelId id = a.open();
      (void)a.write_all();
      mine[i] = id.slot;
      CHECK(a.feed(numbered(Type::connected, kNo, mine[i])) == Err::none);
      a.at(id).takes = 0;
      CHECK(a.feed(numbered(Type::send, kNo, mine[i], Data(3000, 'x')) + numbered(Type::fin, kNo, mine[i])) == Err::none);
    }
    CHECK(!a.mux.can_open());
    for (unsigned i = 0; i < 3; ++i) {
      const ChannelId id = a.accepted(i);
      a.at(id).takes = 0;
      CHECK(a.feed(numbered(Type::send, i, kNo, Data(3000, 'x')) + numbered(Type::fin, i, kNo)) == Err::none);
    }
    a.mux.link_down(a.now);
    a.mux.verify();
    (void)a.take_log();
    a.up(hex("21d40e58 5a0f3c71b2e84d96a1c7085be43f9d20"), "20261123-085921.114471");
    CHECK(a.feed(hex(kHelloC)) == Err::none);
    CHECK(a.feed(settings(0x21d40e58, 2048, 2, true)) == Err::none);
    (void)a.write_all();
    (void)a.take_log();
    CHECK(a.mux.up());
  }
  CHECK(a.mux.orphans() > 0);
  CHECK(a.mux.orphans() < 100);
}

TEST_CASE("probe: silent within the patience ends the link, any packet saves it") {
  A a;
  a.mux.probe(a.now, seconds(1));
  CHECK(a.write_types() == "09");
  CHECK(a.wait(millis(999)) == Err::none);
  CHECK(a.wait(millis(1)) == Err::silent);
  A b;
  b.mux.probe(b.now, seconds(1));
  CHECK(b.write_types() == "09");
  CHECK(b.feed(packet(kUnnumbered, Type::echo, kNo, kNo, be64(0))) == Err::none);
  CHECK(b.wait(seconds(2)) == Err::none);
}

TEST_CASE("ECHOOK measures the round trip, and an old one does not") {
  A a;
  a.mux.probe(a.now, seconds(5));
  const Data echo = a.write_all();
  a.now = a.now + millis(70);
  CHECK(a.feed(packet(kUnnumbered, Type::echook, kNo, kNo, be64(1))) == Err::none);
  CHECK(a.mux.round_trip() == millis(100));
  CHECK(a.feed(packet(kUnnumbered, Type::echook, kNo, kNo, echo.substr(8))) == Err::none);
  CHECK(a.mux.round_trip() == millis(70));
}

TEST_CASE("init: too small an arena, or a guarantee above the memory, is told") {
  MuxConfig c = config_a();
  CHECK(Bench(c).ok);
  std::vector<char> memory(static_cast<size_t>(Mux::arena_bytes(c)) - 64 * 1024);
  Arena arena(memory.data(), memory.size());
  Bench helper(config_c());
  Mux mux(helper);
  CHECK(!mux.init(c, arena));
  c.memory_bytes = Mux::guaranteed_bytes(c) - 1;
  CHECK(!Bench(c).ok);
  c.memory_bytes += 1;
  CHECK(Bench(c).ok);
}

TEST_CASE("60,000 channels of one link, all open at once, each with its own bytes; the memory set aside is never exceeded") {
  constexpr uint16_t kMany = 60000;
  MuxConfig c = config_c(), h = config_a();
  c.opens = h.accepts = kMany;
  c.accepts = h.opens = 1;
  c.first_credit = h.first_credit = 512;
  c.memory_bytes = Mux::guaranteed_bytes(c);
  h.memory_bytes = Mux::guaranteed_bytes(h);
  Bench opener(c), acceptor(h);
  REQUIRE(opener.ok);
  REQUIRE(acceptor.ok);
  acceptor.accept_at_once = true;
  opener.up();
  acceptor.up(hex("21d40e58") + Data(20, 'h'));
  const auto talk = [&] {
    for (int i = 0; i < 100000; ++i) {
      const Data there = opener.write(SIZE_MAX), back = acceptor.write(SIZE_MAX);
      if (there.empty() && back.empty()) return;
      REQUIRE(acceptor.feed(there) == Err::none);
      REQUIRE(opener.feed(back) == Err::none);
    }
    FAIL("they never stop");
  };
  talk();
  REQUIRE(opener.mux.up());
  std::vector<ChannelId> ids;
  for (unsigned i = 0; i < kMany; ++i) {
    REQUIRE(opener.mux.can_open());
    ids.push_back(opener.open("n" + std::to_string(i)));
  }
  CHECK_FALSE(opener.mux.can_open());
  talk();
  CHECK(opener.mux.channels() == kMany);
  CHECK(acceptor.mux.channels() == kMany);
  size_t right = 0;
  for (const auto& [slot, local] : acceptor.locals) right += local.in.size() > 1 && local.in[0] == 'n' ? 1 : 0;
  CHECK(right == kMany);
  for (unsigned i = 0; i < kMany; i += 1000) opener.send(ids[i], "!", true);
  talk();
  size_t told = 0;
  for (const auto& [slot, local] : acceptor.locals) told += local.in.back() == '!' ? 1 : 0;
  CHECK(told == kMany / 1000);
  // And again from nothing: no number is lost.
  for (const ChannelId id : ids) opener.mux.abort(id, CloseCode::reset);
  talk();
  CHECK(opener.mux.channels() == 0);
  CHECK(acceptor.mux.channels() == 0);
  CHECK(opener.mux.can_open());
}

TEST_SUITE_END();
