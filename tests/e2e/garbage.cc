// Whatever comes into the port for links: it ends that connection with a line in the log, and nothing else.
// Read next: peer.h.
#include <doctest/doctest.h>

#include <random>

#include "tests/e2e/peer.h"

using namespace e2e;

namespace {

std::string zero_ended(const std::string& s) { return s + std::string(1, '\0'); }

std::string random_bytes(unsigned seed, size_t size) {
  std::mt19937 random(seed);
  std::string s;
  while (s.size() < size) s.push_back(static_cast<char>(random()));
  return s;
}

// A pair that forwards, and what must hold after each attack.
struct Victim {
  Server server{echoes};
  Pair pair{{"PORT=127.0.0.1:0"}, {"PORT=127.0.0.1:0", "DEST=" + local(server.port())}};
  Victim() { CHECK(serves(pair.a->port(), 5)); }

  void check() {
    CHECK((*pair.a)->running());
    CHECK((*pair.c)->running());
    CHECK(serves(pair.a->port(), 2));
    CHECK((*pair.c)->count(" link-down ") == 0);
  }
  // Sends it to the port for links, and waits until that connection is ended from there.
  void attack(const char* name, const std::string& bytes) {
    CAPTURE(name);
    const size_t from = (*pair.a)->log().size();
    Conn c(pair.a->link_port());
    c.send(bytes);
    CHECK(wait_for([&] { return c.over(); }, 2));
    CHECK((*pair.a)->wait_log(" link-failed ", 2, from));
    CHECK((*pair.a)->says(" reason=", from));
    check();
  }
};

}  // namespace

TEST_CASE("garbage at the port for links ends that connection at once, is logged, and disturbs nobody") {
  Victim v;
  v.attack("HTTP", "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0\r\n\r\n");
  v.attack("TLS", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + random_bytes(1, 200));
  v.attack("ssh", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
  v.attack("random", random_bytes(2, 100000));
  v.attack("encrypted HELLO", packet(0x83, kHello, 0, 0, zero_ended("20260102-030405.678901 x")));
  v.attack("version 4", packet(4, kHello, 0, 0, zero_ended("20260102-030405.678901 x")));
  v.attack("SEND first", packet(3, kSend, 2, 2, "data"));
  v.attack("HELLO without end", packet(3, kHello, 0, 0, std::string(2000, 'x')));
  v.attack("longest length", std::string("\x03\x06\0\0\0\0\xff\xff", 8) + random_bytes(3, 70000));
  v.attack("SETTINGS first", packet(0x10, kSettings, 0xffff, 0xffff, random_bytes(4, 46)));
  v.attack("zeros", std::string(5000, '\0'));
}

TEST_CASE("a port scan that connects and closes or resets disturbs nobody") {
  Victim v;
  for (int i = 0; i < 100; ++i) {
    Conn c(v.pair.a->link_port());
    REQUIRE(wait_for([&] { return c.connected() || c.over(); }, 2));
    if (i % 2 == 0) c.close(); else c.reset();
  }
  CHECK((*v.pair.a)->wait_log(" link-failed ", 2));
  v.check();
  // So many lines cannot fill a disk.
  CHECK((*v.pair.a)->count(" link-failed ") <= 20);
}

TEST_CASE("who connects and says nothing keeps no place: 40 of them, and a peer still gets in") {
  Victim v;
  std::vector<std::unique_ptr<Conn>> silent;
  for (int i = 0; i < 40; ++i) silent.push_back(std::make_unique<Conn>(v.pair.a->link_port()));
  CHECK(wait_for([&] {
    for (auto& c : silent)
      if (!c->connected() && !c->over()) return false;
    return true;
  }, 5));
  v.check();
  Daemon another({"SERVER=sockmux://" + local(v.pair.a->link_port()), "DEST=" + local(v.server.port())});
  CHECK(another->wait_log(" link-up ", 2));
  v.check();
}

TEST_CASE("a peer that has not said who it is is ended after TIMEOUT=hello") {
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "TIMEOUT=hello:1", "PORT=127.0.0.1:0"});
  Conn silent(a.link_port());
  CHECK(wait_for([&] { return silent.over(); }, 2));
  CHECK(a->wait_log("no handshake in time", 2));
}

TEST_CASE("0.3: a bad packet in an established link ends that link, and no other") {
  Victim v;
  struct Bad {
    const char* name;
    std::string bytes;
  };
  const Bad bads[] = {
      {"version", packet(4, kSend, 2, 2, "x")},
      {"encryption", packet(3, kCrypton, 0xff, 0xff, "")},
      {"SEND to nobody", packet(3, kSend, 5, 200, "x")},
      {"SEND to none", packet(3, kSend, 5, 0xff, "x")},
      {"CONNECTED that nobody asked for", packet(3, kConnected, 5, 9, zero_ended("1 a:1 b:2"))},
      {"CONNECT without text", packet(3, kConnect, 5, 0xff, "")},
      {"CONNECT without NUL", packet(3, kConnect, 5, 0xff, "98304 127.0.0.1:1 127.0.0.1:2")},
      {"CONNECT from none", packet(3, kConnect, 0xff, 0xff, zero_ended("98304 127.0.0.1:1 127.0.0.1:2"))},
      {"HELLO again", packet(3, kHello, 0, 0, zero_ended("20260102-030405.678901 new"))},
      {"length", std::string("\x03\x06\0\x05\0\x05\xff\xff", 8) + std::string(70000, 'x')},
      {"random", random_bytes(7, 50000)},
  };
  for (const Bad& b : bads) {
    CAPTURE(std::string(b.name));
    const size_t from = (*v.pair.a)->log().size();
    Peer03 peer(v.pair.a->link_port());
    REQUIRE(wait_for([&] { return peer.up(); }, 5));
    REQUIRE((*v.pair.a)->wait_log(" link-up ", 5, from));
    peer.raw(b.bytes);
    CHECK(wait_for([&] { return peer.over(); }, 2));
    CHECK((*v.pair.a)->wait_log(" link-down ", 2, from));
    CHECK((*v.pair.a)->says("reason=", from));
    v.check();
  }
}

TEST_CASE("0.3: what the page lets pass does not end a link: unknown types and options, late answers") {
  Victim v;
  Peer03 peer(v.pair.a->link_port());
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  const std::string harmless[] = {
      packet(3, 0x77, 0xff, 0xff, "unknown"),        packet(3, kSetopt, 0xff, 0xff, "\x63value"),
      packet(3, kNoop, 0xff, 0xff, ""),              packet(3, kNoop, 0xff, 0xff, "ignored"),
      packet(3, kSent, 5, 200, zero_ended("12")),    packet(3, kClosed, 5, 200, zero_ended("OK closed")),
      packet(3, kClose, 5, 200, zero_ended("late")), packet(3, kHellook, 0, 0, zero_ended("20260102-030405.678901 x")),
      packet(3, kSetopt, 0xff, 0xff, std::string("\x01\x01\x02\x03", 4)),
  };
  for (const std::string& bytes : harmless) peer.raw(bytes);
  const unsigned id = peer.open("still here");
  (void)id;
  // Whom the channel reaches is the victim's affair; that it is answered shows that the link stands.
  CHECK(wait_for([&] { return peer.closed(id) || peer.opened(id); }, 2));
  CHECK_FALSE(peer.over());
  peer.link().reset();  // else clients are handed to it, too
  CHECK((*v.pair.a)->wait_log(" link-down ", 2));
  v.check();
}

TEST_CASE("1: a bad packet in an established link ends it with BYE \"protocol error\", and no other") {
  Victim v;
  struct Bad {
    const char* name;
    std::string bytes;
  };
  const std::string good_connect = "\x01" + std::string("\x01\x07\x04\xc0\xa8\x01\x14\xc3\xd6\x02\x07\x04\xc0\xa8\x01\x01\x23\x3f", 18);
  const Bad bads[] = {
      {"byte 0", packet(0x12, kSend, 2, 0xffff, "x")},
      {"SEND to nobody", packet(0x11, kSend, 5, 0xffff, "x")},
      {"CREDIT to nobody", packet(0x11, kCredit, 5, 0xffff, be32(1000))},
      {"FIN to nobody", packet(0x11, kFin, 0xffff, 5, "")},
      {"CONNECT with a wrong kind", packet(0x11, kConnect, 1, 0xffff, "\x77")},
      {"CONNECT beyond the limit", packet(0x11, kConnect, 60000, 0xffff, good_connect)},
      {"CONNECT twice", packet(0x11, kConnect, 1, 0xffff, good_connect) + packet(0x11, kConnect, 1, 0xffff, good_connect)},
      {"more than credit", packet(0x11, kConnect, 1, 0xffff, good_connect) + packet(0x11, kSend, 1, 0xffff, std::string(16000, 'x'))},
      {"CREDIT of nothing", packet(0x11, kConnect, 1, 0xffff, good_connect) + packet(0x11, kCredit, 1, 0xffff, be32(0))},
      {"ACK of what was never sent", packet(0x10, kAck, 0xffff, 0xffff, be64(1u << 30))},
      {"another HELLO", packet(3, kHello, 0xffff, 0xffff, zero_ended("20260102-030405.678901 by-hand smx/1:12345678"))},
      {"length", std::string("\x11\x06\0\x05\xff\xff\xff\xff", 8) + std::string(70000, 'x')},
      {"random", random_bytes(9, 50000)},
  };
  for (const Bad& b : bads) {
    CAPTURE(std::string(b.name));
    const size_t from = (*v.pair.a)->log().size();
    Peer1 peer(v.pair.a->link_port());
    REQUIRE(wait_for([&] { return peer.up(); }, 5));
    REQUIRE((*v.pair.a)->wait_log(" link-up ", 5, from));
    peer.raw(b.bytes);
    CHECK(wait_for([&] { return peer.over(); }, 2));
    CHECK(peer.link().error() == 0);
    CHECK(peer.bye() == 0x81);
    CHECK((*v.pair.a)->wait_log(" link-down ", 2, from));
    v.check();
  }
}
