// The peers file in use: read from the disk and read again, compared, and looked at together with the options:
// config/peers/table.h, changes.h, links.h.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "config/explain.h"
#include "config/peers/changes.h"
#include "config/peers/links.h"
#include "config/peers/table.h"
#include "config/ports.h"
#include "tests/peers.h"

namespace {

using smx_test::Disk;
using smx_test::has;
using smx_test::key_of;
using smx_test::key_text;
using smx_test::peer_line;
using smx_test::PeersRun;
using smx_test::Run;
using smx_test::Strings;
using smx_test::text_of;

std::string bytes_of(const smx::PeerKey& key) { return std::string(reinterpret_cast<const char*>(key.bytes), sizeof key.bytes); }

// What HUP means for the key of that number, in letters.
std::string changes(const std::string& before, const std::string& after, unsigned number = 1) {
  PeersRun old(before), now(after);
  REQUIRE(old.parse());
  REQUIRE(now.parse());
  smx::PeerChanges all(old.list, now.list);
  smx::PeerChange c;
  size_t n = 0;
  std::string result = "none";
  while (all.next(&c)) {
    ++n;
    if (c.old->key != key_of(number)) continue;
    result = c.gone() ? "gone " : "";
    result += std::string(c.psk ? "psk " : "") + (c.ports ? "ports " : "") + (c.dest ? "dest " : "") + (c.from ? "from " : "") +
              (c.renamed ? "renamed " : "");
    CHECK(c.any() == !result.empty());
  }
  CHECK(n == old.list.count());
  return result;
}

// The words together with a peers file "F" of these names.
struct Both {
  Both(const Strings& words, const Strings& names, bool reread = false) : peers(lines(names)) {
    options.parse(words);
    INFO(options.error());
    REQUIRE(options.good);
    REQUIRE(peers.parse());
    good = smx::check_peers(options.config, peers.list, "F", reread, &report);
    CHECK(good == (report.error_count() == 0));
    if (!good) CHECK(report.status() == 78);
  }
  static std::string lines(const Strings& names) {
    std::string text;
    for (size_t i = 0; i < names.size(); ++i) text += peer_line(names[i], static_cast<unsigned>(i));
    return text;
  }
  std::string error() const { return good ? "" : text_of(report.errors()[0].text.text()); }
  std::string warning() const { return report.warning_count() == 0 ? "" : text_of(report.warnings()[0].text.text()); }
  std::string peer(size_t link) const {
    const smx::Peer* p = smx::peer_of(options.config.links[link], peers.list);
    return p == nullptr ? "" : text_of(p->name);
  }

  Run options;
  PeersRun peers;
  smx::Report report;
  bool good = false;
};

std::string option_error(const Strings& words) {
  Run run;
  run.parse(words);
  CHECK_FALSE(run.good);
  CHECK(run.report.error_count() == 1);
  return run.error();
}

class Lines final : public smx::LineSink {
 public:
  void line(std::string_view text) override { all += text_of(text) + "\n"; }
  std::string all;
};

}  // namespace

// ---- from the disk

TEST_CASE("peers: a file is read at the start and again, and a wrong one changes nothing") {
  Disk disk;
  disk.write(peer_line("a", 1, "PORT=80") + peer_line("b", 2));
  REQUIRE(disk.load());
  CHECK(disk.peers.list().count() == 2);
  CHECK(disk.peers.old().count() == 0);
  disk.write(peer_line("a", 1) + "b " + key_text(1) + "\nc\n");
  CHECK_FALSE(disk.reload());
  CHECK(disk.error() == disk.path + ":3: c: the key is missing; expected NAME KEY [PORT=..] [DEST=..] [FROM=..] [PSK=..]");
  CHECK(disk.peers.find("b")->key == key_of(2));
  CHECK(disk.peers.old().count() == 0);
  disk.write(peer_line("b", 2) + peer_line("c", 3));
  REQUIRE(disk.reload());
  CHECK(disk.peers.find(key_of(1)) == nullptr);
  CHECK(disk.peers.find("c")->key == key_of(3));
  CHECK(disk.peers.old().find("a")->rights.ports_text == "80");
  disk.peers.forget_old();
  CHECK(disk.peers.old().count() == 0);
  CHECK(disk.peers.list().count() == 2);
  for (unsigned i = 0; i < 20; ++i) {
    disk.write(peer_line("n" + std::to_string(i), i));
    REQUIRE(disk.reload());
    CHECK(disk.peers.list().count() == 1);
    CHECK(disk.peers.find(key_of(i)) != nullptr);
  }
}

TEST_CASE("peers: no file, none that is one, none that may be read") {
  Disk disk;
  CHECK_FALSE(disk.load());
  CHECK(disk.error() == disk.path + ": no such file; it has a line 'NAME KEY' for each peer");
  CHECK(disk.report.status() == smx::kExitNoInput);
  Disk folder;
  REQUIRE(mkdir(folder.path.c_str(), 0700) == 0);
  CHECK_FALSE(folder.load());
  CHECK(folder.error() == folder.path + ": not a plain file");
  Disk fifo;  // nobody writes: it must not wait
  REQUIRE(mkfifo(fifo.path.c_str(), 0600) == 0);
  CHECK_FALSE(fifo.load());
  CHECK(fifo.error() == fifo.path + ": not a plain file");
  if (geteuid() == 0) return;  // root may read everything
  Disk hidden;
  hidden.write(peer_line("a", 1), 0);
  CHECK_FALSE(hidden.load());
  CHECK(hidden.error() == hidden.path + ": Permission denied");
  CHECK(hidden.report.status() == smx::kExitPermission);
}

TEST_CASE("peers: PSK= where others can read it, at the start and later") {
  const std::string secret = peer_line("a", 1, "PSK=" + key_text(77));
  Disk disk;
  disk.write(secret, 0644);
  CHECK_FALSE(disk.load());
  CHECK(disk.error() == disk.path + ":1: PSK= in a file that others can read: 'chmod o-r " + disk.path + "'");
  CHECK(disk.report.status() == smx::kExitPermission);
  Disk later;
  later.write(secret, 0640);  // the daemon's group may
  REQUIRE(later.load());
  later.write(secret, 0644);
  CHECK_FALSE(later.reload());
  CHECK(later.peers.find("a")->has_psk);
}

TEST_CASE("peers: PSKs are erased with what is not in force any more") {
  Disk disk;
  disk.write(peer_line("a", 1, "PSK=" + key_text(77)) + peer_line("b", 2));
  REQUIRE(disk.load());
  CHECK(disk.holds(bytes_of(key_of(77))));
  CHECK_FALSE(disk.holds(key_text(77)));
  // A file whose fault stands in front of a PSK, and one with a fault behind it
  disk.write("b " + key_text(2) + " PORT=x PSK=" + key_text(78) + "\n");
  CHECK_FALSE(disk.reload());
  CHECK_FALSE(disk.holds(key_text(78)));
  disk.write(peer_line("a", 1, "PSK=" + key_text(79)) + "b\n");
  CHECK_FALSE(disk.reload());
  CHECK_FALSE(disk.holds(bytes_of(key_of(79))));
  disk.write(peer_line("a", 1, "PSK=" + key_text(80)));
  REQUIRE(disk.reload());
  CHECK(disk.holds(bytes_of(key_of(77))));
  disk.peers.forget_old();
  CHECK_FALSE(disk.holds(bytes_of(key_of(77))));
  CHECK(disk.holds(bytes_of(key_of(80))));
}

TEST_CASE("peers: a file may grow to twice its size; beyond what was set aside it is refused") {
  Disk disk;
  const auto lines = [](unsigned count) {
    std::string text;
    for (unsigned i = 0; i < count; ++i) text += peer_line("p" + std::to_string(i), i, "PORT=80,443 DEST=10.0.0.0/8:80,localhost:22");
    return text;
  };
  disk.write(lines(1000));
  REQUIRE(disk.load());
  disk.write(lines(1900));
  REQUIRE(disk.reload());
  CHECK(disk.peers.list().count() == 1900);
  disk.write(lines(4000));
  CHECK_FALSE(disk.reload());
  CHECK(has(disk.error(), disk.path + ": needs more than the "));
  CHECK(has(disk.error(), " KiB that were set aside for it at the start; start anew"));
  CHECK(disk.report.status() == smx::kExitConfig);
  CHECK(disk.peers.list().count() == 1900);
  CHECK(disk.peers.find("p1899") != nullptr);
  // A small one has room for some more, whatever it was at the start.
  Disk little;
  little.write("# nobody yet\n");
  REQUIRE(little.load());
  little.write(lines(20));
  CHECK(little.reload());
}

TEST_CASE("peers: the largest file that there may be") {
  Disk disk;
  std::string text;
  const std::string words = "PORT=1-65535,53/udp DEST=10.0.0.0/8:80,localhost:22 FROM=198.51.100.0/24";
  for (unsigned i = 0; i < smx::kMaxPeers; ++i) text += peer_line("p" + std::to_string(i), i, words);
  disk.write(text);
  REQUIRE(disk.load());
  CHECK(disk.peers.list().count() == smx::kMaxPeers);
  CHECK(disk.reload());
}

// ---- HUP

TEST_CASE("changes: what HUP means for each key that was there") {
  const std::string a = peer_line("a", 1, "PORT=80 DEST=*:80 FROM=10.0.0.1 PSK=" + key_text(77));
  CHECK(changes(a, a) == "");
  CHECK(changes(a, "# moved\n" + peer_line("new", 2) + a) == "");
  CHECK(changes(a, "") == "gone ");
  CHECK(changes(a, peer_line("a", 2)) == "gone ");
  CHECK(changes(a, peer_line("b", 1, "PORT=80 DEST=*:80 FROM=10.0.0.1 PSK=" + key_text(77))) == "renamed ");
  CHECK(changes(a, peer_line("a", 1, "PORT=80 DEST=*:80 FROM=10.0.0.1 PSK=" + key_text(78))) == "psk ");
  CHECK(changes(a, peer_line("a", 1, "PORT=80 DEST=*:80 FROM=10.0.0.1")) == "psk ");
  CHECK(changes(peer_line("a", 1), peer_line("a", 1, "PSK=" + key_text(78))) == "psk ");
  CHECK(changes(a, peer_line("a", 1, "PORT=81 DEST=*:80 FROM=10.0.0.1 PSK=" + key_text(77))) == "ports ");
  CHECK(changes(a, peer_line("a", 1, "PORT=80 FROM=10.0.0.1 PSK=" + key_text(77))) == "dest ");
  CHECK(changes(a, peer_line("a", 1, "PORT=80 DEST=*:80 FROM=10.0.0.2 PSK=" + key_text(77))) == "from ");
  CHECK(changes(a, peer_line("z", 1)) == "psk ports dest from renamed ");
  CHECK(changes(peer_line("a", 1), peer_line("a", 1, "FROM=10.0.0.1")) == "from ");
}

TEST_CASE("changes: many keys, some gone, some new, none mixed up") {
  std::string before, after;
  for (unsigned i = 0; i < 300; ++i) {
    if (i % 3 != 1) before += peer_line("p" + std::to_string(i), i);
    if (i % 5 != 2) after = peer_line("p" + std::to_string(i), i, i % 7 == 0 ? "PORT=80" : "") + after;
  }
  for (unsigned i = 0; i < 300; ++i) {
    const std::string wanted = i % 3 == 1 ? "none" : i % 5 == 2 ? "gone " : i % 7 == 0 ? "ports " : "";
    if (i % 10 == 0 || i % 10 == 7) CHECK(changes(before, after, i) == wanted);
  }
}

// ---- with the options

TEST_CASE("which peer a link needs: the one of its name, or the only one; none where links are accepted") {
  Both only({"SERVER=sockmuxs://192.0.2.1:9000"}, {"hub"});
  CHECK(only.good);
  CHECK(only.peer(0) == "hub");
  Both named({"SERVER=sockmuxs://hub2@192.0.2.1:9000"}, {"hub", "hub2"});
  CHECK(named.good);
  CHECK(named.peer(0) == "hub2");
  Both accepts({"SERVER=sockmuxs", "-P9000"}, {"a", "b", "c"});
  CHECK(accepts.good);
  CHECK(accepts.peer(0) == "");
  CHECK(accepts.warning() == "");
  Both standard({"SERVER=sockmuxs:comm@-"}, {"a", "b"});
  CHECK(standard.good);
  CHECK(standard.peer(0) == "");
  Both standard_named({"SERVER=sockmuxs:b@comm@-"}, {"a", "b"});
  CHECK(standard_named.peer(0) == "b");
  Both program({"SERVER=sockmuxs:proc@ssh hub sockmuxd"}, {"hub"});
  CHECK(program.peer(0) == "hub");
  Both fifos({"SERVER=sockmuxs:commin@/tmp/in", "SERVER=sockmuxs:b@commout@/tmp/out"}, {"a", "b"});
  CHECK(fifos.good);
  CHECK(fifos.peer(0) == "b");
  Both clear({"SERVER=sockmux://192.0.2.1:9000"}, {});
  CHECK(clear.good);
  CHECK_FALSE(smx::has_secure_link(clear.options.config));
  CHECK(smx::has_secure_link(accepts.options.config));
}

TEST_CASE("which peer? the file names several, or nobody, or not that one") {
  CHECK(Both({"SERVER=sockmuxs://192.0.2.1:9000"}, {"a", "b", "c"}).error() ==
        "SERVER=sockmuxs://192.0.2.1:9000: which peer? F names 3; write SERVER=sockmuxs://NAME@192.0.2.1:9000");
  CHECK(Both({"SERVER=sockmuxs:comm@/dev/ttyS0"}, {"a", "b"}).error() ==
        "SERVER=sockmuxs:comm@/dev/ttyS0: which peer? F names 2; write SERVER=sockmuxs:NAME@comm@/dev/ttyS0");
  CHECK(Both({"SERVER=sockmuxs://192.0.2.1:9000"}, {}).error() == "SERVER=sockmuxs://192.0.2.1:9000: which peer? F names nobody");
  CHECK(Both({"SERVER=sockmuxs://hub2@192.0.2.1:9000"}, {"hub1", "x"}).error() ==
        "SERVER=sockmuxs://hub2@192.0.2.1:9000: F has no 'hub2'; do you mean hub1?");
  CHECK(Both({"SERVER=sockmuxs://hub2@192.0.2.1:9000"}, {}).error() == "SERVER=sockmuxs://hub2@192.0.2.1:9000: F has no 'hub2'");
  // A line at an acceptor is a link of two equal sides.
  CHECK(has(Both({"SERVER=sockmuxs", "-P9000", "SERVER=sockmuxs:comm@/dev/ttyS0"}, {"a", "b"}).error(), "which peer?"));
}

TEST_CASE("an acceptor without peers says so, once") {
  Both nobody({"SERVER=sockmuxs", "-P9000", "-Q9001"}, {});
  CHECK(nobody.good);
  CHECK(nobody.report.warning_count() == 1);
  CHECK(has(nobody.warning(), "F names nobody, so that no link is accepted"));
}

TEST_CASE("PORT=NAME@port: the peer must be in the file") {
  const Strings hub = {"SERVER=sockmuxs", "-P9000", "PORT=branch1@8023-8025,branch2@53/udp,7000"};
  Both good(hub, {"branch1", "branch2"});
  CHECK(good.good);
  const smx::View<smx::ListenSpec> listens = good.options.config.listens;
  REQUIRE(listens.count == 5);
  CHECK(listens[0].peer == "branch1");
  CHECK(listens[2].peer == "branch1");
  CHECK(listens[2].at.port == 8025);
  CHECK(listens[3].peer == "branch2");
  CHECK(listens[3].transport == smx::Transport::udp);
  CHECK(listens[4].peer == "");
  Both missing(hub, {"branch1"});
  CHECK(has(missing.error(), ": F has no 'branch2'; do you mean branch1?"));
  CHECK(missing.report.error_count() == 1);
}

TEST_CASE("read again, what does not fit is a warning, and nobody has that link or port") {
  Both port({"SERVER=sockmuxs", "-P9000", "PORT=branch1@8023"}, {"other"}, true);
  CHECK(port.good);
  CHECK(port.warning() == "PORT=branch1@8023: F has no 'branch1'");
  Both link({"SERVER=sockmuxs://192.0.2.1:9000"}, {"a", "b"}, true);
  CHECK(link.good);
  CHECK(has(link.warning(), "which peer?"));
  CHECK(link.peer(0) == "");
  Both named({"SERVER=sockmuxs://hub@192.0.2.1:9000"}, {"a"}, true);
  CHECK(named.good);
  CHECK(named.peer(0) == "");  // not the only one: another was asked for
}

TEST_CASE("PORT=NAME@port: what the options alone tell") {
  CHECK(has(option_error({"SERVER=sockmux", "-P9000", "PORT=branch1@8023"}),
            "'branch1@' is for clients of that peer alone, and only secure links know their peers; write SERVER=sockmuxs in place "
            "of SERVER=sockmux, or PORT= without a name"));
  CHECK(has(option_error({"SERVER=sockmuxs://hub@192.0.2.1", "PORT=other@8023"}), "'other@': no link here leads to other"));
  CHECK(has(option_error({"SERVER=sockmuxs", "-P9000", "PORT=a b@8023"}), "'a b' is no name of a peer"));
  CHECK(has(option_error({"SERVER=sockmuxs", "-P9000", "PORT=@8023"}), "'' is no name of a peer"));
  CHECK(has(option_error({"SERVER=sockmuxs", "-P9000", "PORT=a@80x"}), "'80x' is no port"));
  CHECK(has(option_error({"SERVER=sockmuxs", "-P9000", "PORT=a@8023,b@8023"}), "'8023' is there for a and for b; a port leads to one of them"));
  CHECK(has(option_error({"SERVER=sockmuxs", "-P9000", "PORT=8023,b@8023"}), "'8023' is there for b and for every peer"));
  CHECK(has(option_error({"SERVER=sockmuxs", "-P9000", "PORT=b@8023,8023"}), "'8023' is there for b and for every peer"));
  Run good;
  good.parse({"SERVER=sockmuxs://hub@192.0.2.1", "PORT=hub@8023,hub@8023,hub@8023/udp,hub@[::1]:8023"});
  INFO(good.error());
  CHECK(good.good);
  CHECK(good.config.listens.count == 3);
}

TEST_CASE("RPORT= (or BIND=): ports that the peer is asked for") {
  Run run;
  run.parse({"SERVER=sockmuxs://hub@192.0.2.1", "RPORT=8023,127.0.0.1:80-82,localhost:80,[::1]:9/tcp", "BIND=0,0,53/udp,53/udp,[::1]:9/udp"});
  INFO(run.error());
  REQUIRE(run.good);
  std::string all;
  for (const smx::ListenSpec& listen : run.config.remote_listens) {
    smx::Text<60> text;
    smx::append_host_port(text, listen.at);
    all += text_of(text.text()) + (listen.transport == smx::Transport::udp ? "/udp " : " ");
  }
  CHECK(all == "0.0.0.0:8023 127.0.0.1:80 127.0.0.1:81 127.0.0.1:82 [::1]:9 0.0.0.0:0 0.0.0.0:0 0.0.0.0:53/udp [::1]:9/udp ");
  Lines lines;
  smx::explain(run.config, lines);
  CHECK(has(lines.all, "asks the peer to listen at 127.0.0.1:81/tcp; its clients come to our servers\n"));
  CHECK(has(lines.all, "asks the peer to listen at 0.0.0.0:0/tcp (any free port); its clients come to our servers\n"));
  CHECK(has(lines.all, "asks the peer to listen at [::1]:9/udp; its clients come to our servers\n"));
}

TEST_CASE("RPORT=: what is wrong") {
  const std::string link = "SERVER=sockmuxs://hub@192.0.2.1";
  CHECK(has(option_error({link, "RPORT=8023/sctp"}), "'/sctp' is no kind of port; expected /tcp or /udp"));
  CHECK(has(option_error({link, "RPORT=hub.example:8023"}), "'hub.example:8023': expected an address of the peer"));
  CHECK(has(option_error({link, "RPORT=hub@8023"}), "'hub@8023': no name has a place here"));
  CHECK(has(option_error({link, "RPORT=8023", "SOXCONF=proto:0.3"}), "RPORT=8023: SOXCONF=proto:0.3 has no way to ask a peer for ports"));
  CHECK(has(option_error({link, "RPORT=80x"}), "'80x' is no port"));
  CHECK(has(option_error({link, "RPORT=80,,81"}), "an empty part between two commas"));
  CHECK(has(option_error({link, "RPORT="}), "a port is missing"));
  CHECK(has(option_error({link, "RPORT=1-60", "BIND=61-65"}), "BIND=61-65: there are too many ports of the peer (more than 64)"));
  for (const Strings& words : {Strings{"SERVER=sockmux://192.0.2.1"}, Strings{"SERVER=sockmuxs", "-P9000"},
                               Strings{"SERVER=sockmuxs", "-P9000", "SERVER=sockmuxs:hub@comm@/dev/ttyS0"}}) {
    Strings with = words;
    with.push_back("RPORT=8023");
    CHECK(has(option_error(with), "RPORT=8023: a peer gives ports only over a secure link, which we make: SERVER=sockmuxs://host:port"));
  }
}

TEST_CASE("-t tells which peer a port is for") {
  Run run;
  run.parse({"SERVER=sockmuxs", "-P9000", "PORT=branch1@8023", "RELIABLE=*"});
  REQUIRE(run.good);
  Lines lines;
  smx::explain(run.config, lines);
  CHECK(has(lines.all, "listens at 0.0.0.0:8023/tcp, open to: everybody; forwards over the link of the peer branch1, to the server that the other side names\n"));
}
