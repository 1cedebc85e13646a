// UDP through the link, as users meet it: real DNS, every size, both families and dialects, servers that go and come back,
// links that break. Read next: datagrams.h, udp_limits.cc.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>

#include "tests/e2e/datagrams.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

// A real DNS server for *.test.
class Dnsmasq {
 public:
  Dnsmasq() {
    const std::string program = find_program("dnsmasq");
    process_ = std::make_unique<Process>(Words{program, "-k", "--conf-file=/dev/null", "-p", text(port_), "--listen-address=127.0.0.1", "--bind-interfaces",
                                               "--no-resolv", "--no-hosts", "--user=", "--pid-file=", "--log-facility=-", "--address=/x.test/192.0.2.7",
                                               "--txt-record=long.test," + std::string(250, 'a') + "," + std::string(250, 'b') + "," + std::string(250, 'c')});
    REQUIRE_MESSAGE(process_->wait_log("started", 5), process_->log());
  }
  uint16_t port() const { return port_; }

 private:
  const uint16_t port_ = quiet_port();
  std::unique_ptr<Process> process_;
};

}  // namespace

TEST_CASE("UDP: dig asks a real DNS server through the link") {
  Dnsmasq dns;
  Pair p({"SERVER=dns://" + local(dns.port()) + ",-in"}, {"PORT=127.0.0.1:0/udp"});
  const Words dig = {find_program("dig"), "+short", "+tries=1", "+time=5", "-p", text(p.c->port()), "@127.0.0.1"};
  Words one = dig, two = dig;
  one.push_back("x.test");
  CHECK(run(one, 10) == "192.0.2.7\n");
  two.insert(two.end(), {"+bufsize=4096", "+ignore", "long.test", "TXT"});
  CHECK(run(two, 10).find(std::string(250, 'c')) != std::string::npos);
  CHECK(at_servers(*p.a, "rx") >= 2);
}

TEST_CASE("UDP: every size goes whole and in order, both ways, over IPv4 and IPv6") {
  for (const char* host : {"127.0.0.1", "::1"}) {
    CAPTURE(host);
    const std::string in_words = std::string(host) == "::1" ? "[::1]" : host;
    UdpServer server(same, host);
    Pair p({"DEST=" + in_words + ":" + text(server.port()) + "/udp"}, {"PORT=" + in_words + ":0/udp"});
    Udp client(p.c->port(), host);
    size_t n = 0;
    for (const size_t size : {0u, 1u, 512u, 1472u, 9000u, 16376u, 16377u, 65507u}) {
      CAPTURE(size);
      const std::string d = pattern(size, size);
      CHECK((client.ask(d, 5) == d));
      REQUIRE(client.error() == 0);
      REQUIRE(server.got().size() == ++n);
      CHECK((server.got().back() == d));
    }
    CHECK(server.clients() == 1);
    // A burst: in order, as they fit into the buffers of all sockets on the way.
    const size_t before = client.got().size();
    for (int i = 0; i < 20; ++i) client.send(std::string(static_cast<size_t>(i), 'a'));
    REQUIRE(wait_for([&] { return client.got().size() == before + 20; }, 5));
    for (size_t i = 0; i < 20; ++i) CHECK(client.got()[before + i].size() == i);
  }
}

TEST_CASE("UDP: a datagram of IPv6 that is longer than 65,507 is dropped and counted; the flow goes on") {
  UdpServer server(same, "::1");
  Pair p({"DEST=[::1]:" + text(server.port()) + "/udp"}, {"PORT=[::1]:0/udp"});
  Udp client(p.c->port(), "::1");
  client.send(std::string(65508, 'x'));
  REQUIRE(client.error() == 0);
  CHECK(client.ask("still here") == "still here");
  CHECK(at_ports(*p.c, "too_large") == 1);
  CHECK(server.got().size() == 1);
}

TEST_CASE("UDP: both directions of a link, and TCP and UDP at the same number") {
  UdpServer left(same), right(same);
  Server tcp(echoes);
  Pair p({"PORT=127.0.0.1:0/udp", "DEST=" + local(left.port()) + "/udp"},
         {"PORT=127.0.0.1:0/udp,127.0.0.1:0", "DEST=" + local(right.port()) + "/udp"});
  Udp to_right(p.a->port()), to_left(p.c->port());
  CHECK(to_right.ask("to the right") == "to the right");
  CHECK(to_left.ask("to the left") == "to the left");
  CHECK(right.got() == Words{"to the right"});
  CHECK(left.got() == Words{"to the left"});
  // SockMux 1 knows the kind: a TCP client finds no server here, however many UDP servers there are.
  CHECK(ask(p.c->port(1), "hello", 1) != "hello");
  CHECK(p.a->process().wait_log("channel-refused", 5));
}

TEST_CASE("UDP: answers come from the address that the client used, at a port on all addresses") {
  UdpServer server(same);
  Pair p({"DEST=" + local(server.port()) + "/udp"}, {"PORT=0/udp"});
  for (const char* host : {"127.0.0.1", "127.0.0.2", "127.1.2.3"}) {
    CAPTURE(host);
    Udp client(p.c->port(), host, "127.0.0.1");  // hears from there only
    CHECK(client.ask("hello") == "hello");
  }
  CHECK(server.clients() == 3);
}

TEST_CASE("UDP: the server is chosen by the port at which the client came, and by /udp") {
  UdpServer first([](const std::string&) { return "first"; }), second([](const std::string&) { return "second"; });
  Server tcp(closes_at_once);
  const uint16_t port = quiet_port();
  Pair p({"DEST=" + local(tcp.port()), "DEST=" + local(first.port()) + "/udp:-P" + text(port), "DEST=" + local(second.port()) + "/udp"},
         {"PORT=127.0.0.1:" + text(port) + "/udp,127.0.0.1:0/udp"});
  Udp one(port), two(p.c->port());
  CHECK(one.ask("?") == "first");
  CHECK(two.ask("?") == "second");
  CHECK(tcp.accepted() == 0);
}

TEST_CASE("UDP: a server that is down stops nobody, is logged once, and is found when it is back") {
  UdpServer other(same);
  auto server = std::make_unique<UdpServer>(same);
  const uint16_t port = server->port();
  uint16_t at[2];
  {
    UdpServer a(nullptr), b(nullptr);
    at[0] = a.port();
    at[1] = b.port();
  }
  Pair p({"DEST=" + local(port) + "/udp:-P" + text(at[0]), "DEST=" + local(other.port()) + "/udp:-P" + text(at[1])},
         {"PORT=127.0.0.1:" + text(at[0]) + "/udp,127.0.0.1:" + text(at[1]) + "/udp"});
  Udp client(at[0]), second(at[1]);
  CHECK(client.ask("one") == "one");
  server.reset();
  for (int i = 0; i < 20; ++i) {
    client.send("nobody hears this");
    CHECK(second.ask("still served") == "still served");
  }
  CHECK(p.a->process().wait_log("server-failed", 5));
  CHECK(p.a->process().count("server-failed") == 1);
  CHECK(at_servers(*p.a, "not_there") > 0);
  server = std::make_unique<UdpServer>(same, "127.0.0.1", port);
  std::string got;
  CHECK(wait_for([&] { return (got = client.ask("back?", 0.2)) == "back?"; }, 5));
  CHECK(server->clients() == 1);
}

TEST_CASE("UDP: of a server's two addresses one is dead: the other serves after the first loss") {
  UdpServer alive(same, "127.0.0.3");
  Pair p({"HOSTS=twin.test/{127.0.0.4,127.0.0.3}", "DEST=twin.test:" + text(alive.port()) + "/udp"}, {"PORT=127.0.0.1:0/udp"});
  Udp client(p.c->port());
  CHECK(wait_for([&] { return client.ask("hello", 0.3) == "hello"; }, 5));
  Udp next(p.c->port());  // begins where the first one ended
  CHECK(next.ask("hello") == "hello");
}

TEST_CASE("UDP: a name is looked up once for all flows; the first datagram waits for it") {
  UdpServer four(same);
  std::unique_ptr<UdpServer> six;  // localhost may mean both
  six = std::make_unique<UdpServer>(same, "::1", four.port());
  Pair p({"DEST=localhost:" + text(four.port()) + "/udp"}, {"PORT=127.0.0.1:0/udp"});
  Udp one(p.c->port()), two(p.c->port());
  two.send("two");
  CHECK(one.ask("one", 10) == "one");
  CHECK(wait_for([&] { return two.got() == Words{"two"}; }, 5));
}

TEST_CASE("UDP: a name that is not found refuses the flow, rests it, and stops nobody else") {
  UdpServer server(same);
  const uint16_t port = quiet_port();
  Pair p({"DEST=nowhere.invalid:53/udp:-P" + text(port), "DEST=" + local(server.port()) + "/udp"},
         {"PORT=127.0.0.1:" + text(port) + "/udp,127.0.0.1:0/udp"});
  Udp lost(port), good(p.c->port());
  lost.send("?");
  CHECK(good.ask("hello") == "hello");
  CHECK(p.a->process().wait_log("server-failed", 15));
  CHECK(p.c->process().wait_log("client-refused", 5));
  const size_t refused = p.a->process().count("server-failed");
  for (int i = 0; i < 50; ++i) lost.send("?");
  CHECK(good.ask("hello") == "hello");
  CHECK(at_ports(*p.c, "refused") >= 40);
  CHECK(p.a->process().count("server-failed") <= refused + 1);
}

TEST_CASE("UDP: the link is cut during a flow; datagrams meanwhile are dropped and counted; then the flow goes on") {
  UdpServer server(same);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(server.port()) + "/udp"});
  Wire wire(a.link_port());
  Daemon c({"SERVER=sockmux://" + local(wire.port()), "PORT=127.0.0.1:0/udp"});
  REQUIRE(c->wait_log(" link-up ", 5));
  Udp client(c.port());
  CHECK(client.ask("before") == "before");
  wire.freeze();
  wire.cut();
  REQUIRE(c->wait_log(" link-down ", 5));
  client.send("lost");
  CHECK(wait_for([&] { return at_ports(c, "no_link") >= 1; }, 5));
  const size_t from = c->log().size();
  wire.thaw();
  REQUIRE(c->wait_log(" link-up ", 10, from));
  CHECK(client.ask("after") == "after");
  CHECK(server.got() == Words{"before", "after"});
  CHECK(server.clients() == 1);  // the channel outlived the link
}

// Both have waited for the daemon when it goes on, so that the datagram is held when the link is lost.
TEST_CASE("UDP: a datagram that was held when the link was cut is dropped, and those behind the next link are not") {
  UdpServer server(same);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(server.port()) + "/udp"});
  Wire wire(a.link_port());
  Daemon c({"SERVER=sockmux://" + local(wire.port()), "PORT=127.0.0.1:0/udp", "TIMEOUT=retry:1"});
  REQUIRE(c->wait_log(" link-up ", 5));
  Udp client(c.port());
  CHECK(client.ask("before") == "before");
  (void)wait_for([] { return false; }, 0.5);  // nothing is on its way
  c->signal(SIGSTOP);
  client.send("held");
  wire.refuses = true;
  wire.cut();
  (void)wait_for([] { return false; }, 0.1);
  c->signal(SIGCONT);
  REQUIRE(c->wait_log(" link-down ", 5));
  CHECK(wait_for([&] { return at_ports(c, "late") == 1; }, 5));
  wire.refuses = false;
  REQUIRE(c->wait_log("resumed=yes", 5));
  for (const char* word : {"one", "two", "three"}) CHECK(client.ask(word) == word);
}

TEST_CASE("UDP: a DNS query does not wait behind bulk of TCP") {
  UdpServer dns(same);
  Server giver(gives(3, 2000u << 20));
  Pair p({"DEST=" + local(dns.port()) + "/udp", "DEST=" + local(giver.port())}, {"PORT=127.0.0.1:0/udp,127.0.0.1:0"});
  Conn bulk("127.0.0.1", p.c->port(1));
  bulk.expect_pattern(3);
  Udp client(p.c->port());
  REQUIRE(wait_for([&] { return bulk.received() > (1u << 20); }, 5));
  std::vector<double> times;
  for (int i = 0; i < 50; ++i) {
    const double begin = now();
    REQUIRE(client.ask("query", 5) == "query");
    times.push_back(now() - begin);
  }
  std::sort(times.begin(), times.end());
  CHECK(times[25] < 0.1 * slowness());
  CHECK_FALSE(bulk.wrong());
  CHECK(bulk.alive());
}

TEST_CASE("UDP: a flood of datagrams does not starve TCP") {
  UdpServer sink(nullptr);
  Server server(echoes);
  Pair p({"DEST=" + local(sink.port()) + "/udp", "DEST=" + local(server.port())}, {"PORT=127.0.0.1:0/udp,127.0.0.1:0"});
  Udp flood(p.c->port());
  Conn tcp("127.0.0.1", p.c->port(1));
  tcp.expect_pattern(5).send_pattern(5, 8 << 20).shut();
  const std::string large = pattern(1, 8000);
  CHECK(wait_for(
      [&] {
        for (int i = 0; i < 5; ++i) flood.send(large);
        return tcp.over();
      },
      30));
  CHECK(tcp.received() == 8 << 20);
  CHECK_FALSE(tcp.wrong());
  CHECK(sink.got().size() > 0);
}

TEST_CASE("UDP: TERM ends flows at once") {
  UdpServer server(same);
  Pair p({"DEST=" + local(server.port()) + "/udp"}, {"PORT=127.0.0.1:0/udp"});
  Udp client(p.c->port());
  CHECK(client.ask("hello") == "hello");
  p.c->process().signal(SIGTERM);
  CHECK(p.c->process().wait_end(2));
  CHECK(p.c->process().status() == 0);
  CHECK(p.a->wait_channels(0, 5));
}

// ---- 0.3

TEST_CASE("UDP over 0.3, both of ours: what its packets hold, each whole; the rest is dropped and counted") {
  UdpServer server(same);
  Pair p({"DEST=" + local(server.port()) + "/udp", "SOXCONF=proto:0.3", "MAXIMA=links:1,memory:32m"},
         {"PORT=127.0.0.1:0/udp", "SOXCONF=proto:0.3", "MAXIMA=memory:32m"});
  Udp client(p.c->port());
  for (const size_t size : {1u, 512u, 1472u, 9000u, 16376u}) {
    CAPTURE(size);
    const std::string d = pattern(size, size);
    CHECK((client.ask(d, 5) == d));
  }
  client.send("");
  client.send(std::string(16377, 'x'));
  client.send(std::string(65507, 'x'));
  CHECK(client.ask("the flow goes on") == "the flow goes on");
  CHECK(at_ports(*p.c, "too_large") == 2);
  CHECK(figure(*p.c, "statistics-udp-links", "dropped_empty") == 1);
  CHECK(server.got().size() == 6);
}

TEST_CASE("UDP over 0.3 to a hand-made peer: one SEND is one datagram, larger ones are dropped") {
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0/udp", "MAXIMA=memory:32m,links:1"});
  Peer03 peer(a.link_port());
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  REQUIRE(a->wait_log(" link-up ", 5));
  Udp client(a.port());
  CHECK(client.ask("one") == "one");
  CHECK(client.ask("two") == "two");
  CHECK((client.ask(std::string(16376, 'x')) == std::string(16376, 'x')));
  client.send(std::string(16377, 'x'));
  CHECK(client.ask("three") == "three");
  CHECK(at_ports(a, "too_large") == 1);
  CHECK(peer.connects == 1);
  CHECK(peer.fault() == "");
}

TEST_CASE("UDP over 0.3: a peer that acknowledges nothing: 4 packets, then drops that are counted; others are served") {
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0/udp", "MAXIMA=memory:32m,links:1"});
  Peer03 peer(a.link_port());
  peer.acks = false;
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  REQUIRE(a->wait_log(" link-up ", 5));
  Udp stuck(a.port());
  CHECK(stuck.ask("first") == "first");
  for (int i = 0; i < 12; ++i) stuck.send(std::string(16000, 'x'));
  CHECK(wait_for([&] { return at_ports(a, "late") > 0; }, 5));
  Udp other(a.port());
  CHECK(other.ask("hello", 5) == "hello");
  CHECK(stuck.got().size() < 8);
  peer.ack_all();
  CHECK(wait_for([&] { return stuck.ask("again", 0.3) == "again"; }, 5));
  CHECK(peer.fault() == "");
}

TEST_CASE("UDP over 0.3: a peer's channel to our UDP server; what the server sends is one SEND each") {
  UdpServer server(same);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(server.port()) + "/udp"});
  Peer03 peer(a.link_port());
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  const unsigned id = peer.open("with CONNECT");
  CHECK(wait_for([&] { return peer.received(id) == "with CONNECT"; }, 5));
  peer.send(id, "|a");
  peer.send(id, "");  // a datagram, too; its echo cannot be said in 0.3
  peer.send(id, "|b");
  CHECK(wait_for([&] { return peer.received(id) == "with CONNECT|a|b"; }, 5));
  CHECK(server.got() == Words{"with CONNECT", "|a", "", "|b"});
  CHECK(figure(a, "statistics-udp-links", "dropped_empty") == 1);
  peer.close(id);
  CHECK(wait_for([&] { return peer.closed(id); }, 5));
  CHECK(a.wait_channels(0, 5));
  CHECK(peer.fault() == "");
}

TEST_CASE("UDP over 0.3: the first match decides, whatever the client is") {
  // A UDP client's channel that reaches a TCP server: its datagrams become that stream.
  Server server(echoes);
  Pair p({"DEST=" + local(server.port()), "SOXCONF=proto:0.3"}, {"PORT=127.0.0.1:0/udp", "SOXCONF=proto:0.3"});
  Udp client(p.c->port());
  CHECK(client.ask("into a stream") == "into a stream");
  // and the reverse
  UdpServer udp(same);
  Pair q({"DEST=" + local(udp.port()) + "/udp", "SOXCONF=proto:0.3"}, {"PORT=127.0.0.1:0", "SOXCONF=proto:0.3"});
  Conn tcp(q.c->port());
  tcp.send("into a datagram");
  CHECK(wait_for([&] { return tcp.text() == "into a datagram"; }, 5));
  CHECK(udp.got() == Words{"into a datagram"});
}

// ---- what nobody should send

TEST_CASE("UDP: pieces of two datagrams mixed, and one that is too long, end the link with BYE 81; the daemon goes on") {
  const std::string connect = std::string("\x02\x02\x07\x04\x7f\0\0\x01\x23\x3f", 10);
  for (const bool mixed : {true, false}) {
    UdpServer server(same);
    Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(server.port()) + "/udp"});
    {
      Peer1 peer(a.link_port());
      REQUIRE(wait_for([&] { return peer.up(); }, 5));
      peer.numbered(0x02, 1, 0xffff, connect);
      peer.numbered(0x02, 2, 0xffff, connect);
      if (mixed) {
        peer.numbered(0x23, 1, 0xffff, "part");
        peer.numbered(0x22, 2, 0xffff, "other");
      } else {
        for (int i = 0; i < 5; ++i) peer.numbered(0x23, 1, 0xffff, std::string(16376, 'x'));
      }
      CHECK(wait_for([&] { return peer.bye() == 0x81; }, 5));
      CHECK(wait_for([&] { return peer.over(); }, 5));
    }
    CHECK(server.got().empty());
    Daemon c({"SERVER=sockmux://" + local(a.link_port()), "PORT=127.0.0.1:0/udp"});
    REQUIRE(c->wait_log(" link-up ", 5));
    Udp client(c.port());
    CHECK(client.ask("hello") == "hello");
  }
}
