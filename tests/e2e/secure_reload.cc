// Reload of a daemon with secure links: its peers file is read again beside its options, and ports lead to other peers.
// Read next: reload.cc, peers_file.cc.
#include <doctest/doctest.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/e2e/filed.h"
#include "tests/e2e/secure_site.h"

using namespace e2e;

namespace {

bool echoed(Conn& c, const std::string& word) {
  const size_t had = c.text().size();
  c.send(word);
  return wait_for([&] { return c.over() || c.text().size() >= had + word.size(); }, 5) && c.text().substr(had) == word;
}

}  // namespace

TEST_CASE("reload: the peers file is read again with the options, and each says what is wrong with it") {
  const TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  Site hub, one, two;
  const std::string peers = "one " + one.shown() + "\ntwo " + two.shown() + "\n";
  hub.write_peers(peers);
  one.knows("hub", hub);
  two.knows("hub", hub);
  const auto write = [&](const Words& words) { put_file(folder / "conf", lines(words)); };
  const auto reload = [&] { return ctl({"reload", "-s", folder / "socket"}); };
  const Words words{"SERVER=sockmuxs", "-P127.0.0.1:0"};
  const uint16_t port = quiet_port();
  const auto with = [&](const Words& more) {
    Words all = words;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  write(with({"PORT=one@" + local(port)}));
  Daemon d(hub.words({"+=" + folder / "conf", "SOXCONF=control:" + folder / "socket"}));
  Server of_one(echoes), of_two(echoes);
  const std::string link = "SERVER=sockmuxs://" + local(d.link_port());
  Daemon a(one.words({link, "DEST=" + local(of_one.port())})), b(two.words({link, "DEST=" + local(of_two.port())}));
  REQUIRE(wait_for([&] { return d->count(" link-up ") == 2; }, 10));
  Conn c(port);
  CHECK(echoed(c, "to one"));
  CHECK(of_one.accepted() == 1);
  // The same words
  Said said = reload();
  CHECK(said.status == 0);
  CHECK(said.out == "reloaded; the options are the same as before\n");
  CHECK(d->wait_log(" peers-read ", 5));
  CHECK(echoed(c, "still"));
  // The port leads to the other one: who is there would be at the wrong place.
  write(with({"PORT=two@" + local(port)}));
  said = reload();
  CHECK_MESSAGE(said.status == 0, said.error);
  CHECK(said.out == "reloaded; ports: 0 opened, 0 closed; servers: 0 more, 0 less; channels: 1 ended\n");
  CHECK(wait_for([&] { return c.over(); }, 5));
  Conn next(port);
  CHECK(echoed(next, "to two"));
  CHECK(of_two.accepted() == 1);
  CHECK(d->count(" link-up ") == 2);
  // A mistake in the peers file, and then one in the options: what is right is lived by.
  hub.write_peers(peers + "three\n");
  write(with({"PORT=two@" + local(port), "TIMEOUT=con:3"}));
  said = reload();
  CHECK(said.status == 78);
  CHECK(said.error.find("sockmuxctl: " + hub.peers_file() + ":3: ") == 0);
  CHECK(said.error.find("; the peers file stays as it was\n") != std::string::npos);
  CHECK(d->wait_log(" reloaded ports_added=0", 5));
  CHECK(echoed(next, "still"));
  hub.write_peers("two " + two.shown() + "\n");
  write(with({"PORT=two@" + local(port), "PROT=1"}));
  said = reload();
  CHECK(said.status == 78);
  CHECK(said.error.find("conf:4: PROT=1: unknown parameter") != std::string::npos);
  CHECK(said.error.find("sockmuxctl: the options stay as they were\n") != std::string::npos);
  CHECK(d->wait_log("key removed", 5));
  CHECK(echoed(next, "and on"));
}

TEST_CASE("reload: ports that the peer is asked for come and go, the first ones too, and clients of those that stay do not notice") {
  const TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  Site hub, one;
  hub.write_peers("one " + one.shown() + " PORT=1024-65535\n");
  one.knows("hub", hub);
  Server server(echoes);
  Daemon d(hub.words({"SERVER=sockmuxs", "-P127.0.0.1:0"}));
  const uint16_t kept = quiet_port(), other = quiet_port();
  REQUIRE(kept != other);
  const std::string words = "SERVER=sockmuxs://" + local(d.link_port()) + "\nDEST=" + local(server.port()) + "\n";
  const auto becomes = [&](const std::string& more) { put_file(folder / "conf", words + more); };
  becomes("");
  Daemon branch(one.words({"+=" + folder / "conf", "SOXCONF=control:" + folder / "socket"}));
  branch.await_start();
  REQUIRE(branch->wait_log(" link-up ", 10));
  const auto reload = [&](const std::string& more, const std::string& less) {
    const Said said = ctl({"reload", "-s", folder / "socket"});
    CHECK_MESSAGE(said.status == 0, said.error);
    CHECK_MESSAGE(said.out.find("; RPORT: " + more + " more, " + less + " less; ") != std::string::npos, said.out);
    CHECK(branch->wait_log(" rports_added=" + more + " rports_removed=" + less, 5));
  };
  becomes("RPORT=" + local(kept) + "\n");
  reload("1", "0");
  REQUIRE(serves(kept, 10));
  Conn c(kept);
  CHECK(echoed(c, "before"));
  for (int i = 0; i < 3; ++i) {
    becomes("RPORT=" + local(other) + "," + local(kept) + "\n");
    reload("1", "0");
    CHECK(serves(other, 10));
    CHECK(echoed(c, "still"));
    becomes("RPORT=" + local(kept) + "\n");
    reload("0", "1");
    CHECK(wait_for([&] {
      Conn none(other);
      return wait_for([&] { return none.over(); }, 5) && none.error() == ECONNREFUSED;
    }, 5));
    CHECK(echoed(c, "and on"));
  }
  CHECK(branch->count(" bind-open ") == 4);
}

// Each would get clients that mean "localhost", or a name of both families.
TEST_CASE("reload: a port that comes does not stand beside one that a peer has, and says so") {
  const TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
  Site hub, one;
  hub.write_peers("one " + one.shown() + " PORT=1024-65535,1024-65535/udp\n");
  one.knows("hub", hub);
  Server server(echoes);
  const uint16_t link = quiet_port(), given = quiet_port(), free = quiet_port();
  const std::string words = "SERVER=sockmuxs\n-P" + local(link) + "\n";
  const auto becomes = [&](const std::string& more) { put_file(folder / "conf", words + more); };
  becomes("");
  Daemon d(hub.words({"+=" + folder / "conf", "SOXCONF=control:" + folder / "socket"}));
  d.await_start();
  Daemon branch(one.words({"SERVER=sockmuxs://" + local(link), "DEST=" + local(server.port()), "RPORT=" + local(given) + "," + local(given) + "/udp"}));
  REQUIRE(wait_for([&] { return branch->count(" bind-open ") == 2; }, 10));
  for (const std::string& kind : {std::string(), std::string("/udp")}) {
    becomes("PORT=[::1]:" + text(free) + kind + ",[::1]:" + text(given) + kind + "\n");
    const Said said = ctl({"reload", "-s", folder / "socket"});
    CHECK(said.status == 78);
    CHECK_MESSAGE(said.error.find("cannot listen at [::1]:" + text(given) + ": a peer has this port (RPORT)") != std::string::npos, said.error);
  }
  CHECK(serves(given, 5));
  becomes("PORT=[::1]:" + text(free) + "\n");
  CHECK(ctl({"reload", "-s", folder / "socket"}).status == 0);
}
