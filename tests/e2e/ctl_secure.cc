// What sockmuxctl tells of peers that have names, and of those that are not there. Read next: ctl_status.cc, remote_ports.cc.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <sstream>

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

TEST_CASE("sockmuxctl: a port at the peer that was kicked has ended, and is not refused; bytes are those of the peer that is there") {
  TwoSites sites;
  Site other;
  sites.hub.write_peers("branch " + sites.branch.shown() + " PORT=0\nother " + other.shown() + "\n");
  other.knows("hub", sites.hub);
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  const std::string path = folder / "h", at_branch = folder / "b";
  Server server(echoes);
  Daemon hub(sites.hub.words({"SERVER=sockmuxs", "-P127.0.0.1:0", "PORT=branch@127.0.0.1:0", "SOXCONF=control:" + path}));
  const std::string link = "SERVER=sockmuxs://" + local(hub.link_port());
  const auto field = [](const std::string& table, const std::string& row, int column) {
    const size_t at = table.find("\n" + row);
    REQUIRE_MESSAGE(at != std::string::npos, table);
    std::istringstream words(table.substr(at));
    std::string word;
    for (int i = 0; i <= column; ++i) words >> word;
    return word;
  };
  {
    Daemon branch(sites.branch.words({link, "DEST=" + local(server.port()), "RPORT=127.0.0.1:0", "TIMEOUT=resume:0", "SOXCONF=control:" + at_branch}));
    REQUIRE(branch->wait_log(" bind-open ", 5));
    Conn client(hub.port());
    client.send(std::string(200000, 'x'));
    REQUIRE(wait_for([&] { return client.received() == 200000; }, 10));
    CHECK(field(ctl({"peers", "-s", path}).out, "branch ", 6).back() == 'K');
    const std::string channels = ctl({"channels", "-s", at_branch}).out;
    const size_t line = channels.find(" rport ");
    REQUIRE_MESSAGE(line != std::string::npos, channels);
    const size_t begin = channels.rfind('\n', line) + 1;
    CHECK(ctl({"kick", "channel", channels.substr(begin, channels.find(' ', begin) - begin), "-s", at_branch}).status == 0);
    const std::string status = ctl({"status", "-s", at_branch}).out;
    CHECK_MESSAGE(status.find(" ended ") != std::string::npos, status);
    CHECK(status.find("refuses RPORT") == std::string::npos);
    CHECK(field(ctl({"peers", "-s", path}).out, "branch ", 3) == "up");
  }
  CHECK(wait_for([&] { return field(ctl({"peers", "-s", path}).out, "branch ", 3) == "down"; }, 10));
  Daemon next(other.words({link}));
  REQUIRE(next->wait_log(" link-up ", 10));
  const std::string peers = ctl({"peers", "-s", path}).out;
  CHECK(field(peers, "other ", 3) == "up");
  CHECK(field(peers, "other ", 6).find('K') == std::string::npos);  // a handshake
}
