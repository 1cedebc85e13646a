// What of our memory is in the machine: set aside, given back, counted.
//
// Invariant: nothing here changes what is read, but for memory that is given back. Owner: main, sessions and the helper call
// it; the only state is what was found out once. Read next: process.h; docs/speed.md, "Memory".
#ifndef SOCKMUX_CORE_IO_RESIDENT_H
#define SOCKMUX_CORE_IO_RESIDENT_H

#include <stddef.h>
#include <stdint.h>

namespace smx {

// `size` bytes of zeroed memory that costs nothing until it is touched; nullptr: the system does not give so much.
void* reserve_memory(size_t size);
// What is in there is not needed any more: whole pages of it go back to the system until they are touched again, whatever they
// hold then.
void give_back_memory(void* memory, size_t size);

// Code that was run once, most of it at the start, counts as ours for as long as the process lives; this ends that. What is
// mapped from a file and never written (program, libraries) leaves the process, but not the system's cache, and comes back
// page by page as it is run again (madvise(2), MADV_DONTNEED). Not under a debugger, whose breakpoints stand in there. Linux
// only; elsewhere it does nothing.
void forget_code();
// What that may be; before a chroot, a filter and a fork: children know it, too. Nothing is forgotten before.
void find_code();

// Opens where the system tells the next one; before a chroot or a filter, and by the process itself, not by a parent.
void prepare_resident();
// Resident memory in KiB, as far as the system tells it; 0: unknown.
uint64_t resident_kib();

}  // namespace smx

#endif
