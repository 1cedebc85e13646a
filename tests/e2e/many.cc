// 60,000 channels of one link, all alive at once; fewer where a process may not have so many descriptors, which is printed.
// Clients and servers are children with an epoll loop of their own, so that each has descriptors for its share.
// Read next: harness.h; README, "How fast".
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

constexpr size_t kMost = 60000;
constexpr size_t kShare = 10000;    // clients of one address: with more, the system looks long for a free port
constexpr size_t kSpare = 400;      // descriptors that are no channels
constexpr int kAtOnce = 200;        // clients that are being connected
constexpr size_t kSample = 1000;    // every so many one is asked again

sockaddr_in address_of(int group, uint16_t port) {
  sockaddr_in a;
  memset(&a, 0, sizeof a);
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(0x7f000002u + static_cast<unsigned>(group));
  a.sin_port = htons(port);
  return a;
}

void watch(int poll, int fd, size_t i, uint32_t events, int op = EPOLL_CTL_ADD) {
  epoll_event e;
  memset(&e, 0, sizeof e);
  e.events = events;
  e.data.u64 = i;
  (void)epoll_ctl(poll, op, fd, &e);
}

// A child that works until its parent closes the other end of `fd`, and says there what it has done.
class Helper final : public Actor {
 public:
  template <typename F>
  explicit Helper(F work) {
    int fd[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      close(fd[0]);
      (void)signal(SIGPIPE, SIG_IGN);
      work(fd[1]);
      _exit(0);
    }
    close(fd[1]);
    fd_ = fd[0];
  }
  ~Helper() override {
    close(fd_);
    (void)kill(pid_, SIGKILL);
    (void)waitpid(pid_, nullptr, 0);
  }
  void ask() { CHECK(write(fd_, "?", 1) == 1); }
  const std::string& said() const { return said_; }
  void want(std::vector<pollfd>& list) override { list.push_back({fd_, POLLIN, 0}); }
  void ready(const pollfd* list, size_t) override {
    char text[256];
    if (list->revents == 0) return;
    const ssize_t n = read(fd_, text, sizeof text);
    if (n > 0) said_.append(text, static_cast<size_t>(n));
  }

 private:
  pid_t pid_ = -1;
  int fd_ = -1;
  std::string said_;
};

// Echoes, for ever.
void serve(int control, int listener) {
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  watch(poll, control, SIZE_MAX, EPOLLIN);
  watch(poll, listener, SIZE_MAX - 1, EPOLLIN);
  epoll_event event[64];
  char bytes[256];
  for (;;) {
    const int n = epoll_wait(poll, event, 64, -1);
    for (int k = 0; k < n; ++k) {
      const size_t i = static_cast<size_t>(event[k].data.u64);
      if (i == SIZE_MAX) return;
      if (i == SIZE_MAX - 1) {
        const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) watch(poll, fd, static_cast<size_t>(fd), EPOLLIN);
        continue;
      }
      const int fd = static_cast<int>(i);
      const ssize_t got = read(fd, bytes, sizeof bytes);
      if (got > 0) (void)!write(fd, bytes, static_cast<size_t>(got));
      if (got == 0 || (got < 0 && errno != EAGAIN)) close(fd);
    }
  }
}

// Connects `count` clients, each of which says a word and waits for its echo. Then, when asked, every kSample-th again.
void be_clients(int control, int group, uint16_t port, size_t count) {
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  watch(poll, control, SIZE_MAX, EPOLLIN);
  std::vector<int> fds(count, -1);
  std::vector<uint8_t> got(count, 0);
  size_t opened = 0, alive = 0, asked = 0, answered = 0;
  const auto failed = [&](const char* what) {
    dprintf(control, "failed: %s: %s\n", what, strerror(errno));
    _exit(1);
  };
  const auto open_one = [&] {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) failed("socket");
    const sockaddr_in from = address_of(group, 0);
    sockaddr_in to = address_of(0, port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int one = 1;
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) < 0) failed("bind");
    if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0 && errno != EINPROGRESS) failed("connect");
    fds[opened] = fd;
    watch(poll, fd, opened++, EPOLLOUT);
  };
  while (opened < count && opened < kAtOnce) open_one();
  epoll_event event[64];
  for (;;) {
    const int n = epoll_wait(poll, event, 64, -1);
    for (int k = 0; k < n; ++k) {
      const size_t i = static_cast<size_t>(event[k].data.u64);
      char word[32], back[16];
      if (i == SIZE_MAX) {
        if (read(control, back, 1) != 1) return;
        for (size_t j = 0; j < count; j += kSample, ++asked) {
          got[j] = 0;
          (void)!write(fds[j], word, static_cast<size_t>(snprintf(word, sizeof word, "%08zu", j)));
        }
        continue;
      }
      (void)snprintf(word, sizeof word, "%08zu", i);
      if ((event[k].events & EPOLLOUT) != 0) {
        if (write(fds[i], word, 8) != 8) failed("write");
        watch(poll, fds[i], i, EPOLLIN, EPOLL_CTL_MOD);
        continue;
      }
      const ssize_t r = read(fds[i], back, sizeof back);
      if (r < 0 && errno == EAGAIN) continue;
      if (r <= 0) failed(r == 0 ? "end of file" : "read");
      if (got[i] + r > 8 || memcmp(word + got[i], back, static_cast<size_t>(r)) != 0) failed("another channel's bytes");
      got[i] = static_cast<uint8_t>(got[i] + r);
      if (got[i] < 8) continue;
      if (asked > 0) {
        if (++answered == asked) dprintf(control, "answered\n");
        continue;
      }
      if (opened < count) open_one();
      if (++alive == count) dprintf(control, "alive\n");
    }
  }
}

}  // namespace

TEST_CASE("60,000 channels on one link, all alive at once, and then none") {
  rlimit limit;
  REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const size_t files = limit.rlim_max == RLIM_INFINITY ? kMost + kSpare : static_cast<size_t>(limit.rlim_max);
  const size_t channels = files >= kMost + kSpare ? kMost : files - std::min(files, kSpare);
  if (channels < kMost) MESSAGE("a process may have " << files << " descriptors (ulimit -Hn), so this runs with " << channels << " channels");
  const size_t share = std::min(kShare, channels);
  Words words = {"MAXIMA=channels:60000,links:1"}, exits = words;
  std::vector<int> listeners;
  const size_t groups = (channels + share - 1) / share;
  for (size_t g = 0; g < groups; ++g) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at = address_of(static_cast<int>(g), 0);
    socklen_t size = sizeof at;
    REQUIRE(bind(fd, reinterpret_cast<const sockaddr*>(&at), size) == 0);
    REQUIRE(listen(fd, 4096) == 0);
    REQUIRE(getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0);
    const std::string host = inet_ntoa(at.sin_addr);
    exits.push_back("DEST=" + host + ":" + text(ntohs(at.sin_port)) + ":" + host);
    listeners.push_back(fd);
  }
  words.push_back("PORT=127.0.0.1:0");
  Pair p(words, exits);
  const int64_t a_before = p.a->resident_kib(), c_before = p.c->resident_kib();
  std::vector<std::unique_ptr<Helper>> servers, clients;
  const uint16_t port = p.a->port();
  for (size_t g = 0; g < groups; ++g) {
    const int listener = listeners[g];
    servers.push_back(std::make_unique<Helper>([listener](int control) { serve(control, listener); }));
  }
  const double begin = now();
  for (size_t g = 0; g < groups; ++g) {
    const size_t count = std::min(share, channels - g * share);
    clients.push_back(std::make_unique<Helper>([g, port, count](int control) { be_clients(control, static_cast<int>(g), port, count); }));
  }
  const auto all_said = [&](const char* word) {
    return [&clients, word] {
      for (auto& c : clients)
        if (c->said().find(word) == std::string::npos && c->said().find("failed") == std::string::npos) return false;
      return true;
    };
  };
  CHECK(wait_for(all_said("alive"), 180));
  const double took = now() - begin;
  for (auto& c : clients) REQUIRE(c->said() == "alive\n");
  CHECK(Daemon::value(p.a->statistics(), "channels") == static_cast<int64_t>(channels));
  CHECK(Daemon::value(p.c->statistics(), "channels") == static_cast<int64_t>(channels));
  // What a burst has touched goes back within a second or so. poll(2) and kqueue(2) take 16 bytes
  // for a descriptor, and the latter's emulation (tests/kqueue) has the kernel's part beside it.
  const int64_t most = (*p.a)->says("poller=epoll") ? 600 : (*p.a)->says("poller=poll") ? 648 : 848;
  int64_t a_bytes = 0, c_bytes = 0;
  const bool small = wait_for([&] {
    a_bytes = (p.a->resident_kib() - a_before) * 1024, c_bytes = (p.c->resident_kib() - c_before) * 1024;
    return (a_bytes + c_bytes) / static_cast<int64_t>(channels) <= most;
  }, daemon_sanitized() ? 0.1 : 15);
  MESSAGE(channels << " channels: " << static_cast<int>(static_cast<double>(channels) / took) << " opened a second; each, idle: "
                   << a_bytes / static_cast<int64_t>(channels) << " bytes where clients come in, "
                   << c_bytes / static_cast<int64_t>(channels) << " where servers are");
  // What does not grow with the channels (rings, connecting servers) is little against so many.
  if (!daemon_sanitized() && channels >= 15000) CHECK(small);
  for (auto& c : clients) c->ask();
  CHECK(wait_for(all_said("answered"), 30));
  for (auto& c : clients) CHECK(c->said() == "alive\nanswered\n");
  CHECK((*p.a)->count(" link-down ") == 0);
  clients.clear();
  CHECK(p.a->wait_channels(0, 60));
  CHECK(p.c->wait_channels(0, 60));
  CHECK(Daemon::value(p.a->statistics(), "allocations") == 0);
  CHECK(Daemon::value(p.c->statistics(), "allocations") == 0);
  servers.clear();
  for (const int fd : listeners) close(fd);
}
