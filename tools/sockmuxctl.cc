// sockmuxctl: makes keys, and asks a running sockmuxd. main(): finds the command and its words.
//
// A command is a line in kCommands. Read next: ctl.h, ctl_keys.cc, ctl_ask.cc. Source: sockmuxctl(8).
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <initializer_list>

#include "core/base/text.h"
#include "core/io/fd.h"
#include "core/io/process.h"
#include "tools/ctl.h"

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

int print(std::string_view text) {
  const int error = put(STDOUT_FILENO, text);
  if (error == 0) return 0;
  complain({"standard output: ", strerror(error)});
  return kIo;
}

namespace {

constexpr std::string_view kHelp =
    "usage: sockmuxctl COMMAND ...\n"
    "Keys of secure links (SERVER=sockmuxs):\n"
    "  genkey [FILE]   makes a private key in FILE, prints its public key\n"
    "  pubkey [FILE]   prints the public key of the private key in FILE\n"
    "  genpsk          prints a key for PSK= of two peers files\n"
    "FILE is /etc/sockmux/key if none is given, and never overwritten; -: standard\n"
    "output (genkey) or input (pubkey).\n"
    "Of a daemon that runs:\n"
    "  peers           who is linked, or was and is waited for\n"
    "  version         its version\n"
    "Options:\n"
    "  -s FILE, --socket FILE   the daemon's socket (its SOXCONF=control:FILE), if it\n"
    "                           is not /run/sockmux.sock\n"
    "  -h, --help               this help\n"
    "  -V, --version            the version of sockmuxctl\n"
    "Manual: sockmuxctl(8)\n";

struct Command {
  std::string_view name;
  bool takes_file;
  int (*keys)(const char* file);  // nullptr: a question to the daemon
  bool table;
};
constexpr Command kCommands[] = {
    {"genkey", true, genkey, false},
    {"pubkey", true, pubkey, false},
    {"genpsk", false, [](const char*) { return genpsk(); }, false},
    {"peers", false, nullptr, true},
    {"version", false, nullptr, false},
};

const Command* find(std::string_view name) {
  for (const Command& c : kCommands)
    if (name == c.name) return &c;
  return nullptr;
}

int misused(std::initializer_list<std::string_view> pieces) {
  complain(pieces);
  complain({"'sockmuxctl -h' shows the commands"});
  return kUsage;
}

struct Words {
  const char* word[2] = {};  // the command and its FILE
  int count = 0;
  const char* socket = nullptr;
  bool help = false, version = false;
};

// 0, or an exit code, and the user was told.
int read_words(int argc, char** argv, Words* out) {
  constexpr std::string_view kSocket = "--socket=";
  bool options = true;
  for (int i = 1; i < argc; ++i) {
    const std::string_view w = argv[i];
    if (!options || w.substr(0, 1) != "-" || w == "-") {
      if (out->count == 2) return misused({"'", w, "': one word too many"});
      out->word[out->count++] = argv[i];
    } else if (w == "--") {
      options = false;
    } else if (w == "-h" || w == "--help") {
      out->help = true;
    } else if (w == "-V" || w == "--version") {
      out->version = true;
    } else if (w == "-s" || w == "--socket") {
      if (++i == argc) return misused({w, ": a file is missing"});
      out->socket = argv[i];
    } else if (w.substr(0, kSocket.size()) == kSocket) {
      out->socket = argv[i] + kSocket.size();
    } else {
      return misused({"unknown option '", w, "'"});
    }
  }
  if (out->socket != nullptr && *out->socket == 0) return misused({"--socket: a file is missing"});
  return 0;
}

int run(int argc, char** argv) {
  fill_standard_fds();  // so that no key file becomes standard output
  Words words;
  const int code = read_words(argc, argv, &words);
  if (code != 0) return code;
  if (words.help) return print(kHelp);
  if (words.version) return print("sockmuxctl " SMX_VERSION "\n");
  if (words.count == 0) return misused({"a command is missing"});
  const Command* c = find(words.word[0]);
  if (c == nullptr) return misused({"unknown command '", words.word[0], "'"});
  const char* file = words.word[1];
  if (file != nullptr && !c->takes_file) return misused({c->name, ": '", file, "': no argument is expected"});
  if (file != nullptr && *file == 0) return misused({c->name, ": the name of a file is empty"});
  if (c->keys == nullptr) return ask(c->name, words.socket, c->table);
  if (words.socket != nullptr) return misused({c->name, ": asks no daemon, so there is no --socket"});
  return c->keys(file);
}

}  // namespace
}  // namespace smx::ctl

int main(int argc, char** argv) { return smx::ctl::run(argc, argv); }
