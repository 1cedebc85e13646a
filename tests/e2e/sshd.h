// A real sshd for tests, at a free port, and what ssh needs to get in with a key. Read next: programs.cc.
#ifndef SOCKMUX_TESTS_E2E_SSHD_H
#define SOCKMUX_TESTS_E2E_SSHD_H

#include <doctest/doctest.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "tests/e2e/sockets.h"

namespace e2e {

class Sshd {
 public:
  Sshd() {
    const std::string program = find_program("sshd"), keygen = find_program("ssh-keygen");
    for (const char* key : {"host", "user"}) run({keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder_ / key}, 10);
    write_file(folder_ / "conf", "ListenAddress " + local(port_) + "\nHostKey " + folder_ / "host" + "\nAuthorizedKeysFile " +
                                     folder_ / "user.pub" + "\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n" +
                                     "PasswordAuthentication no\nMaxStartups 100\nSubsystem sftp internal-sftp\nSetEnv HOME=" +
                                     folder_.path() + "\n");  // so that nobody's own shell files run
    if (geteuid() == 0) run({"mkdir", "-p", "/run/sshd"}, 5);  // where it puts its unprivileged part
    process_ = std::make_unique<Process>(Words{program, "-D", "-e", "-f", folder_ / "conf"});
    REQUIRE_MESSAGE(process_->wait_log("Server listening on", 5), "sshd does not start: ", process_->log());
  }
  uint16_t port() const { return port_; }
  // For another sshd with the same keys.
  std::string conf() const { return folder_ / "conf"; }
  // Options of ssh and scp to get in.
  Words options() const {
    return {"-F", "none", "-i", folder_ / "user", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"};
  }

 private:
  TempFolder folder_;
  const uint16_t port_ = quiet_port();
  std::unique_ptr<Process> process_;
};

inline Words join(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace e2e

#endif
