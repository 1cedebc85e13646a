// A daemon that has nothing to do: what wakes it, what memory it keeps, how soon it is there, and what many idle channels
// cost those that talk. Read next: many.cc; docs/speed.md, which has the figures.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

struct Tunnel {
  Server server{echoes};
  Pair p;
  std::vector<std::unique_ptr<Conn>> clients;

  explicit Tunnel(const Words& more = {}) : p(words({"PORT=127.0.0.1:0", "PORT=127.0.0.1:0/udp"}, more), words(exits(), more)) {}
  static Words words(Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // A server by its name is one that the helper process is for.
  Words exits() const {
    return {"DEST=" + local(server.port()), "DEST=" + local(server.port()) + "/udp", "DEST=localhost:" + text(server.port()) + ":127.0.0.9"};
  }
  void open(size_t count) {
    const auto answered = [&] {
      return std::all_of(clients.begin(), clients.end(), [](const auto& c) { return c->text() == "x"; });
    };
    for (size_t i = 0; i < count; ++i) {
      clients.push_back(std::make_unique<Conn>(p.a->port()));
      clients.back()->send("x");
      if (i % 100 == 99) REQUIRE(wait_for(answered, 10));
    }
    REQUIRE(wait_for(answered, 10));
  }
};

void pass(double seconds) {
  const double end = now() + seconds;
  (void)wait_for([&] { return now() > end; }, seconds + 1);
}

// The sum of a field of all mappings, in KiB (proc(5), smaps_rollup).
int64_t memory_kib(pid_t pid, const std::string& field) {
  const std::string rollup = read_file("/proc/" + text(static_cast<uint64_t>(pid)) + "/smaps_rollup");
  const size_t at = rollup.find("\n" + field + ":");
  return at == std::string::npos ? -1 : atoll(rollup.c_str() + at + field.size() + 2);
}

pid_t child_of(pid_t pid) {
  const std::string id = text(static_cast<uint64_t>(pid));
  return atoi(read_file("/proc/" + id + "/task/" + id + "/children").c_str());
}

// Starts a daemon, and returns after how many seconds it accepted a connection at `port`.
double time_to_port(const Words& given, uint16_t port, bool background, const std::string& pidfile) {
  Words words = given;
  words.insert(words.begin(), daemon_path());
  if (!background) words.push_back("-f");
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(&w[0]);
  argv.push_back(nullptr);
  sockaddr_in to;
  memset(&to, 0, sizeof to);
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const double begin = now();
  pid_t pid = vfork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    const int null = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd) (void)dup2(null, fd);
    execv(argv[0], argv.data());
    _exit(127);
  }
  bool there = false;
  while (!there && now() - begin < 5 * slowness()) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    there = connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
    // The daemon itself has accepted when its first bytes, HELLO, are there.
    char byte;
    if (there) there = recv(fd, &byte, 1, 0) == 1;
    close(fd);
  }
  const double took = now() - begin;
  CHECK(there);
  if (background) {
    CHECK(waitpid(pid, nullptr, 0) == pid);
    CHECK(wait_for([&] { return (pid = atoi(read_file(pidfile).c_str())) > 0; }, 5));
    (void)::kill(pid, SIGTERM);
    CHECK(wait_for([&] { return atoi(read_file(pidfile).c_str()) == 0; }, 10));
  } else {
    (void)::kill(pid, SIGKILL);
    CHECK(waitpid(pid, nullptr, 0) == pid);
  }
  return took;
}

}  // namespace

TEST_CASE("an idle tunnel wakes up for its keep-alive and for nothing else") {
  Tunnel t({"TIMEOUT=ping:1"});
  t.open(10);
  pass(2);  // what is due behind that: credit, acknowledgements, memory that goes back
  // A wake-up that comes once is not what this is about: one window without any is enough.
  bool quiet = false;
  std::string said;
  for (int i = 0; i < 8 && !quiet; ++i) {
    const std::string a = t.p.a->statistics(), c = t.p.c->statistics();
    pass(4.5);
    const std::string a_then = t.p.a->statistics(), c_then = t.p.c->statistics();
    const auto grown = [](const std::string& from, const std::string& to, const char* key) { return Daemon::value(to, key) - Daemon::value(from, key); };
    // ECHO and its answer have 16 bytes each, and nothing else is to be said in that time. The side that asks wakes up for both, the other one for what it answers; each for USR1.
    const auto of_link = [](const std::string& lines) { return lines.substr(0, lines.find(" statistics-udp")); };
    const int64_t answers = grown(of_link(c), of_link(c_then), "rx") / 16, asked = grown(of_link(a), of_link(a_then), "rx") / 16;
    const int64_t c_turns = grown(c, c_then, "turns"), a_turns = grown(a, a_then, "turns");
    said = "turns " + std::to_string(c_turns) + " for " + std::to_string(answers) + " answers, " + std::to_string(a_turns) + " for " +
           std::to_string(asked) + " questions";
    quiet = answers >= 3 && answers <= 6 && asked >= 3 && asked <= 6 && c_turns <= 2 * answers + 2 && a_turns <= asked + 2;
  }
  MESSAGE(said);
  CAPTURE(said);
  CHECK(quiet);
}

#if defined(__linux__)
TEST_CASE("an idle tunnel takes at most 1 MiB of memory, a static one 512 KiB: also with channels, and behind a bulk transfer") {
  if (daemon_sanitized()) return;
  const int64_t most = daemon_static() ? 512 : 1024;
  Tunnel t({"TIMEOUT=ping:6"});
  const auto check = [&](const std::string& when, double seconds) {
    CAPTURE(when);
    std::string said;
    const bool small = wait_for([&] {
      bool all = true;
      said.clear();
      for (Daemon* d : {t.p.a.get(), t.p.c.get()}) {
        const int64_t kib = memory_kib((*d)->pid(), "Rss");
        all = all && kib <= most;
        said += " " + std::to_string(kib) + " KiB, " + std::to_string(memory_kib((*d)->pid(), "Anonymous")) + " of them its own;";
      }
      return all;
    }, seconds);
    MESSAGE(when << ":" << said);
    CHECK(small);
    // What no other process shares, and no file has: never more than 0.4 MiB.
    for (Daemon* d : {t.p.a.get(), t.p.c.get()}) CHECK(memory_kib((*d)->pid(), "Anonymous") <= (daemon_static() ? 288 : 400));
  };
  check("idle", 20);
  const pid_t helper = child_of((*t.p.c)->pid());
  REQUIRE(helper > 0);
  MESSAGE("the helper process: " << memory_kib(helper, "Rss") << " KiB, " << memory_kib(helper, "Anonymous") << " of them anonymous, Pss " << memory_kib(helper, "Pss"));
  CHECK(memory_kib(helper, "Rss") <= most);
  t.open(10);
  check("10 idle channels", 20);
  check_crowd({{t.p.a->port()}, 1, 1, 64 << 20, 1, 60});
  check("behind a bulk transfer", 20);
}

TEST_CASE("10 ms from the start to the first connection: in the foreground and behind, sandboxed or not, with the helper") {
  if (daemon_sanitized()) return;
  struct Case {
    const char* what;
    Words words;
    bool background;
  };
  const Case cases[] = {
      {"foreground", {}, false},
      {"background", {}, true},
      {"no sandbox", {"SOXCONF=sandbox:no"}, false},
      {"helper", {"DEST=localhost:9"}, false},
      {"helper, background", {"DEST=localhost:9"}, true},
  };
  TempFolder temp;
  std::string said;
  uint64_t files = 0;
  for (const Case& c : cases) {
    CAPTURE(c.what);
    double best = 1e9;
    // Other work of the machine only makes it slower; the best is what the daemon needs.
    for (int i = 0; i < 40 && (i < 5 || best > 0.010); ++i) {
      const uint16_t port = quiet_port();
      const std::string pidfile = temp / text(files++);  // one that ends has its own locked for a moment
      Words words = {"-vs", "SOXCONF=control:no", "SERVER=sockmux", "-P127.0.0.1:" + text(port), "PORT=127.0.0.1:0", "PIDFILE=" + pidfile};
      words.insert(words.end(), c.words.begin(), c.words.end());
      best = std::min(best, time_to_port(words, port, c.background, pidfile));
    }
    said += std::string(" ") + c.what + " " + std::to_string(static_cast<int>(best * 1e6)) + " us;";
    CHECK(best <= 0.010 * slowness());
  }
  MESSAGE("from exec to HELLO:" << said);
}

TEST_CASE("2,000 idle channels wake nobody: those that talk take as many turns as beside 10") {
  rlimit limit;
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const size_t many = limit.rlim_max == RLIM_INFINITY ? 2000 : std::min<size_t>(2000, (static_cast<size_t>(limit.rlim_max) - 400) / 2);
  limit.rlim_cur = limit.rlim_max;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  constexpr int kPings = 200;
  // CPU time says little here: a daemon that waits for the next byte of a talk stays awake for a while (sim_many.cc has it).
  const auto measure = [&](Tunnel& t, double& best) {
    const auto turns = [&] { return Daemon::value(t.p.a->statistics(), "turns") + Daemon::value(t.p.c->statistics(), "turns"); };
    Conn talk(t.p.a->port());
    size_t got = 0;
    talk.on_bytes = [&](const char*, size_t n) { got += n; };
    const int64_t before = turns();
    for (size_t i = 1; i <= kPings; ++i) {
      talk.send("p");
      REQUIRE(wait_for([&] { return got == i; }, 5));
    }
    best = std::min(best, static_cast<double>(turns() - before) / kPings);
  };
  Tunnel small({"MAXIMA=channels:4000"}), large({"MAXIMA=channels:4000"});
  small.open(10);
  large.open(many);
  double few = 1e9, lots = 1e9;
  const auto good = [&] { return lots < 1.5 * few + 0.1; };
  for (int i = 0; i < 10 && (i < 2 || !good()); ++i) {
    measure(small, few);
    measure(large, lots);
  }
  MESSAGE("turns of both daemons for a round trip beside 10 and " << many << " idle channels: " << few << " and " << lots);
  CHECK(good());
}
#endif
