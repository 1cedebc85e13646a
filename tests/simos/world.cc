// Read next: world.h.
#include "tests/simos/world.h"

#include <stdarg.h>
#include <stdio.h>

#include <algorithm>

namespace simos {

World* world = nullptr;

uint32_t Random::skewed(uint32_t low, uint32_t high) {
  uint32_t bits = 0;
  for (uint32_t span = high - low; span > 0; span >>= 1) ++bits;
  const uint64_t top = uint64_t{1} << below(bits + 1);
  const uint64_t span = high - low;
  return low + static_cast<uint32_t>(next() % (std::min(top, span) + 1));
}

World::World(uint64_t s, bool traced) : random(s), seed(s), trace(traced) { world = this; }
World::~World() {
  owned_.clear();
  world = nullptr;
}

void World::at(Micros when, Callee& whom, int what) {
  heap_.push_back({when < now ? now : when, order_++, &whom, what});
  std::push_heap(heap_.begin(), heap_.end(), Later());
}

bool World::step() {
  if (heap_.empty() || failed()) return false;
  std::pop_heap(heap_.begin(), heap_.end(), Later());
  const Event e = heap_.back();
  heap_.pop_back();
  if (e.when > now) now = e.when;
  ++events_run;
  e.whom->on_event(e.what);
  return true;
}

bool World::run_until(Micros when) {
  while (!failed() && !heap_.empty() && heap_.front().when <= when) step();
  if (!failed() && now < when) now = when;
  return !failed();
}

void World::fail(const char* format, ...) {
  if (failed()) return;
  char text[500];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  char stamp[40];
  snprintf(stamp, sizeof stamp, "at %.6f s: ", static_cast<double>(now) / 1e6);
  failure = std::string(stamp) + text;
  SIM_TRACE("FAILED %s\n", text);
}

void trace(const char* format, ...) {
  va_list list;
  va_start(list, format);
  printf("%11.6f ", static_cast<double>(world->now) / 1e6);
  vprintf(format, list);
  va_end(list);
}

}  // namespace simos
