// Lists of hosts and protocols, access, and the choice of the server: config/hostlist.h, config/choose.h.
#include <doctest/doctest.h>

#include "config/hostlist.h"
#include "tests/options.h"

namespace {

using smx::Doubt;
using smx::ListUse;
using smx_test::client;
using smx_test::has;
using smx_test::Names;
using smx_test::Run;
using smx_test::Strings;
using smx_test::text_of;

// Is `ip`, accepted at port 8023, in the list? The list is the condition of a DEST.
bool in(const std::string& list, const std::string& ip, const Names& names = Names{}, const Strings& more = {}) {
  Run run;
  Strings words = more;
  words.push_back("DEST=h:1:" + list);
  run.parse_more(words);
  INFO(run.error());
  REQUIRE(run.good);
  REQUIRE(run.config.servers[0].when != nullptr);
  return smx::matches(*run.config.servers[0].when, client(ip, 8023), names);
}

std::string fault(const std::string& list, ListUse use = ListUse::clients) {
  Run run;
  smx::ListFault f;
  const smx::HostList* parsed = smx::parse_host_list(list, use, run.arena, &f);
  CHECK((parsed == nullptr) == (f.text.size() > 0));
  return text_of(f.text.text());
}

bool client_ok(const Strings& words, const std::string& ip, uint16_t port = 9023, const Names& names = Names{}) {
  Run run;
  run.parse_more(words);
  INFO(run.error());
  REQUIRE(run.good);
  return smx::allowed_client(run.config, client(ip, port), names);
}

smx::Target target(const char* host, uint16_t port, const char* address = "") {
  smx::Target t;
  t.host = host;
  t.port = port;
  if (address[0] != 0) smx::parse_ip(address, &t.address);
  return t;
}

}  // namespace

TEST_CASE("IPv6 in lists: addresses, networks, brackets, DeleGate's underscores") {
  CHECK(in("::1", "::1"));
  CHECK(in("[::1]", "::1"));
  CHECK(in("__1", "::1"));
  CHECK(in("10.1.1.1,__1", "::1"));
  CHECK_FALSE(in("::1", "::2"));
  CHECK(in("2001:db8::/32", "2001:db8:7::9"));
  CHECK(in("[2001:db8::]/32", "2001:db8:7::9"));
  CHECK(in("2001_db8__/32", "2001:db8:7::9"));
  CHECK_FALSE(in("2001:db8::/32", "2001:db9::1"));
  CHECK(in("2001:db8::/33", "2001:db8:7fff::1"));
  CHECK_FALSE(in("2001:db8::/33", "2001:db8:8000::1"));
  CHECK(in("{::1,10.1.1.1},!10.1.1.2", "::1"));
  CHECK(in("*", "2001:db8::1"));
  CHECK(in("::/0", "2001:db8::1"));
  CHECK(in("!10.1.*", "2001:db8::1"));
  CHECK_FALSE(in("10.1.*", "2001:db8::1"));
  CHECK_FALSE(in("10.1.1.0/24", "::1"));
}

TEST_CASE("IPv4 in IPv6 counts as IPv4, on both sides") {
  CHECK(in("10.1.1.1", "::ffff:10.1.1.1"));
  CHECK(in("10.1.*", "::ffff:10.1.1.1"));
  CHECK(in("::ffff:10.1.1.1", "10.1.1.1"));
  CHECK(in("::ffff:10.1.0.0/112", "10.1.7.7"));
  CHECK_FALSE(in("::ffff:10.1.0.0/112", "10.2.7.7"));
  CHECK(in("127.0.0.1", "::ffff:127.0.0.1"));
  CHECK(in("::ffff:0.0.0.0/96", "10.1.7.7"));
  CHECK_FALSE(in("::ffff:0.0.0.0/96", "2001:db8::1"));
}

TEST_CASE("0.0.0.0 and :: as servers are this host, for every list; as clients they are what they say") {
  for (const char* rule : {"REACHABLE=*,!127.0.0.0/8,!::1", "REACHABLE=*,!localhost", "REACHABLE=*,!.localnet", "REJECT=*:{127.0.0.1,::1}:*"}) {
    CAPTURE(rule);
    Run run;
    run.parse_more({"SERVER=socks,-in", "RELIABLE=*", rule});
    REQUIRE(run.good);
    const auto ok = [&](const char* host, const char* ip) {
      return smx::allowed_connect(run.config, run.config.servers[0], client("192.0.2.1", 8023), target(host, 80, ip), Names{});
    };
    CHECK(ok("192.0.2.7", "192.0.2.7"));
    CHECK(ok("2001:db8::7", "2001:db8::7"));
    for (const char* ip : {"0.0.0.0", "::", "::ffff:0.0.0.0", "::0.0.0.0"}) {
      CAPTURE(ip);
      CHECK_FALSE(ok(ip, ip));
      CHECK_FALSE(ok(ip, ""));
      CHECK_FALSE(ok("some.name", ip));
    }
  }
  CHECK_FALSE(in("127.0.0.1,::1,.localnet", "0.0.0.0"));
  CHECK_FALSE(in("127.0.0.1,::1,.localnet", "::"));
  CHECK_FALSE(client_ok({}, "0.0.0.0"));
}

TEST_CASE("patterns of octets") {
  CHECK(in("10.*", "10.255.255.255"));
  CHECK(in("10.*.*", "10.1.2.3"));
  CHECK(in("*.1.2.3", "10.1.2.3"));
  CHECK(in("10.[0-1].*.[3-3]", "10.1.200.3"));
  CHECK_FALSE(in("10.[0-1].*.[3-3]", "10.2.200.3"));
  for (const char* bad : {"1*", "10.1.1", "10", "10.1.1.1.1", "10.1.1.256", "10.1.1.[5-2]", "10.1.1.[5]", "10..1.1",
                          "10.1.1.", "10.1.1.1*", "10.1.*.1.*"}) {
    CHECK_MESSAGE(has(fault(bad), "'"), bad);
  }
}

TEST_CASE("masks") {
  CHECK(in("10.1.1.9/255.255.0.0", "10.1.7.7"));
  CHECK(in("10.1.1.9/FFFF0000", "10.1.7.7"));
  CHECK(in("10.1.1.9/ffff0000", "10.1.7.7"));
  CHECK(in("10.1.1.1/32", "10.1.1.1"));
  CHECK_FALSE(in("10.1.1.1/32", "10.1.1.2"));
  CHECK(in("10.1.1.1/1", "127.0.0.1"));
  CHECK_FALSE(in("10.1.1.1/1", "128.0.0.1"));
  CHECK(in("0.0.0.0/0", "192.0.2.1"));
  for (const char* bad : {"10.1.1.1/33", "10.1.1.1/", "10.1.1.1/x", "::1/129", "::1/", "host/24", "10.1.*/16",
                          "10.1.1.1/@", "10.1.1.1/@B", "10.1.1.1/."}) {
    CHECK_MESSAGE(has(fault(bad), bad), bad);
  }
}

TEST_CASE("order, negation, & and |") {
  CHECK(in("10.1.*,!10.1.2.*,10.1.2.3", "10.1.2.3"));
  CHECK_FALSE(in("10.1.*,!10.1.2.*,10.1.2.3", "10.1.2.4"));
  CHECK(in("!10.1.1.1,!10.1.1.2", "10.1.1.3"));
  CHECK_FALSE(in("!10.1.1.1,!10.1.1.2", "10.1.1.2"));
  CHECK_FALSE(in("!{10.1.*,!10.1.1.1}", "10.1.2.3"));
  CHECK(in("!{10.1.*,!10.1.1.1}", "10.1.1.1"));
  CHECK(in("10.1.*,&,!10.1.1.1,&,-P8023", "10.1.1.2"));
  CHECK_FALSE(in("10.1.*,&,!10.1.1.1,&,-P8024", "10.1.1.2"));
  CHECK(in("10.9.*,&,10.1.*,|,10.1.1.1", "10.1.1.1"));
  CHECK(in("{10.1.1.1},{10.1.1.2}", "10.1.1.2"));
  for (const char* bad : {"!", "10.1.1.1,!", "!!10.1.1.1", "&,10.1.1.1", "10.1.1.1,&", "10.1.1.1,|", "a,&,|,b", "a,,b",
                          "", " ", "{}", "{a", "a}", "[a", "a;b", "a b", "a{b}", "{a}b"}) {
    CHECK_MESSAGE(!fault(bad).empty(), bad);
  }
}

TEST_CASE("words that DeleGate has and we can't check are refused, each by its name") {
  for (const char* bad : {".", "-", ".o", ".C", "?", "user@host", "-a/10.1.1.1", "-c/x", "-h/x", "-A/text", "-T.9-16",
                          "_4.*", "_6.*", "*.example.com", "www.*", "10.1.1.1:8023", "host:80", "a/b/c"}) {
    CHECK_MESSAGE(has(fault(bad), bad), bad);
  }
}

TEST_CASE("ports of a condition") {
  CHECK(in("-P8023", "10.1.1.1"));
  CHECK(in("-P8000-8100", "10.1.1.1"));
  CHECK(in("-P*", "10.1.1.1"));
  CHECK(in("-P8080,8023", "10.1.1.1"));
  CHECK(in("-P{8080,8023}", "10.1.1.1"));
  CHECK(in("-P8080, 8020-8030/tcp", "10.1.1.1"));
  CHECK_FALSE(in("!-P8080,8023", "10.1.1.1"));
  CHECK(in("!-P8080,8081", "10.1.1.1"));
  CHECK_FALSE(in("-P8080,8081,10.1.1.2", "10.1.1.1"));
  CHECK(in("-P8080,8081,10.1.1.1", "10.1.1.1"));
  for (const char* bad : {"-P", "-Px", "-P65536", "-P9-8", "-P8023/x", "-P8023/TCP", "-P{1,2", "-P8023,8024x"}) {
    CHECK_MESSAGE(!fault(bad).empty(), bad);
  }
  CHECK(has(fault("-P8023", ListUse::reliable), "-P8023"));
  CHECK(has(fault("-P8023", ListUse::servers), "host:port"));
  std::string many = "-P1";
  for (size_t i = 1; i < smx::kMaxPortRanges; ++i) many += ",1";
  CHECK(fault(many).empty());
  CHECK(has(fault(many + ",1"), "64"));
}

TEST_CASE("a host in front of a port of -P is ignored with a warning") {
  Run run;
  run.parse_more({"DEST=h:1:-P{10.1.1.1:8023,8024}"});
  REQUIRE(run.good);
  CHECK(has(run.warning(), "10.1.1.1:8023"));
  CHECK(smx::matches(*run.config.servers[0].when, client("10.9.9.9", 8023), Names{}));
}

TEST_CASE("a port's kind counts where the client's is known, and only there") {
  Run run;
  run.parse_more({"DEST=h:1:-P53/udp"});
  REQUIRE(run.good);
  smx::Subject who = client("10.1.1.1", 53);
  CHECK(smx::matches(*run.config.servers[0].when, who, Names{}));
  who.kind_known = true;
  CHECK_FALSE(smx::matches(*run.config.servers[0].when, who, Names{}));
  who.kind = smx::Transport::udp;
  CHECK(smx::matches(*run.config.servers[0].when, who, Names{}));
}

TEST_CASE("a name is its addresses of the moment; one that is not known lets nobody in") {
  Names names;
  names.known["hub"] = {"10.1.1.1", "2001:db8::1"};
  CHECK(in("hub", "10.1.1.1", names));
  CHECK(in("hub", "2001:db8::1", names));
  CHECK_FALSE(in("hub", "10.1.1.2", names));
  CHECK_FALSE(in("!hub", "10.1.1.1", names));
  CHECK(in("!hub", "10.1.1.2", names));
  CHECK_FALSE(in("away", "10.1.1.1", names));
  CHECK_FALSE(in("!away", "10.1.1.1", names));
  CHECK_FALSE(in("*,!away", "10.1.1.1", names));
  CHECK_FALSE(in("!{away}", "10.1.1.1", names));
  CHECK_FALSE(in("!{!away}", "10.1.1.1", names));
  CHECK(in("away,10.1.1.1", "10.1.1.1", names));
}

TEST_CASE("in a list that keeps out, what is not known is kept out") {
  Run run;
  run.parse_more({"DEST=h:1:away", "DEST=h:1:!away"});
  REQUIRE(run.good);
  CHECK(smx::matches(*run.config.servers[0].when, client("10.1.1.1"), Names{}, Doubt::allow));
  CHECK(smx::matches(*run.config.servers[1].when, client("10.1.1.1"), Names{}, Doubt::allow));
  const smx::Subject nobody;
  CHECK_FALSE(smx::matches(*run.config.servers[0].when, nobody, Names{}));
}

TEST_CASE("HOSTS goes before the resolver, and localhost is ourselves") {
  Names names;
  names.known["cli"] = {"10.9.9.9"};
  names.known["localhost"] = {"10.9.9.9"};
  const Strings hosts = {"HOSTS={cli,CLI2}/{10.1.1.1,::7}"};
  CHECK(in("cli", "10.1.1.1", names, hosts));
  CHECK(in("CLI", "::7", names, hosts));
  CHECK(in("cli2", "10.1.1.1", names, hosts));
  CHECK_FALSE(in("cli", "10.9.9.9", names, hosts));
  CHECK(in("localhost", "127.0.0.1", names));
  CHECK(in("localhost", "::1", names));
  CHECK_FALSE(in("localhost", "10.9.9.9", names));
  CHECK(in("localhost", "10.7.7.7", names, {"HOSTS=localhost/10.7.7.7"}));
  CHECK(in("cli", "10.2.2.2", names, {"HOSTS=cli/10.1.1.1", "HOSTS=cli/10.2.2.2"}));
}

TEST_CASE(".localnet is loopback and the networks of our interfaces, unless it is defined anew") {
  Names names;
  names.add_network("192.168.7.1", 24);
  names.add_network("2001:db8::1", 64);
  CHECK(in(".localnet", "127.0.0.1", names));
  CHECK(in(".localnet", "127.7.7.7", names));
  CHECK(in(".localnet", "::1", names));
  CHECK(in(".localnet", "192.168.7.250", names));
  CHECK(in(".localnet", "::ffff:192.168.7.250", names));
  CHECK(in(".localnet", "2001:db8::9:9", names));
  CHECK_FALSE(in(".localnet", "192.168.8.1", names));
  CHECK_FALSE(in(".localnet", "2001:db8:0:1::1", names));
  CHECK_FALSE(in("!.localnet", "127.0.0.1", names));
  const Strings anew = {"HOSTLIST=.localnet:10.1.1.1"};
  CHECK(in(".localnet", "10.1.1.1", names, anew));
  CHECK_FALSE(in(".localnet", "127.0.0.1", names, anew));
  // Where no list is given, it is the one of who comes in.
  CHECK(client_ok({"HOSTLIST=.localnet:10.1.1.1"}, "10.1.1.1", 9023, names));
  CHECK_FALSE(client_ok({"HOSTLIST=.localnet:10.1.1.1"}, "192.168.7.250", 9023, names));
  CHECK(client_ok({"HOSTLIST=.localnet:10.1.1.1", "RELIABLE=*"}, "192.168.7.250", 9023, names));
  CHECK(client_ok({"HOSTLIST=.localnet:10.1.1.1", "PERMIT=*:*:*"}, "192.168.7.250", 9023, names));
}

TEST_CASE("named lists: before or behind, the last one holds, :+ adds, case counts") {
  CHECK(in("aa", "10.1.1.1", {}, {"HOSTLIST=aa:bb,127.0.0.1", "HOSTLIST=bb:10.1.1.1"}));
  CHECK(in("!aa", "10.1.1.2", {}, {"HOSTLIST=aa:10.1.1.1"}));
  CHECK(in("aa", "10.1.1.2", {}, {"HOSTLIST=aa:10.1.1.1", "HOSTLIST=aa:+,10.1.1.2", "HOSTLIST=aa:+,10.1.1.3"}));
  CHECK(in("aa", "10.1.1.1", {}, {"HOSTLIST=aa:+,10.1.1.1"}));
  CHECK_FALSE(in("AA", "10.1.1.1", {}, {"HOSTLIST=aa:10.1.1.1"}));
  Run run;
  run.parse_more({"HOSTLIST=aa:10.1.1.1", "HOSTLIST=aa:+,::1"});
  CHECK(run.has_setting("HOSTLIST", "aa:10.1.1.1,::1"));
}

TEST_CASE("lists that name themselves, or cost too much, are errors of the whole") {
  Run loop;
  loop.parse_more({"HOSTLIST=aa:10.1.1.1,bb", "HOSTLIST=bb:{!aa}"});
  CHECK_FALSE(loop.good);
  CHECK(loop.report.status() == 78);
  CHECK(has(loop.error(), "itself"));
  Run deep;
  Strings words;
  for (int i = 0; i < 40; ++i) words.push_back("HOSTLIST=l" + std::to_string(i) + ":l" + std::to_string(i + 1));
  words.push_back("HOSTLIST=l40:10.1.1.1");
  deep.parse_more(words);
  CHECK(has(deep.error(), "32"));
  Run wide;
  words.clear();
  for (int i = 0; i < 8; ++i) {
    std::string list = "HOSTLIST=w" + std::to_string(i) + ":";
    for (int j = 0; j < 10; ++j) list += (j > 0 ? ",w" : "w") + std::to_string(i + 1);
    words.push_back(list);
  }
  words.push_back("HOSTLIST=w8:10.1.1.1");
  wide.parse_more(words);
  CHECK(has(wide.error(), "65536"));
  Run port;
  port.parse_more({"HOSTLIST=aa:-P8023", "RELIABLE=10.1.1.1,aa"});
  CHECK(has(port.error(), "RELIABLE"));
  std::string many = "1.1.1.1";
  for (size_t i = 1; i < smx::kMaxTerms; ++i) many += ",1.1.1.1";
  CHECK(fault(many).empty());
  CHECK(has(fault(many + ",1.1.1.1"), "1024"));
  CHECK(has(fault("{a,{a,{a,{a,{a,{a,{a,{a,{a,b}}}}}}}}}"), "8"));
}

TEST_CASE("the names that must be resolved ahead are listed once") {
  Run run;
  run.parse_more({"RELIABLE=hub,localhost,friends,.localnet", "HOSTLIST=friends:Hub,away", "HOSTS=cli/10.1.1.1",
                  "DEST=target:1:cli,{other}", "REACHABLE=target", "SERVER=telnet,-in(RELIABLE=inner)"});
  REQUIRE(run.good);
  Strings names;
  for (const std::string_view name : run.config.names) names.push_back(text_of(name));
  CHECK(names == Strings{"Hub", "away", "other", "target", "inner"});
}

TEST_CASE("lists of protocols") {
  Run run;
  smx::ListFault f;
  const auto matches = [&](const char* list, const char* protocol, uint16_t port, bool otherwise = false) {
    const smx::ProtoList* parsed = smx::parse_proto_list(list, run.arena, &f);
    REQUIRE(parsed != nullptr);
    return smx::matches(*parsed, protocol, port, otherwise);
  };
  CHECK(matches("http,https/{80,443}", "HTTP", 8080));
  CHECK(matches("http,https/{80,443}", "https", 443));
  CHECK_FALSE(matches("http,https/{80,443}", "https", 444));
  CHECK_FALSE(matches("*,!telnet", "telnet", 23));
  CHECK_FALSE(matches("*,-telnet", "telnet", 23));
  CHECK(matches("!telnet", "http", 80));
  CHECK(matches("telnet/*", "telnet", 99));
  CHECK(matches("+,telnet", "http", 80, true));
  CHECK_FALSE(matches("+,-http", "http", 80, true));
  for (const char* bad : {"", "http/80/GET", "a b", "{a", "http/x", "a,,b", "1.2.3.4"}) {
    CHECK_MESSAGE(smx::parse_proto_list(bad, run.arena, &f) == nullptr, bad);
  }
}

TEST_CASE("who comes in: local networks, or RELIABLE") {
  Names names;
  names.add_network("192.168.7.1", 24);
  CHECK(client_ok({}, "127.0.0.1"));
  CHECK(client_ok({}, "192.168.7.9", 9023, names));
  CHECK_FALSE(client_ok({}, "192.168.8.9", 9023, names));
  CHECK(client_ok({"RELIABLE=*"}, "192.0.2.1"));
  CHECK(client_ok({"RELIABLE=10.1.1.1", "RELIABLE=10.1.1.2"}, "10.1.1.1"));
  CHECK_FALSE(client_ok({"RELIABLE=10.1.1.1", "RELIABLE=10.1.1.2"}, "127.0.0.1"));
  CHECK_FALSE(client_ok({"RELIABLE=nosuch"}, "10.1.1.1"));
  CHECK_FALSE(client_ok({"RELIABLE=!nosuch"}, "10.1.1.1"));
}

TEST_CASE("who comes in: PERMIT replaces the default of RELIABLE, its protocols and servers do not matter") {
  CHECK(client_ok({"PERMIT=*:*:10.1.1.1"}, "10.1.1.1"));
  CHECK(client_ok({"PERMIT=telnet:hostX:10.1.1.1"}, "10.1.1.1"));
  CHECK_FALSE(client_ok({"PERMIT=*:*:10.1.1.1"}, "127.0.0.1"));
  CHECK(client_ok({"PERMIT=*:*:10.1.1.1", "PERMIT=*:*:.localnet"}, "127.0.0.1"));
  CHECK_FALSE(client_ok({"PERMIT=*:*:*", "RELIABLE=10.1.1.1"}, "10.1.1.2"));
  CHECK_FALSE(client_ok({"PERMIT=*:*:10.1.1.2", "RELIABLE=*"}, "10.1.1.1"));
  CHECK(client_ok({"PERMIT=*:*:10.1.1.1,&,-P9023"}, "10.1.1.1", 9023));
  CHECK_FALSE(client_ok({"PERMIT=*:*:10.1.1.1,&,-P9023"}, "10.1.1.1", 9024));
  CHECK(client_ok({"PERMIT=*:*:2001:db8::/32"}, "2001:db8::1"));
}

TEST_CASE("who comes in: REJECT wins, also by a name that is not known") {
  CHECK_FALSE(client_ok({"RELIABLE=*", "REJECT=*:*:10.1.1.1"}, "10.1.1.1"));
  CHECK(client_ok({"RELIABLE=*", "REJECT=*:*:10.1.1.1"}, "10.1.1.2"));
  CHECK_FALSE(client_ok({"PERMIT=*:*:*", "REJECT=*:*:10.1.1.1"}, "10.1.1.1"));
  CHECK_FALSE(client_ok({"RELIABLE=*", "REJECT=*:*:nosuch"}, "10.1.1.1"));
  CHECK(client_ok({"RELIABLE=*", "REJECT=telnet:*:10.1.1.1"}, "10.1.1.1"));
}

TEST_CASE("at the exit: PERMIT and REJECT with protocols or servers, REACHABLE") {
  const auto ok = [](const Strings& words, const smx::Target& to, const std::string& from = "10.1.1.1") {
    Run run;
    Strings all = words;
    all.push_back("SERVER=telnet://hostX,-in");
    run.parse_more(all);
    INFO(run.error());
    REQUIRE(run.good);
    return smx::allowed_connect(run.config, run.config.servers[0], client(from, 8023), to, Names{});
  };
  const smx::Target x = target("hostX", 23, "192.0.2.1");
  const smx::Target y = target("hostY", 23, "192.0.2.2");
  CHECK(ok({}, x));
  CHECK(ok({"PERMIT=*:*:10.9.9.9"}, x));
  CHECK(ok({"PERMIT=telnet:*:*"}, x));
  CHECK_FALSE(ok({"PERMIT=http:*:*"}, x));
  CHECK(ok({"PERMIT=http:*:*", "PERMIT=telnet:*:*"}, x));
  CHECK(ok({"PERMIT=*:hostx:*"}, x));
  CHECK_FALSE(ok({"PERMIT=*:hostX:*"}, y));
  CHECK(ok({"PERMIT=*:192.0.2.0/24:*"}, y));
  CHECK_FALSE(ok({"PERMIT=*:192.0.2.0/24:*"}, target("hostX", 23)));
  CHECK(ok({"PERMIT=*:192.0.2.0/24:*"}, target("192.0.2.9", 23)));
  CHECK(ok({"PERMIT=*:{hostX:23}:*"}, x));
  CHECK_FALSE(ok({"PERMIT=*:{hostX:{80,443}}:*"}, x));
  CHECK(ok({"PERMIT=*:{*:{23,443}}:*"}, x));
  CHECK(ok({"PERMIT=*:{[2001:db8::1]:23}:*"}, target("h", 23, "2001:db8::1")));
  CHECK_FALSE(ok({"PERMIT=telnet/24:*:*"}, x));
  CHECK_FALSE(ok({"PERMIT=telnet:*:10.2.2.2"}, x));
  CHECK_FALSE(ok({"REJECT=telnet:*:*"}, x));
  CHECK(ok({"REJECT=http:*:*"}, x));
  CHECK(ok({"REJECT=*:*:10.1.1.1"}, x));
  CHECK_FALSE(ok({"REJECT=*:hostX:10.1.1.1"}, x));
  CHECK(ok({"REJECT=*:hostX:10.1.1.2"}, x));
  CHECK_FALSE(ok({"REJECT=*:nosuch:*"}, x));
  CHECK_FALSE(ok({"REJECT=*:{nosuch:23}:*"}, x));
  CHECK(ok({"REJECT=*:{nosuch:25}:*"}, x));  // whoever that is, this is another port
  CHECK(ok({"REACHABLE=*,!nosuch:25"}, x));
  CHECK(ok({"REACHABLE=hostX"}, x));
  CHECK_FALSE(ok({"REACHABLE=hostX"}, y));
  CHECK(ok({"REACHABLE=hostX", "REACHABLE=192.0.2.2"}, y));
  CHECK_FALSE(ok({"REACHABLE=hostX:80"}, x));
  CHECK_FALSE(ok({"REACHABLE=10.0.0.0/8"}, target("hostX", 23)));
}

TEST_CASE("a port behind the name of a list counts, as behind that of a host") {
  const auto ok = [](const char* rule, const smx::Target& t) {
    Run run;
    run.parse_more({"SERVER=telnet,-in", "HOSTLIST=office:10.1.0.0/16,10.2.0.9", "HOSTLIST=.localnet:10.1.0.0/16", rule});
    INFO(run.error());
    REQUIRE(run.good);
    return smx::allowed_connect(run.config, run.config.servers[0], client("192.0.2.1", 9023), t, Names{});
  };
  for (const char* list : {"REACHABLE=office:80", "REACHABLE=.localnet:{80,443}", "PERMIT=*:{office:80}:*"}) {
    CAPTURE(std::string(list));
    CHECK(ok(list, target("10.1.0.1", 80, "10.1.0.1")));
    CHECK_FALSE(ok(list, target("10.1.0.1", 22, "10.1.0.1")));
    CHECK_FALSE(ok(list, target("10.3.0.1", 80, "10.3.0.1")));
  }
  CHECK_FALSE(ok("REJECT=*:{office:80}:*", target("10.1.0.1", 80, "10.1.0.1")));
  CHECK(ok("REJECT=*:{office:80}:*", target("10.1.0.1", 22, "10.1.0.1")));
}

TEST_CASE("the rules among a proxy's words hold for that proxy") {
  Names names;
  names.known["bad"] = {"192.0.2.66"};
  Run run;
  run.parse_more(
      {"SERVER=telnet,-in(RELIABLE=10.1.1.1 PERMIT=*:*:10.1.* REJECT=*:bad:* REACHABLE=192.0.2.0/24 "
       "REMITTABLE=telnet/{23,2323})",
       "SERVER=http,-in", "REMITTABLE=http/81"});
  REQUIRE(run.good);
  const smx::ServerSpec& telnet = run.config.servers[0];
  const smx::ServerSpec& http = run.config.servers[1];
  const smx::Target x = target("hostX", 23, "192.0.2.1");
  CHECK(smx::allowed_connect(run.config, telnet, client("10.1.1.1"), x, names));
  CHECK_FALSE(smx::allowed_connect(run.config, telnet, client("10.1.1.2"), x, names));
  CHECK_FALSE(smx::allowed_connect(run.config, telnet, client("10.1.1.1"), target("bad", 23, "192.0.2.1"), names));
  CHECK_FALSE(smx::allowed_connect(run.config, telnet, client("10.1.1.1"), target("h", 23, "192.0.3.1"), names));
  CHECK_FALSE(smx::allowed_connect(run.config, telnet, client("10.1.1.1"), target("h", 23, "192.0.2.66"), names));
  CHECK(smx::allowed_connect(run.config, http, client("10.1.1.2"), x, names));
  CHECK(smx::remittable(run.config, telnet, "telnet", 2323, false));
  CHECK_FALSE(smx::remittable(run.config, telnet, "telnet", 24, true));
  CHECK(smx::remittable(run.config, http, "http", 81, false));
  CHECK_FALSE(smx::remittable(run.config, http, "http", 80, true));
}

TEST_CASE("the server: first match, SERVER before DEST, by kind where it is known") {
  Run run;
  run.parse_more({"DEST=a:1:10.1.1.1", "DEST=b:2/udp", "SERVER=telnet://c,-in:-:-P8023", "DEST=d:4"});
  REQUIRE(run.good);
  const auto chosen = [&](smx::Subject who) {
    const smx::ServerSpec* s = smx::choose(run.config, who, Names{});
    return s == nullptr ? std::string("none") : text_of(s->to.host);
  };
  CHECK(chosen(client("10.1.1.1", 8023)) == "c");
  CHECK(chosen(client("10.1.1.1", 8024)) == "a");
  CHECK(chosen(client("10.1.1.2", 8024)) == "b");
  smx::Subject who = client("10.1.1.2", 8024);
  who.kind_known = true;
  CHECK(chosen(who) == "d");
  who.kind = smx::Transport::udp;
  CHECK(chosen(who) == "b");
  const smx::Subject nobody;
  CHECK(chosen(nobody) == "b");
}

TEST_CASE("ports that are open to the world are known") {
  const auto open = [](const Strings& words, const std::string& host) {
    Run run;
    run.parse_more(words);
    INFO(run.error());
    REQUIRE(run.good);
    smx::HostPort at;
    at.host = host;
    at.port = 9023;
    return smx::is_open_to_world(run.config, at);
  };
  CHECK_FALSE(open({}, ""));
  CHECK(open({"RELIABLE=*"}, ""));
  CHECK(open({"RELIABLE=!10.1.1.1"}, "192.0.2.1"));
  CHECK(open({"RELIABLE=0.0.0.0/0"}, "::"));
  CHECK(open({"RELIABLE=2000::/3"}, "::"));
  CHECK(open({"RELIABLE=*"}, "2001:db8::1"));
  CHECK_FALSE(open({"RELIABLE=*"}, "127.0.0.1"));
  CHECK_FALSE(open({"RELIABLE=*"}, "::1"));
  CHECK_FALSE(open({"RELIABLE=*"}, "localhost"));
  CHECK_FALSE(open({"RELIABLE=10.0.0.0/8"}, ""));
  CHECK_FALSE(open({"RELIABLE=*", "REJECT=*:*:*"}, ""));
  CHECK(open({"PERMIT=*:*:*"}, ""));
  CHECK_FALSE(open({"PERMIT=*:*:.localnet", "RELIABLE=*"}, ""));
}
