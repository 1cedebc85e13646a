// Clocks that jump: the wall clock, which is set, and the monotonic one, as where that goes on while a machine sleeps.
// Read next: clocks.h; stopped.cc.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <utime.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/e2e/clocks.h"
#include "tests/e2e/datagrams.h"
#include "tests/e2e/line.h"
#include "tests/e2e/tunnel.h"

using namespace e2e;

namespace {

constexpr int64_t kDay = 86400, kYear = 365 * kDay;

std::string year_in(int64_t seconds) {
  const time_t then = time(nullptr) + seconds;
  tm parts;
  REQUIRE(gmtime_r(&then, &parts) != nullptr);
  return text(static_cast<uint64_t>(parts.tm_year + 1900)) + "-";
}

}  // namespace

TEST_CASE("clock: the wall clock is set back and forward under secure links: nothing depends on it but the times in the log") {
  if (cannot_shift()) return;
  Clocks here, there;
  TwoSites sites;
  Server echo(echoes);
  Daemon a(sites.hub.words({"SERVER=sockmuxs", "-P127.0.0.1:0", "PORT=127.0.0.1:0"}), here.setup());
  Wire wire(a.link_port());
  const Words branch = sites.branch.words({"SERVER=sockmuxs://" + local(wire.port()), "DEST=" + local(echo.port()), "TIMEOUT=retry:1"});
  auto c = std::make_unique<Daemon>(branch, there.setup());
  REQUIRE((*c)->wait_log(" link-up ", 10));
  Conn talk(a.port());
  std::string asked;
  for (const int64_t jump : {-kDay, 30 * kYear, -100 * kYear, int64_t{0}, -10 * kYear}) {
    CAPTURE(jump);
    const size_t a_from = a->log().size(), c_from = (*c)->log().size();
    (jump > 0 ? here : there).set_wall(jump);
    talk.send("k");
    asked += "k";
    CHECK(wait_for([&] { return talk.text() == asked; }, 5));
    wire.cut();
    CHECK((*c)->wait_log("resumed=yes", 5, c_from));
    talk.send("k");
    asked += "k";
    CHECK(wait_for([&] { return talk.text() == asked; }, 5));
    const std::string log = jump > 0 ? a->log().substr(a_from) : (*c)->log().substr(c_from);
    CHECK(log.find(jump == -100 * kYear ? "1970-01-01T00:00:00Z" : year_in(jump)) == 0);
  }
  CHECK(talk.alive());
  // A machine that starts with a clock that was never set, and whose peer has seen it in the future.
  for (const int64_t start : {10 * kYear, -50 * kYear, -kDay}) {
    CAPTURE(start);
    c.reset();
    there.set_wall(start);
    c = std::make_unique<Daemon>(branch, there.setup());
    CHECK((*c)->wait_log(" link-up ", 10));
    CHECK(serves(a.port(), 5));
  }
}

TEST_CASE("clock: the monotonic clock jumps an hour at one side: links are asked or made anew, channels go on") {
  if (cannot_shift()) return;
  for (const std::string kind : {"plain", "secure"})
    for (const int side : {0, 1}) {
      CAPTURE(kind);
      CAPTURE(side);
      Clocks clocks;
      Tunnel t(kind, {}, clocks.setup(), side);
      Conn copy(t.a->port()), talk(t.a->port());
      constexpr uint64_t kSize = 10 * 1000 * 1000;
      constexpr size_t kJumps = 5;
      copy.expect_pattern(7).send_pattern(7, kSize);
      size_t asked = 0, jumps = 0;
      CHECK(wait_for(
          [&] {
            if (jumps < kJumps && copy.received() > (jumps + 1) * (kSize / (kJumps + 2))) clocks.add_monotonic(3600), ++jumps;
            if (talk.text().size() == asked) talk.send("k"), ++asked;
            return copy.over() || (jumps == kJumps && copy.received() == kSize);
          },
          60));
      CHECK(copy.received() == kSize);
      CHECK_FALSE(copy.wrong());
      CHECK(copy.alive());
      CHECK(wait_for([&] { return talk.text().size() == asked; }, 5));
      // And while nothing moves
      clocks.add_monotonic(3600);
      talk.send("k");
      CHECK(wait_for([&] { return talk.text().size() == asked + 1; }, 20));
      CHECK(serves(t.a->port(), 5));
      CHECK(talk.alive());
    }
}

TEST_CASE("clock: a dump that runs while the wall clock is set shows the time that it is") {
  if (cannot_shift()) return;
  Clocks clocks;
  TempFolder folder;
  Server echo(echoes);
  Pair t({"PORT=127.0.0.1:0", "SOXCONF=control:" + folder / "socket"}, {"DEST=" + local(echo.port())}, clocks.setup());
  Process dump({ctl_path(), "-s", folder / "socket", "dump"});
  REQUIRE((*t.a)->wait_log(" dump-started ", 5));
  Conn talk(t.a->port());
  talk.send("before");
  REQUIRE(dump.wait_log("SEND", 5));
  const size_t from = dump.log().size();
  clocks.set_wall(5 * 3600);
  talk.send("after");
  REQUIRE(dump.wait_log("SEND", 5, from));
  const time_t then = time(nullptr) + 5 * 3600;
  const size_t line = dump.log().rfind('\n', dump.log().find("SEND", from)) + 1;
  CHECK(abs(atoi(dump.log().c_str() + line) - static_cast<int>(then / 3600 % 24)) % 23 <= 1);  // the hour may just have ended
}

TEST_CASE("clock: a lock of a serial line that is from the future and names nobody does not hold the line for ever") {
  TempFolder folder;
  Line line(folder);
  write_file(line.lock(0), "");
  const utimbuf future{time(nullptr) + kYear, time(nullptr) + kYear};
  REQUIRE(utime(line.lock(0).c_str(), &future) == 0);
  Server echo(echoes);
  Daemon a({"SERVER=sockmux:comm@" + line.name(0), "PORT=127.0.0.1:0"});
  Daemon c({"SERVER=sockmux:comm@" + line.name(1), "DEST=" + local(echo.port())});
  CHECK(serves(a.port(), 20));
  (void)unlink(line.lock(0).c_str());
}
