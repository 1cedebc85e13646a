// sockmuxctl and answers that no daemon of today gives: hostile ones, cut ones, none at all. Read next: control.cc, tools/ctl/ask.cc.
#include <doctest/doctest.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "tests/e2e/ctl.h"
#include "tests/e2e/sockets.h"
#include "tests/e2e/terminal.h"

using namespace e2e;

namespace {

// Answers each command with what `say` makes of it; with nothing it keeps the client waiting, as a daemon that is stopped.
class Impostor {
 public:
  using Say = std::function<std::string(const std::string& command)>;
  explicit Impostor(const Say& say) : path(folder_ / "sock") {
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    REQUIRE(path.size() < sizeof at.sun_path);
    path.copy(at.sun_path, path.size());
    REQUIRE(bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(listen(fd, 16) == 0);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) serve(fd, say);
    close(fd);
  }
  ~Impostor() {
    (void)kill(pid_, SIGKILL);
    (void)waitpid(pid_, nullptr, 0);
  }
  Impostor(const Impostor&) = delete;
  Impostor& operator=(const Impostor&) = delete;

 private:
  [[noreturn]] static void serve(int fd, const Say& say) {
    (void)signal(SIGPIPE, SIG_IGN);
    for (;;) {
      const int client = accept(fd, nullptr, nullptr);
      char line[200];
      const ssize_t n = read(client, line, sizeof line);
      const std::string text = n <= 3 ? "" : say(std::string(line + 2, static_cast<size_t>(n) - 3));
      for (size_t at = 0; at < text.size();) {
        const ssize_t put = write(client, text.data() + at, text.size() - at);
        if (put <= 0) break;
        at += static_cast<size_t>(put);
      }
      if (!text.empty()) close(client);
    }
  }
  TempFolder folder_;
  pid_t pid_ = -1;

 public:
  const std::string path;
};

std::string ok(const std::string& lines) { return "1 ok\n" + lines + "end\n"; }

const Words kAsked[] = {{"status"}, {"peers"},   {"channels"},      {"version"},   {"log"},
                        {"metrics"}, {"status", "--json"}, {"peers", "--json"}, {"top", "-n", "1", "-i", "0.1"}, {"kick", "a"}};

Said ask(const Impostor& who, Words words) {
  words.insert(words.end(), {"-s", who.path});
  return ctl(words);
}

}  // namespace

TEST_CASE("sockmuxctl: answers with more and longer fields than a daemon sends are shown, cut, and do not hang it") {
  std::string title, row;
  for (int i = 0; i < 24; ++i) {
    title += (i > 0 ? "\tc" : "c") + std::to_string(i);
    row += (i > 0 ? "\t" : "") + std::string(700, 'x');
  }
  const Impostor wide([&](const std::string&) { return ok(title + "\n" + row + "\n"); });
  for (const Words& words : kAsked) {
    CAPTURE(words[0]);
    CHECK(ask(wide, words).status == 0);
  }
}

TEST_CASE("sockmuxctl: control characters of an answer never reach the terminal") {
  const Impostor who([](const std::string& command) {
    if (command == "version" || command == "log") return ok("\x1b[31m\x9b\x7f\n");
    return ok("name\tvalue\x1b[2J\tstate\nversion\t\x1b]0;x\x07\tup\nchannels\t\x1b[5m\x9b\n");
  });
  for (const Words& words : kAsked) {
    CAPTURE(words[0]);
    const Said said = ask(who, words);
    for (const char c : said.out + said.error) CHECK(((c >= 0x20 && c < 0x7f) || c == '\n'));
  }
}

TEST_CASE("sockmuxctl: metrics have each series once, though two ports say the same of themselves") {
  const Impostor who([](const std::string& command) {
    if (command == "status") return ok("name\tvalue\nversion\t1\nlinks_up\t0\nlinks_held\t0\nlinks_connecting\t0\n");
    if (command == "peers") return ok("name\tsession\tstate\n");
    const std::string any = "\ttcp\t127.0.0.1:0\t-\t";
    return ok("kind\ttransport\taddress\tpeer\tstate\taccepted\trefused\nRPORT" + any + "waiting\t2\t0\nRPORT\ttcp\t127.0.0.1:80\t-\topen\t7\t0\nRPORT" + any + "refused\t3\t1\n");
  });
  const std::string out = ask(who, {"metrics"}).out;
  const std::string port = "{kind=\"RPORT\",transport=\"tcp\",address=\"127.0.0.1:0\",peer=\"\"} ";
  for (const char* line : {"open", "accepted_total", "refused_total"}) {
    const std::string series = std::string("sockmux_port_") + line + port;
    CAPTURE(series);
    const size_t at = out.find(series);
    REQUIRE(at != std::string::npos);
    CHECK(out.find(series, at + 1) == std::string::npos);
  }
  CHECK(out.find("sockmux_port_accepted_total" + port + "5\n") != std::string::npos);
}

TEST_CASE("sockmuxctl: status shows figures of any size within 80 columns, none of them cut") {
  const Impostor who([](const std::string& command) {
    if (command == "status") return ok("name\tvalue\nversion\t1\n");
    if (command != "peers") return ok("kind\n");
    std::string rows = "name\taddress\tstate\tsince_s\tchannels\trx_bytes\ttx_bytes\n";
    for (int i = 0; i < 5; ++i) rows += "a-branch-with-a-name-of-32-chars\t[2001:db8:1234:5678:9abc:def0:1234:5678]:41022\tconnecting\t31449600\t60000\t1047552\t1047552\n";
    return ok(rows);
  });
  const std::string out = ask(who, {"status"}).out;
  CHECK_MESSAGE(out.find(" 60000 ") != std::string::npos, out);
  CHECK_MESSAGE(out.find(" 1023K 1023K\n") != std::string::npos, out);
}

TEST_CASE("top: q and ^C end it at once though the daemon does not answer any more") {
  for (const char* key : {"q", "\x03"}) {
    CAPTURE(key[0]);
    const Impostor who([n = 0](const std::string& command) mutable { return ++n > 3 ? "" : ok(command == "status" ? "name\tvalue\n" : "id\n"); });
    Terminal t({"/bin/sh", "-c", "stty rows 10 cols 100; export TERM=xterm; exec \"$0\" top -i 0.1 -s \"$1\"", ctl_path(), who.path});
    REQUIRE(t.shows("0 channels by rate"));
    REQUIRE(t.shows("does not answer"));  // and it has begun to wait again, most likely
    t.type(key);
    CHECK(wait_for([&] { return t.over(); }, 5 * slowness()));
    CHECK(t.screen().find("\033[?1049l") != std::string::npos);
  }
}

TEST_CASE("top: peers have bars, too, and looking at them does not make the history's rates 0") {
  const Impostor who([n = 0](const std::string& command) mutable {
    const std::string bytes = text(static_cast<uint64_t>(++n) * 10000000);
    if (command == "status") return ok("name\tvalue\npid\t1\nrx_bytes\t" + bytes + "\ntx_bytes\t0\n");
    if (command == "channels") return ok("id\tpeer\tstate\n");
    return ok("name\tsession\taddress\tstate\trx_bytes\ttx_bytes\nb\t1\t127.0.0.1:9\tup\t" + bytes + "\t0\n");
  });
  for (const char* columns : {"80", "100", "120"}) {
    CAPTURE(columns);
    Terminal t({"/bin/sh", "-c", "stty rows 8 cols " + std::string(columns) + "; export TERM=xterm NO_COLOR=1 LC_ALL=C; exec \"$0\" top -i 0.2 -s \"$1\"", ctl_path(), who.path});
    REQUIRE(t.shows("0 channels by rate"));
    REQUIRE(t.shows("M/s"));
    const size_t from = t.screen().size();
    t.type("p");
    REQUIRE(t.shows("1 peers by rate"));
    CHECK(wait_for([&] { return t.screen().find("M     0 ####", from) != std::string::npos; }, 5));
    CHECK(t.screen().find("rx 0/s", from) == std::string::npos);
    t.type("q");
    CHECK(wait_for([&] { return t.over(); }, 5));
  }
}

TEST_CASE("sockmuxctl: kick names the client of a channel, also where its server is; a proxy that has no server yet has no address") {
  TempFolder folder;
  const std::string path = folder / "c";
  Pair p({"PORT=127.0.0.1:0"}, {"SERVER=telnet,-in", "SOXCONF=control:" + path});
  Conn client(p.a->port());
  REQUIRE(p.c->wait_channels(1, 5));
  std::string json = ctl({"channels", "--json", "-s", path}).out;
  const auto field = [&](const std::string& key) {
    const std::string from = "\"" + key + "\": ";
    const size_t at = json.find(from) + from.size();
    return json.substr(at, json.find_first_of(",}", at) - at);
  };
  CHECK(field("server") == "null");
  CHECK(field("local") == "null");
  const std::string at = field("client").substr(1, field("client").size() - 2), id = field("id").substr(1, field("id").size() - 2);
  CHECK(at.find("127.0.0.1:") == 0);
  CHECK(ctl({"kick", "channel", id, "-s", path}).out == "ended: channel " + id + " of " + at + "\n");
  CHECK(wait_for([&] { return client.over(); }, 5));
}

TEST_CASE("dump: a file of 300 links that talk by turns names each once, and is read again whole") {
  constexpr int kSessions = 300, kTurns = 250;
  std::string lines = "1 ok\nbegin\n";
  for (int i = 1; i <= kSessions; ++i) lines += "session\t" + text(static_cast<uint64_t>(i)) + "\t-\t192.0.2.1:" + text(static_cast<uint64_t>(i)) + "\n";
  for (int k = 0; k < kTurns; ++k)
    for (int i = 1; i <= kSessions; ++i) lines += "packet\t1764097200000000\tsent\t" + text(static_cast<uint64_t>(i)) + "\t1\t16\t1009ffffffff00080000000000000001\n";
  const Impostor daemon([&](const std::string&) { return lines; });
  const TempFolder folder;
  (void)ctl({"dump", "-s", daemon.path, "-w", folder / "file"});  // which says that the daemon has ended
  const std::string file = read_file(folder / "file");
  CHECK(count_of(file, "192.0.2.1:") == kSessions);
  const Said read = ctl({"dump", "-r", folder / "file"});
  CHECK_MESSAGE(read.status == 0, read.error);
  CHECK(count_of(read.out, " ECHO") == kSessions * kTurns);
  // Of more than 65,536 interfaces, as an older one wrote it
  const size_t first = file.find("192.0.2.1:1");
  REQUIRE(first != std::string::npos);
  const std::string section = file.substr(0, 28 + file.substr(28).find(std::string("\1\0\0\0", 4)));
  std::string many = section;
  const size_t begin = section.size();
  uint32_t size = 0;
  memcpy(&size, file.data() + begin + 4, sizeof size);
  for (int i = 0; i < 66000; ++i) many += file.substr(begin, size);
  write_file(folder / "many", many);
  const Said old = ctl({"dump", "-r", folder / "many"});
  CHECK_MESSAGE(old.status == 0, old.error);
}

TEST_CASE("upgrade: a daemon that does not tell its folder is no reason to crash") {
  const Impostor who([](const std::string&) { return ok("pid\t1\nbackground\tyes\nword\ttrue\n"); });
  const Said said = ask(who, {"upgrade"});
  CHECK(said.status == 76);
  CHECK(said.error == "sockmuxctl: " + who.path + ": this is no sockmuxd, or one that cannot be upgraded so\n");
}

TEST_CASE("upgrade: a new daemon that takes the question and does not answer is waited for once, and not 300 times") {
  bool first = true;
  const Impostor who([&first](const std::string&) {
    const std::string now = first ? ok("pid\t1\nbackground\tyes\nfolder\t/\nword\ttrue\n") : "";
    first = false;
    return now;
  });
  Process p({ctl_path(), "upgrade", "-s", who.path});
  CHECK(p.wait_end(25));
  CHECK(p.status() == 75);
  CHECK(p.says("the new daemon did not take over"));
}

TEST_CASE("doctor: an answer of a hub with as many peers as there may be is read to its end") {
  std::string rows = "kind\tat\tpeer\tresult\ttime_us\tdialect\treason\ndaemon\t1\t-\t0.3.0\n";
  for (int i = 0; i < 32768; ++i)
    rows += "caller\t[2001:db8:1234:5678:9abc:def0:1234:5678]:50311\ta-peer-with-a-name-of-32-letters\tup\t123456789012\n";
  const Impostor who([&rows](const std::string&) { return ok(rows); });
  const Said said = ctl({"doctor", "-s", who.path, "SERVER=sockmux", "-P127.0.0.1:0"});
  CHECK(said.out.find("answer cut") == std::string::npos);
  CHECK(said.out.find("links: 32768 peers have called and linked\n") != std::string::npos);
}
