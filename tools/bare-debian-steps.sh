# shellcheck shell=sh disable=SC2154  # the variables of who reads it
# What an operator does with the package, step by step, on the two machines of tools/bare-debian-package.sh, which reads this: `on`
# runs a command of a machine, `wire` one of ours in its network, `check` counts.

# A server for both: a page that says who it is, and an echo of each line for who asks for no page.
cat >"$temp/server.py" <<'PY'
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline()
        if line.startswith(b'GET'):
            while self.rfile.readline().strip(): pass
            self.wfile.write(b'HTTP/1.0 200 OK\r\n\r\nthis is the server of ' + sys.argv[1].encode() + b'\n')
            return
        while line:
            self.wfile.write(line)
            line = self.rfile.readline()
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
Server(('127.0.0.1', int(sys.argv[2])), Handler).serve_forever()
PY
# A connection that stays open: what comes in goes there and back, line by line.
cat >"$temp/live.py" <<'PY'
import socket, sys
s = socket.create_connection(('127.0.0.1', 9080), 30)
s.settimeout(30)
f = s.makefile('rb')
for line in sys.stdin:
    s.sendall(line.encode())
    sys.stdout.write(f.readline().decode())
    sys.stdout.flush()
PY

# snapshot NAME: all that is there, and its users; not what dpkg, apt and adduser keep about themselves, nor old copies of the tables of users
snapshot() {
  (cd "$temp/$1" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp -o -path ./var/cache -o -path ./var/log \
    -o -path ./var/lib/apt -o -path './var/lib/dpkg/[a-hj-z]*' -o -path './etc/*-' -o -name .pwd.lock -o -path ./run/adduser \) -prune \
    -o -printf '%y %m %u:%g %p %l\n' | sort && cat etc/passwd etc/group etc/shadow etc/gshadow)
}

# fetch NAME WHOSE [PORT]: a page through the tunnel
fetch() {
  wire "$1" curl -sS --retry 30 --retry-delay 1 --retry-all-errors --max-time 5 --retry-max-time 60 "http://127.0.0.1:${3-9080}/" |
    grep "this is the server of $2"
}

# running NAME: is there a daemon?
running() { on "$1" sh -c 'cat /proc/[0-9]*/comm 2>/dev/null' | grep sockmuxd; }
not() { ! "$@"; }
# has_word COMMAND: does the table of commands of these sources name it?
has_word() { grep -q "^ *{\"$1\"," tools/ctl/sockmuxctl.cc; }

# serve NAME: its server runs; $server_NAME is its number.
serve() {
  case $1 in hostX) there=$hostX ;; *) there=$hostY ;; esac
  nsenter --target "$there" --net python3 "$temp/server.py" "$1" 80 &
  eval "server_$1=\$!"
}

installs() { on "$1" dpkg -i /root/sockmux.deb; }
start_without_configuration() {
  if on "$1" service sockmux start >"$temp/said" 2>&1; then return 1; fi
  cat "$temp/said"
  grep '/etc/sockmux.conf is not there' "$temp/said" && not running "$1"
}
enabled_at_boot() { ls "$temp/$1"/etc/rc?.d/S*sockmux 2>/dev/null; }

for host in hostX hostY; do
  snapshot $host >"$temp/$host.before"
  cp "$temp/sockmux.deb" "$temp/$host/root/"
  check "$host: dpkg installs it" installs $host
  check "$host: it starts nothing by itself" not running $host
  check "$host: nor at boot" not enabled_at_boot $host
  check "$host: without /etc/sockmux.conf it does not start, and says why" start_without_configuration $host
done

echo '== keys, and four lines on each side'
keyX=$(on hostX sockmuxctl genkey) keyY=$(on hostY sockmuxctl genkey)
echo "branch1 $keyY" >"$temp/hostX/etc/sockmux/peers"
echo "hub $keyX" >"$temp/hostY/etc/sockmux/peers"
configure_hostX() { printf '%s\n' SERVER=sockmuxs -P9000 PORT=127.0.0.1:9080 DEST=127.0.0.1:80 >"$temp/hostX/etc/sockmux.conf"; }
configure_hostY() { printf '%s\n' "SERVER=sockmuxs://${1-hostX:9000}" PORT=127.0.0.1:9080 DEST=127.0.0.1:80 >"$temp/hostY/etc/sockmux.conf"; }
configure_hostX
configure_hostY
for host in hostX hostY; do
  check "$host: the configuration is right" on $host sockmuxd -t +=/etc/sockmux.conf
  serve $host
  check "$host: service sockmux start" on $host service sockmux start
done
check 'a page of hostY, from hostX' fetch hostX hostY
check 'a page of hostX, from hostY' fetch hostY hostX
for host in hostX hostY; do
  check "$host: service sockmux status" on $host service sockmux status
  # shellcheck disable=SC2016  # for the shell there
  check "$host: the daemon has become the user sockmux" on $host sh -c 'stat -c %U /proc/"$(cat /run/sockmux.pid)" | grep -x sockmux'
done

mkfifo "$temp/in" "$temp/back"
wire hostX python3 "$temp/live.py" <"$temp/in" >"$temp/back" &
exec 3>"$temp/in" 4<"$temp/back"
# live WORD: the connection that was opened once gives it back.
live() {
  echo "$1" >&3
  read -r answer <&4 && [ "$answer" = "$1" ]
}
check 'a connection is open through the tunnel' live one

if has_word status; then
  status_says() { on hostX sockmuxctl status >"$temp/said" && cat "$temp/said" && grep -w branch1 "$temp/said" && grep -w up "$temp/said"; }
  check 'sockmuxctl status names the peer, which is up' status_says
else
  echo 'not in this version: sockmuxctl status'
fi
if has_word reload; then
  reload_opens_a_port() {
    echo PORT=127.0.0.1:9081 >>"$temp/hostX/etc/sockmux.conf"
    on hostX "$@" && fetch hostX hostY 9081
  }
  check 'sockmuxctl reload: a new port is open' reload_opens_a_port sockmuxctl reload
  check 'the open connection went on' live two
  reload_refuses() {
    echo PROT=127.0.0.1:9082 >>"$temp/hostX/etc/sockmux.conf"
    if on hostX "$@" >"$temp/said" 2>&1; then return 1; fi
    cat "$temp/said"
    grep '/etc/sockmux.conf:6' "$temp/said"
  }
  check 'sockmuxctl reload: a wrong line is refused with its number' reload_refuses sockmuxctl reload
  check 'service sockmux reload: so does it' reload_refuses service sockmux reload
  check 'and what ran goes on' live three
  configure_hostX
  check 'service sockmux reload' on hostX service sockmux reload
  check 'the open connection went on' live four
else
  echo 'not in this version: sockmuxctl reload'
  check 'service sockmux reload' on hostX service sockmux reload
  check 'the open connection went on' live two
fi
exec 3>&- 4<&-

echo '== six things that are broken'
# broken HOST CAUSE: the doctor says so, and not that all is well
broken() {
  if on "$1" sockmuxctl doctor >"$temp/said" 2>&1; then
    cat "$temp/said"
    return 1
  fi
  cat "$temp/said"
  grep "^verdict: broken, because of $2" "$temp/said"
}
well() { on "$1" sockmuxctl doctor; }
# again HOST: with what its files say now, and a link that is tried at once
again() { on "$1" service sockmux restart; }
known_as() { echo "branch1 $1" >"$temp/hostX/etc/sockmux/peers"; }

if has_word doctor; then
  check 'doctor: all is well on hostX' well hostX
  check 'doctor: all is well on hostY' well hostY
  configure_hostY hostX:9001
  check 'hostY: restart' again hostY
  check 'doctor: wrong port' broken hostY 'wrong port'
  configure_hostY nohost:9000
  check 'hostY: restart' again hostY
  check 'doctor: name unknown' broken hostY 'name unknown'
  configure_hostY
  known_as "$(on hostX sockmuxctl genkey /tmp/other)"
  check 'hostX: restart' again hostX
  check 'hostY: restart' again hostY
  check 'doctor: wrong key' broken hostY 'wrong key'
  known_as "$keyY"
  check 'hostX: restart' again hostX
  check 'hostY: restart' again hostY
  check 'the key is right again' fetch hostY hostX
  kill "$server_hostX"
  check 'doctor: server down' broken hostY 'server down'
  serve hostX
  check 'the server is back' fetch hostY hostX
  printf '%s\n' SERVER=sockmux -P9000 DEST=127.0.0.1:80 SOXCONF=proto:0.3 >"$temp/hostX/etc/sockmux.conf"
  printf '%s\n' SERVER=sockmux://hostX:9000 PORT=127.0.0.1:9080 SOXCONF=proto:1 >"$temp/hostY/etc/sockmux.conf"
  check 'hostX: restart, to speak 0.3 alone' again hostX
  check 'hostY: restart' again hostY
  check 'doctor: peer too old' broken hostY 'peer too old'
  configure_hostX
  configure_hostY
  check 'hostX: restart' again hostX
  on hostY service sockmux stop
  nsenter --target "$hostY" --net python3 "$temp/server.py" hostY 9080 &
  taker=$!
  until_true wire hostY curl -s -o "$temp/trash" http://127.0.0.1:9080/
  check 'a port that is taken: no start' not on hostY service sockmux start
  check 'doctor: port taken' broken hostY 'port taken'
  kill "$taker"
  wait "$taker" 2>/dev/null
  check 'hostY: start' on hostY service sockmux start
  check 'a page again' fetch hostX hostY
  check 'doctor: all is well again' well hostY
else
  echo 'not in this version: sockmuxctl doctor'
fi

echo '== upgrades, and the end'
# another_after COMMAND...: then another daemon runs, which the init script knows, and pages come
another_after() {
  old=$(cat "$temp/hostX/run/sockmux.pid")
  "$@" && [ "$(cat "$temp/hostX/run/sockmux.pid")" != "$old" ] && on hostX service sockmux status && fetch hostX hostY
}
if has_word upgrade; then
  check 'sockmuxctl upgrade: another daemon takes its place, and pages come' another_after on hostX sockmuxctl upgrade
else
  echo 'not in this version: sockmuxctl upgrade'
fi
check 'an upgrade of the package starts it again, and pages come' another_after installs hostX
nothing_left() { snapshot "$1" | diff "$temp/$1.before" -; }
keeps_what_is_the_users() { [ -s "$temp/$1/etc/sockmux.conf" ] && [ -s "$temp/$1/etc/sockmux/key" ]; }
for host in hostX hostY; do
  check "$host: dpkg --remove" on $host dpkg --remove sockmux
  check "$host: nothing runs any more" not running $host
  check "$host: your configuration and key are kept" keeps_what_is_the_users $host
  check "$host: dpkg --purge" on $host dpkg --purge sockmux
  rm "$temp/$host/root/sockmux.deb"
  check "$host: no file is left, and no user" nothing_left $host
done
