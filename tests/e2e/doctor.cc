// sockmuxctl doctor at tunnels that work and at broken ones: each cause by its name, in the line that a person reads.
//
// Read next: tools/ctl/doctor.cc, doctor_secure.cc (keys). Source: sockmuxctl(8), "doctor".
#include "tests/e2e/doctor.h"

#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include "tests/e2e/line.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/terminal.h"

using namespace e2e;

namespace {

// Nobody answers there.
const std::string kNoDaemon = "SOXCONF=control:/nowhere/at/all";

Words link_to(uint16_t port) { return {"SERVER=sockmux://" + local(port), kNoDaemon}; }

// What getaddrinfo(3) says here of a name that nobody has: where no name server is reached, that.
bool unknown_is_known_as_such() {
  addrinfo* list = nullptr;
  return getaddrinfo("no-such-host.invalid", nullptr, nullptr, &list) != EAI_AGAIN;
}

}  // namespace

namespace e2e {

void greets_as_03(Conn& c) {
  c.send(packet(3, kHello, 0x1234, 0x5678, std::string("20260102-030405.678901 by-hand") + '\0'));
}

void check_broken(const Said& said, int status, const std::string& cause) {
  INFO(said.out);
  CHECK(said.status == status);
  CHECK(said.error == "");
  CHECK(said.out.find("FAIL  " + cause) != std::string::npos);
  CHECK(said.out.find("\nverdict: broken, because of " + cause) != std::string::npos);
}

void check_one_cause(const Said& said, int status, const std::string& cause) {
  check_broken(said, status, cause);
  CHECK(count_of(said.out, "FAIL  ") == 1);
}

void check_well(const Said& said) {
  INFO(said.out);
  CHECK(said.status == 0);
  CHECK(said.error == "");
  CHECK(count_of(said.out, "FAIL  ") == 0);
  // Machines of tests often have no time server, and few descriptors.
  CHECK(count_of(said.out, "WARN  ") ==
        count_of(said.out, "WARN  clock ") + count_of(said.out, "WARN  few descriptors:"));
}

}  // namespace e2e

TEST_CASE("doctor: a healthy tunnel gets ok at both ends, and neither its session nor a live channel is disturbed") {
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  Server server([](Conn& c) { c.echo = true; });
  const uint16_t port = quiet_port();
  const Words to_a{"DEST=" + local(server.port()), "SOXCONF=control:" + (folder / "a")};
  const Words at_c{"PORT=" + local(port), "SOXCONF=control:" + (folder / "c")};
  Pair p(to_a, at_c);
  Conn live(port);
  live.send("before");
  REQUIRE(wait_for([&] { return live.text() == "before"; }, 5));
  Words c_words{"SERVER=sockmux://" + local(p.a->link_port())};
  c_words.insert(c_words.end(), at_c.begin(), at_c.end());
  const Said at_maker = ctl(doctor(c_words));
  check_well(at_maker);
  INFO(at_maker.out);
  CHECK(at_maker.out.find("ok    a daemon runs: process " + text(static_cast<uint64_t>(p.c->process().pid())) +
                          ", sockmuxd ") != std::string::npos);
  CHECK(at_maker.out.find("ok    ports: the daemon listens at 1 port\n") != std::string::npos);
  CHECK(at_maker.out.find("ok    link to tcp " + local(p.a->link_port()) + ": up for ") != std::string::npos);
  CHECK(at_maker.out.find("ok    port " + local(port) + ": its server, at the peer (" + local(p.a->link_port()) +
                          "), answers\n") != std::string::npos);
  // The server has seen a client that came and went.
  CHECK(server.accepted() == 2);
  CHECK(wait_for([&] { return server.conns().size() == 1; }, 5));
  Words a_words{"SERVER=sockmux", "-P" + local(p.a->link_port())};
  a_words.insert(a_words.end(), to_a.begin(), to_a.end());
  const Said at_acceptor = ctl(doctor(a_words));
  check_well(at_acceptor);
  CHECK(at_acceptor.out.find("ok    links: 1 peer has called and linked\n") != std::string::npos);
  CHECK(at_acceptor.out.find("ok    connection to " + local(server.port()) + ", for DEST=") != std::string::npos);
  live.send(", after");
  CHECK(wait_for([&] { return live.text() == "before, after"; }, 5));
  for (Daemon* d : {p.a.get(), p.c.get()}) {
    CHECK((*d)->count(" link-up ") == 1);
    CHECK((*d)->count(" link-down ") == 0);
    CHECK((*d)->count(" link-failed ") == 0);
  }
}

TEST_CASE("doctor: without a daemon that runs the link is tried, and the peer's log says by whom") {
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0"});
  const Said said = ctl(doctor(link_to(a.link_port())));
  INFO(said.out);
  CHECK(said.status == 0);
  CHECK(count_of(said.out, "FAIL  ") == 0);
  CHECK(said.out.find("WARN  no daemon: none answers at /nowhere/at/all\n") != std::string::npos);
  CHECK(said.out.find("ok    handshake with " + local(a.link_port()) + ": host '") != std::string::npos);
  CHECK(said.out.find(
            "\nverdict: nothing is broken that can be seen without a daemon that runs: start it, and ask again\n") !=
        std::string::npos);
  CHECK(a->wait_log("sockmuxctl doctor: only a look", 5));
  CHECK(a->count(" link-up ") == 0);
}

TEST_CASE("doctor: wrong port: nothing listens there") {
  const DeadPort dead;
  const std::string at = local(dead.port());
  check_one_cause(ctl(doctor(link_to(dead.port()))), 2,
                  "wrong port or peer down: nothing listens at " + at + ", asked for by SERVER=sockmux://" + at +
                      " (connection refused)\n");
}

TEST_CASE("doctor: wrong port: another program answers there") {
  struct Other {
    const char* says;
    const char* told;
  };
  const Other others[] = {{"SSH-2.0-OpenSSH_9.2\r\n", "an SSH server answers: 'SSH-2.0-OpenSSH_9.2'"},
                          {"HTTP/1.1 400 Bad Request\r\n\r\n", "a web server answers: 'HTTP/1.1 400 Bad Request'"},
                          {"220 ready\r\n", "some other program answers: '220 ready'"}};
  for (const Other& other : others) {
    Server server([&](Conn& c) { c.send(other.says); });
    check_one_cause(ctl(doctor(link_to(server.port()))), 2,
                    "wrong port: at " + local(server.port()) + " " + other.told + "\n");
  }
}

TEST_CASE("doctor: server down: the peer's, asked over the link of the daemon that runs; and ours, tried from here") {
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  const DeadPort dead;
  const uint16_t port = quiet_port();
  Pair p({"DEST=" + local(dead.port())}, {"PORT=" + local(port), "SOXCONF=control:" + (folder / "c")});
  const std::string peer = local(p.a->link_port());
  check_one_cause(ctl(doctor({"SERVER=sockmux://" + peer, "PORT=" + local(port), "SOXCONF=control:" + (folder / "c")})),
                  4,
                  "server down: port " + local(port) + " leads to the peer (" + peer +
                      "), where nothing listens at its server's port\n");
  const std::string dest = "DEST=" + local(dead.port());
  check_one_cause(
      ctl(doctor({"SERVER=sockmux", "-P127.0.0.1:0", dest, kNoDaemon})), 4,
      "server down: nothing listens at " + local(dead.port()) + ", where " + dest + " leads (connection refused)\n");
  CHECK((*p.c)->count(" link-down ") == 0);
}

TEST_CASE(
    "doctor: what the peer says of its servers: none, forbidden, a name that it does not know; more ports than are asked at once") {
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  Server server(closes_at_once);
  const std::string control = "SOXCONF=control:" + (folder / "c");
  const uint16_t forbidden = quiet_port(), unknown = quiet_port();
  Words ports{"PORT=" + local(forbidden), "PORT=" + local(unknown), control};
  for (int i = 0; i < 20; ++i) ports.push_back("PORT=127.0.0.1:0");
  Pair p({"DEST=" + local(server.port()) + ":-P" + text(forbidden), "DEST=no-such-host.invalid:80:-P" + text(unknown),
          "REACHABLE=127.0.0.2"},
         ports);
  const std::string peer = local(p.a->link_port());
  const Said said =
      ctl(doctor({"SERVER=sockmux://" + peer, "PORT=" + local(forbidden), "PORT=" + local(unknown), control}));
  check_broken(said, 4, "forbidden: the peer (" + peer + ") forbids the server of port " + local(forbidden) + "\n");
  CHECK(said.out.find("FAIL  far name unknown: the peer (" + peer + ") cannot find the name of the server of port " +
                      local(unknown) + "\n") != std::string::npos);
  CHECK(count_of(said.out, "FAIL  no server: the peer (" + peer + ") has none for port 127.0.0.1:") == 20);
  CHECK(count_of(said.out, "FAIL  ") == 22);
  CHECK(server.accepted() == 0);
  CHECK((*p.c)->count(" link-down ") == 0);
}

TEST_CASE("doctor: name unknown") {
  const std::string what = "SERVER=sockmux://no-such-host.invalid:9000";
  const std::string cause = unknown_is_known_as_such()
                                ? "name unknown: 'no-such-host.invalid', asked for by " + what + ", has no address: "
                                : "no DNS: nobody answers who 'no-such-host.invalid' is, asked for by " + what;
  check_one_cause(ctl(doctor({what, kNoDaemon})), 2, cause);
}

TEST_CASE("doctor: a machine without a network: no DNS, no route") {
#if defined(__linux__)
  if (geteuid() != 0 || !may_unshare()) return;
  const auto cut_off = [](const std::string& at) {
    ProcessSetup apart;
    apart.separate = true;
    apart.prepare = [] {
      if (unshare(CLONE_NEWNET) != 0) _exit(125);
    };
    Process p({ctl_path(), "doctor", "SERVER=sockmux://" + at, kNoDaemon}, apart);
    CHECK(p.wait_end(20));
    return Said{p.status(), p.output(), p.log()};
  };
  check_one_cause(cut_off("hub.example.net:9"), 2,
                  "no DNS: nobody answers who 'hub.example.net' is, asked for by SERVER=sockmux://hub.example.net:9 (");
  check_one_cause(cut_off("192.0.2.1:9"), 2,
                  "no route: this machine does not know the way to 192.0.2.1:9, asked for by SERVER=sockmux://192.0.2.1:9 (");
#endif
}

TEST_CASE("doctor: a name whose IPv6 address leads nowhere, beside one that works, and alone") {
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0"});
  const std::string port = text(a.link_port());
  const Said both = ctl(doctor({"SERVER=sockmux://hub:" + port, "HOSTS=hub/{::1,127.0.0.1}", kNoDaemon}));
  INFO(both.out);
  CHECK(both.status == 0);
  CHECK(both.out.find("ok    name hub: ::1, 127.0.0.1 (0 ms)\n") != std::string::npos);
  CHECK(both.out.find("WARN  IPv6 broken: [::1]:" + port + " cannot be reached, 127.0.0.1:" + port + " can: ") !=
        std::string::npos);
  Conn nowhere("2001:db8::1", 9);
  (void)wait_for([&] { return nowhere.over(); }, 0.2);
  if (nowhere.error() != ENETUNREACH) return;
  check_one_cause(ctl(doctor({"SERVER=sockmux://hub:9", "HOSTS=hub/2001:db8::1", kNoDaemon})), 2,
                  "no IPv6 here: 'hub', asked for by SERVER=sockmux://hub:9, has IPv6 addresses alone (");
}

TEST_CASE("doctor: peer too old: a DeleGate where SockMux 1 is asked for; where it is not, that it works with less") {
  Server delegate(greets_as_03);
  const std::string at = local(delegate.port());
  Words words = link_to(delegate.port());
  const Said old = ctl(doctor(words));
  INFO(old.out);
  CHECK(old.status == 0);
  CHECK(old.out.find("WARN  peer old: " + at + " (host 'by-hand') speaks SockMux 0.3 (a DeleGate)\n") !=
        std::string::npos);
  words.push_back("SOXCONF=proto:1");
  check_one_cause(
      ctl(doctor(words)), 3,
      "peer too old: " + at + " (host 'by-hand') speaks SockMux 0.3 (a DeleGate), and SOXCONF=proto:1 forbids that\n");
  words.back() = "SOXCONF=proto:0.3";
  CHECK(ctl(doctor(words))
            .out.find("ok    handshake with " + at +
                      ": host 'by-hand' speaks SockMux 0.3, as SOXCONF=proto:0.3 asks for\n") != std::string::npos);
}

TEST_CASE("doctor: a daemon whose peer is a DeleGate asks it, too, and is told that its link can do less") {
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  std::unique_ptr<Peer03> peer;
  Server delegate([&](Conn& c) { peer = std::make_unique<Peer03>(c); });
  const std::string at = local(delegate.port()), control = "SOXCONF=control:" + (folder / "c");
  const uint16_t port = quiet_port();
  const Words words{"SERVER=sockmux://" + at, "PORT=" + local(port), control};
  Daemon c(words);
  REQUIRE(c->wait_log(" link-up ", 5));
  const Said said = ctl(doctor(words));
  INFO(said.out);
  CHECK(said.status == 0);
  CHECK(said.out.find("ok    link to tcp " + at + ": up for ") != std::string::npos);
  CHECK(said.out.find("WARN  peer old: tcp " + at + " speaks SockMux 0.3 (a DeleGate)\n") != std::string::npos);
  CHECK(said.out.find("ok    port " + local(port) + ": its server, at the peer (" + at + "), answers\n") !=
        std::string::npos);
  peer->refuses = true;
  check_one_cause(ctl(doctor(words)), 4, "no server: the peer (" + at + ") has none for port " + local(port) + "\n");
  CHECK(peer->fault() == "");
  CHECK(c->count(" link-down ") == 0);
}

TEST_CASE("doctor: port taken, and by whom") {
  Server other(echoes);
  const std::string port = "PORT=" + local(other.port());
  const Said said = ctl(doctor({"SERVER=sockmux", "-P127.0.0.1:0", port, kNoDaemon}));
  std::string holder = "another program";
  if (exists("/proc/self/comm")) {
    const std::string comm = read_file("/proc/self/comm");
    holder = "'" + comm.substr(0, comm.find('\n')) + "', process " + text(static_cast<uint64_t>(getpid()));
  }
  check_one_cause(said, 1, "port taken: " + local(other.port()) + " (" + port + ") belongs to " + holder + "\n");
  // The nearest cause is the verdict: what lies behind it may come of it.
  const DeadPort dead;
  Words both = link_to(dead.port());
  both.push_back(port);
  const Said two = ctl(doctor(both));
  check_broken(two, 1, "port taken: ");
  CHECK(two.out.find("FAIL  wrong port or peer down: ") != std::string::npos);
}

TEST_CASE("doctor: the peer lets us not in") {
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "RELIABLE=192.0.2.1"});
  const std::string at = local(a.link_port());
  check_one_cause(ctl(doctor(link_to(a.link_port()))), 3,
                  "refused by the peer: " + at + " takes the connection and closes it at once\n");
}

TEST_CASE("doctor: another machine has our name at the peer, or takes our place again and again") {
  struct Case {
    char code;
    const char* told;
  };
  for (const Case& c :
       {Case{0x05, "name in use: the peer at tcp "}, Case{0x01, "replaced: another machine takes our place at tcp "}}) {
    TempFolder folder;
    REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
    Server peer([&](Conn& conn) {
      conn.send(packet(3, kHello, 0, 0, std::string("20260102-030405.678901 by-hand smx/1:01234567") + '\0'));
      conn.send(packet(0x10, kBye, 0xffff, 0xffff, std::string(1, c.code)));
    });
    const Words words{"SERVER=sockmux://" + local(peer.port()), "SOXCONF=control:" + (folder / "c")};
    Daemon d(words);
    REQUIRE(d->wait_log("peer said goodbye", 5));
    check_one_cause(ctl(doctor(words)), 3, c.told + local(peer.port()));
  }
}

TEST_CASE("doctor: serial lines that another program has, and ports and devices that only root may have") {
  TempFolder folder;
  const Line line(folder);
  const std::string link = "SERVER=sockmux:comm@" + line.name(0);
  const Said free = ctl(doctor({link, kNoDaemon}));
  CHECK(free.out.find("ok    device " + line.name(0) + " is there, and nobody else has it\n") != std::string::npos);
  CHECK_FALSE(exists(line.lock(0)));
  if (geteuid() != 0) return;
  const std::string process = text(static_cast<uint64_t>(getpid()));
  write_file(line.lock(0), std::string(10 - process.size(), ' ') + process + "\n");
  check_one_cause(ctl(doctor({link, kNoDaemon})), 1,
                  "device in use: " + line.name(0) + " belongs to process " + process + " (" + line.lock(0) + ")\n");
  // It may be the daemon's own, where that cannot be asked.
  const Said mute = ctl(doctor({link, "SOXCONF=control:no"}));
  CHECK(mute.out.find("WARN  device in use: " + line.name(0) + " belongs to process " + process) != std::string::npos);
  CHECK(mute.status == 0);
  REQUIRE(unlink(line.lock(0).c_str()) == 0);
  REQUIRE(chmod(line.device(0).c_str(), 0600) == 0);
  ProcessSetup nobody;
  nobody.user = 12345;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  check_one_cause(ctl(doctor({link, kNoDaemon}), nobody), 1,
                  "no permission: device " + line.name(0) + ": Permission denied\n");
  const std::string first = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
  if (!exists(first) || atoi(read_file(first).c_str()) < 1024) return;
  check_one_cause(ctl(doctor({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:23", kNoDaemon}), nobody), 1,
                  "port not allowed: 127.0.0.1:23 (PORT=127.0.0.1:23): below 1024 only root may listen\n");
}

TEST_CASE("doctor: too few descriptors, and files that the daemon cannot read once it has given up root") {
  const DeadPort dead;
  ProcessSetup few;
  few.files = 200;
  const Said said = ctl(doctor(link_to(dead.port())), few);
  CHECK(said.out.find(
            "WARN  few descriptors: 200 are allowed, 2065 are needed for 1000 channels each way (MAXIMA=channels)\n") !=
        std::string::npos);
  if (geteuid() != 0) return;
  TempFolder folder;  // root's alone
  write_file(folder / "conf", "SERVER=sockmux://" + local(dead.port()) + "\n" + kNoDaemon + "\n");
  const Said closed = ctl(doctor({"+=" + (folder / "conf")}));
  CHECK(closed.out.find("WARN  no permission: once started the daemon is 'nobody', who cannot read " +
                        (folder / "conf") + " (because of " + folder.path() + ")\n") != std::string::npos);
}

TEST_CASE(
    "doctor: a link that the daemon cannot make, though all that can be tried is well, with the daemon's own reason") {
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  Daemon c({"SERVER=sockmux:proc@exit 7", "SOXCONF=control:" + (folder / "c")});
  REQUIRE(c->wait_log(" link-failed ", 5));
  const Said said = ctl(doctor({"SERVER=sockmux:proc@exit 7", "SOXCONF=control:" + (folder / "c")}));
  check_one_cause(said, 3, "link down: the daemon has no link over program exit 7; its last reason: ");
}

TEST_CASE("doctor: a hub without peers is told apart from a broken one") {
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  const std::string control = "SOXCONF=control:" + (folder / "a");
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", control});
  const Said said = ctl(doctor({"SERVER=sockmux", "-P" + local(a.link_port()), control}));
  CHECK(said.status == 0);
  CHECK(said.out.find("WARN  nobody linked: ") != std::string::npos);
}

TEST_CASE("doctor: wrong words, files that are missing or closed, and what stands in the way on this machine") {
  TempFolder folder;
  const DeadPort dead;
  const std::string link = "SERVER=sockmux://" + local(dead.port());
  const auto near = [&](const Words& words, const std::string& cause) {
    CAPTURE(cause);
    Words all{kNoDaemon};
    all.insert(all.end(), words.begin(), words.end());
    check_broken(ctl(doctor(all)), 1, cause);
  };
  write_file(folder / "conf", "SERVER=sockmux\n-P127.0.0.1:0\nPORT=many\n");
  near({"+=" + (folder / "conf")}, "wrong configuration: " + (folder / "conf") + ":3: PORT=many: ");
  near({"+=" + (folder / "none")}, "wrong configuration: +=" + (folder / "none"));
  near({link, "OWNER=no-such-user-here"}, "unknown user: OWNER=no-such-user-here: no such user or group\n");
  near({link, "PIDFILE=" + (folder / "no/pid")},
       "cannot write: PIDFILE=" + (folder / "no/pid") + ": " + (folder / "no") + ": No such file or directory\n");
  near({link, "LOGFILE=" + (folder / "no/log")}, "cannot write: LOGFILE=" + (folder / "no/log"));
  near({"SERVER=sockmux", "-P127.0.0.1:0", "RELIABLE=!*"}, "nobody let in: RELIABLE=!* keeps everybody away\n");
  near({"SERVER=sockmux", "-P192.0.2.77:9000"},
       "not our address: 192.0.2.77:9000 (-P192.0.2.77:9000) is of no interface of this machine\n");
  near({link, "MAXIMA=memory:1m,channels:5000"}, "too little memory: MAXIMA=memory gives 1");
  near({"SERVER=sockmux:commin@" + (folder / "in"), "SERVER=sockmux:commout@" + (folder / "conf")},
       "FIFO missing: " + (folder / "in") + ": no such file\n");
  near({"SERVER=sockmux:comm@" + (folder / "ttyUSB9")}, "device missing: " + (folder / "ttyUSB9") + " is not there\n");
  near({"SERVER=sockmux:proc@" + (folder / "ssh") + " hub"},
       "program missing: '" + (folder / "ssh") + "', which SERVER=sockmux:proc@");
  near({"SERVER=sockmux:proc@" + (folder / "conf") + " hub"},
       "program not executable: '" + (folder / "conf") + "', which ");
  near({"SERVER=sockmux:proc@no-such-program-here hub"}, "program missing: 'no-such-program-here', which ");
  near({link, "SERVER=exec,-in(XCOM=no-such-program-here)"},
       "program missing: 'no-such-program-here', which SERVER=exec starts, is in no folder of PATH\n");
}

TEST_CASE("doctor: a daemon that runs with the same PIDFILE, and one that is started with other words") {
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  const std::string pid = "PIDFILE=" + (folder / "pid"), control = "SOXCONF=control:" + (folder / "a");
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", pid, control});
  a.await_start();
  const std::string process = text(static_cast<uint64_t>(a->pid()));
  check_one_cause(
      ctl(doctor({"SERVER=sockmux", "-P127.0.0.1:0", pid, kNoDaemon})), 1,
      "already running: " + pid + " belongs to process " + process + ", which does not answer at the control socket\n");
  const Said known = ctl(doctor({"SERVER=sockmux", "-P127.0.0.1:0", pid, control}));
  CHECK(known.out.find("ok    " + pid + ": of the daemon that runs, process " + process + "\n") != std::string::npos);
  const std::string port = "PORT=" + local(quiet_port());
  const Said other = ctl(doctor({"SERVER=sockmux", "-P127.0.0.1:0", port, control}));
  CHECK(other.out.find("WARN  not listening: the daemon that runs does not listen at 1 port of this configuration\n") !=
        std::string::npos);
}

#if defined(__linux__)
TEST_CASE("doctor: while nobody reads what it says, a daemon with the PIDFILE that it has looked at can start") {
  TempFolder folder;
  const std::string pid = "PIDFILE=" + (folder / "pid");
  write_file(folder / "pid", "");
  const Words words = doctor({"SERVER=sockmux", "-P127.0.0.1:0", pid, kNoDaemon});
  const size_t before = ctl(words).out.find("ok    PIDFILE=");
  REQUIRE(before != std::string::npos);
  // A pipe of one page, which is full where it says how that file is.
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  for (const int fd : ends) REQUIRE(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
  const int page = fcntl(ends[1], F_SETPIPE_SZ, 4096);
  REQUIRE(page >= 4096);
  const std::string filling(static_cast<size_t>(page) - before - 2, 'x');
  REQUIRE(write(ends[1], filling.data(), filling.size()) == static_cast<ssize_t>(filling.size()));
  ProcessSetup setup;
  setup.prepare = [&] { (void)!dup2(ends[1], STDOUT_FILENO); };
  Words command{ctl_path()};
  command.insert(command.end(), words.begin(), words.end());
  Process looks(command, setup);
  CHECK_FALSE(looks.wait_end(1));
  Daemon d({"SERVER=sockmux", "-P127.0.0.1:0", pid});
  d.await_start();
  CHECK_FALSE(d->says("belongs to a daemon that runs"));
  CHECK(looks.running());
  close(ends[0]);
  close(ends[1]);
}
#endif

TEST_CASE("doctor: a peer that says its greeting a byte at a time is not heard for minutes") {
  Server slow([](Conn&) {});
  Process p({ctl_path(), "doctor", "SERVER=sockmux://" + local(slow.port()), kNoDaemon});
  REQUIRE(wait_for([&] { return slow.accepted() == 1; }, 10));
  // Nothing for the HELLO; then one with 256 bytes of text, each within the time that a line has.
  const std::string hello = packet(3, kHello, 1, 2, std::string(256, 'x'));
  const double begin = now() + 4.5;
  size_t said = 0;
  CHECK(wait_for(
      [&] {
        if (said < hello.size() && now() > begin + 0.5 * static_cast<double>(said) && !slow.last().over()) slow.last().send(hello.substr(said++, 1));
        return !p.running();
      },
      20));
  CHECK(p.status() == 2);
}

TEST_CASE("doctor: without words the daemon that runs tells its own; and who has no right to ask is told so") {
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  const std::string path = folder / "a";
  if (exists("/etc/sockmux.conf")) return;
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(DeadPort().port()), "SOXCONF=control:" + path});
  a.await_start();
  if (geteuid() == 0 && exists("/proc/self/cmdline"))
    check_broken(ctl({"doctor", "-s", path}), 4, "server down: nothing listens at ");
  CHECK(ctl({"doctor", "-s", path + "-none"}).status == 64);
  if (geteuid() != 0) return;
  ProcessSetup nobody;
  nobody.user = 12345;
  check_broken(ctl({"doctor", "-s", path, "SERVER=sockmux", "-P127.0.0.1:0"}, nobody), 1,
               "no permission: the control socket " + path + ": ");
}

TEST_CASE("doctor: a peer that comes while the servers are asked shifts no row, and who asks meanwhile is sent away") {
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  const std::string path = folder / "a";
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "PORT=127.0.0.1:0", "SOXCONF=control:" + path});
  Peer1 first(a.link_port());
  REQUIRE(a->wait_log(" link-up ", 5));
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  REQUIRE(connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
  Conn asker(fd);
  asker.send("1 probe\n");
  REQUIRE(wait_for([&] { return first.find(kConnect, 0, 0xffff) != nullptr && first.find(kConnect, 1, 0xffff) != nullptr; }, 5));
  first.numbered(kConnected, 0xffff, 0, "");
  REQUIRE(wait_for([&] { return count_of(asker.text(), "\tconnected\t") == 1; }, 5));
  const Said busy = ctl(doctor({"SERVER=sockmux", "-P127.0.0.1:0", "SOXCONF=control:" + path}));
  CHECK(busy.out.find("WARN  daemon not asked: at " + path + " it says: probe: somebody else asks at this moment; try again\n") !=
        std::string::npos);
  Peer1::Ask another;
  another.attempt = 0x5566778800000001;
  Peer1 second(a.link_port(), another);
  REQUIRE(wait_for([&] { return a->count(" link-up ") == 2; }, 5));
  first.numbered(kClose, 0xffff, 1, "\x02no");
  REQUIRE(wait_for([&] { return asker.over(); }, 5));
  INFO(asker.text());
  CHECK(count_of(asker.text(), "\ntcp\t") == 2);
  CHECK(count_of(asker.text(), "\tconnected\t") == 1);
  CHECK(count_of(asker.text(), "\trefused\t") == 1);
  CHECK(asker.text().substr(asker.text().size() - 5) == "\nend\n");
  CHECK(wait_for([&] { return first.find(kFin, 0, 0xffff) != nullptr; }, 5));  // the first server is left in good order
}

TEST_CASE("doctor: what a daemon without a control socket has is no reason to end it") {
  if (!exists("/proc/self/cmdline")) return;
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  const std::string pid = "PIDFILE=" + (folder / "pid");
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", pid, "SOXCONF=control:no"});
  a.await_start();
  const std::string port = local(a.link_port()), process = text(static_cast<uint64_t>(a->pid()));
  const Said said = ctl(doctor({"SERVER=sockmux", "-P" + port, pid, "SOXCONF=control:no"}));
  INFO(said.out);
  CHECK(said.status == 0);
  CHECK(said.out.find("WARN  port in use: " + port + " (-P" + port + ") belongs to 'sockmuxd', process " + process + "\n") !=
        std::string::npos);
  CHECK(said.out.find("ok    " + pid + ": of a daemon that runs, process " + process + "\n") != std::string::npos);
  CHECK(said.out.find("verdict: nothing is broken that can be seen without asking the daemon, which SOXCONF=control:no forbids\n") !=
        std::string::npos);
  // One that could be asked at a socket of its own is another one.
  check_one_cause(ctl(doctor({"SERVER=sockmux", "-P" + port, kNoDaemon})), 1, "port taken: " + port);
}

TEST_CASE("doctor: at a terminal lines end at words within its width, and grades have colours, which NO_COLOR takes away") {
  const DeadPort dead;
  const std::string words = " doctor SERVER=sockmux://" + local(dead.port()) + " " + kNoDaemon;
  const std::string ask = "exec " + ctl_path() + words;
  // What it shows, without the CR that a terminal puts before each LF.
  const auto seen = [&](const std::string& first, const std::string& color) {
    Terminal t({"/bin/sh", "-c", first + "; " + ask}, {"TERM=xterm", color});
    CHECK(wait_for([&] { return t.over(); }, 20));
    std::string text;
    for (const char c : t.screen())
      if (c != '\r') text += c;
    return text;
  };
  const auto longest = [](const std::string& text) {
    size_t most = 0;
    for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) most = std::max(most, end - at);
    return most;
  };
  const std::string plain = seen("stty cols 60", "NO_COLOR=1");
  INFO(plain);
  CHECK(longest(plain) <= 60);
  CHECK(longest(plain) > 50);
  CHECK(plain.find("\nFAIL  wrong port or peer down: nothing listens at") != std::string::npos);
  CHECK(plain.find("\n      ") != std::string::npos);
  CHECK(plain.find("\nverdict: broken, because of wrong port or peer down:") != std::string::npos);
  CHECK(plain.find("\n         ") != std::string::npos);
  CHECK(plain.find('\033') == std::string::npos);
  // A terminal that does not know its width has 80 columns.
  const std::string usual = seen("stty cols 0", "NO_COLOR=1");
  CHECK(longest(usual) <= 80);
  CHECK(longest(usual) > 60);
  const std::string colored = seen("stty cols 60", "NO_COLOR=");
  CHECK(colored.find("\033[31mFAIL\033[m  wrong port") != std::string::npos);
  CHECK(colored.find("\033[32mok\033[m    ") != std::string::npos);
  // Into a pipe each thing said is a line, whatever its length.
  const Said piped = ctl_shell("TERM=xterm; export TERM; $ctl" + words);
  CHECK(longest(piped.out) > 80);
  CHECK(piped.out.find('\033') == std::string::npos);
}

TEST_CASE("doctor: root looks into no file that a socket of another user names") {
  if (geteuid() != 0 || exists("/etc/sockmux.conf")) return;
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0777) == 0);
  write_file(folder / "cmdline", std::string("sockmuxd\0+=/etc/hostname\0", 25));
  REQUIRE(symlink("/", (folder / "cwd").c_str()) == 0);
  // A number that leads out of /proc
  write_file(folder / "answer", "#!/bin/sh\nread -r line\nprintf '1 ok\\nkind\\ndaemon\\t.." + folder.path() + "\\t-\\t0.3.0\\nend\\n'\n");
  REQUIRE(chmod((folder / "answer").c_str(), 0755) == 0);
  for (const unsigned user : {12345u, 0u}) {
    ProcessSetup other;
    other.user = user;
    const std::string path = folder / "control" + text(user);
    Process liar({"socat", "UNIX-LISTEN:" + path + ",mode=666,fork", "EXEC:" + folder / "answer"}, other);
    REQUIRE(wait_for([&] { return exists(path); }, 10));
    const Said said = ctl({"doctor", "-s", path});
    CAPTURE(said.out);
    CHECK(said.status == 64);
    CHECK(said.out.find("hostname") == std::string::npos);
  }
}

TEST_CASE("doctor: while servers say nothing it says what it waits for") {
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "SOXCONF=control:" + folder / "a"});
  Peer1 mute(a.link_port());
  REQUIRE(a->wait_log(" link-up ", 5));
  Process doctor({ctl_path(), "doctor", "-s", folder / "a"});
  CHECK(doctor.wait_log("sockmuxctl: doctor: the daemon has not answered yet: servers behind its ports that say nothing have up to 13 s, 16 at a time\n", 10));
}
