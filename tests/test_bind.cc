// core/mux: BIND, on both sides, byte by byte, and CONNECT's fields 04 and 85. Rules: sockmux(7), "BIND".
// Read next: test_mux.cc.
#include <doctest/doctest.h>

#include "tests/sim/bench.h"

using namespace smx;
using namespace bench;

namespace {

constexpr unsigned kNo = 0xffff;

// A mux that is up with a peer that takes channels 0..999; BINDs of the peer are noted, and refused or not.
struct Side : Bench {
  Side() : Bench(config()) {
    up(hex("21d40e58 5a0f3c71b2e84d96a1c7085be43f9d20"), "20261123-085921.114471");
    CHECK(feed(hex("0301ffffffff0029 32303236313132332d3038353932312e30383639343020723120736d782f313a396633633031613700")) == Err::none);
    (void)write_all();
    CHECK(feed(hex("1010ffffffff003c 21d40e58 0110 00000000000000000000000000000000 0208 0000000000000000 0308 c4a1f05b00000001"
                   "0404 00000800 0502 03e8 0602 003c 0702 7231")) == Err::none);
    CHECK(feed(packet(kUnnumbered, Type::echo, kNo, kNo, be64(0))) == Err::none);
    (void)write_all();
    CHECK(take_log() == "up ");
  }
  static MuxConfig config() {
    MuxConfig c;
    strcpy(c.host, "hub");
    return c;
  }
  bool on_bind(ChannelId id, const OpenInfo& info) override {
    log += "bind ";
    opened = id;
    open_info = info;
    locals[id.slot] = Local{};
    return allows;
  }
  void on_bound(ChannelId id, const Address& at) override {
    (void)id;
    log += "bound ";
    bound_at = at;
  }
  ChannelId ask(const char* where, uint16_t control) {
    const ChannelId id = mux.open_bind(now);
    Local& l = locals[id.slot];
    l = Local{};
    CHECK(parse_ip_port(where, &l.info.local));
    l.info.control = control;
    return id;
  }
  bool allows = true;
  Address bound_at;
};

Data numbered(Type t, unsigned said, unsigned raid, const Data& payload = "") { return packet(kNumbered, t, said, raid, payload); }
Data close(unsigned said, unsigned raid, unsigned code) { return numbered(Type::close, said, raid, Data(1, static_cast<char>(code))); }
const Data kHere = hex("0207 04c0a801010000");
const Data kOk = hex("0207 04c0a801011f91");  // 192.168.1.1:8081

std::string shown(const Address& a) {
  Text<kAddressText> t;
  append_address(t, a);
  return std::string(t.text());
}

}  // namespace

TEST_SUITE_BEGIN("bind");

TEST_CASE("BIND: sockmux(7), example 8: asked for, listened for, a client comes, the port closes") {
  const std::vector<Data> cs = manual(8, 'C'), as = manual(8, 'A');
  REQUIRE(cs.size() == 3);
  REQUIRE(as.size() == 2);
  Side a;  // the one that asks
  CHECK(a.mux.can_bind());
  (void)a.open(), (void)a.open(), (void)a.write_all();  // 0 and 1
  const ChannelId id = a.ask("192.168.1.1:0", 5);
  CHECK(id.slot == 2);
  CHECK(to_hex(a.write_all()) == to_hex(as[0]));
  CHECK(a.feed(cs[0]) == Err::none);
  CHECK(a.take_log() == "bound ");
  CHECK(shown(a.bound_at) == "192.168.1.1:40001");
  CHECK(a.feed(cs[1]) == Err::none);
  CHECK(a.take_log() == "open ");
  CHECK(a.open_info.bind == 2);
  ChannelId found;
  CHECK(a.mux.find_mine(2, &found));
  CHECK(a.mux.is_bind(found));
  CHECK(a.feed(cs[2]) == Err::none);
  CHECK(a.take_log() == "abort ");
  CHECK(a.code == CloseCode::done);
  CHECK(to_hex(a.write_all()) == to_hex(as[1]));
  CHECK(!a.mux.find_mine(2, &found));
  // The number is free again.
  CHECK(a.mux.open_bind(a.now).slot == 2);
}

TEST_CASE("BIND: the peer asks, and we listen") {
  Side s;
  CHECK(s.feed(numbered(Type::bind, 9, kNo, hex("01") + kHere + hex("8602 0003"))) == Err::none);
  CHECK(s.take_log() == "bind ");
  CHECK(shown(s.open_info.local) == "192.168.1.1:0");
  CHECK(s.open_info.control == 3);
  CHECK(s.write_all().empty());
  CHECK(s.mux.number_of(s.opened) == 9);
  CHECK(parse_ip_port("192.168.1.1:8081", &s.at(s.opened).info.local));
  s.mux.bound(s.opened);
  CHECK(to_hex(s.write_all()) == to_hex(numbered(Type::bindok, kNo, 9, kOk)));
  // Nothing is read or written for it, whatever anybody says.
  s.mux.local_readable(s.opened);
  CHECK(!s.mux.wants_read(s.opened));
  CHECK(!s.mux.wants_write(s.opened));
  CHECK(s.mux.drain(s.opened, s.now));
  CHECK(s.write_all().empty());
  SUBCASE("we close it") {
    s.mux.abort(s.opened, CloseCode::idle);
    CHECK(to_hex(s.write_all()) == to_hex(close(kNo, 9, 8)));
    CHECK(s.feed(close(9, kNo, 8)) == Err::none);
  }
  SUBCASE("the peer closes it, with any code") {
    CHECK(s.feed(close(9, kNo, 0)) == Err::none);
    CHECK(s.take_log() == "abort ");
    CHECK(to_hex(s.write_all()) == to_hex(close(kNo, 9, 0)));
  }
  SUBCASE("both at once") {
    s.mux.abort(s.opened, CloseCode::idle);
    (void)s.write_all();
    CHECK(s.feed(close(9, kNo, 0)) == Err::none);
    CHECK(s.take_log().empty());
  }
  CHECK(s.mux.channels() == 0);
  CHECK(s.feed(numbered(Type::bind, 9, kNo, hex("01") + kHere)) == Err::none);
}

TEST_CASE("BIND: forbidden, unless somebody allows it; unknown kinds and fields are unsupported") {
  Side s;
  s.allows = false;
  CHECK(s.feed(numbered(Type::bind, 0, kNo, hex("01") + kHere)) == Err::none);
  CHECK(to_hex(s.write_all()) == to_hex(close(kNo, 0, 5)));
  CHECK(s.feed(close(0, kNo, 5)) == Err::none);
  s.allows = true;
  (void)s.take_log();
  CHECK(s.feed(numbered(Type::bind, 1, kNo, hex("03") + kHere)) == Err::none);
  CHECK(s.feed(numbered(Type::bind, 2, kNo, hex("01") + kHere + hex("9001 00"))) == Err::none);
  CHECK(to_hex(s.write_all()) == to_hex(close(kNo, 1, 10) + close(kNo, 2, 10)));
  CHECK(s.take_log().empty());
  CHECK(s.feed(numbered(Type::bind, 3, kNo, hex("01") + kHere + hex("7001 00"))) == Err::none);  // below 80: skipped
  CHECK(s.take_log() == "bind ");
  s.mux.refuse(s.opened, CloseCode::limit);
  CHECK(to_hex(s.write_all()) == to_hex(close(kNo, 3, 6)));
  CHECK(s.mux.stats().refused == 4);
  // Datagrams for everybody, but not for an FTP client.
  CHECK(s.feed(numbered(Type::bind, 4, kNo, hex("02") + kHere)) == Err::none);
  CHECK(s.take_log() == "bind ");
  CHECK(s.open_info.udp);
  CHECK(s.feed(numbered(Type::bind, 5, kNo, hex("02") + kHere + hex("8602 0003"))) == Err::none);
  CHECK(to_hex(s.write_all()) == to_hex(close(kNo, 5, 10)));
  CHECK(s.take_log().empty());
}

TEST_CASE("BIND: what is malformed, or comes in the wrong state, is the peer's error") {
  const Data bind = numbered(Type::bind, 0, kNo, hex("01") + kHere);
  const std::vector<Data> bad = {
      numbered(Type::bind, 0, kNo, hex("01")),
      numbered(Type::bind, 0, kNo, hex("01") + kHere + kHere),
      numbered(Type::bind, 0, kNo, hex("01 0207 04c0a8010100")),
      numbered(Type::bind, 0, kNo, hex("01 0203 04c0a8")),
      numbered(Type::bind, 0, kNo, hex("01") + kHere + hex("8601 00")),
      numbered(Type::bind, 0, kNo, hex("01") + kHere + hex("8602 ffff")),
      numbered(Type::bind, 0, kNo, hex("01") + kHere + hex("8602 0001 8602 0001")),
      numbered(Type::bind, 1000, kNo, hex("01") + kHere),
      bind + bind,
      bind + numbered(Type::send, 0, kNo, "x"),
      bind + numbered(Type::fin, 0, kNo),
      bind + numbered(Type::credit, 0, kNo, be32(1)),
      bind + numbered(Type::refund, 0, kNo, be32(1)),
      bind + numbered(Type::connected, kNo, 0),
      bind + numbered(Type::bindok, kNo, 0, kOk),
      numbered(Type::bindok, kNo, 0, kOk),
      bind + close(0, kNo, 0) + close(0, kNo, 0),
      numbered(Type::connect, 0, kNo, hex("01") + kHere + hex("0401 00")),
      numbered(Type::connect, 0, kNo, hex("01") + kHere + hex("0402 ffff")),
      numbered(Type::connect, 0, kNo, hex("01") + kHere + hex("8503 000000")),
      numbered(Type::connect, 0, kNo, hex("01") + kHere + hex("8504 ffff1f90")),
      numbered(Type::connect, 0, kNo, hex("01") + kHere + hex("8504 00010000")),
      numbered(Type::connect, 0, kNo, hex("01") + kHere + hex("8504 00011f90 8504 00011f90")),
      numbered(Type::connect, 0, kNo, hex("01") + kHere + hex("0402 0001 8504 00011f90")),
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    CAPTURE(i);
    Side s;
    CHECK(s.feed(bad[i]) != Err::none);
  }
}

TEST_CASE("BIND of ours: only BINDOK with an address and a port, once, and CLOSE") {
  const std::vector<Data> bad = {
      numbered(Type::bindok, kNo, 0, ""),
      numbered(Type::bindok, kNo, 0, hex("0202 0041")),
      numbered(Type::bindok, kNo, 0, kHere),  // port 0
      numbered(Type::bindok, kNo, 0, kOk + kOk),
      numbered(Type::bindok, kNo, 0, kOk + hex("9000")),
      numbered(Type::bindok, kNo, 0, kOk) + numbered(Type::bindok, kNo, 0, kOk),
      numbered(Type::connected, kNo, 0),
      numbered(Type::send, kNo, 0, "x"),
      numbered(Type::credit, kNo, 0, be32(1)),
      numbered(Type::bindok, kNo, 1, kOk),
      close(kNo, 0, 5) + numbered(Type::bindok, kNo, 0, kOk),
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    CAPTURE(i);
    Side s;
    (void)s.ask("192.168.1.1:0", 5);
    (void)s.write_all();
    CHECK(s.feed(bad[i]) != Err::none);
  }
  // An answer to what has not gone out yet.
  Side early;
  (void)early.ask("192.168.1.1:0", 5);
  CHECK(early.feed(numbered(Type::bindok, kNo, 0, kOk)) == Err::bad_state);
}

TEST_CASE("BIND of ours: refused; given up before the answer, or before it went out; IPv6") {
  Side s;
  ChannelId id = s.ask("192.168.1.1:0", 5);
  (void)s.write_all();
  CHECK(s.feed(close(kNo, 0, 5)) == Err::none);
  CHECK(s.take_log() == "abort ");
  CHECK(s.code == CloseCode::forbidden);
  CHECK(to_hex(s.write_all()) == to_hex(close(0, kNo, 5)));
  id = s.ask("192.168.1.1:0", 5);
  s.mux.abort(id, CloseCode::done);
  CHECK(s.write_all().empty());
  CHECK(s.mux.channels() == 0);
  id = s.ask("192.168.1.1:53", 0xffff);
  s.at(id).info.udp = true;
  CHECK(to_hex(s.write_all()) == "110400" "00ffff000a" "02" "0207" "04c0a801010035");
  s.mux.abort(id, CloseCode::done);
  CHECK(to_hex(s.write_all()) == to_hex(close(0, kNo, 0)));
  CHECK(s.feed(close(kNo, 0, 0)) == Err::none);
  id = s.ask("[2001:db8::1]:0", 5);
  CHECK(to_hex(s.write_all()) == "11040000ffff001a" "01" "0213" "0620010db8000000000000000000000001" "0000" "8602" "0005");
  s.mux.abort(id, CloseCode::done);
  CHECK(to_hex(s.write_all()) == to_hex(close(0, kNo, 0)));
  CHECK(s.feed(numbered(Type::bindok, kNo, 0, kOk)) == Err::none);  // had been under way
  CHECK(s.take_log().empty());
  CHECK(s.feed(close(kNo, 0, 0)) == Err::none);
  CHECK(s.mux.channels() == 0);
}

TEST_CASE("BIND ends with its session; with 0.3 there is none") {
  Side s;
  (void)s.ask("192.168.1.1:0", 5);
  CHECK(s.feed(numbered(Type::bind, 0, kNo, hex("01") + kHere)) == Err::none);
  (void)s.take_log();
  s.mux.link_down(s.now);
  s.mux.verify();
  CHECK(s.take_log() == "abort abort ");
  CHECK(s.mux.channels() == 0);
  Bench old(Side::config());
  old.up();
  CHECK(old.feed(packet(kVersion03, Type::hello, 0, 0, Data("20261123-085921.114471 vm\0", 26))) == Err::none);
  CHECK(!old.mux.can_bind());
}

TEST_CASE("CONNECT to the client of a channel: field 85") {
  Side s;
  CHECK(s.feed(numbered(Type::connect, 0, kNo, hex("01") + kHere + hex("8504 00031f90"))) == Err::none);
  CHECK(s.take_log() == "open ");
  CHECK(s.open_info.control == 3);
  CHECK(s.open_info.client_port == 8080);
  const ChannelId id = s.open();
  s.at(id).info = s.open_info;
  CHECK(to_hex(s.write_all()).find(to_hex(hex("01") + kHere + hex("8504 00031f90"))) != std::string::npos);
  // FTP has no datagrams.
  CHECK(s.feed(numbered(Type::connect, 1, kNo, hex("02") + kHere + hex("8504 00031f90"))) == Err::none);
  CHECK(to_hex(s.write_all()) == to_hex(close(kNo, 1, 10)));
  CHECK(s.take_log().empty());
}

TEST_SUITE_END();
