// Sessions that were recorded between two DeleGates: every packet is understood, and the mux in the place of either side
// answers with the same packets in the same order. Data: tests/data/captures. Read next: core/mux/mux_v03.cc.
#include <doctest/doctest.h>
#include <stdio.h>
#include <stdlib.h>

#include <fstream>

#include "tests/sim/bench.h"

using namespace smx;
using namespace bench;

namespace {

struct Line {
  bool from_c = false;
  Data bytes;    // header, and the payload as far as it was recorded
  Packet packet;
  bool whole = true;
};

std::vector<Line> load(const std::string& name) {
  const char* folder = getenv("SMX_TEST_DATA");
  std::ifstream file(std::string(folder != nullptr ? folder : "tests/data") + "/captures/" + name);
  std::vector<Line> out;
  std::string text;
  while (std::getline(file, text)) {
    if (text.empty() || text[0] == '#') continue;
    Line l;
    const size_t colon = text.find(" : ");
    l.from_c = text.find("C>A") != std::string::npos;
    l.bytes = hex(text.substr(colon + 3));
    l.packet.h = decode_header(reinterpret_cast<const uint8_t*>(l.bytes.data()));
    l.packet.payload = l.bytes.substr(kHeader);
    l.whole = l.packet.payload.size() == l.packet.h.length;
    out.push_back(l);
  }
  return out;
}

MuxConfig like_delegate() {
  MuxConfig c;
  c.proto = MuxConfig::Proto::v03;
  c.memory_bytes = 32u << 20;
  c.linger = millis(50);
  strcpy(c.host, "vm");
  return c;
}

Bytes bytes_of(const Data& d) { return {reinterpret_cast<const uint8_t*>(d.data()), d.size()}; }

// Plays one side of a capture: the mux gets what the other side said, and must say what this side said.
struct Replay {
  Bench b;
  Data said;  // written by the mux and not compared yet
  unsigned our_id = 0, recorded_id = 0xffff;  // of the one channel
  ChannelId id;
  unsigned peer_id = 0xff;

  Replay() : b(like_delegate()) {}

  void hear(Line l) {
    uint8_t* raw = reinterpret_cast<uint8_t*>(&l.bytes[0]);
    if (l.packet.h.raid == recorded_id) store16(raw + 4, static_cast<uint16_t>(our_id));
    if (l.packet.is(Type::connect) || l.packet.is(Type::connected)) peer_id = l.packet.h.said;
    l.bytes.resize(kHeader + l.packet.h.length, 'x');
    CHECK(b.feed(l.bytes) == Err::none);
    said += b.write_all();
  }
  static void parse(const Line& l, OpenInfo* info) {
    size_t used = 0;
    CHECK(parse_connect_text(bytes_of(l.packet.payload), &info->client, &info->local, &used) == Err::none);
  }
  void expect(const Line& l) {
    const Type type = static_cast<Type>(l.packet.h.type);
    if (type == Type::connect) {
      const Data text(l.packet.payload.c_str());
      id = b.open(l.packet.payload.substr(text.size() + 1));
      parse(l, &b.at(id).info);
      our_id = id.slot;
      recorded_id = l.packet.h.said;
    }
    if (type == Type::close) {
      b.send(id, "", true);
      said += b.write_all();
      CHECK(b.wait(millis(50)) == Err::none);
    }
    said += b.write_all();
    REQUIRE(said.size() >= kHeader);
    Packet p;
    p.h = decode_header(reinterpret_cast<const uint8_t*>(said.data()));
    REQUIRE(said.size() >= kHeader + p.h.length);
    p.payload = said.substr(kHeader, p.h.length);
    said.erase(0, kHeader + p.h.length);
    CHECK(p.h.version == kVersion03);
    CHECK(p.h.type == l.packet.h.type);
    CHECK(p.h.length == l.packet.h.length);
    CHECK(to_hex(p.payload) == to_hex(l.packet.payload));
    if (type == Type::hello || type == Type::hellook) return;  // its ids are garbage
    const bool channel = l.packet.h.said != kNone03 || l.packet.h.raid != kNone03;
    CHECK(p.h.said == (channel ? our_id : kNone03));
    CHECK(p.h.raid == (l.packet.h.raid == kNone03 ? kNone03 : peer_id));
  }
};

void replay(const std::string& name, bool as_c, size_t lines) {
  const std::vector<Line> capture = load(name);
  REQUIRE(capture.size() >= lines);
  Replay r;
  std::string stamp;
  for (const Line& l : capture)
    if (l.from_c == as_c && l.packet.is(Type::hello)) stamp = l.packet.payload.substr(0, 22);
  r.b.up(hex("00"), stamp.c_str());
  for (size_t i = 0; i < lines; ++i) {
    const Line& l = capture[i];
    CAPTURE(i);
    if (l.from_c != as_c) {
      r.hear(l);
      continue;
    }
    r.expect(l);
  }
  CHECK(r.said.empty());
}

}  // namespace

TEST_SUITE_BEGIN("captures");

TEST_CASE("captures: every recorded packet is within the limits of 0.3, and its texts are understood") {
  for (const char* name : {"tcp-one-channel.txt", "udp-one-flow.txt"}) {
    const std::vector<Line> capture = load(name);
    REQUIRE(capture.size() >= 16);
    for (const Line& l : capture) {
      CAPTURE(name);
      CAPTURE(to_hex(l.bytes));
      bool known = false;
      CHECK(check_header(l.packet.h, Dialect::v03, &known) == Err::none);
      CHECK(known);
      uint8_t again[kHeader];
      encode_header(l.packet.h, again);
      CHECK(memcmp(again, l.bytes.data(), kHeader) == 0);
      if (l.packet.is(Type::hello)) CHECK(!parse_hello_word(bytes_of(l.packet.payload)).present);
      if (l.packet.is(Type::connect) || l.packet.is(Type::connected)) {
        Address a, b;
        size_t used = 0;
        CHECK(parse_connect_text(bytes_of(l.packet.payload), &a, &b, &used) == Err::none);
        CHECK(a.family == 4);
        CHECK(b.port > 0);
        uint8_t text[128];
        CHECK(make_connect_text(a, b, text) == used);
        CHECK(memcmp(text, l.packet.payload.data(), used) == 0);
      }
      if (l.packet.is(Type::sent)) {
        uint32_t count = 0;
        CHECK(parse_count(bytes_of(l.packet.payload), &count) == Err::none);
        CHECK(count > 0);
      }
    }
  }
}

TEST_CASE("captures: in the place of the connecting DeleGate the mux says the same") { replay("tcp-one-channel.txt", true, 16); }

TEST_CASE("captures: in the place of the accepting DeleGate the mux says the same") {
  const std::vector<Line> capture = load("tcp-one-channel.txt");
  REQUIRE(capture.size() == 16);
  Replay r;
  r.b.up(hex("00"), "20261123-085921.114471");
  for (const Line& l : capture) {
    CAPTURE(to_hex(l.bytes));
    if (!l.from_c) {
      r.expect(l);
      continue;
    }
    if (!l.packet.is(Type::connect)) {
      r.hear(l);
      continue;
    }
    CHECK(r.b.feed(l.bytes) == Err::none);
    r.peer_id = l.packet.h.said;
    r.id = r.b.opened;
    Address local;
    CHECK(parse_ip_port("127.0.0.1:9023", &local));
    CHECK(r.b.open_info.local == local);
    OpenInfo& info = r.b.at(r.id).info;
    CHECK(parse_ip_port("127.0.0.1:7007", &info.client));
    CHECK(parse_ip_port("127.0.0.1:53908", &info.local));
    r.b.mux.accept(r.id, r.b.now);
    r.our_id = r.id.slot;
    r.recorded_id = 2;
    CHECK(r.b.mux.wants_write(r.id));
    CHECK(r.b.mux.drain(r.id, r.b.now));
    CHECK(r.b.at(r.id).in == "hello");
    r.said += r.b.write_all();
    r.b.send(r.id, r.b.at(r.id).in);  // an echo server
  }
  CHECK(r.said.empty());
  CHECK(r.b.take_log() == "up open end done ");
  CHECK(r.b.mux.channels() == 0);
}

TEST_CASE("captures: the handshake of the datagram session, on both sides") {
  replay("udp-one-flow.txt", true, 10);
  replay("udp-one-flow.txt", false, 10);
}

TEST_SUITE_END();
