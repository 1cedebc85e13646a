// The event loop, on the poller that was built, with real pipes and socket pairs and no sleeps.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <memory>
#include <thread>
#include <vector>

#include "core/io/clock.h"
#include "core/io/fd.h"
#include "core/io/reactor.h"
#include "core/io/socket.h"
#include "tests/loop.h"

using namespace smx;

namespace {

struct Loop : smxtest::Loop {
  Loop() : smxtest::Loop(0, seconds(5)) {}
};

struct Pair {
  Pair() {
    int fd[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
    a = Fd(fd[0]);
    b = Fd(fd[1]);
    REQUIRE(prepare_fd(fd[0]) == 0);
    REQUIRE(prepare_fd(fd[1]) == 0);
  }
  Fd a, b;
};

struct TcpPair {
  TcpPair() {
    Address at;
    REQUIRE(parse_ip_port("127.0.0.1:0", &at));
    int error = 0;
    const Fd listener = listen_tcp(at, 1, &error);
    REQUIRE(error == 0);
    set_oob_inline(listener.get());  // which who is accepted inherits
    set_nodelay(listener.get());
    b = connect_tcp(local_address(listener.get()), Address{}, &error);
    REQUIRE(error == 0);
    pollfd wait{listener.get(), POLLIN, 0};
    REQUIRE(poll(&wait, 1, 5000) == 1);
    Address peer;
    a = accept_tcp(listener.get(), &peer, &error);
    REQUIRE(a.valid());
    const int levels[] = {SOL_SOCKET, IPPROTO_TCP}, options[] = {SO_OOBINLINE, TCP_NODELAY};
    for (int i = 0; i < 2; ++i) {
      int on = 0;
      socklen_t size = sizeof on;
      REQUIRE(getsockopt(a.get(), levels[i], options[i], &on, &size) == 0);
      CHECK(on != 0);
    }
  }
  Fd a, b;
};

struct Counter final : FdHandler {
  void on_ready(int fd, uint8_t r, Time) override {
    ++calls;
    ready |= r;
    if (read_all) {
      char waste[64];
      while (read_fd(fd, waste, sizeof waste).size > 0) {
      }
    }
  }
  int calls = 0;
  uint8_t ready = 0;
  bool read_all = false;
};

struct Once final : TimerHandler, Task {
  void on_timer(Timer&, Time now) override {
    ++fired;
    at = now;
  }
  void on_task(Time) override {
    ++tasks;
    if (again != nullptr && tasks < 3) again->at_end_of_turn(*this);
  }
  int fired = 0, tasks = 0;
  Time at;
  Reactor* again = nullptr;
};

}  // namespace

TEST_CASE("a handler hears only of what it asked for") {
  Loop l;
  Pair p;
  Counter c;
  REQUIRE(l.reactor.watch(p.a.get(), c) == 0);
  REQUIRE(write_fd(p.b.get(), "x", 1).size == 1);
  l.reactor.turn(millis(0));
  CHECK(c.calls == 0);
  l.reactor.want(p.a.get(), kWrite);
  REQUIRE(l.until([&] { return c.calls > 0; }));
  CHECK(c.ready == kWrite);
  c = Counter();
  l.reactor.want(p.a.get(), kRead);
  REQUIRE(l.until([&] { return c.calls > 0; }));
  CHECK(c.ready == kRead);
  l.reactor.unwatch(p.a.get());
}

TEST_CASE("what is not wanted any more does not keep the loop busy") {
  Loop l;
  Pair p;
  Counter c;
  REQUIRE(l.reactor.watch(p.a.get(), c) == 0);
  l.reactor.want(p.a.get(), kRead);
  REQUIRE(write_fd(p.b.get(), "x", 1).size == 1);
  REQUIRE(l.until([&] { return c.calls > 0; }));
  l.reactor.want(p.a.get(), 0);
  const int calls = c.calls;
  l.reactor.turn(millis(0));  // fires once in vain, and leaves the set
  const Time before = read_clock();
  l.reactor.turn(millis(30));
  CHECK((read_clock() - before).us >= 25000);
  CHECK(c.calls == calls);
  l.reactor.want(p.a.get(), kRead);  // and comes back
  REQUIRE(l.until([&] { return c.calls > calls; }));
  l.reactor.unwatch(p.a.get());
}

TEST_CASE("a hung-up descriptor that nobody reads leaves the set") {
  Loop l;
  Pair p;
  Counter c;
  REQUIRE(l.reactor.watch(p.a.get(), c) == 0);
  l.reactor.want(p.a.get(), kRead);
  l.reactor.turn(millis(0));
  l.reactor.want(p.a.get(), 0);
  p.b.reset();
  l.reactor.turn(millis(0));
  const Time before = read_clock();
  l.reactor.turn(millis(30));
  CHECK((read_clock() - before).us >= 25000);
  CHECK(c.calls == 0);
  l.reactor.unwatch(p.a.get());
}

TEST_CASE("urgent data are told while they are not read, also to who reads nothing, and only if asked for") {
  Loop l;
  TcpPair p;
  Counter c;
  REQUIRE(l.reactor.watch(p.a.get(), c) == 0);
  REQUIRE(write_fd(p.b.get(), "x", 1).size == 1);
  REQUIRE(write_urgent(p.b.get(), '!').size == 1);
  l.reactor.want(p.a.get(), kRead);
  REQUIRE(l.until([&] { return c.calls > 0; }));
  CHECK(c.ready == kRead);
  c = Counter();
  l.reactor.want(p.a.get(), kUrgent);
  REQUIRE(l.until([&] { return c.calls > 0; }));
  CHECK(c.ready == kUrgent);
  char x[8];
  CHECK_FALSE(at_urgent(p.a.get()));
  CHECK(read_fd(p.a.get(), x, sizeof x).size == 1);  // ends in front of it
  CHECK(at_urgent(p.a.get()));
  CHECK(read_fd(p.a.get(), x, 1).size == 1);
  CHECK(x[0] == '!');
  CHECK_FALSE(at_urgent(p.a.get()));
  // Ordinary data, an end, and a reset: it sleeps.
  for (int step = 0; step < 3; ++step) {
    if (step == 0) REQUIRE(write_fd(p.b.get(), "x", 1).size == 1);
    if (step == 1) shutdown_write(p.b.get());
    if (step == 2) {
      set_reset_on_close(p.b.get());
      p.b.reset();
    }
    l.reactor.turn(millis(20));
    l.reactor.turn(millis(20));
    c = Counter();
    const Time before = read_clock();
    l.reactor.turn(millis(30));
    CHECK((read_clock() - before).us >= 25000);
    CHECK(c.calls == 0);
  }
  l.reactor.unwatch(p.a.get());
}

TEST_CASE("an event for a descriptor's predecessor is void") {
  Loop l;
  Pair p, q;
  Counter first, second;
  REQUIRE(l.reactor.watch(p.a.get(), first) == 0);
  l.reactor.want(p.a.get(), kRead);
  REQUIRE(write_fd(p.b.get(), "x", 1).size == 1);
  l.reactor.turn(millis(0));
  CHECK(first.calls == 1);
  const int number = p.a.get();
  l.reactor.unwatch(number);
  p.a.reset();
  p.a = Fd(dup(q.a.get()));  // takes the number
  REQUIRE(p.a.get() == number);
  REQUIRE(l.reactor.watch(number, second) == 0);
  l.reactor.turn(millis(0));
  CHECK(second.calls == 0);
  CHECK(first.calls == 1);
  l.reactor.unwatch(number);
}

TEST_CASE("timers fire in their order, once, and not before their time") {
  Loop l;
  Once a, b;
  Timer ta(a), tb(b);
  const Time start = read_clock();
  l.reactor.timers().start(ta, start + millis(20));
  l.reactor.timers().start(tb, start + millis(5));
  REQUIRE(l.until([&] { return b.fired == 1; }));
  CHECK(b.at >= start + millis(5));
  REQUIRE(l.until([&] { return a.fired == 1; }));
  CHECK(a.at >= start + millis(20));
  l.reactor.turn(millis(5));
  CHECK(a.fired == 1);
  CHECK(b.fired == 1);
}

TEST_CASE("a task that asks again runs in the next turn, not in the same one") {
  Loop l;
  Once t;
  t.again = &l.reactor;
  l.reactor.at_end_of_turn(t);
  l.reactor.at_end_of_turn(t);  // once, however often it is asked for
  l.reactor.turn(millis(0));
  CHECK(t.tasks == 1);
  l.reactor.turn(seconds(5));  // does not wait
  CHECK(t.tasks == 2);
  l.reactor.turn(seconds(5));
  CHECK(t.tasks == 3);
}

TEST_CASE("a task that waits for a descriptor runs when one is closed") {
  Loop l;
  Pair p;
  Counter c;
  Once t;
  REQUIRE(l.reactor.watch(p.a.get(), c) == 0);
  const uint32_t left = l.reactor.fds_left();
  l.reactor.when_fd_closes(t);
  l.reactor.turn(millis(0));
  CHECK(t.tasks == 0);
  l.reactor.unwatch(p.a.get());
  CHECK(l.reactor.fds_left() == left + 1);
  l.reactor.turn(millis(0));
  CHECK(t.tasks == 1);
}

TEST_CASE("a descriptor beyond the table is refused, not written out of bounds") {
  Loop l;
  Counter c;
  CHECK(l.reactor.watch(256, c) != 0);
  CHECK(l.reactor.watch(100000, c) != 0);
}

TEST_CASE("with more ready descriptors than one poll returns, all get their turn") {
  Loop l;
  constexpr int kPairs = 90;
  std::vector<std::unique_ptr<Pair>> pairs;
  std::vector<std::unique_ptr<Counter>> counters;
  for (int i = 0; i < kPairs; ++i) {
    pairs.push_back(std::make_unique<Pair>());
    counters.push_back(std::make_unique<Counter>());
    REQUIRE(l.reactor.watch(pairs[static_cast<size_t>(i)]->a.get(), *counters.back()) == 0);
    l.reactor.want(pairs[static_cast<size_t>(i)]->a.get(), kRead);
    REQUIRE(write_fd(pairs[static_cast<size_t>(i)]->b.get(), "x", 1).size == 1);  // never read: stays ready
  }
  for (int i = 0; i < 6; ++i) l.reactor.turn(millis(0));
  for (const auto& c : counters) CHECK(c->calls > 0);
  for (const auto& p : pairs) l.reactor.unwatch(p->a.get());
}

TEST_CASE("between events that come close together the loop stays awake; a pause puts it to sleep") {
  Loop loop;
  Pair pair;
  struct Answer final : FdHandler {
    void on_ready(int fd, uint8_t, Time) override {
      char byte[8];
      while (read_fd(fd, byte, sizeof byte).size > 0) {
      }
      ++calls;
      (void)!write(fd, "x", 1);
    }
    int calls = 0;
  } answer;
  REQUIRE(loop.reactor.watch(pair.a.get(), answer) == 0);
  loop.reactor.want(pair.a.get(), kRead);
  constexpr int kTimes = 2000;
  std::thread client([&] {
    pollfd p{pair.b.get(), POLLIN, 0};
    char byte[8];
    for (int i = 0; i < kTimes; ++i) {
      (void)!write(pair.b.get(), "x", 1);
      (void)poll(&p, 1, 5000);
      (void)!read(pair.b.get(), byte, sizeof byte);
    }
  });
  CHECK(loop.until([&] { return answer.calls == kTimes; }));
  client.join();
  if (sysconf(_SC_NPROCESSORS_ONLN) > 1) CHECK(loop.reactor.awake() > 0);

  const uint64_t awake = loop.reactor.awake();
  const clock_t used = clock();
  for (int i = 0; i < 10; ++i) loop.reactor.turn(millis(20));
  CHECK(loop.reactor.awake() == awake);
  CHECK(clock() - used < CLOCKS_PER_SEC / 20);  // of 0.2 s
  loop.reactor.unwatch(pair.a.get());
}
