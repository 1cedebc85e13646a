// The peers file of a hub that runs: who may come, what each may do, and what HUP changes. Read next: secure_site.h, config/peers/peers.h.
#include <doctest/doctest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/datagrams.h"
#include "tests/e2e/proxies.h"
#include "tests/e2e/secure_site.h"

using namespace e2e;

namespace {

// A side that others call `name`.
struct Side : Site {
  explicit Side(const std::string& called) : name(called) {}
  // Its line in somebody else's peers file.
  std::string line(const std::string& words = "") const { return name + " " + shown() + " " + words + "\n"; }

  std::string name;
};

// A hub with these peers and words.
struct Hub {
  Hub(const std::string& peers, const Words& words) : side("hub") {
    side.write_peers(peers);
    daemon = std::make_unique<Daemon>(join(side.words({"SERVER=sockmuxs", "-P127.0.0.1:0", "RELIABLE=*"}), words));
  }
  std::unique_ptr<Daemon> branch(Side& at, const Words& words) const {
    at.write_peers(side.line());
    auto d = std::make_unique<Daemon>(join(at.words({"SERVER=sockmuxs://" + local(daemon->link_port()), "RELIABLE=*"}), words));
    d->await_start();
    return d;
  }
  void now_has(const std::string& peers) { reread(peers, " peers-read "); }
  // The log says `wanted`: that they are read, or why they are not.
  void reread(const std::string& peers, const std::string& wanted) {
    side.write_peers(peers);
    reread(wanted);
  }
  void reread(const std::string& wanted) const {
    const size_t from = (*daemon)->log().size();
    (*daemon)->signal(SIGHUP);
    CHECK((*daemon)->wait_log(wanted, 5, from));
  }

  Side side;
  std::unique_ptr<Daemon> daemon;
};

// A client whose bytes come back.
bool echoed(Conn& c, const std::string& word) {
  const size_t had = c.text().size();
  c.send(word);
  return wait_for([&] { return c.over() || c.text().size() >= had + word.size(); }, 5) && c.text().substr(had) == word;
}

// A client of `port` that is turned away.
bool refused(uint16_t port) {
  Conn c(port);
  c.send("anybody?");
  return wait_for([&] { return c.over(); }, 5) && c.text().empty();
}

// SOCKS 5 at `port`, asked for a server of this host; "" until it has answered.
struct Socks {
  Socks(uint16_t port, const std::string& host, uint16_t to) : conn(port) {
    conn.send(bytes({5, 1, 0}) + bytes({5, 1, 0, 3, static_cast<int>(host.size())}) + host + bytes({to >> 8, to & 255}));
  }
  // The answer's code; -1: none came.
  int answer() {
    if (!wait_for([&] { return conn.over() || conn.text().size() >= 12; }, 5) || conn.text().size() < 4) return -1;
    return static_cast<unsigned char>(conn.text()[3]);
  }
  Conn conn;
};

// The port that the peer of this name has been given, by the log from `from` on.
uint16_t bound_port(const std::string& log, const std::string& name, size_t from = 0) {
  const std::string mark = " name=" + name + " at=127.0.0.1:";
  for (size_t at = log.find(" bind-open ", from); at != std::string::npos; at = log.find(" bind-open ", at + 1)) {
    const std::string line = log.substr(at, log.find('\n', at) - at);
    const size_t port = line.find(mark);
    if (port != std::string::npos) return static_cast<uint16_t>(atoi(line.c_str() + port + mark.size()));
  }
  FAIL("no port for ", name);
  return 0;
}

// What a daemon says that does not start, and its status.
std::string start_error(const Side& side, const Words& words, int status) {
  Process p(join({daemon_path(), "-f"}, side.words(words)));
  CHECK(p.wait_end(5));
  CHECK(p.status() == status);
  return p.log();
}

}  // namespace

TEST_CASE("peers file: DEST= of each peer, and what HUP takes away") {
  Server server(echoes);
  UdpServer udp(same);
  Side one("one"), two("two");
  const std::string all = "DEST=" + local(server.port()) + "," + local(udp.port()) + "/udp";
  Hub hub(one.line(all) + two.line(), {"DEST=" + local(server.port()), "DEST=" + local(udp.port()) + "/udp"});
  const auto a = hub.branch(one, {"PORT=127.0.0.1:0", "PORT=127.0.0.1:0/udp"});
  const auto b = hub.branch(two, {"PORT=127.0.0.1:0"});
  Conn of_one(a->port(0)), of_two(b->port(0));
  CHECK(echoed(of_one, "one"));
  CHECK(echoed(of_two, "two"));
  Udp datagrams(a->port(1));
  CHECK(datagrams.ask("a") == "a");
  // The same again, and words for the other one, who has what it uses: nobody notices.
  hub.now_has(one.line(all) + two.line(all));
  CHECK(echoed(of_one, "still"));
  CHECK(echoed(of_two, "still"));
  CHECK(datagrams.ask("b") == "b");
  // Datagrams only.
  const size_t from = (*hub.daemon)->log().size();
  hub.now_has(one.line("DEST=" + local(udp.port()) + "/udp") + two.line(all));
  CHECK(wait_for([&] { return of_one.over(); }, 5));
  CHECK((*hub.daemon)->says("channel-refused", from));
  CHECK((*hub.daemon)->says("reason=\"DEST= in the peers file has changed\"", from));
  CHECK(echoed(of_two, "me not"));
  CHECK(datagrams.ask("c") == "c");
  CHECK(refused(a->port(0)));
  // Nothing at all.
  hub.now_has(one.line("DEST=192.0.2.1:1") + two.line(all));
  CHECK(datagrams.ask("d", 0.5) == "(nothing)");
  CHECK(refused(a->port(0)));
  CHECK(echoed(of_two, "me neither"));
  // And back.
  hub.now_has(one.line() + two.line(all));
  Conn again(a->port(0));
  CHECK(echoed(again, "again"));
}

TEST_CASE("peers file: DEST= holds for what a proxy's client asks for") {
  Server server(echoes), other(echoes);
  Side one("one");
  Hub hub(one.line("DEST=localhost:" + text(server.port())), {"SERVER=socks,-in"});
  const auto a = hub.branch(one, {"PORT=127.0.0.1:0"});
  Socks good(a->port(0), "127.0.0.1", server.port());
  CHECK(good.answer() == 0);
  Socks bad(a->port(0), "127.0.0.1", other.port());
  CHECK(bad.answer() == 2);  // not allowed by ruleset: RFC 1928, 6
  const size_t had = good.conn.text().size();
  good.conn.send("hello");
  CHECK(wait_for([&] { return good.conn.text().substr(had) == "hello"; }, 5));
  hub.now_has(one.line("DEST=localhost:" + text(other.port())));
  CHECK(wait_for([&] { return good.conn.over(); }, 5));
  Socks now(a->port(0), "localhost", other.port());
  CHECK(now.answer() == 0);
}

TEST_CASE("peers file: a transfer of FTP ends with the right to its server, also behind the end of its control connection") {
  std::vector<Conn*> sends;
  Server data([&](Conn& c) { sends.push_back(&c), c.send("first"); });
  Server ftp([&](Conn& c) {
    c.send("220 hello\r\n");
    c.on_bytes = [&](const char* bytes, size_t size) {
      const std::string word = std::string(bytes, size).substr(0, 4);
      if (word == "PASV") c.send("227 Entering Passive Mode (127,0,0,1," + text(data.port() >> 8) + "," + text(data.port() & 255u) + ")\r\n");
      else if (word == "RETR") c.send("150 here it comes\r\n");
      else if (word == "QUIT") c.send("221 bye\r\n").close_behind();
      else c.send("200 as you like\r\n");
    };
  });
  Side one("one");
  const std::string may = one.line("DEST=" + local(ftp.port())), also = one.line("DEST=192.0.2.1:1," + local(ftp.port()));
  Hub hub(may, {"SERVER=ftp://" + local(ftp.port()) + ",-in"});
  const auto a = hub.branch(one, {"PORT=127.0.0.1:0"});
  for (const bool alone : {false, true}) {
    CAPTURE(alone);
    hub.now_has(may);
    Conn control(a->port(0));
    REQUIRE(wait_for([&] { return control.text().find("220 ") != std::string::npos; }, 5));
    control.send("PASV\r\n");
    REQUIRE(wait_for([&] { return control.text().find(")") != std::string::npos; }, 5));
    unsigned n[2] = {};
    REQUIRE(sscanf(control.text().c_str() + control.text().find('('), "(127,0,0,1,%u,%u)", n, n + 1) == 2);
    Conn file(static_cast<uint16_t>(n[0] << 8 | n[1]));
    control.send("RETR x\r\n");
    REQUIRE(wait_for([&] { return file.text() == "first"; }, 5));
    if (alone) {
      control.send("QUIT\r\n");
      REQUIRE(wait_for([&] { return control.over(); }, 5));
      control.close();
      REQUIRE(hub.daemon->wait_channels(1, 5));
    }
    hub.now_has(also);  // nobody notices
    sends.back()->send(" second");
    CHECK(wait_for([&] { return file.over() || file.text() == "first second"; }, 5));
    CHECK(file.alive());
    hub.now_has(one.line("DEST=192.0.2.1:1"));
    CHECK(wait_for([&] { return file.over() && (alone || control.over()); }, 5));
    CHECK(file.error() != 0);
  }
}

// Both call their clients 127.0.0.1 and their ports by the same number, as any peer may.
TEST_CASE("peers file: UDP ASSOCIATE of one peer neither serves nor ends what belongs to another, nor takes all there is") {
  UdpServer udp(same);
  Side one("one"), two("two");
  Hub hub(one.line() + two.line(), {"SERVER=socks,-in"});
  const uint16_t free = quiet_port();
  const std::string port = ":" + text(free);
  const auto a = hub.branch(one, {"PORT=127.0.0.1" + port + ",127.0.0.1" + port + "/udp"});
  const auto b = hub.branch(two, {"PORT=127.0.0.2" + port + ",127.0.0.2" + port + "/udp"});
  REQUIRE(wait_for([&] { return (*a)->says(" link-up ") && (*b)->says(" link-up "); }, 10));  // datagrams wait for no link
  const std::string associate = bytes({5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0});
  const std::string header = bytes({0, 0, 0, 1, 127, 0, 0, 1, udp.port() >> 8, udp.port() & 255});
  const auto is_open = [&](Conn& c) { return wait_for([&] { return c.over() || c.text().size() >= 12; }, 5) && c.text().size() == 12; };
  Conn of_one(free);
  of_one.send(associate);
  REQUIRE(is_open(of_one));
  Udp client(free);
  CHECK(client.ask(header + "one") == header + "one");
  const size_t from = (*hub.daemon)->log().size();
  Udp none(free, "127.0.0.2", "127.0.0.1");
  CHECK(none.ask(header + "under the other's", 0.5) == "(nothing)");
  CHECK((*hub.daemon)->wait_log(" channel-refused ", 5, from));
  Conn of_two("127.0.0.2", free, "127.0.0.1");
  of_two.send(associate);
  REQUIRE(is_open(of_two));
  Udp other(free, "127.0.0.2", "127.0.0.3");
  CHECK(other.ask(header + "not of its address", 0.5) == "(nothing)");
  of_one.close();
  const auto becomes = [&](Udp& c, const std::string& wanted) {
    for (int i = 0; i < 20; ++i)
      if (c.ask(header + "two", 0.5) == wanted) return true;
    return false;
  };
  CHECK(becomes(client, "(nothing)"));
  // One has many clients, and gets 16 of them; the other is served as before.
  std::vector<std::unique_ptr<Conn>> many;
  for (int i = 0; i < 17; ++i) {
    many.push_back(std::make_unique<Conn>("127.0.0.1", free, "127.0.1." + text(static_cast<uint64_t>(1 + i))));
    many.back()->send(associate);
    REQUIRE(wait_for([&] { return many.back()->over() || many.back()->text().size() >= 12; }, 5));
  }
  CHECK(wait_for([&] { return many.back()->over(); }, 5));
  size_t open = 0;
  for (const auto& c : many) open += c->over() ? 0u : 1u;
  CHECK(open == 16);
  Udp late(free, "127.0.0.2", "127.0.0.1");
  CHECK(becomes(late, header + "two"));
}

TEST_CASE("peers file: a program counts as a server on this host") {
  Side one("one");
  Hub hub(one.line("DEST=localhost:*"), {"SERVER=exec,-in(XCOM=cat)"});
  const auto a = hub.branch(one, {"PORT=127.0.0.1:0"});
  Conn c(a->port(0));
  CHECK(echoed(c, "cat"));
  hub.now_has(one.line("DEST=localhost:80"));
  CHECK(wait_for([&] { return c.over(); }, 5));
  CHECK(refused(a->port(0)));
}

TEST_CASE("peers file: FROM= that HUP brings ends a link from elsewhere, and lets it in again") {
  Server server(echoes);
  Side one("one");
  Hub hub(one.line("FROM=127.0.0.0/8"), {"DEST=" + local(server.port())});
  const auto a = hub.branch(one, {"PORT=127.0.0.1:0", "TIMEOUT=retry:1"});
  Conn c(a->port(0));
  CHECK(echoed(c, "in"));
  const size_t from = (*hub.daemon)->log().size();
  hub.now_has(one.line("FROM=192.0.2.0/24"));
  CHECK((*hub.daemon)->wait_log("FROM= forbids", 5, from));
  CHECK((*hub.daemon)->wait_log(" link-refused ", 10, from));
  hub.now_has(one.line("FROM=*"));
  CHECK(echoed(c, "in again"));  // the session was held
}

TEST_CASE("peers file: a peer that gets another name keeps its link and its channels, and is called so from then on") {
  const TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  Server server(echoes);
  Side one("one");
  Hub hub(one.line(), {"PORT=127.0.0.1:0", "SOXCONF=control:" + folder / "socket"});
  const auto a = hub.branch(one, {"DEST=" + local(server.port())});
  Conn c(hub.daemon->port(0));
  CHECK(echoed(c, "as one"));
  CHECK(ctl({"peers", "-s", folder / "socket"}).out.find("one ") != std::string::npos);
  one.name = "another";
  hub.now_has(one.line());
  CHECK(echoed(c, "as another"));
  const std::string peers = ctl({"peers", "-s", folder / "socket"}).out;
  CHECK(peers.find("another ") != std::string::npos);
  CHECK(peers.find("one ") == std::string::npos);
  CHECK((*hub.daemon)->count(" link-up ") == 1);
}

TEST_CASE("peers file: a wrong line is told with file and line, and changes nothing") {
  Server server(echoes);
  Side one("one");
  Hub hub(one.line(), {"DEST=" + local(server.port())});
  const auto a = hub.branch(one, {"PORT=127.0.0.1:0"});
  Conn c(a->port(0));
  CHECK(echoed(c, "before"));
  hub.reread("# nobody\none x\n", "peers:2: one: bad key");
  CHECK(echoed(c, "after"));
  Conn next(a->port(0));
  CHECK(echoed(next, "and new ones"));
}

TEST_CASE("peers file: a branch gets the port that it asks for, or is told why not") {
  Server server(echoes);
  Side one("one"), two("two");
  Hub hub(one.line("PORT=0,127.0.0.1:1024-65535") + two.line(), {});
  // Neither any port of all addresses, nor one below 1024
  const auto a = hub.branch(one, {"BIND=127.0.0.1:0,0,127.0.0.1:1023", "DEST=" + local(server.port())});
  CHECK((*hub.daemon)->wait_log("bind-refused session=1 name=one at=127.0.0.1:1023 reason=\"not in PORT= of the peers file\"", 5));
  CHECK((*a)->wait_log("bind-refused session=1 name=hub at=127.0.0.1:1023 reason=\"our line in the peers file there needs PORT=1023\"", 5));
  CHECK(wait_for([&] { return (*a).process().count(" bind-open ") == 2; }, 5));
  const uint16_t port = bound_port((*hub.daemon)->log(), "one");
  Conn c(port);
  CHECK(echoed(c, "through the hub"));
  const auto b = hub.branch(two, {"BIND=127.0.0.1:0", "DEST=" + local(server.port())});
  CHECK((*b)->wait_log("bind-refused session=1 name=hub at=127.0.0.1:0 reason=\"our line in the peers file there needs PORT=0\"", 5));
  // HUP gives and takes; who has come through stays.
  hub.now_has(one.line() + two.line("PORT=0"));
  CHECK(wait_for([&] { return (*hub.daemon)->count(" bind-ended ") == 2; }, 5));
  CHECK((*a)->wait_log("name=hub at=127.0.0.1:0 reason=\"our line in the peers file there needs PORT=0\"", 5));
  CHECK(echoed(c, "still"));
  Conn late(port);
  CHECK(wait_for([&] { return late.error() != 0; }, 5));
  (*b)->signal(SIGHUP);  // not in a minute
  CHECK((*b)->wait_log(" bind-open ", 5));
  const uint16_t other = bound_port((*hub.daemon)->log(), "two");
  Conn d(other);
  CHECK(echoed(d, "two"));
  // A key that is gone takes its ports along.
  hub.now_has(one.line());
  CHECK((*hub.daemon)->wait_log("bind-ended session=2 name=two", 5));
  Conn gone(other);
  CHECK(wait_for([&] { return gone.error() != 0; }, 5));
}

TEST_CASE("peers file: ports are asked for again by a branch that starts anew, and go with one that ends") {
  Server server(echoes);
  Side one("one");
  Hub hub(one.line("PORT=1024-65535"), {});
  uint16_t port = 0;
  {
    const DeadPort some;
    port = some.port();
  }
  const std::string at = " name=one at=" + local(port);
  const auto a = hub.branch(one, {"BIND=" + local(port), "DEST=" + local(server.port())});
  CHECK((*hub.daemon)->wait_log(" bind-open session=1" + at, 5));
  // Its old session is held when it comes again, and may have the port still.
  size_t from = 0;
  for (int i = 0; i < 10; ++i) {
    from = (*hub.daemon)->log().size();
    a->restart();
    REQUIRE((*hub.daemon)->wait_log(" bind-open ", 10, from));
    CHECK_FALSE((*hub.daemon)->says(" bind-refused ", from));
  }
  Conn c(port);
  CHECK(echoed(c, "again"));
  c.close();
  CHECK(a->wait_channels(1, 5));  // that of the BIND
  from = (*hub.daemon)->log().size();
  (*a)->signal(SIGTERM);
  // Given back at once: it is no channel whose end is awaited.
  CHECK((*hub.daemon)->wait_log(" reason=shutdown", 5, from));
  CHECK((*a)->wait_end(5));
}

TEST_CASE("peers file: one that the daemon's user cannot read any more stays in force") {
  if (geteuid() != 0) return;  // without root the user is the same at the start and later
  Server server(echoes);
  Side one("one");
  Hub hub(one.line(), {"DEST=" + local(server.port())});
  const auto a = hub.branch(one, {"PORT=127.0.0.1:0"});
  Conn c(a->port(0));
  CHECK(echoed(c, "before"));
  const std::string file = hub.side.peers_file();
  REQUIRE(chmod(file.c_str(), 0600) == 0);
  hub.reread(file + ": Permission denied; the user that the daemon runs as must be able to read it (OWNER=)");
  CHECK(echoed(c, "after"));
}

TEST_CASE("peers file: what does not fit at the start") {
  Side side("side"), a("a"), b("b");
  const std::string file = side.peers_file();
  const std::string link = "SERVER=sockmuxs://127.0.0.1:1";
  REQUIRE(unlink(file.c_str()) == 0);
  CHECK(start_error(side, {link}, 66).find(file + ": no such file") != std::string::npos);
  side.write_peers(a.line() + b.line());
  CHECK(start_error(side, {link}, 78).find(link + ": which peer? " + file + " names 2; write SERVER=sockmuxs://NAME@127.0.0.1:1") !=
        std::string::npos);
  CHECK(start_error(side, {"SERVER=sockmuxs://c@127.0.0.1:1"}, 78).find(file + " has no 'c'") != std::string::npos);
  CHECK(start_error(side, {"SERVER=sockmuxs", "-P127.0.0.1:0", "PORT=c@127.0.0.1:0"}, 78).find(file + " has no 'c'") != std::string::npos);
  side.write_peers(a.line() + side.line());
  CHECK(start_error(side, {link}, 78).find(file + ":2: side: our own key") != std::string::npos);
  side.write_peers(a.line("PSK=" + b.shown()));
  REQUIRE(chmod(file.c_str(), 0644) == 0);
  CHECK(start_error(side, {link}, 77).find(file + ":1: PSK= in a file that others can read: 'chmod o-r " + file + "'") != std::string::npos);
}
