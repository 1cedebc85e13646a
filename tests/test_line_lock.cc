// Lock files of serial lines: which of those that are there are honoured. Read next: core/io/line_lock.h, e2e/tty.cc.
#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

#include <fstream>
#include <string>

#include "core/io/line_lock.h"
#include "tests/loop.h"
#include "transport/tty.h"

using namespace smx;

namespace {

// A device that nobody else has; its lock file goes with it. No folder for locks, or none that we may write: `usable` is false.
struct Device {
  explicit Device(const char* what) : name("/dev/sockmux-test/" + std::string(what) + std::to_string(getpid())) {
    LineLock lock;
    usable = lock.lock(name.c_str()) == 0;
    path = lock.path();
    if (!usable) MESSAGE("no folder for lock files that can be written: ", path);
  }
  ~Device() { (void)unlink(path.c_str()); }
  void has(const std::string& bytes, int seconds_ago = 0) const {
    std::ofstream(path, std::ios::binary) << bytes;
    const utimbuf times{time(nullptr) - seconds_ago, time(nullptr) - seconds_ago};
    REQUIRE(utime(path.c_str(), &times) == 0);
  }
  std::string name, path;
  bool usable;
};

std::string content(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}
std::string binary(pid_t pid) { return std::string(reinterpret_cast<const char*>(&pid), sizeof pid); }

pid_t dead_process() {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  REQUIRE(waitpid(pid, nullptr, 0) == pid);
  return pid;
}

}  // namespace

TEST_CASE("line lock: the file has our number in ten characters, and goes with the lock") {
  const Device d("own");
  if (!d.usable) return;
  CHECK(d.path.substr(d.path.rfind('/') + 1) == "LCK..sockmux-test_own" + std::to_string(getpid()));
  LineLock lock;
  REQUIRE(lock.lock(d.name.c_str()) == 0);
  char text[16];
  snprintf(text, sizeof text, "%10d\n", static_cast<int>(getpid()));
  CHECK(content(d.path) == text);
  CHECK(lock.lock(d.name.c_str()) == 0);  // it is ours
  const Device other("other");
  CHECK(lock.lock(other.name.c_str()) == 0);  // instead of the first
  CHECK(access(d.path.c_str(), F_OK) < 0);
  CHECK(access(other.path.c_str(), F_OK) == 0);
  // Somebody has put another file in its place: that one stays.
  REQUIRE(unlink(other.path.c_str()) == 0);
  other.has("         1\n");
  lock.unlock();
  CHECK(content(other.path) == "         1\n");
  CHECK(lock.lock(("/dev/" + std::string(200, 'x')).c_str()) == ENAMETOOLONG);
}

TEST_CASE("line lock: whose process lives has it; whose is dead, or who does not say it for long, has not") {
  const Device d("other");
  if (!d.usable) return;
  const pid_t dead = dead_process();
  const auto taken = [&](const std::string& bytes, int seconds_ago = 0) {
    d.has(bytes, seconds_ago);
    LineLock lock;
    const int error = lock.lock(d.name.c_str());
    CHECK((error == 0 || error == EBUSY));
    if (error == EBUSY) CHECK(content(d.path) == bytes);
    return error == 0;
  };
  CHECK_FALSE(taken("         1\n"));
  CHECK(taken(std::to_string(dead) + "\n"));
  CHECK(taken(std::to_string(getpid()) + "\n"));  // left behind: who holds it does not ask
  // The older form: four bytes.
  CHECK_FALSE(taken(binary(1)));
  CHECK(taken(binary(dead)));
  for (pid_t n = 0x3fff30; n <= 0x3fff39; ++n)  // which begin with a digit
    if (kill(n, 0) < 0 && errno == ESRCH) CHECK(taken(binary(n)));
  // Nobody is named: it may have been made this moment.
  for (const char* nobody : {"", "who\n", "0\n", "-1\n", "99999999999\n"}) {
    CAPTURE(nobody);
    CHECK_FALSE(taken(nobody));
    CHECK(taken(nobody, 60));
  }
}

// Else the file would go on to name who has started the daemon and is gone, and the next who comes would take the line.
TEST_CASE("line lock: where the number of the process that lives on can't be written, there is no lock, and not a dead one's") {
  const Fd terminal(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE((terminal.valid() && grantpt(terminal.get()) == 0 && unlockpt(terminal.get()) == 0));
  const std::string device = ptsname(terminal.get());
  LineLock probe;
  if (probe.lock(device.c_str()) != 0) return;  // nobody may write in the folder
  const std::string path = probe.path();
  probe.unlock();
  smxtest::Loop loop;
  TtyLine line(loop.reactor, device, SerialSettings());
  Text<200> why;
  REQUIRE(line.start(why) == TtyLine::Start::open);
  CHECK(access(path.c_str(), F_OK) == 0);
  line.forked();
  CHECK(access(path.c_str(), F_OK) == 0);
  // As a full disk.
  rlimit usual{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &usual) == 0);
  const auto before = signal(SIGXFSZ, SIG_IGN);
  const rlimit none{0, usual.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &none) == 0);
  line.forked();
  (void)setrlimit(RLIMIT_FSIZE, &usual);
  (void)signal(SIGXFSZ, before);
  CHECK(access(path.c_str(), F_OK) < 0);
  line.end();
}
