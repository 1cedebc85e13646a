// Points in time and spans of time, in microseconds, as types of their own. Types only: who reads the clock is
// core/io; everything else is told the time.
//
// Invariant: Time is monotonic and starts anywhere; it never is the time of day. Read next: timer.h.
#ifndef SOCKMUX_CORE_BASE_CLOCK_H
#define SOCKMUX_CORE_BASE_CLOCK_H

#include <stdint.h>

namespace smx {

struct Duration {
  int64_t us = 0;
};
constexpr Duration micros(int64_t n) { return {n}; }
constexpr Duration millis(int64_t n) { return {n * 1000}; }
constexpr Duration seconds(int64_t n) { return {n * 1000000}; }
constexpr bool operator<(Duration a, Duration b) { return a.us < b.us; }
constexpr bool operator>(Duration a, Duration b) { return a.us > b.us; }
constexpr bool operator==(Duration a, Duration b) { return a.us == b.us; }
constexpr Duration operator*(Duration a, int64_t n) { return {a.us * n}; }
constexpr Duration operator+(Duration a, Duration b) { return {a.us + b.us}; }

struct Time {
  int64_t us = 0;
};
// Later than every deadline: "no deadline".
constexpr Time kNever{INT64_MAX};
constexpr bool operator<(Time a, Time b) { return a.us < b.us; }
constexpr bool operator<=(Time a, Time b) { return a.us <= b.us; }
constexpr bool operator>(Time a, Time b) { return a.us > b.us; }
constexpr bool operator>=(Time a, Time b) { return a.us >= b.us; }
constexpr bool operator==(Time a, Time b) { return a.us == b.us; }
constexpr bool operator!=(Time a, Time b) { return a.us != b.us; }
constexpr Time operator+(Time t, Duration d) { return t == kNever ? kNever : Time{t.us + d.us}; }
constexpr Duration operator-(Time a, Time b) { return {a.us - b.us}; }
constexpr Time earlier(Time a, Time b) { return a < b ? a : b; }

}  // namespace smx

#endif
