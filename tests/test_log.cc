// The log: lines, levels, quoting, and what repeats.
#include <doctest/doctest.h>
#include <stdio.h>
#include <unistd.h>

#include <deque>
#include <memory>
#include <random>
#include <string>

#include "core/base/held_lines.h"
#include "core/io/fd.h"
#include "core/io/log.h"

using namespace smx;

namespace {

// The log goes into a pipe for the life of this object.
struct Capture {
  explicit Capture(LogLevel least = LogLevel::debug) {
    int fd[2];
    REQUIRE(pipe(fd) == 0);
    read_end = Fd(fd[0]);
    write_end = Fd(fd[1]);
    prepare_fd(fd[0]);
    LogSetup s;
    s.to_stderr = false;
    s.file = fd[1];
    s.least = least;
    set_log(s);
  }
  ~Capture() {
    LogSetup s;
    s.silent = true;
    set_log(s);
  }
  std::string take() { return all_of(read_end); }
  static std::string all_of(const Fd& fd) {
    std::string all;
    char part[4096];
    for (IoResult r = read_fd(fd.get(), part, sizeof part); r.size > 0; r = read_fd(fd.get(), part, sizeof part)) all.append(part, r.size);
    return all;
  }
  Fd read_end, write_end;
};

// The line without stamp, name and pid.
std::string event(const std::string& line) { return line.substr(line.find("] ") + 2); }

size_t lines(const std::string& text) {
  size_t n = 0;
  for (const char c : text) n += c == '\n';
  return n;
}

}  // namespace

TEST_CASE("log: lines that wait for syslogd take the last byte of their room, and none behind it") {
  for (size_t left = 0; left < 6; ++left)
    for (size_t size = 0; size < 6; ++size) {
      CAPTURE(left);
      CAPTURE(size);
      const auto held = std::make_unique<HeldLines>();
      const std::string most(HeldLines::kRoom - 2 - left, 'x'), last(size, 'y');
      REQUIRE(held->add(most.data(), most.size()));
      CHECK(held->add(last.data(), last.size()) == (size + 2 <= left));
    }
}

TEST_CASE("log: lines that wait for syslogd go in their order, whole, or in parts to a stream") {
  std::minstd_rand random{1};
  const auto held = std::make_unique<HeldLines>();
  std::deque<std::string> want;
  size_t gone = 0, refused = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string line(1 + random() % 400, static_cast<char>('a' + i % 26));
    if (held->add(line.data(), line.size())) want.push_back(line);
    else ++refused;
    if (random() % 40 != 0) continue;
    size_t room = random() % 9000;
    held->give([&](const char* text, size_t size) {
      REQUIRE(!want.empty());
      CHECK(std::string(text, size) == want.front());
      const size_t n = size <= room ? size : random() % 2 != 0 ? room : 0;
      room -= n;
      want.front().erase(0, n);
      if (n == size) want.pop_front(), ++gone;
      return n;
    });
    CHECK(held->empty() == want.empty());
  }
  CHECK(gone > 1000);
  CHECK(refused > 1000);
}

TEST_CASE("one line an event, key=value, quoted where a value has blanks") {
  Capture c;
  Address a;
  REQUIRE(parse_ip_port("192.0.2.1:9000", &a));
  LogLine(LogLevel::info, "test-one").kv("peer", a).kv("n", 42).kv("reason", "end of file").kv("empty", "").ms("seconds", millis(1500));
  CHECK(event(c.take()) == "test-one peer=192.0.2.1:9000 n=42 reason=\"end of file\" empty=\"\" seconds=1.500\n");
}

TEST_CASE("warnings and errors say so") {
  Capture c;
  LogLine(LogLevel::warning, "test-warn");
  CHECK(event(c.take()) == "warning test-warn\n");
  LogLine(LogLevel::error, "test-error");
  CHECK(event(c.take()) == "error test-error\n");
}

TEST_CASE("a peer's text stays one printable line") {
  Capture c;
  LogLine(LogLevel::info, "test-two").kv("hello", "a\nb\x1b[2J \"c\"");
  CHECK(event(c.take()) == "test-two hello=\"a?b?[2J \\\"c\\\"\"\n");
}

TEST_CASE("a level that is not wanted writes nothing") {
  Capture c(LogLevel::warning);
  LogLine(LogLevel::info, "test-three").kv("a", "b");
  CHECK(c.take().empty());
  LogLine(LogLevel::warning, "test-three");
  CHECK(lines(c.take()) == 1);
}

TEST_CASE("a line that is too long is cut, and still one line") {
  Capture c;
  const std::string longest(3 * kLogText, 'x');
  LogLine(LogLevel::info, "test-four").kv("a", longest);
  const std::string out = c.take();
  CHECK(lines(out) == 1);
  CHECK(out.size() < kLogText + 100);
}

TEST_CASE("what repeats is counted behind any number of other events, too") {
  Capture c;
  static std::deque<std::string> kinds;
  for (int i = 0; i < 75; ++i) LogLine(LogLevel::info, kinds.emplace_back("test-kind-" + std::to_string(i)).c_str());
  c.take();
  for (int i = 0; i < 30; ++i) LogLine(LogLevel::info, kinds.back().c_str());
  CHECK(lines(c.take()) == 19);
}

TEST_CASE("what repeats is counted, not written") {
  Capture c;
  const uint64_t before = log_suppressed();
  for (int i = 0; i < 100; ++i) LogLine(LogLevel::warning, "test-flood").kv("i", static_cast<uint64_t>(i));
  CHECK(lines(c.take()) == 20);
  CHECK(log_suppressed() - before == 80);
  LogLine(LogLevel::warning, "test-other");  // another event is not affected
  CHECK(lines(c.take()) == 1);
}

namespace {

// Nobody reads it, and it has no room for a line.
void fill(const Fd& pipe_end) {
  const std::string bytes(4096, '\n');
  prepare_fd(pipe_end.get());
  while (write(pipe_end.get(), bytes.data(), bytes.size()) > 0) {
  }
}

// Standard error is a pipe, too, for the life of this object.
struct BothEnds : Capture {
  BothEnds() : own(dup(STDERR_FILENO)) {
    int fd[2];
    REQUIRE(pipe(fd) == 0);
    error_read_end = Fd(fd[0]);
    prepare_fd(fd[0]);
    REQUIRE(dup2(fd[1], STDERR_FILENO) == STDERR_FILENO);
    ::close(fd[1]);
    LogSetup s;
    s.file = write_end.get();
    set_log(s);
  }
  ~BothEnds() { (void)dup2(own.get(), STDERR_FILENO); }
  std::string take_error() { return all_of(error_read_end); }
  Fd own, error_read_end;
};

}  // namespace

TEST_CASE("who has not taken lines is told how many, and no other sink is") {
  for (const bool file : {true, false}) {
    CAPTURE(file);
    BothEnds both;
    const Fd standard_error(dup(STDERR_FILENO));
    fill(file ? both.write_end : standard_error);
    for (uint64_t i = 0; i < 3; ++i) LogLine(LogLevel::info, "test-five").kv("i", i);
    (void)(file ? both.take() : both.take_error());
    LogLine(LogLevel::info, "test-six");
    LogLine(LogLevel::info, "test-six");
    const std::string full = file ? both.take() : both.take_error(), other = file ? both.take_error() : both.take();
    CHECK(lines(full) == 3);
    CHECK(event(full).find("warning repeated event=log-untaken count=3\n") == 0);
    CHECK(lines(other) == 5);
    CHECK(other.find("untaken") == std::string::npos);
  }
}
