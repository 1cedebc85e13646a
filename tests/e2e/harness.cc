// Read next: harness.h.
#include "tests/e2e/harness.h"

#include <doctest/doctest.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <fstream>
#include <sstream>

namespace e2e {

namespace {

std::vector<Actor*>& actors() {
  static std::vector<Actor*> list;
  return list;
}
std::vector<Process*>& processes() {
  static std::vector<Process*> list;
  return list;
}

constexpr double kLook = 0.02;  // how long a turn lasts at most while something is awaited
constexpr size_t kLogShown = 6000;

// Shows what the processes said at the moment of the first failure of a test.
class ShowLogs : public doctest::IReporter {
 public:
  explicit ShowLogs(const doctest::ContextOptions&) {}
  void test_case_start(const doctest::TestCaseData&) override { shown_ = false; }
  void log_assert(const doctest::AssertData& assert) override {
    if (!assert.m_failed || shown_) return;
    shown_ = true;
    turn(kLook);
    for (Process* p : processes()) {
      const std::string& log = p->log();
      fprintf(stderr, "--- %s: %s%s\n", p->command().c_str(), p->running() ? "runs" : "ended with ",
              p->running() ? "" : std::to_string(p->status()).c_str());
      fprintf(stderr, "%s\n", log.size() > kLogShown ? ("..." + log.substr(log.size() - kLogShown)).c_str() : log.c_str());
    }
    fprintf(stderr, "---\n");
  }
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}

 private:
  bool shown_ = false;
};
REGISTER_LISTENER("logs", 1, ShowLogs);

void on_child(int) {}  // interrupts poll()

}  // namespace

double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

double slowness() {
  static const double factor = getenv("SMX_SLOW") != nullptr || daemon_sanitized() ? 6 : 1;
  return factor;
}

// ---- the loop

Actor::Actor() { actors().push_back(this); }
Actor::~Actor() { *std::find(actors().begin(), actors().end(), this) = nullptr; }

void turn(double seconds) {
  std::vector<Actor*>& all = actors();
  all.erase(std::remove(all.begin(), all.end(), nullptr), all.end());
  std::vector<pollfd> list;
  std::vector<size_t> first;
  // want() may destroy actors (nullptr then) and make new ones, which wait for the next turn.
  const size_t count = all.size();
  for (size_t i = 0; i < count; ++i) {
    first.push_back(list.size());
    if (all[i] != nullptr) all[i]->want(list);
  }
  first.push_back(list.size());
  if (poll(list.data(), list.size(), static_cast<int>(seconds * 1000)) < 0) return;
  for (size_t i = 0; i < count; ++i)
    if (actors()[i] != nullptr && first[i + 1] > first[i]) actors()[i]->ready(list.data() + first[i], first[i + 1] - first[i]);
}

bool wait_for(const std::function<bool()>& done, double seconds) {
  const double limit = now() + seconds * slowness();
  while (!done()) {
    if (now() > limit) return false;
    turn(kLook);
  }
  return true;
}

// ---- processes

namespace {
// To 3 and so on; they may be in each other's way.
void hand_down(const std::vector<int>& fds) {
  std::vector<int> aside;
  for (const int fd : fds) aside.push_back(fcntl(fd, F_DUPFD_CLOEXEC, 100));
  for (size_t i = 0; i < aside.size(); ++i) dup2(aside[i], static_cast<int>(i) + 3);
}
}  // namespace

Process::Process(const Words& words, const ProcessSetup& setup) {
  static const bool prepared = [] {
    struct sigaction action {};
    action.sa_handler = on_child;
    sigaction(SIGCHLD, &action, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    return true;
  }();
  (void)prepared;
  for (const std::string& w : words) command_ += (command_.empty() ? "" : " ") + w;
  int error_pipe[2], output_pipe[2] = {-1, -1};
  REQUIRE(pipe2(error_pipe, O_CLOEXEC) == 0);
  if (setup.separate) REQUIRE(pipe2(output_pipe, O_CLOEXEC) == 0);
  std::vector<char*> argv;
  for (const std::string& w : words) argv.push_back(const_cast<char*>(w.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  pid_ = fork();
  REQUIRE(pid_ >= 0);
  if (pid_ == 0) {
    setpgid(0, 0);
#if defined(__linux__)
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);
#else
    (void)parent;
#endif
    const int input = open(setup.input.empty() ? "/dev/null" : setup.input.c_str(), O_RDONLY);
    dup2(input, 0);
    dup2(setup.separate ? output_pipe[1] : error_pipe[1], 1);
    dup2(error_pipe[1], 2);
    if (input > 2) close(input);
    ::signal(SIGPIPE, SIG_DFL);
    if (setup.files != 0) {
      const rlimit limit{setup.files, setup.files};
      setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (setup.user != 0 && (setgid(setup.user) != 0 || setuid(setup.user) != 0)) _exit(125);
    for (const std::string& e : setup.environment) {
      const size_t at = e.find("=$$");
      putenv(strdup((at == std::string::npos ? e : e.substr(0, at + 1) + std::to_string(getpid())).c_str()));
    }
    hand_down(setup.descriptors);
    if (setup.prepare) setup.prepare();
    execvp(argv[0], argv.data());
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
  }
  setpgid(pid_, pid_);
  close(error_pipe[1]);
  error_fd_ = error_pipe[0];
  fcntl(error_fd_, F_SETFL, O_NONBLOCK);
  if (setup.separate) {
    close(output_pipe[1]);
    output_fd_ = output_pipe[0];
    fcntl(output_fd_, F_SETFL, O_NONBLOCK);
  }
  processes().push_back(this);
}

Process::~Process() {
  ::kill(-pid_, SIGKILL);
  if (!ended_) {
    ::kill(pid_, SIGKILL);
    while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
    }
  }
  if (error_fd_ >= 0) close(error_fd_);
  if (output_fd_ >= 0) close(output_fd_);
  processes().erase(std::find(processes().begin(), processes().end(), this));
}

void Process::drain(int& fd, std::string& to) {
  char bytes[16384];
  for (;;) {
    const ssize_t n = read(fd, bytes, sizeof bytes);
    if (n > 0) {
      to.append(bytes, static_cast<size_t>(n));
      continue;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    close(fd);
    fd = -1;
    return;
  }
}

void Process::want(std::vector<pollfd>& list) {
  if (error_fd_ >= 0) list.push_back({error_fd_, POLLIN, 0});
  if (output_fd_ >= 0) list.push_back({output_fd_, POLLIN, 0});
}

void Process::ready(const pollfd*, size_t) {
  if (error_fd_ >= 0) drain(error_fd_, log_);
  if (output_fd_ >= 0) drain(output_fd_, output_);
}

bool Process::running() {
  if (ended_) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return true;
  ended_ = true;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  ready(nullptr, 0);
  return false;
}

int Process::status() {
  running();
  return status_;
}

void Process::signal(int number) { ::kill(pid_, number); }
bool Process::wait_end(double seconds) {
  return wait_for([this] { return !running(); }, seconds);
}
bool Process::wait_log(const std::string& text, double seconds, size_t from) {
  return wait_for([&] { return says(text, from); }, seconds);
}
size_t Process::count(const std::string& text) const { return count_of(log_, text); }

std::string run(const Words& words, double seconds, const ProcessSetup& setup) {
  ProcessSetup apart = setup;
  apart.separate = true;
  Process p(words, apart);
  CHECK_MESSAGE(p.wait_end(seconds), p.command(), ": does not end");
  CHECK_MESSAGE(p.status() == 0, p.command(), ": ", p.log());
  return p.output();
}

std::string find_program(const std::string& name) {
  const char* path = getenv("PATH");
  std::istringstream list(std::string(path != nullptr ? path : "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin");
  std::string folder;
  while (std::getline(list, folder, ':'))
    if (access((folder + "/" + name).c_str(), X_OK) == 0) return folder + "/" + name;
  FAIL("this test needs ", name, ", which is not installed");
  return name;
}

std::string daemon_path() {
  const char* path = getenv("SOCKMUXD");
  return path != nullptr ? path : "./sockmuxd";
}

std::string ctl_path() {
  const char* path = getenv("SOCKMUXCTL");
  if (path != nullptr) return path;
  const std::string daemon = daemon_path();
  return daemon.substr(0, daemon.rfind('/') + 1) + "sockmuxctl";
}

bool daemon_sanitized() {
  static const bool yes = [] {
    const std::string program = read_file(daemon_path());
    bool found = program.compare(0, 2, "#!") == 0;
    for (const char* mark : {"__asan_init", "__msan_init", "__tsan_init"}) found = found || program.find(mark) != std::string::npos;
    return found;
  }();
  return yes;
}

bool daemon_static() {
  static const bool yes = read_file(daemon_path()).find("libc.") == std::string::npos;
  return yes;
}

// ---- daemons

Daemon::Daemon(const Words& words, const ProcessSetup& setup) : words_(words), setup_(setup) {
  bool asked = false;
  for (const std::string& w : words) asked = asked || w.find("control:") != std::string::npos;
  if (!asked) words_.push_back("SOXCONF=control:no");
  Words all{daemon_path(), "-f"};
  all.insert(all.end(), words_.begin(), words_.end());
  process_ = std::make_unique<Process>(all, setup);
}

void Daemon::await_start() {
  REQUIRE_MESSAGE(process_->wait_log(" started ", 5), "the daemon does not start: ", process_->command());
}

std::vector<uint16_t> Daemon::ports_after(const std::string& text) {
  std::vector<uint16_t> ports;
  const std::string& log = process_->log();
  for (size_t at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) {
    const std::string line = log.substr(at, log.find('\n', at) - at);
    ports.push_back(static_cast<uint16_t>(std::stoi(line.substr(line.rfind(':') + 1))));
  }
  return ports;
}

uint16_t Daemon::link_port(size_t i) {
  await_start();
  const std::vector<uint16_t> ports = ports_after("links are accepted at ");
  REQUIRE(i < ports.size());
  return ports[i];
}

uint16_t Daemon::port(size_t i) {
  await_start();
  const std::vector<uint16_t> ports = ports_after("clients are accepted at ");
  REQUIRE(i < ports.size());
  return ports[i];
}

void Daemon::kill() {
  process_->signal(SIGKILL);
  REQUIRE(process_->wait_end(5));
}

double Daemon::restart() {
  await_start();
  const std::vector<uint16_t> links = ports_after("links are accepted at "), clients = ports_after("clients are accepted at ");
  size_t link = 0, client = 0;
  for (std::string& w : words_) {
    const bool is_link = w.compare(0, 2, "-P") == 0 || w.compare(0, 2, "-Q") == 0;
    if (!is_link && w.compare(0, 5, "PORT=") != 0) continue;
    for (size_t at = w.find(":0"); at != std::string::npos; at = w.find(":0", at + 1))
      if (at + 2 == w.size() || w[at + 2] == ',') w.replace(at, 2, ":" + text(is_link ? links[link++] : clients[client++]));
  }
  if (process_->running()) kill();
  Words all{daemon_path(), "-f"};
  all.insert(all.end(), words_.begin(), words_.end());
  const double start = now();
  process_ = std::make_unique<Process>(all, setup_);
  return start;
}

std::string Daemon::statistics() {
  const size_t from = process_->log().size();
  process_->signal(SIGUSR1);
  REQUIRE(process_->wait_log("] statistics ", 30, from));  // it may be closing thousands of channels
  REQUIRE(wait_for([&] { return process_->log().back() == '\n'; }, 1));
  return process_->log().substr(from);
}

int64_t Daemon::value(const std::string& lines, const std::string& key) {
  const size_t at = lines.rfind(" " + key + "=");
  return at == std::string::npos ? -1 : atoll(lines.c_str() + at + key.size() + 2);
}

bool Daemon::wait_channels(int64_t wanted, double seconds) {
  const double limit = now() + seconds * slowness();
  for (;;) {
    // Asked seldom enough that the log does not count the lines instead of writing them.
    if (value(statistics(), "channels") == wanted) return true;
    if (now() > limit) return false;
    const double again = now() + 0.5;
    (void)wait_for([&] { return now() > again; }, 1);
  }
}

int64_t Daemon::resident_kib() {
  const std::string status = read_file("/proc/" + text(static_cast<uint64_t>(process_->pid())) + "/status");
  for (const std::string field : {"RssAnon:", "VmRSS:"}) {  // the first since Linux 4.5
    const size_t at = status.find(field);
    if (at != std::string::npos) return atoll(status.c_str() + at + field.size());
  }
  return -1;
}

size_t Daemon::descriptors() {
  size_t n = 0;
  DIR* folder = opendir(("/proc/" + text(static_cast<uint64_t>(process_->pid())) + "/fd").c_str());
  REQUIRE(folder != nullptr);
  while (const dirent* entry = readdir(folder)) n += entry->d_name[0] != '.' ? 1 : 0;
  closedir(folder);
  return n;
}

Pair::Pair(const Words& a_words, const Words& c_words, const ProcessSetup& a_setup, const ProcessSetup& c_setup) {
  Words words{"SERVER=sockmux", "-P127.0.0.1:0"};
  words.insert(words.end(), a_words.begin(), a_words.end());
  a = std::make_unique<Daemon>(words, a_setup);
  words = {"SERVER=sockmux://" + local(a->link_port())};
  words.insert(words.end(), c_words.begin(), c_words.end());
  c = std::make_unique<Daemon>(words, c_setup);
  c->await_start();
  REQUIRE(wait_up(5));
}

bool Pair::wait_up(double seconds, size_t a_from, size_t c_from) {
  return wait_for([&] { return (*a)->says(" link-up ", a_from) && (*c)->says(" link-up ", c_from); }, seconds);
}

// ---- what this machine lets us do

bool may_unshare() {
  bool may = false;
#if defined(__linux__)
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) _exit(unshare(CLONE_NEWNS | CLONE_NEWNET) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 ? 0 : 1);
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  may = status == 0;
#endif
  if (!may) MESSAGE("skipped: no namespaces can be made here");
  return may;
}

// ---- files and texts

TempFolder::TempFolder() {
  const char* top = getenv("TMPDIR");
  std::string name = std::string(top != nullptr ? top : "/tmp") + "/sockmux-e2e.XXXXXX";
  REQUIRE(mkdtemp(&name[0]) != nullptr);
  path_ = name;
}
TempFolder::~TempFolder() {
  Process p({"rm", "-rf", path_});
  (void)p.wait_end(10);
}

void write_file(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary);
  file << content;
  file.close();
  REQUIRE_MESSAGE(file, "cannot write ", path);
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }
std::string text(uint64_t number) { return std::to_string(number); }
std::string local(uint16_t port) { return "127.0.0.1:" + text(port); }

size_t count_of(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

}  // namespace e2e
