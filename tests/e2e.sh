#!/bin/sh
# Runs the tests with real processes, in parts beside each other, since most of their time is waiting:
# e2e.sh BINARY [PARTS [FILTER...]], with filters of doctest's (--source-file=...).
#
# The output of each part comes whole; its last line is "N passed, N failed" (doctest counts those that it was told to leave
# out as passed). The status is 0 only if all parts passed.
set -u
binary=$1
parts=${2:-2}
shift "$(($# < 2 ? $# : 2))"
temp=$(mktemp -d)
pids=
trap 'rm -rf "$temp"' EXIT
trap 'kill $pids 2>/dev/null; exit 1' HUP INT TERM

count=$("$binary" --count --no-version=true "$@" | sed -n 's/.*: *\([0-9][0-9]*\)$/\1/p')
if [ -z "$count" ] || [ "$count" -lt "$parts" ]; then
  echo "e2e.sh: cannot count the tests of $binary" >&2
  exit 1
fi
part=0
while [ "$part" -lt "$parts" ]; do
  first=$((count * part / parts + 1))
  last=$((count * (part + 1) / parts))
  "$binary" --first="$first" --last="$last" "$@" >"$temp/$part" 2>&1 </dev/null &
  pids="$pids $!"
  part=$((part + 1))
done
status=0
part=0
for pid in $pids; do
  wait "$pid" || status=1
  grep -v '^\[doctest\] test cases:' "$temp/$part"
  failed=$(sed -n 's/^\[doctest\] test cases:.*| *\([0-9]*\) failed.*/\1/p' "$temp/$part")
  all=$((count * (part + 1) / parts - count * part / parts))
  if [ -n "$failed" ]; then
    echo "$((all - failed)) passed, $failed failed"
  else
    echo "this part of the tests has died"
    echo "0 passed, 1 failed"
    status=1
  fi
  part=$((part + 1))
done
exit "$status"
