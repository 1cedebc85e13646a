// The start of a secure link as README.md has it: three commands a side, word for word, with the files and the socket where
// they are if nothing else is said. Each host has an /etc and a /run of its own, in a mount namespace.
// Read next: keys.cc, control.cc.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/ctl.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

class Host {
 public:
  Host() {
    run({"mkdir", folder_ / "etc", folder_ / "run"}, 5);
    for (const char* file : {"passwd", "group", "hosts", "nsswitch.conf"})
      if (exists(std::string("/etc/") + file)) run({"cp", std::string("/etc/") + file, folder_ / "etc"}, 5);
  }
  // For the shell: `line`, on this host.
  Words on(const std::string& line) const {
    return {"unshare", "-m", "/bin/sh", "-c",
            "mount --make-rprivate / && mount --bind " + folder_ / "etc" + " /etc && mount --bind " + folder_ / "run" + " /run && " + line};
  }
  std::string says(const std::string& line) const { return e2e::run(on(line), 10); }
  std::string file(const std::string& name) const { return folder_ / name; }

 private:
  TempFolder folder_;
};

// "KEY\n" without its end
std::string bare(const std::string& line) { return line.substr(0, line.find('\n')); }

}  // namespace

TEST_CASE("secure link: three commands a side, and sockmuxctl peers shows who is there by name and key") {
  if (geteuid() != 0 || read_file(ctl_path()).find("built without secure links") != std::string::npos) return;
  if (!may_unshare()) return;
  Server ssh([](Conn& c) { c.send("SSH-2.0-hub\r\n").shut(); });
  Host hub, branch;
  const std::string ctl = ctl_path(), daemon = daemon_path() + " -f";
  // hub#     sockmuxctl genkey
  const std::string hub_key = bare(hub.says(ctl + " genkey"));
  // branch1# sockmuxctl genkey
  const std::string branch_key = bare(branch.says(ctl + " genkey"));
  CHECK(hub_key.size() == 44);
  CHECK(branch_key != hub_key);
  // hub#     echo 'branch1 BRANCHKEY' >>/etc/sockmux/peers
  hub.says("echo 'branch1 " + branch_key + "' >>/etc/sockmux/peers");
  // hub#     sockmuxd -P9000 SERVER=sockmuxs DEST=127.0.0.1:22
  Process x(hub.on("exec " + daemon + " -P127.0.0.1:0 SERVER=sockmuxs DEST=" + local(ssh.port())));
  REQUIRE(x.wait_log(" started ", 5));
  const std::string there = "links are accepted at ";
  const size_t at = x.log().find(there) + there.size();
  const std::string place = x.log().substr(at, x.log().find('\n', at) - at);
  // branch1# echo 'hub HUBKEY' >>/etc/sockmux/peers
  branch.says("echo 'hub " + hub_key + "' >>/etc/sockmux/peers");
  // branch1# sockmuxd SERVER=sockmuxs://hub.example.net:9000 PORT=localhost:2222
  Process y(branch.on("exec " + daemon + " SERVER=sockmuxs://" + place + " PORT=127.0.0.1:0"));
  REQUIRE(y.wait_log(" link-up ", 5));
  const std::string clients = "clients are accepted at 127.0.0.1:";
  const uint16_t port = static_cast<uint16_t>(atoi(y.log().c_str() + y.log().find(clients) + clients.size()));
  CHECK(ask(port, "") == "SSH-2.0-hub\r\n");
  REQUIRE(x.wait_log(" link-up ", 5));
  std::string shown = hub.says(ctl + " peers");
  CHECK(shown.find("\nbranch1  " + branch_key + "  127.0.0.1:") != std::string::npos);
  CHECK(shown.find("  up  ") != std::string::npos);
  shown = branch.says(ctl + " peers");
  CHECK(shown.find("\nhub   " + hub_key + "  " + place + "  up  ") != std::string::npos);
  // Its name and key are those of whom the session waits for, too.
  y.signal(SIGKILL);
  REQUIRE(x.wait_log(" link-down ", 5));
  shown = hub.says(ctl + " peers");
  CHECK(shown.find("\nbranch1  " + branch_key + "  127.0.0.1:") != std::string::npos);
  CHECK(shown.find("  held  ") != std::string::npos);
  CHECK(x.count(branch_key) == 0);
  struct stat s {};
  REQUIRE(stat(hub.file("run/sockmux.sock").c_str(), &s) == 0);
  CHECK(s.st_uid == 0);
  CHECK((s.st_mode & 0777) == 0600);
  // It cannot be removed by who has given up root, and must not be tried under a filter of system calls.
  x.signal(SIGTERM);
  REQUIRE(x.wait_end(6));
  CHECK(x.status() == 0);
}
