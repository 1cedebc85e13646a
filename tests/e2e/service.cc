// Who starts the daemon and watches over it: $NOTIFY_SOCKET, the watchdog, LISTEN_FDS. Read next: core/io/notify.h, core/io/handed.h;
// upgrade.cc; init/.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/e2e/filed.h"
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
  CHECK(d->wait_log("sockmuxd: warning: NOTIFY_SOCKET: expected a path from / on, or @name\n", 5));
  Daemon e({"SERVER=sockmux", "-P127.0.0.1:0"}, with({"NOTIFY_SOCKET=/nowhere/at/all"}));
  e.await_start();
  CHECK(e->wait_log("sockmuxd: warning: NOTIFY_SOCKET: No such file or directory\n", 5));
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
    CHECK(e->wait_log(std::string("sockmuxd: LISTEN_FDS: ") + w.why, 5));
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

TEST_CASE("service: a reload is told, from its begin to its end, and so are the ports that it opens and closes") {
  TempFolder temp;
  run({"chmod", "755", temp.path()}, 5);
  Manager manager(temp / "notify");
  const uint16_t old_port = quiet_port(), new_port = quiet_port();
  REQUIRE(old_port != new_port);
  const auto write = [&](const std::string& words) { put_file(temp / "conf", "SERVER=sockmux\n-P127.0.0.1:0\n" + words); };
  write("PORT=" + local(old_port) + "\n");
  Daemon d({"+=" + temp / "conf"}, with({"NOTIFY_SOCKET=" + temp / "notify", "FDSTORE=9"}));
  d.await_start();
  REQUIRE(manager.hears("READY=1"));
  const auto says = [&](const std::string& what, uint16_t port) {
    return wait_for([&] {
      for (const std::string& t : manager.told)
        if (t.find(what) == 0 && t.find("127.0.0.1-" + text(port)) != std::string::npos) return true;
      return false;
    }, 5);
  };
  CHECK(says("FDSTORE=1", old_port));
  write("PORT=" + local(new_port) + "\n");
  d->signal(SIGHUP);
  CHECK(manager.hears("RELOADING=1\nMONOTONIC_USEC="));
  CHECK(wait_for([&] { return manager.count("READY=1") == 2; }, 5));
  CHECK(manager.told.back().find("READY=1") != std::string::npos);
  CHECK(says("FDSTORE=1", new_port));
  CHECK(says("FDSTOREREMOVE=1", old_port));
  CHECK(manager.count("FDSTOREREMOVE=1") == 1);
  write("PROT=1\n");
  d->signal(SIGHUP);
  CHECK(wait_for([&] { return manager.count("READY=1") == 3; }, 5));
  CHECK(manager.count("RELOADING=1") == 2);
  CHECK(d->wait_log(" reload-failed ", 5));
}

TEST_CASE("service: a port that goes and comes again by reloads is stored again, also one that the manager has handed over") {
  TempFolder temp;
  run({"chmod", "755", temp.path()}, 5);
  Manager manager(temp / "notify");
  Made made(SOCK_STREAM);
  const auto write = [&](const std::string& words) { put_file(temp / "conf", "SERVER=sockmux\n-P127.0.0.1:0\n" + words); };
  const std::string name = "sockmux-tcp-127.0.0.1-" + text(made.port);
  write("PORT=" + local(made.port) + "\n");
  ProcessSetup setup = with({"NOTIFY_SOCKET=" + temp / "notify", "FDSTORE=9", "LISTEN_FDS=1", "LISTEN_PID=$$", "LISTEN_FDNAMES=" + name});
  setup.descriptors = {made.fd};
  Daemon d({"+=" + temp / "conf"}, setup);
  d.await_start();
  close(made.fd);  // the manager lets go of it when it is told
  made.fd = -1;
  const auto counts = [&](const std::string& what, size_t n) {
    return wait_for([&] { return manager.count(what + "=1\nFDNAME=" + name) == n; }, 5);
  };
  CHECK(counts("FDSTORE", 0));  // it has it
  for (size_t i = 1; i <= 2; ++i) {
    write("");
    d->signal(SIGHUP);
    CHECK(counts("FDSTOREREMOVE", i));
    for (const int fd : manager.stored) close(fd);  // as it does then, or nobody could listen there again
    manager.stored.clear();
    write("PORT=" + local(made.port) + "\n");
    d->signal(SIGHUP);
    CHECK(counts("FDSTORE", i));
  }
}

// Who has made a socket may keep it open, and its file is then in the kernel's set for as long, whatever is closed here.
TEST_CASE("service: a port of the manager's that goes by a reload wakes nobody, whoever comes to it") {
  TempFolder temp;
  run({"chmod", "755", temp.path()}, 5);
  Made link(SOCK_STREAM), port(SOCK_STREAM), datagrams(SOCK_DGRAM);
  const auto write = [&](const std::string& words) { put_file(temp / "conf", "SERVER=sockmux\n-P127.0.0.1:0\n" + words); };
  write("-P" + local(link.port) + "\nPORT=" + local(port.port) + "\nPORT=" + local(datagrams.port) + "/udp\n");
  ProcessSetup setup;
  setup.environment = {"LISTEN_FDS=3", "LISTEN_PID=$$"};
  setup.descriptors = {port.fd, datagrams.fd, link.fd};
  Daemon d({"+=" + temp / "conf"}, setup);
  d.await_start();
  write("");
  d->signal(SIGHUP);
  CHECK(d->wait_log(" reloaded ", 5));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto comes_to = [&](const Made& made, const char* what) {
    CAPTURE(what);
    to.sin_port = htons(made.port);
    const int client = socket(AF_INET, (what[0] == 'd' ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    REQUIRE(connect(client, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
    if (what[0] == 'd') REQUIRE(send(client, "x", 1, 0) == 1);
    const auto turns = [&] { return Daemon::value(d.statistics(), "turns"); };
    const int64_t before = turns();
    wait_for([] { return false; }, 0.3);
    CHECK(turns() - before < 20);
    close(client);
  };
  comes_to(datagrams, "datagram");
  comes_to(port, "client");
  comes_to(link, "link");
}
