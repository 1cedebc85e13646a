// The control socket of running daemons, asked by sockmuxctl and by hand. Read next: tests/test_control.cc, ctl.h.
#include <doctest/doctest.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "tests/e2e/ctl.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace e2e {

Said ctl(const Words& words, const ProcessSetup& setup) {
  Words all{ctl_path()};
  all.insert(all.end(), words.begin(), words.end());
  ProcessSetup apart = setup;
  apart.separate = true;
  Process p(all, apart);
  CHECK_MESSAGE(p.wait_end(20), p.command(), ": does not end");
  return {p.status(), p.output(), p.log()};
}

Said ctl_shell(const std::string& script) {
  ProcessSetup setup;
  setup.separate = true;
  setup.environment = {"ctl=" + ctl_path()};
  Process p({"/bin/sh", "-c", script}, setup);
  CHECK_MESSAGE(p.wait_end(20), script, ": does not end");
  return {p.status(), p.output(), p.log()};
}

std::unique_ptr<Conn> connect_unix(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof at.sun_path);
  path.copy(at.sun_path, path.size());
  if (connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0) return std::make_unique<Conn>(fd);
  close(fd);
  return nullptr;
}

}  // namespace e2e

namespace {

std::unique_ptr<Conn> connect_to(const std::string& path) {
  std::unique_ptr<Conn> c;
  REQUIRE(wait_for([&] { return (c = connect_unix(path)) != nullptr; }, 5));
  return c;
}

// What comes back for these bytes, up to the end.
std::string answer(const std::string& path, const std::string& bytes, double seconds = 5) {
  const std::unique_ptr<Conn> c = connect_to(path);
  c->send(bytes);
  CHECK(wait_for([&] { return c->over(); }, seconds));
  return c->text();
}

// The same for more than is ever read: what the daemon has said before it closed.
std::string answer_to_much(const std::string& path, const std::string& bytes) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  REQUIRE(connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
  size_t sent = 0;
  ssize_t n = 0;
  while (sent < bytes.size() && (n = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL)) > 0) sent += static_cast<size_t>(n);
  CHECK(sent < bytes.size());
  char said[200];
  const ssize_t got = recv(fd, said, sizeof said, 0);
  close(fd);
  return got < 0 ? "nothing" : std::string(said, static_cast<size_t>(got));
}

using Row = std::vector<std::string>;
// The rows of a table behind its title, as people see it.
std::vector<Row> rows_of(const std::string& table) {
  std::vector<Row> rows;
  std::istringstream lines(table);
  std::string line, word;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    rows.emplace_back();
    while (words >> word) rows.back().push_back(word);
  }
  REQUIRE(!rows.empty());
  CHECK(rows[0] == Row{"NAME", "KEY", "ADDRESS", "STATE", "SINCE", "CHANNELS", "RX", "TX", "RTT"});
  rows.erase(rows.begin());
  return rows;
}

std::vector<Row> peers(const std::string& path) {
  const Said said = ctl({"peers", "-s", path});
  CHECK_MESSAGE(said.status == 0, said.error);
  CHECK(said.error == "");
  return rows_of(said.out);
}

// Of the only one there is, in seconds.
double since(const std::string& path) {
  std::istringstream fields(answer(path, "1 peers\n"));
  std::string line, field;
  REQUIRE(std::getline(fields, line));
  REQUIRE(std::getline(fields, line));
  CHECK(line.substr(0, 65) == "name\tkey\taddress\tstate\tsince_s\tchannels\trx_bytes\ttx_bytes\trtt_us\t");
  for (int i = 0; i < 5; ++i) REQUIRE(std::getline(fields, field, '\t'));
  return atof(field.c_str());
}

std::string control(const std::string& path) { return "SOXCONF=control:" + path; }
const std::string kVersionAnswer = "1 ok\nsockmuxd ";

mode_t mode_of(const std::string& path) {
  struct stat s {};
  REQUIRE(lstat(path.c_str(), &s) == 0);
  return s.st_mode & 07777;
}

// A daemon and its socket, in a folder that everybody may enter.
struct Asked {
  explicit Asked(const Words& more = {}) : path(folder / "s") {
    REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
    Words words{"SERVER=sockmux", "-P127.0.0.1:0", control(path)};
    words.insert(words.end(), more.begin(), more.end());
    daemon = std::make_unique<Daemon>(words);
    daemon->await_start();
  }
  Process* operator->() { return &daemon->process(); }
  TempFolder folder;
  std::string path;
  std::unique_ptr<Daemon> daemon;
};

// Answers each connection with the same bytes, as a daemon never should.
class Liar final : public Actor {
 public:
  Liar(const std::string& path, std::string says) : says_(std::move(says)) {
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    path.copy(at.sun_path, sizeof at.sun_path - 1);
    unlink(path.c_str());
    REQUIRE(bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(listen(fd_, 4) == 0);
  }
  ~Liar() override { close(fd_); }
  void want(std::vector<pollfd>& list) override { list.push_back({fd_, POLLIN, 0}); }
  void ready(const pollfd*, size_t) override {
    const int fd = accept(fd_, nullptr, nullptr);
    if (fd < 0) return;
    (void)!write(fd, says_.data(), says_.size());  // who does not believe it may have gone
    close(fd);
  }

 private:
  std::string says_;
  int fd_;
};

}  // namespace

TEST_CASE("control: peers, over a link that is up, is lost, and comes back") {
  TempFolder folder;
  const std::string at_a = folder / "a", at_c = folder / "c";
  Server server(echoes);
  auto a = std::make_unique<Daemon>(Words{"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", control(at_a)});
  const uint16_t hub = a->link_port();
  CHECK(peers(at_a).empty());
  auto c = std::make_unique<Daemon>(Words{"SERVER=sockmux://" + local(hub), "DEST=" + local(server.port()), control(at_c), "TIMEOUT=retry:0.2"});
  REQUIRE((*c)->wait_log(" link-up ", 5));
  REQUIRE((*a)->wait_log(" link-up ", 5));
  Conn client(a->port());
  client.send(std::string(5000, 'x'));
  REQUIRE(wait_for([&] { return client.received() == 5000; }, 5));
  const std::vector<Row> here = peers(at_a), there = peers(at_c);
  REQUIRE(here.size() == 1);
  REQUIRE(there.size() == 1);
  const Row& up = here[0];
  CHECK(up[0] == "-");  // a clear link has no name and no key
  CHECK(up[1] == "-");
  CHECK(up[2].substr(0, 10) == "127.0.0.1:");
  CHECK((*a)->says("peer=\"tcp " + up[2] + "\""));
  CHECK(up[3] == "up");
  CHECK(up[4].back() == 's');
  CHECK(up[5] == "1");
  CHECK(up[6].back() == 'K');  // 5000 bytes, and what goes with them
  CHECK(up[7].back() == 'K');
  CHECK(up[8].find("ms") != std::string::npos);
  CHECK(there[0][2] == local(hub));
  CHECK(there[0][3] == "up");
  CHECK(there[0][5] == "1");
  // Whose daemon is killed is waited for, and since then; who dials says whom.
  REQUIRE(wait_for([&] { return since(at_a) >= 2; }, 5));
  const double killed = now();
  c->kill();
  REQUIRE((*a)->wait_log(" link-down ", 5));
  const double held_for = since(at_a);
  CHECK(held_for < now() - killed + 1);
  const std::vector<Row> held = peers(at_a);
  REQUIRE(held.size() == 1);
  CHECK(held[0][2] == up[2]);
  CHECK(held[0][3] == "held");
  CHECK(held[0][5] == "1");
  CHECK(held[0][8] == "-");
  c->restart();
  REQUIRE((*c)->wait_log(" link-up ", 5));
  a->kill();
  REQUIRE((*c)->wait_log(" link-down ", 5));
  const std::vector<Row> seeking = peers(at_c);
  REQUIRE(seeking.size() == 1);
  CHECK(seeking[0][2] == local(hub));
  CHECK((seeking[0][3] == "held" || seeking[0][3] == "connecting"));
}

TEST_CASE("control: who dials and has never got through says to whom; one that ends takes its socket along") {
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0777) == 0);  // the daemon is nobody by then
  DeadPort dead;
  const std::string path = folder / "s";
  Daemon c({"SERVER=sockmux://" + local(dead.port()), control(path)});
  c.await_start();
  const std::vector<Row> rows = peers(path);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0][2] == local(dead.port()));
  CHECK(rows[0][3] == "connecting");
  const Said said = ctl({"version", "--socket=" + path});
  CHECK(said.status == 0);
  CHECK(said.out == run({daemon_path(), "-V"}, 5));
  c->signal(SIGTERM);
  REQUIRE(c->wait_end(6));
  CHECK(c->status() == 0);
  CHECK_FALSE(exists(path));
  const Said gone = ctl({"peers", "-s", path});
  CHECK(gone.status == 69);
  CHECK(gone.error == "sockmuxctl: " + path + ": no daemon answers here; SOXCONF=control:FILE says where one does, --socket FILE asks there\n");
}

TEST_CASE("control: the end of a daemon whose socket was removed leaves that of the next one") {
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0777) == 0);
  const std::string path = folder / "control";
  const Words words = {"SERVER=sockmux", "-P127.0.0.1:0", "SOXCONF=control:" + path};
  Daemon first(words);
  first.await_start();
  REQUIRE(unlink(path.c_str()) == 0);
  Daemon second(words);
  second.await_start();
  first->signal(SIGTERM);
  REQUIRE(first->wait_end(10));
  CHECK(ctl({"version", "-s", path}).status == 0);
  second->signal(SIGTERM);
  REQUIRE(second->wait_end(10));
  CHECK_FALSE(exists(path));
}

TEST_CASE("control: only root and the daemon's own user are answered, even where the file would let others in") {
  if (geteuid() != 0) return;  // only root has other users
  constexpr unsigned kOther = 12345, kNobody = 65534;
  Asked asked({"OWNER=#65534"});
  const std::string& path = asked.path;
  CHECK(mode_of(path) == 0600);
  run({"cp", ctl_path(), asked.folder / "ctl"}, 5);
  ProcessSetup other;
  other.user = kOther;
  const Words words{asked.folder / "ctl", "peers", "-s", path};
  Process kept_out(words, other);
  REQUIRE(kept_out.wait_end(5));
  CHECK(kept_out.status() == 77);
  CHECK(kept_out.wait_log(path + ": Permission denied; root may ask, and who has started the daemon", 5));
  REQUIRE(chmod(path.c_str(), 0666) == 0);
  Process refused(words, other);
  REQUIRE(refused.wait_end(5));
  CHECK(refused.status() == 77);
  CHECK(refused.wait_log(path + ": not permitted: only root and uid 65534 are answered", 5));
  CHECK(asked->wait_log("warning control-refused uid=12345", 5));
  other.user = kNobody;
  Process own(words, other);
  REQUIRE(own.wait_end(5));
  CHECK_MESSAGE(own.status() == 0, own.log());
  CHECK(ctl({"peers", "-s", path}).status == 0);
}

TEST_CASE("control: sockmuxctl believes nobody but root and its own user") {
  if (geteuid() != 0) return;  // only root has other users
  constexpr unsigned kOther = 12345, kNobody = 65534;
  TempFolder folder;
  REQUIRE(chmod(folder.path().c_str(), 0777) == 0);
  run({"cp", ctl_path(), folder / "ctl"}, 5);
  const std::string path = folder / "s";
  REQUIRE(seteuid(kOther) == 0);
  Liar liar(path, kVersionAnswer + "false\nend\n");
  REQUIRE(seteuid(0) == 0);
  REQUIRE(chmod(path.c_str(), 0666) == 0);
  for (const unsigned user : {kNobody, kOther, 0u}) {
    CAPTURE(user);
    ProcessSetup setup;
    setup.user = user;
    Process p({folder / "ctl", "version", "-s", path}, setup);
    REQUIRE(p.wait_end(5));
    CHECK(p.status() == (user == kNobody ? 77 : 0));
    CHECK(p.says("false") == (user != kNobody));
    CHECK(p.says(path + ": not permitted: uid 12345 listens there, who is neither root nor you") == (user == kNobody));
  }
}

TEST_CASE("control: of a daemon that root has not started, for its user") {
  TempFolder folder;
  ProcessSetup setup;
  if (geteuid() == 0) setup.user = 12345;
  REQUIRE(chmod(folder.path().c_str(), 0777) == 0);
  run({"cp", daemon_path(), folder / "sockmuxd"}, 5);
  run({"cp", ctl_path(), folder / "ctl"}, 5);
  // Without a word it has none.
  Process none({folder / "sockmuxd", "-f", "SERVER=sockmux", "-P127.0.0.1:0"}, setup);
  REQUIRE(none.wait_log(" started ", 5));
  CHECK_FALSE(none.says("control"));
  Process daemon({folder / "sockmuxd", "-f", "SERVER=sockmux", "-P127.0.0.1:0", "UMASK=000", control(folder / "s")}, setup);
  REQUIRE(daemon.wait_log(" started ", 5));
  CHECK(mode_of(folder / "s") == 0600);
  Process own({folder / "ctl", "version", "-s", folder / "s"}, setup);
  REQUIRE(own.wait_end(5));
  CHECK_MESSAGE(own.status() == 0, own.log());
  if (geteuid() == 0) CHECK(ctl({"version", "-s", folder / "s"}).status == 0);
}

TEST_CASE("control: who says nothing is closed after 5 s, and holds up nobody: a fifth waits, traffic goes on") {
  Server server(echoes);
  Asked asked({"PORT=127.0.0.1:0"});
  Daemon c({"SERVER=sockmux://" + local(asked.daemon->link_port()), "DEST=" + local(server.port())});
  REQUIRE(c->wait_log(" link-up ", 5));
  const double begin = now();
  std::vector<std::unique_ptr<Conn>> silent;
  for (int i = 0; i < 4; ++i) silent.push_back(connect_to(asked.path));
  silent[1]->send("1 pee");
  const std::unique_ptr<Conn> fifth = connect_to(asked.path);
  fifth->send("1 version\n");
  Crowd crowd;
  crowd.ports = {asked.daemon->port()};
  crowd.count = 40;
  check_crowd(crowd);
  CHECK(wait_for([&] { return fifth->over(); }, 8));
  CHECK(now() - begin > 4.5);
  CHECK(fifth->text().substr(0, kVersionAnswer.size()) == kVersionAnswer);
  for (const auto& s : silent) {
    CHECK(wait_for([&] { return s->over(); }, 2));
    CHECK(s->text() == "1 error no command within 5 s\n");
  }
  CHECK(Daemon::value(asked.daemon->statistics(), "turns") < 20000);  // who waits costs nothing
}

TEST_CASE("control: garbage, and a line of 1 MB, get an answer or an end, and the daemon goes on") {
  Asked asked;
  CHECK(answer(asked.path, "1 sing\n") == "1 error unknown command 'sing'\n");
  CHECK(answer(asked.path, "1 peers loud\n") == "1 error peers: no argument is expected\n");
  CHECK(answer(asked.path, "1 version x\n") == "1 error version: no argument is expected\n");
  CHECK(answer(asked.path, "7 peers\n") == "1 error this daemon answers version 1 only\n");
  CHECK(answer_to_much(asked.path, std::string(1 << 20, 'a')) == "1 error the line is too long\n");
  CHECK(answer_to_much(asked.path, std::string(1 << 20, '\0')) == "1 error the line is too long\n");
  for (size_t seed = 0; seed < 200; ++seed) {
    const std::string got = answer(asked.path, pattern(seed, 200 + seed) + "\n");
    CHECK(got.substr(0, 8) == "1 error ");
  }
  for (int i = 0; i < 50; ++i) connect_to(asked.path)->send("1 peers\n").close();  // does not wait for the answer
  CHECK(answer(asked.path, "1 version\n").substr(0, kVersionAnswer.size()) == kVersionAnswer);
  CHECK(wait_for([&] { return asked.daemon->descriptors() < 30; }, 5));
  CHECK(Daemon::value(asked.daemon->statistics(), "allocations") == 0);
}

TEST_CASE("control: a living daemon keeps its socket, a dead one's is replaced, and nothing else ever is") {
  TempFolder folder;
  const std::string path = folder / "s";
  const Words words{"SERVER=sockmux", "-P127.0.0.1:0", control(path)};
  Daemon first(words);
  first.await_start();
  Conn link(first.link_port());  // by which the first can be told from the second
  REQUIRE(wait_for([&] { return peers(path).size() == 1; }, 5));
  Daemon second(words);
  REQUIRE(second->wait_end(6));
  CHECK(second->status() == 69);
  CHECK(second->wait_log("sockmuxd: SOXCONF=control:" + path + ": another daemon answers there\n", 5));
  CHECK(peers(path).size() == 1);
  first.kill();
  CHECK(exists(path));
  CHECK(ctl({"peers", "-s", path}).status == 69);
  Daemon third(words);
  third.await_start();
  CHECK_FALSE(third->says("warning: " + path));
  CHECK(peers(path).empty());
  struct Case {
    std::string path, says;
    int code;
  };
  write_file(folder / "file", "do not lose me");
  for (const Case& c : {Case{folder / "file", "is there already, and no socket", 73}, Case{folder.path(), "is there already, and no socket", 73},
                        Case{folder / "no/s", "No such file or directory", 73}, Case{"/tmp/" + std::string(99, 'a'), "a path that begins with /, of at most 103 bytes, or no", 64}}) {
    CAPTURE(c.path);
    Process p({daemon_path(), "-f", "SERVER=sockmux", "-P127.0.0.1:0", control(c.path)});
    REQUIRE(p.wait_end(5));
    CHECK(p.status() == c.code);
    CHECK_MESSAGE(p.says(c.says), p.log());
  }
  CHECK(read_file(folder / "file") == "do not lose me");
  for (const char* none : {"-", "no"}) {
    Daemon without({"SERVER=sockmux", "-P127.0.0.1:0", std::string("SOXCONF=control:") + none});
    without.await_start();
    CHECK_FALSE(without->says("control"));
  }
}

TEST_CASE("control: a thousand links are all told of, each once") {
  constexpr size_t kLinks = 1000;
  TempFolder folder;
  const std::string path = folder / "s";
  // They never say HELLO, so they stay where they are.
  Daemon hub({"SERVER=sockmux", "-P127.0.0.1:0", "MAXIMA=links:1000,channels:1", "TIMEOUT=hello:600", control(path)});
  std::vector<std::unique_ptr<Conn>> links;
  for (size_t i = 0; i < kLinks; ++i) {
    links.push_back(std::make_unique<Conn>(hub.link_port()));
    if (i % 100 == 99) REQUIRE(wait_for([&] { return links.back()->connected(); }, 5));
  }
  const auto count = [&] { return count_of(answer(path, "1 peers\n"), "\tconnecting\t"); };
  CHECK(wait_for([&] { return count() == kLinks; }, 20));
  const std::vector<Row> rows = peers(path);
  REQUIRE(rows.size() == kLinks);
  std::vector<std::string> places;
  for (const Row& r : rows) places.push_back(r[2]);
  std::sort(places.begin(), places.end());
  CHECK(std::unique(places.begin(), places.end()) == places.end());
}

TEST_CASE("sockmuxctl: an answer that is not whole, or not ours, is not shown") {
  TempFolder folder;
  const std::string path = folder / "s";
  struct Case {
    std::string says, error;
    int code = 76;
  };
  const std::string cut = "the answer was cut: the daemon has ended, or you have read too slowly";
  for (const Case& c : {Case{"1 ok\nname\tkey\nx\ty\n", cut}, Case{"1 ok\nname\tkey\nx\tyend", cut}, Case{"1 ok\n", cut}, Case{"1 ok\nname\tkey\nx\tend\n", cut},
                        Case{"", cut},
                        Case{"SSH-2.0-x\r\n", "this is no sockmuxd, or one of another version: it says 'SSH-2.0-x?'"},
                        Case{"2 ok\nend\n", "this is no sockmuxd, or one of another version: it says '2 ok'"},
                        Case{"1 error unknown command 'peers'\n", "unknown command 'peers'"},
                        Case{"1 error not permitted: only you\x1b\n", "not permitted: only you?", 77}}) {
    CAPTURE(c.says);
    Liar liar(path, c.says);
    const Said said = ctl({"peers", "-s", path});
    CHECK(said.status == c.code);
    CHECK(said.out == "");
    CHECK(said.error == "sockmuxctl: " + path + ": " + c.error + "\n");
  }
  Liar honest(path, "1 ok\nname\tage_s\tsize_bytes\tlag_us\na\t59\t1023\t99\nbb\t3661\t1536\t12345\nc\t90000\t20000000\t250000\nd\t-\tx\x1b[\t-\nend\n");
  CHECK(ctl({"peers", "-s", path}).out ==
        "NAME  AGE   SIZE  LAG\n"
        "a     59s   1023  0.09ms\n"
        "bb    1h1m  1.5K  12.3ms\n"
        "c     1d1h  19M   250ms\n"
        "d     -     x?[   -\n");
}

TEST_CASE("sockmuxctl: wrong words, each with its message and status 64") {
  struct Case {
    Words words;
    std::string says;
  };
  for (const Case& c : {Case{{}, "a command is missing"}, Case{{"dance"}, "unknown command 'dance'"}, Case{{"-x"}, "unknown option '-x'"},
                        Case{{"peers", "x"}, "peers: 'x': no argument is expected"}, Case{{"genpsk", "x"}, "genpsk: 'x': no argument is expected"},
                        Case{{"genkey", "a", "b"}, "'b': one word too many"}, Case{{"genkey", ""}, "genkey: the name of a file is empty"},
                        Case{{"peers", "-s"}, "-s: a file is missing"}, Case{{"peers", "--socket="}, "--socket: a file is missing"},
                        Case{{"genpsk", "-s", "x"}, "genpsk: asks no daemon, so there is no --socket"},
                        Case{{"peers", "-s", "/" + std::string(103, 'a')}, "/" + std::string(103, 'a') + ": the path is too long for a socket"}}) {
    const Said said = ctl(c.words);
    CAPTURE(said.error);
    CHECK(said.status == 64);
    CHECK(said.out == "");
    CHECK(said.error.substr(0, said.error.find('\n')) == "sockmuxctl: " + c.says);
  }
  const Said full = ctl_shell("\"$ctl\" -h >/dev/full");
  CHECK(full.status == 74);
  CHECK(full.error == "sockmuxctl: standard output: No space left on device\n");
}
