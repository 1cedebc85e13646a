// core/base: texts of addresses, bounded texts, bytes and their cursor, the arena, times.
// Rules: the headers of core/base. Read next: test_mux.cc.
#include <doctest/doctest.h>
#include <stdint.h>
#include <string.h>

#include <string>

#include "core/base/address.h"
#include "core/base/arena.h"
#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/base/result.h"
#include "core/base/text.h"

using namespace smx;

namespace {

// The address that `text` means, written out again; "refused" if it means none.
std::string ip(std::string_view text) {
  Address a;
  if (!parse_ip(text, &a)) return "refused";
  Text<kAddressText> out;
  append_ip(out, a);
  return std::string(out.text());
}

std::string ip_port(std::string_view text) {
  Address a;
  if (!parse_ip_port(text, &a)) return "refused";
  Text<kAddressText> out;
  append_address(out, a);
  return std::string(out.text());
}

std::string delegate(std::string_view text) {
  Address a;
  if (!parse_ip_port(text, &a)) return "refused";
  Text<kAddressText> out;
  append_delegate(out, a);
  return std::string(out.text());
}

}  // namespace

TEST_SUITE_BEGIN("base");

TEST_CASE("address: IPv4 is four decimal octets and nothing else") {
  CHECK(ip("127.0.0.1") == "127.0.0.1");
  CHECK(ip("0.0.0.0") == "0.0.0.0");
  CHECK(ip("255.255.255.255") == "255.255.255.255");
  for (const char* bad : {"", ".", "1", "1.2", "1.2.3", "1.2.3.", ".1.2.3", "1.2.3.4.", "1.2.3.4.5", "1..2.3", "256.1.1.1",
                          "1.1.1.256", "01.2.3.4", "1.2.3.00", "0x7f.0.0.1", "1.2.3.4 ", " 1.2.3.4", "+1.2.3.4", "-1.2.3.4",
                          "1.2.3.a", "1000.1.1.1", "localhost", "1.2.3.4:80"}) {
    CAPTURE(bad);
    CHECK(ip(bad) == "refused");
  }
}

TEST_CASE("address: IPv6 is read as RFC 4291 says and written as RFC 5952 says") {
  CHECK(ip("::") == "::");
  CHECK(ip("::1") == "::1");
  CHECK(ip("1::") == "1::");
  CHECK(ip("[::1]") == "::1");
  CHECK(ip("2001:DB8::1") == "2001:db8::1");
  CHECK(ip("2001:0db8:0000:0000:0000:0000:0000:0001") == "2001:db8::1");
  CHECK(ip("1:2:3:4:5:6:7:8") == "1:2:3:4:5:6:7:8");
  CHECK(ip("1:2:3:4:5:6:7::") == "1:2:3:4:5:6:7:0");        // one zero group is not shortened
  CHECK(ip("1:0:0:2:0:0:0:3") == "1:0:0:2::3");             // the longest run is
  CHECK(ip("1:0:0:2:3:0:0:4") == "1::2:3:0:0:4");           // of two equal runs the first
  CHECK(ip("::ffff:1.2.3.4") == "::ffff:102:304");
  CHECK(ip("64:ff9b::192.0.2.33") == "64:ff9b::c000:221");
  for (const char* bad : {":", ":::", "1:", ":1", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::",
                          "12345::", "g::", "::1.2.3", "::1.2.3.4.5", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:5", "[::1", "::1]",
                          "[]", "[1.2.3.4]", "fe80::1%eth0", "::1 ", "::1/64"}) {
    CAPTURE(bad);
    CHECK(ip(bad) == "refused");
  }
}

TEST_CASE("address: DeleGate's '_' stands for ':'") {
  CHECK(ip("__1") == "::1");
  CHECK(ip("2001_db8__1") == "2001:db8::1");
  CHECK(delegate("[::1]:80") == "__1:80");
  CHECK(delegate("__1:80") == "__1:80");
  CHECK(delegate("127.0.0.1:8080") == "127.0.0.1:8080");
}

TEST_CASE("address: a port is 0 to 65535 in at most five digits") {
  uint16_t port = 7;
  CHECK(parse_port("0", &port));
  CHECK(port == 0);
  CHECK(parse_port("65535", &port));
  CHECK(port == 65535);
  CHECK(parse_port("00080", &port));
  CHECK(port == 80);
  for (const char* bad : {"", "65536", "99999", "100000", "000080", "-1", "+1", " 1", "1 ", "8o", "0x1"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_port(bad, &port));
    CHECK(port == 80);
  }
}

TEST_CASE("address: with a port, IPv6 needs brackets or '_'") {
  CHECK(ip_port("127.0.0.1:80") == "127.0.0.1:80");
  CHECK(ip_port("[::1]:80") == "[::1]:80");
  CHECK(ip_port("__1:80") == "[::1]:80");
  for (const char* bad : {"", ":", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "::1:80", "[::1]",
                          "[::1]:", "host:80", "1.2.3.4:80:90"}) {
    CAPTURE(bad);
    CHECK(ip_port(bad) == "refused");
  }
}

TEST_CASE("address: a refused text changes nothing") {
  Address a;
  REQUIRE(parse_ip_port("10.1.2.3:4", &a));
  const Address before = a;
  CHECK_FALSE(parse_ip("10.1.2", &a));
  CHECK_FALSE(parse_ip_port("10.9.9.9:99999", &a));
  CHECK(a == before);
}

TEST_CASE("address: equal means family, address and port; same_ip leaves the port out") {
  Address a, b, v6;
  REQUIRE(parse_ip_port("10.1.2.3:4", &a));
  REQUIRE(parse_ip_port("10.1.2.3:5", &b));
  REQUIRE(parse_ip_port("[a01:203::]:4", &v6));  // the same four bytes in front
  CHECK_FALSE(a == b);
  CHECK(same_ip(a, b));
  CHECK_FALSE(same_ip(a, v6));
  CHECK(Address().is_none());
  CHECK_FALSE(a.is_none());
}

TEST_CASE("address: every IPv6 text that we write is read back, and fits kAddressText") {
  uint32_t x = 1;  // xorshift32
  for (int round = 0; round < 20000; ++round) {
    Address a;
    a.family = 6;
    for (int group = 0; group < 8; ++group) {
      x ^= x << 13;
      x ^= x >> 17;
      x ^= x << 5;
      if (x % 3 == 0) continue;
      a.ip[2 * group] = static_cast<uint8_t>(x >> 8);
      a.ip[2 * group + 1] = static_cast<uint8_t>(x >> 16);
    }
    a.port = static_cast<uint16_t>(x >> 3);
    for (const bool old : {false, true}) {
      Text<kAddressText> text;
      old ? append_delegate(text, a) : append_address(text, a);
      REQUIRE_FALSE(text.cut());
      Address back;
      CAPTURE(text.c_str());
      REQUIRE(parse_ip_port(text.text(), &back));
      REQUIRE(back == a);
    }
  }
}

TEST_CASE("text: what does not fit is cut, and cut() says so") {
  Text<5> t;
  CHECK(t.text() == "");
  t.add("abc").add("de");
  CHECK(t.text() == "abcde");
  CHECK_FALSE(t.cut());
  t.add("");
  CHECK_FALSE(t.cut());
  t.add('f');
  CHECK(t.cut());
  CHECK(t.text() == "abcde");
  CHECK(strcmp(t.c_str(), "abcde") == 0);
  t.clear();
  CHECK(t.size() == 0);
  CHECK_FALSE(t.cut());
  t.add("123456789");
  CHECK(t.text() == "12345");
  CHECK(t.cut());
}

TEST_CASE("text: numbers at their ends") {
  Text<100> t;
  t.add_u(0).add(' ').add_u(UINT64_MAX).add(' ').add_i(INT64_MIN).add(' ').add_i(INT64_MAX).add(' ').add_i(-1);
  CHECK(t.text() == "0 18446744073709551615 -9223372036854775808 9223372036854775807 -1");
  t.clear();
  t.add_hex(0xbeef, 4).add(' ').add_hex(0xbeef, 2).add(' ').add_hex(1, 8);
  CHECK(t.text() == "beef ef 00000001");
  t.clear();
  t.add_padded(7, 3).add(' ').add_padded(0, 1).add(' ').add_padded(123456, 6);
  CHECK(t.text() == "007 0 123456");
}

TEST_CASE("text: a peer's bytes cannot start a new log line") {
  Text<40> t;
  t.add_printable(std::string_view("a\nb\r\0c\x1b[2J\x7f\xff z~", 15));
  CHECK(t.text() == "a?b??c?[2J?? z~");
}

TEST_CASE("bytes: integers are big-endian at any address") {
  uint8_t b[9] = {};
  store16(b + 1, 0x0102);
  CHECK(b[1] == 1);
  CHECK(b[2] == 2);
  CHECK(load16(b + 1) == 0x0102);
  store32(b + 1, 0xfffefdfc);
  CHECK(b[1] == 0xff);
  CHECK(b[4] == 0xfc);
  CHECK(load32(b + 1) == 0xfffefdfc);
  store64(b + 1, 0x8081828384858687);
  CHECK(b[0] == 0);
  CHECK(b[1] == 0x80);
  CHECK(b[8] == 0x87);
  CHECK(load64(b + 1) == 0x8081828384858687);
}

TEST_CASE("cursor: reads in order, and gives 0 from the first read that would leave the view") {
  const uint8_t b[] = {1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 'a', 'b', 9};
  Cursor c({b, sizeof b});
  CHECK(c.u8() == 1);
  CHECK(c.u16() == 2);
  CHECK(c.u32() == 3);
  CHECK(c.u64() == 4);
  CHECK(as_text(c.bytes(2)) == "ab");
  CHECK(c.ok());
  CHECK(c.left() == 1);
  CHECK(c.u16() == 0);
  CHECK_FALSE(c.ok());
  CHECK(c.u8() == 0);  // though a byte is there: after an error nothing is believed
  CHECK(c.bytes(1).data == nullptr);
}

TEST_CASE("cursor: a length near SIZE_MAX does not wrap around") {
  const uint8_t b[] = {1, 2, 3};
  Cursor c({b, sizeof b});
  CHECK(c.u8() == 1);
  CHECK(c.bytes(SIZE_MAX).data == nullptr);
  CHECK_FALSE(c.ok());
  Cursor none({nullptr, 0});
  CHECK(none.ok());
  CHECK(none.u8() == 0);
  CHECK_FALSE(none.ok());
}

TEST_CASE("arena: pieces are aligned, apart from each other, and end with the block") {
  struct alignas(8) Eight {  // a uint64_t need not be aligned to 8
    uint64_t value;
  };
  alignas(16) uint8_t block[64] = {};
  Arena arena(block, sizeof block);
  uint8_t* one = static_cast<uint8_t*>(arena.take(1, 1));
  Eight* many = arena.make<Eight>(3);
  REQUIRE(one == block);
  REQUIRE(many != nullptr);
  CHECK(reinterpret_cast<uintptr_t>(many) % alignof(Eight) == 0);
  CHECK(reinterpret_cast<uint8_t*>(many) > one);
  CHECK(many[2].value == 0);
  CHECK(arena.left() == 64 - 8 - 24);
  CHECK(arena.take(33, 1) == nullptr);
  CHECK(arena.left() == 32);  // a refusal takes nothing
  CHECK(arena.take(32, 1) != nullptr);
  CHECK(arena.take(1, 1) == nullptr);
  CHECK(arena.take(0, 1) != nullptr);
}

TEST_CASE("arena: a count that would overflow is refused") {
  alignas(16) uint8_t block[64] = {};
  Arena arena(block, sizeof block);
  CHECK(arena.make<uint64_t>(SIZE_MAX / 4) == nullptr);
  CHECK(arena.raw<uint64_t>(SIZE_MAX) == nullptr);
  CHECK(arena.take(SIZE_MAX, 16) == nullptr);
  CHECK(arena.left() == 64);
  Arena empty;
  CHECK(empty.take(1, 1) == nullptr);
}

TEST_CASE("arena: a copied text has a NUL behind it, and no memory means no data") {
  char block[6];
  memset(block, 'x', sizeof block);
  Arena arena(block, sizeof block);
  const std::string_view copy = arena.copy("abc");
  CHECK(copy == "abc");
  CHECK(copy.data()[3] == 0);
  CHECK(arena.copy("ab").data() == nullptr);
  const std::string_view nothing = arena.copy("");
  CHECK(nothing.data() != nullptr);
  CHECK(nothing.empty());
}

TEST_CASE("time: 'never' stays never, and is later than everything") {
  CHECK(kNever + seconds(5) == kNever);
  CHECK(earlier(kNever, Time{5}) == Time{5});
  CHECK(Time{1} + millis(2) == Time{2001});
  CHECK(Time{3} - Time{1} == micros(2));
  CHECK(seconds(1) * 3 == millis(3000));
}

TEST_CASE("errors: each has words of its own, on one line") {
  for (int i = 0; i <= static_cast<int>(Err::silent); ++i) {
    const std::string words = name(static_cast<Err>(i));
    CHECK_FALSE(words.empty());
    CHECK(words != "unknown error");
    CHECK(words.find('\n') == std::string::npos);
    for (int j = 0; j < i; ++j) CHECK(words != name(static_cast<Err>(j)));
  }
}

TEST_SUITE_END();
