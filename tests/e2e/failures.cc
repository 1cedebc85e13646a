// What breaks, and how soon all works again. Read next: sockets.h (Wire), daemon.cc (signals and exit codes).
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>

#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

// Clients that come again and again while links and daemons die. They may be cut off; what they got must be right.
class Traffic : public Actor {
 public:
  explicit Traffic(std::vector<uint16_t> ports) : ports_(std::move(ports)) { slots_.resize(16); }
  size_t good = 0, cut = 0, wrong = 0, refused = 0;

  void want(std::vector<pollfd>&) override {
    for (size_t i = 0; i < slots_.size(); ++i) {
      Slot& s = slots_[i];
      if (s.conn != nullptr && !s.conn->over()) continue;
      if (s.conn != nullptr) {
        const bool whole = s.conn->ended() && s.conn->received() == kSize;
        if (s.conn->wrong()) ++wrong;
        ++(whole ? good : s.conn->connected() ? cut : refused);
        s.conn.reset();
        s.again = now() + 0.01;
      } else if (now() > s.again) {
        s.conn = std::make_unique<Conn>(ports_[i % ports_.size()]);
        ++seed_;
        s.conn->send_pattern(seed_, kSize).shut().expect_pattern(seed_);
      }
    }
  }
  void ready(const pollfd*, size_t) override {}

 private:
  static constexpr uint64_t kSize = 200000;
  struct Slot {
    std::unique_ptr<Conn> conn;
    double again = 0;
  };
  std::vector<uint16_t> ports_;
  std::vector<Slot> slots_;
  uint64_t seed_ = 0;
};

}  // namespace

TEST_CASE("kill -9 of either side under traffic, ten times each: all serves again within 1 s of the restart") {
  Server left(echoes), right(echoes);
  Pair p({"PORT=127.0.0.1:0", "DEST=" + local(left.port())}, {"PORT=127.0.0.1:0", "DEST=" + local(right.port())});
  const uint16_t a_port = p.a->port(), c_port = p.c->port();
  Traffic traffic({a_port, c_port});
  double worst[2] = {};
  for (int i = 0; i < 20; ++i) {
    CAPTURE(i);
    const size_t good = traffic.good;
    CHECK(wait_for([&] { return traffic.good >= good + 5; }, 5));
    const int side = i % 2;
    Daemon& dies = side == 0 ? *p.a : *p.c;
    Daemon& lives = side == 0 ? *p.c : *p.a;
    const size_t from = lives->log().size();
    dies.kill();
    // Who comes before this is seen belongs to the session that was lost, and waits with it.
    CHECK(lives->wait_log(" link-down ", 5, from));
    // The other side's port stays: its clients wait.
    Conn waits(side == 0 ? c_port : a_port);
    CHECK(wait_for([&] { return waits.connected(); }, 1));
    const double start = dies.restart();
    CHECK(serves(a_port, 5));
    CHECK(serves(c_port, 5));
    worst[side] = std::max(worst[side], now() - start);
    CHECK(lives->running());
  }
  CHECK(traffic.wrong == 0);
  CHECK(traffic.cut > 0);
  MESSAGE("the longest pause: ", worst[0], " s (accepting side killed), ", worst[1], " s (calling side)");
  CHECK(worst[0] < 1 * slowness());
  CHECK(worst[1] < 1 * slowness());
}

TEST_CASE("the link is cut 15 times under traffic: it comes back at once, each time with a line in the log") {
  Server server(echoes);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
  Wire wire(a.link_port());
  Daemon c({"SERVER=sockmux://" + local(wire.port()), "DEST=" + local(server.port())});
  REQUIRE(c->wait_log(" link-up ", 5));
  Traffic traffic({a.port()});
  double worst = 0;
  for (size_t i = 1; i <= 15; ++i) {
    CAPTURE(i);
    const size_t good = traffic.good;
    CHECK(wait_for([&] { return traffic.good >= good + 5; }, 5));
    wire.cut();
    const double start = now();
    CHECK(wait_for([&] { return c->count(" link-down ") == i && c->count(" link-up ") == i + 1; }, 2));
    CHECK(serves(a.port(), 2));
    worst = std::max(worst, now() - start);
  }
  CHECK(traffic.wrong == 0);
  CHECK(worst < 1 * slowness());
  MESSAGE("the longest pause: ", worst, " s");
}

TEST_CASE("a server that refuses: the client is ended at once, the log says why") {
  DeadPort nobody;
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(nobody.port())});
  Conn client(p.a->port());
  client.send("hello");
  CHECK(wait_for([&] { return client.over(); }, 2));
  CHECK((*p.c)->wait_log(" server-failed ", 2));
  CHECK((*p.c)->says("reason=\"Connection refused\""));
  CHECK((*p.a)->wait_log(" client-refused ", 2));
  CHECK(p.a->wait_channels(0, 2));
}

TEST_CASE("a server whose name is unknown: the client is ended at once, the log says why") {
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=nosuch.invalid:80", "TIMEOUT=dns:1"});
  Conn client(p.a->port());
  CHECK(wait_for([&] { return client.over(); }, 2));
  CHECK((*p.c)->wait_log(" server-failed ", 2));
  CHECK((*p.c)->says("server=nosuch.invalid:80 reason="));
}

TEST_CASE("no server for a client: it is ended at once, the log says why") {
  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port()) + ":10.9.9.9"});
  Conn client(p.a->port());
  CHECK(wait_for([&] { return client.over(); }, 2));
  CHECK((*p.c)->wait_log(" channel-refused ", 2));
  CHECK((*p.c)->says("reason=\"no server\""));
  CHECK(server.accepted() == 0);
}

TEST_CASE("a server that accepts and closes at once, or reads nothing, harms nobody") {
  Server closes(closes_at_once), lazy(reads_nothing), echo(echoes);
  Pair p({"PORT=127.0.0.1:0"},
         {"DEST=" + local(closes.port()) + ":127.0.0.2", "DEST=" + local(lazy.port()) + ":127.0.0.3", "DEST=" + local(echo.port())});
  Conn stuck("127.0.0.1", p.a->port(), "127.0.0.3");
  stuck.send_pattern(1, 64 << 20);
  for (int i = 0; i < 50; ++i) {
    Conn client("127.0.0.1", p.a->port(), "127.0.0.2");
    client.send_pattern(2, 100000);
    CHECK(wait_for([&] { return client.over(); }, 2));
  }
  check_crowd({{p.a->port()}, 100, 20, 100000, 1, 20});
  CHECK(stuck.alive());
  CHECK(stuck.sent() < 32 << 20);
}

TEST_CASE("no descriptor left: the port pauses, the daemon goes on, and all clients are served in the end") {
  Server server(echoes);
  ProcessSetup few;
  few.files = 40;
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())}, few);
  std::vector<std::unique_ptr<Conn>> clients;
  for (int i = 0; i < 60; ++i) {
    clients.push_back(std::make_unique<Conn>(p.a->port()));
    clients.back()->send("here");
  }
  CHECK((*p.a)->wait_log(" accept-paused ", 5));
  const auto served = [&] {
    size_t n = 0;
    for (auto& c : clients) n += c->text() == "here" ? 1 : 0;
    return n;
  };
  CHECK(wait_for([&] { return served() >= 15; }, 5));
  CHECK(served() < 40);
  // Each that is served goes; its place is for another one.
  CHECK(wait_for([&] {
    for (auto& c : clients)
      if (c->text() == "here") c->close();
    return served() == 60;
  }, 20));
  CHECK((*p.a)->running());
  CHECK(serves(p.a->port(), 2));
}

TEST_CASE("a line that carries nothing any more is noticed at both ends in bounded time, and comes back by itself") {
  Server server(echoes);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "TIMEOUT=ping:2"});
  Wire wire(a.link_port());
  Daemon c({"SERVER=sockmux://" + local(wire.port()), "DEST=" + local(server.port()), "TIMEOUT=ping:2"});
  REQUIRE(c->wait_log(" link-up ", 5));
  Conn open(a.port());
  open.send("hello");
  REQUIRE(wait_for([&] { return open.text() == "hello"; }, 5));
  // The last bytes are acknowledged after half a second; nothing tells of it.
  const double quiet = now() + 0.8;
  CHECK(wait_for([&] { return now() > quiet; }, 2));
  const size_t a_from = a->log().size(), c_from = c->log().size();
  wire.freeze();
  const double start = now();
  // 2 s (5 s if something were not acknowledged yet) until it is asked, 10 s for the answer.
  CHECK(c->wait_log(" link-down ", 16, c_from));
  CHECK(a->wait_log(" link-down ", 16, a_from));
  MESSAGE("noticed after ", now() - start, " s");
  CHECK(now() - start < 16 * slowness());
  CHECK(a->wait_log("reason=\"peer is silent\"", 5, a_from));
  CHECK(c->wait_log("reason=\"peer is silent\"", 5, c_from));
  wire.thaw();
  CHECK(c->wait_log(" link-up ", 5, c_from));
  CHECK(serves(a.port(), 2));
  open.send(", again");  // it has noticed nothing
  CHECK(wait_for([&] { return open.text() == "hello, again"; }, 2));
}

TEST_CASE("several peers of one port: clients go to them by turns, and one that dies takes only its own along") {
  Server server[3] = {Server(echoes), Server(echoes), Server(echoes)};
  Daemon hub({"SERVER=sockmux", "-P127.0.0.1:0", "-Q127.0.0.2:0", "PORT=127.0.0.1:0", "TIMEOUT=resume:0"});
  std::unique_ptr<Daemon> peer[3];
  for (size_t i = 0; i < 3; ++i) {
    const std::string at = i == 0 ? "127.0.0.2:" + text(hub.link_port(1)) : local(hub.link_port(0));
    peer[i] = std::make_unique<Daemon>(Words{"SERVER=sockmux://" + at, "DEST=" + local(server[i].port())});
    REQUIRE((*peer[i])->wait_log(" link-up ", 5));
  }
  // One that comes asks the older ones of its host whether they live; they are avoided until they have answered.
  for (const double end = now() + 20 * slowness(); now() < end;) {
    size_t had[3];
    for (size_t i = 0; i < 3; ++i) had[i] = server[i].accepted();
    for (int i = 0; i < 6; ++i) (void)serves(hub.port(), 2);
    bool by_turns = true;
    for (size_t i = 0; i < 3; ++i) by_turns = by_turns && server[i].accepted() == had[i] + 2;
    if (by_turns) break;
  }
  const size_t before[3] = {server[0].accepted(), server[1].accepted(), server[2].accepted()};
  check_crowd({{hub.port()}, 30, 5, 20000, 1, 20});
  for (size_t i = 0; i < 3; ++i) CHECK(server[i].accepted() - before[i] == 10);
  std::vector<std::unique_ptr<Conn>> open;
  for (int i = 0; i < 9; ++i) {
    open.push_back(std::make_unique<Conn>(hub.port()));
    open.back()->send("x");
  }
  const auto alive = [&] {
    size_t n = 0;
    for (auto& c : open) n += c->alive() && c->text() == "x" ? 1 : 0;
    return n;
  };
  REQUIRE(wait_for([&] { return alive() == 9; }, 5));
  peer[1]->kill();
  CHECK(wait_for([&] { return alive() == 6; }, 2));
  check_crowd({{hub.port()}, 20, 5, 20000, 2, 20});
  CHECK(alive() == 6);
}

TEST_CASE("MAXIMA=channels: one more client waits until one of them ends") {
  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0", "MAXIMA=channels:10"}, {"DEST=" + local(server.port()), "MAXIMA=channels:10"});
  std::vector<std::unique_ptr<Conn>> clients;
  for (int i = 0; i < 11; ++i) {
    clients.push_back(std::make_unique<Conn>(p.a->port()));
    clients.back()->send("x");
  }
  const auto served = [&] {
    size_t n = 0;
    for (auto& c : clients) n += c->text() == "x" ? 1 : 0;
    return n;
  };
  CHECK(wait_for([&] { return served() == 10; }, 5));
  CHECK(Daemon::value(p.a->statistics(), "channels") == 10);
  CHECK(served() == 10);
  for (auto& c : clients) {
    if (c->text() != "x") continue;
    c->shut();
    break;
  }
  CHECK(wait_for([&] { return served() == 11; }, 5));
  CHECK(server.accepted() == 11);
}

TEST_CASE("a peer that comes back while its old link hangs serves at once; the old link is asked, and dropped") {
  Server server(echoes);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
  Wire wire(a.link_port());
  Daemon c({"SERVER=sockmux://" + local(wire.port()), "DEST=" + local(server.port())});
  REQUIRE(c->wait_log(" link-up ", 5));
  REQUIRE(serves(a.port(), 2));
  Conn open(a.port());
  open.send("hello");
  REQUIRE(wait_for([&] { return open.text() == "hello"; }, 5));
  wire.freeze(true);
  const double start = c.restart();
  REQUIRE(c->wait_log(" link-up ", 2));
  for (int i = 0; i < 10; ++i) CHECK(serves(a.port(), 1));
  CHECK(now() - start < 1 * slowness());
  CHECK(a->wait_log(" link-down session=1 ", 3));
  CHECK(now() - start < 3 * slowness());
  // What it had open ends, too, once it is clear that nobody asks for it any more.
  CHECK(wait_for([&] { return open.over(); }, 7));
  CHECK(a->wait_log(" session-ended ", 2));
  CHECK(a->count(" link-down ") == 1);
  CHECK(serves(a.port(), 1));
}

TEST_CASE("the same where there is place for one link only (MAXIMA=links:1)") {
  Server server(echoes);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "MAXIMA=links:1"});
  Wire wire(a.link_port());
  Daemon c({"SERVER=sockmux://" + local(wire.port()), "DEST=" + local(server.port())});
  REQUIRE(c->wait_log(" link-up ", 5));
  REQUIRE(serves(a.port(), 2));
  wire.freeze(true);
  const double start = c.restart();
  CHECK(c->wait_log(" link-up ", 5));
  CHECK(serves(a.port(), 2));
  MESSAGE("served after ", now() - start, " s");
  CHECK(now() - start < 3 * slowness());
  CHECK(a->wait_log(" link-refused ", 1));
  CHECK(a->count(" link-down ") == 1);
}

TEST_CASE("nobody to call at the start: one line in the log, and up within 1 s of the other side's start") {
  Server server(echoes);
  auto place = std::make_unique<DeadPort>();
  const std::string at = local(place->port());
  Daemon c({"SERVER=sockmux://" + at, "DEST=" + local(server.port())});
  CHECK(c->wait_log(" connect-failed ", 2));
  // Long enough for many attempts.
  const double until = now() + 3;
  CHECK(wait_for([&] { return now() > until; }, 5));
  CHECK(c->count("connect-failed") == 1);
  const double start = now();
  Daemon a({"SERVER=sockmux", "-P" + at, "PORT=127.0.0.1:0"});
  CHECK(c->wait_log(" link-up ", 5));
  CHECK(now() - start < 1 * slowness());
  CHECK(serves(a.port(), 1));
}

TEST_CASE("HUP tries a lost link now, ends nothing, and leaves a link that stands alone") {
  DeadPort nobody;
  Daemon c({"-vd", "SERVER=sockmux://" + local(nobody.port()), "PORT=127.0.0.1:0"});
  c.await_start();
  double sum = 0;
  for (int i = 0; i < 8; ++i) {
    CHECK(wait_for([&] { return c->count("to=waiting") > 6; }, 10));  // pauses are 0.2 s and more by now
    const size_t tries = c->count(" connect-failed ");
    const double start = now();
    c->signal(SIGHUP);
    CHECK(wait_for([&] { return c->count(" connect-failed ") > tries; }, 5));
    sum += now() - start;
  }
  CHECK(sum < 0.8 * slowness());
  CHECK(c->wait_log(" retry-now reason=SIGHUP", 5));
  CHECK(c->running());

  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
  Conn open(p.a->port());
  open.send("1");
  REQUIRE(wait_for([&] { return open.text() == "1"; }, 2));
  (*p.a)->signal(SIGHUP);
  (*p.c)->signal(SIGHUP);
  CHECK((*p.a)->wait_log(" retry-now ", 2));
  CHECK((*p.c)->wait_log(" retry-now ", 2));
  open.send("2");
  CHECK(wait_for([&] { return open.text() == "12"; }, 2));
  CHECK((*p.c)->count(" link-down ") == 0);
}

TEST_CASE("a name that is unknown delays nobody: signals are heard at once, clients wait") {
  Daemon c({"SERVER=sockmux://nosuch.invalid:9000", "PORT=127.0.0.1:0"});
  Conn client(c.port());
  CHECK(wait_for([&] { return client.connected(); }, 2));
  const double start = now();
  (void)c.statistics();
  CHECK(now() - start < 0.5 * slowness());
  CHECK(c->wait_log(" connect-failed ", 15));
  CHECK(c->wait_log("nosuch.invalid:9000", 5));
  CHECK(client.alive());
  c->signal(SIGTERM);
  CHECK(c->wait_end(1));
  CHECK(c->status() == 0);
}

TEST_CASE("links and servers are found by name") {
  Server server(echoes);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "DEST=localhost:" + text(server.port())});
  Daemon c({"SERVER=sockmux://localhost:" + text(a.link_port()), "PORT=127.0.0.1:0", "HOSTS=far.example/127.0.0.1",
            "DEST=far.example:" + text(server.port())});
  CHECK(c->wait_log(" link-up ", 5));
  CHECK(serves(a.port(), 2));
  CHECK(serves(c.port(), 2));
}

TEST_CASE("all channels are in use: who waits is sent away after six times TIMEOUT=con, and so long for each who comes") {
  Server server(echoes);
  Daemon hub({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(server.port())});
  Daemon caller({"SERVER=sockmux://" + local(hub.link_port()), "PORT=127.0.0.1:0", "MAXIMA=channels:3", "TIMEOUT=con:0.3"});
  std::vector<std::unique_ptr<Conn>> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(std::make_unique<Conn>(caller.port()));
    held.back()->send("x");
    REQUIRE(wait_for([&] { return held.back()->text() == "x"; }, 5));
  }
  const auto waits = [&] {
    Conn next(caller.port());
    const double start = now();
    REQUIRE(wait_for([&] { return next.connected(); }, 5));
    CHECK(wait_for([&] { return !next.alive(); }, 20));
    return now() - start;
  };
  CHECK(waits() > 1.5);
  // Nobody waits meanwhile: that is no patience that the next one has used up.
  const double quiet = now();
  CHECK(wait_for([&] { return now() - quiet > 2; }, 5));
  CHECK(waits() > 1.5);
  for (auto& c : held) CHECK(c->alive());
}
