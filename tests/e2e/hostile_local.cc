// What is on the daemon's own machine: other users at its control socket, a log that nobody reads, files that are links of others.
// Read next: hostile.h, control.cc, dump.cc; storms.cc for other logs that nobody takes.
#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/e2e/ctl.h"
#include "tests/e2e/hostile.h"

using namespace e2e;

namespace {

// A stage whose hub has a control socket, in a folder that all may enter.
struct Asked {
  TempFolder folder;
  const std::string path = folder / "s";
  Stage stage;
  explicit Asked(const Words& more = {}) : stage(words(more)) { REQUIRE(chmod(folder.path().c_str(), 0755) == 0); }
  bool answers() const { return ctl({"version", "-s", path}).status == 0; }

 private:
  Words words(const Words& more) const {
    Words all = as_root({"SOXCONF=control:" + path});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  static Words as_root(Words words) {
    if (geteuid() == 0) words.push_back("OWNER=root");
    return words;
  }
};

// The process is that user as long as this lives, however the test ends.
struct AsUser {
  explicit AsUser(uid_t user) { REQUIRE(seteuid(user) == 0); }
  ~AsUser() {
    if (seteuid(0) != 0) abort();
  }
  AsUser(const AsUser&) = delete;
  AsUser& operator=(const AsUser&) = delete;
};

// A FIFO that holds nothing more, and whom nobody reads until then.
struct Full {
  TempFolder folder;
  const std::string path = folder / "fifo";
  int fd = -1;
  Full() {
    REQUIRE(chmod(folder.path().c_str(), 0777) == 0);
    REQUIRE(mkfifo(path.c_str(), 0666) == 0);
    REQUIRE(chmod(path.c_str(), 0666) == 0);
    fd = open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(fd >= 0);
    fill();
  }
  ~Full() { close(fd); }
  void fill() const {
    const std::string bytes(4096, '\n');
    while (write(fd, bytes.data(), bytes.size()) > 0) {
    }
    while (write(fd, "\n", 1) > 0) {
    }
  }
  std::string take() const {
    std::string all;
    char bytes[4096];
    for (ssize_t n = read(fd, bytes, sizeof bytes); n > 0; n = read(fd, bytes, sizeof bytes)) all.append(bytes, static_cast<size_t>(n));
    return all;
  }
};

// With no standard error that could be read. Its port leads to an echo of a branch, which is what tells that it lives.
struct Mute {
  Server echo{echoes};
  const uint16_t link = quiet_port(), port = quiet_port();
  std::unique_ptr<Process> hub;
  std::unique_ptr<Daemon> branch;
  explicit Mute(const Words& more) {
    Words words{"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>/dev/null", daemon_path(), "-f", "SERVER=sockmux", "-P" + local(link), "PORT=" + local(port), "SOXCONF=control:no"};
    words.insert(words.end(), more.begin(), more.end());
    hub = std::make_unique<Process>(words);
    branch = std::make_unique<Daemon>(Words{"SERVER=sockmux://" + local(link), "DEST=" + local(echo.port()), "TIMEOUT=retry:0.1"});
  }
  bool lives() const { return serves(port, 5); }
};

}  // namespace

TEST_CASE("hostile user: thousands of connections to the control socket by somebody who may not, and who may is answered") {
  if (geteuid() != 0) return;  // only root has other users
  Asked asked;
  REQUIRE(chmod(asked.path.c_str(), 0666) == 0);  // as if somebody had opened it to all
  asked.stage.survives([&] {
    size_t refused = 0;
    const auto step = [&] {
      const std::unique_ptr<Conn> c = connect_unix(asked.path);
      refused += c != nullptr ? 1u : 0u;
    };
    {
      const AsUser stranger(12345);
      CHECK(keep_doing_until(step, [&] { return refused >= 1000; }));
    }
    CHECK(asked.answers());
  });
  CHECK(asked.stage.hub()->wait_log("control-refused uid=12345", 5));
}

TEST_CASE("hostile user: its own, who never reads, says half a command, or watches and stalls: others are answered, and links go on") {
  Asked asked({"TIMEOUT=ping:1"});
  asked.stage.survives([&] {
    std::vector<std::unique_ptr<Conn>> held;
    for (const char* says : {"1 dump\n", "1 dump\n"}) {
      held.push_back(connect_unix(asked.path));
      REQUIRE(held.back() != nullptr);
      held.back()->reading = false;
      held.back()->send(says);
    }
    CHECK(asked.answers());
    for (int i = 0; i < 100; ++i) {
      const std::unique_ptr<Conn> c = connect_unix(asked.path);
      if (c != nullptr) c->send(i % 2 == 0 ? "1 channels\n" : "1 pee").close_behind();
      turn(0);
    }
    CHECK(asked.answers());
  });
}

TEST_CASE("hostile log: a LOGFILE that is a FIFO which nobody reads does not stop the daemon, from its start on") {
  const Full fifo;
  {
    const Mute mute({"LOGFILE=" + fifo.path});
    CHECK(mute.lives());
    (void)fifo.take();
    mute.hub->signal(SIGHUP);
    std::string said;
    CHECK(wait_for([&] { return (said += fifo.take()).find("event=log-untaken count=") != std::string::npos; }, 5));
  }
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0777) == 0);
  REQUIRE(mkfifo((folder / "alone").c_str(), 0666) == 0);
  const Mute mute({"LOGFILE=" + folder / "alone"});
  CHECK(mute.lives());
}

TEST_CASE("hostile file: a PIDFILE that is a link, a FIFO, or a device is let be, and the start says so") {
  TempFolder folder;
  write_file(folder / "precious", "do not lose me");
  REQUIRE(symlink((folder / "precious").c_str(), (folder / "link").c_str()) == 0);
  REQUIRE(symlink((folder / "nothing").c_str(), (folder / "dangling").c_str()) == 0);
  REQUIRE(mkfifo((folder / "fifo").c_str(), 0666) == 0);
  for (const std::string& path : {folder / "link", folder / "dangling", folder / "fifo", std::string("/dev/null")}) {
    CAPTURE(path);
    Process p({daemon_path(), "-f", "SERVER=sockmux", "-P127.0.0.1:0", "SOXCONF=control:no", "PIDFILE=" + path});
    REQUIRE(p.wait_end(5));
    CHECK(p.status() == 73);
    CHECK(p.wait_log("PIDFILE=" + path + ": ", 5));
  }
  CHECK(read_file(folder / "precious") == "do not lose me");
  CHECK_FALSE(exists(folder / "nothing"));
}
