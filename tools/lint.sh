#!/bin/sh
# Static checks of the sources: lint.sh [CHECK...]. CHECKS, all of them by default:
#   cppcheck   over all together; what it shall not tell is in tools/cppcheck-suppressions.txt
#   tidy       clang-tidy, by .clang-tidy, which has the reasons of what it leaves out
#   quick      the same without clang-analyzer, which takes most of its time: for CI
#   analyzer   gcc -fanalyzer
# CHANGED=revision: of the sources, those alone that differ from that one, or include a header that does.
#
# JOBS=N: so many at once; by default as many as there are processors.
#
# Every file is a test, and passes if nothing is told of it. The last line is "N passed, N failed". That nothing has passed is a failure,
# too, unless nothing has changed.
set -eu
cd "$(dirname "$0")/.."

# with_defines COMMAND...: as Makefile has them, for a program that has all. What only other systems compile is read as far as this one can.
with_defines() {
  "$@" -I. -Itests/kqueue/include -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 '-DSMX_VERSION="0"' '-DSMX_WITHOUT=""'
}
compiling='-std=c++17 -fno-exceptions -fno-rtti -fno-threadsafe-statics'
# What gcc 12 can't judge in C++: it does not see that a class returned by value is made in place (all of 146 "uninitialized" were that),
# nor what string_view, CHECK and the bounds of a list rule out (35 "null", each looked at). Its manual says that it is for C. Leaks, double
# free, use after free, wrong descriptors and recursion without end are left.
analyzer_off='-Wno-analyzer-use-of-uninitialized-value -Wno-analyzer-null-dereference -Wno-analyzer-null-argument'
# The program would have to run code for these before and behind main(); style says no.
no_statics='-Wglobal-constructors -Wexit-time-destructors'

# one CHECK FILE: what it tells, into $temp/CHECK.FILE. This script calls itself for it, several at once.
if [ "${1-}" = one ]; then
  temp=$2 check=$3 file=$4
  told=$temp/$check.$(echo "$file" | tr / _)
  # shellcheck disable=SC2086  # lists of words
  case $check in
  tidy) with_defines clang-tidy --quiet "$file" -- $compiling $no_statics ;;
  quick) with_defines clang-tidy --quiet --checks='-clang-analyzer-*' "$file" -- $compiling $no_statics ;;
  analyzer) with_defines "${GXX:-g++}" $compiling -O2 -fanalyzer $analyzer_off -S -o /dev/null "$file" ;;
  esac >"$told" 2>"$told.err" || echo "$file: status $?" >>"$told"
  # clang-tidy says there how many it has left out
  if [ "$check" = analyzer ] || [ -s "$told" ]; then cat "$told.err" >>"$told"; fi
  rm -f "$told.err"
  exit 0
fi

jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
trap 'exit 1' HUP INT TERM
sources=$(find core transport relay config tools/ctl ./*.cc -name '*.cc' | sed 's,^\./,,' | sort)

# those of the files that changed
changed() {
  [ -n "${CHANGED-}" ] || { cat && return; }
  git diff --name-only "$CHANGED" -- >"$temp/changed"
  while read -r file; do
    if grep -qxF "$file" "$temp/changed" || grep '^#include "' "$file" | cut -d'"' -f2 | grep -qxFf "$temp/changed"; then echo "$file"; fi
  done
}

passed=0 failed=0
# count CHECK FILES: of the files (a line each), those of which something was told have failed
count() {
  while read -r file; do
    [ -n "$file" ] || continue
    told=$temp/$1.$(echo "$file" | tr / _)
    if [ -s "$told" ]; then
      echo "FAIL $1 $file"
      cat "$told"
      failed=$((failed + 1))
    else
      passed=$((passed + 1))
    fi
  done <<END
$2
END
}

# each CHECK FILES: one by one, JOBS at once
each() {
  [ -n "$2" ] || return 0
  echo "$2" | xargs -P "$jobs" -n 1 sh tools/lint.sh one "$temp" "$1"
  count "$1" "$2"
}

# Whole, since what a function does is seen from its callers only then.
cppcheck_all() {
  # shellcheck disable=SC2086  # lists of words
  with_defines cppcheck -q -j "$jobs" --enable=warning,style,performance,portability --inline-suppr --std=c++17 --language=c++ --platform=unix64 \
    --suppressions-list=tools/cppcheck-suppressions.txt --suppress=unmatchedSuppression \
    --template='{file}:{line}: {severity}: {message} [{id}]' $sources >"$temp/cppcheck" 2>&1 || echo "cppcheck: status $?" >>"$temp/cppcheck"
  sort -u "$temp/cppcheck" | while read -r line; do
    about=${line%%:*}
    about=${about:-cppcheck}
    echo "$about" >>"$temp/about"
    echo "$line" >>"$temp/cppcheck.$(echo "$about" | tr / _)"
  done
  {
    echo "$sources"
    find core transport relay config tools/ctl ./*.h -name '*.h' | sed 's,^\./,,' | sort
    echo cppcheck
  } >"$temp/listed"
  # What it tells of other files, those of the system and of tests, counts as well.
  touch "$temp/about"
  sort -u "$temp/about" | grep -vxFf "$temp/listed" >"$temp/others" || :
  count cppcheck "$(cat "$temp/listed" "$temp/others")"
}

if [ $# -eq 0 ]; then set -- cppcheck analyzer tidy; fi
some=$(echo "$sources" | changed)
for check; do
  start=$(date +%s)
  case $check in
  cppcheck)
    sh tools/need.sh cppcheck || exit
    cppcheck_all
    ;;
  tidy | quick)
    sh tools/need.sh clang-tidy || exit
    each "$check" "$some"
    ;;
  analyzer)
    sh tools/need.sh c++ || exit
    each "$check" "$some"
    ;;
  *) echo "lint.sh: no check $check; expected cppcheck, tidy, quick, analyzer" >&2 && exit 64 ;;
  esac
  echo "== $check: $(($(date +%s) - start)) s"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] || exit 1
if [ "$passed" -eq 0 ] && [ -n "$some" ]; then exit 1; fi
