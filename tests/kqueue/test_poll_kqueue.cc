// The kqueue back end of the poller, by what it makes of calls that fail, of descriptors that come back as others, and of fork(2).
// What every back end must do is in tests/test_reactor.cc. Read next: core/io/poll_kqueue.cc.
#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/event.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "core/io/clock.h"
#include "core/io/poller.h"
#include "core/io/reactor.h"
#include "core/io/socket.h"
#include "tests/kqueue/kqueue_over_poll.h"

using namespace smx;

namespace {

constexpr uint32_t kFds = 300;

struct Bench {
  Bench() : memory(Reactor::arena_bytes(kFds, 1)), arena(memory.data(), memory.size()) { REQUIRE(poller.open(arena, kFds) == 0); }
  ~Bench() { smxtest::kqueue_refuses = 0; }
  std::vector<PollEvent> wait(int ms = 0, int limit = 64) {
    std::vector<PollEvent> e(static_cast<size_t>(limit));
    e.resize(static_cast<size_t>(poller.wait(e.data(), limit, ms)));
    return e;
  }
  std::vector<uint8_t> memory;
  Arena arena;
  Poller poller;
};

struct Pair {
  explicit Pair(bool socket = true) {
    int fd[2];
    REQUIRE((socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, fd) : pipe(fd)) == 0);
    a = Fd(fd[0]);
    b = Fd(fd[1]);
    REQUIRE(prepare_fd(fd[0]) == 0);
    REQUIRE(prepare_fd(fd[1]) == 0);
  }
  void put() const { REQUIRE(write_fd(b.get(), "x", 1).size == 1); }
  Fd a, b;
};

// In two waits, of which one at least lasts.
void check_nobody_is_told(Bench& t) {
  const Time before = read_clock();
  CHECK(t.wait(30).empty());
  CHECK(t.wait(30).empty());
  CHECK((read_clock() - before).us >= 29000);
}

}  // namespace

TEST_SUITE_BEGIN("kqueue");

TEST_CASE("poller: both ways of a descriptor are one event, with its tag; its queue is closed by exec") {
  Bench t;
  Pair p;
  p.put();
  CHECK(t.poller.add(p.a.get(), kRead | kWrite, 7) == 0);
  auto e = t.wait();
  REQUIRE(e.size() == 1);
  CHECK(e[0].fd == p.a.get());
  CHECK(e[0].tag == 7);
  CHECK(e[0].ready == (kRead | kWrite));
  CHECK(t.poller.change(p.a.get(), kRead, 7) == 0);
  e = t.wait();
  REQUIRE(e.size() == 1);
  CHECK(e[0].ready == kRead);
  CHECK(t.poller.change(p.a.get(), kWrite, 0xffffffff) == 0);
  e = t.wait();
  REQUIRE(e.size() == 1);
  CHECK(e[0].ready == kWrite);
  CHECK(e[0].tag == 0xffffffff);
  t.poller.remove(p.a.get(), false);
  CHECK(t.wait().empty());
  const int probe = kqueue();  // has the number behind that of the poller's, or a free one before it
  close(probe);
  int queues = 0;
  for (int fd = 3; fd < 64; ++fd) {
    const timespec now{0, 0};
    if (kevent(fd, nullptr, 0, nullptr, 0, &now) < 0) continue;
    ++queues;
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK(queues == 1);
}

TEST_CASE("poller: changes go with the wait, in one call") {
  Bench t;
  Pair p, q;
  p.put();
  const unsigned long calls = smxtest::kevent_calls;
  CHECK(t.poller.add(p.a.get(), kRead, 1) == 0);
  CHECK(t.poller.add(q.a.get(), kRead, 1) == 0);
  CHECK(t.poller.change(q.a.get(), kRead | kWrite, 1) == 0);
  CHECK(t.wait().size() == 2);
  CHECK(smxtest::kevent_calls == calls + 1);
}

TEST_CASE("poller: a number that comes back is a new descriptor, however its predecessor went") {
  Bench t;
  Pair p, q;
  struct {
    bool told;
    uint32_t tag;
  } const kRows[] = {{true, 1}, {false, 1}, {false, 2}};
  for (const auto& r : kRows) {
    CAPTURE(r.told);
    CAPTURE(r.tag);
    if (!p.a.valid()) p = Pair();
    CHECK(t.poller.add(p.a.get(), kRead | kWrite, r.tag) == 0);
    CHECK(t.wait().size() == 1);
    const int number = p.a.get();
    t.poller.remove(number, r.told);  // not told: its owner closes it all the same, as a reader of a FIFO does
    p.a.reset();
    p.a = Fd(fcntl(q.a.get(), F_DUPFD_CLOEXEC, number));
    REQUIRE(p.a.get() == number);
    CHECK(t.poller.add(number, kRead, 2) == 0);
    CHECK(t.wait().empty());
    q.put();
    const auto e = t.wait(5000);
    REQUIRE(e.size() == 1);
    CHECK(e[0].tag == 2);
    CHECK(e[0].ready == kRead);
    t.poller.remove(number, true);
    p.a.reset();
    char x[8];
    CHECK(read_fd(q.a.get(), x, sizeof x).size == 1);
  }
}

TEST_CASE("poller: what goes away before the kernel knew of it leaves nothing behind") {
  Bench t;
  Pair p;
  p.put();
  const int number = p.a.get();
  CHECK(t.poller.add(number, kRead, 1) == 0);
  t.poller.remove(number, true);
  CHECK(t.wait().empty());
  CHECK(t.poller.add(number, kRead, 2) == 0);
  t.poller.remove(number, false);
  CHECK(t.wait().empty());
  // Removed, and closed before the kernel hears of the first: EBADF, of which nobody is told.
  CHECK(t.poller.add(number, kRead, 3) == 0);
  CHECK(t.wait().size() == 1);
  t.poller.remove(number, false);
  p.a.reset();
  check_nobody_is_told(t);
}

TEST_CASE("poller: without memory in the kernel an add is tried again, and does not keep us awake") {
  Bench t;
  Pair p, q;
  p.put();
  q.put();
  CHECK(t.poller.add(q.a.get(), kRead, 1) == 0);
  CHECK(t.wait().size() == 1);
  smxtest::kqueue_refuses = ENOMEM;
  CHECK(t.poller.add(p.a.get(), kRead, 2) == 0);
  // The others are told of meanwhile.
  int told = 0;
  for (int i = 0; i < 4; ++i)
    for (const PollEvent& e : t.wait()) told += e.fd == q.a.get() ? 1 : 100;
  CHECK(told >= 2);
  CHECK(told < 100);
  t.poller.remove(q.a.get(), false);
  (void)t.wait();
  const unsigned long calls = smxtest::kevent_calls;
  const Time before = read_clock();
  while ((read_clock() - before).us < 120000) CHECK(t.wait(10000).empty());
  CHECK((read_clock() - before).us < 9000000);
  CHECK(smxtest::kevent_calls - calls < 12);
  smxtest::kqueue_refuses = 0;
  std::vector<PollEvent> e;
  for (int i = 0; i < 3 && e.empty(); ++i) e = t.wait(1000);
  REQUIRE(e.size() == 1);
  CHECK(e[0].fd == p.a.get());
  CHECK(e[0].tag == 2);
}

TEST_CASE("poller: a pipe whose reader has gone can't be watched, and is told as ready") {
  Bench t;
  Pair p(false);
  p.a.reset();
  CHECK(t.poller.add(p.b.get(), kWrite, 5) == 0);
  for (int i = 0; i < 3; ++i) {
    std::vector<PollEvent> e = t.wait(1000);
    if (e.empty()) e = t.wait(1000);  // now and then it is not asked
    REQUIRE(e.size() == 1);
    CHECK(e[0].fd == p.b.get());
    CHECK(e[0].tag == 5);
    CHECK(e[0].ready == kWrite);
  }
  t.poller.remove(p.b.get(), false);
  check_nobody_is_told(t);
}

TEST_CASE("poller: more changes than one call takes are all made") {
  Bench t;
  std::vector<Pair> pairs(100);
  for (const Pair& p : pairs) CHECK(t.poller.add(p.a.get(), kRead, 1) == 0);
  pairs.back().put();
  const Time before = read_clock();
  std::vector<PollEvent> e;
  for (int i = 0; i < 10 && e.empty(); ++i) e = t.wait(10000);
  CHECK((read_clock() - before).us < 9000000);  // none of these calls slept
  REQUIRE(e.size() == 1);
  CHECK(e[0].fd == pairs.back().a.get());
  std::vector<int> seen(kFds);
  for (const Pair& p : pairs) CHECK(t.poller.change(p.a.get(), kWrite, 1) == 0);
  for (int i = 0; i < 20; ++i)
    for (const PollEvent& one : t.wait(1000)) {
      CHECK(one.ready == kWrite);
      ++seen[static_cast<size_t>(one.fd)];
    }
  for (const Pair& p : pairs) CHECK(seen[static_cast<size_t>(p.a.get())] > 0);
}

TEST_CASE("poller: the end of a stream ends the wait for urgent bytes, and nothing else of it") {
  Bench t;
  Pair p;
  CHECK(t.poller.add(p.a.get(), kUrgent, 1) == 0);
  CHECK(t.wait().empty());
  shutdown_write(p.b.get());
  check_nobody_is_told(t);
  CHECK(t.poller.change(p.a.get(), kUrgent | kRead, 1) == 0);
  auto e = t.wait();
  REQUIRE(e.size() == 1);
  CHECK(e[0].ready == kRead);
  CHECK(t.poller.change(p.a.get(), kUrgent | kWrite, 1) == 0);
  e = t.wait();
  REQUIRE(e.size() == 1);
  CHECK(e[0].ready == kWrite);
}

TEST_CASE("poller: a child of fork(2) goes on with all that was watched") {
  Bench t;
  Pair p, q, r;
  p.put();
  CHECK(t.poller.add(p.a.get(), kRead, 3) == 0);
  CHECK(t.wait().size() == 1);
  CHECK(t.poller.add(q.a.get(), kWrite, 4) == 0);  // the kernel does not know yet
  CHECK(t.poller.add(r.a.get(), kWrite, 5) == 0);
  t.poller.remove(r.a.get(), true);
  const pid_t pid = fork();
  if (pid == 0) {
    if (t.poller.forked() != 0) _exit(1);
    PollEvent e[64];
    const int n = t.poller.wait(e, 64, 0);
    uint32_t tags = 0;
    for (int i = 0; i < n; ++i) tags += e[i].tag;
    _exit(n == 2 && tags == 7 ? 7 : 2);
  }
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
}

TEST_SUITE_END();
