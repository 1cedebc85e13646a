// What the daemon may still do: identity, no_new_privs, the seccomp filter, and the helper that stays outside.
// Read next: core/io/sandbox.h, core/io/helper.h; tests/test_sandbox.cc (which calls); family.h.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/e2e/family.h"

using namespace e2e;

namespace {

// A line of /proc/PID/status, without its name; its blanks are single.
std::string status_of(pid_t pid, const std::string& name) {
  const std::string all = "\n" + read_file("/proc/" + text(static_cast<uint64_t>(pid)) + "/status");
  const size_t at = all.find("\n" + name + ":");
  if (at == std::string::npos) return "";
  const size_t from = at + name.size() + 2;
  std::string line;
  for (const char c : all.substr(from, all.find('\n', from) - from)) {
    const bool blank = c == ' ' || c == '\t';
    if (!blank) line += c;
    else if (!line.empty() && line.back() != ' ') line += ' ';
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

bool lives(pid_t pid) {
  for (const Kin& k : processes_with(""))
    if (k.pid == pid && k.state != 'Z') return true;
  return false;
}

// What stands in the log is true, and is a filter unless it can't be: built for sanitizers there is none, nor where the
// kernel has none.
void check_filter(pid_t pid, const std::string& log) {
  const bool filter = log.find("sandbox=seccomp") != std::string::npos;
  if (!daemon_sanitized() && log.find("sandbox-unavailable") == std::string::npos) CHECK(filter);
  CHECK(status_of(pid, "Seccomp") == (filter ? "2" : "0"));
  CHECK(status_of(pid, "NoNewPrivs") == "1");
}
void check_filter(Daemon& d) {
  d.await_start();
  check_filter(d->pid(), d->log());
}

}  // namespace

TEST_CASE("privileges: started by root, it is OWNER with all four ids and no other group") {
  if (geteuid() != 0) return;
  Daemon d({"SERVER=sockmux", "-P127.0.0.1:0", "OWNER=#12345/#23456", "DEST=localhost:1"});
  check_filter(d);
  const Kin helper = helper_of(d->pid());
  REQUIRE(helper.pid > 0);
  for (const pid_t pid : {d->pid(), helper.pid}) {
    CHECK(status_of(pid, "Uid") == "12345 12345 12345 12345");
    CHECK(status_of(pid, "Gid") == "23456 23456 23456 23456");
    CHECK(status_of(pid, "Groups") == "23456");
    for (const char* set : {"CapPrm", "CapEff", "CapAmb"}) CHECK(status_of(pid, set) == "0000000000000000");
  }
}

TEST_CASE("privileges: a daemon that needs no helper has none; all goes on under the filter: traffic, HUP, USR1, TERM, PIDFILE") {
  TempFolder temp;
  run({"chmod", "777", temp.path()}, 5);
  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0", "PIDFILE=" + temp / "pid", "LOGFILE=" + temp / "log"}, {"DEST=" + local(server.port()), "PORT=127.0.0.1:0/udp"});
  check_filter(*p.a);
  check_filter(*p.c);
  CHECK(helper_of((*p.a)->pid()).pid == 0);
  CHECK(helper_of((*p.c)->pid()).pid == 0);
  check_crowd({{p.a->port()}, 20, 5, 20000, 3, 20});
  for (Daemon* d : {p.a.get(), p.c.get()}) {
    (*d)->signal(SIGHUP);
    CHECK((*d)->wait_log("retry-now", 5));
    CHECK(d->resident_kib() > 0);
  }
  check_crowd({{p.a->port()}, 20, 5, 20000, 3, 20});
  (*p.a)->signal(SIGTERM);
  CHECK((*p.a)->wait_end(8));
  CHECK((*p.a)->status() == 0);
  CHECK_FALSE(exists(temp / "pid"));
  CHECK(read_file(temp / "log").find(" ended") != std::string::npos);
}

TEST_CASE("privileges: names are looked up by the helper, and programs run by it, outside of the filter") {
  TempFolder temp;
  run({"chmod", "777", temp.path()}, 5);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
  const std::string command = "cp /proc/self/status " + temp / "status" + "; cat /proc/$$/status >" + temp / "shell" + "; exec cat";
  Daemon c({"SERVER=sockmux://localhost:" + text(a.link_port()), "SERVER=exec,-in(XCOM='" + command + "')"});
  REQUIRE(c->wait_log(" link-up ", 10));
  check_filter(a);
  check_filter(c);
  CHECK(serves(a.port(), 10));
  const std::string status = read_file(temp / "shell");
  CHECK(status.find("Seccomp:\t0\n") != std::string::npos);
  CHECK(status.find("NoNewPrivs:\t1\n") != std::string::npos);
  const Kin helper = helper_of(c->pid());
  REQUIRE(helper.pid > 0);
  CHECK(status_of(helper.pid, "Seccomp") == "0");
  CHECK(status_of(helper.pid, "NoNewPrivs") == "1");
  // It has its end of the pair open, and nothing of the daemon's.
  CHECK(run({"sh", "-c", "ls /proc/" + text(static_cast<uint64_t>(helper.pid)) + "/fd | tr '\\n' ' '"}, 5) == "0 1 2 3 ");
}

TEST_CASE("privileges: the helper goes with a daemon that is killed, and takes its programs with it") {
  Daemon d({"SERVER=sockmux:proc@exec sleep 1000"});
  REQUIRE(wait_for([&] { return programs_of(d->pid()).size() == 1; }, 5));
  const Kin helper = helper_of(d->pid());
  const std::vector<Kin> programs = programs_of(d->pid());
  // Those who end daemons by name mean the daemon.
  for (const int number : {SIGHUP, SIGINT, SIGTERM, SIGUSR1}) ::kill(helper.pid, number);
  CHECK(d.statistics().find("programs=1") != std::string::npos);
  CHECK(lives(helper.pid));
  d.kill();
  CHECK(wait_for([&] { return !lives(helper.pid) && left_of(programs) == 0; }, 5));
}

TEST_CASE("privileges: a daemon whose helper dies ends, with 71, and says why") {
  Server echo(echoes);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(echo.port())});
  Daemon d({"SERVER=sockmux://localhost:" + text(a.link_port()), "PORT=127.0.0.1:0", "SERVER=exec,-in(XCOM='exec sleep 1000')"});
  REQUIRE(d->wait_log(" link-up ", 10));
  CHECK(serves(d.port(), 5));
  ::kill(helper_of(d->pid()).pid, SIGKILL);
  CHECK(d->wait_end(10));
  CHECK(d->status() == 71);
  CHECK(d->wait_log("error helper-ended", 5));
  CHECK(d->wait_log("reason=\"the helper process has ended\"", 5));
  CHECK(a->wait_log("peer said goodbye", 5));
}

TEST_CASE("privileges: under CHROOT names have a helper of their own, which stays outside") {
  if (geteuid() != 0) return;
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
  // The folder is that of all, so that there is a shell.
  Daemon c({"SERVER=sockmux://localhost:" + text(a.link_port()), "SERVER=exec,-in(XCOM=/bin/cat)", "CHROOT=/"});
  REQUIRE(c->wait_log(" link-up ", 10));
  check_filter(c);
  CHECK(serves(a.port(), 10));
  std::vector<pid_t> helpers;
  for (const Kin& k : processes_with(c->command().substr(c->command().find("SERVER"))))
    if (k.parent == c->pid()) helpers.push_back(k.pid);
  REQUIRE(helpers.size() == 2);
  for (const pid_t pid : helpers) {
    CHECK(status_of(pid, "Uid") == status_of(c->pid(), "Uid"));
    CHECK(status_of(pid, "Uid").find("0 ") != 0);
    CHECK(status_of(pid, "NoNewPrivs") == "1");
  }
  c->signal(SIGTERM);
  CHECK(c->wait_end(8));
  CHECK(c->status() == 0);
  for (const pid_t pid : helpers) CHECK(wait_for([&] { return !lives(pid); }, 5));
}

TEST_CASE("privileges: in the background it is the same, and the helper is its child") {
  TempFolder temp;
  run({"chmod", "777", temp.path()}, 5);
  Words words{daemon_path(), "SERVER=sockmux", "-P127.0.0.1:0", "DEST=localhost:1", "LOGFILE=" + temp / "log", "PIDFILE=" + temp / "pid"};
  Process start(words);
  REQUIRE(start.wait_end(5));
  REQUIRE(start.status() == 0);
  pid_t pid = 0;
  REQUIRE(wait_for([&] { return (pid = atoi(read_file(temp / "pid").c_str())) > 0; }, 5));
  CHECK(wait_for([&] { return read_file(temp / "log").find(" started ") != std::string::npos; }, 5));
  check_filter(pid, read_file(temp / "log"));
  const Kin helper = helper_of(pid);
  CHECK(helper.pid > 0);
  ::kill(pid, SIGTERM);
  CHECK(wait_for([&] { return !lives(pid) && !lives(helper.pid); }, 5));
  ::kill(pid, SIGKILL);
  CHECK(read_file(temp / "log").find(" ended") != std::string::npos);
}

TEST_CASE("privileges: SOXCONF=sandbox:no leaves both out; sandbox:trap goes on as usual") {
  Daemon open({"SERVER=sockmux", "-P127.0.0.1:0", "SOXCONF=sandbox:no"});
  open.await_start();
  CHECK(open->wait_log("sandbox=none", 5));
  CHECK(status_of(open->pid(), "Seccomp") == "0");
  CHECK(status_of(open->pid(), "NoNewPrivs") == "0");
  Daemon trap({"SERVER=sockmux", "-P127.0.0.1:0", "SOXCONF=sandbox:trap"});
  check_filter(trap);
}

TEST_CASE("privileges: syslog that was started anew is found again, under CHROOT and the filter") {
  if (geteuid() != 0 || exists("/dev/log")) return;  // that of the machine is none of ours
  TempFolder temp;
  run({"mkdir", temp / "dev"}, 5);
  run({"chmod", "755", temp.path()}, 5);
  const std::string path = temp / "dev/log";
  const auto listen = [&] {
    (void)::unlink(path.c_str());
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    REQUIRE(path.size() < sizeof at.sun_path);
    path.copy(at.sun_path, path.size());
    REQUIRE(bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(chmod(path.c_str(), 0666) == 0);
    return fd;
  };
  const auto heard = [&](int fd, const char* what) {
    char line[1000];
    for (ssize_t n = recv(fd, line, sizeof line, 0); n > 0; n = recv(fd, line, sizeof line, 0))
      if (std::string(line, static_cast<size_t>(n)).find(what) != std::string::npos) return true;
    return false;
  };
  int log = listen();
  Daemon d({"SERVER=sockmux", "-P127.0.0.1:0", "SYSLOG=-fdaemon", "CHROOT=" + temp.path()});
  d.await_start();
  CHECK(wait_for([&] { return heard(log, " started "); }, 5));
  close(log);
  log = listen();
  d->signal(SIGHUP);
  CHECK(wait_for([&] { return heard(log, "retry-now"); }, 5));
  CHECK(d->running());
  close(log);
}
