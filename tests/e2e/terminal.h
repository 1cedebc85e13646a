// A program at a terminal of its own, as a user has it. Read next: proxy_telnet.cc, urgent.cc.
#ifndef SOCKMUX_TESTS_E2E_TERMINAL_H
#define SOCKMUX_TESTS_E2E_TERMINAL_H

#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/harness.h"

namespace e2e {

class Terminal final : public Actor {
 public:
  explicit Terminal(const Words& words) {
    std::vector<char*> argv;
    for (const std::string& w : words) argv.push_back(const_cast<char*>(w.c_str()));
    argv.push_back(nullptr);
    pid_ = forkpty(&fd_, nullptr, nullptr, nullptr);
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      setenv("TERM", "dumb", 1);
      execv(argv[0], argv.data());
      _exit(127);
    }
    (void)fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
  ~Terminal() override {
    (void)kill(pid_, SIGKILL);
    (void)waitpid(pid_, nullptr, 0);
    if (fd_ >= 0) (void)close(fd_);
  }
  void type(const std::string& keys) { CHECK(write(fd_, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size())); }
  const std::string& screen() const { return screen_; }
  bool shows(const std::string& text, double seconds = 5) {
    return wait_for([&] { return screen_.find(text) != std::string::npos; }, seconds);
  }
  bool over() const { return over_; }

  void want(std::vector<pollfd>& list) override {
    if (!over_) list.push_back({fd_, POLLIN, 0});
  }
  void ready(const pollfd* list, size_t count) override {
    if (count == 0 || list[0].revents == 0) return;
    char buffer[4096];
    const ssize_t n = read(fd_, buffer, sizeof buffer);
    if (n > 0) screen_.append(buffer, static_cast<size_t>(n));
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) over_ = true;  // Linux says EIO when the program has ended
  }

 private:
  pid_t pid_ = -1;
  int fd_ = -1;
  bool over_ = false;
  std::string screen_;
};

}  // namespace e2e

#endif
