// One run of a scenario: daemons whose calls are counted by place, one of which may fail, and what must hold all the same.
//
//   need()   holds whatever failed            wish()   may be what the failure has cost, unless that was EINTR, EAGAIN or a short result
//
// A run without a failure comes first and learns what is usual: places, and how many descriptors a daemon has when it rests.
// Read next: scenarios.h, plan.h (who makes the runs), tests/e2e/harness.h.
#ifndef SOCKMUX_TESTS_FAILCALLS_RIG_H
#define SOCKMUX_TESTS_FAILCALLS_RIG_H

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/harness.h"
#include "tests/e2e/sockets.h"
#include "tests/failcalls/failcalls.h"

namespace failcalls {

// Which call of which process fails.
struct Fault {
  std::string role;
  FailPlace place{};
  uint32_t nth = 1;
  int code = 0;
};

// What the run without a failure has learned; runs are processes of their own, so it lies in memory that they share.
struct Usual {
  static constexpr int kMost = 8;
  char role[kMost][16];
  int descriptors[kMost];
};

// Ends a scenario early: the daemon has refused to start, as it may.
struct Refused {};

class Run {
 public:
  // `fault`: nullptr, nothing fails. `library`: what is preloaded.
  Run(const std::string& library, const Fault* fault, Usual* usual, uint32_t depth);
  ~Run();

  // Environment with which this role's calls are counted; the first one makes its map.
  e2e::ProcessSetup with(const std::string& role, e2e::ProcessSetup setup = {});
  // The same as words for a shell: "env LD_PRELOAD=... FAILCALLS=..."
  std::string prefix(const std::string& role);
  // Waits until it has started. A daemon that may not start (its call failed) has to end with a status of the manual and say why; that
  // ends the scenario.
  void start(const std::string& role, e2e::Daemon& d);
  // A port that it chose itself, by what it has said before it started (the line "started" may be what is lost). It may not know the
  // number, if that is the call that fails: the scenario ends, then.
  uint16_t port(e2e::Daemon& d, size_t i = 0) { return port_after(d, "clients are accepted at ", i); }
  uint16_t link_port(e2e::Daemon& d) { return port_after(d, "links are accepted at ", 0); }
  // It has ended, and that is in order: it had not started, and has said why.
  void check_refusal(e2e::Process& p, const std::string& said);
  // Something has failed, and it is this process' call.
  bool hit(const std::string& role) const;
  bool fired() const;
  // Nothing failed, or nothing that may cost anything.
  bool strict() const;

  bool need(bool holds, const std::string& what);
  bool wish(bool holds, const std::string& what) { return !strict() ? holds : need(holds, what); }
  // need() with a wait.
  bool comes(const std::function<bool()>& done, double seconds, const std::string& what) { return need(e2e::wait_for(done, seconds), what); }

  // A client sends `size` bytes of a pattern to `port` of an echo server, ends, and gets them back: each byte that comes is right, all do
  // unless the failure has cost this client.
  void echo(uint16_t port, uint64_t seed, uint64_t size);
  // A fresh client is served, whatever failed before.
  void serves(uint16_t port, const std::string& what = "a fresh client is served");
  // It goes on; if not, the scenario ends.
  void lives(const std::string& role, e2e::Daemon& d);
  // It runs, has the descriptors that it usually has here, and no zombie.
  void rests(const std::string& role, e2e::Daemon& d) { rests(role, d->pid(), d->running()); }
  void rests(const std::string& role, pid_t pid, bool running);
  // TERM ends it with 0, soon.
  void ends(e2e::Daemon& d);
  // Its log is shown should the run fail.
  void watch(e2e::Process& p) { watched_.push_back(&p); }
  void watch_file(const std::string& path) { files_.push_back(path); }
  void forget(e2e::Process& p);

  const std::string& problems() const { return problems_; }
  // Of the watched processes, when the first problem was seen.
  const std::string& shown_logs() const { return logs_; }
  // What the refusal said, for the list of them.
  const std::string& refusal() const { return refusal_; }
  std::vector<FailPlace> places(const std::string& role) const;
  std::vector<std::string> roles() const;

 private:
  std::string logs() const;
  uint16_t port_after(e2e::Daemon& d, const std::string& words, size_t i);
  FailMap* map_of(const std::string& role);
  std::string library_;
  const Fault* fault_;
  Usual* usual_;
  uint32_t depth_;
  e2e::TempFolder folder_;
  std::map<std::string, FailMap*> maps_;
  std::vector<e2e::Process*> watched_;
  std::vector<std::string> files_;
  std::string problems_, logs_, refusal_;
};

}  // namespace failcalls

#endif
