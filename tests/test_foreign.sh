#!/bin/sh
# A secure link between this machine and another one: test_foreign.sh ARCH PROGRAMS [clear], with SOCKMUXD=path of the
# daemon of this machine. PROGRAMS is the folder of the other machine's sockmuxd and sockmuxctl, which run under
# qemu-user, unless this kernel runs them itself. clear: a link of two daemons of the other machine, which is not encrypted.
# Ends with "N passed, N failed".
#
# ARCH is as in machine.sh, such as mips: 32 bits, big-endian, and libsodium without assembler and with libsodium-small.patch.
# qemu-user refuses seccomp filters (prctl(2) EINVAL, seccomp(2) ENOSYS), so the daemon there runs without.
# Each side makes a key and connects to the other in turn; a file goes through the link to an echo and back.
set -u
LC_ALL=C
export LC_ALL
arch=$1 programs=$2 kind=${3:-secure}
sockmuxd=${SOCKMUXD:-./sockmuxd}
kPatience=600  # tries of 0.1 s until something is up
kEchoSeconds=100
kBytes=2000000

machine=$(sh tools/machine.sh "$arch") || exit
sh tools/need.sh socat || exit
if "$programs/sockmuxd" -V >/dev/null 2>&1; then
  qemu=
else
  sh tools/need.sh "qemu-${machine#* }" || exit
  qemu=$(command -v "qemu-${machine#* }" || command -v "qemu-${machine#* }-static")
fi
temp=$(mktemp -d)
pids=
cleanup() {
  trap '' HUP INT TERM
  # shellcheck disable=SC2086  # a list of numbers
  [ -z "$pids" ] || kill -9 $pids 2>/dev/null
  wait 2>/dev/null
  rm -rf "$temp"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

passed=0 failed=0
fail() {
  echo "FAILED: $1"
  for log in "$temp"/*.log; do echo "-- ${log##*/}" && tail -n 20 "$log"; done
  failed=$((failed + 1))
}
ok() { passed=$((passed + 1)); }

# run SIDE PROGRAM WORD...
run() {
  side=$1 program=$2
  shift 2
  case $side in
  here) exec "${sockmuxd%sockmuxd}$program" "$@" ;;
  there) exec ${qemu:+"$qemu"} "$programs/$program" "$@" ;;
  esac
}

# port LOG TEXT: waits for a line with TEXT that ends in a port, and prints that
port() {
  tries=0
  until found=$(sed -n "s/.*$2.*:\([0-9][0-9]*\)\$/\1/p" "$1" 2>/dev/null | tail -n 1) && [ -n "$found" ]; do
    tries=$((tries + 1))
    [ $tries -lt $kPatience ] || return 1
    sleep 0.1
  done
  echo "$found"
}

# --- keys
[ "$kind" != secure ] || for side in here there; do
  (run $side sockmuxctl genkey "$temp/$side.key") >"$temp/$side.pub" 2>"$temp/$side-genkey.log" || fail "$side: genkey"
  for other in here there; do
    key=$(run $other sockmuxctl pubkey "$temp/$side.key" 2>&1)
    if [ ${#key} -eq 44 ] && [ "$key" = "$(cat "$temp/$side.pub")" ]; then
      ok
    else
      fail "the public key of $side is another one $other: $key"
    fi
  done
done
if [ "$kind" = secure ]; then
  echo "there $(cat "$temp/there.pub") DEST=*" >"$temp/here.peers"
  echo "here $(cat "$temp/here.pub") DEST=*" >"$temp/there.peers"
fi

socat -d -d TCP-LISTEN:0,bind=127.0.0.1,fork EXEC:cat 2>"$temp/echo.log" &
pids=$!
if ! echo_port=$(port "$temp/echo.log" 'listening on'); then
  fail 'no echo'
  exit 1
fi
head -c $kBytes /dev/urandom >"$temp/sent"

# link HUB CONNECTOR: a file goes to the echo behind HUB and comes back
link() {
  hub=$1 connector=$2
  case $kind in
  secure)
    server=sockmuxs hub_conf=key:$temp/$hub.key,peers:$temp/$hub.peers,control:no
    connector_conf=key:$temp/$connector.key,peers:$temp/$connector.peers,control:no
    ;;
  clear) server=sockmux hub_conf=control:no connector_conf=control:no ;;
  esac
  # The shell in the background may empty them too late: port() would read those of the time before.
  : >"$temp/hub.log"
  : >"$temp/connector.log"
  (run "$hub" sockmuxd -f -P127.0.0.1:0 "SERVER=$server" "DEST=127.0.0.1:$echo_port" "SOXCONF=$hub_conf") >"$temp/hub.log" 2>&1 &
  hub_pid=$!
  pids="$pids $hub_pid"
  link_port=$(port "$temp/hub.log" 'links are accepted at') || { fail "$hub: does not start" && return; }
  (run "$connector" sockmuxd -f "SERVER=$server://127.0.0.1:$link_port" PORT=127.0.0.1:0 "SOXCONF=$connector_conf") \
    >"$temp/connector.log" 2>&1 &
  connector_pid=$!
  pids="$pids $connector_pid"
  client_port=$(port "$temp/connector.log" 'clients are accepted at') ||
    { fail "$connector: does not start" && return; }
  timeout $kEchoSeconds socat -t $kEchoSeconds - "TCP:127.0.0.1:$client_port" <"$temp/sent" >"$temp/came" 2>"$temp/client.log"
  if cmp "$temp/sent" "$temp/came"; then ok; else fail "$connector to $hub: $kBytes bytes did not come back"; fi
  for end in "hub $connector" "connector $hub"; do
    [ "$kind" = secure ] && name=".* name=${end#* } " || name=
    if grep -q " link-up $name" "$temp/${end% *}.log"; then ok; else fail "${end% *}: not linked to its peer"; fi
  done
  for pid in $hub_pid $connector_pid; do
    kill "$pid" || fail 'a daemon had died'
    wait "$pid" || fail "a daemon ended with status $?"
  done
}
case $kind in
secure)
  link here there
  link there here
  ;;
clear) link there there ;;
esac

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
