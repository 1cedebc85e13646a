// The helper's own side: a loop that waits for requests and for the ends of its programs. One thread, no heap.
//
// Invariant: a descriptor that comes with a request is closed in the same turn; each program that was begun is told of
// exactly once when it has ended, also one that could not be begun. Read next: helper.h.
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "core/io/clock.h"
#include "core/io/fd.h"
#include "core/io/helper.h"
#include "core/io/resident.h"
#include "core/io/signals.h"

extern char** environ;

namespace smx {

namespace {

constexpr int kSocket = 3;
constexpr int kMostFds = 3;       // of a request
constexpr int kMostVariables = 1024;
constexpr int kMostLeft = 64;      // groups that their program has left somebody in
constexpr Duration kGrace = seconds(2);
constexpr int kMostWorkers = 128;  // twice of what a Resolver asks for at once
constexpr uint32_t kMostSeconds = 60000;

// What ends or asks something of a daemon is not meant for us (killall and init systems tell both): our end is that of the pair.
constexpr int kIgnored[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGPIPE};

struct Received {
  HelperRequest q;
  int fd[kMostFds] = {-1, -1, -1};
  int fds = 0;
};

// ---- names

// getaddrinfo(3) on one name. Runs in a worker process, where it may block and allocate.
void look_up(const char* name, HelperAnswer* a) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  a->error = getaddrinfo(name, nullptr, &hints, &list);
  // AI_ADDRCONFIG leaves names of loopback addresses out where no other interface is up.
  if (a->error != 0) {
    hints.ai_flags = 0;
    a->error = getaddrinfo(name, nullptr, &hints, &list);
  }
  if (a->error != 0) return;
  for (const addrinfo* i = list; i != nullptr && a->count < HelperAnswer::kMostAddresses; i = i->ai_next) {
    Address& out = a->address[a->count];
    if (i->ai_family == AF_INET) {
      sockaddr_in s;
      memcpy(&s, i->ai_addr, sizeof s);
      out.family = 4;
      memcpy(out.ip, &s.sin_addr, 4);
    } else if (i->ai_family == AF_INET6) {
      sockaddr_in6 s;
      memcpy(&s, i->ai_addr, sizeof s);
      out.family = 6;
      memcpy(out.ip, &s.sin6_addr, 16);
    } else {
      continue;
    }
    ++a->count;
  }
  if (a->count == 0) a->error = EAI_NONAME;
}

// ---- the process

class Server {
 public:
  explicit Server(const HelperTables& t) : t_(t) {}
  [[noreturn]] void run();

 private:
  bool receive(Received* r);
  void obey(Received& r);
  void find_name(HelperRequest& q);
  void begin_program(Received& r);
  void send_signal(const HelperRequest& q);
  void reap();
  void end_group(int group);
  void end_left(Time now);
  [[noreturn]] void become_program(const HelperProgram& p, Received& r);
  void put(const char* variable, size_t name_size);
  void answer(const HelperAnswer& a);
  void say_ended(uint32_t id, int error, int status);

  const HelperTables& t_;
  sigset_t usual_;  // while we wait, and in programs
  int workers_ = 0;
  // Groups that get KILL, oldest first. Their numbers are nobody else's as long as somebody is in them (POSIX.1-2017 4.13, "Process ID
  // Reuse"), and who ends by himself within this time leaves a number that is not given again so soon.
  struct Left {
    int group;
    Time due;
  };
  Left left_[kMostLeft];
  int left_count_ = 0;
  // Of the program that a forked child is about to become
  const char* variable_[kMostVariables + 1];
  int variables_ = 0;
  char client_[kClientVariableCount][kClientValue + 16];
};

void on_child(int signal) { (void)signal; }  // wakes pselect(2)

// What passes by itself: recv(2), send(2), pselect(2).
bool is_passing(int error) { return error == EINTR || error == ENOBUFS || error == ENOMEM || error == EAGAIN; }

void ignore_signals() {
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_handler = SIG_IGN;
  for (const int s : kIgnored) sigaction(s, &action, nullptr);
  action.sa_handler = on_child;
  sigaction(SIGCHLD, &action, nullptr);
}

// Nobody's pipe, port, lock or terminal is kept open.
void let_go(int socket) {
  (void)setsid();
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd <= 2 && null >= 0; ++fd) (void)replace_fd(null, fd);
  if (socket != kSocket && replace_fd(socket, kSocket) != 0) _exit(1);  // the daemon hears of it by the end of the pair
  (void)fcntl(kSocket, F_SETFD, FD_CLOEXEC);
#if defined(SYS_close_range)
  if (syscall(SYS_close_range, kSocket + 1, ~0u, 0) == 0) return;
#endif
  const long most = sysconf(_SC_OPEN_MAX);
  const int limit = most < 0 || most > 65536 ? 65536 : static_cast<int>(most);
  for (int fd = kSocket + 1; fd < limit; ++fd) ::close(fd);
}

void Server::run() {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);
  sigemptyset(&usual_);
  ignore_signals();
  (void)sigprocmask(SIG_SETMASK, &blocked, nullptr);
  for (;;) {
    reap();
    fd_set set;
    FD_ZERO(&set);
    FD_SET(kSocket, &set);
    timespec pause{};
    if (left_count_ > 0) {
      const Time now = read_clock();
      end_left(now);
      const int64_t us = left_count_ > 0 && now < left_[0].due ? (left_[0].due - now).us : 0;
      pause.tv_sec = static_cast<time_t>(us / 1000000);
      pause.tv_nsec = static_cast<long>(us % 1000000 * 1000);
    }
    const int ready = pselect(kSocket + 1, &set, nullptr, nullptr, left_count_ > 0 ? &pause : nullptr, &usual_);
    if (ready == 0 || (ready < 0 && is_passing(errno))) continue;
    if (ready < 0) break;
    Received r;
    if (!receive(&r)) break;
    obey(r);
    for (int i = 0; i < r.fds; ++i) ::close(r.fd[i]);
  }
  for (uint32_t i = 0; i < t_.most_running; ++i)
    if (t_.running[i].pid > 0) (void)::kill(-t_.running[i].pid, SIGTERM);
  end_left(kNever);
  _exit(0);
}

// What is lost here would be waited for: a name, the end of a program.
void Server::answer(const HelperAnswer& a) {
  constexpr int kTries = 500, kPauseMs = 10;
  for (int i = 0; i < kTries && ::send(kSocket, &a, sizeof a, 0) < 0; ++i) {
    if (!is_passing(errno)) return;
    (void)::poll(nullptr, 0, kPauseMs);
  }
}

// False: the daemon has closed its end.
bool Server::receive(Received* r) {
  iovec piece{&r->q, sizeof r->q};
  union {
    cmsghdr align;
    char room[128];  // on NetBSD, CMSG_SPACE() is no constant
  } control;
  msghdr m{};
  m.msg_iov = &piece;
  m.msg_iovlen = 1;
  m.msg_control = &control;
  m.msg_controllen = CMSG_SPACE(kMostFds * sizeof(int));
  r->q.kind = 0;
  const ssize_t n = ::recvmsg(kSocket, &m, 0);
  // A connection that was reset has an end behind that.
  if (n <= 0) return n < 0 && (is_passing(errno) || errno == ECONNRESET);
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
      if (r->fds < kMostFds) r->fd[r->fds++] = fd;
      else ::close(fd);  // alignment leaves room for one more than we want
    }
  }
  if (n != static_cast<ssize_t>(sizeof r->q) || (m.msg_flags & MSG_TRUNC) != 0) r->q.kind = 0;
  return true;
}

void Server::obey(Received& r) {
  switch (r.q.kind) {
    case HelperRequest::name: return find_name(r.q);
    case HelperRequest::program:
      if constexpr (kHasPrograms) begin_program(r);
      return;
    case HelperRequest::signal: return send_signal(r.q);
    default: return;
  }
}

void Server::find_name(HelperRequest& q) {
  q.text[sizeof q.text - 1] = 0;
  HelperAnswer a{};
  a.kind = HelperAnswer::name;
  a.id = q.id;
  a.error = EAI_AGAIN;
  const pid_t worker = workers_ < kMostWorkers ? fork() : -1;
  if (worker == 0) {
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    for (const int s : {SIGTERM, SIGALRM}) sigaction(s, &action, nullptr);  // ignored: by us, or by who has started the daemon
    (void)sigprocmask(SIG_SETMASK, &usual_, nullptr);
    alarm(q.number < kMostSeconds ? q.number + 1 : kMostSeconds);  // ends a worker whose name takes too long
    look_up(q.text, &a);
    answer(a);
    _exit(0);
  }
  if (worker < 0) return answer(a);
  ++workers_;
}

void Server::say_ended(uint32_t id, int error, int status) {
  HelperAnswer a{};
  a.kind = HelperAnswer::ended;
  a.id = id;
  a.error = error;
  a.status = status;
  answer(a);
}

void Server::begin_program(Received& r) {
  HelperTables::Running* place = nullptr;
  for (uint32_t i = 0; i < t_.most_running && place == nullptr; ++i)
    if (t_.running[i].pid <= 0) place = &t_.running[i];
  if (place == nullptr || r.q.number >= t_.programs || r.fds != kMostFds) return say_ended(r.q.id, place == nullptr ? EAGAIN : EINVAL, 0);
  const pid_t pid = fork();
  if (pid == 0) become_program(t_.program[r.q.number], r);
  if (pid < 0) return say_ended(r.q.id, errno, 0);
  (void)setpgid(pid, pid);  // whoever is first
  *place = {static_cast<int>(pid), r.q.id};
}

void Server::send_signal(const HelperRequest& q) {
  if (q.number != SIGTERM && q.number != SIGKILL) return;
  for (uint32_t i = 0; i < t_.most_running; ++i) {
    const HelperTables::Running& p = t_.running[i];
    if (p.pid > 0 && p.id == q.id) (void)::kill(-p.pid, static_cast<int>(q.number));
  }
}

void Server::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return;
    HelperTables::Running* place = nullptr;
    for (uint32_t i = 0; i < t_.most_running && place == nullptr; ++i)
      if (t_.running[i].pid == pid) place = &t_.running[i];
    if (place == nullptr) {
      if (workers_ > 0) --workers_;
      continue;
    }
    end_group(pid);
    place->pid = 0;
    say_ended(place->id, 0, status);
  }
}

// What a program has left behind: TERM, and KILL later.
void Server::end_group(int group) {
  if (::kill(-group, SIGTERM) != 0) return;  // nobody
  if (left_count_ == kMostLeft) end_left(left_[0].due);
  left_[left_count_++] = {group, read_clock() + kGrace};
}

void Server::end_left(Time now) {
  int n = 0;
  while (n < left_count_ && left_[n].due <= now) (void)::kill(-left_[n++].group, SIGKILL);
  left_count_ -= n;
  for (int i = 0; i < left_count_; ++i) left_[i] = left_[i + n];
}

// ---- in the child that becomes a program

// A name that is there already is not added; `variable` is NAME=value.
void Server::put(const char* variable, size_t name_size) {
  for (int i = 0; i < variables_; ++i)
    if (strncmp(variable_[i], variable, name_size + 1) == 0) return;
  if (variables_ < kMostVariables) variable_[variables_++] = variable;
}

void Server::become_program(const HelperProgram& p, Received& r) {
  for (size_t i = 0; p.has_client && i < kClientVariableCount; ++i) {
    char* value = r.q.text + i * kClientValue;
    value[kClientValue - 1] = 0;
    const size_t n = strlen(kClientVariables[i]);
    memcpy(client_[i], kClientVariables[i], n);
    client_[i][n] = '=';
    memcpy(client_[i] + n + 1, value, strlen(value) + 1);
    put(client_[i], n);
  }
  for (int k = 0; k < 2; ++k)
    for (size_t i = 0; i < p.environment_size[k]; ++i) put(p.environment[k][i].data(), p.environment[k][i].find('='));
  for (char** v = environ; *v != nullptr; ++v)
    if (const char* end = strchr(*v, '=')) put(*v, static_cast<size_t>(end - *v));
  variable_[variables_] = nullptr;
  (void)setpgid(0, 0);
#if defined(__linux__)
  (void)prctl(PR_SET_PDEATHSIG, SIGTERM);  // should somebody kill us
#endif
  // Also what the daemon's starter has ignored: who runs behind a client is no part of that session.
  for (int s = 1; s < 32; ++s) (void)::signal(s, SIG_DFL);
  (void)sigprocmask(SIG_SETMASK, &usual_, nullptr);
  // They are above kSocket, so nothing is overwritten; all others are CLOEXEC.
  for (int to = 0; to < kMostFds; ++to)
    if (replace_fd(r.fd[to], to) != 0) _exit(126);  // rather than without what it shall read or write
  char* const words[] = {const_cast<char*>("sh"), const_cast<char*>("-c"), const_cast<char*>(p.command), nullptr};
  execve("/bin/sh", words, const_cast<char* const*>(variable_));
  static constexpr char kFailed[] = "cannot run /bin/sh\n";
  (void)!::write(2, kFailed, sizeof kFailed - 1);
  _exit(127);
}

}  // namespace

void serve_as_helper(int socket, const HelperTables& tables) {
  Signals::restore();
  let_go(socket);
  forget_code();
  Server server(tables);
  server.run();
}

}  // namespace smx
