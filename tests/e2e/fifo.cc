// Links over FIFOs and over standard input and output. Read next: transport/fifo.h; test_mux_search.cc for what may
// stand before HELLO.
#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/peer.h"

using namespace e2e;

namespace {

// Two FIFOs. `shared`: everybody may open them, also when the daemon is nobody; else only root, whose daemon then keeps
// them open.
struct Fifos {
  explicit Fifos(bool shared = true) {
    REQUIRE(chmod(temp.path().c_str(), shared ? 0755 : 0700) == 0);
    for (const char* name : {"com0", "com1"}) make(name, shared);
  }
  void make(const char* name, bool shared) {
    REQUIRE(mkfifo((temp / name).c_str(), 0600) == 0);
    REQUIRE(chmod((temp / name).c_str(), shared ? 0666 : 0600) == 0);
  }
  // As in the founding text: serv1 reads com0 and writes com1, serv2 the other way round.
  Words serv1(const Words& more = {}) const { return words("com0", "com1", more); }
  Words serv2(const Words& more = {}) const { return words("com1", "com0", more); }
  Words words(const char* in, const char* out, const Words& more) const {
    Words w{"SERVER=sockmux:commin@" + temp / in, "SERVER=sockmux:commout@" + temp / out};
    w.insert(w.end(), more.begin(), more.end());
    return w;
  }
  TempFolder temp;
};

// Who holds a FIFO open for both ways, as a DeleGate does: what is written here is read from the other, as a socket's.
class Holder final : public Actor {
 public:
  Holder(const std::string& in, const std::string& out) {
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    socket_ = pair[0];
    conn = std::make_unique<Conn>(pair[1]);
    in_ = ::open(in.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    out_ = ::open(out.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(in_ >= 0);
    REQUIRE(out_ >= 0);
  }
  ~Holder() override {
    for (const int fd : {socket_, in_, out_}) ::close(fd);
  }
  std::unique_ptr<Conn> conn;

  void want(std::vector<pollfd>& list) override {
    list.push_back({to_socket_.empty() ? in_ : -1, POLLIN, 0});
    list.push_back({socket_, static_cast<short>((to_fifo_.empty() ? POLLIN : 0) | (to_socket_.empty() ? 0 : POLLOUT)), 0});
    list.push_back({to_fifo_.empty() ? -1 : out_, POLLOUT, 0});
  }
  void ready(const pollfd* list, size_t count) override {
    if (count < 3) return;
    if (list[0].fd >= 0 && list[0].revents != 0) take(in_, to_socket_);
    if ((list[1].revents & POLLIN) != 0) take(socket_, to_fifo_);
    give(socket_, to_socket_);
    give(out_, to_fifo_);
  }

 private:
  static void take(int fd, std::string& to) {
    char bytes[4096];
    const ssize_t n = ::read(fd, bytes, sizeof bytes);
    if (n > 0) to.append(bytes, static_cast<size_t>(n));
  }
  static void give(int fd, std::string& from) {
    const ssize_t n = from.empty() ? 0 : ::write(fd, from.data(), from.size());
    if (n > 0) from.erase(0, static_cast<size_t>(n));
  }
  int in_ = -1, out_ = -1, socket_ = -1;
  std::string to_socket_, to_fifo_;
};

const char* const kDialects[] = {"SOXCONF=proto:auto", "SOXCONF=proto:0.3"};

}  // namespace

TEST_CASE("example: two FIFOs, whoever starts first, with FIFOs for all and for root alone, in both dialects") {
  // % mkfifo /tmp/com0
  // % mkfifo /tmp/com1
  // serv1) SERVER=sockmux:commin@/tmp/com0 SERVER=sockmux:commout@/tmp/com1 ...
  // serv2) SERVER=sockmux:commin@/tmp/com1 SERVER=sockmux:commout@/tmp/com0 ...
  Server one(echoes), two(echoes);
  for (const bool shared : {true, false})
    for (const bool first : {true, false})
      for (const char* dialect : kDialects) {
        CAPTURE(shared);
        CAPTURE(first);
        CAPTURE(dialect);
        const Fifos fifos(shared);
        const Words words1 = fifos.serv1({"PORT=127.0.0.1:0", "DEST=" + local(one.port()), "TIMEOUT=lin:1", dialect});
        const Words words2 = fifos.serv2({"PORT=127.0.0.1:0", "DEST=" + local(two.port()), "TIMEOUT=lin:1", dialect});
        std::unique_ptr<Daemon> serv1, serv2;
        (first ? serv1 : serv2) = std::make_unique<Daemon>(first ? words1 : words2);
        (first ? serv1 : serv2)->await_start();
        (first ? serv2 : serv1) = std::make_unique<Daemon>(first ? words2 : words1);
        REQUIRE((*serv1)->wait_log(" link-up ", 5));
        REQUIRE((*serv2)->wait_log(" link-up ", 5));
        CHECK(serves(serv1->port(), 5));
        CHECK(serves(serv2->port(), 5));
        check_crowd({{serv1->port(), serv2->port()}, 20, 20, 30000, 3, 20});
      }
}

TEST_CASE("fifo: either side is killed ten times under traffic, and serves again at once") {
  Server echo(echoes);
  for (const bool shared : {true, false}) {
    CAPTURE(shared);
    const Fifos fifos(shared);
    Daemon serv1(fifos.serv1({"PORT=127.0.0.1:0"})), serv2(fifos.serv2({"DEST=" + local(echo.port())}));
    REQUIRE(serv1->wait_log(" link-up ", 5));
    const uint16_t port = serv1.port();
    for (int i = 0; i < 10; ++i) {
      Conn bulk(port);
      bulk.send_pattern(1, 100 << 20);
      REQUIRE(wait_for([&] { return bulk.received() > 100000; }, 10));
      const double start = (i % 2 == 0 ? serv2 : serv1).restart();
      CHECK(serves(port, 5));
      CHECK(now() - start < 3 * slowness());
    }
  }
}

TEST_CASE("fifo: what an earlier run has left behind is skipped") {
  Server echo(echoes);
  const std::string hello = packet(3, kHello, 1, 2, std::string("20250102-030405.678901 old smx/1:0badcafe") + '\0');
  const std::string hello03 = packet(3, kHello, 1, 2, std::string("20250102-030405.678901 old") + '\0');
  const std::string data = packet(0x11, kSend, 5, 0xffff, pattern(9, 3000));
  for (const std::string& left : {std::string("\r\nlogin: "), data.substr(700), hello.substr(0, 30), hello + data, hello03 + packet(3, kHellook, 1, 2, "x"),
                                  hello03 + hello, pattern(4, 30000)}) {
    CAPTURE(left.substr(0, 60));
    const Fifos fifos;
    std::vector<int> kept;  // so that it stays there until both daemons have come
    for (const char* name : {"com0", "com1"}) {
      kept.push_back(::open((fifos.temp / name).c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
      REQUIRE(::write(kept.back(), left.data(), left.size()) == static_cast<ssize_t>(left.size()));
    }
    Daemon serv1(fifos.serv1({"PORT=127.0.0.1:0"}));
    Daemon serv2(fifos.serv2({"DEST=" + local(echo.port())}));
    REQUIRE(serv1->wait_log(" link-up ", 20));
    CHECK(serves(serv1.port(), 5));
    for (const int fd : kept) ::close(fd);
  }
}

TEST_CASE("fifo: a hand-made 0.3 peer that holds both FIFOs open, as a DeleGate does") {
  Server echo(echoes);
  const Fifos fifos;
  Daemon serv1(fifos.serv1({"PORT=127.0.0.1:0", "DEST=" + local(echo.port()), "TIMEOUT=lin:1"}));
  serv1.await_start();
  Holder holder(fifos.temp / "com1", fifos.temp / "com0");
  Peer03 peer(*holder.conn);
  REQUIRE(serv1->wait_log(" link-up ", 5));
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  CHECK(serves(serv1.port(), 5));
  const unsigned id = peer.open("from the peer");
  CHECK(wait_for([&] { return peer.received(id) == "from the peer"; }, 5));
  CHECK(peer.fault() == "");
}

TEST_CASE("fifo: one that is not there, or is something else, ends the start with a word about it; SOXCONF=mkfifo makes it") {
  TempFolder temp;
  REQUIRE(mkfifo((temp / "good").c_str(), 0600) == 0);
  write_file(temp / "plain", "x");
  const auto start = [&](const std::string& in, const std::string& out) {
    Process p({daemon_path(), "-f", "SERVER=sockmux:commin@" + in, "SERVER=sockmux:commout@" + out});
    REQUIRE(p.wait_end(5));
    CHECK(p.status() == 66);
    return p.log();
  };
  CHECK(start(temp / "none", temp / "good").find(temp / "none" + ": No such file or directory (make it with mkfifo, or say SOXCONF=mkfifo)") !=
        std::string::npos);
  CHECK(start(temp / "good", temp / "plain").find("a plain file, and a FIFO was expected") != std::string::npos);
  CHECK(start(temp.path(), temp / "good").find("a directory, and a FIFO was expected") != std::string::npos);
  CHECK(start("/dev/null", temp / "good").find("a device goes both ways: comm@") != std::string::npos);
  CHECK_FALSE(exists(temp / "none"));
  Daemon d({"SERVER=sockmux:commin@" + temp / "a", "SERVER=sockmux:commout@" + temp / "b", "SOXCONF=mkfifo:on"});
  d.await_start();
  struct stat st;
  REQUIRE(stat((temp / "a").c_str(), &st) == 0);
  CHECK(S_ISFIFO(st.st_mode));
  CHECK((st.st_mode & 0777) == 0600);
}

TEST_CASE("fifo: removed while they are open and made anew: the next link finds them") {
  Server echo(echoes);
  Fifos fifos;
  Daemon serv1(fifos.serv1({"PORT=127.0.0.1:0"})), serv2(fifos.serv2({"DEST=" + local(echo.port())}));
  REQUIRE(serves(serv1.port(), 5));
  for (const char* name : {"com0", "com1"}) {
    REQUIRE(unlink((fifos.temp / name).c_str()) == 0);
    fifos.make(name, true);
  }
  CHECK(serves(serv1.port(), 2));  // who has it open goes on
  const double start = serv2.restart();
  CHECK(serves(serv1.port(), 5));
  CHECK(now() - start < 3 * slowness());
}

TEST_CASE("fifo: nobody at the other end costs nothing, and is one line in the log") {
  const Fifos fifos;
  for (const bool held : {false, true}) {
    CAPTURE(held);
    std::unique_ptr<Holder> silent;
    if (held) silent = std::make_unique<Holder>(fifos.temp / "com1", fifos.temp / "com0");
    Daemon d(fifos.serv1({"PORT=127.0.0.1:0", "TIMEOUT=hello:1"}));
    d.await_start();
    const int64_t before = Daemon::value(d.statistics(), "turns");
    const double end = now() + 3;
    CHECK(wait_for([&] { return now() > end; }, 4));
    CHECK(Daemon::value(d.statistics(), "turns") - before < 60);
    CHECK(d->count(" warning ") <= 1);
    CHECK(d->count(" waiting ") <= 1);
  }
}

TEST_CASE("stdio: comm@- over two pipes; only the protocol is written there, and the end of the input ends it with 0") {
  Server echo(echoes);
  TempFolder temp;
  REQUIRE(chmod(temp.path().c_str(), 0755) == 0);
  for (const char* dialect : kDialects) {
    CAPTURE(dialect);
    REQUIRE(mkfifo((temp / dialect).c_str(), 0600) == 0);
    Process both({"/bin/sh", "-c",
                  daemon_path() + " SERVER=sockmux:comm@- PORT=127.0.0.1:0 TIMEOUT=lin:1 " + dialect + " <" + temp / dialect + " | " + daemon_path() +
                      " SERVER=sockmux:comm@- DEST=" + local(echo.port()) + " " + dialect + " >" + temp / dialect + "; echo ended $? >&2"});
    REQUIRE(both.wait_log("clients are accepted at 127.0.0.1:", 5));
    REQUIRE(both.wait_log(" link-up ", 5));
    const size_t at = both.log().find("clients are accepted at 127.0.0.1:");
    const auto port = static_cast<uint16_t>(std::stoi(both.log().substr(at + 34)));
    CHECK(serves(port, 5));
    check_crowd({{port}, 40, 20, 50000, 5, 20});
    // One of the two ends; the other has nobody to speak with.
    const size_t pid = both.log().find("sockmuxd[");
    ::kill(std::stoi(both.log().substr(pid + 9)), SIGTERM);
    CHECK(both.wait_log("ended 0", 8));
    CHECK(both.wait_end(5));
  }
}

TEST_CASE("stdio: what is written before HELLO is skipped; a plain file is no link; O_NONBLOCK is given back") {
  Server echo(echoes);
  Daemon a({"SERVER=sockmux:proc@echo Welcome to hostY; echo Last login: never; exec " + daemon_path() +
                " SERVER=sockmux:comm@- DEST=" + local(echo.port()),
            "PORT=127.0.0.1:0"});
  REQUIRE(a->wait_log(" link-up ", 5));
  CHECK(serves(a.port(), 5));

  TempFolder temp;
  write_file(temp / "plain", "x");
  ProcessSetup input;
  input.input = temp / "plain";
  Process p({daemon_path(), "SERVER=sockmux:comm@-"}, input);
  CHECK(p.wait_end(5));
  CHECK(p.status() != 0);

  Process shared({"/bin/sh", "-c", "sleep 0.2 | { " + daemon_path() + " SERVER=sockmux:comm@- >/dev/null; echo status $? >&2; grep flags /proc/self/fdinfo/0 >&2; }"});
  CHECK(shared.wait_end(8));
  CHECK(shared.says("status 0"));
  const size_t flags = shared.log().find("flags:");
  REQUIRE(flags != std::string::npos);
  CHECK((std::stoul(shared.log().substr(flags + 6), nullptr, 8) & O_NONBLOCK) == 0);
}
