// Serial links, over pseudo terminals: settings, locks, slow lines, devices that go and come back. Read next: line.h.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "tests/e2e/line.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

// Two daemons and a line between them; clients of `a` reach a server of `b`.
struct Ends {
  Ends(Line& line, const std::string& settings, const Words& a_words, const Words& b_words) {
    Words words{"SERVER=sockmux:comm@" + line.name(0) + settings, "TIMEOUT=retry:1"};
    words.insert(words.end(), a_words.begin(), a_words.end());
    a = std::make_unique<Daemon>(words);
    words = {"SERVER=sockmux:comm@" + line.name(1) + settings, "TIMEOUT=retry:1"};
    words.insert(words.end(), b_words.begin(), b_words.end());
    b = std::make_unique<Daemon>(words);
    a->await_start();
    b->await_start();
  }
  bool up(double seconds, size_t a_from = 0, size_t b_from = 0) {
    return wait_for([&] { return (*a)->says(" link-up ", a_from) && (*b)->says(" link-up ", b_from); }, seconds);
  }
  std::unique_ptr<Daemon> a, b;
};

const char* const kProtos[] = {"SOXCONF=proto:1", "SOXCONF=proto:1,line:clean", "SOXCONF=proto:0.3"};

bool same(const termios& a, const termios& b) {
  return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_cflag == b.c_cflag && a.c_lflag == b.c_lflag &&
         a.c_cc[VMIN] == b.c_cc[VMIN] && cfgetospeed(&a) == cfgetospeed(&b);
}

// A lock file as the tools of the system write it.
void write_lock(const std::string& path, long pid) {
  char text[16];
  snprintf(text, sizeof text, "%10ld\n", pid);
  write_file(path, text);
}

// A process id that nobody has: of a child that has ended.
long dead_pid() {
  Process p({"true"});
  REQUIRE(p.wait_end(5));
  return p.pid();
}

// A pattern goes through an echo server behind `port` and comes back whole.
void check_echo(uint16_t port, uint64_t seed, uint64_t size, double seconds) {
  Conn c(port);
  c.expect_pattern(seed).send_pattern(seed, size);
  CHECK(wait_for([&] { return c.received() >= size || c.over() || c.wrong(); }, seconds));
  CHECK(c.received() == size);
  CHECK_FALSE(c.wrong());
}

}  // namespace

TEST_CASE("tty: two daemons over a line, both dialects, bytes both ways") {
  for (const char* proto : kProtos) {
    CAPTURE(std::string(proto));
    TempFolder folder;
    Line line(folder);
    Server echo(echoes);
    Ends ends(line, "", {"PORT=127.0.0.1:0", proto}, {"DEST=" + local(echo.port()), proto});
    REQUIRE(ends.up(5));
    check_echo(ends.a->port(), 7, 300000, 20);
  }
}

TEST_CASE("tty: either side may come first, be killed, and come back") {
  for (const char* proto : kProtos) {
    CAPTURE(std::string(proto));
    TempFolder folder;
    Line line(folder);
    Server echo(echoes);
    Daemon a({"SERVER=sockmux:comm@" + line.name(0), "TIMEOUT=retry:1", "PORT=127.0.0.1:0", proto});
    a.await_start();
    // What it says before the other one is there is lost, as on a real line.
    line.dead = true;
    const double until = now() + 1.5;
    (void)wait_for([&] { return now() > until; }, 3);
    line.dead = false;
    Daemon b({"SERVER=sockmux:comm@" + line.name(1), "TIMEOUT=retry:1", "DEST=" + local(echo.port()), proto});
    REQUIRE(a->wait_log(" link-up ", 5));
    REQUIRE(b->wait_log(" link-up ", 5));
    const uint16_t port = a.port();
    check_echo(port, 1, 20000, 10);
    for (int i = 0; i < 2; ++i) {
      Daemon& dies = i == 0 ? b : a;
      Daemon& stays = i == 0 ? a : b;
      const size_t from = stays->log().size();
      dies.restart();
      REQUIRE(stays->wait_log(" link-up ", 10, from));
      REQUIRE(dies->wait_log(" link-up ", 10));
      check_echo(port, 2, 20000, 10);
    }
  }
}

TEST_CASE("tty: the device is raw and set as asked, locked, and put back at the end") {
  TempFolder folder;
  Line line(folder);
  const termios before = line.settings(0);
  Daemon d({"SERVER=sockmux:comm@" + line.name(0) + ",57600,8n2,rtscts,modem", "TIMEOUT=retry:1"});
  d.await_start();
  REQUIRE(d->wait_log(" device-open ", 5));
  const termios t = line.settings(0);
  CHECK(cfgetospeed(&t) == B57600);
  CHECK(cfgetispeed(&t) == B57600);
  CHECK((t.c_lflag & (ICANON | ECHO | ISIG | IEXTEN)) == 0);
  CHECK((t.c_iflag & (IXON | IXOFF | ICRNL | INLCR | IGNCR | ISTRIP | BRKINT)) == 0);
  CHECK((t.c_oflag & OPOST) == 0);
  CHECK((t.c_cflag & CSIZE) == CS8);
  CHECK((t.c_cflag & CSTOPB) != 0);
  CHECK((t.c_cflag & CRTSCTS) != 0);
  CHECK((t.c_cflag & CLOCAL) == 0);
  CHECK(t.c_cc[VMIN] == 1);
  CHECK(atol(read_file(line.lock(0)).c_str()) == d->pid());
  CHECK(read_file(line.lock(0)).size() == 11);
  CHECK(read_file(line.lock(0)).back() == '\n');
  struct stat s;
  CHECK(stat(line.lock(0).c_str(), &s) == 0);
  // It is nobody's who is not nobody: the daemon has given root up and must be able to remove it.
  if (getuid() == 0) CHECK(s.st_uid != 0);
  for (const int sign : {SIGTERM, SIGINT}) {
    d->signal(sign);
    REQUIRE(d->wait_end(5));
    CHECK(d->status() == 0);
    CHECK(same(line.settings(0), before));
    CHECK_FALSE(exists(line.lock(0)));
    if (sign == SIGINT) break;
    d.restart();
    REQUIRE(d->wait_log(" device-open ", 5));
    CHECK(exists(line.lock(0)));
    CHECK_FALSE(same(line.settings(0), before));
  }
}

TEST_CASE("tty: the end of a link that is up puts the device back at once, with a goodbye for the peer") {
  TempFolder folder;
  Line line(folder);
  const termios before = line.settings(0);
  Ends ends(line, "", {}, {});
  REQUIRE(ends.up(5));
  const double began = now();
  ends.a->process().signal(SIGTERM);
  REQUIRE((*ends.a)->wait_end(5));
  CHECK(now() - began < 0.9 * slowness());  // it does not wait for an end of file that a line can't have
  CHECK((*ends.a)->status() == 0);
  CHECK(same(line.settings(0), before));
  CHECK((*ends.b)->wait_log("link-down", 2));
  CHECK((*ends.b)->says("shutdown"));
}

TEST_CASE("tty: a lock file of a dead process is taken over; one of a live process is honoured until it goes") {
  TempFolder folder;
  Line line(folder);
  write_lock(line.lock(0), dead_pid());
  write_lock(line.lock(1), getpid());
  Ends ends(line, "", {}, {});
  CHECK((*ends.a)->wait_log(" device-open ", 5));
  CHECK(atol(read_file(line.lock(0)).c_str()) == (*ends.a)->pid());
  CHECK((*ends.b)->says("in use: " + line.lock(1) + " is there, of process " + text(static_cast<uint64_t>(getpid()))));
  CHECK((*ends.b)->wait_log(" connect-failed ", 5));
  CHECK_FALSE((*ends.b)->says(" device-open "));
  CHECK(atol(read_file(line.lock(1)).c_str()) == getpid());
  REQUIRE(unlink(line.lock(1).c_str()) == 0);
  REQUIRE(ends.up(10));
  CHECK(atol(read_file(line.lock(1)).c_str()) == (*ends.b)->pid());
  // A second daemon on the same line.
  Daemon third({"SERVER=sockmux:comm@" + line.name(1), "TIMEOUT=retry:1"});
  CHECK(third->wait_log("in use: " + line.lock(1), 5));
  third->signal(SIGTERM);
  CHECK(third->wait_end(5));
  CHECK(exists(line.lock(1)));
}

TEST_CASE("tty: a line that is unplugged is lost, and comes back when it does") {
  for (const char* proto : kProtos) {
    CAPTURE(std::string(proto));
    TempFolder folder;
    Line line(folder);
    Server echo(echoes);
    Ends ends(line, "", {"PORT=127.0.0.1:0", proto}, {"DEST=" + local(echo.port()), proto});
    REQUIRE(ends.up(5));
    const std::string old_lock = line.lock(0);
    const size_t from = (*ends.a)->log().size(), b_from = (*ends.b)->log().size();
    line.unplug(0);
    REQUIRE((*ends.a)->wait_log(" link-down ", 5, from));
    REQUIRE((*ends.a)->wait_log(" connect-failed ", 5, from));
    CHECK((*ends.a)->says("No such file or directory", from));
    line.plug(0);
    REQUIRE(ends.up(10, from, b_from));
    check_echo(ends.a->port(), 3, 20000, 10);
    CHECK(atol(read_file(line.lock(0)).c_str()) == (*ends.a)->pid());
    if (line.lock(0) != old_lock) CHECK_FALSE(exists(old_lock));
  }
}

TEST_CASE("tty: a device that is not there yet is waited for") {
  TempFolder folder;
  Line line(folder);
  line.unplug(0);
  Ends ends(line, "", {}, {});
  CHECK((*ends.a)->says("warning: SERVER=sockmux:comm@" + line.name(0) + ": " + line.name(0) + ": No such file or directory; tried again"));
  line.plug(0);
  CHECK(ends.up(10));
}

TEST_CASE("tty: what is no line is refused, with the reason") {
  TempFolder folder;
  write_file(folder / "file", "x");
  REQUIRE(mkfifo((folder / "fifo").c_str(), 0600) == 0);
  const auto refused = [&](const std::string& server, int status, const std::string& why) {
    CAPTURE(server);
    Process p({daemon_path(), "-f", "SERVER=" + server});
    REQUIRE(p.wait_end(5));
    CHECK(p.status() == status);
    CHECK_MESSAGE(p.says(why), p.log());
  };
  refused("sockmux:comm@" + (folder / "file"), 66, "is no device");
  refused("sockmux:comm@" + folder.path(), 66, "is no device");
  refused("sockmux:comm@" + (folder / "fifo"), 66, "is a FIFO");
  refused("sockmux:comm@/dev/ttyS0,9601", 64, "near are 9600 and 19200");
  refused("sockmux:comm@/dev/ttyS0,7e1", 64, "needs all 8 bits");
  refused("sockmux:comm@/dev/ttyS0,xonxoff", 64, "XON and XOFF are bytes of the link");
  refused("sockmux:comm@/dev/ttyS0,9600,fast", 64, "expected a speed as 9600, a format as 8n1, rtscts or none, local or modem");
}

TEST_CASE("tty: 1 MB arrives whole over a line that flips one bit in 10,000 and drops one byte in 1,000") {
  TempFolder folder;
  Line line(folder, 400000);
  line.flips = 1e-4;
  line.drops = 1e-3;
  Server echo(echoes);
  Ends ends(line, ",4000000", {"PORT=127.0.0.1:0"}, {"DEST=" + local(echo.port())});
  REQUIRE(ends.up(10));
  const double began = now();
  check_echo(ends.a->port(), 11, 1000000, 120);
  MESSAGE("there and back in ", now() - began, " s; the line has carried ", line.carried(0), " and ", line.carried(1), " bytes");
  CHECK((*ends.a)->count(" link-up ") == 1);
  CHECK((*ends.b)->count(" link-up ") == 1);
}

TEST_CASE("tty: garbage on a lossy line is repaired, and nobody notices") {
  TempFolder folder;
  Line line(folder);
  Server echo(echoes);
  Ends ends(line, "", {"PORT=127.0.0.1:0"}, {"DEST=" + local(echo.port())});
  REQUIRE(ends.up(5));
  Conn open(ends.a->port());
  open.expect_pattern(7).send_pattern(7, 100000);
  for (int i = 0; i < 20; ++i) {
    REQUIRE(wait_for([&] { return open.received() >= static_cast<uint64_t>(i) * 5000; }, 20));
    line.inject(i % 2, pattern(static_cast<uint64_t>(i) + 1, 100 + static_cast<size_t>(i) * 50));
  }
  CHECK(wait_for([&] { return open.received() == 100000; }, 20));
  CHECK_FALSE(open.wrong());
  CHECK((*ends.a)->count(" link-up ") == 1);
  CHECK((*ends.b)->count(" link-up ") == 1);
}

TEST_CASE("tty: a peer that takes the line for clean is told from a bad line") {
  TempFolder folder;
  Line line(folder);
  Ends ends(line, "", {"TIMEOUT=hello:2"}, {"SOXCONF=line:clean", "TIMEOUT=hello:2"});
  CHECK((*ends.a)->wait_log("the peer makes no frames for a lossy line (set SOXCONF=line:clean on both sides or on none)", 20));
  CHECK((*ends.b)->wait_log(" link-failed ", 20));
}

TEST_CASE("tty: garbage on a line that is taken for clean ends the link, and the next one comes up") {
  TempFolder folder;
  Line line(folder);
  Server echo(echoes);
  Ends ends(line, "", {"PORT=127.0.0.1:0", "SOXCONF=line:clean"}, {"DEST=" + local(echo.port()), "SOXCONF=line:clean"});
  REQUIRE(ends.up(5));
  for (int i = 0; i < 3; ++i) {
    const size_t from = (*ends.a)->log().size(), b_from = (*ends.b)->log().size();
    line.inject(i % 2, pattern(static_cast<uint64_t>(i) + 1, 3000));
    REQUIRE(ends.up(20, from, b_from));
    check_echo(ends.a->port(), 4, 20000, 10);
  }
}

TEST_CASE("tty: a slow line carries bulk both ways, nobody is taken for dead, and a key press is not behind it") {
  struct Case {
    const char* settings;
    double rate;  // bytes a second
    uint64_t bulk;
    int presses;
    double longest;  // seconds for a key press and its echo
  };
  for (const Case& k : {Case{",9600", 960, 12000, 12, 2}, Case{",115200,8n1", 11520, 150000, 40, 0.5}}) {
    for (const char* proto : kProtos) {
      CAPTURE(std::string(k.settings));
      CAPTURE(std::string(proto));
      TempFolder folder;
      Line line(folder, k.rate);
      Server echo(echoes);
      // TIMEOUT=ping: as short as it can be, so that a packet that takes long would be seen as silence.
      Ends ends(line, k.settings, {"PORT=127.0.0.1:0", proto, "TIMEOUT=ping:2"}, {"DEST=" + local(echo.port()), proto, "TIMEOUT=ping:2"});
      REQUIRE(ends.up(10));
      Conn bulk(ends.a->port());
      bulk.expect_pattern(5).send_pattern(5, k.bulk);
      REQUIRE(wait_for([&] { return bulk.received() > k.bulk / 20; }, 20));
      const double began = now();
      const uint64_t at_first = bulk.received();
      Conn keys(ends.a->port());
      std::vector<double> times;
      for (int i = 0; i < k.presses && bulk.received() < k.bulk; ++i) {
        const double press = now();
        keys.send("k");
        REQUIRE(wait_for([&] { return keys.text().size() > static_cast<size_t>(i); }, 10));
        if (i > 0) times.push_back(now() - press);  // the first one opens the channel
      }
      REQUIRE(times.size() > 4);
      std::sort(times.begin(), times.end());
      const double share = static_cast<double>(bulk.received() - at_first) / (now() - began) / k.rate;
      MESSAGE(std::string(k.settings), " ", std::string(proto), ": key press ms, median ", times[times.size() / 2] * 1000, ", longest ", times.back() * 1000,
              "; bulk has ", share * 100, " % of the line");
      CHECK(times.back() < k.longest * slowness());
      CHECK(share > 0.6);
      CHECK(wait_for([&] { return bulk.received() >= k.bulk; }, 60));
      CHECK_FALSE(bulk.wrong());
      CHECK((*ends.a)->count(" link-up ") == 1);
      CHECK((*ends.b)->count(" link-up ") == 1);
    }
  }
}

TEST_CASE("tty: pseudo terminals of socat") {
  TempFolder folder;
  Process socat({find_program("socat"), "pty,link=" + (folder / "A") + ",raw", "pty,link=" + (folder / "B") + ",raw"});
  REQUIRE(wait_for([&] { return exists(folder / "A") && exists(folder / "B"); }, 5));
  Server echo(echoes);
  Daemon a({"SERVER=sockmux:comm@" + (folder / "A"), "PORT=127.0.0.1:0"});
  Daemon b({"SERVER=sockmux:comm@" + (folder / "B"), "DEST=" + local(echo.port())});
  REQUIRE(a->wait_log(" link-up ", 10));
  REQUIRE(b->wait_log(" link-up ", 10));
  check_echo(a.port(), 9, 1000000, 20);
  for (Daemon* d : {&a, &b}) {
    (*d)->signal(SIGTERM);
    CHECK((*d)->wait_end(5));
  }
}
