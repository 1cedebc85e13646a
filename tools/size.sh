#!/bin/sh
# Bytes of the stripped daemon, built for size: with all features and FLAVOUR=small, without and with SECURE=sodium, dynamic
# and static, and for a small router (MIPS, little-endian), where what SECURE=sodium adds has a bound, as the size of the
# small ones has. The status is 1 if one is above. What cannot be built here, for want of a compiler that you cannot install,
# is said and left out. Used by `make size`; docs/size.md says where the bytes went.
set -u
kMostAdded=122880          # 120 KiB on MIPS
kMostSmallStatic=204800    # 200 KiB
kMostSmallDynamic=188416   # 184 KiB
kRouter=mipsel
make=${MAKE:-make}
jobs=-j$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
case ${MAKEFLAGS:-} in *j*) jobs= ;; esac

# stripped PROGRAM PREFIX: its size without symbols
stripped() {
  "$2strip" -o "$1.stripped" "$1" && wc -c <"$1.stripped"
}

table=$(mktemp) || exit 71
trap 'rm -f "$table"' EXIT
failed=0
# row NAME CLEAR SECURE, or row NAME CLEAR
row() {
  if [ $# -eq 2 ]; then printf '%-26s %10d\n' "$1" "$2"; else printf '%-26s %10d %14d %12d\n' "$1" "$2" "$3" $(($3 - $2)); fi >>"$table"
}
# at_most NAME BYTES MOST
at_most() {
  [ "$2" -gt "$3" ] || return 0
  echo "$1: $2 bytes; $3 are the most" >>"$table"
  failed=1
}

# dynamic SECURE [FLAVOUR]: its size
dynamic() {
  build=build/size-$1${2:+-$2}
  # shellcheck disable=SC2086  # lists of words
  $make $jobs TINY=1 FLAVOUR="${2-}" SECURE="$1" BUILD="$build" "$build/sockmuxd" >&2 && stripped "$build/sockmuxd" ''
}

# measure ARCH PREFIX: sets $clear, $secure and $small
measure() {
  name=$1
  [ "$name" != native ] || name=$(uname -m)
  for secure in no sodium; do FLAVOUR='' sh tools/static.sh "$1" $secure sockmuxd sockmuxctl || exit; done
  FLAVOUR=small sh tools/static.sh "$1" no sockmuxd || exit
  row "$name, sockmuxctl" "$(stripped "build/static-$1-no/sockmuxctl" "$2")" \
    "$(stripped "build/static-$1-sodium/sockmuxctl" "$2")"
  clear=$(stripped "build/static-$1-no/sockmuxd" "$2")
  secure=$(stripped "build/static-$1-sodium/sockmuxd" "$2")
  small=$(stripped "build/static-$1-no-small/sockmuxd" "$2")
  row "$name, static (musl)" "$clear" "$secure"
  row "$name, static, small" "$small"
}

sh tools/need.sh c++ sodium || exit
clear=$(dynamic no) && secure=$(dynamic sodium) && small=$(dynamic no small) || exit
row "$(uname -m), dynamic" "$clear" "$secure"
row "$(uname -m), dynamic, small" "$small"
[ "$(uname -m)" != x86_64 ] || at_most 'dynamic, small' "$small" $kMostSmallDynamic
if sh tools/need.sh musl-gcc; then
  measure native ''
  at_most 'static, small' "$small" $kMostSmallStatic
fi
if sh tools/need.sh $kRouter-g++; then
  measure $kRouter $kRouter-linux-gnu-
  at_most "$kRouter: what SECURE=sodium adds" $((secure - clear)) $kMostAdded
fi

echo 'bytes, stripped             SECURE=no  SECURE=sodium   difference'
cat "$table"
echo 'dynamic: libsodium and libc are not counted; static: all is. small: FLAVOUR=small'
exit $failed
