// Read next: sockets.h.
#include "tests/e2e/sockets.h"

#include <doctest/doctest.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#ifdef __linux__
#include <linux/sockios.h>
#endif
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <random>

namespace e2e {

namespace {

constexpr size_t kPiece = 65536;
constexpr size_t kEchoHeld = 262144;  // an echo reads no more while so much waits to be sent
constexpr int kReadsATurn = 8;

struct Endpoint {
  sockaddr_storage address;
  socklen_t size;
};

Endpoint endpoint(const std::string& host, uint16_t port) {
  Endpoint e;
  memset(&e, 0, sizeof e);
  sockaddr_in6 six;
  memset(&six, 0, sizeof six);
  if (inet_pton(AF_INET6, host.c_str(), &six.sin6_addr) == 1) {
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    memcpy(&e.address, &six, sizeof six);
    e.size = sizeof six;
    return e;
  }
  sockaddr_in four;
  memset(&four, 0, sizeof four);
  REQUIRE(inet_pton(AF_INET, host.c_str(), &four.sin_addr) == 1);
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  memcpy(&e.address, &four, sizeof four);
  e.size = sizeof four;
  return e;
}

int open_socket(const Endpoint& e) {
  static const bool raised = [] {
    rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
  }();
  (void)raised;
  const int fd = socket(e.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  REQUIRE_MESSAGE(fd >= 0, "socket: ", strerror(errno));
  return fd;
}

void set_nodelay(int fd) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

// Binds to a port of `host`; returns it.
uint16_t bind_to(int fd, const Endpoint& e) {
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  REQUIRE_MESSAGE(bind(fd, reinterpret_cast<const sockaddr*>(&e.address), e.size) == 0, "bind: ", strerror(errno));
  sockaddr_storage bound;
  socklen_t size = sizeof bound;
  REQUIRE(getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) == 0);
  uint16_t port = 0;  // at the same place in both families
  memcpy(&port, reinterpret_cast<const char*>(&bound) + offsetof(sockaddr_in, sin_port), sizeof port);
  return ntohs(port);
}

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t hash_add(uint64_t h, const char* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) h = (h ^ static_cast<uint8_t>(bytes[i])) * 1099511628211u;
  return h;
}

std::string hex(uint64_t v) {
  char out[17];
  snprintf(out, sizeof out, "%016llx", static_cast<unsigned long long>(v));
  return out;
}

}  // namespace

void fill_pattern(uint64_t seed, uint64_t from, char* out, size_t size) {
  const uint64_t key = mix(seed);
  while (size > 0) {
    const uint64_t word = mix(key + from / 8);
    const size_t skip = static_cast<size_t>(from % 8);
    const size_t n = std::min(size, 8 - skip);
    memcpy(out, reinterpret_cast<const char*>(&word) + skip, n);
    out += n;
    from += n;
    size -= n;
  }
}

std::string pattern(uint64_t seed, size_t size) {
  std::string s(size, '\0');
  fill_pattern(seed, 0, &s[0], size);
  return s;
}

std::string digest_of(const std::string& bytes) { return hex(hash_add(14695981039346656037u, bytes.data(), bytes.size())); }

// ---- one connection

Conn::Conn(const std::string& host, uint16_t port, const std::string& from) {
  const Endpoint to = endpoint(host, port);
  fd_ = open_socket(to);
  if (!from.empty()) (void)bind_to(fd_, endpoint(from, 0));
  set_nodelay(fd_);
  began_ = now();
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&to.address), to.size) < 0 && errno != EINPROGRESS) fail(errno);
}

Conn::Conn(int fd) : fd_(fd), connected_(true), began_(now()) {
  set_nodelay(fd);
  fcntl(fd, F_SETFL, O_NONBLOCK);
}

int connect_small(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = 2048;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  return fd;
}

Conn::~Conn() { close(); }

Conn& Conn::send(const std::string& bytes) {
  if (bytes.empty()) return *this;
  queue_.push_back({bytes, 0, 0, 0, 0, false});
  queued_ += bytes.size();
  return *this;
}
Conn& Conn::send_pattern(uint64_t seed, uint64_t size) {
  if (size > 0) queue_.push_back({"", seed, 0, size, 0, false});
  return *this;
}
Conn& Conn::send_urgent(char byte) {
  send(std::string(1, byte));
  queue_.back().urgent = true;
  return *this;
}
Conn& Conn::watch_urgent() {
  const int one = 1;
  REQUIRE(setsockopt(fd_, SOL_SOCKET, SO_OOBINLINE, &one, sizeof one) == 0);
  watch_urgent_ = true;
  return *this;
}
Conn& Conn::shut() {
  shut_wanted_ = true;
  return *this;
}
Conn& Conn::close_behind() {
  close_wanted_ = true;
  return *this;
}
Conn& Conn::expect_pattern(uint64_t seed) {
  compare_ = true;
  seed_ = seed;
  compared_ = 0;
  return *this;
}

bool Conn::delivered() const {
  int waiting = 0;
#ifdef SIOCOUTQ
  if (ioctl(fd_, SIOCOUTQ, &waiting) < 0) return false;
#else
  if (ioctl(fd_, FIONWRITE, &waiting) < 0) return false;
#endif
  return all_sent() && waiting == 0;
}

void Conn::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}
void Conn::reset() {
  const linger hard{1, 0};
  if (fd_ >= 0) setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  close();
}
void Conn::fail(int error) {
  error_ = error;
  close();
}

void Conn::want(std::vector<pollfd>& list) {
  if (fd_ < 0) return;
  short events = 0;
  if (!connected_) {
    events = POLLOUT;
  } else {
    const bool slow = rate > 0 && static_cast<double>(received_) > rate * (now() - began_);
    if (reading && !ended_ && !slow && queued_ < kEchoHeld) events = POLLIN;
    if (!queue_.empty() || (shut_wanted_ && !shut_) || close_wanted_) events = static_cast<short>(events | POLLOUT);
  }
  // Without an event poll() still tells of a reset, again and again: only who listens is in the list.
  if (events != 0) list.push_back({fd_, events, 0});
}

void Conn::ready(const pollfd* list, size_t) {
  if (fd_ < 0) return;
  if (!connected_) {
    if (list->revents == 0) return;
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return fail(error);
    connected_ = true;
  }
  if ((list->events & POLLIN) != 0 && (list->revents & (POLLIN | POLLHUP | POLLERR)) != 0) read_some();
  if (fd_ >= 0) write_some();
  // Both directions are over.
  if (fd_ >= 0 && ended_ && shut_) close();
}

void Conn::write_some() {
  static char bytes[kPiece];
  while (!queue_.empty()) {
    Piece& p = queue_.front();
    const char* from = bytes;
    size_t size = 0;
    if (p.bytes.empty()) {
      size = static_cast<size_t>(std::min<uint64_t>(kPiece, p.to - p.from));
      fill_pattern(p.seed, p.from, bytes, size);
    } else {
      from = p.bytes.data() + p.done;
      size = p.bytes.size() - p.done;
    }
    const ssize_t n = ::send(fd_, from, size, MSG_NOSIGNAL | (p.urgent ? MSG_OOB : 0));
    if (n < 0) {
      if (!would_block(errno)) fail(errno);
      return;
    }
    sent_ += static_cast<uint64_t>(n);
    if (p.bytes.empty()) {
      p.from += static_cast<uint64_t>(n);
      if (p.from == p.to) queue_.pop_front();
    } else {
      p.done += static_cast<size_t>(n);
      queued_ -= static_cast<size_t>(n);
      if (p.done == p.bytes.size()) queue_.pop_front();
    }
    if (static_cast<size_t>(n) < size) return;
  }
  if (close_wanted_) return close();
  if (shut_wanted_ && !shut_) {
    shut_ = true;
    shutdown(fd_, SHUT_WR);
  }
}

void Conn::read_some() {
  static char bytes[kPiece];
  for (int i = 0; i < kReadsATurn && fd_ >= 0 && queued_ < kEchoHeld; ++i) {
    const bool urgent = watch_urgent_ && sockatmark(fd_) == 1;
    const ssize_t n = recv(fd_, bytes, urgent ? 1 : rate > 0 ? 4096 : sizeof bytes, 0);
    if (n < 0) {
      if (!would_block(errno)) fail(errno);
      return;
    }
    if (n == 0) {
      ended_ = true;
      if (digest) send(hex(hash_));
      if (digest || echo) shut();
      return;
    }
    if (urgent) urgent_.push_back(received_);
    took(bytes, static_cast<size_t>(n));
    if (rate > 0 || watch_urgent_) return;  // poll(2) says that there is more, and so whether it is urgent is known
  }
}

void Conn::took(const char* bytes, size_t size) {
  static char expected[kPiece];
  received_ += size;
  if (digest) hash_ = hash_add(hash_, bytes, size);
  if (compare_) {
    fill_pattern(seed_, compared_, expected, size);
    if (memcmp(expected, bytes, size) != 0) wrong_ = true;
    compared_ += size;
  } else if (echo) {
    send(std::string(bytes, size));
  } else if (on_bytes) {
    on_bytes(bytes, size);
  } else if (!digest) {
    text_.append(bytes, size);
  }
}

// ---- servers

Server::Server(Greet greet, const std::string& host, uint16_t port) : greet_(std::move(greet)) {
  const Endpoint at = endpoint(host, port);
  fd_ = open_socket(at);
  port_ = bind_to(fd_, at);
  REQUIRE(listen(fd_, 1024) == 0);
}

Server::~Server() { close(fd_); }

// The other end's buffer goes by the size of our segments.
void Server::hold_little() {
  const int size = 2048, segment = 536;
  setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  setsockopt(fd_, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
}

void Server::want(std::vector<pollfd>& list) {
  conns_.remove_if([](const std::unique_ptr<Conn>& c) { return c->closed(); });
  list.push_back({fd_, POLLIN, 0});
}

void Server::ready(const pollfd* list, size_t) {
  if (list->revents == 0) return;
  for (;;) {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    ++accepted_;
    conns_.push_back(std::make_unique<Conn>(fd));
    greet_(*conns_.back());
  }
}

void echoes(Conn& c) { c.echo = true; }
void answers_digest(Conn& c) { c.digest = true; }
void reads_nothing(Conn& c) { c.reading = false; }
void closes_at_once(Conn& c) { c.close(); }
Server::Greet gives(uint64_t seed, uint64_t size) {
  return [seed, size](Conn& c) { c.send_pattern(seed, size).close_behind(); };
}

DeadPort::DeadPort() {
  const Endpoint at = endpoint("127.0.0.1", 0);
  fd_ = open_socket(at);
  port_ = bind_to(fd_, at);
}
DeadPort::~DeadPort() { close(fd_); }

// ---- the line

Wire::Wire(uint16_t target) : target_(target) {
  const Endpoint at = endpoint("127.0.0.1", 0);
  fd_ = open_socket(at);
  port_ = bind_to(fd_, at);
  REQUIRE(listen(fd_, 64) == 0);
}

Wire::~Wire() {
  for (const auto& l : lines_)
    for (const int fd : l->fd) close(fd);
  close(fd_);
}

void Wire::freeze(bool let_in) {
  holds_new_ = !let_in;
  for (const auto& l : lines_) l->frozen = true;
}
void Wire::thaw() {
  holds_new_ = false;
  for (const auto& l : lines_) l->frozen = l->hangs;
}
void Wire::cut() {
  const linger hard{1, 0};
  for (const auto& l : lines_)
    for (const int fd : l->fd) {
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
      close(fd);
    }
  lines_.clear();
}
void Wire::cut_makers() {
  const linger hard{1, 0};
  for (const auto& l : lines_) {
    if (l->hangs) continue;
    l->frozen = l->hangs = true;
    setsockopt(l->fd[0], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(l->fd[0]);
    l->fd[0] = -1;
  }
}
void Wire::end_acceptors() {
  for (const auto& l : lines_) l->way[1].end = true;
}
size_t Wire::connections() const { return lines_.size(); }

void Wire::accept_one() {
  const int client = accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (client < 0) return;
  if (refuses) {
    const linger hard{1, 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(client);
    return;
  }
  const Endpoint to = endpoint("127.0.0.1", target_);
  const int server = open_socket(to);
  // On the loopback interface this is done at once, or refused.
  if (connect(server, reinterpret_cast<const sockaddr*>(&to.address), to.size) < 0 && errno != EINPROGRESS) {
    close(server);
    close(client);
    return;
  }
  set_nodelay(client);
  set_nodelay(server);
  auto line = std::make_unique<Line>();
  line->fd[0] = client;
  line->fd[1] = server;
  line->way[0].from = line->way[1].to = client;
  line->way[0].to = line->way[1].from = server;
  lines_.push_back(std::move(line));
}

void Wire::want(std::vector<pollfd>& list) {
  for (size_t i = 0; i < lines_.size();) {
    const Line& l = *lines_[i];
    if (l.broken || (l.way[0].shut && l.way[1].shut)) {
      for (const int fd : l.fd) close(fd);
      lines_.erase(lines_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  list.push_back({fd_, static_cast<short>(holds_new_ ? 0 : POLLIN), 0});
  for (const auto& l : lines_)
    for (const Way& w : l->way) {
      list.push_back({l->frozen || w.end || w.held.size() > kPiece ? -1 : w.from, POLLIN, 0});
      list.push_back({l->frozen || (w.held.empty() && (!w.end || w.shut)) ? -1 : w.to, POLLOUT, 0});
    }
}

void Wire::ready(const pollfd* list, size_t count) {
  static char bytes[kPiece];
  size_t i = 1;
  for (const auto& l : lines_) {
    if (i + 4 > count) break;
    for (Way& w : l->way) {
      if (list[i].revents != 0 && list[i].fd >= 0) {
        const ssize_t n = recv(w.from, bytes, sizeof bytes, 0);
        if (n == 0) w.end = true;
        if (n > 0) {
          std::string piece(bytes, static_cast<size_t>(n));
          if (meddle) meddle(&w == &l->way[0], w.passed, piece);
          w.passed += static_cast<uint64_t>(n);
          w.held += piece;
        }
        if (n < 0 && !would_block(errno)) l->broken = true;
      }
      if (list[i + 1].revents != 0 && list[i + 1].fd >= 0) {
        const ssize_t n = ::send(w.to, w.held.data(), w.held.size(), MSG_NOSIGNAL);
        if (n > 0) w.held.erase(0, static_cast<size_t>(n));
        if (n < 0 && !would_block(errno)) l->broken = true;
        if (w.end && w.held.empty() && !w.shut) {
          shutdown(w.to, SHUT_WR);
          w.shut = true;
        }
      }
      i += 2;
    }
  }
  if ((list[0].revents & POLLIN) != 0) accept_one();
}

// ---- many

Outcome run_crowd(const Crowd& crowd) {
  struct Client {
    std::unique_ptr<Conn> conn;
    uint64_t size = 0;
  };
  std::mt19937_64 random(crowd.seed);
  std::list<Client> clients;
  Outcome out;
  size_t started = 0;
  const double start = now();
  const auto done = [&] {
    for (auto c = clients.begin(); c != clients.end();) {
      if (!c->conn->over()) {
        ++c;
        continue;
      }
      const bool whole = c->conn->ended() && c->conn->received() == c->size;
      ++(c->conn->wrong() ? out.wrong : whole ? out.good : out.broken);
      out.bytes += c->conn->received();
      c = clients.erase(c);
    }
    while (started < crowd.count && clients.size() < crowd.at_once) {
      Client c;
      c.size = random() % (crowd.most_bytes + 1);
      const uint64_t seed = crowd.seed * 1000003 + started;
      c.conn = std::make_unique<Conn>(crowd.ports[started % crowd.ports.size()]);
      c.conn->send_pattern(seed, c.size).shut().expect_pattern(seed);
      clients.push_back(std::move(c));
      ++started;
    }
    return clients.empty();
  };
  (void)wait_for(done, crowd.seconds);
  out.open = clients.size();
  out.seconds = now() - start;
  return out;
}

void check_crowd(const Crowd& crowd) {
  const Outcome o = run_crowd(crowd);
  CHECK(o.good == crowd.count);
  CHECK(o.wrong == 0);
  CHECK(o.broken == 0);
  CHECK(o.open == 0);
}

std::string ask(uint16_t port, const std::string& request, double seconds, const std::string& host, const std::string& from) {
  Conn c(host, port, from);
  c.send(request).shut();
  if (!wait_for([&] { return c.over(); }, seconds)) return "no answer in time, but: " + c.text();
  return c.error() != 0 ? strerror(c.error()) : c.text();
}

bool serves(uint16_t port, double seconds, const std::string& host) {
  const double limit = now() + seconds * slowness();
  std::unique_ptr<Conn> c;
  return wait_for(
      [&] {
        if (c != nullptr && c->ended() && c->text() == "are you there?") return true;
        if (c == nullptr || c->over()) {
          c = std::make_unique<Conn>(host, port);
          c->send("are you there?").shut();
        }
        return now() > limit;
      },
      seconds) && c->ended() && c->text() == "are you there?";
}

static bool is_free(uint16_t port, int kind) {
  const int fd = socket(AF_INET, kind, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_ANY);
  at.sin_port = htons(port);
  const bool good = bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
  close(fd);
  return good;
}

uint16_t quiet_port() {
  static unsigned next = static_cast<unsigned>(getpid()) * 101;
  for (int i = 0; i < 1000; ++i) {
    next += 2;
    const uint16_t port = static_cast<uint16_t>(10000 + next % 20000);
    const uint16_t second = static_cast<uint16_t>(port + 1);
    if (is_free(port, SOCK_STREAM) && is_free(port, SOCK_DGRAM) && is_free(second, SOCK_STREAM)) return port;
  }
  FAIL("no two free ports");
  return 0;
}

}  // namespace e2e
