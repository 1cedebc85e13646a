// Read rt.cc: it says why this is here.
#ifndef SOCKMUX_CORE_IO_RT_H
#define SOCKMUX_CORE_IO_RT_H

#include <stdint.h>

namespace smx {

// How often operator new was called since the start of the process.
uint64_t allocations();

}  // namespace smx

#endif
