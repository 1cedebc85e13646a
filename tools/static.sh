#!/bin/sh
# Static programs with musl, built for size: static.sh ARCH SECURE PROGRAM... ARCH and its libsodium are as in
# musl-sodium.sh; SECURE is no or sodium; PROGRAM is sockmuxd or sockmuxctl. They come to build/static-ARCH-SECURE, or with
# FLAVOUR (README) to build/static-ARCH-SECURE-FLAVOUR, not stripped; STATIC_BUILD names another folder. Used by `make static`,
# `make check-foreign` and size.sh.
set -eu
[ $# -ge 3 ] || { echo 'usage: static.sh ARCH SECURE PROGRAM...' >&2 && exit 64; }
arch=$1 secure=$2
shift 2
build=${STATIC_BUILD:-build/static-$arch-$secure${FLAVOUR:+-$FLAVOUR}}
musl=$PWD/build/musl

if [ "$arch" = native ]; then
  cross='' gcc=musl-gcc cxx='sh tools/musl-c++.sh'
  sh tools/need.sh c++ musl-gcc
else
  cross=$(sh tools/machine.sh "$arch") || exit
  cross=${cross% *}- gcc=$musl/$arch/bin/musl-gcc
  cxx="env MUSL_GCC=$gcc CROSS_COMPILE=$cross sh tools/musl-c++.sh"
fi
[ "$arch-$secure" = native-no ] || sh tools/musl-sodium.sh build/musl "$arch"

jobs=
case ${MAKEFLAGS:-} in
*j*) ;;
*) jobs=-j$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) ;;
esac
targets=
for program; do targets="$targets $build/$program"; done
# shellcheck disable=SC2086  # lists of words
exec ${MAKE:-make} $jobs STATIC=1 TINY=1 FLAVOUR="${FLAVOUR-}" SECURE="$secure" BUILD="$build" CROSS_COMPILE="$cross" CC="$gcc" CXX="$cxx" \
  SODIUM_CFLAGS="-I$musl/$arch/include" SODIUM_LIBS="$musl/$arch/lib/libsodium.a" $targets
