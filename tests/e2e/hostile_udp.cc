// Datagrams without end: of thousands of clients, of servers that nobody has asked, and of nobody at all. Read next: hostile.h.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/datagrams.h"
#include "tests/e2e/hostile.h"

using namespace e2e;

namespace {

// Clients of the hub's UDP port are served at the branch; the witness, by TCP, goes the other way.
struct Flows : Stage {
  explicit Flows(UdpServer::Answer answer, const Words& more = {}) : Flows(std::make_unique<UdpServer>(answer), more) {}
  uint16_t port() { return hub().port(); }
  std::unique_ptr<UdpServer> server;

 private:
  Flows(std::unique_ptr<UdpServer> s, const Words& more)
      : Stage(words(more, "PORT=127.0.0.1:0/udp"), words(more, "DEST=" + local(s->port()) + "/udp")), server(std::move(s)) {}
  static Words words(Words more, const std::string& one) {
    more.push_back("TIMEOUT=silence:0.5");
    more.push_back(one);
    return more;
  }
};

// A datagram that says it comes from `from`: only root can.
void send_as(uint16_t from, uint16_t to, const std::string& data) {
  const int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP);
  REQUIRE(fd >= 0);
  const std::string all = be16(from) + be16(to) + be16(static_cast<unsigned>(8 + data.size())) + be16(0) + data;
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(sendto(fd, all.data(), all.size(), 0, reinterpret_cast<const sockaddr*>(&at), sizeof at) == static_cast<ssize_t>(all.size()));
  close(fd);
}

}  // namespace

TEST_CASE("hostile UDP: thousands of clients, each a flow of its own, within a second") {
  Flows s(same, {"MAXIMA=udprelay:200,channels:300"});
  s.survives([&] {
    int sent = 0;
    const int64_t before = at_ports(s.hub(), "made_room");
    const auto step = [&] {
      for (int i = 0; i < 50; ++i) Udp(s.port()).send("x");
      sent += 50;
    };
    // A slow machine takes more of them, since a flow ends by its silence, too.
    CHECK(keep_doing_until(step, [&] { return sent >= 3000 && at_ports(s.hub(), "made_room") > before + 100; }));
    Udp late(s.port());
    CHECK(wait_for([&] { return late.ask("late", 0.5) == "late"; }, 10));
    CHECK(at_ports(s.hub(), "flows") <= 200);
  });
}

TEST_CASE("hostile UDP: a server that answers a hundredfold, long after it was asked, and to flows that are gone") {
  // Each question is answered a hundred times; the client of most has gone by then.
  Flows s(same);
  s.survives([&] {
    std::vector<std::unique_ptr<Udp>> clients;
    for (int i = 0; i < 50; ++i) {
      clients.push_back(std::make_unique<Udp>(s.port()));
      for (int k = 0; k < 100; ++k) clients.back()->send(std::string(static_cast<size_t>(k), 'a'));
      if (i % 2 == 0) clients.back().reset();
      turn(0);
    }
    keep_doing(0.2, [] {});
  });
}

TEST_CASE("hostile UDP: the largest and the empty, without end") {
  Flows s(same);
  s.most_kib = 2048;
  s.survives([&] {
    Udp giant(s.port()), empty(s.port());
    const std::string largest(65507, 'g');
    int sent = 0;
    const auto step = [&] {
      for (int i = 0; i < 5; ++i) {
        giant.send(largest);
        empty.send("");
      }
      sent += 5;
    };
    CHECK(keep_doing_until(step, [&] { return sent >= 1000; }));
    Udp late(s.port());
    CHECK(wait_for([&] { return late.ask("late", 0.5) == "late"; }, 10));
  });
}

TEST_CASE("hostile UDP: a datagram that says it comes from the port itself is no client's") {
  if (geteuid() != 0) return;  // only root can say so
  Flows s(same);
  s.survives([&] {
    const int64_t rx = at_ports(s.hub(), "rx");
    send_as(s.port(), s.port(), "echo");
    Udp client(s.port());
    CHECK(client.ask("client") == "client");
    CHECK(client.ask("client") == "client");
    CHECK(at_ports(s.hub(), "rx") <= rx + 3);
  });
}
