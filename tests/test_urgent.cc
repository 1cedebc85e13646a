// Urgent data in the mux: SENDOOB at its place in the stream, in both dialects. Rules: sockmux(7), "Urgent data".
// Read next: e2e/urgent.cc, with real sockets.
#include <doctest/doctest.h>

#include "tests/sim/bench.h"

using namespace smx;
using namespace bench;

namespace {

Data text(const char* s) { return Data(s) + '\0'; }

// In what is to be sent '!' is urgent; in what has come, an urgent byte stands in brackets.
struct Urgent : Bench {
  explicit Urgent(const MuxConfig& c, bool v1) : Bench(c), v1_(v1) {
    up(hex("21d40e58 5a0f3c71b2e84d96a1c7085be43f9d20"));
    if (v1) {
      CHECK(feed(packet(kVersion03, Type::hello, kNone, kNone, text("20261123-085921.086940 r1 smx/1:9f3c01a7"))) == Err::none);
      Settings s;
      s.answered_nonce = 0x21d40e58;
      s.credit = 2048;
      s.channels = 100;
      s.has_attempt = true;
      (void)write_all();
      CHECK(feed(packet(s)) == Err::none);
    } else {
      CHECK(feed(packet(kVersion03, Type::hello, 0, 0, text("20261123-085921.114471 vm"))) == Err::none);
      for (int i = 0; i < 2; ++i) CHECK(feed(packet(kVersion03, Type::hellook, 0, 0, text("20261123-085921.114471 vm"))) == Err::none);
      CHECK(feed(packet(kVersion03, Type::setopt, 0xff, 0xff, Data("\3\x40\0", 3))) == Err::none);
    }
    REQUIRE(mux.up());
    (void)write_all();
  }
  // The peer's channel 3, accepted here.
  ChannelId accepted() {
    const Data connect = v1_ ? packet(kNumbered, Type::connect, 3, kNone, hex("01 0107 04c0a80114c3d6 0207 04c0a80101233f"))
                             : packet(kVersion03, Type::connect, 3, 0xff, text("98304 127.0.0.1:50114 127.0.0.1:9023"));
    CHECK(feed(connect) == Err::none);
    mux.accept(opened, now);
    (void)write_all();
    return opened;
  }
  Err comes(Type t, const Data& payload) {
    return feed(v1_ ? packet(kNumbered, t, 3, kNone, payload) : packet(kVersion03, t, 3, opened.slot, payload));
  }
  // The packets with data that go out now: "06:ab 07:! 06:c".
  std::string data_out() {
    std::string s;
    for (const Packet& p : split(write_all()))
      if (p.is(Type::send) || p.is(Type::sendoob)) s += (s.empty() ? "" : " ") + to_hex(Data(1, static_cast<char>(p.h.type))) + ':' + p.payload;
    return s;
  }

  Taken on_urgent(ChannelId id, uint8_t byte) override {
    Local& l = at(id);
    Taken t;
    if (l.takes == 0) return t;
    if (l.takes != SIZE_MAX) --l.takes;
    l.in += Data("[") + static_cast<char>(byte) + ']';
    t.size = 1;
    return t;
  }
  Pulled on_pull(ChannelId id, const MutBytes* piece, int pieces) override {
    Local& l = at(id);
    if (l.out.empty()) return Bench::on_pull(id, piece, pieces);
    const bool urgent = l.out[0] == '!';
    const size_t n = urgent ? 1 : std::min(l.out.find('!'), l.out.size());
    const Data rest = l.out.substr(n);
    l.out.resize(n);
    Pulled p = Bench::on_pull(id, piece, pieces);
    l.out += rest;
    p.urgent = urgent;
    if (!rest.empty()) p.state = Pulled::State::more;
    return p;
  }

 private:
  bool v1_;
};

MuxConfig config() {
  MuxConfig c;
  c.first_credit = 4096;
  c.memory_bytes = 32u << 20;
  strcpy(c.host, "hub");
  return c;
}

}  // namespace

TEST_SUITE_BEGIN("mux");

TEST_CASE("urgent data: one SENDOOB at its place in the stream, each way, and one byte of credit") {
  for (const bool v1 : {true, false}) {
    CAPTURE(v1);
    Urgent b(config(), v1);
    const ChannelId id = b.accepted();
    b.send(id, "ab!c!!");
    CHECK(b.data_out() == "06:ab 07:! 06:c 07:! 07:!");
    CHECK(b.comes(Type::send, "ab") == Err::none);
    CHECK(b.comes(Type::sendoob, "!") == Err::none);
    CHECK(b.comes(Type::send, "c") == Err::none);
    CHECK(b.at(id).in == "ab[!]c");
  }
  Urgent b(config(), true);
  (void)b.accepted();
  CHECK(b.comes(Type::send, Data(4095, 'x')) == Err::none);
  CHECK(b.comes(Type::sendoob, "!") == Err::none);
  Urgent over(config(), true);
  const ChannelId id = over.accepted();
  over.at(id).takes = 0;
  const uint32_t window = 64 * 1024;  // while memory is plenty
  for (uint32_t sent = 0; sent < window; sent += 4096) REQUIRE(over.comes(Type::send, Data(4096, 'x')) == Err::none);
  CHECK(over.comes(Type::sendoob, "!") == Err::credit_overrun);
}

TEST_CASE("urgent data: our sender stops for them when the credit is used up") {
  Urgent b(config(), true);
  const ChannelId id = b.accepted();
  b.send(id, Data(2048, 'x') + "!y");
  CHECK(b.data_out() == "06:" + Data(2048, 'x'));
  CHECK(b.feed(packet(kNumbered, Type::credit, 3, kNone, be32(1))) == Err::none);
  CHECK(b.data_out() == "07:!");
  CHECK(b.feed(packet(kNumbered, Type::credit, 3, kNone, be32(5))) == Err::none);
  CHECK(b.data_out() == "06:y");
}

TEST_CASE("urgent data: behind what a slow socket has not taken; a second one makes the first ordinary") {
  for (const bool v1 : {true, false}) {
    CAPTURE(v1);
    Urgent b(config(), v1);
    const ChannelId id = b.accepted();
    Local& l = b.at(id);
    l.takes = 1;
    CHECK(b.comes(Type::send, "abc") == Err::none);
    CHECK(b.comes(Type::sendoob, "1") == Err::none);
    CHECK(b.comes(Type::send, "d") == Err::none);
    CHECK(l.in == "a");
    l.takes = 1;
    CHECK(b.mux.drain(id, b.now));
    CHECK(l.in == "ab");
    CHECK(b.comes(Type::sendoob, "2") == Err::none);
    CHECK(b.comes(Type::send, "e") == Err::none);
    for (const char* now : {"abc", "abc1", "abc1d", "abc1d[2]", "abc1d[2]e"}) {
      CHECK(b.mux.wants_write(id));
      l.takes = 1;
      CHECK(b.mux.drain(id, b.now));
      CHECK(l.in == now);
    }
    CHECK_FALSE(b.mux.wants_write(id));
    // The mark is gone with its byte.
    l.takes = 0;
    CHECK(b.comes(Type::send, "fg") == Err::none);
    l.takes = SIZE_MAX;
    CHECK(b.mux.drain(id, b.now));
    CHECK(l.in == "abc1d[2]efg");
    // It waits alone.
    l.takes = 0;
    CHECK(b.comes(Type::sendoob, "3") == Err::none);
    CHECK(b.mux.drain(id, b.now));
    l.takes = SIZE_MAX;
    CHECK(b.mux.drain(id, b.now));
    CHECK(l.in == "abc1d[2]efg[3]");
  }
}

TEST_CASE("urgent data: they wait for a server that is still being connected") {
  for (const bool v1 : {true, false}) {
    CAPTURE(v1);
    Urgent b(config(), v1);
    const Data connect = v1 ? packet(kNumbered, Type::connect, 3, kNone, hex("01 0107 04c0a80114c3d6 0207 04c0a80101233f"))
                            : packet(kVersion03, Type::connect, 3, 0xff, text("98304 127.0.0.1:50114 127.0.0.1:9023") + "ab");
    CHECK(b.feed(connect) == Err::none);
    if (!v1) b.mux.accept(b.opened, b.now);  // 0.3: nobody sends before CONNECTED
    b.at(b.opened).takes = 0;
    if (v1) CHECK(b.comes(Type::send, "ab") == Err::none);
    CHECK(b.comes(Type::sendoob, "!") == Err::none);
    b.mux.accept(b.opened, b.now);
    b.at(b.opened).takes = SIZE_MAX;
    CHECK(b.mux.drain(b.opened, b.now));
    CHECK(b.mux.drain(b.opened, b.now));
    CHECK(b.at(b.opened).in == "ab[!]");
  }
}

TEST_CASE("urgent data: a channel that ends with one in its queue is free of it in its next life") {
  Urgent b(config(), true);
  const ChannelId id = b.accepted();
  b.at(id).takes = 0;
  CHECK(b.comes(Type::send, "abc") == Err::none);
  CHECK(b.comes(Type::sendoob, "!") == Err::none);
  CHECK(b.comes(Type::close, Data(1, '\1')) == Err::none);
  (void)b.write_all();
  const ChannelId next = b.accepted();
  b.at(next).takes = 0;
  CHECK(b.comes(Type::send, "abcdefg") == Err::none);
  b.at(next).takes = SIZE_MAX;
  CHECK(b.mux.drain(next, b.now));
  CHECK(b.at(next).in == "abcdefg");
}

TEST_CASE("0.3: of several urgent bytes in one packet the last is the urgent one, and SENTOOB counts all of them") {
  Urgent b(config(), false);
  const ChannelId id = b.accepted();
  CHECK(b.comes(Type::sendoob, "ab!") == Err::none);
  CHECK(b.at(id).in == "ab[!]");
  CHECK(b.write_types() == "47");
  CHECK(b.comes(Type::sendoob, "") == Err::none);
  CHECK(b.write_all().empty());
  // As many as may wait.
  b.at(id).takes = 0;
  for (int i = 0; i < 5; ++i) CHECK(b.comes(Type::sendoob, Data(16376, 'x')) == Err::none);
  b.at(id).takes = 1;
  CHECK(b.mux.drain(id, b.now));
  CHECK(to_hex(b.write_all()) == to_hex(packet(kVersion03, Type::sentoob, id.slot, 3, text("1"))));
  b.at(id).takes = SIZE_MAX;
  while (b.mux.wants_write(id)) CHECK(b.mux.drain(id, b.now));
  unsigned told = 0;
  for (const Packet& p : split(b.write_all())) {
    CHECK(p.is(Type::sentoob));
    told += static_cast<unsigned>(atoi(p.payload.c_str()));
  }
  CHECK(told == 5 * 16376 - 1);
}

TEST_SUITE_END();
