#!/bin/sh
# A secure link between this machine and another one: test_foreign.sh ARCH PROGRAMS, with SOCKMUXD=path of the daemon of
# this machine. PROGRAMS is the folder of the other machine's sockmuxd and sockmuxctl, which are static and run under
# qemu-user. Ends with "N passed, N failed".
#
# ARCH is mipsel or mips: 32 bits, big-endian or not, and libsodium without assembler and with libsodium-small.patch.
# qemu-user refuses seccomp filters (prctl(2) EINVAL, seccomp(2) ENOSYS), so the daemon there runs without.
# Each side makes a key and connects to the other in turn; a file goes through the link to an echo and back.
set -u
LC_ALL=C
export LC_ALL
arch=$1
sockmuxd=${SOCKMUXD:-./sockmuxd}
kPatience=600  # tries of 0.1 s until something is up
kEchoSeconds=100
kBytes=2000000

sh tools/need.sh "qemu-$arch" socat || exit
qemu=$(command -v "qemu-$arch" || command -v "qemu-$arch-static")
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
  there) exec "$qemu" "$programs/$program" "$@" ;;
  esac
}
programs=$2

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
for side in here there; do
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
echo "there $(cat "$temp/there.pub") DEST=*" >"$temp/here.peers"
echo "here $(cat "$temp/here.pub") DEST=*" >"$temp/there.peers"

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
  (run "$hub" sockmuxd -f -P127.0.0.1:0 SERVER=sockmuxs "DEST=127.0.0.1:$echo_port" \
    "SOXCONF=key:$temp/$hub.key,peers:$temp/$hub.peers,control:no") >"$temp/$hub.log" 2>&1 &
  hub_pid=$!
  pids="$pids $hub_pid"
  link_port=$(port "$temp/$hub.log" 'links are accepted at') || { fail "$hub: does not start" && return; }
  (run "$connector" sockmuxd -f "SERVER=sockmuxs://127.0.0.1:$link_port" PORT=127.0.0.1:0 \
    "SOXCONF=key:$temp/$connector.key,peers:$temp/$connector.peers,control:no") >"$temp/$connector.log" 2>&1 &
  connector_pid=$!
  pids="$pids $connector_pid"
  client_port=$(port "$temp/$connector.log" 'clients are accepted at') ||
    { fail "$connector: does not start" && return; }
  timeout $kEchoSeconds socat -t $kEchoSeconds - "TCP:127.0.0.1:$client_port" <"$temp/sent" >"$temp/came" 2>"$temp/client.log"
  if cmp "$temp/sent" "$temp/came"; then ok; else fail "$connector to $hub: $kBytes bytes did not come back"; fi
  for end in "$hub $connector" "$connector $hub"; do
    if grep -q "link-up .* name=${end#* } " "$temp/${end% *}.log"; then ok; else fail "${end% *}: not linked to its peer"; fi
  done
  for pid in $hub_pid $connector_pid; do
    kill "$pid" || fail 'a daemon had died'
    wait "$pid" || fail "a daemon ended with status $?"
  done
}
link here there
link there here

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
