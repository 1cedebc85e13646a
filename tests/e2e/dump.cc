// sockmuxctl dump: what a daemon's links carry is shown, data and secrets are not; a packet of every type as text; bad files.
// Read next: tests/test_tap.cc (what may be seen), tests/test_dump.sh (Wireshark), dump_secure.cc.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <set>
#include <sstream>

#include "tests/e2e/ctl.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

const std::string kMarker = "geheim-marker-7319";

// ---- files as sockmuxctl dump -w writes them, in either byte order

struct Pcap {
  Pcap() = default;
  explicit Pcap(bool big_endian) : big(big_endian) {}
  std::string number(uint64_t v, int bytes) const {
    std::string s;
    for (int i = 0; i < bytes; ++i) s += static_cast<char>(v >> 8 * (big ? bytes - 1 - i : i));
    return s;
  }
  void block(uint32_t type, std::string body) {
    while (body.size() % 4 != 0) body += '\0';
    const std::string size = number(body.size() + 12, 4);
    all += number(type, 4) + size + body + size;
  }
  Pcap& section() {
    block(0x0a0d0d0a, number(0x1a2b3c4d, 4) + number(1, 2) + number(0, 2) + number(~uint64_t{0}, 8));
    return *this;
  }
  Pcap& interface(unsigned type = 147, const std::string& options = "") {
    block(1, number(type, 2) + number(0, 2) + number(0, 4) + options);
    return *this;
  }
  std::string option(unsigned code, std::string value) const {
    const std::string head = number(code, 2) + number(value.size(), 2);
    while (value.size() % 4 != 0) value += '\0';
    return head + value;
  }
  Pcap& packet(const std::string& bytes, unsigned on = 0, const std::string& options = "") {
    std::string padded = bytes;
    while (padded.size() % 4 != 0) padded += '\0';
    const uint64_t us = 1764097200000000 + 1500000;  // 2025-11-25 19:00:01.5
    block(6, number(on, 4) + number(us >> 32, 4) + number(us & 0xffffffff, 4) + number(bytes.size(), 4) + number(bytes.size(), 4) + padded + options);
    return *this;
  }
  std::string all;
  bool big = false;
};

std::string from_hex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

struct Shown {
  std::string direction, dialect, bytes, text;
  std::string pseudo(unsigned session = 3) const {
    return std::string("\x01", 1) + static_cast<char>(direction == "sent") + static_cast<char>(dialect == "1" ? 1 : dialect == "0.3" ? 3 : 0) +
           std::string(4, '\0') + static_cast<char>(session) + bytes;
  }
};

// tests/data/dump-packets.txt
std::vector<Shown> shown() {
  std::vector<Shown> all;
  std::istringstream file(read_file("tests/data/dump-packets.txt"));
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    if (line[0] == '=') {
      const size_t bar = line.find(" | ");
      if (bar != std::string::npos) line.erase(bar, 2);
      all.back().text = line.substr(2);
      continue;
    }
    std::istringstream words(line);
    Shown s;
    std::string hex, word;
    words >> s.direction >> s.dialect;
    while (words >> word) hex += word;
    s.bytes = from_hex(hex);
    all.push_back(s);
  }
  return all;
}

// First byte and type of each packet in the tables of sockmux(7).
std::set<std::string> table() {
  std::set<std::string> all;
  std::istringstream page(read_file("man/sockmux.7"));
  std::string section;
  bool literal = false;
  for (std::string line; std::getline(page, line);) {
    if (line.rfind(".Ss ", 0) == 0 || line.rfind(".Sh ", 0) == 0) section = line.rfind(".Sh ", 0) == 0 ? line : section + line;
    if (line.rfind(".Bd", 0) == 0) literal = section.find(".Ss Packets") != std::string::npos && section.find(".Ss Packets") == section.rfind(".Ss");
    if (line.rfind(".Ed", 0) == 0) literal = false;
    std::istringstream words(line);
    std::string one, two;
    words >> one >> two;
    if (!literal || one.size() != 2 || one.find_first_not_of("0123456789abcdef") != std::string::npos) continue;
    all.insert(two.size() == 2 ? one + two : "03" + one);
  }
  return all;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) all.push_back(line);
  return all;
}

// A line of packets, its columns: time, session, direction, type, channel, length, rest.
struct Line {
  std::string time, session, direction, type, channel, length, rest;
  explicit Line(const std::string& text) {
    std::istringstream words(text);
    words >> time >> session >> direction >> type >> channel >> length;
    std::getline(words, rest);
    rest.erase(0, rest.find_first_not_of(' '));
  }
  std::string body() const { return type + " " + channel + (rest.empty() ? "" : " " + rest); }
};

std::vector<Line> packets_of(const std::string& text) {
  std::vector<Line> all;
  for (const std::string& line : lines_of(text))
    if (!line.empty() && line[0] != '#') all.emplace_back(line);
  return all;
}

// A dump that runs, its daemon told by `path`.
std::unique_ptr<Process> dump(Process& daemon, const std::string& path, const Words& more = {}) {
  ProcessSetup setup;
  setup.separate = true;
  Words words{ctl_path(), "dump", "-s", path};
  words.insert(words.end(), more.begin(), more.end());
  const size_t from = daemon.log().size();
  auto p = std::make_unique<Process>(words, setup);
  REQUIRE(daemon.wait_log(" dump-started ", 10, from));
  return p;
}

std::string control(const std::string& path) { return "SOXCONF=control:" + path; }

// Two daemons, c calls a, whose servers echo.
struct Net {
  explicit Net(const Words& more = {}) {
    Words a_words{"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(server.port()), control(at_a)};
    a_words.insert(a_words.end(), more.begin(), more.end());
    a = std::make_unique<Daemon>(a_words);
    c_words = {"SERVER=sockmux://" + local(a->link_port()), "PORT=127.0.0.1:0", control(at_c)};
    c_words.insert(c_words.end(), more.begin(), more.end());
  }
  void call() {
    c = std::make_unique<Daemon>(c_words);
    REQUIRE((*c)->wait_log(" link-up ", 10));
    REQUIRE((*a)->wait_log(" link-up ", 10));
  }
  // There and back, and the end of both.
  void echo(const std::string& bytes) {
    Conn client(c->port());
    client.send(bytes).shut();
    REQUIRE(wait_for([&] { return client.over(); }, 20));
    CHECK(client.text() == bytes);
    CHECK(c->wait_channels(0, 10));
    CHECK(a->wait_channels(0, 10));
  }
  Server server{echoes};
  TempFolder folder;
  std::string at_a = folder / "a", at_c = folder / "c";
  Words c_words;
  std::unique_ptr<Daemon> a, c;
};

Words bodies(const std::string& text, const std::string& direction) {
  Words all;
  for (const Line& l : packets_of(text))
    if (l.direction == direction && l.type != "ACK" && l.type != "ECHO" && l.type != "ECHOOK") {
      std::string body = l.type + " " + l.channel + " " + l.length + " " + l.rest;
      // What is ours at one side is the peer's at the other.
      if (const size_t us = body.find("us:"); us != std::string::npos) body.replace(us, 3, "@:");
      if (const size_t peer = body.find("peer:"); peer != std::string::npos) body.replace(peer, 5, "us:");
      if (const size_t other = body.find("@:"); other != std::string::npos) body.replace(other, 2, "peer:");
      all.push_back(body);
    }
  return all;
}
Words turned(Words all) {
  for (std::string& body : all) {
    if (const size_t us = body.find("us:"); us != std::string::npos) body.replace(us, 3, "peer:");
    else if (const size_t peer = body.find("peer:"); peer != std::string::npos) body.replace(peer, 5, "us:");
  }
  return all;
}

bool has_type(const std::string& text, const std::string& type) {
  for (const Line& l : packets_of(text))
    if (l.type == type) return true;
  return false;
}

}  // namespace

TEST_CASE("dump: a packet of every type is shown as it should be, in files of both byte orders") {
  const std::vector<Shown> all = shown();
  std::set<std::string> types = table();
  CHECK(types.size() == 33);
  TempFolder folder;
  for (const bool big : {false, true}) {
    Pcap file(big);
    file.section().interface(147, file.option(2, "session 3: branch 192.0.2.1:9") + file.option(9, "\x06") + file.option(0, ""));
    file.block(5, "statistics, say");  // of no interest
    for (const Shown& s : all) file.packet(s.pseudo());
    write_file(folder / "f", file.all);
    const Said said = ctl({"dump", "-r", folder / "f"});
    CHECK(said.status == 0);
    CHECK(said.error == "");
    const std::vector<std::string> lines = lines_of(said.out);
    REQUIRE(lines.size() == all.size() + 1);
    CHECK(lines[0] == "# session 3: branch 192.0.2.1:9");
    for (size_t i = 0; i < all.size(); ++i) {
      CAPTURE(lines[i + 1]);
      const Line l(lines[i + 1]);
      CHECK(l.body() == all[i].text);
      CHECK(l.time == "19:00:01.500000");
      CHECK(l.session == "3");
      CHECK(l.direction == all[i].direction);
      char type[5];
      snprintf(type, sizeof type, "%02x%02x", static_cast<uint8_t>(all[i].bytes[0]), static_cast<uint8_t>(all[i].bytes[1]));
      types.erase(type);
    }
  }
  std::string left;
  for (const std::string& t : types) left += t + " ";
  CHECK(left == "");
  CHECK(lines_of(ctl({"dump", "-r", folder / "f", "-c", "2"}).out).size() == 3);
  CHECK(ctl({"dump", "-r", folder / "f", "4"}).out == "");
  CHECK(ctl_shell("\"$ctl\" dump -r - <" + (folder / "f")).out == ctl({"dump", "-r", folder / "f"}).out);
}

TEST_CASE("dump: a file that is none, is cut, or of another kind: the message says where") {
  TempFolder folder;
  Pcap good;
  good.section().interface().packet(shown()[0].pseudo());
  const size_t header = Pcap().section().all.size();
  const auto with = [](Pcap p, const std::function<void(Pcap&)>& change) {
    p.section();
    change(p);
    return p.all;
  };
  struct Case {
    std::string bytes, says;
  };
  const std::string cut = "cut within the block at byte " + text(header) + ": the file is not whole";
  for (const Case& c : std::vector<Case>{
           {"", "the file is empty"},
           {"hello, world", "no pcapng file, as sockmuxctl dump -w writes it"},
           {"\xd4\xc3\xb2\xa1" + std::string(20, '\0'), "a pcap file of the older kind; expected pcapng, which `editcap -F pcapng` of Wireshark makes of it"},
           {"\x0a\x0d", "cut within the block at byte 0: the file is not whole"},
           {good.all.substr(0, header + 3), cut},
           {good.all.substr(0, header + 9), cut},
           {std::string("\x0a\x0d\x0d\x0a\0\0\0\x1c\x1a\x2b\x3c\x4e", 12), "no pcapng file: its byte order mark is wrong"},
           {with({}, [](Pcap& p) { p.interface(1); }), "interface 0 is of link type 1; expected 147 (USER0), as sockmuxctl dump -w writes it"},
           {with({}, [](Pcap& p) { p.interface().interface(147, p.option(9, "\x09")); }), "interface 1: its times are not in microseconds"},
           {with({}, [](Pcap& p) { p.packet("x"); }), "packet 1: is of an interface that the file does not have"},
           {with({}, [](Pcap& p) { p.interface().packet(std::string(15, 'x')); }), "packet 1: 15 bytes; expected 16 at least (sockmux(7), \"Dumps\")"},
           {with({}, [](Pcap& p) { p.interface().packet(std::string(16, '\x02')); }), "packet 1: version 2; this sockmuxctl reads version 1"},
           {with({}, [](Pcap& p) { p.interface().packet('\x01' + std::string(16392, 'x')); }), "packet 1: is too long"},
           {with({}, [](Pcap& p) { p.interface().block(6, std::string(8, '\0')); }), "packet 1: the block is too short"},
           {with({}, [](Pcap& p) { p.interface().block(6, std::string(12, '\0') + std::string(8, '\xff')); }), "packet 1: is longer than its block"},
           {with({}, [](Pcap& p) { p.block(1, "1"); }), "interface 0: the block is too short"},
           {with({}, [](Pcap& p) { p.all += std::string("\x05\0\0\0\x0d\0\0\0", 8); }), "the block at byte " + text(header) + " has a length that cannot be"},
           {with({}, [](Pcap& p) { p.all += std::string("\x05\0\0\0\xfc\xff\xff\xff", 8); }), "the block at byte " + text(header) + " has a length that cannot be"},
           {with({}, [](Pcap& p) { p.all += std::string("\x05\0\0\0\x0c\0\0\0\x0d\0\0\0", 12); }), "the block at byte " + text(header) + ": its two lengths differ"},
       }) {
    write_file(folder / "f", c.bytes);
    const Said said = ctl({"dump", "-r", folder / "f"});
    CHECK(said.error == "sockmuxctl: " + (folder / "f") + ": " + c.says + "\n");
    CHECK(said.status == 65);
    CHECK(said.out == "");
  }
  CHECK(ctl({"dump", "-r", folder / "none"}).error == "sockmuxctl: " + (folder / "none") + ": No such file or directory\n");
  CHECK(ctl({"dump", "-r", folder / "none"}).status == 66);
  CHECK(ctl({"dump", "-r", folder.path()}).status == 74);
  // Whatever is in there, it ends, and says something.
  unsigned seed = 7;
  for (int i = 0; i < 60; ++i) {
    Pcap p;
    p.section().interface();
    for (const Shown& s : shown()) p.packet(s.pseudo());
    for (int k = 0; k < 8; ++k) {
      seed = seed * 1103515245 + 12345;
      p.all[(seed >> 8) % p.all.size()] = static_cast<char>(seed >> 3);
    }
    write_file(folder / "f", p.all);
    const int status = ctl({"dump", "-r", folder / "f"}).status;
    CHECK((status == 0 || status == 65));
  }
}

TEST_CASE("dump: a packet that makes more text than there is room for has a line of its own all the same") {
  TempFolder folder;
  std::string payload = "\x01";
  while (payload.size() + 2 <= 16376) payload += std::string("\x86\0", 2);  // " for-client bad:"
  std::string bytes = std::string("\x11\x04\0\0\xff\xff", 6) + static_cast<char>(payload.size() >> 8) + static_cast<char>(payload.size()) + payload;
  Pcap file;
  file.section().interface().packet(Shown{"sent", "1", bytes, ""}.pseudo()).packet(shown()[0].pseudo());
  write_file(folder / "f", file.all);
  const Said said = ctl({"dump", "-r", folder / "f"});
  CHECK(said.status == 0);
  const std::vector<std::string> lines = lines_of(said.out);
  REQUIRE(lines.size() == 3);
  CHECK(Line(lines[1]).type == "BIND");
  CHECK(Line(lines[2]).body() == shown()[0].text);
}

TEST_CASE("dump: -r - waits for more where standard input was made one that does not block") {
  TempFolder folder;
  Pcap file;
  file.section().interface();
  for (const Shown& s : shown()) file.packet(s.pseudo());
  write_file(folder / "f", file.all);
  const Said whole = ctl({"dump", "-r", folder / "f"});
  // Cut behind a block, and within one.
  const size_t section = Pcap().section().all.size();
  for (const size_t cut : {section, section + 5}) {
    CAPTURE(cut);
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    for (const int fd : ends) REQUIRE(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
    REQUIRE(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    REQUIRE(write(ends[1], file.all.data(), cut) == static_cast<ssize_t>(cut));
    ProcessSetup setup;
    setup.separate = true;
    setup.prepare = [&] { (void)!dup2(ends[0], STDIN_FILENO); };
    Process p({ctl_path(), "dump", "-r", "-"}, setup);
    CHECK_FALSE(p.wait_end(0.5));
    const size_t rest = file.all.size() - cut;
    CHECK(write(ends[1], file.all.data() + cut, rest) == static_cast<ssize_t>(rest));
    close(ends[1]);
    CHECK(p.wait_end(10));
    CHECK(p.status() == 0);
    CHECK(p.log() == "");
    CHECK(p.output() == whole.out);
    close(ends[0]);
  }
}

TEST_CASE("dump: a file that is there already is written over only by a dump that has begun, and is its owner's alone then") {
  Net net;
  net.call();
  const std::string file = net.folder / "f.pcapng", before(4000, 'x');
  write_file(file, before);
  REQUIRE(chmod(file.c_str(), 0644) == 0);
  CHECK(ctl({"dump", "-s", net.folder / "none", "-w", file}).status == 69);
  CHECK(ctl({"dump", "7", "-s", net.at_a, "-w", file}).status == 76);
  CHECK(read_file(file) == before);
  CHECK(ctl({"dump", "-s", net.at_a, "-w", file, "--payload", "--for", "1"}).status == 0);
  CHECK(read_file(file).substr(0, 4) == "\x0a\x0d\x0d\x0a");
  CHECK(read_file(file).find("xxxx") == std::string::npos);
  CHECK(ctl({"dump", "-r", file}).status == 0);
  struct stat st;
  REQUIRE(stat(file.c_str(), &st) == 0);
  CHECK((st.st_mode & 0777) == 0600);
  // What is no file stays as it is.
  CHECK(ctl({"dump", "-s", net.at_a, "-w", "/dev/null", "--for", "1"}).status == 0);
  REQUIRE(stat("/dev/null", &st) == 0);
  CHECK((st.st_mode & 0777) == 0666);
}

TEST_CASE("dump: both sides of a link see the same packets, and no data") {
  Net net;
  const auto at_a = dump(net.a->process(), net.at_a);
  net.call();
  const auto at_c = dump(net.c->process(), net.at_c, {"1"});
  net.echo(kMarker);
  Conn other(net.c->port());
  other.send(std::string(300000, 'x')).shut();
  REQUIRE(wait_for([&] { return other.over(); }, 20));
  REQUIRE(net.c->wait_channels(0, 10));
  REQUIRE(wait_for([&] { return count_of(at_a->output(), "CLOSE ") == 4 && count_of(at_c->output(), "CLOSE ") == 4; }, 10));
  // What a got before the dump of c began is its start.
  const Words a_got = bodies(at_a->output(), "received"), a_sent = bodies(at_a->output(), "sent");
  const Words c_got = bodies(at_c->output(), "received"), c_sent = bodies(at_c->output(), "sent");
  REQUIRE(a_got.size() == c_sent.size() + 2);  // HELLO, SETTINGS
  CHECK(a_got[0].compare(0, 7, "HELLO -") == 0);
  CHECK(a_got[1].compare(0, 10, "SETTINGS -") == 0);
  CHECK(Words(a_got.begin() + 2, a_got.end()) == turned(c_sent));
  REQUIRE(a_sent.size() == c_got.size() + 2);
  CHECK(Words(a_sent.begin() + 2, a_sent.end()) == turned(c_got));
  CHECK(a_sent.size() > 20);
  CHECK(at_a->says("# session 1: 127.0.0.1:") == false);  // that is no error
  CHECK(at_a->output().compare(0, 23, "# session 1: 127.0.0.1:") == 0);
  CHECK(at_a->output().find(" session=(secret) received=0 ") != std::string::npos);
  for (const Process* p : {at_a.get(), at_c.get()}) {
    CHECK(p->output().find(kMarker) == std::string::npos);
    CHECK(p->output().find("xxxx") == std::string::npos);
    CHECK(p->log() == "");
  }
  // The daemon's end is told; a link goes on when its dump ends.
  at_c->signal(SIGTERM);
  CHECK(at_c->wait_end(10));
  CHECK(at_c->status() == 0);
  REQUIRE((*net.c)->wait_log(" dump-ended ", 10));
  net.echo("more");
  net.a->kill();
  CHECK(at_a->wait_end(10));
  CHECK(at_a->status() == 69);
  CHECK(at_a->log() == "sockmuxctl: " + net.at_a + ": the daemon has ended\n");
}

TEST_CASE("dump: data only if asked for, as much as asked for, and it is said; files are for their owner alone") {
  Net net;
  net.call();
  const std::string file = net.folder / "f.pcapng", most = net.folder / "most.pcapng";
  const auto some = dump(net.a->process(), net.at_a, {"--payload=6", "-w", file});
  const auto all = dump(net.c->process(), net.at_c, {"--payload", "-w", most});
  const auto none = dump(net.c->process(), net.at_c, {"-w", net.folder / "none.pcapng"});
  net.echo(kMarker + "\n" + std::string(40000, 'x'));
  for (const auto& p : {some.get(), all.get(), none.get()}) p->signal(SIGINT);
  for (const auto& p : {some.get(), all.get(), none.get()}) {
    CHECK(p->wait_end(10));
    CHECK(p->status() == 0);
    CHECK(p->output() == "");
    CHECK(p->log().find(" packets\n") != std::string::npos);
    CHECK(p->log().find(" lost") == std::string::npos);
  }
  const std::string warning = "sockmuxctl: data of channels are shown: they may hold passwords and other secrets\n";
  CHECK(some->wait_log(warning, 5));
  CHECK(all->wait_log(warning, 5));
  CHECK_FALSE(none->says(warning));
  struct stat st;
  REQUIRE(stat(file.c_str(), &st) == 0);
  CHECK((st.st_mode & 0777) == 0600);
  CHECK(read_file(file).find(kMarker) == std::string::npos);
  CHECK(read_file(file).find("geheim") != std::string::npos);
  CHECK(read_file(file).find("geheim-") == std::string::npos);
  CHECK(count_of(read_file(most), kMarker) == 2);
  CHECK(read_file(net.folder / "none.pcapng").find("geheim") == std::string::npos);
  CHECK(read_file(net.folder / "none.pcapng").find("xxxx") == std::string::npos);
  const Said said = ctl({"dump", "-r", most});
  CHECK(said.status == 0);
  CHECK(count_of(said.out, " \"" + kMarker + "\\nxxxxx") == 2);
  CHECK(count_of(said.out, "x") >= 80000);
  CHECK(count_of(ctl({"dump", "-r", file}).out, " \"geheim\"") == 2);
}

TEST_CASE("dump: 0.3, whose CONNECT carries data") {
  Net net({"SOXCONF=proto:0.3", "TIMEOUT=lin:1"});
  const auto at_a = dump(net.a->process(), net.at_a);
  const auto with = dump(net.a->process(), net.at_a, {"--payload=18"});
  net.call();
  Conn client(net.c->port());
  client.send(kMarker);
  REQUIRE(wait_for([&] { return client.text() == kMarker; }, 10));
  client.close();
  const std::string text = "client 127.0.0.1:";
  REQUIRE(wait_for([&] { return has_type(at_a->output(), "CLOSED") && has_type(with->output(), "CLOSED"); }, 40));
  for (const std::string type : {"HELLO", "HELLOOK", "SETOPT", "CONNECT", "CONNECTED", "SEND", "SENT", "CLOSE"}) {
    CAPTURE(type);
    CHECK(has_type(at_a->output(), type));
  }
  CHECK(at_a->output().find(text) != std::string::npos);
  CHECK(count_of(at_a->output(), " PACKSIZE ") == 2);
  CHECK(at_a->output().find("geheim") == std::string::npos);
  CHECK(count_of(with->output(), "\"" + kMarker + "\"") >= 2);
}

TEST_CASE("dump: the examples of sockmuxctl(8) work") {
  Net net;
  net.call();
  size_t examples = 0;
  for (std::string line : lines_of(read_file("man/sockmuxctl.8"))) {
    const std::string begin = ".Dl sockmuxctl dump";
    if (line.rfind(begin, 0) != 0) continue;
    line = "cd " + net.folder.path() + " && \"$ctl\" dump" + line.substr(begin.size());
    if (line.find(" -c ") != std::string::npos) line += " --for 1";
    if (const size_t bar = line.find(" |"); bar != std::string::npos) line = line.substr(0, bar) + " --for 1 | grep -c .";
    if (const size_t at = line.find("--for "); at != std::string::npos) line.replace(at, line.find_first_of(" \n", at + 6) - at, "--for 1");
    if (line.find(" -r ") == std::string::npos) line.insert(line.find(" dump") + 5, " -s " + net.at_a);
    CAPTURE(line);
    const Said said = ctl_shell(line);
    CHECK(said.status == 0);
    CHECK(said.error.find("sockmuxctl -h") == std::string::npos);
    ++examples;
  }
  CHECK(examples == 5);
}

TEST_CASE("dump: enough is enough: -c, --for; two at once; who may not is told why") {
  Net net;
  net.call();
  const auto first = dump(net.a->process(), net.at_a);
  const auto second = dump(net.a->process(), net.at_a, {"-c", "3"});
  const Said third = ctl({"dump", "-s", net.at_a});
  CHECK(third.status == 76);
  CHECK(third.error == "sockmuxctl: " + net.at_a + ": there are 2 dumps already\n");
  net.echo("hello");
  CHECK(second->wait_end(10));
  CHECK(second->status() == 0);
  CHECK(packets_of(second->output()).size() == 3);
  first->signal(SIGHUP);
  CHECK(first->wait_end(10));
  CHECK(packets_of(first->output()).size() >= 8);
  REQUIRE(wait_for([&] { return (*net.a)->count(" dump-ended ") == 2; }, 10));
  const Said timed = ctl({"dump", "-s", net.at_a, "--for", "1"});
  CHECK(timed.status == 0);
  CHECK(timed.error == "");
  CHECK((*net.a)->says(" dump-started peer=\"\" session=0 payload=0"));
  const auto why = [&](const Words& more) {
    Words words{"dump", "-s", net.at_a};
    words.insert(words.end(), more.begin(), more.end());
    const Said said = ctl(words);
    CHECK(said.status == 76);
    return said.error.substr(said.error.rfind(": ") + 2);
  };
  CHECK(why({"7"}) == "there is no session 7\n");
  CHECK(why({"0"}) == "there is no session 0\n");
  CHECK(why({"branch"}) == "no link is secure, so no peer has a name\n");
  CHECK(ctl({"dump", "-s", net.folder / "none"}).status == 69);
  CHECK(ctl({"dump", "-s", net.at_a, "-w", net.folder / "no/f"}).status == 73);
  const Said help = ctl({"dump", "-h"});
  CHECK(help.status == 0);
  for (const std::string& line : lines_of(help.out)) CHECK(line.size() <= 80);
}

TEST_CASE("dump: a link never waits for who watches and does not read; what is lost is counted, where it is missing") {
  Net net;
  net.call();
  const auto stopped = dump(net.a->process(), net.at_a, {"--payload", "1"});
  stopped->signal(SIGSTOP);
  net.echo(pattern(3, 5000000));
  CHECK(count_of(stopped->output(), "\n") == 0);
  net.echo("behind it");
  stopped->signal(SIGCONT);
  REQUIRE(wait_for([&] { return stopped->output().find("packets were lost here: they came faster") != std::string::npos; }, 20));
  net.echo(kMarker);
  REQUIRE(wait_for([&] { return count_of(stopped->output(), kMarker) == 2; }, 20));
  stopped->signal(SIGTERM);
  CHECK(stopped->wait_end(10));
  CHECK(stopped->log().find(" lost: they came faster than they were read\n") != std::string::npos);
  REQUIRE((*net.a)->wait_log(" dump-ended ", 10));
  const int64_t packets = Daemon::value((*net.a)->log(), "packets"), lost = Daemon::value((*net.a)->log(), "lost");
  CHECK(lost > 100);
  CHECK(packets > 10);
}

TEST_CASE("dump: wrong words, each with its message and status 64") {
  struct Case {
    Words words;
    std::string says;
  };
  for (const Case& c : {Case{{"a", "b"}, "'b': one word too many"}, Case{{"a/b"}, "'a/b': expected the name of a peer, or the number of a session"},
                        Case{{"-x"}, "unknown option '-x'"}, Case{{"-w"}, "-w: a file is missing"}, Case{{"-w", ""}, "-w: a file is missing"},
                        Case{{"-r"}, "-r: a file is missing"}, Case{{"-s"}, "-s: a file is missing"}, Case{{"--socket="}, "--socket: a file is missing"},
                        Case{{"-c", "0"}, "-c: expected a number of packets, 1 or more"}, Case{{"-c"}, "-c: expected a number of packets, 1 or more"},
                        Case{{"--for", "x"}, "--for: expected a number of seconds, 1 or more"}, Case{{"--for="}, "--for: expected a number of seconds, 1 or more"},
                        Case{{"--payload=16377"}, "--payload=16377: expected a number of bytes, to 16376"}, Case{{"--payload="}, "--payload=: expected a number of bytes, to 16376"},
                        Case{{"-r", "f", "-w", "g"}, "-r and -w: expected one of them"}, Case{{"-r", "f", "-s", "s"}, "-r asks no daemon, so there is no --socket"},
                        Case{{"-r", "f", "--for=1"}, "-r shows what is there, so there is no --for"},
                        Case{{"-r", "f", "--payload"}, "-r shows what is in the file, so there is no --payload"},
                        Case{{"-r", "f", "--socket=x"}, "-r asks no daemon, so there is no --socket"},
                        Case{{"-r", "f", "branch"}, "'branch': -r knows sessions by their numbers"}}) {
    Words words{"dump"};
    words.insert(words.end(), c.words.begin(), c.words.end());
    const Said said = ctl(words);
    CAPTURE(said.error);
    CHECK(said.status == 64);
    CHECK(said.out == "");
    CHECK(said.error.substr(0, said.error.find('\n')) == "sockmuxctl: dump: " + c.says);
  }
  CHECK(ctl({"-n", "5", "dump"}).error.find("dump: has no --count and no --interval") != std::string::npos);
  CHECK(ctl({"-j", "--", "dump"}).status == 64);
  CHECK(ctl_shell("\"$ctl\" dump -r tests/data/dump-packets.txt >/dev/full").status == 65);
}
