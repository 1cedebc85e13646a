// Read next: every_call.h, fault.h.
#include "tests/simos/every_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <unordered_map>

namespace simos {

bool parse_plan(const char* text, Plan* out) {
  unsigned long long number = 0;
  return sscanf(text, "%d:%llu:%d", &out->process, &number, &out->error) == 3 && (out->number = number) > 0;
}

namespace {

// The calls of one place that are tried.
std::vector<uint64_t> chosen(const std::vector<uint64_t>& numbers, uint32_t more) {
  std::vector<uint64_t> some = {numbers.front(), numbers.back()};
  for (uint32_t i = 1; i <= more; ++i) some.push_back(numbers[numbers.size() * i / (more + 1) % numbers.size()]);
  std::sort(some.begin(), some.end());
  some.erase(std::unique(some.begin(), some.end()), some.end());
  return some;
}

}  // namespace

void fail_every_call(uint64_t seed, Process* const (&daemons)[kProcesses], Run run, uint32_t more, uint64_t part, uint64_t parts, const char* program, unsigned long long* passed,
                     unsigned long long* failed) {
  const Verdict whole = run(seed, daemons, false, Plan(), true);
  if (!whole.failure.empty()) {
    ++*failed;
    printf("FAIL seed %llu without a failing call: %s\n", static_cast<unsigned long long>(seed), whole.failure.c_str());
    return;
  }
  uint64_t at = 0;
  for (int p = 0; p < kProcesses; ++p) {
    std::vector<Faults::Record> calls;
    calls.swap(daemons[p]->faults.calls);
    std::vector<uint64_t> order;  // of places
    std::unordered_map<uint64_t, std::pair<Call, std::vector<uint64_t>>> places;
    for (const Faults::Record& r : calls) {
      auto& place = places[r.place];
      if (place.second.empty()) order.push_back(r.place);
      place.first = r.call;
      place.second.push_back(r.number);
    }
    for (const uint64_t key : order) {
      const auto& place = places[key];
      for (const uint64_t number : chosen(place.second, more))
        for (const int* error = errors_of(place.first); *error != 0; ++error) {
          if (at++ % parts != part) continue;
          const Plan plan{p + 1, number, *error};
          const Verdict v = run(seed, daemons, false, plan, false);
          if (v.failure.empty()) {
            ++*passed;
            continue;
          }
          ++*failed;
          printf("FAIL seed %llu, daemon %d, call %llu, %s() fails: %s: %s\n%s%s     again: %s -t -c %d:%llu:%d %llu 1\n", static_cast<unsigned long long>(seed), plan.process,
                 static_cast<unsigned long long>(number), name(place.first), strerror(*error), v.failure.c_str(), v.words.c_str(), v.log.c_str(), program, plan.process,
                 static_cast<unsigned long long>(number), *error, static_cast<unsigned long long>(seed));
          fflush(stdout);
        }
    }
  }
}

}  // namespace simos
