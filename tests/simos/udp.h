// Datagrams: they come late, in another order, twice, or not at all. Read next: network.h, calls_net.cc.
#ifndef SOCKMUX_TESTS_SIMOS_UDP_H
#define SOCKMUX_TESTS_SIMOS_UDP_H

#include <sys/socket.h>

#include "tests/simos/network.h"

namespace simos {

class Udp final : public File {
 public:
  explicit Udp(uint32_t ip) : File(Kind::udp) { local.ip = ip; }
  uint32_t ready() const override;
  void closed() override;
  int bind_to(Place at);
  int connect_to(Place to);
  ssize_t send(const msghdr& m, Place to);
  ssize_t receive(msghdr& m, Place* from);
  void send_bytes(Place to, std::string bytes);
  // For actors: false, nothing there.
  bool take(std::string* bytes, Place* from);

  struct Datagram {
    Place from, to;
    std::string bytes;
  };
  Place local, remote;
  std::deque<Datagram> queue;
  int error = 0;
  bool six = false;  // a socket of IPv6
};

}  // namespace simos

#endif
