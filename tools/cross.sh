#!/bin/sh
# Builds for other machines and tries what comes out: cross.sh [-c|-l] [ARCH...], by default all of machine.sh.
#
# For each: with glibc, dynamic, SECURE=no, and the tests of unit and simulation under qemu-user, then a tunnel of two such
# daemons; with musl, static, SECURE=sodium, and a secure link to this machine. All of it with TINY=1 and WERROR=1, in
# build/cross. -c: compiles the programs with glibc and no more; -l: no unit tests, links only. Compilers are installed as in need.sh; a machine
# without one is said and left out. Ends with a table and "N passed, N failed". Used by `make cross`.
set -u
LC_ALL=C
export LC_ALL
kUnitSeconds=1800
kLinkSeconds=600
folder=build/cross
jobs=-j$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
case ${MAKEFLAGS:-} in *j*) jobs= ;; esac
make="${MAKE:-make} WERROR=1"
compile_only='' links_only=''
case ${1-} in
-c) compile_only=1 && shift ;;
-l) links_only=1 && shift ;;
esac
[ $# -gt 0 ] || {
  # shellcheck disable=SC2046  # a list of words
  set -- $(sh tools/machine.sh)
}
mkdir -p $folder
table=$folder/table
: >$table
passed=0 failed=0

# try NAME COMMAND...: sets $result to ok or FAILED; what it said is in build/cross/NAME.log, and shown if it failed
try() {
  name=$1
  shift
  if "$@" >"$folder/$name.log" 2>&1 </dev/null; then
    result=ok
    passed=$((passed + 1))
  else
    result=FAILED
    failed=$((failed + 1))
    echo "FAILED: $name: $*"
    tail -n 30 "$folder/$name.log"
  fi
}

# row ARCH LIBC BUILDS BYTES TESTS
row() { printf '%-9s %-14s %-7s %8s  %s\n' "$@" >>$table; }

# stripped PROGRAM PREFIX: its bytes without symbols
stripped() { "$2-strip" -o "$1.stripped" "$1" && wc -c <"$1.stripped"; }

# cases LOG: how many test cases of doctest passed
cases() { sed -n 's/^\[doctest\] test cases: *[0-9]* | *\([0-9]*\) passed.*/\1 cases/p' "$1"; }

# What qemu 7.2 does otherwise than a kernel: the descriptors that come with a message whose ancillary data are cut stay
# open; and SO_ERROR is the number of this machine, which on MIPS is another one.
unlike_kernel() {
  case $1 in
  mips*) echo 'helper: garbage is dropped*,a closed port is refused' ;;
  *) echo 'helper: garbage is dropped*' ;;
  esac
}

# Without our flags a machine of 32 bits with glibc has times and files of 32 bits, and that is not built. Uses $prefix.
narrow_is_refused() {
  [ "$(echo __SIZEOF_LONG__ | "$prefix-g++" -E -P -)" = 4 ] || return 0
  for file in clock fd; do
    said=$("$prefix-g++" -std=c++17 -I. -fsyntax-only core/io/$file.cc 2>&1) && echo "core/io/$file.cc is built with less than 64 bits" && return 1
    echo "$said" | grep -q 'static assertion failed: needs .*_FILE_OFFSET_BITS=64' || { echo "$said" && return 1; }
  done
}

# with_glibc: uses $arch $prefix $qemu
with_glibc() {
  build=$folder/$arch-glibc
  targets="$build/sockmuxd $build/sockmuxctl"
  [ -n "$compile_only$links_only" ] || targets="$targets $build/unit"
  # shellcheck disable=SC2086  # lists of words
  try "$arch-glibc" $make $jobs CROSS_COMPILE="$prefix-" TINY=1 BUILD="$build" $targets
  if [ $result != ok ]; then
    row "$arch" 'glibc, dynamic' no - -
    return
  fi
  bytes=$(stripped "$build/sockmuxd" "$prefix")
  try "$arch-narrow" narrow_is_refused
  if [ -n "$compile_only" ]; then
    row "$arch" 'glibc, dynamic' yes "$bytes" none
    return
  fi
  QEMU_LD_PREFIX=/usr/$prefix
  export QEMU_LD_PREFIX
  tests=
  if [ -z "$links_only" ]; then
    try "$arch-unit" timeout $kUnitSeconds "$qemu" "$build/unit" --test-case-exclude="$(unlike_kernel "$arch")"
    tests="unit and sim $result: $(cases "$folder/$arch-unit.log"); "
  fi
  try "$arch-tunnel" timeout $kLinkSeconds sh tests/test_foreign.sh "$arch" "$build" clear
  unset QEMU_LD_PREFIX
  row "$arch" 'glibc, dynamic' yes "$bytes" "${tests}tunnel $result"
}

# with_musl: uses $arch $prefix
with_musl() {
  build=$folder/$arch-musl
  try "$arch-musl" env MAKE="$make" STATIC_BUILD="$build" sh tools/static.sh "$arch" sodium sockmuxd sockmuxctl
  if [ $result != ok ]; then
    row "$arch" 'musl, static' no - -
    return
  fi
  bytes=$(stripped "$build/sockmuxd" "$prefix")
  case $arch in
  mips | powerpc) # Big-endian: as said at FOREIGN_LIBS_mips in the Makefile
    env MAKE="$make" STATIC_BUILD="$build-qemu" LDLIBS=-Wl,--defsym=getifaddrs=close sh tools/static.sh "$arch" sodium sockmuxd sockmuxctl \
      >/dev/null 2>&1
    build=$build-qemu
    ;;
  esac
  try "$arch-secure" timeout $kLinkSeconds env SOCKMUXD=build/sodium/sockmuxd sh tests/test_foreign.sh "$arch" "$build"
  row "$arch" 'musl, static' yes "$bytes" "secure link to $(uname -m) $result"
}

if [ -z "$compile_only" ]; then
  sh tools/need.sh c++ sodium doctest socat || exit
  # shellcheck disable=SC2086  # lists of words
  try here $make $jobs SECURE=sodium BUILD=build/sodium build/sodium/sockmuxd build/sodium/sockmuxctl
fi
for arch; do
  machine=$(sh tools/machine.sh "$arch") || exit
  prefix=${machine% *}
  if ! sh tools/need.sh "$arch-g++"; then
    row "$arch" - - - 'no compiler here'
    continue
  fi
  echo "== $arch"
  if [ -z "$compile_only" ]; then
    sh tools/need.sh "qemu-${machine#* }" || exit
    qemu=$(command -v "qemu-${machine#* }" || command -v "qemu-${machine#* }-static")
  fi
  with_glibc
  [ -n "$compile_only" ] || with_musl
done

printf '%-9s %-14s %-7s %8s  %s\n' machine libc builds bytes tests
cat $table
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
