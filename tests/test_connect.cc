// Names and connections: resolver, Connect, listening sockets, with the machine's own loopback.
#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "core/io/clock.h"
#include "core/io/connect.h"
#include "core/io/socket.h"
#include "tests/loop.h"

using namespace smx;

namespace {

struct Loop : smxtest::Loop {
  Resolver resolver{reactor};
};

struct Query : ResolveQuery {
  void on_resolved(const Resolved& r, Time) override {
    answer = r;
    ++answers;
  }
  Resolved answer;
  int answers = 0;
};

struct Owner : ConnectOwner {
  void on_connected(Fd f, const Address& a, Time) override {
    fd = static_cast<Fd&&>(f);
    to = a;
    ++connected;
  }
  void on_connect_failed(const ConnectFailure& f, Time) override {
    why = f;
    ++failed;
  }
  uint32_t fds_to_leave() override { return leaves; }
  uint32_t leaves = 0;
  Fd fd;
  Address to;
  ConnectFailure why;
  int connected = 0, failed = 0;
};

Address loopback(uint16_t port) {
  Address a;
  REQUIRE(parse_ip("127.0.0.1", &a));
  a.port = port;
  return a;
}

// A port of the loopback interface at which nobody listens.
uint16_t closed_port() {
  int error = 0;
  const Fd fd = listen_tcp(loopback(0), 1, &error);
  REQUIRE(error == 0);
  return local_address(fd.get()).port;
}

}  // namespace

TEST_CASE("an address in digits is answered at once and starts no process") {
  Loop l;
  Query q;
  Resolved now;
  CHECK(l.resolver.resolve(q, "192.0.2.7", 80, &now));
  CHECK(now.count == 1);
  CHECK(now.address[0].port == 80);
  CHECK(l.resolver.resolve(q, "::1", 81, &now));
  CHECK(now.address[0].family == 6);
  CHECK(l.reactor.fds_left() == 256);
}

TEST_CASE("localhost is found by the helper process, a name that cannot exist is not") {
  Loop l;
  Query good, bad;
  Resolved now;
  REQUIRE_FALSE(l.resolver.resolve(good, "localhost", 80, &now));
  REQUIRE_FALSE(l.resolver.resolve(bad, "no-such-name.invalid", 80, &now));
  REQUIRE(l.until([&] { return good.answers + bad.answers == 2; }));
  CHECK(good.answer.count > 0);
  CHECK(good.answer.address[0].port == 80);
  CHECK(bad.answer.count == 0);
  CHECK(bad.answer.error != 0);
  CHECK(std::string(gai_text(bad.answer.error)) != "");
}

TEST_CASE("a cancelled question is never answered") {
  Loop l;
  Query q, other;
  Resolved now;
  REQUIRE_FALSE(l.resolver.resolve(q, "localhost", 80, &now));
  l.resolver.cancel(q);
  REQUIRE_FALSE(l.resolver.resolve(other, "localhost", 80, &now));
  REQUIRE(l.until([&] { return other.answers == 1; }));
  CHECK(q.answers == 0);
}

TEST_CASE("HOSTS= goes before the resolver") {
  Loop l;
  l.resolver.set_known(
      [](void*, std::string_view name, Address* out) {
        if (name != "router") return 0;
        REQUIRE(parse_ip("10.1.2.3", out));
        return 1;
      },
      nullptr);
  Query q;
  Resolved now;
  CHECK(l.resolver.resolve(q, "router", 22, &now));
  CHECK(now.count == 1);
  CHECK(now.address[0].port == 22);
}

TEST_CASE("more names than the table holds fail at once, and nothing is lost") {
  Loop l;
  std::vector<Query> q(Resolver::kNames + 5);
  int waiting = 0, refused = 0;
  for (Query& one : q) {
    Resolved now;
    const std::string name = "n" + std::to_string(&one - q.data()) + ".invalid";
    if (l.resolver.resolve(one, name, 1, &now)) {
      CHECK(now.count == 0);
      ++refused;
    } else {
      ++waiting;
    }
  }
  CHECK(waiting == Resolver::kNames);
  CHECK(refused == 5);
  REQUIRE(l.until([&] {
    int answered = 0;
    for (const Query& one : q) answered += one.answers;
    return answered == waiting;
  }));
  // Then there is room again.
  Query more;
  Resolved now;
  REQUIRE_FALSE(l.resolver.resolve(more, "localhost", 1, &now));
  REQUIRE(l.until([&] { return more.answers == 1; }));
  CHECK(more.answer.count > 0);
}

#if defined(__GLIBC__)
namespace {

// While it is there no name without dots is ever answered: the C library looks for aliases of it (hostname(7)) in a file that nobody writes.
class SilentNames {
 public:
  SilentNames() {
    REQUIRE(mkdtemp(folder_) != nullptr);
    REQUIRE(mkfifo(path().c_str(), 0600) == 0);
    REQUIRE(setenv("HOSTALIASES", path().c_str(), 1) == 0);
  }
  ~SilentNames() {
    unsetenv("HOSTALIASES");
    unlink(path().c_str());
    rmdir(folder_);
  }

 private:
  std::string path() const { return std::string(folder_) + "/aliases"; }
  char folder_[30] = "/tmp/smx-names-XXXXXX";
};

}  // namespace

TEST_CASE("names that clients wish for leave places to those of the configuration, and one session's to others'") {
  SilentNames silent;
  Loop l;
  const int session[5] = {};
  const auto wish = [&](const std::string& name, const void* of) {
    Query q;
    Resolved now;
    const bool asked = !l.resolver.resolve(q, name, 1, &now, of);
    l.resolver.cancel(q);  // the client has gone; the question is out
    return asked;
  };
  const auto wishes = [&](int i) {
    int n = 0;
    while (n < 100 && wish("s" + std::to_string(i) + "n" + std::to_string(n), &session[i])) ++n;
    return n;
  };
  CHECK(wishes(0) == Resolver::kWished / 2);
  CHECK(wishes(1) == Resolver::kWished / 4);
  CHECK(wishes(2) == Resolver::kWished / 8);
  for (int i = 3; i < 5; ++i) CHECK(wishes(i) > 0);
  CHECK(wish("s0n0", &session[0]));  // is looked up already
  for (int i = 0; i < Resolver::kNames - Resolver::kWished; ++i) CHECK(wish("c" + std::to_string(i), nullptr));
  Query q;
  Resolved now;
  REQUIRE_FALSE(l.resolver.resolve(q, "localhost", 80, &now));
  CHECK(l.until([&] { return q.answers == 1; }));
  CHECK(q.answer.count > 0);
}
#endif

TEST_CASE("a thousand questions for one name are one lookup, each with its own port; the answer is kept for a while") {
  Loop l;
  std::vector<Query> q(1000);
  for (Query& one : q) {
    Resolved now;
    const auto port = static_cast<uint16_t>(1 + (&one - q.data()));
    REQUIRE_FALSE(l.resolver.resolve(one, port % 2 == 0 ? "localhost" : "LocalHost", port, &now));
  }
  REQUIRE(l.until([&] { return q[999].answers == 1; }));
  for (Query& one : q) {
    REQUIRE(one.answers == 1);
    REQUIRE(one.answer.count > 0);
    CHECK(one.answer.address[0].port == 1 + (&one - q.data()));
  }
  Query again;
  Resolved now;
  CHECK(l.resolver.resolve(again, "localhost", 7, &now));
  CHECK(now.count > 0);
  CHECK(now.address[0].port == 7);
  l.resolver.forget();
  CHECK_FALSE(l.resolver.resolve(again, "localhost", 7, &now));
  REQUIRE(l.until([&] { return again.answers == 1; }));
}

TEST_CASE("a connection to a listening port stands, with the address that was tried") {
  Loop l;
  int error = 0;
  const Fd listening = listen_tcp(loopback(0), 4, &error);
  REQUIRE(error == 0);
  const Address at = local_address(listening.get());
  Owner o;
  Connect c(l.reactor, l.resolver);
  c.start("127.0.0.1", at.port, Address{}, seconds(5), o);
  CHECK(o.connected == 0);  // never from within start()
  REQUIRE(l.until([&] { return o.connected + o.failed > 0; }));
  CHECK(o.connected == 1);
  CHECK(o.to == at);
  CHECK(peer_address(o.fd.get()) == at);
  Address peer;
  const Fd accepted = accept_tcp(listening.get(), &peer, &error);
  CHECK(accepted.valid());
  CHECK(peer == local_address(o.fd.get()));
}

TEST_CASE("a closed port is refused") {
  Loop l;
  Owner o;
  Connect c(l.reactor, l.resolver);
  c.start("127.0.0.1", closed_port(), Address{}, seconds(5), o);
  REQUIRE(l.until([&] { return o.failed > 0; }));
  CHECK(o.why.kind == ConnectFailure::Kind::refused);
  CHECK(o.connected == 0);
}

TEST_CASE("a name with several addresses is tried to the end") {
  Loop l;
  int error = 0;
  const Fd listening = listen_tcp(loopback(0), 4, &error);
  const uint16_t port = local_address(listening.get()).port;
  l.resolver.set_known(
      [](void*, std::string_view, Address* out) {
        REQUIRE(parse_ip("127.0.0.2", out));  // nobody listens there
        REQUIRE(parse_ip("127.0.0.1", out + 1));
        return 2;
      },
      nullptr);
  Owner o;
  Connect c(l.reactor, l.resolver);
  c.start("two-addresses", port, Address{}, seconds(5), o);
  REQUIRE(l.until([&] { return o.connected + o.failed > 0; }));
  CHECK(o.connected == 1);
}

TEST_CASE("a name that does not exist says so") {
  Loop l;
  Owner o;
  Connect c(l.reactor, l.resolver);
  c.start("no-such-name.invalid", 80, Address{}, seconds(15), o);
  REQUIRE(l.until([&] { return o.failed > 0; }));
  CHECK(o.why.kind == ConnectFailure::Kind::not_found);
}

TEST_CASE("a server that does not answer is given up in time") {
  Loop l;
  // A full accept queue drops what comes: the connection stays under way.
  int error = 0;
  const Fd listening = listen_tcp(loopback(0), 0, &error);
  const Address at = local_address(listening.get());
  std::vector<Fd> fill;
  for (int i = 0; i < 8; ++i) fill.push_back(connect_tcp(at, Address{}, &error));
  Owner o;
  Connect c(l.reactor, l.resolver);
  const Time start = read_clock();
  c.start("127.0.0.1", at.port, Address{}, millis(200), o);
  REQUIRE(l.until([&] { return o.connected + o.failed > 0; }));
  CHECK(o.failed == 1);
  CHECK(o.why.kind == ConnectFailure::Kind::timed_out);
  CHECK(read_clock() - start < seconds(5));
}

TEST_CASE("a cancelled connection says nothing") {
  Loop l;
  Owner o;
  {
    Connect c(l.reactor, l.resolver);
    c.start("127.0.0.1", closed_port(), Address{}, seconds(5), o);
    c.cancel();
    CHECK_FALSE(c.running());
  }
  l.reactor.turn(millis(5));
  CHECK(o.connected + o.failed == 0);
}

TEST_CASE("a source address that is not ours makes the connection fail, and says so") {
  Loop l;
  Owner o;
  Address source;
  REQUIRE(parse_ip("192.0.2.1", &source));
  Connect c(l.reactor, l.resolver);
  c.start("127.0.0.1", closed_port(), source, seconds(5), o);
  REQUIRE(l.until([&] { return o.failed > 0; }));
  CHECK(o.why.kind == ConnectFailure::Kind::local);
}

TEST_CASE("our own networks have loopback in both families") {
  OwnNetwork own[kMaxNetworks];
  const size_t n = own_networks(own);
  REQUIRE(n >= 2);
  bool four = false, six = false;
  for (size_t i = 0; i < n; ++i) {
    four = four || (own[i].address.family == 4 && own[i].address.ip[0] == 127 && own[i].prefix == 8);
    six = six || (own[i].address.family == 6 && own[i].address.ip[15] == 1 && own[i].prefix == 128);
    CHECK(own[i].prefix <= (own[i].address.family == 4 ? 32 : 128));
  }
  CHECK(four);
  CHECK(six);
}

TEST_CASE("a connection does not take one of the last descriptors") {
  Loop l;
  int error = 0;
  const Fd server = listen_tcp(loopback(0), 5, &error);
  REQUIRE(error == 0);
  Connect c(l.reactor, l.resolver);
  for (const bool enough : {false, true}) {
    Owner owner;
    owner.leaves = l.reactor.fds_left() - (enough ? 1 : 0);
    c.start("127.0.0.1", local_address(server.get()).port, Address{}, seconds(5), owner);
    REQUIRE(l.until([&] { return owner.connected + owner.failed == 1; }));
    CHECK(owner.connected == (enough ? 1 : 0));
    if (!enough) CHECK(owner.why.kind == ConnectFailure::Kind::no_descriptor);
  }
}
