// The control socket: answers larger than any buffer come whole and in order, whoever reads them and how slowly; who asks
// wrongly hears why.
#include <doctest/doctest.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/peer_key.h"
#include "core/control/control.h"
#include "core/control/unix_socket.h"
#include "core/io/clock.h"
#include "tests/loop.h"

using namespace smx;

namespace {

constexpr uint32_t kLines = 5000;

std::string line_of(uint32_t i) { return std::to_string(i) + std::string(i % ControlReply::kLine, 'x'); }

bool count(void* context, std::string_view argument, uint32_t* next, ControlReply& reply) {
  ++*static_cast<int*>(context);
  const uint32_t most = argument.empty() ? kLines : static_cast<uint32_t>(std::stoul(std::string(argument)));
  for (; *next < most; ++*next) {
    if (!reply.has_room()) return false;
    reply.line(line_of(*next));
  }
  return true;
}
bool fail(void*, std::string_view argument, uint32_t*, ControlReply& reply) {
  reply.line("this must not be seen");
  reply.fail("no '" + std::string(argument) + "' here");
  return true;
}
// Looks at much and finds little: most of its calls add nothing.
bool sparse(void* context, std::string_view, uint32_t* next, ControlReply& reply) {
  ++*static_cast<int*>(context);
  if (*next % 10 == 0) reply.line(line_of(*next));
  return ++*next == 50;
}
// A command that goes on: what is said meanwhile, and when nobody listens any more.
struct Lasting {
  std::string says;
  int calls = 0, ended = 0;
  uint32_t next = 0;
} lasting;
bool last(void*, std::string_view argument, uint32_t* next, ControlReply& reply) {
  ++lasting.calls;
  if (argument == "no") return reply.fail("not now"), true;
  *next = 42;
  while (!lasting.says.empty() && reply.has_room()) {
    const size_t n = lasting.says.size() < 500 ? lasting.says.size() : 500;
    reply.line(lasting.says.substr(0, n));
    lasting.says.erase(0, n);
  }
  return argument == "once" || (reply.over() && lasting.says.empty());
}
void last_ended(void*, uint32_t next) {
  ++lasting.ended;
  lasting.next = next;
}
const ControlCommand kCommands[] = {{"count", count, nullptr, true}, {"fail", fail, nullptr, true}, {"sparse", sparse}, {"last", last, last_ended, true}};

struct Folder {
  Folder() {
    char name[] = "/tmp/sockmux-control-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path = name;
    socket = path + "/s";
  }
  ~Folder() {
    unlink(socket.c_str());
    rmdir(path.c_str());
  }
  std::string path, socket;
};

struct Served : Folder, smxtest::Loop {
  Served() : smxtest::Loop(0, seconds(60), millis(1)) {
    lasting = Lasting{};
    ::signal(SIGPIPE, SIG_IGN);  // as main does
    int error = 0;
    Fd fd = listen_unix(socket.c_str(), 16, &error);
    REQUIRE(error == 0);
    REQUIRE(control.start(static_cast<Fd&&>(fd), kCommands, 4, &calls) == 0);
    control.set_user(geteuid());
  }
  int calls = 0;
  Control control{reactor};
};

struct Asker {
  explicit Asker(const Served& s, int buffer = 0) {
    int error = 0;
    fd = connect_unix(s.socket.c_str(), 1, &error);
    REQUIRE(error == 0);
    REQUIRE(prepare_fd(fd.get()) == 0);
    if (buffer > 0) REQUIRE(setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) == 0);
  }
  void say(const std::string& text) { REQUIRE(write_fd(fd.get(), text.data(), text.size()).size == text.size()); }
  // At most `most` bytes of what has come. True: it has ended.
  bool read_some(size_t most = 1 << 20) {
    std::vector<char> space(most);
    const IoResult r = read_fd(fd.get(), space.data(), most);
    got.append(space.data(), r.size);
    return over = over || (!r.again && r.size == 0);
  }
  Fd fd;
  std::string got;
  bool over = false;
};

std::string answer(Served& s, const std::string& text) {
  Asker a(s);
  a.say(text);
  CHECK(s.until([&] { return a.read_some(); }));
  return a.got;
}

std::string all_lines(uint32_t n) {
  std::string all = "1 ok\n";
  for (uint32_t i = 0; i < n; ++i) all += line_of(i).substr(0, ControlReply::kLine) + "\n";
  return all + "end\n";
}

}  // namespace

TEST_CASE("control: an answer of any size comes whole, in order, to one that reads it slowly") {
  Served s;
  Asker slow(s);
  slow.say("1 count\n");
  size_t turns = 0;
  CHECK(s.until([&] { return ++turns % 2 == 0 && slow.read_some(7000); }));
  CHECK(slow.got == all_lines(kLines));
  CHECK(s.calls > 100);  // so it never was in memory as a whole
}

TEST_CASE("control: a command that has nothing to say for a while gets its turn again") {
  Served s;
  std::string all = "1 ok\n";
  for (uint32_t i = 0; i < 50; i += 10) all += line_of(i) + "\n";
  CHECK(answer(s, "1 sparse\n") == all + "end\n");
  CHECK(s.calls == 50);
}

TEST_CASE("control: answers end well wherever the buffer ends") {
  Served s;
  for (uint32_t n = 0; n < 64; ++n) {
    CAPTURE(n);
    CHECK(answer(s, "1 count " + std::to_string(n) + "\n") == all_lines(n));
  }
}

TEST_CASE("control: four are answered at once, each from where it is; the others wait, and lose nothing") {
  Served s;
  std::vector<std::unique_ptr<Asker>> askers;
  for (int i = 0; i < 9; ++i) {
    askers.push_back(std::make_unique<Asker>(s));
    askers.back()->say("1 count " + std::to_string(1000 + i) + "\n");
  }
  for (int i = 0; i < 20; ++i) s.reactor.turn(millis(1));
  size_t begun = 0;
  for (const auto& a : askers) {
    a->read_some(1);
    begun += a->got.empty() ? 0 : 1;
  }
  CHECK(begun == Control::kClients);
  CHECK(s.until([&] {
    bool all = true;
    for (const auto& a : askers) all = a->read_some(50000) && all;
    return all;
  }));
  for (uint32_t i = 0; i < 9; ++i) CHECK(askers[i]->got == all_lines(1000 + i));
}

TEST_CASE("control: what is no command, and why") {
  Served s;
  CHECK(answer(s, "1 fail x y\n") == "1 error no 'x y' here\n");
  CHECK(answer(s, "1 nonesuch\n") == "1 error unknown command 'nonesuch'\n");
  CHECK(answer(s, "1\n") == "1 error unknown command ''\n");
  CHECK(answer(s, "2 count\n") == "1 error this daemon answers version 1 only\n");
  const std::string expected = "1 error not a command: expected '1 COMMAND'\n";
  for (const std::string& bad : {std::string("\n"), std::string("count\n"), std::string("GET / HTTP/1.0\r\n"), std::string("1 count\r\n"),
                                 std::string("1 \0\n", 4), std::string("\xff\xfe\n"), std::string(" 1 count\n")})
    CHECK(answer(s, bad) == expected);
  CHECK(answer(s, std::string(Control::kAsk, '1')) == "1 error the line is too long\n");
  CHECK(answer(s, "1 count " + std::string(Control::kAsk - 9, '0') + "\n") == all_lines(0));  // the longest
}

TEST_CASE("control: a line may come in pieces; one that is never ended is told so; who goes takes its place along") {
  Served s;
  Asker a(s);
  for (const char c : std::string("1 count 3\n")) {
    a.say(std::string(1, c));
    s.reactor.turn(millis(1));
  }
  CHECK(s.until([&] { return a.read_some(); }));
  CHECK(a.got == all_lines(3));
  Asker half(s);
  half.say("1 cou");
  REQUIRE(shutdown(half.fd.get(), SHUT_WR) == 0);
  CHECK(s.until([&] { return half.read_some(); }));
  CHECK(half.got == "1 error a line without an end\n");
  for (int i = 0; i < 40; ++i) {
    Asker gone(s);
    if (i % 2 == 0) gone.say("1 count\n");
    s.reactor.turn(millis(1));
  }
  CHECK(answer(s, "1 count 1\n") == all_lines(1));
}

TEST_CASE("control: who reads nothing for 5 s makes room for those who wait, and others are not held up by him") {
  Served s;
  Asker waits(s);  // of a command that goes on, with nothing to say: that is no reason to go
  waits.say("1 last\n");
  std::vector<std::unique_ptr<Asker>> stuck;
  for (int i = 0; i < Control::kClients - 1; ++i) {
    stuck.push_back(std::make_unique<Asker>(s));
    stuck.back()->say("1 count\n");
  }
  const Time begin = read_clock();
  CHECK(answer(s, "1 count 2\n") == all_lines(2));
  CHECK(read_clock() - begin > seconds(4));
  for (const auto& a : stuck) {
    CHECK(s.until([&] { return a->read_some(); }));
    CHECK(a->got.size() < all_lines(kLines).size());
    CHECK(a->got == all_lines(kLines).substr(0, a->got.size()));
  }
  CHECK(lasting.ended == 0);
  lasting.says = "hello";
  s.control.wake();
  CHECK(s.until([&] { return waits.read_some(), waits.got == "1 ok\nhello\n"; }));
}

TEST_CASE("control: a command that goes on says what there is when it is woken, and sleeps in between") {
  Served s;
  Asker a(s);
  a.say("1 last\n");
  CHECK(s.until([&] { return a.read_some(), a.got == "1 ok\n"; }));
  for (int i = 0; i < 20; ++i) s.reactor.turn(millis(1));
  const int before = lasting.calls;
  const uint64_t turns = s.reactor.turns();
  s.reactor.turn(millis(50));
  CHECK(lasting.calls == before);
  CHECK(s.reactor.turns() == turns + 1);
  CHECK(s.reactor.idle());  // it waits for nothing that is there
  std::string expected = "1 ok\n";
  for (int i = 0; i < 5; ++i) {
    lasting.says = "say " + std::to_string(i);
    expected += lasting.says + "\n";
    s.control.wake();
    CHECK(s.until([&] { return a.read_some(), a.got == expected; }));
  }
  // More than the socket takes, to one who reads nothing; then all of it comes.
  lasting.says = std::string(2000000, 'x');
  s.control.wake();
  for (int i = 0; i < 50; ++i) s.reactor.turn(millis(1));
  CHECK(!lasting.says.empty());
  CHECK(s.until([&] { return a.read_some(), a.got.size() == expected.size() + 2004000; }));
  CHECK(answer(s, "1 count 2\n") == all_lines(2));  // others are answered meanwhile
  CHECK(lasting.ended == 0);
}

TEST_CASE("control: a command that goes on ends with its client, or when all is said, and is told once") {
  Served s;
  {
    Asker a(s);
    a.say("1 last\n");
    CHECK(s.until([&] { return a.read_some(), a.got == "1 ok\n"; }));
    REQUIRE(shutdown(a.fd.get(), SHUT_WR) == 0);
    CHECK(s.until([&] { return a.read_some(); }));
    CHECK(a.got == "1 ok\nend\n");
    CHECK(lasting.ended == 1);
    Asker gone(s);
    gone.say("1 last\n");
    CHECK(s.until([&] { return gone.read_some(), gone.got == "1 ok\n"; }));
  }
  CHECK(s.until([] { return lasting.ended == 2; }));
  CHECK(lasting.next == 42);
  {
    Asker half(s);  // its end, while much is on its way
    half.say("1 last\n");
    lasting.says = std::string(2000000, 'x');
    CHECK(s.until([&] { return half.read_some(100), !half.got.empty(); }));
    REQUIRE(shutdown(half.fd.get(), SHUT_WR) == 0);
    CHECK(s.until([&] { return half.read_some(); }));
    CHECK(half.got.size() == 5 + 2004000 + 4);
    CHECK(half.got.substr(half.got.size() - 6) == "x\nend\n");
    CHECK(lasting.ended == 3);
  }
  lasting.says.clear();
  CHECK(answer(s, "1 last once\n") == "1 ok\nend\n");
  CHECK(lasting.ended == 4);
  lasting.next = 7;
  CHECK(answer(s, "1 last no\n") == "1 error not now\n");
  CHECK(lasting.ended == 5);
  CHECK(lasting.next == 0);
  Asker talks(s);  // what it still says is nothing to us
  talks.say("1 last\nmore\nand more\n");
  CHECK(s.until([&] { return talks.read_some(), talks.got == "1 ok\n"; }));
  for (int i = 0; i < 10; ++i) s.reactor.turn(millis(1));
  CHECK_FALSE(talks.read_some());
  CHECK(lasting.ended == 5);
}

TEST_CASE("control: the socket is ours alone from the first moment; only a dead one is replaced") {
  Folder f;
  int error = 0;
  const mode_t before = umask(0);
  Fd fd = listen_unix(f.socket.c_str(), 4, &error);
  CHECK(umask(before) == 0);  // as it was
  REQUIRE(error == 0);
  struct stat st;
  REQUIRE(lstat(f.socket.c_str(), &st) == 0);
  CHECK(S_ISSOCK(st.st_mode));
  CHECK((st.st_mode & 0777) == 0600);
  CHECK_FALSE(listen_unix(f.socket.c_str(), 4, &error).valid());
  CHECK(error == EADDRINUSE);
  // Alive, though its queue is full.
  std::vector<Fd> waiting;
  for (int i = 0; i < 8; ++i) {
    waiting.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    f.socket.copy(at.sun_path, sizeof at.sun_path - 1);
    (void)!connect(waiting.back().get(), reinterpret_cast<const sockaddr*>(&at), sizeof at);
  }
  CHECK_FALSE(listen_unix(f.socket.c_str(), 4, &error).valid());
  CHECK(error == EADDRINUSE);
  uint32_t uid = ~0u;
  waiting.clear();
  fd.reset();
  CHECK(listen_unix(f.socket.c_str(), 4, &error).valid());  // and dead again
  CHECK(error == 0);
  CHECK_FALSE(connect_unix(f.socket.c_str(), 1, &error).valid());
  CHECK(error == ECONNREFUSED);
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  const Fd one(pair[0]), other(pair[1]);
  CHECK(peer_uid(one.get(), &uid));
  CHECK(uid == geteuid());
  unlink(f.socket.c_str());
  const Fd file(::open(f.socket.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  CHECK_FALSE(listen_unix(f.socket.c_str(), 4, &error).valid());
  CHECK(error == EEXIST);
  CHECK(access(f.socket.c_str(), F_OK) == 0);
  CHECK_FALSE(listen_unix((f.path + "/no/s").c_str(), 4, &error).valid());
  CHECK(error == ENOENT);
  CHECK_FALSE(listen_unix(("/tmp/" + std::string(kUnixPath, 'a')).c_str(), 4, &error).valid());
  CHECK(error == ENAMETOOLONG);
}

TEST_CASE("a peer's key as text") {
  PeerKey key;
  for (size_t i = 0; i < PeerKey::kSize; ++i) key.bytes[i] = static_cast<uint8_t>(i);
  Text<60> text;
  append_key(text, key);
  CHECK(text.text() == "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
  for (uint8_t& b : key.bytes) b = 0xff;
  text.clear();
  append_key(text, key);
  CHECK(text.text() == "//////////////////////////////////////////8=");
}
