// Read next: line.h.
#include "tests/e2e/line.h"

#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/timerfd.h>
#endif

#include <algorithm>

namespace e2e {

Line::Line(const TempFolder& folder, double rate) : rate_(rate), last_(now()) {
  name_[0] = folder / "ttyA";
  name_[1] = folder / "ttyB";
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  plug(0);
  plug(1);
#if defined(__linux__)
  // Without it a paced line moves only as often as the loop turns by itself.
  ticks_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  const itimerspec each{{0, 2000000}, {0, 2000000}};
  if (rate > 0) timerfd_settime(ticks_, 0, &each, nullptr);
#endif
}

Line::~Line() {
  for (int end = 0; end < 2; ++end) {
    if (!device_[end].empty()) unlink(lock(end).c_str());  // of daemons that were killed
    unplug(end);
  }
  if (ticks_ >= 0) close(ticks_);
}

void Line::plug(int end) {
  master_[end] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  REQUIRE(master_[end] >= 0);
  REQUIRE(grantpt(master_[end]) == 0);
  REQUIRE(unlockpt(master_[end]) == 0);
  fcntl(master_[end], F_SETFL, O_NONBLOCK);
  device_[end] = ptsname(master_[end]);
  // Held open, so that the master is no end of file while no daemon has it.
  slave_[end] = open(device_[end].c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
  REQUIRE(slave_[end] >= 0);
  // Raw, as nobody reads what comes to a real line that nobody has open; with marks by which a test knows them again.
  termios t{};
  REQUIRE(tcgetattr(slave_[end], &t) == 0);
  t.c_iflag = t.c_oflag = t.c_lflag = 0;
  t.c_cc[VMIN] = 5;
  cfsetispeed(&t, B1200);
  cfsetospeed(&t, B1200);
  REQUIRE(tcsetattr(slave_[end], TCSANOW, &t) == 0);
  // As for a daemon that has become a member of dialout.
  REQUIRE(chmod(device_[end].c_str(), 0666) == 0);
  REQUIRE(symlink(device_[end].c_str(), name_[end].c_str()) == 0);
}

void Line::unplug(int end) {
  if (master_[end] < 0) return;
  unlink(name_[end].c_str());
  close(slave_[end]);
  close(master_[end]);
  master_[end] = slave_[end] = -1;
  way_[end].held.clear();
  way_[1 - end].held.clear();
}

std::string Line::lock(int end) const {
  std::string name = device_[end].substr(5);
  std::replace(name.begin(), name.end(), '/', '_');
  return "/run/lock/LCK.." + name;
}

termios Line::settings(int end) const {
  termios t{};
  REQUIRE(tcgetattr(slave_[end], &t) == 0);
  return t;
}

void Line::want(std::vector<pollfd>& list) {
  for (int i = 0; i < 2; ++i) {
    const Way& way = way_[i];
    short events = rate_ == 0 && way.held.empty() ? POLLIN : 0;
    if (rate_ == 0 && !way_[1 - i].held.empty()) events |= POLLOUT;
    list.push_back({master_[i], events, 0});
  }
  if (rate_ > 0) list.push_back({ticks_, POLLIN, 0});
}

void Line::ready(const pollfd*, size_t) {
  uint64_t ticks = 0;
  if (ticks_ >= 0) (void)!read(ticks_, &ticks, sizeof ticks);
  const double at = now(), passed = at - last_;
  last_ = at;
  carry(0, passed);
  carry(1, passed);
}

std::string Line::spoilt(const char* bytes, size_t n) {
  if (flips <= 0 && drops <= 0) return std::string(bytes, n);
  std::uniform_real_distribution<double> chance(0, 1);
  std::string out;
  for (size_t i = 0; i < n; ++i) {
    if (chance(random_) < drops) continue;
    char c = bytes[i];
    for (int bit = 0; bit < 8; ++bit)
      if (chance(random_) < flips) c = static_cast<char>(c ^ 1 << bit);
    out.push_back(c);
  }
  return out;
}

void Line::carry(int from, double passed) {
  Way& way = way_[from];
  char bytes[4096];
  size_t most = sizeof bytes;
  if (rate_ > 0) {
    way.allowed = std::min(way.allowed + passed * rate_, rate_ * 0.05 + 1);
    most = std::min(most, static_cast<size_t>(way.allowed));
  }
  if (way.held.empty() && most > 0 && master_[from] >= 0) {
    const ssize_t n = read(master_[from], bytes, most);
    if (n > 0) {
      way.held = spoilt(bytes, static_cast<size_t>(n));
      way.allowed -= static_cast<double>(n);
    }
  }
  const int to = master_[1 - from];
  if (dead || to < 0) way.held.clear();
  if (way.held.empty()) return;
  const ssize_t n = write(to, way.held.data(), way.held.size());
  if (n <= 0) return;
  way.carried += static_cast<uint64_t>(n);
  way.held.erase(0, static_cast<size_t>(n));
}

}  // namespace e2e
