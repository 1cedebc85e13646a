// doctest's own code and main(), once for all tests with real processes. Read next: harness.h, traffic.cc.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
