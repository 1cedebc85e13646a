// What a line of a known rate carries in a time, and how long it needs for so many bytes.
//
// Pure. Rates are bytes a second. Read next: clock.h.
#ifndef SOCKMUX_CORE_BASE_RATE_H
#define SOCKMUX_CORE_BASE_RATE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/clock.h"

namespace smx {

// `span` is not negative.
constexpr uint64_t bytes_in(uint32_t rate, Duration span) { return uint64_t{rate} * static_cast<uint64_t>(span.us) / 1000000; }
// The same within limits: `least` counts more than `most`.
constexpr size_t bytes_in(uint32_t rate, Duration span, size_t least, size_t most) {
  const uint64_t n = bytes_in(rate, span);
  return n < least ? least : n > most ? most : static_cast<size_t>(n);
}
// `rate` is not 0.
constexpr Duration time_of(uint64_t bytes, uint32_t rate) { return {static_cast<int64_t>(bytes * 1000000 / rate)}; }

}  // namespace smx

#endif
