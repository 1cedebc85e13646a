#!/bin/sh
# musl-gcc as a C++ compiler: with the headers of g++'s library, of which nothing is linked. Used by `make static`.
# For another machine: MUSL_GCC is its musl-gcc, as tools/musl-sodium.sh makes it, and CROSS_COMPILE as for make.
set -eu
headers=$("${CROSS_COMPILE:-}g++" -E -x c++ -v /dev/null 2>&1 |
  sed -n '/^#include </,/^End/s|^ \(.*/c++/.*\)|-isystem \1|p' | tr '\n' ' ')
# shellcheck disable=SC2086  # a list of words
exec "${MUSL_GCC:-musl-gcc}" -x c++ '-D__GLIBC_PREREQ(a,b)=0' $headers "$@"
