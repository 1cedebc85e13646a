// HUP and `sockmuxctl reload` of daemons whose words stand in files: what did not change lives on, what is wrong changes
// nothing. Read next: daemon_reload.cc, tests/test_compare.cc (what can change). Rules: sockmuxd(8), "Reload".
#include <doctest/doctest.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "tests/e2e/ctl.h"
#include "tests/e2e/datagrams.h"
#include "tests/e2e/filed.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

// A client whose bytes come back.
bool echoed(Conn& c, const std::string& word) {
  const size_t had = c.text().size();
  c.send(word);
  return wait_for([&] { return c.over() || c.text().size() >= had + word.size(); }, 5) && c.text().substr(had) == word;
}
bool ends(Conn& c) {
  return wait_for([&] { return c.over(); }, 5);
}
bool refused(uint16_t port) {
  Conn c(port);
  return ends(c) && c.error() == ECONNREFUSED;
}

std::string dest(uint16_t server, uint16_t port) { return "DEST=" + local(server) + ":-P" + text(port); }
std::string port_at(uint16_t port) { return "PORT=" + local(port); }

// Of the hub, whose PORT=127.0.0.1:0 is port(0), and that of `words` behind it.
Words hub_words(const Words& words) {
  Words all{"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

}  // namespace

TEST_CASE("reload: ports come and go, servers change, and a channel of what did not change lives on") {
  Server first(echoes), second(echoes), third(echoes);
  const uint16_t old_port = quiet_port(), new_port = quiet_port();
  REQUIRE(old_port != new_port);
  const Filed hub(hub_words({port_at(old_port)}));
  const uint16_t kept = hub.daemon->port(0);
  const std::string link = "SERVER=sockmux://" + local(hub.daemon->link_port());
  const Filed branch({link, dest(first.port(), kept), dest(second.port(), old_port)});
  Conn lives(kept), goes(old_port);
  CHECK(echoed(lives, "before"));
  CHECK(echoed(goes, "before"));
  hub.becomes(hub_words({port_at(new_port)}));
  CHECK(ends(goes));
  CHECK(refused(old_port));
  CHECK(echoed(lives, "between"));
  CHECK(hub.process().wait_log(" reloaded ports_added=1 ports_removed=1 servers_added=0 servers_removed=0 links_moved=0 channels_ended=1\n", 5));
  CHECK(hub.process().wait_log("reason=shutdown", 5));
  CHECK(hub.process().wait_log(" port-closed at=" + local(old_port) + "\n", 5));
  CHECK(hub.process().wait_log(" port-open at=" + local(new_port) + " for=clients\n", 5));
  branch.becomes({link, dest(first.port(), kept), dest(third.port(), new_port)});
  CHECK(branch.process().wait_log(" reloaded ports_added=0 ports_removed=0 servers_added=1 servers_removed=1 links_moved=0 channels_ended=0\n", 5));
  Conn comes(new_port);
  CHECK(echoed(comes, "new"));
  CHECK(third.accepted() == 1);
  // Its server goes.
  branch.becomes({link, dest(first.port(), kept), dest(second.port(), new_port)});
  CHECK(ends(comes));
  CHECK(branch.process().wait_log("reason=\"the configuration has changed\"", 5));
  Conn again(new_port);
  CHECK(echoed(again, "again"));
  CHECK(second.accepted() == 2);
  // Another condition for the same server: who is there stays.
  branch.becomes({link, dest(second.port(), new_port), "DEST=" + local(first.port())});
  CHECK(echoed(lives, "after"));
  CHECK(echoed(again, "after"));
  CHECK(lives.text() == "beforebetweenafter");
  CHECK(first.accepted() == 1);
  // The same port at another place: the old one goes first.
  hub.becomes({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "PORT=0.0.0.0:" + text(new_port)});
  CHECK(ends(again));
  Conn anywhere("127.0.0.2", new_port);
  CHECK(echoed(anywhere, "anywhere"));
  hub.becomes(hub_words({port_at(new_port)}));
  CHECK(ends(anywhere));
  CHECK(serves(new_port, 5));
  CHECK(echoed(lives, "."));
  // The same again is none.
  const Said same = hub.reload();
  CHECK(same.status == 0);
  CHECK(same.out == "reloaded; the options are the same as before\n");
  CHECK(hub.process().wait_log(" reloaded unchanged=yes\n", 5));
}

TEST_CASE("reload: bytes on their way are whole, whatever changes beside them") {
  Server server(echoes);
  const uint16_t other = quiet_port();
  const Filed hub(hub_words({}));
  const uint16_t kept = hub.daemon->port(0);
  const std::string link = "SERVER=sockmux://" + local(hub.daemon->link_port()), here = "DEST=" + local(server.port());
  const Filed branch({link, here});
  Conn c(kept);
  constexpr uint64_t kSize = 24 << 20;
  c.expect_pattern(7).send_pattern(7, kSize).shut();
  for (int i = 0; i < 6; ++i) {
    REQUIRE(wait_for([&] { return c.over() || c.received() > kSize / 8 * static_cast<uint64_t>(i); }, 30));
    hub.write(hub_words({i % 2 == 0 ? port_at(other) : "PORT=127.0.0.1:0/udp", "RELIABLE=127.0.0.1,127.0.0." + text(2u + static_cast<unsigned>(i))}));
    branch.write({link, here, "DEST=127.0.0.1:" + text(1u + static_cast<unsigned>(i)) + ":-P1"});
    hub.process().signal(SIGHUP);
    branch.process().signal(SIGHUP);
  }
  CHECK(wait_for([&] { return c.over(); }, 30));
  CHECK(c.received() == kSize);
  CHECK_FALSE(c.wrong());
  CHECK(c.error() == 0);
  CHECK(hub.process().count(" reload-failed ") == 0);
  CHECK(branch.process().count(" reload-failed ") == 0);
}

TEST_CASE("reload: UDP flows live on, and their ports and servers come and go, the first ones too") {
  UdpServer first(same), second(same);
  const uint16_t kept = quiet_port(), other = quiet_port();
  REQUIRE(kept != other);
  const Filed hub(hub_words({}));
  const std::string link = "SERVER=sockmux://" + local(hub.daemon->link_port());
  const Filed branch({link});
  REQUIRE(hub.process().wait_log(" link-up ", 10));
  const auto udp = [](uint16_t port) { return port_at(port) + "/udp"; };
  const auto to = [](const UdpServer& s, uint16_t port) { return "DEST=" + local(s.port()) + "/udp:-P" + text(port); };
  hub.becomes(hub_words({udp(kept), udp(other)}));
  branch.becomes({link, to(first, kept), to(second, other)});
  Udp lives(kept), goes(other);
  CHECK(lives.ask("a") == "a");
  CHECK(goes.ask("b") == "b");
  hub.becomes(hub_words({udp(kept)}));
  branch.becomes({link, to(first, kept)});
  CHECK(lives.ask("c") == "c");
  CHECK(goes.ask("d", 0.3) == "(nothing)");
  CHECK(first.clients() == 1);  // the flow of before, by its own socket
  branch.becomes({link, to(second, kept)});
  CHECK(wait_for([&] { return lives.ask("f", 0.5) == "f"; }, 10));
  CHECK(second.got().back() == "f");
  hub.becomes(hub_words({udp(other), udp(kept)}));
  CHECK(lives.ask("g") == "g");
  CHECK(figure(*hub.daemon, "statistics-udp-ports", "flows") >= 1);
}

TEST_CASE("reload: lists of who may end what they forbid now, and nothing else") {
  Server one(echoes), two(echoes);
  const Filed hub(hub_words({"PORT=127.0.0.1:0", "PORT=127.0.0.1:0/udp", "RELIABLE=*"}));
  const uint16_t a = hub.daemon->port(0), b = hub.daemon->port(1), u = hub.daemon->port(2);
  const std::string link = "SERVER=sockmux://" + local(hub.daemon->link_port());
  UdpServer udp(same);
  const Words servers{link, dest(one.port(), a), dest(two.port(), b), "DEST=" + local(udp.port()) + "/udp"};
  const Filed branch(servers);
  Conn of_one("127.0.0.1", a, "127.0.0.1"), of_two("127.0.0.1", b, "127.0.0.2"), more("127.0.0.1", a, "127.0.0.2");
  CHECK(echoed(of_one, "1"));
  CHECK(echoed(of_two, "2"));
  CHECK(echoed(more, "3"));
  Udp flow(u, "127.0.0.1", "127.0.0.3");
  CHECK(flow.ask("x") == "x");
  const Words ports{"PORT=127.0.0.1:0", "PORT=127.0.0.1:0/udp"};
  hub.becomes(hub_words({ports[0], ports[1], "RELIABLE=127.0.0.1"}));
  CHECK(ends(of_two));
  CHECK(ends(more));
  CHECK(echoed(of_one, "still"));
  CHECK(flow.ask("y", 0.3) == "(nothing)");
  CHECK(hub.process().wait_log(" client-refused client=127.0.0.2:", 5));
  hub.becomes(hub_words({ports[0], ports[1], "RELIABLE=127.0.0.0/8"}));
  CHECK(flow.ask("z") == "z");  // at once, though it was refused just now
  // At the exit
  Conn again("127.0.0.1", b, "127.0.0.2");
  CHECK(echoed(again, "back"));
  Words less = servers;
  less.push_back("REACHABLE=127.0.0.1:" + text(one.port()));
  branch.becomes(less);
  CHECK(ends(again));
  CHECK(echoed(of_one, "one is reachable"));
  CHECK(flow.ask("w", 0.3) == "(nothing)");
  less.back() = "REJECT=tcprelay:127.0.0.1:*";
  branch.becomes(less);
  CHECK(ends(of_one));
}

TEST_CASE("reload: what is wrong is said with file and line, by sockmuxctl and in the log, and changes nothing") {
  Server server(echoes);
  const uint16_t quiet = quiet_port();
  const Filed hub(hub_words({"MAXIMA=conpch:9"}));
  const uint16_t kept = hub.daemon->port(0);
  const Filed branch({"SERVER=sockmux://" + local(hub.daemon->link_port()), "DEST=" + local(server.port())});
  Conn c(kept);
  CHECK(echoed(c, "before"));
  const size_t fds = hub.daemon->descriptors();
  const auto is_refused = [&](const Words& words, const std::string& error) {
    CAPTURE(error);
    hub.write(words);
    const size_t from = hub.process().log().size();
    const Said said = hub.reload();
    CHECK(said.status == 78);
    CHECK(said.out == "");
    CHECK_MESSAGE(said.error.find("sockmuxctl: " + error + "\n") != std::string::npos, said.error);
    CHECK_MESSAGE(std::count(said.error.begin(), said.error.end(), '\n') == 2, said.error);
    CHECK(said.error.find("sockmuxctl: the options stay as they were\n") != std::string::npos);
    CHECK(hub.process().wait_log(" error reload-failed reason=", 5, from));
    CHECK_FALSE(hub.process().says(" reloaded ", from));
    CHECK(echoed(c, "still"));
    CHECK(refused(quiet));
    CHECK(wait_for([&] { return hub.daemon->descriptors() == fds; }, 5));
  };
  const std::string at = hub.file() + ":";
  const Words good = hub_words({"MAXIMA=conpch:9", port_at(quiet)});
  const auto with = [&](const std::string& word) {
    Words all = good;
    all.push_back(word);
    return all;
  };
  is_refused(with("PROT=1"), at + "6: PROT=1: unknown parameter 'PROT'; do you mean PORT?");
  is_refused(with("MAXIMA=channels:5"), at + "6: MAXIMA=channels:5: MAXIMA=channels cannot change while the daemon runs: restart it");
  is_refused(with("SERVER=sockmux:comm@/dev/ttyS9"), at + "6: SERVER=sockmux:comm@/dev/ttyS9: its links cannot change while the daemon runs: restart it");
  is_refused(with("+=no/such/file"), at + "6: +=no/such/file: 'no/such/file': there is no such file");
  {
    Server busy(echoes);
    is_refused(with(port_at(busy.port())), at + "6: " + port_at(busy.port()) + ": cannot listen at " + local(busy.port()) + ": Address already in use");
  }
  if (geteuid() == 0 && read_file("/proc/sys/net/ipv4/ip_unprivileged_port_start") == "1024\n")
    is_refused(with("PORT=127.0.0.1:1"), at + "6: PORT=127.0.0.1:1: cannot listen at 127.0.0.1:1: Permission denied; a port below 1024 needs root, which the daemon is not any more: restart it");
  {
    // One that takes the place of a port which goes, beside one that cannot: it is as before.
    Server busy(echoes);
    hub.write({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=0.0.0.0:" + text(kept), port_at(busy.port())});
    CHECK(hub.reload().status == 78);
    const std::string any = "0.0.0.0:" + text(kept);
    Conn next(kept);
    CHECK(echoed(next, "as before"));
    next.close();
    is_refused(hub_words({"MAXIMA=conpch:9", "PORT=" + any}), at + "5: PORT=" + any + ": cannot listen at " + any + ": Address already in use");
  }
  {
    // The old one is closed for one that then cannot be opened: it comes back.
    Server busy(echoes, "127.0.0.2", kept);
    const std::string any = "0.0.0.0:" + text(kept);
    hub.write({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=" + any});
    const Said said = hub.reload();
    CHECK(said.status == 78);
    CHECK(said.error.find("cannot listen at " + any + ": Address already in use\n") != std::string::npos);
    CHECK(serves(kept, 5));
  }
  // HUP says so in the log.
  hub.write(with("PROT=1"));
  const size_t from = hub.process().log().size();
  hub.process().signal(SIGHUP);
  CHECK(hub.process().wait_log(" error reload-failed reason=\"" + at + "6: PROT=1: unknown parameter", 5, from));
  if (geteuid() == 0) {
    hub.write(good);
    REQUIRE(chmod(hub.file().c_str(), 0600) == 0);
    const Said said = hub.reload();
    CHECK(said.status == 78);
    CHECK(said.error.find("+=" + hub.file() + ": '" + hub.file() + "': the file can't be read\n") != std::string::npos);
    CHECK(said.error.find("(OWNER), who must be able to read its files") != std::string::npos);
    REQUIRE(unlink(hub.file().c_str()) == 0);
    CHECK(hub.reload().status == 78);
    REQUIRE(mkfifo(hub.file().c_str(), 0644) == 0);  // nobody waits for who may write there
    CHECK(hub.reload().status == 78);
    REQUIRE(unlink(hub.file().c_str()) == 0);
  }
  CHECK(echoed(c, "still"));
  hub.becomes(good);
  CHECK(serves(quiet, 5));
}

TEST_CASE("reload: proxies and programs live on; a program is known by its command, a proxy's client by its server") {
  Server server(echoes);
  const Filed hub(hub_words({"PORT=127.0.0.1:0"}));
  const uint16_t a = hub.daemon->port(0), b = hub.daemon->port(1);
  const std::string link = "SERVER=sockmux://" + local(hub.daemon->link_port());
  const std::string exec = "SERVER=exec,-in(XCOM=cat):-:-P" + text(b), proxy = "SERVER=socks,-in:-:-P" + text(a);
  const Filed branch({link, "'" + exec + "'", proxy});
  const auto socks = [&](Conn& c) {
    c.send(std::string("\5\1\0\5\1\0\1\177\0\0\1", 11) + static_cast<char>(server.port() >> 8) + static_cast<char>(server.port()));
    return wait_for([&] { return c.over() || c.text().size() >= 12; }, 5) && c.text()[3] == 0;
  };
  Conn of_proxy(a), of_program(b);
  REQUIRE(socks(of_proxy));
  CHECK(echoed(of_proxy, "1"));
  CHECK(echoed(of_program, "2"));
  // Other words for the proxy and the program, and another order
  branch.becomes({link, proxy + ",-P1", "'SERVER=exec,-in(XCOM=cat MAXIMA=conpch:3):-:-P" + text(b) + "'"});
  CHECK(echoed(of_proxy, "3"));
  CHECK(echoed(of_program, "4"));
  Conn next(b);
  CHECK(echoed(next, "5"));
  branch.becomes({link, proxy});
  CHECK(ends(of_program));
  CHECK(ends(next));
  CHECK(echoed(of_proxy, "6"));
  branch.becomes({link, "'" + exec + "'"});
  CHECK(ends(of_proxy));
  Conn last(b);
  CHECK(echoed(last, "7"));
}

TEST_CASE("reload: datagrams through SOCKS go on with their proxy, and end with it") {
  UdpServer udp(same);
  const uint16_t port = quiet_port();
  const Filed hub({"SERVER=sockmux", "-P127.0.0.1:0", port_at(port), port_at(port) + "/udp"});
  const std::string link = "SERVER=sockmux://" + local(hub.daemon->link_port());
  const Filed branch({link, "SERVER=socks,-in"});
  REQUIRE(hub.process().wait_log(" link-up ", 10));
  const std::string header = std::string("\0\0\0\1\177\0\0\1", 8) + static_cast<char>(udp.port() >> 8) + static_cast<char>(udp.port());
  const auto associates = [](Conn& c) {
    c.send(std::string("\5\1\0\5\3\0\1\0\0\0\0\0\0", 13));
    return wait_for([&] { return c.over() || c.text().size() >= 12; }, 5) && c.text().size() == 12;
  };
  Conn control(port);
  REQUIRE(associates(control));
  Udp client(port);
  CHECK(client.ask(header + "1") == header + "1");
  branch.becomes({link, "SERVER=socks,-in(TIMEOUT=con:3)", "DEST=127.0.0.1:1:-P1"});
  CHECK(client.ask(header + "2") == header + "2");
  CHECK(control.alive());
  branch.becomes({link, "DEST=127.0.0.1:1:-P1"});
  CHECK(ends(control));
  CHECK(client.ask(header + "3", 0.3) == "(nothing)");
  branch.becomes({link, "SERVER=socks,-in"});
  Conn again(port);
  REQUIRE(associates(again));
  CHECK(wait_for([&] { return client.ask(header + "4", 0.5) == header + "4"; }, 10));
}

TEST_CASE("reload: 200 in a row, with and without changes, cost neither memory nor descriptors") {
  Server server(echoes);
  const uint16_t other = quiet_port();
  const Filed hub(hub_words({}));
  const uint16_t kept = hub.daemon->port(0);
  const std::string link = "SERVER=sockmux://" + local(hub.daemon->link_port()), here = "DEST=" + local(server.port());
  const Filed branch({link, here});
  Conn c(kept);
  CHECK(echoed(c, "before"));
  const auto again = [&](int i) {
    const unsigned n = static_cast<unsigned>(i);
    hub.write(hub_words(i % 2 == 0 ? Words{"HOSTLIST=us:127.0.0." + text(n % 7), "RELIABLE=127.0.0.1,us"} : Words{port_at(other), "PORT=127.0.0.1:0/udp"}));
    branch.write(i % 3 == 0 ? Words{link, here} : Words{link, "DEST=127.0.0.1:" + text(1 + n % 9) + ":-P1", here});
    hub.process().signal(SIGHUP);
    branch.process().signal(SIGHUP);
    // A signal that waits goes before the bytes of channels: both have read their files when these are back.
    CHECK(echoed(c, "."));
  };
  for (int i = 0; i < 8; ++i) again(i);  // until each table was used
  CHECK(hub.process().count(" reloaded ") == 8);
  CHECK(branch.process().count(" reloaded ") == 8);
  const int64_t memory[] = {hub.daemon->resident_kib(), branch.daemon->resident_kib()};
  const size_t fds[] = {hub.daemon->descriptors(), branch.daemon->descriptors()};
  for (int i = 8; i < 200; ++i) again(i);
  for (const Filed* f : {&hub, &branch}) CHECK(ctl({"reload", "-s", f->socket()}).status == 0);
  CHECK(echoed(c, "after"));
  if (!daemon_sanitized()) CHECK(hub.daemon->resident_kib() <= memory[0] + 64);
  if (!daemon_sanitized()) CHECK(branch.daemon->resident_kib() <= memory[1] + 64);
  CHECK(hub.daemon->descriptors() == fds[0]);
  CHECK(branch.daemon->descriptors() == fds[1]);
  CHECK(hub.daemon->statistics().find("allocations=0") != std::string::npos);
}

TEST_CASE("reload: in the background, by a relative path, as nobody under the filter") {
  const TempFolder temp;
  REQUIRE(chmod(temp.path().c_str(), 0777) == 0);
  Server server(echoes);
  const uint16_t link = quiet_port(), port = quiet_port(), more = quiet_port();
  REQUIRE(link != port);
  REQUIRE(port != more);
  const auto words = [&](const std::string& last) { return lines({"SERVER=sockmux", "-P" + local(link), port_at(port), "+=rest"}) + last; };
  write_file(temp / "conf", words(""));
  write_file(temp / "rest", "RELIABLE=*\n");
  Process parent({"/bin/sh", "-c", "cd " + temp.path() + " && exec " + daemon_path() + " +=conf PIDFILE=" + temp / "pid" + " LOGFILE=" + temp / "log" + " SOXCONF=control:" + temp / "socket"});
  REQUIRE(parent.wait_end(10));
  REQUIRE(parent.status() == 0);
  struct Ender {
    ~Ender() {
      if (pid > 0) ::kill(pid, SIGKILL);
    }
    pid_t pid = 0;
  } daemon;
  REQUIRE(wait_for([&] { return (daemon.pid = atoi(read_file(temp / "pid").c_str())) > 0; }, 5));
  Daemon branch({"SERVER=sockmux://" + local(link), "DEST=" + local(server.port())});
  branch.await_start();
  REQUIRE(branch->wait_log(" link-up ", 10));
  Conn c(port);
  CHECK(echoed(c, "before"));
  write_file(temp / "rest", "RELIABLE=127.0.0.0/8\nPORT=" + local(more) + "\n");
  CHECK(::kill(daemon.pid, SIGHUP) == 0);
  CHECK(serves(more, 5));
  CHECK(echoed(c, "after"));
  write_file(temp / "rest", "RELIABLE=127.0.0.0/8\nPROT=1\n");
  const Said said = ctl({"reload", "-s", temp / "socket"});
  CHECK(said.status == 78);
  CHECK(said.error.find("sockmuxctl: rest:2: PROT=1: unknown") == 0);
  CHECK(read_file(temp / "log").find(" reload-failed reason=\"rest:2: ") != std::string::npos);
  c.close();
  CHECK(::kill(daemon.pid, SIGTERM) == 0);
  CHECK(wait_for([&] { return !exists(temp / "pid") || read_file(temp / "pid").empty(); }, 8));
}

TEST_CASE("reload: HUP twice at once, HUP in the end, and a daemon without a file") {
  Server server(echoes);
  const Filed hub(hub_words({}));
  Daemon branch({"SERVER=sockmux://" + local(hub.daemon->link_port()), "DEST=" + local(server.port()), "SOXCONF=control:" + hub.folder / "branch"});
  Conn c(hub.daemon->port(0));
  CHECK(echoed(c, "before"));
  hub.write(hub_words({"RELIABLE=127.0.0.1"}));
  for (int i = 0; i < 5; ++i) hub.process().signal(SIGHUP);
  CHECK(hub.process().wait_log(" reloaded ports_added=0", 5));
  for (int i = 0; i < 5; ++i) branch->signal(SIGHUP);
  CHECK(branch->wait_log(" retry-now reason=SIGHUP", 5));
  CHECK(echoed(c, "after"));
  const Said said = ctl({"reload", "-s", hub.folder / "branch"});
  CHECK(said.status == 0);
  CHECK(said.out == "reloaded; the options are those of the command line, without a file\n");
  CHECK(branch->wait_log(" retry-now reason=\"sockmuxctl reload\"", 5));
  // While it drains, nothing opens any more.
  hub.write(hub_words({"PORT=127.0.0.1:0"}));
  hub.process().signal(SIGTERM);
  REQUIRE(hub.process().wait_log(" ending ", 5));
  hub.process().signal(SIGHUP);
  CHECK(hub.process().wait_log(" retry-now reason=SIGHUP", 5, hub.process().log().find(" ending ")));
  CHECK_FALSE(hub.process().says(" reloaded ports_added=1"));
  c.close();
  CHECK(hub.process().wait_end(8));
  CHECK(hub.process().status() == 0);
}

TEST_CASE("reload: a link is made to another place, and its channels go on where the peer is the same") {
  Server server(echoes);
  const uint16_t second = quiet_port();
  for (const bool backup : {false, true}) {
    CAPTURE(backup);
    const Filed hub({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
    const uint16_t first = hub.daemon->link_port();
    Words words{"SERVER=sockmux://" + local(first), "DEST=" + local(server.port())};
    // A lesser way that is not used, and moves along
    if (backup) words.push_back("SERVER=sockmux://127.0.0.1:1");
    const Filed branch(words);
    Conn c(hub.daemon->port(0));
    CHECK(echoed(c, "before"));
    hub.becomes({"SERVER=sockmux", "-P" + local(second), "PORT=127.0.0.1:0"});
    CHECK(echoed(c, "still"));  // links that stand stay
    CHECK(refused(first));
    if (backup) words.back() = "SERVER=sockmux://127.0.0.1:2";
    words[0] = "SERVER=sockmux://" + local(second);
    const size_t from = branch.process().log().size();
    branch.becomes(words);
    CHECK(branch.process().wait_log(" link-up session=1 peer=\"tcp " + local(second) + "\" dialect=1 resumed=yes", 10, from));
    CHECK(branch.process().wait_log("reason=\"its address in the configuration has changed\"", 5, from));
    CHECK(branch.process().wait_log(backup ? " links_moved=2 " : " links_moved=1 ", 5, from));
    CHECK(echoed(c, "after"));
    if (!backup) continue;
    words.back() = "SERVER=sockmux://127.0.0.1:3";
    branch.becomes(words);
    CHECK(branch.process().wait_log(" links_moved=1 ", 5, from));
    CHECK(echoed(c, "and on"));
    CHECK(branch.process().count(" link-down ") == 1);
  }
}
