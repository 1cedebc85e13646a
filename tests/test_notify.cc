// What is read of the environment that a service manager has made: core/io/notify.h, core/io/handed.h. Whole daemons: e2e/service.cc.
#include <doctest/doctest.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>

#include "core/io/handed.h"
#include "core/io/notify.h"
#include "core/io/socket.h"
#include "core/io/udp.h"

using namespace smx;

namespace {

// A manager at an address without a file, or nowhere.
struct Manager {
  Manager() : fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0)), name("@sockmux-unit-" + std::to_string(getpid())) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    memcpy(at.sun_path + 1, name.data() + 1, name.size() - 1);
    REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())) == 0);
    setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }
  std::string heard() {
    char text[300];
    const IoResult r = read_fd(fd.get(), text, sizeof text);
    return std::string(text, r.size);
  }
  Fd fd;
  std::string name;
};

Address at(int fd) { return local_address(fd); }

}  // namespace

#if defined(__linux__)  // addresses without a file
TEST_CASE("notify: a sign of life is due twice in the time of the watchdog, and nothing of it is left in the environment") {
  Manager manager;
  setenv("WATCHDOG_USEC", "3000000", 1);
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  setenv("FDSTORE", "3", 1);
  CHECK(open_notify() == 0);
  CHECK(has_notify());
  CHECK(can_store());
  CHECK(watchdog_interval() == millis(1500));
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE"}) CHECK(getenv(name) == nullptr);
  notify_ready();
  CHECK(manager.heard() == "READY=1\nMAINPID=" + std::to_string(getpid()));
  notify_reloading();
  CHECK(manager.heard().find("RELOADING=1\nMONOTONIC_USEC=") == 0);
  notify_status("1 link up\nREADY=1");
  CHECK(manager.heard() == "STATUS=1 link up?READY=1");
  notify_alive();
  CHECK(manager.heard() == "WATCHDOG=1");
}

TEST_CASE("notify: a watchdog of no time at all, or of more than there is, neither keeps the daemon busy nor overflows") {
  const struct {
    std::string usec;
    Duration every;
  } kOdd[] = {{"1", millis(1)}, {"2", millis(1)}, {"2000", millis(1)}, {"2200", micros(1100)},
              {"9223372036854775807", seconds(86400)}, {"18446744073709551615", seconds(86400)}, {"99999999999999999999999", seconds(86400)}};
  for (const auto& o : kOdd) {
    CAPTURE(o.usec);
    Manager manager;
    setenv("WATCHDOG_USEC", o.usec.c_str(), 1);
    CHECK(open_notify() == 0);
    CHECK(watchdog_interval().us == o.every.us);
  }
}

TEST_CASE("notify: a manager that takes nothing stops nobody") {
  Manager manager;
  CHECK(open_notify() == 0);
  for (int i = 0; i < 10000; ++i) notify_alive();  // far more than its queue holds
  CHECK(manager.heard() == "WATCHDOG=1");
}
#endif

TEST_CASE("notify: addresses that are none") {
  const struct {
    std::string address;
    int error;
  } kWrong[] = {{"relative", EINVAL}, {"@", EINVAL}, {"/", EINVAL}, {"/" + std::string(200, 'x'), ENAMETOOLONG}, {"/nowhere/at/all", ENOENT}, {"", 0}};
  for (const auto& w : kWrong) {
    CAPTURE(w.address);
    setenv("NOTIFY_SOCKET", w.address.c_str(), 1);
    CHECK(open_notify() == w.error);
    CHECK(getenv("NOTIFY_SOCKET") == nullptr);
  }
}

TEST_CASE("handed sockets are found by address and kind, once, and those that nobody wants are named") {
  int error = 0;
  Fd tcp = listen_tcp(loopback_of(4), 5, &error), udp = listen_udp(loopback_of(4), &error), six = listen_tcp(loopback_of(6), 5, &error);
  REQUIRE(tcp.valid());
  REQUIRE(udp.valid());
  HandedSockets sockets;
  const Address at_tcp = at(tcp.get()), at_udp = at(udp.get());
  CHECK(sockets.add(static_cast<Fd&&>(tcp), "web") == 0);
  CHECK(sockets.add(static_cast<Fd&&>(udp), "") == 0);
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const Fd other_end(ends[1]);
  CHECK(sockets.add(Fd(ends[0]), "pipe") == 0);
  if (six.valid()) {
    // For both kinds of addresses: its clients of IPv4 would look like others of IPv6.
    Fd both(::socket(AF_INET6, SOCK_STREAM, 0));
    const int no = 0;
    setsockopt(both.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    if (::bind(both.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) == 0) {
      const Address where = at(both.get());
      CHECK(sockets.add(static_cast<Fd&&>(both), "both") == 0);
      CHECK_FALSE(sockets.take(where, false, 5).valid());
    }
  }
  CHECK_FALSE(sockets.take(at_tcp, true, 5).valid());
  Address elsewhere = at_tcp;
  ++elsewhere.ip[3];
  CHECK_FALSE(sockets.take(elsewhere, false, 5).valid());
  const Fd taken = sockets.take(at_tcp, false, 5);
  CHECK(taken.valid());
  CHECK(at(taken.get()) == at_tcp);
  CHECK_FALSE(sockets.take(at_tcp, false, 5).valid());
  size_t place = 0;
  std::string_view name;
  Text<100> what;
  std::string left;
  while (sockets.next_left(&place, &name, what)) left += std::string(name) + ": " + what.c_str() + "\n";
  Text<60> udp_text("udp ");
  append_address(udp_text, at_udp);
  CHECK(left.find(std::string(": ") + udp_text.c_str() + "\n") == 0);
  CHECK(left.find("pipe: neither TCP that listens nor UDP\n") != std::string::npos);
  if (left.find("both") != std::string::npos) CHECK(left.find(" for IPv4, too\n") != std::string::npos);
  CHECK(left.find("web") == std::string::npos);
}

TEST_CASE("handed sockets: the name by which a manager stores one has no colon, and is known again") {
  int error = 0;
  const Fd tcp = listen_tcp(loopback_of(4), 5, &error);
  REQUIRE(tcp.valid());
  Text<100> name;
  HandedSockets::append_stored_name(name, tcp.get());
  CHECK(std::string(name.c_str()) == "sockmux-tcp-127.0.0.1-" + std::to_string(at(tcp.get()).port));
  CHECK(HandedSockets::is_stored_name(name.text()));
  CHECK_FALSE(HandedSockets::is_stored_name("sockmux"));
}

TEST_CASE("descriptors go through a Unix socket with the bytes that they belong to") {
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  const Fd a(pair[0]), b(pair[1]);
  int given[kMaxPassed];
  for (int& fd : given) fd = a.get();
  CHECK(write_with_fds(a.get(), "abc", 3, given, kMaxPassed).size == 3);
  CHECK(write_fd(a.get(), "de", 2).size == 2);
  char text[10];
  Fd came[kMaxPassed];
  int count = -1;
  const IoResult first = read_with_fds(b.get(), text, sizeof text, came, &count);
  CHECK(count == kMaxPassed);
  CHECK(first.size >= 3);
  // It is the same socket.
  CHECK(write_fd(came[kMaxPassed - 1].get(), "f", 1).size == 1);
  IoResult rest = read_with_fds(b.get(), text, sizeof text, came, &count);
  CHECK(count == 0);
  CHECK(rest.size > 0);
}
