// Programs as links: SERVER=sockmux:proc@command, with socat, ssh, shells that misbehave, and a hand-made 0.3 peer.
// Read next: exec.cc, family.h.
#include <doctest/doctest.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/e2e/family.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/sshd.h"

using namespace e2e;

namespace {

std::string to_port(uint16_t port) { return "SERVER=sockmux:proc@" + find_program("socat") + " STDIO TCP4:" + local(port); }

std::string absolute(const std::string& path) {
  char whole[PATH_MAX];
  REQUIRE(realpath(path.c_str(), whole) != nullptr);
  return whole;
}

// 0.3 has no half-close: the client keeps its end to itself until it has its answer.
bool echoed(uint16_t port) {
  Conn client(port);
  client.send("to and fro");
  return wait_for([&] { return client.text() == "to and fro"; }, 5);
}

}  // namespace

TEST_CASE("program: line:lossy makes frames on a link over a program, too") {
  Server echo(echoes);
  // The program runs as nobody, who may not come to where the daemon was built.
  TempFolder folder;
  run({"cp", daemon_path(), folder / "sockmuxd"}, 5);
  run({"chmod", "755", folder.path(), folder / "sockmuxd"}, 5);
  const std::string other = folder / "sockmuxd" + " SERVER=sockmux:comm@- SOXCONF=line:lossy DEST=" + local(echo.port());
  Daemon c({"SERVER=sockmux:proc@" + other, "PORT=127.0.0.1:0", "SOXCONF=line:lossy"});
  REQUIRE(c->wait_log(" link-up ", 5));
  Conn client(c.port());
  client.expect_pattern(5).send_pattern(5, 3000000).shut();
  CHECK(wait_for([&] { return client.over(); }, 30));
  CHECK(client.received() == 3000000);
  CHECK_FALSE(client.wrong());
}

TEST_CASE("program: on a lossy link, too, one that says nothing, or nothing of use, is ended after TIMEOUT=hello and started again") {
  for (const char* command : {"exec sleep 1000", "exec cat /dev/urandom"}) {
    CAPTURE(command);
    Daemon d({"SERVER=sockmux:proc@" + std::string(command), "SOXCONF=line:lossy", "TIMEOUT=hello:1"});
    REQUIRE(wait_for([&] { return programs_of(d->pid()).size() == 1; }, 5));
    const std::vector<Kin> first = programs_of(d->pid());
    CHECK(wait_for([&] { return left_of(first) == 0; }, 10));
    CHECK(wait_for([&] { return programs_of(d->pid()).size() == 1; }, 10));  // the next one
  }
}

TEST_CASE("program: a link over socat, in both dialects; killed under traffic it comes again") {
  Server left(echoes), right(echoes);
  for (const char* proto : {"SOXCONF=proto:auto", "SOXCONF=proto:0.3"}) {
    CAPTURE(proto);
    Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "DEST=" + local(left.port())});
    Daemon c({to_port(a.link_port()), "PORT=127.0.0.1:0", "DEST=" + local(right.port()), proto});
    REQUIRE(c->wait_log(" link-up ", 5));
    REQUIRE(echoed(a.port()));
    REQUIRE(echoed(c.port()));
    REQUIRE(wait_for([&] { return programs_of(c->pid()).size() == 1; }, 5));
    const size_t descriptors = c.descriptors();
    for (int i = 0; i < 5; ++i) {
      Conn busy(c.port());
      busy.send_pattern(7, 50 << 20);
      REQUIRE(wait_for([&] { return busy.received() > 100000; }, 5));
      const size_t from = c->log().size();
      const std::vector<Kin> programs = programs_of(c->pid());
      REQUIRE(programs.size() == 1);
      ::kill(-programs[0].pid, SIGKILL);
      REQUIRE(c->wait_log("program-ended", 5, from));
      CHECK(c->wait_log("reason=\"signal 9\"", 5, from));
      REQUIRE(c->wait_log(" link-up ", 5, from));
      busy.reset();
      CHECK(echoed(a.port()));
      CHECK(echoed(c.port()));
    }
    CHECK(zombies_of(c->pid()) == 0);
    CHECK(wait_for([&] { return programs_of(c->pid()).size() == 1; }, 5));
    CHECK(wait_for([&] { return c.descriptors() <= descriptors; }, 5));  // at first a client may still have been there
    const std::vector<Kin> programs = programs_of(c->pid());
    c->signal(SIGTERM);
    CHECK(c->wait_end(8));
    CHECK(c->status() == 0);
    CHECK(wait_for([&] { return left_of(programs) == 0; }, 5));
  }
}

TEST_CASE("program: ssh starts the other daemon; a tunnel with nothing listening but PORT") {
  Sshd sshd;
  Server far(echoes);
  std::string command = find_program("ssh") + " -p " + text(sshd.port());
  for (const std::string& w : sshd.options()) command += " " + w;
  command += " 127.0.0.1 " + absolute(daemon_path()) + " SERVER=sockmux:comm@- DEST=" + local(far.port());
  Daemon c(as_ourselves({"SERVER=sockmux:proc@" + command, "PORT=127.0.0.1:0"}));
  REQUIRE(c->wait_log(" link-up ", 20));
  check_crowd({{c.port()}, 40, 20, 20000, 3, 30});
  // Its ssh dies: a new one, with a new daemon behind it.
  const size_t from = c->log().size();
  const std::vector<Kin> before = programs_of(c->pid());
  REQUIRE(before.size() == 1);
  ::kill(-before[0].pid, SIGKILL);
  REQUIRE(c->wait_log(" link-up ", 20, from));
  CHECK(serves(c.port(), 10));
  // What the daemon over there says is in our log.
  CHECK(c->wait_log("program-says", 5));
  const std::vector<Kin> programs = programs_of(c->pid());
  c->signal(SIGTERM);
  CHECK(c->wait_end(8));
  CHECK(wait_for([&] { return left_of(programs) == 0; }, 5));
  CHECK(wait_for([&] { return processes_with("comm@- DEST=" + local(far.port())).empty(); }, 10));
}

TEST_CASE("program: a hand-made 0.3 peer behind socat") {
  std::unique_ptr<Peer03> peer;
  Server line([&](Conn& c) { peer = std::make_unique<Peer03>(c); });
  Server target(echoes);
  Daemon d({to_port(line.port()), "PORT=127.0.0.1:0", "DEST=" + local(target.port())});
  REQUIRE(d->wait_log(" link-up ", 5));
  CHECK(d->wait_log("dialect=0.3", 5));
  Conn client(d.port());
  client.send("to the peer");
  CHECK(wait_for([&] { return client.text() == "to the peer"; }, 5));
  const unsigned id = peer->open("over a program");
  CHECK(wait_for([&] { return peer->received(id) == "over a program"; }, 5));
  CHECK_MESSAGE(peer->fault().empty(), peer->fault());
}

TEST_CASE("program: what it has open, what it says, and its environment") {
  TempFolder temp;
  write_file(temp / "say.sh",
             "ls /proc/self/fd | tr '\\n' ' ' >&2; echo >&2\n"
             "echo \"value is $VALUE\" >&2\n"
             "printf 'a \\001 byte\\n' >&2\n"
             "head -c 3000 /dev/zero | tr '\\0' x >&2; echo >&2\n"
             "printf 'no end of line' >&2\n"
             "exit 3\n");
  Daemon d(as_ourselves({"-eVALUE=seven", "SERVER=sockmux:proc@sh " + temp / "say.sh"}));
  REQUIRE(d->wait_log("reason=\"status 3\"", 5));
  CHECK(d->wait_log("text=\"0 1 2 3 \"", 5));  // 3 is what ls reads
  CHECK(d->wait_log("text=\"value is seven\"", 5));
  CHECK(d->wait_log("text=\"a ? byte\"", 5));
  CHECK(d->wait_log("text=" + std::string(230, 'x') + "\n", 5));
  CHECK_FALSE(d->says(std::string(231, 'x')));
  CHECK(d->wait_log("text=\"no end of line\"", 5));
}

TEST_CASE("program: one that dies at once is started again, with pauses that grow") {
  TempFolder temp;
  Daemon d(as_ourselves({"SERVER=sockmux:proc@echo x >>" + temp / "starts" + "; exit 7"}));
  d.await_start();
  const double from = now();
  (void)wait_for([&] { return now() > from + 2; }, 30);
  const size_t starts = count_of(read_file(temp / "starts"), "x");
  CHECK(starts >= 4);
  CHECK(starts <= 16);
  CHECK(d->wait_log("reason=\"status 7\"", 5));
  CHECK(d->wait_log("link-failed", 5));
  // 20 of them leave nothing.
  REQUIRE(wait_for([&] { return count_of(read_file(temp / "starts"), "x") >= 20; }, 20));
  CHECK(wait_for([&] { return zombies_of(d->pid()) == 0 && programs_of(d->pid()).empty(); }, 5));
  CHECK(d.descriptors() <= 12);
  CHECK(d->running());
}

TEST_CASE("program: garbage, silence, and one that does not want to end") {
  SUBCASE("garbage without end") {
    for (const char* command : {"cat /dev/urandom", "yes", "cat /dev/zero"}) {
      CAPTURE(command);
      Daemon d({"SERVER=sockmux:proc@" + std::string(command), "TIMEOUT=hello:1"});
      REQUIRE(d->wait_log("link-failed", 10));
      CHECK(wait_for([&] { return programs_of(d->pid()).size() <= 1; }, 10));
      d->signal(SIGTERM);
      CHECK(d->wait_end(8));
      CHECK(d->status() == 0);
    }
  }
  SUBCASE("silence") {
    Daemon d({"SERVER=sockmux:proc@exec sleep 1000", "TIMEOUT=hello:1"});
    REQUIRE(wait_for([&] { return programs_of(d->pid()).size() == 1; }, 5));
    const std::vector<Kin> first = programs_of(d->pid());
    REQUIRE(d->wait_log("link-failed", 5));
    CHECK(wait_for([&] { return left_of(first) == 0; }, 5));
    CHECK(wait_for([&] { return programs_of(d->pid()).size() == 1; }, 5));  // the next one
  }
  SUBCASE("TERM is ignored") {
    Daemon d({"SERVER=sockmux:proc@trap '' TERM; while :; do sleep 1; done", "TIMEOUT=hello:1"});
    REQUIRE(wait_for([&] { return programs_of(d->pid()).size() == 1; }, 5));
    const std::vector<Kin> first = programs_of(d->pid());
    REQUIRE(d->wait_log("link-failed", 5));
    CHECK(wait_for([&] { return left_of(first) == 0; }, 8));
    CHECK(programs_of(d->pid()).size() <= 4);
    const std::vector<Kin> programs = programs_of(d->pid());
    d->signal(SIGTERM);
    CHECK(d->wait_end(8));
    CHECK(wait_for([&] { return left_of(programs) == 0; }, 5));
  }
}

TEST_CASE("program: who has not dropped root's rights does not give them away: programs run as OWNER") {
  if (geteuid() != 0) return;
  Daemon d({"SERVER=sockmux:proc@id -u >&2; exit 1"});
  REQUIRE(d->wait_log("program-says", 5));
  CHECK_FALSE(d->says("text=0\n"));
}
