// Programs as servers: SERVER=exec,-in(XCOM=command) and XFIL, as inetd would run them. Read next: program.cc, family.h.
#include <doctest/doctest.h>
#include <signal.h>

#include "tests/e2e/clocks.h"
#include "tests/e2e/family.h"
#include "tests/e2e/sshd.h"

using namespace e2e;

namespace {

// A client side `a` with one port, and the side `c` that runs programs.
struct Both {
  explicit Both(const Words& words) : pair({"PORT=127.0.0.1:0"}, as_ourselves(words)) {}
  Pair pair;
  uint16_t port() { return pair.a->port(); }
  Daemon& c() { return *pair.c; }
  pid_t pid() { return pair.c->process().pid(); }
  bool is_quiet() { return programs_of(pid()).empty() && zombies_of(pid()) == 0; }
};

const char kCat[] = "SERVER=exec,-in(XCOM=/bin/cat)";

}  // namespace

TEST_CASE("exec: cat gives back what it gets, over a socket and over pipes") {
  for (const char* server : {kCat, "SERVER=exec,-in(XFIL=cat)"}) {
    CAPTURE(server);
    Both b(Words{server});
    check_crowd({{b.port()}, 200, 20, 60000, 5, 60});
    CHECK(wait_for([&] { return b.is_quiet(); }, 10));
    const size_t descriptors = b.c().descriptors();
    check_crowd({{b.port()}, 50, 10, 1 << 20, 6, 60});
    CHECK(wait_for([&] { return b.is_quiet(); }, 10));
    CHECK(wait_for([&] { return b.c().descriptors() == descriptors; }, 5));
    CHECK(b.c().wait_channels(0, 5));
    CHECK(Daemon::value(b.c().statistics(), "programs") == 0);
    CHECK(Daemon::value(b.c().statistics(), "allocations") == 0);
  }
}

TEST_CASE("exec: its input ends with the client's, its answer still arrives") {
  for (const char* server : {"SERVER=exec,-in(XCOM='wc -c')", "SERVER=exec,-in(XFIL='wc -c')"}) {
    Both b(Words{server});
    TempFolder temp;
    write_file(temp / "one", pattern(56, 1 << 20));
    ProcessSetup input;
    input.input = temp / "one";
    CHECK(run({find_program("socat"), "-t", "20", "-", "TCP4:" + local(b.port())}, 20, input) == "1048576\n");
  }
}

TEST_CASE("exec: a 0.3 link; the program goes with its client") {
  Both b(Words{kCat, "SOXCONF=proto:0.3"});
  Conn client(b.port());
  client.send("hello");
  REQUIRE(wait_for([&] { return client.text() == "hello"; }, 5));
  CHECK(programs_of(b.pid()).size() == 1);
  client.reset();  // an end alone would be waited for, TIMEOUT=lin
  CHECK(wait_for([&] { return b.is_quiet(); }, 10));
}

TEST_CASE("exec: the environment tells who the client is") {
  TempFolder temp;
  write_file(temp / "cgi", "#!/bin/sh\nread line\necho \"Content-Type: text/plain\"\necho\nenv\necho \"got $line\"\n");
  run({"chmod", "755", temp / "cgi"}, 5);
  Both b(Words{"SERVER=exec,-in(XCOM=" + temp / "cgi" + " -eINNER=in -eBOTH=in -eREMOTE_ADDR=10.9.9.9)", "-eOUTER=out", "-eBOTH=out"});
  const std::string got = "\n" + ask(b.port(), "a line\n", 5, "127.0.0.1", "127.0.0.5");
  for (const std::string& line : {std::string("REMOTE_ADDR=127.0.0.5"), std::string("REMOTE_HOST=127.0.0.5"), std::string("SERVER_NAME=127.0.0.1"),
                                  "SERVER_PORT=" + text(b.port()), "PORT=" + text(b.port()), std::string("PEER=127.0.0.1"),
                                  std::string("INNER=in"), std::string("OUTER=out"), std::string("BOTH=in"), std::string("got a line")})
    CHECK_MESSAGE(got.find("\n" + line + "\n") != std::string::npos, line, " in ", got);
  CHECK(count_of(got, "\nREMOTE_PORT=") == 1);
  CHECK(count_of(got, "\nBOTH=") == 1);
}

TEST_CASE("exec: no more programs than MAXIMA=delegated") {
  Both b(Words{kCat, "MAXIMA=delegated:20"});
  std::list<Conn> clients;
  for (int i = 0; i < 50; ++i) clients.emplace_back(b.port()).send("x");
  const auto served = [&] {
    size_t n = 0;
    for (Conn& c : clients) n += c.text() == "x" ? 1u : 0u;
    return n;
  };
  const auto refused = [&] {
    size_t n = 0;
    for (Conn& c : clients) n += c.over() ? 1u : 0u;
    return n;
  };
  CHECK(wait_for([&] { return served() == 20 && refused() == 30; }, 10));
  CHECK(b.c()->wait_log("MAXIMA=delegated", 5));
  CHECK(Daemon::value(b.c().statistics(), "programs") == 20);
  clients.clear();
  CHECK(wait_for([&] { return b.is_quiet(); }, 10));
  CHECK(serves(b.port(), 5));

  Both inner(Words{"SERVER=exec,-in(XCOM=cat MAXIMA=delegated:2)"});
  Conn one(inner.port()), two(inner.port());
  one.send("1");
  two.send("2");
  REQUIRE(wait_for([&] { return one.text() == "1" && two.text() == "2"; }, 5));
  Conn three(inner.port());
  CHECK(wait_for([&] { return three.over(); }, 5));
}

TEST_CASE("exec: a program ends with its channel") {
  for (const char* server : {"SERVER=exec,-in(XCOM='echo ready; exec sleep 1000')", "SERVER=exec,-in(XFIL='echo ready; exec sleep 1000')",
                             "SERVER=exec,-in(XCOM=\"echo ready; trap '' TERM; while :; do sleep 1; done\")",
                             "SERVER=exec,-in(XCOM='echo ready; while :; do echo xxxxxxxxxxxxxxxxx; done')"}) {
    CAPTURE(server);
    Both b(Words{server});
    Conn client(b.port());
    REQUIRE(wait_for([&] { return client.text().find("ready\n") == 0; }, 5));
    const std::vector<Kin> programs = programs_of(b.pid());
    REQUIRE(programs.size() == 1);
    client.reset();
    CHECK(wait_for([&] { return left_of(programs) == 0; }, 10));
    CHECK(wait_for([&] { return b.is_quiet(); }, 5));
    CHECK(b.c().wait_channels(0, 5));
  }
}

TEST_CASE("exec: TERM of the daemon ends its programs") {
  Both b(Words{"SERVER=exec,-in(XCOM='echo ready; exec sleep 1000')"});
  Conn client(b.port());
  REQUIRE(wait_for([&] { return client.text() == "ready\n"; }, 5));
  const std::vector<Kin> programs = programs_of(b.pid());
  b.c()->signal(SIGTERM);
  CHECK(b.c()->wait_end(8));
  CHECK(b.c()->status() == 0);
  CHECK(wait_for([&] { return left_of(programs) == 0; }, 5));
}

TEST_CASE("exec: what a program leaves behind does not hold its client") {
  SUBCASE("in its group") {
    Both b(Words{"SERVER=exec,-in(XCOM='echo hello; sleep 1000 &')"});
    CHECK(ask(b.port(), "", 10) == "hello\n");
    CHECK(wait_for([&] { return b.is_quiet(); }, 10));
  }
  SUBCASE("in its group, deaf to TERM: it is ended 2 s later") {
    // Behind a program that has ended, and behind one that is told to end.
    for (const bool ends : {true, false}) {
      CAPTURE(ends);
      const std::string deaf = "sleep 4" + text(static_cast<uint64_t>(getpid()));
      const auto lives = [&] {
        for (const Kin& k : processes_with(deaf))
          if (k.command.compare(0, deaf.size(), deaf) == 0 && k.state != 'Z') return true;
        return false;
      };
      const std::string command = ends ? "trap \"\" TERM; " + deaf + " & echo hello" : "(trap \"\" TERM; echo hello; exec " + deaf + ") & exec sleep 1000";
      Both b(Words{"SERVER=exec,-in(XFIL='" + command + "')"});
      Conn client(b.port());
      REQUIRE(wait_for([&] { return client.text() == "hello\n"; }, 10));
      REQUIRE(wait_for([&] { return lives(); }, 10));
      client.reset();
      CHECK(wait_for([&] { return !lives(); }, 10));
      CHECK(b.c().wait_channels(0, 5));
    }
  }
  SUBCASE("in a session of its own") {
    Both b(Words{"SERVER=exec,-in(XCOM='echo hello; setsid sleep 30 &')"});
    CHECK(ask(b.port(), "", 15) == "hello\n");
    CHECK(b.c().wait_channels(0, 5));
  }
}

TEST_CASE("exec: clients that do not read what an ended program has written keep no others out for ever") {
  if (cannot_shift()) return;
  Clocks clocks;
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
  Daemon c(as_ourselves({"SERVER=sockmux://" + local(a.link_port()), "SERVER=exec,-in(XFIL='yes & sleep 0.1')", "MAXIMA=delegated:1", "-vd"}), clocks.setup());
  REQUIRE(c->wait_log(" link-up ", 5));
  constexpr size_t kPlaces = 3 + 8;  // Execs::channels()
  std::vector<std::unique_ptr<Conn>> slow;
  for (size_t i = 0; i < kPlaces; ++i) {
    slow.push_back(std::make_unique<Conn>(connect_small(a.port())));
    slow.back()->reading = false;
    REQUIRE(wait_for([&] { return c->count(" program-ended ") == i + 1; }, 10));
  }
  Conn refused(a.port());
  CHECK(wait_for([&] { return refused.over(); }, 10));
  CHECK(c->wait_log("no room", 5));
  clocks.add_monotonic(61);
  Conn makes_room(a.port());
  CHECK(wait_for([&] { return makes_room.over(); }, 10));
  Conn next(a.port());
  CHECK(wait_for([&] { return next.received() > 0; }, 10));
}

TEST_CASE("exec: what a program leaves behind does not hold a client that took nothing for a while, either") {
  if (cannot_shift()) return;
  constexpr uint64_t kSize = 4 << 20;
  Clocks clocks;
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
  Daemon c(as_ourselves({"SERVER=sockmux://" + local(a.link_port()), "SERVER=exec,-in(XFIL='setsid sh -c \"head -c " + text(kSize) + " /dev/zero; exec sleep 30\" & sleep 0.1')", "-vd"}), clocks.setup());
  REQUIRE(c->wait_log(" link-up ", 5));
  Conn client(connect_small(a.port()));
  client.reading = false;
  REQUIRE(c->wait_log(" program-ended ", 5));
  (void)wait_for([] { return false; }, 0.5);  // all buffers are full
  for (int i = 0; i < 3; ++i) {
    clocks.add_monotonic(6);
    (void)c.statistics();
  }
  client.reading = true;
  CHECK(wait_for([&] { return client.received() == kSize; }, 20));
  CHECK(wait_for([&] { return client.over(); }, 10));
  CHECK(client.ended());
  CHECK(client.received() == kSize);
}

// Of the clients whose programs have ended, those that are still on their way to the end are let be.
TEST_CASE("exec: newcomers do not cut off what others are still getting") {
  constexpr uint64_t kSize = 50000;
  Both b({"SERVER=exec,-in(XFIL='head -c " + text(kSize) + " /dev/zero')", "MAXIMA=delegated:1", "-vd"});
  std::vector<std::unique_ptr<Conn>> slow;
  for (size_t i = 0; i < 3; ++i) {
    slow.push_back(std::make_unique<Conn>(connect_small(b.port())));
    slow.back()->reading = false;
    if (!wait_for([&] { return b.c()->count(" program-ended ") == i + 1; }, 3)) break;
  }
  for (const auto& s : slow) s->reading = true;
  for (const auto& s : slow) {
    CHECK(wait_for([&] { return s->over(); }, 10));
    CHECK(s->ended());
    CHECK(s->received() == kSize);
  }
}

TEST_CASE("exec: a program that reads nothing, or ends before all is read") {
  Both b(Words{"SERVER=exec,-in(XCOM='echo answer; exec true')"});
  Conn client(b.port());
  client.send_pattern(9, 4 << 20).shut();
  CHECK(wait_for([&] { return client.over(); }, 20));
  CHECK(client.text() == "answer\n");
  CHECK(b.c().wait_channels(0, 15));
  CHECK(serves(b.port(), 0) == false);
  CHECK(ask(b.port(), "", 5) == "answer\n");
}

TEST_CASE("exec: a program that cannot be started, a file of words that is missing") {
  TempFolder temp;
  Both b(Words{"SERVER=exec,-in(XCOM=/no/such/program):-:127.0.0.2", "SERVER=exec,-in(XCOM=no-such-program):-:127.0.0.3",
          "SERVER=exec,-in(XCOM=cat +=" + temp / "missing.cnf" + "):-:127.0.0.4", kCat});
  (void)ask(b.port(), "", 5, "127.0.0.1", "127.0.0.2");
  CHECK(b.c()->wait_log("channel-refused", 5));
  CHECK(b.c()->wait_log("program=/no/such/program reason=\"No such file or directory\"", 5));
  (void)ask(b.port(), "", 5, "127.0.0.1", "127.0.0.3");
  CHECK(b.c()->wait_log("reason=\"status 127: command not found\"", 5));
  (void)ask(b.port(), "", 5, "127.0.0.1", "127.0.0.4");
  CHECK(b.c()->wait_log("words-missing", 5));
  CHECK(b.c()->wait_log("missing.cnf", 5));
  CHECK(serves(b.port(), 5));
}

TEST_CASE("exec: words that make no sense are told before anything is opened") {
  const struct {
    const char* server;
    const char* says;
  } kBad[] = {{"SERVER=exec,-in(XCOM=cat", ") is missing"},
              {"SERVER=exec,-in(XCOM='cat)", "quote"},
              {"SERVER=exec,-in", "exec needs a command"},
              {"SERVER=telnet://h,-in(XCOM=cat)", "XCOM and XFIL go with exec"},
              {"SERVER=nonesuch,-in", "unknown protocol"}};
  for (const auto& bad : kBad) {
    CAPTURE(bad.server);
    Process p({daemon_path(), "-f", "SERVER=sockmux", "-P127.0.0.1:0", bad.server});
    REQUIRE(p.wait_end(5));
    CHECK(p.status() != 0);
    CHECK_MESSAGE(p.says(bad.says), p.log());
  }
}

TEST_CASE("exec: lists among its words are obeyed") {
  Both b(Words{"SERVER=exec,-in(XCOM=cat RELIABLE=127.0.0.2)"});
  CHECK(ask(b.port(), "hello", 5, "127.0.0.1", "127.0.0.2") == "hello");
  CHECK(ask(b.port(), "hello", 5, "127.0.0.1", "127.0.0.3").find("hello") == std::string::npos);
  CHECK(b.c()->wait_log("forbidden", 5));
}

TEST_CASE("exec: sshd -i, and a real ssh through the tunnel") {
  if (geteuid() != 0) return;  // sshd -i needs to become its user
  Sshd keys;
  Both b(Words{"SERVER=exec,-in(XCOM='" + find_program("sshd") + " -i -f " + keys.conf() + "')"});
  TempFolder temp;
  const std::string five = pattern(57, 5 << 20);
  write_file(temp / "five", five);
  ProcessSetup input;
  input.separate = true;
  input.input = temp / "five";
  Process cat(join(join({find_program("ssh"), "-p", text(b.port())}, keys.options()), {"127.0.0.1", "cat"}), input);
  REQUIRE(cat.wait_end(30));
  CHECK_MESSAGE(cat.status() == 0, cat.log());
  CHECK(digest_of(cat.output()) == digest_of(five));
  CHECK(wait_for([&] { return b.is_quiet(); }, 10));
}
