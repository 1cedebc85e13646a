// Sessions that outlive their links. Read next: core/mux/mux_session.cc; tests/sim does the same in virtual time.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>

#include "tests/e2e/clocks.h"
#include "tests/e2e/datagrams.h"
#include "tests/e2e/family.h"
#include "tests/e2e/peer.h"

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

// The same with an exit whose clock is moved while the line is cut.
struct LongCut {
  explicit LongCut(const Words& more)
      : a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "TIMEOUT=resume:1h"}), wire(a.link_port()), c(exit_words(more, wire.port()), clocks.setup()) {
    REQUIRE(c->wait_log(" link-up ", 5));
    REQUIRE(a->wait_log(" link-up ", 5));
  }
  static Words exit_words(const Words& more, uint16_t link) {
    Words words{"SERVER=sockmux://" + local(link), "TIMEOUT=resume:1h", "TIMEOUT=retry:1", "-vv"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  void cut() {
    wire.refuses = true;
    wire.cut();
    REQUIRE(c->wait_log(" link-down ", 5));
  }
  void wait(int64_t seconds) {
    clocks.add_monotonic(seconds);
    (void)c.statistics();  // its timers have seen that
  }
  void mend() {
    wire.meddle = nullptr;
    wire.refuses = false;
    REQUIRE(wait_for([&] { return c->says("resumed=yes"); }, 20));
  }
  Clocks clocks;
  Daemon a;
  Wire wire;
  Daemon c;
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
  for (const std::string& d : flow.got()) {
    CAPTURE(last);
    CAPTURE(d);
    const int64_t n = atoll(d.c_str());
    const bool next = n > last && d == text(static_cast<uint64_t>(n));
    CHECK(next);
    last = n;
  }
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
    CHECK(other->wait_log("resumed=no", 5, from));
    CHECK(other->wait_log("session-ended session=1 reason=\"the peer has started anew\" channels=1", 8, from));
    CHECK(other->count(" session-ended ") == 1);
    CHECK(serves(port, 2));
    CHECK(wait_for([&] { return open.over() && server.conns().empty(); }, 8));
    CHECK(line.a->wait_channels(0, 5));
    CHECK(line.c->wait_channels(0, 5));
  }
}

// Only a link that gives no answer because its peer has started anew is held briefly (5 s).
TEST_CASE("resume: who was asked whether it lives is held as long as ever: by HUP, by HUP on a line that is silent, by another peer's coming") {
  Server server(echoes);
  Line told(server.port()), silent(server.port()), asked(server.port());
  std::vector<Line*> lines{&told, &silent, &asked};
  std::vector<std::unique_ptr<Conn>> open;
  for (Line* line : lines) {
    open.push_back(std::make_unique<Conn>(line->a->port()));
    open.back()->send("x");
  }
  const auto all_say = [&](const std::string& what) {
    return [&open, what] { return std::all_of(open.begin(), open.end(), [&](auto& c) { return c->text() == what; }); };
  };
  REQUIRE(wait_for(all_say("x"), 5));
  silent.wire->freeze();
  for (Line* line : {&told, &silent}) {
    for (Daemon* d : {line->a.get(), line->c.get()}) {
      (*d)->signal(SIGHUP);
      REQUIRE((*d)->wait_log(" retry-now ", 5));
    }
  }
  Daemon another({"SERVER=sockmux://" + local(asked.a->link_port()), "DEST=" + local(server.port())});
  REQUIRE(another->wait_log(" link-up ", 5));
  // What was asked is answered.
  for (const size_t i : {size_t{0}, size_t{2}}) {
    open[i]->send("y");
    REQUIRE(wait_for([&] { return open[i]->text() == "xy"; }, 5));
  }
  for (Line* line : {&told, &asked}) {
    line->wire->refuses = true;
    line->wire->cut();
  }
  for (Line* line : lines) {
    REQUIRE((*line->a)->wait_log(" link-down ", 20));
    REQUIRE((*line->c)->wait_log(" link-down ", 20));
  }
  const auto ended = [](Line* l) { return (*l->a)->says(" session-ended ") || (*l->c)->says(" session-ended "); };
  const double start = now();
  CHECK(wait_for([&] { return now() - start > 6 || std::any_of(lines.begin(), lines.end(), ended); }, 12));
  CHECK(std::none_of(lines.begin(), lines.end(), ended));
  for (Line* line : {&told, &asked}) line->wire->refuses = false;
  silent.wire->thaw();
  open[1]->send("y");
  for (auto& c : open) c->send("z");
  CHECK(wait_for(all_say("xyz"), 20));
  for (Line* line : lines) CHECK((*line->a)->count(" session-ended ") == 0);
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

TEST_CASE("resume: all places are held by peers that are away: who comes gets that of the one that linked first, and the other goes on") {
  Server server(echoes);
  Line line(server.port(), {"MAXIMA=links:2"}, {"SOXCONF=name:one"});
  Wire wire(line.a->link_port());
  Daemon two({"SERVER=sockmux://" + local(wire.port()), "SOXCONF=name:two", "DEST=" + local(server.port())});
  REQUIRE(two->wait_log(" link-up ", 5));
  Conn first(line.a->port()), second(line.a->port());
  first.send("x");
  second.send("x");
  REQUIRE(wait_for([&] { return first.text() == "x" && second.text() == "x"; }, 5));
  (*line.c)->signal(SIGSTOP);
  two->signal(SIGSTOP);
  line.wire->cut();
  wire.cut();
  REQUIRE(wait_for([&] { return (*line.a)->count("held=yes") == 2; }, 5));
  Daemon three({"SERVER=sockmux://" + local(line.a->link_port()), "SOXCONF=name:three", "DEST=" + local(server.port())});
  REQUIRE(three->wait_log(" link-up ", 5));
  CHECK((*line.a)->wait_log("session-ended session=1 ", 5));
  CHECK((*line.a)->count(" session-ended ") == 1);
  REQUIRE(wait_for([&] { return first.over() != second.over(); }, 5));
  two->signal(SIGCONT);
  Conn& open = first.over() ? second : first;
  open.send("y");
  CHECK(wait_for([&] { return open.text() == "xy"; }, 5));
  (*line.c)->signal(SIGCONT);
}

// What HUP asks the peer must not shorten for how long a session is held: neither while it is asked, nor, as it was, for as
// long as that link stands.
TEST_CASE("resume: behind a HUP, too, a session is held for TIMEOUT=resume") {
  Server server([](Conn& c) { c.echo = true; });
  Line line(server.port());
  Conn talk(line.a->port(0));
  talk.send("a");
  REQUIRE(wait_for([&] { return talk.text() == "a"; }, 5));
  line.a->process().signal(SIGHUP);
  line.c->process().signal(SIGHUP);
  REQUIRE((*line.a)->wait_log(" retry-now ", 5));
  REQUIRE((*line.c)->wait_log(" retry-now ", 5));
  talk.send("b");
  REQUIRE(wait_for([&] { return talk.text() == "ab"; }, 5));
  line.wire->refuses = true;
  line.wire->cut();
  REQUIRE((*line.a)->wait_log(" link-down ", 5));
  // Longer than the 5 s for which a session is held whose peer may have started anew.
  (void)wait_for([&] { return (*line.a)->says("session-ended"); }, 6);
  CHECK_FALSE((*line.a)->says("session-ended"));
  line.wire->refuses = false;
  line.c->process().signal(SIGHUP);
  talk.send("c");
  CHECK(wait_for([&] { return talk.text() == "abc"; }, 10));
}

// A balancer's page, a captive portal, a daemon that is not ours: something else is there for a moment.
TEST_CASE("resume: what a stranger says in the peer's place, before a link is up, does not end the session that waits") {
  Server server(echoes);
  Line line(server.port());
  Conn open(line.a->port());
  open.send("x");
  REQUIRE(wait_for([&] { return open.text() == "x"; }, 5));
  std::string said = "x";
  for (const std::string& stranger : {std::string("HTTP/1.0 400\r\n\r\n"), std::string("SSH-2.0-x\r\n"), unnumbered(kBye, "\x83")}) {
    CAPTURE(stranger);
    const size_t from = (*line.c)->log().size();
    bool answered = false;
    line.wire->meddle = [&](bool up, uint64_t before, std::string& bytes) {
      if (up) return bytes.clear();
      bytes = before == 0 ? stranger : "";
      answered = true;
    };
    line.wire->cut();
    CHECK((*line.c)->wait_log("held=yes", 5, from));
    CHECK((*line.c)->wait_log(" link-failed ", 5, from));
    CHECK(answered);
    line.wire->meddle = nullptr;
    line.wire->cut();
    open.send("y");
    said += "y";
    REQUIRE(wait_for([&] { return open.text() == said || open.over(); }, 10));
    CHECK(open.text() == said);
  }
  CHECK((*line.a)->count(" session-ended ") == 0);
  CHECK((*line.c)->count(" session-ended ") == 0);
}

TEST_CASE("resume: where each place is held, what a stranger says in one does not end its session") {
  Server server(echoes);
  Line line(server.port(), {"MAXIMA=links:1"});
  Conn open(line.a->port());
  open.send("x");
  REQUIRE(wait_for([&] { return open.text() == "x"; }, 5));
  line.wire->refuses = true;
  line.wire->cut();
  REQUIRE((*line.a)->wait_log("held=yes", 5));
  for (const std::string& stranger : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(5000, '\0'), unnumbered(kBye, "\x80")}) {
    CAPTURE(stranger);
    const size_t from = (*line.a)->log().size();
    Conn scan(line.a->link_port());
    scan.send(stranger);
    CHECK(wait_for([&] { return scan.over(); }, 5));
    CHECK((*line.a)->wait_log(" link-failed ", 5, from));
  }
  line.wire->refuses = false;
  open.send("y");
  REQUIRE(wait_for([&] { return open.text() == "xy" || open.over(); }, 10));
  CHECK(open.text() == "xy");
}

// The kernel has it, and throws away what it has not sent yet when the connection is reset.
TEST_CASE("resume: a client that reads slowly gets all of a server that has ended before the session, and a server whose answer is cut is reset") {
  constexpr uint64_t kSize = 400 * 1000;
  for (const bool goodbye : {false, true}) {
    CAPTURE(goodbye);
    int clients = 0;
    Server server([&](Conn& c) {
      if (clients++ == 0) c.send_pattern(7, kSize).close_behind();
      else c.echo = clients > 2;
    });
    Line line(server.port(), {}, {"TIMEOUT=resume:0"});
    Conn slow(line.a->port());
    slow.expect_pattern(7).reading = false;
    REQUIRE(wait_for([&] { return clients == 1; }, 5));
    Conn half(line.a->port());
    half.send("ask").shut();
    REQUIRE(wait_for([&] { return clients == 2 && server.last().text() == "ask" && server.last().ended(); }, 5));
    server.last().send("first");
    REQUIRE(wait_for([&] { return half.text() == "first" && Daemon::value(line.a->statistics(), "rx") > static_cast<int64_t>(kSize); }, 10));
    for (int i = 0; i < 2; ++i) CHECK(serves(line.a->port(), 5));  // the end that stood behind it has come
    if (goodbye) (*line.c)->signal(SIGTERM);
    else line.wire->cut();
    REQUIRE((*line.a)->wait_log("held=no", 8));
    CHECK(wait_for([&] { return half.over(); }, 5));
    CHECK(half.error() != 0);
    CHECK(wait_for([&] {
      if (!server.conns().empty()) server.last().send("second");
      return server.conns().empty();
    }, 5));
    slow.reading = true;
    CHECK(wait_for([&] { return slow.over(); }, 10));
    CHECK(slow.error() == 0);
    CHECK_FALSE(slow.wrong());
    CHECK(slow.received() == kSize);
  }
}

// Every OpenWrt is called so.
TEST_CASE("resume: a peer of the same host name at another address does not shorten the time for which another's session is held") {
  Server server(echoes), other(echoes);
  Daemon hub({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
  const std::string at = "SERVER=sockmux://" + local(hub.link_port());
  Daemon one({at, "SRCIF=127.0.0.2", "DEST=" + local(server.port())});
  REQUIRE(hub->wait_log(" link-up ", 5));
  Conn open(hub.port());
  open.send("x");
  REQUIRE(wait_for([&] { return open.text() == "x"; }, 5));
  one->signal(SIGSTOP);
  Daemon two({at, "SRCIF=127.0.0.3", "DEST=" + local(other.port())});
  REQUIRE(two->wait_log(" link-up ", 5));
  // It is asked whether it lives, so that clients go elsewhere soon.
  REQUIRE(hub->wait_log(" link-down session=1 ", 15));
  CHECK(hub->says("held=yes"));
  const double later = now() + 6;
  CHECK(wait_for([&] { return now() > later; }, 7));
  CHECK(hub->count(" session-ended ") == 0);
  one->signal(SIGCONT);
  open.send("y");
  REQUIRE(wait_for([&] { return open.text() == "xy" || open.over(); }, 10));
  CHECK(open.text() == "xy");
}

TEST_CASE("resume: a stranger who was let into the place of a held session leaves it to its own peer") {
  Server server(echoes), other(echoes);
  Daemon hub({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "MAXIMA=links:2"});
  Daemon one({"SERVER=sockmux://" + local(hub.link_port()), "SRCIF=127.0.0.2", "DEST=" + local(server.port())});
  REQUIRE(hub->wait_log(" link-up session=1 ", 5));
  Conn first(hub.port());
  first.send("x");
  REQUIRE(wait_for([&] { return first.text() == "x"; }, 5));
  Wire wire(hub.link_port());
  Daemon two({"SERVER=sockmux://" + local(wire.port()), "DEST=" + local(other.port())});
  REQUIRE(hub->wait_log(" link-up session=2 ", 5));
  std::unique_ptr<Conn> second;
  for (int i = 0; i < 4 && other.conns().empty(); ++i) {  // by turns
    second = std::make_unique<Conn>(hub.port());
    second->send("x");
    REQUIRE(wait_for([&] { return second->text() == "x"; }, 5));
  }
  REQUIRE(!other.conns().empty());
  one.kill();
  wire.refuses = true;
  wire.cut();
  REQUIRE(wait_for([&] { return hub->count("held=yes") == 2; }, 5));
  Conn scan("127.0.0.1", hub.link_port(), "127.0.0.3");
  scan.send("GET / HTTP/1.1\r\n\r\n");
  REQUIRE(hub->wait_log(" link-failed session=1 ", 5));
  one.restart();
  REQUIRE(one->wait_log(" link-up ", 5));
  CHECK(wait_for([&] { return first.over(); }, 5));
  wire.refuses = false;
  second->send("y");
  REQUIRE(wait_for([&] { return second->text() == "xy" || second->over(); }, 10));
  CHECK(second->text() == "xy");
}

TEST_CASE("resume: an answer of the HTTP proxy waits for its client as long as the link is cut, half read or whole") {
  if (cannot_shift()) return;
  for (const uint64_t size : {uint64_t{20} << 20, uint64_t{50000}}) {
    CAPTURE(size);
    Server server([](Conn&) {});
    LongCut line({"SERVER=http,-in", "TIMEOUT=io:60"});
    Conn client(line.a.port());
    client.send("GET http://" + local(server.port()) + "/ HTTP/1.0\r\n\r\n");
    REQUIRE(wait_for([&] { return server.accepted() == 1 && server.last().received() > 0; }, 5));
    line.cut();
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: " + text(size) + "\r\n\r\n";
    server.last().send(head).send_pattern(62, size);
    if (size < 100000) REQUIRE(wait_for([&] { return line.c->says("to=ending"); }, 5));
    for (int i = 0; i < 6; ++i) line.wait(61);
    line.mend();
    REQUIRE(wait_for([&] { return client.over(); }, 20));
    CHECK(client.ended());
    const size_t body = client.text().find("\r\n\r\n");
    REQUIRE(body != std::string::npos);
    CHECK(digest_of(client.text().substr(body + 4)) == digest_of(pattern(62, size)));
    client.close();
    CHECK(line.c.wait_channels(0, 10));
  }
}

// The answer, more than the client's socket takes, is lost on the line, and has to come again. Meanwhile the server has closed, and a
// write to it has failed.
TEST_CASE("resume: what a server has said that takes nothing more arrives, however long the link is cut behind it, and its handshake takes") {
  if (cannot_shift()) return;
  for (const bool slow_handshake : {false, true}) {
    CAPTURE(slow_handshake);
    constexpr uint64_t kAnswer = 50000;
    Server server([](Conn& c) { c.on_bytes = [&c](const char*, size_t) { c.send_pattern(63, kAnswer).close_behind(); }; });
    LongCut line({"DEST=" + local(server.port())});
    Conn client(connect_small(line.a.port()));
    client.expect_pattern(63);
    client.reading = false;
    line.wire.meddle = [&](bool up, uint64_t, std::string& bytes) {
      if (up && server.accepted() == 1 && server.conns().empty()) bytes.clear();
    };
    client.send("x");
    REQUIRE(wait_for([&] { return server.accepted() == 1 && server.conns().empty(); }, 5));
    for (int i = 0; i < 100 && !line.c->says("stream-error"); ++i) {
      client.send("y");
      (void)wait_for([&] { return line.c->says("stream-error"); }, 0.05);
    }
    REQUIRE(line.c->says("Broken pipe"));
    line.cut();
    for (int i = 0; i < 3; ++i) line.wait(6);
    if (slow_handshake) {  // longer than the limit
      const size_t from = line.c->log().size();
      line.wire.freeze();
      line.wire.refuses = false;
      REQUIRE(line.c->wait_log(" link-open ", 10, from));
      for (const int seconds : {6, 4}) line.wait(seconds);
      line.wire.thaw();
    }
    line.mend();
    (void)line.a.wait_channels(0, slow_handshake ? 3 : 1);  // so it would be soon, were the channel reset meanwhile
    client.reading = true;
    REQUIRE(wait_for([&] { return client.over(); }, 20));
    CHECK(client.ended());
    CHECK(client.received() == kAnswer);
    CHECK(line.c.wait_channels(0, 10));
  }
}

// Their memory and numbers are needed: each makes way, the oldest first.
TEST_CASE("resume: clients that read slowly what a session that has ended has left make way for new ones") {
  Server server([](Conn&) {});
  Line line(server.port(), {}, {"TIMEOUT=resume:0", "MAXIMA=channels:2"});
  std::vector<std::unique_ptr<Conn>> slow;
  int64_t sent = 0;
  for (int i = 1; i <= 2; ++i) {
    slow.push_back(std::make_unique<Conn>(connect_small(line.a->port())));
    slow.back()->reading = false;
    REQUIRE(wait_for([&] { return server.accepted() == static_cast<size_t>(i); }, 5));
    const int64_t before = Daemon::value(line.a->statistics(), "blocks");
    REQUIRE(wait_for([&] {  // what the kernel does not take stays in the daemon
      server.last().send_pattern(7, 20 * 1000);
      sent += 20 * 1000;
      return Daemon::value(line.a->statistics(), "blocks") > before;
    }, 10));
    server.last().close_behind();
    REQUIRE(wait_for([&] { return server.conns().empty() && Daemon::value(line.a->statistics(), "rx") > sent; }, 5));
  }
  for (int i = 0; i < 3; ++i) (void)line.a->statistics();  // the end has come, too
  line.wire->cut();
  REQUIRE((*line.a)->wait_log("held=no", 5));
  REQUIRE(wait_for([&] { return (*line.a)->count(" link-up ") == 2; }, 5));
  CHECK(Daemon::value(line.a->statistics(), "channels") == 2);
  std::vector<std::unique_ptr<Conn>> fresh;
  for (int i = 0; i < 2; ++i) fresh.push_back(std::make_unique<Conn>(line.a->port()));
  CHECK(wait_for([&] { return server.conns().size() == 2; }, 5));
  for (auto& c : slow) {
    c->reading = true;
    CHECK(wait_for([&] { return c->over(); }, 5));
    CHECK(c->error() != 0);
  }
}

// The same with a program that has ended.
TEST_CASE("resume: what a program has said that reads nothing more arrives, however long the link is cut behind it") {
  if (cannot_shift()) return;
  constexpr uint64_t kAnswer = 50000;
  LongCut line(as_ourselves({"SERVER=exec,-in(XCOM='head -c 1 >/dev/null; exec head -c " + text(kAnswer) + " /dev/zero')"}));
  Conn client(connect_small(line.a.port()));
  client.reading = false;
  bool lost = false;
  line.wire.meddle = [&](bool up, uint64_t, std::string& bytes) {
    if (up && lost) bytes.clear();
  };
  REQUIRE(line.c->wait_log(" program-started ", 5));
  lost = true;
  client.send("x");
  REQUIRE(line.c->wait_log(" program-ended ", 5));
  const int64_t before = Daemon::value(line.c.statistics(), "rx");
  client.send("y");
  REQUIRE(wait_for([&] { return Daemon::value(line.c.statistics(), "rx") > before; }, 5));
  line.cut();
  for (int i = 0; i < 3; ++i) line.wait(6);
  line.mend();
  (void)line.a.wait_channels(0, 1);  // so it would be soon, were the channel reset meanwhile
  client.reading = true;
  REQUIRE(wait_for([&] { return client.over(); }, 20));
  CHECK(client.ended());
  CHECK(client.received() == kAnswer);
  CHECK(line.c.wait_channels(0, 10));
}

// With a proxy between them a part of it may be there still, and no server of its own.
TEST_CASE("resume: a server and a program that have heard all of their client, and its end, go on though the session ends") {
  const std::string all = pattern(67, 120000);
  TempFolder folder;
  Server server([](Conn& c) { c.expect_pattern(67).reading = false; });
  server.hold_little();
  for (const bool program : {false, true}) {
    CAPTURE(program);
    const std::string command = "cat >/dev/null; echo heard; sleep 1; echo done >" + folder / "done";
    Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
    Wire wire(a.link_port());
    Daemon c(as_ourselves({"SERVER=sockmux://" + local(wire.port()), program ? "SERVER=exec,-in(XFIL='" + command + "')" : "SERVER=socks,-in", "TIMEOUT=resume:0", "-vv"}));
    REQUIRE(c->wait_log(" link-up ", 5));
    REQUIRE(a->wait_log(" link-up ", 5));
    Conn client(a.port());
    if (!program) client.send("\4\1");
    (void)wait_for([] { return false; }, 0.3);  // there is credit now for more than the server takes at once
    client.send((program ? "" : be16(server.port()) + std::string("\x7f\0\0\1\0", 5)) + all).shut();
    if (program) REQUIRE(wait_for([&] { return client.text() == "heard\n"; }, 10));
    else REQUIRE(wait_for([&] { return client.received() == 8 && Daemon::value(c.statistics(), "rx") > 120000; }, 10));
    if (!program) (void)wait_for([] { return false; }, 0.5);  // the end stands behind it
    wire.cut();
    REQUIRE(c->wait_log("held=no", 5));
    if (program) {
      CHECK(wait_for([&] { return exists(folder / "done"); }, 4));
      continue;
    }
    CHECK_FALSE(c->says("from=raw to=dead"));
    Conn& to = server.last();
    to.reading = true;
    REQUIRE(wait_for([&] { return to.over(); }, 10));
    CHECK(to.ended());
    CHECK(to.received() == all.size());
    CHECK_FALSE(to.wrong());
  }
}
