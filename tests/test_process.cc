// Who the daemon shall be, and where, as the words of the configuration say it. Read next: core/io/process.h.
#include <doctest/doctest.h>
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "core/io/process.h"

using namespace smx;

namespace {

// "uid/gid", or the error.
std::string identity(const std::string& text) {
  Identity who{};
  const int error = find_identity(text.c_str(), &who);
  if (error != 0) return error == ESRCH ? "unknown" : "error";
  return std::to_string(who.uid) + "/" + std::to_string(who.gid);
}

}  // namespace

TEST_CASE("OWNER: a name or a number, and a group behind it; a user's own group else") {
  const passwd* root = getpwuid(0);
  REQUIRE(root != nullptr);
  const std::string name = root->pw_name, gid = std::to_string(root->pw_gid);
  CHECK(identity(name) == "0/" + gid);
  CHECK(identity("#0") == "0/" + gid);
  CHECK(identity(name + "/#7") == "0/7");
  CHECK(identity("#4294967294") == "4294967294/4294967294");  // nobody has it, so its group has the same number
  CHECK(identity("#12/#13") == "12/13");
  CHECK(identity("#12/daemon") != "unknown");
  for (const char* bad : {"", "/", "/#7", "#", "#x", "#1x", "#4294967295", "#99999999999", "no-such-user", "#12/no-such-group", "#12/", "#12/#", "#12/#x"}) {
    CAPTURE(bad);
    CHECK(identity(bad) == "unknown");
  }
  CHECK(identity(std::string(63, 'x')) == "unknown");
  CHECK(identity(std::string(64, 'x')) == "unknown");
}

TEST_CASE("UMASK: an octal number up to 777") {
  const mode_t before = umask(022);
  CHECK(set_umask("77"));
  CHECK(umask(022) == 077);
  CHECK(set_umask("0777"));
  CHECK(umask(022) == 0777);
  for (const char* bad : {"", "8", "7x", "1000", "-1"}) {
    CAPTURE(bad);
    CHECK_FALSE(set_umask(bad));
  }
  CHECK(umask(before) == 022);
}

TEST_CASE("CHROOT: a folder, and root only") {
  CHECK(check_chroot("/no-such-folder") == ENOENT);
  CHECK(check_chroot("/dev/null") == ENOTDIR);
  CHECK(check_chroot("/") == (geteuid() == 0 ? 0 : EPERM));
}

TEST_CASE("PIDFILE: the file that goes is ours, and not that of a daemon which has made its own there since") {
  char folder[] = "/tmp/sockmux-test-XXXXXX";
  REQUIRE(mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/pid";
  int error = 0;
  const Fd ours = open_pidfile(path.c_str(), &error);
  REQUIRE(ours.valid());
  CHECK(write_pid(ours.get()) == 0);
  REQUIRE(unlink(path.c_str()) == 0);
  const Fd other = open_pidfile(path.c_str(), &error);
  REQUIRE(other.valid());
  drop_pidfile(ours.get(), path.c_str());
  CHECK(same_open_file(other.get(), path.c_str()));
  drop_pidfile(other.get(), path.c_str());
  CHECK(access(path.c_str(), F_OK) < 0);
  rmdir(folder);
}

// One that ends removes its file while another has opened that already, and gets the lock a moment later.
TEST_CASE("PIDFILE: who has it has the file of that name, whoever ends at the same time") {
  char folder[] = "/tmp/sockmux-test-XXXXXX";
  REQUIRE(mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/pid";
  const auto turn = [&](int* had) {
    int error = 0;
    const Fd fd = open_pidfile(path.c_str(), &error);
    if (!fd.valid()) return error == EWOULDBLOCK;
    ++*had;
    const bool same = same_open_file(fd.get(), path.c_str());
    drop_pidfile(fd.get(), path.c_str());
    return same;
  };
  const pid_t other = fork();
  REQUIRE(other >= 0);
  int had = 0;
  if (other == 0)
    for (;;) (void)turn(&had);
  bool good = true;
  for (int i = 0; i < 20000 && good; ++i) good = turn(&had);
  kill(other, SIGKILL);
  CHECK(waitpid(other, nullptr, 0) == other);
  CHECK(good);
  CHECK(had > 0);
  (void)unlink(path.c_str());
  rmdir(folder);
}
