// What sockmuxctl tells of peers that have names, and of those that are not there. Read next: ctl_status.cc, remote_ports.cc.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "tests/e2e/ctl.h"
#include "tests/e2e/secure_site.h"

using namespace e2e;

TEST_CASE("sockmuxctl: peers by name: up, and down; ports of theirs; kick by name") {
  TwoSites sites;
  Site other;
  sites.hub.write_peers("branch " + sites.branch.shown() + " PORT=1-65535\nother " + other.shown() + "\n");
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  const std::string path = folder / "s";
  Server server(echoes);
  DeadPort free;
  const uint16_t far = free.port();
  Daemon hub(sites.hub.words({"SERVER=sockmuxs", "-P127.0.0.1:0", "PORT=branch@127.0.0.1:0", "SOXCONF=control:" + path}));
  Daemon branch(sites.branch.words({"SERVER=sockmuxs://" + local(hub.link_port()), "DEST=" + local(server.port()), "RPORT=127.0.0.1:" + text(far),
                                    "TIMEOUT=retry:0.2", "SOXCONF=control:" + folder / "b"}));
  REQUIRE(branch->wait_log(" link-up ", 5));
  const auto told = [](const std::string& at, Words words) {
    words.insert(words.end(), {"-s", at});
    const Said said = ctl(words);
    CHECK_MESSAGE(said.status == 0, said.error);
    return said.out;
  };
  Conn client(hub.port());
  client.send("hello");
  REQUIRE(wait_for([&] { return client.received() == 5; }, 5));
  const std::string peers = told(path, {"peers"});
  CHECK(peers.find("\nbranch  " + sites.branch.shown() + "  127.0.0.1:") != std::string::npos);
  CHECK(peers.find("\nother   " + other.shown() + "  - ") != std::string::npos);
  CHECK(count_of(peers, " up ") == 1);
  CHECK(count_of(peers, " down ") == 1);
  const std::string status = told(path, {"status"});
  CHECK(status.find("LINKS     1 up, 0 held, 0 connecting; 2 in the peers file\n") != std::string::npos);
  CHECK(status.find("\n  branch up for ") != std::string::npos);
  CHECK(status.find("\n  other down\n") != std::string::npos);
  CHECK(status.find(", secure, dialect 1") != std::string::npos);
  CHECK(told(path, {"peers", "-j"}).find("{\"name\": \"other\", \"key\": \"" + other.shown() + "\", \"address\": null, \"state\": \"down\", \"since_s\": null,") != std::string::npos);
  CHECK(told(path, {"channels"}).find(" branch  client ") != std::string::npos);
  const std::string metrics = told(path, {"metrics"});
  CHECK(metrics.find("\nsockmux_peer_up{session=\"1\",name=\"branch\"} 1\n") != std::string::npos);
  CHECK(metrics.find("\nsockmux_peer_up{session=\"\",name=\"other\"} 0\n") != std::string::npos);
  // The port that the branch has asked for, at both ends.
  REQUIRE(branch->wait_log(" bind-open ", 5));
  CHECK(wait_for([&] { return told(path, {"status"}).find("BIND      " + local(far)) != std::string::npos; }, 5));
  CHECK(told(folder / "b", {"status"}).find("RPORT     " + local(far)) != std::string::npos);
  // Who calls no other is not told of one.
  CHECK(count_of(told(folder / "b", {"peers"}), "\n") == 2);
  // By its name; by one that has no link.
  size_t from = branch->log().size();
  CHECK(told(path, {"kick", "branch"}).find("ended: the link of branch (127.0.0.1:") == 0);
  REQUIRE(branch->wait_log("resumed=yes", 5, from));
  client.send("again");
  CHECK(wait_for([&] { return client.received() == 10; }, 5));
  const Said down = ctl({"kick", "other", "-s", path});
  CHECK(down.status == 65);
  CHECK(down.error.find("no peer 'other' that has a session\n") != std::string::npos);
  CHECK(Daemon::value(hub.statistics(), "allocations") == 0);
}
