// Whatever comes into the port for links: it ends that connection with a line in the log, and nothing else.
// Read next: peer.h; bad_peers.cc for SockMux 1.
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

TEST_CASE("0.3: a bad packet in an established link ends that link with one line in the log, and no other") {
  struct Bad {
    const char* name;
    std::string bytes;
    const char* reason;
  };
  const std::string words = zero_ended("98304 127.0.0.1:1 127.0.0.1:2");
  const char* const length = "packet length out of bounds";
  const char* const id = "channel number does not exist";
  const char* const state = "packet out of order";
  const char* const text = "malformed text";
  const auto packet_of = [](uint8_t type, size_t size) { return packet(3, type, 5, 5, std::string(size, 'x')); };
  std::vector<Bad> bads = {
      {"version", packet(4, kSend, 2, 2, "x"), "wrong protocol version"},
      {"version of SockMux 1", packet(0x11, kSend, 2, 2, "x"), "wrong protocol version"},
      {"encryption", packet(3, kCrypton, 0xff, 0xff, ""), "peer wants DeleGate's encryption"},
      {"encrypted", packet(0x83, kSend, 2, 2, "x"), "peer wants DeleGate's encryption"},
      {"SEND to nobody", packet(3, kSend, 5, 200, "x"), id},
      {"SEND to none", packet(3, kSend, 5, 0xff, "x"), id},
      {"SENDOOB to nobody", packet(3, kSendoob, 5, 200, "x"), id},
      {"an id of more than 8 bits", packet(3, kSend, 5, 256, "x"), id},
      {"CONNECTED that nobody asked for", packet(3, kConnected, 5, 9, zero_ended("1 a:1 b:2")), state},
      {"CONNECT without NUL", packet(3, kConnect, 5, 0xff, "98304 127.0.0.1:1 127.0.0.1:2"), text},
      {"CONNECT with two words", packet(3, kConnect, 5, 0xff, zero_ended("98304 127.0.0.1:1")), text},
      {"CONNECT with NUL too late", packet(3, kConnect, 5, 0xff, "98304 127.0.0.1:1 127.0.0.1:2" + std::string(512, ' ') + '\0'), text},
      {"CONNECT from none", packet(3, kConnect, 0xff, 0xff, words), id},
      {"CONNECT from an id of more than 8 bits", packet(3, kConnect, 256, 0xff, words), id},
      {"an id in use", packet(3, kConnect, 5, 0xff, words) + packet(3, kConnect, 5, 0xff, words), id},
      {"SENT without a number", packet(3, kSent, 5, 5, zero_ended("x")), text},
      {"SENT of 2^31", packet(3, kSent, 5, 5, zero_ended("2147483648")), text},
      {"SENTOOB without NUL", packet(3, kSentoob, 5, 5, "12"), text},
      {"HELLO again", packet(3, kHello, 0, 0, zero_ended("20260102-030405.678901 new")), "peer has started anew"},
      {"HELLO without anything", packet_of(kHello, 0), length},
      {"HELLO too long", packet_of(kHello, 321), length},
      {"HELLOOK without anything", packet_of(kHellook, 0), length},
      {"HELLOOK too long", packet_of(kHellook, 321), length},
      {"CONNECT too short", packet_of(kConnect, 3), length},
      {"CONNECTED too short", packet_of(kConnected, 3), length},
      {"SENT too short", packet_of(kSent, 1), length},
      {"SENT too long", packet_of(kSent, 17), length},
      {"SENTOOB too short", packet_of(kSentoob, 1), length},
      {"SENTOOB too long", packet_of(kSentoob, 17), length},
      {"CLOSE too long", packet_of(kClose, 1025), length},
      {"CLOSED too long", packet_of(kClosed, 1025), length},
      {"ECHO too long", packet_of(kEcho, 129), length},
      {"ECHOOK too long", packet_of(kEchook, 129), length},
      {"SETOPT without anything", packet_of(kSetopt, 0), length},
      {"SETOPT too long", packet_of(kSetopt, 1025), length},
  };
  for (const int type : {0x00, 0x02, 0x42, 0x06, 0x07, 0x0c, 0x77})
    bads.push_back({"one byte more than a packet", packet_of(static_cast<uint8_t>(type), 16377), length});
  bads.push_back({"the longest length", std::string("\x03\x06\0\x05\0\x05\xff\xff", 8) + std::string(70000, 'x'), length});
  bads.push_back({"random", random_bytes(7, 50000), length});
  std::unique_ptr<Victim> victim;
  size_t number = 0;
  for (const Bad& b : bads) {
    if (number++ % 18 == 0) victim = std::make_unique<Victim>();  // a daemon writes 20 lines of one event in 10 s
    Victim& v = *victim;
    CAPTURE(std::string(b.name));
    const size_t from = (*v.pair.a)->log().size();
    Peer03 peer(v.pair.a->link_port());
    REQUIRE(wait_for([&] { return peer.up(); }, 5));
    REQUIRE((*v.pair.a)->wait_log(" link-up ", 5, from));
    peer.raw(b.bytes);
    CHECK(wait_for([&] { return peer.over(); }, 2));
    CHECK((*v.pair.a)->wait_log(" link-down ", 2, from));
    const std::string log = (*v.pair.a)->log().substr(from);
    CHECK_MESSAGE(count_of(log, std::string("reason=\"") + b.reason) == 1, log);
    CHECK(count_of(log, " link-down ") == 1);
    CHECK(count_of(log, "\n") == 2 + count_of(log, "channel-refused"));
    peer.link().close();
    v.check();
    CHECK(v.pair.a->wait_channels(0, 5));
    CHECK(count_of(v.pair.a->statistics(), " blocks=0") == 1);
  }
}

TEST_CASE("0.3: who sends on without waiting for SENT ends its link, by its credit") {
  Server lazy(reads_nothing);
  Pair p({"PORT=127.0.0.1:0", "DEST=" + local(lazy.port())}, {"PORT=127.0.0.1:0"});
  Peer03 peer(p.a->link_port());
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  const unsigned id = peer.open();
  REQUIRE(wait_for([&] { return peer.opened(id); }, 5));
  // The server's socket takes some; then five packets stay with the daemon, and the next byte is one too many.
  const size_t from = (*p.a)->log().size();
  for (int i = 0; i < 2000 && !peer.over(); ++i) {
    peer.send(id, std::string(16376, 'x'));
    turn(0);
  }
  CHECK(wait_for([&] { return peer.over(); }, 5));
  CHECK((*p.a)->wait_log("more data than credit (version 03 type 06", 2, from));
  CHECK((*p.a)->running());
  CHECK(p.a->wait_channels(0, 5));
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
