#!/bin/sh
# The scripts of init/ do what their systems ask of them: test_init.sh, with SOCKMUXD=path of the daemon. Ends with "N passed, N failed".
#
# SysV's runs for real; those of FreeBSD, OpenBSD, OpenRC and OpenWrt over small fakes of what their systems bring (rc.subr(8),
# openrc-run(8), procd.sh, functions.sh), which do by the manuals what these scripts need; systemd's units go through systemd-analyze
# where there is one.
set -u
PATH=$PATH:/usr/sbin:/sbin
# shellcheck source=tests/check.sh disable=SC1091  # shellcheck follows only with -x
. tests/check.sh
trap 'stop_all; rm -rf "$temp"' EXIT
trap 'exit 1' HUP INT TERM
# Under a name of its own folder, so that nobody else's daemon is meant.
daemon=$temp/sockmuxd
ln -s "$SOCKMUXD" "$daemon"
chmod 777 "$temp"

stop_all() {
  for file in "$temp"/*.pid; do
    [ -s "$file" ] && kill -9 "$(cat "$file")" 2>/dev/null
  done
}

# until SECONDS COMMAND...: it comes true
until_true() {
  tries=$(($1 * 20))
  shift
  while ! "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo "never: $*" && return 1; }
    sleep 0.05
  done
}

# fails STATUS COMMAND...
fails() {
  wanted=$1
  shift
  status=0
  "$@" || status=$?
  [ "$status" -eq "$wanted" ] || { echo "status $status, not $wanted: $*" && return 1; }
}

says() { grep -F -e "$1" "$temp/said" >/dev/null || { echo "not said: $1" && cat "$temp/said" && return 1; }; }

# --- configurations: a hub with a port, and a branch whose server is `cat`; both leave their ports to the system
port_of() { sed -n "s/.*$1 are accepted at .*:\([0-9]*\)\$/\1/p" "$temp/said"; }
good=$temp/good.conf
cat >"$good" <<END
SERVER=sockmux
-P127.0.0.1:0
LOGFILE=$temp/log
SOXCONF=control:$temp/control
END
wrong=$temp/wrong.conf
printf 'SERVER=sockmux\n-P127.0.0.1:0\nPORTT=9000\n' >"$wrong"

# --- SysV
# A copy that knows these paths; the rest is as installed.
sysv() { # [with|without] CONFIG ACTION: of start-stop-daemon
  sed -e "s|^DAEMON=.*|DAEMON=$daemon|" -e "s|^CONFIG=.*|CONFIG=$2|" -e "s|^PIDFILE=/.*|PIDFILE=$temp/sysv.pid|" \
    -e "s|^PATH=.*|PATH=/bin:/usr/bin$([ "$1" = with ] && echo :/sbin:/usr/sbin)|" init/sysv/sockmux >"$temp/sysv-script"
  sh "$temp/sysv-script" "$3" >"$temp/said" 2>&1
}
# Not there any more, or only for who has to wait for it
gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
pid_now() { cat "$temp/sysv.pid"; }

sysv_life() {
  kind=$1
  if [ "$kind" = with ] && ! command -v start-stop-daemon >/dev/null; then return 0; fi
  fails 3 sysv "$kind" "$good" status && says 'is not running' || return
  sysv "$kind" "$good" start || { cat "$temp/said"; return 1; }
  sysv "$kind" "$good" status && says "is running, pid $(pid_now)" || return
  first=$(pid_now)
  sysv "$kind" "$good" start && says "is running already, pid $first" || return
  sysv "$kind" "$good" reload && until_true 5 grep retry-now "$temp/log" || return
  sysv "$kind" "$good" force-reload || return
  sysv "$kind" "$good" configtest && says 'is right' || return
  # A wrong file stops nothing.
  for action in configtest reload restart; do
    fails 78 sysv "$kind" "$wrong" "$action" && says "$wrong:3: " && ! says usage >/dev/null || return
    [ "$(pid_now)" = "$first" ] && kill -0 "$first" || return
  done
  sysv "$kind" "$good" restart && [ "$(pid_now)" != "$first" ] && until_true 5 gone "$first" || return
  first=$(pid_now)
  begin=$(date +%s)
  sysv "$kind" "$good" stop && until_true 5 gone "$first" || return
  # procd and others kill after 5 s
  [ $(($(date +%s) - begin)) -le 5 ] || return
  sysv "$kind" "$good" stop || return
  fails 3 sysv "$kind" "$good" status
}

# One that was killed, a number that is somebody else's, and what is not there.
sysv_odd() {
  sysv without "$good" start || return
  kill -9 "$(pid_now)"
  until_true 5 fails 1 sysv without "$good" status && says 'is dead' || return
  echo $$ >"$temp/sysv.pid"
  fails 1 sysv without "$good" status || return
  sysv without "$good" stop || return
  kill -0 $$ || return
  rm -f "$temp/sysv.pid"
  fails 7 sysv without "$good" reload && says 'is not running' || return
  fails 6 sysv without "$temp/none.conf" start && says "$temp/none.conf is not there" || return
  fails 2 sysv without "$good" fly && says usage
}

# Reload with a tunnel that is in use: not a byte is lost.
sysv_tunnel() {
  hub=$temp/hub.conf branch=$temp/branch.conf
  printf 'SERVER=sockmux\n-P127.0.0.1:0\nPORT=127.0.0.1:0\nSOXCONF=control:no\nLOGFILE=%s\n' "$temp/log" >"$hub"
  sysv without "$hub" start || return
  link=$(port_of links) port=$(port_of clients)
  printf 'SERVER=sockmux://127.0.0.1:%s\nSERVER="exec,-in(XCOM=cat)"\nPIDFILE=%s\nSOXCONF=control:no\nLOGFILE=\n' "$link" "$temp/branch.pid" >"$branch"
  "$daemon" "+=$branch" || return
  mkfifo "$temp/to"
  socat -u "OPEN:$temp/to,rdonly" - 2>/dev/null | timeout 30 socat -t 20 - "TCP:127.0.0.1:$port" >"$temp/echo" &
  exec 4>"$temp/to"
  echo one >&4
  until_true 10 grep one "$temp/echo" || return
  sysv without "$hub" reload || return
  until_true 5 grep retry-now "$temp/log" || return
  echo two >&4
  until_true 10 grep two "$temp/echo" || return
  exec 4>&-
  wait
  [ "$(cat "$temp/echo")" = "$(printf 'one\ntwo')" ] || return
  kill "$(cat "$temp/branch.pid")"
  sysv without "$hub" stop
}

# A PIDFILE= of the configuration, in whatever form the file may have it: the daemon is found, and stopped.
write_own() { { cat "$good" && echo "$1"; } >"$temp/own.conf"; }
sysv_pidfile() {
  echo "PIDFILE=$temp/own.pid" >"$temp/part.conf"
  for line in "PIDFILE=$temp/own.pid" "PIDFILE=\"$temp/own.pid\" # ours" "'PIDFILE=$temp/own.pid'" "+=$temp/part.conf"; do
    write_own "$line"
    sysv without "$temp/own.conf" start && sysv without "$temp/own.conf" status && says 'is running, pid' || return
    first=$(cat "$temp"/own.pid "$temp"/sysv.pid 2>/dev/null)
    sysv without "$temp/own.conf" stop && until_true 5 gone "$first" || return
  done
}
# Where the system's own pidfile is the one that counts
other_pidfile() {
  write_own "PIDFILE=$temp/own.pid"
  $1 "$temp/own.conf" start && $1 "$temp/own.conf" status || return
  [ ! -e "$temp/own.pid" ] && $1 "$temp/own.conf" stop && ! $1 "$temp/own.conf" status
}

# --- FreeBSD: rc.subr(8)
cat >"$temp/rc.subr" <<'END'
load_rc_config() { sockmux_enable=YES sockmux_config=$CONFIG sockmux_pidfile=$TEMP/freebsd.pid sockmux_program=$DAEMON; }
check_pidfile() { pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }
run_rc_command() {
  for file in $required_files; do [ -r "$file" ] || { echo "$file is not readable" >&2; return 1; }; done
  case " start stop restart status poll rcvar $extra_commands " in
  *" $1 "*) ;;
  *) echo "usage: $0 [fast|force|one|quiet](start|stop|restart|rcvar|enable|disable|delete|enabled|describe|extracommands $extra_commands)" >&2; return 1 ;;
  esac
  eval "_cmd=\${$1_cmd-} _pre=\${$1_precmd-}"
  [ -z "$_pre" ] || $_pre || return 1
  if [ -n "$_cmd" ]; then $_cmd; return; fi
  case $1 in
  start) check_pidfile "$pidfile" && { echo "already running?"; return 1; }; ${sockmux_program:-$command} ${sockmux_flags-} $command_args ;;
  stop) check_pidfile "$pidfile" || { echo "not running?"; return 1; }; kill -TERM "$pid"; while check_pidfile "$pidfile"; do sleep 0.05; done ;;
  restart) run_rc_command stop; run_rc_command start ;;
  reload) check_pidfile "$pidfile" || return 1; kill "-${sig_reload:-HUP}" "$pid" ;;
  status) check_pidfile "$pidfile" && echo "$name is running as pid $pid." || { echo "$name is not running."; return 1; } ;;
  esac
}
END
freebsd() {
  sed "s|^\. /etc/rc.subr|. $temp/rc.subr|" init/freebsd/sockmux >"$temp/freebsd-script"
  CONFIG=$1 TEMP=$temp DAEMON=$daemon sh "$temp/freebsd-script" "$2" >"$temp/said" 2>&1
}
freebsd_life() {
  fails 1 freebsd "$good" status && freebsd "$good" start && freebsd "$good" status && says 'is running as pid' || return
  first=$(cat "$temp/freebsd.pid")
  freebsd "$good" configtest && says 'is right.' && : >"$temp/log" && freebsd "$good" reload && until_true 5 grep retry-now "$temp/log" || return
  for action in configtest reload restart; do
    ! freebsd "$wrong" "$action" && says "$wrong:3: " && kill -0 "$first" || return
  done
  freebsd "$good" restart && [ "$(cat "$temp/freebsd.pid")" != "$first" ] && freebsd "$good" stop && fails 1 freebsd "$good" status
}

# --- OpenBSD: rc.subr(8) of 7.x; pgrep and pkill by the whole command line, which is an extended regular expression
cat >"$temp/rc.d-subr" <<'END'
daemon=$DAEMON daemon_flags="PIDFILE=$TEMP/openbsd.pid +=$CONFIG"
pexp="$daemon${daemon_flags:+ $daemon_flags}"
rc_check() { pgrep -xf "$pexp" >/dev/null; }
rc_start() { $daemon $daemon_flags; }
rc_reload() { pkill -HUP -xf "$pexp"; }
rc_stop() { pkill -TERM -xf "$pexp"; }
rc_cmd() {
  case $1 in
  check) rc_check ;;
  configtest) rc_configtest ;;
  start) rc_check || { rc_configtest && rc_start; } ;;
  stop) rc_check || return 0; rc_stop; while rc_check; do sleep 0.05; done ;;
  reload) rc_check && rc_configtest && rc_reload ;;
  restart) rc_configtest && rc_cmd stop && rc_cmd start ;;
  *) echo "usage: $0 [-df] check|configtest|reload|restart|start|stop" >&2; return 1 ;;
  esac
}
END
openbsd() {
  sed "s|^\. /etc/rc.d/rc.subr|. $temp/rc.d-subr|; /^daemon/d" init/openbsd/sockmux >"$temp/openbsd-script"
  CONFIG=$1 TEMP=$temp DAEMON=$daemon sh "$temp/openbsd-script" "$2" >"$temp/said" 2>&1
}
openbsd_life() {
  command -v pgrep >/dev/null || return 0
  ! openbsd "$good" check && openbsd "$good" start && openbsd "$good" check && openbsd "$good" configtest || return
  first=$(cat "$temp/openbsd.pid")
  : >"$temp/log"
  openbsd "$good" reload && until_true 5 grep retry-now "$temp/log" || return
  cp "$good" "$temp/kept.conf"
  cp "$wrong" "$good"
  for action in configtest reload restart; do
    ! openbsd "$good" "$action" && says "$good:3: " && kill -0 "$first" || return
  done
  cp "$temp/kept.conf" "$good"
  openbsd "$good" restart && [ "$(cat "$temp/openbsd.pid")" != "$first" ] && openbsd "$good" stop && ! openbsd "$good" check
}

# --- OpenRC: openrc-run(8), which starts and stops `command` with start-stop-daemon(8)
cat >"$temp/openrc-run" <<'END'
ebegin() { echo " * $* ..."; }
eend() { return "$1"; }
PATH=$TEMP/bin:$PATH
END
mkdir "$temp/bin"
cat >"$temp/bin/start-stop-daemon" <<'END'
#!/bin/sh
[ "$1 $2 $3" = '--signal HUP --pidfile' ] && kill -HUP "$(cat "$4")"
END
chmod 755 "$temp/bin/start-stop-daemon"
openrc() {
  { cat "$temp/openrc-run"; echo "RC_SVCNAME=sockmux RC_CMD=$2 cfgfile=$1"; sed "s|^command=/.*|command=$daemon|; s|^pidfile=.*|pidfile=$temp/openrc.pid|" init/openrc/sockmux
    cat <<'END'
running() { [ -s "$pidfile" ] && kill -0 "$(cat "$pidfile")" 2>/dev/null; }
case " start stop restart status $extra_commands $extra_started_commands " in
*" $1 "*) ;;
*) exit 64 ;;
esac
do_start() { start_pre && $command $command_args; }
do_stop() { stop_pre && kill -TERM "$(cat "$pidfile")" && while running; do sleep 0.05; done; }
case $1 in
start) do_start ;;
stop) do_stop ;;
restart) do_stop && do_start ;;
status) running ;;
*) "$1" ;;
esac
END
  } >"$temp/openrc-script"
  TEMP=$temp sh "$temp/openrc-script" "$2" >"$temp/said" 2>&1
}
openrc_life() {
  ! openrc "$good" status && openrc "$good" start && openrc "$good" status && openrc "$good" configtest || return
  first=$(cat "$temp/openrc.pid")
  : >"$temp/log"
  openrc "$good" reload && until_true 5 grep retry-now "$temp/log" || return
  for action in configtest reload restart; do
    ! openrc "$wrong" "$action" && says "$wrong:3: " && kill -0 "$first" || return
  done
  openrc "$good" restart && [ "$(cat "$temp/openrc.pid")" != "$first" ] && openrc "$good" stop && ! openrc "$good" status
}

# --- OpenWrt: functions.sh reads UCI, procd.sh tells procd
cat >"$temp/functions.sh" <<'END'
# Sections are numbered; CONFIG_<section>_<option>, and CONFIG_<section>_LIST_<option> with an item a line.
config_load() {
  SECTIONS= section=0
  while read -r word name value; do
    eval "value=$value"
    case $word in
    config) section=${value:-s$((${section#s} + 1))}; [ -n "$value" ] && last=$section
      section=s$((n = ${n:-0} + 1)); [ -n "$value" ] && eval "ID_$value=$section"
      eval "name=$name"; SECTIONS="$SECTIONS $section"; eval "TYPE_$section=\$name" ;;
    option) eval "CONFIG_${section}_$name=\$value" ;;
    list) eval "CONFIG_${section}_LIST_$name=\"\${CONFIG_${section}_LIST_$name-}\$value
\"" ;;
    esac
  done <<WORDS
$(grep -v '^[[:space:]]*#' "$UCI" | grep .)
WORDS
}
id() { eval "echo \${ID_$1-$1}"; }
config_get() { eval "$1=\${CONFIG_$(id "$2")_$3-${4-}}"; }
config_get_bool() {
  config_get "$1" "$2" "$3" "$4"
  eval "case \$$1 in 1|on|true|yes|enabled) $1=1 ;; *) $1=0 ;; esac"
}
config_foreach() {
  callback=$1 type=$2
  shift 2
  for each in $SECTIONS; do
    eval "kind=\$TYPE_$each"
    if [ "$kind" = "$type" ]; then "$callback" "$each" "$@"; fi
  done
}
config_list_foreach() {
  eval "items=\${CONFIG_$(id "$1")_LIST_$2-}"
  while read -r item; do
    if [ -n "$item" ]; then "$3" "$item"; fi
  done <<ITEMS
$items
ITEMS
}
END
cat >"$temp/procd.sh" <<'END'
procd_open_instance() { echo open; }
procd_close_instance() { echo close; }
procd_set_param() { echo "param $*"; }
procd_add_reload_trigger() { echo "config-trigger $*"; }
procd_add_reload_interface_trigger() { echo "interface-trigger $*"; }
procd_send_signal() { echo "signal $*"; }
logger() { echo "logger $*"; }
start() { start_service; }
END
# openwrt SHELL UCI FUNCTION
openwrt() {
  {
    cat "$temp/functions.sh" "$temp/procd.sh"
    sed "s|^PROG=.*|PROG=$daemon|" init/openwrt/sockmux.init
    # shellcheck disable=SC2016  # for the script
    echo '"$1"'
  } >"$temp/openwrt-script"
  UCI=$2 SOCKMUX_WORDS=$temp/var/sockmux.conf $1 "$temp/openwrt-script" "$3" >"$temp/said" 2>&1
}
cat >"$temp/uci" <<'END'
config sockmux 'main'
	option enabled '1'
	list reliable '192.168.1.0/24'
	list reliable '.localnet'
	list interface 'wan'
	list interface 'wwan'
	list word 'TIMEOUT=ping:30'
	list word 'SERVER="exec,-in:-:-P7:-in(XCOM=cat)"'
config link
	option to 'hub.example.org:9000'
config link
	option to '192.0.2.1:9001'
config port
	option listen '127.0.0.1:9080'
config port 'dns'
	option listen '127.0.0.1:53'
	option proto 'udp'
config server
	option to '127.0.0.1:22'
	option protocol 'ssh'
	option port '2222'
config server
	option to '127.0.0.1:53'
	option proto 'udp'
config server
	option protocol 'socks'
	option port '1080'
END
sed -i.orig '/XCOM/d' "$temp/uci"
openwrt_words() {
  openwrt "$1" "$temp/uci" start_service || { cat "$temp/said"; return 1; }
  cat >"$temp/wanted" <<'END'
RELIABLE=192.168.1.0/24,.localnet
TIMEOUT=ping:30
SERVER=sockmux://hub.example.org:9000
SERVER=sockmux://192.0.2.1:9001
PORT=127.0.0.1:9080
PORT=127.0.0.1:53/udp
SERVER=ssh://127.0.0.1:22,-in:-:-P2222
DEST=127.0.0.1:53/udp
SERVER=socks,-in:-:-P1080
END
  grep -v '^#' "$temp/var/sockmux.conf" | diff "$temp/wanted" - || return
  "$daemon" -t "+=$temp/var/sockmux.conf" >/dev/null || return
  for line in "param command $daemon -f +=$temp/var/sockmux.conf" "param file $temp/var/sockmux.conf" 'param respawn 3600 5 0' 'param reload_signal HUP'; do
    says "$line" || return
  done
  openwrt "$1" "$temp/uci" service_triggers && says 'config-trigger sockmux' && says 'interface-trigger wan' && says 'interface-trigger wwan' || return
  openwrt "$1" "$temp/uci" reload_service && says 'signal sockmux' && openwrt "$1" "$temp/uci" configtest && says 'is right' || return
  # A wrong one is told of, and what runs keeps its words.
  { cat "$temp/uci"; printf "config port\n\toption listen 'nonsense:x'\n"; } >"$temp/uci-wrong"
  openwrt "$1" "$temp/uci-wrong" start_service && says 'nonsense:x' && says logger && says "+=$temp/var/sockmux.conf" || return
  grep -v '^#' "$temp/var/sockmux.conf" | diff "$temp/wanted" - || return
  ! openwrt "$1" "$temp/uci-wrong" configtest || return
  # Nothing starts that is not enabled, as it comes.
  openwrt "$1" init/openwrt/sockmux.config start_service && ! grep open "$temp/said" && [ ! -e "$temp/var/sockmux.conf" ] || return
  # As it comes it is right, once the link is.
  sed "s/option enabled '0'/option enabled '1'/" init/openwrt/sockmux.config >"$temp/uci-shipped"
  openwrt "$1" "$temp/uci-shipped" start_service && grep -q '^SERVER=sockmux://hub.example.org:9000$' "$temp/var/sockmux.conf" && rm -f "$temp/var/sockmux.conf" || return
  # One with keys, one that listens, ports of the other side, a file.
  printf '%s\n' 'SOXCONF=name:x' >"$temp/more.conf"
  cat >"$temp/uci-keys" <<END
config sockmux main
	option enabled yes
	option config '$temp/more.conf'
config link
	option to hub.example.org:9000
	option secure 1
	option peer hub
config link
	option listen 127.0.0.1:9000
config remote
	option listen 2222
END
  openwrt "$1" "$temp/uci-keys" make_words || return
  made=$(grep -v '^#' "$temp/var/sockmux.conf.new" | tr '\n' ' ')
  [ "$made" = "+=$temp/more.conf SERVER=sockmuxs://hub@hub.example.org:9000 SERVER=sockmux -P127.0.0.1:9000 RPORT=2222 " ] || { echo "$made" && return 1; }
}

# --- systemd
systemd_verifies() { # FILE
  mkdir -p "$temp/units/sbin"
  sed "s|/usr/sbin/sockmuxd|$daemon|; /^Documentation=/d; s|^User=sockmux|User=nobody|" "$1" >"$temp/units/${1##*/}"
  case $1 in
  *@*) set -- "$temp/units/sockmux@one.service" && cp "$temp/units/sockmux@.service" "$1" ;;
  *) set -- "$temp/units/sockmux.service" ;;
  esac
  systemd-analyze verify "$1" >"$temp/verify" 2>&1
  # A user of this test's, whom systemd does not like for services
  ! grep -v 'nobody' "$temp/verify" | grep .
}
systemd_security() { systemd-analyze security --offline=yes --threshold=20 "$1"; }
# The watchdog is fed from the daemon's own loop; the unit lets as much time as a start may take.
systemd_says() {
  # shellcheck disable=SC2016  # for systemd
  for line in Type=notify WatchdogSec=30 'ExecReload=!/bin/kill -HUP $MAINPID' Restart=on-failure; do
    grep -qxF "$line" "$1" || { echo "no $line" && return 1; }
  done
}

shells='sh'
for shell in dash mksh; do command -v "$shell" >/dev/null && shells="$shells $shell"; done
command -v busybox >/dev/null && shells="$shells busybox_ash"
busybox_ash() { busybox ash "$@"; }

if command -v shellcheck >/dev/null; then
  for script in init/sysv/sockmux init/openwrt/sockmux.init init/openrc/sockmux init/freebsd/sockmux; do check "shellcheck $script" shellcheck -s sh "$script"; done
  check 'shellcheck init/openbsd/sockmux' shellcheck -s ksh init/openbsd/sockmux
fi
if [ "$(id -u)" = 0 ]; then
  check 'SysV, with start-stop-daemon' sysv_life with
  check 'SysV, without start-stop-daemon' sysv_life without
  check 'SysV: killed, missing, somebody else' sysv_odd
  check 'SysV: reload with a live tunnel' sysv_tunnel
  check 'SysV: a PIDFILE= of the configuration' sysv_pidfile
  check 'FreeBSD rc.subr' freebsd_life
  check 'FreeBSD rc.subr: a PIDFILE= of the configuration' other_pidfile freebsd
  check 'OpenBSD rc.d' openbsd_life
  check 'OpenRC' openrc_life
  check 'OpenRC: a PIDFILE= of the configuration' other_pidfile openrc
fi
for shell in $shells; do check "OpenWrt: UCI to words, under $shell" openwrt_words "$shell"; done
for unit in init/systemd/sockmux.service init/systemd/sockmux@.service; do
  check "$unit" systemd_says "$unit"
  command -v systemd-analyze >/dev/null || continue
  check "systemd-analyze verify $unit" systemd_verifies "$unit"
  check "systemd-analyze security $unit: at most 2.0" systemd_security "$unit"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
