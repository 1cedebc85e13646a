// Read next: datagrams.h.
#include "tests/e2e/datagrams.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>

namespace e2e {

namespace {

socklen_t address(const std::string& host, uint16_t port, sockaddr_storage* out) {
  memset(out, 0, sizeof *out);
  sockaddr_in six_or_four{};
  if (inet_pton(AF_INET, host.c_str(), &six_or_four.sin_addr) == 1) {
    six_or_four.sin_family = AF_INET;
    six_or_four.sin_port = htons(port);
    memcpy(out, &six_or_four, sizeof six_or_four);
    return sizeof six_or_four;
  }
  sockaddr_in6 six{};
  REQUIRE(inet_pton(AF_INET6, host.c_str(), &six.sin6_addr) == 1);
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  memcpy(out, &six, sizeof six);
  return sizeof six;
}

int bound(const std::string& host, uint16_t port) {
  sockaddr_storage s;
  const socklen_t n = address(host, port, &s);
  const int fd = socket(s.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  REQUIRE(fd >= 0);
  const int large = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof large);
  REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&s), n) == 0);
  return fd;
}

constexpr size_t kMost = 70000;

}  // namespace

Udp::Udp(uint16_t port, const std::string& host, const std::string& from) {
  const bool six = host.find(':') != std::string::npos;
  fd_ = bound(from.empty() ? (six ? "::" : "0.0.0.0") : from, 0);
  sockaddr_storage s;
  const socklen_t n = address(host, port, &s);
  REQUIRE(connect(fd_, reinterpret_cast<sockaddr*>(&s), n) == 0);
}

Udp::~Udp() { close(fd_); }

void Udp::send(const std::string& datagram) {
  error_ = ::send(fd_, datagram.data(), datagram.size(), 0) < 0 ? errno : 0;
}

std::string Udp::ask(const std::string& datagram, double seconds) {
  const size_t before = got_.size();
  send(datagram);
  return wait_for([&] { return got_.size() > before; }, seconds) ? got_[before] : "(nothing)";
}

void Udp::want(std::vector<pollfd>& list) { list.push_back({fd_, POLLIN, 0}); }

void Udp::ready(const pollfd* list, size_t count) {
  (void)list, (void)count;
  std::string room(kMost, ' ');
  for (int i = 0; i < 64; ++i) {
    const ssize_t n = recv(fd_, &room[0], room.size(), 0);
    if (n < 0) return;
    got_.push_back(room.substr(0, static_cast<size_t>(n)));
  }
}

UdpServer::UdpServer(Answer answer, const std::string& host, uint16_t port) : answer_(std::move(answer)), fd_(bound(host, port)) {
  sockaddr_storage s{};
  socklen_t n = sizeof s;
  REQUIRE(getsockname(fd_, reinterpret_cast<sockaddr*>(&s), &n) == 0);
  sockaddr_in four{};
  memcpy(&four, &s, sizeof four);  // the port stands at the same place in both families
  port_ = ntohs(four.sin_port);
}

UdpServer::~UdpServer() { close(fd_); }

size_t UdpServer::clients() const { return std::set<std::string>(from_.begin(), from_.end()).size(); }

void UdpServer::want(std::vector<pollfd>& list) { list.push_back({fd_, POLLIN, 0}); }

void UdpServer::ready(const pollfd* list, size_t count) {
  (void)list, (void)count;
  std::string room(kMost, ' ');
  for (int i = 0; i < 64; ++i) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const ssize_t n = recvfrom(fd_, &room[0], room.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (n < 0) return;
    got_.push_back(room.substr(0, static_cast<size_t>(n)));
    from_.push_back(std::string(reinterpret_cast<char*>(&from), size));
    if (!answer_) continue;
    const std::string answer = answer_(got_.back());
    (void)!sendto(fd_, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
  }
}

std::string same(const std::string& datagram) { return datagram; }

}  // namespace e2e
