// Names that change while the daemon runs. Read next: core/io/resolver.h (an answer is kept for 5 s).
#include <doctest/doctest.h>
#include <unistd.h>

#include "tests/e2e/sockets.h"

using namespace e2e;

TEST_CASE("a hub whose name gets another address is found there, without a restart and without HUP") {
  if (geteuid() != 0 || !may_unshare()) return;
  TempFolder folder;
  const std::string hosts = folder / "hosts", port = text(quiet_port());
  write_file(hosts, "127.0.0.1 hub.example\n");
  auto first = std::make_unique<Daemon>(Words{"SERVER=sockmux", "-P127.0.0.1:" + port, "PORT=127.0.0.1:0"});
  first->await_start();
  // The calling side has an /etc/hosts of its own.
  Process calls({"unshare", "-m", "/bin/sh", "-c",
                 "mount --make-rprivate / && mount --bind " + hosts + " /etc/hosts && exec " + daemon_path() +
                     " -f SOXCONF=control:no TIMEOUT=retry:1 SERVER=sockmux://hub.example:" + port + " DEST=127.0.0.1:9"});
  REQUIRE(calls.wait_log(" link-up ", 10));
  Daemon second({"SERVER=sockmux", "-P127.0.0.2:" + port, "PORT=127.0.0.1:0"});
  second.await_start();
  write_file(hosts, "127.0.0.2 hub.example\n");
  first.reset();
  CHECK(second->wait_log(" link-up ", 20));
  CHECK(calls.running());
}
