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

}  // namespace

TEST_CASE("tty: two daemons over a line, both dialects, bytes both ways") {
  for (const char* proto : {"SOXCONF=proto:1", "SOXCONF=proto:0.3"}) {
    CAPTURE(proto);
    TempFolder folder;
    Line line(folder);
    Server echo(echoes);
    Ends ends(line, "", {"PORT=127.0.0.1:0", proto}, {"DEST=" + local(echo.port()), proto});
    REQUIRE(ends.up(10));
    Conn c(ends.a->port());
    c.expect_pattern(7).send_pattern(7, 300000).shut();
    CHECK(wait_for([&] { return c.over(); }, 20));
    CHECK(c.received() == 300000);
    CHECK_FALSE(c.wrong());
  }
}
