// core/mux in dialect 0.3, byte by byte, toward a peer as DeleGate is. Rules: sockmux(7), "SockMux 0.3".
// Read next: test_captures.cc, sim/sim_peer03.cc.
#include <doctest/doctest.h>

#include "tests/sim/bench.h"

using namespace smx;
using namespace bench;

namespace {

constexpr unsigned kNo = 0xff;

Data text(const char* s) { return Data(s) + '\0'; }
Data old(Type t, unsigned said, unsigned raid, const Data& payload) { return packet(kVersion03, t, said, raid, payload); }
const char* const kWords = "98304 127.0.0.1:50114 127.0.0.1:9023";

MuxConfig config() {
  MuxConfig c;
  c.memory_bytes = 32u << 20;
  strcpy(c.host, "r1");
  return c;
}

// A mux that is up toward a 0.3 peer which takes packets of `size` bytes, first data included.
struct Old : Bench {
  explicit Old(const MuxConfig& c = config(), unsigned size = 16384, bool conn_data = true) : Bench(c) { link(size, conn_data); }
  void link(unsigned size = 16384, bool conn_data = true) {
    up();
    CHECK(feed(old(Type::hello, 0, 0, text("20261123-085921.114471 vm"))) == Err::none);
    CHECK(feed(old(Type::hellook, 0, 0, text("20261123-085921.114471 vm"))) == Err::none);
    CHECK(feed(old(Type::hellook, 0, 0, text("20261123-085921.114471 vm"))) == Err::none);
    if (size > 0) CHECK(feed(old(Type::setopt, kNo, kNo, Data(1, '\3') + static_cast<char>(size >> 8) + static_cast<char>(size))) == Err::none);
    if (conn_data) CHECK(feed(old(Type::setopt, kNo, kNo, Data("\2\1\0", 3))) == Err::none);
    (void)write_all();
    CHECK(take_log() == "up ");
  }
  // The peer's channel `n`, accepted here.
  ChannelId accepted(unsigned n, const Data& first = "") {
    CHECK(feed(old(Type::connect, n, kNo, text(kWords) + first)) == Err::none);
    mux.accept(opened, now);
    (void)write_all();
    (void)take_log();
    return opened;
  }
  // Our channel, which the peer has connected as its `n`.
  ChannelId connected(unsigned n, const Data& out = "", bool ends = false) {
    const ChannelId id = open(out, ends);
    (void)write_all();
    CHECK(feed(old(Type::connected, n, id.slot, text(kWords))) == Err::none);
    CHECK(take_log() == "opened ");
    return id;
  }
  Err sent(ChannelId id, unsigned n, unsigned count) { return feed(old(Type::sent, n, id.slot, text(std::to_string(count).c_str()))); }
};

}  // namespace

TEST_SUITE_BEGIN("mux03");

TEST_CASE("sockmux(7), example 2: v1 with 0.3, byte by byte") {
  const std::vector<Data> c = manual(2, 'C'), a = manual(2, 'A');
  REQUIRE(c.size() == 5);
  REQUIRE(a.size() == 3);
  MuxConfig mc = config();
  mc.asks = true;
  mc.packet_size = 4096;
  Bench b(mc);
  b.up(hex("1f3c01a7"));
  CHECK(to_hex(b.write_all()) == to_hex(c[0]));
  CHECK(b.feed(a[0]) == Err::none);
  CHECK(to_hex(b.write_all()) == to_hex(c[1]));
  CHECK(b.mux.dialect() == Dialect::v03);
  CHECK(!b.mux.up());
  CHECK(b.feed(a[1]) == Err::none);
  CHECK(b.mux.up());
  CHECK(to_hex(b.write_all()) == to_hex(c[2] + c[3] + c[4]));
  CHECK(b.feed(a[2]) == Err::none);
  CHECK(b.write_all().empty());
}

TEST_CASE("sockmux(7), example 6: one channel in 0.3, on both sides") {
  const std::vector<Data> c = manual(6, 'C'), a = manual(6, 'A');
  REQUIRE(c.size() == 3);
  REQUIRE(a.size() == 3);
  Old opener;
  const ChannelId id = opener.open("hello");
  CHECK(parse_ip_port("127.0.0.1:50114", &opener.at(id).info.client));
  CHECK(parse_ip_port("127.0.0.1:9023", &opener.at(id).info.local));
  CHECK(to_hex(opener.write_all()) == to_hex(c[0]));
  CHECK(opener.feed(a[0] + a[1]) == Err::none);
  CHECK(to_hex(opener.write_all()) == to_hex(c[1]));
  opener.send(id, "", true);
  CHECK(opener.write_all().empty());
  CHECK(opener.wait(seconds(29)) == Err::none);
  CHECK(opener.feed(old(Type::noop, kNo, kNo, "")) == Err::none);
  CHECK(opener.wait(seconds(1)) == Err::none);
  CHECK(to_hex(opener.write_all()) == to_hex(c[2]));
  CHECK(opener.feed(a[2]) == Err::none);
  CHECK(opener.mux.channels() == 0);

  Old acceptor;
  for (unsigned n = 20; n < 27; ++n) (void)acceptor.accepted(n);  // ids 2 to 8
  CHECK(acceptor.feed(c[0]) == Err::none);
  const ChannelId server = acceptor.opened;
  CHECK(parse_ip_port("127.0.0.1:7007", &acceptor.at(server).info.client));
  CHECK(parse_ip_port("127.0.0.1:53908", &acceptor.at(server).info.local));
  acceptor.mux.accept(server, acceptor.now);
  CHECK(acceptor.mux.drain(server, acceptor.now));
  acceptor.send(server, acceptor.at(server).in);
  CHECK(to_hex(acceptor.write_all()) == to_hex(a[0] + a[1]));
  CHECK(acceptor.feed(c[1] + c[2]) == Err::none);
  CHECK(to_hex(acceptor.write_all()) == to_hex(a[2]));
}

TEST_CASE("0.3: a HELLO after the handshake means that the peer has started anew") {
  Old b;
  CHECK(b.feed(old(Type::hello, 0, 0, text("20261123-085921.114471 vm"))) == Err::restarted);
}

TEST_CASE("0.3: DeleGate's encryption is an error, its offer is not") {
  Old b;
  CHECK(b.feed(old(Type::setopt, kNo, kNo, Data("\1\1\1key", 6))) == Err::none);
  CHECK(b.feed(old(Type::crypton, kNo, kNo, "")) == Err::encrypted);
  Old c;
  CHECK(c.feed(packet(kVersion03Crypt, Type::echo, kNo, kNo, text("1"))) == Err::encrypted);
}

TEST_CASE("0.3: unknown packets and options are ignored, and so is NOOP") {
  Old b;
  CHECK(b.feed(old(static_cast<Type>(0x33), 1, 2, "what")) == Err::none);
  CHECK(b.feed(old(Type::bind, 1, 2, "what")) == Err::none);
  CHECK(b.feed(old(Type::setopt, kNo, kNo, Data("\x77\1", 2))) == Err::none);
  CHECK(b.feed(old(Type::noop, kNo, kNo, "")) == Err::none);
  CHECK(b.write_all().empty());
}

TEST_CASE("0.3: ECHO is answered at once, with the ids swapped and the same payload") {
  Old b;
  CHECK(b.feed(old(Type::echo, 0x1234, kNo, text("777"))) == Err::none);
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::echook, kNo, 0x1234, text("777"))));
}

// ---- opening

TEST_CASE("0.3: CONNECT has the id and the words, and first data if the peer takes them") {
  Old b;
  const ChannelId id = b.open("hello");
  CHECK(parse_ip_port("127.0.0.1:50114", &b.at(id).info.client));
  CHECK(parse_ip_port("127.0.0.1:9023", &b.at(id).info.local));
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::connect, 2, kNo, text(kWords) + "hello")));
  CHECK(b.feed(old(Type::connected, 9, 2, text(kWords) + "HELLO")) == Err::none);
  CHECK(b.at(id).in == "HELLO");
  CHECK(b.write_all().empty());  // SENT does not count first data
  b.send(id, "more");
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::send, 2, 9, "more")));
}

TEST_CASE("0.3: without CONNDATA of the peer, the first data wait for CONNECTED") {
  Old b(config(), 16384, false);
  const ChannelId id = b.open("hello");
  CHECK(split(b.write_all())[0].payload.find("hello") == Data::npos);
  CHECK(b.feed(old(Type::connected, 9, id.slot, text(kWords))) == Err::none);
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::send, id.slot, 9, "hello")));
}

TEST_CASE("0.3: an end of file that was seen with the first data is not forgotten") {
  Old b;
  const ChannelId id = b.open("hello", true);
  (void)b.write_all();
  CHECK(b.feed(old(Type::connected, 9, id.slot, text(kWords))) == Err::none);
  CHECK(!b.mux.wants_read(id));
  CHECK(b.wait(seconds(29)) == Err::none);
  (void)b.write_all();
  CHECK(b.feed(old(Type::noop, kNo, kNo, "")) == Err::none);
  CHECK(b.wait(seconds(1)) == Err::none);
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::close, id.slot, 9, text("DO close"))));
}

TEST_CASE("0.3: first data that come in CONNECT wait for the server, and SENT does not count them") {
  Old b;
  CHECK(b.feed(old(Type::connect, 3, kNo, text(kWords) + "hello")) == Err::none);
  CHECK(b.feed(old(Type::send, 3, b.opened.slot, "x")) == Err::none);
  b.mux.accept(b.opened, b.now);
  CHECK(b.mux.wants_write(b.opened));
  CHECK(b.mux.drain(b.opened, b.now));
  CHECK(b.at(b.opened).in == "hellox");
  const std::vector<Packet> p = split(b.write_all());
  REQUIRE(p.size() == 2);
  CHECK(p[0].is(Type::connected));
  CHECK(p[0].h.said == b.opened.slot);
  CHECK(p[0].h.raid == 3);
  CHECK(p[1].is(Type::sent));
  CHECK(p[1].payload == text("1"));
}

TEST_CASE("0.3: no server: CLOSE from id none, and the id of ours was never used") {
  Old b;
  b.refuse_at_once = true;
  CHECK(b.feed(old(Type::connect, 3, kNo, text(kWords))) == Err::none);
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::close, kNo, 3, text("No server"))));
  CHECK(b.mux.channels() == 0);
  b.refuse_at_once = false;
  CHECK(b.feed(old(Type::connect, 3, kNo, text(kWords))) == Err::none);
  b.mux.refuse(b.opened, CloseCode::unreachable);
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::close, kNo, 3, text("No server"))));
  CHECK(b.mux.channels() == 0);
  // A server that breaks before CONNECTED is written has never been there.
  CHECK(b.feed(old(Type::connect, 3, kNo, text(kWords))) == Err::none);
  b.mux.accept(b.opened, b.now);
  b.mux.abort(b.opened, CloseCode::reset);
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::close, kNo, 3, text("No server"))));
  CHECK(b.mux.channels() == 0);
  // An opener may answer although there is no id that it could name.
  CHECK(b.feed(old(Type::closed, 3, kNo, text("OK closed"))) == Err::none);
}

TEST_CASE("0.3: our client is refused") {
  Old b;
  const ChannelId id = b.open("x");
  (void)b.write_all();
  CHECK(b.feed(old(Type::close, kNo, id.slot, text("No server"))) == Err::none);
  CHECK(b.log == "abort ");
  CHECK(b.code == CloseCode::no_server);
  CHECK(b.mux.channels() == 0);
  CHECK(b.write_all().empty());
}

// The server may have first data by then: behind them it must not see an end.
TEST_CASE("0.3: a client that is gone before CONNECTED: CLOSE follows when the peer's id is known, and says that it was reset") {
  Old b;
  const ChannelId id = b.open("x");
  (void)b.write_all();
  b.mux.abort(id, CloseCode::reset);
  CHECK(b.write_all().empty());
  CHECK(b.feed(old(Type::connected, 9, id.slot, text(kWords) + "late")) == Err::none);
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::close, id.slot, 9, text("reset"))));
  CHECK(b.feed(old(Type::send, 9, id.slot, "late")) == Err::none);
  CHECK(b.mux.channels() == 1);
  CHECK(b.feed(old(Type::closed, 9, id.slot, text("OK closed"))) == Err::none);
  CHECK(b.mux.channels() == 0);
  const ChannelId other = b.open("x");
  (void)b.write_all();
  b.mux.abort(other, CloseCode::reset);
  CHECK(b.feed(old(Type::close, kNo, other.slot, text("No server"))) == Err::none);
  CHECK(b.mux.channels() == 0);
  CHECK(b.log == "");
}

TEST_CASE("0.3: at most 56 channels, with ids from 2 to 254, and an id comes back late") {
  Old b;
  std::vector<ChannelId> ids;
  while (b.mux.can_open()) {
    ids.push_back(b.open());
    (void)b.write_all();
    CHECK(ids.back().slot == 2 + ids.size() - 1);
  }
  CHECK(ids.size() == 56);
  CHECK(b.feed(old(Type::close, kNo, 2, text("No server"))) == Err::none);
  CHECK(b.take_log() == "abort room ");
  unsigned highest = 0;
  for (int i = 0; i < 600; ++i) {
    REQUIRE(b.mux.can_open());
    const ChannelId id = b.open();
    CHECK(id.slot >= 2);
    CHECK(id.slot <= 254);
    if (i < 100) CHECK(id.slot == 58u + static_cast<unsigned>(i));  // not one that has just been used
    highest = id.slot > highest ? id.slot : highest;
    (void)b.write_all();
    CHECK(b.feed(old(Type::close, kNo, id.slot, text("No server"))) == Err::none);
  }
  CHECK(highest == 254);
}

TEST_CASE("0.3: channels of the peer count, too, and on_room() comes when one of them ends") {
  Old b;
  for (unsigned n = 2; n < 58; ++n) (void)b.accepted(n);
  CHECK(!b.mux.can_open());
  CHECK(b.feed(old(Type::close, 2, 2, text("DO close"))) == Err::none);
  CHECK(b.take_log() == "end done ");
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::closed, 2, 2, text("OK closed"))));
  CHECK(b.take_log() == "room ");
  CHECK(b.mux.can_open());
}

// ---- data

TEST_CASE("0.3: packets are of 512 bytes until the peer's PACKSIZE, and then of that size") {
  Old b(config(), 0);
  const ChannelId id = b.connected(9);
  b.send(id, Data(100000, 'x'));
  for (const Packet& p : split(b.write_all())) CHECK(p.payload.size() <= 504);
  CHECK(b.feed(old(Type::setopt, kNo, kNo, Data("\3\0\x80", 3))) == Err::none);  // 128: ignored
  CHECK(b.sent(id, 9, 2048) == Err::none);
  CHECK(split(b.write_all())[0].payload.size() == 504);
  CHECK(b.feed(old(Type::setopt, kNo, kNo, Data("\3\x10\0", 3))) == Err::none);
  CHECK(split(b.write_all())[0].payload.size() == 4088);
}

TEST_CASE("0.3: nothing more is read when more than 4 packets are not acknowledged") {
  Old b(config(), 1000);
  const ChannelId id = b.connected(9);
  b.send(id, Data(100000, 'x'));
  size_t out = 0;
  for (const Packet& p : split(b.write_all())) out += p.payload.size();
  CHECK(out > 4000);
  CHECK(out <= 4 * 1000 + 992);
  CHECK(!b.mux.wants_read(id));
  CHECK(b.sent(id, 9, static_cast<unsigned>(out) - 4001) == Err::none);
  CHECK(b.write_all().empty());
  CHECK(b.sent(id, 9, 1) == Err::none);
  CHECK(b.write_all().size() >= 992);
  // A peer that counts more than it got does no harm.
  CHECK(b.sent(id, 9, 1000000) == Err::none);
  CHECK(b.feed(old(Type::sent, 9, id.slot, text("many"))) == Err::bad_text);
}

TEST_CASE("0.3: SENT says what the local socket has taken, and nothing for nothing") {
  Old b;
  const ChannelId id = b.accepted(3);
  b.at(id).takes = 3;
  CHECK(b.feed(old(Type::send, 3, id.slot, "hello") + old(Type::send, 3, id.slot, "again")) == Err::none);
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::sent, id.slot, 3, text("3"))));
  CHECK(b.write_all().empty());
  b.at(id).takes = SIZE_MAX;
  CHECK(b.mux.drain(id, b.now));
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::sent, id.slot, 3, text("7"))));
  CHECK(b.feed(old(Type::send, 3, id.slot, "")) == Err::none);
  CHECK(b.write_all().empty());
}

TEST_CASE("0.3: urgent data are delivered in their place, and told by SENTOOB") {
  Old b;
  const ChannelId id = b.accepted(3);
  CHECK(b.feed(old(Type::send, 3, id.slot, "ab") + old(Type::sendoob, 3, id.slot, "!") + old(Type::send, 3, id.slot, "c")) == Err::none);
  CHECK(b.at(id).in == "ab!c");
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::sent, id.slot, 3, text("3")) + old(Type::sentoob, id.slot, 3, text("1"))));
}

TEST_CASE("0.3: five packets without SENT are taken, one byte more is the peer's error") {
  for (const size_t more : {size_t{0}, size_t{1}}) {
    Old b;
    const ChannelId id = b.accepted(3, Data(16000, 'x'));
    b.at(id).takes = 0;
    for (int i = 0; i < 5; ++i) CHECK(b.feed(old(Type::send, 3, id.slot, Data(16376, 'x'))) == Err::none);
    CHECK(b.feed(old(Type::send, 3, id.slot, Data(40, 'x'))) == Err::none);
    if (more > 0) CHECK(b.feed(old(Type::send, 3, id.slot, "x")) == Err::credit_overrun);
  }
}

TEST_CASE("0.3: the packet size is announced from memory, and what was announced always fits") {
  for (const uint64_t memory : {700000u, 1500000u, 8u << 20}) {
    CAPTURE(memory);
    MuxConfig c = config();
    c.accepts = c.opens = 56;
    c.memory_bytes = memory;
    Bench b(c);
    REQUIRE(b.ok);
    b.up();
    CHECK(b.feed(old(Type::hello, 0, 0, text("20261123-085921.114471 vm"))) == Err::none);
    CHECK(b.feed(old(Type::hellook, 0, 0, text("20261123-085921.114471 vm"))) == Err::none);
    unsigned size = 0;
    for (const Packet& p : split(b.write_all()))
      if (p.is(Type::setopt) && p.payload[0] == 3) size = static_cast<uint8_t>(p.payload[1]) * 256u + static_cast<uint8_t>(p.payload[2]);
    CHECK(size >= 512);
    CHECK(size <= 16384);
    // 56 of ours and 56 of the peer's, each with all that it may bring; none takes any.
    std::vector<ChannelId> ids;
    for (unsigned n = 2; n < 58; ++n) {
      CHECK(b.feed(old(Type::connect, n, kNo, text(kWords) + Data(size - 60, 'x'))) == Err::none);
      b.mux.accept(b.opened, b.now);
      b.at(b.opened).takes = 0;
      ids.push_back(b.opened);
    }
    CHECK(split(b.write_all()).size() == 56);
    for (unsigned n = 2; n < 58; ++n)
      for (int i = 0; i < 5; ++i) CHECK(b.feed(old(Type::send, n, ids[n - 2].slot, Data(size - 8, 'x'))) == Err::none);
  }
}

TEST_CASE("0.3: a packet size below 512 is announced as it was asked for; packets of 512 that are under way still fit") {
  MuxConfig c = config();
  c.packet_size = 256;
  Bench b(c);
  b.up();
  CHECK(b.feed(old(Type::hello, 0, 0, text("20261123-085921.114471 vm"))) == Err::none);
  CHECK(b.feed(old(Type::hellook, 0, 0, text("20261123-085921.114471 vm"))) == Err::none);
  const Data out = b.write_all();
  CHECK(out.find(old(Type::setopt, kNo, kNo, Data("\3\1\0", 3))) != Data::npos);
  CHECK(b.feed(old(Type::connect, 3, kNo, text(kWords) + Data(450, 'x'))) == Err::none);
  for (int i = 0; i < 5; ++i) CHECK(b.feed(old(Type::send, 3, b.opened.slot, Data(504, 'x'))) == Err::none);
}

TEST_CASE("0.3: with no memory left a CONNECT is refused, and our clients wait") {
  MuxConfig c = config();
  c.accepts = c.opens = 1;
  c.memory_bytes = Mux::guaranteed_bytes(c);
  Old b(c);
  unsigned n = 2;
  while (b.mux.can_open()) (void)b.accepted(n++);
  CHECK(n > 3);
  CHECK(n < 56);
  CHECK(b.feed(old(Type::connect, 100, kNo, text(kWords))) == Err::none);
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::close, kNo, 100, text("No server"))));
  CHECK(b.take_log() == "");
  CHECK(b.feed(old(Type::close, 2, 2, text("DO close"))) == Err::none);
  (void)b.write_all();
  CHECK(b.take_log() == "end done room ");
}

// ---- the end

TEST_CASE("0.3: the client's end of file: its answer is still delivered, CLOSE follows a silence") {
  MuxConfig c = config();
  c.linger = seconds(5);
  Old b(c);
  const ChannelId id = b.connected(9, "ask", true);
  b.now = b.now + millis(1);
  for (int i = 0; i < 5; ++i) {
    CHECK(b.wait(seconds(4)) == Err::none);
    CHECK(b.feed(old(Type::send, 9, id.slot, "answer ")) == Err::none);
    CHECK(b.write_types() == "46");
  }
  CHECK(b.wait(millis(4999)) == Err::none);
  CHECK(b.write_all().empty());
  CHECK(b.log == "");
  CHECK(b.wait(millis(1)) == Err::none);
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::close, id.slot, 9, text("DO close"))));
  CHECK(b.at(id).in == "answer answer answer answer answer ");
  CHECK(b.log == "end done ");
  CHECK(b.feed(old(Type::closed, 9, id.slot, text("OK closed"))) == Err::none);
  CHECK(b.mux.channels() == 0);
}

TEST_CASE("0.3: no silence is waited for (lin:0): a client that does not read keeps its channel, and nothing spins") {
  MuxConfig c = config();
  c.linger = seconds(0);
  Old b(c);
  const ChannelId id = b.connected(9);
  b.at(id).takes = 0;
  CHECK(b.feed(old(Type::send, 9, id.slot, "answer")) == Err::none);
  b.send(id, "", true);
  CHECK(b.write_all().empty());
  CHECK(b.mux.tick(b.now) == Err::none);
  CHECK(b.mux.deadline() > b.now);
  CHECK(b.write_all().empty());
  b.at(id).takes = 9;
  CHECK(b.mux.drain(id, b.now));
  CHECK(b.mux.tick(b.now) == Err::none);
  CHECK(b.at(id).in == "answer");
  CHECK(b.write_types() == "08");
  CHECK(b.log == "end done ");
}

TEST_CASE("0.3: the server's end of file: CLOSE follows when the peer has delivered what was sent") {
  Old b;
  const ChannelId id = b.accepted(3);
  b.send(id, "page", true);
  CHECK(b.write_types() == "06");
  CHECK(b.wait(seconds(20)) == Err::none);
  CHECK(b.write_all().empty());  // else DeleGate would throw the rest away after 3 s
  CHECK(b.sent(id, 3, 3) == Err::none);
  CHECK(b.wait(seconds(1)) == Err::none);
  CHECK(b.write_all().empty());
  CHECK(b.sent(id, 3, 1) == Err::none);
  CHECK(b.wait(millis(50)) == Err::none);
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::close, id.slot, 3, text("DO close"))));
}

TEST_CASE("0.3: the peer's CLOSE: what came before is delivered, then CLOSED, and the id is free") {
  Old b;
  const ChannelId id = b.accepted(3);
  b.at(id).takes = 2;
  CHECK(b.feed(old(Type::send, 3, id.slot, "data") + old(Type::close, 3, id.slot, text("DO close"))) == Err::none);
  CHECK(b.write_all().empty());
  CHECK(b.log == "");
  b.at(id).takes = 9;
  CHECK(!b.mux.drain(id, b.now));
  CHECK(b.at(id).in == "data");
  CHECK(b.log == "end done ");
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::closed, id.slot, 3, text("OK closed"))));
  CHECK(b.mux.channels() == 0);
}

TEST_CASE("0.3: a peer waits at most 3 s for CLOSED; our socket still gets everything") {
  Old b;
  const ChannelId id = b.accepted(3);
  b.at(id).takes = 2;
  CHECK(b.feed(old(Type::send, 3, id.slot, "data") + old(Type::close, 3, id.slot, text("DO close"))) == Err::none);
  CHECK(b.wait(micros(2999999)) == Err::none);
  CHECK(b.write_types().find("48") == std::string::npos);
  CHECK(b.wait(micros(1)) == Err::none);
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::closed, id.slot, 3, text("OK closed"))));
  CHECK(b.mux.orphans() == 1);
  // The peer uses its id again, and ours is not given away while the socket has it.
  const ChannelId next = b.accepted(3);
  CHECK(next.slot != id.slot);
  CHECK(b.feed(old(Type::send, 3, id.slot, "x")) == Err::bad_id);
  b.at(id).takes = 9;
  CHECK(b.mux.wants_write(id));
  CHECK(!b.mux.drain(id, b.now));
  CHECK(b.at(id).in == "data");
  CHECK(b.log == "end done ");
  CHECK(b.mux.orphans() == 0);
  CHECK(b.mux.channels() == 1);
}

TEST_CASE("0.3: 200 orphans do not keep a client out") {
  Old b;
  for (unsigned i = 0; i < 300; ++i) {
    CAPTURE(i);
    const ChannelId id = b.accepted(3);
    b.at(id).takes = 0;
    CHECK(b.feed(old(Type::send, 3, id.slot, "data") + old(Type::close, 3, id.slot, text("DO close"))) == Err::none);
    CHECK(b.wait(seconds(3)) == Err::none);
    (void)b.write_all();
    CHECK(b.feed(old(Type::noop, kNo, kNo, "")) == Err::none);
    CHECK(b.mux.can_open());
    (void)b.take_log();
  }
  CHECK(b.mux.orphans() > 200);
  (void)b.open();
  CHECK(b.mux.orphans() <= 253);
}

TEST_CASE("0.3: CLOSE that crosses: no CLOSED is owed, one may come") {
  Old b;
  const ChannelId id = b.accepted(3);
  b.mux.abort(id, CloseCode::reset);
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::close, id.slot, 3, text("reset"))));
  CHECK(b.feed(old(Type::close, 3, id.slot, text("DO close"))) == Err::none);
  CHECK(b.mux.channels() == 0);
  CHECK(b.feed(old(Type::closed, 3, id.slot, text("OK closed"))) == Err::none);
  CHECK(b.write_all().empty());
  // Before ours is written, theirs is simply answered.
  const ChannelId other = b.accepted(3);
  b.mux.abort(other, CloseCode::reset);
  CHECK(b.feed(old(Type::close, 3, other.slot, text("DO close"))) == Err::none);
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::closed, other.slot, 3, text("OK closed"))));
  CHECK(b.mux.channels() == 0);
}

TEST_CASE("0.3: CLOSE with \"reset\" drops what waits and resets the socket; any other text delivers it first") {
  for (const char* said : {"reset", "DO close", "RESET", "reset by peer", ""}) {
    CAPTURE(std::string(said));
    Old b;
    const ChannelId id = b.accepted(3);
    b.at(id).takes = 1;
    CHECK(b.feed(old(Type::send, 3, id.slot, "abc")) == Err::none);
    (void)b.write_all();
    CHECK(b.feed(old(Type::close, 3, id.slot, text(said))) == Err::none);
    b.at(id).takes = SIZE_MAX;
    const bool reset = std::string(said) == "reset";
    if (!reset) CHECK(b.mux.drain(id, b.now) == false);
    CHECK(b.at(id).in == (reset ? "a" : "abc"));
    CHECK(b.take_log() == (reset ? "abort " : "end done "));
    CHECK(b.write_types().find("48") != std::string::npos);
    CHECK(b.mux.channels() == 0);
    CHECK(b.mux.blocks_used() == 0);
  }
}

TEST_CASE("0.3: data for a channel that is closing are ignored, for one that does not exist they are an error") {
  Old b;
  const ChannelId id = b.accepted(3);
  b.mux.abort(id, CloseCode::reset);
  (void)b.write_all();
  CHECK(b.feed(old(Type::send, 3, id.slot, "late")) == Err::none);
  CHECK(b.sent(id, 3, 5) == Err::none);
  CHECK(b.feed(old(Type::closed, 3, id.slot, text("OK closed"))) == Err::none);
  CHECK(b.sent(id, 3, 5) == Err::none);
  CHECK(b.feed(old(Type::close, 3, id.slot, text("DO close"))) == Err::none);
  CHECK(b.feed(old(Type::send, 3, id.slot, "late")) == Err::bad_id);
  Old c;
  CHECK(c.feed(old(Type::send, 3, kNo, "late")) == Err::bad_id);
  Old d;
  CHECK(d.feed(old(Type::send, 3, 300, "late")) == Err::bad_id);
}

TEST_CASE("0.3: ids of the peer: two channels with one id, or an id that does not fit, are an error") {
  Old b;
  (void)b.accepted(3);
  CHECK(b.feed(old(Type::connect, 3, kNo, text(kWords))) == Err::bad_id);
  Old c;
  CHECK(c.feed(old(Type::connect, kNo, kNo, text(kWords))) == Err::bad_id);
  Old d;
  CHECK(d.feed(old(Type::connect, 256, kNo, text(kWords))) == Err::bad_id);
  Old e;
  const ChannelId id = e.open();
  CHECK(e.feed(old(Type::connected, 3, id.slot, text(kWords))) == Err::bad_state);  // CONNECT is not written yet
  Old f;
  (void)f.connected(3);
  CHECK(f.feed(old(Type::connected, 4, 2, text(kWords))) == Err::bad_state);
  Old g;
  CHECK(g.feed(old(Type::connect, 3, kNo, "98304 no nul")) == Err::bad_text);
}

TEST_CASE("0.3: make_room() ends the client that has been silent longest, but not one that was just heard of") {
  Old b;
  std::vector<ChannelId> ids;
  for (unsigned i = 0; i < 56; ++i) ids.push_back(b.connected(10 + i, "ask", i == 7 || i == 9));
  CHECK(!b.mux.can_open());
  CHECK(!b.mux.make_room(b.now));
  CHECK(b.wait(millis(600)) == Err::none);
  CHECK(b.feed(old(Type::send, 17, ids[7].slot, "answer")) == Err::none);
  (void)b.write_all();
  CHECK(b.wait(millis(600)) == Err::none);
  CHECK(b.mux.make_room(b.now));
  CHECK(b.log == "end done ");
  CHECK(to_hex(b.write_all()) == to_hex(old(Type::close, ids[9].slot, 19, text("DO close"))));
  CHECK(!b.mux.make_room(b.now));
  CHECK(b.feed(old(Type::closed, 19, ids[9].slot, text("OK closed"))) == Err::none);
  CHECK(b.log == "end done room ");
  CHECK(b.mux.can_open());
}

TEST_CASE("0.3: a channel ends with its link, unless the peer had closed it and its data are here") {
  Old b;
  const ChannelId plain = b.accepted(3);
  const ChannelId closed = b.accepted(4);
  const ChannelId opening = b.open("x");
  (void)opening;
  for (const ChannelId id : {plain, closed}) b.at(id).takes = 0;
  CHECK(b.feed(old(Type::send, 3, plain.slot, "data") + old(Type::send, 4, closed.slot, "data")) == Err::none);
  CHECK(b.feed(old(Type::close, 4, closed.slot, text("DO close"))) == Err::none);
  b.mux.link_down(b.now);
  b.mux.verify();
  CHECK(b.log == "abort abort ");
  CHECK(b.mux.channels() == 1);
  b.log = "";
  b.link();
  CHECK(b.open().slot != closed.slot);
  b.at(closed).takes = 9;
  CHECK(!b.mux.drain(closed, b.now));
  CHECK(b.at(closed).in == "data");
  CHECK(b.log == "end done ");
}

TEST_CASE("one mux after another speaks both dialects, and orphans pass from one to the other") {
  Old b;
  const ChannelId id = b.accepted(3);
  b.at(id).takes = 0;
  CHECK(b.feed(old(Type::send, 3, id.slot, "data") + old(Type::close, 3, id.slot, text("DO close"))) == Err::none);
  b.mux.link_down(b.now);
  b.up(hex("21d40e58"), "20261123-085921.114471");
  CHECK(b.feed(old(Type::hello, 0, 0, text("20261123-085921.114472 vm smx/1:9f3c01a7"))) == Err::none);
  (void)b.write_all();
  Settings s;
  s.answered_nonce = 0x21d40e58;
  s.has_attempt = true;
  s.credit = 2048;
  s.channels = 3;
  CHECK(b.feed(packet(s)) == Err::none);
  CHECK(b.mux.dialect() == Dialect::v1);
  b.mux.verify();
  // Number 2 is the orphan's slot: it goes when there is no other.
  CHECK(b.open().slot < 2);
  CHECK(b.open().slot < 2);
  CHECK(b.mux.can_open());
  CHECK(b.open().slot == 2);
  CHECK(b.mux.orphans() == 0);
  b.mux.verify();
}

TEST_SUITE_END();
