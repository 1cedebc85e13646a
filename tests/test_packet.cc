// core/mux/packet: headers, the table of limits of each dialect, texts of 0.3, HELLO, fields of SockMux 1.
// Rules: sockmux(7), "Packet", "Fields". Read next: test_mux.cc.
#include <doctest/doctest.h>

#include <set>
#include <string>

#include "tests/sim/bench.h"

using namespace smx;
using bench::Data;
using bench::hex;
using bench::to_hex;

namespace {

Bytes view(const Data& d) { return {reinterpret_cast<const uint8_t*>(d.data()), d.size()}; }
Data text(const char* s) { return Data(s) + '\0'; }

Err check(uint8_t version, unsigned type, unsigned said, unsigned raid, size_t length, Dialect d, bool* known = nullptr) {
  bool ignored = false;
  return check_header({version, static_cast<uint8_t>(type), static_cast<uint16_t>(said), static_cast<uint16_t>(raid),
                       static_cast<uint16_t>(length)},
                      d, known != nullptr ? known : &ignored);
}

Address address(const char* s) {
  Address a;
  CHECK(parse_ip_port(s, &a));
  return a;
}

struct Row {
  unsigned version, type, least, most;
  char ids;  // '-' none, 'o' opener, 'a' acceptor, 'e' either, '*' ignored
};

}  // namespace

TEST_SUITE_BEGIN("packet");

TEST_CASE("header: eight bytes, integers big-endian, and back") {
  uint8_t raw[kHeader];
  encode_header({0x11, 0x06, 0x0102, 0xffff, 0x3ff8}, raw);
  CHECK(to_hex(Data(reinterpret_cast<char*>(raw), kHeader)) == "11060102ffff3ff8");
  const Header h = decode_header(raw);
  CHECK(h.version == 0x11);
  CHECK(h.type == 0x06);
  CHECK(h.said == 0x0102);
  CHECK(h.raid == 0xffff);
  CHECK(h.length == 0x3ff8);
}

TEST_CASE("SockMux 1: each type has its first byte, its lengths and its ids") {
  static const Row kRows[] = {
      {0x03, 0x01, 25, 320, '*'},   {0x10, 0x10, 12, 230, '-'},   {0x10, 0x11, 8, 8, '-'},      {0x10, 0x12, 16, 16, '-'},
      {0x10, 0x09, 8, 8, '-'},      {0x10, 0x49, 8, 8, '-'},      {0x10, 0x13, 1, 201, '-'},    {0x11, 0x02, 1, 1024, 'o'},
      {0x11, 0x42, 0, 1024, 'a'},   {0x11, 0x06, 1, 16376, 'e'},  {0x11, 0x07, 1, 1, 'e'},      {0x11, 0x20, 4, 4, 'e'},
      {0x11, 0x24, 4, 4, 'e'},      {0x11, 0x21, 0, 0, 'e'},      {0x11, 0x22, 0, 16376, 'e'},  {0x11, 0x23, 1, 16376, 'e'},
      {0x11, 0x04, 1, 1024, 'o'},   {0x11, 0x44, 0, 1024, 'a'},   {0x11, 0x08, 1, 201, 'e'},
  };
  for (const Row& r : kRows) {
    CAPTURE(r.type);
    const uint8_t version = static_cast<uint8_t>(r.version);
    const unsigned said = r.ids == 'o' || r.ids == 'e' ? 7 : 0xffff;
    const unsigned raid = r.ids == 'a' ? 7 : 0xffff;
    bool known = false;
    CHECK(check(version, r.type, said, raid, r.least, Dialect::v1, &known) == Err::none);
    CHECK(known);
    CHECK(check(version, r.type, said, raid, r.most, Dialect::v1) == Err::none);
    if (r.least > 0) CHECK(check(version, r.type, said, raid, r.least - 1, Dialect::v1) == Err::bad_length);
    CHECK(check(version, r.type, said, raid, r.most + 1, Dialect::v1) == Err::bad_length);
    for (const unsigned other : {0x00u, 0x03u, 0x10u, 0x11u, 0x12u, 0xffu})
      if (other != r.version) CHECK(check(static_cast<uint8_t>(other), r.type, said, raid, r.least, Dialect::v1) == Err::bad_version);
    const bool opener = r.ids == 'o' || r.ids == 'e' || r.ids == '*';
    const bool acceptor = r.ids == 'a' || r.ids == 'e' || r.ids == '*';
    CHECK((check(version, r.type, 7, 0xffff, r.least, Dialect::v1) == Err::none) == opener);
    CHECK((check(version, r.type, 0xffff, 7, r.least, Dialect::v1) == Err::none) == acceptor);
    CHECK((check(version, r.type, 7, 7, r.least, Dialect::v1) == Err::none) == (r.ids == '*'));
    CHECK((check(version, r.type, 0xffff, 0xffff, r.least, Dialect::v1) == Err::none) == (r.ids == '-' || r.ids == '*'));
  }
}

TEST_CASE("SockMux 1: unknown types below 0x80 are skipped, the others and other first bytes are errors") {
  bool known = true;
  CHECK(check(0x11, 0x7f, 1, 0xffff, 10, Dialect::v1, &known) == Err::none);
  CHECK(!known);
  CHECK(check(0x10, 0x30, 0xffff, 0xffff, 0, Dialect::v1, &known) == Err::none);
  CHECK(!known);
  CHECK(check(0x11, 0x80, 1, 0xffff, 10, Dialect::v1) == Err::bad_type);
  CHECK(check(0x10, 0xff, 1, 0xffff, 10, Dialect::v1) == Err::bad_type);
  CHECK(check(0x12, 0x30, 1, 0xffff, 10, Dialect::v1) == Err::bad_version);
  CHECK(check(0x11, 0x30, 1, 0xffff, 16377, Dialect::v1) == Err::bad_length);
}

TEST_CASE("0.3: each type has its lengths, ids are not looked at, unknown types are skipped") {
  static const Row kRows[] = {
      {3, 0x00, 0, 16376, '*'}, {3, 0x01, 1, 320, '*'},   {3, 0x41, 1, 320, '*'},  {3, 0x02, 4, 16376, '*'}, {3, 0x42, 4, 16376, '*'},
      {3, 0x06, 0, 16376, '*'}, {3, 0x46, 2, 16, '*'},    {3, 0x07, 0, 16376, '*'}, {3, 0x47, 2, 16, '*'},   {3, 0x08, 0, 1024, '*'},
      {3, 0x48, 0, 1024, '*'},  {3, 0x09, 0, 128, '*'},   {3, 0x49, 0, 128, '*'},  {3, 0x0a, 1, 1024, '*'},  {3, 0x0c, 0, 16376, '*'},
  };
  for (const Row& r : kRows) {
    CAPTURE(r.type);
    bool known = false;
    CHECK(check(3, r.type, 0, 0, r.least, Dialect::v03, &known) == Err::none);
    CHECK(known);
    CHECK(check(3, r.type, 0xff, 0xff, r.most, Dialect::v03) == Err::none);
    if (r.least > 0) CHECK(check(3, r.type, 0, 0, r.least - 1, Dialect::v03) == Err::bad_length);
    CHECK(check(3, r.type, 0, 0, r.most + 1, Dialect::v03) == Err::bad_length);
    CHECK(check(0x10, r.type, 0, 0, r.least, Dialect::v03) == Err::bad_version);
    CHECK(check(0x83, r.type, 0, 0, r.least, Dialect::v03) == Err::encrypted);
  }
  bool known = true;
  CHECK(check(3, 0xee, 0, 0, 16376, Dialect::v03, &known) == Err::none);
  CHECK(!known);
  CHECK(check(3, 0xee, 0, 0, 16377, Dialect::v03) == Err::bad_length);
}

TEST_CASE("0.3: the text of CONNECT is three words and NUL, and first data follow") {
  Address a, b;
  size_t used = 0;
  CHECK(parse_connect_text(view(text("98304 127.0.0.1:50114 __1:9023") + "hello"), &a, &b, &used) == Err::none);
  CHECK(used == 31);
  CHECK(a == address("127.0.0.1:50114"));
  CHECK(b == address("[::1]:9023"));
  CHECK(parse_connect_text(view(text("1 /run/x /run/y")), &a, &b, &used) == Err::none);
  CHECK(a.is_none());
  CHECK(b.is_none());
  CHECK(parse_connect_text(view(text("1 1.2.3.4:5 1.2.3.4:6 more words")), &a, &b, &used) == Err::none);
  CHECK(b == address("1.2.3.4:6"));
  for (const char* bad : {"", "1", "1 2", "98304"}) CHECK(parse_connect_text(view(text(bad)), &a, &b, &used) == Err::bad_text);
  CHECK(parse_connect_text(view("98304 127.0.0.1:1 127.0.0.1:2"), &a, &b, &used) == Err::bad_text);
  CHECK(parse_connect_text({}, &a, &b, &used) == Err::bad_text);
}

TEST_CASE("0.3: NUL must be within the first 512 bytes of CONNECT") {
  Address a, b;
  size_t used = 0;
  const Data start = "98304 127.0.0.1:1 127.0.0.1:2 ";
  CHECK(parse_connect_text(view(start + Data(511 - start.size(), 'x') + '\0'), &a, &b, &used) == Err::none);
  CHECK(used == 512);
  CHECK(parse_connect_text(view(start + Data(512 - start.size(), 'x') + '\0'), &a, &b, &used) == Err::bad_text);
}

TEST_CASE("0.3: the longest text of CONNECT fits") {
  uint8_t out[128];
  const Address long_one = address("[1111:2222:3333:4444:5555:6666:7777:8888]:65535");
  const size_t n = make_connect_text(long_one, long_one, out);
  CHECK(n == 6 + 45 + 1 + 45 + 1);
  Address a, b;
  size_t used = 0;
  CHECK(parse_connect_text({out, n}, &a, &b, &used) == Err::none);
  CHECK(used == n);
  CHECK(a == long_one);
  CHECK(b == long_one);
}

TEST_CASE("0.3: the count of SENT is decimal digits and NUL, below 2^31") {
  uint32_t n = 7;
  CHECK(parse_count(view(text("5")), &n) == Err::none);
  CHECK(n == 5);
  CHECK(parse_count(view(text("2147483647")), &n) == Err::none);
  CHECK(n == 2147483647);
  CHECK(parse_count(view(text("0") + "rest"), &n) == Err::none);
  CHECK(n == 0);
  n = 7;
  for (const char* bad : {"", " 5", "5 ", "-1", "0x5", "2147483648", "99999999999"}) CHECK(parse_count(view(text(bad)), &n) == Err::bad_text);
  CHECK(parse_count(view("5"), &n) == Err::bad_text);
  CHECK(n == 7);
}

TEST_CASE("HELLO: the word stands at the end, with version and nonce") {
  const HelloWord w = parse_hello_word(view(text("20261123-085921.086940 r1 smx/1:9f3c01a7")));
  CHECK(w.present);
  CHECK(w.version == 1);
  CHECK(w.nonce == 0x9f3c01a7);
  CHECK(parse_hello_word(view("x smx/17:00000000")).version == 17);
  CHECK(parse_hello_word(view("x smx/65535:ffffffff")).nonce == 0xffffffff);
  CHECK(parse_hello_word(view("x smx/1:9f3c01a7")).present);
  for (const char* bad : {"", "x", "smx/1:9f3c01a7", "x smx/1:9f3c01a", "x smx/1:9f3c01a70", "x smx/1:9F3C01A7", "x smx/0:9f3c01a7",
                          "x smx/:9f3c01a7", "x smx/1-9f3c01a7", "x smx/65536:9f3c01a7", "x smx/1:9f3c01a7 ", "x smx/1:9f3c01a7 y",
                          "x smx/1:9f3c01ag", "x SMX/1:9f3c01a7"}) {
    CAPTURE(bad);
    CHECK(!parse_hello_word(view(text(bad))).present);
  }
}

TEST_CASE("fields: (type, length, value) up to the end of the payload, whole or not at all") {
  const Data kept = hex("01 02 aabb 7f 00");
  Fields g(view(kept));
  uint8_t type = 0;
  Bytes value;
  REQUIRE(g.next(&type, &value));
  CHECK(type == 1);
  CHECK(value.size == 2);
  REQUIRE(g.next(&type, &value));
  CHECK(type == 0x7f);
  CHECK(value.size == 0);
  CHECK(!g.next(&type, &value));
  CHECK(g.ok());
  for (const char* cut : {"01", "01 02", "01 02 aa", "01 01 aa 02"}) {
    const Data d = hex(cut);
    Fields h(view(d));
    while (h.next(&type, &value)) {
    }
    CHECK(!h.ok());
  }
}

TEST_CASE("SETTINGS: the examples of sockmux(7), both ways") {
  const Data ask = hex("21d40e58 0110 00000000000000000000000000000000 0208 0000000000000000 0308 c4a1f05b00000001"
                       "0404 00000800 0502 03e8 0602 003c 0702 7231");
  Settings s;
  CHECK(parse_settings(view(ask), &s) == Err::none);
  CHECK(s.answered_nonce == 0x21d40e58);
  CHECK(s.has_attempt);
  CHECK(s.attempt == 0xc4a1f05b00000001);
  CHECK(s.credit == 2048);
  CHECK(s.channels == 1000);
  CHECK(s.hold_s == 60);
  CHECK(std::string(s.peer_name) == "r1");
  uint8_t out[230];
  CHECK(to_hex(Data(reinterpret_cast<char*>(out), make_settings(s, out, sizeof out))) == to_hex(ask));

  const Data answer = hex("9f3c01a7 0110 5a0f3c71b2e84d96a1c7085be43f9d20 0208 0000000000000000 0404 00001000 0502 03e8 0602 012c");
  CHECK(parse_settings(view(answer), &s) == Err::none);
  CHECK(!s.has_attempt);
  CHECK(s.session[0] == 0x5a);
  CHECK(s.session[15] == 0x20);
  CHECK(s.credit == 4096);
  CHECK(s.hold_s == 300);
  CHECK(s.peer_name[0] == 0);
  CHECK(to_hex(Data(reinterpret_cast<char*>(out), make_settings(s, out, sizeof out))) == to_hex(answer));
}

TEST_CASE("SETTINGS: required fields once, with their lengths and bounds; unknown ones below 0x80 are skipped") {
  const Data nonce = hex("9f3c01a7");
  const Data session = hex("0110 5a0f3c71b2e84d96a1c7085be43f9d20");
  const Data received = hex("0208 0000000000000000");
  const Data credit = hex("0404 00000800");
  const Data channels = hex("0502 03e8");
  const Data hold = hex("0602 003c");
  const Data all[] = {session, received, credit, channels, hold};
  Settings s;
  const auto parse = [&](const Data& d) { return parse_settings(view(nonce + d), &s); };
  const Data good = session + received + credit + channels + hold;
  CHECK(parse(good) == Err::none);
  CHECK(parse(hold + channels + credit + received + session) == Err::none);
  for (int missing = 0; missing < 5; ++missing) {
    Data d;
    for (int i = 0; i < 5; ++i)
      if (i != missing) d += all[i];
    CHECK(parse(d) == Err::bad_field);
    CHECK(parse(good + all[missing]) == Err::bad_field);
  }
  CHECK(parse(session + received + hex("0404 000001ff") + channels + hold) == Err::bad_field);
  CHECK(parse(session + received + hex("0404 00000200") + channels + hold) == Err::none);
  CHECK(parse(session + received + hex("0404 00100000") + channels + hold) == Err::none);
  CHECK(parse(session + received + hex("0404 00100001") + channels + hold) == Err::bad_field);
  CHECK(parse(session + received + credit + hex("0503 000001") + hold) == Err::bad_field);
  CHECK(parse(session + received + credit + hex("0501 01") + hold) == Err::bad_field);
  CHECK(parse(good + hex("7f 02 0000")) == Err::none);
  CHECK(parse(good + hex("80 00")) == Err::bad_field);
  CHECK(parse(good + hex("07 00")) == Err::bad_field);
  CHECK(parse(good + hex("07 03") + "r 1") == Err::bad_field);
  CHECK(parse(good + hex("07 3f") + Data(63, 'a')) == Err::none);
  CHECK(std::string(s.peer_name) == Data(63, 'a'));
  CHECK(parse(good + hex("07 40") + Data(64, 'a')) == Err::bad_field);
  CHECK(parse(good + hex("07 05") + "A.b_-") == Err::none);
  CHECK(parse(good + hex("07")) == Err::bad_field);
  CHECK(parse_settings(view(hex("9f3c01")), &s) == Err::bad_field);
}

TEST_CASE("SETTINGS: the longest one fits into its packet") {
  Settings s;
  s.has_attempt = true;
  memset(s.peer_name, 'a', 63);
  uint8_t out[230];
  CHECK(make_settings(s, out, sizeof out) == 4 + 18 + 10 + 10 + 6 + 4 + 4 + 65);
}

TEST_CASE("addresses in fields: 04 and 6 bytes, 06 and 18 bytes, 00 and text") {
  Address a;
  CHECK(parse_address_field(view(hex("04 c0a80114 c3d6")), &a) == Err::none);
  CHECK(a == address("192.168.1.20:50134"));
  CHECK(parse_address_field(view(hex("06 00000000000000000000000000000001 0050")), &a) == Err::none);
  CHECK(a == address("[::1]:80"));
  CHECK(parse_address_field(view(hex("00 2f")), &a) == Err::none);
  CHECK(a.is_none());
  for (const char* bad : {"", "00", "04", "04 c0a80114 c3", "04 c0a80114 c3d600", "06 c0a80114 c3d6", "05 00",
                          "06 00000000000000000000000000000001 00"}) {
    CAPTURE(bad);
    CHECK(parse_address_field(view(hex(bad)), &a) == Err::bad_field);
  }
}

TEST_CASE("CONNECT: the example of sockmux(7), both ways") {
  const Data payload = hex("01 0107 04c0a80114c3d6 0207 04c0a80101233f");
  OpenInfo info;
  bool unsupported = true;
  CHECK(parse_connect_fields(view(payload), &info, &unsupported) == Err::none);
  CHECK(!unsupported);
  CHECK(!info.udp);
  CHECK(info.client == address("192.168.1.20:50134"));
  CHECK(info.local == address("192.168.1.1:9023"));
  uint8_t out[128];
  CHECK(to_hex(Data(reinterpret_cast<char*>(out), make_connect_fields(info, out, sizeof out))) == to_hex(payload));
  info.udp = true;
  CHECK(make_connect_fields(info, out, sizeof out) == payload.size());
  CHECK(out[0] == 2);
}

TEST_CASE("CONNECT: `local` is required, fields come once, strange ones are unsupported or skipped") {
  OpenInfo info;
  bool unsupported = false;
  const auto parse = [&](const char* d) {
    const Data bytes = hex(d);
    return parse_connect_fields(view(bytes), &info, &unsupported);
  };
  CHECK(parse("") == Err::bad_field);
  CHECK(parse("01") == Err::bad_field);
  CHECK(parse("01 0107 04c0a80114c3d6") == Err::bad_field);
  CHECK(parse("01 0207 04c0a80101233f") == Err::none);
  CHECK(info.client.is_none());
  CHECK(parse("01 0207 04c0a80101233f 0207 04c0a80101233f") == Err::bad_field);
  CHECK(parse("01 0207 04c0a80101233f 0300") == Err::bad_field);
  CHECK(parse("01 0207 04c0a80101233f 0301 41 0402 0001") == Err::none);
  CHECK(parse("01 0207 04c0a80101233f 0401 01") == Err::bad_field);
  CHECK(parse("01 0207 04c0a80101233f 7f00") == Err::none);
  CHECK(!unsupported);
  CHECK(parse("01 0207 04c0a80101233f 8000") == Err::none);
  CHECK(unsupported);
  CHECK(parse("03 0207 04c0a80101233f") == Err::none);
  CHECK(unsupported);
  CHECK(parse("01 0207 04c0a80101233f 02") == Err::bad_field);
  CHECK(parse("01 0203 04c0a8") == Err::bad_field);
}

TEST_CASE("CLOSE: 0 to 12 are themselves, unknown codes count as reset") {
  for (unsigned i = 0; i <= 12; ++i) CHECK(static_cast<unsigned>(close_code(static_cast<uint8_t>(i))) == i);
  CHECK(close_code(13) == CloseCode::reset);
  CHECK(close_code(255) == CloseCode::reset);
  std::set<std::string> names;
  for (unsigned i = 0; i <= 12; ++i) names.insert(name(close_code(static_cast<uint8_t>(i))));
  CHECK(names.size() == 13);
  CHECK(std::string(name(CloseCode::no_server)) == "no server");
  CHECK(std::string(name(ByeCode::session_broken)) == "session broken");
  CHECK(std::string(name(static_cast<ByeCode>(0x40))) == "unknown");
  CHECK(std::string(name(Dialect::v03)) == "0.3");
}

TEST_CASE("BYE: each code has a name of its own") {
  std::set<std::string> names;
  for (unsigned i = 0; i <= 5; ++i) names.insert(name(static_cast<ByeCode>(i)));
  for (unsigned i = 0x80; i <= 0x84; ++i) names.insert(name(static_cast<ByeCode>(i)));
  CHECK(names.size() == 6 + 5);
  CHECK(names.count("unknown") == 0);
}

TEST_CASE("sockmux(7): every packet of its examples is within the limits") {
  size_t count = 0;
  for (int example = 1; example <= 6; ++example) {
    for (const char side : {'C', 'A'}) {
      for (const Data& bytes : bench::manual(example, side)) {
        CAPTURE(to_hex(bytes));
        const Header h = decode_header(reinterpret_cast<const uint8_t*>(bytes.data()));
        bool known = false;
        CHECK(check_header(h, h.version == kVersion03 ? Dialect::v03 : Dialect::v1, &known) == Err::none);
        CHECK(known);
        CHECK(bytes.size() == kHeader + h.length);
        ++count;
      }
    }
  }
  CHECK(count == 4 + 8 + 5 + 5 + 1 + 6);
}

TEST_SUITE_END();
