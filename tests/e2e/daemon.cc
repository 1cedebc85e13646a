// The process: signals, exit codes, files, identity, who may use it, what it takes from the machine.
// Read next: malloc_count.c; failures.cc.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

// Starts with these words and returns the exit code; the process' words for it in `said`.
int start_code(Words words, std::string* said = nullptr, const ProcessSetup& setup = {}) {
  words.insert(words.begin(), daemon_path());
  Process p(words, setup);
  if (!p.wait_end(5)) return -1;
  if (said != nullptr) *said = p.log();
  return p.status();
}

// A daemon in the background, found by its PIDFILE.
struct Background {
  explicit Background(std::string pidfile) : path(std::move(pidfile)) {}
  ~Background() {
    if (pid > 0) ::kill(pid, SIGKILL);
  }
  bool find() {
    return wait_for([&] { return (pid = atoi(read_file(path).c_str())) > 0; }, 5);
  }
  // One that nobody has reaped yet is dead, too.
  bool alive() const {
    const std::string stat = read_file("/proc/" + text(static_cast<uint64_t>(pid)) + "/stat");
    return pid > 0 && ::kill(pid, 0) == 0 && stat.find(") Z ") == std::string::npos;
  }
  std::string path;
  pid_t pid = 0;
};

}  // namespace

TEST_CASE("TERM without channels ends at once, with 0, and the peer is told") {
  for (const int number : {SIGTERM, SIGINT}) {
    Server server(echoes);
    Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
    (*p.a)->signal(number);
    CHECK((*p.a)->wait_end(1));
    CHECK((*p.a)->status() == 0);
    CHECK((*p.a)->says(" ended"));
    CHECK((*p.c)->wait_log(" link-down ", 1));
    CHECK((*p.c)->says("reason=\"peer said goodbye: shutdown\" seconds="));
    CHECK((*p.c)->says(" rx="));
    CHECK((*p.c)->says(" tx="));
  }
}

TEST_CASE("TERM lets channels end: an open one may finish, nobody new gets in") {
  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
  const uint16_t port = p.a->port();
  Conn open(port);
  open.send("before ");
  REQUIRE(wait_for([&] { return open.text() == "before "; }, 2));
  (*p.a)->signal(SIGTERM);
  CHECK((*p.a)->wait_log(" ending ", 2));
  Conn late(port);
  CHECK(wait_for([&] { return late.over(); }, 2));
  open.send("after").shut();
  CHECK(wait_for([&] { return open.over(); }, 2));
  CHECK(open.text() == "before after");
  CHECK(open.ended());
  CHECK((*p.a)->wait_end(1));
  CHECK((*p.a)->status() == 0);
}

TEST_CASE("TERM waits 4 s at most; a second one ends at once") {
  Server server(echoes);
  for (const bool twice : {false, true}) {
    CAPTURE(twice);
    Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
    Conn open(p.a->port());
    open.send("x");
    REQUIRE(wait_for([&] { return open.text() == "x"; }, 2));
    const double start = now();
    (*p.c)->signal(SIGTERM);
    CHECK((*p.c)->wait_log(" ending ", 2));
    if (twice) (*p.c)->signal(SIGTERM);
    CHECK((*p.c)->wait_end(6));
    CHECK((*p.c)->status() == 0);
    const double took = now() - start;
    CHECK(took < (twice ? 1 : 5) * slowness());
    if (!twice) CHECK(took > 3.4);  // 3.5 s, and the goodbye
    CHECK(wait_for([&] { return open.over(); }, 2));
    CHECK((*p.a)->wait_log(" link-down ", 2));
  }
}

TEST_CASE("TERM: a server that has not read all of its client when the daemon is gone is reset, and not ended") {
  constexpr uint64_t kSize = 64000;
  for (const bool twice : {false, true}) {
    CAPTURE(twice);
    Server server([&](Conn& c) {
      if (server.accepted() > 1) return echoes(c);
      c.expect_pattern(11).reading = false;
    });
    server.hold_little();
    Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
    Conn client(p.a->port());
    REQUIRE(wait_for([&] { return server.accepted() == 1; }, 5));
    client.send_pattern(11, kSize).shut();
    REQUIRE(wait_for([&] { return Daemon::value(p.c->statistics(), "rx") > static_cast<int64_t>(kSize); }, 10));
    CHECK(serves(p.a->port(), 5));  // the end that stood behind it has come
    (*p.c)->signal(SIGTERM);
    CHECK((*p.c)->wait_log(" ending ", 2));
    if (twice) {
      (*p.c)->signal(SIGTERM);
      (*p.c)->signal(SIGTERM);
    }
    CHECK((*p.c)->wait_end(6));
    CHECK((*p.c)->status() == 0);
    Conn& to = *server.conns().front();
    to.reading = true;
    CHECK(wait_for([&] { return to.over(); }, 5));
    CHECK(to.error() != 0);
    CHECK(to.received() < kSize);
    CHECK_FALSE(to.wrong());
  }
}

TEST_CASE("USR1 writes statistics; PIPE and a reader of the log that goes do not end the daemon") {
  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
  check_crowd({{p.a->port()}, 10, 5, 1000, 1, 10});
  Conn open(p.a->port());
  open.send("x");
  REQUIRE(wait_for([&] { return open.text() == "x"; }, 2));
  const std::string lines = p.a->statistics();
  CHECK(Daemon::value(lines, "channels") == 1);
  CHECK(Daemon::value(lines, "opened") == 11);
  CHECK(Daemon::value(lines, "allocations") == 0);
  CHECK(lines.find("dialect=1 up=yes") != std::string::npos);
  CHECK(Daemon::value(p.c->statistics(), "accepted") == 11);
  (*p.a)->signal(SIGPIPE);
  CHECK(serves(p.a->port(), 2));
  CHECK((*p.a)->running());
}

TEST_CASE("exit codes are those of the manual page") {
  TempFolder temp;
  Server busy(echoes);
  std::string said;
  CHECK(start_code({"-h"}, &said) == 0);
  CHECK(said.find("usage: sockmuxd") != std::string::npos);
  CHECK(start_code({"-V"}, &said) == 0);
  CHECK(said.find("sockmuxd ") == 0);
  CHECK(start_code({"-f", "SERVER=sockmux", "-P127.0.0.1:0", "PROT=9023"}, &said) == 64);
  CHECK(said.find("PORT") != std::string::npos);
  CHECK(start_code({"-f", "+=" + temp / "missing"}, &said) == 66);
  CHECK(said.find("missing") != std::string::npos);
  CHECK(start_code({"-f", "SERVER=sockmux", "-P127.0.0.1:0", "PORT=" + local(busy.port())}, &said) == 69);
  CHECK(said.find(text(busy.port())) != std::string::npos);
  CHECK(start_code({"-f", "SERVER=sockmux", "-P" + local(busy.port())}) == 69);
  CHECK(start_code({"-f", "SERVER=sockmux", "-P127.0.0.1:0", "PIDFILE=" + temp / "no/such/folder.pid"}, &said) == 73);
  CHECK(said.find("folder.pid") != std::string::npos);
  CHECK(start_code({"-f", "SERVER=sockmux", "-P127.0.0.1:0", "LOGFILE=" + temp / "no/such/folder.log"}) == 73);
  CHECK(start_code({"-f", "PORT=127.0.0.1:0"}, &said) == 78);
  write_file(temp / "conf", "SERVER=sockmux\n-P127.0.0.1:0\nPROT=9023\n");
  CHECK(start_code({"-f", "+=" + temp / "conf"}, &said) == 78);
  CHECK(said.find("conf:3") != std::string::npos);
  CHECK(start_code({"-f", "SERVER=sockmux", "-P127.0.0.1:0", "OWNER=nosuchuser"}) == 78);
  CHECK(start_code({"-f", "SERVER=sockmux", "-P127.0.0.1:0", "MAXIMA=memory:100k"}, &said) == 78);
  CHECK(said.find("MAXIMA=memory") != std::string::npos);
  CHECK(start_code({"-t", "SERVER=sockmux", "-P" + local(busy.port()), "PIDFILE=" + temp / "unmade"}) == 0);
  CHECK_FALSE(exists(temp / "unmade"));
  const bool sealed = read_file(daemon_path()).find("built without secure links") == std::string::npos;
  CHECK(start_code({"-f", "SERVER=sockmuxs://127.0.0.1:1", "PORT=127.0.0.1:0", "SOXCONF=key:" + temp / "nokey"}) == (sealed ? 66 : 78));
}

TEST_CASE("-h, -V and -t say that standard output did not take it: 71") {
  for (const Words& words : {Words{"-h"}, {"-V"}, {"-t", "SERVER=sockmux", "-P127.0.0.1:0"}}) {
    Words shell{"sh", "-c", "exec \"$0\" \"$@\" >/dev/full", daemon_path()};
    shell.insert(shell.end(), words.begin(), words.end());
    Process p(shell);
    REQUIRE(p.wait_end(5));
    CHECK(p.status() == 71);
    CHECK(p.log() == "sockmuxd: standard output: No space left on device\n");
  }
}

TEST_CASE("a file in a folder where we may not write: 77") {
  TempFolder temp;
  ProcessSetup setup;
  std::string daemon = daemon_path();
  if (geteuid() == 0) {  // root may write anywhere: as somebody else, with a copy of the daemon that he can reach
    setup.user = 65534;
    run({"chmod", "755", temp.path()}, 5);
    run({"cp", daemon, temp / "sockmuxd"}, 5);
    daemon = temp / "sockmuxd";
  }
  run({"mkdir", "-m", "555", temp / "closed"}, 5);
  Process p({daemon, "-f", "SERVER=sockmux", "-P127.0.0.1:0", "PIDFILE=" + temp / "closed/pid"}, setup);
  REQUIRE(p.wait_end(5));
  CHECK(p.status() == 77);
}

TEST_CASE("a start that fails leaves nothing behind: no process, no port, no file") {
  TempFolder temp;
  Server busy(echoes);
  DeadPort good;
  const std::string pidfile = temp / "pid";
  struct Case {
    std::string what;
    Words words;
    int code;
  };
  const Case cases[] = {
      {"the second port is taken", {"PORT=" + local(good.port()) + "," + local(busy.port())}, 69},
      {"no place for the log", {"PORT=" + local(good.port()), "LOGFILE=" + temp / "no/log"}, 73},
      {"no folder to be the root", {"PORT=" + local(good.port()), "CHROOT=" + temp / "no"}, geteuid() == 0 ? 71 : 77},
      {"no such user", {"PORT=" + local(good.port()), "OWNER=nosuchuser"}, 78},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    Words words{"SERVER=sockmux", "-P127.0.0.1:0", "PIDFILE=" + pidfile};
    words.insert(words.end(), c.words.begin(), c.words.end());
    CHECK(start_code(words) == c.code);
    CHECK_FALSE(exists(pidfile));
    Conn nobody(good.port());
    CHECK(wait_for([&] { return nobody.over(); }, 2));
    CHECK(nobody.error() != 0);
  }
}

TEST_CASE("without -f: into the background, with PIDFILE and LOGFILE, as nobody; TERM ends it and the PIDFILE") {
  TempFolder temp;
  Server server(echoes);
  Background daemon(temp / "pid");
  Process parent({daemon_path(), "SERVER=sockmux", "-P127.0.0.1:0", "PORT=localhost:0", "SOXCONF=control:no", "PIDFILE=" + daemon.path,
                  "DEST=localhost:" + text(server.port()), "LOGFILE=" + temp / "log"});
  CHECK(parent.wait_end(5));
  CHECK(parent.status() == 0);
  REQUIRE(daemon.find());
  REQUIRE(daemon.alive());
  const auto port_after = [&](const std::string& text) {
    const size_t at = parent.log().find(text);
    REQUIRE(at != std::string::npos);
    return static_cast<uint16_t>(atoi(parent.log().c_str() + parent.log().rfind(':', parent.log().find('\n', at)) + 1));
  };
  Daemon c({"SERVER=sockmux://" + local(port_after("links are accepted")), "DEST=" + local(server.port()), "PORT=127.0.0.1:0"});
  CHECK(serves(c.port(), 5));
  CHECK(serves(port_after("clients are accepted"), 5, parent.says("clients are accepted at [::1]") ? "::1" : "127.0.0.1"));
  CHECK(read_file(temp / "log").find(" link-up ") != std::string::npos);
#if defined(__linux__)
  const std::string proc = "/proc/" + text(static_cast<uint64_t>(daemon.pid));
  const std::string status = read_file(proc + "/status");
  if (geteuid() == 0) {
    CHECK(status.find("Uid:\t0") == std::string::npos);
    CHECK(status.find("Gid:\t0") == std::string::npos);
    CHECK((status.find("Groups:\t65534") != std::string::npos || status.find("Groups:\t0") == std::string::npos));
  }
  char cwd[16] = {};
  CHECK(readlink((proc + "/cwd").c_str(), cwd, sizeof cwd) == 1);
#endif
  ::kill(daemon.pid, SIGTERM);
  CHECK(wait_for([&] { return !daemon.alive(); }, 6));
  CHECK(read_file(temp / "log").find(" ended") != std::string::npos);
  // In a folder where only root may write, nobody cannot remove it: then it must be empty at least.
  CHECK(read_file(daemon.path) == "");
}

TEST_CASE("without -f and without root: paths are those of the folder of the start") {
  TempFolder temp;
  run({"chmod", "777", temp.path()}, 5);
  ProcessSetup setup;
  if (geteuid() == 0) setup.user = 65534;
  Server server(echoes);
  Background daemon(temp / "pid");
  Process parent({"sh", "-c", "cd '" + temp.path() + "' && exec '" + daemon_path() + "' SERVER=sockmux:commin@com0 SERVER=sockmux:commout@com1 SOXCONF=mkfifo " +
                  "SOXCONF=control:no PIDFILE=pid LOGFILE=log DEST=" + local(server.port())}, setup);
  CHECK(parent.wait_end(5));
  CHECK(parent.status() == 0);
  REQUIRE(daemon.find());
  Daemon c({"SERVER=sockmux:commin@" + temp / "com1", "SERVER=sockmux:commout@" + temp / "com0", "PORT=127.0.0.1:0"}, setup);
  CHECK(serves(c.port(), 15));
  ::kill(daemon.pid, SIGTERM);
  CHECK(wait_for([&] { return !daemon.alive(); }, 6));
  CHECK(read_file(temp / "log").find(" ended") != std::string::npos);
  CHECK_FALSE(exists(temp / "pid"));
}

TEST_CASE("a second daemon with the same ports fails and leaves the PIDFILE of the first alone") {
  TempFolder temp;
  Daemon first({"SERVER=sockmux", "-P127.0.0.1:0", "PIDFILE=" + temp / "pid"});
  first.await_start();
  const std::string pid = read_file(temp / "pid");
  CHECK(atoi(pid.c_str()) == first->pid());
  CHECK(start_code({"-f", "SERVER=sockmux", "-P" + local(first.link_port()), "PIDFILE=" + temp / "pid"}) == 69);
  CHECK(read_file(temp / "pid") == pid);
}

TEST_CASE("a PIDFILE belongs to one daemon as long as it runs, also if that one was killed before") {
  TempFolder temp;
  const Words words{"SERVER=sockmux", "-P127.0.0.1:0", "PIDFILE=" + temp / "pid"};
  Daemon first(words);
  first.await_start();
  Words again = words;
  again.insert(again.begin(), "-f");
  std::string said;
  CHECK(start_code(again, &said) == 69);
  CHECK(said.find("PIDFILE=") != std::string::npos);
  CHECK(atoi(read_file(temp / "pid").c_str()) == first->pid());
  first.kill();
  Daemon second(words);
  second.await_start();
  CHECK(atoi(read_file(temp / "pid").c_str()) == second->pid());
}

TEST_CASE("who may: this host by default; RELIABLE names clients and peers; others end at once, with a line") {
  Server server(echoes);
  {
    Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
    CHECK(serves(p.a->port(), 2));
  }
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "RELIABLE=127.0.0.2"});
  Daemon stranger({"SERVER=sockmux://" + local(a.link_port()), "DEST=" + local(server.port())});
  CHECK(a->wait_log(" link-refused ", 2));
  CHECK(a->wait_log("reason=\"not in RELIABLE or PERMIT\"", 5));
  CHECK_FALSE(stranger->says(" link-up "));
  stranger.kill();
  Daemon friendly({"SERVER=sockmux://" + local(a.link_port()), "SRCIF=127.0.0.2", "DEST=" + local(server.port())});
  CHECK(friendly->wait_log(" link-up ", 2));
  Conn other(a.port());
  CHECK(wait_for([&] { return other.over(); }, 2));
  CHECK(a->wait_log(" client-refused ", 2));
  CHECK(ask(a.port(), "me", 2, "127.0.0.1", "127.0.0.2") == "me");
  CHECK(server.accepted() == 2);
}

TEST_CASE("REACHABLE and REJECT are checked at the side of the server") {
  Server server(echoes);
  for (const char* word : {"REACHABLE=127.0.0.3", "REJECT=*:127.0.0.1:*"}) {
    CAPTURE(word);
    Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port()), word});
    Conn client(p.a->port());
    CHECK(wait_for([&] { return client.over(); }, 2));
    CHECK((*p.c)->wait_log(" channel-refused ", 2));
    CHECK((*p.c)->says("reason=forbidden"));
  }
  CHECK(server.accepted() == 0);
}

TEST_CASE("a server given by name is judged by the addresses that its name has") {
  Server server(echoes);
  const std::string to = "DEST=localhost:" + std::to_string(server.port());
  for (const char* word : {"REACHABLE=127.0.0.3", "REJECT=*:{127.0.0.1,__1}:*"}) {
    CAPTURE(word);
    Pair p({"PORT=127.0.0.1:0"}, {to, word});
    Conn client(p.a->port());
    CHECK(wait_for([&] { return client.over(); }, 5));
    CHECK((*p.c)->wait_log("reason=forbidden", 2));
  }
  CHECK(server.accepted() == 0);
  Pair p({"PORT=127.0.0.1:0"}, {to, "REACHABLE=127.0.0.0/8"});
  CHECK(serves(p.a->port(), 5));
}

TEST_CASE("what strangers can cause is counted in the log, not repeated") {
  Pair p({"PORT=127.0.0.1:0", "RELIABLE=127.0.0.9"}, {"SRCIF=127.0.0.9"});
  const uint16_t port = p.a->port();
  for (int i = 0; i < 100; ++i) {
    Conn client(port);
    REQUIRE(wait_for([&] { return client.over(); }, 2));
  }
  CHECK((*p.a)->count(" client-refused ") == 20);
  CHECK(Daemon::value(p.a->statistics(), "suppressed") == 80);
}

TEST_CASE("DEST with a list of hosts: each client reaches the server that is meant for it") {
  Server one(gives(1, 10)), two(gives(2, 10)), rest(gives(3, 10));
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(one.port()) + ":127.0.0.2", "DEST=" + local(two.port()) + ":127.0.0.[3-5],!127.0.0.4",
                                "DEST=" + local(rest.port())});
  const uint16_t port = p.a->port();
  CHECK(ask(port, "", 2, "127.0.0.1", "127.0.0.2") == pattern(1, 10));
  CHECK(ask(port, "", 2, "127.0.0.1", "127.0.0.3") == pattern(2, 10));
  CHECK(ask(port, "", 2, "127.0.0.1", "127.0.0.4") == pattern(3, 10));
  CHECK(ask(port, "", 2, "127.0.0.1", "127.0.0.5") == pattern(2, 10));
  CHECK(ask(port, "", 2) == pattern(3, 10));
}

TEST_CASE("MAXIMA=conpch: so many connections of one client host, and a place is free when one ends") {
  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0", "MAXIMA=conpch:2"}, {"DEST=" + local(server.port())});
  const uint16_t port = p.a->port();
  for (int round = 0; round < 3; ++round) {
    Conn one(port), two(port);
    one.send("1");
    two.send("2");
    REQUIRE(wait_for([&] { return one.text() == "1" && two.text() == "2"; }, 2));
    Conn three(port);
    CHECK(wait_for([&] { return three.over(); }, 2));
    CHECK(ask(port, "other host", 2, "127.0.0.1", "127.0.0.2") == "other host");
    one.shut();
    CHECK(wait_for([&] { return one.over(); }, 2));
    CHECK(serves(port, 2));
    two.shut();
    CHECK(wait_for([&] { return two.over(); }, 2));
    CHECK(p.a->wait_channels(0, 2));
  }
  CHECK((*p.a)->says("reason=\"MAXIMA=conpch reached\""));
}

TEST_CASE("nobody waits busily: idle links, stuck and half-closed channels, clients without a link") {
  Server lazy(reads_nothing), half([](Conn& c) { c.send("end").shut(); }), echo(echoes);
  DeadPort nobody;
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(lazy.port()) + ":127.0.0.2", "DEST=" + local(half.port()) + ":127.0.0.3",
                                "DEST=" + local(echo.port())});
  Daemon alone({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
  Conn stuck("127.0.0.1", p.a->port(), "127.0.0.2"), ended("127.0.0.1", p.a->port(), "127.0.0.3"), idle(p.a->port());
  Conn waits(alone.port());
  stuck.send_pattern(1, 64 << 20);
  idle.send("x");
  waits.send("x");
  REQUIRE(wait_for([&] { return ended.over() && idle.text() == "x" && waits.connected(); }, 5));
  CHECK(ended.ended());
  // Somebody who went away while nobody reads from him.
  auto gone = std::make_unique<Conn>("127.0.0.1", p.a->port(), "127.0.0.2");
  gone->send_pattern(2, 64 << 20);
  uint64_t sent = 0;
  double since = now();
  CHECK(wait_for([&] {
    const uint64_t all = stuck.sent() + gone->sent();
    if (all != sent) since = now();
    sent = all;
    return now() - since > 1;
  }, 10));
  gone->reset();
  for (Daemon* d : {p.a.get(), p.c.get(), &alone}) {
    CAPTURE((*d)->command());
    const int64_t before = Daemon::value(d->statistics(), "turns");
    const double end = now() + 1;
    CHECK(wait_for([&] { return now() > end; }, 2));
    CHECK(Daemon::value(d->statistics(), "turns") - before < 30);
  }
  CHECK(stuck.alive());
}

TEST_CASE("after the start nothing is allocated, whatever the traffic") {
  if (daemon_sanitized() || daemon_static()) {
    MESSAGE("not for this build: the library that counts cannot be loaded into it");
    return;
  }
  TempFolder temp;
  const char* given = getenv("CC");
  Words compile{given != nullptr && *given != 0 ? given : "cc", "-O1", "-shared", "-fPIC", "-o", temp / "count.so", "tests/e2e/malloc_count.c", "-ldl"};
  (void)run(compile, 20);
  struct Counters {
    std::unique_ptr<TempFolder> folder;
    std::string path;
    volatile uint64_t* count = nullptr;  // [0] calls since the start, [1] whether it has started
    explicit Counters(const std::string& file) : path(file) {
      write_file(path, std::string(64, '\0'));
      const int fd = open(path.c_str(), O_RDWR);
      void* map = mmap(nullptr, 64, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      ::close(fd);
      REQUIRE(map != MAP_FAILED);
      count = static_cast<volatile uint64_t*>(map);
    }
    ~Counters() { munmap(const_cast<uint64_t*>(count), 64); }
  };
  Counters a_count(temp / "a"), c_count(temp / "c");
  ProcessSetup a_setup, c_setup;
  a_setup.environment = {"LD_PRELOAD=" + temp / "count.so", "MALLOC_COUNT_FILE=" + a_count.path};
  c_setup.environment = {"LD_PRELOAD=" + temp / "count.so", "MALLOC_COUNT_FILE=" + c_count.path};
  Server left(echoes), right(echoes);
  DeadPort nobody;
  Pair p({"PORT=127.0.0.1:0", "DEST=" + local(left.port())},
         {"PORT=127.0.0.1:0", "DEST=localhost:" + text(right.port()) + ":127.0.0.2", "DEST=" + local(nobody.port()) + ":127.0.0.3",
          "DEST=" + local(right.port())},
         a_setup, c_setup);
  check_crowd({{p.a->port(), p.c->port()}, 300, 50, 100000, 5, 30});
  CHECK(ask(p.a->port(), "by name", 5, "127.0.0.1", "127.0.0.2") == "by name");
  (void)ask(p.a->port(), "refused", 5, "127.0.0.1", "127.0.0.3");
  const uint16_t port = p.a->port();
  (void)p.a->restart();
  CHECK(serves(port, 5));
  CHECK(Daemon::value(p.c->statistics(), "allocations") == 0);
  CHECK(Daemon::value(p.a->statistics(), "allocations") == 0);
  CHECK(a_count.count[1] == 1);
  CHECK(c_count.count[1] == 1);
  CHECK(a_count.count[0] == 0);
  CHECK(c_count.count[0] == 0);
}

TEST_CASE("the daemon needs libc and nothing else, but libsodium for secure links") {
  if (daemon_sanitized() || daemon_static()) {
    MESSAGE("not for this build");
    return;
  }
  const std::string out = run({find_program("readelf"), "-d", daemon_path()}, 5);
  const bool secure = read_file(daemon_path()).find("built without secure links") == std::string::npos;
  size_t needed = 0;
  for (size_t at = out.find("(NEEDED)"); at != std::string::npos; at = out.find("(NEEDED)", at + 1)) {
    const std::string line = out.substr(at, out.find('\n', at) - at);
    CAPTURE(line);
    CHECK((line.find("[libc.") != std::string::npos || line.find("[ld-") != std::string::npos ||
           (secure && line.find("[libsodium.") != std::string::npos)));
    ++needed;
  }
  CHECK(needed > 0);
}

TEST_CASE("standard error that is systemd's journal gets the level in front, and no time; any other gets lines for people") {
  if (!exists("/proc/self/fd")) return;
  for (const bool ours : {true, false}) {
    CAPTURE(ours);
    const std::string stream = ours ? "$(stat -L -c %d:%i /proc/self/fd/2)" : "1:1";
    Process p({"/bin/sh", "-c", "export JOURNAL_STREAM=" + stream + "; exec " + daemon_path() + " -f SOXCONF=control:no SERVER=sockmux -P127.0.0.1:0 DEST=127.0.0.1:9"});
    REQUIRE(p.wait_log("started ", 5));
    CHECK(p.says("\n<6>started ") == ours);
    CHECK(p.says(" sockmuxd[") == !ours);
    p.signal(15);
    CHECK(p.wait_end(5));
  }
}
