// The SOCKS proxy's dialogue, byte by byte and in pieces of any size.
#include "relay/socks.h"
#include "relay/socks_udp.h"
#include "tests/dialogue_player.h"

using namespace smx;

namespace {

using Socks = Player<SocksDialogue>;
constexpr size_t kPieces[] = {1, 0, SIZE_MAX};  // 0: of 1 to 7 bytes

std::string bytes(std::initializer_list<int> list) {
  std::string s;
  for (const int b : list) s += static_cast<char>(b);
  return s;
}
const std::string kHello5 = bytes({5, 1, 0});
std::string by_name(const std::string& name, int port) {
  return bytes({5, 1, 0, 3, static_cast<int>(name.size())}) + name + bytes({port >> 8, port & 255});
}
std::string refusal5(int code) { return bytes({5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0}); }
const std::string kNo4 = bytes({0, 91, 0, 0, 0, 0, 0, 0});

}  // namespace

TEST_CASE("socks 5: IPv4, IPv6, name; data behind the request; the reply has our address") {
  struct {
    std::string request, wish;
  } cases[] = {
      {bytes({5, 1, 0, 1, 192, 0, 2, 1, 0, 80}), "socks 192.0.2.1:80 yes"},
      {bytes({5, 1, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0}), "socks 2001:db8::1:256 yes"},
      {by_name("host.example", 443), "socks host.example:443 yes"},
      {by_name(std::string(255, 'a'), 65535), "socks " + std::string(255, 'a') + ":65535 yes"},
  };
  for (const auto& c : cases) {
    for (const size_t piece : kPieces) {
      CAPTURE(c.wish);
      CAPTURE(piece);
      Socks s;
      s.on_wish = [](Socks& p) {
        REQUIRE(parse_ip_port("198.51.100.1:1025", &p.desk.own));
        p.connect_ok();
      };
      s.client_says(kHello5 + c.request + "data", piece);
      CHECK(s.wishes == std::vector<std::string>{c.wish});
      CHECK(s.client == bytes({5, 0, 5, 0, 0, 1, 198, 51, 100, 1, 4, 1}));
      CHECK(s.last == Dialogue::Next::raw);
      CHECK(s.server == "data");
    }
  }
}

TEST_CASE("socks 5: a method is chosen, or none") {
  for (const size_t piece : kPieces) {
    Socks s;
    s.client_says(bytes({5, 3, 2, 1, 0}), piece);
    CHECK(s.client == bytes({5, 0}));
    CHECK_FALSE(s.over());
    Socks t;
    t.client_says(bytes({5, 2, 2, 1}), piece);
    CHECK(t.client == bytes({5, 0xff}));
    CHECK(t.last == Dialogue::Next::close);
    Socks u;
    u.client_says(bytes({5, 0}), piece);
    CHECK(u.client == bytes({5, 0xff}));
  }
}

TEST_CASE("socks 5: what is not done gets its code") {
  for (const size_t piece : kPieces) {
    const auto answer = [piece](const std::string& request) {
      Socks s;
      s.client_says(kHello5 + request, piece);
      CHECK(s.wishes.empty());
      CHECK(s.last == Dialogue::Next::close);
      return s.client;
    };
    CHECK(answer(bytes({5, 2, 0, 1, 1, 2, 3, 4, 0, 80})) == refusal5(7));  // BIND
    CHECK(answer(bytes({5, 9, 0, 1, 1, 2, 3, 4, 0, 80})) == refusal5(7));
    CHECK(answer(bytes({5, 1, 0, 2, 1, 2, 3, 4, 0, 80})) == refusal5(8));
    CHECK(answer(bytes({5, 1, 0, 1, 1, 2, 3, 4, 0, 0})) == refusal5(1));
    CHECK(answer(bytes({4, 1, 0, 1, 1, 2, 3, 4, 0, 80})) == refusal5(1));
    CHECK(answer(by_name("", 80)) == refusal5(1));
    CHECK(answer(by_name(std::string("a\0b", 3), 80)) == refusal5(1));
    CHECK(answer(by_name("a b", 80)) == refusal5(1));
  }
}

TEST_CASE("socks: failures of the connect") {
  const std::pair<Failure, int> codes[] = {{Failure::not_found, 4}, {Failure::refused, 5},       {Failure::unreachable, 4},
                                           {Failure::timed_out, 4}, {Failure::no_room, 1},       {Failure::local, 1},
                                           {Failure::forbidden, 2}, {Failure::not_remittable, 2}};
  for (const auto& c : codes) {
    Socks s;
    s.client_says(kHello5 + by_name("host", 80));
    s.connect_fails(c.first);
    CHECK(s.client == refusal5(c.second));
    CHECK(s.last == Dialogue::Next::close);
    Socks t;
    t.client_says(bytes({4, 1, 0, 80, 1, 2, 3, 4, 0}));
    t.connect_fails(c.first);
    CHECK(t.client == kNo4);
    CHECK(t.last == Dialogue::Next::close);
  }
}

TEST_CASE("socks 4 and 4a") {
  for (const size_t piece : kPieces) {
    Socks s;
    s.on_wish = [](Socks& p) { p.connect_ok(); };
    s.client_says(bytes({4, 1, 0, 80, 192, 0, 2, 1}) + "user" + bytes({0}) + "data", piece);
    CHECK(s.wishes == std::vector<std::string>{"socks 192.0.2.1:80 yes"});
    CHECK(s.client == bytes({0, 90, 0, 0, 0, 0, 0, 0}));
    CHECK(s.server == "data");
    Socks a;
    a.on_wish = [](Socks& p) { p.connect_ok(); };
    a.client_says(bytes({4, 1, 0, 80, 0, 0, 0, 7, 0}) + "host.example" + bytes({0}) + "data", piece);
    CHECK(a.wishes == std::vector<std::string>{"socks host.example:80 yes"});
    CHECK(a.server == "data");
    for (const std::string& bad :
         {bytes({4, 2, 0, 80, 192, 0, 2, 1, 0}), bytes({4, 1, 0, 0, 192, 0, 2, 1, 0}), bytes({4, 1, 0, 80, 0, 0, 0, 7, 0, 0})}) {
      Socks b;
      b.client_says(bad, piece);
      CHECK(b.client == kNo4);
      CHECK(b.last == Dialogue::Next::close);
    }
  }
}

TEST_CASE("socks: garbage, endless texts, ends and silence") {
  for (const std::string& bad : {std::string("GET / HTTP/1.0\r\n\r\n"), bytes({0}), bytes({6, 1, 0})}) {
    Socks s;
    s.client_says(bad);
    CHECK(s.last == Dialogue::Next::close);
    CHECK(s.client.empty());
  }
  for (const std::string& begin : {bytes({4, 1, 0, 80, 1, 2, 3, 4}), bytes({4, 1, 0, 80, 0, 0, 0, 4, 0})}) {
    Socks s;
    s.client_says(begin + std::string(1 << 20, 'x'), 100);
    CHECK(s.last == Dialogue::Next::close);
    CHECK(s.taken < 2000);
  }
  Socks s;
  s.client_says(kHello5 + bytes({5, 1, 0}));
  CHECK(s.desk.clock == Desk::Clock::login);
  s.client_ends();
  CHECK(s.last == Dialogue::Next::close);
  Socks t;
  t.client_says(bytes({5}));
  t.time_out();
  CHECK(t.last == Dialogue::Next::close);
}

TEST_CASE("socks: random bytes never ask for anything that was not said, and come to an end") {
  std::minstd_rand random(7);
  for (int i = 0; i < 3000; ++i) {
    std::string s;
    const size_t n = random() % 40 + 1;
    for (size_t k = 0; k < n; ++k) s += static_cast<char>(random() % 3 == 0 ? random() % 6 : random());
    if (i % 2 == 0) s[0] = static_cast<char>(i % 4 == 0 ? 4 : 5);
    Socks p;
    p.client_says(s, 0);
    p.client_ends();
    CHECK((p.over() || p.last == Dialogue::Next::connect || p.wishes.size() == 1));
  }
}

TEST_CASE("socks 5: UDP ASSOCIATE says where the client was accepted, and lasts as long as the connection") {
  for (const size_t piece : kPieces) {
    Socks s;
    s.desk.may_associate = true;
    REQUIRE(parse_ip_port("198.51.100.7:1080", &s.desk.accepted));
    s.client_says(kHello5 + bytes({5, 3, 0, 1, 0, 0, 0, 0, 0, 0}) + "ignored", piece);
    CHECK(s.client == bytes({5, 0, 5, 0, 0, 1, 198, 51, 100, 7, 4, 0x38}));
    CHECK(s.desk.associate);
    CHECK(s.desk.clock == Desk::Clock::off);
    CHECK_FALSE(s.over());
    s.client_ends();
    CHECK(s.last == Dialogue::Next::close);
    Socks no;
    no.client_says(kHello5 + bytes({5, 3, 0, 1, 0, 0, 0, 0, 0, 1}), piece);
    CHECK(no.client == refusal5(7));
  }
}

TEST_CASE("socks 5: the header of datagrams") {
  const auto parse = [](const std::string& s, SocksUdpHeader* h) { return parse_socks_udp({reinterpret_cast<const uint8_t*>(s.data()), s.size()}, h); };
  SocksUdpHeader h;
  CHECK(parse(bytes({0, 0, 0, 1, 192, 0, 2, 1, 0, 53}) + "data", &h));
  CHECK(h.size == 10);
  CHECK(h.host.empty());
  uint8_t made[kMostSocksUdpHeader];
  CHECK(make_socks_udp(h.to, made) == 10);
  CHECK(std::string(reinterpret_cast<char*>(made), 10) == bytes({0, 0, 0, 1, 192, 0, 2, 1, 0, 53}));
  const std::string six = bytes({0, 0, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 53});
  CHECK(parse(six, &h));
  CHECK(h.size == 22);
  CHECK(make_socks_udp(h.to, made) == 22);
  CHECK(std::string(reinterpret_cast<char*>(made), 22) == six);
  const std::string name = bytes({0, 0, 0, 3, 4}) + "host" + bytes({0, 53});
  const std::string longer = name + "x";  // what h.host points into
  CHECK(parse(longer, &h));
  CHECK(h.host == "host");
  CHECK(h.to.port == 53);
  CHECK(h.size == name.size());
  // Every cut of a good one, fragments, other types, no port.
  for (const std::string& good : {bytes({0, 0, 0, 1, 192, 0, 2, 1, 0, 53}), six, name})
    for (size_t n = 0; n < good.size(); ++n) CHECK_FALSE(parse(good.substr(0, n), &h));
  CHECK_FALSE(parse(bytes({0, 0, 1, 1, 192, 0, 2, 1, 0, 53}), &h));
  CHECK_FALSE(parse(bytes({0, 0, 0, 2, 192, 0, 2, 1, 0, 53}), &h));
  CHECK_FALSE(parse(bytes({0, 0, 0, 1, 192, 0, 2, 1, 0, 0}), &h));
  CHECK_FALSE(parse(bytes({0, 0, 0, 3, 0, 0, 53}), &h));
  CHECK_FALSE(parse(bytes({0, 0, 0, 3, 2, 'a', ' ', 0, 53}), &h));
}
