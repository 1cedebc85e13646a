// A program at a terminal of its own, as a user has it. Read next: proxy_telnet.cc, urgent.cc.
#ifndef SOCKMUX_TESTS_E2E_TERMINAL_H
#define SOCKMUX_TESTS_E2E_TERMINAL_H

#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tests/e2e/harness.h"

namespace e2e {

class Terminal : public Actor {
 public:
  // `blocks`: false: who shares the terminal has made it one that does not.
  explicit Terminal(const Words& words, const Words& environment = {"TERM=dumb"}, bool blocks = true) {
    std::vector<char*> argv;
    for (const std::string& w : words) argv.push_back(const_cast<char*>(w.c_str()));
    argv.push_back(nullptr);
    pid_ = forkpty(&fd_, nullptr, nullptr, nullptr);
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      if (!blocks) (void)fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
      for (const std::string& e : environment) putenv(const_cast<char*>(e.c_str()));
      execv(argv[0], argv.data());
      _exit(127);
    }
    (void)fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
  ~Terminal() override {
    if (!ended_) {
      (void)kill(pid_, SIGKILL);
      (void)waitpid(pid_, nullptr, 0);
    }
    if (fd_ >= 0) (void)close(fd_);
  }
  void type(const std::string& keys) { CHECK(write(fd_, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size())); }
  const std::string& screen() const { return screen_; }
  bool shows(const std::string& text, double seconds = 5) {
    return wait_for([&] { return screen_.find(text) != std::string::npos; }, seconds);
  }
  bool over() const { return over_; }
  bool reading = true;
  void signal(int number) { CHECK(kill(pid_, number) == 0); }
  // As a window that is pulled larger: the program gets SIGWINCH.
  void resize(unsigned rows, unsigned columns) {
    winsize size{};
    size.ws_row = static_cast<unsigned short>(rows);
    size.ws_col = static_cast<unsigned short>(columns);
    CHECK(ioctl(fd_, TIOCSWINSZ, &size) == 0);
  }
  // What is typed is shown by the terminal itself.
  bool echoes() const {
    termios t{};
    CHECK(tcgetattr(fd_, &t) == 0);
    return (t.c_lflag & ECHO) != 0 && (t.c_lflag & ICANON) != 0;
  }
  // Waits for its end: exit code, or -signal.
  int status() {
    int status = 0;
    CHECK(wait_for([&] { return ended_ || (ended_ = waitpid(pid_, &status, WNOHANG) == pid_); }, 5));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  void want(std::vector<pollfd>& list) override {
    if (!over_ && reading) list.push_back({fd_, POLLIN, 0});
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
  bool over_ = false, ended_ = false;
  std::string screen_;
};

}  // namespace e2e

#endif
