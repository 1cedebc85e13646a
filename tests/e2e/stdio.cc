// SERVER=sockmux:comm@-: the link over our own standard input and output, under socat, between two pipes of a shell, and with
// what surrounds it: banners, blocking files that are shared, ends.
// Read next: pipes.h; fifo.cc.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/e2e/pipes.h"

using namespace e2e;

namespace {

const std::string kComm = "SERVER=sockmux:comm@-";

// For the shell: the daemon with these words, its log in `log`.
std::string command(const Words& words, const std::string& log) {
  std::string line = "'" + daemon_path() + "' " + kComm;
  for (const std::string& w : words) line += " '" + w + "'";
  return line + " 2>>'" + log + "'";
}

std::string script(const TempFolder& tmp, const std::string& name, const std::string& body) {
  write_file(tmp / name, "#!/bin/sh\n" + body + "\n");
  REQUIRE(chmod((tmp / name).c_str(), 0755) == 0);
  return tmp / name;
}

bool wait_in(const std::string& path, const std::string& text, double seconds) {
  return wait_for([&] { return read_file(path).find(text) != std::string::npos; }, seconds);
}

// The port that a daemon says in its log.
uint16_t port_in(const std::string& log) {
  const std::string text = "clients are accepted at 127.0.0.1:";
  REQUIRE(wait_in(log, text, 5));
  const std::string all = read_file(log);
  return static_cast<uint16_t>(atoi(all.c_str() + all.find(text) + text.size()));
}

// A daemon on a socketpair: our end of it as a Conn.
struct OnSocket {
  explicit OnSocket(const Words& words, const std::string& log) {
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    const std::string line = "exec " + command(words, log);
    pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      dup2(pair[1], 0);
      dup2(pair[1], 1);
      execl("/bin/sh", "sh", "-c", line.c_str(), static_cast<char*>(nullptr));
      _exit(127);
    }
    theirs = pair[1];
    conn = std::make_unique<Conn>(pair[0]);
  }
  ~OnSocket() {
    close(theirs);
    if (!reaped) {
      ::kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
    }
  }
  bool wait_end(double seconds) {
    return wait_for([&] { return reaped || (reaped = waitpid(pid, &status, WNOHANG) == pid); }, seconds);
  }
  int code() const { return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status); }
  pid_t pid;
  int theirs;  // the daemon's end, as a shell would still have it
  bool reaped = false;
  int status = 0;
  std::unique_ptr<Conn> conn;
};

}  // namespace

TEST_CASE("comm@-: two daemons under socat EXEC are linked, and end with each other") {
  find_program("socat");
  TempFolder tmp;
  Server server(echoes);
  const std::string one = script(tmp, "one", "exec " + command({"PORT=127.0.0.1:0", "DEST=" + local(server.port())}, tmp / "log1"));
  const std::string two = script(tmp, "two", "exec " + command({"PORT=127.0.0.1:0", "DEST=" + local(server.port())}, tmp / "log2"));
  for (const char* kind : {"", ",pipes"}) {
    CAPTURE(kind);
    write_file(tmp / "log1", "");
    write_file(tmp / "log2", "");
    Process socat({"socat", "EXEC:" + one + kind, "EXEC:" + two + kind});
    Crowd crowd;
    crowd.ports = {port_in(tmp / "log1"), port_in(tmp / "log2")};
    crowd.count = 40;
    crowd.most_bytes = 100000;
    check_crowd(crowd);
    CHECK(read_file(tmp / "log1").find("peer=stdio dialect=1") != std::string::npos);
    const std::string all = read_file(tmp / "log1");
    const size_t id = all.find("sockmuxd[");
    ::kill(atoi(all.c_str() + id + 9), SIGTERM);
    CHECK(wait_in(tmp / "log1", " ended", 3));
    CHECK(wait_in(tmp / "log2", " ended", 6));
    CHECK(read_file(tmp / "log2").find("goodbye: shutdown") != std::string::npos);
    CHECK(socat.wait_end(5));
  }
}

TEST_CASE("comm@-: between two pipes of a shell, in both dialects; each exits with 0") {
  Server server(echoes);
  for (const Words& dialect : {Words{}, Words{"SOXCONF=proto:0.3", "TIMEOUT=lin:0.2"}}) {
    CAPTURE(dialect.size());
    TempFolder tmp;
    run({"mkfifo", tmp / "back"}, 5);
    Words words{"PORT=127.0.0.1:0", "DEST=" + local(server.port())};
    words.insert(words.end(), dialect.begin(), dialect.end());
    Process shell({"sh", "-c", "{ " + command(words, tmp / "log1") + " <'" + tmp / "back" + "'; echo \"exit $?\" >>'" + tmp / "log1" + "'; } | { " +
                                   command(words, tmp / "log2") + " >'" + tmp / "back" + "'; echo \"exit $?\" >>'" + tmp / "log2" + "'; }"});
    const uint16_t ports[2] = {port_in(tmp / "log1"), port_in(tmp / "log2")};
    Crowd crowd;
    crowd.ports = {ports[0], ports[1]};
    crowd.count = 40;
    crowd.most_bytes = 100000;
    check_crowd(crowd);
    const std::string all = read_file(tmp / "log2");
    ::kill(atoi(all.c_str() + all.find("sockmuxd[") + 9), SIGKILL);
    CHECK(wait_in(tmp / "log1", "exit 0", 6));
    CHECK(read_file(tmp / "log1").find("reason=\"the link at standard input has ended\"") != std::string::npos);
    CHECK(shell.wait_end(5));
  }
}

TEST_CASE("comm@- is the other end of FIFOs") {
  Server server(echoes);
  Fifos fifos;
  TempFolder tmp;
  Daemon one(fifos.one({"PORT=127.0.0.1:0"}));
  one.await_start();
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    const size_t from = one->log().size();
    Process other({"sh", "-c", "exec " + command({"DEST=" + local(server.port())}, tmp / "log") + " <'" + fifos.com1() + "' >'" + fifos.com0() + "'"});
    REQUIRE(one->wait_log(" link-up ", 5, from));
    CHECK(serves(one.port(), 2));
    other.signal(SIGTERM);
    CHECK(other.wait_end(3));
    CHECK(other.status() == 0);
    CHECK(one->wait_log("goodbye: shutdown", 2, from));
  }
}

TEST_CASE("comm@-: a banner before HELLO does no harm; standard output gets the protocol and nothing else") {
  TempFolder tmp;
  Server server(echoes);
  OnSocket d({"DEST=" + local(server.port()), "PORT=127.0.0.1:0", "-vd"}, tmp / "log");
  (void)port_in(tmp / "log");
  d.conn->send("Last login: never\r\n" + pattern(1, 5000) + "\x03\x01\x03\x01 and so on");
  Peer03 peer(*d.conn);
  CHECK(wait_for([&] { return peer.up(); }, 5));
  const unsigned id = peer.open("question");
  CHECK(wait_for([&] { return peer.received(id) == "question"; }, 5));
  CHECK(peer.fault() == "");
  CHECK(wait_in(tmp / "log", "dialect=0.3", 2));
}

TEST_CASE("comm@-: at the end of input what came before is delivered, and the daemon exits with 0") {
  TempFolder tmp;
  Conn* slow = nullptr;
  Server server([&](Conn& c) { (slow = &c)->rate = 200000; });
  OnSocket d({"DEST=" + local(server.port())}, tmp / "log");
  Peer03 peer(*d.conn);
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  const unsigned id = peer.open();
  REQUIRE(wait_for([&] { return peer.opened(id); }, 5));
  const std::string bytes = pattern(3, 60000);
  for (size_t at = 0; at < bytes.size(); at += 10000) peer.send(id, bytes.substr(at, 10000));
  peer.close(id);
  d.conn->shut();
  CHECK(d.wait_end(5));
  CHECK(d.code() == 0);
  REQUIRE(slow != nullptr);
  CHECK(wait_for([&] { return slow->received() == bytes.size(); }, 5));
  CHECK(slow->text() == bytes);
  CHECK(wait_in(tmp / "log", "reason=\"end of file\"", 1));
}

TEST_CASE("comm@-: O_NONBLOCK of files that are shared with others is as it was: at the end, by TERM, and when the start fails") {
  Server busy(echoes);
  for (int way = 0; way < 3; ++way) {
    CAPTURE(way);
    TempFolder tmp;
    OnSocket d(way == 2 ? Words{"PORT=" + local(busy.port())} : Words{}, tmp / "log");
    if (way != 2) {
      REQUIRE(wait_for([&] { return (fcntl(d.theirs, F_GETFL) & O_NONBLOCK) != 0; }, 5));
      if (way == 0) d.conn->shut();
      if (way == 1) ::kill(d.pid, SIGTERM);
    }
    CHECK(d.wait_end(6));
    CHECK(d.code() == (way == 2 ? 69 : 0));
    CHECK((fcntl(d.theirs, F_GETFL) & O_NONBLOCK) == 0);
  }
}

TEST_CASE("comm@-: what is no pipe and no socket is an error at the start") {
  TempFolder tmp;
  write_file(tmp / "plain", "text");
  const auto start = [&](const std::string& redirect, const std::string& expected) {
    CAPTURE(redirect);
    Process p({"sh", "-c", "true | " + command({}, tmp / "log") + redirect});
    CHECK(p.wait_end(5));
    CHECK(p.status() == 66);
    CHECK(read_file(tmp / "log").find(expected) != std::string::npos);
    write_file(tmp / "log", "");
  };
  start(" <'" + tmp / "plain" + "'", "standard input is a plain file, and a pipe or a socket was expected");
  start(" >'" + tmp / "plain" + "'", "standard output is a plain file");
  start(" </dev/null", "standard input is a device");
  start(" <&-", "standard input is a device");
  CHECK(read_file(tmp / "plain") == "");
}

TEST_CASE("comm@-: an idle one does not wait busily, and leaves the rest of a shell's line alone") {
  TempFolder tmp;
  Server server(echoes);
  run({"mkfifo", tmp / "back"}, 5);
  Process shell({"sh", "-c", command({"PORT=127.0.0.1:0"}, tmp / "log1") + " <'" + tmp / "back" + "' | " + command({"DEST=" + local(server.port())}, tmp / "log2") +
                                 " >'" + tmp / "back" + "'"});
  CHECK(serves(port_in(tmp / "log1"), 5));
  const std::string all = read_file(tmp / "log1");
  const pid_t pid = atoi(all.c_str() + all.find("sockmuxd[") + 9);
  const auto turns = [&](size_t nth) {
    ::kill(pid, SIGUSR1);
    REQUIRE(wait_for([&] { return count_of(read_file(tmp / "log1"), " turns=") == nth; }, 5));
    const std::string log = read_file(tmp / "log1");
    return atoll(log.c_str() + log.rfind(" turns=") + 7);
  };
  const auto before = turns(1);
  const double later = now() + 1;
  (void)wait_for([&] { return now() > later; }, 2);
  CHECK(turns(2) - before < 20);
}
