// Scenarios of what is offered to clients, to the user and to a service manager. Read next: scenarios.h.
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <sys/stat.h>

#include "tests/e2e/ctl.h"
#include "tests/e2e/datagrams.h"
#include "tests/failcalls/scenarios.h"

namespace failcalls {

using namespace e2e;

namespace {

// Which server a client gets is by where it comes from.
const std::string kProgram = "127.0.0.2", kSocks = "127.0.0.3", kHttp = "127.0.0.4";

// What came to a client from `from` that has sent `request` and its end.
std::string answer(uint16_t port, const std::string& request, const std::string& from) { return ask(port, request, 10, "127.0.0.1", from); }

std::string socks_request(uint16_t to) {
  const std::string name = "localhost";
  std::string s{"\5\1\0\5\1\0\3", 7};
  return s + static_cast<char>(name.size()) + name + static_cast<char>(to >> 8) + static_cast<char>(to & 255);
}

// A datagram socket where a manager hears.
class Manager final : public Actor {
 public:
  explicit Manager(const std::string& path) : path_(path) {
    fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    memcpy(at.sun_path, path.c_str(), path.size());
    if (bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) < 0) abort();
  }
  ~Manager() override { close(fd_); }
  bool hears(const std::string& what, double seconds) {
    return wait_for([&] { return told_.find(what) != std::string::npos; }, seconds);
  }
  void want(std::vector<pollfd>& list) override { list.push_back({fd_, POLLIN, 0}); }
  void ready(const pollfd* list, size_t count) override {
    (void)list, (void)count;
    char text[512];
    for (ssize_t n; (n = recv(fd_, text, sizeof text, 0)) > 0;) told_.append(text, static_cast<size_t>(n)).append("\n");
  }

 private:
  std::string path_, told_;
  int fd_;
};

}  // namespace

void run_servers(Run& run) {
  Server echo(echoes), web([](Conn& c) { c.send("HTTP/1.0 200 OK\r\n\r\na page").shut(); });
  Daemon one({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "TIMEOUT=retry:1"}, run.with("one"));
  run.start("one", one);
  Daemon two({"SERVER=sockmux://localhost:" + text(run.link_port(one)), "SERVER=exec,-in(XCOM=cat):-:" + kProgram, "SERVER=socks,-in:-:" + kSocks,
              "SERVER=http,-in:-:" + kHttp, "DEST=localhost:" + text(echo.port()), "TIMEOUT=retry:1"},
             run.with("two"));
  run.start("two", two);
  const std::string socks = socks_request(echo.port());
  const std::string http = "GET http://localhost:" + text(web.port()) + "/ HTTP/1.0\r\n\r\n";
  const auto all = [&](bool must) {
    const auto say = [&](bool good, const std::string& what) { return must ? run.need(good, what) : run.wish(good, what); };
    const auto tries = [&](const std::function<bool()>& good) {
      bool is = good();
      for (int i = 0; must && !is && i < 4; ++i) is = good();
      return is;
    };
    say(tries([&] { return answer(run.port(one), "to a program", kProgram) == "to a program"; }), "a program answers");
    say(tries([&] { return answer(run.port(one), socks + "hello", kSocks).find("hello") != std::string::npos; }), "the socks proxy answers");
    say(tries([&] { return answer(run.port(one), http, kHttp).find("a page") != std::string::npos; }), "the http proxy answers");
  };
  run.wish(e2e::serves(run.port(one), 10), "a client is served");
  all(false);
  run.lives("one", one);
  run.lives("two", two);
  run.serves(run.port(one));
  all(true);
  run.rests("one", one);
  run.rests("two", two);
  run.ends(two);
  run.ends(one);
}

void run_udp(Run& run) {
  UdpServer server(same);
  Server echo(echoes);
  Daemon one({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0/udp,127.0.0.1:0", "TIMEOUT=retry:1,silence:1"}, run.with("one"));
  run.start("one", one);
  Daemon two({"SERVER=sockmux://" + local(run.link_port(one)), "DEST=" + local(server.port()) + "/udp", "DEST=" + local(echo.port()), "TIMEOUT=retry:1,silence:1"},
             run.with("two"));
  run.start("two", two);
  run.serves(run.port(one, 1));
  // A datagram may be lost, whatever fails; it is never wrong.
  size_t good = 0;
  for (int i = 0; i < 3; ++i) {
    Udp client(run.port(one, 0));
    for (int k = 0; k < 4; ++k) {
      const std::string sent = pattern(static_cast<uint64_t>(i * 10 + k), 100 + static_cast<size_t>(k) * 900);
      const std::string got = client.ask(sent, 1);
      good += got == sent ? 1 : 0;
      run.need(got == sent || got == "(nothing)", "a datagram is right or lost");
    }
  }
  // One is lost where a socket takes no more, as on any network: sockmuxd(8) counts it.
  run.wish(good == 12 || (run.fired() && good == 11), "datagrams are answered: " + text(good));
  Udp fresh(run.port(one, 0));
  run.comes([&] { return fresh.ask("fresh", 0.5) == "fresh"; }, 10, "a fresh client is answered");
  run.serves(run.port(one, 1));
  run.rests("one", one);
  run.rests("two", two);
  run.ends(two);
  run.ends(one);
}

void run_control(Run& run) {
  TempFolder temp;
  (void)chmod(temp.path().c_str(), 0777);
  Server echo(echoes);
  Daemon hub({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(echo.port()), "TIMEOUT=retry:1"});
  const std::string socket = temp / "control";
  write_file(temp / "conf", "PORT=127.0.0.1:0\n");
  (void)chmod((temp / "conf").c_str(), 0644);
  Daemon d({"SERVER=sockmux://" + local(run.link_port(hub)), "+=" + temp / "conf", "SOXCONF=control:" + socket, "TIMEOUT=retry:1"}, run.with("daemon"));
  run.start("daemon", d);
  run.wish(e2e::serves(run.port(d), 10), "a client is served");
  const Words commands[] = {{"status"}, {"status", "--json"}, {"peers"}, {"channels"}, {"metrics"}, {"version"}, {"log", "debug"}, {"log", "usual"},
                            {"doctor"}, {"reload"},           {"kick", "1"}};
  for (const Words& words : commands) {
    Words all{ctl_path()};
    all.insert(all.end(), words.begin(), words.end());
    all.insert(all.end(), {"-s", socket});
    ProcessSetup apart;
    apart.separate = true;
    const bool before = run.fired();
    Process ctl(all, run.with("ctl", apart));
    run.watch(ctl);
    if (run.need(ctl.wait_end(30), "sockmuxctl " + words[0] + ": does not end")) {
      const bool good = ctl.status() == 0 || (words[0] == "doctor" && ctl.status() == 1);
      if (!run.fired() || before || run.strict()) run.need(good, "sockmuxctl " + words[0] + ": status " + text(static_cast<uint64_t>(ctl.status())) + ": " + ctl.log());
      run.need(ctl.status() >= 0, "sockmuxctl " + words[0] + ": killed by a signal");
      run.need(good || !ctl.log().empty(), "sockmuxctl " + words[0] + ": fails without a word");
    }
    run.forget(ctl);
  }
  run.serves(run.port(d));
  run.comes([&] { return ctl({"status", "-s", socket}).status == 0; }, 10, "the control socket answers");
  run.rests("daemon", d);
  run.ends(d);
}

void run_manager(Run& run) {
  TempFolder temp;
  (void)chmod(temp.path().c_str(), 0777);
  Manager manager(temp / "notify");
  (void)chmod((temp / "notify").c_str(), 0777);
  Server echo(echoes);
  Daemon hub({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(echo.port()), "TIMEOUT=retry:1"});
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  if (bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) < 0 || listen(fd, 10) < 0 || getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) < 0) abort();
  const uint16_t port = ntohs(at.sin_port);
  ProcessSetup setup;
  setup.environment = {"NOTIFY_SOCKET=" + temp / "notify", "WATCHDOG_USEC=200000", "WATCHDOG_PID=$$", "LISTEN_FDS=1", "LISTEN_PID=$$"};
  setup.descriptors = {fd};
  Daemon d({"SERVER=sockmux://" + local(run.link_port(hub)), "PORT=" + local(port), "TIMEOUT=retry:1"}, run.with("daemon", setup));
  ::close(fd);
  run.start("daemon", d);
  // Without a way to the manager it goes on, and has said so; with one, what is lost once is said again.
  const bool reached = run.wish(manager.hears("STATUS=", 3), "the manager is reached") || !d->says("NOTIFY_SOCKET");
  run.need(!reached || manager.hears("READY=1", 5), "the manager hears that it is ready");
  run.need(!reached || manager.hears("WATCHDOG=1", 5), "the manager hears that it lives");
  run.serves(port);
  run.rests("daemon", d);
  run.ends(d);
  if (!run.fired()) run.need(manager.hears("STOPPING=1", 5), "the manager hears that it ends");
}

}  // namespace failcalls
