#!/bin/sh
# Tries the README on a machine that has nothing: bare-debian.sh [SUITE]  (bookworm)
#
# Makes a minimal Debian in a temporary folder, installs git and make there, clones the last commit of this project, and
# runs `make demo` and `make check`. The status is 0 if both passed. Needs root, debootstrap and a Debian mirror among
# this machine's apt sources. Mounts and processes live in namespaces of their own, so that nothing stays behind.
set -u
suite=${1:-bookworm}
cd "$(dirname "$0")/.." || exit 71

if [ "$(id -u)" -ne 0 ]; then
  echo 'bare-debian.sh: must run as root' >&2
  exit 77
fi
sh tools/need.sh debootstrap git || exit 69

mirror=$(sh tools/debian-mirror.sh "$suite") || exit 69

temp=$(mktemp -d)
trap 'rm -rf --one-file-system "$temp"' EXIT
trap 'exit 1' HUP INT TERM
root=$temp/root

echo "== a bare $suite"
debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$temp/log" 2>&1 || {
  tail -n 20 "$temp/log"
  exit 71
}
# How this machine reaches the mirror
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
apt-config dump Acquire >"$root/etc/apt/apt.conf.d/99as-outside"
git clone -q --bare . "$root/srv/sockmux.git" || exit 71

cat >"$root/srv/try.sh" <<'END'
set -u
export DEBIAN_FRONTEND=noninteractive
echo '== apt-get install git make'
{ apt-get update -qq && apt-get install -qq -y --no-install-recommends git make; } >/tmp/log 2>&1 || {
  cat /tmp/log
  exit 71
}
cd /root && git clone -q /srv/sockmux.git sockmux && cd sockmux || exit 71
for command in 'make demo' 'make check'; do
  echo "== $command"
  begin=$(date +%s)
  $command || { echo "== $command: FAILED"; exit 1; }
  echo "== $command: passed, $(($(date +%s) - begin)) s"
done
END

# shellcheck disable=SC2016  # for the inner shell
unshare --mount --pid --fork --kill-child sh -c '
  mount --bind "$1" "$1" && mount -t proc proc "$1/proc" && mount -t sysfs -o ro sysfs "$1/sys" && mount -t devpts devpts "$1/dev/pts" || exit 71
  exec chroot "$1" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    ${http_proxy+http_proxy="$http_proxy"} ${https_proxy+https_proxy="$https_proxy"} \
    sh /srv/try.sh' sh "$root" </dev/null
