// Clients and servers that do too much or too little, at ports that only forward. Read next: hostile.h.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/e2e/ctl.h"
#include "tests/e2e/datagrams.h"
#include "tests/e2e/hostile.h"

using namespace e2e;

namespace {

using Conns = std::vector<std::unique_ptr<Conn>>;

// Clients come to the hub's port and are served at the branch; the witness goes the other way.
struct Served : Stage {
  explicit Served(Server::Greet greet, const Words& hub = {}) : Served(std::make_unique<Server>(greet), hub) {}
  uint16_t port() { return hub().port(); }
  std::unique_ptr<Server> server;

 private:
  Served(std::unique_ptr<Server> s, const Words& hub) : Stage(with_port(hub), {"DEST=" + local(s->port())}), server(std::move(s)) {}
  static Words with_port(Words words) {
    words.push_back("PORT=127.0.0.1:0");
    return words;
  }
};

void drop_closed(Conns& conns) {
  conns.erase(std::remove_if(conns.begin(), conns.end(), [](const std::unique_ptr<Conn>& c) { return c->closed(); }), conns.end());
}

// Makes clients at that port until there were `enough`, at most `at_once`, and does `each` with those that are connected; false: it takes
// too long.
bool keep_coming(uint16_t port, size_t enough, size_t at_once, const std::function<void(Conn&)>& each) {
  Conns conns;
  size_t made = 0;
  const auto step = [&] {
    for (; conns.size() < at_once; ++made) conns.push_back(std::make_unique<Conn>(port));
    for (auto& c : conns)
      if (c->connected()) each(*c);
    for (auto& c : conns)
      if (c->over()) c->close();
    drop_closed(conns);
  };
  const bool all = keep_doing_until(step, [&] { return made >= enough; });
  for (auto& c : conns) c->reset();
  return all;
}

}  // namespace

TEST_CASE("hostile clients: more than there are channels connect and say nothing: the rest waits, and others are served") {
  Served s(echoes, {"MAXIMA=channels:200"});
  s.survives([&] {
    Conns silent;
    for (int i = 0; i < 300; ++i) silent.push_back(std::make_unique<Conn>(s.port()));
    CHECK(wait_for([&] { return s.server->accepted() >= 200; }, 10));
    Conn late(s.port());
    late.send("late").shut();
    keep_doing(0.1, [] {});
    CHECK(late.text().empty());
    CHECK(late.alive());
    for (auto& c : silent) c->close();
    CHECK(wait_for([&] { return late.text() == "late"; }, 10));
  });
}

TEST_CASE("hostile clients: connected and reset at once, without end") {
  Served s(echoes);
  s.survives([&] { CHECK(keep_coming(s.port(), 1000, 50, [](Conn& c) { c.reset(); })); });
}

TEST_CASE("hostile clients: each ends its direction at once, or closes, without end") {
  Served s(echoes);
  s.survives([&] {
    size_t n = 0;
    CHECK(keep_coming(s.port(), 1000, 50, [&](Conn& c) { ++n % 3 == 0 ? c.close() : static_cast<void>(c.shut()); }));
  });
}

TEST_CASE("hostile clients: urgent bytes and nothing else") {
  Served s(echoes);
  s.survives([&] {
    Conns conns;
    for (int i = 0; i < 20; ++i) {
      conns.push_back(std::make_unique<Conn>(s.port()));
      for (int k = 0; k < 1000; ++k) conns.back()->send_urgent('!');
      conns.back()->shut();
    }
    CHECK(all_over(conns, 30));
  });
}

TEST_CASE("hostile clients: sixty that read nothing of what they ask for, beside a download") {
  Served s(gives(7, uint64_t{1} << 40), {"MAXIMA=channels:300"});
  s.most_kib = 12288;  // what waits for them is within MAXIMA=memory
  s.survives([&] {
    const int64_t before = s.hub().resident_kib();
    Conns slow;
    for (int i = 0; i < 60; ++i) {
      slow.push_back(std::make_unique<Conn>(s.port()));
      slow.back()->reading = false;
    }
    Conn fast(s.port());
    fast.expect_pattern(7);
    CHECK(wait_for([&] { return fast.received() > (8u << 20); }, 30));
    CHECK_FALSE(fast.wrong());
    if (!daemon_sanitized()) CHECK(s.hub().resident_kib() < before + 12288);
    for (auto& c : slow) c->reset();
    fast.reset();
  });
}

TEST_CASE("hostile clients: one sends without end to a server that reads nothing, one to a server that has gone") {
  Served s(reads_nothing);
  s.survives([&] {
    const size_t before = s.server->accepted();
    Conns conns;
    for (int i = 0; i < 20; ++i) {
      conns.push_back(std::make_unique<Conn>(s.port()));
      conns.back()->send_pattern(1, uint64_t{1} << 30);
    }
    CHECK(wait_for([&] { return s.server->accepted() >= before + 20; }, 10));
    keep_doing(0.3, [] {});
    for (auto& c : s.server->conns()) c->close();
    CHECK(all_over(conns, 20));
  });
}

TEST_CASE("hostile clients: over 0.3, who sends without end to what has ended is cut off") {
  Server ends([](Conn& c) { c.shut(); });
  Pair p({"PORT=127.0.0.1:0", "SOXCONF=proto:0.3"}, {"DEST=" + local(ends.port()), "SOXCONF=proto:0.3"});
  Conn endless(p.a->port());
  REQUIRE(wait_for([&] { return endless.ended(); }, 5));
  REQUIRE(p.a->wait_channels(0, 5));
  const size_t fds = p.a->descriptors();
  endless.send_pattern(1, uint64_t{1} << 40);
  CHECK(wait_for([&] { return p.a->descriptors() < fds; }, 20));
  CHECK(p.a->process().running());
}

// Their channels are over, and so they are no reason to keep others waiting who share the port with them.
TEST_CASE("hostile clients: over 0.3, those who go on talking when their channel is over do not count as having one") {
  Server ends([](Conn& c) { c.shut(); });
  Pair p({"PORT=127.0.0.1:0,127.0.0.1:0", "SOXCONF=proto:0.3"}, {"DEST=" + local(ends.port()), "SOXCONF=proto:0.3"});
  Conns talk;
  // As many as one port of several may have channels: seven eighths of 56. They speak more often than lingering lasts, and less often than it bears.
  for (int i = 0; i < 49; ++i) {
    talk.push_back(std::make_unique<Conn>(p.a->port()));
    REQUIRE(wait_for([&] { return talk.back()->ended(); }, 5));
  }
  REQUIRE(p.a->wait_channels(0, 5));
  Conn late(p.a->port());
  double spoken = 0;
  CHECK(wait_for([&] {
    if (now() - spoken > 1) {
      spoken = now();
      for (auto& c : talk) c->send("!");
    }
    return late.ended();
  }, 10));
}

// ---- a tunnel that is pointed at itself

namespace {

// The hub's first port leads to itself by way of the branch; its second one to an echo there.
struct Ring {
  const uint16_t port = quiet_port();
  TempFolder folder;
  Server echo{echoes};
  std::unique_ptr<Pair> pair;
  explicit Ring(const std::string& kind, const Words& more = {}, const Words& hub_more = {}, const Words& branch_more = {}) {
    const std::string at = local(port) + kind;
    Words hub{"PORT=" + at + ",127.0.0.1:0", "SOXCONF=control:" + folder / "s", "OWNER=root"};
    hub.insert(hub.end(), more.begin(), more.end());
    Words branch{"SERVER=" + std::string(kind.empty() ? "tcprelay" : "udprelay") + "://" + local(port) + ",-in:-:-P" + text(port), "DEST=" + local(echo.port())};
    branch.insert(branch.end(), more.begin(), more.end());
    hub.insert(hub.end(), hub_more.begin(), hub_more.end());
    branch.insert(branch.end(), branch_more.begin(), branch_more.end());
    pair = std::make_unique<Pair>(hub, branch);
  }
  Daemon& hub() { return *pair->a; }
  bool answers() const { return ctl({"status", "-s", folder / "s"}).status == 0; }
};

}  // namespace

TEST_CASE("hostile tunnel: a port that leads to itself is a ring that grows to a bound, and other ports are served") {
  Ring r("", {"MAXIMA=channels:100", "TIMEOUT=con:0.3"});
  const size_t fds = r.hub().descriptors();
  const uint16_t other = r.hub().port(r.hub().port(0) == r.port ? 1 : 0);
  // Of who goes without a word it hears at the first end of the ring; at the last one somebody waits for a channel.
  for (const bool stays : {true, false}) {
    CAPTURE(stays);
    Conn client(r.port);
    client.send("round and round");
    CHECK(wait_for([&] { return Daemon::value(r.hub().statistics(), "channels") >= 80; }, 10));
    if (!stays) client.close();
    CHECK(r.answers());
    CHECK(serves(other, 5));
    if (stays) CHECK(wait_for([&] { return client.over(); }, 20));
    CHECK(r.hub().wait_channels(0, 20));
    CHECK(wait_for([&] { return r.hub().descriptors() == fds; }, 10));
  }
  CHECK(r.hub()->wait_log("no channel has become free", 5));
  CHECK(serves(other, 5));
  CHECK((*r.pair->c)->count(" link-down ") == 0);
}

TEST_CASE("hostile clients: those of one port who say nothing leave room for those of another") {
  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0,127.0.0.1:0", "MAXIMA=channels:80"}, {"DEST=" + local(server.port())});
  Conns silent;
  for (int i = 0; i < 100; ++i) silent.push_back(std::make_unique<Conn>(p.a->port(0)));
  CHECK(p.a->wait_channels(70, 10));
  CHECK(serves(p.a->port(1), 5));
  silent.clear();
  CHECK(serves(p.a->port(0), 5));
}

TEST_CASE("hostile tunnel: a UDP port that leads to itself leaves other ports and the control socket alone, and does not turn for ever") {
  // The bound that it meets is that of channels, or that of flows, at the one side or the other.
  for (const std::string bound : {"channels", "hub", "branch"}) {
    CAPTURE(bound);
    const Words few{"MAXIMA=udprelay:16"};
    Ring r("/udp", {"MAXIMA=channels:100"}, bound == "hub" ? few : Words(), bound == "branch" ? few : Words());
    const uint16_t other = r.hub().port(r.hub().port(0) == r.port ? 1 : 0);
    Udp client(r.port);
    client.send("round and round");
    CHECK(wait_for([&] { return at_ports(r.hub(), "begun") > (bound == "channels" ? 50 : 15); }, 10));
    CHECK(r.answers());
    CHECK(serves(other, 5));
    CHECK(wait_for([&] {
      const int64_t before = at_ports(r.hub(), "rx");
      keep_doing(0.2, [] {});
      return at_ports(r.hub(), "rx") == before;
    }, 10));
  }
}
