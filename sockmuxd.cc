// sockmuxd: forwards ports, both ways, over one persistent link. main(): the words become a Config, which is checked and
// explained, and then lived by.
//
//   words -> Config -> checks -> Daemon
//
// Read next: config/config.h, daemon.h.
#include <string.h>
#include <unistd.h>

#include "config/explain.h"
#include "config/file.h"
#include "config/reload/reader.h"
#include "core/base/features.h"
#include "core/io/fd.h"
#include "core/io/process.h"
#include "core/io/resident.h"
#include "daemon.h"

#ifndef SMX_VERSION
#define SMX_VERSION "unknown"
#endif

namespace smx {
namespace {

constexpr const char kHelp[] =
    "usage: sockmuxd [-f] [-v] [-t] [-P[host:]port] [NAME=value ...] [+=file]\n"
    "One link, any number of TCP and UDP ports forwarded over it, both ways:\n"
    "  hostX$ sockmuxd SERVER=sockmux -P9000 PORT=9023 DEST=127.0.0.1:80\n"
    "  hostY$ sockmuxd SERVER=sockmux://hostX:9000 PORT=9080 DEST=127.0.0.1:23\n"
    " -P[host:]port  accept links; -Q: more    -f   stay in the foreground\n"
    " -t             check, explain, end       -v -vv -vd -vt -vs -vu -va   the log\n"
    " -Fsockmux      as -f SERVER=sockmux      -eNAME=value   environment of programs\n"
    " -h -V          this help; the version    --   ends the options\n"
    " +=file         the words of a file\n"
    "The link, SERVER=, or several of them, the best first:  sockmux (accepted at -P)\n"
    "  sockmux://host:port     sockmux:commin@fifo with sockmux:commout@fifo\n"
    "  sockmux:comm@/dev/ttyS0,9600   sockmux:proc@command   sockmux:comm@- (fd 0, 1)\n"
    "Clients come to:    PORT=[peer@][host:]port[-port][/udp]  at peer: RPORT= BIND=\n"
    "The peer's go to:   DEST=host:port[/udp][:clients]\n"
    "  SERVER=proto://host:port,-in[:-:-Pport,clients]   or by a proxy or program:\n"
    "  SERVER=telnet,-in  http,-in  socks,-in  ftp,-in  exec,-in(XCOM=command)\n"
    "Who may:  RELIABLE=hosts  PERMIT=protocols:servers:clients  REJECT=  REACHABLE=\n"
    "  REMITTABLE=  (else local networks)   HOSTLIST=name:hosts   HOSTS=name/address\n"
    "More:     TIMEOUT=word:period  MAXIMA=word:number  SOXCONF=word:value  SRCIF=\n"
    "  OWNER=user[/group]  CHROOT=  UMASK=  PIDFILE=  LOGFILE=  SYSLOG=   the process\n"
    "Signals:  HUP reload and retry now, TERM end, USR1 statistics\n"
    "Manuals:  sockmuxd(8), sockmux.conf(5), sockmux(7)\n";

constexpr const char* kVersion = kWithout.empty() ? "sockmuxd " SMX_VERSION "\n" : "sockmuxd " SMX_VERSION ", without " SMX_WITHOUT "\n";

// Words, lines of files and everything parsed; tables come on top of it.
constexpr size_t kConfigMemory = 8u << 20;  // named in a message, too

// ---- start

void print(const Report& report) {
  for (const Problem& p : report.errors()) say("", p.text.text());
  if (report.error_count() > report.errors().count) {
    Text<64> more("and ");
    say("", more.add_u(report.error_count() - report.errors().count).add(" more errors").text());
  }
  for (const Problem& p : report.warnings()) say("warning: ", p.text.text());
  if (report.ignored().empty()) return;
  Text<600> names("no meaning here:");
  for (const std::string_view name : report.ignored()) names.add(' ').add(name);
  say("", names.text());
}

// What is understood and not built yet is refused here, so that nobody believes it works.
bool built(const Config& config) {
  bool good = true;
  const auto no = [&good](const Origin& where, std::string_view what) {
    Text<300> text;
    if (!where.file.empty()) text.add_printable(where.file).add(':').add_u(where.line).add(": ");
    say("", text.add_printable(where.word).add(": ").add(what).add(" are not in this version").text());
    good = false;
  };
  Address source;
  for (const ServerSpec& s : config.servers) {
    if (s.options != nullptr && s.options->source.host != config.source.host && !parse_ip(s.options->source.host, &source))
      no(s.origin, "names in SRCIF inside of -in(...)");
  }
  return good;
}

// Whether standard output has taken it; what it has not is said.
bool shown(std::string_view text) {
  const int error = write_whole(STDOUT_FILENO, text.data(), text.size());
  if (error != 0) say("standard output: ", strerror(error));
  return error == 0;
}

class PrintLines final : public LineSink {
 public:
  bool failed = false;
  void line(std::string_view text) override {
    failed = failed || !shown(Text<kExplainText + 1>(text).add('\n').text());
  }
};

int run(int argc, char** argv) {
  fill_standard_fds();
  hide_inherited_fds();
  void* memory = reserve_memory(kConfigMemory);
  if (memory == nullptr) return say("", "no memory for the configuration: 8 MiB"), kExitSystem;
  static Report report;
  static DiskFiles files;
  static Config config;
  static ConfigReader reader(argv + 1, static_cast<size_t>(argc > 0 ? argc - 1 : 0), files, config);
  const bool good = reader.read(memory, kConfigMemory, &report);
  if (good && config.help) return shown(kHasHelp ? kHelp : "sockmuxd(8), sockmux.conf(5), sockmux(7)\n") ? 0 : kExitSystem;
  if (good && config.version) return shown(kVersion) ? 0 : kExitSystem;
  print(report);
  if (!good) return report.status();
  const bool complete = built(config);
  if (kHasExplain && config.check_only) {
    PrintLines lines;
    explain(config, lines);
    if (lines.failed) return kExitSystem;
  }
  if (!complete) return kExitUnavailable;
  if (config.check_only) return 0;
  // NOLINTNEXTLINE(clang-diagnostic-exit-time-destructors): too large for a stack; what it closes at the end, exit would
  static Daemon daemon(reader, files, report);
  daemon.set_words(argv);
  const int code = daemon.prepare();
  return code != 0 ? code : daemon.run();
}

}  // namespace
}  // namespace smx

int main(int argc, char** argv) { return smx::run(argc, argv); }
