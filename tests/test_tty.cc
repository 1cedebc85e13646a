// Serial lines without a line: settings as text, names of devices, and what a mux does on a link of a known rate, in virtual
// time. Rules: sockmux.conf(5), sockmux(7) "Order of sending". Read next: e2e/tty.cc.
#include <doctest/doctest.h>

#include <algorithm>

#include "config/serial.h"
#include "core/io/serial.h"
#include "tests/options.h"
#include "tests/sim/bench.h"
#include "transport/tty.h"

using namespace smx;
using namespace bench;

namespace {

using Parity = SerialSettings::Parity;

SerialSettings good(const char* words) {
  SerialSettings s;
  Text<240> why;
  CHECK_MESSAGE(parse_serial(words, &s, why), words, ": ", why.c_str());
  CHECK(s.given);
  return s;
}

std::string bad(const char* words) {
  SerialSettings s;
  Text<240> why;
  CHECK_FALSE(parse_serial(words, &s, why));
  return why.c_str();
}

MuxConfig config(MuxConfig::Proto proto, const char* host) {
  MuxConfig c;
  c.proto = proto;
  c.memory_bytes = 32u << 20;
  c.ping_interval = seconds(2);
  strcpy(c.host, host);
  return c;
}

// Two muxes and a line of `rate` bytes a second between them; what one writes waits in a driver that takes 48 bytes.
struct Wired {
  explicit Wired(MuxConfig::Proto proto, uint32_t bytes_a_second) : a(config(proto, "a")), b(config(proto, "b")), rate(bytes_a_second) {
    a.rate = b.rate = rate;
    a.is_line = b.is_line = true;
    a.up();
    b.up(hex("21d40e58 5a0f3c71b2e84d96a1c7085be43f9d20"), "20261123-085921.114471");
    b.accept_at_once = a.accept_at_once = true;
  }
  // 5 ms pass.
  Err step() {
    const Duration d = millis(5);
    Err e = a.wait(d);
    if (e == Err::none) e = b.wait(d);
    if (e == Err::none) e = carry(a, b, from_a);
    if (e == Err::none) e = carry(b, a, from_b);
    for (Bench* m : {&a, &b})
      if (m->mux.wants_write(m->opened)) (void)m->mux.drain(m->opened, m->now);
    return e;
  }
  Err run(Duration d) {
    for (const Time end = a.now + d; a.now < end;) {
      const Err e = step();
      if (e != Err::none) return e;
    }
    return Err::none;
  }
  Bench a, b;

 private:
  struct Way {
    Data driver;
    double allowed = 0;
  };
  Err carry(Bench& from, Bench& to, Way& way) {
    constexpr size_t kDriver = 48;
    way.allowed = std::min(way.allowed + rate * 0.005, 1 + rate * 0.005);
    while (way.driver.size() < kDriver) {
      const Data some = from.write(kDriver - way.driver.size());
      if (some.empty()) break;
      way.driver += some;
    }
    const size_t n = std::min(static_cast<size_t>(way.allowed), way.driver.size());
    way.allowed -= static_cast<double>(n);
    const Data out = way.driver.substr(0, n);
    way.driver.erase(0, n);
    return n > 0 ? to.feed(out) : Err::none;
  }
  uint32_t rate;
  Way from_a, from_b;
};

}  // namespace

TEST_SUITE_BEGIN("tty");

TEST_CASE("settings of a line: any order, each once, the rest as usual") {
  SerialSettings s;
  CHECK(s.speed == 115200);
  CHECK(s.parity == Parity::none);
  CHECK(s.stop_bits == 1);
  CHECK_FALSE(s.rtscts);
  CHECK_FALSE(s.modem);
  CHECK_FALSE(s.speed_given);
  s = good("115200,8n1,rtscts");
  CHECK(s.speed == 115200);
  CHECK(s.speed_given);
  CHECK(s.rtscts);
  s = good("modem,8E2,9600");
  CHECK(s.speed == 9600);
  CHECK(s.parity == Parity::even);
  CHECK(s.stop_bits == 2);
  CHECK(s.modem);
  CHECK(bits_of_a_byte(s) == 12);
  CHECK(bytes_a_second(s) == 800);
  s = good("8o1,none,local");
  CHECK(s.parity == Parity::odd);
  CHECK(s.speed == 115200);
  CHECK_FALSE(s.speed_given);
  CHECK(bytes_a_second(good("9600")) == 960);
  CHECK(bytes_a_second(good("50")) == 5);
  CHECK(good("4000000").speed == 4000000);
  Text<60> text;
  append_serial(text, good("rtscts,19200,8o2"));
  CHECK(text.text() == "19200 8o2 rtscts local");
}

TEST_CASE("settings of a line: what is wrong is said, and what was expected") {
  CHECK(bad("9601") == "'9601': no usual speed of a line; near are 9600 and 19200");
  CHECK(bad("0") == "'0': no usual speed of a line; near are 50 and 75");
  CHECK(bad("49") == "'49': no usual speed of a line; near are 50 and 75");
  CHECK(bad("5000000") == "'5000000': no usual speed of a line; near are 3500000 and 4000000");
  CHECK(bad("99999999999999999999") == "'99999999999999999999': no usual speed of a line; near are 3500000 and 4000000");
  CHECK(bad("7e1") == "'7e1': a link is binary and needs all 8 bits of a byte, as in 8n1");
  CHECK(bad("9n1") == "'9n1': expected 8 bits of data, as in 8n1");
  CHECK(bad("8m1") == "'8m1': expected parity n, e or o, as in 8n1");
  CHECK(bad("8n3") == "'8n3': expected 1 or 2 bits of stop, as in 8n1");
  CHECK(bad("xonxoff") == "'xonxoff': XON and XOFF are bytes of the link, too; rtscts or none");
  const std::string expected = "expected a speed as 9600, a format as 8n1, rtscts or none, local or modem";
  CHECK(bad("fast") == "'fast': " + expected);
  CHECK(bad("8n") == "'8n': " + expected);
  CHECK(bad("-9600") == "'-9600': " + expected);
  CHECK(bad("") == "an empty setting between commas; " + expected);
  CHECK(bad("9600,") == "an empty setting between commas; " + expected);
  CHECK(bad("9600,8n1,19200") == "'19200': the speed is there twice");
  CHECK(bad("8n1,8n1") == "'8n1': the format is there twice");
  CHECK(bad("rtscts,none") == "'none': flow control is there twice");
  CHECK(bad("local,modem") == "'modem': local or modem is there twice");
}

TEST_CASE("settings of a line, in SERVER=") {
  smx_test::Run run;
  run.parse({"SERVER=sockmux:comm@/dev/ttyUSB0,19200,8e1,rtscts,modem"});
  REQUIRE(run.good);
  REQUIRE(run.config.links.count == 1);
  const LinkSpec& l = run.config.links[0];
  CHECK(l.kind == LinkSpec::Kind::device);
  CHECK(l.path == "/dev/ttyUSB0");
  CHECK(l.path.data()[l.path.size()] == 0);
  CHECK(l.serial.speed == 19200);
  CHECK(l.serial.modem);
  for (const char* wrong : {"SERVER=sockmux:comm@/dev/ttyS0,", "SERVER=sockmux:comm@/dev/ttyS0,x", "SERVER=sockmux:comm@,9600", "SERVER=sockmux:comm@-,9600"}) {
    CAPTURE(std::string(wrong));
    smx_test::Run refused;
    refused.parse({wrong});
    CHECK_FALSE(refused.good);
    CHECK(refused.report.status() == 64);
  }
}

TEST_CASE("names of devices: DeleGate's com1 is the first line of the system") {
  Text<kDevicePath> path;
  REQUIRE(find_device("com1", &path));
#if defined(__linux__)
  CHECK(path.text() == "/dev/ttyS0");
  REQUIRE(find_device("COM2", &path));
  CHECK(path.text() == "/dev/ttyS1");
#endif
  REQUIRE(find_device("/dev/ttyUSB3", &path));
  CHECK(path.text() == "/dev/ttyUSB3");
  REQUIRE(find_device("here", &path));
  CHECK(path.c_str()[0] == '/');
  CHECK(smx_test::has(path.c_str(), "/here"));
  CHECK_FALSE(find_device(std::string(300, 'x'), &path));
  CHECK(speed_is_known(9600));
  CHECK_FALSE(speed_is_known(9601));
}

TEST_CASE("pace: 5 ms of line a turn, within bounds; nothing where the rate is unknown") {
  CHECK(pace_of(0).largest == kMaxPayload);
  CHECK(pace_of(0).patience == Duration{0});
  CHECK(pace_of(5).largest == 128);
  CHECK(pace_of(960).largest == 128);
  CHECK(pace_of(11520).largest == 128);
  CHECK(pace_of(400000).largest == 2000);
  CHECK(pace_of(100000000).largest == kMaxPayload);
  CHECK(pace_of(960).packet == 240);
  CHECK(pace_of(5).packet == 129);
  CHECK(pace_of(100000000).packet == kMaxPacket);
  for (const uint32_t rate : {5u, 30u, 960u, 11520u, 400000u, 100000000u}) {
    const Pace p = pace_of(rate);
    const size_t turn = kHeader + p.largest;
    // The page: at most 10 ms of line, or two turns.
    CHECK(p.unsent + turn <= std::max<size_t>(2 * turn, rate / 100 + 1));
    CHECK(p.patience.us >= static_cast<int64_t>(2 * turn * 1000000 / rate));
  }
}

TEST_CASE("pace: bulk fills neither packets nor the ring beyond a turn; a key press goes next") {
  for (const MuxConfig::Proto proto : {MuxConfig::Proto::v1, MuxConfig::Proto::v03}) {
    Wired w(proto, 960);
    REQUIRE(w.run(seconds(3)) == Err::none);
    REQUIRE(w.a.mux.up());
    const ChannelId bulk = w.a.open(Data(100000, 'b'));
    REQUIRE(w.run(seconds(3)) == Err::none);
    const ChannelId keys = w.a.open();
    REQUIRE(w.run(seconds(2)) == Err::none);
    size_t bytes = 0;
    // What is in the ring now: the rest of one packet, and at most one that was pulled.
    w.a.mux.gather(w.a.now);
    Bytes out[Mux::kTxPieces];
    const int pieces = w.a.mux.tx_pending(out);
    for (int i = 0; i < pieces; ++i) bytes += out[i].size;
    CHECK(bytes > 0);
    CHECK(bytes <= pace_of(960).unsent + kHeader + pace_of(960).largest);
    w.a.send(keys, "k");
    (void)bulk;
    const Time press = w.a.now;
    const ChannelId there = w.b.opened;
    while (w.b.at(there).in.empty() && w.a.now < press + seconds(3)) REQUIRE(w.step() == Err::none);
    CHECK(w.b.at(there).in == "k");
    CHECK(w.a.now - press < millis(300));
  }
}

TEST_CASE("a line that is busy both ways is never taken for dead, however slow") {
  for (const MuxConfig::Proto proto : {MuxConfig::Proto::v1, MuxConfig::Proto::v03}) {
    for (const uint32_t rate : {30u, 120u, 960u, 11520u}) {
      CAPTURE(rate);
      Wired w(proto, rate);
      REQUIRE(w.run(seconds(rate < 100 ? 30 : 5)) == Err::none);
      REQUIRE(w.a.mux.up());
      REQUIRE(w.b.mux.up());
      const Data bulk(rate * 60, 'x');
      const ChannelId to = w.a.open(bulk);
      const ChannelId back = w.b.open(bulk);
      (void)to;
      (void)back;
      CHECK(w.run(seconds(120)) == Err::none);
      CHECK(w.a.mux.up());
      // What the line could carry in that time is what the other side has, but for headers, credit and acknowledgements.
      const double share = static_cast<double>(w.b.at(w.b.opened).in.size()) / static_cast<double>(bulk.size());
      CHECK(share > 0.99);
      CHECK(w.b.at(w.b.opened).in == bulk.substr(0, w.b.at(w.b.opened).in.size()));
    }
  }
}

TEST_CASE("a packet that is long on a slow line is given its time, once") {
  const auto start = [](Bench& b, uint32_t rate) {
    b.rate = rate;
    b.up();
    REQUIRE(b.feed(packet(kVersion03, Type::hello, 0, 0, Data("20261123-085921.114471 vm") + '\0')) == Err::none);
    REQUIRE(b.feed(packet(kVersion03, Type::hellook, 0, 0, Data("20261123-085921.114471 vm") + '\0')) == Err::none);
    REQUIRE(b.mux.up());
    (void)b.write_all();
  };
  // 16 KiB at 150 bytes a second: 109 s, of which 60 are given, on top of 2 s until ECHO and 30 s for its answer.
  const Data whole = packet(kVersion03, static_cast<Type>(0x33), 1, 2, Data(16000, 'x'));
  const auto seconds_alive = [&](uint32_t rate) {
    Bench b(config(MuxConfig::Proto::v03, "a"));
    start(b, rate);
    int n = 0;
    for (; n < 200; ++n) {
      if (b.feed(whole.substr(static_cast<size_t>(n) * 80, 80)) != Err::none || b.wait(seconds(1)) != Err::none) break;
      (void)b.write_all();
    }
    return n;
  };
  CHECK(seconds_alive(0) < 40);
  const int slow = seconds_alive(150);
  CHECK(slow > 90);
  CHECK(slow < 110);
  CHECK(seconds_alive(960) > 45);
}

TEST_CASE("a line: HELLO is said each second until the peer's has come, and in answer to it") {
  for (const MuxConfig::Proto proto : {MuxConfig::Proto::automatic, MuxConfig::Proto::v03}) {
    Bench b(config(proto, "a"));
    b.is_line = true;
    b.up();
    CHECK(b.write_types() == "01");
    for (int i = 0; i < 5; ++i) {
      CHECK(b.wait(millis(1001)) == Err::none);
      CHECK(b.write_types() == "01");
    }
    CHECK(b.feed(packet(kVersion03, Type::hello, 0, 0, Data("20261123-085921.114471 vm") + '\0')) == Err::none);
    CHECK(b.write_types() == "01 41");
    // The same again is not answered by another HELLO, which would go on for ever.
    CHECK(b.feed(packet(kVersion03, Type::hello, 0, 0, Data("20261123-085921.114471 vm") + '\0')) == Err::none);
    CHECK(b.write_types() == "41");
    // Once more, in case that the peer has not had the first one; no more.
    CHECK(b.wait(seconds(5)) == Err::none);
    CHECK(b.write_types() == "01 41");
    CHECK(b.wait(seconds(5)) == Err::none);
    CHECK(b.write_types() == "");
  }
}

TEST_CASE("0.3 on a slow line: the packets that we ask for are short, and so is the data in CONNECT") {
  Bench b(config(MuxConfig::Proto::v03, "a"));
  b.rate = 960;
  b.up();
  (void)b.write_all();
  REQUIRE(b.feed(packet(kVersion03, Type::hello, 0, 0, Data("20261123-085921.114471 vm") + '\0')) == Err::none);
  REQUIRE(b.feed(packet(kVersion03, Type::hellook, 0, 0, Data("20261123-085921.114471 vm") + '\0')) == Err::none);
  std::string size;
  for (const Packet& p : split(b.write_all()))
    if (p.is(Type::setopt) && p.payload[0] == kOptPackSize) size = to_hex(p.payload);
  CHECK(size == "0300f0");
  REQUIRE(b.feed(packet(kVersion03, Type::setopt, 0xff, 0xff, Data("\2\1\0", 3))) == Err::none);
  (void)b.open(Data(1000, 'x'));
  for (const Packet& p : split(b.write_all())) {
    if (!p.is(Type::connect)) continue;
    CHECK(p.payload.size() - p.payload.find('\0') - 1 <= 128);
  }
}
