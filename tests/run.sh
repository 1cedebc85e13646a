#!/bin/sh
# Runs the tests that `make check` has built: run.sh BUILD [PART...]. PARTS: unit vectors fuzz sources docs build init e2e, and
# with SECURE=sodium interop; secure: those of unit that SECURE=sodium adds; kqueue: those that wait for descriptors.
# E2E_FILTER: doctest's words to choose from e2e.
#
# Each part ends in doctest's summary or in a line "N passed, N failed"; the last line here is their sum. A part that
# dies, hangs, runs nothing or fails without a count counts as one failure. The exit status is 0 only if all passed.
set -u
build=$1
shift
if [ $# -eq 0 ]; then
  set -- unit vectors fuzz sources docs build init e2e
  [ "${SECURE:-no}" = no ] || set -- "$@" interop
fi
case $build in
/*) ;;
*) build=$PWD/$build ;;
esac
SOCKMUXD=$build/sockmuxd
export SOCKMUXD
PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin
export PATH

trap 'rm -f "$log"' EXIT
trap 'exit 1' HUP INT TERM
log=$(mktemp)
all_passed=0 all_failed=0

# part NAME SECONDS COMMAND...
part() {
  name=$1
  limit=$2
  shift 2
  if command -v timeout >/dev/null; then set -- timeout -k 5 "$limit" "$@"; fi
  echo "== $name"
  { "$@" 2>&1 </dev/null; echo "status $?"; } | tee "$log" | grep -v '^status [0-9]*$'
  status=$(sed -n '$s/^status //p' "$log")
  counts=$(sed -n \
    -e 's/^\[doctest\] test cases: *[0-9]* | *\([0-9]*\) passed | *\([0-9]*\) failed.*/\1 \2/p' \
    -e 's/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' "$log" | awk '{ p += $1; f += $2 } END { print p + 0, f + 0 }')
  passed=${counts% *}
  failed=${counts#* }
  if [ "$failed" -eq 0 ]; then
    if [ "$status" -ne 0 ]; then
      echo "$name: ended with status $status"
      failed=1
    elif [ "$passed" -eq 0 ]; then
      echo "$name: no test ran"
      failed=1
    fi
  fi
  all_passed=$((all_passed + passed))
  all_failed=$((all_failed + failed))
}

for part; do
  case $part in
  unit) part unit 900 "$build/unit" ;;
  secure) part secure 300 "$build/unit" --source-file='*tests/secure/*' ;;
  kqueue) part kqueue 120 "$build/unit" --source-file="*tests/kqueue/*,*/test_reactor.cc,*/test_helper.cc,*/test_connect.cc,*/test_control.cc,*/test_tty.cc,*/test_sandbox.cc" ;;
  interop)
    # A system's package belongs to its own python, which need not be the first one.
    python=python3
    $python -c 'import dissononce' 2>/dev/null || python=/usr/bin/python3
    part 'secure links with another implementation' 120 $python tests/secure/interop.py "$build/secure_peer"
    ;;
  vectors) part vectors 60 "$build/option_vectors" tests/data/option-vectors.txt ;;
  fuzz) part 'inputs that fuzzing has found' 300 "$build/fuzz_files" tests/fuzz ;;
  sources)
    part 'sources: the check itself' 60 sh tools/check-includes.sh --self-test
    part 'sources' 60 sh tools/check-includes.sh
    ;;
  docs)
    part docs 180 sh tests/test_docs.sh
    part 'docs: shell completion' 60 sh tests/test_completion.sh
    part 'docs: the founding text, and the test of each sentence' 60 sh tests/test_seed.sh
    ;;
  init) part init 120 sh tests/test_init.sh ;;
  build)
    part build 60 sh tests/test_build.sh
    part 'build: install and uninstall' 120 sh tests/test_install.sh
    part 'build: packages' 120 sh tests/test_packaging.sh
    ;;
  e2e)
    part demo 120 sh -c 'sh tools/demo.sh && echo "1 passed, 0 failed"'
    part e2e 1200 sh tests/e2e.sh "$build/e2e" "${E2E_AT_ONCE:-4}" ${E2E_FILTER:+"$E2E_FILTER"}
    ;;
  *) echo "run.sh: no part $part" >&2 && exit 64 ;;
  esac
done
echo "$all_passed passed, $all_failed failed"
[ "$all_failed" -eq 0 ]
