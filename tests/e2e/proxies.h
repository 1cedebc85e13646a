// What tests of proxies share: a web server with and without TLS. Read next: proxy_http.cc.
#ifndef SOCKMUX_TESTS_E2E_PROXIES_H
#define SOCKMUX_TESTS_E2E_PROXIES_H

#include <initializer_list>
#include <string>

#include "tests/e2e/sockets.h"

namespace e2e {

inline Words join(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline std::string bytes(std::initializer_list<int> list) {
  std::string s;
  for (const int b : list) s += static_cast<char>(b);
  return s;
}

// nginx with the pages "small" and "large"; takes PUT; the same by TLS at another port.
class Web {
 public:
  explicit Web(const std::string& name);
  uint16_t port() const { return port_; }
  std::string url(const std::string& page) const { return "http://" + local(port_) + "/" + page; }
  std::string tls_url(const std::string& page) const { return "https://" + local(tls_port_) + "/" + page; }
  // Wants the PROXY protocol, and tells who came there.
  std::string told_at() const { return local(told_port_); }
  const std::string& large() const { return large_; }
  std::string file(const std::string& page) const { return read_file(folder_ / "www/" + page); }
  void forget(const std::string& page) const { run({"rm", "-f", folder_ / "www/" + page}, 5); }

 private:
  TempFolder folder_;
  const uint16_t port_ = quiet_port(), tls_port_ = quiet_port(), told_port_ = quiet_port();
  std::string large_;
  std::unique_ptr<Process> process_;
};

}  // namespace e2e

#endif
