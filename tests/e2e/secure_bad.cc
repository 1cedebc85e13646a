// What is wrong with a secure link, and what each side says of it: files, keys, clear peers, changed, cut and replayed bytes.
// Rules: sockmuxd(8), "Secure links". Read next: secure_site.h.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/family.h"
#include "tests/e2e/secure_site.h"

using namespace e2e;

namespace {

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// Starts with these words, which must fail.
struct Refused {
  int status = -1;
  std::string log;
  explicit Refused(Words words) {
    words.insert(words.begin(), {daemon_path(), "-f"});
    Process p(words);
    REQUIRE(p.wait_end(5));
    status = p.status();
    log = p.log();
  }
};

// The word for a connector's link.
std::string link_to(uint16_t port) { return "SERVER=sockmuxs://" + local(port); }
const Words kAccepts{"SERVER=sockmuxs", "-P127.0.0.1:0"};

// A hub with a server and a tap before it, and no branch yet.
struct Hub {
  Server echo{[](Conn& conn) { conn.echo = true; }};
  Daemon a;
  Tap tap;
  explicit Hub(const Site& site) : a(site.words(with(kAccepts, {"DEST=" + local(echo.port())}))), tap(a.link_port()) {}
  // It serves a branch that is welcome.
  void check_alive(const Site& branch) {
    Daemon c(branch.words({link_to(a.link_port()), "PORT=127.0.0.1:0"}));
    REQUIRE(c->wait_log(" link-up ", 10));
    Conn conn(c.port());
    conn.send("alive");
    CHECK(wait_for([&] { return conn.text() == "alive"; }, 5));
  }
};

}  // namespace

TEST_CASE("secure: key files and peers files that must not be used end the start, with a message and their exit code") {
  TwoSites sites;
  const std::string key = sites.hub.key_file(), peers = sites.hub.peers_file();
  TempFolder folder;
  const auto start = [&](const std::string& soxconf, const Words& more = {}) { return Refused(with(with(kAccepts, {"SOXCONF=" + soxconf}), more)); };
  {
    const Refused r = start("key:" + folder / "none,peers:" + peers);
    CHECK(r.status == 66);
    CHECK(r.log == "sockmuxd: " + folder / "none: no such file; 'sockmuxctl genkey' makes a key\n");
  }
  {
    chmod(key.c_str(), 0644);
    const Refused r = start("key:" + key + ",peers:" + peers);
    CHECK(r.status == 77);
    CHECK(r.log == "sockmuxd: " + key + ": others can read this key (mode 0644): 'chmod 600 " + key + "', and make a new one if others have been here\n");
    chmod(key.c_str(), 0600);
  }
  {
    REQUIRE(chown(key.c_str(), 1000, 1000) == 0);
    const Refused r = start("key:" + key + ",peers:" + peers);
    CHECK(r.status == 77);
    CHECK(r.log == "sockmuxd: " + key + ": owner is uid 1000; must be root or the daemon's user\n");
    REQUIRE(chown(key.c_str(), 0, 0) == 0);
  }
  {
    write_file(folder / "bad", "not a key\n");
    chmod((folder / "bad").c_str(), 0600);
    const Refused r = start("key:" + folder / "bad,peers:" + peers);
    CHECK(r.status == 78);
    CHECK(r.log.find("not a key: one line of 44 base64 characters is wanted") != std::string::npos);
  }
  {
    const Refused r = start("key:" + key + ",peers:" + folder / "none");
    CHECK(r.status == 66);
    CHECK(r.log.find(folder / "none: no such file") != std::string::npos);
  }
  const struct {
    std::string text, says;
    int status;
  } kPeers[] = {
      {"branch " + sites.branch.shown() + "\nx y\n", ":2: x: bad key", 78},
      {"branch " + sites.branch.shown() + " PORT=80x\n", ":1: branch: bad PORT= at '80x'", 78},
      {"branch " + sites.branch.shown() + " PROT=80\n", ":1: branch: unknown word 'PROT='", 78},
      {"branch " + sites.branch.shown() + "\nbranch " + sites.hub.shown() + "\n", ":2: branch: ", 78},
      {"hub " + sites.hub.shown() + "\n", ":1: hub: our own key", 78},
      {"a " + sites.branch.shown() + "\nb " + sites.branch.shown() + "\n", ":2: b: key as in line 1", 78},
  };
  for (const auto& p : kPeers) {
    CAPTURE(p.text);
    sites.hub.write_peers(p.text);
    const Refused r = start("key:" + key + ",peers:" + peers);
    CHECK(r.status == p.status);
    CHECK(r.log.find(peers + p.says) != std::string::npos);
  }
  sites.hub.write_peers("branch " + sites.branch.shown() + " PSK=" + sites.branch.shown() + "\n");
  chmod(peers.c_str(), 0644);
  const Refused r = start("key:" + key + ",peers:" + peers);
  CHECK(r.status == 77);
  CHECK(r.log.find(peers + ":1: PSK= in a file that others can read: 'chmod o-r ") != std::string::npos);
}

TEST_CASE("secure: a connector that cannot know which peer it calls does not start") {
  Site one, two, me;
  const auto start = [&](const std::string& link) { return Refused(me.words({link})); };
  Refused r = start("SERVER=sockmuxs://127.0.0.1:9");
  CHECK(r.status == 78);
  CHECK(r.log.find("which peer? " + me.peers_file() + " names nobody") != std::string::npos);
  me.knows("one", one).knows("two", two);
  r = start("SERVER=sockmuxs://127.0.0.1:9");
  CHECK(r.status == 78);
  CHECK(r.log.find("names 2; write SERVER=sockmuxs://NAME@127.0.0.1:9") != std::string::npos);
  r = start("SERVER=sockmuxs://tow@127.0.0.1:9");
  CHECK(r.status == 78);
  CHECK(r.log.find("has no 'tow'") != std::string::npos);
}

TEST_CASE("secure: a key that the hub does not know: both say it, with what to do") {
  TwoSites sites;
  Site stranger;
  stranger.knows("hub", sites.hub);
  Hub hub(sites.hub);
  Daemon c(stranger.words({link_to(hub.a.link_port()), "PORT=127.0.0.1:0"}));
  CHECK(c->wait_log("not accepted there: its peers file needs the line 'NAME " + stranger.shown() + "', and FROM= must allow us", 10));
  CHECK(hub.a->wait_log("reason=\"unknown key " + stranger.shown() + "\"", 5));
  CHECK_FALSE(hub.a->says(" link-up "));
  hub.check_alive(sites.branch);
}

TEST_CASE("secure: FROM= keeps a peer out that calls from elsewhere") {
  Site hub_site, branch;
  hub_site.knows("branch", branch, "FROM=198.51.100.0/24");
  branch.knows("hub", hub_site);
  Hub hub(hub_site);
  Daemon c(branch.words({link_to(hub.a.link_port()), "PORT=127.0.0.1:0"}));
  CHECK(c->wait_log("not accepted there", 10));
  CHECK(hub.a->wait_log("reason=\"peer branch: FROM= forbids\"", 5));
  CHECK_FALSE(hub.a->says(" link-up "));
}

TEST_CASE("secure: who does not know the hub's public key gets no word from it") {
  TwoSites sites;
  Site other;
  sites.branch.write_peers("hub " + other.shown() + "\n");
  Hub hub(sites.hub);
  Daemon c(sites.branch.words({link_to(hub.tap.port()), "PORT=127.0.0.1:0"}));
  CHECK(c->wait_log("closed without an answer: another service, or the key of hub in our peers file is wrong", 10));
  CHECK(hub.a->wait_log("reason=\"does not know our public key\"", 5));
  CHECK(hub.tap.seen.size() == hub.tap.up.size());  // of one connection: nothing came back
}

TEST_CASE("secure: another PSK, or one at one side alone") {
  const std::string psk = ctl({"genpsk"}).out.substr(0, 44), other = ctl({"genpsk"}).out.substr(0, 44);
  for (const std::string& theirs : {std::string(), " PSK=" + other}) {
    CAPTURE(theirs);
    TwoSites sites(psk);
    sites.branch.write_peers("hub " + sites.hub.shown() + theirs + "\n");
    Hub hub(sites.hub);
    Daemon c(sites.branch.words({link_to(hub.a.link_port()), "PORT=127.0.0.1:0"}));
    CHECK(c->wait_log("the answer does not open: PSK= differs, or it was changed on the way", 10));
    CHECK(hub.a->wait_log(" link-refused ", 10));
    CHECK_FALSE(hub.a->says(" link-up "));
  }
}

TEST_CASE("secure: another service in place of a hub, or one that says nothing") {
  TwoSites sites;
  Server web([](Conn& c) { c.send("HTTP/1.1 400 Bad Request\r\n\r\n").shut(); });
  Daemon c(sites.branch.words({link_to(web.port()), "PORT=127.0.0.1:0"}));
  CHECK(c->wait_log("reason=\"not SockMux\"", 10));
  Server mute(reads_nothing);
  Daemon d(sites.branch.words({link_to(mute.port()), "PORT=127.0.0.1:0"}));
  CHECK(d->wait_log("reason=\"no answer in 10 s\"", 15));
}

TEST_CASE("secure: a program that gives no answer within TIMEOUT=hello is ended, and started again") {
  TwoSites sites;
  for (const char* form : {"SOXCONF=line:clean", "SOXCONF=line:lossy"})
    for (const char* command : {"exec sleep 1000", "exec cat /dev/urandom"}) {
      CAPTURE(form);
      CAPTURE(command);
      Daemon d(sites.branch.words({"SERVER=sockmuxs:proc@" + std::string(command), form, "TIMEOUT=hello:1"}));
      REQUIRE(wait_for([&] { return programs_of(d->pid()).size() == 1; }, 5));
      const std::vector<Kin> first = programs_of(d->pid());
      CHECK(d->wait_log("reason=\"no answer to the handshake in time\"", 5));
      CHECK(wait_for([&] { return left_of(first) == 0; }, 5));
      CHECK(wait_for([&] { return programs_of(d->pid()).size() == 1; }, 5));  // the next one
    }
}

TEST_CASE("secure: a bit that is flipped anywhere ends the link or the handshake, the session goes on, and no byte is wrong") {
  TwoSites sites;
  Hub hub(sites.hub);
  uint64_t at = 0;
  bool armed = false, up_way = false;
  unsigned flipped = 0;
  hub.tap.meddle = [&](bool up, uint64_t before, std::string& bytes) {
    if (!armed || up != up_way || at < before || at >= before + bytes.size()) return;
    bytes[static_cast<size_t>(at - before)] = static_cast<char>(bytes[static_cast<size_t>(at - before)] ^ 0x10);
    armed = false;
    ++flipped;
  };
  Daemon c(sites.branch.words({link_to(hub.tap.port()), "PORT=127.0.0.1:0"}));
  REQUIRE(c->wait_log(" link-up ", 10));
  Conn copy(c.port());
  copy.expect_pattern(5).send_pattern(5, 1000000);
  REQUIRE(wait_for([&] { return copy.received() == 1000000; }, 10));
  uint64_t sent = 1000000;
  // On a link of its own each: bytes of message 1 or 2, of the head of the first record, of its content.
  for (const bool way : {true, false}) {
    for (const uint64_t place : {0u, 5u, 7u, 20u, 50u, 100u, 119u, 121u, 125u, 300u, 5000u}) {
      CAPTURE(way);
      CAPTURE(place);
      up_way = way;
      at = place;
      armed = true;
      hub.tap.wire.cut();
      copy.send_pattern(5, 0);
      Conn more(c.port());
      more.expect_pattern(6).send_pattern(6, 100000);
      CHECK(wait_for([&] { return more.received() == 100000; }, 20));
      CHECK_FALSE(more.wrong());
      CHECK_FALSE(armed);
    }
  }
  CHECK(flipped == 22);
  copy.send("end");
  ++sent;
  CHECK(copy.alive());
  CHECK_FALSE(copy.wrong());
  CHECK(c->wait_log("record does not open: changed on the way", 5));
  CHECK(hub.a->wait_log("record does not open: changed on the way", 5));
}

TEST_CASE("secure: a stream that ends within a record, or without the last one, is cut and no end") {
  TwoSites sites;
  Hub hub(sites.hub);
  bool cuts = false;
  uint64_t left = 0;
  hub.tap.meddle = [&](bool up, uint64_t before, std::string& bytes) {
    (void)before;
    if (!cuts || up) return;
    if (bytes.size() <= left) {
      left -= bytes.size();
      return;
    }
    bytes.resize(static_cast<size_t>(left));
    left = 0;
  };
  Daemon c(sites.branch.words({link_to(hub.tap.port()), "PORT=127.0.0.1:0"}));
  REQUIRE(c->wait_log(" link-up ", 10));
  Conn copy(c.port());
  copy.expect_pattern(5).send_pattern(5, 3000000);
  REQUIRE(wait_for([&] { return copy.received() > 100000; }, 10));
  // From the middle of what comes nothing comes any more, and then the end.
  cuts = true;
  left = 5000;
  REQUIRE(wait_for([&] { return left == 0; }, 10));
  const size_t from = c->log().size();
  hub.tap.wire.end_acceptors();
  cuts = false;
  CHECK(c->wait_log("reason=\"cut", 10, from));
  CHECK(c->wait_log("resumed=yes", 10, from));
  CHECK(wait_for([&] { return copy.received() == 3000000; }, 20));
  CHECK_FALSE(copy.wrong());
  CHECK(copy.alive());
}

TEST_CASE("secure: a handshake that is replayed changes nothing for the peer whose it is, and leads to no link") {
  TwoSites sites;
  Hub hub(sites.hub);
  Daemon c(sites.branch.words({link_to(hub.tap.port()), "PORT=127.0.0.1:0"}));
  REQUIRE(c->wait_log(" link-up ", 10));
  REQUIRE(hub.a->wait_log(" link-up ", 10));
  Conn talk(c.port());
  talk.send("a");
  REQUIRE(wait_for([&] { return talk.text() == "a"; }, 5));
  const std::string all = hub.tap.up;
  const size_t from = hub.a->log().size();
  // Message 1 alone: it is answered, since it may be true. And with the first records behind it: they do not open.
  Conn alone(hub.a.link_port()), whole(hub.a.link_port());
  alone.send(all.substr(0, 120));
  whole.send(all);
  CHECK(wait_for([&] { return alone.text().size() >= 56; }, 5));
  CHECK(alone.text().compare(0, 6, "SMXS\x01\x02") == 0);
  CHECK(wait_for([&] { return whole.over(); }, 5));
  CHECK(hub.a->wait_log("reason=\"record does not open: changed on the way\"", 5, from));
  talk.send("b");
  CHECK(wait_for([&] { return talk.text() == "ab"; }, 5));
  CHECK(wait_for([&] { return alone.over(); }, 15));
  CHECK(hub.a->wait_log("reason=\"no record behind the handshake in time\"", 5, from));
  CHECK_FALSE(hub.a->says(" link-up ", from));
  CHECK_FALSE(hub.a->says(" link-down ", from));
  CHECK(talk.alive());
}

TEST_CASE("secure: a key that is removed while its handshake is under way gets no link") {
  TwoSites sites;
  Hub hub(sites.hub);
  // Message 2 waits on the line.
  bool waits = false;
  hub.tap.meddle = [&](bool up, uint64_t before, std::string& bytes) {
    (void)before, (void)bytes;
    if (up || waits) return;
    waits = true;
    hub.tap.wire.freeze();
  };
  Daemon c(sites.branch.words({link_to(hub.tap.port()), "PORT=127.0.0.1:0"}));
  REQUIRE(wait_for([&] { return waits; }, 10));
  sites.hub.write_peers("# nobody\n");
  hub.a->signal(SIGHUP);
  REQUIRE(hub.a->wait_log(" peers-read ", 5));
  hub.tap.wire.thaw();
  CHECK(hub.a->wait_log("the peers file was read again meanwhile", 20));
  CHECK_FALSE(hub.a->says(" link-up "));
  CHECK(hub.a->wait_log("unknown key", 10));
}
