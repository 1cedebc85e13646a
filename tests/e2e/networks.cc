// Other networks than a machine of today has: IPv6 alone, no IPv6 at all, packets of 576 bytes. Each in a network namespace of
// its own, so for root on Linux. Read next: tunnel.h; udp.cc.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "tests/e2e/datagrams.h"
#include "tests/e2e/tunnel.h"

using namespace e2e;

namespace {

#if defined(__linux__)
// The test and all that it starts are in a network that has a loopback interface and nothing else, until this goes; both addresses of
// "localhost" are known, as they are on most machines.
class OwnNetwork {
 public:
  OwnNetwork() : net_(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)), files_(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC)) {
    REQUIRE(net_ >= 0);
    REQUIRE(files_ >= 0);
    write_file(folder_ / "hosts", "127.0.0.1 localhost\n::1 localhost\n");
    REQUIRE(chmod(folder_.path().c_str(), 0755) == 0);
    char here[4096];
    REQUIRE(getcwd(here, sizeof here) != nullptr);
    here_ = here;
    REQUIRE(unshare(CLONE_NEWNET | CLONE_NEWNS) == 0);
    REQUIRE(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
    REQUIRE(mount((folder_ / "hosts").c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) == 0);
  }
  ~OwnNetwork() {
    (void)!setns(net_, CLONE_NEWNET);
    (void)!setns(files_, CLONE_NEWNS);
    (void)!chdir(here_.c_str());  // it is "/" now
    close(net_);
    close(files_);
  }

 private:
  TempFolder folder_;
  std::string here_;
  int net_, files_;
};

void ip(const std::string& words) { run({"sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; " + words}, 10); }

// Names, ports without a host, datagrams, and each proxy, all of it at `host`, which "localhost" is.
void check_all_at(const std::string& host, const std::string& other) {
  const std::string literal = host.find(':') != std::string::npos ? "[" + host + "]" : host;
  Server echo(echoes, host);
  UdpServer udp(same, host);
  // Ports without a host are those of IPv4. Who may come, and where from, is left to the defaults.
  const std::string all = host.find(':') != std::string::npos ? "[::]:" : "";
  const uint16_t link = quiet_port(), any = quiet_port(), telnet = quiet_port(), http = quiet_port(), socks = quiet_port(), exec = quiet_port();
  Daemon a({"SERVER=sockmux", "-P" + all + text(link), "DEST=localhost:" + text(udp.port()) + "/udp", "SERVER=telnet,-in:-:-P" + text(telnet), "SERVER=http,-in(REMITTABLE=*):-:-P" + text(http),
            "SERVER=socks,-in:-:-P" + text(socks), "SERVER=exec,-in(XCOM='echo $REMOTE_ADDR'):-:-P" + text(exec), "DEST=localhost:" + text(echo.port())});
  a.await_start();
  Daemon c({"SERVER=sockmux://localhost:" + text(link), "PORT=localhost:0," + literal + ":0," + all + text(any) + "," + all + text(telnet) + "," + all + text(http) + "," + all + text(socks) + "," + all + text(exec),
            "PORT=localhost:0/udp", "RELIABLE=" + literal});
  c.await_start();
  REQUIRE(c->wait_log(" link-up ", 5));
  REQUIRE(a->wait_log(" link-up ", 5));
  CHECK(serves(c.port(0), 5, host));
  CHECK(serves(any, 5, host));
  CHECK(ask(telnet, "localhost " + text(echo.port()) + "\r\nover telnet", 5, host).find("over telnet") != std::string::npos);
  for (const std::string& name : {std::string("localhost"), literal}) {
    CAPTURE(name);
    const std::string request = "CONNECT " + name + ":" + text(echo.port()) + " HTTP/1.1\r\nHost: x\r\n\r\nover http";
    const std::string answer = ask(http, request, 5, host);
    CHECK(answer.find(" 200 ") != std::string::npos);
    CHECK(answer.find("over http") != std::string::npos);
  }
  // SOCKS 5, by name
  const std::string name = "localhost";
  const std::string hello("\5\1\0", 3), request = std::string("\5\1\0\3", 4) + static_cast<char>(name.size()) + name + static_cast<char>(echo.port() >> 8) + static_cast<char>(echo.port() & 255);
  CHECK(ask(socks, hello + request + "over socks", 5, host).find("over socks") != std::string::npos);
  CHECK(ask(exec, "", 5, host) == host + "\n");
  Udp client(c.port(c->count("clients are accepted at ") - 1), host);
  for (const size_t size : {0u, 1u, 1472u, 65507u}) {
    const std::string d = pattern(size, size);
    CHECK((client.ask(d, 5) == d));
  }
  // The other family is not there, which costs a line and no more.
  Daemon d({"SERVER=sockmux://" + other + ":" + text(link), "PORT=localhost:0", "TIMEOUT=retry:1"});
  CHECK(d->wait_log("connect-failed", 5));
  CHECK(d->running());
  Process refused({daemon_path(), "-f", "SERVER=sockmux", "-P" + other + ":" + text(quiet_port()), "SOXCONF=control:no"});
  REQUIRE(refused.wait_end(5));
  CHECK(refused.status() == 69);
}

// Two interfaces that are each other's far end, with the link-local addresses fe80::1 and fe80::2.
void make_line() {
  ip("ip link add v1 type veth peer name v2 && for i in 1 2; do ip link set v$i addrgenmode none && ip link set v$i up && "
     "ip -6 addr add fe80::$i/64 dev v$i nodad || exit; done");
}

// Asks from fe80::2 and a port that is the same each time; what fe80::1 says to that, if it does within `seconds`.
std::string ask_over_line(uint16_t from, uint16_t port, const std::string& question, double seconds) {
  const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  REQUIRE(fd >= 0);
  sockaddr_in6 a{};
  a.sin6_family = AF_INET6;
  a.sin6_scope_id = if_nametoindex("v2");
  a.sin6_port = htons(from);
  REQUIRE(inet_pton(AF_INET6, "fe80::2", &a.sin6_addr) == 1);
  REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) == 0);
  a.sin6_port = htons(port);
  REQUIRE(inet_pton(AF_INET6, "fe80::1", &a.sin6_addr) == 1);
  REQUIRE(sendto(fd, question.data(), question.size(), 0, reinterpret_cast<sockaddr*>(&a), sizeof a) == static_cast<ssize_t>(question.size()));
  char room[100];
  ssize_t n = -1;
  (void)wait_for([&] { return (n = recv(fd, room, sizeof room, 0)) >= 0; }, seconds);
  close(fd);
  return n < 0 ? "(nothing)" : std::string(room, static_cast<size_t>(n));
}

void check_bulk(Tunnel& t, uint64_t size) {
  CAPTURE(t.kind);
  Conn copy(t.a->port());
  copy.expect_pattern(7).send_pattern(7, size);
  CHECK(wait_for([&] { return copy.received() == size || copy.over(); }, 60));
  CHECK(copy.received() == size);
  CHECK_FALSE(copy.wrong());
}

#endif

}  // namespace

TEST_CASE("networks: IPv6 alone: names, links, ports, servers, datagrams and proxies, with the defaults") {
#if defined(__linux__)
  if (geteuid() != 0 || !may_unshare()) return;
  OwnNetwork net;
  ip("ip link set lo up; ip -4 addr flush dev lo");
  check_all_at("::1", "127.0.0.1");
#endif
}

TEST_CASE("networks: IPv6 switched off") {
#if defined(__linux__)
  if (geteuid() != 0 || !may_unshare()) return;
  OwnNetwork net;
  ip("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6; ip link set lo up");
  check_all_at("127.0.0.1", "[::1]");
#endif
}

TEST_CASE("networks: a kernel that was built without IPv6") {
#if defined(__linux__)
  // socket(2) of that family says so; its number alone is looked at, since there is one machine in this process.
  ProcessSetup none;
  none.prepare = [] {
    const uint32_t second = offsetof(seccomp_data, args[0]) + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0);
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, second),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(125);
  };
  Server echo(echoes);
  UdpServer udp(same);
  const uint16_t link = quiet_port(), any = quiet_port();
  Daemon a({"SERVER=sockmux", "-P" + text(link), "DEST=localhost:" + text(udp.port()) + "/udp", "DEST=localhost:" + text(echo.port())}, none);
  a.await_start();
  Daemon c({"SERVER=sockmux://localhost:" + text(link), "PORT=" + text(any) + ",localhost:0", "PORT=" + text(any) + "/udp"}, none);
  REQUIRE(c->wait_log(" link-up ", 5));
  CHECK(serves(any, 5));
  CHECK(serves(c.port(0), 5));
  Udp client(any);
  CHECK(client.ask("datagram", 5) == "datagram");
#endif
}

TEST_CASE("networks: packets of 576 bytes, and of 1280: bulk, datagrams of all sizes, and each kind of link") {
#if defined(__linux__)
  if (geteuid() != 0 || !may_unshare()) return;
  for (const std::string mtu : {"576", "1280"}) {
    CAPTURE(mtu);
    OwnNetwork net;
    // Without the offloads that make one large packet of many small ones.
    ip("ip link set lo up mtu " + mtu + "; ip link set lo gso_max_segs 1 2>/dev/null || true");
    Tunnel plain("plain", {}), old("0.3", {}), secure("secure", {});
    check_bulk(plain, 500000);
    check_bulk(old, 500000);
    check_bulk(secure, 500000);
    const std::string host = mtu == "576" ? "127.0.0.1" : "::1", literal = mtu == "576" ? host : "[::1]";
    UdpServer server(same, host);
    Pair p({"DEST=" + literal + ":" + text(server.port()) + "/udp"}, {"PORT=" + literal + ":0/udp"});
    Udp client(p.c->port(), host);
    for (const size_t size : {0u, 1u, 512u, 547u, 548u, 549u, 1232u, 1233u, 1472u, 1473u, 9000u, 65507u}) {
      CAPTURE(size);
      const std::string d = pattern(size, size);
      CHECK((client.ask(d, 5) == d));
    }
  }
#endif
}

TEST_CASE("networks: a UDP client of a link-local address is answered on an interface that was made anew") {
#if defined(__linux__)
  if (geteuid() != 0 || !may_unshare()) return;
  OwnNetwork net;
  ip("ip link set lo up");
  make_line();
  UdpServer server(same);
  const uint16_t port = quiet_port(), client = quiet_port();
  Pair p({"DEST=" + local(server.port()) + "/udp"}, {"PORT=[::]:" + text(port) + "/udp", "RELIABLE=*"});
  CHECK(ask_over_line(client, port, "before", 5) == "before");
  ip("ip link del v1");
  make_line();
  CHECK(ask_over_line(client, port, "behind", 5) == "behind");
  CHECK(server.clients() == 1);  // the same flow
#endif
}
