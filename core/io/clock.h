// The clock and randomness of the machine. Everything else is told the time.
//
// Read next: core/base/clock.h.
#ifndef SOCKMUX_CORE_IO_CLOCK_H
#define SOCKMUX_CORE_IO_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/clock.h"

namespace smx {

// Opens what the functions below may need later, when files can't be opened any more (sandbox.h).
void prepare_clock();

// CLOCK_MONOTONIC in microseconds.
Time read_clock();

// Microseconds since 1970, UTC, as the machine knows the time of day.
int64_t read_wall_clock();

// "YYYYMMDD-HHMMSS.uuuuuu", UTC, of now; 22 characters and NUL. For HELLO.
void write_stamp(char out[23]);

// "2026-11-25T03:06:18Z" of now; 20 characters and NUL. For the log.
void write_log_stamp(char out[21]);

// `n` random bytes, n <= 256, from the kernel: getrandom(2), or /dev/urandom. Fit for secrets.
void fill_random(void* out, size_t n);

}  // namespace smx

#endif
