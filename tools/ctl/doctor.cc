// `sockmuxctl doctor`: the words, the order of the checks, the verdict. Read next: doctor.h.
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "config/file.h"
#include "config/peers/links.h"
#include "core/control/unix_socket.h"
#include "core/io/process.h"
#include "core/io/resident.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/doctor.h"
#include "tools/ctl/wrap.h"

namespace smx::ctl {

namespace {

constexpr size_t kMemory = 32u << 20;  // reserved; what is not touched costs nothing
constexpr const char* kFile = "/etc/sockmux.conf";

// The files of the disk, and which they were.
class NotedFiles final : public FileSource {
 public:
  FileText read(std::string_view path, Arena& arena) override {
    if (count_ < kMaxFilesRead) path_[count_++] = arena.copy(path);
    return disk_.read(path, arena);
  }
  View<std::string_view> paths() const { return {path_, count_}; }

 private:
  DiskFiles disk_;
  std::string_view path_[kMaxFilesRead];
  size_t count_ = 0;
};

// What is wrong with the options. False: nothing more can be said.
bool check_config(Findings& f, const char* const* words, size_t count, NotedFiles& files, Arena& arena, Config* config,
                  Report* report) {
  const bool good = parse_command_line(words, count, files, arena, config, report);
  for (const Problem& e : report->errors()) {
    const char* const advice =
        e.status == kExitNoInput
            ? "Make the file, correct its name, or run this as root."
            : "The daemon does not start with that. 'sockmuxd -t' checks the words; sockmux.conf(5) has them all.";
    f.fail(Place::here, "wrong configuration: %", {e.text.text()}, advice);
  }
  for (const Problem& w : report->warnings())
    f.warn("configuration: %", {w.text.text()}, "The daemon starts all the same.");
  if (good && (config->help || config->version)) {
    f.fail(Place::here, "wrong configuration: -h and -V are no configuration", {}, "Give the words of the daemon.");
    return false;
  }
  if (good)
    f.ok("configuration: no errors in %", {count == 1 ? std::string_view(words[0]) : std::string_view("these words")});
  return good;
}

// `asked`: the daemon could be, whether it runs or not.
int conclude(const Findings& f, bool asked, bool runs) {
  const Verdict& v = f.verdict();
  Text<1000> line;
  if (v.fails() == 0 && !asked)
    line.add("nothing is broken that can be seen without asking the daemon, which SOXCONF=control:no forbids");
  else if (v.fails() == 0 && !runs)
    line.add("nothing is broken that can be seen without a daemon that runs: start it, and ask again");
  else if (v.fails() == 0 && v.warnings() == 0)
    line.add("all is well");
  else if (v.fails() == 0)
    line.fill("nothing is broken; %", {Number(v.warnings(), "warning", "warnings")});
  else
    line.add("broken, because of ").add(v.cause());
  const int code = f.conclude(line.text());
  return code != 0 ? code : v.exit_code();
}

void examine(Patient& p, View<std::string_view> files) {
  bool secure = false;
  for (const LinkSpec& l : p.config.links) secure = secure || l.secure;
  ask_daemon(p);
  if (secure) {
    p.keys = make_keys(p.arena);
    if (p.keys == nullptr)
      p.findings.warn("secure links: this sockmuxctl was built without them", {},
                      "Keys and secure handshakes are not checked. 'make SECURE=sodium' builds one that does.");
    else if (!p.keys->load(p.findings, p.config))
      p.keys = nullptr;
  }
  check_host(p, files);
  check_ports(p);
  check_links(p);
  check_own_servers(p);
  check_far_servers(p);
}

}  // namespace

Findings::Findings() {
  constexpr size_t kNarrow = 40;  // less than that is left to the terminal
  winsize size{};
  if (isatty(STDOUT_FILENO) == 0) return;
  width_ = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kWide;
  if (width_ < kNarrow) width_ = kNarrow;
}

void Findings::say(Grade grade, Place place, const char* words, Views views, const char* advice, Views more) {
  struct Look {
    const char* name;
    Color color;
    const char* behind;
  };
  constexpr Look kLooks[] = {{"ok", Color::good, "    "}, {"WARN", Color::doubtful, "  "}, {"FAIL", Color::bad, "  "}};
  constexpr size_t kIndent = 6;
  const Look& look = kLooks[static_cast<int>(grade)];
  Text<1500> text;
  verdict_.add(grade, place, text.fill(words, views).text());
  Text<3500> out;  // spaces of lines are in it
  paint_.begin(out, look.color);
  paint_.end(out.add(look.name), look.color);
  add_wrapped(out.add(look.behind), text.text(), kIndent, width_);
  out.add('\n');
  text.clear();
  if (*advice != 0) add_wrapped(out.add("      "), text.fill(advice, more).text(), kIndent, width_), out.add('\n');
  if (!broken_ && print(out.text()) != 0) broken_ = true;
}

int Findings::conclude(std::string_view words) const {
  constexpr std::string_view kVerdict = "verdict: ";
  Text<2500> out;
  paint_.begin(out, Color::strong);
  paint_.end(out.add(kVerdict), Color::strong);
  add_wrapped(out, words, kVerdict.size(), width_);
  return print(out.add('\n').text());
}

int doctor(int count, const char* const* words, const char* socket) {
  void* const memory = reserve_memory(kMemory);
  if (memory == nullptr) return complain({"doctor: cannot set memory aside"}), kSystem;
  Arena arena(memory, kMemory);
  Config* const config = arena.create<Config>();
  Report* const report = arena.create<Report>();
  NotedFiles* const files = arena.create<NotedFiles>();
  Findings* const findings = arena.create<Findings>();
  if (config == nullptr || report == nullptr || files == nullptr || findings == nullptr) return kSystem;
  (void)signal(SIGPIPE, SIG_IGN);
  Running running;
  static const char* const kUsual[] = {"+=/etc/sockmux.conf"};
  size_t n = static_cast<size_t>(count);
  if (n == 0 && access(kFile, F_OK) == 0) {
    words = kUsual;
    n = 1;
  } else if (n == 0) {
    ask_daemon(*findings, arena, socket == nullptr ? usual_control_path() : socket, &running);
    if (running.answers) n = words_of(running, arena, &words);
    if (n == 0) {
      complain({"doctor: there is no ", kFile, ", and no daemon that tells its words: give them, or +=FILE"});
      return kUsage;
    }
  }
  if (!check_config(*findings, words, n, *files, arena, config, report)) return conclude(*findings, true, false);
  Finder* const finder = arena.create<Finder>(*config);
  if (finder == nullptr || !finder->init(arena)) return complain({"doctor: the system gives no poller: ", strerror(errno)}), kSystem;
  Patient p{*config, *findings, arena, *finder, nullptr, running, socket};
  examine(p, files->paths());
  finder->~Finder();
  return findings->broken() ? kIo : conclude(*findings, p.running.asked, p.running.answers);
}

}  // namespace smx::ctl
