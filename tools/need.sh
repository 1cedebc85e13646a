#!/bin/sh
# Sees that programs and headers are there: need.sh NAME...
#
# What is missing is installed by apt-get or apk, if there is one and you are root. Else it says by which command you
# get it, and ends with status 69. It prints nothing when all is there. Knows the names in the table below.
set -u
PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin
export PATH

# one_of FILE...: one of them is a program
one_of() {
  for file; do [ ! -x "$file" ] || return 0; done
  return 1
}

# have NAME
have() {
  case $1 in
  c++) command -v "${CXX:-c++}" >/dev/null || command -v clang++ >/dev/null ;;
  doctest) [ -f /usr/include/doctest/doctest.h ] || [ -f /usr/local/include/doctest/doctest.h ] ;;
  sodium) [ -f /usr/include/sodium.h ] || [ -f /usr/local/include/sodium.h ] ;;
  dissononce) python3 -c 'import dissononce' 2>/dev/null || /usr/bin/python3 -c 'import dissononce' 2>/dev/null ;;
  *-g++)
    machine=$(sh "$(dirname "$0")/machine.sh" "${1%-g++}") || return
    command -v "${machine% *}-g++" >/dev/null
    ;;
  # Debian and Alpine keep each version's programs in a folder of its own.
  postgres) command -v postgres >/dev/null || one_of /usr/lib/postgresql/*/bin/postgres /usr/libexec/postgresql*/postgres ;;
  git-daemon) [ -x "$(git --exec-path 2>/dev/null)/git-daemon" ] ;;
  qemu-*) command -v "$1" >/dev/null || command -v "$1-static" >/dev/null ;;
  *) command -v "$1" >/dev/null ;;
  esac
}

# packages SYSTEM NAME: what to install there; "-" where there is no package
packages() {
  while read -r name debian alpine freebsd openbsd; do
    if [ "$name" = "$2" ]; then
      case $1 in
      debian) echo "$debian" ;;
      alpine) echo "$alpine" ;;
      freebsd) echo "$freebsd" ;;
      openbsd) echo "$openbsd" ;;
      esac | tr '+' ' ' | sed 's/gxx/g++/g'
      return
    fi
  done <<END
c++ gxx+libc6-dev gxx+musl-dev - -
doctest doctest-dev doctest-dev doctest doctest
curl curl curl curl curl
nginx nginx-light nginx nginx nginx
ssh openssh-client openssh-client - -
sshd openssh-server openssh-server - -
vsftpd vsftpd vsftpd vsftpd-ssl vsftpd
lftp lftp lftp lftp lftp
socat socat socat socat socat
tshark tshark tshark tshark tshark
dig bind9-dnsutils bind-tools bind-tools isc-bind
dnsmasq dnsmasq-base dnsmasq dnsmasq dnsmasq
openssl openssl openssl - -
telnet inetutils-telnet busybox-extras - -
nc netcat-openbsd netcat-openbsd - -
ncat ncat nmap-ncat nmap nmap
cmp diffutils diffutils - -
nm binutils binutils - -
git git git git git
ip iproute2 iproute2 - -
python3 python3 python3 python3 python3
haproxy haproxy haproxy haproxy haproxy
musl-gcc musl-tools - - -
ccache ccache ccache ccache ccache
clang++ clang clang - -
clang-tidy clang-tidy clang-extra-tools - -
cppcheck cppcheck cppcheck cppcheck cppcheck
llvm-cov llvm llvm - -
sodium libsodium-dev libsodium-dev libsodium libsodium
dissononce python3-dissononce - - -
bmake bmake bmake - bmake
shellcheck shellcheck shellcheck hs-ShellCheck shellcheck
valgrind valgrind valgrind valgrind valgrind
zsh zsh zsh zsh zsh
tmux tmux tmux tmux -
mandoc mandoc mandoc - -
debootstrap debootstrap debootstrap - -
mmdebstrap mmdebstrap - - -
mips-g++ gxx-mips-linux-gnu - - -
mipsel-g++ gxx-mipsel-linux-gnu - - -
mips64el-g++ gxx-mips64el-linux-gnuabi64 - - -
armhf-g++ gxx-arm-linux-gnueabihf - - -
armel-g++ gxx-arm-linux-gnueabi - - -
arm64-g++ gxx-aarch64-linux-gnu - - -
riscv64-g++ gxx-riscv64-linux-gnu - - -
powerpc-g++ gxx-powerpc-linux-gnu - - -
i386-g++ gxx-i686-linux-gnu - - -
amd64-g++ gxx-x86-64-linux-gnu - - -
qemu-mips qemu-user-static qemu-mips qemu -
qemu-mipsel qemu-user-static qemu-mipsel qemu -
qemu-mips64el qemu-user-static qemu-mips64el qemu -
qemu-arm qemu-user-static qemu-arm qemu -
qemu-aarch64 qemu-user-static qemu-aarch64 qemu -
qemu-riscv64 qemu-user-static qemu-riscv64 qemu -
qemu-ppc qemu-user-static qemu-ppc qemu -
qemu-i386 qemu-user-static qemu-i386 qemu -
qemu-x86_64 qemu-user-static qemu-x86_64 qemu -
dpkg-source dpkg-dev dpkg-dev - -
dpkg-buildpackage dpkg-dev+build-essential - - -
dh debhelper - - -
lintian lintian - - -
autoreconf autoconf+automake autoconf+automake autoconf autoconf
libtoolize libtool libtool libtool libtool
wrk wrk wrk wrk wrk
rsync rsync rsync rsync rsync
scp openssh-client openssh-client - -
sftp openssh-client openssh-client - -
postgres postgresql postgresql+postgresql-client+postgresql-contrib postgresql16-server+postgresql16-contrib postgresql-server+postgresql-contrib
redis-server redis-server redis redis redis
redis-benchmark redis-tools redis redis redis
iperf3 iperf3 iperf3 iperf3 iperf3
mosquitto mosquitto mosquitto mosquitto mosquitto
mosquitto_pub mosquitto-clients mosquitto-clients mosquitto mosquitto
git-daemon git git-daemon git git
END
}

# list SYSTEM NAME...: all packages in one line
list() {
  system=$1
  shift
  for name; do packages "$system" "$name"; done | grep -v '^-$' | tr '\n' ' ' | sed 's/ $//'
}

missing=
for name; do
  have "$name" || missing="$missing $name"
done
[ -n "$missing" ] || exit 0

# no_service NAME: what was installed with it as a service does not start with the machine
no_service() {
  ! command -v systemctl >/dev/null || systemctl --quiet disable "$(echo "$1" | sed 's/^postgres$/postgresql/')" >/dev/null 2>&1 || true
}

# shellcheck disable=SC2086  # lists of words from here on
install_missing() {
  if command -v apt-get >/dev/null; then
    wanted=$(list debian $missing)
    echo "installing: $wanted"
    # A web server that comes with it need not run by itself, now or later.
    policy=/usr/sbin/policy-rc.d
    if [ -e $policy ]; then policy=; else printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy; fi
    log=$(mktemp)
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    apt-get install -qq -y --no-install-recommends $wanted >"$log" 2>&1 ||
      { apt-get update -qq && apt-get install -qq -y --no-install-recommends $wanted; } >"$log" 2>&1 || cat "$log" >&2
    rm -f "$log"
    [ -z "$policy" ] || rm -f $policy
    for service in nginx postgres redis-server mosquitto; do
      case " $missing " in
      *" $service "*) no_service $service ;;
      esac
    done
  elif command -v apk >/dev/null; then
    wanted=$(list alpine $missing)
    echo "installing: $wanted"
    apk add -q $wanted
  fi
}

[ "$(id -u)" -ne 0 ] || install_missing
still=
for name in $missing; do
  have "$name" || still="$still $name"
done
[ -n "$still" ] || exit 0

# shellcheck disable=SC2086
{
  echo "missing:$still. You get it by:"
  echo "  Debian, Ubuntu:  apt-get install $(list debian $still)"
  echo "  Alpine:          apk add $(list alpine $still)"
  echo "  FreeBSD:         pkg install $(list freebsd $still)"
  echo "  OpenBSD:         pkg_add $(list openbsd $still)"
  echo "  OpenWrt:         on the machine with the SDK, as for its own system"
} >&2
exit 69
