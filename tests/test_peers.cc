// The peers file: config/peers/peers.h.
#include <doctest/doctest.h>

#include <fstream>
#include <random>

#include "tests/peers.h"

namespace {

using smx::PeersResult;
using smx::Transport;
using smx_test::address;
using smx_test::has;
using smx_test::key_of;
using smx_test::key_text;
using smx_test::Names;
using smx_test::peer_line;
using smx_test::PeersRun;
using smx_test::text_of;

// The one error of a file.
std::string fault_of(const std::string& file, int status = smx::kExitConfig) {
  PeersRun run(file);
  CHECK_FALSE(run.parse());
  CHECK(run.result == PeersResult::wrong);
  CHECK(run.report.error_count() == 1);
  CHECK(run.report.status() == status);
  return run.error();
}

// May a peer with these words do it?
bool bind_ok(const std::string& words, const std::string& ip, uint16_t port, Transport kind = Transport::tcp) {
  PeersRun run(peer_line("a", 1, words));
  INFO(run.error());
  REQUIRE(run.parse());
  return smx::may_bind(run.list.peers[0].rights, address(ip, port), kind);
}

bool reach_ok(const std::string& words, const std::string& host, const std::string& ip, uint16_t port,
              Transport kind = Transport::tcp, const Names& names = Names{}) {
  PeersRun run(peer_line("a", 1, words));
  const bool good = run.parse();
  INFO(run.error());
  REQUIRE(good);
  return smx::may_reach(run.list.peers[0].rights, host, 0, address(ip, port), kind, names);
}

bool call_ok(const std::string& words, const std::string& ip) {
  PeersRun run(peer_line("a", 1, words));
  const bool good = run.parse();
  INFO(run.error());
  REQUIRE(good);
  return smx::may_call(run.list.peers[0].rights, address(ip));
}

}  // namespace

TEST_CASE("public keys: 44 characters of strict base64, and back") {
  // What wg(8) and `base64` write for 32 bytes 00, 01, ... 1f and for 32 bytes ff.
  const std::string counting = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
  const std::string ones = "//////////////////////////////////////////8=";
  smx::PeerKey key;
  REQUIRE(smx::parse_public_key(counting, &key));
  for (unsigned i = 0; i < 32; ++i) CHECK(key.bytes[i] == i);
  REQUIRE(smx::parse_public_key(ones, &key));
  for (unsigned i = 0; i < 32; ++i) CHECK(key.bytes[i] == 0xff);
  for (const std::string& text : {counting, ones}) {
    REQUIRE(smx::parse_public_key(text, &key));
    smx::Text<60> back;
    smx::append_key(back, key);
    CHECK(back.text() == text);
  }
  for (const char* bad : {"", "=", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
                          "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==",
                          "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-=", "AAECAwQFBgcICQoLDA0=DxAREhMUFRYXGBkaGxwdHh8="}) {
    CHECK_FALSE(smx::parse_public_key(bad, &key));
  }
}

TEST_CASE("a peers file: names, keys, comments, blanks; found by key and by name") {
  PeersRun run("# who may\n\n  \t\n" + peer_line("zoe", 2, "PORT=8023") + "\tbranch1\t" + key_text(900) + "  # the first\r\n" +
               "a.b_c-D " + key_text(1) + " DEST=*#all");
  REQUIRE(run.parse());
  REQUIRE(run.list.count() == 3);
  CHECK(run.list.peers[0].name == "zoe");
  CHECK(run.list.peers[0].line == 4);
  CHECK(run.list.peers[1].line == 5);
  CHECK(run.list.peers[2].rights.dest_text == "*");
  CHECK(run.list.at(0).name == "a.b_c-D");
  CHECK(run.list.at(1).name == "zoe");
  CHECK(run.list.at(2).name == "branch1");
  CHECK(run.list.find(key_of(900))->name == "branch1");
  CHECK(run.list.find("zoe")->key == key_of(2));
  CHECK(run.list.find(key_of(3)) == nullptr);
  CHECK(run.list.find("Zoe") == nullptr);
  CHECK(run.list.find("") == nullptr);
}

TEST_CASE("a peers file without peers") {
  for (const char* text : {"", "\n", "# nobody\n", " \t# nobody"}) {
    PeersRun run(text);
    CHECK(run.parse());
    CHECK(run.list.count() == 0);
    CHECK(run.list.find(key_of(1)) == nullptr);
    CHECK(run.list.find("a") == nullptr);
  }
}

TEST_CASE("16,384 peers are found, one more is an error") {
  std::string text;
  for (unsigned i = 0; i < smx::kMaxPeers; ++i) text += peer_line("p" + std::to_string(i), (i * 7919) & 0x3fff);
  PeersRun run(text, 16 << 20);
  REQUIRE(run.parse());
  REQUIRE(run.list.count() == smx::kMaxPeers);
  bool all = true;
  for (unsigned i = 0; i < smx::kMaxPeers; ++i) {
    const std::string name = "p" + std::to_string(i);
    const smx::Peer* by_key = run.list.find(key_of((i * 7919) & 0x3fff));
    all = all && by_key != nullptr && by_key->name == name && run.list.find(name) == by_key;
    all = all && (i == 0 || run.list.at(i - 1).key < run.list.at(i).key);
  }
  CHECK(all);
  PeersRun more(text + peer_line("more", 0x5000), 16 << 20);
  CHECK_FALSE(more.parse());
  CHECK(more.error() == "peers:16385: more than 16384 peers");
}

TEST_CASE("faults of a line are told with file and line, and the name where there is one") {
  CHECK(fault_of("\n\nbranch1\n") == "peers:3: branch1: the key is missing; expected NAME KEY [PORT=..] [DEST=..] [FROM=..] [PSK=..]");
  CHECK(has(fault_of("branch1 " + key_text(1).substr(1) + "\n"), "peers:1: branch1: bad key"));
  CHECK(has(fault_of("branch1 PORT=8023 " + key_text(1)), "peers:1: branch1: bad key"));
  CHECK(fault_of(peer_line("a", 1) + peer_line("b", 2) + peer_line("a", 3)) == "peers:3: a: name as in line 1");
  CHECK(fault_of("\n" + peer_line("a", 1) + peer_line("b", 1)) == "peers:3: b: key as in line 2");
  CHECK(has(fault_of(peer_line("a", 1, "PROT=80")), "peers:1: a: unknown word 'PROT='; do you mean PORT=?"));
  CHECK(fault_of(peer_line("a", 1, "COLOUR=red")) == "peers:1: a: unknown word 'COLOUR='");
  CHECK(fault_of(peer_line("a", 1, "PORT=80x")) == "peers:1: a: bad PORT= at '80x'; expected [address:]port[-port][/udp]");
  CHECK(fault_of(peer_line("a", 1, "PORT=80 PORT=81")) == "peers:1: a: PORT= is given twice");
  CHECK(fault_of(peer_line("a", 1, "DEST=* DEST=*")) == "peers:1: a: DEST= is given twice");
  CHECK(fault_of(peer_line("a", 1, "FROM=10.0.0.1 FROM=10.0.0.1")) == "peers:1: a: FROM= is given twice");
  for (const char* name : {"br@nch", "a/b", "\xc3\xa4", "abcdefghijklmnopqrstuvwxyz012345-6"})
    CHECK(has(fault_of(peer_line(name, 1)), "is no name of a peer; expected at most 32"));
  for (const char* name : {"comm", "commin", "COMMOUT", "proc"})
    CHECK(has(fault_of(peer_line(name, 1)), "is no name of a peer, but a kind of link"));
  CHECK(fault_of(peer_line("a", 1) + std::string(1025, '#')) == "peers:2: the line is longer than 1024 bytes");
  PeersRun longest(peer_line("a", 1) + std::string(1024, '#'));
  CHECK(longest.parse());
}

TEST_CASE("several faults are told, each with its line; our own key is one") {
  const smx::PeerKey own = key_of(5);
  PeersRun run(peer_line("a", 1, "PORT=") + peer_line("b", 5) + peer_line("c", 3) + peer_line("c", 3));
  run.input.own = &own;
  CHECK_FALSE(run.parse());
  CHECK(run.error(0) == "peers:1: a: bad PORT=: a port is missing");
  CHECK(run.error(1) == "peers:2: b: our own key");
  CHECK(run.error(2) == "peers:4: c: name as in line 3");
  CHECK(run.error(3) == "peers:4: c: key as in line 3");
  CHECK(run.report.error_count() == 4);
}

TEST_CASE("what is no word is never repeated: it may be a secret in the wrong place") {
  const std::string secret = key_text(77);
  for (const std::string& words : {secret, "PORT=80 " + secret, "psk=" + secret, secret + "=x"}) {
    const std::string told = fault_of(peer_line("a", 1, words));
    CHECK(told == "peers:1: a: expected PORT=, DEST=, FROM= or PSK= behind the key");
  }
  CHECK(fault_of(peer_line("a", 1, "PSK=" + secret + "x")) ==
        "peers:1: a: bad PSK=; expected 44 characters, as 'sockmuxctl genpsk' prints them");
  CHECK(fault_of(peer_line("a", 1, "PORT=80,PSK=" + secret)) == "peers:1: a: bad PORT= at '...'; expected [address:]port[-port][/udp]");
  CHECK(fault_of(peer_line("a", 1, "DEST=*,PSK=" + secret)) == "peers:1: a: bad DEST= at ...");
  CHECK(fault_of(secret) == "peers:1: '...' is no name of a peer; expected at most 32 of A-Z a-z 0-9 . _ -");
  CHECK(fault_of(peer_line("a", 1, "PKS=" + secret)) == "peers:1: a: unknown word 'PKS='; do you mean PSK=?");
}

TEST_CASE("PSK= is decoded, and its text is erased") {
  PeersRun run(peer_line("a", 1, "PSK=" + key_text(77)) + peer_line("b", 2));
  REQUIRE(run.parse());
  const smx::Peer* a = run.list.find("a");
  CHECK(a->has_psk);
  CHECK(memcmp(a->psk, key_of(77).bytes, sizeof a->psk) == 0);
  CHECK_FALSE(has(run.text, key_text(77)));
  const uint8_t zeros[32] = {};
  CHECK_FALSE(run.list.find("b")->has_psk);
  CHECK(memcmp(run.list.find("b")->psk, zeros, 32) == 0);
}

// Found by the fuzz target `peers`: there was no place to erase.
TEST_CASE("PSK= with nothing behind it") {
  CHECK(fault_of(peer_line("a", 1, "PSK=")) == "peers:1: a: bad PSK=; expected 44 characters, as 'sockmuxctl genpsk' prints them");
  CHECK(has(fault_of(peer_line("a", 1, "PORT=80 PSK=")), "bad PSK="));
}

TEST_CASE("PSK= in a file that others can read") {
  PeersRun run(peer_line("a", 1) + peer_line("b", 2, "PSK=" + key_text(77)));
  run.input.others_can_read = true;
  CHECK_FALSE(run.parse());
  CHECK(run.error() == "peers:2: PSK= in a file that others can read: 'chmod o-r peers'");
  CHECK(run.report.status() == smx::kExitPermission);
  PeersRun without(peer_line("a", 1));
  without.input.others_can_read = true;
  CHECK(without.parse());
}

TEST_CASE("PORT=: none if it is left out; ports, ranges, kinds, addresses, what is excluded") {
  CHECK_FALSE(bind_ok("", "0.0.0.0", 8023));
  const std::string some = "PORT=8023,2200-2299,53/udp,127.0.0.1:70,localhost:71,[2001:db8::1]:72";
  CHECK(bind_ok(some, "0.0.0.0", 8023));
  CHECK(bind_ok(some, "::", 8023));
  CHECK(bind_ok(some, "192.0.2.1", 8023));
  CHECK_FALSE(bind_ok(some, "0.0.0.0", 8024));
  CHECK_FALSE(bind_ok(some, "0.0.0.0", 8023, Transport::udp));
  CHECK(bind_ok(some, "0.0.0.0", 2200));
  CHECK(bind_ok(some, "0.0.0.0", 2299));
  CHECK_FALSE(bind_ok(some, "0.0.0.0", 2199));
  CHECK_FALSE(bind_ok(some, "0.0.0.0", 2300));
  CHECK(bind_ok(some, "0.0.0.0", 53, Transport::udp));
  CHECK_FALSE(bind_ok(some, "0.0.0.0", 53));
  CHECK(bind_ok(some, "127.0.0.1", 70));
  CHECK(bind_ok(some, "::ffff:127.0.0.1", 70));
  CHECK_FALSE(bind_ok(some, "0.0.0.0", 70));
  CHECK(bind_ok(some, "127.0.0.1", 71));
  CHECK(bind_ok(some, "::1", 71));
  CHECK_FALSE(bind_ok(some, "127.0.0.2", 71));
  CHECK(bind_ok(some, "2001:db8::1", 72));
  CHECK_FALSE(bind_ok(some, "::1", 72));
  CHECK_FALSE(bind_ok(some, "0.0.0.0", 0));
  CHECK(bind_ok("PORT=0", "0.0.0.0", 0));
  CHECK_FALSE(bind_ok("PORT=0", "0.0.0.0", 1));
  CHECK_FALSE(bind_ok("PORT=1-100,!22", "0.0.0.0", 22));
  CHECK(bind_ok("PORT=1-100,!22", "0.0.0.0", 21));
  CHECK(bind_ok("PORT=!22", "0.0.0.0", 21));
  CHECK_FALSE(bind_ok("PORT=!22", "0.0.0.0", 22));
}

TEST_CASE("PORT=: what is wrong") {
  for (const char* bad : {"80x", "!", "!!80", "host.example:80", "80-70", "0-9", "65536", "80/sctp", "80/UDP", "1.2.3:80", ":80"})
    CHECK(has(fault_of(peer_line("a", 1, std::string("PORT=") + bad)), std::string("bad PORT= at '") + bad + "'"));
  CHECK(fault_of(peer_line("a", 1, "PORT=80,,81")) == "peers:1: a: bad PORT=: an empty part between two commas");
  CHECK(fault_of(peer_line("a", 1, "PORT={80")) == "peers:1: a: bad PORT=: { and } do not match");
  std::string many = "PORT=1";
  for (int i = 2; i <= 64; ++i) many += "," + std::to_string(i);
  CHECK(bind_ok(many, "0.0.0.0", 64));
  CHECK(fault_of(peer_line("a", 1, many + ",65")) == "peers:1: a: bad PORT=: more than 64 items");
}

TEST_CASE("DEST=: everywhere if it is left out; networks, names, ports, kinds, what is excluded") {
  CHECK(reach_ok("", "h", "192.0.2.1", 80));
  CHECK(reach_ok("DEST=*", "h", "192.0.2.1", 80, Transport::udp));
  const std::string some = "DEST=10.0.0.0/8:80,localhost:22,www.example.com:{80,443},[2001:db8::]/32:80,8.8.8.8:53/udp,192.0.2.9:*";
  CHECK(reach_ok(some, "", "10.1.2.3", 80));
  CHECK_FALSE(reach_ok(some, "", "10.1.2.3", 81));
  CHECK_FALSE(reach_ok(some, "", "10.1.2.3", 80, Transport::udp));
  CHECK(reach_ok(some, "intranet", "10.1.2.3", 80));  // by its address
  CHECK(reach_ok(some, "localhost", "127.0.0.1", 22));
  CHECK(reach_ok(some, "", "::1", 22));
  CHECK_FALSE(reach_ok(some, "", "127.0.0.2", 22));
  CHECK(reach_ok(some, "WWW.example.com", "198.51.100.1", 443));
  CHECK_FALSE(reach_ok(some, "", "198.51.100.1", 443));
  CHECK_FALSE(reach_ok(some, "example.com", "198.51.100.1", 443));
  CHECK(reach_ok(some, "", "2001:db8:7::1", 80));
  CHECK_FALSE(reach_ok(some, "", "2001:db9::1", 80));
  CHECK(reach_ok(some, "", "8.8.8.8", 53, Transport::udp));
  CHECK_FALSE(reach_ok(some, "", "8.8.8.8", 53));
  CHECK(reach_ok(some, "", "192.0.2.9", 1));
  CHECK(reach_ok(some, "", "192.0.2.9", 1, Transport::udp));
  // A name is checked as it is asked for, and again as the address that it resolves to.
  const std::string but = "DEST=*,!10.0.0.0/8:*";
  CHECK(reach_ok(but, "www", "192.0.2.1", 80));
  CHECK_FALSE(reach_ok(but, "www", "10.1.1.1", 80));
  CHECK_FALSE(reach_ok("DEST=*,!secret.example.com:*", "secret.example.com", "192.0.2.1", 80));
}

TEST_CASE("DEST=: an excluded name that is not resolved excludes every address; a known one its own") {
  Names names;
  names.known["secret.example.com"] = {"192.0.2.66"};
  const std::string but = "DEST=*,!secret.example.com:*";
  CHECK_FALSE(reach_ok(but, "", "192.0.2.1", 80));
  CHECK(reach_ok(but, "", "192.0.2.1", 80, Transport::tcp, names));
  CHECK_FALSE(reach_ok(but, "", "192.0.2.66", 80, Transport::tcp, names));
}

TEST_CASE("DEST=: names of HOSTS= mean its addresses") {
  const smx::Address at[] = {address("192.0.2.7")};
  const smx::HostEntry hosts[] = {{"printer", {at, 1}}};
  PeersRun run(peer_line("a", 1, "DEST=printer:9100"));
  run.input.hosts = {hosts, 1};
  REQUIRE(run.parse());
  CHECK(smx::may_reach(run.list.peers[0].rights, "", 0, address("192.0.2.7", 9100), Transport::tcp, Names{}));
  CHECK_FALSE(smx::may_reach(run.list.peers[0].rights, "", 0, address("192.0.2.8", 9100), Transport::tcp, Names{}));
}

TEST_CASE("DEST= and FROM=: what is wrong") {
  const auto dest = [](const char* text) { return fault_of(peer_line("a", 1, std::string("DEST=") + text)); };
  const auto from = [](const char* text) { return fault_of(peer_line("a", 1, std::string("FROM=") + text)); };
  CHECK(dest("localhost") == "peers:1: a: bad DEST= at 'localhost': a port is missing; :* behind the host is every port");
  CHECK(has(dest("10.0.0.0/8"), "a port is missing"));
  CHECK(has(dest("::1:22"), "a port is missing"));
  CHECK(has(dest("10.0.0.0/33:80"), "bad DEST= at '10.0.0.0/33'"));
  CHECK(has(dest("h:80/sctp"), "bad DEST= at '80/sctp'"));
  CHECK(has(dest("h:80x"), "bad DEST= at '80x'"));
  CHECK(has(dest(""), "bad DEST=: the list of hosts is empty"));
  CHECK(has(dest("-P80"), "bad DEST= at '-P80'"));
  CHECK(from("hub.example.net") ==
        "peers:1: a: bad FROM= at 'hub.example.net': expected an address or a network; nothing is resolved here");
  for (const char* bad : {"localhost", ".localnet", "10.0.0.1:80", "-P80", "10.0.0.0/33", "10.1.2"})
    CHECK(has(from(bad), std::string("bad FROM= at '") + bad + "'"));
  std::string many = "10.0.0.1";
  for (int i = 2; i <= 65; ++i) many += ",10.0.0." + std::to_string(i);
  CHECK(from(many.c_str()) == "peers:1: a: bad FROM=: more than 64 items");
  CHECK(from(("{" + many + "},!10.0.0.7").c_str()) == "peers:1: a: bad FROM=: more than 64 items");
}

TEST_CASE("FROM=: from everywhere if it is left out; addresses and networks, what is excluded") {
  CHECK(call_ok("", "192.0.2.1"));
  const std::string some = "FROM=198.51.100.0/24,!198.51.100.7,2001:db8::/32";
  CHECK(call_ok(some, "198.51.100.1"));
  CHECK(call_ok(some, "::ffff:198.51.100.1"));
  CHECK_FALSE(call_ok(some, "198.51.100.7"));
  CHECK_FALSE(call_ok(some, "192.0.2.1"));
  CHECK(call_ok(some, "2001:db8::1"));
  CHECK(call_ok(some, ""));  // a link that has none, as a serial line
}

TEST_CASE("an arena that is too small is told apart, at every size") {
  const std::string text = peer_line("a", 1, "PORT=80,81,82,83,84 DEST=10.0.0.0/8:80,h:{1,2} FROM=10.0.0.1,!10.0.0.2") + peer_line("b", 2);
  size_t enough = 0;
  for (size_t bytes = 0; enough == 0 && bytes < 16384; bytes += 8) {
    PeersRun run(text, bytes);
    if (run.parse()) enough = bytes;
    else CHECK(run.result == PeersResult::no_memory);
  }
  CHECK(enough > 0);
}

TEST_CASE("the example of sockmux.conf(5) is a peers file") {
  std::ifstream page("man/sockmux.conf.5");
  std::string line, example;
  bool inside = false;
  while (std::getline(page, line) && line != ".Sh PEERS FILE") {}
  while (std::getline(page, line) && line != ".Ed") {
    if (inside) example += line + "\n";
    inside = inside || has(line, ".Bd -literal");
  }
  PeersRun run(example);
  run.parse();
  CHECK(run.error() == "");
  CHECK(run.list.count() == 3);
}

TEST_CASE("peers files with flipped, lost and doubled bytes: a list that holds together, or errors with lines") {
  std::string whole = "# peers\n" + peer_line("a", 1, "PORT=8023,2200-2299,53/udp,!80,localhost:1,[::1]:2 PSK=" + key_text(77)) +
                      peer_line("b", 2, "DEST=10.0.0.0/8:80,localhost:{22,23},!h.example:*,[2001:db8::]/32:1-2,10.*:53/udp") +
                      peer_line("c", 3, "FROM=198.51.100.0/24,!198.51.100.7,{2001:db8::/32,10.[1-2].*}");
  std::mt19937 random(1);  // the same each time
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const std::string letters = "=,!:/{}[]-*. #\n0159aZ\\\x80";
  size_t good = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string text = whole;
    for (size_t changes = 1 + below(3); changes > 0; --changes) {
      const size_t at = below(text.size());
      switch (below(4)) {
        case 0: text[at] = letters[below(letters.size())]; break;
        case 1: text.erase(at, 1 + below(5)); break;
        case 2: text.insert(at, text.substr(below(text.size()), below(30))); break;
        case 3: text[at] = static_cast<char>(text[at] ^ (1 << below(8))); break;
      }
      if (text.empty()) text = "#";
    }
    PeersRun run(text, 64 << 10);
    if (run.parse()) {
      ++good;
      REQUIRE(run.report.error_count() == 0);
      for (size_t i = 0; i < run.list.count(); ++i) {
        const smx::Peer& p = run.list.at(i);
        REQUIRE(smx::is_peer_name(p.name));
        REQUIRE(run.list.find(p.key) == &p);
        REQUIRE(run.list.find(p.name) == &p);
        (void)smx::may_bind(p.rights, address("127.0.0.1", 80), Transport::tcp);
        (void)smx::may_reach(p.rights, "h.example", 0, address("10.0.0.1", 80), Transport::udp, Names{});
        (void)smx::may_call(p.rights, address("2001:db8::1"));
      }
    } else {
      REQUIRE(run.result == PeersResult::wrong);
      REQUIRE(run.report.error_count() > 0);
      REQUIRE(run.error().substr(0, 6) == "peers:");
      REQUIRE_FALSE(has(run.error(), key_text(77)));
    }
  }
  CHECK(good > 100);
  CHECK(good < 4900);
}
