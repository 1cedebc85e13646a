// What a daemon gets from whoever starts it: descriptors that are closed, too many or too few, signals that are blocked or
// ignored, a strange environment and umask, a system without /dev, /proc and /etc.
// Read next: daemon.cc; core/io/process.h.
#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#include <sys/mount.h>
#endif

#include "tests/e2e/family.h"
#include "tests/e2e/ctl.h"

using namespace e2e;

namespace {

[[maybe_unused]] std::string link_of(const std::string& path) {
  char to[256] = {};
  const ssize_t n = readlink(path.c_str(), to, sizeof to - 1);
  return n > 0 ? std::string(to, static_cast<size_t>(n)) : "";
}
std::string proc(pid_t pid, const std::string& name) { return "/proc/" + text(static_cast<uint64_t>(pid)) + "/" + name; }

bool dead(pid_t pid) {
  const std::string stat = read_file(proc(pid, "stat"));
  return stat.empty() || stat.find(") Z ") != std::string::npos;
}

// A daemon that writes into files alone, since who starts it has closed what is to be looked at.
struct Quiet {
  TempFolder folder;
  uint16_t link = quiet_port(), port = quiet_port();
  std::unique_ptr<Process> process;
  pid_t pid = 0;
  Words words(const Words& more) const {
    Words all{daemon_path(), "SERVER=sockmux", "-P" + local(link), "PORT=" + local(port), "LOGFILE=" + folder / "log", "PIDFILE=" + folder / "pid", "SOXCONF=control:no"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  bool start(const Words& more, const ProcessSetup& setup) {
    run({"chmod", "777", folder.path()}, 5);
    process = std::make_unique<Process>(words(more), setup);
    return wait_for([&] { return read_file(folder / "log").find(" started ") != std::string::npos && (pid = atoi(read_file(folder / "pid").c_str())) > 0; }, 5);
  }
  ~Quiet() {
    if (pid > 0) ::kill(pid, SIGKILL);
  }
};

ProcessSetup prepared(std::function<void()> prepare) {
  ProcessSetup setup;
  setup.prepare = std::move(prepare);
  return setup;
}

}  // namespace

TEST_CASE("start: any of the descriptors 0, 1 and 2 closed, in front and behind: all works, and nothing else gets their numbers") {
  Server server(echoes);
  for (const bool behind : {false, true})
    for (unsigned closed = 0; closed < 8; ++closed) {
      CAPTURE(behind);
      CAPTURE(closed);
      Quiet d;
      Words more{"DEST=localhost:" + text(server.port())};  // by name: it has a helper
      if (!behind) more.push_back("-f");
      REQUIRE(d.start(more, prepared([=] {
        for (int fd = 0; fd <= 2; ++fd)
          if ((closed >> fd & 1) != 0) close(fd);
      })));
      Daemon c({"SERVER=sockmux://" + local(d.link), "DEST=" + local(server.port()), "PORT=127.0.0.1:0"});
      CHECK(serves(d.port, 5));
      CHECK(serves(c.port(), 5));
#if defined(__linux__)
      for (const pid_t pid : {d.pid, helper_of(d.pid).pid})
        for (unsigned fd = 0; fd <= 2; ++fd)
          if (behind || pid != d.pid || (closed >> fd & 1) != 0) CHECK(link_of(proc(pid, "fd/" + text(fd))) == "/dev/null");
#endif
      CHECK(read_file(d.folder / "pid") == text(static_cast<uint64_t>(d.pid)) + "\n");
      ::kill(d.pid, SIGTERM);
      CHECK(wait_for([&] { return dead(d.pid); }, 6));
      CHECK(count_of(read_file(d.folder / "log"), " ended") == 1);
    }
}

TEST_CASE("start: where standard descriptors are closed and there is no /dev/null, their numbers stay out of use") {
#if defined(__linux__)
  if (geteuid() != 0 || !may_unshare()) return;
  Server server(echoes);
  Quiet d;
  REQUIRE(d.start({"-f", "DEST=" + local(server.port()), "OWNER=root"}, prepared([] {
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 || mount("none", "/dev", "tmpfs", 0, nullptr) != 0) _exit(125);
    for (int fd = 0; fd <= 2; ++fd) close(fd);
  })));
  Daemon c({"SERVER=sockmux://" + local(d.link), "DEST=" + local(server.port())});
  CHECK(serves(d.port, 5));
  CHECK(read_file(d.folder / "pid") == text(static_cast<uint64_t>(d.pid)) + "\n");
  for (unsigned fd = 0; fd <= 2; ++fd) CHECK(link_of(proc(d.pid, "fd/" + text(fd))) == "/");
#endif
}

TEST_CASE("start: comm@- with descriptor 0 or 1 closed is an error at the start") {
  for (unsigned closed = 1; closed < 4; ++closed) {
    CAPTURE(closed);
    ProcessSetup setup = prepared([=] {
      for (int fd = 0; fd <= 1; ++fd)
        if ((closed >> fd & 1) != 0) close(fd);
    });
    Process p({daemon_path(), "SERVER=sockmux:comm@-", "DEST=127.0.0.1:1", "SOXCONF=control:no"}, setup);
    REQUIRE(p.wait_end(5));
    CHECK(p.status() > 0);
    CHECK(p.wait_log("standard", 5));
  }
}

TEST_CASE("start: signals that are blocked or ignored by who starts it are heard all the same, by its programs, too") {
  Server server(echoes);
  for (const bool behind : {false, true}) {
    CAPTURE(behind);
    Quiet d;
    // A program that a signal ends, if it has none that are ignored or blocked; and a name, looked up by a worker that alarm(2) ends.
    const uint16_t program = quiet_port();
    Words more{"SERVER=exec,-in(XCOM='for s in HUP QUIT ALRM TERM; do sh -c \"kill -$s \\$\\$; echo deaf to $s\"; done; echo end'):-:-P" + text(program), "DEST=localhost:" + text(server.port())};
    if (!behind) more.push_back("-f");
    REQUIRE(d.start(more, prepared([] {
      for (const int s : {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGPIPE, SIGALRM, SIGQUIT}) ::signal(s, SIG_IGN);
      sigset_t all;
      sigfillset(&all);
      sigprocmask(SIG_BLOCK, &all, nullptr);
    })));
    Daemon c({"SERVER=sockmux://" + local(d.link), "DEST=" + local(server.port()), "PORT=" + local(program), "PORT=127.0.0.1:0"});
    CHECK(serves(d.port, 5));
    CHECK(serves(c.port(0), 5));
    const std::string said = ask(program, "");
    CHECK(said.find("end\n") != std::string::npos);
    CHECK(said.find("deaf") == std::string::npos);
    const auto logged = [&](const std::string& what) { return read_file(d.folder / "log").find(what) != std::string::npos; };
    ::kill(d.pid, SIGUSR1);
    CHECK(wait_for([&] { return logged(" statistics "); }, 5));
    ::kill(d.pid, SIGTERM);
    CHECK(wait_for([&] { return dead(d.pid); }, 6));
    CHECK(logged(" ended"));
  }
}

TEST_CASE("start: a thousand descriptors that somebody has left open are no harm, and no program gets them") {
  ProcessSetup many;
  many.prepare = [] {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < 1000; ++i) (void)!dup(0);
  };
  Pair p({"PORT=127.0.0.1:0", "MAXIMA=channels:10"}, {"SERVER=exec,-in(XCOM='cat; ls /dev/fd | wc -l')", "MAXIMA=channels:10"}, many, many);
  const std::string said = ask(p.a->port(), "x");
  REQUIRE(said.size() > 1);
  CHECK(said[0] == 'x');
  CHECK(atoi(said.c_str() + 1) < 8);
}

TEST_CASE("start: few descriptors: it says what it lacks and ends, or serves with those it has") {
  if (daemon_sanitized()) return;  // its library has needs of its own
  Server server(echoes);
  Daemon hub({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(server.port())});
  bool one_served = false, one_refused = false;
  for (unsigned files = 4; files <= 48; ++files) {
    CAPTURE(files);
    ProcessSetup few;
    few.files = files;
    Daemon d({"SERVER=sockmux://" + local(hub.link_port()), "PORT=127.0.0.1:0", "DEST=localhost:1"}, few);
    REQUIRE(wait_for([&] { return !d->running() || d->says(" started "); }, 5));
    if (d->running()) {
      check_crowd({{d.port()}, 20, 10, 1000, 1, 20});
      one_served = true;
      continue;
    }
    // The system's own loader says 127 where it cannot open the C library.
    const bool said = d->status() == 127 || (d->status() == 71 && d->says("descriptors: "));
    CHECK(said);
    CHECK_FALSE(one_served);
    one_refused = true;
  }
  CHECK(one_served);
  CHECK(one_refused);
}

TEST_CASE("start: no /dev, /proc, /etc, /run, a root that nobody can write to, a folder that is gone, no environment") {
#if defined(__linux__)
  if (geteuid() != 0 || daemon_sanitized()) return;  // whose library wants /proc
  if (!may_unshare()) return;
  Server server(echoes);
  ProcessSetup bare;
  bare.prepare = [] {
    char gone[] = "/tmp/sockmux-e2e.XXXXXX";
    if (mkdtemp(gone) == nullptr || chdir(gone) != 0 || rmdir(gone) != 0) _exit(125);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(125);
    for (const char* folder : {"/dev", "/etc", "/run", "/proc"}) (void)mount("none", folder, "tmpfs", MS_RDONLY, nullptr);
    (void)mount("none", "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr);
    clearenv();
  };
  const auto whole = [](const std::string& path) {
    char* real = realpath(path.c_str(), nullptr);
    const std::string is = real;
    free(real);
    return is;
  };
  setenv("SOCKMUXD", whole(daemon_path()).c_str(), 1);
  // OWNER by number: there is no /etc/passwd. By default it is nobody, whose number everybody knows.
  for (const std::string owner : {"OWNER=root", "OWNER=#1234/#1234", ""}) {
    CAPTURE(owner);
    Words more;
    if (!owner.empty()) more.push_back(owner);
    if (owner == "OWNER=root") {
      Words named = more;
      named.insert(named.end(), {"-f", "SERVER=sockmux", "-P127.0.0.1:0"});
      named.insert(named.begin(), daemon_path());
      Process p(named, bare);
      CHECK(p.wait_end(5));
      CHECK(p.status() == 78);
      CHECK(p.wait_log("no such user", 5));
      continue;
    }
    Words a{"PORT=127.0.0.1:0", "DEST=" + local(server.port())}, c = a;
    a.insert(a.end(), more.begin(), more.end());
    c.insert(c.end(), more.begin(), more.end());
    Pair p(a, c, bare, bare);
    check_crowd({{p.a->port(), p.c->port()}, 40, 10, 100000, 1, 20});
    (*p.a)->signal(SIGTERM);
    CHECK((*p.a)->wait_end(6));
    CHECK((*p.a)->status() == 0);
  }
#endif
}

TEST_CASE("start: an environment of a megabyte; no words, not even a name") {
  ProcessSetup huge;
  huge.prepare = [] {
    for (int i = 0; i < 10; ++i) setenv(("SOCKMUX_TEST_" + text(static_cast<uint64_t>(i))).c_str(), std::string(100000, 'x').c_str(), 1);
    for (int i = 0; i < 3000; ++i) setenv(("N" + text(static_cast<uint64_t>(i))).c_str(), "1", 1);
  };
  Server server(echoes);
  Pair p({"PORT=127.0.0.1:0"}, {"SERVER=exec,-in(XCOM='echo served')"}, huge, huge);
  const std::string said = ask(p.a->port(), "");
  CHECK(said == "served\n");
  // execve(2) with no argv[0] at all: Linux since 5.18 makes "" of it, others leave it out.
  ProcessSetup nameless;
  nameless.prepare = [] {
    char* none[] = {nullptr};
    execv(daemon_path().c_str(), none);
    _exit(errno == EINVAL ? 64 : 127);
  };
  Process q({daemon_path()}, nameless);
  REQUIRE(q.wait_end(5));
  CHECK(q.status() == 64);
}

TEST_CASE("start: a log that is as long as a file may be (ulimit -f) ends nothing") {
  Server server(echoes);
  TempFolder temp;
  run({"chmod", "777", temp.path()}, 5);
  Pair p({"PORT=127.0.0.1:0", "LOGFILE=" + temp / "log"}, {"DEST=" + local(server.port())}, prepared([] {
    const rlimit limit{2048, 2048};
    setrlimit(RLIMIT_FSIZE, &limit);
  }));
  for (int i = 0; i < 20; ++i) (void)p.a->statistics();
  CHECK(read_file(temp / "log").size() == 2048);
  CHECK(serves(p.a->port(), 5));
}

TEST_CASE("start: what fails behind the fork is said to who starts it in the background, as in the foreground") {
  for (const bool behind : {false, true}) {
    CAPTURE(behind);
    TempFolder temp;
    run({"chmod", "777", temp.path()}, 5);
    Words words{daemon_path(), "SERVER=sockmux", "-P127.0.0.1:0", "SOXCONF=control:no", "PIDFILE=" + temp / "pid"};
    if (!behind) words.push_back("-f");
    // As a full disk: an empty file can be made.
    Process p(words, prepared([] {
      const rlimit limit{0, 0};
      setrlimit(RLIMIT_FSIZE, &limit);
    }));
    REQUIRE(p.wait_end(5));
    CHECK(p.status() == 73);
    CHECK(wait_for([&] { return p.says(" error pidfile-failed path=" + temp / "pid error=\"File too large\"\n"); }, 2));
  }
}

TEST_CASE("start: whatever the umask, files are what they should be: the control socket is its owner's alone") {
  for (const mode_t mask : {mode_t{0}, mode_t{0777}}) {
    CAPTURE(mask);
    TempFolder temp;
    run({"chmod", "777", temp.path()}, 5);
    Daemon d({"SERVER=sockmux", "-P127.0.0.1:0", "SOXCONF=control:" + temp / "socket", "PIDFILE=" + temp / "pid", "LOGFILE=" + temp / "log"}, prepared([=] { (void)umask(mask); }));
    d.await_start();
    struct stat s {};
    REQUIRE(stat((temp / "socket").c_str(), &s) == 0);
    CHECK((s.st_mode & 0777) == 0600);
    REQUIRE(stat((temp / "pid").c_str(), &s) == 0);
    CHECK((s.st_mode & 0777 & ~0644u) == 0);
    REQUIRE(stat((temp / "log").c_str(), &s) == 0);
    CHECK((s.st_mode & 0777 & ~0640u) == 0);
    CHECK(ctl({"-s", temp / "socket", "status"}).status == 0);
  }
}
