// SOCKS UDP ASSOCIATE: an asker whose datagrams carry a header, and are relayed while its control connection stands.
//
//   Control --TCP--> daemon        SocksAsker --UDP, header in front--> daemon ... daemon --UDP--> Echo
//
// An answer names who gave it. What is no datagram of SOCKS reaches nobody; behind the end of the control connection nothing is
// relayed. Source: RFC 1928, 6 and 7. Owner: the world. Read next: datagrams.h, relay/socks_udp.h.
#ifndef SOCKMUX_TESTS_SIMOS_SOCKS_UDP_H
#define SOCKMUX_TESTS_SIMOS_SOCKS_UDP_H

#include "tests/simos/datagrams.h"
#include "tests/simos/talker.h"

namespace simos {

// As RFC 1928, 5 has them: type and address, or name; a port.
std::string socks_address(uint32_t ip, bool six);
std::string socks_name(const std::string& name);
std::string socks_port(uint16_t port);

class SocksAsker final : public Asker {
 public:
  struct Way {
    Place daemon;     // its port, of TCP and UDP
    bool daemon_six;  // which is reached by IPv6
    Place server;     // an Echo
    bool server_six;
    std::string server_name;  // it is told by that now and then, if it has one; else by its digits as a name
  };
  // `ip`: its own, which nobody else has.
  SocksAsker(const Crowd& crowd, uint32_t number, uint32_t ip, const Way& way);
  // `n` datagrams, a `pause` apart, once it may; then it leaves, and `late` behind that asks in vain. 0: not at all.
  void come(uint32_t n, Micros pause, Micros late);
  void on_event(int what) override;
  bool over() const { return over_; }

 private:
  // Its connection.
  struct Control final : Holder {
    explicit Control(SocksAsker& a) : asker(a) {}
    void on_socket() override { asker.control_soon(); }
    void on_event(int what) override { (void)what, asker.run_control(); }
    SocksAsker& asker;
  };
  std::string dress(std::string bytes) override;
  bool undress(std::string* bytes) override;
  void control_soon();
  void run_control();
  void lost(const char* what, int error);
  void leave();
  std::string nonsense();

  const Crowd& crowd_;
  const Way way_;
  Control control_;
  Tcp* socket_ = nullptr;
  std::string out_, in_;
  uint32_t left_ = 0;
  Micros pause_ = 0, late_ = 0;
  bool scheduled_ = false, granted_ = false, over_ = false;
};

}  // namespace simos

#endif
