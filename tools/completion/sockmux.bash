# Completion of sockmuxd(8) and sockmuxctl(8) for bash. As share/bash-completion/completions/sockmuxd, with a link named
# sockmuxctl. The lists are those of the programs: tests/test_completion.sh compares them.

_sockmux_parameters='BIND CHROOT DEST HOSTLIST HOSTS LOGFILE MAXIMA OWNER PERMIT PIDFILE PORT REACHABLE REJECT RELIABLE REMITTABLE RPORT SERVER SOXCONF SRCIF SYSLOG TIMEOUT UMASK'
_sockmux_options='-f -v -vv -fv -vd -vt -vs -vu -va -t -h --help -V --version -P -Q -e -F --'
_sockmux_server='sockmux sockmux:// sockmux:comm@ sockmux:comm@- sockmux:commin@ sockmux:commout@ sockmux:proc@ sockmuxs sockmuxs:// exec,-in ftp,-in http,-in socks,-in telnet,-in tcprelay:// udprelay://'
_sockmux_soxconf='packsize: crypt:no proto:auto proto:0.3 proto:1 key: peers: name: line:auto line:clean line:lossy mkfifo control: control:no sandbox:yes sandbox:no sandbox:trap send-proxy:v1 send-proxy:v2 send-proxy:no'
_sockmux_timeout='con lin io silence hello login dns ping retry renew resume'
_sockmux_maxima='listen conpch delegated udprelay memory halfopen opens channels links'

# Of the word before the cursor bash sees only what stands behind the last of COMP_WORDBREAKS (':' and '=' are among them): the
# whole of it goes to _sockmux_word, what bash does not replace to _sockmux_head.
_sockmux_word() {
  local line=${COMP_LINE:0:COMP_POINT} last=${COMP_WORDS[COMP_CWORD]}
  _sockmux_word=${line##*[$' \t']}
  case $last in
  : | = | :: | ://) last= ;;
  esac
  _sockmux_head=${_sockmux_word%"$last"}
  _sockmux_head=${_sockmux_head%@}  # which bash replaces with what stands behind it
}

# Offers those of the words that begin with what is there, without the part that bash keeps.
_sockmux_offer() {
  local word
  COMPREPLY=()
  while IFS= read -r word; do
    [ -n "$word" ] && COMPREPLY+=("${word#"$_sockmux_head"}")
  done < <(compgen -W "$1" -- "$_sockmux_word")
  case ${#COMPREPLY[@]}:${COMPREPLY[0]} in
  1:*[=:@/]) compopt -o nospace 2>/dev/null ;;
  esac
}

# Files behind the first $1 letters of the word.
_sockmux_files() {
  local name
  COMPREPLY=()
  while IFS= read -r name; do
    [ -d "$name" ] && name=$name/
    name=${_sockmux_word:0:$1}$name
    COMPREPLY+=("${name#"$_sockmux_head"}")
  done < <(compgen -f -- "${_sockmux_word:$1}")
  case ${COMPREPLY[0]} in
  */) compopt -o nospace 2>/dev/null ;;
  esac
}

# The words of $1 behind the last letter of $2 in the word: NAME=word:value,word:value
_sockmux_list() {
  local before=${_sockmux_word%"${_sockmux_word##*["$2"]}"} word words=
  local -a list
  read -ra list <<<"$1"
  for word in "${list[@]}"; do words+=" $before$word"; done
  _sockmux_offer "$words"
}

_sockmuxd() {
  local w words=
  _sockmux_word
  case $_sockmux_word in
  +=*) _sockmux_files 2 ;;
  PIDFILE=* | LOGFILE=* | CHROOT=*) w=${_sockmux_word%%=*} && _sockmux_files $((${#w} + 1)) ;;
  SOXCONF=*key:* | SOXCONF=*peers:* | SOXCONF=control:/*) w=${_sockmux_word%"${_sockmux_word##*:}"} && _sockmux_files ${#w} ;;
  SERVER=sockmux*:comm*@*) w=${_sockmux_word%"${_sockmux_word##*@}"} && _sockmux_files ${#w} ;;
  SERVER=*) _sockmux_list "$_sockmux_server" = ;;
  SOXCONF=*) _sockmux_list "$_sockmux_soxconf" =, ;;
  TIMEOUT=*) _sockmux_list "${_sockmux_timeout// /: }:" =, ;;
  MAXIMA=*) _sockmux_list "${_sockmux_maxima// /: }:" =, ;;
  RELIABLE=*) _sockmux_list '* .localnet localhost' =, ;;
  OWNER=*)
    while IFS= read -r w; do words+=" OWNER=$w"; done < <(compgen -u)
    _sockmux_offer "$words"
    ;;
  -*) _sockmux_offer "$_sockmux_options" ;;
  *) _sockmux_offer "${_sockmux_parameters// /= }= +=" ;;
  esac
}

_sockmux_commands='channels doctor dump genkey genpsk kick log metrics peers pubkey reload status top upgrade version'
_sockmux_ctl_options='-s --socket -j --json -n --count -i --interval -h --help -V --version'
_sockmux_dump_options='-w -r -c --for --payload --payload= -s --socket -h --help'
_sockmux_levels='silent terse usual debug'

_sockmux_peers() { sockmuxctl peers 2>/dev/null | awk 'NR > 1 && $1 != "-" { print $1 }'; }

_sockmuxctl() {
  local word command='' before=''
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $before:$word in
    -s:* | --socket:* | -n:* | --count:* | -i:* | --interval:*) ;;
    *:-*) ;;
    *) command=${command:-$word} ;;
    esac
    before=$word
  done
  _sockmux_word
  case $before:$command:$_sockmux_word in
  -s:* | --socket:*) _sockmux_files 0 ;;
  -n:* | --count:* | -i:* | --interval:*) COMPREPLY=() ;;
  -[wr]:dump:*) _sockmux_files 0 ;;
  -c:dump:* | --for:dump:*) COMPREPLY=() ;;
  *:dump:-*) _sockmux_offer "$_sockmux_dump_options" ;;
  *:*:-*) _sockmux_offer "$_sockmux_ctl_options" ;;
  *::*) _sockmux_offer "$_sockmux_commands" ;;
  *:genkey:* | *:pubkey:*) _sockmux_files 0 ;;
  *:doctor:*) _sockmuxd ;;
  *:log:*) _sockmux_offer "$_sockmux_levels" ;;
  *:dump:*) _sockmux_offer "$(_sockmux_peers)" ;;
  *:kick:*) _sockmux_offer "channel $(_sockmux_peers)" ;;
  esac
}

complete -F _sockmuxd sockmuxd
complete -F _sockmuxctl sockmuxctl
