#!/bin/sh
# Builds that lack something: test_without.sh [each]. Without everything that may be left out, and FLAVOUR=small, both without a
# warning; what is left out is refused with its name; and the small one forwards, by tests of build/e2e (BUILD=folder of it).
# each: every feature left out alone, too, which takes minutes. Ends with "N passed, N failed".
set -u
make=${MAKE:-make}
jobs=-j$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
case ${MAKEFLAGS:-} in *j*) jobs= ;; esac
e2e=${BUILD:-build}/e2e
# shellcheck source=tests/check.sh disable=SC1091  # shellcheck follows only with -x
. tests/check.sh

# build NAME=value...: build/without/sockmuxd
# shellcheck disable=SC2086  # lists of words
build() { $make -s $jobs WERROR=1 BUILD=build/without CXX="${CXX:-c++}" "$@" build/without/sockmuxd; }
# refuses FEATURE WORD...: does the daemon say that it lacks that?
refuses() {
  feature=$1
  shift
  ! build/without/sockmuxd -t "$@" >"$temp/said" 2>&1 && cat "$temp/said" && grep -q "built without $feature (make WITHOUT=)" "$temp/said"
}
names=$(sed -n 's/.* = built_with("\([a-z0-9]*\)").*/\1/p' core/base/features.h | tr '\n' ' ')

check 'without everything' build WITHOUT="$names"
check '-V says so' sh -c "build/without/sockmuxd -V | grep -q ', without $names'"
while read -r feature word; do
  check "$feature is refused" refuses "$feature" SERVER=sockmux://127.0.0.1:1 "$word"
done <<END
bind RPORT=1
control SOXCONF=control:/tmp/x
exec SERVER=exec,-in(XCOM=true)
failover SERVER=sockmux://127.0.0.1:2
fifo SERVER=sockmux:commin@/tmp/x
files +=/tmp/x
ftp SERVER=ftp://127.0.0.1,-in
http SERVER=http,-in
lossy SOXCONF=line:lossy
names DEST=example.org:1
names RELIABLE=example.org
program SERVER=sockmux:proc@true
sandbox SOXCONF=sandbox:trap
socks SERVER=socks,-in
stdio SERVER=sockmux:comm@-
syslog SYSLOG=
telnet SERVER=telnet,-in
tty SERVER=sockmux:comm@/dev/null
udp PORT=1/udp
udp DEST=127.0.0.1:1/udp
udp SERVER=dns://127.0.0.1,-in
users OWNER=root
v03 SOXCONF=proto:0.3
END
check 'a password is not repeated' sh -c 'build/without/sockmuxd -t AUTH=geheim 2>&1 | grep -q "AUTH: unknown" && ! build/without/sockmuxd -t AUTH=geheim 2>&1 | grep geheim'
says_no_log() { build/without/sockmuxd -t "$@" 2>&1 | grep -q 'nothing is logged'; }
check 'a log that goes nowhere is said' says_no_log SERVER=sockmux -P9000
check 'one in the foreground goes somewhere' eval '! says_no_log SERVER=sockmux -P9000 -f'
check 'one to a file goes somewhere' eval '! says_no_log SERVER=sockmux -P9000 LOGFILE=/tmp/x'
check 'FLAVOUR=small' build FLAVOUR=small
check 'it forwards' env SOCKMUXD="$PWD/build/without/sockmuxd" "$e2e" \
  -tc='both directions at once*,half-close*,IPv6:*,UDP: every size*,UDP: both directions*,TERM lets*'
if [ "${1-}" = each ]; then
  for feature in $names; do
    check "without $feature" build WITHOUT="$feature"
    check "without $feature: it starts" build/without/sockmuxd -t SERVER=sockmux -P9000 DEST=127.0.0.1:1
  done
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
