// The helper process: what it starts, what it refuses, and how it ends. Read next: core/io/helper.h.
#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "core/io/clock.h"
#include "core/io/helper.h"
#include "tests/loop.h"

using namespace smx;

namespace {

constexpr char kSay[] = "echo \"$REMOTE_ADDR $KEY $OTHER\"; exit 3";
constexpr char kWait[] = "echo here; exec sleep 1000";
const std::string_view kInner[] = {"KEY=inner"};
const std::string_view kOuter[] = {"KEY=outer", "OTHER=outer", "REMOTE_ADDR=10.9.9.9"};

// Its user and its loop.
struct Fixture final : smxtest::Loop, HelperUser, HelperOwner {
  explicit Fixture(uint32_t running = 4) : smxtest::Loop(static_cast<size_t>(Helper::arena_bytes(4, running))) {
    REQUIRE(helper.init(4, running, arena));
    HelperProgram say, wait;
    say.command = kSay;
    say.has_client = true;
    say.environment[0] = kInner;
    say.environment_size[0] = 1;
    say.environment[1] = kOuter;
    say.environment_size[1] = 3;
    wait.command = kWait;
    helper.add_program(say);
    helper.add_program(wait);
    helper.set_user(Helper::Topic::servers, *this);
    helper.set_user(Helper::Topic::names, *this);
    REQUIRE(helper.start());
    helper.seal(*this);
  }
  ~Fixture() { helper.stop(); }
  void on_helper_answer(const HelperAnswer& a, Time) override { answers.push_back(a); }
  void on_helper_ended(Time) override { ++ended; }
  void on_helper_lost(Time) override { ++lost; }
  template <typename F>
  bool until(F done) {
    return smxtest::Loop::until([&] {
      helper.reap(reactor.now());
      return done();
    });
  }
  // The program's output, to its end or to `enough` bytes.
  std::string start(uint32_t id, const char* command, size_t enough = 1000) {
    int out[2];
    REQUIRE(pipe(out) == 0);
    const int null = open("/dev/null", O_RDWR);
    const int fd[3] = {null, out[1], null};
    const std::string_view values[kClientVariableCount] = {"192.0.2.1"};
    const int error = helper.start_program(Helper::Topic::servers, id, command, values, fd);
    close(out[1]);
    close(null);
    std::string text;
    char bytes[100];
    while (error == 0 && text.size() < enough) {
      pollfd p{out[0], POLLIN, 0};
      const ssize_t n = poll(&p, 1, 20000) == 1 ? read(out[0], bytes, sizeof bytes) : 0;
      if (n <= 0) break;
      text.append(bytes, static_cast<size_t>(n));
    }
    close(out[0]);
    return text;
  }
  Helper helper{reactor};
  std::vector<HelperAnswer> answers;
  int ended = 0, lost = 0;
};

// 0: no /proc, or a kernel without this file
pid_t youngest_child() {
  const std::string path = "/proc/self/task/" + std::to_string(getpid()) + "/children";
  const int fd = open(path.c_str(), O_RDONLY);
  char text[2000] = {};
  if (fd >= 0) (void)!read(fd, text, sizeof text - 1);
  close(fd);
  int last = 0;
  for (char* next = strtok(text, " "); next != nullptr; next = strtok(nullptr, " ")) last = atoi(next);
  return last;
}

}  // namespace

TEST_CASE("helper: runs what it knows, with the client's variables before all others, and tells its end") {
  Fixture f;
  CHECK(f.start(2, kSay) == "192.0.2.1 inner outer\n");
  REQUIRE(f.until([&] { return f.answers.size() == 1; }));
  CHECK(f.answers[0].kind == HelperAnswer::ended);
  CHECK(f.answers[0].id == 2);
  CHECK(f.answers[0].error == 0);
  CHECK(WEXITSTATUS(f.answers[0].status) == 3);
}

TEST_CASE("helper: a signal ends the program that is meant; more than its table holds are refused") {
  Fixture f(2);
  CHECK(f.start(0, kWait, 5) == "here\n");
  CHECK(f.start(1, kWait, 5) == "here\n");
  CHECK(f.start(7, kWait).empty());
  REQUIRE(f.until([&] { return f.answers.size() == 1; }));
  CHECK(f.answers[0].id == 7);
  CHECK(f.answers[0].error == EAGAIN);
  CHECK(f.helper.send_signal(Helper::Topic::servers, 1, SIGTERM));
  REQUIRE(f.until([&] { return f.answers.size() == 2; }));
  CHECK(f.answers[1].id == 1);
  CHECK(WTERMSIG(f.answers[1].status) == SIGTERM);
  // No other signals, and none to who is not there
  CHECK(f.helper.send_signal(Helper::Topic::servers, 0, SIGSTOP));
  CHECK(f.helper.send_signal(Helper::Topic::links, 0, SIGKILL));
  CHECK(f.start(1, kSay) == "192.0.2.1 inner outer\n");
  REQUIRE(f.until([&] { return f.answers.size() == 3; }));
  CHECK(f.answers[2].id == 1);
  CHECK(f.helper.send_signal(Helper::Topic::servers, 0, SIGKILL));
  REQUIRE(f.until([&] { return f.answers.size() == 4; }));
  CHECK(WTERMSIG(f.answers[3].status) == SIGKILL);
  CHECK(f.lost == 0);
}

TEST_CASE("helper: when it is stopped its programs are told to end") {
  Fixture f;
  int out[2];
  REQUIRE(pipe(out) == 0);
  const int null = open("/dev/null", O_RDWR);
  const int fd[3] = {null, out[1], null};
  REQUIRE(f.helper.start_program(Helper::Topic::servers, 0, kWait, nullptr, fd) == 0);
  close(out[1]);
  char bytes[10];
  REQUIRE(read(out[0], bytes, sizeof bytes) == 5);
  f.helper.stop();
  pollfd p{out[0], POLLIN, 0};
  CHECK(poll(&p, 1, 20000) == 1);
  CHECK(read(out[0], bytes, sizeof bytes) == 0);
  CHECK_FALSE(f.helper.look_up(1, 1, "localhost"));
  CHECK(f.helper.start_program(Helper::Topic::servers, 0, kWait, nullptr, fd) == EPIPE);
  close(out[0]);
  close(null);
}

#if defined(__GLIBC__)
// A file that never comes to its end, in which the C library looks for names without dots: hostname(7).
TEST_CASE("helper: a name that takes too long is given up, also where the starter ignores SIGALRM") {
  char folder[] = "/tmp/smx-helper-XXXXXX";
  REQUIRE(mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/aliases";
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  REQUIRE(setenv("HOSTALIASES", path.c_str(), 1) == 0);
  const auto before = signal(SIGALRM, SIG_IGN);
  {
    Fixture f;
    REQUIRE(f.helper.look_up(1, 1, "no-such-alias"));
    int fd = -1;
    CHECK(f.until([&] { return !f.answers.empty() || (fd = open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)) >= 0; }));
    if (fd < 0) MESSAGE("names are not looked up in DNS here: nothing is tested");
    pollfd p{fd, 0, 0};  // POLLERR: its reader is gone
    CHECK((fd < 0 || f.until([&] { return poll(&p, 1, 0) == 1; })));
    close(fd);
  }
  signal(SIGALRM, before);
  unsetenv("HOSTALIASES");
  unlink(path.c_str());
  rmdir(folder);
}
#endif

TEST_CASE("helper: garbage is dropped, with the descriptors that come with it, and it goes on") {
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
  static HelperTables::Running running[2];
  static HelperProgram program[1];
  program[0].command = kSay;
  HelperTables tables;
  tables.program = program;
  tables.programs = tables.most_programs = 1;
  tables.running = running;
  tables.most_running = 2;
  const pid_t pid = fork();
  if (pid == 0) serve_as_helper(pair[1], tables);
  close(pair[1]);
  int watched[2];
  REQUIRE(pipe(watched) == 0);
  const auto say = [&](const void* bytes, size_t n, int fds) {
    iovec piece{const_cast<void*>(bytes), n};
    alignas(cmsghdr) char room[CMSG_SPACE(8 * sizeof(int))] = {};
    msghdr m{};
    m.msg_iov = &piece;
    m.msg_iovlen = 1;
    if (fds > 0) {
      m.msg_control = room;
      m.msg_controllen = CMSG_SPACE(static_cast<size_t>(fds) * sizeof(int));
      cmsghdr* c = CMSG_FIRSTHDR(&m);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(static_cast<size_t>(fds) * sizeof(int));
      for (int i = 0; i < fds; ++i) memcpy(CMSG_DATA(c) + static_cast<size_t>(i) * sizeof(int), &watched[1], sizeof(int));
    }
    REQUIRE(sendmsg(pair[0], &m, 0) == static_cast<ssize_t>(n));
  };
  uint64_t x = 12345;
  uint8_t bytes[sizeof(HelperRequest) + 100];
  for (int i = 0; i < 500; ++i) {
    for (uint8_t& b : bytes) b = static_cast<uint8_t>((x = x * 6364136223846793005u + 1442695040888963407u) >> 56);
    say(bytes, 1 + static_cast<size_t>(x >> 33) % sizeof bytes, static_cast<int>((x >> 20) % 9));
  }
  HelperRequest q{};
  q.kind = HelperRequest::program;
  q.id = 5;
  const auto answer = [&] {
    HelperAnswer a{};
    REQUIRE(recv(pair[0], &a, sizeof a, 0) == static_cast<ssize_t>(sizeof a));
    return a;
  };
  q.number = 1;  // no such program
  say(&q, sizeof q, 3);
  CHECK(answer().error == EINVAL);
  q.number = 0;
  for (const int fds : {0, 1, 2}) {
    say(&q, sizeof q, fds);
    CHECK(answer().error == EINVAL);
  }
  say(&q, sizeof q, 3);
  const HelperAnswer a = answer();
  CHECK(a.error == 0);
  CHECK(a.id == 5);
  CHECK(WEXITSTATUS(a.status) == 3);
  // None of what came with it is open any more.
  close(watched[1]);
  pollfd p{watched[0], POLLIN, 0};
  ssize_t n = 1;
  while (n > 0 && poll(&p, 1, 20000) == 1) n = read(watched[0], bytes, sizeof bytes);
  CHECK(n == 0);
  close(pair[0]);
  int status = 1;
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(status == 0);
  close(watched[0]);
}

TEST_CASE("helper: it stands still: once its socket is full it is waited for once, and asked again when it goes on") {
  Fixture f;
  const pid_t helper = youngest_child();
  if (helper <= 0) return;
  REQUIRE(::kill(helper, SIGSTOP) == 0);
  int taken = 0;
  while (taken < 100000 && f.helper.look_up(1, 1, "127.0.0.1")) ++taken;
  CHECK(taken > 10);
  CHECK(taken < 100000);
  const Time begin = read_clock();
  for (int i = 0; i < 30; ++i) CHECK_FALSE(f.helper.look_up(1, 1, "127.0.0.1"));  // 6 s, at 200 ms each
  CHECK(read_clock() - begin < seconds(3));
  REQUIRE(::kill(helper, SIGCONT) == 0);
  CHECK(f.until([&] { return f.helper.look_up(1, 1, "127.0.0.1"); }));
}

TEST_CASE("helper: killed, its users and its owner hear of it, and it is not started again") {
  Fixture f;
  CHECK(f.start(0, kWait, 5) == "here\n");
  const pid_t helper = youngest_child();
  if (helper <= 0) return;
  ::kill(helper, SIGKILL);
  CHECK(f.until([&] { return f.lost == 1; }));
  CHECK(f.ended == 2);  // one for each topic
  CHECK_FALSE(f.helper.start());
  CHECK_FALSE(f.helper.look_up(1, 1, "localhost"));
}
