// Who starts the daemon and watches over it: $NOTIFY_SOCKET, the watchdog, LISTEN_FDS; and a daemon that takes another's place.
// Read next: core/io/notify.h, core/io/handed.h, daemon_upgrade.cc; init/.
#include <doctest/doctest.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/e2e/ctl.h"
#include "tests/e2e/harness.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

// What a service manager is told: one text a datagram, and the sockets that came along.
class Manager final : public Actor {
 public:
  // "@name": no file.
  explicit Manager(const std::string& path) {
    fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    REQUIRE(path.size() < sizeof at.sun_path);
    memcpy(at.sun_path, path.c_str(), path.size());
    if (path[0] == '@') at.sun_path[0] = 0;
    const size_t size = offsetof(sockaddr_un, sun_path) + path.size() + (path[0] != '@');
    REQUIRE(bind(fd_, reinterpret_cast<sockaddr*>(&at), static_cast<socklen_t>(size)) == 0);
  }
  ~Manager() override {
    close(fd_);
    for (const int fd : stored) close(fd);
  }
  void want(std::vector<pollfd>& list) override { list.push_back({fd_, POLLIN, 0}); }
  void ready(const pollfd* list, size_t count) override {
    (void)list, (void)count;
    for (;;) {
      char text[512];
      alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
      iovec piece{text, sizeof text};
      msghdr m{};
      m.msg_iov = &piece;
      m.msg_iovlen = 1;
      m.msg_control = control;
      m.msg_controllen = sizeof control;
      const ssize_t n = recvmsg(fd_, &m, MSG_CMSG_CLOEXEC);
      if (n < 0) return;
      told.emplace_back(text, static_cast<size_t>(n));
      if (const cmsghdr* c = CMSG_FIRSTHDR(&m)) {
        int fd = -1;
        memcpy(&fd, CMSG_DATA(const_cast<cmsghdr*>(c)), sizeof fd);
        stored.push_back(fd);
      }
    }
  }
  bool hears(const std::string& what, double seconds = 5) const {
    return wait_for([&] { return count(what) > 0; }, seconds);
  }
  size_t count(const std::string& what) const {
    size_t n = 0;
    for (const std::string& t : told) n += t.find(what) != std::string::npos;
    return n;
  }

  std::vector<std::string> told;
  std::vector<int> stored;

 private:
  int fd_ = -1;
};

// A socket that somebody else has made for the daemon.
class Made {
 public:
  explicit Made(int type) {
    fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    if (type == SOCK_STREAM) REQUIRE(listen(fd, 10) == 0);
    socklen_t size = sizeof at;
    getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
    port = ntohs(at.sin_port);
  }
  ~Made() { close(fd); }
  Made(const Made&) = delete;
  Made& operator=(const Made&) = delete;
  int fd = -1;
  uint16_t port = 0;
};

ProcessSetup with(const Words& environment) {
  ProcessSetup setup;
  setup.environment = environment;
  return setup;
}

std::string refused(const std::string& what) { return "sockmuxd: LISTEN_FDS: the socket " + what + ", is neither one of -P nor of PORT\n"; }

// A daemon in the background, which ends with the object, and so does who has taken its place.
class Background {
 public:
  Background(const TempFolder& temp, const Words& words) : folder_(temp.path()) {
    // It is OWNER, who has to remove what is in there.
    run({"chmod", "777", folder_}, 5);
    words_ = {"PIDFILE=" + folder_ + "/pid", "LOGFILE=" + folder_ + "/log", "SOXCONF=control:" + folder_ + "/control"};
    words_.insert(words_.end(), words.begin(), words.end());
    Words all{daemon_path()};
    all.insert(all.end(), words_.begin(), words_.end());
    run(all, 10);
    REQUIRE_MESSAGE(says(" started "), folder_, log());
  }
  ~Background() {
    const std::string all = log(), name = "sockmuxd[";
    for (size_t at = all.find(name); at != std::string::npos; at = all.find(name, at + 1)) {
      const pid_t number = atoi(all.c_str() + at + name.size());
      if (number > 1 && is_ours(number)) ::kill(number, SIGKILL);
    }
  }
  std::string log() const { return exists(folder_ + "/log") ? read_file(folder_ + "/log") : ""; }
  bool says(const std::string& text, double seconds = 10) const {
    return wait_for([&] { return log().find(text) != std::string::npos; }, seconds);
  }
  pid_t pid() const { return exists(folder_ + "/pid") ? atoi(read_file(folder_ + "/pid").c_str()) : 0; }
  std::string control() const { return folder_ + "/control"; }
  static bool lives(pid_t number) { return ::kill(number, 0) == 0; }

 private:
  bool is_ours(pid_t number) const {
    const std::string file = "/proc/" + std::to_string(number) + "/cmdline";
    return !exists("/proc/self") || (exists(file) && read_file(file).find(folder_) != std::string::npos);
  }
  std::string folder_;
  Words words_;
};

}  // namespace

TEST_CASE("service: a manager hears that the daemon is ready, how it is, and that it ends, at a path and without one") {
  TempFolder temp;
  run({"chmod", "755", temp.path()}, 5);
  for (const std::string& path : {temp / "notify", "@sockmux-test-" + std::to_string(getpid())}) {
    CAPTURE(path);
    Manager manager(path);
    Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "SERVER=exec,-in(XCOM='env; exec cat')"}, with({"NOTIFY_SOCKET=" + path}));
    CHECK(manager.hears("READY=1\nMAINPID=" + std::to_string(a->pid())));
    CHECK(manager.hears("STATUS=no link up, 0 channels"));
    {
      Daemon c({"SERVER=sockmux://" + local(a.link_port()), "PORT=127.0.0.1:0"});
      CHECK(manager.hears("STATUS=1 link up, 0 channels", 10));
      // It is not for programs.
      Conn client(c.port());
      CHECK(wait_for([&] { return client.text().find("PATH=") != std::string::npos; }, 10));
      client.send("x").shut();
      CHECK(wait_for([&] { return client.over(); }, 10));
      CHECK(client.text().find("NOTIFY_SOCKET") == std::string::npos);
      c->signal(SIGTERM);
      CHECK(c->wait_end(8));
    }
    CHECK(wait_for([&] { return manager.count("STATUS=no link up, 0 channels") == 2; }, 10));
    CHECK(manager.count("WATCHDOG=1") == 0);
    CHECK(manager.stored.empty());
    a->signal(SIGTERM);
    CHECK(manager.hears("STOPPING=1"));
    CHECK(manager.hears("STATUS=ending: SIGTERM"));
    CHECK(a->wait_end(8));
  }
}

TEST_CASE("service: signs of life come twice in the time that the watchdog has, if it is meant for this process") {
  TempFolder temp;
  run({"chmod", "755", temp.path()}, 5);
  Manager manager(temp / "notify");
  {
    const double start = now();
    Daemon a({"SERVER=sockmux", "-P127.0.0.1:0"}, with({"NOTIFY_SOCKET=" + temp / "notify", "WATCHDOG_USEC=400000", "WATCHDOG_PID=$$"}));
    CHECK(wait_for([&] { return manager.count("WATCHDOG=1") >= 4; }, 10));
    CHECK(now() - start > 0.55);  // three pauses
  }
  manager.told.clear();
  Daemon other({"SERVER=sockmux", "-P127.0.0.1:0"}, with({"NOTIFY_SOCKET=" + temp / "notify", "WATCHDOG_USEC=2000", "WATCHDOG_PID=1"}));
  CHECK(manager.hears("STATUS="));
  const int64_t turns = Daemon::value(other.statistics(), "turns");
  CHECK(manager.count("WATCHDOG=1") == 0);
  CHECK(turns < 50);
}

TEST_CASE("service: who has no manager that listens starts all the same, and says what is wrong with the address") {
  Daemon d({"SERVER=sockmux", "-P127.0.0.1:0"}, with({"NOTIFY_SOCKET=relative"}));
  d.await_start();
  CHECK(d->says("sockmuxd: warning: NOTIFY_SOCKET: expected a path from / on, or @name\n"));
  Daemon e({"SERVER=sockmux", "-P127.0.0.1:0"}, with({"NOTIFY_SOCKET=/nowhere/at/all"}));
  e.await_start();
  CHECK(e->says("sockmuxd: warning: NOTIFY_SOCKET: No such file or directory\n"));
}

TEST_CASE("service: sockets that the manager has opened are used by their address, and clients that came before are served") {
  Server echo(echoes);
  Made link(SOCK_STREAM), port(SOCK_STREAM), datagrams(SOCK_DGRAM);
  Conn early(port.port);
  early.send("before").shut();
  REQUIRE(wait_for([&] { return early.connected(); }, 5));
  ProcessSetup setup;
  setup.environment = {"LISTEN_FDS=3", "LISTEN_PID=$$", "LISTEN_FDNAMES=web:dns:link"};
  setup.descriptors = {port.fd, datagrams.fd, link.fd};
  Daemon a({"SERVER=sockmux", "-P" + local(link.port), "PORT=" + local(port.port), "PORT=" + local(datagrams.port) + "/udp"}, setup);
  a.await_start();
  Daemon c({"SERVER=sockmux://" + local(link.port), "DEST=" + local(echo.port())});
  CHECK(wait_for([&] { return early.over(); }, 10));
  CHECK(early.text() == "before");
  CHECK(serves(port.port, 5));
}

TEST_CASE("service: a socket of the manager that no word asks for is an error that names it") {
  Made port(SOCK_STREAM), other(SOCK_STREAM), pair(SOCK_DGRAM);
  ProcessSetup setup;
  setup.environment = {"LISTEN_FDS=3", "LISTEN_PID=$$", "LISTEN_FDNAMES=web:other"};
  setup.descriptors = {port.fd, other.fd, pair.fd};
  Daemon d({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=" + local(port.port)}, setup);
  CHECK(d->wait_end(5));
  CHECK(d->status() == 78);
  CHECK(d->says(refused("'other', tcp " + local(other.port))));
  CHECK(d->says(refused("udp " + local(pair.port))));
  CHECK_FALSE(d->says(refused("'web', tcp " + local(port.port))));
}

TEST_CASE("service: sockets for another process are let be; numbers that are none are errors") {
  Made port(SOCK_STREAM);
  ProcessSetup setup;
  setup.environment = {"LISTEN_FDS=1", "LISTEN_PID=1"};
  setup.descriptors = {port.fd};
  Daemon d({"SERVER=sockmux", "-P127.0.0.1:0"}, setup);
  d.await_start();
  const struct {
    const char *fds, *pid, *why;
  } kWrong[] = {{"x", "$$", "expected the number of descriptors, and LISTEN_PID"},
                {"1", "x", "expected the number of descriptors, and LISTEN_PID"},
                {"99999999", "$$", "expected the number of descriptors, and LISTEN_PID"},
                {"400", "$$", "Bad file descriptor"}};
  for (const auto& w : kWrong) {
    setup.environment = {std::string("LISTEN_FDS=") + w.fds, std::string("LISTEN_PID=") + w.pid};
    Daemon e({"SERVER=sockmux", "-P127.0.0.1:0"}, setup);
    CHECK(e->wait_end(5));
    CHECK(e->status() == 69);
    CHECK(e->says(std::string("sockmuxd: LISTEN_FDS: ") + w.why));
  }
}

TEST_CASE("service: ports are stored with a manager that keeps them, and come back with the next start, or are let go") {
  TempFolder temp;
  run({"chmod", "755", temp.path()}, 5);
  Manager manager(temp / "notify");
  const uint16_t port = quiet_port();
  const Words words{"SERVER=sockmux", "-P" + local(port)};
  ProcessSetup setup;
  setup.environment = {"NOTIFY_SOCKET=" + temp / "notify", "FDSTORE=9"};
  const std::string name = "sockmux-tcp-127.0.0.1-" + text(port);
  {
    Daemon first(words, setup);
    CHECK(manager.hears("FDSTORE=1\nFDNAME=" + name));
    REQUIRE(manager.stored.size() == 1);
    first.await_start();
  }
  // Nobody runs, and nobody is refused.
  Conn early(port);
  REQUIRE(wait_for([&] { return early.connected(); }, 5));
  setup.environment.insert(setup.environment.end(), {"LISTEN_FDS=1", "LISTEN_PID=$$", "LISTEN_FDNAMES=" + name});
  setup.descriptors = manager.stored;
  {
    Daemon second(words, setup);
    second.await_start();
    CHECK(wait_for([&] { return !early.text().empty(); }, 10));  // HELLO
    CHECK(manager.stored.size() == 1);
    CHECK(manager.count("FDSTOREREMOVE=1") == 0);
  }
  Daemon third({"SERVER=sockmux", "-P127.0.0.1:0"}, setup);
  third.await_start();
  CHECK(manager.hears("FDSTOREREMOVE=1\nFDNAME=" + name));
}

TEST_CASE("upgrade: a new daemon takes the place of one in the background, no client is refused, and what is open may end") {
  TempFolder temp;
  Server echo(echoes);
  Daemon hub({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(echo.port())});
  const uint16_t port = quiet_port();
  Background d(temp, {"SERVER=sockmux://" + local(hub.link_port()), "PORT=" + local(port)});
  REQUIRE(d.says(" link-up "));
  REQUIRE(serves(port, 10));
  const pid_t old = d.pid();
  Conn open(port);
  open.send("one");
  REQUIRE(wait_for([&] { return open.text() == "one"; }, 10));
  // Clients come all the time, from before the upgrade to long after it; each is served.
  std::vector<std::unique_ptr<Conn>> crowd;
  Process upgrade({ctl_path(), "upgrade", "-s", d.control(), "--drain", "60"});
  const auto come = [&] {
    crowd.push_back(std::make_unique<Conn>(port));
    crowd.back()->send("hello").shut();
    turn(0.01);
  };
  REQUIRE(wait_for([&] { return come(), !upgrade.running(); }, 20));
  CHECK(upgrade.status() == 0);
  const pid_t young = d.pid();
  CHECK(young != old);
  CHECK(upgrade.log() == "process " + text(static_cast<uint64_t>(young)) + " has taken the place of " + text(static_cast<uint64_t>(old)) + "\n");
  for (int i = 0; i < 20; ++i) come();
  // What was open goes on at the old one, and may end in peace; then the new one makes its link.
  CHECK(open.alive());
  CHECK(Background::lives(old));
  open.send(" two").shut();
  CHECK(wait_for([&] { return open.over(); }, 10));
  CHECK(open.text() == "one two");
  CHECK(d.says("sockmuxd[" + text(static_cast<uint64_t>(old)) + "] ended"));
  CHECK(d.says("sockmuxd[" + text(static_cast<uint64_t>(young)) + "] upgraded"));
  CHECK(wait_for([&] { for (const auto& c : crowd) if (!c->over()) return false; return true; }, 20));
  size_t good = 0;
  for (const auto& c : crowd) good += c->error() == 0 && c->text() == "hello";
  CHECK(good == crowd.size());
  // PIDFILE and the socket are the new one's, which takes them away.
  CHECK(ctl({"version", "-s", d.control()}).status == 0);
  ::kill(young, SIGTERM);
  CHECK(wait_for([&] { return !exists(temp / "pid") && !exists(d.control()); }, 10));
}

TEST_CASE("upgrade: a hub's peers and the datagrams of its clients find the new one") {
  TempFolder temp;
  Server echo(echoes);
  const uint16_t links = quiet_port(), port = static_cast<uint16_t>(links + 1);
  Background hub(temp, {"SERVER=sockmux", "-P" + local(links), "PORT=" + local(port) + "," + local(port) + "/udp"});
  Daemon branch({"SERVER=sockmux://" + local(links), "DEST=" + local(echo.port())});
  REQUIRE(branch->wait_log(" link-up ", 10));
  REQUIRE(serves(port, 10));
  const pid_t old = hub.pid();
  const Said said = ctl({"--socket=" + hub.control(), "upgrade"});
  CHECK(said.status == 0);
  CHECK(said.error.empty());
  CHECK(serves(port, 15));
  CHECK(wait_for([&] { return !Background::lives(old); }, 10));
  CHECK(branch->says("peer said goodbye: shutdown"));
  CHECK_FALSE(branch->says("connect-failed"));
  // The port of datagrams is the new one's.
  const int rival = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(bind(rival, reinterpret_cast<sockaddr*>(&at), sizeof at) < 0);
  close(rival);
}

TEST_CASE("upgrade: a program or a configuration that does not start changes nothing, and what it says is shown") {
  TempFolder temp;
  const uint16_t port = quiet_port();
  write_file(temp / "conf", "SERVER=sockmux\n-P" + local(port) + "\n");
  Background d(temp, {"+=" + temp / "conf"});
  const pid_t old = d.pid();
  const std::string goes_on = "); process " + text(static_cast<uint64_t>(old)) + " goes on as before\n";
  const auto unchanged = [&] {
    CHECK(d.pid() == old);
    CHECK(Background::lives(old));
    CHECK(ctl({"version", "-s", d.control()}).status == 0);
    Conn c(port);
    CHECK(wait_for([&] { return !c.text().empty(); }, 5));
  };
  write_file(temp / "conf", "SERVER=sockmux\n-P" + local(port) + "\nPORTT=80\n");
  Said said = ctl({"upgrade", "-s", d.control()});
  CHECK(said.status == 78);
  CHECK(said.error.find(temp / "conf:3: ") != std::string::npos);
  CHECK(said.error.find("sockmuxctl: the new daemon did not start (status 78" + goes_on) != std::string::npos);
  unchanged();
  // All of it is right, but for what comes last: the lock of another PIDFILE.
  TempFolder second;
  Background other(second, {"SERVER=sockmux", "-P127.0.0.1:0"});
  write_file(temp / "conf", "SERVER=sockmux\n-P" + local(port) + "\nPIDFILE=" + second / "pid" + "\n");
  said = ctl({"upgrade", "-s", d.control()});
  CHECK(said.status == 69);
  CHECK(said.error.find("belongs to a daemon that runs") != std::string::npos);
  unchanged();
  write_file(temp / "conf", "SERVER=sockmux\n-P" + local(port) + "\n");
  said = ctl({"upgrade", "-s", d.control(), temp / "nothing"});
  CHECK(said.status == 69);
  CHECK(said.error.find(temp / "nothing: No such file or directory") != std::string::npos);
  unchanged();
  // One that says that all is well, and has not taken over: it is found out. Not in CI: that takes 15 s.
}

TEST_CASE("upgrade: the program that takes over may be another one") {
  TempFolder temp;
  Background d(temp, {"SERVER=sockmux", "-P127.0.0.1:0"});
  const pid_t old = d.pid();
  run({"cp", daemon_path(), temp / "newer"}, 5);
  const Said said = ctl({"upgrade", "--drain=1", temp / "newer", "-s", d.control()});
  CHECK(said.status == 0);
  CHECK(d.pid() != old);
  CHECK(read_file("/proc/" + text(static_cast<uint64_t>(d.pid())) + "/cmdline").find(temp / "newer") == 0);
}

TEST_CASE("upgrade: words that make no sense, daemons that cannot be followed") {
  TempFolder temp;
  Daemon d({"SERVER=sockmux", "-P127.0.0.1:0", "SOXCONF=control:" + temp / "control"});
  d.await_start();
  const std::string& socket = temp / "control";
  const struct {
    Words words;
    int status;
    std::string says;
  } kCases[] = {{{"upgrade", "--drain", "0"}, 64, "--drain: '0': expected seconds, 1 to 86400"},
                {{"upgrade", "--drain=x"}, 64, "--drain: 'x': expected seconds, 1 to 86400"},
                {{"upgrade", "--drain"}, 64, "--drain: a number of seconds is missing"},
                {{"upgrade", "--fast"}, 64, "unknown option '--fast'"},
                {{"upgrade", "a", "b"}, 64, "upgrade: 'b': expected one program at most"},
                {{"upgrade", "-s"}, 64, "-s: a file is missing"},
                {{"upgrade", "-s", temp / "none"}, 69, temp / "none: no daemon answers here; --socket FILE asks elsewhere"},
                {{"upgrade", "-s", socket}, 69, "process " + text(static_cast<uint64_t>(d->pid())) + " runs in the foreground (-f): who watches over it has to start it anew"}};
  for (const auto& c : kCases) {
    const Said said = ctl(c.words);
    CAPTURE(said.error);
    CHECK(said.status == c.status);
    CHECK(said.error.find("sockmuxctl: " + c.says + "\n") == 0);
  }
  CHECK(d->running());
}

TEST_CASE("upgrade: only root and who has started the daemon get its sockets; a daemon is asked for them once it lives only") {
  if (geteuid() != 0) return;
  TempFolder temp;
  run({"chmod", "755", temp.path()}, 5);
  Daemon d({"SERVER=sockmux", "-P127.0.0.1:0", "OWNER=#12345/#12345", "SOXCONF=control:" + temp / "control"});
  d.await_start();
  run({"chmod", "666", temp / "control"}, 5);
  ProcessSetup owner;
  owner.user = 12345;
  for (const std::string command : {"process", "take", "hand-over -"}) {
    Process p({"sh", "-c", "printf '1 " + command + "\\n' | socat - UNIX-CONNECT:" + temp / "control"}, owner);
    CHECK(p.wait_end(10));
    CHECK(p.log() == "1 error not permitted: only root, and who has started this daemon, may\n");
  }
  Daemon next({"SERVER=sockmux", "-P127.0.0.1:0"}, with({"SOCKMUX_TAKE=" + temp / "nobody"}));
  CHECK(next->wait_end(5));
  CHECK(next->status() == 69);
  CHECK(next->says("sockmuxd: SOCKMUX_TAKE: No such file or directory\n"));
  CHECK_FALSE(d->says(" ending "));
}

TEST_CASE("upgrade: more ports than go in one message") {
  TempFolder temp;
  const uint16_t first = quiet_port();
  std::string ports;
  // 40 addresses of one port
  for (int i = 1; i <= 40; ++i) ports += (i > 1 ? "," : "") + ("127.0.1." + std::to_string(i)) + ":" + text(first);
  Background d(temp, {"SERVER=sockmux", "-P" + local(first), "PORT=" + ports});
  const pid_t old = d.pid();
  CHECK(ctl({"upgrade", "-s", d.control()}).status == 0);
  CHECK(d.pid() != old);
  CHECK(d.says("ports=40", 1));
  for (const char* host : {"127.0.1.1", "127.0.1.17", "127.0.1.40"}) {
    Conn c(host, first);
    CHECK(wait_for([&] { return c.connected(); }, 5));
  }
}
