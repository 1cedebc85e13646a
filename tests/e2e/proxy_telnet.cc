// The telnet proxy at the exit, with real clients. Read next: relay/telnet.h, tests/test_proxy_telnet.cc.
#include <doctest/doctest.h>

#include "tests/e2e/proxies.h"
#include "tests/e2e/terminal.h"

using namespace e2e;

namespace {

// A server that says who it is, and echoes.
Server::Greet named(const std::string& name) {
  return [name](Conn& c) {
    c.send("here is " + name + "\r\n");
    c.echo = true;
  };
}

std::string wish(const Server& server) { return "127.0.0.1 " + text(server.port()) + "\r\n"; }

}  // namespace

TEST_CASE("example: uni-directional to proxy-Telnet-DeleGate, in both dialects") {
  // hostX% delegated SERVER=sockmux -PhostX:9000 PORT=hostX:9023
  // hostY% delegated SERVER=sockmux://hostX:9000 SERVER="telnet,-in"
  Server server(named("the server"));
  for (const char* proto : {"SOXCONF=proto:auto", "SOXCONF=proto:0.3"}) {
    CAPTURE(proto);
    Daemon x({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "TIMEOUT=lin:1"});  // 0.3 has no half-close
    Daemon y({"SERVER=sockmux://" + local(x.link_port()), "SERVER=telnet,-in", "REMITTABLE=telnet", proto});
    REQUIRE(y->wait_log(" link-up ", 5));
    // hostX:9023 is forwarded to a Telnet proxy on hostY.
    Conn client(x.port());
    CHECK(wait_for([&] { return client.text() == ">> Host name: "; }, 5));
    client.send(wish(server));
    CHECK(wait_for([&] { return client.text().find("here is the server\r\n") != std::string::npos; }, 5));
    client.send("hello");
    CHECK(wait_for([&] { return client.text().find("hello") != std::string::npos; }, 5));
    client.shut();
    CHECK(wait_for([&] { return client.over(); }, 5));
    CHECK(client.ended());
  }
}

TEST_CASE("example: forwarding multiple port, to proxies") {
  // hostX% ... PORT=8023,8080
  // hostY% ... SERVER=telnet,-in:-:-P8023 SERVER=http,-in:-:-P8080
  Web web("hostW");
  uint16_t telnet = 0, http = 0;
  {
    Server one(echoes, "0.0.0.0"), two(echoes, "0.0.0.0");
    telnet = one.port();
    http = two.port();
  }
  Daemon x({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=" + text(telnet) + "," + text(http)});
  Daemon y({"SERVER=sockmux://" + local(x.link_port()), "SERVER=telnet,-in:-:-P" + text(telnet), "SERVER=http,-in:-:-P" + text(http)});
  REQUIRE(y->wait_log(" link-up ", 5));
  // hostX:8023 is forwarded to Telnet-proxy on hostY, hostX:8080 is forwarded to HTTP-proxy on hostY
  Conn client(telnet);
  CHECK(wait_for([&] { return client.text() == ">> Host name: "; }, 5));
  CHECK(run({find_program("curl"), "-sS", "-x", "http://" + local(http), web.url("small")}, 10) == "a small page of hostW\n");
}

TEST_CASE("telnet proxy: a real telnet client at a terminal") {
  const std::string telnet = find_program("telnet");
  Server server(named("the server"));
  DeadPort dead;
  Pair p({"PORT=127.0.0.1:0"}, {"SERVER=telnet,-in(REMITTABLE=telnet)"});
  Terminal t({telnet, "127.0.0.1", text(p.a->port())});
  CHECK(t.shows(">> Host name: "));
  t.type("help\r");
  CHECK(t.shows("host:port"));
  t.type("127.0.0.1:" + text(dead.port()) + "\r");
  CHECK(t.shows("connection refused"));
  t.type("nobody.invalid\r");
  CHECK(t.shows("unknown host"));
  t.type("127.0.0.1:" + text(server.port()) + "\r");
  CHECK(t.shows("here is the server"));
  t.type("typed by hand\r");
  CHECK(t.shows("typed by hand\r\ntyped by hand"));
  // The server ends, and the client hears of it.
  REQUIRE(server.conns().size() == 1);
  server.last().close();
  CHECK(t.shows("closed by foreign host"));
  CHECK(wait_for([&] { return t.over(); }, 5));
  Terminal q({telnet, "127.0.0.1", text(p.a->port())});
  CHECK(q.shows(">> Host name: "));
  q.type("quit\r");
  CHECK(q.shows("closed by foreign host"));
  CHECK(p.c->wait_channels(0, 10));
}

TEST_CASE("telnet proxy: a server that negotiates gets its answers from the real client") {
  // DO TERMINAL-TYPE, WILL ECHO, WILL SUPPRESS-GO-AHEAD: what telnetd begins with.
  Server server([](Conn& c) { c.send("\xff\xfd\x18\xff\xfb\x01\xff\xfb\x03login: "); });
  Pair p({"PORT=127.0.0.1:0"}, {"SERVER=telnet,-in(REMITTABLE=telnet)"});
  Terminal t({find_program("telnet"), "127.0.0.1", text(p.a->port())});
  CHECK(t.shows(">> Host name: "));
  t.type("127.0.0.1 " + text(server.port()) + "\r");
  CHECK(t.shows("login: "));
  REQUIRE(server.conns().size() == 1);
  const std::string& got = server.last().text();
  CHECK(wait_for([&] { return got.find("\xff\xfb\x18") != std::string::npos && got.find("\xff\xfd\x01") != std::string::npos; }, 5));
  t.type("x");  // at once, since the server echoes
  CHECK(wait_for([&] { return got.find('x') != std::string::npos; }, 5));
}

TEST_CASE("telnet proxy: programs as clients: nc, and one that sends all at once") {
  Server digest(answers_digest);
  Pair p({"PORT=127.0.0.1:0"}, {"SERVER=telnet,-in(REMITTABLE=telnet)"});
  const std::string data = pattern(58, 3 << 20);
  TempFolder temp;
  write_file(temp / "input", wish(digest) + data);
  ProcessSetup input;
  input.input = temp / "input";
  input.separate = true;
  const std::string got = run({find_program("nc"), "-N", "127.0.0.1", text(p.a->port())}, 20, input);
  CHECK(got.find(digest_of(data)) != std::string::npos);
  Conn c(p.a->port());
  c.send(wish(digest)).send_pattern(58, 3 << 20).shut();
  CHECK(wait_for([&] { return c.over(); }, 20));
  CHECK(c.text().find(digest_of(data)) != std::string::npos);
}

TEST_CASE("telnet proxy: forbidden ports and hosts, bad input, silence") {
  Server server(named("the server"));
  const auto said = [&](const Words& words, const std::string& what) {
    Words c = words;
    Pair p({"PORT=127.0.0.1:0"}, c);
    return ask(p.a->port(), what + "quit\r\n", 5);
  };
  CHECK(said({"SERVER=telnet,-in"}, wish(server)).find("forbidden: not among what this proxy relays (REMITTABLE)") != std::string::npos);
  CHECK(said({"SERVER=telnet,-in(REMITTABLE=telnet REACHABLE=192.0.2.1)"}, wish(server)).find("forbidden") != std::string::npos);
  CHECK(said({"SERVER=telnet,-in(REMITTABLE=telnet REJECT=*:127.0.0.1:*)"}, wish(server)).find("forbidden") != std::string::npos);
  CHECK(said({"SERVER=telnet,-in(REMITTABLE=telnet)", "REJECT=telnet:127.0.0.1:*"}, wish(server)).find("forbidden") != std::string::npos);
  CHECK(server.accepted() == 0);
  // Bound to a host, the words say who may.
  CHECK(said({"SERVER=telnet://" + local(server.port()) + ",-in(REJECT=*:127.0.0.1:*)"}, "").find("here is") == std::string::npos);
  CHECK(said({"SERVER=telnet://" + local(server.port()) + ",-in(-vs)"}, "").find("here is the server") != std::string::npos);

  Pair p({"PORT=127.0.0.1:0"}, {"SERVER=telnet,-in(REMITTABLE=telnet TIMEOUT=login:1)"});
  const uint16_t port = p.a->port();
  Conn silent(port), iac(port), endless(port), only_ends(port);
  std::string commands, ends;
  while (commands.size() < 1 << 20) commands += "\xff\xfd\x01\xff\xfb\x1f\xff\xf1";
  iac.send(commands);
  endless.send(std::string(1 << 20, 'a'));
  only_ends.send(std::string(1 << 20, '\n'));
  CHECK(wait_for([&] { return silent.over() && iac.over() && endless.over() && only_ends.over(); }, 10));
  CHECK(silent.text().find("timed out") != std::string::npos);
  for (Conn* c : {&silent, &iac, &endless, &only_ends}) c->close();
  CHECK(p.c->wait_channels(0, 15));
  CHECK_FALSE(p.c->process().says("link-down"));
  CHECK(ask(port, wish(server), 5).find("here is the server") != std::string::npos);
  CHECK(Daemon::value(p.c->statistics(), "allocations") == 0);
}

TEST_CASE("-in(words): they hold for that server alone, and may stand in a file") {
  Server server(named("the server"));
  TempFolder temp;
  write_file(temp / "config.cnf", "REMITTABLE=telnet\nREACHABLE=127.0.0.1\nHOSTS=inner/127.0.0.1\n");
  for (const std::string& word :
       {"SERVER=telnet,-in(+=" + temp / "config.cnf" + ")", std::string("SERVER=telnet,-in(REMITTABLE=telnet HOSTS=inner/127.0.0.1)")}) {
    Pair p({"PORT=127.0.0.1:0"}, {word});
    CHECK(ask(p.a->port(), wish(server), 5).find("here is the server") != std::string::npos);
    CHECK(ask(p.a->port(), "inner " + text(server.port()) + "\r\n", 5).find("here is the server") != std::string::npos);
  }
  // SERVER="telnet://host,-in(+=config.cnf)": bound to that host, under these words.
  write_file(temp / "closed.cnf", "REJECT=*:127.0.0.1:*\n");
  for (const bool open : {true, false}) {
    Pair p({"PORT=127.0.0.1:0"},
           {"SERVER=telnet://" + local(server.port()) + ",-in(+=" + temp / (open ? "config.cnf" : "closed.cnf") + ")"});
    CHECK((ask(p.a->port(), "", 5).find("here is the server") != std::string::npos) == open);
  }
  // A file that is not there may have said who is kept out: nobody is served.
  Pair p({"PORT=127.0.0.1:0"}, {"SERVER=telnet://" + local(server.port()) + ",-in(+=" + temp / "missing.cnf" + ")"});
  CHECK(ask(p.a->port(), "", 5).find("here is") == std::string::npos);
  CHECK(p.c->process().wait_log("words-missing", 5));
  // Where connections to servers come from.
  Server seen([](Conn& c) { c.send("hello"); });
  Pair q({"PORT=127.0.0.1:0"}, {"SERVER=telnet,-in(REMITTABLE=telnet SRCIF=127.0.0.7)"});
  CHECK(ask(q.a->port(), wish(seen), 5).find("hello") != std::string::npos);
}

TEST_CASE("telnet proxy: 300 clients that say nothing: there is an end of proxies, and a line that says so; then all is well") {
  Server server(named("the server"));
  Pair p({"PORT=127.0.0.1:0"}, {"SERVER=telnet,-in(REMITTABLE=telnet)"});
  std::vector<std::unique_ptr<Conn>> many;
  for (int i = 0; i < 300; ++i) many.push_back(std::make_unique<Conn>(p.a->port()));
  const auto prompted = [&] {
    size_t n = 0;
    for (auto& c : many) n += c->text() == ">> Host name: " ? 1 : 0;
    return n;
  };
  const auto refused = [&] {
    size_t n = 0;
    for (auto& c : many) n += c->over() ? 1 : 0;
    return n;
  };
  CHECK(wait_for([&] { return prompted() == 256 && refused() == 44; }, 10));
  CHECK(p.c->process().wait_log("proxies-full", 5));
  CHECK_FALSE(p.c->process().says("link-down"));
  if (!daemon_sanitized()) CHECK(p.c->resident_kib() < 16384);
  many.clear();
  CHECK(p.c->wait_channels(0, 10));
  CHECK(ask(p.a->port(), wish(server), 5).find("here is the server") != std::string::npos);
}
