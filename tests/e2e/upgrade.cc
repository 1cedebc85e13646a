// A daemon that takes another's place: sockmuxctl upgrade, and both sides of it. Read next: daemon_upgrade.cc, tools/ctl/upgrade.cc;
// service.cc.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/e2e/ctl.h"
#include "tests/e2e/harness.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

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

// One in the background that calls a hub, and is linked: clients of its port reach the echo there.
struct Calling {
  Calling() { REQUIRE(d.says(" link-up ")); }
  TempFolder temp;
  Server echo{echoes};
  Daemon hub{{"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(echo.port())}};
  const uint16_t port = quiet_port();
  Background d{temp, {"SERVER=sockmux://" + local(hub.link_port()), "PORT=" + local(port)}};
};

}  // namespace

TEST_CASE("upgrade: a new daemon takes the place of one in the background, no client is refused, and what is open may end") {
  Calling calling;
  Background& d = calling.d;
  const uint16_t port = calling.port;
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
  CHECK(count_of(d.log(), " link-up ") == 1);  // a second one would take the place of the first, where peers have names
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
  CHECK(wait_for([&] { return !exists(calling.temp / "pid") && !exists(d.control()); }, 10));
}

TEST_CASE("upgrade: who waits for the new daemon's link does not keep the old one busy, though both have the port") {
  if (!exists("/proc/self/stat")) return;
  Calling calling;
  Background& d = calling.d;
  Conn open(calling.port);
  open.send("one");
  REQUIRE(wait_for([&] { return open.text() == "one"; }, 10));
  const std::string stat = "/proc/" + text(static_cast<uint64_t>(d.pid())) + "/stat";
  REQUIRE(ctl({"upgrade", "-s", d.control(), "--drain", "60"}).status == 0);
  const auto ticks = [&] {  // of a processor: utime and stime of proc(5), in hundredths of a second
    long user = 0, system = 0;
    const std::string all = read_file(stat);
    REQUIRE(sscanf(all.c_str() + all.rfind(')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user, &system) == 2);
    return user + system;
  };
  Conn waiting(calling.port);
  waiting.send("two");
  const long before = ticks();
  CHECK_FALSE(wait_for([&] { return ticks() - before > 20; }, 1));
  open.shut();
  CHECK(wait_for([&] { return waiting.text() == "two"; }, 10));
}

TEST_CASE("upgrade: who comes by a peer while the old daemon drains is served by that") {
  TempFolder temp;
  Server echo(echoes);
  const uint16_t links = quiet_port();
  Background hub(temp, {"SERVER=sockmux", "-P" + local(links), "DEST=" + local(echo.port())});
  Daemon branch({"SERVER=sockmux://" + local(links), "PORT=127.0.0.1:0"});
  Conn open(branch.port());
  open.send("one");
  REQUIRE(wait_for([&] { return open.text() == "one"; }, 10));
  const pid_t old = hub.pid();
  REQUIRE(ctl({"upgrade", "-s", hub.control(), "--drain", "60"}).status == 0);
  for (int i = 0; i < 20; ++i) {
    Conn next(branch.port());
    next.send("two").shut();
    CHECK(wait_for([&] { return next.over(); }, 10));
    CHECK(next.text() == "two");
  }
  CHECK(Background::lives(old));
  open.shut();
  CHECK(wait_for([&] { return open.over() && !Background::lives(old); }, 10));
  CHECK(serves(branch.port(), 10));
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

TEST_CASE("upgrade: of a daemon that is called and calls another, the new one makes its own link, too, though its peers come first") {
  for (const bool ways : {false, true}) {
    CAPTURE(ways);
    Server echo(echoes);
    Daemon up({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(echo.port()), "PORT=127.0.0.1:0"});
    TempFolder temp;
    const uint16_t at = quiet_port();
    Words words{"SERVER=sockmux", "-P127.0.0.1:" + text(at), "SERVER=sockmux://" + local(up.link_port()), "DEST=" + local(echo.port())};
    if (ways) words.push_back("SERVER=sockmux://" + local(quiet_port()));
    Background middle(temp, words);
    REQUIRE(middle.says(" link-up "));
    Daemon down({"SERVER=sockmux://" + local(at), "PORT=127.0.0.1:0", "DEST=" + local(echo.port())});
    REQUIRE(wait_for([&] { return count_of(middle.log(), " link-up ") == 2; }, 10));
    const pid_t old = middle.pid();
    // The old one waits for this client, and the peer that has nobody there comes to the new one meanwhile.
    Conn open(up.port());
    open.send("one");
    REQUIRE(wait_for([&] { return open.text() == "one"; }, 10));
    CHECK(ctl({"upgrade", "-s", middle.control(), "--drain", "60"}).status == 0);
    const pid_t young = middle.pid();
    CHECK(young != old);
    const std::string said = "sockmuxd[" + text(static_cast<uint64_t>(young)) + "]";
    (void)middle.says(said + " link-up ", 2);
    open.shut();
    CHECK(wait_for([&] { return open.over(); }, 10));
    CHECK(middle.says(said + " upgraded"));
    CHECK(wait_for([&] { return count_of(middle.log(), said + " link-up ") == 2; }, 15));
    CHECK(serves(up.port(), 10));
    CHECK(serves(down.port(), 10));
    CHECK(Background::lives(young));
  }
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
  ProcessSetup setup;
  setup.environment = {"SOCKMUX_TAKE=" + temp / "nobody"};
  Daemon next({"SERVER=sockmux", "-P127.0.0.1:0"}, setup);
  CHECK(next->wait_end(5));
  CHECK(next->status() == 69);
  CHECK(next->says("sockmuxd: SOCKMUX_TAKE: No such file or directory\n"));
  CHECK_FALSE(d->says(" ending "));
}

TEST_CASE("upgrade: a daemon that ends gives nothing away, and neither does what is none") {
  TempFolder temp;
  Server echo(echoes);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "SOXCONF=control:" + temp / "control"});
  Daemon c({"SERVER=sockmux://" + local(a.link_port()), "DEST=" + local(echo.port())});
  Conn open(a.port());
  open.send("x");
  REQUIRE(wait_for([&] { return open.text() == "x"; }, 10));
  a->signal(SIGTERM);
  REQUIRE(a->wait_log(" ending ", 5));
  ProcessSetup setup;
  setup.environment = {"SOCKMUX_TAKE=" + temp / "control"};
  Daemon next({"SERVER=sockmux", "-P127.0.0.1:0"}, setup);
  CHECK(next->wait_end(10));
  CHECK(next->status() == 69);
  CHECK(next->says("sockmuxd: SOCKMUX_TAKE: it says: take: this daemon ends\n"));
  Process other({"socat", "UNIX-LISTEN:" + temp / "other" + ",fork", "SYSTEM:'read x; echo hello'"});
  REQUIRE(wait_for([&] { return exists(temp / "other"); }, 10));
  setup.environment = {"SOCKMUX_TAKE=" + temp / "other"};
  Daemon third({"SERVER=sockmux", "-P127.0.0.1:0"}, setup);
  CHECK(third->wait_end(10));
  CHECK(third->status() == 69);
  CHECK(third->says("sockmuxd: SOCKMUX_TAKE: no sockmuxd answers there\n"));
}

TEST_CASE("upgrade: what the file says by then counts: a port that is new is opened, one that is gone is closed") {
  TempFolder temp;
  const uint16_t links = quiet_port(), port = static_cast<uint16_t>(links + 1);
  const std::string words = "SERVER=sockmux\n-P" + local(links) + "\n";
  write_file(temp / "conf", words + "PORT=" + local(port) + "\n");
  Background d(temp, {"+=" + temp / "conf"});
  const auto is_open = [](uint16_t number) {
    Conn c(number);
    wait_for([&] { return c.connected() || c.error() != 0; }, 5);
    return c.connected();
  };
  CHECK(is_open(port));
  const uint16_t more = quiet_port();
  write_file(temp / "conf", words + "PORT=" + local(more) + "\n");
  CHECK(ctl({"upgrade", "-s", d.control()}).status == 0);
  CHECK(is_open(links));
  CHECK(is_open(more));
  CHECK(wait_for([&] { return !is_open(port); }, 10));
}

TEST_CASE("upgrade: a second one, while the first daemon still drains: no link beside its own") {
  Calling calling;
  Background& d = calling.d;
  const uint16_t port = calling.port;
  Conn open(port);
  open.send("one");
  REQUIRE(wait_for([&] { return open.text() == "one"; }, 10));
  const std::string first = "sockmuxd[" + text(static_cast<uint64_t>(d.pid())) + "] ";
  REQUIRE(ctl({"upgrade", "-s", d.control(), "--drain", "60"}).status == 0);
  REQUIRE(ctl({"upgrade", "-s", d.control()}).status == 0);
  const std::string third = "sockmuxd[" + text(static_cast<uint64_t>(d.pid())) + "] ";
  REQUIRE(d.says(third + "started"));
  open.send(" two").shut();
  CHECK(wait_for([&] { return open.over(); }, 10));
  CHECK(open.text() == "one two");
  REQUIRE(d.says(third + "upgraded"));
  CHECK(d.says(third + "link-up"));
  const std::string log = d.log();
  CHECK(log.find(first + "ended") < log.find(third + "upgraded"));
  CHECK(serves(port, 10));
}

TEST_CASE("upgrade: a stop of the new daemon does not leave the old ones for as long as they may drain") {
  Calling calling;
  Background& d = calling.d;
  const uint16_t port = calling.port;
  Conn open(port);
  open.send("one");
  REQUIRE(wait_for([&] { return open.text() == "one"; }, 10));
  const pid_t first = d.pid();
  REQUIRE(ctl({"upgrade", "-s", d.control(), "--drain", "3600"}).status == 0);
  const pid_t second = d.pid();
  REQUIRE(ctl({"upgrade", "-s", d.control(), "--drain", "3600"}).status == 0);
  CHECK(Background::lives(second));
  ::kill(d.pid(), SIGTERM);
  CHECK(wait_for([&] { return !Background::lives(first) && !Background::lives(second); }, 15));
}

TEST_CASE("upgrade: root starts no program that a socket of another user names, and takes no ports of it") {
  if (geteuid() != 0) return;
  TempFolder temp;
  run({"chmod", "777", temp.path()}, 5);
  const std::string answer = "1 ok\\npid\\t1\\nbackground\\tyes\\nfolder\\t/\\nword\\ttouch\\nword\\t" + temp / "made" + "\\nend\\n";
  write_file(temp / "answer", "#!/bin/sh\nread -r line\nprintf '" + answer + "'\n");
  run({"chmod", "755", temp / "answer"}, 5);
  ProcessSetup other;
  other.user = 12345;
  Process liar({"socat", "UNIX-LISTEN:" + temp / "control" + ",mode=666,fork", "EXEC:" + temp / "answer"}, other);
  REQUIRE(wait_for([&] { return exists(temp / "control"); }, 10));
  const Said said = ctl({"upgrade", "-s", temp / "control"});
  CHECK(said.error == "sockmuxctl: " + temp / "control" + ": uid 12345 listens here, who is neither root nor you: run this as that user\n");
  CHECK(said.status == 77);
  CHECK_FALSE(exists(temp / "made"));
  ProcessSetup setup;
  setup.environment = {"SOCKMUX_TAKE=" + temp / "control"};
  Daemon next({"SERVER=sockmux", "-P127.0.0.1:0"}, setup);
  CHECK(next->wait_end(5));
  CHECK(next->status() == 69);
  CHECK(next->says("sockmuxd: SOCKMUX_TAKE: uid 12345 listens there, who is neither root nor us\n"));
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

TEST_CASE("upgrade: under systemd the configuration is checked, and then the unit is started again") {
  TempFolder temp;
  run({"chmod", "755", temp.path()}, 5);
  const uint16_t port = quiet_port();
  const std::string conf = "SERVER=sockmux\n-P" + local(port) + "\nSOXCONF=control:" + temp / "control" + "\n";
  write_file(temp / "conf", conf);
  ProcessSetup setup;
  setup.environment = {"NOTIFY_SOCKET=@sockmux-test-systemd-" + std::to_string(getpid())};
  const int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  const std::string name = setup.environment[0].substr(setup.environment[0].find('@') + 1);
  memcpy(at.sun_path + 1, name.data(), name.size());
  REQUIRE(bind(manager, reinterpret_cast<sockaddr*>(&at), static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())) == 0);
  Daemon d({"+=" + temp / "conf", "SOXCONF=control:" + temp / "control"}, setup);
  d.await_start();
  const std::string pid = text(static_cast<uint64_t>(d->pid()));
  Said said = ctl({"upgrade", "-s", temp / "control"});
  CHECK(said.status == 69);
  CHECK(said.error == "sockmuxctl: process " + pid + " belongs to a service manager that is not systemd: have it started anew by that\n");
  // What systemd would do, and the file by which it is known
  run({"mkdir", temp / "bin"}, 5);
  write_file(temp / "cgroup", "0::/system.slice/sockmux.service\n");
  write_file(temp / "bin/systemctl", "#!/bin/sh\necho \"$*\" >" + temp / "called" + "\nkill " + pid + "\nwhile kill -0 " + pid + "; do sleep 0.02; done\n" + daemon_path() +
                                         " -f +=" + temp / "conf" + " >/dev/null 2>&1 </dev/null & echo $! >" + temp / "pid\n");
  run({"chmod", "755", temp / "bin/systemctl"}, 5);
  const auto upgrade = [&] {
    Process p({"unshare", "-m", "sh", "-c", "mount --bind " + temp / "cgroup" + " /proc/" + pid + "/cgroup || exit 99; PATH=" + temp / "bin" + ":$PATH; " + ctl_path() + " upgrade -s " + temp / "control"});
    wait_for([&] { return !p.running() || !d->running(); }, 20);  // who has ended is no zombie then
    CHECK(p.wait_end(20));
    return Said{p.status(), "", p.log()};
  };
  write_file(temp / "conf", conf + "PORTT=1\n");
  said = upgrade();
  if (said.status == 99 || said.status == 1 || said.status == 127) {
    MESSAGE("not here: " << said.error);
    close(manager);
    return;
  }
  CHECK(said.status == 78);
  CHECK(said.error.find("the new daemon would not start (status 78); process " + pid + " goes on as before\n") != std::string::npos);
  CHECK_FALSE(exists(temp / "called"));
  CHECK(d->running());
  write_file(temp / "conf", conf);
  said = upgrade();
  CHECK(said.status == 0);
  CHECK(read_file(temp / "called") == "restart sockmux.service\n");
  CHECK(said.error.find("sockmuxctl: warning: sockmux.service has no FileDescriptorStoreMax= and Environment=FDSTORE=") == 0);
  CHECK(said.error.find(" has taken the place of " + pid + "\n") != std::string::npos);
  ::kill(atoi(read_file(temp / "pid").c_str()), SIGKILL);
  close(manager);
}
