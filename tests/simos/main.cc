// simd: the whole daemon in a simulated world, from seeds.
//
//   simd [-t] [-v] [-c CALL] FIRST COUNT [JOBS]   runs COUNT seeds from FIRST on; -t traces them; -v says what they were;
//                                                  -c process:number:errno lets that call fail
//   simd -e MORE FIRST COUNT [JOBS]                lets every call of these runs fail once: every_call.h
//
// Each seed runs alone, the same each time; one in 64 is run twice, and must be. Ends with "N passed, N failed". Read next:
// scenario.h.
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/simos/every_call.h"
#include "tests/simos/scenario.h"

extern "C" {
int sim_main_1(int, char**);
int sim_main_2(int, char**);
int sim_main_3(int, char**);
extern char __start_sim1_data[], __stop_sim1_data[], __start_sim1_bss[], __stop_sim1_bss[];
extern char __start_sim2_data[], __stop_sim2_data[], __start_sim2_bss[], __stop_sim2_bss[];
extern char __start_sim3_data[], __stop_sim3_data[], __start_sim3_bss[], __stop_sim3_bss[];
}

using namespace simos;

namespace {

const char* program = "simd";

Image image(int (*main)(int, char**), char* data, char* data_end, char* bss, char* bss_end) {
  return {main, data, data_end, bss, bss_end, std::string(data, static_cast<size_t>(data_end - data))};
}

// A crash of a daemon is one of this program: the run is given up, and the next one begins with all anew.
sigjmp_buf crash_back;
bool may_come_back = false;

void crashed(int number) {
  if (may_come_back) siglongjmp(crash_back, number);
  signal(number, SIG_DFL);
  raise(number);
}

void catch_crashes() {
  static char stack[65536];
  stack_t other{};
  other.ss_sp = stack;
  other.ss_size = sizeof stack;
  sigaltstack(&other, nullptr);
  struct sigaction action {};
  action.sa_handler = crashed;
  action.sa_flags = SA_ONSTACK | SA_NODEFER;
  for (const int s : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) sigaction(s, &action, nullptr);
}

Verdict run_seed(uint64_t seed, Process* const (&daemons)[kProcesses], bool traced, const Plan& plan, bool recording) {
  Verdict v;
  World* w = new World(seed, traced);
  Network n;
  network = &n;
  forget_disks();
  for (Process* p : daemons) {
    p->faults = Faults();
    p->faults.recording = recording;
    if (plan.process == p->number()) p->faults.number = plan.number, p->faults.error = plan.error;
  }
  Scenario* s = w->make<Scenario>(daemons);
  const int crash = sigsetjmp(crash_back, 1);
  may_come_back = crash == 0;
  if (crash != 0) {
    current = nullptr;
    w->fail("signal %d", crash);
  } else {
    s->run();
  }
  may_come_back = false;
  s->report(&v);
  if (crash != 0) world = nullptr;  // what it has is lost
  for (Process* p : daemons) p->forget();
  if (crash == 0) delete w;
  network = nullptr;
  return v;
}

void explain(uint64_t seed, const Plan& plan, const Verdict& v) {
  printf("FAIL seed %llu: %s\n%s%s     again: %s -t ", static_cast<unsigned long long>(seed), v.failure.c_str(), v.words.c_str(), v.log.c_str(), program);
  if (plan.process != 0) printf("-c %d:%llu:%d ", plan.process, static_cast<unsigned long long>(plan.number), plan.error);
  printf("%llu 1\n", static_cast<unsigned long long>(seed));
  fflush(stdout);
}

struct Options {
  bool traced = false, verbose = false, every_call = false;
  Plan plan;
  uint64_t first = 1, count = 1, jobs = 1, more = 0;
};

// Seeds first, first + step, ...; of every call the share `job`.
void run_some(const Options& o, uint64_t job, unsigned long long* passed, unsigned long long* failed) {
  static const Image images[kProcesses] = {
      image(sim_main_1, __start_sim1_data, __stop_sim1_data, __start_sim1_bss, __stop_sim1_bss),
      image(sim_main_2, __start_sim2_data, __stop_sim2_data, __start_sim2_bss, __stop_sim2_bss),
      image(sim_main_3, __start_sim3_data, __stop_sim3_data, __start_sim3_bss, __stop_sim3_bss)};
  static Process a(1, images[0]), b(2, images[1]), c(3, images[2]);
  Process* const daemons[kProcesses] = {&a, &b, &c};
  constexpr unsigned long long kMostShown = 10;
  if (o.every_call) {
    for (uint64_t seed = o.first; seed < o.first + o.count; ++seed)
      fail_every_call(seed, daemons, run_seed, static_cast<uint32_t>(o.more), job, o.jobs, program, passed, failed);
    return;
  }
  for (uint64_t seed = o.first + job; seed < o.first + o.count; seed += o.jobs) {
    Verdict v = run_seed(seed, daemons, o.traced, o.plan, false);
    if (seed % 64 == 0 && !o.traced) {
      const Verdict again = run_seed(seed, daemons, false, o.plan, false);
      if (again.hash != v.hash && v.failure.empty()) v.failure = "the same seed did not run the same";
    }
    if (o.verbose)
      printf("seed %llu: %.1f s, %llu events, %llu turns, %llu calls, %llu talkers (%llu not well), %llu bytes, %llu datagrams, %llu links, hash %016llx\n%s", static_cast<unsigned long long>(seed), v.seconds, static_cast<unsigned long long>(v.events),
             static_cast<unsigned long long>(v.turns), static_cast<unsigned long long>(v.calls), static_cast<unsigned long long>(v.talkers), static_cast<unsigned long long>(v.lost),
             static_cast<unsigned long long>(v.bytes), static_cast<unsigned long long>(v.datagrams), static_cast<unsigned long long>(v.link_ups), static_cast<unsigned long long>(v.hash), v.words.c_str());
    if (v.failure.empty()) {
      ++*passed;
    } else if ((*failed)++ < kMostShown) {
      explain(seed, o.plan, v);
    }
  }
}

bool read_number(const char* text, uint64_t* out) {
  char* end = nullptr;
  *out = strtoull(text, &end, 10);
  return end != text && *end == 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  program = argv[0];
  int at = 1;
  bool good = true;
  for (; at < argc && argv[at][0] == '-'; ++at) {
    o.traced |= strcmp(argv[at], "-t") == 0;
    o.verbose |= strcmp(argv[at], "-v") == 0;
    if (strcmp(argv[at], "-c") == 0) good = ++at < argc && parse_plan(argv[at], &o.plan);
    if (at < argc && strcmp(argv[at], "-e") == 0) o.every_call = good = ++at < argc && read_number(argv[at], &o.more);
  }
  if (!good || argc - at < 2 || !read_number(argv[at], &o.first) || !read_number(argv[at + 1], &o.count) || (argc - at > 2 && !read_number(argv[at + 2], &o.jobs))) {
    fprintf(stderr, "usage: simd [-t] [-v] [-c process:call:errno | -e more] FIRST COUNT [JOBS]\n");
    return 64;
  }
  catch_crashes();
  timespec begin;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  unsigned long long passed = 0, failed = 0;
  if (o.jobs <= 1) {
    o.jobs = 1;
    run_some(o, 0, &passed, &failed);
  } else {
    int ends[2];
    if (pipe(ends) < 0) return 71;
    for (uint64_t j = 0; j < o.jobs; ++j) {
      fflush(stdout);
      if (fork() != 0) continue;
      unsigned long long counts[2] = {0, 0};
      run_some(o, j, &counts[0], &counts[1]);
      (void)!write(ends[1], counts, sizeof counts);
      fflush(stdout);
      _exit(0);
    }
    close(ends[1]);
    unsigned long long counts[2];
    uint64_t heard = 0;
    while (read(ends[0], counts, sizeof counts) == static_cast<ssize_t>(sizeof counts)) passed += counts[0], failed += counts[1], ++heard;
    failed += o.jobs - heard;  // one that has crashed
    while (wait(nullptr) > 0) {
    }
  }
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const double seconds = static_cast<double>(now.tv_sec - begin.tv_sec) + static_cast<double>(now.tv_nsec - begin.tv_nsec) / 1e9;
  printf("seeds %llu to %llu: %.1f s, %.2f ms each\n%llu passed, %llu failed\n", static_cast<unsigned long long>(o.first), static_cast<unsigned long long>(o.first + o.count - 1), seconds,
         o.count == 0 ? 0 : seconds * 1000 / static_cast<double>(o.count), passed, failed);
  return failed == 0 ? 0 : 1;
}
