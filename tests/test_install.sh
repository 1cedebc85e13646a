#!/bin/sh
# make install, install-strip and uninstall, by each make that is there: test_install.sh, with SOCKMUXD=path of the daemon, and
# sockmuxctl beside it. Nothing is compiled; that `make install` does is seen in test_build.sh. Ends with "N passed, N failed".
set -u
PATH=$PATH:/usr/sbin:/sbin
# shellcheck source=tests/check.sh disable=SC1091  # shellcheck follows only with -x
. tests/check.sh
# What a make above says is not for these.
unset MAKEFLAGS MFLAGS MAKELEVEL

# A folder of its own for what make writes at its start
mkdir "$temp/built"
cp "$SOCKMUXD" "$(dirname "$SOCKMUXD")/sockmuxctl" "$temp/built"

# run WORD...: the make of the moment
run() { $make -s BUILD="$temp/built" DESTDIR="$temp/dest" "$@"; }

# snapshot FILE: each file and link of the place, with its mode and content
snapshot() { (cd "$temp/dest" && find . ! -type d -exec ls -ln {} + | awk '{ print $1, $9, $10, $11 }' | sort && find . -type f -exec cksum {} + | sort) >"$1"; }

fresh() {
  rm -rf "$temp/dest"
  mkdir -p "$temp/dest/etc/sockmux" "$temp/dest/etc/config" "$temp/dest/usr/share/man/man8" "$temp/dest/usr/sbin"
  echo 'SERVER=sockmux://192.0.2.1:9000' >"$temp/dest/etc/sockmux.conf"
  echo 'key of the user' >"$temp/dest/etc/sockmux/key"
  echo 'page of another' >"$temp/dest/usr/share/man/man8/other.8"
  snapshot "$temp/before"
}

# comes_and_goes INIT: what the list says is there after install and no more; uninstall leaves what was there before.
comes_and_goes() {
  fresh
  run INIT="$1" install-built && run INIT="$1" install-list | sort >"$temp/list" && snapshot "$temp/with" || return
  # Twice is as once.
  run INIT="$1" install-built && snapshot "$temp/again" && cmp "$temp/with" "$temp/again" || return
  (cd "$temp/dest" && find . ! -type d | sed 's/^.//' | sort) >"$temp/found"
  printf '%s\n' /etc/sockmux.conf /etc/sockmux/key /usr/share/man/man8/other.8 | sort - "$temp/list" | diff - "$temp/found" || return
  run INIT="$1" uninstall && snapshot "$temp/after" && diff "$temp/before" "$temp/after" &&
    [ ! -e "$temp/dest/usr/share/doc/sockmux" ]
}

# Each can be chosen, and texts name the places that were chosen.
places_are_yours() {
  rm -rf "$temp/dest"
  run INIT="$1" PREFIX=/opt/smx SYSCONFDIR=/opt/smx/etc INITDIR=/opt/smx/rc UNITDIR=/opt/smx/unit MANDIR=/opt/smx/man install-built || return
  [ -x "$temp/dest/opt/smx/sbin/sockmuxd" ] && [ -f "$temp/dest/opt/smx/man/man8/sockmuxd.8" ] || return
  rm -rf "$temp/dest/etc/config" # uci(1) reads this folder alone
  rmdir "$temp/dest/etc" 2>/dev/null
  if [ "$(ls "$temp/dest")" != opt ]; then
    find "$temp/dest" ! -type d
    return 1
  fi
  # No text but the pages names the usual places, if it is not as a part of the chosen ones.
  ! grep -rn -e '/usr/sbin' -e '/usr/local/sbin' -e '\(^\|[^A-Za-z}]\)/etc/sockmux' "$temp/dest/opt/smx/rc" "$temp/dest/opt/smx/unit" "$temp/dest/opt/smx/share/doc" 2>/dev/null
}

# OpenWrt's /etc/config/sockmux is the user's as soon as it is there.
users_config_stays() {
  fresh
  echo 'config of the user' >"$temp/dest/etc/config/sockmux"
  run INIT=openwrt install-built && grep -q 'of the user' "$temp/dest/etc/config/sockmux" &&
    run INIT=openwrt uninstall && grep -q 'of the user' "$temp/dest/etc/config/sockmux"
}

# What install-strip does behind install, which would compile here.
strip_leaves_a_program() {
  fresh
  run INIT=none install-built && run INIT=none -o install install-strip &&
    [ "$(wc -c <"$temp/dest/usr/sbin/sockmuxd")" -lt "$(wc -c <"$temp/built/sockmuxd")" ] &&
    "$temp/dest/usr/sbin/sockmuxd" -V
}

a_wrong_system_is_an_error() {
  fresh
  if run INIT=upstart install-built >"$temp/said" 2>&1; then return 1; fi
  snapshot "$temp/after"
  grep -q 'INIT=upstart: expected auto, systemd' "$temp/said" && diff "$temp/before" "$temp/after"
}

nothing_built_is_said() {
  rm -rf "$temp/dest"
  if $make -s BUILD="$temp/nothing" DESTDIR="$temp/dest" INIT=none install-built >"$temp/said" 2>&1; then return 1; fi
  grep -q 'is not there: run make first' "$temp/said"
}

# shellcheck disable=SC2012  # names of ours
systems="none $(ls init 2>/dev/null | tr '\n' ' ')"
for make in make bmake; do
  command -v $make >/dev/null || continue
  for system in auto $systems; do
    check "$make install INIT=$system puts what install-list says, uninstall leaves what was there" comes_and_goes "$system"
  done
done
make='make'
for system in $systems; do
  check "INIT=$system in places of your own" places_are_yours "$system"
done
[ ! -d init/openwrt ] || check 'a configuration that the user changed stays' users_config_stays
check 'a stripped program is smaller and runs' strip_leaves_a_program
check 'a wrong INIT is an error' a_wrong_system_is_an_error
check 'without programs it says to run make first' nothing_built_is_said
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
