#!/bin/sh
# The package on two machines that have nothing: bare-debian-package.sh [SUITE]  (bookworm). DEB=file: this package, else `make deb`
# makes one; it is looked at by lintian, too.
#
# Two minimal Debians, hostX and hostY, in namespaces of their own, with a cable between them. Each gets the package by dpkg alone and
# four lines of configuration; the init script starts it; traffic passes both ways; what an operator does is done: status,
# reload beside an open connection, doctor on what is broken in six ways, an upgrade; the package goes, and nothing is left.
#
# Needs root, and a Debian mirror among this machine's apt sources. Mounts and processes live in namespaces, and files in
# memory, so that nothing stays behind. The last line is "N passed, N failed"; the steps are in tools/bare-debian-steps.sh.
set -u
suite=${1:-bookworm}
cd "$(dirname "$0")/.." || exit 71

if [ "$(id -u)" -ne 0 ]; then
  echo 'bare-debian-package.sh: must run as root' >&2
  exit 77
fi
if [ -z "${INSIDE_UNSHARE-}" ]; then
  # mmdebstrap makes what debootstrap makes, in half of the time
  sh tools/need.sh mmdebstrap dh lintian curl ip python3 || exit 69
  INSIDE_UNSHARE=1
  export INSIDE_UNSHARE
  exec unshare --mount --pid --fork --kill-child --mount-proc sh "$0" "$@"
fi

mirror=$(sh tools/debian-mirror.sh "$suite") || exit 69

temp=$(mktemp -d)
holders=
# shellcheck disable=SC2086  # a list of numbers
trap '[ -z "$holders" ] || kill -9 $holders 2>/dev/null; umount -R "$temp" 2>/dev/null; rm -rf --one-file-system "$temp"' EXIT
trap 'exit 1' HUP INT TERM
mount -t tmpfs -o mode=755 tmpfs "$temp" || exit 71
passed=0 failed=0

# check NAME COMMAND...
check() {
  name=$1
  shift
  if "$@" >"$temp/out" 2>&1; then
    echo "ok: $name"
    passed=$((passed + 1))
  else
    echo "FAILED: $name"
    cat "$temp/out"
    failed=$((failed + 1))
  fi
}

# until_true COMMAND...: for at most 30 s
until_true() {
  tries=300
  until "$@"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || return
    sleep 0.1
  done
}

echo '== the package'
if [ -z "${DEB-}" ]; then
  make -s deb >"$temp/log" 2>&1 || { cat "$temp/log"; exit 71; }
  DEB=$(ls build/deb/sockmux_*.deb)
  check 'lintian is content' lintian --fail-on error,warning --allow-root build/deb/*.changes
fi
cp "$DEB" "$temp/sockmux.deb" || exit 66

# What the package says that it needs comes with the machine: dpkg then finds all of it, or fails.
needs=$({ dpkg-deb -f "$temp/sockmux.deb" Depends && dpkg-deb -f "$temp/sockmux.deb" Pre-Depends; } |
  tr ',' '\n' | sed -n 's/^ *\([a-z0-9.+-]*\).*/\1/p' | sort -u | tr '\n' ',')
echo "== two machines with a bare $suite"
mmdebstrap --quiet --mode=root --variant=minbase --include="${needs%,}" "$suite" "$temp/base" "$mirror" >"$temp/log" 2>&1 || {
  cat "$temp/log"
  exit 71
}
# invoke-rc.d does as on a machine that has an init: whose part we play.
printf '#!/bin/sh\nexit 0\n' >"$temp/base/usr/sbin/policy-rc.d" && chmod 755 "$temp/base/usr/sbin/policy-rc.d"
# Names are those of /etc/hosts, and no others; no server is asked.
sed -i 's/^hosts:.*/hosts: files/' "$temp/base/etc/nsswitch.conf"
printf '127.0.0.1 localhost\n10.73.0.1 hostX\n10.73.0.2 hostY\n' >"$temp/base/etc/hosts"

# machine NAME: its files over those of base, and a process that holds its namespaces; sets $holder. Nobody's children are
# reaped by the kernel, as init would.
machine() {
  mkdir "$temp/$1" "$temp/$1.upper" "$temp/$1.work"
  mount -t overlay -o "lowerdir=$temp/base,upperdir=$temp/$1.upper,workdir=$temp/$1.work" overlay "$temp/$1" 2>/dev/null ||
    cp -a "$temp/base/." "$temp/$1" || exit 71
  unshare --mount --pid --net --uts --ipc --fork --kill-child --mount-proc --root="$temp/$1" \
    env --ignore-signal=CHLD sleep infinity &
  holders="$holders $!"
  until_true grep -q . "/proc/$!/task/$!/children" || exit 71
  read -r holder <"/proc/$!/task/$!/children"
  # The last thing before it sleeps is its /proc.
  until_true grep -q sleep "/proc/$holder/comm" || exit 71
}
machine hostX && hostX=$holder
machine hostY && hostY=$holder

# on NAME COMMAND...: there
on() {
  case $1 in hostX) there=$hostX ;; *) there=$hostY ;; esac
  shift
  nsenter --target "$there" --mount --pid --net --uts --ipc --root --wd \
    /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# wire NAME COMMAND...: a program of this machine, in the network of that one
wire() {
  case $1 in hostX) there=$hostX ;; *) there=$hostY ;; esac
  shift
  nsenter --target "$there" --net "$@"
}

wire hostX ip link add eth0 type veth peer name eth0 netns "$hostY" || exit 71
for host in hostX hostY; do
  on $host hostname $host
  wire $host ip link set lo up
  wire $host ip addr add "10.73.0.$([ $host = hostX ] && echo 1 || echo 2)/24" dev eth0
  wire $host ip link set eth0 up
done

# shellcheck source=tools/bare-debian-steps.sh disable=SC1091  # shellcheck follows only with -x
. tools/bare-debian-steps.sh
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
