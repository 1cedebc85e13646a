// Read next: pipes.h.
#include "tests/e2e/pipes.h"

#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace e2e {

namespace {
constexpr size_t kHeld = 65536;

void move_from(int fd, std::string& to, bool* ended) {
  char bytes[65536];
  const ssize_t n = read(fd, bytes, sizeof bytes);
  if (n > 0) to.append(bytes, static_cast<size_t>(n));
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) *ended = true;
}

void move_to(int fd, std::string& from) {
  const ssize_t n = write(fd, from.data(), from.size());
  if (n > 0) from.erase(0, static_cast<size_t>(n));
}
}  // namespace

Fifos::Fifos(bool shared) : shared_(shared) {
  if (shared) REQUIRE(chmod(folder_.path().c_str(), 0755) == 0);
  make();
}

void Fifos::make() {
  for (const std::string& path : {com0(), com1()}) {
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    if (shared_) REQUIRE(chmod(path.c_str(), 0666) == 0);
  }
}

void Fifos::renew() {
  unlink(com0().c_str());
  unlink(com1().c_str());
  make();
}

Words Fifos::one(const Words& more) const {
  Words words{"SERVER=sockmux:commin@" + com0(), "SERVER=sockmux:commout@" + com1()};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Words Fifos::two(const Words& more) const {
  Words words{"SERVER=sockmux:commin@" + com1(), "SERVER=sockmux:commout@" + com0()};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Pump::Pump(int in, int out) : in_(in), out_(out) {
  REQUIRE(in >= 0);
  REQUIRE(out >= 0);
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
  near_ = pair[0];
  fcntl(in_, F_SETFL, O_NONBLOCK);
  fcntl(out_, F_SETFL, O_NONBLOCK);
  conn_ = std::make_unique<Conn>(pair[1]);
}

Pump::Pump(const std::string& in, const std::string& out)
    : Pump(open(in.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC), open(out.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)) {}

Pump::~Pump() {
  conn_.reset();
  close(near_);
  close(in_);
  if (out_ != in_) close(out_);
}

void Pump::want(std::vector<pollfd>& list) {
  list.push_back({in_ended_ || to_near_.size() > kHeld ? -1 : in_, POLLIN, 0});
  list.push_back({to_out_.empty() ? -1 : out_, POLLOUT, 0});
  const int events = (to_out_.size() > kHeld ? 0 : POLLIN) | (to_near_.empty() ? 0 : POLLOUT);
  list.push_back({conn_->closed() || events == 0 ? -1 : near_, static_cast<short>(events), 0});
}

void Pump::ready(const pollfd* list, size_t) {
  bool near_ended = false;
  if (list[0].revents != 0) move_from(in_, to_near_, &in_ended_);
  if ((list[2].revents & (POLLIN | POLLHUP)) != 0) move_from(near_, to_out_, &near_ended);
  if (!to_near_.empty()) move_to(near_, to_near_);
  if (!to_out_.empty()) move_to(out_, to_out_);
  if (in_ended_ && to_near_.empty()) shutdown(near_, SHUT_WR);
}

Leftover::Leftover(const std::string& path, const std::string& bytes) : fd_(open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)) {
  REQUIRE(fd_ >= 0);
  REQUIRE(write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
}

Leftover::~Leftover() { close(fd_); }

}  // namespace e2e
