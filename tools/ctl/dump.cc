// sockmuxctl dump: its words, and what they lead to.
//
// Read next: dump.h, dump_watch.cc. Source: sockmuxctl(8), "dump".
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <initializer_list>

#include "core/base/letters.h"
#include "core/control/unix_socket.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/ask.h"
#include "tools/ctl/dump.h"

namespace smx::ctl {

namespace {

constexpr int kNoInput = 66;

constexpr std::string_view kHelp =
    "usage: sockmuxctl dump [PEER|SESSION] [-w FILE] [--payload[=N]] [-c COUNT]\n"
    "                       [--for SECONDS] [-s FILE]\n"
    "       sockmuxctl dump -r FILE [SESSION] [-c COUNT]\n"
    "Shows the packets of a daemon's links, one a line, as they come and go: time\n"
    "(UTC), session, direction, type, channel, length, and what is in them.\n"
    "  PEER, SESSION    only those of this peer (a name of the peers file), or of\n"
    "                   the session of this number\n"
    "  -w FILE          to FILE for Wireshark (pcapng); -: standard output\n"
    "  -r FILE          shows what such a file holds; -: standard input\n"
    "  --payload[=N]    data of channels, too, N bytes of each packet, else all: they\n"
    "                   may hold passwords and other secrets\n"
    "  -c COUNT         ends after so many packets\n"
    "  --for SECONDS    ends after so long\n"
    "  -s FILE, --socket FILE   the daemon's socket\n"
    "Wireshark: -X lua_script:sockmux.lua (in tools/ of the sources)\n"
    "Manual: sockmuxctl(8)\n";

struct Options {
  const char* who = nullptr;  // PEER or SESSION
  const char* to = nullptr;
  const char* from = nullptr;
  const char* socket = nullptr;
  DumpLimits limits;
  bool help = false;
};

int wrong(std::initializer_list<std::string_view> pieces) {
  complain(pieces);
  complain({"'sockmuxctl dump -h' shows its options"});
  return kUsage;
}

// The value of `option` in the word at hand or the next one. False: there is none.
bool value_of(std::string_view option, int argc, char** argv, int* i, const char** out) {
  const std::string_view w = argv[*i];
  if (w == option) {
    if (*i + 1 == argc) return false;
    *out = argv[++*i];
  } else {
    *out = argv[*i] + option.size() + 1;
  }
  return **out != 0;
}
bool is_option(std::string_view w, std::string_view name) {
  return w == name || (first(name, 2) == "--" && first(w, name.size()) == name && first(skip(w, name.size()), 1) == "=");
}

int read_options(int argc, char** argv, Options* out) {
  bool options = true, named = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view w = argv[i];
    const char* v = nullptr;
    if (!options || first(w, 1) != "-" || w == "-") {
      if (!named) {
        named = true;  // "dump"
      } else if (out->who != nullptr) {
        return wrong({"dump: '", w, "': one word too many"});
      } else if (w.empty() || !is_name_text(w)) {
        return wrong({"dump: '", w, "': expected the name of a peer, or the number of a session"});
      } else {
        out->who = argv[i];
      }
    } else if (w == "--") {
      options = false;
    } else if (w == "-h" || w == "--help") {
      out->help = true;
    } else if (w == "-w") {
      if (!value_of(w, argc, argv, &i, &out->to)) return wrong({"dump: -w: a file is missing"});
    } else if (w == "-r") {
      if (!value_of(w, argc, argv, &i, &out->from)) return wrong({"dump: -r: a file is missing"});
    } else if (w == "-s" || is_option(w, "--socket")) {
      if (!value_of(w == "-s" ? w : "--socket", argc, argv, &i, &out->socket)) return wrong({"dump: ", first(w, 8), ": a file is missing"});
    } else if (w == "-c") {
      if (!value_of(w, argc, argv, &i, &v) || !small_number(v, kAll, &out->limits.count) || out->limits.count == 0)
        return wrong({"dump: -c: expected a number of packets, 1 or more"});
    } else if (is_option(w, "--for")) {
      if (!value_of("--for", argc, argv, &i, &v) || !small_number(v, 1000000000, &out->limits.seconds) || out->limits.seconds == 0)
        return wrong({"dump: --for: expected a number of seconds, 1 or more"});
    } else if (w == "--payload") {
      out->limits.payload = kMaxPayload;
    } else if (is_option(w, "--payload")) {
      if (!small_number(skip(w, 10), kMaxPayload, &out->limits.payload)) return wrong({"dump: ", w, ": expected a number of bytes, to 16376"});
    } else {
      return wrong({"dump: unknown option '", w, "'"});
    }
  }
  return 0;
}

int check(const Options& o) {
  if (o.from == nullptr) return 0;
  if (o.to != nullptr) return wrong({"dump: -r and -w: expected one of them"});
  if (o.socket != nullptr) return wrong({"dump: -r asks no daemon, so there is no --socket"});
  if (o.limits.seconds != 0) return wrong({"dump: -r shows what is there, so there is no --for"});
  if (o.limits.payload != 0) return wrong({"dump: -r shows what is in the file, so there is no --payload"});
  return 0;
}

int watch(const Options& o, Output& out, bool as_file) {
  const char* path = o.socket != nullptr ? o.socket : usual_control_path();
  Fd fd;
  Answer answer;
  int code = answer.reach(path, &fd);
  if (code != 0) {
    answer.complain(path);
    return code;
  }
  Text<200> ask("1 dump");
  if (o.limits.payload > 0) ask.add(" payload=").add_u(o.limits.payload);
  uint64_t number = 0;
  if (o.who != nullptr) ask.add(small_number(o.who, kAll, &number) ? " session=" : " peer=").add(o.who);
  (void)signal(SIGPIPE, SIG_IGN);  // who is refused hears why
  (void)put(fd.get(), ask.add('\n').text());
  (void)signal(SIGPIPE, SIG_DFL);
  FileSink file(out);
  TextSink text(out);
  if (as_file && (code = file.begin()) != 0) return code;
  DumpCounts counts;
  code = watch_dump(fd.get(), path, o.limits, as_file ? static_cast<DumpSink&>(file) : text, &counts);
  if ((as_file && code == 0) || counts.lost > 0) {
    Text<100> said;
    said.add_u(counts.packets).add(counts.packets == 1 ? " packet" : " packets");
    if (counts.lost > 0) said.add(", ").add_u(counts.lost).add(" lost: they came faster than they were read");
    complain({said.text()});
  }
  return code;
}

int read_file(const Options& o) {
  uint64_t session = 0;
  if (o.who != nullptr && (!small_number(o.who, UINT32_MAX, &session) || session == 0))
    return wrong({"dump: '", o.who, "': -r knows sessions by their numbers"});
  const bool standard = std::string_view(o.from) == "-";
  const Fd fd(standard ? STDIN_FILENO : ::open(o.from, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    complain({o.from, ": ", strerror(errno)});
    return errno == EACCES ? kPermission : kNoInput;
  }
  Output out(STDOUT_FILENO, "standard output");
  TextSink text(out);
  return read_dump(fd.get(), standard ? "standard input" : o.from, static_cast<uint32_t>(session), o.limits.count, text);
}

}  // namespace

int Output::add(const void* bytes, size_t n) {
  const uint8_t* from = static_cast<const uint8_t*>(bytes);
  while (n > 0) {
    if (size_ == sizeof buffer_) {
      const int code = flush();
      if (code != 0) return code;
    }
    const size_t k = n < sizeof buffer_ - size_ ? n : sizeof buffer_ - size_;
    memcpy(buffer_ + size_, from, k);
    size_ += k;
    from += k;
    n -= k;
  }
  return 0;
}

// 0 or errno.
int Output::begin_anew() {
  struct stat s;
  if (fstat(fd_, &s) < 0) return errno;
  if (!S_ISREG(s.st_mode)) return 0;
  return fchmod(fd_, 0600) < 0 || ftruncate(fd_, 0) < 0 ? errno : 0;
}

int Output::flush() {
  const size_t n = size_;
  size_ = 0;
  if (n == 0) return 0;
  int error = anew_ ? begin_anew() : 0;
  anew_ = false;
  if (error == 0) error = put_waiting(fd_, {reinterpret_cast<const char*>(buffer_), n});
  if (error == 0) return 0;
  complain({name_, ": ", strerror(error)});
  return kIo;
}

int dump(int argc, char** argv) {
  Options o;
  int code = read_options(argc, argv, &o);
  if (code == 0 && o.help) return print(kHelp);
  if (code == 0) code = check(o);
  if (code != 0) return code;
  if (o.from != nullptr) return read_file(o);
  const bool standard = o.to == nullptr || std::string_view(o.to) == "-";
  if (o.to != nullptr && standard && isatty(STDOUT_FILENO) != 0) return wrong({"dump: -w -: standard output is a terminal; expected a pipe or a file"});
  // For its owner alone: with --payload it may hold anything. What it holds stays until the daemon has begun: it may refuse.
  const Fd fd(standard ? STDOUT_FILENO : ::open(o.to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) {
    complain({o.to, ": ", strerror(errno)});
    return kCannotCreate;
  }
  Output out(fd.get(), standard ? "standard output" : o.to, !standard);
  return watch(o, out, o.to != nullptr);
}

}  // namespace smx::ctl
