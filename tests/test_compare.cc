// A configuration in force and the next one: what can change without a restart, and whose place is whose.
#include "config/reload/compare.h"

#include <doctest/doctest.h>

#include "config/reload/places.h"
#include "config/reload/reader.h"
#include "tests/options.h"

using namespace smx_test;
using smx::Config;
using smx::ServerPlace;
using smx::ServerPlaces;

namespace {

const Strings kHub = {"SERVER=sockmux", "-P9000"};
const Strings kBranch = {"SERVER=sockmux://192.0.2.1:9000"};

Strings operator+(Strings a, const Strings& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// What stands in the way from `now` to `next`, one line each; "" if nothing does.
std::string refusal(const Strings& now, const Strings& next) {
  Run a, b;
  a.parse(now);
  b.parse(next);
  REQUIRE_MESSAGE(a.good, a.report.errors()[0].text.c_str());
  REQUIRE_MESSAGE(b.good, b.report.errors()[0].text.c_str());
  smx::StartRoom room;
  room.servers = a.config.servers;
  room.ports = a.config.links.count + a.config.listens.count + 2;
  room.places = a.config.servers.count + 2;
  room.names = a.config.names.count + 1;
  room.far_ports = a.config.remote_listens.count + 2;
  std::string_view name;
  smx::Origin where;
  room.resolves = smx::asks_names(a.config, &name, &where);
  smx::Report report;
  const bool good = smx::can_follow(a.config, b.config, room, &report);
  CHECK(good == (report.error_count() == 0));
  std::string all;
  for (const smx::Problem& p : report.errors()) all += text_of(p.text.text()) + "\n";
  return all;
}

bool same(const Strings& one, const Strings& other) {
  Run a, b;
  a.parse(one);
  b.parse(other);
  REQUIRE(a.good);
  REQUIRE(b.good);
  return smx::same_config(a.config, b.config);
}

}  // namespace

TEST_CASE("compare: what a daemon can follow without a restart") {
  const Strings more[] = {
      {},
      {"PORT=9023", "PORT=127.0.0.1:53/udp"},
      {"PORT=localhost:9023"},
      {"HOSTS=inside/192.0.2.7", "PORT=inside:9023"},
      {"-Q9001"},
      {"DEST=127.0.0.1:23", "SERVER=telnet://127.0.0.1:23,-in"},
      {"RELIABLE=*", "PERMIT=*:*:10.0.0.0/8", "REJECT=telnet:*:*", "REACHABLE=127.0.0.1", "HOSTLIST=us:127.0.0.1"},
      {"TIMEOUT=con:3,io:600,login:9,dns:4,silence:60"},
      {"MAXIMA=conpch:4,listen:7,opens:5"},
      {"-vd"},
      {"SOXCONF=send-proxy:v2"},
      // The default, said aloud
      {"MAXIMA=channels:1000", "TIMEOUT=ping:60", "SOXCONF=packsize:16384"},
  };
  for (const Strings& m : more) {
    CAPTURE(m.empty() ? std::string() : m[0]);
    CHECK(refusal(kHub, kHub + m) == "");
    CHECK(refusal(kHub + m, kHub) == "");
  }
}

TEST_CASE("compare: what needs a restart is named, one line each") {
  const std::string end = " cannot change while the daemon runs: restart it\n";
  const char* const words[][2] = {{"OWNER=daemon", "OWNER"},
                                  {"CHROOT=/tmp", "CHROOT"},
                                  {"UMASK=022", "UMASK"},
                                  {"PIDFILE=/tmp/x", "PIDFILE"},
                                  {"SYSLOG=-fmail", "SYSLOG"},
                                  {"SOXCONF=name:us", "SOXCONF=name"},
                                  {"SOXCONF=control:/tmp/x", "SOXCONF=control"},
                                  {"SOXCONF=sandbox:no", "SOXCONF=sandbox"},
                                  {"SOXCONF=proto:1", "SOXCONF=proto"},
                                  {"SOXCONF=packsize:1024", "SOXCONF=packsize"},
                                  {"SOXCONF=line:clean", "SOXCONF=line"},
                                  {"MAXIMA=channels:5", "MAXIMA=channels"},
                                  {"MAXIMA=memory:64m", "MAXIMA=memory"},
                                  {"MAXIMA=links:3", "MAXIMA=links"},
                                  {"MAXIMA=halfopen:3", "MAXIMA=halfopen"},
                                  {"MAXIMA=udprelay:3", "MAXIMA=udprelay"},
                                  {"MAXIMA=delegated:3", "MAXIMA=delegated"},
                                  {"TIMEOUT=ping:5", "TIMEOUT=ping"},
                                  {"TIMEOUT=resume:5", "TIMEOUT=resume"},
                                  {"TIMEOUT=hello:5", "TIMEOUT=hello"},
                                  {"TIMEOUT=retry:5", "TIMEOUT=retry"},
                                  {"TIMEOUT=lin:5", "TIMEOUT=lin"},
                                  {"TIMEOUT=renew:5", "TIMEOUT=renew"},
                                  {"SRCIF=127.0.0.1", "SRCIF"}};
  for (const auto& w : words) {
    CAPTURE(w[0]);
    CHECK(refusal(kHub, kHub + Strings{w[0]}) == std::string(w[0]) + ": " + w[1] + end);
    CHECK(refusal(kHub + Strings{w[0]}, kHub) == w[1] + end);
  }
  CHECK(refusal(kHub, kHub + Strings{"-eA=1"}) == "-e" + end);
  const std::string two = refusal(kHub, kHub + Strings{"MAXIMA=channels:5", "UMASK=022"});
  CHECK(has(two, "UMASK=022: UMASK cannot"));
  CHECK(has(two, "MAXIMA=channels:5: MAXIMA=channels cannot"));
  // All at once, or one that differs among others
  CHECK(has(refusal(kHub, kHub + Strings{"MAXIMA=conpch:1,channels:5"}), "MAXIMA=conpch:1,channels:5: MAXIMA=channels cannot"));
}

TEST_CASE("compare: links and what hangs on them") {
  CHECK(refusal(kBranch, {"SERVER=sockmux://192.0.2.2:9001"}) == "");
  CHECK(has(refusal(kBranch, {"SERVER=sockmux://hub.example.com:9000"}), "'hub.example.com' is a name"));
  CHECK(has(refusal(kBranch, {"SERVER=sockmuxs://192.0.2.1:9000"}), "SERVER=sockmuxs://192.0.2.1:9000: its links cannot change"));
  CHECK(has(refusal(kBranch, kBranch + Strings{"SERVER=sockmux://192.0.2.2:9000"}), "its links cannot"));
  CHECK(has(refusal(kBranch, kHub), "its links cannot"));
  CHECK(has(refusal(kHub, kHub + Strings{"SERVER=sockmux:comm@/dev/ttyS0"}), "its links cannot"));
  CHECK(has(refusal({"SERVER=sockmux:comm@/dev/ttyS0,9600"}, {"SERVER=sockmux:comm@/dev/ttyS0,19200"}), "its links cannot"));
  CHECK(has(refusal({"SERVER=sockmuxs", "-P9000"}, kHub), "its links cannot"));
  CHECK(refusal(kHub, {"SERVER=sockmux", "-P9001,9002"}) == "");
  const Strings secure = {"SERVER=sockmuxs://192.0.2.1:9000"};
  CHECK(has(refusal(secure, secure + Strings{"HOSTS=a/192.0.2.1"}), "HOSTS cannot change"));
  CHECK(refusal(secure, secure + Strings{"RPORT=80,81"}) == "");
  CHECK(has(refusal(secure, secure + Strings{"RPORT=80-82"}), "RPORT=80-82: there was room for 2 ports of RPORT"));
}

TEST_CASE("compare: what was not set aside or started at the start") {
  CHECK(has(refusal(kHub, kHub + Strings{"SERVER=socks,-in"}), "SERVER=socks,-in: the first proxy"));
  CHECK(refusal(kHub + Strings{"SERVER=http,-in"}, kHub + Strings{"SERVER=socks,-in"}) == "");
  CHECK(has(refusal(kHub, kHub + Strings{"SERVER=exec,-in(XCOM=date)"}), "a new command needs a restart"));
  CHECK(refusal(kHub + Strings{"SERVER=exec,-in(XCOM=date)"}, kHub + Strings{"SERVER=exec,-in(XCOM=date):-:-P80", "SERVER=exec,-in(XCOM=date MAXIMA=conpch:1)"}) == "");
  CHECK(has(refusal(kHub + Strings{"SERVER=exec,-in(XCOM=date)"}, kHub + Strings{"SERVER=exec,-in(XFIL=date)"}), "a new command"));
  CHECK(has(refusal(kHub + Strings{"SERVER=exec,-in(XCOM=date)"}, kHub + Strings{"SERVER=exec,-in(XCOM=date -eA=1)"}), "a new command"));
  CHECK(has(refusal(kHub, kHub + Strings{"DEST=www.example.com:80"}), "DEST=www.example.com:80: 'www.example.com' is a name"));
  CHECK(has(refusal(kHub, kHub + Strings{"RELIABLE=www.example.com"}), "'www.example.com' is a name"));
  CHECK(refusal(kHub + Strings{"DEST=a.example.com:80"}, kHub + Strings{"DEST=www.example.com:80", "RELIABLE=b.example.com"}) == "");
  CHECK(has(refusal(kHub, kHub + Strings{"PORT=www.example.com:80"}), "PORT=www.example.com:80: 'www.example.com' is a name"));
  CHECK(refusal(kHub + Strings{"PORT=www.example.com:80"}, kHub + Strings{"PORT=www.example.com:80", "PORT=81"}) == "");
  CHECK(has(refusal(kHub, kHub + Strings{"PORT=1-4"}), "there was room for 3 ports"));
  CHECK(has(refusal(kHub, kHub + Strings{"DEST=127.0.0.1:1", "DEST=127.0.0.1:2", "DEST=127.0.0.1:3"}), "there was room for 2 of SERVER and DEST"));
  CHECK(has(refusal(kHub + Strings{"RELIABLE=a.example.com"}, kHub + Strings{"RELIABLE=a.example.com,b.example.com,c.example.com"}), "there was room for 2 names"));
}

TEST_CASE("compare: the same, or not") {
  CHECK(same(kHub, kHub));
  CHECK(same(kHub + Strings{"PORT=9023", "DEST=127.0.0.1:1"}, kHub + Strings{"DEST=127.0.0.1:1", "PORT=9023"}));
  const Strings others[] = {{"PORT=9023"}, {"PORT=9022/udp"}, {"DEST=127.0.0.1:2"}, {"RELIABLE=*"}, {"-vt"}, {"-Q9001"}, {"TIMEOUT=con:1"}, {"HOSTS=a/192.0.2.1"}, {"-eA=1"}};
  for (const Strings& o : others) CHECK_FALSE(same(kHub, kHub + o));
  CHECK_FALSE(same(kHub + Strings{"DEST=127.0.0.1:1"}, kHub + Strings{"DEST=127.0.0.1:1:-P80"}));
  CHECK_FALSE(same(kHub + Strings{"SERVER=http,-in"}, kHub + Strings{"SERVER=http,-in(TIMEOUT=con:1)"}));
  CHECK_FALSE(same(kHub + Strings{"PORT=80"}, kHub + Strings{"PORT=80/udp"}));
  // Among the words of a proxy is a file, and that has changed.
  Run a, b;
  a.files.files["who"] = "RELIABLE=127.0.0.1\n";
  b.files.files["who"] = "RELIABLE=127.0.0.2\n";
  a.parse(kHub + Strings{"SERVER=http,-in(+=who)"});
  b.parse(kHub + Strings{"SERVER=http,-in(+=who)"});
  REQUIRE(a.good);
  REQUIRE(b.good);
  CHECK_FALSE(smx::same_config(a.config, b.config));
  CHECK_FALSE(smx::same_access(a.config, b.config));
  CHECK(smx::same_target(a.config.servers[0], b.config.servers[0]));
}

TEST_CASE("compare: lists of who may, apart from all else") {
  Run a, b, c;
  a.parse(kHub + Strings{"RELIABLE=*", "DEST=127.0.0.1:1"});
  b.parse(kHub + Strings{"RELIABLE=*", "DEST=127.0.0.1:1:-P80", "PORT=80", "TIMEOUT=con:3"});
  c.parse(kHub + Strings{"RELIABLE=127.0.0.1", "DEST=127.0.0.1:1"});
  CHECK(smx::same_access(a.config, b.config));
  CHECK_FALSE(smx::same_access(a.config, c.config));
}

TEST_CASE("places: each server keeps its own over a reload, by what it says") {
  Run a, b, c;
  a.parse(kHub + Strings{"SERVER=exec,-in(XCOM=date)", "DEST=127.0.0.1:1:-P80", "DEST=127.0.0.1:1:-P81", "DEST=127.0.0.1:2"});
  b.parse(kHub + Strings{"DEST=127.0.0.1:3", "DEST=127.0.0.1:1:-P82", "DEST=127.0.0.1:1:-P80", "SERVER=exec,-in(XCOM=date MAXIMA=conpch:1)"});
  REQUIRE(a.good);
  REQUIRE(b.good);
  std::vector<char> memory(1 << 16);
  smx::Arena arena(memory.data(), memory.size());
  ServerPlaces places;
  REQUIRE(places.init(a.config, 6, arena));
  const auto place = [&](const Run& run, size_t i) { return places.find(&run.config.servers[i]); };
  const ServerPlace *exec = place(a, 0), *at80 = place(a, 1), *at81 = place(a, 2), *second = place(a, 3);
  CHECK(exec->label.text() == "exec");
  CHECK(at80->host.text() == "127.0.0.1");
  places.match(b.config);
  // What is gone is known until all have heard, and nothing else takes its place so far.
  CHECK(second->spec == nullptr);
  CHECK(second->used);
  CHECK(places.removed() == 1);
  CHECK(exec->spec == &b.config.servers[0]);
  CHECK(at80->spec == &b.config.servers[3]);  // in each word
  CHECK(at81->spec == &b.config.servers[2]);  // goes where it went, for others
  places.settle(b.config);
  CHECK(places.added() == 1);
  CHECK(place(b, 1)->spec == &b.config.servers[1]);
  CHECK(place(b, 1) == second);
  CHECK(exec->command == a.config.servers[0].options->xcom.data());  // as the helper knows it
  // Away and back: a command of the start.
  c.parse(kHub + Strings{"DEST=127.0.0.1:1:-P80"});
  places.match(c.config);
  places.settle(c.config);
  CHECK(place(c, 0) == at80);
  CHECK(places.removed() == 3);
  places.match(a.config);
  places.settle(a.config);
  CHECK(places.added() == 3);
  CHECK(place(a, 0)->command == a.config.servers[0].options->xcom.data());
  CHECK(place(a, 1) == at80);
  // As many as there is room for, again and again
  for (int i = 0; i < 20; ++i) {
    places.match(b.config);
    places.settle(b.config);
    places.match(a.config);
    places.settle(a.config);
  }
  CHECK(place(a, 3) != nullptr);
}

TEST_CASE("choose: what is open stays unless the lists certainly forbid it") {
  Names names;
  names.known["here.example.com"] = {"192.0.2.1"};
  smx::Subject client;
  client.client = smx::Address{4, {192, 0, 2, 1}, 5};
  client.accepted_port = 80;
  client.kind_known = true;
  const auto stays = [&](const Strings& words) {
    Run r;
    r.parse(kHub + words);
    REQUIRE(r.good);
    return smx::still_allowed_client(r.config, client, names);
  };
  CHECK(stays({"RELIABLE=192.0.2.0/24"}));
  CHECK_FALSE(stays({"RELIABLE=192.0.3.0/24"}));
  CHECK_FALSE(stays({}));  // of no local network
  CHECK(stays({"RELIABLE=here.example.com"}));
  CHECK(stays({"RELIABLE=not.yet.example.com"}));
  CHECK_FALSE(stays({"RELIABLE=*", "REJECT=*:*:192.0.2.1"}));
  CHECK(stays({"RELIABLE=*", "REJECT=*:*:not.yet.example.com"}));
  CHECK(stays({"PERMIT=*:*:192.0.2.1"}));
  CHECK_FALSE(stays({"PERMIT=*:*:192.0.2.2"}));

  smx::Target target;
  target.host = "127.0.0.1";
  target.port = 23;
  smx::parse_ip("127.0.0.1", &target.address);
  const auto reached = [&](const Strings& words) {
    Run r;
    r.parse(kHub + words);
    REQUIRE(r.good);
    return smx::still_allowed_connect(r.config, r.config.servers[0], target, names);
  };
  const std::string dest = "DEST=127.0.0.1:23";
  CHECK(reached({dest}));
  CHECK(reached({dest, "REACHABLE=127.0.0.1"}));
  CHECK_FALSE(reached({dest, "REACHABLE=127.0.0.2"}));
  CHECK(reached({dest, "REACHABLE=not.yet.example.com"}));
  CHECK_FALSE(reached({dest, "REJECT=tcprelay:127.0.0.1:*"}));
  CHECK(reached({dest, "REJECT=tcprelay:127.0.0.2:*"}));
  // Who the client is nobody knows any more.
  CHECK(reached({dest, "REJECT=tcprelay:*:192.0.2.1"}));
  CHECK(reached({dest, "PERMIT=tcprelay:*:192.0.2.1"}));
  CHECK_FALSE(reached({dest, "PERMIT=tcprelay:127.0.0.2:192.0.2.1"}));
  CHECK_FALSE(reached({dest, "PERMIT=telnet:*:*"}));
  // Nor what a proxy's client has asked it to speak.
  CHECK(reached({"SERVER=socks,-in", "PERMIT=telnet:*:*"}));
  CHECK(reached({"SERVER=socks,-in", "REJECT=telnet:*:*"}));
  CHECK_FALSE(reached({"SERVER=socks,-in", "REJECT=*:127.0.0.1:*"}));
  CHECK_FALSE(reached({"SERVER=socks,-in(REACHABLE=127.0.0.2)"}));
}

TEST_CASE("reader: each reading has memory of its own, and a wrong one changes nothing") {
  MemoryFiles files;
  files.files["f"] = "SERVER=sockmux\n-P9000\nDEST=127.0.0.1:1\n";
  const char* const words[] = {"+=f"};
  Config held;
  smx::ConfigReader reader(words, 1, files, held);
  CHECK(reader.names_files());
  std::vector<char> first(1 << 20), halves(2 << 20);
  smx::Report report;
  REQUIRE(reader.read(first.data(), first.size(), &report));
  reader.set_halves(halves.data(), halves.size() / 2);
  const Config& config = reader.config();
  const std::string_view of_first = config.servers[0].to.host;
  for (int i = 2; i < 10; ++i) {
    CAPTURE(i);
    files.files["f"] = "SERVER=sockmux\n-P9000\nDEST=127.0.0." + std::to_string(i) + ":1\n";
    REQUIRE(reader.read_again(&report));
    const smx::ServerSpec& old = config.servers[0];
    CHECK(old.to.host == "127.0.0." + std::to_string(i - 1));  // still whole
    reader.adopt();
    CHECK(config.servers[0].to.host == "127.0.0." + std::to_string(i));
    files.files["f"] += "PROT=1\n";
    CHECK_FALSE(reader.read_again(&report));
    CHECK(text_of(report.errors()[0].text.text()) == "f:4: PROT=1: unknown parameter 'PROT'; do you mean PORT?");
    CHECK(config.servers[0].to.host == "127.0.0." + std::to_string(i));
    report.clear();
  }
  CHECK(of_first == "127.0.0.1");
  const char* const plain[] = {"SERVER=sockmux", "-P9000"};
  CHECK_FALSE(smx::ConfigReader(plain, 2, files, held).names_files());
}
