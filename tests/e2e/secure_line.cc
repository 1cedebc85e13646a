// Secure links over serial lines: SERVER=sockmuxs:comm@DEVICE, over pseudo terminals. Read next: line.h, tty.cc (the same in
// clear), tests/secure/test_secure_line.cc (in virtual time).
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/line.h"
#include "tests/e2e/secure_site.h"

using namespace e2e;

namespace {

const char* const kPsk = " PSK=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n";

// Two daemons, a line between them, and their keys; clients of `a` reach a server of `b`.
struct Ends {
  explicit Ends(double rate = 0) : line(folder, rate) {}
  Words words(int end, const std::string& rest, Words more) {
    more.insert(more.begin(), {"SERVER=sockmuxs:comm@" + line.name(end) + rest, "TIMEOUT=retry:1"});
    return (end == 0 ? sites.hub : sites.branch).words(more);
  }
  void start(Words a_more = {}, Words b_more = {}, const std::string& rest = "") {
    a_more.push_back("PORT=127.0.0.1:0");
    b_more.push_back("DEST=" + local(echo.port()));
    a = std::make_unique<Daemon>(words(0, rest, a_more));
    b = std::make_unique<Daemon>(words(1, rest, b_more));
    a->await_start();
    b->await_start();
    port = a->port();
  }
  bool up(double seconds, size_t a_from = 0, size_t b_from = 0) {
    return wait_for([&] { return (*a)->says(" link-up ", a_from) && (*b)->says(" link-up ", b_from); }, seconds);
  }
  bool said(const std::string& what) { return (*a)->says(what) || (*b)->says(what); }
  // Who has the smaller key begins, and the other one finds out; with a wrong one both may begin, or none.
  bool said_wrong_key() { return said("does not know our public key") || said("unknown key ") || said("its key here, or ours there, is wrong"); }
  void check_echo(uint64_t seed, uint64_t size, double seconds) {
    Conn c(port);
    c.expect_pattern(seed).send_pattern(seed, size);
    CHECK(wait_for([&] { return c.received() >= size || c.over() || c.wrong(); }, seconds));
    CHECK(c.received() == size);
    CHECK_FALSE(c.wrong());
  }

  TempFolder folder;
  Line line;
  Server echo{echoes};
  TwoSites sites;
  std::unique_ptr<Daemon> a, b;
  uint16_t port = 0;
};

}  // namespace

TEST_CASE("secure line: two daemons, bytes both ways; a link of either form") {
  for (const char* form : {"SOXCONF=line:lossy", "SOXCONF=line:clean"}) {
    CAPTURE(std::string(form));
    Ends ends;
    ends.start({form}, {form});
    REQUIRE(ends.up(10));
    ends.check_echo(7, 300000, 20);
  }
}

TEST_CASE("secure line: bits flipped and bytes lost: what arrives is whole") {
  Ends ends(11520);
  ends.line.flips = 1e-4;
  ends.line.drops = 1e-3;
  ends.start({}, {}, ",115200");
  REQUIRE(ends.up(60));
  ends.check_echo(3, 20000, 60);
}

TEST_CASE("secure line: either side may come first, be killed, and come back") {
  Ends ends;
  ends.start();
  REQUIRE(ends.up(10));
  ends.check_echo(1, 20000, 10);
  for (int i = 0; i < 4; ++i) {
    Daemon& dies = i % 2 == 0 ? *ends.b : *ends.a;
    Daemon& stays = i % 2 == 0 ? *ends.a : *ends.b;
    const size_t from = stays->log().size();
    dies.restart();
    REQUIRE(stays->wait_log(" link-up ", 10, from));
    REQUIRE(dies->wait_log(" link-up ", 10));
    ends.check_echo(2, 20000, 10);
  }
}

TEST_CASE("secure line: a side that is not configured secure is not spoken to, and both logs say why") {
  Ends ends;
  ends.start();
  ends.b->kill();
  ends.a->restart();  // they may have met
  Daemon clear({"SERVER=sockmux:comm@" + ends.line.name(1), "TIMEOUT=retry:1"});
  CHECK((*ends.a)->wait_log("speaks clear SockMux; refused: SERVER=sockmuxs is needed there", 10));
  CHECK(clear->wait_log("secure link on a clear port: SERVER=sockmuxs is needed here", 10));
  CHECK_FALSE((*ends.a)->says(" link-up "));
  CHECK_FALSE(clear->says(" link-up "));
}

TEST_CASE("secure line: another PSK, another key: no link, and why") {
  for (const bool psk : {true, false}) {
    CAPTURE(psk);
    Ends ends;
    const Site third;
    const std::string hub = "hub " + (psk ? ends.sites.hub : third).shown();
    ends.sites.branch.write_peers(psk ? hub + kPsk : hub + "\n");
    ends.start();
    CHECK(wait_for([&] { return psk ? ends.said("PSK= differs") : ends.said_wrong_key(); }, 30));
    CHECK_FALSE(ends.said(" link-up "));
  }
}

TEST_CASE("secure line: a key that goes away on HUP ends the link at once; one that comes back lets it in again") {
  Ends ends;
  const Site third;
  ends.start();
  REQUIRE(ends.up(10));
  ends.sites.branch.write_peers("third " + third.shown() + "\n");
  ends.b->process().signal(SIGHUP);
  REQUIRE((*ends.b)->wait_log(" link-down ", 5));
  CHECK((*ends.b)->says("key removed"));
  REQUIRE((*ends.a)->wait_log(" link-down ", 5));
  const size_t from = (*ends.a)->log().size(), b_from = (*ends.b)->log().size();
  // The wrong one is waited for meanwhile.
  CHECK(wait_for([&] { return ends.said_wrong_key(); }, 20));
  CHECK_FALSE((*ends.a)->says(" link-up ", from));
  ends.sites.branch.write_peers("hub " + ends.sites.hub.shown() + "\n");
  ends.b->process().signal(SIGHUP);
  REQUIRE(ends.up(30, from, b_from));
  ends.check_echo(4, 20000, 10);
}

TEST_CASE("secure line: a changed PSK ends the link, not the session") {
  Ends ends;
  ends.start();
  REQUIRE(ends.up(10));
  Conn talk(ends.port);
  talk.send("before");
  REQUIRE(wait_for([&] { return talk.text() == "before"; }, 10));
  const size_t from = (*ends.a)->log().size(), b_from = (*ends.b)->log().size();
  ends.sites.hub.write_peers("branch " + ends.sites.branch.shown() + kPsk);
  ends.sites.branch.write_peers("hub " + ends.sites.hub.shown() + kPsk);
  // They read the file with the rights that they have left.
  struct stat daemon;
  REQUIRE(stat(("/proc/" + std::to_string((*ends.a)->pid())).c_str(), &daemon) == 0);
  for (const Site* site : {&ends.sites.hub, &ends.sites.branch}) REQUIRE(chown(site->peers_file().c_str(), daemon.st_uid, daemon.st_gid) == 0);
  ends.a->process().signal(SIGHUP);
  ends.b->process().signal(SIGHUP);
  REQUIRE(ends.up(30, from, b_from));
  talk.send(", behind");
  CHECK(wait_for([&] { return talk.text() == "before, behind"; }, 10));
}

TEST_CASE("secure line: SOXCONF=line:lossy over a program") {
  TwoSites sites;
  Server echo(echoes);
  std::string other = daemon_path() + " SERVER=sockmuxs:comm@-";
  for (const std::string& word : sites.branch.words({"SOXCONF=line:lossy", "DEST=" + local(echo.port())})) other += " " + word;
  // The program is started by who has given its rights away, and cannot read a key of root's.
  Daemon c(sites.hub.words({"SERVER=sockmuxs:proc@" + other, "PORT=127.0.0.1:0", "SOXCONF=line:lossy", "OWNER=root"}));
  REQUIRE(c->wait_log(" link-up ", 10));
  Conn talk(c.port());
  talk.expect_pattern(1).send_pattern(1, 100000);
  CHECK(wait_for([&] { return talk.received() >= 100000 || talk.wrong(); }, 20));
  CHECK_FALSE(talk.wrong());
}

TEST_CASE("secure line: a session moves from TCP to a line and back, both secure and of the same peer") {
  TempFolder folder;
  Line line(folder);
  TwoSites sites;
  Server echo(echoes);
  Daemon a(sites.hub.words({"SERVER=sockmuxs", "-P127.0.0.1:0", "SERVER=sockmuxs:comm@" + line.name(1), "PORT=127.0.0.1:0"}));
  Wire wire(a.link_port());
  Daemon c(sites.branch.words({"SERVER=sockmuxs://" + local(wire.port()), "SERVER=sockmuxs:comm@" + line.name(0), "DEST=" + local(echo.port())}));
  REQUIRE(c->wait_log("link-up session=1 peer=\"tcp", 10));
  Conn talk(a.port());
  std::string all;
  const auto answers = [&](const std::string& word) {
    talk.send(word);
    all += word;
    return wait_for([&] { return talk.text() == all; }, 10);
  };
  REQUIRE(answers("1"));
  for (size_t round = 0; round < 3; ++round) {
    CAPTURE(round);
    wire.refuses = true;
    wire.cut_makers();
    REQUIRE(wait_for([&] { return c->count(" link-moved ") == 2 * round + 1; }, 20));
    CHECK(answers("at the line "));
    wire.refuses = false;
    c->signal(SIGHUP);
    REQUIRE(wait_for([&] { return c->count(" link-moved ") == 2 * round + 2; }, 20));
    CHECK(answers("at the port "));
  }
  CHECK(c->count("resumed=no") == 1);
  CHECK(a->count("resumed=no") == 1);
}
