// Sessions that outlive their links. Read next: core/mux/mux_session.cc; tests/sim does the same in virtual time.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>

#include "tests/e2e/datagrams.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

// An acceptor with a port, a line that can be cut, and a connector with a server.
struct Line {
  explicit Line(uint16_t server, const Words& more = {}, const Words& more_c = {}) {
    Words words{"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"};
    words.insert(words.end(), more.begin(), more.end());
    a = std::make_unique<Daemon>(words);
    wire = std::make_unique<Wire>(a->link_port());
    words = {"SERVER=sockmux://" + local(wire->port()), "DEST=" + local(server)};
    words.insert(words.end(), more_c.begin(), more_c.end());
    c = std::make_unique<Daemon>(words);
    REQUIRE((*c)->wait_log(" link-up ", 5));
    REQUIRE((*a)->wait_log(" link-up ", 5));
  }
  std::unique_ptr<Daemon> a, c;
  std::unique_ptr<Wire> wire;
};

}  // namespace

TEST_CASE("resume: the link is cut 100 times during a copy of more than 20 MB each way, a dialogue and a UDP flow: no pause is long, nothing is lost") {
  Server server([](Conn& c) { c.echo = true; });
  UdpServer udp_server(same);
  Line line(server.port(), {"PORT=127.0.0.1:0/udp"}, {"DEST=" + local(udp_server.port()) + "/udp"});
  constexpr uint64_t kSize = 60 * 1000 * 1000;
  Conn copy(line.a->port(0));
  copy.expect_pattern(7).send_pattern(7, kSize).shut();
  Conn talk(line.a->port(0));
  Udp flow(line.a->port(1));
  size_t asked = 0;
  uint64_t datagrams = 0;
  unsigned cuts = 0;
  double cut_at = 0, last_datagram = 0;
  std::vector<double> pauses;
  const double start = now();
  const bool done = wait_for(
      [&] {
        if (talk.text().size() == asked) {
          if (cut_at > 0) pauses.push_back(now() - cut_at);
          cut_at = 0;
          talk.send("k");
          ++asked;
        }
        if (now() - last_datagram > 0.005) {
          flow.send(text(datagrams++));
          last_datagram = now();
        }
        if (cuts < 100 && cut_at == 0 && copy.received() >= (cuts + 1) * (kSize / 102) && line.wire->connections() > 0) {
          ++cuts;
          line.wire->cut();
          cut_at = now();
        }
        return copy.over() && copy.received() == kSize;
      },
      120);
  CHECK(done);
  REQUIRE(pauses.size() > 50);
  std::sort(pauses.begin(), pauses.end());
  MESSAGE(cuts, " cuts in ", now() - start, " s, ", asked, " questions; pauses behind a cut, ms: median ", pauses[pauses.size() / 2] * 1000, ", longest ", pauses.back() * 1000,
          "; of ", datagrams, " datagrams ", flow.got().size(), " came back");
  CHECK(cuts == 100);
  CHECK(pauses.back() < 0.3 * slowness());
  CHECK(copy.error() == 0);
  CHECK_FALSE(copy.wrong());
  CHECK(copy.received() == kSize);
  CHECK(wait_for([&] { return talk.text() == std::string(asked, 'k'); }, 5));
  CHECK(talk.alive());
  CHECK((*line.c)->says("resumed=yes"));
  CHECK_FALSE((*line.c)->says("held=no"));
  talk.shut();
  // One flow all the time: whole, in order, none twice; most of them arrived.
  CHECK(udp_server.clients() == 1);
  int64_t last = -1;
  bool in_order = true;
  for (const std::string& d : flow.got()) {
    const int64_t n = atoll(d.c_str());
    in_order = in_order && n > last && d == text(static_cast<uint64_t>(n));
    last = n;
  }
  CHECK(in_order);
  CHECK(flow.got().size() > datagrams / 10);
  flow.send("the end");
  CHECK(wait_for([&] { return !flow.got().empty() && flow.got().back() == "the end"; }, 5));
  CHECK(line.a->wait_channels(1, 5));  // the flow
  CHECK(line.c->wait_channels(1, 5));
}

TEST_CASE("resume: a link that hangs at the acceptor is taken over within 1 s, with its channels") {
  Server server(echoes);
  Line line(server.port());
  Conn open(line.a->port());
  open.send("before");
  REQUIRE(wait_for([&] { return open.text() == "before"; }, 5));
  const size_t a_from = (*line.a)->log().size();
  const double start = now();
  line.wire->cut_makers();
  open.send(", after");
  CHECK(wait_for([&] { return open.text() == "before, after"; }, 5));
  CHECK(now() - start < 1 * slowness());
  CHECK((*line.a)->says("reason=\"replaced by a newer link\"", a_from));
  CHECK((*line.a)->says("resumed=yes", a_from));
  // A new client goes to it as well.
  CHECK(serves(line.a->port(), 2));
}

TEST_CASE("resume: also where there is place for one link only, and one that hangs") {
  Server server(echoes);
  Line line(server.port(), {"MAXIMA=links:1"});
  Conn open(line.a->port());
  open.send("1");
  REQUIRE(wait_for([&] { return open.text() == "1"; }, 5));
  for (int i = 2; i <= 5; ++i) {
    line.wire->cut();
    open.send(text(static_cast<uint64_t>(i)));
    REQUIRE(wait_for([&] { return open.text().size() == static_cast<size_t>(i); }, 5));
  }
  CHECK(open.text() == "12345");
}

TEST_CASE("resume: a daemon that is started anew knows nothing of its sessions: their channels end, the ports serve at once") {
  Server server(echoes);
  for (const bool acceptor : {false, true}) {
    CAPTURE(acceptor);
    Line line(server.port(), acceptor ? Words{} : Words{"-vd"}, acceptor ? Words{"PORT=127.0.0.1:0"} : Words{});
    Daemon& other = acceptor ? *line.c : *line.a;
    const uint16_t port = line.a->port();
    Conn open(port);
    open.send("x");
    REQUIRE(wait_for([&] { return open.text() == "x" && server.conns().size() == 1; }, 5));
    const size_t from = other->log().size();
    (void)(acceptor ? line.a : line.c)->restart();
    REQUIRE(other->wait_log(" link-up ", 5, from));
    CHECK(other->says("resumed=no", from));
    CHECK(other->wait_log("session-ended session=1 reason=\"the peer has started anew\" channels=1", 8, from));
    CHECK(other->count(" session-ended ") == 1);
    CHECK(serves(port, 2));
    CHECK(wait_for([&] { return open.over() && server.conns().empty(); }, 8));
    CHECK(line.a->wait_channels(0, 5));
    CHECK(line.c->wait_channels(0, 5));
  }
}

TEST_CASE("resume: a session that nobody asks for ends after TIMEOUT=resume, and its channels are reset") {
  Server server(echoes);
  Line line(server.port(), {"TIMEOUT=resume:1"}, {"TIMEOUT=resume:30"});  // the smaller one counts, for both
  Conn open(line.a->port());
  open.send("x");
  REQUIRE(wait_for([&] { return open.text() == "x"; }, 5));
  line.c->kill();
  const double start = now();
  CHECK(wait_for([&] { return open.over(); }, 4));
  CHECK(now() - start > 0.8);
  CHECK(open.error() != 0);  // cut off, not ended
  CHECK((*line.a)->wait_log(" session-ended ", 1));
  CHECK((*line.a)->says("session-ended session=1 reason=\"no new link within TIMEOUT=resume\" channels=1"));
  CHECK(line.a->wait_channels(0, 1));
}

TEST_CASE("resume: TIMEOUT=resume:0 at one side: a lost link ends its channels at once") {
  Server server(echoes);
  Line line(server.port(), {}, {"TIMEOUT=resume:0"});
  Conn open(line.a->port());
  open.send("x");
  REQUIRE(wait_for([&] { return open.text() == "x"; }, 5));
  line.wire->cut();
  CHECK(wait_for([&] { return open.over(); }, 2));
  CHECK((*line.a)->wait_log("held=no", 2));
  CHECK(serves(line.a->port(), 3));
}

TEST_CASE("resume: the peer's goodbye ends the session, and not only the link") {
  Server server(echoes);
  Line line(server.port());
  Conn open(line.a->port());
  open.send("x");
  REQUIRE(wait_for([&] { return open.text() == "x"; }, 5));
  (*line.c)->signal(SIGTERM);
  CHECK((*line.c)->wait_end(6));
  CHECK(wait_for([&] { return open.over(); }, 2));
  CHECK((*line.a)->says("held=no"));
}

TEST_CASE("resume: two peers at one address, told apart by SOXCONF=name, do not end each other's sessions") {
  Server server(echoes), other(echoes);
  Line line(server.port(), {}, {"SOXCONF=name:one"});
  Conn open(line.a->port());
  open.send("x");
  REQUIRE(wait_for([&] { return open.text() == "x"; }, 5));
  (*line.c)->signal(SIGSTOP);
  line.wire->cut();
  REQUIRE((*line.a)->wait_log("held=yes", 5));
  Daemon two({"SERVER=sockmux://" + local(line.a->link_port()), "SOXCONF=name:two", "DEST=" + local(other.port())});
  REQUIRE(two->wait_log(" link-up ", 5));
  const double later = now() + 6;
  CHECK(wait_for([&] { return now() > later; }, 7));
  CHECK(open.alive());
  (*line.c)->signal(SIGCONT);
  open.send("y");
  CHECK(wait_for([&] { return open.text() == "xy"; }, 5));
  // The same name again: the old session is not needed any more.
  Daemon again({"SERVER=sockmux://" + local(line.a->link_port()), "SOXCONF=name:one"});
  REQUIRE(again->wait_log(" link-up ", 5));
}
