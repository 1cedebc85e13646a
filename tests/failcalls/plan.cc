// Read next: plan.h.
#include "tests/failcalls/plan.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <sstream>

#include "tests/failcalls/errors.h"

namespace failcalls {

namespace {

constexpr unsigned kLongest = 180;  // seconds of one run
constexpr int kLearned = 2;         // runs without a failure: not each of them comes to each place

volatile sig_atomic_t stopped;
void on_stop(int) { stopped = 1; }

// Ends the children that are in none of `slots`: what a run has left behind comes to us (PR_SET_CHILD_SUBREAPER, prctl(2)).
void end_orphans(const std::vector<pid_t>& runs) {
  const std::string number = std::to_string(getpid());
  for (int tries = 0; tries < 10; ++tries) {
    std::istringstream list(e2e::read_file("/proc/" + number + "/task/" + number + "/children"));
    bool any = false;
    for (pid_t child = 0; list >> child;) {
      if (std::find(runs.begin(), runs.end(), child) != runs.end()) continue;
      any = true;
      (void)kill(child, SIGKILL);
      (void)waitpid(child, nullptr, 0);
    }
    if (!any) return;
  }
}

// What a run says to who has started it, in memory of both.
struct Report {
  bool done, fired, good;
  char refusal[600];
  uint32_t roles;
  struct {
    char name[16];
    uint32_t count;
    FailPlace place[1500];
  } role[Usual::kMost];
};

struct Job {
  Fault fault;
  std::string name;
};

template <class T>
T* shared() {
  void* at = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) abort();
  return static_cast<T*>(at);
}

// In a process of its own, which it ends.
[[noreturn]] void perform(const Scenario& scenario, const Options& options, const Fault* fault, Usual* usual, Report* report) {
  setpgid(0, 0);
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (const int s : {SIGTERM, SIGINT}) (void)signal(s, SIG_DFL);
  alarm(kLongest);
  {
    Run run(options.library, fault, usual, options.depth);
    try {
      scenario.run(run);
    } catch (const Refused&) {
    } catch (...) {
      run.need(false, "a check of the harness has failed");
    }
    report->fired = run.fired();
    strncpy(report->refusal, run.refusal().c_str(), sizeof report->refusal - 1);
    for (const std::string& role : fault == nullptr ? run.roles() : std::vector<std::string>()) {
      auto& r = report->role[report->roles++];
      strncpy(r.name, role.c_str(), sizeof r.name - 1);
      r.count = 0;
      for (const FailPlace& p : run.places(role))
        if (r.count < sizeof r.place / sizeof r.place[0]) r.place[r.count++] = p;
    }
    report->good = run.problems().empty();
    if (!report->good) printf("%s%s", run.problems().c_str(), run.shown_logs().c_str());
    report->done = true;
    fflush(stdout);
  }
  _exit(0);
}

// The program's names for the addresses, by nm.
class Symbols {
 public:
  std::string name(const std::string& program, uint32_t offset) {
    auto& table = tables_[program];
    if (table.empty()) load(program, table);
    auto at = table.upper_bound(offset);
    if (at == table.begin()) return "?";
    return (--at)->second;
  }

 private:
  static void load(const std::string& program, std::map<uint32_t, std::string>& table) {
    const std::string path = program == "sockmuxctl" ? e2e::ctl_path() : e2e::daemon_path();
    table[0] = "?";
    FILE* nm = popen(("nm -C '" + path + "'").c_str(), "r");
    char line[1000];
    while (nm != nullptr && fgets(line, sizeof line, nm) != nullptr) {
      unsigned long at = 0;
      char kind = 0;
      int used = 0;
      if (sscanf(line, "%lx %c %n", &at, &kind, &used) < 2 || strchr("tTwW", kind) == nullptr) continue;
      std::string name(line + used);
      name = name.substr(0, name.find_first_of("(\n", 0));
      if (name.compare(0, 5, "smx::") == 0) name = name.substr(5);
      if (name.empty()) name = std::string(line + used, strcspn(line + used, "\n")).substr(28);  // (anonymous namespace)::f()
      table[static_cast<uint32_t>(at)] = name.substr(0, name.find('('));
    }
    if (nm != nullptr) pclose(nm);
  }
  std::map<std::string, std::map<uint32_t, std::string>> tables_;
};

std::string place_name(Symbols& symbols, const FailPlace& p, uint32_t depth) {
  std::string name = call_name(p.call);
  for (uint32_t i = 0; i < p.frames && i < depth; ++i) {
    char offset[20] = "";
    if (i == 0) snprintf(offset, sizeof offset, "+%x", p.frame[i]);
    name += (i == 0 ? " in " : " < ") + symbols.name(p.program, p.frame[i] - 1) + offset;
  }
  return name;
}

// What is known of a scenario, and its runs.
class Plan {
 public:
  Plan(const Scenario& scenario, const Options& options) : scenario_(scenario), options_(options), usual_(shared<Usual>()) {}
  void learn_from(const Report& report);
  void make_jobs(Symbols& symbols);
  // Of how it went, in one line.
  void print() const;

  const Scenario& scenario_;
  const Options& options_;
  Usual* usual_;
  std::map<std::string, std::map<uint64_t, FailPlace>> places_;  // by role
  std::vector<Job> jobs_;
  size_t place_count_ = 0, runs_ = 0, fired_ = 0, failed_ = 0, missed_ = 0, refused_ = 0;
  double seconds_ = 0;  // of all runs together
};

void Plan::learn_from(const Report& r) {
  for (uint32_t k = 0; k < r.roles; ++k)
    for (uint32_t p = 0; p < r.role[k].count; ++p) {
      FailPlace& known = places_[r.role[k].name][r.role[k].place[p].key];
      const uint32_t hits = std::max(known.hits, r.role[k].place[p].hits);
      known = r.role[k].place[p];
      known.hits = hits;
    }
}

void Plan::make_jobs(Symbols& symbols) {
  for (const auto& role : places_)
    for (const auto& p : role.second) {
      ++place_count_;
      if (p.second.hits < options_.nth) continue;
      for (const int code : errors_of(p.second)) {
        Job job;
        job.fault = {role.first, p.second, options_.nth, code};
        job.name = role.first + ": " + error_name(p.second.call, code) + " of " + place_name(symbols, p.second, options_.depth);
        if (options_.only.empty() || job.name.find(options_.only) != std::string::npos) jobs_.push_back(job);
      }
    }
}

void Plan::print() const {
  printf("%-10s %4zu places, %4zu runs of %4zu: %zu not reached, %zu refused to start, %zu failed; %.0f s (%s)\n", scenario_.name, place_count_, runs_,
         jobs_.size(), missed_, refused_, failed_, seconds_, scenario_.about);
}

// ---- runs beside each other

struct Task {
  Plan* plan;
  Job* job;  // nullptr: to learn
};

class Pool {
 public:
  explicit Pool(const Options& options) : options_(options), slots_(static_cast<size_t>(options.at_once)) {}
  // All of them, or those that are begun in time.
  void perform(const std::vector<Task>& tasks, double until);

 private:
  struct Slot {
    pid_t pid = 0;
    Report* report = nullptr;
    FILE* output = nullptr;
    Task task{};
    double began = 0;
  };
  void start(Slot& slot, const Task& task);
  void finish(Slot& slot, int status);

  const Options& options_;
  std::vector<Slot> slots_;
};

void Pool::start(Slot& slot, const Task& task) {
  if (slot.report == nullptr) slot.report = shared<Report>();
  memset(slot.report, 0, offsetof(Report, role));
  slot.output = fdopen(memfd_create("run", MFD_CLOEXEC), "w+");
  slot.task = task;
  slot.began = e2e::now();
  fflush(stdout);
  slot.pid = fork();
  if (slot.pid < 0) abort();
  if (slot.pid > 0) return;
  dup2(fileno(slot.output), 1);
  dup2(fileno(slot.output), 2);
  failcalls::perform(task.plan->scenario_, options_, task.job == nullptr ? nullptr : &task.job->fault, task.plan->usual_, slot.report);
}

void Pool::finish(Slot& slot, int status) {
  (void)kill(-slot.pid, SIGKILL);
  std::string said;
  rewind(slot.output);
  char bytes[4096];
  for (size_t n; (n = fread(bytes, 1, sizeof bytes, slot.output)) > 0;) said.append(bytes, n);
  fclose(slot.output);
  slot.pid = 0;
  const Report& r = *slot.report;
  const bool good = r.done && r.good && status == 0;
  const Job* job = slot.task.job;
  Plan& plan = *slot.task.plan;
  const std::string name = std::string(plan.scenario_.name) + (job == nullptr ? " without a failure" : " " + job->name);
  ++plan.runs_;
  if (job != nullptr && r.fired) ++plan.fired_;
  plan.seconds_ += e2e::now() - slot.began;
  if (!good) {
    ++plan.failed_;
    printf("FAIL %s%s\n%s\n", name.c_str(), r.done ? "" : ": it hangs or has died", said.c_str());
  } else if (job != nullptr && !r.fired) {
    ++plan.missed_;
    if (options_.verbose) printf("missed %s\n", name.c_str());
  } else if (options_.verbose) {
    printf("ok %s (%.1f s)\n", name.c_str(), e2e::now() - slot.began);
  }
  if (r.refusal[0] != 0) {
    ++plan.refused_;
    if (options_.verbose) printf("  refused: %s\n", r.refusal);
  }
  if (job == nullptr && good) plan.learn_from(r);
  fflush(stdout);
}

void Pool::perform(const std::vector<Task>& tasks, double until) {
  size_t next = 0;
  for (;;) {
    bool busy = false;
    for (Slot& s : slots_) {
      if (!stopped && s.pid == 0 && next < tasks.size() && (until <= 0 || e2e::now() < until)) start(s, tasks[next++]);
      busy = busy || s.pid != 0;
    }
    if (!busy) return;
    int status = 0;
    const pid_t pid = waitpid(-1, &status, 0);
    std::vector<pid_t> runs;
    for (Slot& s : slots_) {
      if (s.pid == pid && pid > 0) finish(s, status);
      if (s.pid != 0) runs.push_back(s.pid);
      if (s.pid != 0 && stopped) (void)kill(s.pid, SIGKILL);
    }
    end_orphans(runs);
  }
}

}  // namespace

Sum perform_all(const Scenario* scenarios, size_t count, const Options& options) {
  (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
  struct sigaction action {};
  action.sa_handler = on_stop;
  for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaction(s, &action, nullptr);
  std::vector<std::unique_ptr<Plan>> plans;
  for (size_t i = 0; i < count; ++i)
    if (options.scenario.empty() || options.scenario == scenarios[i].name) plans.push_back(std::make_unique<Plan>(scenarios[i], options));
  Pool pool(options);
  // A first run of each, and only then another: what is usual is what the last of them has seen.
  for (int i = 0; i < (options.seconds > 0 ? 1 : kLearned); ++i) {
    std::vector<Task> tasks;
    for (const auto& p : plans) tasks.push_back({p.get(), nullptr});
    pool.perform(tasks, 0);
  }
  Symbols symbols;
  std::vector<Task> tasks;
  for (const auto& p : plans) {
    if (p->failed_ > 0) continue;
    p->make_jobs(symbols);
    for (Job& j : p->jobs_) tasks.push_back({p.get(), &j});
  }
  if (options.list) {
    for (const Task& t : tasks) printf("%s %s, %u times\n", t.plan->scenario_.name, t.job->name.c_str(), t.job->fault.place.hits);
    tasks.clear();
  }
  if (options.seconds > 0) std::shuffle(tasks.begin(), tasks.end(), std::mt19937(options.seed));
  pool.perform(tasks, options.seconds > 0 ? e2e::now() + options.seconds : 0);
  Sum sum;
  size_t fired = 0;
  for (const auto& p : plans) {
    p->print();
    sum.passed += p->runs_ - p->failed_;
    sum.failed += p->failed_;
    fired += p->fired_;
    if (p->failed_ > 0 || p->place_count_ > 0) continue;
    printf("FAIL %s: no place in it calls anything\n", p->scenario_.name);
    ++sum.failed;
  }
  if (fired == 0 && !options.list) {
    printf("FAIL no call was made to fail\n");
    ++sum.failed;
  }
  return sum;
}

std::vector<std::string> calls_missing(const std::string& program) {
  static const char* const kHarmless[] = {
#define FAILCALLS_NAME(name) #name,
      FAILCALLS_FUNCTIONS(FAILCALLS_NAME)
#undef FAILCALLS_NAME
      // Of memory alone, of stdio (whose own calls are libc's), and those that cannot fail
      "_exit", "abort", "adjtimex", "alarm", "calloc", "cfgetospeed", "cfsetispeed", "cfsetospeed", "clock_gettime", "closedir", "closelog",
      "dirfd", "dl_iterate_phdr", "fclose", "fgets", "fputc", "fputs", "free", "freeifaddrs", "fwrite", "gai_strerror", "getenv", "geteuid",
      "getgid", "getpid", "gmtime_r", "isatty", "malloc", "munmap", "openlog", "puts", "qsort",
      "raise", "readdir64", "realloc", "sched_yield", "setenv", "sigaction", "sigaddset", "sigemptyset", "sigfillset", "signal", "sigprocmask",
      "sysconf", "syslog", "time", "ttyname_r", "tzset", "umask", "unsetenv"};
  std::vector<std::string> list;
  FILE* nm = popen(("nm -u '" + program + "'").c_str(), "r");
  char line[300], name[300];
  while (nm != nullptr && fgets(line, sizeof line, nm) != nullptr) {
    char kind = 0;
    if (sscanf(line, " %c %299[^@\n]", &kind, name) != 2 || kind != 'U') continue;
    const std::string is = name;
    bool known = is.compare(0, 2, "__") == 0 || is.compare(0, 7, "crypto_") == 0 || is.compare(0, 7, "sodium_") == 0;
    for (const char* h : kHarmless) known = known || is == h;
    // <string.h>, strtol(): of memory alone, and only strdup() and strndup() take some.
    const std::string family = is.substr(0, 3);
    known = known || ((family == "mem" || family == "str") && is != "strdup" && is != "strndup");
    if (!known) list.push_back(is);
  }
  if (nm != nullptr) pclose(nm);
  return list;
}

}  // namespace failcalls
