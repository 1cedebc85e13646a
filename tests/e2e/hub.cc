// A hub: one acceptor, kPeers named peers, each a process of its own. What an idle one costs, and how fast all are served again
// after they have lost the hub at once.
//
// PEERS=number in the environment: another number of them. 'make bench-hub' shows the figures. Read next: flood.cc; README,
// "What a hub carries".
#include <doctest/doctest.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/e2e/ctl.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

constexpr size_t kPeers = 1000;
constexpr double kIdleKib = 20;      // of the hub's memory, a peer that has no channel
constexpr double kServedKib = 20;    // once it has had one, beside all others
constexpr double kStorm = 15;        // seconds, on 2 cores
constexpr size_t kPipes = 2;         // descriptors that a process costs us

size_t peers_wanted() {
  const char* given = getenv("PEERS");
  if (given != nullptr) return static_cast<size_t>(atoi(given));
  return daemon_sanitized() ? 100 : kPeers;
}

// Keys of all, made in one shell: branch `i` has the files `i`.key and `peers`, and is b`i` at the hub.
struct Keys {
  explicit Keys(size_t count) {
    const std::string script = "\"$ctl\" genkey " + folder / "hub.key; i=0; while [ $i -lt " + text(count) + " ]; do \"$ctl\" genkey " +
                               folder / "$i.key; i=$((i+1)); done";
    const Said made = ctl_shell(script);
    REQUIRE_MESSAGE(made.status == 0, made.error);
    const auto line = [&](size_t i) { return made.out.substr(45 * i, 44); };
    REQUIRE(made.out.size() == 45 * (count + 1));
    std::string hub;
    for (size_t i = 0; i < count; ++i) hub += "b" + text(i) + " " + line(i + 1) + "\n";
    write_file(folder / "hub.peers", hub);
    write_file(folder / "peers", "hub " + line(0) + "\n");
  }
  std::string key(const std::string& who) const { return "SOXCONF=key:" + folder / (who + ".key"); }
  TempFolder folder;
};

class Hub {
 public:
  Hub(size_t count, uint16_t server) : keys_(count), server_(server) {
    write_ports(std::vector<uint16_t>(count, 0));
    hub = std::make_unique<Daemon>(Words{"SERVER=sockmuxs", "-P127.0.0.1:0", "MAXIMA=channels:8", keys_.key("hub"), "SOXCONF=peers:" + keys_.folder / "hub.peers", "+=" + keys_.folder / "ports"});
    link_port_ = hub->link_port();
    const std::string& log = (*hub)->log();
    const std::string mark = "clients are accepted at ";
    for (size_t at = log.find(mark); at != std::string::npos; at = log.find(mark, at + 1))
      ports_.push_back(static_cast<uint16_t>(std::stoi(log.substr(log.find(':', at) + 1, 5))));
    REQUIRE(ports_.size() == count);
    write_ports(ports_);  // as it has to find them when it starts again
  }
  void start_branch() {
    const std::string name = text(branches.size());
    branches.push_back(std::make_unique<Daemon>(Words{"SERVER=sockmuxs://" + local(wire != nullptr ? wire->port() : link_port_), "DEST=" + local(server_), "MAXIMA=channels:8",
                                                      keys_.key(name), "SOXCONF=peers:" + keys_.folder / "peers"}));
  }
  bool wait_all_up(double seconds) {
    size_t up = 0;
    return wait_for([&] {
      while (up < branches.size() && (*branches[up])->says(" link-up ")) ++up;
      return up == branches.size();
    }, seconds);
  }
  // An echo through each of them, all at once; who is not there yet is waited for. Seconds.
  double serve_all(double seconds) {
    const double begin = now();
    std::vector<std::unique_ptr<Conn>> clients;
    for (size_t i = 0; i < branches.size(); ++i) {
      clients.push_back(std::make_unique<Conn>(ports_[i]));
      clients.back()->send_pattern(i + 1, 3000).expect_pattern(i + 1).shut();
    }
    size_t done = 0;
    const auto good = [](const Conn& c) { return c.ended() && c.received() == 3000 && !c.wrong(); };
    const bool all = wait_for([&] {
      while (done < clients.size() && (good(*clients[done]) || clients[done]->error() != 0 || clients[done]->wrong())) ++done;
      return done == clients.size();
    }, seconds);
    size_t served = 0;
    for (const auto& c : clients) served += good(*c) ? 1u : 0u;
    CHECK(all);
    CHECK(served == branches.size());
    return now() - begin;
  }

  uint16_t port(size_t i) const { return ports_[i]; }
  // Branches that are started from now on have their links over it.
  void put_wire() { wire = std::make_unique<Wire>(link_port_); }

  std::unique_ptr<Daemon> hub;
  std::unique_ptr<Wire> wire;
  std::vector<std::unique_ptr<Daemon>> branches;

 private:
  void write_ports(const std::vector<uint16_t>& ports) {
    std::string lines;
    for (size_t i = 0; i < ports.size(); ++i) lines += "PORT=b" + text(i) + "@" + local(ports[i]) + "\n";
    write_file(keys_.folder / "ports", lines);
  }

  Keys keys_;
  uint16_t server_, link_port_ = 0;
  std::vector<uint16_t> ports_;
};

}  // namespace

TEST_CASE("hub: a thousand peers are served, an idle one costs little, and after a restart all are served again") {
  const size_t count = peers_wanted();
  REQUIRE(static_cast<size_t>(sysconf(_SC_OPEN_MAX)) > (kPipes + 2) * count + 100);
  Server server(echoes);
  Hub world(count, server.port());
  const int64_t none = world.hub->resident_kib();
  double begin = now();
  for (size_t i = 0; i < count; ++i) {
    world.start_branch();
    if (i % 50 == 0) turn(0);
  }
  REQUIRE(world.wait_all_up(60));
  const double joined = now() - begin;
  const int64_t idle = world.hub->resident_kib();
  const double first = world.serve_all(30);
  // What the echoes have touched goes back when it is quiet.
  const auto kib_each = [&](int64_t kib) { return static_cast<double>(kib - none) / static_cast<double>(count); };
  static_cast<void>(wait_for([&] { return kib_each(world.hub->resident_kib()) <= kServedKib; }, 5));
  const int64_t used = world.hub->resident_kib();

  begin = world.hub->restart();
  world.hub->await_start();
  static_cast<void>(world.serve_all(60));
  const double storm = now() - begin;
  const double each = kib_each(idle), after = kib_each(used);
  printf("hub: %zu peers; all up after %.2f s; all served in %.2f s; restarted (-9), all served again after %.2f s\n", count, joined, first, storm);
  printf("hub: memory without peers %lld KiB; an idle peer %.1f KiB, %.1f once it has been served\n", static_cast<long long>(none), each, after);
  CHECK(storm <= kStorm * slowness());
  if (!daemon_sanitized()) {
    CHECK(each <= kIdleKib);
    CHECK(after <= kServedKib);
  }
}

// All take their places over from links that still seem to stand, more of them than there are places beside.
TEST_CASE("hub: peers that have lost their links, and the hub does not know of it, take their places again, and their channels live on") {
  const size_t count = getenv("PEERS") != nullptr || daemon_sanitized() ? peers_wanted() : 400;
  Server server(echoes);
  Hub world(count, server.port());
  world.put_wire();
  for (size_t i = 0; i < count; ++i) {
    world.start_branch();
    if (i % 50 == 0) turn(0);
  }
  REQUIRE(world.wait_all_up(60));
  static_cast<void>(world.serve_all(30));
  std::vector<std::unique_ptr<Conn>> talks;
  for (size_t i = 0; i < count; i += 10) {
    talks.push_back(std::make_unique<Conn>(world.port(i)));
    talks.back()->expect_pattern(i).send_pattern(i, 1000);
  }
  const auto all_have = [&](uint64_t bytes) {
    return wait_for([&] {
      for (const auto& c : talks)
        if (c->received() < bytes) return false;
      return true;
    }, 30);
  };
  REQUIRE(all_have(1000));
  const double begin = now();
  world.wire->cut_makers();
  CHECK(wait_for([&] {
    for (const auto& b : world.branches)
      if ((*b)->count(" link-up ") < 2) return false;
    return true;
  }, kStorm));
  const double up = now() - begin;
  static_cast<void>(world.serve_all(30));
  printf("hub: %zu links cut at once, unseen by the hub: all up after %.2f s, all served again after %.2f s\n", count, up, now() - begin);
  for (size_t k = 0; k < talks.size(); ++k) {
    std::string more(500, 0);
    fill_pattern(k * 10, 1000, &more[0], more.size());
    talks[k]->send(more);
  }
  CHECK(all_have(1500));
  for (const auto& c : talks) {
    CHECK(c->alive());
    CHECK_FALSE(c->wrong());
  }
}
