// doctest's own code and main(), once for all unit tests. Read next: any test_x.cc; its header x.h says the rules.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
