// Secure links over serial lines: SERVER=sockmuxs:comm@DEVICE, over pseudo terminals. Read next: line.h, tty.cc (the same in
// clear), tests/secure/test_secure_line.cc (in virtual time).
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include "tests/e2e/line.h"
#include "tests/e2e/sockets.h"
#include "transport/secure/keys.h"

using namespace e2e;

namespace {

const char* const kPsk = " PSK=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n";

// A key file, and the public key that belongs to it.
struct Identity {
  Identity(const TempFolder& folder, const std::string& name) : file(folder / (name + ".key")) {
    smx::secure::Secret random;
    std::random_device device;
    for (size_t i = 0; i < smx::secure::kKey; ++i) random.data()[i] = static_cast<uint8_t>(device());
    char own[smx::secure::kKeyText], open[smx::secure::kKeyText];
    smx::secure::genkey(random, own);
    REQUIRE(smx::secure::pubkey({own, sizeof own}, open) == smx::secure::KeyFault::none);
    write_file(file, std::string(own, sizeof own) + "\n");
    REQUIRE(chmod(file.c_str(), 0600) == 0);
    shown.assign(open, sizeof open);
  }
  std::string file, shown;
};

// Two daemons, a line between them, and their keys; clients of `a` reach a server of `b`.
struct Ends {
  explicit Ends(double rate = 0) : line(folder, rate), a_key(folder, "a"), b_key(folder, "b") {
    write_peers(0, "b " + b_key.shown + "\n");
    write_peers(1, "a " + a_key.shown + "\n");
  }
  std::string peers(int end) const { return folder / (end == 0 ? "a.peers" : "b.peers"); }
  void write_peers(int end, const std::string& lines) { write_file(peers(end), lines); }
  Words words(int end, const std::string& rest = "") const {
    return {"SERVER=sockmuxs:comm@" + line.name(end) + rest, "TIMEOUT=retry:1",
            "SOXCONF=key:" + (end == 0 ? a_key : b_key).file + ",peers:" + peers(end)};
  }
  void start(const Words& a_more = {}, const Words& b_more = {}, const std::string& rest = "") {
    Words w = words(0, rest);
    w.push_back("PORT=127.0.0.1:0");
    w.insert(w.end(), a_more.begin(), a_more.end());
    a = std::make_unique<Daemon>(w);
    w = words(1, rest);
    w.push_back("DEST=" + local(echo.port()));
    w.insert(w.end(), b_more.begin(), b_more.end());
    b = std::make_unique<Daemon>(w);
    a->await_start();
    b->await_start();
  }
  bool up(double seconds, size_t a_from = 0, size_t b_from = 0) {
    return wait_for([&] { return (*a)->says(" link-up ", a_from) && (*b)->says(" link-up ", b_from); }, seconds);
  }
  void check_echo(uint64_t seed, uint64_t size, double seconds) {
    if (port == 0) port = a->port();
    Conn c(port);
    c.expect_pattern(seed).send_pattern(seed, size);
    CHECK(wait_for([&] { return c.received() >= size || c.over() || c.wrong(); }, seconds));
    CHECK(c.received() == size);
    CHECK_FALSE(c.wrong());
  }

  TempFolder folder;
  Line line;
  Server echo{echoes};
  Identity a_key, b_key;
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
    const Identity third(ends.folder, "x");
    if (psk) ends.write_peers(0, "b " + ends.b_key.shown + kPsk);
    else ends.write_peers(1, "a " + third.shown + "\n");
    REQUIRE(chmod(ends.peers(0).c_str(), 0600) == 0);
    ends.start();
    const auto said = [&](const std::string& why) { return (*ends.a)->says(why) || (*ends.b)->says(why); };
    // Who has the smaller key begins, and the other one is who finds out.
    CHECK(wait_for([&] { return psk ? said("PSK= differs") : said("unknown key " + ends.a_key.shown) || said("does not know our public key"); }, 30));
    CHECK_FALSE(said(" link-up "));
  }
}

TEST_CASE("secure line: a key that goes away on HUP ends the link at once; one that comes back lets it in again") {
  Ends ends;
  const Identity third(ends.folder, "x");
  ends.start();
  REQUIRE(ends.up(10));
  ends.write_peers(1, "x " + third.shown + "\n");
  ends.b->process().signal(SIGHUP);
  REQUIRE((*ends.b)->wait_log(" link-down ", 5));
  CHECK((*ends.b)->says("key removed"));
  REQUIRE((*ends.a)->wait_log(" link-down ", 5));
  size_t from = (*ends.a)->log().size(), b_from = (*ends.b)->log().size();
  // The wrong one is waited for meanwhile.
  CHECK(wait_for([&] { return (*ends.b)->says("does not know our public key") || (*ends.b)->says("unknown key ") || (*ends.a)->says("not accepted there"); }, 20));
  CHECK_FALSE((*ends.a)->says(" link-up ", from));
  ends.write_peers(1, "a " + ends.a_key.shown + "\n");
  ends.b->process().signal(SIGHUP);
  REQUIRE(ends.up(30, from, b_from));
  ends.check_echo(4, 20000, 10);
}

TEST_CASE("secure line: a changed PSK ends the link, not the session") {
  Ends ends;
  ends.start();
  REQUIRE(ends.up(10));
  Conn c((ends.port = ends.a->port()));
  c.expect_pattern(1).send_pattern(1, 1000);
  REQUIRE(wait_for([&] { return c.received() >= 1000; }, 10));
  const size_t from = (*ends.a)->log().size(), b_from = (*ends.b)->log().size();
  ends.write_peers(0, "b " + ends.b_key.shown + kPsk);
  ends.write_peers(1, "a " + ends.a_key.shown + kPsk);
  for (int end = 0; end < 2; ++end) {
    // It reads the file with the rights that it has left.
    struct stat daemon;
    REQUIRE(stat(("/proc/" + std::to_string((end == 0 ? *ends.a : *ends.b)->pid())).c_str(), &daemon) == 0);
    REQUIRE(chown(ends.peers(end).c_str(), daemon.st_uid, daemon.st_gid) == 0);
    REQUIRE(chmod(ends.peers(end).c_str(), 0600) == 0);
  }
  ends.a->process().signal(SIGHUP);
  ends.b->process().signal(SIGHUP);
  REQUIRE(ends.up(30, from, b_from));
  c.send_pattern(1, 1000);
  CHECK(wait_for([&] { return c.received() >= 2000 || c.over() || c.wrong(); }, 10));
  CHECK(c.received() == 2000);
}
