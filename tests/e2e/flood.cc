// Floods at a hub: handshakes of nobody, from a hundred addresses, while a link that is up carries bulk; links that say nothing;
// garbage; a peer that opens channels without end.
//
// FLOOD=number in the environment: so many bad handshakes ('make bench-hub': 100,000). Read next: hub.cc; sockmux(7), "What a
// flood costs".
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "tests/e2e/secure_site.h"
#include "transport/secure/handshake.h"
#include "transport/secure/keys.h"

using namespace e2e;
using namespace smx::secure;

namespace {

constexpr uint32_t kAddresses = 100;
constexpr size_t kMessages = 64;    // different ones, of as many keys
constexpr int kRate = 2000;         // a second; more, and the flooder takes the processor that the bulk needs
constexpr size_t kAtOnce = 800;     // connections
constexpr int kBatch = 20;

Secret any_secret(std::mt19937& random) {
  Secret s;
  for (size_t i = 0; i < kKey; ++i) s.data()[i] = static_cast<uint8_t>(random());
  return s;
}

// Messages 1 of keys that no peers file has, for the hub with this public key: mac1 is right.
std::vector<std::string> messages_to(const std::string& shown) {
  uint8_t hub[kKey];
  REQUIRE(decode_key(shown.data(), shown.size(), hub));
  std::mt19937 random(7);
  std::vector<std::string> all;
  for (size_t i = 0; i < kMessages; ++i) {
    const KeyPair nobody(any_secret(random));
    Initiator caller(nobody, hub, Secret{}, Carrier::connection);
    uint8_t out[kMessage1];
    const size_t size = caller.begin(any_secret(random), {}, smx::Time{}, out);
    REQUIRE(size > 0);
    all.emplace_back(reinterpret_cast<char*>(out), size);
  }
  return all;
}

sockaddr_in address(uint32_t ip, uint16_t port) {
  sockaddr_in a;
  memset(&a, 0, sizeof a);
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(ip);
  a.sin_port = htons(port);
  return a;
}

double seconds_now() { return now(); }

// Connects, says one of `messages`, and waits to be closed, `count` times. In a process of its own; to `report` goes how many.
void flood(int report, uint16_t port, const std::vector<std::string>& messages, size_t count) {
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  const sockaddr_in to = address(INADDR_LOOPBACK, port);
  const double begin = seconds_now();
  size_t made = 0, open = 0, closed = 0, refused = 0, failed = 0;
  while (closed < count) {
    while (made < count && open < kAtOnce && static_cast<double>(made) < (seconds_now() - begin) * kRate + kBatch) {
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      const sockaddr_in from = address(0x7f000100u + static_cast<uint32_t>(made % kAddresses), 0);
      const int one = 1;
      (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
      const linger reset{1, 0};  // so that ports are free again at once
      (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
      (void)bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof from);
      ++made;
      if (fd < 0 || (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0 && errno != EINPROGRESS)) {
        ++failed, ++closed;
        close(fd);
        continue;
      }
      epoll_event e;
      memset(&e, 0, sizeof e);
      e.events = EPOLLOUT;
      e.data.u64 = static_cast<uint64_t>(fd) << 32 | (made % messages.size());
      (void)epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e);
      ++open;
    }
    epoll_event event[256];
    const int n = epoll_wait(poll, event, 256, 1);
    for (int i = 0; i < n; ++i) {
      const int fd = static_cast<int>(event[i].data.u64 >> 32);
      const std::string& m = messages[event[i].data.u64 & 0xffffffff];
      char bytes[64];
      if ((event[i].events & EPOLLOUT) != 0 && send(fd, m.data(), m.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(m.size())) {
        epoll_event e = event[i];
        e.events = EPOLLIN;
        (void)epoll_ctl(poll, EPOLL_CTL_MOD, fd, &e);
        continue;
      }
      if (read(fd, bytes, sizeof bytes) == static_cast<ssize_t>(kRefusal)) ++refused;
      close(fd);
      --open, ++closed;
    }
  }
  dprintf(report, "%zu connections in %.1f s from %u addresses: %zu refused in words, %zu closed, %zu not made\n", count, seconds_now() - begin,
          kAddresses, refused, closed - refused - failed, failed);
}

// A child that does `work` and says something when it is done.
class Child final : public Actor {
 public:
  template <typename F>
  explicit Child(F work) {
    int fd[2];
    REQUIRE(pipe(fd) == 0);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      close(fd[0]);
      work(fd[1]);
      _exit(0);
    }
    close(fd[1]);
    fd_ = fd[0];
  }
  ~Child() override {
    (void)kill(pid_, SIGKILL);
    (void)waitpid(pid_, nullptr, 0);
    if (fd_ >= 0) close(fd_);
  }
  bool done() const { return fd_ < 0; }
  const std::string& said() const { return said_; }
  void want(std::vector<pollfd>& list) override {
    if (fd_ >= 0) list.push_back({fd_, POLLIN, 0});
  }
  void ready(const pollfd* list, size_t) override {
    char text[256];
    if (fd_ < 0 || list->revents == 0) return;
    const ssize_t n = read(fd_, text, sizeof text);
    if (n > 0) return static_cast<void>(said_.append(text, static_cast<size_t>(n)));
    close(fd_);
    fd_ = -1;
  }

 private:
  pid_t pid_ = -1;
  int fd_ = -1;
  std::string said_;
};

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// A hub with an echo behind it, and one branch.
struct World {
  TwoSites sites;
  Server server;
  Daemon hub;
  std::unique_ptr<Daemon> branch;
  explicit World(Server::Greet greet, const Words& more = {})
      : server(greet), hub(sites.hub.words(with({"SERVER=sockmuxs", "-P127.0.0.1:0", "DEST=" + local(server.port())}, more))) {
    start_branch();
  }
  void start_branch() {
    branch = std::make_unique<Daemon>(sites.branch.words({"SERVER=sockmuxs://" + local(hub.link_port()), "PORT=127.0.0.1:0"}));
    REQUIRE((*branch)->wait_log(" link-up ", 10));
  }
  bool serves() { return e2e::serves(branch->port(), 10); }
};

// Of the processor, so far: user and system, in seconds.
double cpu_seconds(Daemon& d) {
  const std::string stat = read_file("/proc/" + text(static_cast<uint64_t>(d->pid())) + "/stat");
  unsigned long user = 0, system = 0;
  const size_t at = stat.rfind(')');
  if (at != std::string::npos) (void)sscanf(stat.c_str() + at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

size_t flood_size() {
  const char* given = getenv("FLOOD");
  return given != nullptr ? static_cast<size_t>(atoi(given)) : 5000;
}

}  // namespace

TEST_CASE("flood: bad handshakes from a hundred addresses leave the links that are up their speed, and the hub its memory") {
  // Bulk toward the branch's client, as fast as it goes.
  World w(gives(5, uint64_t{1} << 40));
  Conn client(w.branch->port());
  client.expect_pattern(5);
  REQUIRE(wait_for([&] { return client.received() > (1u << 22); }, 10));
  // MB a second depend on what else the machine does; what the hub's thread spends on them does less.
  struct Speed {
    double mb = 0, cpu = 0, seconds = 0;
    double mb_s() const { return mb / seconds; }
  };
  const auto speed_of = [&](const std::function<bool()>& over) {
    const uint64_t from = client.received();
    const double begin = now(), cpu = cpu_seconds(w.hub);
    CHECK(wait_for(over, 600));
    const double mb = static_cast<double>(client.received() - from) / 1e6;
    return Speed{mb, cpu_seconds(w.hub) - cpu, now() - begin};
  };
  const auto for_seconds = [](double s) {
    const double until = now() + s;
    return [until] { return now() >= until; };
  };
  const std::vector<std::string> messages = messages_to(w.sites.hub.shown());
  const uint16_t port = w.hub.link_port();
  const auto begin_flood = [&](size_t count) { return std::make_unique<Child>([&, count](int report) { flood(report, port, messages, count); }); };
  {
    // So that every table has been touched.
    const auto first = begin_flood(1000);
    REQUIRE(wait_for([&] { return first->done(); }, 60));
  }
  const Speed before = speed_of(for_seconds(2));
  const int64_t memory = w.hub.resident_kib();
  const auto flooder = begin_flood(flood_size());
  const Speed under = speed_of([&] { return flooder->done(); });
  const int64_t memory_under = w.hub.resident_kib();
  const Speed after = speed_of(for_seconds(2));
  // What a bad handshake costs the hub, and so what is left of a hub that has nothing to spare.
  const double cost = (under.cpu - under.mb * (before.cpu + after.cpu) / (before.mb + after.mb)) / static_cast<double>(flood_size());
  const double left = 1 - kRate * cost;
  printf("flood: %s", flooder->said().c_str());
  printf("flood: bulk %.0f MB/s before, %.0f under it, %.0f behind it; each costs the hub %.0f us, so at %d a second it keeps %.2f of its processor\n",
         before.mb_s(), under.mb_s(), after.mb_s(), cost * 1e6, kRate, left);
  printf("flood: memory of the hub %lld KiB, then %lld\n", static_cast<long long>(memory), static_cast<long long>(memory_under));
  CHECK_FALSE(client.wrong());
  CHECK(client.alive());
  if (!daemon_sanitized()) CHECK(left >= (getenv("FLOOD") != nullptr ? 0.9 : 0.75));
  // The ring of the bulk beside it comes and goes, up to 1 MiB; what a handshake kept would stay.
  if (!daemon_sanitized()) CHECK(wait_for([&] { return w.hub.resident_kib() - memory <= 512; }, 10));
  CHECK(w.hub->count("link-refused") < 200);  // the rest is counted
  CHECK((*w.branch)->count(" link-up ") == 1);
}

TEST_CASE("flood: links that say nothing do not keep a peer out, nor do those that say what is none of ours; all are counted") {
  World w(echoes, {"MAXIMA=halfopen:20"});
  REQUIRE(w.serves());
  std::vector<std::unique_ptr<Conn>> silent, loud;
  // Three times as many as there are places, of addresses of which 16 may wait each; then the peer comes again.
  for (int i = 0; i < 60; ++i) silent.push_back(std::make_unique<Conn>("127.0.0.1", w.hub.link_port(), "127.0.2." + text(static_cast<uint64_t>(1 + i % 4))));
  for (int i = 0; i < 40; ++i) {
    loud.push_back(std::make_unique<Conn>("127.0.0.1", w.hub.link_port(), "127.0.3." + text(static_cast<uint64_t>(1 + i % 4))));
    loud.back()->send(i % 2 == 0 ? "GET / HTTP/1.0\r\n\r\n" : std::string(400, '\0'));
  }
  w.branch.reset();
  w.start_branch();
  CHECK(w.serves());
  CHECK(wait_for([&] {
    for (const auto& c : loud)
      if (!c->over()) return false;
    return true;
  }, 20));
  for (const auto& c : loud) CHECK(c->text().empty());
  // In the end all of them are gone: after 5 s, or when others wanted their place.
  CHECK(wait_for([&] {
    for (const auto& c : silent)
      if (!c->over()) return false;
    return true;
  }, 30));
  CHECK(w.serves());
}

TEST_CASE("flood: a clear link at a secure port is told so, in words that end in its log") {
  World w(echoes);
  Daemon clear({"SERVER=sockmux://" + local(w.hub.link_port()), "PORT=127.0.0.1:0"});
  CHECK(clear->wait_log("secure link only: use SERVER=sockmuxs://", 10));
  CHECK(w.hub->wait_log("reason=\"clear SockMux on a secure port\"", 10));
  CHECK(w.serves());
}

TEST_CASE("flood: a secure link at a clear port: both say what is wanted there") {
  World w(echoes);
  Daemon clear({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(w.server.port())});
  Daemon secure(w.sites.branch.words({"SERVER=sockmuxs://" + local(clear.link_port()), "PORT=127.0.0.1:0"}));
  CHECK(secure->wait_log("speaks clear SockMux; refused: SERVER=sockmuxs is needed there", 10));
  CHECK(clear->wait_log("secure link on a clear port: SERVER=sockmuxs is needed here", 10));
}

TEST_CASE("flood: a peer opens MAXIMA=opens channels a second, and is refused more; others are served") {
  World w(echoes, {"MAXIMA=opens:20"});
  REQUIRE(w.serves());
  std::vector<std::unique_ptr<Conn>> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(std::make_unique<Conn>(w.branch->port()));
    clients.back()->send("x").shut();
  }
  CHECK(wait_for([&] {
    for (const auto& c : clients)
      if (!c->over()) return false;
    return true;
  }, 20));
  size_t good = 0;
  for (const auto& c : clients) good += c->text() == "x" ? 1u : 0u;
  CHECK(good >= 10);
  CHECK(good < 100);
  CHECK(w.hub->wait_log("more a second than MAXIMA=opens allows", 5));
  CHECK(w.serves());
}
