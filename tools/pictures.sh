#!/bin/sh
# Makes the pictures of docs/pictures: what `make demo`, sockmuxctl status, top and doctor show, in a terminal of 80 columns.
#
# pictures.sh BUILD: with the programs of that folder, built with SECURE=sodium. A hub, two routers with keys of their own, and
# traffic between them; each picture is what tmux has on its screen, drawn by tools/picture.py. Needs tmux, nginx, curl, python3.
set -u
LC_ALL=C.UTF-8
export LC_ALL
build=${1:-build/sodium}
sockmuxd=$PWD/$build/sockmuxd sockmuxctl=$PWD/$build/sockmuxctl
out=docs/pictures
temp=$(mktemp -d)
pids=
cleanup() {
  tmux -L sockmux-pictures kill-server 2>/dev/null
  # shellcheck disable=SC2086  # a list of numbers
  [ -z "$pids" ] || kill $pids 2>/dev/null
  wait 2>/dev/null
  rm -rf "$temp"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$out"

fail() {
  echo "pictures.sh: $1" >&2
  for log in "$temp"/*.log; do [ ! -s "$log" ] || tail -n 5 "$log" >&2; done
  exit 1
}
# until COMMAND...: tries it for 20 s
await() {
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || fail "waited for: $*"
    sleep 0.1
  done
}
background() {
  log=$temp/$1.log
  shift
  "$@" >"$log" 2>&1 &
  pids="$pids $!"
}
shows() { tmux -L sockmux-pictures capture-pane -p -t "$1" | grep -q "$2"; }
# picture NAME TITLE COLUMNS ROWS COMMAND TEXT [SECONDS]: what stands on the screen once TEXT does, and so long after that
picture() {
  tmux -L sockmux-pictures -f /dev/null new-session -d -x "$3" -y "$4" -s "$1" "PATH=$temp/bin:\$PATH; $5; sleep 60"
  await shows "$1" "$6"
  sleep "${7:-0}"
  tmux -L sockmux-pictures capture-pane -e -p -t "$1" | sed -e "s|$temp|/etc/sockmux|g" >"$temp/$1.txt"
  tmux -L sockmux-pictures kill-session -t "$1"
  python3 tools/picture.py "$2" <"$temp/$1.txt" >"$out/$1.svg" || exit
  echo "$out/$1.svg"
}

mkdir "$temp/bin" "$temp/www"
ln -s "$sockmuxd" "$sockmuxctl" "$temp/bin"
head -c 300000000 /dev/zero >"$temp/www/large"
{
  echo "daemon off; master_process off; pid $temp/nginx.pid; error_log stderr; events { worker_connections 64; }"
  echo "http { access_log off; server { listen 127.0.0.1:18080; root $temp/www;"
  # /300k: the large file at that rate
  # shellcheck disable=SC2016  # nginx expands it
  echo 'location ~ "^/(?<rate>[0-9]+[km])$" { limit_rate $rate; rewrite ^ /large break; } } }'
} >"$temp/nginx.conf"
background nginx nginx -p "$temp" -c "$temp/nginx.conf"
for who in hub router1 router2; do
  "$sockmuxctl" genkey "$temp/$who.key" >"$temp/$who.pub" || fail "no keys: $build has no secure links"
  chmod a+r "$temp/$who.pub"
done
{
  echo "router1 $(cat "$temp/router1.pub") PORT=12201"
  echo "router2 $(cat "$temp/router2.pub") PORT=12202"
} >"$temp/hub.peers"
echo "hub $(cat "$temp/hub.pub")" >"$temp/router.peers"
chmod a+rx "$temp"
background hub "$sockmuxd" -f "SOXCONF=key:$temp/hub.key,peers:$temp/hub.peers,control:$temp/hub.sock" SERVER=sockmuxs -P127.0.0.1:19000 PORT=127.0.0.1:19080 DEST=127.0.0.1:18080
for n in 1 2; do
  background "router$n" "$sockmuxd" -f "SOXCONF=key:$temp/router$n.key,peers:$temp/router.peers,control:no" SERVER=sockmuxs://127.0.0.1:19000 \
    RPORT=1220$n PORT=127.0.0.1:1808$n DEST=127.0.0.1:18080
done
for port in 18081 18082 12201 12202; do await curl -sf -o "$temp/trash" -r 0-9 "http://127.0.0.1:$port/large"; done
for rate in 3m 700k 120k; do background "load$rate" curl -s -o "$temp/x$rate" http://127.0.0.1:18081/$rate; done
background load2 curl -s -o "$temp/x2" http://127.0.0.1:12202/1500k
background load3 curl -s -o "$temp/x3" http://127.0.0.1:12201/40k

sleep 5 # so that there is something to see
picture status '$ sockmuxctl status' 80 30 "sockmuxctl -s $temp/hub.sock status" 'router2'
picture top '$ sockmuxctl top' 80 18 "sockmuxctl -s $temp/hub.sock top" 'rx [1-9].*M/s' 20
cat >"$temp/router.conf" <<END
SERVER=sockmuxs://127.0.0.1:19000
SOXCONF=key:$temp/router1.key,peers:$temp/router.peers,control:$temp/none.sock
PORT=127.0.0.1:18083
DEST=127.0.0.1:18090
END
picture doctor '$ sockmuxctl doctor +=/etc/sockmux.conf' 80 34 "sockmuxctl doctor +=$temp/router.conf" 'do'
picture demo '$ make demo' 110 34 'SOCKMUXD=sockmuxd sh tools/demo.sh' 'All of it worked'
