// SOCKS UDP ASSOCIATE through the link. Read next: relay/socks_udp.h.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/proxies.h"

using namespace e2e;

namespace {

std::string port_bytes(uint16_t port) { return bytes({port >> 8, port & 255}); }

// A UDP socket of a client or a server; `echo`: what comes is sent back, with "echo: " in front.
class Udp final : public Actor {
 public:
  explicit Udp(bool echo, const char* host = "127.0.0.1") : echo_(echo) {
    fd_ = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in a = address(host, 0);
    REQUIRE(bind(fd_, reinterpret_cast<sockaddr*>(&a), sizeof a) == 0);
    socklen_t n = sizeof a;
    REQUIRE(getsockname(fd_, reinterpret_cast<sockaddr*>(&a), &n) == 0);
    port_ = ntohs(a.sin_port);
  }
  ~Udp() override { (void)close(fd_); }
  uint16_t port() const { return port_; }
  const std::vector<std::string>& got() const { return got_; }
  // Who sent the last one.
  uint16_t from() const { return from_; }
  void send(const std::string& data, uint16_t port) {
    const sockaddr_in a = address("127.0.0.1", port);
    CHECK(sendto(fd_, data.data(), data.size(), 0, reinterpret_cast<const sockaddr*>(&a), sizeof a) == static_cast<ssize_t>(data.size()));
  }
  void want(std::vector<pollfd>& list) override { list.push_back({fd_, POLLIN, 0}); }
  void ready(const pollfd* list, size_t) override {
    if (list[0].revents == 0) return;
    static char buffer[65536];
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t n = recvfrom(fd_, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (n < 0) return;
    got_.emplace_back(buffer, static_cast<size_t>(n));
    from_ = ntohs(from.sin_port);
    if (!echo_) return;
    const std::string answer = "echo: " + got_.back();
    (void)sendto(fd_, answer.data(), answer.size(), 0, reinterpret_cast<const sockaddr*>(&from), size);
  }

 private:
  static sockaddr_in address(const char* host, uint16_t port) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    (void)inet_pton(AF_INET, host, &a.sin_addr);
    return a;
  }
  int fd_ = -1;
  uint16_t port_ = 0, from_ = 0;
  bool echo_;
  std::vector<std::string> got_;
};

const std::string kAssociate = bytes({5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0});
std::string header(uint16_t port) { return bytes({0, 0, 0, 1, 127, 0, 0, 1}) + port_bytes(port); }

}  // namespace

TEST_CASE("socks proxy: UDP ASSOCIATE: datagrams to several servers, by address and name, while the connection stands") {
  Udp one(true), two(true), client(false);
  const uint16_t port = quiet_port();
  Pair p({"PORT=127.0.0.1:" + text(port) + ",127.0.0.1:" + text(port) + "/udp"}, {"SERVER=socks,-in:-:-P" + text(port), "HOSTS=inner/127.0.0.1", "SOXCONF=proto:1"});
  // Nobody is served before there is an association.
  client.send(header(one.port()) + "early", port);
  CHECK(p.a->process().wait_log("refused", 5));
  Conn control(port);
  control.send(kAssociate);
  REQUIRE(wait_for([&] { return control.text().size() == 12; }, 5));
  CHECK(control.text() == bytes({5, 0, 5, 0, 0, 1, 127, 0, 0, 1}) + port_bytes(port));
  Udp fresh(false);  // the refused flow is remembered for a moment
  fresh.send(header(one.port()) + "hello", port);
  CHECK(wait_for([&] { return fresh.got().size() == 1; }, 5));
  CHECK(fresh.got()[0] == header(one.port()) + "echo: hello");
  fresh.send(header(two.port()) + "other", port);
  CHECK(wait_for([&] { return fresh.got().size() == 2; }, 5));
  CHECK(fresh.got()[1] == header(two.port()) + "echo: other");
  fresh.send(bytes({0, 0, 0, 3, 5}) + "inner" + port_bytes(one.port()) + "named", port);
  CHECK(wait_for([&] { return fresh.got().size() == 3; }, 5));
  CHECK(fresh.got()[2] == header(one.port()) + "echo: named");
  const std::string large = pattern(4, 60000);
  fresh.send(header(one.port()) + large, port);
  CHECK(wait_for([&] { return fresh.got().size() == 4; }, 5));
  CHECK(digest_of(fresh.got()[3]) == digest_of(header(one.port()) + "echo: " + large));
  // Fragments, cut headers, unknown types, port 0: dropped, and the next one is served.
  for (const std::string& bad : {bytes({0, 0, 1, 1, 127, 0, 0, 1}) + port_bytes(one.port()) + "x", bytes({0, 0, 0}), bytes({0, 0, 0, 1, 127}), bytes({0, 0, 0, 9, 1, 2, 3, 4, 5, 6}),
                                 bytes({0, 0, 0, 3, 200}) + "short", header(0) + "x", std::string(1, '\0')})
    fresh.send(bad, port);
  fresh.send(header(one.port()) + "last", port);
  CHECK(wait_for([&] { return fresh.got().size() == 5; }, 5));
  CHECK(fresh.got()[4] == header(one.port()) + "echo: last");
  CHECK(one.got().size() == 4);
  CHECK(Daemon::value(p.c->statistics(), "allocations") == 0);
  // The connection ends, and with it the flow.
  CHECK(p.c->wait_channels(2, 5));
  control.close();
  CHECK(p.c->wait_channels(0, 5));
}

TEST_CASE("socks proxy: UDP ASSOCIATE: a flow that is silent for TIMEOUT=silence ends, and its client may go on") {
  Udp server(true), client(false);
  const uint16_t port = quiet_port();
  Pair p({"PORT=127.0.0.1:" + text(port) + ",127.0.0.1:" + text(port) + "/udp"}, {"SERVER=socks,-in", "SOXCONF=proto:1", "TIMEOUT=silence:1"});
  Conn control(port);
  control.send(kAssociate);
  REQUIRE(wait_for([&] { return control.text().size() == 12; }, 5));
  for (size_t i = 1; i <= 2; ++i) {
    client.send(header(server.port()) + "hello", port);
    CHECK(wait_for([&] { return client.got().size() == i; }, 5));
    CHECK(client.got().back() == header(server.port()) + "echo: hello");
    CHECK(p.c->wait_channels(1, 10));  // the connection's, which stays
  }
}

TEST_CASE("socks proxy: UDP ASSOCIATE: what a server sends while the link is cut is dropped, and is no news behind it") {
  Udp server(false), client(false);
  const uint16_t port = quiet_port();
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:" + text(port) + ",127.0.0.1:" + text(port) + "/udp"});
  Wire wire(a.link_port());
  Daemon c({"SERVER=sockmux://" + local(wire.port()), "SERVER=socks,-in", "SOXCONF=proto:1", "TIMEOUT=retry:1"});
  REQUIRE(c->wait_log(" link-up ", 5));
  Conn control(port);
  control.send(kAssociate);
  REQUIRE(wait_for([&] { return control.text().size() == 12; }, 5));
  client.send(header(server.port()) + "hello", port);
  REQUIRE(wait_for([&] { return server.got().size() == 1; }, 5));
  wire.refuses = true;
  wire.cut();
  REQUIRE(c->wait_log(" link-down ", 5));
  for (int i = 0; i < 3; ++i) server.send("old", server.from());
  (void)wait_for([] { return false; }, 0.3);
  wire.refuses = false;
  REQUIRE(c->wait_log("resumed=yes", 10));
  server.send("new", server.from());
  CHECK(wait_for([&] { return !client.got().empty(); }, 5));
  CHECK(client.got() == Words{header(server.port()) + "new"});
}

TEST_CASE("socks proxy: UDP ASSOCIATE under rules, and for nobody else") {
  Udp server(true), client(false), other(false, "127.0.0.2");
  const uint16_t port = quiet_port();
  for (const char* words : {"(REACHABLE=!127.0.0.0/8)", "(REMITTABLE=socks/1-1023)", ""}) {
    CAPTURE(words);
    const size_t before = server.got().size();
    Pair p({"PORT=127.0.0.1:" + text(port) + ",127.0.0.1:" + text(port) + "/udp"}, {std::string("SERVER=socks,-in") + words, "SOXCONF=proto:1"});
    Conn control(port);
    control.send(kAssociate);
    REQUIRE(wait_for([&] { return control.text().size() == 12; }, 5));
    other.send(header(server.port()) + "not mine", port);
    client.send(header(server.port()) + "mine", port);
    if (*words != 0) {
      CHECK(p.c->process().wait_log("request-refused", 5));
      CHECK(server.got().size() == before);
    } else {
      CHECK(wait_for([&] { return client.got().size() == 1; }, 5));
      CHECK(server.got().size() == before + 1);
      CHECK(other.got().empty());
    }
  }
  {
    const size_t before = server.got().size();
    Pair p({"PORT=127.0.0.1:" + text(port) + ",127.0.0.1:" + text(port) + "/udp"}, {"SERVER=socks,-in(REACHABLE=*,!127.0.0.0/8,!localhost)", "SOXCONF=proto:1"});
    Conn control(port);
    control.send(kAssociate);
    REQUIRE(wait_for([&] { return control.text().size() == 12; }, 5));
    client.send(bytes({0, 0, 0, 1, 0, 0, 0, 0}) + port_bytes(server.port()) + "to nobody", port);
    CHECK(p.c->process().wait_log("request-refused", 5));
    CHECK(server.got().size() == before);
  }
  // 0.3 cannot say that a channel carries datagrams.
  Pair p({"PORT=127.0.0.1:0"}, {"SERVER=socks,-in", "SOXCONF=proto:0.3"});
  const std::string answer = ask(p.a->port(), kAssociate, 5);
  CHECK(answer.substr(0, 4) == bytes({5, 0, 5, 7}));
}

TEST_CASE("socks proxy: UDP ASSOCIATE: a peer's flows without end, each of which waits, leave those of another one alone") {
  Udp silent(false), server(true);
  const uint16_t port = quiet_port(), other_port = quiet_port();
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "SERVER=socks,-in", "SOXCONF=proto:1"});
  const auto side = [&](uint16_t at) {
    return Words{"SERVER=sockmux://" + local(a.link_port()), "SOXCONF=proto:1", "PORT=" + local(at) + "," + local(at) + "/udp"};
  };
  Daemon modest(side(port)), greedy(side(other_port));
  REQUIRE(modest->wait_log(" link-up ", 5));
  REQUIRE(greedy->wait_log(" link-up ", 5));
  Conn modest_control(port), greedy_control(other_port);
  for (Conn* c : {&modest_control, &greedy_control}) {
    c->send(kAssociate);
    REQUIRE(wait_for([&] { return c->text().size() == 12; }, 5));
  }
  Udp client(false);
  client.send(header(server.port()) + "first", port);
  CHECK(wait_for([&] { return client.got().size() == 1; }, 5));
  std::vector<std::unique_ptr<Udp>> clients;
  for (int i = 0; i < 320; ++i) clients.push_back(std::make_unique<Udp>(false));
  const double end = now() + 3;
  while (now() < end) {
    for (auto& one : clients) one->send(header(silent.port()) + "again", other_port);
    (void)wait_for([] { return false; }, 0.3 / slowness());
  }
  CHECK(modest.wait_channels(2, 5));  // its flow is there still
  client.send(header(server.port()) + "second", port);
  CHECK(wait_for([&] { return client.got().size() == 2; }, 5));
  Udp late(false);
  late.send(header(server.port()) + "third", port);
  CHECK(wait_for([&] { return late.got().size() == 1; }, 5));
}
