// relay/ftp_text and relay/ftp: FTP's lines and the dialogue, without a socket. Real programs: tests/e2e/ftp.cc.
// Rules: RFC 959, 2428, 2577; sockmux.conf(5), "FTP".
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "relay/ftp.h"

using namespace smx;

namespace {

Address address(const char* s) {
  Address a;
  CHECK(parse_ip_port(s, &a));
  return a;
}

std::string shown(const Address& a) {
  Text<kAddressText> t;
  append_address(t, a);
  return std::string(t.text());
}

struct Line {
  FtpLine is = FtpLine::none;
  std::string text;
  size_t used = 0;
};
Line line_of(const std::string& bytes) {
  char out[kFtpLine];
  size_t size = 0;
  Line l;
  l.is = ftp_line(bytes, out, &size, &l.used);
  if (l.is == FtpLine::whole) l.text.assign(out, size);
  return l;
}

// A dialogue at its desk; what the door is asked for is noted.
struct Table : DataDoor {
  explicit Table(const char* host = "server", const char* server = "192.0.2.9:21", const char* client = "192.0.2.1:5000",
                 const char* accepted = "192.0.2.2:21")
      : dialogue(host, 21) {
    desk.from_client = Pipe(memory[0], sizeof memory[0]);
    desk.to_client = Pipe(memory[1], sizeof memory[1]);
    desk.from_server = Pipe(memory[2], sizeof memory[2]);
    desk.to_server = Pipe(memory[3], sizeof memory[3]);
    desk.client = address(client);
    desk.accepted = address(accepted);
    desk.data = this;
    at = address(server);
  }
  // Up to where the server has greeted.
  void open() {
    CHECK(step() == Dialogue::Next::connect);
    connect();
    server("220 hello\r\n");
    CHECK(client_got() == "220 hello\r\n");
  }
  void connect() {
    desk.server_open = true;
    desk.server = at;
    dialogue.connected(desk);
    (void)step();
  }
  Dialogue::Next step() { return last = dialogue.step(desk); }
  void client(const std::string& text) {
    CHECK(desk.from_client.say(text));
    (void)step();
  }
  void server(const std::string& text) {
    CHECK(desk.from_server.say(text));
    (void)step();
  }
  std::string client_got() { return all(desk.to_client); }
  std::string server_got() { return all(desk.to_server); }
  static std::string all(Pipe& p) {
    const std::string s(p.text());
    p.clear();
    return s;
  }

  void listen(const Address& a) override { did += "listen " + shown(a) + " ", now = State::waiting; }
  void call(uint16_t port, const Address& a) override { did += "call " + std::to_string(port) + " " + shown(a) + " ", now = State::waiting; }
  void drop() override { now = State::none; }
  State state() const override { return now; }
  Address where() const override { return bound; }
  CloseCode why() const override { return reason; }
  std::string take_did() {
    std::string d;
    d.swap(did);
    return d;
  }

  uint8_t memory[4][kFtpLine * 4];
  Desk desk;
  FtpDialogue dialogue;
  Address at, bound;
  State now = State::none;
  CloseCode reason = CloseCode::refused;
  std::string did;
  Dialogue::Next last = Dialogue::Next::wait;
};

}  // namespace

TEST_SUITE_BEGIN("ftp");

TEST_CASE("FTP: verbs in any case, with their argument") {
  std::string_view argument;
  CHECK(ftp_verb("PASV", &argument) == FtpVerb::pasv);
  CHECK(argument.empty());
  CHECK(ftp_verb("retr  a b", &argument) == FtpVerb::transfer);
  CHECK(argument == " a b");
  CHECK(ftp_verb("Port 1", &argument) == FtpVerb::port);
  CHECK(ftp_verb("PASVX", &argument) == FtpVerb::other);
  CHECK(ftp_verb("PAS", &argument) == FtpVerb::other);
  CHECK(ftp_verb("", &argument) == FtpVerb::other);
  CHECK(ftp_verb(" PASV", &argument) == FtpVerb::other);
}

TEST_CASE("FTP: lines lose their end and what telnet puts in; FF FF is a byte") {
  CHECK(line_of("NOOP\r\nmore").text == "NOOP");
  CHECK(line_of("NOOP\r\nmore").used == 6);
  CHECK(line_of("NOOP\n").text == "NOOP");
  CHECK(line_of("NOOP").is == FtpLine::none);
  CHECK(line_of("").is == FtpLine::none);
  CHECK(line_of("\xff\xf4\xff\xf2" "ABOR\r\n").text == "ABOR");
  CHECK(line_of("A\xff\xfb\x01" "BOR\r\n").text == "ABOR");
  CHECK(line_of("RETR \xff\xff\r\n").text == "RETR \xff\xff");
  CHECK(line_of("RETR \xff" "a\r\n").text == "RETR \xff" "a");
  CHECK(line_of("x\xff\r\n").text.size() <= 3);
  CHECK(line_of("x\xff\xfd\r\n").is == FtpLine::whole);
  CHECK(line_of(std::string(4095, 'a') + "\r\n").text.size() == 4095);
  CHECK(line_of(std::string(4096, 'a') + "\n").text.size() == 4096);
  CHECK(line_of(std::string(4097, 'a') + "\n").is == FtpLine::too_long);
  CHECK(line_of(std::string(4096, 'a')).is == FtpLine::none);
  CHECK(line_of(std::string(4097, 'a')).is == FtpLine::too_long);
}

TEST_CASE("FTP: the arguments of PORT and EPRT") {
  Address a;
  CHECK(parse_ftp_port("192,0,2,1,19,137", &a));
  CHECK(shown(a) == "192.0.2.1:5001");
  CHECK(parse_ftp_port(" 1,2,3,4,0,1 ", &a));
  for (const char* bad : {"", "1,2,3,4,5", "1,2,3,4,5,6,7", "1,2,3,4,5,256", "1,2,3,4,5,", "a,2,3,4,5,6", "1.2.3.4.5.6", "1,2,3,4,5,6x", "1,,3,4,5,6", "1,2,3,4,-5,6"})
    CHECK_MESSAGE(!parse_ftp_port(bad, &a), std::string(bad));
  CHECK(parse_ftp_eprt("|1|192.0.2.1|5001|", &a) == FtpEprt::good);
  CHECK(shown(a) == "192.0.2.1:5001");
  CHECK(parse_ftp_eprt("|2|2001:db8::1|5001|", &a) == FtpEprt::good);
  CHECK(shown(a) == "[2001:db8::1]:5001");
  CHECK(parse_ftp_eprt("!1!192.0.2.1!5001!", &a) == FtpEprt::good);
  CHECK(parse_ftp_eprt("|3|192.0.2.1|5001|", &a) == FtpEprt::unknown_protocol);
  for (const char* bad : {"", "|", "||||", "|1|192.0.2.1|5001", "|1|2001:db8::1|5001|", "|2|192.0.2.1|5001|", "|1|192.0.2.1|65536|", "|1|192.0.2.1|5001|x|", "|1|host|5001|", "|1||5001|"})
    CHECK_MESSAGE(parse_ftp_eprt(bad, &a) == FtpEprt::bad, std::string(bad));
}

TEST_CASE("FTP: replies, and the ports in them") {
  int code = 0;
  bool more = false;
  CHECK(parse_ftp_reply("220 hello", &code, &more));
  CHECK(code == 220);
  CHECK(!more);
  CHECK(parse_ftp_reply("211-Features", &code, &more));
  CHECK(more);
  CHECK(parse_ftp_reply("200", &code, &more));
  for (const char* bad : {"", "22", "2200 x", "abc x", "000 x", "099 x", "999 x", " 220 x"}) CHECK_MESSAGE(!parse_ftp_reply(bad, &code, &more), std::string(bad));
  Address a;
  for (const char* good : {"227 Entering Passive Mode (192,0,2,9,19,137).", "227 Entering Passive Mode 192,0,2,9,19,137", "227 =192,0,2,9,19,137", "227 4 you: (192,0,2,9,19,137)"}) {
    CHECK_MESSAGE(parse_ftp_227(good, &a), std::string(good));
    CHECK(shown(a) == "192.0.2.9:5001");
  }
  for (const char* bad : {"227", "227 ", "227 nothing", "227 (1,2,3,4,5)", "227 (1,2,3,4,5,6,7)", "227 (1,2,3,4,5,666)", "227 (1111,2,3,4,5,6)"}) CHECK_MESSAGE(!parse_ftp_227(bad, &a), std::string(bad));
  uint16_t port = 0;
  CHECK(parse_ftp_229("229 Extended (|||5001|)", &port));
  CHECK(port == 5001);
  CHECK(parse_ftp_229("229 (!!!80!)", &port));
  for (const char* bad : {"229", "229 (", "229 ()", "229 (||||)", "229 (|||65536|)", "229 (|1|1.2.3.4|5001|)", "229 |||5001|", "229 )(|||5|"}) CHECK_MESSAGE(!parse_ftp_229(bad, &port), std::string(bad));
  CHECK(ftp_feature_hidden(" AUTH TLS"));
  CHECK(ftp_feature_hidden("211-AUTH TLS"));
  CHECK(ftp_feature_hidden(" pbsz"));
  CHECK(ftp_feature_hidden(" PROT"));
  CHECK(!ftp_feature_hidden(" EPSV"));
  CHECK(!ftp_feature_hidden(" AUTHOR"));
}

TEST_CASE("FTP: USER name@host[:port]") {
  std::string_view name, host;
  uint16_t port = 0;
  CHECK(parse_ftp_login("me@host", &name, &host, &port));
  CHECK(name == "me");
  CHECK(host == "host");
  CHECK(port == 21);
  CHECK(parse_ftp_login("me@example.com@host:2121", &name, &host, &port));
  CHECK(name == "me@example.com");
  CHECK(port == 2121);
  CHECK(parse_ftp_login("me@[2001:db8::1]:2121", &name, &host, &port));
  CHECK(host == "2001:db8::1");
  for (const char* bad : {"", "me", "@host", "me@", "me@host:", "me@host:0", "me@host:65536", "me@[::1", "me@a/b", "me@host:21x", "me@[]:1"})
    CHECK_MESSAGE(!parse_ftp_login(bad, &name, &host, &port), std::string(bad));
}

TEST_CASE("FTP: the port that a client has named, in whole lines that begin with the command, for its own address") {
  const Address me = address("192.0.2.1:40000");
  CHECK(find_announced_port("PORT 192,0,2,1,19,137\r\n", me) == 5001);
  CHECK(find_announced_port("TYPE I\r\neprt |1|192.0.2.1|5002|\r\nLIST\r\n", me) == 5002);
  CHECK(find_announced_port("PORT 192,0,2,1,19,137\r\nPORT 192,0,2,3,19,137\r\n", me) == 0);
  CHECK(find_announced_port("PORT 192,0,2,1,19,137", me) == 0);
  CHECK(find_announced_port("x PORT 192,0,2,1,19,137\r\n", me) == 0);
  CHECK(find_announced_port("", me) == 0);
  CHECK(find_announced_port(std::string(2000, ',') + "\n", me) == 0);
  CHECK(find_announced_port("EPRT |2|2001:db8::1|5001|\r\n", address("[2001:db8::1]:40000")) == 5001);
}

TEST_CASE("FTP: the beginning of a line in which a port may be named when the rest comes") {
  for (const char* half : {"P", "por", "PORT ", "port 192,0,2,1,19", "EPRT |2|2001:db8:1111:2222:3333:4444:5555:6666|6553", "\xff\xf4\xff\xf2PO"}) {
    CAPTURE(half);
    CHECK(half_announced_port(half) == half);
    CHECK(half_announced_port("TYPE I\r\n" + std::string(half)) == half);
    CHECK(half_announced_port(std::string(half) + "\r\n").empty());
  }
  for (const char* other : {"", "x", "PASV", "PO2", "EPSV", " PORT 1", "PORT\t"}) {
    CAPTURE(other);
    CHECK(half_announced_port(other).empty());
  }
  CHECK(half_announced_port("PORT " + std::string(kFtpHalfLine - 5, '1')).size() == kFtpHalfLine);
  CHECK(half_announced_port("PORT " + std::string(kFtpHalfLine - 4, '1')).empty());
}

TEST_CASE("FTP dialogue: one command at a time, replies of many lines unchanged") {
  Table t;
  t.open();
  t.client("USER me\r\nPASS x\r\n");
  CHECK(t.server_got() == "USER me\r\n");
  t.server("331-Say\r\n331 it is not\r\n");
  CHECK(t.client_got() == "331-Say\r\n331 it is not\r\n");
  CHECK(t.server_got() == "PASS x\r\n");
  t.server("230-Welcome\r\n 230 still\r\n220 not the same\r\n230");
  CHECK(t.client_got() == "230-Welcome\r\n 230 still\r\n220 not the same\r\n");
  t.server(" in\r\n");
  CHECK(t.client_got() == "230 in\r\n");
}

TEST_CASE("FTP dialogue: PASV and EPSV are asked of the server, and answered with a port of the other side") {
  Table t;
  t.open();
  t.client("PASV\r\n");
  CHECK(t.server_got() == "PASV\r\n");
  t.server("227 (10,0,0,1,19,137)\r\n");
  CHECK(t.take_did() == "listen 192.0.2.9:5001 ");  // the host of the control connection
  CHECK(t.client_got().empty());
  t.bound = address("192.0.2.2:5009");
  t.now = DataDoor::State::ready;
  (void)t.step();
  CHECK(t.client_got() == "227 Entering Passive Mode (192,0,2,2,19,145).\r\n");
  t.client("EPSV\r\n");
  CHECK(t.server_got() == "EPSV\r\n");
  t.server("229 (|||5002|)\r\n");
  CHECK(t.take_did() == "listen 192.0.2.9:5002 ");
  t.now = DataDoor::State::ready;
  (void)t.step();
  CHECK(t.client_got() == "229 Entering Extended Passive Mode (|||5009|)\r\n");
  t.client("PASV\r\n");
  t.server("227 (10,0,0,1,19,137)\r\n");
  t.now = DataDoor::State::failed;
  (void)t.step();
  CHECK(t.client_got() == "425 Can't open a data port: refused\r\n");
}

TEST_CASE("FTP dialogue: IPv6 toward the server, IPv4 toward the client, and the other way round") {
  Table t("server", "[2001:db8::9]:21");
  t.open();
  t.client("PASV\r\n");
  CHECK(t.server_got() == "EPSV\r\n");
  t.server("229 (|||5002|)\r\n");
  CHECK(t.take_did() == "listen [2001:db8::9]:5002 ");
  t.bound = address("192.0.2.2:5009");
  t.now = DataDoor::State::ready;
  (void)t.step();
  CHECK(t.client_got() == "227 Entering Passive Mode (192,0,2,2,19,145).\r\n");
  t.client("PORT 192,0,2,1,19,137\r\n");
  CHECK(t.server_got() == "EPSV\r\n");

  Table u("server", "192.0.2.9:21", "[2001:db8::1]:5000", "[2001:db8::2]:21");
  u.open();
  u.client("PASV\r\n");
  CHECK(u.client_got().substr(0, 4) == "425 ");
  u.client("EPSV 1\r\n");
  CHECK(u.client_got() == "522 Network protocol not supported, use (2)\r\n");
  u.client("EPRT |2|2001:db8::1|5001|\r\n");
  CHECK(u.server_got() == "PASV\r\n");
  u.client("");
  u.server("227 (192,0,2,9,19,138)\r\n");
  CHECK(u.client_got() == "200 EPRT command successful\r\n");
  u.client("STOR a\r\n");
  CHECK(u.take_did() == "call 5001 192.0.2.9:5002 ");
}

TEST_CASE("FTP dialogue: after PORT the transfer waits until the client is connected to") {
  Table t;
  t.open();
  t.client("PORT 192,0,2,1,19,137\r\nREST 5\r\nRETR a\r\nNOOP\r\n");
  CHECK(t.server_got() == "PASV\r\n");
  t.server("227 (192,0,2,9,19,138)\r\n");
  CHECK(t.client_got() == "200 PORT command successful\r\n");
  CHECK(t.server_got() == "REST 5\r\n");
  t.server("350 From there\r\n");
  CHECK(t.take_did() == "call 5001 192.0.2.9:5002 ");
  CHECK(t.server_got().empty());
  t.now = DataDoor::State::ready;
  (void)t.step();
  CHECK(t.server_got() == "RETR a\r\nNOOP\r\n");  // NOOP need not wait for the end of a transfer
  (void)t.client_got();
  t.server("150 Here\r\n");
  t.server("226 Done\r\n200 Here, too\r\n");
  CHECK(t.client_got() == "150 Here\r\n226 Done\r\n200 Here, too\r\n");
  // The next transfer needs a new PORT.
  t.client("RETR b\r\n");
  CHECK(t.take_did().empty());
  CHECK(t.server_got() == "RETR b\r\n");
}

TEST_CASE("FTP dialogue: what has overtaken a transfer may be answered behind the next command, and is not taken for its answer") {
  for (const std::string noop : {"200 Here, too\r\n", "500 What?\r\n"})
    for (const bool extended : {false, true})
      for (const bool active : {false, true}) {
        Table t;
        t.open();
        t.client("RETR a\r\nNOOP\r\nSTAT\r\n");
        t.server("150 Here\r\n226 Done\r\n");
        const std::string asks = extended ? active ? "EPRT |1|192.0.2.1|5001|\r\n" : "EPSV\r\n" : active ? "PORT 192,0,2,1,19,137\r\n" : "PASV\r\n";
        t.client(asks);
        (void)t.server_got();
        (void)t.client_got();
        t.server(noop);
        t.server("211-Well\r\n211 Still\r\n");
        CHECK(t.client_got() == noop + "211-Well\r\n211 Still\r\n");
        CHECK(t.server_got().empty());
        t.server(extended && !active ? "229 (|||5002|)\r\n" : "227 (192,0,2,9,19,138)\r\n");
        if (active) {
          CHECK(t.client_got() == (extended ? "200 EPRT command successful\r\n" : "200 PORT command successful\r\n"));
        } else {
          CHECK(t.client_got().empty());  // it hears of the other side's port, when that is known
          CHECK(t.take_did() == "listen 192.0.2.9:5002 ");
        }
      }
}

TEST_CASE("FTP dialogue: a NOOP that a server never answers does not hide the answer to PASV, nor that to the next one") {
  Table t;
  t.open();
  t.client("RETR a\r\nNOOP\r\n");
  t.server("150 Here\r\n226 Done\r\n");
  (void)t.server_got();
  (void)t.client_got();
  t.client("PASV\r\n");
  t.server("227 (192,0,2,9,19,138)\r\n");
  CHECK(t.take_did() == "listen 192.0.2.9:5002 ");
  t.now = DataDoor::State::ready;
  (void)t.step();
  (void)t.client_got();
  (void)t.server_got();
  t.client("EPSV\r\n");
  CHECK(t.server_got() == "EPSV\r\n");
  t.server("500 What?\r\n");
  CHECK(t.server_got() == "PASV\r\n");  // it was EPSV's
}

TEST_CASE("FTP dialogue: an ABOR that has had one reply does not take that of the next one") {
  for (const char* reply : {"226 Done\r\n", "426 Cut\r\n"}) {
    Table t;
    t.open();
    t.client("RETR a\r\nABOR\r\n");
    t.server(std::string("150 Here\r\n") + reply);
    t.client("ABOR\r\n");
    CHECK(t.server_got() == "RETR a\r\nABOR\r\nABOR\r\n");
    t.server("225 Nothing to abort\r\n");
    t.client("NOOP\r\n");
    CHECK(t.server_got() == "NOOP\r\n");
  }
}

TEST_CASE("FTP dialogue: where a command that has overtaken may be answered or not, an error is passed on, and is the last word after a second") {
  for (const std::string before : {"NOOP\r\n", "ABOR\r\n"})
    for (const std::string asks : {"PASV\r\n", "EPSV\r\n"})
      for (const bool follows : {true, false}) {
        Table t;
        t.open();
        t.client("RETR a\r\n" + before);
        t.server("150 Here\r\n226 Done\r\n");
        (void)t.server_got();
        (void)t.client_got();
        t.client(asks + "HELP\r\n");
        CHECK(t.server_got() == asks);
        t.server("502 What?\r\n");
        CHECK(t.client_got() == "502 What?\r\n");
        CHECK(t.desk.clock == Desk::Clock::moment);
        CHECK(t.server_got().empty());
        if (follows) {
          t.server(asks == "PASV\r\n" ? "227 (192,0,2,9,19,138)\r\n" : "229 (|||5002|)\r\n");
          CHECK(t.take_did() == "listen 192.0.2.9:5002 ");
          CHECK(t.client_got().empty());
        } else {
          CHECK(t.dialogue.timed_out(t.desk) == Dialogue::Next::wait);
          (void)t.step();
          CHECK(t.server_got() == "HELP\r\n");
          CHECK(t.client_got().empty());
        }
      }
}

TEST_CASE("FTP dialogue: that second begins anew with each reply that may be one of those") {
  Table t;
  t.open();
  t.client("RETR a\r\nNOOP\r\nNOOP\r\n");
  t.server("150 Here\r\n226 Done\r\n");
  t.client("PASV\r\n");
  t.server("502 What?\r\n");
  const uint32_t round = t.desk.round;
  t.server("200 Here\r\n");
  CHECK(t.desk.clock == Desk::Clock::moment);
  CHECK(t.desk.round != round);
  t.server("227 (192,0,2,9,19,138)\r\n");
  CHECK(t.take_did() == "listen 192.0.2.9:5002 ");
}

TEST_CASE("FTP dialogue: time runs for what the client does not see, and 425 is the answer") {
  Table t;
  t.open();
  CHECK(t.desk.clock == Desk::Clock::off);
  t.client("PASV\r\n");
  CHECK(t.desk.clock == Desk::Clock::login);
  t.server("227 (10,0,0,1,19,137)\r\n");
  CHECK(t.desk.clock == Desk::Clock::login);
  CHECK(t.dialogue.timed_out(t.desk) == Dialogue::Next::wait);
  CHECK(t.client_got() == "425 No data connection: timed out\r\n");
  CHECK(t.desk.clock == Desk::Clock::off);
  t.client("NOOP\r\n");
  (void)t.server_got();
  t.server("200 ok\r\n");
  t.client("PASV\r\n");
  CHECK(t.dialogue.timed_out(t.desk) == Dialogue::Next::close);  // the server is silent: its answer might come at any time
}

TEST_CASE("FTP dialogue: a full pipe stops it, and loses nothing") {
  Table t;
  t.open();
  std::string sent, got;
  const std::string line = "200-" + std::string(3000, 'x') + "\r\n";
  t.client("HELP\r\n");
  for (int i = 0; i < 40; ++i) {
    while (t.desk.from_server.room() < line.size()) {
      got += t.client_got();
      (void)t.step();
    }
    sent += line;
    t.server(line);
  }
  for (int i = 0; i < 20; ++i) {
    got += t.client_got();
    (void)t.step();
  }
  CHECK(got == sent);
}

TEST_CASE("FTP dialogue: the proxy asks for a host; a name is brought behind the greeting") {
  Table t("");
  CHECK(t.step() == Dialogue::Next::wait);
  CHECK(t.client_got() == "220 FTP proxy: log in as USER name@host[:port]\r\n");
  t.client("USER me@host:2121\r\nPASS x\r\n");
  CHECK(t.last == Dialogue::Next::connect);
  CHECK(t.desk.wish.host == "host");
  CHECK(t.desk.wish.port == 2121);
  CHECK(!t.desk.wish.by_default);
  CHECK(!t.desk.wish.configured);
  t.connect();
  CHECK(t.server_got().empty());
  t.server("120 Soon\r\n220-Hello\r\n220 there\r\n");
  CHECK(t.server_got() == "USER me\r\n");
  CHECK(t.client_got().empty());
  t.server("331 Password\r\n");
  CHECK(t.client_got() == "331 Password\r\n");
  CHECK(t.server_got() == "PASS x\r\n");
  t.server("530 Wrong\r\n");
  t.client("USER you@host:2121\r\n");
  CHECK(t.server_got() == "USER you\r\n");
  t.server("331 Password\r\n");
  (void)t.client_got();
  t.client("USER you@other\r\n");
  CHECK(t.last == Dialogue::Next::connect);
  CHECK(t.desk.wish.host == "other");
  t.dialogue.failed(t.desk, Failure::refused);
  CHECK(t.client_got() == "530 other: connection refused\r\n");
  t.client("QUIT\r\n");
  CHECK(t.last == Dialogue::Next::close);
}

TEST_CASE("FTP dialogue: the end of the server, said by it or not; the end of the client") {
  Table t;
  t.open();
  t.client("QUIT\r\n");
  t.server("221 Bye\r\n");
  t.desk.server_ended = true;
  CHECK(t.step() == Dialogue::Next::close);
  CHECK(t.client_got() == "221 Bye\r\n");
  Table u;
  u.open();
  u.desk.server_ended = true;
  CHECK(u.step() == Dialogue::Next::close);
  CHECK(u.client_got() == "421 The server has closed the connection\r\n");
  Table v;
  v.open();
  v.client("NOOP\r\nNOOP\r\nhalf a line");
  v.desk.client_ended = true;
  (void)v.step();
  CHECK(!v.desk.shut_server);  // the second one waits for the answer to the first
  v.server("200 ok\r\n");
  CHECK(v.server_got() == "NOOP\r\nNOOP\r\n");
  CHECK(v.desk.shut_server);
  v.server("200 too\r\n");
  CHECK(v.client_got() == "200 ok\r\n200 too\r\n");
}

TEST_CASE("FTP dialogue: whatever both sides say, it stays on its feet and answers") {
  static const char* const kSaid[] = {"PASV\r\n", "EPSV\r\n", "PORT 192,0,2,1,19,137\r\n", "EPRT |1|192.0.2.1|5001|\r\n", "RETR a\r\n", "LIST\r\n",
                                      "ABOR\r\n", "STAT\r\n", "USER me@host\r\n", "USER a@b:99\r\n", "OPEN h\r\n", "FEAT\r\n", "QUIT\r\n", "AUTH TLS\r\n", "\xff\xf4\xff\xf2", "EPSV ALL\r\n",
                                      "\r\n", "x", "\n", "NOOP\r\n"};
  static const char* const kAnswers[] = {"220 hi\r\n", "227 (1,2,3,4,19,137)\r\n", "229 (|||5001|)\r\n", "226 done\r\n", "150 here\r\n", "425 no\r\n", "500 what\r\n", "211-x\r\n", " AUTH TLS\r\n",
                                         "211 end\r\n", "227-(1,2,3,4,19,137)\r\n", "227 x\r\n", "garbage\r\n", "\xff\xfe", "421 bye\r\n", "\n", "530 no\r\n"};
  uint32_t seed = 12345;
  const auto random = [&](uint32_t below) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
  };
  for (int round = 0; round < 300; ++round) {
    CAPTURE(round);
    Table t(round % 2 == 0 ? "" : "server");
    for (int i = 0; i < 200 && t.last != Dialogue::Next::close; ++i) {
      const bool filled = t.desk.from_client.room() < 100 || t.desk.from_server.room() < 100;
      switch (filled ? 99u : random(9)) {
        case 0:
        case 1:
        case 2: (void)t.desk.from_client.say(kSaid[random(sizeof kSaid / sizeof *kSaid)]); break;
        case 3:
        case 4:
        case 5:
          if (t.desk.server_open) (void)t.desk.from_server.say(kAnswers[random(sizeof kAnswers / sizeof *kAnswers)]);
          break;
        case 6: t.now = static_cast<DataDoor::State>(random(4)); break;
        case 7: t.desk.client_ended = random(20) == 0; break;
        default:
          if (random(2) == 0) (void)t.client_got();
          (void)t.server_got();
          if (filled) t.desk.from_client.clear(), t.desk.from_server.clear();
      }
      if (t.step() == Dialogue::Next::connect) {
        t.desk.drop_server = false;
        t.desk.from_server.clear();
        if (random(4) == 0) {
          t.desk.server_open = false;
          t.dialogue.failed(t.desk, Failure::refused);
        } else {
          t.connect();
        }
      }
      if (t.desk.drop_server) {
        t.desk.drop_server = t.desk.server_open = false;
        t.desk.from_server.clear();
        t.desk.to_server.clear();
      }
    }
    CHECK(t.desk.to_client.size() <= t.desk.to_client.capacity());
  }
}

TEST_SUITE_END();
