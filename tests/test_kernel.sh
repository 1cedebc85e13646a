#!/bin/sh
# The tests again on other grounds: test_kernel.sh [PART...], by default all of valgrind msan tsan overflow i386 foreign long.
#
#   valgrind  unit tests, and real processes whose daemons run under memcheck
#   msan      real processes whose daemons are built with MemorySanitizer: the daemon needs libc alone, so all of it is seen
#   tsan      the same with ThreadSanitizer: there is one thread, so what it can see is what signal handlers do
#   overflow  all with -D_FORTIFY_SOURCE=3, checks in the C++ library, and an end at each number that does not fit
#   i386      unit tests and real processes in 32 bits, on this kernel
#   foreign   real processes of which every second daemon is a big-endian MIPS under qemu-user, and of 32 bits
#   long      what takes minutes of waiting, left out of other runs: doctest's skip()
#
# Builds go to build/kernel, and what all of them said to build/kernel/log; the tests themselves are those of build/sodium. E2E_AT_ONCE tests
# beside each other. The last line is "N passed, N failed".
set -u
LC_ALL=C
export LC_ALL
top=build/kernel
here=build/sodium
at_once=${E2E_AT_ONCE:-4}
make="${MAKE:-make}"
log=$top/log
kUnitSeconds=3000 kE2eSeconds=2400
[ $# -gt 0 ] || set -- valgrind msan tsan overflow i386 foreign long
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
child=
trap '[ -z "$child" ] || kill "$child"; exit 1' HUP INT TERM
passed=0 failed=0

# add NAME STATUS: counts what the summary lines in $temp/out say; one failure if there are none, or it ended badly without one
add() {
  counts=$(sed -n \
    -e 's/^\[doctest\] test cases: *[0-9]* | *\([0-9]*\) passed | *\([0-9]*\) failed.*/\1 \2/p' \
    -e 's/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' "$temp/out" | awk '{ p += $1; f += $2 } END { print p + 0, f + 0 }')
  good=${counts% *} bad=${counts#* }
  if [ "$bad" -eq 0 ] && { [ "$2" -ne 0 ] || [ "$good" -eq 0 ]; }; then bad=1; fi
  if [ "$bad" -ne 0 ]; then
    echo "FAILED: $1: status $2"
    grep -v '^\[doctest\]' "$temp/out" | tail -n 80
  fi
  echo "   $1: $good passed, $bad failed, $(($(date +%s) - began)) s"
  passed=$((passed + good)) failed=$((failed + bad))
}

# say NAME COMMAND...: runs it, and counts
say() {
  name=$1
  shift
  began=$(date +%s)
  # timeout(1), which all are run by, passes TERM on to what it has started.
  "$@" >"$temp/out" 2>&1 </dev/null &
  child=$!
  wait "$child"
  add "$name" $?
  child=
  cp "$temp/out" "$log/$(echo "$name" | tr -cs 'a-z0-9\n' -)"
}

# build FOLDER TARGETS WORD...
build() {
  folder=$1 targets=
  for target in $2; do targets="$targets $folder/$target"; done
  shift 2
  # shellcheck disable=SC2086  # a list of words
  $make -j"$(getconf _NPROCESSORS_ONLN)" BUILD="$folder" "$@" $targets >"$temp/out" 2>&1 </dev/null && return
  tail -n 30 "$temp/out"
  echo "FAILED: cannot be built: $folder"
  failed=$((failed + 1))
  return 1
}

# wrap PROGRAM WORD...: a daemon that is started by these words, and gets $more at the end. Sets $wrapper.
wrap() {
  wrapper=$temp/sockmuxd more="'SOXCONF=sandbox:no'"
  case $1 in
  /*) program=$1 ;;
  *) program=$PWD/$1 ;;
  esac
  shift
  printf '#!/bin/sh\nexec %s "%s" "$@" %s\n' "$*" "$program" "$more" >"$wrapper"
  # Helpers of another user have reports, too.
  chmod 1777 "$temp"
  chmod 755 "$wrapper"
}

# A comma parts two names, ? is any character. These stand for the rest: links of each kind and dialect, bulk, resume, datagrams, reload, programs, proxies, lines, odd starts.
kSome='half-close*,1?000 connections*,a reset is a reset*,nothing is thrown away*,with little memory*,resume: the link is cut*,resume: a link*,0.3: 200*,0.3: never*,0.3: a server that ends*'
kSome="$kSome,UDP: every size*,UDP: both*,UDP over 0.3? both*,reload: *,secure: over TCP*,secure: datagrams*,secure: sixty*,secure: TIMEOUT*,secure: HUP*,secure line: bits*,tty: *,*lossy*"
kSome="$kSome,exec: *,telnet*,http*,socks*,FTP*,garbage*,TERM*,USR1*,exit codes*,stopped: either*,storms: *,start: any*,start: few*,clock: *,kill -9*,fifo*"

kNeedsSecure='secure*,exit codes*,reload: the peers*,reload: ports that*,reload: a port that comes does not*,stopped*,clock*,networks*'
# Not for a daemon that is started by a script, which adds a word, where there is to be none
kNoWrapper='start: an environment*'
# Not for one under valgrind or qemu, which have descriptors, files and calls of their own
kNoMachine='start: *,storms: a log that*,storms: a syslogd*'
# Not under qemu 7.2: SO_ERROR is a number of this kernel there, and MIPS has others (refused: 146, and not 111); the size in UDP_SEGMENT has its bytes
# as this machine does, so that datagrams that leave together arrive as one. Nor with the texts of musl.
kNoQemu='FTP by hand: a server that knows no EPSV*,FTP by hand: active*,socks proxy: codes*,telnet proxy: a real telnet*,resume: the link is cut*,reload: what is wrong*'
# Not where all takes twenty times as long
kNoTime='kill -9*,*10?000*,*bulk*,0.3: 200*,FIFOs: either daemon first*'

# Unit tests that take minutes under valgrind, whose code is run by others, for a shorter time; one in which names have 10 s to be found, by sixty processes;
# and three that look at memory between members, or not written yet, on purpose
kNoUnit='60?000 channels*,records: a sender that never*,secure sim: a lossy line over*,two muxes: a download goes on*,*bulk*,handshake: a bit changed*,line cipher: whatever*'
kNoUnit="$kNoUnit,tap: the session*,secure line: either*,secure line: links that end*,secure line: bit*,lossy*,search: *,a turn costs*,sandbox: *,noise: behind the end*,handshake: no keys are left*,names that clients wish*"

# Each name is one of a test: a list that has lost some leaves out what it should run, or runs what it should leave out.
named() {
  echo "$kSome,$kNeedsSecure,$kNoWrapper,$kNoMachine,$kNoQemu,$kNoTime" | tr ',' '\n' | while read -r name; do
    "$here/e2e" --count --test-case="$name" | grep -q ': 0$' || continue
    echo "no test has the name $name"
    exit 1
  done || return
  echo "$kNoUnit" | tr ',' '\n' | while read -r name; do
    "$here/unit" --count --test-case="$name" | grep -q ': 0$' || continue
    echo "no test has the name $name"
    exit 1
  done
}

# e2e NAME DAEMON WORD...
e2e() {
  name=$1 daemon=$2
  shift 2
  say "$name: real processes" env SMX_SLOW=1 SOCKMUXD="$daemon" SOCKMUXCTL="$PWD/$here/sockmuxctl" timeout $kE2eSeconds sh tests/e2e.sh "$here/e2e" "$at_once" "$@"
}

# What the daemons' tools had to say, one file a process
reports() {
  found=0
  for file in "$temp"/report.*; do
    [ -s "$file" ] || continue
    grep -q "$1" "$file" || continue
    found=$((found + 1))
    echo "-- $file" && head -n 60 "$file"
  done
  rm -f "$temp"/report.*
  echo "$((found == 0)) passed, $found failed"
  [ $found -eq 0 ]
}

mkdir -p "$log" || exit
sh tools/need.sh c++ doctest sodium socat ip || exit
build "$here" 'sockmuxd sockmuxctl unit e2e' SECURE=sodium || exit 1
named || exit 1

for part; do
  echo "== $part"
  case $part in
  valgrind)
    sh tools/need.sh valgrind || exit
    # SIOCATMARK writes an answer and reads nothing; valgrind takes it for one that reads.
    printf '{\n  sockatmark\n  Memcheck:Param\n  ioctl(SIOCATMARK)\n  fun:ioctl\n}\n' >"$temp/known"
    say 'valgrind: unit and simulation' env SEEDS=5 timeout $kUnitSeconds valgrind -q --error-exitcode=99 --leak-check=full \
      --suppressions="$temp/known" "$here/unit" --test-case-exclude="$kNoUnit"
    wrap "$here/sockmuxd" valgrind -q --vgdb=no --error-exitcode=99 --leak-check=full --suppressions="$temp/known" --log-file="$temp/report.%p"
    e2e valgrind "$wrapper" --test-case="$kSome" --test-case-exclude="$kNoMachine,$kNoTime"
    # A fault has a place; what has none are remarks about itself.
    say 'valgrind: what it reports' reports '^==[0-9]*==    at 0x'
    ;;
  msan)
    sh tools/need.sh clang++ || exit
    # Its library knows stat(), but for clang 14 not the stat64() of glibc 2.33 and later, and takes what that has filled in for not set. They are the
    # same where a long has 64 bits.
    build "$top/msan" sockmuxd CC=clang CXX=clang++ CXXFLAGS='-g -O1 -fno-omit-frame-pointer -fsanitize=memory -fsanitize-memory-track-origins' \
      LDFLAGS='-Wl,--defsym=stat64=stat,--defsym=lstat64=lstat,--defsym=fstat64=fstat' || continue
    wrap "$top/msan/sockmuxd" env MSAN_OPTIONS="log_path=$temp/report:exitcode=99"
    e2e msan "$wrapper" --test-case="$kSome" --test-case-exclude="$kNeedsSecure,$kNoWrapper"
    say 'msan: what it reports' reports MemorySanitizer
    ;;
  tsan)
    sh tools/need.sh clang++ || exit
    build "$top/tsan" sockmuxd CC=clang CXX=clang++ SECURE=sodium CXXFLAGS='-g -O1 -fno-omit-frame-pointer -fsanitize=thread' || continue
    # It wants addresses where it expects them.
    wrap "$top/tsan/sockmuxd" setarch -R env TSAN_OPTIONS="log_path=$temp/report:exitcode=99"
    e2e tsan "$wrapper" --test-case="$kSome" --test-case-exclude="$kNoWrapper,clock*"
    say 'tsan: what it reports' reports ThreadSanitizer
    ;;
  overflow)
    sh tools/need.sh clang++ || exit
    build "$top/fortify" 'sockmuxd unit' SECURE=sodium CPPFLAGS='-D_FORTIFY_SOURCE=3 -D_GLIBCXX_ASSERTIONS' \
      CXXFLAGS='-O2 -ftrapv -fstack-protector-strong' LDLIBS=-lstdc++ || continue
    say 'overflow: unit and simulation' env SEEDS=200 timeout $kUnitSeconds "$top/fortify/unit"
    e2e overflow "$PWD/$top/fortify/sockmuxd" --test-case="$kSome"
    # What headers of the system do is not ours.
    printf 'src:/usr/*\n' >"$top/ignore"
    build "$top/integer" unit SECURE=sodium CC=clang CXX=clang++ CXXFLAGS="-g -O1 -fsanitize=integer,bounds,undefined \
      -fno-sanitize=unsigned-integer-overflow,unsigned-shift-base -fsanitize-ignorelist=$PWD/$top/ignore" || continue
    say 'overflow: integer sanitizer, unit and simulation' env SEEDS=50 UBSAN_OPTIONS="log_path=$temp/report" timeout $kUnitSeconds "$top/integer/unit"
    say 'overflow: what the integer sanitizer reports' reports 'runtime error'
    ;;
  i386)
    sh tools/need.sh i386-g++ || exit
    libs=$(dirname "$(i686-linux-gnu-gcc -print-file-name=ld-linux.so.2)")
    libs=$(cd "$libs" && pwd)
    build "$top/i386" 'sockmuxd sockmuxctl unit' CROSS_COMPILE=i686-linux-gnu- LDFLAGS="-Wl,--dynamic-linker=$libs/ld-linux.so.2,-rpath,$libs" || continue
    say 'i386: unit and simulation' env SEEDS=200 timeout $kUnitSeconds "$top/i386/unit"
    e2e i386 "$PWD/$top/i386/sockmuxd" --test-case="$kSome" --test-case-exclude="$kNeedsSecure"
    ;;
  foreign)
    sh tools/need.sh qemu-mips mips-g++ || exit
    qemu=$(command -v qemu-mips || command -v qemu-mips-static)
    if ! STATIC_BUILD=$top/mips LDLIBS=-Wl,--defsym=getifaddrs=close sh tools/static.sh mips sodium sockmuxd >"$temp/out" 2>&1; then
      tail -n 30 "$temp/out"
      echo 'FAILED: cannot be built: foreign'
      failed=$((failed + 1))
      continue
    fi
    # Every second one is of this machine.
    wrapper=$temp/sockmuxd
    printf '#!/bin/sh\nif mkdir "%s/odd" 2>/dev/null; then exec "%s" "%s" "$@"; fi\nrmdir "%s/odd"\nexec "%s" "$@"\n' \
      "$temp" "$qemu" "$PWD/$top/mips/sockmuxd" "$temp" "$PWD/$here/sockmuxd" >"$wrapper"
    chmod 755 "$temp" "$wrapper"
    at_once=1 e2e foreign "$wrapper" --test-case="$kSome" --test-case-exclude="$kNoMachine,$kNoQemu,$kNoTime"
    ;;
  long)
    say 'long: what others leave out' env SOCKMUXD="$PWD/$here/sockmuxd" timeout $kE2eSeconds "$here/e2e" --no-skip --test-case='stopped: for half*'
    ;;
  *) echo "test_kernel.sh: no part $part" >&2 && exit 64 ;;
  esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
