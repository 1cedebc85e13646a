// Scenarios of starts: into the background, in the place of another, and those that must fail. Read next: scenarios.h.
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/e2e/ctl.h"
#include "tests/failcalls/scenarios.h"

namespace failcalls {

using namespace e2e;

namespace {

// One in the background, which ends with the object, and so does who has taken its place.
class Background {
 public:
  Background(Run& run, const std::string& role, const Words& words, const std::string& control) : run_(run), role_(role) {
    (void)chmod(folder_.path().c_str(), 0777);
    words_ = {daemon_path(), "PIDFILE=" + folder_ / "pid", "LOGFILE=" + folder_ / "log", control.empty() ? "SOXCONF=control:no" : "SOXCONF=control:" + control};
    words_.insert(words_.end(), words.begin(), words.end());
    run.watch_file(folder_ / "log");
  }
  ~Background() {
    const std::string all = log(), name = "sockmuxd[";
    for (size_t at = all.find(name); at != std::string::npos; at = all.find(name, at + 1)) kill_ours(atoi(all.c_str() + at + name.size()));
    kill_ours(pid());
  }
  // By its own words; ends the scenario if it may not start.
  void start() {
    // It stays until the end, since its whole group ends with the object: a helper that has just begun is in that, too.
    starter_ = std::make_unique<Process>(words_, run_.with(role_));
    Process& p = *starter_;
    run_.watch(p);
    const bool ended = run_.need(p.wait_end(10), "the start comes to an end");
    if (ended && p.status() != 0) {
      run_.check_refusal(p, p.log() + log());
      run_.need(wait_for([&] { return pid() == 0 || !lives(pid()); }, 5), "who says that the start has failed leaves nobody behind");
      run_.forget(p);
      throw Refused();
    }
    run_.forget(p);
  }
  const TempFolder& folder() const { return folder_; }
  std::string log() const { return exists(folder_ / "log") ? read_file(folder_ / "log") : ""; }
  pid_t pid() const { return exists(folder_ / "pid") ? atoi(read_file(folder_ / "pid").c_str()) : 0; }
  // Who has ended may wait for somebody to take notice.
  static bool lives(pid_t number) {
    const std::string file = "/proc/" + text(static_cast<uint64_t>(number)) + "/stat";
    return number > 0 && exists(file) && read_file(file).find(") Z ") == std::string::npos;
  }
  void ends() {
    const pid_t number = pid();
    if (!run_.need(lives(number), "it lives, and PIDFILE names it")) return;
    ::kill(number, SIGTERM);
    run_.need(wait_for([&] { return !lives(number); }, 8), "TERM ends it");
  }

 private:
  void kill_ours(pid_t number) const {
    const std::string file = "/proc/" + text(static_cast<uint64_t>(number)) + "/cmdline";
    if (number > 1 && exists(file) && read_file(file).find(folder_.path()) != std::string::npos) ::kill(number, SIGKILL);
  }
  Run& run_;
  std::string role_;
  TempFolder folder_;
  Words words_;
  std::unique_ptr<Process> starter_;
};


}  // namespace

// Who starts it is told the truth.
void run_background(Run& run) {
  Server echo(echoes);
  Daemon hub({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "TIMEOUT=retry:1"});
  Background d(run, "daemon", {"SERVER=sockmux://localhost:" + text(run.link_port(hub)), "DEST=localhost:" + text(echo.port()), "OWNER=nobody", "CHROOT=/", "TIMEOUT=retry:1", "UMASK=022"}, "");
  d.start();
  run.serves(run.port(hub));
  run.rests("daemon", d.pid(), Background::lives(d.pid()));
  d.ends();
  run.wish(!exists(d.folder() / "pid") || read_file(d.folder() / "pid").empty(), "PIDFILE goes with it");
}

void run_upgrade(Run& run) {
  Server echo(echoes);
  TempFolder temp;
  (void)chmod(temp.path().c_str(), 0777);
  const std::string control = temp / "control";
  Daemon hub({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "TIMEOUT=retry:1"});
  Background d(run, "old", {"SERVER=sockmux://" + local(run.link_port(hub)), "DEST=" + local(echo.port()), "TIMEOUT=retry:1"}, control);
  d.start();
  run.serves(run.port(hub), "a client is served by the old one");
  const pid_t old = d.pid();
  ProcessSetup apart;
  apart.separate = true;
  Process ctl({ctl_path(), "upgrade", "-s", control}, run.with("young", apart));
  run.watch(ctl);
  if (!run.need(ctl.wait_end(40), "sockmuxctl upgrade comes to an end")) return;
  run.wish(ctl.status() == 0, "the upgrade is done");
  run.need(ctl.status() >= 0, "sockmuxctl is not killed by a signal");
  run.need(ctl.status() == 0 || !ctl.log().empty(), "an upgrade that fails is told of");
  // One of both is there, and only one.
  run.comes([&] { return ctl.status() != 0 || !Background::lives(old); }, 10, "the old one is gone");
  run.need(Background::lives(d.pid()), "somebody is there");
  run.serves(run.port(hub));
  run.comes([&] { return e2e::ctl({"version", "-s", control}).status == 0; }, 10, "the control socket answers");
  if (ctl.status() == 0) run.need(d.pid() != old, "it is another one");
  run.forget(ctl);
  d.ends();
}

void run_checks(Run& run) {
  TempFolder temp;
  write_file(temp / "conf", "PORT=127.0.0.1:0\nDEST=127.0.0.1:80\n");
  struct {
    Words words;
    int status;
  } const starts[] = {
      {{"-t", "SERVER=sockmux", "-P127.0.0.1:0", "+=" + temp / "conf"}, 0},
      {{"-h"}, 0},
      {{"-V"}, 0},
      {{"-f", "SERVER=sockmux", "-P127.0.0.1:0", "OWNER=no-such-user-here"}, 78},
      {{"-f", "SERVER=sockmux", "-P127.0.0.1:0", "CHROOT=" + temp / "nothing"}, 71},
      {{"-f", "SERVER=sockmux", "-P127.0.0.1:0", "PIDFILE=" + temp / "no/pid"}, 73},
      {{"-f", "SERVER=sockmux:comm@-", "PORT=127.0.0.1:0"}, 66},
  };
  for (const auto& s : starts) {
    Words all{daemon_path()};
    all.insert(all.end(), s.words.begin(), s.words.end());
    Process p(all, run.with("daemon"));
    run.watch(p);
    if (run.need(p.wait_end(10), p.command() + ": comes to an end")) {
      if (run.strict()) run.need(p.status() == s.status, p.command() + ": status " + std::to_string(p.status()));
      else if (p.status() != s.status) run.check_refusal(p, p.log());
    }
    run.forget(p);
  }
}

}  // namespace failcalls
