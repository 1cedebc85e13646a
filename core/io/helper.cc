// Read next: helper.h.
#include "core/io/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/io/log.h"
#include "core/io/process.h"

namespace smx {

namespace {

constexpr int kAnswersATurn = 64;
// A full socket: so long we wait for the helper, about as long as we would have been busy with fork(2) ourselves. In vain: it stands
// still, and is not waited for again before it has taken something.
constexpr int kPatienceMs = 200;
constexpr int kEndMs = 10, kEndTries = 100;

constexpr uint32_t id_of(Helper::Topic topic, uint32_t id) { return static_cast<uint32_t>(topic) * Helper::kIds + id; }

#ifdef MSG_NOSIGNAL
constexpr int kFlags = MSG_NOSIGNAL;
#else
constexpr int kFlags = 0;  // SIGPIPE is ignored
#endif

}  // namespace

Helper::~Helper() {
  if (socket_.valid()) reactor_.unwatch(socket_.get());
}

bool Helper::init(uint32_t programs, uint32_t running, Arena& arena) {
  tables_.program = arena.make<HelperProgram>(programs);
  tables_.running = arena.raw<HelperTables::Running>(running);
  tables_.most_programs = programs;
  tables_.most_running = running;
  return (programs == 0 || tables_.program != nullptr) && (running == 0 || tables_.running != nullptr);
}

void Helper::add_program(const HelperProgram& p) {
  SMX_CHECK(tables_.programs < tables_.most_programs);
  tables_.program[tables_.programs++] = p;
}

bool Helper::start() {
  if (socket_.valid()) return true;
  if (owner_ != nullptr) return false;
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0) {
    LogLine(LogLevel::error, "helper-failed").error(errno);
    return false;
  }
  Fd ours(pair[0]);
  Fd theirs(pair[1]);
  int error = prepare_fd(pair[0]);
  if (error == 0) error = reactor_.watch(pair[0], *this);
  if (error != 0) {
    LogLine(LogLevel::error, "helper-failed").error(error);
    return false;
  }
  // A signal that comes before it has its own handlers must not reach ours there, which would write it into our pipe.
  sigset_t all, before;
  sigfillset(&all);
  (void)sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t pid = fork();
  error = errno;
  if (pid == 0) {
    // What never works does not work for the daemon either, which says so.
    for (int tries = 0; drops_ && become({uid_, gid_}) != 0; ++tries)
      if (tries == 2) _exit(1);
    serve_as_helper(pair[1], tables_);
  }
  (void)sigprocmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) {
    reactor_.unwatch(pair[0]);
    LogLine(LogLevel::error, "helper-failed").error(error);
    return false;
  }
  pid_ = static_cast<int>(pid);
  socket_ = static_cast<Fd&&>(ours);
  stands_still_ = false;
  reactor_.want(pair[0], kRead);
  return true;
}

void Helper::stop() {
  if (!socket_.valid()) return;
  reactor_.unwatch(socket_.get());
  socket_.reset();
  if (pid_ <= 0) return;
  // It ends with its end of the pair; one that was stopped by somebody does not hold us.
  for (int i = 0; i < kEndTries && ::waitpid(pid_, nullptr, WNOHANG) == 0; ++i) (void)::poll(nullptr, 0, kEndMs);
  pid_ = -1;
}

void Helper::reap(Time now) {
  if (pid_ <= 0) return;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return;
  pid_ = -1;
  if (socket_.valid()) lose(now);
}

// What it has not answered fails. If it can't be started again, the owner decides what becomes of us.
void Helper::lose(Time now) {
  LogLine(owner_ == nullptr ? LogLevel::warning : LogLevel::error, "helper-ended");
  reactor_.unwatch(socket_.get());
  socket_.reset();
  // It has closed its end, so it has ended or will; under the filter there is no kill(2), and SIGCHLD comes.
  if (pid_ > 0 && owner_ == nullptr) (void)::kill(pid_, SIGKILL);
  if (pid_ > 0 && ::waitpid(pid_, nullptr, owner_ == nullptr ? 0 : WNOHANG) == pid_) pid_ = -1;
  for (HelperUser* user : user_)
    if (user != nullptr) user->on_helper_ended(now);
  if (owner_ != nullptr) owner_->on_helper_lost(now);
}

// 0 or errno.
int Helper::send(HelperRequest& q, const int* fd) {
  if (!socket_.valid()) return EPIPE;
  iovec piece{&q, sizeof q};
  msghdr m{};
  m.msg_iov = &piece;
  m.msg_iovlen = 1;
  constexpr size_t kFds = 3;
  union {
    cmsghdr align;
    char room[128];  // on NetBSD, CMSG_SPACE() is no constant
  } control;
  memset(&control, 0, sizeof control);
  if (fd != nullptr) {
    SMX_CHECK(CMSG_SPACE(kFds * sizeof(int)) <= sizeof control);
    m.msg_control = &control;
    m.msg_controllen = CMSG_SPACE(kFds * sizeof(int));
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(kFds * sizeof(int));
    memcpy(CMSG_DATA(c), fd, kFds * sizeof(int));
  }
  for (bool waited = false;; waited = true) {
    ssize_t n;
    do {
      n = ::sendmsg(socket_.get(), &m, kFlags);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
      stands_still_ = false;
      return 0;
    }
    if ((errno != EAGAIN && errno != EWOULDBLOCK) || waited || stands_still_) return errno;
    pollfd p{socket_.get(), POLLOUT, 0};
    stands_still_ = ::poll(&p, 1, kPatienceMs) == 0;
  }
}

bool Helper::look_up(uint32_t id, uint32_t limit_s, std::string_view name) {
  HelperRequest q{};
  if (name.size() >= sizeof q.text) return false;
  q.kind = HelperRequest::name;
  q.id = id_of(Topic::names, id);
  q.number = limit_s;
  memcpy(q.text, name.data(), name.size());
  return send(q, nullptr) == 0;
}

int Helper::start_program(Topic topic, uint32_t id, const char* command, const std::string_view* values, const int fd[3]) {
  HelperRequest q{};
  q.kind = HelperRequest::program;
  q.id = id_of(topic, id);
  while (q.number < tables_.programs && tables_.program[q.number].command != command) ++q.number;
  SMX_CHECK(q.number < tables_.programs);  // each command was added when the tables were made
  for (size_t i = 0; values != nullptr && i < kClientVariableCount; ++i) {
    const size_t n = values[i].size() < kClientValue ? values[i].size() : kClientValue - 1;
    if (n > 0) memcpy(q.text + i * kClientValue, values[i].data(), n);
  }
  return send(q, fd);
}

bool Helper::send_signal(Topic topic, uint32_t id, int signal) {
  HelperRequest q{};
  q.kind = HelperRequest::signal;
  q.id = id_of(topic, id);
  q.number = static_cast<uint32_t>(signal);
  return send(q, nullptr) == 0;
}

void Helper::on_ready(int fd, uint8_t ready, Time now) {
  (void)ready;
  for (int i = 0; i < kAnswersATurn; ++i) {
    HelperAnswer a;
    const ssize_t n = ::recv(fd, &a, sizeof a, 0);
    if (n < 0 && errno == EINTR) continue;
    // Without memory it waits there, and is tried again; a connection that was reset has an end behind that.
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOMEM || errno == ENOBUFS || errno == ECONNRESET)) return;
    if (n <= 0) return lose(now);
    const uint32_t topic = a.id / kIds;
    if (n != static_cast<ssize_t>(sizeof a) || topic >= kTopics || user_[topic] == nullptr) continue;
    if ((topic == 0) != (a.kind == HelperAnswer::name)) continue;
    a.id %= kIds;
    user_[topic]->on_helper_answer(a, now);
    if (!socket_.valid()) return;
  }
}

}  // namespace smx
