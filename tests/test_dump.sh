#!/bin/sh
# What Wireshark sees through tools/sockmux.lua: test_dump.sh, with SOCKMUXD=path of the daemon (sockmuxctl beside it), and tshark.
# Ends with "N passed, N failed".
#
# Packets of every type, of tests/data/dump-packets.txt; a dialogue of two DeleGates, as TCP segments that hold one packet, and as
# some that tear packets apart; a link that runs, as sockmuxctl dump -w writes it and as it goes over the loopback.
set -u
LC_ALL=C
export LC_ALL
# shellcheck source=tests/check.sh disable=SC1091  # shellcheck follows only with -x
. tests/check.sh
ctl=$(dirname "$SOCKMUXD")/sockmuxctl
running=
stop() {
  for pid in $running; do kill "$pid" 2>/dev/null; done
  wait
  rm -rf "$temp"
}
trap stop EXIT
lua=tools/sockmux.lua

# shark FILE [OPTION...]: the Info column
shark() {
  file=$1
  shift
  tshark -X "lua_script:$lua" -r "$file" "$@" -T fields -e _ws.col.Info 2>"$temp/shark-err"
}
same() { cmp -s "$1" "$2" || { diff "$1" "$2" | head -n 20 && false; }; }
# hexdump: a packet's bytes (hex digits in a line) as text2pcap wants them
hexdump() { sed -e 's/[0-9a-f][0-9a-f]/ &/g' -e 's/^/000000/'; }
# bodies: lines of `sockmuxctl dump` without what the Info column does not have: time, session, direction, length, data
bodies() {
  grep -v '^#' | sed -e 's/^[^ ]* [^ ]* [a-z]*  *\([^ ]*\)  *\([^ ]*\)  *[0-9]* *\(.*\)$/\1 \2 \3/' -e 's/ $//' \
    -e '/^\(SEND\|SENDOOB\|DGRAM\|PART\) /s/ ".*"$//'
}

# --- every type
awk '/^(sent|received) / {
  pseudo = "01" ($1 == "sent" ? "01" : "00") ($2 == "1" ? "01" : $2 == "0.3" ? "03" : "00") "00" "00000001"
  for (i = 3; i <= NF; i++) pseudo = pseudo $i
  print pseudo
}' tests/data/dump-packets.txt | hexdump >"$temp/hex"
sed -n -e '/^= /{s/^= //;s/ | .*//;p;}' tests/data/dump-packets.txt >"$temp/expected"
text2pcap -q -l 147 "$temp/hex" "$temp/all.pcap" 2>/dev/null
shark "$temp/all.pcap" >"$temp/got"
check 'every type' same "$temp/expected" "$temp/got"
check 'there are some' test "$(wc -l <"$temp/expected")" -gt 50
check 'the script has no error' sh -c "! grep -i -e lua -e error '$temp/shark-err'"
shark "$temp/all.pcap" -Y 'sockmux.client contains "127.0.0.1:4711" && sockmux.channel == 12' >"$temp/got"
check 'fields can be asked for' grep -q -x 'CONNECT us:12 TCP client 127.0.0.1:4711 at 127.0.0.1:9080' "$temp/got"
tshark -X "lua_script:$lua" -r "$temp/all.pcap" -V >"$temp/tree" 2>/dev/null
check 'no packet breaks it' sh -c "! grep -e 'Lua Error' -e 'Malformed Packet' '$temp/tree'"
check 'what is not there is said' grep -q '16378 of 16384 bytes of payload are not here: SEND' "$temp/tree"

# --- a dialogue of 0.3 over TCP
dialogue=tests/data/captures/tcp-one-channel.txt
sed -n 's/^ *[0-9.]* \([CA]\)>[CA] .* : \([0-9a-f]*\) \{0,1\}\([0-9a-f]*\)$/\1 \2\3/p' $dialogue >"$temp/packets"
cat >"$temp/expected" <<'END'
HELLO - "20261123-085921.086940 vm"
HELLO - "20261123-085921.114471 vm"
HELLOOK - "20261123-085921.114471 vm"
HELLOOK - "20261123-085921.086940 vm"
HELLOOK - "20261123-085921.114471 vm"
HELLOOK - "20261123-085921.086940 vm"
SETOPT - PACKSIZE 16384
SETOPT - CONNDATA 1
SETOPT - PACKSIZE 16384
SETOPT - CONNDATA 1
CONNECT 3/- client 127.0.0.1:50114 at 127.0.0.1:9023
CONNECTED 2/3 server 127.0.0.1:7007 from 127.0.0.1:53908
SEND 2/3
SENT 3/2 5
CLOSE 3/2 "DO close"
CLOSED 2/3 "OK closed"
END
while read -r side bytes; do
  case $side in C) echo O ;; A) echo I ;; esac
  echo "$bytes" | hexdump
done <"$temp/packets" >"$temp/hex"
text2pcap -q -D -T 40000,9000 "$temp/hex" "$temp/tcp.pcap" 2>/dev/null
shark "$temp/tcp.pcap" -d tcp.port==9000,sockmux >"$temp/got"
check '0.3 over TCP' same "$temp/expected" "$temp/got"
# The same, 7 bytes at a time, one direction after the other.
for side in C A; do
  sed -n "s/^$side //p" "$temp/packets" | tr -d '\n' | sed 's/.\{14\}/&\
/g' | sed '$s/$/\
/' | while read -r bytes; do
    case $side in C) echo O ;; A) echo I ;; esac
    echo "$bytes" | hexdump
  done
done >"$temp/hex"
text2pcap -q -D -T 40000,9000 "$temp/hex" "$temp/torn.pcap" 2>/dev/null
shark "$temp/torn.pcap" -d tcp.port==9000,sockmux -Y sockmux.type | tr ';' '\n' | sed 's/^ //' | sort >"$temp/got"
sort "$temp/expected" >"$temp/sorted"
check '0.3 over TCP, torn apart' same "$temp/sorted" "$temp/got"
check 'a port of something else' sh -c "printf '000000 47 45 54 20\n' | text2pcap -q -T 1,9000 - '$temp/get.pcap' 2>/dev/null && tshark -X lua_script:$lua -r '$temp/get.pcap' -d tcp.port==9000,sockmux 2>/dev/null | grep -q 'no packet of SockMux'"

# --- a link that runs
# wait_for FILE TEXT
wait_for() {
  tries=0
  until grep -q -e "$2" "$1" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 400 ] || { echo "no '$2' in $1:"; cat "$1"; return 1; }
    sleep 0.05
  done
}
port_of() { sed -n "s/.* are accepted at 127.0.0.1://p" "$1"; }
"$SOCKMUXD" -f SERVER=sockmux -P127.0.0.1:0 'SERVER=exec,-in(XCOM=cat)' "SOXCONF=control:$temp/a" >"$temp/a.log" 2>&1 &
running="$running $!"
check 'it starts' wait_for "$temp/a.log" ' started '
link=$(port_of "$temp/a.log")
"$ctl" dump -s "$temp/a" -w "$temp/live.pcap" 2>"$temp/dump.log" &
dump=$!
running="$running $dump"
check 'the dump begins' wait_for "$temp/a.log" ' dump-started '
tshark -i lo -f "tcp port $link" -w "$temp/lo.pcap" >"$temp/lo.log" 2>&1 &
lo=$!
running="$running $lo"
can_capture=yes
wait_for "$temp/lo.log" 'Capturing on' >/dev/null && wait_for "$temp/lo.log" 'File: \|Capture started' >/dev/null || can_capture=no
"$SOCKMUXD" -f "SERVER=sockmux://127.0.0.1:$link" PORT=127.0.0.1:0 SOXCONF=control:no >"$temp/c.log" 2>&1 &
running="$running $!"
check 'it is linked' wait_for "$temp/c.log" ' link-up '
check 'it carries' sh -c "echo geheim-marker | socat -t 10 - TCP:127.0.0.1:$(port_of "$temp/c.log") | grep -q -x geheim-marker"
kill "$dump"
wait "$dump"
check 'the dump ends well' grep -q '^sockmuxctl: [0-9]* packets$' "$temp/dump.log"
"$ctl" dump -r "$temp/live.pcap" | bodies >"$temp/expected"
shark "$temp/live.pcap" >"$temp/got"
check 'what sockmuxctl writes' same "$temp/expected" "$temp/got"
check 'there is a channel' grep -q '^CONNECT peer:0 TCP client 127.0.0.1:' "$temp/got"
check 'no data' sh -c "! grep -q geheim '$temp/live.pcap'"
tshark -X "lua_script:$lua" -r "$temp/live.pcap" -T fields -e frame.interface_name 2>/dev/null | sort -u >"$temp/got"
check 'the name of the link' grep -q '^session 1: 127.0.0.1:[0-9]*$' "$temp/got"
check 'through a pipe' sh -c "cat '$temp/live.pcap' | tshark -X lua_script:$lua -i - 2>/dev/null | grep -q ' CONNECT peer:0 TCP client '"
if [ $can_capture = yes ]; then
  # dumpcap writes what it has twice a second.
  tries=0
  while [ "$(shark "$temp/lo.pcap" -d "tcp.port==$link,sockmux" -Y sockmux.close | wc -l)" -lt 2 ] && [ $tries -lt 40 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
  kill "$lo"
  wait "$lo"
  # us and peer are not known there.
  sed -e 's/\(us\|peer\)://' "$temp/expected" | grep -v '^ACK\|^ECHO' | sort >"$temp/sorted"
  shark "$temp/lo.pcap" -d "tcp.port==$link,sockmux" -Y sockmux.type | tr ';' '\n' | sed 's/^ //' | grep -v '^ACK\|^ECHO' |
    sort >"$temp/got"
  check 'the same from the loopback' same "$temp/sorted" "$temp/got"
else
  echo "(tshark cannot capture here: $(tail -n 1 "$temp/lo.log"))"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
