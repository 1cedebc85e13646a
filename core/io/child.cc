// Read next: child.h.
#include "core/io/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/io/log.h"
#include "core/io/signals.h"

extern char** environ;

namespace smx {

namespace {

constexpr Duration kGrace = seconds(2);
constexpr int kMostVariables = 512;
constexpr int kReadsATurn = 4;
constexpr size_t kLine = 230;  // bytes of a line that are logged

bool same_name(const char* a, const char* b) {
  const char* end = strchr(b, '=');
  return end != nullptr && strncmp(a, b, static_cast<size_t>(end - b) + 1) == 0;
}

// In the child: its descriptors, its environment, and then it is the program. Only what is safe behind fork(2).
[[noreturn]] void become_program(const ChildSetup& setup, int log) {
  static char* variables[kMostVariables + 1];
  int n = 0;
  for (char** v = environ; *v != nullptr && n < kMostVariables - ChildSetup::kMostEnvironment; ++v) {
    bool replaced = false;
    for (int i = 0; i < setup.environment_size; ++i) replaced = replaced || same_name(*v, setup.environment[i]);
    if (!replaced) variables[n++] = *v;
  }
  for (int i = 0; i < setup.environment_size; ++i) variables[n++] = const_cast<char*>(setup.environment[i]);
  variables[n] = nullptr;
  Signals::restore();
  sigset_t none;
  sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, nullptr);
  (void)setpgid(0, 0);
  // First out of the way of 0, 1 and 2: they are above 2 already (fill_standard_fds), so nothing is overwritten.
  for (int to = 0; to < 3; ++to) {
    const int from = setup.fd[to] >= 0 ? setup.fd[to] : to == 2 ? log : -1;
    if (from >= 0) (void)dup2(from, to);
  }
  // All others are CLOEXEC.
  char* const words[] = {const_cast<char*>("sh"), const_cast<char*>("-c"), const_cast<char*>(setup.command), nullptr};
  execve("/bin/sh", words, variables);
  static constexpr char kFailed[] = "cannot run /bin/sh\n";
  (void)!::write(2, kFailed, sizeof kFailed - 1);
  _exit(127);
}

}  // namespace

void append_exit(TextBase& to, int status) {
  if (WIFSIGNALED(status)) {
    to.add("signal ").add_u(static_cast<uint64_t>(WTERMSIG(status)));
  } else {
    to.add("status ").add_u(static_cast<uint64_t>(WEXITSTATUS(status)));
  }
}

bool Children::init(uint32_t count, Arena& arena) {
  children_ = arena.raw<Child>(count);
  if (children_ == nullptr && count > 0) return false;
  count_ = count;
  for (uint32_t i = count; i > 0; --i) {
    Child* c = new (&children_[i - 1]) Child(*this);
    c->next_free_ = free_;
    free_ = c;
  }
  return true;
}

Child* Children::start(const ChildSetup& setup, ChildOwner& owner, int* error) {
  Child* c = free_;
  *error = EAGAIN;
  if (c == nullptr) return nullptr;
  int ends[2] = {-1, -1};
  const bool logged = setup.fd[2] < 0;
  if (logged && ::pipe(ends) < 0) {
    *error = errno;
    return nullptr;
  }
  Fd ours(ends[0]), theirs(ends[1]);
  *error = logged ? prepare_fd(ends[0]) : 0;
  if (*error == 0 && logged && fcntl(ends[1], F_SETFD, FD_CLOEXEC) < 0) *error = errno;
  if (*error == 0 && logged && reactor_.watch(ends[0], *c) != 0) *error = EMFILE;
  if (*error != 0) return nullptr;
  const pid_t pid = fork();
  if (pid == 0) become_program(setup, theirs.get());
  if (pid < 0) {
    *error = errno;
    if (logged) reactor_.unwatch(ends[0]);
    return nullptr;
  }
  (void)setpgid(pid, pid);  // whoever is first
  free_ = c->next_free_;
  ++running_;
  c->pid_ = static_cast<int>(pid);
  c->owner_ = &owner;
  c->label_ = setup.label;
  c->line_.clear();
  c->cut_ = false;
  c->log_ = static_cast<Fd&&>(ours);
  if (logged) reactor_.want(c->log_.get(), kRead);
  *error = 0;
  return c;
}

void Children::reap(Time now) {
  for (uint32_t i = 0; i < count_; ++i) {
    Child& c = children_[i];
    int status = 0;
    if (c.pid_ > 0 && ::waitpid(c.pid_, &status, WNOHANG) == c.pid_) c.ended(status, now);
  }
}

void Children::end_all(bool kill) {
  for (uint32_t i = 0; i < count_; ++i)
    if (children_[i].pid_ > 0) (void)::kill(-children_[i].pid_, kill ? SIGKILL : SIGTERM);
}

void Child::stop(Time now) {
  owner_ = nullptr;
  if (pid_ <= 0) return;
  (void)::kill(-pid_, SIGTERM);
  table_.reactor_.timers().start(timer_, now + kGrace);
}

void Child::on_timer(Timer& timer, Time now) {
  (void)timer;
  (void)now;
  if (pid_ > 0) (void)::kill(-pid_, SIGKILL);
}

void Child::on_ready(int fd, uint8_t ready, Time now) {
  (void)fd;
  (void)ready;
  (void)now;
  read_log();
}

void Child::read_log() {
  char bytes[512];
  for (int i = 0; i < kReadsATurn && log_.valid(); ++i) {
    const IoResult r = read_fd(log_.get(), bytes, sizeof bytes);
    if (r.again) return;
    if (r.error != 0 || r.size == 0) {
      say();
      table_.reactor_.unwatch(log_.get());
      log_.reset();
      return;
    }
    for (size_t k = 0; k < r.size; ++k) {
      if (bytes[k] == '\n') {
        say();
      } else if (!cut_) {
        line_.add_printable({&bytes[k], 1});
        cut_ = line_.size() >= kLine;
      }
    }
  }
}

void Child::say() {
  if (line_.size() > 0) LogLine(LogLevel::info, "program-says").kv("program", label_).kv("text", line_.text());
  line_.clear();
  cut_ = false;
}

// What its own children still write to standard error is not heard any more.
void Child::ended(int status, Time now) {
  read_log();
  if (log_.valid()) {
    say();
    table_.reactor_.unwatch(log_.get());
    log_.reset();
  }
  (void)::kill(-pid_, SIGTERM);  // what it has left behind in its group
  table_.reactor_.timers().stop(timer_);
  pid_ = -1;
  --table_.running_;
  next_free_ = table_.free_;
  table_.free_ = this;
  ChildOwner* owner = owner_;
  owner_ = nullptr;
  if (owner != nullptr) owner->on_child_ended(status, now);
}

}  // namespace smx
