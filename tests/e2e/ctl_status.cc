// What sockmuxctl tells of a daemon: status, channels, JSON against the manual, metrics; and what it changes.
// Read next: control.cc (the socket), ctl_top.cc.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "tests/e2e/ctl.h"
#include "tests/e2e/datagrams.h"
#include "tests/e2e/json.h"
#include "tests/e2e/sockets.h"
#include "tests/e2e/terminal.h"

using namespace e2e;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Two daemons with a link; clients come to `a`, the servers of TCP and UDP are at `c`.
struct Told {
  explicit Told(const Words& more = {}) : server(echoes), at_a(folder / "a"), at_c(folder / "c") {
    REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
    Words a{"PORT=127.0.0.1:0", "SOXCONF=control:" + at_a};
    a.insert(a.end(), more.begin(), more.end());
    p = std::make_unique<Pair>(a, Words{"DEST=" + local(server.port()), "TIMEOUT=retry:0.2", "SOXCONF=control:" + at_c});
  }
  std::string a(const Words& words) { return told(at_a, words); }
  std::string c(const Words& words) { return told(at_c, words); }
  static std::string told(const std::string& path, Words words) {
    words.push_back("-s");
    words.push_back(path);
    const Said said = ctl(words);
    CHECK_MESSAGE(said.status == 0, said.error);
    CHECK(said.error == "");
    return said.out;
  }
  Json json(const std::string& path, const std::string& what) {
    Json j;
    const std::string out = told(path, {what, "--json"});
    CHECK_MESSAGE(JsonReader(out).read(&j), out);
    return j;
  }
  uint16_t port() { return p->a->port(); }
  Server server;
  TempFolder folder;
  std::string at_a, at_c;
  std::unique_ptr<Pair> p;
};

// A client that has its echo.
std::unique_ptr<Conn> client(uint16_t port, size_t bytes) {
  auto c = std::make_unique<Conn>(port);
  c->send(std::string(bytes, 'x'));
  REQUIRE(wait_for([&] { return c->received() == bytes; }, 5));
  return c;
}

// Key and type, as the manual has them.
std::map<std::string, std::string> manual_keys() {
  std::ifstream page("man/sockmuxctl.8");
  REQUIRE(page.good());
  std::map<std::string, std::string> keys;
  const std::regex row("\\.It Va (\\S+) Ta (.*) Ta .*");
  std::smatch m;
  for (std::string line; std::getline(page, line);)
    if (std::regex_match(line, m, row)) keys[m[1]] = m[2];
  return keys;
}

bool is_of(const Json& v, const std::string& type) {
  switch (v.kind) {
    case Json::Kind::null: return type.compare(0, 4, "list") != 0;
    case Json::Kind::boolean: return type == "true or false";
    case Json::Kind::text: return type == "text";
    case Json::Kind::list: return type == "list" || type == "list of texts" || type == "number; list";
    case Json::Kind::object: return false;
    case Json::Kind::number: break;
  }
  return type == "number" || type == "number; list" || type == "seconds" || type == "bytes" || type == "microseconds" || type == "datagrams";
}

void check_keys(const Json& object, const std::map<std::string, std::string>& manual, std::set<std::string>* seen) {
  REQUIRE(object.kind == Json::Kind::object);
  for (const auto& m : object.members) {
    const auto known = manual.find(m.first);
    CHECK_MESSAGE(known != manual.end(), m.first, " is not in sockmuxctl(8)");
    if (known == manual.end()) continue;
    CHECK_MESSAGE(is_of(m.second, known->second), m.first, " is no ", known->second);
    if (m.second.kind != Json::Kind::null) seen->insert(m.first);
    for (const Json& item : m.second.items)
      if (item.kind != Json::Kind::text) check_keys(item, manual, seen);
  }
}

}  // namespace

TEST_CASE("sockmuxctl: every key of JSON stands in the manual with its type, and the other way round") {
  TempFolder folder;
  const std::string file = folder / "conf";
  write_file(file, "PORT=127.0.0.1:0/udp\n");
  Told t({"PORT=0.0.0.0:0", "RELIABLE=*", "+=" + file});
  const auto one = client(t.port(), 1000), two = client(t.port(), 10);
  CHECK(wait_for([&] { return Told::told(t.at_c, {"channels"}).find("server") != std::string::npos; }, 5));
  // A link that was lost has a reason.
  CHECK(t.a({"kick", "1"}).find("wait for the next one") != std::string::npos);
  CHECK(wait_for([&] { return t.a({"peers"}).find(" up ") != std::string::npos; }, 5));
  const std::map<std::string, std::string> manual = manual_keys();
  REQUIRE(manual.size() > 60);
  std::set<std::string> seen;
  for (const std::string& path : {t.at_a, t.at_c})
    for (const std::string what : {"status", "peers", "channels"}) check_keys(t.json(path, what), manual, &seen);
  // What only a secure link has, or a port or server for one peer, or for some.
  const std::set<std::string> absent{"name", "key", "clients"};
  for (const auto& key : manual) CHECK_MESSAGE((seen.count(key.first) + absent.count(key.first)) == 1, key.first);
  const Json status = t.json(t.at_a, "status");
  CHECK(status.get("format")->number == 1);
  CHECK(status.get("pid")->number == (*t.p->a)->pid());
  CHECK(status.get("configuration")->text == file);
  CHECK(status.get("links_up")->number == 1);
  CHECK(status.get("channels")->number == 2);
  REQUIRE(status.get("warnings")->items.size() == 1);
  CHECK(status.get("warnings")->items[0].text == "open to the world: PORT 0.0.0.0:" + text(t.p->a->port(1)) + " (RELIABLE= in sockmux.conf(5))");
  const Json& peer = status.get("peers")->items[0];
  CHECK(peer.get("reconnects")->number == 1);
  CHECK(peer.get("down_reason")->text == "sockmuxctl kick");
  CHECK(peer.get("secure")->kind == Json::Kind::boolean);
  CHECK(peer.get("channels")->number == 2);
  size_t ports = 0;
  for (const Json& port : status.get("ports")->items) {
    ++ports;
    if (port.get("kind")->text == "-P") CHECK(port.get("accepted")->number == 2);
    if (port.get("address")->text == local(t.port())) CHECK(port.get("accepted")->number == 2);
  }
  CHECK(ports == 4);
  // The same channels at both ends.
  const Json here = t.json(t.at_a, "channels"), there = t.json(t.at_c, "channels");
  REQUIRE(here.get("channels")->items.size() == 2);
  REQUIRE(there.get("channels")->items.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    const Json &h = here.get("channels")->items[i], &s = there.get("channels")->items[i];
    CHECK(h.get("kind")->text == "client");
    CHECK(s.get("kind")->text == "server");
    CHECK(s.get("server")->text == local(t.server.port()));
    CHECK(h.get("client")->text == s.get("client")->text);
    CHECK(h.get("local")->text == local(t.port()));
    const int64_t bytes = i == 0 ? 1000 : 10;
    CHECK(h.get("rx_bytes")->number == bytes);
    CHECK(h.get("tx_bytes")->number == bytes);
    CHECK(s.get("rx_bytes")->number == bytes);
    CHECK(s.get("tx_bytes")->number == bytes);
  }
  // Another reader's opinion.
  const Said other = ctl_shell("command -v python3 >/dev/null || exit 0; \"$ctl\" status -j -s " + t.at_a + " | python3 -m json.tool >/dev/null");
  CHECK_MESSAGE(other.status == 0, other.error);
}

TEST_CASE("sockmuxctl: status is one screen of 80 columns, in colours on a terminal alone") {
  Told t({"PORT=[::1]:0", "PORT=127.0.0.1:0/udp"});
  const auto one = client(t.port(), 20000);
  for (const std::string& path : {t.at_a, t.at_c}) {
    const std::string out = Told::told(path, {"status"});
    CHECK(out.find('\033') == std::string::npos);
    const std::vector<std::string> lines = lines_of(out);
    CHECK(lines.size() <= 24);
    for (const std::string& line : lines) CHECK_MESSAGE(line.size() <= 80, line);
    CHECK(lines[0].find("sockmuxd ") == 0);
    CHECK(out.find("LINKS     1 up, 0 held, 0 connecting\n") != std::string::npos);
    CHECK(out.find("CHANNELS  1 open;") != std::string::npos);
    CHECK(out.find("DROPS     none\n") != std::string::npos);
    CHECK(out.find("1 channel, rx 19K") != std::string::npos);
    CHECK(out.find("WARNING") == std::string::npos);
  }
  CHECK(t.a({"status"}).find(local(t.port()) + "      open     1         0\n") != std::string::npos);
  CHECK(t.c({"status"}).find(local(t.server.port())) != std::string::npos);
  for (const bool plain : {false, true}) {
    Words environment{"TERM=xterm"};
    environment.push_back(plain ? "NO_COLOR=1" : "NO_COLOR=");
    Terminal screen({ctl_path(), "status", "-s", t.at_a}, environment);
    CHECK(wait_for([&] { return screen.over(); }, 5));
    CHECK(screen.screen().find("DROPS") != std::string::npos);
    CHECK((screen.screen().find("\033[32m  127.0.0.1:") != std::string::npos) == !plain);
    CHECK((screen.screen().find('\033') == std::string::npos) == plain);
  }
}

TEST_CASE("sockmuxctl: status tells what was dropped, and what USR1 tells") {
  Told t({"PORT=127.0.0.1:0/udp"});
  Daemon& a = *t.p->a;
  const auto one = client(t.port(), 500);
  // Nobody has a server for datagrams: they go to a server of TCP, which is none.
  Udp lost(a.port(1));
  REQUIRE(wait_for([&] {
    lost.send("x");
    turn(0.05);
    return t.a({"status"}).find("DROPS     none") == std::string::npos;
  }, 5));
  CHECK(t.a({"status"}).find(" udp refused") != std::string::npos);
  const Json j = t.json(t.at_a, "status");
  const std::string statistics = a.statistics();
  CHECK(Daemon::value(statistics, "channels") == j.get("channels")->number);
  CHECK(Daemon::value(statistics, "aborted") == j.get("channels_aborted")->number);
  CHECK(Daemon::value(statistics, "opened") == j.get("channels_opened")->number);
  CHECK(Daemon::value(statistics, "allocations") == 0);
}

TEST_CASE("sockmuxctl: kick ends a link, whose session goes on, or a channel") {
  Told t;
  Daemon &a = *t.p->a, &c = *t.p->c;
  const auto stays = client(t.port(), 10), goes = client(t.port(), 10);
  const Json list = t.json(t.at_a, "channels");
  const Json& second = list.get("channels")->items[1];
  const std::string id = second.get("id")->text;
  CHECK(t.a({"kick", "channel", id}) == "ended: channel " + id + " of " + second.get("client")->text + "\n");
  CHECK(wait_for([&] { return goes->over(); }, 5));
  CHECK(stays->alive());
  CHECK(c.wait_channels(1, 5));
  CHECK(a->wait_log("kicked session=1 what=" + id, 5));
  const Said gone = ctl({"kick", "channel", id, "-s", t.at_a});
  CHECK(gone.status == 65);
  CHECK(gone.error == "sockmuxctl: " + t.at_a + ": no channel '" + id + "'\nsockmuxctl: there are:\nsockmuxctl:   " +
                          list.get("channels")->items[0].get("id")->text + ": client " + list.get("channels")->items[0].get("client")->text + " of " +
                          second.get("peer")->text + "\n");
  // By its address; then by its number.
  const std::string peer = second.get("peer")->text;
  size_t from = c->log().size();
  CHECK(t.a({"kick", peer}) == "ended: the link of " + peer + "; its 1 channels wait for the next one\n");
  REQUIRE(c->wait_log(" link-up ", 5, from));
  CHECK(c->wait_log("resumed=yes", 5, from));
  CHECK(a->wait_log("link-down session=1 peer=\"tcp " + peer + "\" reason=\"sockmuxctl kick\"", 5));
  stays->send("more");
  CHECK(wait_for([&] { return stays->received() == 14; }, 5));
  from = a->log().size();
  CHECK(t.c({"kick", "1"}).find("ended: the link of " + local(a.link_port())) == 0);
  REQUIRE(a->wait_log(" link-up ", 5, from));
  const Said nobody = ctl({"kick", "hostX", "-s", t.at_c});
  CHECK(nobody.status == 65);
  CHECK(nobody.out == "");
  CHECK(nobody.error == "sockmuxctl: " + t.at_c + ": no peer 'hostX' that has a session\nsockmuxctl: there are:\nsockmuxctl:   " + local(a.link_port()) + ", session 1, up\n");
  // A session that is held ends; one that only seeks a link has none to end.
  c.kill();
  REQUIRE(wait_for([&] { return t.a({"peers"}).find(" held ") != std::string::npos; }, 5));
  CHECK(t.a({"kick", "1"}).find("ended: the session of 127.0.0.1:") == 0);
  CHECK(wait_for([&] { return stays->over(); }, 5));
  DeadPort dead;
  Daemon seeker({"SERVER=sockmux://" + local(dead.port()), "SOXCONF=control:" + t.folder / "d"});
  seeker.await_start();
  CHECK(Told::told(t.folder / "d", {"kick", "1"}) == "nothing to end: no link of " + local(dead.port()) + " is up; it is sought\n");
  CHECK(Daemon::value(a.statistics(), "allocations") == 0);
}

TEST_CASE("sockmuxctl: log shows how much is logged, and changes it") {
  Told t;
  Daemon& a = *t.p->a;
  CHECK(t.a({"log"}) == "usual\n");
  CHECK(t.a({"log", "debug"}) == "debug\n");
  REQUIRE(a->wait_log("log-level from=usual to=debug", 5));
  (void)client(t.port(), 10);
  CHECK(a->wait_log(" debug ", 5));
  CHECK(t.a({"log", "silent"}) == "silent\n");
  REQUIRE(a->wait_log("log-level from=debug to=silent", 5));
  const size_t from = a->log().size();
  (void)client(t.port(), 10);
  CHECK(t.a({"kick", "1"}) != "");
  CHECK(t.a({"log"}) == "silent\n");
  CHECK(t.a({"log", "terse"}) == "terse\n");
  CHECK(t.a({"status"}).find("log terse;") != std::string::npos);
  CHECK(t.a({"log", "usual"}) == "usual\n");
  REQUIRE(a->wait_log("log-level from=terse to=usual", 5, from));
  CHECK_FALSE(a->says("link-", from));
}

// Source: https://prometheus.io/docs/instrumenting/exposition_formats; what `promtool check metrics` looks at.
TEST_CASE("sockmuxctl: metrics are in the text format of Prometheus") {
  Told t;
  const auto one = client(t.port(), 10);
  const std::string page = t.a({"metrics"});
  const std::regex head("# (HELP|TYPE) (sockmux_[a-z_]+) (.+)");
  const std::regex sample("(sockmux_[a-z_]+)(\\{([a-z]+=\"([^\"\\\\]|\\\\.)*\",?)*\\})? ([0-9]+(\\.[0-9]+)?)");
  std::set<std::string> series, names;
  std::string name, type, help;
  for (const std::string& line : lines_of(page)) {
    CAPTURE(line);
    std::smatch m;
    if (std::regex_match(line, m, head)) {
      if (m[1] == "HELP") {
        CHECK(names.insert(m[2]).second);
        name = m[2];
        type.clear();
        help = m[3];
        CHECK(help.back() == '.');
      } else {
        CHECK(m[2] == name);
        type = m[3];
        CHECK((type == "counter" || type == "gauge"));
        const bool total = name.size() > 6 && name.substr(name.size() - 6) == "_total";
        CHECK(total == (type == "counter"));
      }
      continue;
    }
    REQUIRE(std::regex_match(line, m, sample));
    CHECK(m[1] == name);
    CHECK_FALSE(type.empty());
    CHECK(series.insert(m[1].str() + m[2].str()).second);
  }
  CHECK(names.size() > 25);
  CHECK(page.find("\nsockmux_links{state=\"up\"} 1\n") != std::string::npos);
  CHECK(page.find("\nsockmux_channels 1\n") != std::string::npos);
  CHECK(page.find("\nsockmux_port_accepted_total{kind=\"PORT\",transport=\"tcp\",address=\"" + local(t.port()) + "\",peer=\"\"} 1\n") != std::string::npos);
  CHECK(page.find("\nsockmux_peer_up{session=\"1\",name=\"\"} 1\n") != std::string::npos);
}

TEST_CASE("sockmuxctl: all channels that stay are told of, each once, while others come and go") {
  constexpr size_t kStay = 600, kTurns = 6, kComing = 40;
  Told t;
  std::vector<std::unique_ptr<Conn>> stay;
  for (size_t i = 0; i < kStay; ++i) {
    stay.push_back(std::make_unique<Conn>(t.port()));
    stay.back()->send("x");
  }
  REQUIRE(wait_for([&] { return std::all_of(stay.begin(), stay.end(), [](const auto& c) { return c->received() == 1; }); }, 20));
  std::set<std::string> first;
  const Json before = t.json(t.at_a, "channels");
  for (const Json& c : before.get("channels")->items) CHECK(first.insert(c.get("id")->text).second);
  CHECK(first.size() == kStay);
  for (size_t i = 0; i < kTurns; ++i) {
    std::vector<std::unique_ptr<Conn>> come;
    for (size_t n = 0; n < kComing; ++n) {
      come.push_back(std::make_unique<Conn>(t.port()));
      come.back()->send("x").close_behind();
    }
    std::multiset<std::string> now;
    const Json all = t.json(i % 2 == 0 ? t.at_a : t.at_c, "channels");
    for (const Json& c : all.get("channels")->items)
      if (c.get("age_s")->kind == Json::Kind::number) now.insert(c.get(i % 2 == 0 ? "id" : "client")->text);
    CHECK(now.size() >= kStay);
    for (const std::string& id : now) CHECK(now.count(id) == 1);
    for (const std::string& id : first) CHECK((i % 2 != 0 || now.count(id) == 1));
  }
  CHECK(Daemon::value(t.p->a->statistics(), "allocations") == 0);
}

TEST_CASE("sockmuxctl: the examples of its manual, against a daemon") {
  const std::set<std::string> mine{"status", "peers", "channels", "top", "kick", "log", "metrics", "version"};
  Told t;
  const auto one = client(t.port(), 10);
  std::ifstream page("man/sockmuxctl.8");
  std::set<std::string> done;
  const std::string kExample = ".Dl sockmuxctl ";
  for (std::string line; std::getline(page, line);) {
    if (line.compare(0, kExample.size(), kExample) != 0) continue;
    CAPTURE(line);
    std::istringstream in(line.substr(kExample.size()));
    Words words;
    for (std::string w; in >> w;) words.push_back(w == "branch1" ? "1" : w == "1.0.1" ? t.json(t.at_a, "channels").get("channels")->items[0].get("id")->text : w == "/run/sockmux.sock" ? t.at_a : w);
    REQUIRE(!words.empty());
    if (mine.count(words[0]) == 0) continue;
    done.insert(words[0]);
    if (std::find(words.begin(), words.end(), "-s") == words.end()) words.insert(words.end(), {"-s", t.at_a});
    const Said said = ctl(words);
    CHECK_MESSAGE(said.status == 0, said.error);
    CHECK(said.out != "");
    CHECK(wait_for([&] { return Told::told(t.at_a, {"peers"}).find(" up ") != std::string::npos; }, 5));
  }
  CHECK(done == mine);
}
