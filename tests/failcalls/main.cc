// failcalls LIBRARY [--scenario=NAME] [--only=TEXT] [--seconds=N --seed=N] [--nth=N] [--at-once=N] [--depth=N] [-v] [--list]
//
// Each call of the programs fails once, at each place, with each error that it can have. Read next: plan.h, scenarios.h.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/failcalls/plan.h"

namespace {

const failcalls::Scenario kScenarios[] = {
    {"tcp", failcalls::run_tcp, "a TCP link: clients both ways, urgent bytes, a cut, HUP, USR1, TERM"},
    {"fifo", failcalls::run_fifo, "a link over FIFOs"},
    {"tty", failcalls::run_tty, "a lossy link over a serial line"},
    {"program", failcalls::run_program, "a link over a program, which is a daemon at its standard input and output"},
    {"secure", failcalls::run_secure, "a secure link, a cut, the peers file read again"},
    {"servers", failcalls::run_servers, "programs, names, the proxies http and socks"},
    {"udp", failcalls::run_udp, "UDP ports"},
    {"control", failcalls::run_control, "the control socket, and sockmuxctl itself"},
    {"manager", failcalls::run_manager, "LISTEN_FDS, NOTIFY_SOCKET, the watchdog"},
    {"background", failcalls::run_background, "into the background: PIDFILE, LOGFILE, OWNER, CHROOT, names"},
    {"upgrade", failcalls::run_upgrade, "a new daemon takes the place of one that runs"},
    {"checks", failcalls::run_checks, "-t, and starts that must fail"},
};

// A check of the harness, outside of any test: it is said, and REQUIRE ends the run.
void on_check(const doctest::AssertData& a) {
  if (a.m_failed) printf("%s:%d: %s\n", a.m_file, a.m_line, a.m_decomp.c_str());
}

std::string value(const std::string& word, const std::string& name) {
  return word.compare(0, name.size(), name) == 0 ? word.substr(name.size()) : "";
}

}  // namespace

int main(int argc, char** argv) {
  doctest::Context context;
  context.setAsDefaultForAssertsOutOfTestCases();
  context.setAssertHandler(on_check);
  failcalls::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto number = [&](const char* name) { return static_cast<uint32_t>(atoi(value(word, name).c_str())); };
    if (word == "-v") options.verbose = true;
    else if (word == "--list") options.list = true;
    else if (!value(word, "--only=").empty()) options.only = value(word, "--only=");
    else if (!value(word, "--scenario=").empty()) options.scenario = value(word, "--scenario=");
    else if (!value(word, "--at-once=").empty()) options.at_once = static_cast<int>(number("--at-once="));
    else if (!value(word, "--depth=").empty()) options.depth = number("--depth=");
    else if (!value(word, "--nth=").empty()) options.nth = number("--nth=");
    else if (!value(word, "--seconds=").empty()) options.seconds = number("--seconds=");
    else if (!value(word, "--seed=").empty()) options.seed = number("--seed=");
    else if (options.library.empty() && word[0] != '-') options.library = word;
    else return fprintf(stderr, "failcalls: %s: unknown\n", word.c_str()), 64;
  }
  char whole[PATH_MAX];
  if (options.library.empty() || realpath(options.library.c_str(), whole) == nullptr || options.at_once < 1)
    return fprintf(stderr, "usage: failcalls LIBRARY [--scenario=NAME] [--only=TEXT] [--seconds=N] [--seed=N] [--nth=N] [-v] [--list]\n"), 64;
  options.library = whole;
  bool known = options.scenario.empty();
  for (const failcalls::Scenario& s : kScenarios) known = known || options.scenario == s.name;
  if (!known) return fprintf(stderr, "failcalls: --scenario=%s: there is none of that name\n", options.scenario.c_str()), 64;
  size_t missing = 0;
  for (const std::string& program : {e2e::daemon_path(), e2e::ctl_path()})
    for (const std::string& name : failcalls::calls_missing(program)) {
      printf("FAIL %s calls %s, which nobody lets fail: see failcalls.h, errors.cc\n", program.c_str(), name.c_str());
      ++missing;
    }
  const failcalls::Sum sum = failcalls::perform_all(kScenarios, sizeof kScenarios / sizeof kScenarios[0], options);
  printf("%zu passed, %zu failed\n", sum.passed + (missing == 0 ? 1 : 0), sum.failed + missing);
  return sum.failed + missing == 0 ? 0 : 1;
}
