// SockMux 1 with peers that shake hands and then break the rules: each hears why by BYE and costs one line of the log; its
// memory and descriptors come back, and the link beside it goes on. Read next: peer.h; garbage.cc, for 0.3 and for whoever
// does not even shake hands.
#include <doctest/doctest.h>

#include <random>

#include "tests/e2e/peer.h"

using namespace e2e;

namespace {

constexpr unsigned kNone = 0xffff;
constexpr uint8_t kDgram = 0x22, kPart = 0x23, kRepeat = 0x12;

std::string connect(unsigned n) { return numbered(kConnect, n, kNone, connect_fields(1)); }
std::string send(unsigned n, size_t size) { return numbered(kSend, n, kNone, std::string(size, 'x')); }
std::string fin(unsigned n) { return numbered(kFin, n, kNone); }
std::string close(unsigned n, char code) { return numbered(kClose, n, kNone, std::string(1, code)); }
// A header alone, whose payload may be of any length.
std::string header(uint8_t version, uint8_t type, unsigned said, unsigned raid, unsigned length) {
  return packet(version, type, said, raid, "").substr(0, 6) + be16(length);
}

// Accepts links and serves what they open; one good link has a channel that must go on.
struct Victim {
  Server server{echoes};
  Pair pair;
  std::unique_ptr<Conn> steady;
  size_t said = 0, descriptors = 0, echoed = 0;

  explicit Victim(const Words& more = {}) : pair(words(more), {"DEST=" + local(server.port())}) {
    steady = std::make_unique<Conn>(a().port());
    check_good();
    descriptors = a().descriptors();
  }
  Words words(const Words& more) {
    Words w = {"PORT=127.0.0.1:0", "DEST=" + local(server.port())};
    w.insert(w.end(), more.begin(), more.end());
    return w;
  }
  Daemon& a() { return *pair.a; }
  void check_good() {
    CHECK(a()->running());
    steady->send("beat");
    echoed += 4;
    CHECK(wait_for([&] { return steady->text().size() == echoed; }, 5));
    CHECK((*pair.c)->count(" link-down ") == 0);
    CHECK((*pair.c)->running());
  }
  // All that the peer had is given back.
  void check_left(size_t from, const std::string& reason, const std::string& head, size_t refused = 0) {
    CHECK(a()->wait_log(" link-down ", 2, from));
    const std::string log = a()->log().substr(from);
    CHECK(count_of(log, " channel-refused ") == refused);
    CHECK(count_of(log, "\n") == 2 + refused);  // link-up, link-down
    CHECK(count_of(log, " link-up ") == 1);
    const std::string line = log.substr(log.find(" link-down "));
    CHECK_MESSAGE(line.find("reason=\"" + reason) != std::string::npos, line);
    CHECK_MESSAGE(line.find(head) != std::string::npos, line);
    check_good();
    CHECK(wait_for([&] { return a().descriptors() == descriptors; }, 5));
    const std::string now = a().statistics();
    CHECK(Daemon::value(now, "allocations") == 0);
    CHECK(count_of(now, " blocks=0") == 1);
    CHECK(count_of(now, " channels=1 ") == 2);  // of the good link, and of all
  }
};

struct Bad {
  const char* name;
  std::string bytes;
  const char* reason;
  int bye = 0x81;
  size_t refused = 0;  // channels that no server is for
};

// By turns on several victims, since a daemon writes 20 lines of one event in 10 s at most.
struct Victims {
  Words more = {};
  std::unique_ptr<Victim> now = nullptr;
  int attacks = 0;
  Victim& next() {
    if (attacks++ % 18 == 0) now = std::make_unique<Victim>(more);
    return *now;
  }
};

void attack(Victims& victims, const Bad& b) {
  CAPTURE(std::string(b.name));
  Victim& v = victims.next();
  const size_t from = v.a()->log().size();
  Peer1 peer(v.a().link_port());
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  REQUIRE(v.a()->wait_log(" link-up ", 5, from));
  peer.raw(b.bytes);
  CHECK(wait_for([&] { return peer.over(); }, 2));
  CHECK(peer.link().error() == 0);
  CHECK(peer.bye() == b.bye);
  CHECK(peer.byes() == 1);
  peer.link().close();
  v.check_left(from, b.reason, "(version ", b.refused);
}

}  // namespace

TEST_CASE("bad peers: lengths, ids, first bytes and types that are not in the page's table") {
  Victims v;
  struct Row {
    uint8_t version, type;
    unsigned least, most;
    char ids;  // - none, o opener, a acceptor, e either
  };
  const Row rows[] = {
      {0x10, kSettings, 12, 230, '-'}, {0x10, kAck, 8, 8, '-'},        {0x10, kEcho, 8, 8, '-'},        {0x10, kEchook, 8, 8, '-'},
      {0x10, kBye, 1, 201, '-'},       {0x11, kConnect, 1, 1024, 'o'}, {0x11, kConnected, 0, 1024, 'a'}, {0x11, kSend, 1, 16376, 'e'},
      {0x11, kSendoob, 1, 1, 'e'},     {0x11, kCredit, 4, 4, 'e'},     {0x11, kRefund, 4, 4, 'e'},      {0x11, kFin, 0, 0, 'e'},
      {0x11, kDgram, 0, 16376, 'e'},   {0x11, kPart, 1, 16376, 'e'},   {0x11, kBind, 1, 1024, 'o'},     {0x11, kBindok, 0, 1024, 'a'},
      {0x11, kClose, 1, 201, 'e'},
  };
  for (const Row& r : rows) {
    CAPTURE(r.type);
    const unsigned said = r.ids == 'o' || r.ids == 'e' ? 7 : kNone, raid = r.ids == 'a' ? 7 : kNone;
    const char* length = "packet length out of bounds";
    if (r.least > 0) attack(v, {"too short", header(r.version, r.type, said, raid, r.least - 1), length});
    attack(v, {"too long", header(r.version, r.type, said, raid, r.most + 1), length});
    attack(v, {"first byte", header(r.version == 0x10 ? 0x11 : 0x10, r.type, said, raid, r.least), "wrong protocol version"});
    attack(v, {"both ids", header(r.version, r.type, 7, 7, r.least), "channel number does not exist"});
    if (r.ids != '-') attack(v, {"no id", header(r.version, r.type, kNone, kNone, r.least), "channel number does not exist"});
    if (r.ids == 'o' || r.ids == 'a')
      attack(v, {"the other id", header(r.version, r.type, raid, said, r.least), "channel number does not exist"});
  }
  attack(v, {"0.3", packet(3, kSend, 2, 2, "x"), "wrong protocol version"});
  attack(v, {"encrypted", packet(0x83, kSend, 2, 2, "x"), "peer wants DeleGate"});
  attack(v, {"a type of 80 and above", numbered(0x80, 1, kNone, "x"), "unknown packet type", 0x82});
  attack(v, {"the last type", unnumbered(0xff, "x"), "unknown packet type", 0x82});
  attack(v, {"an unknown type that is too long", header(0x11, 0x7f, 1, kNone, 16377), "packet length out of bounds"});
  attack(v, {"the longest length", header(0x11, kSend, 5, kNone, 0xffff) + std::string(70000, 'x'), "packet length out of bounds"});
  std::mt19937 random(9);
  std::string noise;
  while (noise.size() < 50000) noise.push_back(static_cast<char>(random()));
  noise[0] = '\x77';
  attack(v, {"random", noise, "packet length out of bounds"});
}

TEST_CASE("bad peers: packets that a channel or a link must not get, credit, ACK, numbers") {
  Victims v{{"MAXIMA=channels:50"}};
  const char* const state = "packet out of order";
  const char* const id = "channel number does not exist";
  const char* const credit = "more data than credit";
  const std::string flow = numbered(kConnect, 1, kNone, connect_fields(2));
  std::string every;
  for (unsigned n = 0; n < 50; ++n) every += connect(n) + send(n, 10);
  const Bad bads[] = {
      {"SEND to nobody", send(5, 1), id},
      {"SEND to one of ours that is not there", numbered(kSend, kNone, 5, "x"), id},
      {"SENDOOB to nobody", numbered(kSendoob, 5, kNone, "x"), id},
      {"CREDIT to nobody", numbered(kCredit, 5, kNone, be32(1000)), id},
      {"REFUND to nobody", numbered(kRefund, 5, kNone, be32(1)), id},
      {"FIN to nobody", numbered(kFin, kNone, 5), id},
      {"CLOSE to nobody", close(5, 1), id},
      {"DGRAM to nobody", numbered(kDgram, 5, kNone, "x"), id},
      {"CONNECTED that nobody asked for", numbered(kConnected, kNone, 5), id},
      {"BINDOK that nobody asked for", numbered(kBindok, kNone, 5), id},
      {"a number in use", connect(1) + connect(1), state},
      {"a number whose CLOSE is not answered", connect(1) + close(1, 1) + connect(1), state},
      {"a BIND of a number in use", connect(1) + numbered(kBind, 1, kNone, connect_fields(1)), state},
      {"a number at the limit", connect(50), id},
      {"a number beyond every limit", connect(60000), id},
      {"one channel more than there may be", every + connect(50), id},
      {"opens all, and then breaks a rule", every + send(51, 1), id},
      {"data behind FIN", connect(1) + fin(1) + send(1, 1), state},
      {"an urgent byte behind FIN", connect(1) + fin(1) + numbered(kSendoob, 1, kNone, "x"), state},
      {"FIN twice", connect(1) + fin(1) + fin(1), state},
      {"behind CLOSE", connect(1) + close(1, 1) + send(1, 1), state},
      {"CLOSE twice", connect(1) + close(1, 1) + close(1, 1), state},
      {"CLOSE 0 before our FIN", connect(1) + fin(1) + close(1, 0), state},
      {"a datagram on a TCP channel", connect(1) + numbered(kDgram, 1, kNone, "x"), state},
      {"a piece on a TCP channel", connect(1) + numbered(kPart, 1, kNone, "x"), state},
      {"CREDIT for a flow", flow + numbered(kCredit, 1, kNone, be32(1)), state, 0x81, 1},
      {"data in a flow", flow + send(1, 1), state, 0x81, 1},
      {"FIN of a flow", flow + fin(1), state, 0x81, 1},
      {"CONNECT without an address", numbered(kConnect, 1, kNone, "\x01"), "bad field"},
      {"CONNECT with a field cut short", numbered(kConnect, 1, kNone, connect_fields(1) + "\x03\x05x"), "bad field"},
      {"CONNECT with a field twice", numbered(kConnect, 1, kNone, connect_fields(1) + connect_fields(1).substr(1)), "bad field"},
      {"more than credit", connect(1) + send(1, 16000), credit},
      {"one byte more than credit and window", connect(1) + send(1, 16376) + send(1, 16376) + send(1, 16376) + send(1, 16376) + send(1, 16376), credit},
      {"CREDIT of nothing", connect(1) + numbered(kCredit, 1, kNone, be32(0)), credit},
      {"CREDIT to 2^31", connect(1) + numbered(kCredit, 1, kNone, be32(0x80000000u - 65536)), credit},
      {"REFUND of nothing", connect(1) + numbered(kRefund, 1, kNone, be32(0)), credit},
      {"REFUND of more than is out", connect(1) + numbered(kRefund, 1, kNone, be32(1u << 20)), credit},
      {"ACK of what was never sent", unnumbered(kAck, be64(1u << 30)), "acknowledges what was never sent"},
      {"ACK of everything", unnumbered(kAck, std::string(8, '\xff')), "acknowledges what was never sent"},
      {"REPEAT, on a link that loses nothing", unnumbered(kRepeat, be64(0) + be64(1)), "unknown packet type"},
      {"HELLOOK", packet(3, kHellook, kNone, kNone, std::string("x") + '\0'), state},
  };
  for (const Bad& b : bads) attack(v, b);
}

TEST_CASE("bad peers: another HELLO on a link that is up") {
  Victim v;
  const size_t from = v.a()->log().size();
  Peer1 peer(v.a().link_port());
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  peer.raw(connect(1) + packet(3, kHello, kNone, kNone, std::string("20260102-030405.678901 by-hand smx/1:12345678") + '\0'));
  CHECK(wait_for([&] { return peer.over(); }, 2));
  CHECK(peer.bye() == 0x81);
  peer.link().close();
  v.check_left(from, "peer has started anew", "");
}

TEST_CASE("bad peers: ACK in the middle of a packet") {
  Victim v;
  const size_t from = v.a()->log().size();
  Peer1 peer(v.a().link_port());
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  peer.raw(connect(1) + send(1, 5));
  REQUIRE(wait_for([&] { return peer.find(kSend, kNone, 1) != nullptr; }, 5));
  peer.raw(unnumbered(kAck, be64(1)));
  CHECK(wait_for([&] { return peer.over(); }, 2));
  CHECK(peer.bye() == 0x81);
  peer.link().close();
  v.check_left(from, "acknowledges what was never sent", "(version 10 type 11 ids ffff ffff length 8)");
}

TEST_CASE("bad peers: whoever stops in the middle of a packet is asked, hears BYE \"timed out\", and is gone") {
  Victim v({"TIMEOUT=ping:1"});
  const size_t from = v.a()->log().size();
  const std::string whole = connect(1);
  const std::string parts[] = {whole.substr(0, 1), whole.substr(0, 7), whole.substr(0, 8), whole.substr(0, whole.size() - 1)};
  std::vector<std::unique_ptr<Peer1>> peers;
  for (const std::string& part : parts) {
    Peer1::Ask ask;
    ask.attempt = uint64_t{peers.size() + 1} << 32 | 1;
    peers.push_back(std::make_unique<Peer1>(v.a().link_port(), ask));
    Peer1& p = *peers.back();
    REQUIRE(wait_for([&] { return p.up(); }, 5));
    p.answers = false;
    p.raw(part);
  }
  CHECK(wait_for([&] {
    for (auto& p : peers)
      if (!p->over()) return false;
    return true;
  }, 20));
  for (auto& p : peers) {
    CHECK(p->link().error() == 0);
    CHECK(p->bye() == 0x03);
    p->link().close();
  }
  CHECK(wait_for([&] { return v.a()->count(" link-down ") == peers.size(); }, 2));
  const std::string log = v.a()->log().substr(from);
  CHECK(count_of(log, "reason=\"peer is silent") == peers.size());
  CHECK(count_of(log, "\n") == 2 * peers.size());
  v.check_good();
  CHECK(wait_for([&] { return v.a().descriptors() == v.descriptors; }, 5));
}

TEST_CASE("bad peers: sessions that are not theirs, positions that never were, asks that come late") {
  Victim v;
  std::string own, other(16, 'z');
  {
    // One that nobody knows: it gets a new one.
    Peer1::Ask ask;
    ask.session = other;
    ask.received = 1000;
    ask.hold = 60;
    Peer1 peer(v.a().link_port(), ask);
    REQUIRE(wait_for([&] { return peer.up(); }, 5));
    own = peer.session();
    CHECK(own != other);
    peer.raw(connect(1) + send(1, 5));
    REQUIRE(wait_for([&] { return peer.find(kSend, kNone, 1) != nullptr; }, 5));
    peer.link().reset();
  }
  REQUIRE(v.a()->wait_log("held=yes", 5));
  struct Try {
    const char* name;
    uint64_t attempt, received;
    int bye;
    const char* reason;
  };
  // Its own, in turn: an ask that is late; another process, which gets a new session.
  const Try tries[] = {
      {"late", 0x1122334400000001, 0, 0x02, "late: a newer link"},
      {"more than was ever sent", 0x1122334400000002, 1u << 20, 0x84, "peer lacks packets"},
  };
  for (const Try& t : tries) {
    CAPTURE(std::string(t.name));
    const size_t from = v.a()->log().size();
    Peer1::Ask ask;
    ask.session = own;
    ask.attempt = t.attempt;
    ask.received = t.received;
    Peer1 peer(v.a().link_port(), ask);
    CHECK(wait_for([&] { return peer.over(); }, 5));
    CHECK(peer.bye() == t.bye);
    CHECK(v.a()->wait_log(std::string("reason=\"") + t.reason, 2, from));
    CHECK(count_of(v.a()->log().substr(from), "reason=") == 1);
    v.check_good();
  }
  const size_t from = v.a()->log().size();
  Peer1::Ask ask;
  ask.session = own;
  ask.attempt = 0x9999999900000001;
  Peer1 peer(v.a().link_port(), ask);
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  CHECK(peer.session() != own);
  CHECK(v.a()->wait_log("resumed=no", 2, from));
  v.check_good();
}
