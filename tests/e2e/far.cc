// A slow, far line between two daemons (tools/bench/wanpipe.cc): bulk takes it whole, and a key press passes by.
// Rules: sockmux(7), "Order of sending". Read next: tests/sim/sim_far.cc, which knows every millisecond.
#include <doctest/doctest.h>
#include <signal.h>
#include <stdlib.h>

#include <algorithm>

#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

// wanpipe from a port of its own to `target`.
class FarLine {
 public:
  FarLine(uint16_t target, const std::string& kbit, const std::string& ms) {
    const char* given = getenv("CXX");
    const std::string program = temp_ / "wanpipe";
    const std::string compiler = given != nullptr && *given != 0 ? given : "c++";
    (void)run({"/bin/sh", "-c", compiler + " -std=c++17 -O1 -o '" + program + "' tools/bench/wanpipe.cc"}, 60);  // CXX may be several words
    process_ = std::make_unique<Process>(Words{program, "0", text(target), kbit, ms});
    REQUIRE(process_->wait_log("\n", 5));
    port_ = static_cast<uint16_t>(atoi(process_->log().c_str()));
    REQUIRE(port_ != 0);
  }
  uint16_t port() const { return port_; }
  // Resets every connection.
  void cut() { process_->signal(SIGUSR1); }
  // Carries nothing, and again.
  void freeze_or_thaw() { process_->signal(SIGUSR2); }

 private:
  TempFolder temp_;
  std::unique_ptr<Process> process_;
  uint16_t port_ = 0;
};

}  // namespace

TEST_CASE("10 Mbit/s, 40 ms: a key press beside a download does not wait for a queue of it, and the download fills the line") {
  Server echo(echoes), giver(gives(5, 1u << 30));
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(giver.port()) + ":127.0.0.2", "DEST=" + local(echo.port())});
  FarLine line(a.link_port(), "10000", "20");
  Daemon c({"SERVER=sockmux://" + local(line.port()), "PORT=127.0.0.1:0"});
  REQUIRE(c->wait_log(" link-up ", 10));
  Conn key(c.port()), bulk("127.0.0.1", c.port(), "127.0.0.2");
  bulk.expect_pattern(5);
  // Its start is over: 4 MB take 3.4 s.
  REQUIRE(wait_for([&] { return bulk.received() > 4000000; }, 20));
  const double start = now();
  const uint64_t before = bulk.received();
  std::vector<double> ms;
  for (size_t i = 1; i <= 40; ++i) {
    const double pressed = now();
    key.send("k");
    REQUIRE(wait_for([&] { return key.received() == i; }, 5));
    ms.push_back((now() - pressed) * 1000);
  }
  const double rate = static_cast<double>(bulk.received() - before) / (now() - start);
  std::sort(ms.begin(), ms.end());
  MESSAGE("key press ms: median ", ms[20], ", longest ", ms.back(), "; the download has ", rate / 12500, " % of the line");
  // 40 ms of way and 20 of queue; without a window there are 110. A busy machine makes some longer, not half of them.
  CHECK(ms[20] < 40 + 45 * slowness());
  CHECK(rate > 0.6 * 1250000 / slowness());
  CHECK_FALSE(bulk.wrong());
}

TEST_CASE("10 Mbit/s, 40 ms: cuts and a line that stands still for a while are pauses, and nothing more") {
  Server echo([](Conn& c) { c.echo = true; });
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(echo.port())});
  FarLine line(a.link_port(), "10000", "20");
  Daemon c({"SERVER=sockmux://" + local(line.port()), "PORT=127.0.0.1:0"});
  REQUIRE(c->wait_log(" link-up ", 10));
  constexpr uint64_t kSize = 4000000;
  Conn copy(c.port()), talk(c.port());
  copy.expect_pattern(3).send_pattern(3, kSize).shut();
  size_t asked = 0;
  const auto ask = [&] {
    const double start = now();
    talk.send("k");
    ++asked;
    REQUIRE(wait_for([&] { return talk.text().size() == asked; }, 20));
    return now() - start;
  };
  (void)ask();
  double longest = 0;
  for (int i = 0; i < 10; ++i) {
    // In the middle of it; 8 MB take 6.4 s.
    REQUIRE(wait_for([&] { return copy.received() >= kSize / 12 * static_cast<uint64_t>(i + 1); }, 20));
    const size_t from = c->log().size();
    line.cut();
    REQUIRE(c->wait_log(" link-down ", 5, from));
    longest = std::max(longest, ask());
  }
  // 300 ms and 2 round trips are asked for: call, HELLO, SETTINGS, and the key press itself take 4 of them here.
  MESSAGE("longest pause of a key press behind a cut: ", longest * 1000, " ms");
  CHECK(longest < 0.38 * slowness());
  const size_t from = c->log().size();
  line.freeze_or_thaw();
  const double stopped = now();
  (void)wait_for([&] { return now() > stopped + 2; }, 5);
  line.freeze_or_thaw();
  CHECK(ask() < 5);
  CHECK(wait_for([&] { return copy.over(); }, 40));
  CHECK(copy.received() == kSize);
  CHECK_FALSE(copy.wrong());
  CHECK(talk.text() == std::string(asked, 'k'));
  CHECK_FALSE(c->says("resumed=no", from));
  CHECK(c->count("resumed=no") == 1);
  CHECK(a->count("resumed=yes") >= 10);
}
