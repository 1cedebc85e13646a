// Datagrams that leave together: who goes with whom, in which order, and what is done when the system takes none of them.
#include <doctest/doctest.h>
#include <errno.h>
#include <poll.h>

#include <string>
#include <vector>

#include "core/io/socket.h"
#include "core/io/udp.h"
#include "core/io/udp_batch.h"
#include "tests/loop.h"

using namespace smx;

namespace {

using Words = std::vector<std::string>;

// Writes down what it is told to send: "abc", or "abc+abc+ab" of what goes together.
struct Sender final : UdpSender {
  void send_one(const Bytes* piece, int pieces) override {
    std::string all;
    for (int i = 0; i < pieces; ++i) all += as_text(piece[i]);
    sent.push_back(all);
  }
  int send_joined(Bytes all, size_t segment, int count) override {
    ++tried;
    if (error != 0) return error;
    std::string line;
    for (size_t at = 0; at < all.size; at += segment) line += (at == 0 ? "" : "+") + std::string(as_text(all).substr(at, segment));
    CHECK(static_cast<size_t>(count) == (all.size + segment - 1) / segment);
    sent.push_back(line);
    return 0;
  }
  Words sent;
  int error = 0, tried = 0;
};

struct Fixture {
  explicit Fixture(bool joins = true) { REQUIRE(batch.init(joins, loop.arena)); }
  void add(Sender& to, const std::string& datagram) {
    const Bytes piece = as_bytes(datagram);
    batch.add(to, &piece, 1);
  }
  void turn() { loop.reactor.turn(Duration{0}); }
  smxtest::Loop loop{static_cast<size_t>(UdpBatch::arena_bytes())};
  UdpBatch batch{loop.reactor};
  Sender a, b;
};

}  // namespace

TEST_CASE("UDP batch: datagrams of one size wait for the end of the turn, and go together") {
  Fixture f;
  for (const char* d : {"one", "two", "six"}) f.add(f.a, d);
  CHECK(f.a.sent.empty());
  f.turn();
  CHECK(f.a.sent == Words{"one+two+six"});
  f.turn();
  CHECK(f.a.sent.size() == 1);
}

TEST_CASE("UDP batch: a single one is sent as such; its pieces become one") {
  Fixture f;
  const Bytes piece[] = {as_bytes("ab"), {}, as_bytes("c")};
  f.batch.add(f.a, piece, 3);
  f.turn();
  CHECK(f.a.sent == Words{"abc"});
  CHECK(f.a.tried == 0);
}

TEST_CASE("UDP batch: a shorter one is the last; a longer one begins anew; the order stays") {
  Fixture f;
  for (const char* d : {"1111", "2222", "33", "44", "5555", "", "6666", "7777"}) f.add(f.a, d);
  f.turn();
  CHECK(f.a.sent == Words{"1111+2222+33", "44", "5555", "", "6666+7777"});
}

TEST_CASE("UDP batch: another sender's datagram lets go what is there; one that leaves takes its own along") {
  Fixture f;
  f.add(f.a, "a1");
  f.add(f.a, "a2");
  f.add(f.b, "b1");
  CHECK(f.a.sent == Words{"a1+a2"});
  f.batch.leave(f.a);
  CHECK(f.b.sent.empty());
  f.batch.leave(f.b);
  CHECK(f.b.sent == Words{"b1"});
  f.turn();
  CHECK(f.b.sent.size() == 1);
}

TEST_CASE("UDP batch: at most 64 and 32 KiB together, and none that is longer than Ethernet's") {
  Fixture f;
  for (int i = 0; i < 65; ++i) f.add(f.a, "x");
  CHECK(f.a.sent.size() == 1);
  CHECK(f.a.sent[0].size() == 64 + 63);
  f.turn();
  REQUIRE(f.a.sent.size() == 2);
  CHECK(f.a.sent[1] == "x");
  const std::string long_one(1472, 'y'), too_long(1473, 'z');
  f.a.sent.clear();
  for (int i = 0; i < 23; ++i) f.add(f.a, long_one);
  REQUIRE(f.a.sent.size() == 1);
  CHECK(f.a.sent[0].size() == 22 * 1472 + 21);
  f.add(f.a, too_long);
  CHECK((f.a.sent == Words{f.a.sent[0], long_one, too_long}));
}

TEST_CASE("UDP batch: what the system does not take together goes one by one") {
  Fixture f;
  for (const int error : {ECONNREFUSED, EAGAIN, EMSGSIZE}) {
    CAPTURE(error);
    f.a = Sender();
    f.a.error = error;
    for (const char* d : {"11", "22", "3"}) f.add(f.a, d);
    f.turn();
    CHECK(f.a.sent == Words{"11", "22", "3"});
    CHECK(f.a.tried == 1);
  }
  // The way does not take joined ones: not tried with each again, but after a while.
  f.a.sent.clear();
  f.a.error = 0;
  for (int i = 0; i < 255; ++i) f.add(f.a, "yy");
  CHECK(f.a.sent.size() == 255);
  CHECK(f.a.tried == 1);
  f.add(f.a, "yy");
  f.add(f.a, "yy");
  f.turn();
  CHECK(f.a.sent.back() == "yy+yy");
}

TEST_CASE("UDP batch: where the system cannot, each goes at once") {
  Fixture f(false);
  f.add(f.a, "11");
  f.add(f.a, "22");
  CHECK(f.a.sent == Words{"11", "22"});
}

TEST_CASE("UDP: joined datagrams come as single ones, from the address that is asked for") {
  if (!udp_joins()) {
    MESSAGE("this system joins none");
    return;
  }
  for (const char* host : {"127.0.0.1:0", "[::1]:0"}) {
    CAPTURE(host);
    Address any, own;
    REQUIRE(parse_ip_port(host, &any));
    int error = 0;
    const Fd from = listen_udp(any, &error), to = listen_udp(any, &error);
    if (!to.valid() && any.family == 6) continue;  // a system without IPv6
    REQUIRE(to.valid());
    own = any;
    if (any.family == 4) own.ip[3] = 7;  // 127.0.0.7: the socket is bound to 127.0.0.1, but the datagram says otherwise
    const Bytes all = as_bytes("11112222333344");
    REQUIRE(send_udp_to(from.get(), &all, 1, local_address(to.get()), own, 0, 4) == 0);
    for (const char* expected : {"1111", "2222", "3333", "44"}) {
      uint8_t room[64];
      const MutBytes piece{room, sizeof room};
      pollfd wait{to.get(), POLLIN, 0};
      REQUIRE(poll(&wait, 1, 5000) == 1);
      const Datagram d = receive_udp(to.get(), &piece, 1);
      CHECK(as_text({room, d.size}) == expected);
      CHECK(same_ip(d.from, own));
      CHECK(d.from.port == local_address(from.get()).port);
    }
    // Connected: the same without an address.
    const Fd connected = connect_udp(local_address(to.get()), Address{}, &error);
    REQUIRE(connected.valid());
    REQUIRE(send_udp(connected.get(), &all, 1, 10) == 0);
    for (const char* expected : {"1111222233", "3344"}) {
      uint8_t room[64];
      const MutBytes piece{room, sizeof room};
      pollfd wait{to.get(), POLLIN, 0};
      REQUIRE(poll(&wait, 1, 5000) == 1);
      CHECK(as_text({room, receive_udp(to.get(), &piece, 1).size}) == expected);
    }
  }
}
