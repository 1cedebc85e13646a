// The SOCKS proxy: versions 4, 4a and 5; CONNECT, and UDP ASSOCIATE, whose datagrams come by socks_udp.h. BIND gets the
// answer "not supported".
//
//   hello --version 4: request--> connecting --connected()--> raw
//     |                               ^   +--failed(): the reply says why --> close
//     +--version 5: method--> request-+
//
// Invariant: nothing behind a message is taken before it is answered; each message has a bound (at most 520 bytes).
// Read next: dialogue.h. Source: RFC 1928 (version 5); "SOCKS: A protocol for TCP proxy across firewalls" and "SOCKS 4A"
// (version 4, which no RFC has); sockmux.conf(5), "Proxies".
#ifndef SOCKMUX_RELAY_SOCKS_H
#define SOCKMUX_RELAY_SOCKS_H

#include "relay/dialogue.h"

namespace smx {

class SocksDialogue final : public Dialogue {
 public:
  Next step(Desk& desk) override;
  void connected(Desk& desk) override;
  void failed(Desk& desk, Failure why) override;
  Next timed_out(Desk& desk) override;

 private:
  enum class State : uint8_t { hello, request, connecting, raw, associated, closing };

  Next read_hello(Desk& desk);
  Next read_request4(Desk& desk, Bytes in);
  Next read_request5(Desk& desk);
  Next ask(Desk& desk, size_t used);
  void reply4(Desk& desk, bool granted);
  void reply5(Desk& desk, uint8_t code, const Address& bound);
  bool set_host(std::string_view name);
  Next close(Desk& desk);

  char host_[256];
  size_t host_size_ = 0;
  uint16_t port_ = 0;
  uint8_t version_ = 0;
  State state_ = State::hello;
};

}  // namespace smx

#endif
