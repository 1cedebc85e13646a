#!/bin/sh
# What is built and installed: test_build.sh, with SOCKMUXD=path of the daemon, and sockmuxctl beside it. Ends with "N passed, N failed".
set -u
PATH=$PATH:/usr/sbin:/sbin
SOCKMUXCTL=$(dirname "$SOCKMUXD")/sockmuxctl
# shellcheck source=tests/check.sh disable=SC1091  # shellcheck follows only with -x
. tests/check.sh

# PROGRAM links with libc alone, and with SECURE=sodium with libsodium (sanitizers bring their own libraries).
needs_libc_alone() {
  nm "$1" | grep -q '__asan_init' && return 0
  ! readelf -d "$1" | grep NEEDED | grep -v -e 'libc\.' -e 'ld-' -e "lib${SECURE:-no}\."
}

# No reference to what the C++ library would bring.
no_cxx_library() {
  nm "$1" | grep -q '__asan_init' && return 0
  ! nm -u "$1" | grep -e ' _Z' -e '__cxa_throw' -e '__gxx_'
}

# Built nowhere here: that it compiles is all that can be told.
openbsd_sandbox_compiles() {
  ${CXX:-c++} -std=c++17 -D__OpenBSD__=1 -Itests/openbsd -I. -Wall -Wextra -Wshadow -Werror -fsyntax-only core/io/sandbox_other.cc
}

# On the BSDs and macOS, whose <sys/event.h> differ; it runs over an emulation (tests/kqueue).
kqueue_compiles() {
  for system in FREEBSD OPENBSD NETBSD9 NETBSD10 'MACOS -D__APPLE__=1'; do
    # shellcheck disable=SC2086  # two words
    ${CXX:-c++} -std=c++17 -DKQUEUE_OF_$system -Itests/kqueue/include -I. -Wall -Wextra -Wshadow -Wconversion -Werror -fsyntax-only core/io/poll_kqueue.cc ||
      return
  done
}

# `make check` hands its make and its variables down, so that nothing is built anew.
run_make() { ${MAKE:-make} -s PREFIX=/usr SBINDIR=/usr/sbin MANDIR=/usr/share/man DESTDIR="$temp/dest" "$1"; }

installs_and_uninstalls() {
  run_make install &&
    cmp "$SOCKMUXD" "$temp/dest/usr/sbin/sockmuxd" &&
    [ -x "$temp/dest/usr/sbin/sockmuxd" ] &&
    cmp "$SOCKMUXCTL" "$temp/dest/usr/sbin/sockmuxctl" &&
    [ -x "$temp/dest/usr/sbin/sockmuxctl" ] &&
    cmp man/sockmuxctl.8 "$temp/dest/usr/share/man/man8/sockmuxctl.8" &&
    cmp man/sockmuxd.8 "$temp/dest/usr/share/man/man8/sockmuxd.8" &&
    cmp man/sockmux.conf.5 "$temp/dest/usr/share/man/man5/sockmux.conf.5" &&
    cmp man/sockmux.7 "$temp/dest/usr/share/man/man7/sockmux.7" &&
    run_make uninstall &&
    [ -z "$(find "$temp/dest" ! -type d)" ]
}

for program in "$SOCKMUXD" "$SOCKMUXCTL"; do
  check "$program needs libc alone" needs_libc_alone "$program"
  check "$program uses nothing of the C++ library" no_cxx_library "$program"
done
check "OpenBSD's sandbox compiles" openbsd_sandbox_compiles
check "poll_kqueue.cc compiles as on each system that has kqueue" kqueue_compiles
check 'install puts things in place, uninstall leaves nothing' installs_and_uninstalls
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
