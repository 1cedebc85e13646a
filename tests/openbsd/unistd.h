// Stands before the system's own <unistd.h> where core/io/sandbox_other.cc is compiled as if for OpenBSD: what it declares
// beyond that one. Used by tests/test_build.sh; nothing of it is run. Source: OpenBSD's pledge(2), unveil(2).
#ifndef SOCKMUX_TESTS_OPENBSD_UNISTD_H
#define SOCKMUX_TESTS_OPENBSD_UNISTD_H

#include_next <unistd.h>

extern "C" int pledge(const char* promises, const char* exec_promises);
extern "C" int unveil(const char* path, const char* permissions);

#endif
