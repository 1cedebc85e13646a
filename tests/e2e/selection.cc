// Which server gets a channel, where clients are accepted, and who may come in: over real links, in both dialects.
// Read next: config/choose.h; tests/test_options.cc has the grammar.
#include <doctest/doctest.h>

#include <unistd.h>

#include "tests/e2e/peer.h"

using namespace e2e;

namespace {

const char* const kDialects[] = {"SOXCONF=proto:auto", "SOXCONF=proto:0.3"};

// A server that says which one it is.
Server::Greet says(const std::string& name) {
  return [name](Conn& c) { c.send(name).close_behind(); };
}

// What a client of `port` is told; empty if it is turned away.
std::string told(uint16_t port, const std::string& from = "") {
  Conn client("127.0.0.1", port, from);
  CHECK(wait_for([&] { return client.over(); }, 5));
  return client.text();
}

// An entry with `count` ports, and an exit that is given their numbers.
struct Ports {
  explicit Ports(int count, const char* dialect, const Words& more = {}) {
    Words words{"SERVER=sockmux", "-P127.0.0.1:0", dialect};
    for (int i = 0; i < count; ++i) words.push_back("PORT=127.0.0.1:0");
    words.insert(words.end(), more.begin(), more.end());
    entry = std::make_unique<Daemon>(words);
    for (int i = 0; i < count; ++i) port.push_back(entry->port(static_cast<size_t>(i)));
  }
  Daemon& exit_with(const Words& servers) {
    Words words{"SERVER=sockmux://" + local(entry->link_port())};
    words.insert(words.end(), servers.begin(), servers.end());
    exit = std::make_unique<Daemon>(words);
    REQUIRE((*exit)->wait_log(" link-up ", 5));
    return *exit;
  }
  std::string p(size_t i) const { return text(port[i]); }
  std::unique_ptr<Daemon> entry, exit;
  std::vector<uint16_t> port;
};

}  // namespace

TEST_CASE("selection: by the port at which the client was accepted, in every form of -P, in both dialects") {
  Server one(says("one")), two(says("two")), three(says("three")), rest(says("rest"));
  for (const char* dialect : kDialects) {
    CAPTURE(dialect);
    Ports ports(7, dialect);
    uint16_t low = ports.port[2], high = ports.port[2];
    for (size_t i = 2; i < 4; ++i) {
      low = ports.port[i] < low ? ports.port[i] : low;
      high = ports.port[i] > high ? ports.port[i] : high;
    }
    ports.exit_with({"SERVER=tcprelay://" + local(one.port()) + ",-in:-:-P" + ports.p(0),
                     "SERVER=tcprelay://" + local(two.port()) + ",-in:-:-P{" + ports.p(1) + "," + ports.p(4) + "}",
                     "SERVER=tcprelay://" + local(two.port()) + ",-in:-:-P" + ports.p(5) + ",-P" + ports.p(6),
                     "SERVER=tcprelay://" + local(three.port()) + ",-in:-:-P" + text(low) + "-" + text(high),
                     "SERVER=tcprelay://" + local(rest.port()) + ",-in:-:-P*"});
    CHECK(told(ports.port[0]) == "one");
    for (const size_t i : {1u, 4u, 5u, 6u}) CHECK(told(ports.port[i]) == "two");
    CHECK(told(ports.port[2]) == "three");
    CHECK(told(ports.port[3]) == "three");
  }
}

TEST_CASE("selection: the first that matches is taken: SERVER before DEST, in their order; a special one has no precedence") {
  Server first(says("first")), second(says("second")), dest(says("dest"));
  for (const char* dialect : kDialects) {
    CAPTURE(dialect);
    Ports ports(1, dialect);
    ports.exit_with({"DEST=" + local(dest.port()), "SERVER=tcprelay://" + local(first.port()) + ",-in:-:127.0.0.2",
                     "SERVER=tcprelay://" + local(second.port()) + ",-in:-:127.0.0.[2-3]"});
    CHECK(told(ports.port[0]) == "dest");
    CHECK(told(ports.port[0], "127.0.0.2") == "first");
    CHECK(told(ports.port[0], "127.0.0.3") == "second");
    ports.exit->kill();
    ports.exit_with({"SERVER=tcprelay://" + local(first.port()) + ",-in",
                     "SERVER=tcprelay://" + local(second.port()) + ",-in:-:-P" + ports.p(0)});
    CHECK(told(ports.port[0]) == "first");
  }
}

TEST_CASE("selection: a server that can't be reached is not replaced by the next one") {
  DeadPort dead;
  Server next(says("next"));
  Ports ports(1, "SOXCONF=proto:auto");
  Daemon& exit = ports.exit_with({"DEST=" + local(dead.port()), "DEST=" + local(next.port())});
  CHECK(told(ports.port[0]) == "");
  CHECK(exit->wait_log(" server-failed ", 5));
  CHECK(next.accepted() == 0);
}

TEST_CASE("selection: where none fits the peer hears \"No server\", the client is ended, the log says why") {
  Server server(says("served"));
  for (const char* dialect : kDialects) {
    CAPTURE(dialect);
    Ports ports(2, dialect);
    Daemon& exit = ports.exit_with({"SERVER=tcprelay://" + local(server.port()) + ",-in:-:-P" + ports.p(0)});
    CHECK(told(ports.port[0]) == "served");
    CHECK(told(ports.port[1]) == "");
    CHECK(exit->wait_log(" channel-refused ", 2));
    CHECK(exit->wait_log("reason=\"no server\"", 5));
    CHECK(told(ports.port[0]) == "served");  // and all goes on
  }
  // On the wire: CLOSE without an id of ours.
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0"});
  Peer03 peer(a.link_port());
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  const unsigned id = peer.open("x");
  CHECK(wait_for([&] { return peer.closed(id); }, 5));
  CHECK(peer.fault() == "");
}

TEST_CASE("selection: a condition without a port, or with a wrong one, is an error that names it") {
  for (const char* condition : {"-P", "-Px", "-P70000", "-P9-8", "-P{8023", "127.0.0.1,,x/y"}) {
    CAPTURE(condition);
    Process p({daemon_path(), "-f", "SERVER=sockmux", "-P127.0.0.1:0", std::string("SERVER=tcprelay://127.0.0.1:9,-in:-:") + condition});
    REQUIRE(p.wait_end(5));
    CHECK(p.status() == 64);
    CHECK(p.wait_log(std::string(condition).substr(0, 2), 5));
  }
}

TEST_CASE("PORT: lists and ranges, each item with its own host") {
  Server server(says("here"));
  for (int attempt = 0;; ++attempt) {
    const uint16_t low = quiet_port();
    Process x({daemon_path(), "-f", "SOXCONF=control:no", "SERVER=sockmux", "-P127.0.0.1:0",
               "PORT=127.0.0.1:" + text(low) + "-" + text(low + 1u) + ", 127.0.0.2:0", "PORT=127.0.0.3:" + text(low)});
    if (!x.wait_log(" started ", 5) && attempt < 5) continue;  // somebody else took one of them
    const size_t where = x.log().find("links are accepted at 127.0.0.1:");
    REQUIRE(where != std::string::npos);
    const std::string link = x.log().substr(where + 32, x.log().find('\n', where) - where - 32);
    const size_t any = x.log().find("clients are accepted at 127.0.0.2:");
    REQUIRE(any != std::string::npos);
    const uint16_t other = static_cast<uint16_t>(std::stoi(x.log().substr(any + 34)));
    Daemon y({"SERVER=sockmux://127.0.0.1:" + link, "DEST=" + local(server.port())});
    REQUIRE(y->wait_log(" link-up ", 5));
    CHECK(ask(low, "", 5) == "here");
    CHECK(ask(static_cast<uint16_t>(low + 1), "", 5) == "here");
    CHECK(ask(other, "", 5, "127.0.0.2") == "here");
    CHECK(ask(low, "", 5, "127.0.0.3") == "here");
    CHECK(ask(low, "", 5, "127.0.0.2") != "here");
    return;
  }
}

TEST_CASE("access: each port that is open to the world is named at the start, and no other") {
  Daemon d({"SERVER=sockmux", "-P0", "PORT=127.0.0.1:0,0", "RELIABLE=*"});
  d.await_start();
  CHECK(d->count("warning: open to the world: 0.0.0.0:") == 2);
  CHECK(d->count("open to the world") == 2);
  Daemon closed({"SERVER=sockmux", "-P0", "PORT=0"});
  closed.await_start();
  CHECK(closed->count("open to the world") == 0);
}

TEST_CASE("access: PERMIT and REJECT with a server or a protocol are checked at the exit, at every CONNECT") {
  Server server(says("served"));
  const std::string port = text(server.port());
  struct {
    Words words;
    bool good;
  } const kCases[] = {
      {{"PERMIT=tcprelay:127.0.0.1:*"}, true},
      {{"PERMIT=tcprelay:127.0.0.2:*"}, false},
      {{"PERMIT=telnet:*:*"}, false},
      {{"PERMIT=tcprelay/" + port + ":*:*"}, true},
      {{"PERMIT=tcprelay:*:127.0.0.7"}, false},
      {{"REJECT=tcprelay:*:*"}, false},
      {{"REJECT=telnet:*:*"}, true},
      {{"PERMIT=*:*:*", "REJECT=*:127.0.0.0/8:*"}, false},
      {{"REACHABLE=127.0.0.1"}, true},
      {{"REACHABLE=!127.0.0.1"}, false},
  };
  for (const auto& one : kCases) {
    CAPTURE(one.words[0]);
    Ports ports(1, "SOXCONF=proto:auto");
    Words words{"DEST=127.0.0.1:" + port};
    words.insert(words.end(), one.words.begin(), one.words.end());
    Daemon& exit = ports.exit_with(words);
    CHECK((told(ports.port[0]) == "served") == one.good);
    CHECK(exit->says(" channel-refused ") == !one.good);
  }
}

TEST_CASE("access: names in lists are resolved without making anybody wait; an unknown one lets nobody in") {
  Server server(says("served"));
  // The resolver is asked for a name that nobody has; this machine's own clients are served meanwhile.
  Ports ports(1, "SOXCONF=proto:auto", {"HOSTLIST=friends:127.0.0.1,friend,no-such-host.invalid", "HOSTS=friend/127.0.0.5", "RELIABLE=friends"});
  ports.exit_with({"DEST=" + local(server.port())});
  CHECK(told(ports.port[0]) == "served");
  CHECK(told(ports.port[0], "127.0.0.5") == "served");
  CHECK(told(ports.port[0], "127.0.0.6") == "");
  CHECK((*ports.entry)->says(" client-refused "));
  // Links are let in as well as clients; behind "!" all count as that host.
  Ports unknown(1, "SOXCONF=proto:auto", {"RELIABLE=127.0.0.1,{127.0.0.[2-9],!no-such-host.invalid}"});
  unknown.exit_with({"DEST=" + local(server.port())});
  CHECK(told(unknown.port[0]) == "served");
  CHECK(told(unknown.port[0], "127.0.0.2") == "");
}

TEST_CASE("access: without RELIABLE the local networks may come, and nobody from farther away") {
  if (getuid() != 0) {
    MESSAGE("needs root for a network of its own");
    return;
  }
  const std::string ip = find_program("ip");
  Server server(says("served"));
  struct Net {
    explicit Net(std::string program) : ip(std::move(program)), name("smx" + text(static_cast<uint64_t>(getpid()))) {
      sh("netns add " + name);
      sh("link add " + name + "a type veth peer name " + name + "b netns " + name);
      sh("addr add 203.0.113.1/30 dev " + name + "a");
      sh("link set " + name + "a up");
      sh("-n " + name + " addr add 203.0.113.2/30 dev " + name + "b");
      sh("-n " + name + " link set " + name + "b up");
      sh("-n " + name + " link set lo up");
      sh("-n " + name + " addr add 198.51.100.9/32 dev lo");
      sh("route add 198.51.100.9/32 via 203.0.113.2");
    }
    ~Net() {
      Process gone({"/bin/sh", "-c", ip + " link del " + name + "a; " + ip + " netns del " + name});
      (void)gone.wait_end(5);
    }
    void sh(const std::string& words) const { (void)run({"/bin/sh", "-c", "exec " + ip + " " + words}, 5); }
    std::string client(const std::string& from, uint16_t port) const {
      return run({"/bin/sh", "-c", ip + " netns exec " + name + " socat -u -T3 TCP:203.0.113.1:" + text(port) + ",bind=" + from + " - 2>/dev/null || true"}, 8);
    }
    std::string ip, name;
  } net(ip);
  Daemon entry({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=203.0.113.1:0"});
  Daemon exit({"SERVER=sockmux://" + local(entry.link_port()), "DEST=" + local(server.port())});
  REQUIRE(exit->wait_log(" link-up ", 5));
  CHECK(net.client("203.0.113.2", entry.port()) == "served");
  CHECK(net.client("198.51.100.9", entry.port()) == "");
  CHECK(entry->wait_log(" client-refused client=198.51.100.9:", 2));
}
