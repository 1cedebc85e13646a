#!/bin/sh
# Runs the tests with real processes, several beside each other, since most of their time is waiting:
# e2e.sh BINARY [AT_ONCE [FILTER...]], with filters of doctest's (--source-file=...).
#
# Each of those who run at once takes every AT_ONCEth of small pieces, so that none ends much later than the others. The output of
# a piece comes whole; its last line is "N passed, N failed" (doctest counts those that it was told to leave
# out as passed). The status is 0 only if all pieces passed.
set -u
binary=$1
at_once=${2:-4}
shift "$(($# < 2 ? $# : 2))"
kPieces=8 # for each of them
temp=$(mktemp -d)
pids=
trap 'rm -rf "$temp"' EXIT
trap 'kill $pids 2>/dev/null; exit 1' HUP INT TERM

count=$("$binary" --count --no-version=true "$@" | sed -n 's/.*: *\([0-9][0-9]*\)$/\1/p')
if [ -z "$count" ] || [ "$count" -lt "$at_once" ]; then
  echo "e2e.sh: cannot count the tests of $binary" >&2
  exit 1
fi
pieces=$((at_once * kPieces < count ? at_once * kPieces : count))

# piece NUMBER FILTER...
piece() {
  number=$1
  shift
  first=$((count * number / pieces + 1))
  last=$((count * (number + 1) / pieces))
  "$binary" --first="$first" --last="$last" "$@" >"$temp/$number" 2>&1 </dev/null
  code=$?
  failed=$(sed -n 's/^\[doctest\] test cases:.*| *\([0-9]*\) failed.*/\1/p' "$temp/$number")
  {
    grep -v '^\[doctest\]' "$temp/$number"
    if [ -n "$failed" ]; then
      echo "$((last - first + 1 - failed)) passed, $failed failed"
    else
      echo "this piece of the tests has died: $first to $last"
      echo "0 passed, 1 failed"
      code=1
    fi
  } >"$temp/shown.$number"
  cat "$temp/shown.$number"
  return "$code"
}

runner=0
while [ "$runner" -lt "$at_once" ]; do
  (
    status=0
    number=$runner
    while [ "$number" -lt "$pieces" ]; do
      piece "$number" "$@" || status=1
      number=$((number + at_once))
    done
    exit "$status"
  ) &
  pids="$pids $!"
  runner=$((runner + 1))
done
status=0
for pid in $pids; do
  wait "$pid" || status=1
done
exit "$status"
