// sockmuxctl doctor at secure links: keys that are missing, open to others, or not the right ones. Read next: doctor.cc.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/doctor.h"
#include "tests/e2e/secure_site.h"

using namespace e2e;

namespace {

const std::string kNoDaemon = "SOXCONF=control:/nowhere/at/all";

Said examine(const Site& site, const std::string& at, const Words& more = {}) {
  Words words = site.words({"SERVER=sockmuxs://" + at, kNoDaemon});
  words.insert(words.end(), more.begin(), more.end());
  return ctl(doctor(words));
}

std::unique_ptr<Daemon> hub_of(const Site& site) {
  auto hub = std::make_unique<Daemon>(site.words({"SERVER=sockmuxs", "-P127.0.0.1:0"}));
  hub->await_start();
  return hub;
}

}  // namespace

TEST_CASE("doctor: keys that are right are proven, with and without a PSK, and the peer does not count us as linked") {
  const std::string psk = ctl({"genpsk"}).out.substr(0, 44);
  for (const std::string& key : {std::string(), psk}) {
    const TwoSites sites(key);
    const std::unique_ptr<Daemon> hub = hub_of(sites.hub);
    const std::string at = local(hub->link_port());
    const Said said = examine(sites.branch, at);
    INFO(said.out);
    CHECK(said.status == 0);
    CHECK(count_of(said.out, "FAIL  ") == 0);
    CHECK(said.out.find("ok    handshake with 'hub' at " + at + ": both sides have the right keys" +
                        (key.empty() ? "" : ", and the same PSK") + "\n") != std::string::npos);
    CHECK(wait_for([&] { return (*hub)->says("reason="); }, 5));
    CHECK((*hub)->count(" link-up ") == 0);
  }
}

TEST_CASE("doctor: a handshake beside a live secure link of the same key leaves that as it is") {
  const TwoSites sites;
  Server server([](Conn& c) { c.echo = true; });
  Daemon hub(sites.hub.words({"SERVER=sockmuxs", "-P127.0.0.1:0", "PORT=127.0.0.1:0"}));
  const std::string at = local(hub.link_port());
  Daemon branch(sites.branch.words({"SERVER=sockmuxs://" + at, "DEST=" + local(server.port())}));
  REQUIRE(hub->wait_log(" link-up ", 10));
  Conn live(hub.port());
  live.send("before");
  REQUIRE(wait_for([&] { return live.text() == "before"; }, 5));
  CHECK(examine(sites.branch, at).out.find(": both sides have the right keys\n") != std::string::npos);
  live.send(", after");
  CHECK(wait_for([&] { return live.text() == "before, after"; }, 5));
  CHECK(hub->count(" link-up ") == 1);
  CHECK(hub->count(" link-down ") == 0);
  CHECK(branch->count(" link-down ") == 0);
}

TEST_CASE("doctor: wrong key: the peer does not know ours; or has another one than we think; wrong PSK") {
  Site hub, branch, other;
  hub.knows("other", other);
  branch.knows("hub", hub);
  other.knows("hub", branch);  // a mistake
  std::unique_ptr<Daemon> daemon = hub_of(hub);
  std::string at = local(daemon->link_port());
  const Said unknown = examine(branch, at);
  check_one_cause(unknown, 3, "wrong key: 'hub' at " + at + " does not accept our key\n");
  CHECK(unknown.out.find("Its peers file needs the line 'NAME " + branch.shown() + "' with a name of your choice") !=
        std::string::npos);
  check_one_cause(
      examine(other, at), 3,
      "wrong key: the sockmuxd at " + at + " has another key than " + other.peers_file() + " says for 'hub'\n");
  const TwoSites sites(ctl({"genpsk"}).out.substr(0, 44));
  Site forgetful;
  forgetful.knows("hub", sites.hub);
  daemon = hub_of(sites.hub);
  at = local(daemon->link_port());
  Words words{"SERVER=sockmuxs://" + at, kNoDaemon,
              "SOXCONF=key:" + sites.branch.key_file() + ",peers:" + forgetful.peers_file()};
  check_one_cause(ctl(doctor(words)), 3, "wrong PSK: what 'hub' at " + at + " answers does not open\n");
}

TEST_CASE("doctor: secure and clear do not go together, and a DeleGate knows no secure links") {
  const TwoSites sites;
  const std::unique_ptr<Daemon> hub = hub_of(sites.hub);
  const std::string at = local(hub->link_port());
  check_one_cause(ctl(doctor({"SERVER=sockmux://" + at, kNoDaemon})), 3,
                  "secure links only: " + at + " takes no clear link\n");
  Daemon clear({"SERVER=sockmux", "-P127.0.0.1:0"});
  check_one_cause(examine(sites.branch, local(clear.link_port())), 3,
                  "clear links only: " + local(clear.link_port()) + " takes no secure link\n");
  Server delegate(greets_as_03);
  check_one_cause(
      examine(sites.branch, local(delegate.port())), 3,
      "peer too old: " + local(delegate.port()) + " speaks SockMux 0.3 (a DeleGate), which knows no secure links\n");
  Server ssh([](Conn& c) { c.send("SSH-2.0-OpenSSH_9.2\r\n"); });
  check_one_cause(examine(sites.branch, local(ssh.port())), 2,
                  "wrong port: at " + local(ssh.port()) + " an SSH server answers: ");
}

TEST_CASE("doctor: key files that are missing, open or no keys; peers files with mistakes") {
  TwoSites sites;
  const DeadPort dead;
  const std::string at = local(dead.port());
  const auto near = [&](const std::string& cause) {
    CAPTURE(cause);
    check_broken(examine(sites.branch, at), 1, cause);
  };
  REQUIRE(chmod(sites.branch.key_file().c_str(), 0644) == 0);
  near("key open to others: " + sites.branch.key_file() + ": others can read this key (mode 0644)");
  REQUIRE(chmod(sites.branch.key_file().c_str(), 0600) == 0);
  sites.branch.write_peers("hub " + sites.hub.shown() + "\nhub " + sites.hub.shown() + "\n");
  near("wrong peers file: " + sites.branch.peers_file() + ":2: ");
  sites.branch.write_peers("");
  near("wrong peers file: SERVER=sockmuxs://" + at + ": which peer? " + sites.branch.peers_file() + " names nobody\n");
  write_file(sites.branch.key_file(), "no key\n");
  near("not a key: " + sites.branch.key_file());
  REQUIRE(unlink(sites.branch.key_file().c_str()) == 0);
  near("no key: " + sites.branch.key_file() + ": no such file");
}

TEST_CASE("doctor: a port at the peer (RPORT) that it does not give, and one that it gives") {
  Site hub, branch;
  const uint16_t given = quiet_port();
  hub.knows("branch", branch, "PORT=" + text(given));
  branch.knows("hub", hub);
  const std::unique_ptr<Daemon> daemon = hub_of(hub);
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  const Words words{
      "SERVER=sockmuxs://" + local(daemon->link_port()), "RPORT=127.0.0.1:" + text(given), "RPORT=127.0.0.1:1",
      "SOXCONF=key:" + branch.key_file() + ",peers:" + branch.peers_file() + ",control:" + (folder / "c")};
  Daemon asks(words);
  REQUIRE(asks->wait_log("bind-refused", 10));
  REQUIRE(asks->wait_log("bind-open", 10));
  const Said said = ctl(doctor(words));
  check_one_cause(
      said, 3,
      "far port refused: the peer (hub) does not listen at 127.0.0.1:1 for us: our line in the peers file there needs PORT=1\n");
  CHECK(said.out.find("ok    port " + local(given) + " at the peer (hub) is open for us\n") != std::string::npos);
}

TEST_CASE("doctor: a hub names those of its peers file who are not linked") {
  Site hub, one, two, three;
  hub.knows("one", one).knows("two", two).knows("three", three);
  one.knows("hub", hub);
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  const std::string files =
      "SOXCONF=key:" + hub.key_file() + ",peers:" + hub.peers_file() + ",control:" + (folder / "c");
  Daemon daemon({"SERVER=sockmuxs", "-P127.0.0.1:0", files});
  const std::string at = local(daemon.link_port());
  Daemon branch(one.words({"SERVER=sockmuxs://" + at}));
  REQUIRE(daemon->wait_log(" link-up ", 10));
  const Said said = ctl(doctor({"SERVER=sockmuxs", "-P" + at, files}));
  INFO(said.out);
  CHECK(said.status == 0);
  CHECK(said.out.find("ok    links: 1 peer has called and linked\n") != std::string::npos);
  CHECK(said.out.find("WARN  not linked: two, three of the peers file\n") != std::string::npos);
}
