#!/bin/sh
# Puts what `make` has built into its place, or takes it away again: install.sh install|uninstall|list
#
# The Makefile calls it and says where things go: BUILD DESTDIR PREFIX SBINDIR MANDIR SYSCONFDIR EXAMPLEDIR INITDIR UNITDIR SYSUSERSDIR
# BASHDIR ZSHDIR INSTALL STRIP, and INIT, whose start script it is: systemd openrc sysv openwrt freebsd openbsd none, or auto, what this
# machine has.
#
# One table, things(), says what there is; `install` and `uninstall` both read it, so that they cannot drift. What the user has
# written (/etc/sockmux.conf, /etc/sockmux, a changed /etc/config/sockmux) is never overwritten and never removed. `list` prints
# the table as paths, for packages that want a list of files.
set -eu
cd "$(dirname "$0")/.."

fail() {
  echo "install.sh: $1" >&2
  exit "${2-64}"
}

# What starts services on this machine
system_at_hand() {
  case $(uname -s) in
  FreeBSD | DragonFly) echo freebsd ;;
  OpenBSD) echo openbsd ;;
  Linux)
    # The first that is there; systemd(1) says how to see it run, and an image that is being built has its program only.
    if [ -f /etc/openwrt_release ]; then
      echo openwrt
    elif [ -d /run/systemd/system ]; then
      echo systemd
    elif [ -x /sbin/openrc-run ]; then
      echo openrc
    elif [ -x /lib/systemd/systemd ] || [ -x /usr/lib/systemd/systemd ]; then
      echo systemd
    elif [ -d /etc/init.d ]; then
      echo sysv
    else
      echo none
    fi
    ;;
  *) echo none ;;
  esac
}

[ "$INIT" != auto ] || INIT=$(system_at_hand)
case $INIT in
freebsd) : "${INITDIR:=$SYSCONFDIR/rc.d}" ;;
openbsd) : "${INITDIR:=/etc/rc.d}" ;;
systemd | openrc | sysv | openwrt | none) : "${INITDIR:=/etc/init.d}" ;;
*) fail "INIT=$INIT: expected auto, systemd, openrc, sysv, openwrt, freebsd, openbsd or none" ;;
esac

# thing KIND MODE SOURCE PLACE, a line of the table. KINDS: program (which may be stripped), file, text (which names places, so
# that those of this machine are put in), link (SOURCE is where it leads), config (the user's from then on)
# shellcheck disable=SC2153  # UNITDIR and the like are the Makefile's
things() {
  for program in sockmuxd sockmuxctl; do
    echo "program 755 $BUILD/$program $SBINDIR/$program"
  done
  for page in man/*.[0-9]; do
    echo "file 644 $page $MANDIR/man${page##*.}/${page#man/}"
  done
  echo "text 644 packaging/sockmux.conf $EXAMPLEDIR/sockmux.conf"
  echo "file 644 tools/sockmux.lua $EXAMPLEDIR/sockmux.lua"
  echo "file 644 tools/completion/sockmux.bash $BASHDIR/sockmuxctl"
  echo "link - sockmuxctl $BASHDIR/sockmuxd"
  echo "file 644 tools/completion/_sockmux $ZSHDIR/_sockmux"
  case $INIT in
  systemd)
    for unit in init/systemd/*.service init/systemd/*.socket; do
      [ ! -f "$unit" ] || echo "text 644 $unit $UNITDIR/${unit#init/systemd/}"
    done
    [ ! -f init/systemd/sockmux.sysusers ] || echo "file 644 init/systemd/sockmux.sysusers $SYSUSERSDIR/sockmux.conf"
    ;;
  openwrt)
    echo "text 755 init/openwrt/sockmux.init $INITDIR/sockmux"
    echo "config 600 init/openwrt/sockmux.config /etc/config/sockmux"
    ;;
  openbsd) echo "text 555 init/openbsd/sockmux $INITDIR/sockmux" ;;
  freebsd | openrc | sysv) echo "text 755 init/$INIT/sockmux $INITDIR/sockmux" ;;
  esac
}

# text FILE: with the folders of this machine in place of the usual ones
text() {
  sed -e "s|/usr/\(local/\)\{0,1\}sbin/sockmux|$SBINDIR/sockmux|g" \
    -e "s|^/etc/sockmux|$SYSCONFDIR/sockmux|" -e "s|\([^]A-Za-z0-9}%)]\)/etc/sockmux|\1$SYSCONFDIR/sockmux|g" "$1"
}

# put FILE MODE PLACE
put() { $INSTALL -m "$2" "$1" "$DESTDIR$3"; }

install_one() {
  [ -f "$3" ] || [ "$1" = link ] || fail "$3 is not there: run make first" 66
  $INSTALL -d "$DESTDIR${4%/*}"
  case $1 in
  program | file) put "$3" "$2" "$4" ;;
  link) ln -sf "$3" "$DESTDIR$4" ;;
  text) text "$3" >"$temp/text" && put "$temp/text" "$2" "$4" ;;
  config)
    if [ -e "$DESTDIR$4" ]; then
      echo "$4 is there already, and stays as it is"
    else
      put "$3" "$2" "$4"
    fi
    ;;
  esac
}

uninstall_one() {
  if [ "$1" = config ] && [ -e "$DESTDIR$4" ] && ! cmp -s "$3" "$DESTDIR$4"; then
    echo "$4 was changed, and stays"
  else
    rm -f "$DESTDIR$4"
  fi
}

# Says what is left to do, where it is this machine that was installed to.
next_steps() {
  [ -z "$DESTDIR" ] || return 0
  echo "Installed for INIT=$INIT. Next: write $SYSCONFDIR/sockmux.conf ($EXAMPLEDIR/sockmux.conf has lines to start from),"
  echo "and see what it means: sockmuxd -t +=$SYSCONFDIR/sockmux.conf"
  case $INIT in
  systemd) echo 'Then: systemd-sysusers; systemctl daemon-reload; systemctl enable --now sockmux' ;;
  openrc) echo 'Then: rc-update add sockmux; rc-service sockmux start' ;;
  sysv) echo 'Then: update-rc.d sockmux defaults (chkconfig --add sockmux); service sockmux start' ;;
  openwrt) echo 'Then: /etc/init.d/sockmux enable; /etc/init.d/sockmux start' ;;
  freebsd) echo 'Then: sysrc sockmux_enable=YES; service sockmux start' ;;
  openbsd) echo 'Then: rcctl enable sockmux; rcctl start sockmux' ;;
  esac
}

case ${1-} in
install)
  temp=$(mktemp -d)
  trap 'rm -rf "$temp"' EXIT
  # A shell of its own reads the table, whose end is not that of this one.
  things | while read -r kind mode source place; do install_one "$kind" "$mode" "$source" "$place" || exit; done
  next_steps
  ;;
uninstall)
  things | while read -r kind mode source place; do uninstall_one "$kind" "$mode" "$source" "$place" || exit; done
  # Folders are the system's, but for ours; where something of yours is in it, it stays.
  rmdir "$DESTDIR$EXAMPLEDIR" "$DESTDIR${EXAMPLEDIR%/*}" 2>/dev/null || :
  ;;
list) things | while read -r kind mode source place; do echo "$place"; done ;;
*) fail 'install.sh install|uninstall|list' ;;
esac
