// sockmuxctl: makes keys, and asks a running sockmuxd. main(): finds the command and its words.
//
// A command is a line in kCommands. Read next: ctl.h, keys.cc, ask.cc. Source: sockmuxctl(8).
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <initializer_list>

#include "core/base/text.h"
#include "core/io/fd.h"
#include "core/io/process.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/rows.h"

#ifndef SMX_VERSION
#define SMX_VERSION "unknown"
#endif

namespace smx::ctl {

void complain(std::initializer_list<std::string_view> pieces) {
  Text<1000> line("sockmuxctl: ");
  for (const std::string_view p : pieces) line.add_printable(p);
  (void)put(STDERR_FILENO, line.add('\n').text());
}

int put(int fd, std::string_view text) {
  while (!text.empty()) {
    const IoResult r = write_fd(fd, text.data(), text.size());
    if (r.again) return EAGAIN;
    if (r.error != 0) return r.error;
    text.remove_prefix(r.size);
  }
  return 0;
}

int put_waiting(int fd, std::string_view text) {
  while (!text.empty()) {
    const IoResult r = write_fd(fd, text.data(), text.size());
    pollfd p{fd, POLLOUT, 0};
    if (r.again) (void)::poll(&p, 1, -1);
    if (r.error != 0) return r.error;
    text.remove_prefix(r.size);
  }
  return 0;
}

int print(std::string_view text) {
  const int error = put_waiting(STDOUT_FILENO, text);
  if (error == 0) return 0;
  complain({"standard output: ", strerror(error)});
  return kIo;
}

int misused(std::initializer_list<std::string_view> pieces) {
  complain(pieces);
  complain({"'sockmuxctl -h' shows the commands"});
  return kUsage;
}

namespace {

constexpr std::string_view kHelp =
    "usage: sockmuxctl COMMAND ... [option ...]\n"
    "Keys of secure links (FILE: /etc/sockmux/key; -: standard output or input):\n"
    "  genkey [FILE]   makes a private key in a new FILE, prints its public key\n"
    "  pubkey [FILE]   prints the public key of the private key in FILE\n"
    "  genpsk          prints a key for PSK= of two peers files\n"
    "Of a daemon that runs:\n"
    "  status          all at a glance: links, ports, channels, what was dropped\n"
    "  peers           who is linked, or was and is waited for\n"
    "  channels        what is forwarded now\n"
    "  top             the same, live, with rates; h shows its keys\n"
    "  kick PEER, kick channel ID   ends a link, which may come back; a channel\n"
    "  log [LEVEL]     how much goes to the log: silent, terse, usual, debug\n"
    "  metrics         figures for Prometheus\n"
    "  reload          reads its +=files again, and lives by them\n"
    "  dump            the packets of its links, here or for Wireshark: dump -h\n"
    "  version         its version\n"
    "  upgrade [--drain N] [PROGRAM]   a new sockmuxd takes its place\n"
    "  doctor [WORDS]  why a tunnel does not work; WORDS: those of sockmuxd\n"
    "Options:\n"
    "  -s FILE, --socket FILE   the daemon's socket, if not /run/sockmux.sock\n"
    "  -j, --json               status, peers, channels: for programs\n"
    "  -n N, --count N          top: so many tables, without a terminal\n"
    "  -i S, --interval S       top: seconds between two looks\n"
    "  -h, --help, -V, --version   the manual: sockmuxctl(8)\n";

struct Command {
  std::string_view name;
  int least, most;  // words behind it
  bool asks;        // a daemon, so that there is a --socket
  bool json;
  int (*run)(const Words& words);
};
constexpr Command kCommands[] = {
    {"genkey", 0, 1, false, false, [](const Words& w) { return genkey(w.word[1]); }},
    {"pubkey", 0, 1, false, false, [](const Words& w) { return pubkey(w.word[1]); }},
    {"genpsk", 0, 0, false, false, [](const Words&) { return genpsk(); }},
    {"status", 0, 0, true, true, status},
    {"peers", 0, 0, true, true, peers},
    {"channels", 0, 0, true, true, channels},
    {"top", 0, 0, true, false, top},
    {"kick", 1, 2, true, false, kick},
    {"log", 0, 1, true, false, log_level},
    {"metrics", 0, 0, true, false, metrics},
    {"reload", 0, 0, true, false, reload},
    {"dump", 0, 0, true, false, [](const Words& w) { return misused({w.word[0], ": its options stand behind it"}); }},
    {"version", 0, 0, true, false, version},
    {"upgrade", 0, 1, true, false, [](const Words&) { return kUsage; }},  // upgrade.cc has had it before, with its own options
    {"doctor", 0, Words::kMost, false, false, [](const Words&) { return 0; }},  // run_doctor()
};

const Command* find(std::string_view name) {
  for (const Command& c : kCommands)
    if (name == c.name) return &c;
  return nullptr;
}

// The word of an option: of "--socket=FILE", or the next one. nullptr: there is none, and the user was told.
const char* value_of(int argc, char** argv, int* i, std::string_view missing) {
  const std::string_view w = argv[*i];
  const size_t equal = w.find('=');
  const char* value = w.substr(0, 2) == "--" && equal != std::string_view::npos ? argv[*i] + equal + 1 : ++*i < argc ? argv[*i] : "";
  if (*value != 0) return value;
  static_cast<void>(misused({w.substr(0, equal), ": ", missing, " is missing"}));
  return nullptr;
}

// "2", "0.5", ".25": thousandths of it. False: it is no such number, or one of more than 7 digits, or 3 behind the point.
bool thousandths(std::string_view text, uint64_t* out) {
  std::string_view rest = text;
  const std::string_view whole = next_part(&rest, '.');
  uint64_t n = 0, part = 0;
  if (whole.size() > 7 || rest.size() > 3 || (whole.empty() && rest.empty())) return false;
  if (!whole.empty() && !number_of(whole, &n)) return false;
  if (!rest.empty() && !number_of(rest, &part)) return false;
  for (size_t i = rest.size(); i < 3; ++i) part *= 10;
  *out = n * 1000 + part;
  return true;
}

// 0, or an exit code, and the user was told.
int read_words(int argc, char** argv, Words* out) {
  bool options = true;
  for (int i = 1; i < argc; ++i) {
    const std::string_view all = argv[i];
    const std::string_view w = all.substr(0, 2) == "--" ? all.substr(0, all.find('=')) : all;
    const char* value = nullptr;
    if (!options || w.substr(0, 1) != "-" || w == "-") {
      if (out->count == Words::kMost) return misused({"'", all, "': one word too many"});
      out->word[out->count++] = argv[i];
    } else if (all == "--") {
      options = false;
    } else if (w == "-h" || w == "--help") {
      out->help = true;
    } else if (w == "-V" || w == "--version") {
      out->version = true;
    } else if (w == "-j" || w == "--json") {
      out->json = true;
    } else if (w == "-s" || w == "--socket") {
      out->socket = value_of(argc, argv, &i, "a file");
      if (out->socket == nullptr) return kUsage;
    } else if (w == "-n" || w == "--count") {
      value = value_of(argc, argv, &i, "a number");
      if (value == nullptr) return kUsage;
      if (!thousandths(value, &out->times) || out->times == 0 || out->times % 1000 != 0) return misused({w, ": '", value, "': expected a number, from 1"});
      out->times /= 1000;
    } else if (w == "-i" || w == "--interval") {
      value = value_of(argc, argv, &i, "a number of seconds");
      if (value == nullptr) return kUsage;
      if (!thousandths(value, &out->interval_ms) || out->interval_ms < 100 || out->interval_ms > 3600000) return misused({w, ": '", value, "': expected seconds, from 0.1 to 3600"});
    } else {
      return misused({"unknown option '", all, "'"});
    }
  }
  return 0;
}

// doctor's words are the daemon's, which begin as they like: "sockmuxctl [-s FILE] doctor [-s FILE] WORDS". -1: it is another one.
int run_doctor(int argc, char** argv) {
  const char* socket = nullptr;
  bool found = false;
  int i = 1;
  for (; i < argc; ++i) {
    const std::string_view w = argv[i];
    constexpr std::string_view kSocket = "--socket=";
    if ((w == "-s" || w == "--socket") && i + 1 < argc) socket = argv[++i];
    else if (w.substr(0, kSocket.size()) == kSocket) socket = argv[i] + kSocket.size();
    else if (w == "doctor" && !found) found = true;
    else break;
  }
  if (!found || (i < argc && (std::string_view(argv[i]) == "-h" || std::string_view(argv[i]) == "--help"))) return -1;
  return doctor(argc - i, argv + i, socket);
}

int run(int argc, char** argv) {
  fill_standard_fds();  // so that no key file becomes standard output
  (void)signal(SIGXFSZ, SIG_IGN);  // a file that may not become longer (setrlimit(2)) is an error as others are
  const int upgraded = upgrade(argc, argv);
  if (upgraded >= 0) return upgraded;
  const int sick = run_doctor(argc, argv);
  if (sick >= 0) return sick;
  for (int i = 1; i < argc; ++i)
    if (*argv[i] != '-' && std::string_view(argv[i - 1]) != "-s" && std::string_view(argv[i - 1]) != "--socket") {
      if (std::string_view(argv[i]) == "dump") return dump(argc, argv);  // has options of its own
      break;
    }
  Words words;
  const int code = read_words(argc, argv, &words);
  if (code != 0) return code;
  if (words.help) return print(kHelp);
  if (words.version) return print("sockmuxctl " SMX_VERSION "\n");
  if (words.count == 0) return misused({"a command is missing"});
  const Command* c = find(words.word[0]);
  if (c == nullptr) return misused({"unknown command '", words.word[0], "'"});
  if (c->most > 0 && words.count > c->most + 1) return misused({"'", words.word[c->most + 1], "': one word too many"});
  if (words.count > c->most + 1) return misused({c->name, ": '", words.word[1], "': no argument is expected"});
  if (words.count < c->least + 1) return misused({c->name, ": a word is missing"});
  for (int i = 1; i < words.count; ++i)
    if (*words.word[i] == 0) return misused({c->name, c->asks ? ": a word is empty" : ": the name of a file is empty"});
  if (words.json && !c->json) return misused({c->name, ": has no --json"});
  if ((words.times != 0 || words.interval_ms != 0) && c->run != top) return misused({c->name, ": has no --count and no --interval"});
  if (!c->asks && words.socket != nullptr) return misused({c->name, ": asks no daemon, so there is no --socket"});
  return c->run(words);
}

}  // namespace
}  // namespace smx::ctl

int main(int argc, char** argv) { return smx::ctl::run(argc, argv); }
