// sockmuxctl top at a terminal, as a person sits at it; and without one. Read next: terminal.h, tools/ctl/top.cc.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "tests/e2e/ctl.h"
#include "tests/e2e/sockets.h"
#include "tests/e2e/terminal.h"

using namespace e2e;

namespace {

const std::string kEnd = "\033[?1049l";  // the other screen, as it was

struct Live {
  Live() : server(echoes), path(folder / "a") {
    REQUIRE(chmod(folder.path().c_str(), 0777) == 0);
    p = std::make_unique<Pair>(Words{"PORT=127.0.0.1:0", "SOXCONF=control:" + path},
                               Words{"DEST=" + local(server.port()), "TIMEOUT=retry:0.2"});
    client = std::make_unique<Conn>(p->a->port());
    client->send("hello");
    REQUIRE(wait_for([&] { return client->received() == 5; }, 5));
  }
  Server server;
  TempFolder folder;
  std::string path;
  std::unique_ptr<Pair> p;
  std::unique_ptr<Conn> client;
};

struct Sitting : Terminal {
  explicit Sitting(const std::string& path, const Words& environment = {"TERM=xterm", "LC_ALL=C.UTF-8"}, bool blocks = true)
      : Terminal({ctl_path(), "top", "-s", path, "-i", "0.1"}, environment, blocks) {}
  // A key, and what it makes appear.
  bool press(const std::string& key, const std::string& then) {
    const size_t from = screen().size();
    type(key);
    return wait_for([&] { return screen().find(then, from) != std::string::npos; }, 5);
  }
};

}  // namespace

TEST_CASE("top: channels and peers, sorted, filtered, paused, at any size; q leaves the terminal as it was") {
  Live live;
  Sitting t(live.path);
  REQUIRE(t.shows("1 channels by rate"));
  CHECK_FALSE(t.echoes());
  CHECK(t.shows("CHANNEL     PEER"));
  CHECK(t.shows(">" + text(live.p->a->port())));
  CHECK(t.press("b", "by bytes"));
  CHECK(t.press("n", "by name"));
  CHECK(t.press("a", "by age"));
  CHECK(t.press("i", "by idle time"));
  CHECK(t.press("v", "reversed"));
  CHECK(t.press("r", "by rate"));
  CHECK(t.press("/", "filter: _"));
  CHECK(t.press("no such", "0 of 1 channels by rate, reversed; filter: no such_"));
  CHECK(t.press("\x1b", "1 channels by rate, reversed\033"));
  CHECK(t.press("/client\r", "1 channels by rate, reversed; filter: client"));
  CHECK(t.press("\x1b", "1 channels by rate, reversed\033"));
  CHECK(t.press("p", "1 peers by rate"));
  CHECK(t.shows("ADDRESS"));
  CHECK(t.press("h", "any key ends it"));
  CHECK(t.press("x", "1 peers"));
  CHECK(t.press("c", "1 channels"));
  // Traffic has a bar.
  live.client->send(std::string(100000, 'y'));
  CHECK(t.shows("\u2588"));
  // Paused, nothing is written.
  CHECK(t.press(" ", "; paused"));
  const size_t paused = t.screen().size();
  CHECK_FALSE(wait_for([&] { return t.screen().size() > paused; }, 0.4 / slowness()));
  CHECK(t.press(" ", "1 channels"));
  // Another size: the lines are as long as there are columns.
  for (const unsigned columns : {132u, 40u}) {
    const size_t from = t.screen().size();
    t.resize(20, columns);
    CHECK(wait_for([&] { return t.screen().find("\033[7mCHANNEL", from) != std::string::npos; }, 5));
    const size_t begin = t.screen().find("\033[7mCHANNEL", from) + 4;
    REQUIRE(wait_for([&] { return t.screen().find('\033', begin) != std::string::npos; }, 5));
    CHECK(t.screen().find('\033', begin) - begin == columns);
  }
  // A look at what has hardly changed costs little.
  const size_t from = t.screen().size();
  const double begin = now();
  while (now() - begin < 1) turn(0.1);
  CHECK(t.screen().size() - from < 4000);
  t.type("q");
  REQUIRE(wait_for([&] { return t.over(); }, 5));
  CHECK(t.status() == 0);
  CHECK(t.screen().substr(t.screen().size() - kEnd.size()) == kEnd);
  CHECK(t.echoes());
  CHECK(Daemon::value(live.p->a->statistics(), "allocations") == 0);
}

TEST_CASE("top: a terminal that takes nothing for a moment, and does not block, is waited for") {
  Live live;
  Sitting t(live.path, {"TERM=xterm", "LC_ALL=C.UTF-8"}, false);
  REQUIRE(t.shows("1 channels by rate"));
  t.reading = false;
  for (unsigned i = 0; i < 60; ++i) {  // each is drawn anew, some 400 bytes
    t.resize(24 + i % 2, 80);
    (void)wait_for([] { return false; }, 0.02);
  }
  t.reading = true;
  CHECK(t.press("b", "by bytes"));
  CHECK_FALSE(t.over());
  t.type("q");
  CHECK(t.status() == 0);
}

TEST_CASE("top: a signal ends it, and leaves the terminal as it was") {
  Live live;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    CAPTURE(signal);
    Sitting t(live.path);
    REQUIRE(t.shows("1 channels by rate"));
    if (signal == SIGINT) t.type("\x03");
    else t.signal(signal);
    REQUIRE(wait_for([&] { return t.over(); }, 5));
    CHECK(t.status() == -signal);
    CHECK(t.screen().substr(t.screen().size() - kEnd.size()) == kEnd);
    CHECK(t.echoes());
  }
}

TEST_CASE("top: a daemon that is started anew is found again") {
  Live live;
  Sitting t(live.path, {"TERM=xterm", "LC_ALL=C"});
  REQUIRE(t.shows("1 channels by rate"));
  live.p->a->kill();
  CHECK(t.shows("no daemon answers here"));
  const size_t from = t.screen().size();
  live.p->a->restart();
  CHECK(wait_for([&] { return t.screen().find(" channels by rate", from) != std::string::npos; }, 5));
  CHECK(t.screen().find("\xe2") == std::string::npos);  // no character of UTF-8
  t.type("q");
  CHECK(wait_for([&] { return t.over(); }, 5));
}

TEST_CASE("top: without a terminal it prints tables; without a daemon it says so") {
  Live live;
  const Said said = ctl({"top", "--count=2", "--interval=0.2", "-s", live.path});
  CHECK(said.status == 0);
  CHECK(said.error == "");
  CHECK(count_of(said.out, "CHANNEL     PEER") == 2);
  CHECK(count_of(said.out, ">" + text(live.p->a->port())) == 2);
  CHECK(said.out.find('\033') == std::string::npos);
  CHECK(said.out.find(" \n") == std::string::npos);
  const Said none = ctl({"top", "-s", live.folder / "none"});
  CHECK(none.status == 69);
  CHECK(none.out == "");
  CHECK(none.error.find("no daemon answers here") != std::string::npos);
  Terminal dumb({ctl_path(), "top", "-i", "0.1", "-s", live.path}, {"TERM=dumb"});
  CHECK(wait_for([&] { return dumb.over(); }, 5));
  CHECK(dumb.screen().find('\033') == std::string::npos);
  CHECK(dumb.screen().find("CHANNEL     PEER") != std::string::npos);
}
