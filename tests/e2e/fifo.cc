// Links over FIFOs: any order of starts, either side killed, leftovers, FIFOs that are removed or were none, both dialects.
// Read next: pipes.h; stdio.cc.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>
#include <utility>
#include <vector>

#include "tests/e2e/pipes.h"

using namespace e2e;

namespace {

bool wait_both(Daemon& a, Daemon& b, double seconds, size_t a_from = 0, size_t b_from = 0) {
  return wait_for([&] { return a->says(" link-up ", a_from) && b->says(" link-up ", b_from); }, seconds);
}

// Starts with these words, which must fail: the exit code.
int start_code(Words words, std::string* said) {
  words.insert(words.begin(), {daemon_path(), "-f"});
  Process p(words);
  if (!p.wait_end(5)) return -1;
  *said = p.log();
  return p.status();
}

// Where a daemon without SOXCONF=proto and its peer meet: both of each.
const Words kDialects[] = {{}, {"SOXCONF=proto:0.3", "TIMEOUT=lin:0.2"}};

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

std::string zero_ended(std::string s) {
  s.push_back('\0');
  return s;
}

}  // namespace

TEST_CASE("the example with FIFOs: mkfifo com0 and com1, and the two services are linked") {
  TempFolder tmp;
  run({"mkfifo", tmp / "com0"}, 5);
  run({"mkfifo", tmp / "com1"}, 5);
  Server server1([](Conn& c) { c.send("server of 1").shut(); }), server2([](Conn& c) { c.send("server of 2").shut(); });
  Daemon serv1({"SERVER=sockmux:commin@" + tmp / "com0", "SERVER=sockmux:commout@" + tmp / "com1", "PORT=127.0.0.1:0",
                "SERVER=telnet://" + local(server1.port()) + ",-in"});
  Daemon serv2({"SERVER=sockmux:commin@" + tmp / "com1", "SERVER=sockmux:commout@" + tmp / "com0", "PORT=127.0.0.1:0",
                "SERVER=telnet://" + local(server2.port()) + ",-in"});
  CHECK(ask(serv1.port(), "") == "server of 2");
  CHECK(ask(serv2.port(), "") == "server of 1");
  CHECK(serv1->wait_log("peer=\"fifo " + tmp / "com0" + " " + tmp / "com1\"", 5));
}

TEST_CASE("FIFOs: traffic both ways, each byte right, in both dialects, with FIFOs of root and of everybody") {
  Server server(echoes);
  for (const bool shared : {false, true}) {
    for (const Words& dialect : kDialects) {
      Fifos fifos(shared);
      CAPTURE(shared);
      CAPTURE(dialect.size());
      Daemon one(fifos.one(with({"PORT=127.0.0.1:0", "DEST=" + local(server.port())}, dialect)));
      Daemon two(fifos.two(with({"PORT=127.0.0.1:0", "DEST=" + local(server.port())}, dialect)));
      REQUIRE(wait_both(one, two, 5));
      CHECK(one->wait_log(dialect.empty() ? "dialect=1" : "dialect=0.3", 5));
      Crowd crowd;
      crowd.ports = {one.port(), two.port()};
      crowd.count = 60;
      crowd.at_once = 20;
      crowd.most_bytes = 200000;
      check_crowd(crowd);
      CHECK(one->count(" link-down ") == 0);
      CHECK(Daemon::value(one.statistics(), "allocations") == 0);
    }
  }
}

TEST_CASE("FIFOs: either daemon first, with a pause or without one; the second finds the first within a second") {
  Server server(echoes);
  for (const bool shared : {false, true}) {
    for (const bool first_is_one : {true, false}) {
      for (const Words& dialect : kDialects) {
        Fifos fifos(shared);
        CAPTURE(shared);
        CAPTURE(first_is_one);
        CAPTURE(dialect.size());
        const Words more = with({"PORT=127.0.0.1:0", "DEST=" + local(server.port())}, dialect);
        Daemon first(first_is_one ? fifos.one(more) : fifos.two(more));
        REQUIRE(first->wait_log(" waiting ", 5));
        Daemon second(first_is_one ? fifos.two(more) : fifos.one(more));
        second.await_start();
        CHECK(wait_both(first, second, 10));
        CHECK(serves(first.port(), 5));
        CHECK(serves(second.port(), 5));
        // Where all is slow the second may have looked, and gone on looking, before the first has seen it.
        CHECK(first->count(" waiting ") <= (slowness() > 1 ? 3 : 1));
      }
    }
  }
}

TEST_CASE("FIFOs: who has looked for us and gone on looking is met: two that wait for each other must not wait for ever") {
  Fifos fifos(true);
  Daemon one(fifos.one());
  REQUIRE(one->wait_log(" waiting ", 5));
  // As another daemon looks: it has its own end to read open all the time, and ours only for a moment.
  const int looks = open(fifos.com0().c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(looks >= 0);
  const int reads = open(fifos.com1().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(reads >= 0);
  close(looks);
  char hello[64];
  CHECK(wait_for([&] { return read(reads, hello, sizeof hello) > 8; }, 5));
  close(reads);
}

TEST_CASE("FIFOs: kill -9 of either side ten times under traffic: the link is back soon, and all that is served is right") {
  Server server(echoes);
  for (const bool shared : {false, true}) {
    for (const Words& dialect : kDialects) {
      CAPTURE(shared);
      CAPTURE(dialect.size());
      Fifos fifos(shared);
      const Words more = with({"PORT=127.0.0.1:0", "DEST=" + local(server.port())}, dialect);
      Daemon one(fifos.one(more)), two(fifos.two(more));
      REQUIRE(wait_both(one, two, 5));
      const uint16_t ports[2] = {one.port(), two.port()};  // a daemon that starts again does not say which
      for (int round = 0; round < 10; ++round) {
        CAPTURE(round);
        Daemon& victim = round % 2 == 0 ? one : two;
        Daemon& other = round % 2 == 0 ? two : one;
        Conn there(ports[0]), back(ports[1]);
        there.send_pattern(1, 64 << 20).expect_pattern(1);
        back.send_pattern(2, 64 << 20).expect_pattern(2);
        REQUIRE(wait_for([&] { return there.received() > 500000 && back.received() > 500000; }, 10));
        const size_t from = other->log().size();
        victim.restart();
        victim.await_start();
        REQUIRE(wait_both(victim, other, 15, 0, from));
        CHECK_FALSE(there.wrong());
        CHECK_FALSE(back.wrong());
        CHECK(wait_for([&] { return there.over() && back.over(); }, 10));
        CHECK(serves(ports[0], 5));
        CHECK(serves(ports[1], 5));
      }
      CHECK(one.wait_channels(0, 5));
      CHECK(two.wait_channels(0, 5));
    }
  }
}

TEST_CASE("FIFOs: a peer that is stopped while the other one starts anew meets a HELLO on a link that is up") {
  Server server(echoes);
  for (const bool shared : {false, true}) {
    for (const Words& dialect : kDialects) {
      CAPTURE(shared);
      CAPTURE(dialect.size());
      Fifos fifos(shared);
      const Words more = with({"PORT=127.0.0.1:0", "DEST=" + local(server.port())}, dialect);
      Daemon one(fifos.one(more)), two(fifos.two(more));
      REQUIRE(wait_both(one, two, 5));
      const uint16_t port = one.port();
      CHECK(serves(port, 5));
      const size_t from = two->log().size();
      two->signal(SIGSTOP);
      one.restart();
      one.await_start();
      two->signal(SIGCONT);
      CHECK(wait_both(one, two, 8, 0, from));
      CHECK(serves(port, 5));
      CHECK(serves(two.port(), 5));
      // And it stays so.
      const size_t one_from = one->log().size(), two_from = two->log().size();
      const double later = now() + 1;
      (void)wait_for([&] { return now() > later; }, 2);
      CHECK_FALSE(one->says(" link-", one_from));
      CHECK_FALSE(two->says(" link-", two_from));
    }
  }
}

TEST_CASE("FIFOs: TERM of one side tells the other, which waits for the next") {
  Server server(echoes);
  Fifos fifos;
  const Words more{"PORT=127.0.0.1:0", "DEST=" + local(server.port())};
  Daemon one(fifos.one(more)), two(fifos.two(more));
  REQUIRE(wait_both(one, two, 5));
  Conn open(two.port());
  open.send("x");
  REQUIRE(wait_for([&] { return open.text() == "x"; }, 5));
  one->signal(SIGTERM);
  CHECK(one->wait_end(6));
  CHECK(one->status() == 0);
  CHECK(two->wait_log("reason=\"peer said goodbye: shutdown\"", 1));
  CHECK(wait_for([&] { return open.over(); }, 2));
  one.restart();
  CHECK(serves(two.port(), 5));
}

TEST_CASE("FIFOs: leftovers of an earlier run are skipped: noise, halves of packets, whole runs") {
  Server server(echoes);
  std::mt19937 random(1);
  std::string noise;
  for (int i = 0; i < 30000; ++i) noise.push_back(static_cast<char>(random()));
  const std::string old = zero_ended("20250102-030405.678901 old"), old1 = zero_ended("20250102-030405.678901 old smx/1:01020304");
  const std::string run03 = packet(3, kHello, 1, 2, old) + packet(3, kHellook, 1, 2, old) + packet(3, kHellook, 1, 2, old) +
                            packet(3, kSetopt, 0xff, 0xff, std::string{3} + be16(16384)) +
                            packet(3, kConnect, 4, 0xff, zero_ended("98304 10.1.1.1:1 10.1.1.2:9023")) + packet(3, kSend, 4, 5, "data");
  const std::string run1 = packet(3, kHello, 0xffff, 0xffff, old1) + packet(0x10, kSettings, 0xffff, 0xffff, be32(7) + std::string(40, 'x')) +
                           packet(0x11, kSend, 5, 0xffff, std::string(1000, 'y'));
  std::string many;
  for (int i = 0; i < 1000; ++i) many += packet(3, kHello, 1, 2, old);
  const std::string before[] = {noise, run03, run1, run1.substr(0, 30), run03.substr(0, 20), many, "\x03\x01", run03 + run1 + run03};
  for (const Words& dialect : kDialects) {
    for (size_t i = 0; i < sizeof before / sizeof *before; ++i) {
      CAPTURE(dialect.size());
      CAPTURE(i);
      Fifos fifos;
      Leftover to_one(fifos.com0(), before[i]), to_two(fifos.com1(), before[i]);  // and holds both open, as a DeleGate
      const Words more = with({"PORT=127.0.0.1:0", "DEST=" + local(server.port())}, dialect);
      Daemon one(fifos.one(more)), two(fifos.two(more));
      CHECK(wait_both(one, two, 25));
      CHECK(serves(one.port(), 8));
      CHECK(serves(two.port(), 5));
    }
  }
}

TEST_CASE("FIFOs that are removed and made again while the link is up: the next link finds the new ones") {
  Server server(echoes);
  Fifos fifos(true);
  const Words more{"PORT=127.0.0.1:0", "DEST=" + local(server.port())};
  Daemon one(fifos.one(more)), two(fifos.two(more));
  REQUIRE(wait_both(one, two, 5));
  fifos.renew();
  CHECK(serves(one.port(), 5));  // what is open goes on
  const size_t from = two->log().size();
  one.restart();
  CHECK(wait_both(one, two, 5, 0, from));
  CHECK(serves(two.port(), 5));
}

TEST_CASE("FIFOs that are removed while one side waits: said once, tried again, and the new ones are found") {
  Server server(echoes);
  Fifos fifos(true);
  const Words more{"PORT=127.0.0.1:0", "DEST=" + local(server.port())};
  Daemon one(fifos.one(more));
  REQUIRE(one->wait_log(" waiting ", 5));
  SUBCASE("made again at once") { fifos.renew(); }
  SUBCASE("gone for a while") {
    unlink(fifos.com0().c_str());
    unlink(fifos.com1().c_str());
    CHECK(one->wait_log(" connect-failed ", 3));
    CHECK(one->wait_log("No such file", 5));
    fifos.renew();
  }
  Daemon two(fifos.two(more));
  CHECK(wait_both(one, two, 8));
  CHECK(serves(two.port(), 5));
  CHECK(one->count(" connect-failed ") <= 1);
}

TEST_CASE("what is no FIFO is an error at the start, with its name and what was expected; SOXCONF=mkfifo makes what is missing") {
  Fifos fifos;
  const TempFolder& tmp = fifos.folder();
  const std::string out = "SERVER=sockmux:commout@" + fifos.com1(), in = "SERVER=sockmux:commin@";
  std::string said;
  CHECK(start_code({in + tmp / "missing", out}, &said) == 66);
  CHECK(said.find(tmp / "missing: No such file or directory (make it with mkfifo, or say SOXCONF=mkfifo)") != std::string::npos);
  write_file(tmp / "plain", "text");
  CHECK(start_code({in + tmp / "plain", out}, &said) == 66);
  CHECK(said.find(tmp / "plain: a plain file, and a FIFO was expected") != std::string::npos);
  CHECK(read_file(tmp / "plain") == "text");
  CHECK(start_code({in + tmp.path(), out}, &said) == 66);
  CHECK(said.find("a directory") != std::string::npos);
  CHECK(start_code({in + "/dev/null", out}, &said) == 66);
  CHECK(said.find("a device") != std::string::npos);
  CHECK(start_code({in + tmp / "no/folder", out, "SOXCONF=mkfifo"}, &said) == 66);
  CHECK(start_code({in + fifos.com0()}, &said) == 78);
  CHECK(start_code({in + fifos.com0(), "SERVER=sockmux:commout@" + fifos.com0()}, &said) == 66);
  CHECK(said.find("the same FIFO for both ways") != std::string::npos);

  Server server(echoes);
  Daemon one({in + tmp / "new0", "SERVER=sockmux:commout@" + tmp / "new1", "SOXCONF=mkfifo", "DEST=" + local(server.port())});
  one.await_start();
  struct stat st;
  REQUIRE(stat((tmp / "new0").c_str(), &st) == 0);
  CHECK(S_ISFIFO(st.st_mode));
  CHECK((st.st_mode & 0777) == 0600);
  Daemon two({in + tmp / "new1", "SERVER=sockmux:commout@" + tmp / "new0", "PORT=127.0.0.1:0"});
  CHECK(serves(two.port(), 5));
}

TEST_CASE("FIFOs: a 0.3 peer that holds both ends open, as a DeleGate does: either first, either one killed and back") {
  Server server(echoes);
  for (const bool peer_first : {true, false}) {
    CAPTURE(peer_first);
    Fifos fifos;
    auto pump = peer_first ? std::make_unique<Pump>(fifos.com1(), fifos.com0()) : nullptr;
    auto peer = peer_first ? std::make_unique<Peer03>(pump->conn()) : nullptr;
    Daemon one(fifos.one({"PORT=127.0.0.1:0", "DEST=" + local(server.port()), "TIMEOUT=lin:0.2"}));
    const uint16_t port = one.port();
    if (!peer_first) {
      REQUIRE(one->wait_log(" waiting ", 5));
      pump = std::make_unique<Pump>(fifos.com1(), fifos.com0());
      peer = std::make_unique<Peer03>(pump->conn());
    }
    CHECK(wait_for([&] { return peer->up(); }, 5));
    REQUIRE(one->wait_log("dialect=0.3", 5));
    CHECK(serves(port, 5));
    const unsigned id = peer->open("first ");
    REQUIRE(wait_for([&] { return peer->opened(id); }, 5));
    peer->send(id, "second");
    CHECK(wait_for([&] { return peer->received(id) == "first second"; }, 5));
    CHECK(peer->fault() == "");
    // The peer is killed in the middle of a packet, while others hold the FIFOs open, so that no end is seen.
    size_t from = one->log().size();
    Leftover rest(fifos.com0(), packet(3, kSend, id, 5, std::string(3000, 'z')).substr(0, 2000)), held(fifos.com1(), "");
    peer.reset();
    pump = std::make_unique<Pump>(fifos.com1(), fifos.com0());
    peer = std::make_unique<Peer03>(pump->conn());
    peer->raw(std::string(1000, 'z'));  // what was cut off swallows its HELLO, and the peer comes again
    CHECK(one->wait_log(" link-down ", 5, from));
    peer = nullptr;
    pump = std::make_unique<Pump>(fifos.com1(), fifos.com0());
    peer = std::make_unique<Peer03>(pump->conn());
    CHECK(wait_for([&] { return peer->up(); }, 20));
    CHECK(serves(port, 5));
    // Ours is killed: all that the peer sees is a new HELLO, and it begins anew with one of its own.
    one.kill();
    one.restart();
    one.await_start();
    const double later = now() + 0.3;
    (void)wait_for([&] { return now() > later; }, 1);
    peer = nullptr;
    pump = std::make_unique<Pump>(fifos.com1(), fifos.com0());
    peer = std::make_unique<Peer03>(pump->conn());
    CHECK(wait_for([&] { return peer->up(); }, 20));
    CHECK(serves(port, 5));
  }
}

TEST_CASE("FIFOs: nobody waits busily: not for the peer, not on an idle link, not behind a reader that stands still") {
  Server server(echoes);
  for (const bool shared : {false, true}) {
    CAPTURE(shared);
    Fifos alone(shared), idle(shared), full(shared);
    Daemon waits(alone.one());
    Daemon one(idle.one({"PORT=127.0.0.1:0"})), two(idle.two({"DEST=" + local(server.port())}));
    Daemon stuck(full.one({"PORT=127.0.0.1:0"})), stopped(full.two({"DEST=" + local(server.port())}));
    REQUIRE(waits->wait_log(" waiting ", 5));
    REQUIRE(wait_both(one, two, 5));
    REQUIRE(wait_both(stuck, stopped, 5));
    stopped->signal(SIGSTOP);
    Conn client(stuck.port());
    client.send_pattern(1, 64 << 20);
    uint64_t sent = 0;
    double since = now();
    CHECK(wait_for([&] {
      if (client.sent() != sent) since = now();
      sent = client.sent();
      return now() - since > 1;
    }, 10));
    std::vector<std::pair<Daemon*, int64_t>> before;
    for (Daemon* d : {&waits, &one, &two, &stuck}) before.emplace_back(d, Daemon::value(d->statistics(), "turns"));
    const double later = now() + 2;
    (void)wait_for([&] { return now() > later; }, 3);
    for (const auto& b : before) {
      CAPTURE((*b.first)->command());
      CHECK(Daemon::value(b.first->statistics(), "turns") - b.second < 20);
    }
    stopped->signal(SIGCONT);
  }
}

TEST_CASE("FIFOs: a session whose peer does not come again ends after TIMEOUT=resume, though the next link is waited for without end") {
  Server server([](Conn& c) { c.echo = true; });
  Fifos fifos(true);
  Daemon one(fifos.one({"PORT=127.0.0.1:0", "TIMEOUT=resume:1"}));
  Daemon two(fifos.two({"DEST=" + local(server.port()), "TIMEOUT=resume:1"}));
  REQUIRE(wait_both(one, two, 15));
  Conn client(one.port());
  client.send("x");
  REQUIRE(wait_for([&] { return client.text() == "x"; }, 5));
  two.kill();
  CHECK(one->wait_log("no new link within TIMEOUT=resume", 15));
  CHECK(wait_for([&] { return client.over(); }, 5));
}
