#!/bin/sh
# Bytes of the stripped daemon, built for size: without and with SECURE=sodium, dynamic and static, and for a small
# router (MIPS, little-endian), where the difference has a bound. The status is 1 if it is above. What cannot be built
# here, for want of a compiler that you cannot install, is said and left out. Used by `make size`.
set -u
kMostAdded=122880  # 120 KiB on MIPS
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
# row NAME CLEAR SECURE
row() {
  printf '%-24s %10d %14d %12d\n' "$1" "$2" "$3" $(($3 - $2)) >>"$table"
}

failed=0
sh tools/need.sh c++ sodium || exit
for secure in no sodium; do
  # shellcheck disable=SC2086  # lists of words
  $make $jobs TINY=1 SECURE=$secure BUILD=build/size-$secure build/size-$secure/sockmuxd || exit
done
row "$(uname -m), dynamic" "$(stripped build/size-no/sockmuxd '')" "$(stripped build/size-sodium/sockmuxd '')"

# measure ARCH PREFIX: sets $clear and $secure
measure() {
  name=$1
  [ "$name" != native ] || name=$(uname -m)
  for secure in no sodium; do sh tools/static.sh "$1" $secure sockmuxd sockmuxctl || exit; done
  row "$name, sockmuxctl" "$(stripped "build/static-$1-no/sockmuxctl" "$2")" \
    "$(stripped "build/static-$1-sodium/sockmuxctl" "$2")"
  clear=$(stripped "build/static-$1-no/sockmuxd" "$2")
  secure=$(stripped "build/static-$1-sodium/sockmuxd" "$2")
  row "$name, static (musl)" "$clear" "$secure"
}
if sh tools/need.sh musl-gcc; then measure native ''; fi
if sh tools/need.sh $kRouter-g++; then
  measure $kRouter $kRouter-linux-gnu-
  if [ $((secure - clear)) -gt $kMostAdded ]; then
    echo "$kRouter: SECURE=sodium adds $((secure - clear)) bytes; $kMostAdded are the most" >>"$table"
    failed=1
  fi
fi

echo 'bytes, stripped           SECURE=no  SECURE=sodium   difference'
cat "$table"
echo 'dynamic: libsodium and libc are not counted; static: all is'
exit $failed
