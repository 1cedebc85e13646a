// sockmuxctl dump of secure links: what is inside of them, and of whom. Read next: dump.cc.
#include <doctest/doctest.h>
#include <signal.h>

#include "tests/e2e/secure_site.h"

using namespace e2e;

TEST_CASE("dump: a secure link shows the packets inside, of the peer that is asked for") {
  TwoSites sites;
  TempFolder folder;
  const std::string path = folder / "s", control = "SOXCONF=control:" + path;
  Server server(echoes);
  Daemon a(sites.hub.words({"SERVER=sockmuxs", "-P127.0.0.1:0", "DEST=" + local(server.port()), control}));
  a.await_start();
  ProcessSetup setup;
  setup.separate = true;
  Process branch({ctl_path(), "dump", "-s", path, "branch", "--payload"}, setup);
  REQUIRE(a->wait_log(" dump-started peer=branch ", 10));
  Daemon c(sites.branch.words({"SERVER=sockmuxs://" + local(a.link_port()), "PORT=127.0.0.1:0"}));
  REQUIRE(c->wait_log(" link-up ", 10));
  Conn client(c.port());
  client.send("inside").shut();
  REQUIRE(wait_for([&] { return client.over(); }, 10));
  REQUIRE(wait_for([&] { return count_of(branch.output(), " \"inside\"") >= 2; }, 10));
  CHECK(branch.output().find("# session 1: branch 127.0.0.1:") == 0);
  CHECK(branch.output().find(" HELLO ") != std::string::npos);
  CHECK(branch.output().find(" name=") == std::string::npos);
  const Said nobody = ctl({"dump", "-s", path, "nobody"});
  CHECK(nobody.status == 76);
  CHECK(nobody.error == "sockmuxctl: " + path + ": no peer 'nobody' in the peers file\n");
}
