#!/bin/sh
# musl-gcc as a C++ compiler: with the headers of g++'s library, of which nothing is linked. Used by `make static`.
set -eu
headers=$(g++ -E -x c++ -v /dev/null 2>&1 | sed -n '/^#include </,/^End/s|^ \(.*/c++/.*\)|-isystem \1|p' | tr '\n' ' ')
# shellcheck disable=SC2086  # a list of words
exec musl-gcc -x c++ '-D__GLIBC_PREREQ(a,b)=0' $headers "$@"
