#!/bin/sh
# libsodium for static programs with musl: musl-sodium.sh FOLDER ARCH..., where ARCH is native, or a name of machine.sh.
#
# Debian's libsodium.a is made for glibc and does not link with musl. So this takes Debian's source package, and makes
# FOLDER/ARCH/lib/libsodium.a and FOLDER/ARCH/include, with -O2 (-Os halves its speed), each function in a section of
# its own, so that --gc-sections leaves what is used, and with libsodium-small.patch. For another machine than this one musl comes
# from Debian's source package too: FOLDER/ARCH/bin/musl-gcc is as musl-tools has it for this machine. What is there already
# is not made again. Nothing is written outside of FOLDER; compilers are installed as in need.sh. Used by size.sh.
set -eu
[ $# -ge 2 ] || { echo 'usage: musl-sodium.sh FOLDER ARCH...' >&2 && exit 64; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
tools=$(cd "$(dirname "$0")" && pwd)
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

# powerpc: musl has no long double of two doubles, which is gcc's there.
musl_flags() { case $1 in powerpc) echo -mlong-double-64 ;; esac; }

# What a make above says about sockmux is not for musl and libsodium.
unset MAKE MAKEFLAGS MFLAGS MAKELEVEL CC CXX AR CFLAGS CPPFLAGS CXXFLAGS LDFLAGS LDLIBS CROSS_COMPILE

# quiet COMMAND...: its output is shown only if it fails
quiet() {
  "$@" </dev/null >"$folder/log" 2>&1 || {
    status=$?
    tail -n 30 "$folder/log" >&2
    echo "musl-sodium.sh: failed: $*" >&2
    exit $status
  }
}

# The machine's own apt sources, asked for sources in place of packages, with lists of their own
apt() {
  apt-get -qq -o "Dir::Etc::SourceList=$folder/apt/sources.list" -o "Dir::Etc::SourceParts=$folder/apt/parts" \
    -o "Dir::State::Lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt" -o APT::Sandbox::User=root "$@"
}
sources_of_apt() {
  mkdir -p "$folder/apt/parts" "$folder/apt/lists/partial"
  : >"$folder/apt/sources.list"
  command -v apt-get >/dev/null || { echo 'musl-sodium.sh: needs the sources of Debian, by apt-get' >&2 && exit 69; }
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ ! -f "$file" ] || sed -n 's/^deb[[:space:]]/deb-src /p' "$file" >>"$folder/apt/sources.list"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ ! -f "$file" ] || sed 's/^Types:.*/Types: deb-src/' "$file" >"$folder/apt/parts/${file##*/}"
  done
  # One that has no sources is no reason to stop: the package may be in another.
  apt update >"$folder/log" 2>&1 || true
}

# fetch PACKAGE: its source unpacked, with Debian's patches, into FOLDER/PACKAGE
fetch() {
  [ ! -d "$folder/$1" ] || return 0
  sh "$tools/need.sh" dpkg-source
  sources_of_apt
  mkdir -p "$folder/source"
  (cd "$folder/source" && quiet apt source --download-only "$1")
  rm -rf "$folder/$1.new"
  quiet dpkg-source --no-copy --extract "$folder/source/$1"_*.dsc "$folder/$1.new"
  [ ! -f "$tools/$1-small.patch" ] || quiet patch -d "$folder/$1.new" -p1 -i "$tools/$1-small.patch"
  if [ ! -f "$folder/$1.new/configure" ]; then
    sh "$tools/need.sh" autoreconf libtoolize
    quiet autoreconf -i "$folder/$1.new"
  fi
  mv "$folder/$1.new" "$folder/$1"
}

# made PACKAGE ARCH CONFIGURE-ARGUMENT...: built outside of its source, installed in FOLDER/ARCH
made() {
  package=$1 arch=$2
  shift 2
  built=$folder/$arch/built
  rm -rf "$built"
  mkdir -p "$built"
  (
    cd "$built"
    quiet "$folder/$package/configure" --prefix="$folder/$arch" "$@"
    quiet make -j"$jobs"
    quiet make install
  )
  rm -rf "$built"
}

for arch; do
  case $arch in
  native)
    need='c++ musl-gcc' gcc=musl-gcc binutils=''
    ;;
  *)
    prefix=$(sh "$tools/machine.sh" "$arch") || exit
    prefix=${prefix% *}
    need="c++ $arch-g++" gcc=$folder/$arch/bin/musl-gcc binutils=$prefix-
    ;;
  esac
  [ ! -f "$folder/$arch/lib/libsodium.a" ] || continue
  # shellcheck disable=SC2086  # a list of words
  sh "$tools/need.sh" $need
  echo "musl-sodium.sh: libsodium for $arch"
  if [ -n "$binutils" ] && [ ! -x "$gcc" ]; then
    fetch musl
    made musl "$arch" --target="$prefix" --disable-shared --enable-wrapper=gcc --syslibdir="$folder/$arch/lib" \
      CROSS_COMPILE="$binutils" CFLAGS="-Os -fno-pie $(musl_flags "$arch")"
  fi
  fetch libsodium
  # shellcheck disable=SC2086  # a list of words, or none
  made libsodium "$arch" ${binutils:+--host=$prefix} --disable-shared --enable-static --disable-pie \
    --with-pic=no --enable-minimal LDFLAGS=-static CC="$gcc" AR="${binutils}ar" RANLIB="${binutils}ranlib" \
    CFLAGS="-O2 -fno-pie -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -fno-unwind-tables $(musl_flags "$arch")"
done
rm -f "$folder/log"
