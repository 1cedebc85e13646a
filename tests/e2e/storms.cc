// Signals by the thousand, while bytes move and children die; logs that nobody reads. Read next: core/io/signals.h; stopped.cc.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#include <sys/mount.h>
#endif

#include "tests/e2e/family.h"
#include "tests/e2e/filed.h"

using namespace e2e;

namespace {

// A process that sends each of these signals `rate` times a second to each of these processes, as long as it lives.
class Storm {
 public:
  Storm(const std::vector<pid_t>& to, const std::vector<int>& signals, long rate) {
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ != 0) return;
    constexpr long kTick = 1000000;  // ns
    for (double sent = 0, begin = now();; sent += 1) {
      for (const pid_t p : to)
        for (const int s : signals)
          if (kill(p, s) != 0) _exit(0);
      const timespec tick{0, kTick};
      while (sent > (now() - begin) * static_cast<double>(rate)) nanosleep(&tick, nullptr);
    }
  }
  ~Storm() {
    ::kill(pid_, SIGKILL);
    (void)waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_;
};

// For its statistics, some 500 bytes each time that it hears it.
void ask_often(Process& daemon) {
  for (int i = 0; i < 20; ++i) {
    daemon.signal(SIGUSR1);
    const timespec pause{0, 100000};
    nanosleep(&pause, nullptr);
  }
}

}  // namespace

TEST_CASE("storms: HUP, USR1, CHLD and PIPE, 10,000 of each a second, at both daemons and a helper, with traffic: nothing is lost, TERM is heard") {
  Server server(echoes);
  Filed a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "DEST=localhost:" + text(server.port())});
  Filed c({"SERVER=sockmux://" + local(a.daemon->link_port()), "PORT=127.0.0.1:0", "DEST=localhost:" + text(server.port())});
  Daemon* each[2] = {a.daemon.get(), c.daemon.get()};
  REQUIRE((*each[0])->wait_log(" link-up ", 5));
  check_crowd({{each[0]->port(), each[1]->port()}, 20, 10, 1000, 1, 10});
  REQUIRE(each[0]->wait_channels(0, 5));
  REQUIRE(each[1]->wait_channels(0, 5));
  const size_t before[2] = {each[0]->descriptors(), each[1]->descriptors()};
  const std::vector<int> all{SIGHUP, SIGUSR1, SIGCHLD, SIGPIPE};
  {
    Storm storm({(*each[0])->pid(), (*each[1])->pid(), helper_of((*each[0])->pid()).pid, helper_of((*each[1])->pid()).pid}, all, 10000);
    const double begin = now();
    do {
      Conn copy(each[0]->port());
      constexpr uint64_t kSize = 10 * 1000 * 1000;
      copy.expect_pattern(7).send_pattern(7, kSize).shut();
      check_crowd({{each[0]->port(), each[1]->port()}, 200, 20, 100000, 1, 60});
      CHECK(wait_for([&] { return copy.over(); }, 60));
      CHECK(copy.received() == kSize);
      CHECK_FALSE(copy.wrong());
    } while (now() - begin < 1);
  }
  for (int i = 0; i < 2; ++i) {
    CHECK(each[i]->wait_channels(0, 10));
    CHECK(Daemon::value(each[i]->statistics(), "allocations") == 0);
    CHECK(each[i]->descriptors() == before[i]);
    CHECK((*each[i])->count(" link-up ") == 1);
  }
  Storm storm({(*each[0])->pid(), (*each[1])->pid()}, all, 10000);
  for (Daemon* d : each) (*d)->signal(SIGTERM);
  for (Daemon* d : each) {
    CHECK((*d)->wait_end(10));
    CHECK((*d)->status() == 0);
  }
}

TEST_CASE("storms: hundreds of programs that die at once, each client is served, and none of them is left") {
  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0"}, as_ourselves({"SERVER=exec,-in(XCOM='exec head -c 4')", "MAXIMA=delegated:400"}));
  const size_t before = p.c->descriptors();
  Storm storm({(*p.c)->pid(), helper_of((*p.c)->pid()).pid}, {SIGCHLD, SIGUSR1}, 1000);
  std::vector<std::unique_ptr<Conn>> conns;
  size_t good = 0, begun = 0;
  constexpr size_t kAll = 200, kAtOnce = 50;
  CHECK(wait_for(
      [&] {
        for (std::unique_ptr<Conn>& conn : conns)
          if (conn != nullptr && conn->over()) {
            good += conn->text() == "four" && conn->error() == 0 ? 1u : 0u;
            conn.reset();
          }
        size_t open = 0;
        for (const std::unique_ptr<Conn>& conn : conns) open += conn != nullptr ? 1u : 0u;
        for (; open < kAtOnce && begun < kAll; ++open, ++begun) {
          conns.push_back(std::make_unique<Conn>(p.a->port()));
          conns.back()->send("four");
        }
        return begun == kAll && open == 0;
      },
      60));
  CHECK(good == kAll);
  CHECK(p.c->wait_channels(0, 5));
  CHECK(wait_for([&] { return programs_of((*p.c)->pid()).empty() && zombies_of((*p.c)->pid()) == 0; }, 5));
  CHECK(p.c->descriptors() == before);
}

// A pipe, the socket of a journal, a terminal: what is written there waits for somebody who does not come.
TEST_CASE("storms: a log that nobody reads stops nothing, and how much is missing is said when there is room again") {
  for (const std::string kind : {"pipe", "socket", "terminal"}) {
    CAPTURE(kind);
    Server server(echoes);
    int end[2];
    if (kind == "terminal") {
      end[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
      REQUIRE((grantpt(end[0]) == 0 && unlockpt(end[0]) == 0));
      end[1] = open(ptsname(end[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
      REQUIRE(end[1] >= 0);
    } else {
      REQUIRE((kind == "pipe" ? pipe2(end, O_CLOEXEC) : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end)) == 0);
    }
    const uint16_t link = quiet_port(), port = quiet_port();
    ProcessSetup unread;
    const int theirs = end[1];
    unread.prepare = [=] { dup2(theirs, 2); };
    Daemon a({"SERVER=sockmux", "-P" + local(link), "PORT=" + local(port)}, unread);
    Daemon c({"SERVER=sockmux://" + local(link), "DEST=" + local(server.port()), "TIMEOUT=retry:1"});
    REQUIRE(serves(port, 10));
    const auto full = [&] {
      pollfd p{end[1], POLLOUT, 0};
      ask_often(a.process());
      return poll(&p, 1, 0) == 0;
    };
    REQUIRE(wait_for(full, 30));
    for (int i = 0; i < 10; ++i) {
      (void)full();
      REQUIRE(serves(port, 5));
    }
    CHECK((fcntl(end[1], F_GETFL) & O_NONBLOCK) == 0);  // it is our shell's, too: the same open file
    close(end[1]);
    check_crowd({{port}, 50, 10, 10000, 1, 20});
    CHECK(a->running());
    // Now somebody reads.
    std::string log;
    REQUIRE(fcntl(end[0], F_SETFL, O_NONBLOCK) == 0);
    const auto read_all = [&] {
      char bytes[65536];
      for (ssize_t n = read(end[0], bytes, sizeof bytes); n > 0; n = read(end[0], bytes, sizeof bytes)) log.append(bytes, static_cast<size_t>(n));
    };
    read_all();
    CHECK(log.size() > 4096);
    CHECK(wait_for([&] { a->signal(SIGUSR1); read_all(); return log.find("repeated event=log-untaken count=") != std::string::npos; }, 5));
    CHECK(log.find("\n\n") == std::string::npos);
    close(end[0]);
    check_crowd({{port}, 10, 10, 1000, 1, 10});
    a->signal(SIGTERM);
    CHECK(a->wait_end(6));
    CHECK(a->status() == 0);
  }
}

#if defined(__linux__)
namespace {

// A syslogd that reads when it is told to, and a daemon with a port that has it. /dev is one of their own, so for root.
struct Syslogged {
  explicit Syslogged(const Words& more = {}) {
    run({"chmod", "755", temp.path()}, 5);
    log = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    at.sun_family = AF_UNIX;
    const std::string path = temp / "log";
    REQUIRE(path.size() < sizeof at.sun_path);
    path.copy(at.sun_path, path.size());
    REQUIRE(bind(log, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(chmod(path.c_str(), 0666) == 0);
    ProcessSetup own_dev;
    own_dev.prepare = [&] {
      if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 || mount(temp.path().c_str(), "/dev", nullptr, MS_BIND, nullptr) != 0) _exit(125);
    };
    Words words{"SERVER=sockmux", "-P" + local(link), "PORT=" + local(port), "SYSLOG=-fdaemon"};
    words.insert(words.end(), more.begin(), more.end());
    a = std::make_unique<Daemon>(words, own_dev);
    c = std::make_unique<Daemon>(Words{"SERVER=sockmux://" + local(link), "DEST=" + local(server.port()), "TIMEOUT=retry:1"});
    REQUIRE(serves(port, 10));
  }
  ~Syslogged() { close(log); }
  // What it has written so far.
  const std::string& read_all() {
    char line[2000];
    for (ssize_t n = recv(log, line, sizeof line, 0); n > 0; n = recv(log, line, sizeof line, 0)) all += std::string(line, static_cast<size_t>(n)) + "\n";
    return all;
  }
  TempFolder temp;
  int log = -1;
  sockaddr_un at{};
  std::string all;
  Server server{echoes};
  const uint16_t link = quiet_port(), port = quiet_port();
  std::unique_ptr<Daemon> a, c;
};

}  // namespace
#endif

// A burst of lines is longer than the queue of its socket, which is 10 datagrams on most systems. Nobody asks the daemon for anything
// while they come late.
TEST_CASE("storms: a syslogd that is slow gets all lines, in their order, and the last ones of a daemon that ends") {
#if defined(__linux__)
  if (geteuid() != 0 || !may_unshare()) return;
  Syslogged s({"-vd"});
  const auto comes = [&](const std::string& last) { return wait_for([&] { return s.read_all().find(last) != std::string::npos; }, 5); };
  const std::string still = "]: statistics channels=0 ";
  REQUIRE(s.a->wait_channels(0, 5));
  REQUIRE(comes(still));
  s.all.clear();
  const auto whole = [&](size_t clients, const std::string& last) {
    CHECK(comes(last));
    CHECK(count_of(s.all, "]: channel-open ") == clients);
    CHECK(count_of(s.all, "]: channel-done ") == clients);
    CHECK(s.all.find("log-untaken") == std::string::npos);
    s.all.clear();
  };
  for (int i = 0; i < 30; ++i) REQUIRE(ask(s.port, "x") == "x");
  REQUIRE(s.a->wait_channels(0, 5));
  whole(30, still);
  for (int i = 0; i < 20; ++i) REQUIRE(ask(s.port, "x") == "x");
  REQUIRE(s.a->wait_channels(0, 5));
  (*s.a)->signal(SIGTERM);
  whole(20, "]: ended");
  CHECK((*s.a)->wait_end(6));
#endif
}

// One that stands still: syslog(3) would wait.
TEST_CASE("storms: a syslogd that was stopped stops nothing") {
#if defined(__linux__)
  if (geteuid() != 0 || !may_unshare()) return;
  Syslogged s;
  Daemon& a = *s.a;
  const uint16_t port = s.port;
  const int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  REQUIRE(connect(probe, reinterpret_cast<const sockaddr*>(&s.at), sizeof s.at) == 0);
  const auto full = [&] {
    pollfd p{probe, POLLOUT, 0};
    ask_often(a.process());
    return poll(&p, 1, 0) == 0;
  };
  REQUIRE(wait_for(full, 30));
  // What waits in the daemon gets full, too: signals that come together count once, but each time that somebody is served two lines more are there.
  for (int i = 0; i < 80; ++i) {
    (void)full();
    REQUIRE(serves(port, 5));
  }
  close(probe);
  check_crowd({{port}, 50, 10, 10000, 1, 20});
  CHECK(wait_for([&] { a->signal(SIGUSR1); return s.read_all().find("repeated event=log-untaken count=") != std::string::npos; }, 5));
  CHECK(s.all.find("<30>sockmuxd[" + text(static_cast<uint64_t>(a->pid())) + "]: ") != std::string::npos);
  a->signal(SIGTERM);
  CHECK(a->wait_end(6));
  CHECK(a->status() == 0);
#endif
}
