// The emulation of kqueue(2) keeps to the rules of the manual pages. Read next: kqueue_over_poll.cc.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/event.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "core/io/clock.h"
#include "core/io/fd.h"
#include "core/io/socket.h"
#include "tests/kqueue/kqueue_over_poll.h"

using namespace smx;

namespace {

using Event = struct kevent;
constexpr timespec kNow{0, 0};

struct Kq {
  Kq() : fd(kqueue()) {
    REQUIRE(fd.valid());
    smxtest::kqueue_tells_details = true;
  }
  ~Kq() { smxtest::kqueue_tells_details = false; }

  static Event change(int of, short filter, int flags, unsigned fflags = 0, int64_t data = 0, void* udata = nullptr) {
    Event e{};
    e.ident = static_cast<uintptr_t>(of);
    e.filter = filter;
    e.flags = static_cast<unsigned short>(flags);
    e.fflags = fflags;
    e.data = data;
    e.udata = udata;
    return e;
  }
  // 0 or errno.
  int set(int of, short filter, int flags, unsigned fflags = 0, int64_t data = 0, void* udata = nullptr) {
    const Event e = change(of, filter, flags, fflags, data, udata);
    return kevent(fd.get(), &e, 1, nullptr, 0, nullptr) < 0 ? errno : 0;
  }
  std::vector<Event> events(int limit = 8, timespec wait = kNow) {
    std::vector<Event> e(static_cast<size_t>(limit));
    const int n = kevent(fd.get(), nullptr, 0, e.data(), limit, &wait);
    e.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return e;
  }
  Fd fd;
};

struct Ends {
  explicit Ends(bool socket) {
    int fd[2];
    REQUIRE((socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, fd) : pipe(fd)) == 0);
    out = Fd(fd[0]);  // of the pipe
    in = Fd(fd[1]);
    REQUIRE(prepare_fd(fd[0]) == 0);
    REQUIRE(prepare_fd(fd[1]) == 0);
  }
  void put(const std::string& text) const { REQUIRE(write_fd(in.get(), text.data(), text.size()).size == text.size()); }
  Fd out, in;
};

}  // namespace

TEST_SUITE_BEGIN("kqueue");

TEST_CASE("kqueue: an event is told as long as it lasts, with its bytes and what was given with it") {
  Kq q;
  Ends p(false);
  int mine = 0;
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_ADD, 0, 0, &mine) == 0);
  CHECK(q.events().empty());
  p.put("abc");
  for (int i = 0; i < 2; ++i) {
    const auto e = q.events();
    REQUIRE(e.size() == 1);
    CHECK(e[0].ident == static_cast<uintptr_t>(p.out.get()));
    CHECK(e[0].filter == EVFILT_READ);
    CHECK(e[0].data == 3);
    CHECK(e[0].udata == &mine);
    CHECK((e[0].flags & (EV_EOF | EV_ERROR)) == 0);
  }
  char x[8];
  CHECK(read_fd(p.out.get(), x, sizeof x).size == 3);
  CHECK(q.events().empty());
}

TEST_CASE("kqueue: EV_ADD of one that is there changes it, and makes no second one") {
  Kq q;
  Ends p(false);
  int first = 0, second = 0;
  p.put("x");
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, &first) == 0);
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_ADD, 0, 0, &second) == 0);
  for (int i = 0; i < 2; ++i) {
    const auto e = q.events();
    REQUIRE(e.size() == 1);
    CHECK(e[0].udata == &second);
  }
}

TEST_CASE("kqueue: what is not there can't be deleted, enabled or disabled: ENOENT; what is no descriptor: EBADF") {
  Kq q;
  Ends p(true);
  for (const int action : {EV_DELETE, EV_ENABLE, EV_DISABLE}) CHECK(q.set(p.out.get(), EVFILT_READ, action) == ENOENT);
  CHECK(q.set(p.out.get(), EVFILT_WRITE, EV_ADD) == 0);
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_DELETE) == ENOENT);  // filters are apart
  CHECK(q.set(p.out.get(), EVFILT_WRITE, EV_DELETE) == 0);
  CHECK(q.set(p.out.get(), EVFILT_WRITE, EV_DELETE) == ENOENT);
  CHECK(q.set(p.out.get(), -7, EV_ADD) == EINVAL);
  const int gone = p.in.get();
  p.in.reset();
  CHECK(q.set(gone, EVFILT_READ, EV_ADD) == EBADF);
  CHECK(kevent(p.out.get(), nullptr, 0, nullptr, 0, &kNow) == -1);
  CHECK(errno == EBADF);
}

TEST_CASE("kqueue: EV_DISABLE keeps an event back, EV_ENABLE and EV_ADD let it go") {
  Kq q;
  Ends p(false);
  p.put("x");
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_ADD | EV_DISABLE) == 0);
  CHECK(q.events().empty());
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_ENABLE) == 0);
  CHECK(q.events().size() == 1);
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_DISABLE) == 0);
  CHECK(q.events().empty());
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_ADD) == 0);
  CHECK(q.events().size() == 1);
  // A hang-up of one that is disabled does not keep us awake.
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_DISABLE) == 0);
  p.in.reset();
  const Time before = read_clock();
  CHECK(q.events(8, {0, 30 * 1000 * 1000}).empty());
  CHECK((read_clock() - before).us >= 29000);
}

TEST_CASE("kqueue: EV_ONESHOT is told once and then gone, EV_DISPATCH is then disabled") {
  Kq q;
  Ends p(false);
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_ADD | EV_ONESHOT) == 0);
  CHECK(q.events().empty());  // not told yet
  p.put("x");
  CHECK(q.events().size() == 1);
  CHECK(q.events().empty());
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_DELETE) == ENOENT);
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_ADD | EV_DISPATCH) == 0);
  CHECK(q.events().size() == 1);
  CHECK(q.events().empty());
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_ENABLE) == 0);
  CHECK(q.events().size() == 1);
}

TEST_CASE("kqueue: EV_CLEAR tells changes only, and an end once") {
  Kq q;
  Ends p(false);
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_ADD | EV_CLEAR) == 0);
  p.put("x");
  CHECK(q.events().size() == 1);
  CHECK(q.events().empty());
  p.put("y");
  const auto e = q.events();
  REQUIRE(e.size() == 1);
  CHECK(e[0].data == 2);
  CHECK(q.events().empty());
  p.in.reset();
  const auto end = q.events();
  REQUIRE(end.size() == 1);
  CHECK((end[0].flags & EV_EOF) != 0);
  const Time before = read_clock();
  CHECK(q.events(8, {0, 30 * 1000 * 1000}).empty());  // nor does it keep us awake
  CHECK((read_clock() - before).us >= 29000);
}

TEST_CASE("kqueue: errors of changes are told in the event list, alone; EV_RECEIPT tells success as well") {
  Kq q;
  Ends p(true);
  int mine = 0;
  p.put("x");
  const Event changes[] = {Kq::change(p.out.get(), EVFILT_READ, EV_ADD), Kq::change(p.in.get(), EVFILT_READ, EV_DELETE, 0, 0, &mine),
                           Kq::change(p.in.get(), EVFILT_WRITE, EV_ADD | EV_RECEIPT)};
  Event list[8];
  REQUIRE(kevent(q.fd.get(), changes, 3, list, 8, nullptr) == 2);  // though there is something to read
  CHECK(list[0].ident == static_cast<uintptr_t>(p.in.get()));
  CHECK(list[0].filter == EVFILT_READ);
  CHECK(list[0].flags == EV_ERROR);
  CHECK(list[0].data == ENOENT);
  CHECK(list[0].udata == &mine);
  CHECK(list[1].filter == EVFILT_WRITE);
  CHECK(list[1].flags == EV_ERROR);
  CHECK(list[1].data == 0);
  CHECK(q.events().size() == 2);  // all three were made
  // One array for both.
  Event both[2] = {Kq::change(p.in.get(), EVFILT_READ, EV_DELETE), Kq::change(p.in.get(), EVFILT_WRITE, EV_DELETE | EV_RECEIPT)};
  REQUIRE(kevent(q.fd.get(), both, 2, both, 2, nullptr) == 2);
  CHECK(both[0].data == ENOENT);
  CHECK(both[1].data == 0);
}

TEST_CASE("kqueue: without room for an error the call fails, and the changes behind it are not made") {
  Kq q;
  Ends p(true);
  const Event changes[] = {Kq::change(p.out.get(), EVFILT_WRITE, EV_ADD), Kq::change(p.in.get(), EVFILT_READ, EV_DELETE),
                           Kq::change(p.in.get(), EVFILT_WRITE, EV_ADD)};
  CHECK(kevent(q.fd.get(), changes, 3, nullptr, 0, nullptr) == -1);
  CHECK(errno == ENOENT);
  const auto e = q.events();
  REQUIRE(e.size() == 1);
  CHECK(e[0].ident == static_cast<uintptr_t>(p.out.get()));
}

TEST_CASE("kqueue: a closed descriptor is gone without a word, and who gets its number has no events") {
  Kq q;
  Ends p(false), other(false);
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_ADD) == 0);
  p.put("x");
  other.put("y");
  const int number = p.out.get();
  p.out.reset();
  CHECK(q.events().empty());
  SUBCASE("the next open") { p.out = Fd(fcntl(other.out.get(), F_DUPFD_CLOEXEC, number)); }
  SUBCASE("dup2") { p.out = Fd(dup2(other.out.get(), number)); }
  REQUIRE(p.out.get() == number);
  CHECK(q.events().empty());
  CHECK(q.set(number, EVFILT_READ, EV_DELETE) == ENOENT);
  // dup2() closes what was there.
  CHECK(q.set(number, EVFILT_READ, EV_ADD) == 0);
  CHECK(q.events().size() == 1);
  CHECK(dup2(other.out.get(), number) == number);
  CHECK(q.events().empty());
  CHECK(q.set(number, EVFILT_READ, EV_ADD) == 0);
  CHECK(dup2(number, number) == number);  // does nothing
  CHECK(q.events().size() == 1);
  // Another descriptor of the same file is another event.
  CHECK(q.set(other.out.get(), EVFILT_READ, EV_ADD) == 0);
  CHECK(q.events().size() == 2);
  other.out.reset();
  CHECK(q.events().size() == 1);
}

TEST_CASE("kqueue: the end of a pipe and of a socket's direction is EV_EOF, also behind data") {
  Kq q;
  for (const bool socket : {false, true}) {
    CAPTURE(socket);
    Ends p(socket);
    CHECK(q.set(p.out.get(), EVFILT_READ, EV_ADD) == 0);
    p.put("ab");
    if (socket) shutdown_write(p.in.get());
    else p.in.reset();
    auto e = q.events();
    REQUIRE(e.size() == 1);
    CHECK(e[0].data == 2);
    CHECK((e[0].flags & EV_EOF) != 0);
    CHECK(e[0].fflags == 0);
    char x[8];
    CHECK(read_fd(p.out.get(), x, sizeof x).size == 2);
    e = q.events();
    REQUIRE(e.size() == 1);
    CHECK(e[0].data == 0);
    CHECK((e[0].flags & EV_EOF) != 0);
    if (!socket) continue;
    // Half of it: there is room, and no end, the other way.
    CHECK(q.set(p.out.get(), EVFILT_READ, EV_DELETE) == 0);
    CHECK(q.set(p.out.get(), EVFILT_WRITE, EV_ADD) == 0);
    e = q.events();
    REQUIRE(e.size() == 1);
    CHECK((e[0].flags & EV_EOF) == 0);
    CHECK(e[0].data > 0);
    p.in.reset();
    e = q.events();
    REQUIRE(e.size() == 1);
    CHECK((e[0].flags & EV_EOF) != 0);
  }
}

TEST_CASE("kqueue: EVFILT_WRITE waits for room, and is EV_EOF when the reader has gone; added behind that it is EPIPE") {
  Kq q;
  Ends p(false);
  CHECK(q.set(p.in.get(), EVFILT_WRITE, EV_ADD) == 0);
  auto e = q.events();
  REQUIRE(e.size() == 1);
  CHECK(e[0].data == fcntl(p.in.get(), F_GETPIPE_SZ));
  const std::string much(4096, 'x');
  while (write_fd(p.in.get(), much.data(), much.size()).size > 0) {
  }
  CHECK(q.events().empty());
  p.out.reset();
  e = q.events();
  REQUIRE(e.size() == 1);
  CHECK((e[0].flags & EV_EOF) != 0);
  CHECK(q.set(p.in.get(), EVFILT_WRITE, EV_DELETE) == 0);
  CHECK(q.set(p.in.get(), EVFILT_WRITE, EV_ADD) == EPIPE);
}

TEST_CASE("kqueue: a FIFO that is left says so until the next writer is there") {
  Kq q;
  char folder[] = "/tmp/sockmux-kqueue-XXXXXX";
  REQUIRE(mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/fifo";
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  const Fd reads(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  CHECK(q.set(reads.get(), EVFILT_READ, EV_ADD) == 0);
  CHECK(q.events().empty());  // nobody has been there
  Fd writes(open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  CHECK(q.events().empty());
  CHECK(write_fd(writes.get(), "x", 1).size == 1);
  auto e = q.events();
  REQUIRE(e.size() == 1);
  CHECK((e[0].flags & EV_EOF) == 0);
  writes.reset();
  e = q.events();
  REQUIRE(e.size() == 1);
  CHECK((e[0].flags & EV_EOF) != 0);
  CHECK(e[0].data == 1);
  char x[8];
  CHECK(read_fd(reads.get(), x, sizeof x).size == 1);
  writes = Fd(open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  CHECK(q.events().empty());
  unlink(path.c_str());
  rmdir(folder);
}

TEST_CASE("kqueue: a listening socket tells how many wait, a socket's error is in fflags at its end") {
  Kq q;
  Address at;
  REQUIRE(parse_ip_port("127.0.0.1:0", &at));
  int error = 0;
  Fd listener = listen_tcp(at, 5, &error);
  REQUIRE(error == 0);
  const Address there = local_address(listener.get());
  CHECK(q.set(listener.get(), EVFILT_READ, EV_ADD) == 0);
  CHECK(q.events().empty());
  Fd a = connect_tcp(there, Address{}, &error), b = connect_tcp(there, Address{}, &error);
  std::vector<Event> e;
  for (int i = 0; i < 100 && (e.empty() || e[0].data != 2); ++i) e = q.events(8, {0, 10 * 1000 * 1000});
  REQUIRE(e.size() == 1);
  CHECK(e[0].data == 2);
  Address peer;
  Fd c = accept_tcp(listener.get(), &peer, &error);
  CHECK(q.events()[0].data == 1);
  // A reset
  const int client = peer.port == local_address(a.get()).port ? a.get() : b.get();
  CHECK(q.set(client, EVFILT_READ, EV_ADD) == 0);
  CHECK(q.set(listener.get(), EVFILT_READ, EV_DELETE) == 0);
  set_reset_on_close(c.get());
  c.reset();
  e = q.events(8, {5, 0});
  REQUIRE(e.size() == 1);
  CHECK((e[0].flags & EV_EOF) != 0);
  CHECK(e[0].fflags == ECONNRESET);
  CHECK(q.set(client, EVFILT_READ, EV_DELETE) == 0);
  // Nobody there
  listener.reset();
  Fd d = connect_tcp(there, Address{}, &error);
  if (d.valid()) {  // else it was told at once
    CHECK(q.set(d.get(), EVFILT_WRITE, EV_ADD) == 0);
    e = q.events(8, {5, 0});
    REQUIRE(e.size() == 1);
    CHECK((e[0].flags & EV_EOF) != 0);
    CHECK(e[0].fflags == ECONNREFUSED);
  }
}

TEST_CASE("kqueue: EVFILT_EXCEPT tells urgent data while they are not read, and the end") {
  Kq q;
  Address at, peer;
  REQUIRE(parse_ip_port("127.0.0.1:0", &at));
  int error = 0;
  const Fd listener = listen_tcp(at, 5, &error);
  set_oob_inline(listener.get());
  Fd client = connect_tcp(local_address(listener.get()), Address{}, &error);
  CHECK(q.set(listener.get(), EVFILT_READ, EV_ADD) == 0);
  REQUIRE(q.events(8, {5, 0}).size() == 1);
  const Fd server = accept_tcp(listener.get(), &peer, &error);
  CHECK(q.set(listener.get(), EVFILT_READ, EV_DELETE) == 0);
  CHECK(q.set(server.get(), EVFILT_EXCEPT, EV_ADD, NOTE_OOB) == 0);
  REQUIRE(write_fd(client.get(), "a", 1).size == 1);
  CHECK(q.events(8, {0, 30 * 1000 * 1000}).empty());
  REQUIRE(write_urgent(client.get(), '!').size == 1);
  auto e = q.events(8, {5, 0});
  REQUIRE(e.size() == 1);
  CHECK(e[0].filter == EVFILT_EXCEPT);
  CHECK(e[0].fflags == NOTE_OOB);
  char x[8];
  CHECK(read_fd(server.get(), x, sizeof x).size == 1);
  CHECK(q.events().size() == 1);
  CHECK(read_fd(server.get(), x, 1).size == 1);
  CHECK(q.events().empty());
  client.reset();
  e = q.events(8, {5, 0});
  REQUIRE(e.size() == 1);
  CHECK((e[0].flags & EV_EOF) != 0);
  CHECK((e[0].fflags & NOTE_OOB) == 0);
  Ends p(false);
  CHECK(q.set(p.out.get(), EVFILT_EXCEPT, EV_ADD, NOTE_OOB) == EINVAL);
}

TEST_CASE("kqueue: a terminal can be read and written, and its hang-up is an end; a plain file is read up to its end") {
  Kq q;
  Fd master(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE(master.valid());
  REQUIRE(grantpt(master.get()) == 0);
  REQUIRE(unlockpt(master.get()) == 0);
  const Fd line(open(ptsname(master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE(line.valid());
  CHECK(q.set(line.get(), EVFILT_READ, EV_ADD) == 0);
  CHECK(q.set(line.get(), EVFILT_WRITE, EV_ADD) == 0);
  auto e = q.events();
  REQUIRE(e.size() == 1);
  CHECK(e[0].filter == EVFILT_WRITE);
  REQUIRE(write_fd(master.get(), "a\n", 2).size == 2);
  e = q.events();
  REQUIRE(e.size() == 2);
  CHECK(e[0].data + e[1].data > 2);
  master.reset();
  e = q.events();
  REQUIRE(e.size() == 2);
  for (const Event& one : e) CHECK((one.flags & EV_EOF) != 0);
  CHECK(q.set(line.get(), EVFILT_READ, EV_DELETE) == 0);
  CHECK(q.set(line.get(), EVFILT_WRITE, EV_DELETE) == 0);

  char path[] = "/tmp/sockmux-kqueue-XXXXXX";
  const Fd file(mkstemp(path));
  unlink(path);
  CHECK(q.set(file.get(), EVFILT_WRITE, EV_ADD) == EINVAL);
  CHECK(q.set(file.get(), EVFILT_READ, EV_ADD) == 0);
  CHECK(q.events().empty());
  REQUIRE(write_fd(file.get(), "abc", 3).size == 3);
  CHECK(q.events().empty());
  REQUIRE(lseek(file.get(), 1, SEEK_SET) == 1);
  CHECK(q.events().size() == 1);
}

TEST_CASE("kqueue: NOTE_LOWAT waits for as many bytes, or the end") {
  Kq q;
  Ends p(true);
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_ADD, NOTE_LOWAT, 3) == 0);
  p.put("ab");
  CHECK(q.events().empty());
  p.put("c");
  CHECK(q.events().size() == 1);
  char x[8];
  CHECK(read_fd(p.out.get(), x, 2).size == 2);
  CHECK(q.events().empty());
  p.in.reset();
  CHECK(q.events().size() == 1);
}

TEST_CASE("kqueue: it waits as long as it is told to; not at all without room for events; a signal ends it") {
  Kq q;
  Ends p(false);
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_ADD) == 0);
  Time before = read_clock();
  CHECK(q.events(8, {0, 30 * 1000 * 1000}).empty());
  CHECK((read_clock() - before).us >= 29000);
  before = read_clock();
  const timespec hour{3600, 0};
  CHECK(kevent(q.fd.get(), nullptr, 0, nullptr, 0, &hour) == 0);
  CHECK((read_clock() - before).us < 1000000000);
  struct sigaction action {}, old {};
  action.sa_handler = [](int) {};
  REQUIRE(sigaction(SIGALRM, &action, &old) == 0);
  const itimerval soon{{0, 10000}, {0, 10000}};  // again, should one come before we wait
  REQUIRE(setitimer(ITIMER_REAL, &soon, nullptr) == 0);
  Event e;
  // A change is made before the wait.
  const Event change = Kq::change(p.in.get(), EVFILT_READ, EV_ADD);
  CHECK(kevent(q.fd.get(), &change, 1, &e, 1, nullptr) == -1);
  CHECK(errno == EINTR);
  const itimerval off{};
  (void)setitimer(ITIMER_REAL, &off, nullptr);
  (void)sigaction(SIGALRM, &old, nullptr);
  CHECK(q.set(p.in.get(), EVFILT_READ, EV_DELETE) == 0);
}

TEST_CASE("kqueue: of more events than fit, the others are told the next time") {
  Kq q;
  Ends a(true), b(true);
  for (const Ends* p : {&a, &b}) {
    p->put("x");
    CHECK(q.set(p->out.get(), EVFILT_READ, EV_ADD) == 0);
    CHECK(q.set(p->out.get(), EVFILT_WRITE, EV_ADD) == 0);
  }
  std::vector<std::pair<uintptr_t, short>> seen;
  for (int i = 0; i < 4; ++i) {
    const auto e = q.events(1);
    REQUIRE(e.size() == 1);
    for (const auto& s : seen) CHECK_FALSE((s.first == e[0].ident && s.second == e[0].filter));
    seen.emplace_back(e[0].ident, e[0].filter);
  }
}

TEST_CASE("kqueue: a child of fork(2) has no queue, and its parent keeps it") {
  Kq q;
  Ends p(false);
  CHECK(q.set(p.out.get(), EVFILT_READ, EV_ADD) == 0);
  p.put("x");
  const pid_t pid = fork();
  if (pid == 0) _exit(fcntl(q.fd.get(), F_GETFD) < 0 && errno == EBADF && kevent(q.fd.get(), nullptr, 0, nullptr, 0, &kNow) < 0 ? 7 : 1);
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
  CHECK(q.events().size() == 1);
}

TEST_SUITE_END();
