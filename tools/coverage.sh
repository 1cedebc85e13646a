#!/bin/sh
# What of core, transport, relay and config the tests reach: coverage.sh BUILD LINES BRANCHES PART...
#
# BUILD holds programs with clang's source-based coverage, PARTS are those of tests/run.sh, LINES and BRANCHES the goal in percent for
# each of the four. Every program keeps its counters in a file that all of its processes map as shared memory (%c), so that nothing is
# lost by who ends by _exit(2), a signal or kill -9, who has forked, or who may ask nothing of the system any more but to move bytes:
# the map is made before main(). So the daemon need not know. A test that fails is named, and counts elsewhere: what memory and time
# the daemon takes is not the same here. Read next: coverage.py, which says what counts.
set -eu
build=$1 lines=$2 branches=$3
shift 3
tool() { "${CC:-clang}" --print-prog-name="$1"; }
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
trap 'exit 1' HUP INT TERM
LLVM_PROFILE_FILE=$profile/%c%m.profraw
export LLVM_PROFILE_FILE

# The files are there before anybody who is not root needs them.
chmod 1777 "$profile"
programs=$(find "$build" -maxdepth 1 -type f -perm -u+x)
for program in $programs; do (umask 0; "$program" --version </dev/null >/dev/null 2>&1) || true; done
chmod a+rw "$profile"/*.profraw

SECURE=sodium sh tests/run.sh "$build" "$@" >"$build/coverage.log" 2>&1 || true
# shellcheck disable=SC2046  # a list of words
set -- $(for program in $programs; do echo "-object $program"; done)
# Of 488 functions it says that they have "mismatched data": inline ones that some file includes and does not call.
"$(tool llvm-profdata)" merge -sparse -o "$profile/all" "$profile"/*.profraw
"$(tool llvm-cov)" export -skip-functions -skip-expansions -instr-profile="$profile/all" "$@" >"$build/coverage.json" 2>"$profile/said" ||
  { cat "$profile/said" >&2 && exit 1; }
awk '/^TEST CASE:/ { name = $0 } /: (FATAL )?ERROR: |^FAIL/ { print "failed here: " name " " substr($0, 1, 150) }' "$build/coverage.log" | sort -u
echo "the tests: $(tail -n 1 "$build/coverage.log")"
python3 tools/coverage.py "$lines" "$branches" core transport relay config <"$build/coverage.json"
