// The telnet proxy's dialogue, byte by byte and in pieces of any size.
#include "relay/telnet.h"
#include "tests/dialogue_player.h"

using namespace smx;

namespace {

using Telnet = Player<TelnetDialogue>;
constexpr size_t kPieces[] = {1, 2, 0, SIZE_MAX};  // 0: of 1 to 7 bytes

// What is wished for when the client says that; empty: nothing.
std::string wish_of(const std::string& said, size_t piece) {
  Telnet t;
  t.client_says(said, piece);
  REQUIRE(t.wishes.size() <= 1);
  return t.wishes.empty() ? "" : t.wishes[0];
}

}  // namespace

TEST_CASE("telnet: forms of a wish") {
  for (const size_t piece : kPieces) {
    CAPTURE(piece);
    CHECK(wish_of("host\r\n", piece) == "telnet host:23 yes");
    CHECK(wish_of("host\n", piece) == "telnet host:23 yes");
    CHECK(wish_of(std::string("host\r\0", 6), piece) == "telnet host:23 yes");
    CHECK(wish_of("host\r", piece) == "telnet host:23 yes");
    CHECK(wish_of("host 8023\r\n", piece) == "telnet host:8023 no");
    CHECK(wish_of("  host \t 8023  \r\n", piece) == "telnet host:8023 no");
    CHECK(wish_of("host:8023\r\n", piece) == "telnet host:8023 no");
    CHECK(wish_of("host:23\r\n", piece) == "telnet host:23 yes");
    CHECK(wish_of("192.0.2.1\r\n", piece) == "telnet 192.0.2.1:23 yes");
    CHECK(wish_of("192.0.2.1:24\r\n", piece) == "telnet 192.0.2.1:24 no");
    CHECK(wish_of("[2001:db8::1]:24\r\n", piece) == "telnet 2001:db8::1:24 no");
    CHECK(wish_of("[2001:db8::1] 24\r\n", piece) == "telnet 2001:db8::1:24 no");
    CHECK(wish_of("[2001:db8::1]\r\n", piece) == "telnet 2001:db8::1:23 yes");
    CHECK(wish_of("2001:db8::1 24\r\n", piece) == "telnet 2001:db8::1:24 no");
    CHECK(wish_of("hosx\bt\r\n", piece) == "telnet host:23 yes");
    CHECK(wish_of("hosx\x7ft\r\n", piece) == "telnet host:23 yes");
    CHECK(wish_of("\b\b\x7fhost\r\n", piece) == "telnet host:23 yes");
    CHECK(wish_of("nonsense\x15host\r\n", piece) == "telnet host:23 yes");
    CHECK(wish_of("hosx\xff\xf7t\r\n", piece) == "telnet host:23 yes");
    CHECK(wish_of("nonsense\xff\xf8host\r\n", piece) == "telnet host:23 yes");
    CHECK(wish_of("\r\n-\r\nhost\r\n", piece) == "telnet host:23 yes");
  }
}

TEST_CASE("telnet: what is no wish is told in words, and the prompt comes again") {
  for (const char* bad : {"a b c", "host 0", "host 65536", "host:", "host:x", "host:1 2", "[::1]x", "[::1]:", "[host]:1", "[::1", "-x",
                          "h\xc3\xb6st", "host/path", "http://host/", "<script>", "::1:", "host 1 2"}) {
    CAPTURE(bad);
    for (const size_t piece : kPieces) {
      Telnet t;
      t.client_says(std::string(bad) + "\r\n", piece);
      CHECK(t.wishes.empty());
      CHECK(t.client.find("expected host") != std::string::npos);
      CHECK(t.client.substr(t.client.size() - 14) == ">> Host name: ");
      CHECK_FALSE(t.over());
    }
  }
}

TEST_CASE("telnet: help, quit, the end of the client") {
  Telnet t;
  t.run();
  CHECK(t.client == ">> Host name: ");
  t.client_says("help\r\n");
  CHECK(t.client.find("host:port") != std::string::npos);
  t.client_says("?\n");
  t.client_says("quit\r\nhost\r\n");
  CHECK(t.last == Dialogue::Next::close);
  CHECK(t.wishes.empty());
  for (const char* end : {"\x04", "exit\r\n", "\xff\xec"}) {
    Telnet u;
    u.client_says(end);
    CHECK(u.last == Dialogue::Next::close);
  }
  Telnet v;
  v.client_ends();
  CHECK(v.last == Dialogue::Next::close);
  // A program that ends behind its wish, with or without an end of the line.
  Telnet w;
  w.client_says("host 7");
  w.client_ends();
  CHECK(w.wishes == std::vector<std::string>{"telnet host:7 no"});
}

TEST_CASE("telnet: after the connect all is raw, but for the NUL or LF behind the CR of the line") {
  const std::string nul_end("host\r\0", 6), crlf = "host\r\n", cr = "host\r", lf = "host\n";
  const std::string data("\xff\xfb\x18\r\0ab\xff\xff\n", 10);
  for (const size_t piece : kPieces) {
    for (const std::string& line : {nul_end, crlf, cr, lf}) {
      Telnet t;
      t.on_wish = [](Telnet& p) { p.connect_ok(); };
      t.client_says(line + data, piece);
      CHECK(t.last == Dialogue::Next::raw);
      CHECK(t.server == data);
      CHECK(t.client.find("-- connected to host 192.0.2.9:80\r\n") != std::string::npos);
    }
  }
  // The server speaks first, while the client's LF is still on its way.
  Telnet t;
  t.on_wish = [](Telnet& p) { p.connect_ok(); };
  t.client_says("host\r");
  t.server_says("login: ");
  CHECK(t.client.substr(t.client.size() - 7) == "login: ");
  t.client_says("\n");
  CHECK(t.last == Dialogue::Next::raw);
  CHECK(t.server == "");
}

TEST_CASE("telnet: the LF of a line is not the server's where that has ended before it comes; behind the CR of a program there is none") {
  Telnet t;
  t.on_wish = [](Telnet& p) { p.connect_ok(); };
  t.client_says("host\r");
  t.server_says("what day it is");
  t.server_ends();
  CHECK(t.last == Dialogue::Next::wait);
  CHECK(t.desk.clock == Desk::Clock::moment);
  t.client_says("\n");
  CHECK(t.last == Dialogue::Next::raw);
  t.client_says("data");
  CHECK(t.server == "data");

  Telnet program;
  program.on_wish = t.on_wish;
  program.client_says("host\r");
  program.server_ends();
  program.time_out();
  CHECK(program.last == Dialogue::Next::raw);
  program.client_says("\n");
  CHECK(program.server == "\n");
}

TEST_CASE("telnet: a server that cannot be reached is told, ten times") {
  Telnet t;
  t.client_says("a\r\nb\r\n");
  CHECK(t.wishes.size() == 1);
  t.connect_fails(Failure::not_found);
  CHECK(t.client.find("-- a 23: unknown host\r\n>> Host name: ") != std::string::npos);
  REQUIRE(t.wishes.size() == 2);
  CHECK(t.wishes[1] == "telnet b:23 yes");
  t.connect_fails(Failure::not_remittable);
  CHECK(t.client.find("REMITTABLE") != std::string::npos);
  for (int i = 2; i < 10; ++i) {
    CHECK_FALSE(t.over());
    t.client_says("c\r\n");
    t.connect_fails(Failure::refused);
  }
  CHECK_FALSE(t.over());
  t.client_says("c\r\n");
  t.connect_fails(Failure::refused);
  CHECK(t.last == Dialogue::Next::close);
  CHECK(t.client.find("too many tries") != std::string::npos);
}

TEST_CASE("telnet: options are refused; nobody is answered without end") {
  for (const size_t piece : kPieces) {
    Telnet t;
    t.client_says("\xff\xfb\x18\xff\xfd\x01\xff\xfc\x03\xff\xfe\x05\xff\xf1ho\xff\xfa\x18Iac\xff\xffhost\r\n\xff\xf0st\r\n", piece);
    CHECK(t.client.find("\xff\xfe\x18\xff\xfc\x01") != std::string::npos);
    CHECK(t.client.find("\xff\xfc\x03") == std::string::npos);
    CHECK(t.wishes == std::vector<std::string>{"telnet host:23 yes"});
  }
  // Only telnet commands, 1 MiB: an end at the bound.
  for (const std::string& endless :
       {std::string("\xff\xfd\x01"), std::string("\xff\xf1"), std::string("\xff\xf6"), std::string("\xff\xfa\x18")}) {
    Telnet t;
    std::string flood;
    while (flood.size() < 1 << 20) flood += endless;
    t.client_says(flood, 1000);
    CHECK(t.last == Dialogue::Next::close);
    CHECK(t.taken < 100000);
    CHECK(t.client.size() < 100000);
  }
  Telnet sub;
  sub.client_says("\xff\xfa" + std::string(1 << 20, 'x'), 1000);
  CHECK(sub.last == Dialogue::Next::close);
  CHECK(sub.taken < 100000);
}

TEST_CASE("telnet: BRK and IP (^C) begin a new line, and the prompt comes again") {
  for (const size_t piece : kPieces) {
    for (const std::string& command : {std::string("\xff\xf3"), std::string("\xff\xf4")}) {
      Telnet t;
      t.client_says("nonsense" + command, piece);
      CHECK(t.client == ">> Host name: \r\n>> Host name: ");
      t.client_says("host\r\n", piece);
      CHECK(t.wishes == std::vector<std::string>{"telnet host:23 yes"});
    }
  }
}

TEST_CASE("telnet: IAC IAC is a byte, and no name has it") {
  Telnet t;
  t.client_says("ho\xff\xffst\r\n");
  CHECK(t.wishes.empty());
  CHECK(t.client.find("ho?st") != std::string::npos);
}

TEST_CASE("telnet: a line of 255 characters is the longest") {
  CHECK(wish_of(std::string(255, 'a') + "\r\n", 0) == "telnet " + std::string(255, 'a') + ":23 yes");
  for (const size_t n : {size_t{256}, size_t{1} << 20}) {
    Telnet t;
    t.client_says(std::string(n, 'a') + "\r\nhost\r\n", 4096);
    CHECK(t.client.find("longer than 255") != std::string::npos);
    CHECK(t.wishes == std::vector<std::string>{"telnet host:23 yes"});
  }
}

TEST_CASE("telnet: a client that says nothing is let go") {
  Telnet t;
  t.run();
  CHECK(t.desk.clock == Desk::Clock::login);
  const uint32_t round = t.desk.round;
  t.client_says("ho");
  CHECK(t.desk.round == round);  // a byte now and then gains no time
  t.time_out();
  CHECK(t.last == Dialogue::Next::close);
  CHECK(t.client.find("timed out") != std::string::npos);
  Telnet u;
  u.client_says("host\r\n");
  CHECK(u.desk.clock == Desk::Clock::off);
}

TEST_CASE("telnet: a client that does not read is not read either") {
  Telnet t(65536, 4096);
  // The player takes what is said; here nobody does.
  std::string in;
  for (int i = 0; i < 10; ++i) in += "x y z " + std::string(240, 'a') + "\r\n";
  Desk& d = t.desk;
  (void)d.from_client.put(as_bytes(in));
  for (int i = 0; i < 10; ++i) CHECK(t.dialogue.step(d) == Dialogue::Next::wait);
  CHECK(d.to_client.room() < 2048);
  CHECK_FALSE(d.from_client.empty());
  const size_t left = d.from_client.size();
  d.to_client.clear();
  CHECK(t.dialogue.step(d) == Dialogue::Next::wait);
  CHECK(d.from_client.size() < left);
}
