#!/bin/sh
# The main job on real traffic: two sockmuxd, one link, an nginx behind each side, curl through both.
#
# Prints each command as you would type it and what came of it; ends with status 0 only if all of it worked. Uses free
# ports of 127.0.0.1 and a temporary folder, and leaves nothing behind. `make demo` builds and then calls it.
set -u
LC_ALL=C
PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin
export LC_ALL PATH
sockmuxd=${SOCKMUXD:-./sockmuxd}
kMib=64          # the large file
kPatience=300    # tries of 0.1 s until something is up

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

fail() {
  echo "FAILED: $1"
  for log in "$temp"/*.log; do
    [ ! -s "$log" ] || { echo "-- $(basename "$log" .log)" && tail -n 20 "$log"; }
  done
  exit 1
}

pause() { sleep 0.1 2>/dev/null || sleep 1; }

now_ms() {
  case $(date +%N) in
  *[!0-9]* | '') echo "$(($(date +%s) * 1000))" ;;
  *) date +%s%N | sed 's/......$//' ;;
  esac
}

# free_port: sets $port to a port of 127.0.0.1 where nobody answers. Below 32768, where kernels do not take ports for
# outgoing connections.
port=$((10000 + $$ % 20000))
free_port() {
  while :; do
    port=$((port + 1))
    curl -s -o "$temp/trash" --max-time 1 "http://127.0.0.1:$port/"
    [ $? -ne 7 ] || return 0
  done
}

# start NAME COMMAND...: shows it, runs it in the background, its output in NAME.log; sets $pid
start() {
  name=$1
  shift
  echo "\$ $* &"
  "$@" >>"$temp/$name.log" 2>&1 &
  pid=$!
  pids="$pids $pid"
}

# answers URL TEXT: waits until URL gives TEXT
answers() {
  tries=0
  until [ "$(curl -s --max-time 2 "$1")" = "$2" ]; do
    tries=$((tries + 1))
    [ $tries -lt $kPatience ] || fail "$1 does not answer \"$2\""
    pause
  done
}

free_port; link=$port
free_port; web_x=$port
free_port; web_y=$port
free_port; port_x=$port
free_port; port_y=$port

mkdir "$temp/x" "$temp/y"
echo 'This is the web server of host X.' >"$temp/x/index.html"
echo 'This is the web server of host Y.' >"$temp/y/index.html"
dd if=/dev/urandom of="$temp/x/large" bs=1048576 count=$kMib 2>/dev/null
{
  echo 'daemon off; master_process off;'
  echo "pid $temp/nginx.pid; error_log stderr;"
  echo 'events { worker_connections 64; }'
  echo 'http { access_log off;'
  built=$(nginx -V 2>&1)
  for module in client_body proxy fastcgi uwsgi scgi; do
    case $built in
    *--without-http_"$module"_module*) ;;
    *) echo "${module}_temp_path $temp/$module;" ;;
    esac
  done
  echo "server { listen 127.0.0.1:$web_x; root $temp/x; }"
  echo "server { listen 127.0.0.1:$web_y; root $temp/y; } }"
} >"$temp/nginx.conf"
nginx -p "$temp" -c "$temp/nginx.conf" >"$temp/nginx.log" 2>&1 &
pids=$!
answers "http://127.0.0.1:$web_x/" 'This is the web server of host X.'

echo "# nginx serves host X at 127.0.0.1:$web_x and host Y at 127.0.0.1:$web_y. One link joins the hosts:"
start host-x "$sockmuxd" -f SOXCONF=control:no SERVER=sockmux "-P127.0.0.1:$link" "PORT=127.0.0.1:$port_x" "DEST=127.0.0.1:$web_x"
x=$pid
start host-y "$sockmuxd" -f SOXCONF=control:no "SERVER=sockmux://127.0.0.1:$link" "PORT=127.0.0.1:$port_y" \
  "SERVER=http://127.0.0.1:$web_y,-in"
y=$pid

# get URL TEXT: shows the command and its output, which must be TEXT
get() {
  echo "\$ curl $1"
  got=$(curl -sS --max-time 10 "$1" 2>&1)
  echo "$got"
  [ "$got" = "$2" ] || fail "expected: $2"
}

answers "http://127.0.0.1:$port_y/" 'This is the web server of host X.'
echo '# From host Y through the link to the web server of host X, and the other way:'
get "http://127.0.0.1:$port_y/" 'This is the web server of host X.'
get "http://127.0.0.1:$port_x/" 'This is the web server of host Y.'

echo "# A file of $kMib MiB, and its checksum at both ends:"
echo "\$ curl http://127.0.0.1:$port_y/large | cksum"
begin=$(now_ms)
curl -sS --max-time 120 -o "$temp/copy" "http://127.0.0.1:$port_y/large" || fail 'the download broke'
end=$(now_ms)
there=$(cksum <"$temp/x/large")
here=$(cksum <"$temp/copy")
echo "$here"
[ "$here" = "$there" ] || fail "the file itself has: $there"
echo "# equal to the file's own, after $((end - begin)) ms"

echo '# The daemon of host X dies, and is started again:'
echo "\$ kill -9 $x"
kill -9 "$x" || fail 'it was dead already'
wait "$x" 2>/dev/null
start host-x "$sockmuxd" -f SOXCONF=control:no SERVER=sockmux "-P127.0.0.1:$link" "PORT=127.0.0.1:$port_x" "DEST=127.0.0.1:$web_x"
x=$pid
begin=$(now_ms)
answers "http://127.0.0.1:$port_y/" 'This is the web server of host X.'
end=$(now_ms)
get "http://127.0.0.1:$port_y/" 'This is the web server of host X.'
get "http://127.0.0.1:$port_x/" 'This is the web server of host Y.'
echo "# works again, $((end - begin)) ms after the start"

echo '# A polite end:'
echo "\$ kill $x $y"
kill "$x" "$y" || fail 'a daemon had died'
wait "$x" || fail "host X's daemon ended with status $?"
wait "$y" || fail "host Y's daemon ended with status $?"
echo 'All of it worked.'
