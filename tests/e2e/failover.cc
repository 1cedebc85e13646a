// Several links in order of preference: fail-over, the return to the better one, and channels that notice nothing.
// Read next: core/session/ways.h; sockmuxd(8), "Several links".
#include <doctest/doctest.h>
#include <signal.h>

#include <random>

#include "tests/e2e/line.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/pipes.h"

using namespace e2e;

namespace {

std::string to(const Wire& wire) { return "SERVER=sockmux://" + local(wire.port()); }
std::string moved(const std::string& from, const std::string& target) { return " link-moved session=1 from=\"" + from + "\" to=\"" + target + "\""; }
std::string name_of(const Wire& wire) { return "tcp " + local(wire.port()); }

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// Moves that the log tells.
size_t moves(Daemon& d) { return d->count(" link-moved "); }

// An acceptor, a line to its port that can be cut, and then a connector that prefers that line.
struct Net {
  explicit Net(const Words& more_a = {}) : server(echoes) {
    a = std::make_unique<Daemon>(with({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"}, more_a));
    one = std::make_unique<Wire>(a->link_port());
  }
  void connect(const Words& lesser, const Words& more = {}) {
    c = std::make_unique<Daemon>(with(with({to(*one)}, lesser), with({"DEST=" + local(server.port())}, more)));
    REQUIRE((*c)->wait_log("link-up session=1 peer=\"" + name_of(*one), 5));
    REQUIRE((*a)->wait_log(" link-up ", 5));
  }
  void lose_one() {
    one->refuses = true;
    one->cut();
  }
  Server server;
  std::unique_ptr<Daemon> a, c;
  std::unique_ptr<Wire> one;
};

// A copy of `size` bytes through an echo server, slow enough to be there until it is let go, and a dialogue.
struct Traffic {
  explicit Traffic(uint16_t port, uint64_t bytes, double rate) : size(bytes), copy(port), talk(port) {
    copy.rate = rate;
    copy.expect_pattern(7).send_pattern(7, size).shut();
  }
  // A question is answered.
  bool answers(double seconds) {
    talk.send("k");
    ++asked;
    return wait_for([&] { return talk.text().size() == asked; }, seconds);
  }
  void finish(double seconds) {
    CHECK(copy.received() < size);
    copy.rate = 0;
    CHECK(wait_for([&] { return copy.over() && copy.received() == size; }, seconds));
    CHECK(copy.received() == size);
    CHECK_FALSE(copy.wrong());
    CHECK(copy.error() == 0);
    CHECK(talk.text() == std::string(asked, 'k'));
    CHECK(talk.alive());
  }
  uint64_t size;
  Conn copy, talk;
  size_t asked = 0;
};

// Loses the better link and comes back to it, by itself and by HUP; channels go on.
void check_there_and_back(Net& net, const std::string& lesser, uint64_t size, double rate) {
  const std::string better = name_of(*net.one);
  Traffic traffic(net.a->port(), size, rate);
  REQUIRE(traffic.answers(5));
  for (const bool hup : {false, true}) {
    CAPTURE(hup);
    const size_t from = (*net.c)->log().size();
    net.lose_one();
    REQUIRE((*net.c)->wait_log(moved(better, lesser), 10, from));
    CHECK(traffic.answers(10));
    net.one->refuses = false;
    if (hup) (*net.c)->signal(SIGHUP);
    REQUIRE((*net.c)->wait_log(moved(lesser, better), hup ? 3 : 20, from));
    CHECK(traffic.answers(10));
  }
  traffic.finish(60);
  CHECK(moves(*net.c) == 4);
  CHECK((*net.c)->count("resumed=no") == 1);
  CHECK_FALSE((*net.c)->says("held=no"));
  CHECK_FALSE((*net.a)->says("held=no"));
}

}  // namespace

TEST_CASE("failover: a link that is lost is made by the next way, and comes back to the better one; no channel notices") {
  Net net;
  Wire two(net.a->link_port());
  net.connect({to(two)});
  check_there_and_back(net, name_of(two), 30'000'000, 1'000'000);
  CHECK(wait_for([&] { return two.connections() == 0; }, 5));  // the lesser one is not kept
}

TEST_CASE("failover: ways where nobody listens cost no time, and the log names each once") {
  std::vector<DeadPort> dead(7);
  Server server(echoes);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
  Words words;
  for (const DeadPort& d : dead) words.push_back("SERVER=sockmux://" + local(d.port()));
  const uint16_t port = a.link_port();
  const double start = now();
  Daemon c(with(words, {"SERVER=sockmux://" + local(port), "DEST=" + local(server.port())}));
  REQUIRE(c->wait_log(" link-up ", 10));
  CHECK(now() - start < 7 * slowness());  // 7 head starts are 14 s
  CHECK(c->count(" connect-failed ") == 7);
  CHECK(serves(a.port(), 3));
  CHECK(moves(c) == 0);
}

TEST_CASE("failover: a better way that accepts and never answers neither holds the link up nor disturbs it") {
  Net net;
  Server silent(reads_nothing);
  const double start = now();
  Daemon c({"SERVER=sockmux://" + local(silent.port()), to(*net.one), "DEST=" + local(net.server.port()), "TIMEOUT=hello:1"});
  REQUIRE(c->wait_log(" link-up ", 5));
  CHECK(now() - start < 4 * slowness());
  Traffic traffic(net.a->port(), 30'000'000, 1'000'000);
  REQUIRE(traffic.answers(5));
  // It is tried again and again, and every time for as long as it likes.
  REQUIRE(wait_for([&] { return silent.accepted() >= 3; }, 40));
  CHECK(traffic.answers(5));
  traffic.finish(30);
  CHECK(c->count(" link-up ") == 1);
  CHECK_FALSE(c->says(" link-down "));
  CHECK(c->count(" connect-failed ") == 1);
}

TEST_CASE("failover: a link that says nothing any more is left before its time is over; one that only pauses is kept") {
  Net net;
  Wire two(net.a->link_port());
  net.connect({to(two)}, {"TIMEOUT=ping:1"});
  Conn talk(net.a->port());
  talk.send("1");
  REQUIRE(wait_for([&] { return talk.text() == "1"; }, 5));
  // Silent for longer than until the question, and not until the doubt.
  const auto pause = [&](double seconds) {
    net.one->freeze();
    const double until = now() + seconds;
    (void)wait_for([&] { return now() > until; }, seconds + 1);
    net.one->thaw();
  };
  pause(1.5);
  talk.send("2");
  REQUIRE(wait_for([&] { return talk.text() == "12"; }, 5));
  CHECK(moves(*net.c) == 0);
  net.one->freeze();
  talk.send("3");
  CHECK(wait_for([&] { return talk.text() == "123"; }, 30));
  CHECK(moves(*net.c) == 1);
  CHECK_FALSE((*net.c)->says("peer is silent"));  // that would be after 10 s
  net.one->thaw();
  CHECK(wait_for([&] { return moves(*net.c) == 2; }, 20));
  talk.send("4");
  CHECK(wait_for([&] { return talk.text() == "1234"; }, 5));
  CHECK((*net.c)->count("resumed=no") == 1);
}

TEST_CASE("failover: a link in doubt that comes to life again is kept, and the way that is tried meanwhile is let go") {
  Net net;
  Wire two(net.a->link_port());
  net.connect({to(two)}, {"TIMEOUT=ping:1"});
  Conn talk(net.a->port());
  talk.send("1");
  REQUIRE(wait_for([&] { return talk.text() == "1"; }, 5));
  two.freeze(true);
  net.one->freeze();
  REQUIRE(wait_for([&] { return two.connections() > 0; }, 20));
  net.one->thaw();
  talk.send("2");
  REQUIRE(wait_for([&] { return talk.text() == "12"; }, 5));
  two.thaw();
  CHECK(wait_for([&] { return two.connections() == 0; }, 10));
  talk.send("3");
  CHECK(wait_for([&] { return talk.text() == "123"; }, 5));
  CHECK(moves(*net.c) == 0);
  CHECK((*net.c)->count(" link-up ") == 1);
}

TEST_CASE("failover: ways that fail and come back at random, during a copy and a dialogue: nothing is lost or repeated") {
  constexpr uint64_t kSize = 10'000'000;
  Fifos fifos;
  Net net(fifos.two());
  Wire two(net.a->link_port());
  net.connect(with({to(two)}, fifos.one()));
  Traffic traffic(net.a->port(), kSize, 1'000'000);
  REQUIRE(traffic.answers(5));
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  double next = 0;
  unsigned events = 0;
  const bool done = wait_for(
      [&] {
        if (traffic.talk.text().size() == traffic.asked) {
          traffic.talk.send("k");
          ++traffic.asked;
        }
        if (now() > next && !traffic.copy.over()) {
          next = now() + 0.001 * static_cast<double>(random() % 400);
          ++events;
          Wire& wire = random() % 3 > 0 ? *net.one : two;
          switch (random() % 6) {
            case 0: wire.cut_makers(); break;
            case 1:
            case 2: wire.refuses = true; wire.cut(); break;
            case 3: wire.refuses = false; break;
            case 4: wire.freeze(random() % 2 == 0); break;
            default: wire.thaw(); break;
          }
          if (random() % 4 == 0) (*net.c)->signal(SIGHUP);
        }
        return traffic.copy.over() && traffic.copy.received() == kSize;
      },
      60);
  CHECK(done);
  MESSAGE(events, " events, ", moves(*net.c), " moves, ", traffic.asked, " questions");
  CHECK((*net.c)->count(" link-up ") > 1);  // whether it moves is chance
  CHECK_FALSE(traffic.copy.wrong());
  CHECK(wait_for([&] { return traffic.talk.text() == std::string(traffic.asked, 'k'); }, 20));
  CHECK((*net.c)->count("resumed=no") == 1);
}

TEST_CASE("failover: from TCP to FIFOs and back; the acceptor waits at both") {
  Fifos fifos;
  Net net(fifos.two());
  net.connect(fifos.one());
  check_there_and_back(net, "fifo " + fifos.com0() + " " + fifos.com1(), 30'000'000, 1'000'000);
  // And once more, by the acceptor's end of the connection only: the other one finds out first.
  const size_t from = (*net.c)->log().size();
  net.one->refuses = true;
  net.one->cut_makers();
  CHECK((*net.c)->wait_log(" link-moved ", 10, from));
  CHECK(serves(net.a->port(), 5));
}

TEST_CASE("failover: from TCP to a serial line that spoils bytes, and back") {
  TempFolder folder;
  Line line(folder, 92160);  // fast enough that what waits in the rings has passed within seconds
  Net net({"SERVER=sockmux:comm@" + line.name(1) + ",921600"});
  net.connect({"SERVER=sockmux:comm@" + line.name(0) + ",921600"});
  line.flips = 1e-5;
  line.drops = 1e-4;
  line.inject(0, pattern(1, 20000));  // which nobody reads while the line is not used
  check_there_and_back(net, "tty " + line.name(0), 30'000'000, 1'000'000);
  CHECK(serves(net.a->port(), 5));
}

TEST_CASE("failover: a session that began on the lesser way, a line, goes on over TCP when that comes, and back") {
  TempFolder folder;
  Line line(folder);
  Net net({"SERVER=sockmux:comm@" + line.name(1)});
  net.one->refuses = true;
  net.c = std::make_unique<Daemon>(Words{to(*net.one), "SERVER=sockmux:comm@" + line.name(0), "DEST=" + local(net.server.port())});
  REQUIRE((*net.c)->wait_log("link-up session=1 peer=\"tty", 10));
  Traffic traffic(net.a->port(), 30'000'000, 1'000'000);
  REQUIRE(traffic.answers(10));
  net.one->refuses = false;
  REQUIRE((*net.c)->wait_log(moved("tty " + line.name(0), name_of(*net.one)), 20));
  REQUIRE(traffic.answers(10));
  const size_t from = (*net.c)->log().size();
  net.lose_one();
  REQUIRE((*net.c)->wait_log(" link-up ", 10, from));
  REQUIRE(traffic.answers(10));
  traffic.finish(60);
  CHECK((*net.c)->count("resumed=no") == 1);
}

// 300 baud: ask and answer take longer than another peer may need to think.
TEST_CASE("failover: a way that is a very slow line is given the time that ask and answer take there") {
  TempFolder folder;
  Line line(folder, 30);
  Net net({"SERVER=sockmux:comm@" + line.name(1) + ",300", "SOXCONF=name:the-acceptor-at-the-end-of-the-line"});
  net.one->refuses = true;
  net.c = std::make_unique<Daemon>(Words{to(*net.one), "SERVER=sockmux:comm@" + line.name(0) + ",300", "SOXCONF=name:the-connector-with-a-name-as-long"});
  CHECK((*net.c)->wait_log("link-up session=1 peer=\"tty", 40));
  CHECK((*net.c)->count(" link-failed ") == 0);
}

TEST_CASE("failover: a serial line is preferred, and may be plugged out and in again") {
  TempFolder folder;
  Line line(folder);
  Server server(echoes);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "SERVER=sockmux:comm@" + line.name(1)});
  Daemon c({"SERVER=sockmux:comm@" + line.name(0), "SERVER=sockmux://" + local(a.link_port()), "DEST=" + local(server.port())});
  REQUIRE(c->wait_log("link-up session=1 peer=\"tty", 5));
  Traffic traffic(a.port(), 30'000'000, 1'000'000);
  REQUIRE(traffic.answers(5));
  line.unplug(0);
  REQUIRE(c->wait_log(" link-moved ", 10));
  CHECK(traffic.answers(10));
  line.plug(0);
  REQUIRE(wait_for([&] { return moves(c) == 2; }, 20));
  CHECK(traffic.answers(10));
  traffic.finish(60);
  CHECK(c->count("resumed=no") == 1);
}

TEST_CASE("failover: both sides have the same two lines and none accepts: they meet again on the one that is left") {
  TempFolder folder, other;
  Line best(folder), second(other);
  Server server(echoes);
  const auto words = [&](int end, const std::string& more) {
    return Words{"SERVER=sockmux:comm@" + best.name(end), "SERVER=sockmux:comm@" + second.name(end), more, "TIMEOUT=ping:1"};
  };
  Daemon a(words(0, "PORT=127.0.0.1:0")), c(words(1, "DEST=" + local(server.port())));
  REQUIRE(c->wait_log(" link-up ", 5));
  REQUIRE(a->wait_log("link-up session=1 peer=\"tty " + best.name(0), 5));
  Conn talk(a.port());
  talk.send("1");
  REQUIRE(wait_for([&] { return talk.text() == "1"; }, 5));
  best.dead = true;
  talk.send("2");
  REQUIRE(wait_for([&] { return talk.text() == "12"; }, 50));
  CHECK(moves(a) == 1);
  CHECK(moves(c) == 1);
  best.dead = false;
  REQUIRE(wait_for([&] { return moves(a) == 2 && moves(c) == 2; }, 90));
  talk.send("3");
  REQUIRE(wait_for([&] { return talk.text() == "123"; }, 10));
  CHECK(a->count("resumed=no") == 1);
}

TEST_CASE("failover: 0.3 does not resume: back to the better link only when no channel is open") {
  Net net({"TIMEOUT=lin:0.2"});
  Server server(echoes);
  Wire two(net.a->link_port());
  net.connect({to(two)}, {"SOXCONF=proto:0.3"});
  net.lose_one();
  REQUIRE((*net.c)->wait_log(" link-moved ", 10));
  Conn open(net.a->port());
  open.send("x");
  REQUIRE(wait_for([&] { return open.text() == "x"; }, 5));
  net.one->refuses = false;
  (*net.c)->signal(SIGHUP);
  const double later = now() + 6;
  CHECK(wait_for([&] { return now() > later; }, 7));
  CHECK(moves(*net.c) == 1);
  CHECK(open.alive());
  CHECK_FALSE((*net.a)->says(" link-failed "));  // it does not even knock
  open.shut();
  CHECK(wait_for([&] { return open.over(); }, 5));
  CHECK(wait_for([&] { return moves(*net.c) == 2; }, 15));
  CHECK(serves(net.a->port(), 5));
}

// It is the client's and ours, and no link changes that any more.
TEST_CASE("failover: what a client has still to read of a session that has ended keeps no link from the better way") {
  Server server([](Conn&) {});
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(server.port())});
  Wire one(a.link_port()), two(a.link_port());
  Daemon c({to(one), to(two), "PORT=127.0.0.1:0", "TIMEOUT=resume:0"});
  REQUIRE(c->wait_log("link-up session=1 peer=\"" + name_of(one), 5));
  Conn slow(connect_small(c.port()));
  slow.reading = false;
  REQUIRE(wait_for([&] { return server.accepted() == 1; }, 5));
  int64_t sent = 0;
  REQUIRE(wait_for([&] {  // what the kernel does not take stays in the daemon
    server.last().send_pattern(7, 20 * 1000);
    sent += 20 * 1000;
    return Daemon::value(c.statistics(), "blocks") > 0;
  }, 10));
  server.last().close_behind();
  REQUIRE(wait_for([&] { return server.conns().empty() && Daemon::value(c.statistics(), "rx") > sent; }, 5));
  for (int i = 0; i < 3; ++i) (void)c.statistics();  // the end has come, too
  one.refuses = true;
  one.cut();
  REQUIRE(c->wait_log(" link-moved ", 10));
  CHECK(Daemon::value(c.statistics(), "channels") == 1);
  one.refuses = false;
  c->signal(SIGHUP);
  CHECK(wait_for([&] { return moves(c) == 2; }, 8));
  CHECK(Daemon::value(c.statistics(), "channels") == 1);
  slow.expect_pattern(7).reading = true;
  CHECK(wait_for([&] { return slow.over(); }, 10));
  CHECK(slow.received() == static_cast<uint64_t>(sent));
  CHECK(slow.error() == 0);
}

TEST_CASE("failover: a better way to another host waits until no channel is open, since that host knows of none") {
  Net net;
  const std::string hello = "20261123-085921.114471 another smx/1:21d40e58";
  bool talks = false;
  Server other([&](Conn& c) {
    if (!talks) return c.close();
    c.send(packet(3, kHello, 0xffff, 0xffff, hello + std::string(1, '\0')));
  });
  Daemon c({"SERVER=sockmux://" + local(other.port()), to(*net.one), "DEST=" + local(net.server.port())});
  REQUIRE(c->wait_log(" link-up ", 10));
  talks = true;
  Conn open(net.a->port());
  open.send("x");
  REQUIRE(wait_for([&] { return open.text() == "x"; }, 5));
  const auto asked = [&] {  // for a session, behind our HELLO
    return other.last().text().find("\x10\x10\xff\xff\xff\xff") != std::string::npos;
  };
  for (int i = 0; i < 3; ++i) {
    const size_t before = other.accepted();
    c->signal(SIGHUP);
    REQUIRE(wait_for([&] { return other.accepted() > before && other.last().over(); }, 5));
  }
  CHECK(open.alive());
  CHECK_FALSE(c->says(" link-down "));
  open.shut();
  REQUIRE(wait_for([&] { return open.over(); }, 5));
  REQUIRE(net.a->wait_channels(0, 5));
  c->signal(SIGHUP);
  CHECK(wait_for(asked, 5));
  // It says no more: back to the link that works.
  const size_t from = c->log().size();
  CHECK(c->wait_log("link-up session=1 peer=\"" + name_of(*net.one), 15, from));
  CHECK(serves(net.a->port(), 5));
}

TEST_CASE("failover: a better link that comes and goes is tried later each time, and channels live") {
  Net net;
  Wire two(net.a->link_port());
  net.connect({to(two)});
  Conn talk(net.a->port());
  size_t asked = 0;
  const auto answers = [&] {
    talk.send("k");
    ++asked;
    return wait_for([&] { return talk.text().size() == asked; }, 10);
  };
  REQUIRE(answers());
  double back[2] = {};
  for (size_t round = 0; round < 3; ++round) {
    net.one->cut();  // at once accepted again
    REQUIRE(wait_for([&] { return moves(*net.c) == 2 * round + 1; }, 10));
    CHECK(answers());
    if (round == 2) break;
    const double start = now();
    REQUIRE(wait_for([&] { return moves(*net.c) == 2 * round + 2; }, 30));
    back[round] = now() - start;
    CHECK(answers());
  }
  CHECK(back[0] > 4);
  CHECK(back[1] > 9);
  CHECK((*net.c)->count("resumed=no") == 1);
}

TEST_CASE("failover: an acceptor's line serves a peer that has only that line, of either dialect, and others at its port") {
  Fifos fifos;
  TempFolder folder;
  Line line(folder);
  Server server(echoes);
  const std::string dest = "DEST=" + local(server.port());
  Daemon a(with(fifos.two(), {"SERVER=sockmux", "-P127.0.0.1:0", "SERVER=sockmux:comm@" + line.name(1), dest}));
  a.await_start();
  Daemon at_tty({"SERVER=sockmux:comm@" + line.name(0), "PORT=127.0.0.1:0"});
  Daemon at_fifo(fifos.one({"PORT=127.0.0.1:0", "SOXCONF=proto:0.3", "TIMEOUT=lin:0.2"}));
  Daemon at_port({"SERVER=sockmux://" + local(a.link_port()), "PORT=127.0.0.1:0"});
  const uint16_t ports[] = {at_tty.port(), at_fifo.port(), at_port.port()};
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    for (const uint16_t port : ports) CHECK(serves(port, 15));
    for (Daemon* d : {&at_tty, &at_fifo}) (void)d->restart();
  }
}

TEST_CASE("failover: MAXIMA=links:1 of an acceptor is no obstacle to the way back") {
  Fifos fifos;
  Net net(with(fifos.two(), {"MAXIMA=links:1"}));
  net.connect(fifos.one());
  net.lose_one();
  REQUIRE((*net.c)->wait_log(" link-moved ", 10));
  net.one->refuses = false;
  (*net.c)->signal(SIGHUP);
  CHECK(wait_for([&] { return moves(*net.c) == 2; }, 5));
}

TEST_CASE("failover: a daemon accepts links, and makes one itself, at the same time") {
  Server server(echoes);
  Daemon up({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
  Daemon middle({"SERVER=sockmux", "-P127.0.0.1:0", "SERVER=sockmux://" + local(up.link_port()), "DEST=" + local(server.port())});
  Daemon down({"SERVER=sockmux://" + local(middle.link_port()), "PORT=127.0.0.1:0"});
  CHECK(serves(up.port(), 5));
  CHECK(serves(down.port(), 5));
  CHECK(wait_for([&] { return middle->count(" link-up ") == 2; }, 5));
}

TEST_CASE("failover: the end of the daemon ends trials, links and lines, whatever they do") {
  Fifos fifos;
  TempFolder folder;
  Line line(folder);
  Net net(with(fifos.two(), {"SERVER=sockmux:comm@" + line.name(1)}));
  net.connect(with(fifos.one(), {"SERVER=sockmux:comm@" + line.name(0), "SERVER=sockmux:proc@sleep 1000"}));
  net.lose_one();
  REQUIRE((*net.c)->wait_log(" link-moved ", 10));
  for (Daemon* d : {net.c.get(), net.a.get()}) {
    (*d)->signal(SIGTERM);
    CHECK((*d)->wait_end(8));
    CHECK((*d)->status() == 0);
  }
}
