// Reloads that go wrong in the middle, or come while something else is under way. Read next: reload.cc, daemon_reload.cc.
#include <doctest/doctest.h>
#include <unistd.h>

#include "tests/e2e/ctl.h"
#include "tests/e2e/datagrams.h"
#include "tests/e2e/filed.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

bool listens(const std::string& host, uint16_t port) {
  Conn c(host, port);
  return wait_for([&] { return c.connected() || c.over(); }, 5) && c.connected();
}
Words hub_words(const Words& words) {
  Words all{"SERVER=sockmux", "-P127.0.0.1:0"};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

}  // namespace

TEST_CASE("reload: a port that was closed for one that could not be opened is open again, at once or with the next reload") {
  const std::string port = text(quiet_port());
  const uint16_t number = static_cast<uint16_t>(std::stoi(port));
  const Filed hub(hub_words({"PORT=0.0.0.0:" + port}));
  REQUIRE(listens("127.0.0.2", number));
  // Two that are in each other's way: none of it.
  hub.write(hub_words({"PORT=127.0.0.1:" + port + "," + port}));
  const Said said = hub.reload();
  CHECK(said.status == 78);
  CHECK(said.error.find("cannot listen at 0.0.0.0:" + port) != std::string::npos);
  CHECK(listens("127.0.0.2", number));
  CHECK_FALSE(hub.process().says("cannot be opened again"));
  hub.write(hub_words({"PORT=0.0.0.0:" + port}));
  CHECK(hub.reload().status == 0);
  CHECK(listens("127.0.0.2", number));
}

TEST_CASE("reload: a second port of the same name is an error, and no end of the daemon") {
  char name[256] = {};
  REQUIRE(gethostname(name, sizeof name - 1) == 0);
  const std::string mine = std::string("PORT=") + name + ":0";
  // Where the system does not know its own name there is nothing to see.
  if (run({"/bin/sh", "-c", std::string("getent hosts ") + name + " >/dev/null && echo yes || echo no"}, 10) != "yes\n") return;
  const Filed hub(hub_words({mine}));
  hub.write(hub_words({mine + "," + name + ":0"}));
  const Said said = hub.reload();
  CHECK(said.status == 78);
  CHECK(said.error.find("is a name: while the daemon runs") != std::string::npos);
  CHECK(hub.process().running());
}

TEST_CASE("reload: TIMEOUT=silence holds for flows that are there") {
  UdpServer server(same);
  const Words words = hub_words({"PORT=127.0.0.1:0/udp"});
  Words with = words;
  with.push_back("TIMEOUT=silence:0");
  const Filed hub(with);
  Daemon branch({"SERVER=sockmux://" + local(hub.daemon->link_port()), "DEST=" + local(server.port()) + "/udp", "TIMEOUT=silence:0"});
  REQUIRE(hub.process().wait_log(" link-up ", 5));
  Udp client(hub.daemon->port());
  REQUIRE(client.ask("hello") == "hello");
  with.back() = "TIMEOUT=silence:1";
  hub.becomes(with);
  const auto flows = [&] { return figure(*hub.daemon, "statistics-udp-ports", "flows"); };
  for (const double until = now() + 10 * slowness(); flows() != 0 && now() < until;) turn(0.1);
  CHECK(flows() == 0);
}

TEST_CASE("reload: HOSTS moves a port, and a link") {
  const std::string port = text(quiet_port());
  const uint16_t number = static_cast<uint16_t>(std::stoi(port));
  const Filed hub(hub_words({"HOSTS=lan/127.0.0.2", "PORT=lan:" + port}));
  REQUIRE(listens("127.0.0.2", number));
  hub.becomes(hub_words({"HOSTS=lan/127.0.0.3", "PORT=lan:" + port}));
  CHECK(listens("127.0.0.3", number));
  CHECK_FALSE(listens("127.0.0.2", number));
  const std::string link = text(quiet_port());
  Daemon first({"SERVER=sockmux", "-P127.0.0.2:" + link}), second({"SERVER=sockmux", "-P127.0.0.3:" + link});
  const Filed branch({"HOSTS=hub/127.0.0.2", "SERVER=sockmux://hub:" + link});
  REQUIRE(first->wait_log(" link-up ", 5));
  branch.becomes({"HOSTS=hub/127.0.0.3", "SERVER=sockmux://hub:" + link});
  CHECK(second->wait_log(" link-up ", 5));
}

TEST_CASE("reload: MAXIMA=conpch that comes later counts who is there already") {
  Server server(echoes);
  const Words words = hub_words({"PORT=127.0.0.1:0"});
  const Filed hub(words);
  Daemon branch({"SERVER=sockmux://" + local(hub.daemon->link_port()), "DEST=" + local(server.port())});
  REQUIRE(hub.process().wait_log(" link-up ", 5));
  const uint16_t port = hub.daemon->port();
  Conn one(port), two(port);
  REQUIRE(wait_for([&] { return server.accepted() == 2; }, 5));
  Words with = words;
  with.push_back("MAXIMA=conpch:2");
  hub.becomes(with);
  Conn third(port);
  CHECK(wait_for([&] { return third.over(); }, 5));
  CHECK(server.accepted() == 2);
  one.close();
  two.close();
  CHECK(serves(port, 10));
}

TEST_CASE("reload: a proxy's client that a name has let in stays when the name means another host, and ends when it is forbidden") {
  Server server(echoes);
  const Filed hub({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
  const std::string link = "SERVER=sockmux://" + local(hub.daemon->link_port());
  const auto proxy = [](const std::string& address, const std::string& who) { return "'SERVER=socks,-in(HOSTS=inner/" + address + " REACHABLE=" + who + ")'"; };
  const Filed branch({link, proxy("127.0.0.1", "inner")});
  Conn c(hub.daemon->port());
  c.send(std::string("\5\1\0\5\1\0\3\5inner", 13) + static_cast<char>(server.port() >> 8) + static_cast<char>(server.port()));
  REQUIRE(wait_for([&] { return c.text().size() >= 12; }, 5));
  CHECK(c.text()[3] == 0);
  const auto echoed = [&](const std::string& word) {
    const size_t had = c.text().size();
    c.send(word);
    return wait_for([&] { return c.over() || c.text().size() >= had + word.size(); }, 5) && c.text().substr(had) == word;
  };
  CHECK(echoed("1"));
  branch.becomes({link, proxy("127.0.0.9", "INNER,192.0.2.1")});
  CHECK(echoed("2"));
  branch.becomes({link, proxy("127.0.0.9", "192.0.2.1")});
  CHECK(wait_for([&] { return c.over(); }, 5));
}
