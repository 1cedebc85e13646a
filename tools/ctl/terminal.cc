// Read next: terminal.h.
#include "tools/ctl/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/ctl/ctl.h"

namespace smx::ctl {

namespace {

// Signals come through a pipe, so that none is lost between two looks.
int signal_pipe[2] = {-1, -1};

void on_signal(int number) {
  const int error = errno;
  const unsigned char byte = static_cast<unsigned char>(number);
  (void)!::write(signal_pipe[1], &byte, 1);  // full: enough of them are in there
  errno = error;
}

constexpr int kCaught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT};

void catch_signal(int number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  (void)sigaction(number, &action, nullptr);
}

constexpr std::string_view kOtherScreen = "\033[?1049h";
// No cursor, no wrap at the right edge.
constexpr std::string_view kBegin = "\033[?25l\033[?7l\033[2J";
constexpr std::string_view kEnd = "\033[?7h\033[?25h\033[?1049l";
constexpr int kEscapePause = 50;  // ms: what follows ESC within that belongs to it

}  // namespace

bool Terminal::here() {
  const char* term = getenv("TERM");
  return isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0 && term != nullptr && *term != 0 && strcmp(term, "dumb") != 0;
}

int Terminal::open() {
  if (tcgetattr(STDIN_FILENO, &before_) < 0 || pipe(signal_pipe) < 0) return errno;
  for (const int fd : signal_pipe) {
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  for (const int s : kCaught) catch_signal(s, on_signal);
  begin();
  return 0;
}

void Terminal::begin() {
  (void)put_waiting(STDOUT_FILENO, kOtherScreen);
  take_over();
  open_ = true;
}

// A shell that has stopped us (SIGSTOP) has set the terminal as it likes it, and written onto our screen.
void Terminal::take_over() {
  termios raw = before_;
  raw.c_lflag &= static_cast<tcflag_t>(~(ICANON | ECHO));
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  (void)put_waiting(STDOUT_FILENO, kBegin);
  measure();
}

void Terminal::leave() {
  if (!open_) return;
  open_ = false;
  (void)put_waiting(STDOUT_FILENO, kEnd);
  (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
}

void Terminal::close() {
  leave();
  for (const int s : kCaught) catch_signal(s, SIG_DFL);
}

void Terminal::measure() {
  winsize size{};
  const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
  rows_ = known ? size.ws_row : 24;
  columns_ = known ? size.ws_col : 80;
  if (rows_ > kMostRows) rows_ = kMostRows;
  if (columns_ > kMostColumns) columns_ = kMostColumns;
  whole_ = true;
}

void Terminal::line(int row, std::string_view text) {
  if (row < 0 || row >= rows_) return;
  now_size_[row] = text.size() < kLine ? text.size() : kLine;
  if (!text.empty()) memcpy(now_[row], text.data(), now_size_[row]);
}

void Terminal::show(int row) {
  for (int i = row; i < rows_; ++i) now_size_[i] = 0;
  size_t n = 0;
  const auto flush = [&] {
    if (put_waiting(STDOUT_FILENO, {out_, n}) != 0) signal_ = SIGHUP;  // nobody looks any more
    n = 0;
  };
  const auto add = [&](std::string_view text) {
    if (n + text.size() > sizeof out_) flush();
    memcpy(out_ + n, text.data(), text.size());
    n += text.size();
  };
  if (whole_) add("\033[m\033[2J");
  for (int i = 0; i < rows_; ++i) {
    const bool same = now_size_[i] == old_size_[i] && memcmp(now_[i], old_[i], now_size_[i]) == 0;
    if (whole_ ? now_size_[i] == 0 : same) {
      old_size_[i] = now_size_[i];
      continue;
    }
    add(Text<16>("\033[").add_u(static_cast<uint64_t>(i) + 1).add(";1H").text());
    add({now_[i], now_size_[i]});
    if (!whole_) add("\033[K");
    memcpy(old_[i], now_[i], now_size_[i]);
    old_size_[i] = now_size_[i];
  }
  whole_ = false;
  if (n > 0) flush();
}

// ^Z: the shell's screen, until it lets us go on.
void Terminal::stop_for_a_while() {
  leave();
  catch_signal(SIGTSTP, SIG_DFL);
  (void)raise(SIGTSTP);
  catch_signal(SIGTSTP, on_signal);
  begin();
}

Key Terminal::take_signals() {
  Key key = Key::none;
  unsigned char byte[16];
  const ssize_t n = ::read(signal_pipe[0], byte, sizeof byte);
  for (ssize_t i = 0; i < n; ++i) {
    switch (byte[i]) {
      case SIGWINCH: measure(); break;
      case SIGTSTP: stop_for_a_while(); break;
      case SIGCONT: take_over(); break;
      default:
        signal_ = byte[i];
        return Key::ended;
    }
    key = Key::redraw;
  }
  return key;
}

Key Terminal::read_key(char* c) {
  unsigned char byte = 0;
  const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return Key::none;
  if (n <= 0) {
    signal_ = SIGHUP;
    return Key::ended;
  }
  *c = static_cast<char>(byte);
  if (byte == '\r' || byte == '\n') return Key::enter;
  if (byte == 0x7f || byte == '\b') return Key::erase;
  if (byte == 0x0c) {
    whole_ = true;
    return Key::redraw;
  }
  if (byte != 0x1b) return byte >= 0x20 && byte < 0x7f ? Key::text : Key::none;
  char word[8];
  size_t size = 0;
  pollfd more{STDIN_FILENO, POLLIN, 0};
  while (size < sizeof word && poll(&more, 1, kEscapePause) == 1 && ::read(STDIN_FILENO, word + size, 1) == 1) {
    const char last = word[size++];
    if (size > 1 && ((last >= 'A' && last <= 'Z') || last == '~')) break;
  }
  const std::string_view w(word, size);
  if (w.empty()) return Key::escape;
  if (w == "[A" || w == "OA") return Key::up;
  if (w == "[B" || w == "OB") return Key::down;
  if (w == "[5~") return Key::page_up;
  if (w == "[6~") return Key::page_down;
  if (w == "[H" || w == "OH" || w == "[1~") return Key::home;
  return Key::none;
}

Key Terminal::wait(int ms, char* c) {
  if (signal_ != 0) return Key::ended;
  pollfd fds[2] = {{STDIN_FILENO, POLLIN, 0}, {signal_pipe[0], POLLIN, 0}};
  if (poll(fds, 2, ms) <= 0) return Key::none;
  if (fds[1].revents != 0) return take_signals();
  return fds[0].revents != 0 ? read_key(c) : Key::none;
}

}  // namespace smx::ctl
