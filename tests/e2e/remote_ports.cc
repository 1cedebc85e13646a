// Ports that a connector asks its hub for (RPORT=): what comes through them, who gets none and is told why, and what cuts,
// restarts and HUP do to them. Rules: sockmux.conf(5), "RPORT" and "PEERS FILE"; sockmux(7), "BIND".
// Read next: secure_site.h, peers_file.cc.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/datagrams.h"
#include "tests/e2e/proxies.h"
#include "tests/e2e/secure_site.h"

using namespace e2e;

namespace {

// The ports of the lines "bind-open" in a log, from `from` on.
std::vector<uint16_t> ports_in(const std::string& log, const std::string& name, size_t from = 0) {
  std::vector<uint16_t> ports;
  for (size_t at = log.find(" bind-open ", from); at != std::string::npos; at = log.find(" bind-open ", at + 1)) {
    const std::string line = log.substr(at, log.find('\n', at) - at);
    const size_t mark = line.find(" name=" + name + " at=127.0.0.1:");
    if (mark != std::string::npos) ports.push_back(static_cast<uint16_t>(atoi(line.c_str() + line.rfind(':') + 1)));
  }
  return ports;
}

// A hub that gives "east" what `words` say, and a line to it.
struct Hub {
  explicit Hub(const std::string& words, const Words& options = {}) : rights(words) {
    site.knows("east", east, words);
    east.knows("hub", site);
    daemon = std::make_unique<Daemon>(site.words(join({"SERVER=sockmuxs", "-P127.0.0.1:0"}, options)));
    tap = std::make_unique<Tap>(daemon->link_port());
  }
  // East comes with these words.
  std::unique_ptr<Daemon> branch(const Words& words) {
    auto d = std::make_unique<Daemon>(east.words(join({"SERVER=sockmuxs://" + local(tap->port())}, words)));
    REQUIRE((*d)->wait_log(" link-up ", 10));
    return d;
  }
  Process& log() { return (*daemon).process(); }
  // East's ports, once there are `count` of them, behind `from` of the log.
  std::vector<uint16_t> ports(size_t count, size_t from = 0) {
    REQUIRE(wait_for([&] { return ports_in(log().log(), "east", from).size() >= count; }, 10));
    return ports_in(log().log(), "east", from);
  }
  void now_gives(const std::string& words) {
    const size_t from = log().log().size();
    site.write_peers("east " + east.shown() + " " + words + "\n");
    log().signal(SIGHUP);
    REQUIRE(log().wait_log(" peers-read ", 5, from));
  }

  Site site, east;
  std::string rights;
  std::unique_ptr<Daemon> daemon;
  std::unique_ptr<Tap> tap;
};

bool echoed(Conn& c, const std::string& word) {
  const size_t had = c.text().size();
  c.send(word);
  return wait_for([&] { return c.over() || c.text().size() >= had + word.size(); }, 10) && c.text().substr(had) == word;
}

// As much of an FTP server as one download by PASV needs.
void speaks_ftp(Conn& c, uint16_t data_port) {
  const std::string at = "127,0,0,1," + text(data_port >> 8) + "," + text(data_port & 255u);
  auto line = std::make_shared<std::string>();
  c.send("220 ready\r\n");
  c.on_bytes = [&c, at, line](const char* bytes, size_t size) {
    *line += std::string(bytes, size);
    for (size_t end = line->find("\r\n"); end != std::string::npos; end = line->find("\r\n")) {
      const std::string word = line->substr(0, 4);
      line->erase(0, end + 2);
      if (word == "PASV") c.send("227 Entering Passive Mode (" + at + ")\r\n");
      else if (word == "RETR") c.send("150 here it comes\r\n226 that was it\r\n");
      else if (word == "USER") c.send("331 password?\r\n");
      else if (word == "PASS") c.send("230 welcome\r\n");
      else c.send("200 as you like\r\n");
    }
  };
}

// Nobody listens there.
bool closed(uint16_t port) {
  Conn c(port);
  return wait_for([&] { return c.error() != 0; }, 5);
}

}  // namespace

TEST_CASE("remote port: clients of the hub's port reach the branch's servers, with all their bytes, both ways") {
  Hub hub("PORT=0");
  Server server(echoes);
  const auto b = hub.branch({"RPORT=127.0.0.1:0", "DEST=" + local(server.port())});
  const uint16_t port = hub.ports(1)[0];
  CHECK((*b)->wait_log(" bind-open session=1 name=hub at=" + local(port), 5));
  Conn copy(port), talk(port);
  copy.expect_pattern(3).send_pattern(3, 5000000).shut();
  CHECK(echoed(talk, "hello"));
  CHECK(wait_for([&] { return copy.over(); }, 30));
  CHECK(copy.received() == 5000000);
  CHECK_FALSE(copy.wrong());
  CHECK(copy.error() == 0);
  Crowd crowd;
  crowd.ports = {port};
  check_crowd(crowd);
  // The branch gives the port back when it ends, and waits for nothing.
  const size_t from = hub.log().log().size();
  talk.close();
  const double began = now();
  (*b)->signal(SIGTERM);
  CHECK((*b)->wait_end(5));
  CHECK(now() - began < 2 * slowness());
  CHECK(hub.log().wait_log(" bind-ended ", 5, from));
  CHECK(closed(port));
}

TEST_CASE("remote port: sockmuxctl shows it as open on both sides") {
  TempFolder folder;
  Hub hub("PORT=0", {"SOXCONF=control:" + folder / "a"});
  const auto b = hub.branch({"RPORT=127.0.0.1:0", "DEST=127.0.0.1:9", "SOXCONF=control:" + folder / "c"});
  REQUIRE((*b)->wait_log(" bind-open ", 5));
  for (const char* side : {"a", "c"}) {
    CAPTURE(side);
    const std::string json = ctl({"channels", "--json", "-s", folder / side}).out;
    CHECK_MESSAGE(json.find(*side == 'a' ? "\"kind\": \"bind\"" : "\"kind\": \"rport\"") != std::string::npos, json);
    CHECK_MESSAGE(json.find("\"state\": \"open\"") != std::string::npos, json);
  }
}

TEST_CASE("remote port: datagrams of all sizes, and flows of many clients") {
  Hub hub("PORT=0/udp");
  UdpServer udp(same);
  const auto b = hub.branch({"RPORT=127.0.0.1:0/udp", "DEST=" + local(udp.port()) + "/udp"});
  const uint16_t port = hub.ports(1)[0];
  CHECK((*b)->wait_log(" at=" + local(port) + " kind=udp", 5));
  Udp first(port);
  for (const size_t size : {size_t{1}, size_t{1400}, size_t{16384}, size_t{65507}, size_t{0}}) {
    CAPTURE(size);
    CHECK(first.ask(pattern(size, size), 5) == pattern(size, size));
  }
  for (int i = 0; i < 20; ++i) {
    Udp client(port);
    CHECK(client.ask(text(static_cast<uint64_t>(i)), 5) == text(static_cast<uint64_t>(i)));
  }
  CHECK(udp.clients() == 21);
}

TEST_CASE("remote port: all channels in use: the flow that was silent longest makes room for a flow, and for a TCP client") {
  Hub hub("PORT=0,0/udp", {"MAXIMA=channels:20"});
  UdpServer udp(same);
  Server tcp(echoes);
  const auto b = hub.branch({"RPORT=127.0.0.1:0,127.0.0.1:0/udp", "DEST=" + local(udp.port()) + "/udp", "DEST=" + local(tcp.port())});
  const std::vector<uint16_t> ports = hub.ports(2);
  CHECK((*b)->wait_log(" bind-open ", 5, 0));
  const size_t at = hub.log().log().find(" at=" + local(ports[0]) + " kind=udp") != std::string::npos ? 0 : 1;
  std::vector<std::unique_ptr<Udp>> clients;
  for (size_t i = 0; i < 45; ++i) {
    clients.push_back(std::make_unique<Udp>(ports[at]));
    CHECK(wait_for([&] { return clients[i]->ask("hello", 0.5) == "hello"; }, 10));
  }
  Conn client(ports[1 - at]);
  CHECK(echoed(client, "tcp"));
}

TEST_CASE("remote port: of a range each port leads where its condition says") {
  const uint16_t low = quiet_port();
  const std::string range = text(low) + "-" + text(low + 1u);
  Hub hub("PORT=127.0.0.1:" + range);
  Server one([](Conn& c) { c.send("one").shut(); }), two([](Conn& c) { c.send("two").shut(); });
  const auto b = hub.branch({"RPORT=localhost:" + range, "SERVER=tcprelay://" + local(one.port()) + ",-in:-:-P" + text(low),
                             "SERVER=tcprelay://" + local(two.port()) + ",-in:-:-P" + text(low + 1u)});
  CHECK(hub.ports(2) == std::vector<uint16_t>{low, static_cast<uint16_t>(low + 1)});
  CHECK(ask(low, "?") == "one");
  CHECK(ask(static_cast<uint16_t>(low + 1), "?") == "two");
}

TEST_CASE("remote port: who may not have one is told why, in both logs, and all else works") {
  Server server(echoes), there(echoes);
  const std::string at = local(there.port()), words = "DEST=" + local(server.port());
  const auto check = [&](const std::string& rights, const std::string& port, const std::string& said, const std::string& told) {
    CAPTURE(port);
    CAPTURE(rights);
    Hub hub(rights, {"PORT=127.0.0.1:0"});
    const auto b = hub.branch({"RPORT=" + port, words});
    CHECK(hub.log().wait_log("bind-refused session=1 name=east at=" + said, 5));
    CHECK((*b)->wait_log("bind-refused session=1 name=hub at=" + told, 5));
    CHECK_FALSE((*b)->says(" bind-open "));
    Conn other(hub.daemon->port());
    CHECK(echoed(other, "by PORT="));
  };
  const std::string not_in = " reason=\"not in PORT= of the peers file\"";
  check("", "127.0.0.1:0", "127.0.0.1:0" + not_in, "127.0.0.1:0 reason=\"our line in the peers file there needs PORT=0\"");
  check("PORT=0/udp,1-9", "8023", "0.0.0.0:8023" + not_in, "0.0.0.0:8023 reason=\"our line in the peers file there needs PORT=8023\"");
  check("PORT=0", "[::1]:0/udp", "[::1]:0 kind=udp" + not_in, "[::1]:0 kind=udp reason=\"our line in the peers file there needs PORT=0/udp\"");
  check("PORT=1-65535", at, at + " reason=\"Address already in use\"", at + " reason=\"the address is in use there\"");
  check("PORT=1-65535", "192.0.2.1:8023", "192.0.2.1:8023 reason=\"Cannot assign requested address\"",
        "192.0.2.1:8023 reason=\"that host has no such address\"");
  if (geteuid() != 0 || atoi(read_file("/proc/sys/net/ipv4/ip_unprivileged_port_start").c_str()) <= 1) return;
  check("PORT=1", "127.0.0.1:1", "127.0.0.1:1 reason=\"Permission denied\"", "127.0.0.1:1 reason=\"ports below 1024 need root's rights there\"");
}

TEST_CASE("remote port: those that come too fast for MAXIMA=opens are asked for again at once, and all are given") {
  Hub hub("PORT=0", {"MAXIMA=opens:2"});
  Server server(echoes);
  const auto b = hub.branch({"RPORT=127.0.0.1:0,127.0.0.1:0,127.0.0.1:0,127.0.0.1:0,127.0.0.1:0", "DEST=" + local(server.port())});
  CHECK((*b)->wait_log(" bind-refused session=1 name=hub at=127.0.0.1:0 reason=\"too many ports there\"", 5));
  // Nothing that is refused for want of rights comes again before 60 s.
  CHECK(wait_for([&] { return ports_in(hub.log().log(), "east").size() == 5; }, 40));
  CHECK(hub.log().wait_log("more a second than MAXIMA=opens allows", 5));
  CHECK_FALSE((*b)->says("needs PORT="));
}

// Each would get clients that mean "localhost", or a name of both families.
TEST_CASE("remote port: none stands beside one of the hub's own, nor beside one of another peer") {
  Server server(echoes);
  const uint16_t own = quiet_port(), given = quiet_port();
  const std::string port = text(own), any = text(given), all = "PORT=1-65535,1-65535/udp";
  Hub hub(all, {"PORT=127.0.0.1:" + port + ",[::1]:" + port + "/udp"});
  Site west;
  hub.site.knows("west", west, all);
  west.knows("hub", hub.site);
  hub.log().signal(SIGHUP);
  REQUIRE(hub.log().wait_log(" peers-read ", 5));
  const auto ours = hub.branch({"RPORT=[::1]:" + port + ",[::]:" + port + "," + port + "/udp,127.0.0.1:" + any + ",[::1]:" + any + ",[::1]:" + any + "/udp"});
  const std::string beside = " reason=\"a port of our own\"";
  for (const std::string& at : {"[::1]:" + port, "[::]:" + port, "0.0.0.0:" + port + " kind=udp"})
    CHECK(hub.log().wait_log(" bind-refused session=1 name=east at=" + at + beside, 5));
  CHECK((*ours)->wait_log(" at=[::1]:" + port + " reason=\"the address is in use there\"", 5));
  for (const std::string& at : {"127.0.0.1:" + any, "[::1]:" + any, "[::1]:" + any + " kind=udp"})  // its own may stand beside each other
    CHECK(hub.log().wait_log(" bind-open session=1 name=east at=" + at, 5));
  const Daemon other(west.words({"SERVER=sockmuxs://" + local(hub.daemon->link_port()), "RPORT=[::]:" + any + "," + any + "/udp,127.0.0.2:" + any + ",127.0.0.2:" + port + ",[::]:" + text(given + 1u)}));
  for (const std::string& at : {"[::]:" + any, "0.0.0.0:" + any + " kind=udp", "127.0.0.2:" + any})
    CHECK(hub.log().wait_log(" bind-refused session=2 name=west at=" + at + " reason=\"a port of another peer\"", 5));
  for (const std::string& at : {"127.0.0.2:" + port, "[::]:" + text(given + 1u)})
    CHECK(hub.log().wait_log(" bind-open session=2 name=west at=" + at, 5));
}

TEST_CASE("remote port: a UDP port in use beside 63 others that are given") {
  UdpServer udp(same), other(same);
  Hub hub("PORT=0,1-65535/udp");
  std::string many;
  for (int i = 0; i < 64; ++i) many += ",127.0.0.1:0";
  const auto b = hub.branch({"RPORT=" + local(other.port()) + "/udp" + many.substr(0, many.size() - 12), "DEST=" + local(udp.port()) + "/udp"});
  CHECK((*b)->wait_log(" at=" + local(other.port()) + " kind=udp reason=\"the address is in use there\"", 5));
  CHECK(hub.daemon->wait_channels(63, 10));
}

TEST_CASE("remote port: a peer that speaks 0.3 has none, which is said once") {
  Hub hub("PORT=0", {"SOXCONF=proto:0.3"});
  Server server(echoes);
  const auto b = hub.branch({"RPORT=127.0.0.1:0,127.0.0.1:0", "DEST=" + local(server.port())});
  CHECK((*b)->wait_log("the peer speaks 0.3, which has no BIND: RPORT= is without effect", 5));
  const size_t from = (*b)->log().size();
  hub.tap->wire.cut();
  CHECK((*b)->wait_log(" link-up ", 10, from));
  CHECK((*b)->count("RPORT= is without effect") == 1);
}

TEST_CASE("remote port: twenty cuts under a dialogue are pauses and nothing more; who comes meanwhile waits") {
  Hub hub("PORT=0,0/udp");
  Server server(echoes);
  UdpServer udp(same);
  const auto b = hub.branch({"RPORT=127.0.0.1:0,127.0.0.1:0/udp", "DEST=" + local(server.port()), "DEST=" + local(udp.port()) + "/udp"});
  const std::vector<uint16_t> port = hub.ports(2);
  Conn talk(port[0]);
  for (unsigned i = 0; i < 20; ++i) {
    CAPTURE(i);
    const size_t from = hub.log().log().size();
    REQUIRE(echoed(talk, "before"));
    hub.tap->wire.refuses = true;
    hub.tap->wire.cut();
    REQUIRE(hub.log().wait_log(" link-down ", 5, from));
    Conn late(port[0]);
    late.send("waits");
    talk.send("in the gap");
    REQUIRE(wait_for([&] { return late.connected(); }, 5));
    CHECK(late.text() == "");
    hub.tap->wire.refuses = false;
    (*b)->signal(SIGHUP);  // now, without the pause between two attempts
    REQUIRE(wait_for([&] { return late.text() == "waits"; }, 10));
    REQUIRE(echoed(talk, "after"));
  }
  CHECK(talk.alive());
  CHECK(talk.received() == 20 * (6 + 10 + 5));
  CHECK(hub.log().count(" bind-open ") == 2);
  CHECK_FALSE(hub.log().says(" bind-ended "));
  Udp datagrams(port[1]);
  CHECK(datagrams.ask("alive") == "alive");
}

TEST_CASE("remote port: a branch that was killed and starts again gets its ports again within a second, and nobody is turned away") {
  const uint16_t fixed = quiet_port();
  Hub hub("PORT=0,0/udp,127.0.0.1:" + text(fixed));
  Server server(echoes);
  UdpServer udp(same);
  const auto b = hub.branch({"RPORT=127.0.0.1:0,127.0.0.1:" + text(fixed) + ",127.0.0.1:0/udp", "DEST=" + local(server.port()), "DEST=" + local(udp.port()) + "/udp"});
  const std::vector<uint16_t> port = hub.ports(3);
  CHECK(port[1] == fixed);
  for (int i = 0; i < 5; ++i) {
    CAPTURE(i);
    const size_t from = hub.log().log().size();
    b->kill();
    REQUIRE(hub.log().wait_log(" link-down ", 5, from));  // who is accepted before that is of the session that goes
    Conn meanwhile(port[0]), fixed_one(fixed);
    meanwhile.send("hello"), fixed_one.send("you");
    const double began = b->restart();
    REQUIRE(wait_for([&] { return meanwhile.text() == "hello" && fixed_one.text() == "you"; }, 10));
    const double took = now() - began;
    MESSAGE("served again after ", took * 1000, " ms");
    CHECK(took < 1 * slowness());
    CHECK(hub.ports(3, from) == port);
    Udp datagrams(port[2]);
    CHECK(datagrams.ask("and") == "and");
  }
  CHECK_FALSE(hub.log().says(" bind-refused "));
  CHECK_FALSE(hub.log().says(" bind-ended "));
}

TEST_CASE("remote port: a branch that comes again with the port at other addresses is not in its own way") {
  const uint16_t fixed = quiet_port();
  Hub hub("PORT=" + text(fixed) + "," + text(fixed) + "/udp");
  Server server(echoes);
  UdpServer udp(same);
  const Words words{"DEST=" + local(server.port()), "DEST=" + local(udp.port()) + "/udp"};
  const std::string both = text(fixed) + "," + text(fixed) + "/udp";
  const auto b = hub.branch(join({"RPORT=" + both}, words));
  CHECK(serves(fixed, 10));
  b->kill();
  const auto again = hub.branch(join({"RPORT=127.0.0.1:" + text(fixed) + ",127.0.0.1:" + text(fixed) + "/udp"}, words));
  CHECK(hub.ports(2) == std::vector<uint16_t>{fixed, fixed});
  CHECK(serves(fixed, 10));
  Udp datagrams(fixed);
  CHECK(datagrams.ask("here") == "here");
  CHECK_FALSE(hub.log().says(" bind-refused "));
}

TEST_CASE("remote port: a branch that comes again with other ports is not kept out by as many as it may have, left from before") {
  Hub hub("PORT=0");
  const auto many = [](const std::string& host) {
    std::string list;
    for (int i = 0; i < 64; ++i) list += (i > 0 ? "," : "RPORT=") + host + ":0";
    return list;
  };
  const auto b = hub.branch({many("127.0.0.1")});
  REQUIRE((*b)->wait_log(" bind-open ", 5));
  REQUIRE(hub.daemon->wait_channels(64, 10));
  const size_t from = hub.log().log().size();
  b->kill();
  REQUIRE(hub.log().wait_log(" link-down ", 5, from));
  const auto again = hub.branch({many("127.0.0.2")});
  CHECK((*again)->wait_log(" bind-open session=1 name=hub at=127.0.0.2:", 5));
  CHECK(again->wait_channels(64, 10));
  CHECK_FALSE((*again)->says(" bind-refused "));
}

TEST_CASE("remote port: a branch whose old link hangs gets its port all the same") {
  const uint16_t fixed = quiet_port();
  Hub hub("PORT=127.0.0.1:" + text(fixed));
  Server one([](Conn& c) { c.send("one").shut(); }), two([](Conn& c) { c.send("two").shut(); });
  const std::string port = "RPORT=127.0.0.1:" + text(fixed);
  const auto b = hub.branch({port, "DEST=" + local(one.port())});
  hub.ports(1);
  CHECK(ask(fixed, "?") == "one");
  (*b)->signal(SIGSTOP);
  const auto again = hub.branch({port, "DEST=" + local(two.port())});
  hub.ports(2);
  CHECK(ask(fixed, "?") == "two");
  CHECK_FALSE(hub.log().says(" bind-refused "));
}

TEST_CASE("remote port: a branch that ends without a word keeps its port for TIMEOUT=resume and 5 s, then it is free") {
  Hub hub("PORT=0,0/udp", {"TIMEOUT=resume:1"});
  const auto b = hub.branch({"RPORT=127.0.0.1:0,127.0.0.1:0/udp", "TIMEOUT=resume:1"});
  const std::vector<uint16_t> port = hub.ports(2);
  const size_t from = hub.log().log().size();
  b->kill();
  REQUIRE(hub.log().wait_log(" session-ended ", 10, from));
  CHECK_FALSE(hub.log().says(" bind-ended ", from));
  Conn waits(port[0]);
  REQUIRE(wait_for([&] { return waits.connected(); }, 5));
  CHECK(hub.log().wait_log("bind-ended at=" + local(port[0]) + " reason=\"its peer has not come again\"", 10, from));
  CHECK(wait_for([&] { return waits.error() != 0; }, 5));
  CHECK(closed(port[0]));
  CHECK(hub.log().wait_log("bind-ended at=" + local(port[1]) + " kind=udp", 5, from));
}

TEST_CASE("remote port: a datagram that has come while its port was kept is served when the branch is there again") {
  Hub hub("PORT=0/udp", {"TIMEOUT=resume:1"});
  UdpServer udp(same);
  const auto b = hub.branch({"RPORT=127.0.0.1:0/udp", "TIMEOUT=resume:1", "DEST=" + local(udp.port()) + "/udp"});
  const uint16_t port = hub.ports(1)[0];
  const size_t from = hub.log().log().size();
  b->kill();
  REQUIRE(hub.log().wait_log(" session-ended ", 10, from));
  Udp early(port);
  early.send("early");
  b->restart();
  CHECK(hub.ports(1, from)[0] == port);
  CHECK(wait_for([&] { return early.got().size() == 1; }, 5));
  CHECK(early.ask("and") == "and");
}

TEST_CASE("remote port: a hub that was killed and starts again is asked again") {
  const uint16_t fixed = quiet_port();
  Hub hub("PORT=127.0.0.1:" + text(fixed) + ",127.0.0.1:" + text(fixed) + "/udp");
  Server server(echoes);
  UdpServer udp(same);
  const auto b = hub.branch({"RPORT=127.0.0.1:" + text(fixed) + ",127.0.0.1:" + text(fixed) + "/udp", "DEST=" + local(server.port()),
                             "DEST=" + local(udp.port()) + "/udp"});
  CHECK(hub.ports(2) == std::vector<uint16_t>{fixed, fixed});
  Conn before(fixed);
  CHECK(echoed(before, "before"));
  hub.daemon->restart();
  CHECK(wait_for([&] { return before.over(); }, 5));
  CHECK(serves(fixed, 10));
  Udp datagrams(fixed);
  CHECK(datagrams.ask("after") == "after");
}

TEST_CASE("remote port: HUP at the hub takes the right away and gives it again; others do not notice") {
  Hub hub("PORT=0,0/udp");
  Site west;
  west.knows("hub", hub.site);
  Server server(echoes), in_west([](Conn& c) { c.send("west").shut(); });
  UdpServer udp(same);
  const std::string wests = "west " + west.shown() + " PORT=0\n";
  hub.site.knows("west", west, "PORT=0");
  hub.log().signal(SIGHUP);
  REQUIRE(hub.log().wait_log(" peers-read ", 5));
  const auto b = hub.branch({"RPORT=127.0.0.1:0,127.0.0.1:0/udp", "DEST=" + local(server.port()), "DEST=" + local(udp.port()) + "/udp"});
  Daemon w(west.words({"SERVER=sockmuxs://" + local(hub.daemon->link_port()), "RPORT=127.0.0.1:0", "DEST=" + local(in_west.port())}));
  const std::vector<uint16_t> port = hub.ports(2);
  REQUIRE(wait_for([&] { return ports_in(hub.log().log(), "west").size() == 1; }, 10));
  const uint16_t west_port = ports_in(hub.log().log(), "west")[0];
  // Each leads to the branch that has asked for it.
  CHECK(ask(west_port, "?") == "west");
  Conn through(port[0]);
  CHECK(echoed(through, "east"));
  Udp datagrams(port[1]);
  CHECK(datagrams.ask("a") == "a");

  const size_t from = hub.log().log().size(), b_from = (*b)->log().size();
  hub.now_gives("PORT=1\n" + wests);
  CHECK(wait_for([&] { return hub.log().count("reason=\"PORT= in the peers file has changed\"") == 2; }, 5));
  CHECK((*b)->wait_log("bind-ended session=1 name=hub at=127.0.0.1:0 reason=\"our line in the peers file there needs PORT=0\"", 5, b_from));
  CHECK((*b)->wait_log("kind=udp reason=\"our line in the peers file there needs PORT=0/udp\"", 5, b_from));
  CHECK(closed(port[0]));
  CHECK(datagrams.ask("b", 0.5) == "(nothing)");
  CHECK(echoed(through, "who has come through stays"));
  CHECK(ask(west_port, "?") == "west");
  CHECK_FALSE(hub.log().says("name=west", from));

  hub.now_gives("PORT=0\n" + wests);
  (*b)->signal(SIGHUP);  // not in a minute
  CHECK(serves(hub.ports(1, from)[0], 10));

  // A key that is gone takes its ports along in the same turn, also while its link is cut.
  hub.tap->wire.refuses = true;
  hub.tap->wire.cut();
  const uint16_t again = hub.ports(1, from)[0];
  hub.site.write_peers(wests);
  const size_t last = hub.log().log().size();
  hub.log().signal(SIGHUP);
  REQUIRE(hub.log().wait_log(" peers-read ", 5, last));
  CHECK(hub.log().wait_log(" bind-ended ", 5, last));
  CHECK(closed(again));
  CHECK(ask(west_port, "?") == "west");
}

TEST_CASE("remote port: DEST= in the branch's own peers file narrows what the hub's clients reach") {
  Hub hub("PORT=0");
  Server good([](Conn& c) { c.send("good").shut(); }), bad([](Conn& c) { c.send("bad").shut(); });
  hub.east.write_peers("hub " + hub.site.shown() + " DEST=" + local(good.port()) + "\n");
  const auto b = hub.branch({"RPORT=127.0.0.1:0", "DEST=" + local(bad.port())});
  const uint16_t port = hub.ports(1)[0];
  CHECK(ask(port, "?") != "bad");
  CHECK((*b)->wait_log(" reason=forbidden", 5));
  hub.east.write_peers("hub " + hub.site.shown() + " DEST=" + local(bad.port()) + "\n");
  const size_t from = (*b)->log().size();
  (*b)->signal(SIGHUP);
  REQUIRE((*b)->wait_log(" peers-read ", 5, from));
  CHECK(ask(port, "?") == "bad");
}

TEST_CASE("remote port: FTP's data connections come through the hub, as with a PORT= of its own") {
  Hub hub("PORT=0");
  Server data([](Conn& c) { c.send("the file").close_behind(); });
  Server ftp([&](Conn& c) { speaks_ftp(c, data.port()); });
  const auto b = hub.branch({"RPORT=127.0.0.1:0", "SERVER=ftp://" + local(ftp.port()) + ",-in"});
  const std::string url = "ftp://" + local(hub.ports(1)[0]) + "/file";
  CHECK(run({find_program("curl"), "-s", "-S", "--disable-epsv", "--max-time", "20", url}, 30) == "the file");
  CHECK(data.accepted() == 1);
}

TEST_CASE("remote port: the hub's REJECT keeps clients out, of TCP and UDP") {
  Hub hub("PORT=0,0/udp", {"REJECT=*:*:127.0.0.2"});
  Server server(echoes);
  UdpServer udp(same);
  const auto b = hub.branch({"RPORT=127.0.0.1:0,127.0.0.1:0/udp", "DEST=" + local(server.port()), "DEST=" + local(udp.port()) + "/udp"});
  const std::vector<uint16_t> port = hub.ports(2);
  CHECK(ask(port[0], "hello", 5, "127.0.0.1", "127.0.0.2") != "hello");
  CHECK(hub.log().wait_log(" client-refused ", 5));
  Conn good(port[0]);
  CHECK(echoed(good, "hello"));
  Udp no(port[1], "127.0.0.1", "127.0.0.2"), yes(port[1]);
  CHECK(no.ask("no", 0.5) == "(nothing)");
  CHECK(yes.ask("yes") == "yes");
}
