// Secure links between real daemons: over everything that a link can be, in both dialects, cut and taken over, and with rights
// that change. Rules: sockmux.conf(5), "PEERS FILE"; sockmux(7), "Secure links". Read next: secure_site.h, secure_bad.cc.
#include <doctest/doctest.h>
#include <signal.h>

#include "tests/e2e/datagrams.h"
#include "tests/e2e/line.h"
#include "tests/e2e/pipes.h"
#include "tests/e2e/secure_site.h"

using namespace e2e;

namespace {

const Words kDialects[] = {{}, {"SOXCONF=proto:0.3", "TIMEOUT=lin:0.2"}};

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

bool wait_both(Daemon& a, Daemon& b, double seconds) {
  return wait_for([&] { return a->says(" link-up ") && b->says(" link-up "); }, seconds);
}

// Much there and back, with an end each way; and a dialogue.
void check_carries(uint16_t port, uint64_t size) {
  Conn copy(port), talk(port);
  copy.expect_pattern(3).send_pattern(3, size).shut();
  CHECK(wait_for([&] { return copy.over(); }, 30));
  CHECK(copy.received() == size);
  CHECK_FALSE(copy.wrong());
  CHECK(copy.error() == 0);
  talk.send("hello");
  CHECK(wait_for([&] { return talk.text() == "hello"; }, 5));
}

// A hub with a port, and a branch with an echo server behind a tap.
struct Linked {
  TwoSites sites;
  Server server{[](Conn& conn) { conn.echo = true; }};
  std::unique_ptr<Daemon> a, c;
  std::unique_ptr<Tap> tap;

  explicit Linked(const std::string& psk = "", const Words& more_a = {}, const Words& more_c = {}) : sites(psk) {
    a = std::make_unique<Daemon>(sites.hub.words(with({"SERVER=sockmuxs", "-P127.0.0.1:0", "PORT=127.0.0.1:0"}, more_a)));
    tap = std::make_unique<Tap>(a->link_port());
    c = std::make_unique<Daemon>(sites.branch.words(with({"SERVER=sockmuxs://" + local(tap->port()), "DEST=" + local(server.port())}, more_c)));
    REQUIRE(wait_both(*a, *c, 10));
  }
};

}  // namespace

TEST_CASE("secure: over TCP in both dialects, with and without a PSK, all arrives; both ends know each other's name, and nothing is clear") {
  const std::string psk = ctl({"genpsk"}).out.substr(0, 44);
  for (const Words& dialect : kDialects) {
    for (const std::string& key : {std::string(), psk}) {
      CAPTURE(dialect.size());
      CAPTURE(key.empty());
      Linked net(key, dialect, dialect);
      CHECK((*net.a)->says(" name=branch "));
      CHECK((*net.c)->says(" name=hub "));
      check_carries(net.a->port(), 5000000);
      CHECK(net.tap->made == 1);
      CHECK(net.tap->seen.size() > 10000000);
      CHECK(net.tap->up.compare(0, 5, "SMXS\x01") == 0);
      for (const std::string& clear : {std::string("hello"), std::string("smx/1"), std::string("CONNECT"), pattern(3, 16), pattern(3, 4096).substr(4080)})
        CHECK(net.tap->seen.find(clear) == std::string::npos);
    }
  }
}

TEST_CASE("secure: datagrams of all sizes") {
  UdpServer udp(same);
  Linked net("", {"PORT=127.0.0.1:0/udp"}, {"DEST=" + local(udp.port()) + "/udp"});
  Udp flow(net.a->port(1));
  for (const size_t size : {size_t{1}, size_t{1400}, size_t{16384}, size_t{65507}, size_t{0}}) {
    CAPTURE(size);
    const std::string datagram = pattern(size, size);
    const size_t before = flow.got().size();
    flow.send(datagram);
    CHECK(wait_for([&] { return flow.got().size() > before; }, 5));
    CHECK(flow.got().back() == datagram);
  }
}

TEST_CASE("secure: over FIFOs, whoever comes first, and with what was left in them") {
  for (const Words& dialect : kDialects) {
    for (const int first : {0, 1}) {
      CAPTURE(dialect.size());
      CAPTURE(first);
      TwoSites sites;
      Fifos fifos(true);
      Leftover old(fifos.com0(), "\x03\x01 rest of an earlier run SMXS\x01\x01\x00 and noise");
      Server echo([](Conn& c) { c.echo = true; });
      const auto words = [&](int side) {
        const std::string in = side == 0 ? fifos.com0() : fifos.com1(), out = side == 0 ? fifos.com1() : fifos.com0();
        const Words link{"SERVER=sockmuxs:commin@" + in, "SERVER=sockmuxs:commout@" + out};
        return with(side == 0 ? sites.hub.words(with(link, {"PORT=127.0.0.1:0"})) : sites.branch.words(with(link, {"DEST=" + local(echo.port())})), dialect);
      };
      std::unique_ptr<Daemon> side[2];
      side[first] = std::make_unique<Daemon>(words(first));
      side[first]->await_start();
      side[1 - first] = std::make_unique<Daemon>(words(1 - first));
      REQUIRE(wait_both(*side[0], *side[1], 20));
      check_carries(side[0]->port(), 1000000);
      // One of the two starts anew.
      const size_t from = (*side[0])->log().size();
      side[1]->restart();
      CHECK((*side[0])->wait_log(" link-up ", 30, from));
      check_carries(side[0]->port(), 100000);
    }
  }
}

TEST_CASE("secure: beside a port of clear links, a peer on FIFOs whose session is held does not lose it to who comes there") {
  TwoSites sites;
  Fifos fifos(true);
  Server echo([](Conn& c) { c.echo = true; });
  Daemon hub(sites.hub.words({"SERVER=sockmux", "-P127.0.0.1:0", "SERVER=sockmuxs:commin@" + fifos.com0(), "SERVER=sockmuxs:commout@" + fifos.com1(),
                              "PORT=127.0.0.1:0", "MAXIMA=links:1"}));
  Daemon branch(sites.branch.words({"SERVER=sockmuxs:commin@" + fifos.com1(), "SERVER=sockmuxs:commout@" + fifos.com0(), "DEST=" + local(echo.port())}));
  REQUIRE(wait_both(hub, branch, 20));
  Conn open(hub.port());
  open.send("x");
  REQUIRE(wait_for([&] { return open.text() == "x"; }, 5));
  branch.kill();
  REQUIRE(hub->wait_log("held=yes", 5));
  Conn silent(hub.link_port()), scan(hub.link_port());
  CHECK(wait_for([&] { return silent.over(); }, 5));
  scan.close();
  Daemon clear({"SERVER=sockmux://" + local(hub.link_port())});
  REQUIRE(clear->wait_log(" link-up ", 5));
  Conn another(hub.link_port());
  CHECK(wait_for([&] { return another.over(); }, 5));
  CHECK(hub->count(" session-ended ") == 0);
  CHECK_FALSE(open.over());
}

TEST_CASE("secure: over a program, to a port and to a daemon at its standard input") {
  for (const Words& dialect : kDialects) {
    CAPTURE(dialect.size());
    TwoSites sites;
    Server echo([](Conn& c) { c.echo = true; });
    Daemon a(sites.hub.words(with({"SERVER=sockmuxs", "-P127.0.0.1:0", "DEST=" + local(echo.port())}, dialect)));
    Daemon c(sites.branch.words(with({"SERVER=sockmuxs:proc@" + find_program("socat") + " STDIO TCP4:" + local(a.link_port()), "PORT=127.0.0.1:0"}, dialect)));
    REQUIRE(wait_both(a, c, 10));
    check_carries(c.port(), 1000000);
    std::string words;
    for (const std::string& w : sites.hub.words(with({"DEST=" + local(echo.port())}, dialect))) words += " '" + w + "'";
    // The program is started by who has given its rights away, and cannot read a key of root's.
    ProcessSetup plain;
    Daemon d(sites.branch.words(with({"SERVER=sockmuxs:proc@echo 'a banner'; exec '" + daemon_path() + "' SERVER=sockmuxs:comm@-" + words, "PORT=127.0.0.1:0", "OWNER=root"}, dialect)));
    REQUIRE(d->wait_log(" link-up ", 10));
    check_carries(d.port(), 1000000);
  }
}

TEST_CASE("secure: over a serial line that is known to be clean") {
  TempFolder folder;
  Line line(folder, 400000);
  TwoSites sites;
  Server echo([](Conn& c) { c.echo = true; });
  Daemon a(sites.hub.words({"SERVER=sockmuxs:comm@" + line.name(0), "SOXCONF=line:clean", "PORT=127.0.0.1:0"}));
  Daemon c(sites.branch.words({"SERVER=sockmuxs:comm@" + line.name(1), "SOXCONF=line:clean", "DEST=" + local(echo.port())}));
  line.inject(0, "U-Boot 2021.01 (login: SMXS");
  REQUIRE(wait_both(a, c, 20));
  check_carries(a.port(), 200000);
}

TEST_CASE("secure: sixty cuts under a copy and a dialogue are pauses and nothing more") {
  Linked net("", {}, {});
  constexpr uint64_t kSize = 30 * 1000 * 1000;
  Conn copy(net.a->port()), talk(net.a->port());
  copy.expect_pattern(7).send_pattern(7, kSize).shut();
  size_t asked = 0;
  unsigned cuts = 0;
  double cut_at = 0;
  std::vector<double> pauses;
  CHECK(wait_for(
      [&] {
        if (talk.text().size() == asked) {
          if (cut_at > 0) pauses.push_back(now() - cut_at);
          cut_at = 0;
          talk.send("k");
          ++asked;
        }
        if (cuts < 60 && cut_at == 0 && copy.received() >= (cuts + 1) * (kSize / 62)) {
          ++cuts;
          net.tap->wire.cut();
          cut_at = now();
        }
        return copy.over() && copy.received() == kSize;
      },
      120));
  CHECK(cuts == 60);
  CHECK(copy.received() == kSize);
  CHECK(copy.error() == 0);
  CHECK_FALSE(copy.wrong());
  CHECK(talk.alive());
  REQUIRE(pauses.size() > 30);
  std::sort(pauses.begin(), pauses.end());
  MESSAGE("pauses behind a cut, ms: median ", pauses[pauses.size() / 2] * 1000, ", longest ", pauses.back() * 1000);
  CHECK(pauses.back() < 0.5 * slowness());
  CHECK((*net.c)->says("resumed=yes"));
  CHECK_FALSE((*net.c)->says("held=no"));
}

TEST_CASE("secure: TIMEOUT=renew makes the link anew, and no channel hears of it") {
  Linked net("", {}, {"TIMEOUT=renew:1"});
  Conn talk(net.a->port());
  size_t asked = 0;
  CHECK(wait_for(
      [&] {
        if (talk.text().size() == asked) talk.send("k"), ++asked;
        return (*net.c)->count("renewed after TIMEOUT=renew") >= 2 && (*net.c)->count("resumed=yes") >= 2;
      },
      10));
  CHECK(wait_for([&] { return talk.text().size() == asked; }, 5));
  CHECK(talk.alive());
}

TEST_CASE("secure: TIMEOUT=renew makes a link of several ways anew over the same one, however short it stood") {
  TwoSites sites;
  Daemon a(sites.hub.words({"SERVER=sockmuxs", "-P127.0.0.1:0", "PORT=127.0.0.1:0"}));
  Tap first(a.link_port()), second(a.link_port());
  const auto way = [](const Tap& tap) { return "SERVER=sockmuxs://" + local(tap.port()); };
  Daemon c(sites.branch.words({way(first), way(second), "TIMEOUT=renew:1"}));
  REQUIRE(wait_for([&] { return c->count("renewed after TIMEOUT=renew") >= 3 && c->count("resumed=yes") >= 3; }, 10));
  CHECK_FALSE(c->says(" link-moved "));
  CHECK(second.made == 0);
}

TEST_CASE("secure: a peer that comes again takes its place at once, while its old link hangs; two machines with one key are told") {
  TwoSites sites;
  Server one([](Conn& c) { c.send("one").shut(); }), two([](Conn& c) { c.send("two").shut(); });
  Daemon a(sites.hub.words({"SERVER=sockmuxs", "-P127.0.0.1:0", "PORT=127.0.0.1:0"}));
  Tap tap(a.link_port());
  Daemon c(sites.branch.words({"SERVER=sockmuxs://" + local(tap.port()), "DEST=" + local(one.port())}));
  REQUIRE(wait_both(a, c, 10));
  Conn before(a.port());
  CHECK(wait_for([&] { return before.text() == "one"; }, 5));
  c->signal(SIGSTOP);
  const size_t from = a->log().size();
  const double start = now();
  Daemon d(sites.branch.words({"SERVER=sockmuxs://" + local(tap.port()), "DEST=" + local(two.port())}));
  REQUIRE(a->wait_log(" link-up ", 5, from));
  Conn after(a.port());
  CHECK(wait_for([&] { return after.text() == "two"; }, 5));
  CHECK(now() - start < 1 * slowness());
  CHECK(a->wait_log("replaced by a newer link", 5, from));
  // Now both want it.
  c->signal(SIGCONT);
  CHECK(a->wait_log(" peer-twice ", 60, from));
  CHECK(a->wait_log("is its key on two machines?", 5, from));
}

TEST_CASE("secure: PORT=NAME@ leads to that peer alone, and waits for it") {
  Site hub, east, west;
  hub.knows("east", east).knows("west", west);
  east.knows("hub", hub), west.knows("hub", hub);
  Server in_east([](Conn& c) { c.send("east").shut(); }), in_west([](Conn& c) { c.send("west").shut(); });
  Daemon a(hub.words({"SERVER=sockmuxs", "-P127.0.0.1:0", "PORT=east@127.0.0.1:0", "PORT=west@127.0.0.1:0"}));
  Daemon e(east.words({"SERVER=sockmuxs://" + local(a.link_port()), "DEST=" + local(in_east.port())}));
  REQUIRE(wait_both(a, e, 10));
  Conn first(a.port(1));
  Conn second(a.port(0));
  CHECK(wait_for([&] { return second.text() == "east"; }, 5));
  CHECK(first.text() == "");
  Daemon w(west.words({"SERVER=sockmuxs://" + local(a.link_port()), "DEST=" + local(in_west.port())}));
  CHECK(wait_for([&] { return first.text() == "west"; }, 10));
  Conn third(a.port(0));
  CHECK(wait_for([&] { return third.text() == "east"; }, 5));
}

TEST_CASE("secure: HUP: a key that went away ends its peer at once, and others live on; a PSK that changed costs the link alone") {
  Site hub, east, west;
  hub.knows("east", east).knows("west", west);
  east.knows("hub", hub), west.knows("hub", hub);
  Server echo([](Conn& c) { c.echo = true; });
  Daemon a(hub.words({"SERVER=sockmuxs", "-P127.0.0.1:0", "DEST=" + local(echo.port())}));
  Daemon e(east.words({"SERVER=sockmuxs://" + local(a.link_port()), "PORT=127.0.0.1:0"}));
  Daemon w(west.words({"SERVER=sockmuxs://" + local(a.link_port()), "PORT=127.0.0.1:0"}));
  REQUIRE(wait_for([&] { return a->count(" link-up ") == 2; }, 10));
  Conn through_east(e.port()), through_west(w.port());
  through_east.send("x"), through_west.send("x");
  REQUIRE(wait_for([&] { return through_east.received() == 1 && through_west.received() == 1; }, 5));

  // A wrong line: nothing changes.
  hub.write_peers("east " + east.shown() + "\nwest nonsense\n");
  a->signal(SIGHUP);
  CHECK(a->wait_log("peers:2: west: bad key", 5));
  through_west.send("y");
  CHECK(wait_for([&] { return through_west.received() == 2; }, 5));
  CHECK(a->count(" link-down ") == 0);

  const size_t from = a->log().size();
  hub.write_peers("west " + west.shown() + "\n");
  a->signal(SIGHUP);
  CHECK(a->wait_log("reason=\"key removed\"", 5, from));
  CHECK(wait_for([&] { return through_east.over(); }, 5));
  CHECK(e->wait_log("peer said goodbye: forbidden", 5));
  CHECK(e->wait_log("not accepted there", 10));
  through_west.send("z");
  CHECK(wait_for([&] { return through_west.received() == 3; }, 5));

  // A PSK at one side: the link goes, the session waits for the other side to have it, too.
  const std::string psk = ctl({"genpsk"}).out.substr(0, 44);
  hub.write_peers("west " + west.shown() + " PSK=" + psk + "\n");
  REQUIRE(run({"chown", "65534", hub.peers_file()}, 5).empty());
  a->signal(SIGHUP);
  CHECK(a->wait_log("reason=\"PSK= changed\"", 5, from));
  CHECK(w->wait_log("the answer does not open: PSK= differs", 10));
  west.write_peers("hub " + hub.shown() + " PSK=" + psk + "\n");
  REQUIRE(run({"chown", "65534", west.peers_file()}, 5).empty());
  w->signal(SIGHUP);
  CHECK(w->wait_log("resumed=yes", 10));
  through_west.send("!");
  CHECK(wait_for([&] { return through_west.received() == 4; }, 5));
  CHECK(through_west.alive());
}

TEST_CASE("secure: programs are told the name in the peers file, whatever the peer calls itself") {
  TwoSites sites;
  Daemon a(sites.hub.words({"SERVER=sockmuxs", "-P127.0.0.1:0", "SERVER=exec,-in(XFIL='echo I serve $PEER')"}));
  Daemon c(sites.branch.words({"SERVER=sockmuxs://" + local(a.link_port()), "PORT=127.0.0.1:0", "SOXCONF=name:admin"}));
  REQUIRE(wait_both(a, c, 10));
  Conn client(c.port());
  CHECK(wait_for([&] { return client.over(); }, 10));
  CHECK(client.text() == "I serve branch\n");
}

TEST_CASE("secure: where nothing resumes, TIMEOUT=renew waits until there are no channels") {
  for (const char* word : {"SOXCONF=proto:0.3", "TIMEOUT=resume:0"}) {
    CAPTURE(word);
    Linked net("", {word}, {word, "TIMEOUT=renew:1"});
    Conn talk(net.a->port());
    size_t asked = 0;
    const double until = now() + 2.5;
    CHECK(wait_for(
        [&] {
          if (talk.text().size() == asked) talk.send("k"), ++asked;
          return now() > until;
        },
        10));
    CHECK(wait_for([&] { return talk.text().size() == asked; }, 5));
    CHECK(talk.alive());
    CHECK((*net.c)->count(" link-down ") == 0);
  }
}

TEST_CASE("secure: two daemons that call each other have two links, and neither ends the other's") {
  TwoSites sites;
  Server echo(echoes);
  const uint16_t one = quiet_port(), two = quiet_port();
  Daemon a(sites.hub.words({"SERVER=sockmuxs", "-P127.0.0.1:" + text(one), "SERVER=sockmuxs://branch@" + local(two), "DEST=" + local(echo.port()), "PORT=127.0.0.1:0"}));
  Daemon b(sites.branch.words({"SERVER=sockmuxs", "-P127.0.0.1:" + text(two), "SERVER=sockmuxs://hub@" + local(one), "DEST=" + local(echo.port()), "PORT=127.0.0.1:0"}));
  REQUIRE(wait_for([&] { return a->count(" link-up ") >= 2 && b->count(" link-up ") >= 2; }, 15));
  Conn from_a(a.port()), from_b(b.port());
  size_t said = 0;
  // Longer than the pause behind a link that has stood for a moment.
  for (int i = 0; i < 30; ++i) {
    from_a.send("x");
    from_b.send("y");
    ++said;
    REQUIRE(wait_for([&] { return from_a.text().size() == said && from_b.text().size() == said; }, 5));
    turn(0.1);
  }
  CHECK(a->count(" link-up ") == 2);
  CHECK(b->count(" link-up ") == 2);
  CHECK(a->count(" link-down ") + b->count(" link-down ") == 0);
  CHECK(a->count(" peer-twice ") + b->count(" peer-twice ") == 0);
}
