// FTP as no real program speaks it: servers that lie, clients that try to reach others, peers that ask for ports.
// Read next: ftp.cc, relay/data_port.h.
#include <doctest/doctest.h>

#include "tests/e2e/clocks.h"
#include "tests/e2e/peer.h"

using namespace e2e;

namespace {

// A client, line by line.
class Talk {
 public:
  explicit Talk(uint16_t port, const std::string& host = "127.0.0.1", const std::string& from = "") : conn(host, port, from) {}
  // The next whole reply, all its lines; empty: none came in 5 s.
  std::string reply() {
    std::string got;
    (void)wait_for([&] { return take(&got); }, 5);
    return got;
  }
  std::string say(const std::string& line) {
    conn.send(line + "\r\n");
    return reply();
  }
  Conn conn;

 private:
  bool take(std::string* out) {
    const std::string& all = conn.text();
    std::string code;
    for (size_t at = taken_; at < all.size();) {
      const size_t end = all.find('\n', at);
      if (end == std::string::npos) return false;
      const std::string line = all.substr(at, end - at);
      if (code.empty()) code = line.substr(0, 3);
      at = end + 1;
      if (line.substr(0, 4) != code + " ") continue;
      *out = all.substr(taken_, at - taken_);
      taken_ = at;
      return true;
    }
    return false;
  }
  size_t taken_ = 0;
};

// A server that answers each line as `answer` says, and notes the lines.
class Scripted {
 public:
  using Answer = std::function<std::string(const std::string& line)>;
  explicit Scripted(Answer answer, const std::string& host = "127.0.0.1", const std::string& greeting = "220 by hand\r\n")
      : server_(
            [this, answer, greeting](Conn& c) {
              c.send(greeting);
              c.on_bytes = [this, answer, &c](const char* bytes, size_t size) {
                held_.append(bytes, size);
                for (size_t end; (end = held_.find("\r\n")) != std::string::npos; held_.erase(0, end + 2)) {
                  lines.push_back(held_.substr(0, end));
                  const std::string a = answer(lines.back());
                  if (!a.empty()) c.send(a);
                }
              };
            },
            host) {}
  uint16_t port() const { return server_.port(); }
  Server& server() { return server_; }
  size_t count(const std::string& line) const {
    size_t n = 0;
    for (const std::string& l : lines) n += l == line;
    return n;
  }
  Words lines;

 private:
  std::string held_;
  Server server_;
};

std::string six(const std::string& ip, uint16_t port) {
  std::string out = ip;
  for (char& c : out)
    if (c == '.') c = ',';
  return out + "," + text(port >> 8) + "," + text(port & 255);
}

uint16_t port_of_227(const std::string& reply) {
  const size_t open = reply.find('(');
  REQUIRE_MESSAGE(open != std::string::npos, reply);
  unsigned n[6] = {};
  REQUIRE(sscanf(reply.c_str() + open, "(%u,%u,%u,%u,%u,%u)", n, n + 1, n + 2, n + 3, n + 4, n + 5) == 6);
  return static_cast<uint16_t>(n[4] << 8 | n[5]);
}

// Closes what its other side has ended; how many that were.
size_t close_ended(Server& server) {
  size_t n = 0;
  for (auto& c : server.conns()) {
    if (!c->over() || c->closed()) continue;
    c->close();
    ++n;
  }
  return n;
}

// A server of files whose data connections come to `data`.
std::string usual(const std::string& line, uint16_t data) {
  const std::string verb = line.substr(0, 4);
  if (verb == "PASV") return "227 Entering Passive Mode (" + six("127.0.0.1", data) + ").\r\n";
  if (verb == "EPSV") return "229 Extended (|||" + text(data) + "|)\r\n";
  if (verb == "RETR" || verb == "LIST") return "150 Here it comes.\r\n226 Done.\r\n";
  if (verb == "QUIT") return "221 Bye.\r\n";
  if (verb == "ABOR") return "226 Nothing to abort.\r\n";
  if (verb == "FEAT") return "211-Features:\r\n AUTH TLS\r\n EPSV\r\n PBSZ\r\n PROT\r\n UTF8\r\n211 End\r\n";
  if (verb == "STAT") return "211-State:\r\n 212 is not the end\r\n211-nor is this\r\n211 End\r\n";
  return "200 " + line + "\r\n";
}

// Entry and exit around a hand-made server.
struct Line {
  explicit Line(uint16_t server, const Words& more = {}, const std::string& host = "127.0.0.1") {
    Words exit{"-vd", "SERVER=ftp://" + host + ":" + text(server) + ",-in"};
    exit.insert(exit.end(), more.begin(), more.end());
    pair = std::make_unique<Pair>(Words{"-vd", "PORT=0", "RELIABLE=*"}, exit);
  }
  uint16_t port() { return pair->a->port(); }
  std::unique_ptr<Pair> pair;
};

}  // namespace

TEST_CASE("FTP by hand: a server that names another host in PASV: only the port counts") {
  Server right(gives(60, 1000)), wrong(gives(61, 1000), "127.0.0.3");
  Scripted server([&](const std::string& line) {
    if (line == "PASV") return "227 Entering Passive Mode (" + six("127.0.0.3", right.port()) + ").\r\n";
    return usual(line, 0);
  });
  Line line(server.port());
  Talk client(line.port());
  CHECK(client.reply() == "220 by hand\r\n");
  const uint16_t at = port_of_227(client.say("PASV"));
  Conn data(at);
  data.expect_pattern(60);
  CHECK(wait_for([&] { return data.ended(); }, 5));
  CHECK(data.received() == 1000);
  CHECK(!data.wrong());
  CHECK(right.accepted() == 1);
  CHECK(wrong.accepted() == 0);
}

TEST_CASE("FTP by hand: ports that no server of data has, and answers that are none, are told as 425") {
  Scripted server([&](const std::string& line) -> std::string {
    static int n = 0;
    if (line != "PASV") return usual(line, 0);
    switch (n++) {
      case 0: return "227 Entering Passive Mode (127,0,0,1,0,22)\r\n";
      case 1: return "227 Entering Passive Mode (127,0,0,1,0,0)\r\n";
      case 2: return "227 Entering Passive Mode\r\n";
      case 3: return "227 Entering Passive Mode (127,0,0,1,300,1)\r\n";
      default: return "530 Log in first\r\n";
    }
  });
  Line line(server.port());
  Talk client(line.port());
  (void)client.reply();
  for (int i = 0; i < 4; ++i) CHECK(client.say("PASV") == "425 The server's answer names no data port that may be used\r\n");
  CHECK(client.say("PASV") == "530 Log in first\r\n");
  CHECK(client.say("NOOP") == "200 NOOP\r\n");
}

TEST_CASE("FTP by hand: garbage from a server is passed on; a line without end ends the connection, with a reply") {
  std::string garbage(200, '\xfe');
  Scripted server([&](const std::string& line) -> std::string {
    if (line == "NOOP") return garbage + "\r\n\r\nno code\r\n99 \r\n200 after all\r\n";
    if (line == "SYST") return std::string(100000, 'x');
    return usual(line, 0);
  });
  Line line(server.port());
  Talk client(line.port());
  (void)client.reply();
  client.conn.send("NOOP\r\n");
  CHECK(wait_for([&] { return client.conn.text().find("200 after all\r\n") != std::string::npos; }, 5));
  CHECK(client.conn.text().find(garbage) != std::string::npos);
  client.conn.send("SYST\r\n");
  CHECK(wait_for([&] { return client.conn.ended(); }, 5));
  CHECK(client.conn.text().find("421 The server's reply is too long a line\r\n") != std::string::npos);
  CHECK(Talk(line.port()).reply() == "220 by hand\r\n");
}

TEST_CASE("FTP by hand: PORT and EPRT that name another host or a port of the system are illegal") {
  Server data(gives(62, 100));
  Scripted server([&](const std::string& line) { return usual(line, data.port()); });
  Line line(server.port());
  Talk client(line.port());
  (void)client.reply();
  CHECK(client.say("PORT 127,0,0,3,8,0") == "500 Illegal PORT command\r\n");
  CHECK(client.say("PORT 127,0,0,1,0,80") == "500 Illegal PORT command\r\n");
  CHECK(client.say("EPRT |1|127.0.0.3|2048|") == "500 Illegal EPRT command\r\n");
  CHECK(client.say("EPRT |1|127.0.0.1|80|") == "500 Illegal EPRT command\r\n");
  CHECK(client.say("EPRT |2|::1|2048|") == "522 Network protocol not supported, use (1)\r\n");
  CHECK(client.say("EPRT |3|x|2048|") == "522 Network protocol not supported, use (1)\r\n");
  CHECK(client.say("EPRT nothing").substr(0, 3) == "501");
  CHECK(client.say("PORT 1,2,3").substr(0, 3) == "501");
  CHECK(client.say("EPSV 2") == "522 Network protocol not supported, use (1)\r\n");
  CHECK(server.count("PASV") == 0);
  CHECK(client.say("EPSV ALL").substr(0, 3) == "200");
  CHECK(client.say("PASV").substr(0, 3) == "501");
  CHECK(client.say("PORT 127,0,0,1,8,0").substr(0, 3) == "501");
}

TEST_CASE("FTP by hand: active: the client is connected to when a transfer begins, and told if that fails") {
  Server data(gives(63, 5000));
  Scripted server([&](const std::string& line) { return usual(line, data.port()); });
  Line line(server.port());
  Talk client(line.port());
  (void)client.reply();
  Server listening([](Conn& c) { c.expect_pattern(63); });
  DeadPort dead;
  CHECK(client.say("PORT " + six("127.0.0.1", listening.port())) == "200 PORT command successful\r\n");
  CHECK(client.say("TYPE I") == "200 TYPE I\r\n");
  CHECK(listening.accepted() == 0);
  CHECK(client.say("RETR a") == "150 Here it comes.\r\n");
  CHECK(client.reply() == "226 Done.\r\n");
  REQUIRE(wait_for([&] { return listening.accepted() == 1 && listening.last().ended(); }, 5));
  CHECK(listening.last().received() == 5000);
  CHECK(!listening.last().wrong());
  // Nobody listens there: the server hears nothing of the transfer.
  CHECK(client.say("EPRT |1|127.0.0.1|" + text(dead.port()) + "|") == "200 EPRT command successful\r\n");
  CHECK(client.say("RETR b") == "425 Can't connect to your port: refused\r\n");
  CHECK(server.count("RETR b") == 0);
  CHECK(client.say("NOOP") == "200 NOOP\r\n");
  CHECK(line.pair->a->process().wait_log(" server-failed ", 5));
}

TEST_CASE("FTP by hand: of two PASV in a row the last one counts, and each takes one client") {
  Server data(gives(64, 100));
  Scripted server([&](const std::string& line) { return usual(line, data.port()); });
  Line line(server.port());
  Talk client(line.port());
  (void)client.reply();
  const uint16_t first = port_of_227(client.say("PASV")), second = port_of_227(client.say("PASV"));
  CHECK(first != second);
  CHECK(wait_for([&] { return Conn(first).error() != 0 || ask(first, "", 1).find("refused") != std::string::npos; }, 5));
  Conn one(second);
  CHECK(wait_for([&] { return one.ended(); }, 5));
  CHECK(one.received() == 100);
  Conn two(second);
  CHECK(wait_for([&] { return two.over(); }, 5));
  CHECK(two.received() == 0);
  CHECK(data.accepted() == 1);
  one.close();
  // Many more, none used: no more than one port at a time.
  const size_t idle = line.pair->a->descriptors();
  for (int i = 0; i < 30; ++i) (void)port_of_227(client.say(i % 2 == 0 ? "PASV" : "PASV "));
  const size_t open = line.pair->a->descriptors();
  CHECK(open <= idle + 1);
  client.conn.close();
  CHECK(wait_for([&] { return close_ended(server.server()) == 1; }, 5));
  CHECK(wait_for([&] { return line.pair->a->descriptors() == open - 2; }, 5));
  CHECK(line.pair->a->wait_channels(0, 5));
}

TEST_CASE("FTP by hand: nobody but the client of the control connection gets in at its data port") {
  Server data(gives(65, 100));
  Scripted server([&](const std::string& line) { return usual(line, data.port()); });
  Line line(server.port());
  Talk client(line.port());
  (void)client.reply();
  const uint16_t at = port_of_227(client.say("PASV"));
  for (int i = 0; i < 3; ++i) {
    Conn other("127.0.0.1", at, "127.0.0.5");
    CHECK(wait_for([&] { return other.over(); }, 5));
    CHECK(other.received() == 0);
  }
  CHECK(line.pair->a->process().count(" data-refused ") == 3);
  CHECK(data.accepted() == 0);
  Conn own(at);
  CHECK(wait_for([&] { return own.ended(); }, 5));
  CHECK(own.received() == 100);
}

TEST_CASE("FTP by hand: a client that comes to its data port while the link is cut waits for the next one") {
  Server data(gives(70, 1000));
  Scripted server([&](const std::string& line) { return usual(line, data.port()); });
  Daemon entry({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "-vd"});
  Wire wire(entry.link_port());
  Daemon exit({"SERVER=sockmux://" + local(wire.port()), "SERVER=ftp://" + local(server.port()) + ",-in"});
  REQUIRE(exit->wait_log(" link-up ", 5));
  Talk client(entry.port());
  CHECK(client.reply() == "220 by hand\r\n");
  for (int i = 0; i < 3; ++i) {
    CAPTURE(i);
    const uint16_t at = port_of_227(client.say("PASV"));
    const size_t from = entry->log().size();
    wire.refuses = true;
    wire.cut();
    REQUIRE(entry->wait_log(" link-down ", 5, from));
    Conn conn(at);
    conn.expect_pattern(70);
    (void)entry.statistics();  // it has seen the client, too
    CHECK_FALSE(conn.over());
    wire.refuses = false;
    CHECK(wait_for([&] { return conn.over(); }, 20));
    CHECK(conn.ended());
    CHECK(conn.received() == 1000);
  }
  CHECK(entry->count(" data-refused ") == 0);
}

TEST_CASE("FTP by hand: a data port stays as long as the link is cut, and as its session is held") {
  if (cannot_shift()) return;
  Clocks clocks;
  Server data(gives(70, 1000));
  Scripted server([&](const std::string& line) { return usual(line, data.port()); });
  Daemon entry({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "TIMEOUT=resume:600"}, clocks.setup());
  Wire wire(entry.link_port());
  Daemon exit({"SERVER=sockmux://" + local(wire.port()), "SERVER=ftp://" + local(server.port()) + ",-in", "TIMEOUT=resume:600"});
  REQUIRE(exit->wait_log(" link-up ", 5));
  Talk client(entry.port());
  CHECK(client.reply() == "220 by hand\r\n");
  const uint16_t at = port_of_227(client.say("PASV"));
  wire.refuses = true;
  wire.cut();
  REQUIRE(entry->wait_log(" link-down ", 5));
  Conn waits(at);
  waits.expect_pattern(70);
  for (int i = 0; i < 3; ++i) {
    clocks.add_monotonic(61);
    (void)entry.statistics();  // its timers have seen that
  }
  CHECK_FALSE(waits.over());
  wire.refuses = false;
  CHECK(wait_for([&] { return waits.over(); }, 20));
  CHECK(waits.received() == 1000);
}

TEST_CASE("FTP by hand: the control connection is closed during a transfer, and before one") {
  Server data(gives(66, 100 << 20));
  Scripted server([&](const std::string& line) {
    if (line.substr(0, 4) == "RETR") return std::string("150 Here it comes.\r\n");
    return usual(line, data.port());
  });
  Line line(server.port());
  const size_t idle_a = line.pair->a->descriptors(), idle_c = line.pair->c->descriptors();
  {
    Talk client(line.port());
    (void)client.reply();
    Conn receives(port_of_227(client.say("PASV")));
    receives.rate = 1 << 20;
    CHECK(client.say("RETR all") == "150 Here it comes.\r\n");
    CHECK(wait_for([&] { return receives.received() > 100000; }, 5));
    client.conn.close();
    // The server decides what becomes of the transfer: it hears that its client is gone.
    CHECK(wait_for([&] { return close_ended(server.server()) == 1; }, 5));
    for (auto& c : data.conns()) c->close();
    receives.rate = 0;
    CHECK(wait_for([&] { return receives.over(); }, 10));
  }
  {
    Talk client(line.port());
    (void)client.reply();
    const uint16_t at = port_of_227(client.say("PASV"));
    client.conn.reset();
    CHECK(wait_for([&] { return ask(at, "", 1).find("refused") != std::string::npos; }, 5));
  }
  (void)wait_for([&] { return close_ended(server.server()) > 0; }, 1);
  CHECK(line.pair->a->wait_channels(0, 10));
  CHECK(wait_for([&] { return line.pair->a->descriptors() == idle_a && line.pair->c->descriptors() == idle_c; }, 5));
}

TEST_CASE("FTP by hand: FEAT without what hides data, AUTH refused, long lines, telnet's commands, many lines at once") {
  Server data(gives(67, 100));
  Scripted server([&](const std::string& line) { return usual(line, data.port()); });
  Line line(server.port());
  Talk client(line.port());
  (void)client.reply();
  CHECK(client.say("FEAT") == "211-Features:\r\n EPSV\r\n UTF8\r\n211 End\r\n");
  CHECK(client.say("AUTH TLS").substr(0, 4) == "534 ");
  CHECK(client.say("auth ssl").substr(0, 4) == "534 ");
  CHECK(client.say("PBSZ 0").substr(0, 4) == "502 ");
  CHECK(client.say("PROT P").substr(0, 4) == "502 ");
  CHECK(client.say("LPRT 4,4,127,0,0,1,2,8,0").substr(0, 4) == "502 ");
  CHECK(client.say(std::string(4000, 'a')) == "200 " + std::string(4000, 'a') + "\r\n");
  CHECK(client.say(std::string(4097, 'a')) == "500 The line is too long\r\n");
}

TEST_CASE("FTP by hand: a line without end from a client is one error, whatever its length") {
  Server data(gives(68, 100));
  Scripted server([&](const std::string& line) { return usual(line, data.port()); });
  Line line(server.port());
  Talk client(line.port());
  (void)client.reply();
  client.conn.send(std::string(1 << 20, 'a'));
  CHECK(client.reply() == "500 The line is too long\r\n");
  CHECK(client.say("the rest of it\r\nNOOP") == "200 NOOP\r\n");
  // Answers in the order of the commands, however they come.
  client.conn.send("NOOP\r\nSTAT\r\nPASV\r\nNOOP 2\r\nEPSV\r\nTYPE A\r\n");
  CHECK(client.reply() == "200 NOOP\r\n");
  CHECK(client.reply() == "211-State:\r\n 212 is not the end\r\n211-nor is this\r\n211 End\r\n");
  CHECK(client.reply().substr(0, 4) == "227 ");
  CHECK(client.reply() == "200 NOOP 2\r\n");
  CHECK(client.reply().substr(0, 4) == "229 ");
  CHECK(client.reply() == "200 TYPE A\r\n");
  // Telnet's interrupt, its mark, and options are not the server's.
  CHECK(client.say("\xff\xf4\xff\xf2NO\xff\xfd\x01OP") == "200 NOOP\r\n");
  CHECK(client.say("\xff\xf4\xff\xf2" "ABOR") == "226 Nothing to abort.\r\n");
  CHECK(server.count("ABOR") == 1);
  // All of the conversation in one piece, and its end.
  client.conn.send("NOOP last\r\nQUIT\r\n").shut();
  CHECK(client.reply() == "200 NOOP last\r\n");
  CHECK(client.reply() == "221 Bye.\r\n");
}

TEST_CASE("FTP by hand: ABOR and STAT overtake a transfer") {
  Server data(gives(69, 1 << 30));
  Scripted server([&](const std::string& line) -> std::string {
    if (line.substr(0, 4) == "RETR") return "150 Here it comes.\r\n";
    if (line == "STAT") return "211 Still there.\r\n";
    if (line == "ABOR") return "426 Aborted.\r\n226 As you said.\r\n";
    return usual(line, data.port());
  });
  Line line(server.port());
  Talk client(line.port());
  (void)client.reply();
  Conn receives(port_of_227(client.say("PASV")));
  receives.rate = 1000;
  CHECK(client.say("RETR all") == "150 Here it comes.\r\n");
  CHECK(client.say("STAT") == "211 Still there.\r\n");
  CHECK(client.say("ABOR") == "426 Aborted.\r\n");
  CHECK(client.reply() == "226 As you said.\r\n");
  receives.close();
  CHECK(client.say("NOOP") == "200 NOOP\r\n");
  Conn again(port_of_227(client.say("PASV")));
  CHECK(wait_for([&] { return again.received() > 1000; }, 5));
}

// A server that sends looks at its control connection only when urgent data come (vsftpd with async_abor_enable), and a client
// that waits for the answer to ABOR takes no data meanwhile: without the mark both would wait for ever. RFC 959, 4.1.3.
TEST_CASE("FTP by hand: what comes as urgent data during a transfer goes to the server so, and nothing else does") {
  Server data(gives(69, 1 << 30));
  Scripted server([&](const std::string& line) -> std::string {
    if (line.substr(0, 4) == "RETR") return "150 Here it comes.\r\n";
    if (line == "STAT") return "211 Still there.\r\n";
    if (line.find("ABOR") != std::string::npos) return "426 Aborted.\r\n226 As you said.\r\n";
    return usual(line, data.port());
  });
  Line line(server.port());
  Talk client(line.port());
  (void)client.reply();
  server.server().last().watch_urgent();
  for (const bool marked : {true, false, true}) {
    CAPTURE(marked);
    const size_t marks = server.server().last().urgent().size();
    Conn receives(port_of_227(client.say("PASV")));
    receives.reading = false;
    CHECK(client.say("RETR all") == "150 Here it comes.\r\n");
    CHECK(client.say("STAT") == "211 Still there.\r\n");
    if (marked) client.conn.send("\xff\xf4").send_urgent('\xff').send("\xf2");
    CHECK(client.say("ABOR") == "426 Aborted.\r\n");
    CHECK(client.reply() == "226 As you said.\r\n");
    CHECK(server.server().last().urgent().size() == marks + (marked ? 1 : 0));
    CHECK(server.lines.back() == std::string(marked ? "\xff\xf4\xff\xf2" : "") + "ABOR");
    CHECK(client.say("NOOP") == "200 NOOP\r\n");
  }
}

TEST_CASE("FTP by hand: a server that knows no EPSV, and one that is not there") {
  Server data(gives(70, 100));
  Scripted server([&](const std::string& line) {
    if (line == "EPSV") return std::string("502 What?\r\n");
    return usual(line, data.port());
  });
  {
    Line line(server.port());
    Talk client(line.port());
    (void)client.reply();
    const std::string reply = client.say("EPSV");
    CHECK(reply.substr(0, 4) == "229 ");
    Conn receives(static_cast<uint16_t>(atoi(reply.c_str() + reply.find("|||") + 3)));
    CHECK(wait_for([&] { return receives.ended(); }, 5));
    CHECK(receives.received() == 100);
  }
  DeadPort dead;
  Line line(dead.port());
  Talk client(line.port());
  CHECK(client.reply() == "421 connection refused\r\n");
  CHECK(wait_for([&] { return client.conn.ended(); }, 5));
}

TEST_CASE("FTP by hand: the proxy's own words") {
  Server data(gives(71, 100));
  Scripted server([&](const std::string& line) {
    if (line == "USER bad") return std::string("530 No.\r\n");
    return usual(line, data.port());
  });
  Scripted closed([&](const std::string& line) { return usual(line, 0); }, "127.0.0.1", "421-Not now,\r\n421 come back later\r\n");
  Pair p({"PORT=0"}, {"SERVER=ftp,-in", "REMITTABLE=ftp/" + text(server.port()) + ",ftp/" + text(closed.port()), "TIMEOUT=login:2"});
  Talk client(p.a->port());
  CHECK(client.reply() == "220 FTP proxy: log in as USER name@host[:port]\r\n");
  CHECK(client.say("SYST").substr(0, 4) == "530 ");
  CHECK(client.say("AUTH TLS").substr(0, 4) == "534 ");
  CHECK(client.say("PASV").substr(0, 4) == "530 ");
  CHECK(client.say("USER me").substr(0, 4) == "530 ");
  CHECK(client.say("USER me@") .substr(0, 4) == "530 ");
  CHECK(client.say("USER me@a/b").substr(0, 4) == "530 ");
  CHECK(client.say("OPEN").substr(0, 4) == "501 ");
  CHECK(client.say("NOOP").substr(0, 4) == "200 ");
  CHECK(client.say("USER me@" + local(closed.port())) == "421-Not now,\r\n421 come back later\r\n");
  CHECK(client.say("USER bad@" + local(server.port())) == "530 No.\r\n");
  CHECK(client.say("USER me@there@" + local(server.port())) == "200 USER me@there\r\n");
  CHECK(server.server().accepted() == 1);
  Conn receives(port_of_227(client.say("PASV")));
  CHECK(wait_for([&] { return receives.ended(); }, 5));
  CHECK(receives.received() == 100);
  Talk other(p.a->port());
  (void)other.reply();
  CHECK(other.say("OPEN " + local(server.port())) == "220 by hand\r\n");
  CHECK(other.say("USER me@example.com") == "200 USER me@example.com\r\n");
  Talk silent(p.a->port());
  (void)silent.reply();
  CHECK(silent.reply() == "421 Timed out\r\n");
  CHECK(wait_for([&] { return silent.conn.ended(); }, 5));
  CHECK(other.say("NOOP") == "200 NOOP\r\n");
}

// ---- the peer is the bad one

namespace {

std::string field(uint8_t type, const std::string& value) {
  return std::string(1, static_cast<char>(type)) + static_cast<char>(value.size()) + value;
}
std::string address(const std::string& ip, uint16_t port) { return "\x04" + ip + be16(port); }
const std::string kOne("\x7f\0\0\1", 4);

unsigned code_of(const Peer1& peer, unsigned number) {
  const Peer1::Seen* close = peer.find(kClose, 0xffff, number);
  return close == nullptr || close->payload.empty() ? 999 : static_cast<uint8_t>(close->payload[0]);
}

}  // namespace

TEST_CASE("a peer may ask for a port for a client that is there, and for nobody else") {
  Daemon entry({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "RELIABLE=*", "SOXCONF=proto:1"});
  Peer1 peer(entry.link_port());
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  Conn client(entry.port());
  REQUIRE(wait_for([&] { return peer.find(kConnect, 0, 0xffff) != nullptr; }, 5));
  peer.numbered(kConnected, 0xffff, 0, "");
  const std::string kind("\x01", 1), here = field(2, address(kOne, 0));
  peer.numbered(kBind, 1, 0xffff, kind + here);                                                       // for everybody
  peer.numbered(kBind, 2, 0xffff, kind + here + field(0x86, be16(7)));                                // no such channel
  peer.numbered(kBind, 3, 0xffff, kind + field(2, address(std::string("\x7f\0\0\3", 4), 0)) + field(0x86, be16(0)));  // elsewhere
  peer.numbered(kBind, 4, 0xffff, kind + field(2, address(kOne, 2049)) + field(0x86, be16(0)));       // a port of its choice
  peer.numbered(kBind, 5, 0xffff, std::string("\x02", 1) + here + field(0x86, be16(0)));              // UDP
  peer.numbered(kBind, 6, 0xffff, kind + here + field(0x86, be16(0)) + field(0x90, "x"));             // something newer
  peer.numbered(kBind, 7, 0xffff, kind + here + field(0x86, be16(0)));
  REQUIRE(wait_for([&] { return peer.find(kBindok, 0xffff, 7) != nullptr; }, 5));
  for (unsigned n = 1; n <= 4; ++n) CHECK(code_of(peer, n) == 5);
  for (unsigned n = 5; n <= 6; ++n) CHECK(code_of(peer, n) == 10);
  for (unsigned n = 1; n <= 6; ++n) peer.numbered(kClose, n, 0xffff, std::string(1, '\0'));
  // Four of one client, no more.
  for (unsigned n = 8; n <= 11; ++n) peer.numbered(kBind, n, 0xffff, kind + here + field(0x86, be16(0)));
  REQUIRE(wait_for([&] { return peer.find(kClose, 0xffff, 11) != nullptr; }, 5));
  CHECK(code_of(peer, 11) == 6);
  for (unsigned n = 8; n <= 10; ++n) CHECK(peer.find(kBindok, 0xffff, n) != nullptr);
  // A client comes: CONNECT names the BIND, whose CLOSE follows.
  const std::string ok = peer.find(kBindok, 0xffff, 7)->payload;
  REQUIRE(ok.size() == 9);
  const uint16_t at = static_cast<uint16_t>(static_cast<uint8_t>(ok[7]) << 8 | static_cast<uint8_t>(ok[8]));
  Conn data(at);
  REQUIRE(wait_for([&] { return peer.find(kClose, 0xffff, 7) != nullptr; }, 5));
  CHECK(code_of(peer, 7) == 0);
  REQUIRE(peer.find(kConnect, 1, 0xffff) != nullptr);
  CHECK(peer.find(kConnect, 1, 0xffff)->payload.find(field(4, be16(7))) != std::string::npos);
  // The ports go with their client.
  client.close();
  REQUIRE(wait_for([&] { return peer.find(kFin, 0, 0xffff) != nullptr; }, 5));
  peer.numbered(kFin, 0xffff, 0, "");
  peer.numbered(kClose, 0xffff, 0, std::string(1, '\0'));
  CHECK(wait_for([&] { return peer.find(kClose, 0xffff, 8) && peer.find(kClose, 0xffff, 9) && peer.find(kClose, 0xffff, 10); }, 5));
  CHECK(peer.bye() == -1);
}

TEST_CASE("a peer may have a client connected to only where that client has said") {
  Daemon entry({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "RELIABLE=*"});
  Server reached(gives(72, 10));
  Peer1 peer(entry.link_port());
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  Conn client(entry.port());
  REQUIRE(wait_for([&] { return peer.find(kConnect, 0, 0xffff) != nullptr; }, 5));
  peer.numbered(kConnected, 0xffff, 0, "");
  const std::string head = "\x01" + field(2, address(kOne, 9));
  const auto call = [&](unsigned number, unsigned channel, uint16_t port) {
    peer.numbered(kConnect, number, 0xffff, head + field(0x85, be16(channel) + be16(port)));
    (void)wait_for([&] { return peer.find(kClose, 0xffff, number) != nullptr || peer.find(kConnected, 0xffff, number) != nullptr; }, 5);
  };
  call(0, 0, reached.port());  // it has said nothing
  CHECK(code_of(peer, 0) == 5);
  client.send("hello PORT " + six("127.0.0.1", reached.port()) + "\r\n");
  REQUIRE(wait_for([&] { return peer.find(kSend, 0, 0xffff) != nullptr; }, 5));
  call(1, 0, reached.port());  // not a command
  CHECK(code_of(peer, 1) == 5);
  client.send("PORT " + six("127.0.0.3", reached.port()) + "\r\n");
  REQUIRE(wait_for([&] { return peer.find(kSend, 0, 0xffff)->payload.find("127,0,0,3") != std::string::npos; }, 5));
  call(2, 0, reached.port());  // another host's
  CHECK(code_of(peer, 2) == 5);
  client.send("TYPE I\r\nPORT " + six("127.0.0.1", reached.port()) + "\r\n");
  REQUIRE(wait_for([&] { return peer.find(kSend, 0, 0xffff)->payload.find("TYPE I") != std::string::npos; }, 5));
  call(3, 0, static_cast<uint16_t>(reached.port() + 1));
  CHECK(code_of(peer, 3) == 5);
  call(4, 1, reached.port());  // no such channel
  CHECK(code_of(peer, 4) == 5);
  CHECK(reached.accepted() == 0);
  call(5, 0, reached.port());
  CHECK(peer.find(kConnected, 0xffff, 5) != nullptr);
  CHECK(wait_for([&] { return reached.accepted() == 1; }, 5));
  call(6, 0, reached.port());  // once
  CHECK(code_of(peer, 6) == 5);
  // Byte by byte, as from a keyboard.
  const std::string slow = "PORT " + six("127.0.0.1", reached.port()) + "\r\n";
  for (size_t i = 0; i < slow.size(); ++i) {
    const size_t got = peer.packets;
    client.send(slow.substr(i, 1));
    REQUIRE(wait_for([&] { return peer.packets > got; }, 5));
  }
  call(7, 0, reached.port());
  CHECK(peer.find(kConnected, 0xffff, 7) != nullptr);
  CHECK(entry->count(" data-refused ") == 6);
}

TEST_CASE("data connections of FTP are TCP: a peer's datagrams get none of them") {
  Server data(gives(73, 10));
  Scripted ftp([&](const std::string& line) { return usual(line, data.port()); });
  Daemon exit({"SERVER=sockmux", "-P127.0.0.1:0", "SERVER=ftp://" + local(ftp.port()) + ",-in"});
  Peer1 peer(exit.link_port());
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  const std::string tcp("\x01"), udp("\x02"), fields = field(1, address(kOne, 4000)) + field(2, address(kOne, 21));
  peer.numbered(kConnect, 0, 0xffff, tcp + fields);
  peer.numbered(kSend, 0, 0xffff, "PASV\r\n");
  REQUIRE(wait_for([&] { return peer.find(kBind, 0, 0xffff) != nullptr; }, 5));
  peer.numbered(kBindok, 0xffff, 0, field(2, address(kOne, 9000)));
  peer.numbered(kConnect, 1, 0xffff, udp + fields + field(4, be16(0)));
  peer.numbered(kConnect, 2, 0xffff, udp + fields + field(0x85, be16(0) + be16(9000)));
  REQUIRE(wait_for([&] { return peer.find(kClose, 0xffff, 1) != nullptr && peer.find(kClose, 0xffff, 2) != nullptr; }, 5));
  CHECK(code_of(peer, 1) == 5);
  CHECK(code_of(peer, 2) == 10);
  CHECK(data.accepted() == 0);
  peer.numbered(kConnect, 3, 0xffff, tcp + fields + field(4, be16(0)));
  CHECK(wait_for([&] { return data.accepted() == 1 && peer.find(kConnected, 0xffff, 3) != nullptr; }, 5));
  CHECK(peer.bye() == -1);
}

TEST_CASE("BIND that breaks the rules of its channel ends the link") {
  Daemon entry({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
  const std::string kind("\x01", 1), here = field(2, address(kOne, 0));
  using Bad = std::function<void(Peer1&)>;
  const std::vector<Bad> all = {
      [&](Peer1& p) { p.numbered(kBind, 0, 0xffff, kind); },                                         // where?
      [&](Peer1& p) { p.numbered(kBind, 0, 0xffff, kind + here + here); },
      [&](Peer1& p) { p.numbered(kBind, 0, 0xffff, kind + here + field(0x86, "x")); },
      [&](Peer1& p) { p.numbered(kBind, 0, 0xffff, kind + here), p.numbered(kBind, 0, 0xffff, kind + here); },
      [&](Peer1& p) { p.numbered(kBind, 5000, 0xffff, kind + here); },
      [&](Peer1& p) { p.numbered(kBindok, 0xffff, 0, here); },                                       // to nothing
      [&](Peer1& p) { p.numbered(kBind, 0, 0xffff, kind + here), p.numbered(kSend, 0, 0xffff, "x"); },
      [&](Peer1& p) { p.numbered(kBind, 0, 0xffff, kind + here), p.numbered(kCredit, 0, 0xffff, be32(1)); },
      [&](Peer1& p) { p.numbered(kConnect, 0, 0xffff, kind + here + field(4, be16(1)) + field(0x85, be16(0) + be16(9000))); },
  };
  for (size_t i = 0; i < all.size(); ++i) {
    CAPTURE(i);
    Peer1 peer(entry.link_port());
    REQUIRE(wait_for([&] { return peer.up(); }, 5));
    all[i](peer);
    CHECK(wait_for([&] { return peer.bye() == 0x81; }, 5));
  }
}
