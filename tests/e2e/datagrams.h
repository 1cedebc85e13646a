// UDP clients and servers of a test, turned by the loop of harness.h. Read next: udp.cc.
#ifndef SOCKMUX_TESTS_E2E_DATAGRAMS_H
#define SOCKMUX_TESTS_E2E_DATAGRAMS_H

#include <functional>
#include <string>
#include <vector>

#include "tests/e2e/harness.h"

namespace e2e {

// A client: hears only from where it sends to.
class Udp final : public Actor {
 public:
  explicit Udp(uint16_t port, const std::string& host = "127.0.0.1", const std::string& from = "");
  ~Udp() override;
  void send(const std::string& datagram);
  // errno of the last send(); 0: it went.
  int error() const { return error_; }
  const std::vector<std::string>& got() const { return got_; }
  // Sends, and returns the next answer; "(nothing)" if none comes within `seconds`.
  std::string ask(const std::string& datagram, double seconds = 2);

  void want(std::vector<pollfd>& list) override;
  void ready(const pollfd* list, size_t count) override;

 private:
  int fd_ = -1, error_ = 0;
  std::vector<std::string> got_;
};

// A server: answers each datagram with what `answer` makes of it (none: says nothing).
class UdpServer final : public Actor {
 public:
  using Answer = std::function<std::string(const std::string&)>;
  explicit UdpServer(Answer answer, const std::string& host = "127.0.0.1", uint16_t port = 0);
  ~UdpServer() override;
  uint16_t port() const { return port_; }
  const std::vector<std::string>& got() const { return got_; }
  // Different addresses and ports that it has heard from.
  size_t clients() const;

  void want(std::vector<pollfd>& list) override;
  void ready(const pollfd* list, size_t count) override;

 private:
  Answer answer_;
  int fd_ = -1;
  uint16_t port_ = 0;
  std::vector<std::string> got_, from_;
};

std::string same(const std::string& datagram);

// A figure of a daemon's statistics; -1: there is no such line.
inline int64_t figure(Daemon& d, const std::string& event, const std::string& key) {
  const std::string lines = d.statistics();
  const size_t at = lines.find("] " + event + " ");
  if (at == std::string::npos) return -1;
  const int64_t value = Daemon::value(lines.substr(at, lines.find('\n', at) - at), key);
  return value < 0 ? 0 : value;  // a drop that never happened is not written
}
inline int64_t at_ports(Daemon& d, const std::string& key) { return figure(d, "statistics-udp-ports", key); }
inline int64_t at_servers(Daemon& d, const std::string& key) { return figure(d, "statistics-udp-servers", key); }

}  // namespace e2e

#endif
