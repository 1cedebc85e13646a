// Read next: child.h.
#include "core/io/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/io/log.h"

namespace smx {

namespace {

constexpr Duration kGrace = seconds(2);
constexpr Duration kAgain = millis(100);  // the helper took no signal
constexpr int kNotExecutable = 126 << 8;  // as waitpid(2) says it
constexpr int kReadsATurn = 4;
constexpr int kLastReads = 128;  // what a pipe holds, 64 KiB
constexpr size_t kLine = 230;  // bytes of a line that are logged

}  // namespace

void append_exit(TextBase& to, int status) {
  if (WIFSIGNALED(status)) {
    to.add("signal ").add_u(static_cast<uint64_t>(WTERMSIG(status)));
  } else {
    to.add("status ").add_u(static_cast<uint64_t>(WEXITSTATUS(status)));
    if (WEXITSTATUS(status) == 127) to.add(": command not found");
    if (WEXITSTATUS(status) == 126) to.add(": command cannot be executed");
  }
}

bool Children::init(uint32_t count, Arena& arena) {
  helper_.set_user(topic_, *this);
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
  const int fd[3] = {setup.fd[0], setup.fd[1], logged ? theirs.get() : setup.fd[2]};
  *error = helper_.start_program(topic_, static_cast<uint32_t>(c - children_), setup.command, setup.values, fd);
  if (*error != 0) {
    if (logged) reactor_.unwatch(ends[0]);
    return nullptr;
  }
  free_ = c->next_free_;
  ++running_;
  c->running_ = true;
  c->owner_ = &owner;
  c->label_.clear();
  c->label_.add(setup.label);
  c->client_ = setup.client;
  c->started_ = reactor_.now();
  c->stopped_ = c->killed_ = false;
  c->line_.clear();
  c->cut_ = false;
  c->log_ = static_cast<Fd&&>(ours);
  if (logged) reactor_.want(c->log_.get(), kRead);
  *error = 0;
  return c;
}

bool Children::signal(const Child& c, int signal) { return helper_.send_signal(topic_, static_cast<uint32_t>(&c - children_), signal); }

void Children::end_all(bool kill) {
  for (uint32_t i = 0; i < count_; ++i)
    if (children_[i].running_) (void)signal(children_[i], kill ? SIGKILL : SIGTERM);
}

void Children::on_helper_answer(const HelperAnswer& a, Time now) {
  if (a.id >= count_ || !children_[a.id].running_) return;
  Child& c = children_[a.id];
  if (a.error != 0) LogLine(LogLevel::error, "program-failed").kv("program", c.label_.text()).error(a.error);
  c.ended(a.error != 0 ? kNotExecutable : a.status, now);
}

// Its programs are told to end by the system, or have lost who would have told us.
void Children::on_helper_ended(Time now) {
  for (uint32_t i = 0; i < count_; ++i)
    if (children_[i].running_) children_[i].ended(SIGTERM, now);
}

void Child::stop(Time now) {
  owner_ = nullptr;
  if (!running_) return;
  stopped_ = table_.signal(*this, SIGTERM);
  table_.reactor_.timers().start(timer_, now + (stopped_ ? kGrace : kAgain));
}

void Child::on_timer(Timer& timer, Time now) {
  (void)timer;
  if (!running_) return;
  if (!stopped_) return stop(now);
  killed_ = table_.signal(*this, SIGKILL);
  if (!killed_) table_.reactor_.timers().start(timer_, now + kAgain);
}

void Child::on_ready(int fd, uint8_t ready, Time now) {
  (void)fd;
  (void)ready;
  (void)now;
  read_log(kReadsATurn);
}

void Child::read_log(int reads) {
  char bytes[512];
  for (int i = 0; i < reads && log_.valid(); ++i) {
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
  if (line_.size() > 0) LogLine(LogLevel::info, "program-says").kv("program", label_.text()).kv("text", line_.text());
  line_.clear();
  cut_ = false;
}

// What serves a client ends, that is what it does; a link's program should not.
void Child::log_end(int status, Time now) {
  const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  const bool by_us = (stopped_ && signal == SIGTERM) || (killed_ && signal == SIGKILL);
  const bool serves = !client_.is_none();
  const LogLevel level = by_us || (serves && status == 0) ? LogLevel::debug : serves || stopped_ ? LogLevel::info : LogLevel::warning;
  Text<60> how;
  append_exit(how, status);
  LogLine line(level, "program-ended");
  line.kv("program", label_.text());
  if (serves) line.kv("client", client_);
  line.kv("reason", how.text()).ms("seconds", now - started_);
}

// What its own children still write to standard error is not heard any more.
void Child::ended(int status, Time now) {
  read_log(kLastReads);
  if (log_.valid()) {
    say();
    table_.reactor_.unwatch(log_.get());
    log_.reset();
  }
  log_end(status, now);
  table_.reactor_.timers().stop(timer_);
  running_ = false;
  --table_.running_;
  next_free_ = table_.free_;
  table_.free_ = this;
  ChildOwner* owner = owner_;
  owner_ = nullptr;
  if (owner != nullptr) owner->on_child_ended(status, now);
}

}  // namespace smx
