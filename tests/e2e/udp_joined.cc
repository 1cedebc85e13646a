// Datagrams that leave a daemon together: each comes as it was sent, whoever its client is. Read next: core/io/udp_batch.h.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/datagrams.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

bool system_joins() {
#ifdef UDP_SEGMENT
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  int size = 0;
  socklen_t n = sizeof size;
  const bool joins = getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, &n) == 0;
  close(fd);
  return joins;
#else
  return false;
#endif
}

}  // namespace

TEST_CASE("UDP: what waits for a daemon in one turn leaves joined, both ways, and comes whole, in order, from the right address") {
  const int64_t most = system_joins() ? 30 : 0;
  for (const char* host : {"127.0.0.1", "::1"}) {
    CAPTURE(host);
    const bool six = std::string(host) == "::1";
    const std::string in_words = six ? "[::1]" : host;
    UdpServer server(same, host);
    // The port is on all addresses, and the client uses another one than the system would choose.
    Pair p({"DEST=" + in_words + ":" + text(server.port()) + "/udp"}, {six ? "PORT=[::1]:0/udp" : "PORT=0/udp"});
    Udp client(p.c->port(), six ? "::1" : "127.0.0.9");
    REQUIRE(client.ask("hello", 5) == "hello");
    Words burst;
    for (size_t i = 0; i < 30; ++i) burst.push_back(pattern(i, i == 29 ? 100 : 300));
    (*p.a)->signal(SIGSTOP);
    for (const std::string& d : burst) client.send(d);
    REQUIRE(wait_for([&] { return at_ports(*p.c, "rx") == 31; }, 10));
    (*p.c)->signal(SIGSTOP);
    (*p.a)->signal(SIGCONT);
    REQUIRE(wait_for([&] { return server.got().size() == 31; }, 10));
    CHECK(at_servers(*p.a, "tx") == 31);
    CHECK(at_servers(*p.a, "joined") == most);
    REQUIRE(wait_for([&] { return at_servers(*p.a, "rx") == 31; }, 10));
    (*p.c)->signal(SIGCONT);
    REQUIRE(wait_for([&] { return client.got().size() == 31; }, 10));
    CHECK(at_ports(*p.c, "tx") == 31);
    if (most > 0) CHECK(at_ports(*p.c, "joined") > 0);  // what the link carried in one piece
    for (size_t i = 0; i < 30; ++i) {
      CHECK((server.got()[i + 1] == burst[i]));
      CHECK((client.got()[i + 1] == burst[i]));
    }
    CHECK(server.clients() == 1);
  }
}

TEST_CASE("UDP: answers to many clients in one turn: each gets its own") {
  UdpServer server(same);
  Pair p({"DEST=" + local(server.port()) + "/udp"}, {"PORT=127.0.0.1:0/udp"});
  std::vector<std::unique_ptr<Udp>> clients;
  for (size_t i = 0; i < 10; ++i) {
    clients.push_back(std::make_unique<Udp>(p.c->port()));
    REQUIRE(clients.back()->ask("hello " + text(i), 5) == "hello " + text(i));
  }
  (*p.c)->signal(SIGSTOP);
  // In turn, so that hardly two of one client stand side by side.
  for (size_t k = 0; k < 5; ++k)
    for (size_t i = 0; i < 10; ++i) clients[i]->send(text(i) + " " + text(k));
  (*p.c)->signal(SIGCONT);
  for (size_t i = 0; i < 10; ++i) {
    REQUIRE(wait_for([&] { return clients[i]->got().size() == 6; }, 10));
    for (size_t k = 0; k < 5; ++k) CHECK(clients[i]->got()[k + 1] == text(i) + " " + text(k));
  }
  CHECK(at_ports(*p.c, "tx") == 60);
}

TEST_CASE("UDP: a server that goes away while datagrams for it are joined: each is counted, and the next server hears") {
  auto server = std::make_unique<UdpServer>(same);
  const uint16_t port = server->port();
  Pair p({"DEST=" + local(port) + "/udp"}, {"PORT=127.0.0.1:0/udp"});
  Udp client(p.c->port());
  REQUIRE(client.ask("hello", 5) == "hello");
  server.reset();
  for (int round = 0; round < 3; ++round) {
    (*p.a)->signal(SIGSTOP);
    for (int i = 0; i < 10; ++i) client.send("nobody there");
    REQUIRE(wait_for([&] { return at_ports(*p.c, "rx") == 1 + 10 * (round + 1); }, 10));
    (*p.a)->signal(SIGCONT);
    REQUIRE(wait_for([&] { return at_servers(*p.a, "tx") + at_servers(*p.a, "unreachable") == 1 + 10 * (round + 1); }, 10));
  }
  CHECK(at_servers(*p.a, "not_there") > 0);
  UdpServer next(same, "127.0.0.1", port);
  CHECK(client.ask("there again", 5) == "there again");
}
