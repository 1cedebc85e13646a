// What a peer's line allows, where channels and ports are decided: rules.h.
#include <doctest/doctest.h>

#include "rules.h"
#include "tests/peers.h"

namespace {

using smx::Dialect;
using smx_test::address;
using smx_test::Disk;
using smx_test::key_of;
using smx_test::peer_line;
using smx_test::Run;
using smx_test::Strings;

// Rules of these options and this peers file; the keys are those of its lines 1, 2, ...
struct Hub {
  Hub(const Strings& words, const std::string& file) {
    options.parse_more(words);
    INFO(options.error());
    REQUIRE(options.good);
    REQUIRE(places.init(options.config, options.config.servers.count, options.arena));
    disk.write(file);
    REQUIRE(disk.load());
    rules.set_peers(disk.peers);
  }
  // A channel of that peer to the server of the options; 0: a clear link.
  bool reach(unsigned peer, const std::string& ip, bool udp = false) {
    smx::RelayTarget target;
    smx::OpenInfo info = opened(udp);
    REQUIRE(rules.choose(info, Dialect::v1, &target));
    const smx::PeerKey key = key_of(peer);
    return rules.address_allowed(target.rule, info, Dialect::v1, peer == 0 ? nullptr : &key, address(ip, target.port));
  }
  // The same of what its client asks a proxy for.
  bool ask(unsigned peer, const std::string& host, const std::string& ip, uint16_t port, bool udp = false) {
    smx::RelayTarget target;
    const smx::OpenInfo tcp = opened(false);
    REQUIRE(rules.choose(tcp, Dialect::v1, &target));
    const smx::PeerKey key = key_of(peer);
    return rules.asked_allowed(target.rule, opened(udp), Dialect::v1, peer == 0 ? nullptr : &key, "socks", host, address(ip, port));
  }
  bool bind(unsigned peer, const std::string& ip, uint16_t port, bool udp = false) {
    const smx::PeerKey key = key_of(peer);
    return rules.bind_allowed(peer == 0 ? nullptr : &key, address(ip, port), udp);
  }
  static smx::OpenInfo opened(bool udp) {
    smx::OpenInfo info;
    info.client = address("192.0.2.99", 4711);
    info.local = address("192.0.2.1", 8023);
    info.udp = udp;
    return info;
  }

  Run options;
  Disk disk;
  smx::Reactor reactor;
  smx::Resolver resolver{reactor};
  smx::Names names{reactor, resolver};
  smx::ServerPlaces places;
  smx::Rules rules{options.config, places, smx::Address{}, names, reactor};
};

const char* const kTwo = "one KEY1 DEST=10.0.0.0/8:80,intranet:22 PORT=8023,53/udp\ntwo KEY2\n";

std::string file_of(std::string text) {
  for (unsigned i = 1; i <= 2; ++i) {
    const std::string mark = "KEY" + std::to_string(i);
    text.replace(text.find(mark), mark.size(), smx_test::key_text(i));
  }
  return text;
}

}  // namespace

TEST_CASE("DEST= narrows what the options offer, by peer") {
  Hub hub({"DEST=www:80", "DEST=intranet:22:-P1", "DEST=www:80/udp", "RELIABLE=*"}, file_of(kTwo));
  CHECK(hub.reach(1, "10.1.1.1"));
  CHECK_FALSE(hub.reach(1, "192.0.2.7"));
  CHECK_FALSE(hub.reach(1, "10.1.1.1", true));  // another port of the same number
  CHECK(hub.reach(2, "192.0.2.7"));
  CHECK(hub.reach(2, "10.1.1.1", true));
  CHECK(hub.reach(0, "192.0.2.7"));        // a clear link
  CHECK_FALSE(hub.reach(3, "10.1.1.1"));   // a key that went away
}

TEST_CASE("DEST= opens nothing that the options forbid") {
  Hub hub({"DEST=www:80", "REACHABLE=10.1.0.0/16", "RELIABLE=*"}, file_of("one KEY1 DEST=*\ntwo KEY2\n"));
  CHECK(hub.reach(1, "10.1.1.1"));
  CHECK_FALSE(hub.reach(1, "10.2.1.1"));
}

TEST_CASE("DEST= holds for what a proxy's client asks for, by its name and by its address") {
  Hub hub({"SERVER=socks,-in", "RELIABLE=*"}, file_of(kTwo));
  CHECK(hub.ask(1, "web", "10.1.1.1", 80));
  CHECK(hub.ask(1, "10.1.1.1", "10.1.1.1", 80));
  CHECK_FALSE(hub.ask(1, "10.1.1.1", "10.1.1.1", 81));
  CHECK_FALSE(hub.ask(1, "10.1.1.1", "10.1.1.1", 80, true));
  CHECK(hub.ask(1, "intranet", "192.0.2.7", 22));
  CHECK_FALSE(hub.ask(1, "192.0.2.7", "192.0.2.7", 22));
  CHECK(hub.ask(2, "anything", "192.0.2.7", 1));
  CHECK(hub.ask(0, "anything", "192.0.2.7", 1));
  CHECK_FALSE(hub.ask(3, "10.1.1.1", "10.1.1.1", 80));
}

TEST_CASE("DEST=: 0.0.0.0 and :: are this host") {
  Hub hub({"SERVER=socks,-in", "RELIABLE=*"}, file_of("one KEY1 DEST=*,!127.0.0.0/8:*,![::1]:*\ntwo KEY2 DEST=localhost:80\n"));
  for (const char* ip : {"0.0.0.0", "::", "::ffff:0.0.0.0"}) {
    CAPTURE(ip);
    CHECK_FALSE(hub.ask(1, ip, ip, 80));
    CHECK_FALSE(hub.ask(1, "some.name", ip, 80));
    CHECK(hub.ask(2, ip, ip, 80));
    CHECK_FALSE(hub.ask(2, ip, ip, 81));
  }
  CHECK(hub.ask(1, "192.0.2.7", "192.0.2.7", 80));
}

TEST_CASE("a program is a server on this host, at no port") {
  Hub hub({"SERVER=exec,-in(XCOM=cat)", "RELIABLE=*"}, file_of("one KEY1 DEST=localhost:80\ntwo KEY2 DEST=localhost:*\n"));
  CHECK_FALSE(hub.reach(1, "127.0.0.1"));
  CHECK(hub.reach(2, "127.0.0.1"));
}

TEST_CASE("BIND: nobody may have a port but who has PORT=") {
  Hub hub({"RELIABLE=*"}, file_of(kTwo));
  CHECK(hub.bind(1, "0.0.0.0", 8023));
  CHECK(hub.bind(1, "::", 53, true));
  CHECK_FALSE(hub.bind(1, "0.0.0.0", 53));
  CHECK_FALSE(hub.bind(1, "0.0.0.0", 8024));
  CHECK_FALSE(hub.bind(2, "0.0.0.0", 8023));
  CHECK_FALSE(hub.bind(3, "0.0.0.0", 8023));
  CHECK_FALSE(hub.bind(0, "0.0.0.0", 8023));
}

TEST_CASE("HUP: other rights hold from the next question on") {
  Hub hub({"SERVER=socks,-in", "RELIABLE=*"}, file_of(kTwo));
  CHECK(hub.ask(1, "web", "10.1.1.1", 80));
  hub.disk.write(file_of("one KEY1 DEST=10.0.0.0/8:443 PORT=70\ntwo KEY2\n"));
  REQUIRE(hub.disk.reload());
  CHECK_FALSE(hub.ask(1, "web", "10.1.1.1", 80));
  CHECK(hub.ask(1, "web", "10.1.1.1", 443));
  CHECK_FALSE(hub.bind(1, "0.0.0.0", 8023));
  CHECK(hub.bind(1, "0.0.0.0", 70));
  hub.disk.write(peer_line("two", 2));
  REQUIRE(hub.disk.reload());
  CHECK_FALSE(hub.ask(1, "web", "10.1.1.1", 443));
}
