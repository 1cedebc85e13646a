#!/bin/sh
# The documents agree with the programs: test_docs.sh, with SOCKMUXD=path of the daemon, SOCKMUXCTL=path of sockmuxctl
# (else beside it). Ends with "N passed, N failed".
#
# The names and options that the code knows (tables in config/ and tools/), `sockmuxd -h`, `sockmuxctl -h`, the manual pages and README.md say the
# same, and each example of theirs passes `sockmuxd -t`.
set -u
LC_ALL=C
export LC_ALL
SOCKMUXCTL=${SOCKMUXCTL-$(dirname "$SOCKMUXD")/sockmuxctl}
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
passed=0 failed=0

ok() { passed=$((passed + 1)); }
bad() {
  echo "FAILED: $1"
  failed=$((failed + 1))
}

# same NAME: are the words in $temp/a and $temp/b the same?
same() {
  sort -u "$temp/a" >"$temp/a1"
  sort -u "$temp/b" >"$temp/b1"
  if [ ! -s "$temp/a1" ]; then
    bad "$1: found nothing to compare"
  elif cmp -s "$temp/a1" "$temp/b1"; then
    ok
  else
    bad "$1: only in the first: $(comm -23 "$temp/a1" "$temp/b1" | tr '\n' ' '); only in the second: $(
      comm -13 "$temp/a1" "$temp/b1" | tr '\n' ' ')"
  fi
}

# array NAME: the first text of each entry of a table in config/
array() { sed -n "/[ :]$1\\[\\] = {/,/^};/p" config/*.cc; }
# list NAME: the words of a text with commas in config/
list() { sed -n "/[ :]$1\\[\\] =$/,/;$/p" config/*.cc | grep -o '"[^"]*"' | tr '",' '[\n*]' | grep .; }
names() { grep -o '"[A-Z][A-Z0-9_]*"' | tr -d '"'; }
# section NAME: a subsection of sockmux.conf(5)
section() { sed -n "/^\\.Ss $1/,/^\\.S[hs] [^$(printf %.1s "$1")]/p" man/sockmux.conf.5; }
capitals() { grep -v '^\.' | tr -c 'A-Z0-9_\n' '\n' | grep '^[A-Z][A-Z0-9_][A-Z0-9_][A-Z0-9_]*$'; }

"$SOCKMUXD" -h >"$temp/help" 2>&1 || bad "-h ended with status $?"

"$SOCKMUXCTL" -h >"$temp/ctl-help" 2>&1 || bad "sockmuxctl -h ended with status $?"

# One screen of an old terminal.
for help in help ctl-help; do
  wide=$(awk 'length($0) > 80' "$temp/$help")
  if [ -z "$wide" ] && [ "$(wc -l <"$temp/$help")" -le 24 ]; then ok; else bad "-h is more than 24 lines of 80: $wide"; fi
done

# --- names of parameters
array kHandlers | grep -o '{"[A-Z]*", true' | names | sort -u >"$temp/obeyed"
cp "$temp/obeyed" "$temp/a"
sed -n 's/^\.It Cm \(.*\)/\1/p' man/sockmux.conf.5 | grep -o '^[A-Z][A-Z]*=' | tr -d = >"$temp/b"
same 'parameters: code, sockmux.conf(5)'
sed -n '/^## Options/,/^All of it/p' README.md | grep '^|' | tr '`' '@' | grep -o '@[A-Z][A-Z]*@' | tr -d @ >"$temp/b"
same 'parameters: code, README'
grep -o '[A-Z][A-Z]*' "$temp/help" | sort -u | comm -12 - "$temp/obeyed" >"$temp/b"
same 'parameters: code, sockmuxd -h'

list kIgnored >"$temp/a"
section 'Accepted without effect' | capitals | grep -v -x -e TIMEOUT -e MAXIMA >"$temp/b"
same 'parameters without effect: code, sockmux.conf(5)'
array kRefused | grep -o '"[A-Z][A-Z0-9_,]*"' | tr '",' '[\n*]' | grep . >"$temp/a"
section Refused | capitals | grep -v -x -e NAME -e URL >"$temp/b"
same 'refused parameters: code, sockmux.conf(5)'

# --- options
# knows WHERE PATTERN FILE OPTION
knows() { if grep -q -e "$2" "$3"; then ok; else bad "option $4: not in $1"; fi; }

{ array kOptions && array kGlued; } | grep -o '{"-[A-Za-z-]*"' | tr -d '{"' | sort -u >"$temp/options"
[ -s "$temp/options" ] || bad 'options: found none in the code'
tr '`' ' ' <README.md >"$temp/readme"
while read -r option; do
  case $option in
  --*) knows 'sockmuxd(8)' "Fl Fl *${option#--}" man/sockmuxd.8 "$option" ;;
  *) knows 'sockmuxd(8)' "Fl ${option#-}" man/sockmuxd.8 "$option" ;;
  esac
  case $option in
  -[TDdSr]) continue ;; # without effect: in the manual only
  esac
  knows README "[ ,|(]$option" "$temp/readme" "$option"
  case $option in
  --* | -fv) continue ;; # other names
  esac
  knows 'sockmuxd -h' "[ ,|]$option" "$temp/help" "$option"
done <"$temp/options"

# --- what may be left out
sed -n 's/.* = built_with("\([a-z0-9]*\)").*/\1/p' core/base/features.h >"$temp/a"
sed -n '/kFeatures\[\] =/,/};/p' core/base/features.h | grep -o '"[a-z0-9]*"' | tr -d '"' >"$temp/b"
same 'features: constants, kFeatures'
# shellcheck disable=SC2016  # backquotes of the page
sed -n '/^## What can be left out/,$p' docs/size.md | sed -n 's/^| `\([a-z0-9]*\)` | .*/\1/p' >"$temp/b"
same 'features: code, docs/size.md'
sed -n '/^WITHOUT_small =/,/[^\\]$/p' Makefile | tr -c 'a-z0-9\n' '\n' | grep -v -e '^small$' -e '^$' >"$temp/b"
echo udp >>"$temp/b"
same 'features: code, FLAVOUR=small and udp'

# --- what may be chosen when it is built; the last four are make's own
{
  sed -n '/^# What may be chosen/,/^BUILD ?=/p' Makefile | sed -n 's/^\([A-Z_]*\) ?\{0,1\}=.*/\1/p' | grep -v -e '^SYSTEM_' -e '^BUILD_'
  printf '%s\n' CPPFLAGS CFLAGS LDFLAGS LDLIBS
} >"$temp/a"
sed -n '/^| variable/,/^$/p' README.md | tr '`' '@' | grep -o '@[A-Z_]*[=@]' | tr -d '@=' | grep . >"$temp/b"
same 'variables: Makefile, README'
${MAKE:-make} -s help | sed '1,/^What may be chosen/d' | sed 's/   .*//' | grep -o '[A-Z_]*=' | tr -d = >"$temp/b"
same 'variables: Makefile, make help'
# wrong "NAME=value ..." TEXT: is that what make says?
# shellcheck disable=SC2086  # lists of words
wrong() {
  if ${MAKE:-make} $1 help >"$temp/out" 2>&1; then bad "make $1 does not fail"; elif grep -q "$2" "$temp/out"; then ok; else bad "make $1: $(cat "$temp/out")"; fi
}
wrong SECURE=foo 'SECURE=foo: expected SECURE=no or sodium'
wrong POLLER=foo 'POLLER=foo: expected POLLER=.*epoll.* or poll'
wrong STATIC=yes 'STATIC=yes: expected STATIC=1 or nothing'
wrong WITHOUT=foo 'WITHOUT=foo: expected some of bind '
wrong 'FLAVOUR=small WITHOUT=help' 'FLAVOUR=small and WITHOUT=: expected one of them'
wrong 'SANITIZE=1 STATIC=1' 'SANITIZE=1 and STATIC=1: expected one of them'

# --- sockmuxctl: commands, options, exit codes
sed -n '/kCommands\[\] = {/,/^};/s/^ *{"\([a-z]*\)".*/\1/p' tools/ctl/sockmuxctl.cc >"$temp/a"
cp "$temp/a" "$temp/commands"
sed -n 's/^\.It Cm \([a-z]*\).*/\1/p' man/sockmuxctl.8 >"$temp/b"
same 'commands: code, sockmuxctl(8)'
sed -n 's/^  \([a-z]\{1,\}\) .*/\1/p' "$temp/ctl-help" >"$temp/b"
same 'commands: code, sockmuxctl -h'
grep -o 'w == "-[A-Za-z-]*"' tools/ctl/sockmuxctl.cc | grep -o -e '-[A-Za-z-]*' | grep -v -x -e - -e -- >"$temp/a"
sed -n 's/^\.It Fl \([a-zA-Z]\).*Fl Fl \([a-z]*\).*/-\1 --\2/p' man/sockmuxctl.8 | tr ' ' '\n' >"$temp/b"
same 'options: code, sockmuxctl(8)'
grep '^  -' "$temp/ctl-help" | grep -o -e '-[A-Za-z-]*' | grep -v -x -e - >"$temp/b"
same 'options: code, sockmuxctl -h'
sed -n '/^constexpr int k/,/;/p' tools/ctl/ctl.h | grep -o '[0-9][0-9]' >"$temp/a"
echo 66 >>"$temp/a" # of transport/secure/key_file.cc, as 77 and 78
sed -n '/^\.Sh EXIT/,/^\.Sh SEE/s/^\.It \([0-9]*\)$/\1/p' man/sockmuxctl.8 >"$temp/b"
same 'exit codes: code, sockmuxctl(8)'
# Those of its examples that ask or make something cannot be run here: they are commands, at least.
{ sed -n 's/^\.Dl sockmuxctl \([a-z]*\).*/\1/p' man/sockmuxctl.8 && sed -n 's/^    host[XY]# sockmuxctl \([a-z]*\).*/\1/p' README.md; } |
  sort -u >"$temp/used"
if [ -s "$temp/used" ] && [ -z "$(sort "$temp/commands" | comm -23 "$temp/used" -)" ]; then ok; else bad 'examples of sockmuxctl that are no commands'; fi
sed -n '/kCommands\[\] = {/,/};/s/^ *{"\([a-z]*\)", [a-z].*/\1/p' daemon_control.cc >"$temp/a"
sed -n '/^What may be asked is$/,/^A$/s/^\.Li //p' man/sockmuxctl.8 | tr ' ' '\n' | grep -x '[a-z]*' | grep -v -x channel >"$temp/b"
same 'questions: daemon, sockmuxctl(8)'

# --- the doctor's causes
cat tools/ctl/doctor*.cc | tr '\n' ' ' | grep -o 'fail( *[A-Za-z:]*, *"[^:%]*:' | sed 's/.*"\(.*\):/\1/' | tr ' ' _ >"$temp/a"
sed -n '/^\.Ss The doctor/,/^\.S[hs] [^T]/s/^\.It Sy \(.*\)/\1/p' man/sockmuxctl.8 | sed 's/ , /,/g' | tr ', ' '\n_' >"$temp/b"
same 'causes: doctor, sockmuxctl(8)'

# --- events of the log
cat ./*.cc ./*.h core/*/*.cc transport/*.cc relay/*.cc relay/*/*.cc | grep -e 'LogLine(' -e 'LogLine [a-z]*(' |
  sed 's/)\..*//' | grep -o '"[a-z][a-z-]*"' | tr -d '"' >"$temp/a"
sed -n '/^\.Sh DIAGNOSTICS/,/^\.Sh SEE/s/^\.It Li \(.*\)/\1/p' man/sockmuxd.8 | tr -d , | tr ' ' '\n' | grep . >"$temp/b"
same 'events: code, sockmuxd(8)'

# --- examples
cat >"$temp/sockmux.conf" <<'END'
SERVER=sockmux
-P127.0.0.1:9000
PORT=9023
END

# example WHERE LINE: does `sockmuxd -t` like it, or say only that it is not in this version?
example() {
  words=$(echo "$2" | sed -e 's/host[XYTU]/127.0.0.1/g' -e "s|/etc/sockmux.conf|$temp/sockmux.conf|")
  if (eval "set -- $words" && "$SOCKMUXD" -t "$@") >"$temp/out" 2>"$temp/err" </dev/null; then
    ok
  elif [ "$1" = page5 ] && ! grep -v 'not in this version' "$temp/err"; then
    ok
  else
    bad "$1: sockmuxd $2"
    cat "$temp/err"
  fi
}

# A line that ends with a backslash goes on.
commands() {
  sed -e ':a' -e '/\\$/N' -e 's/\\\n *//' -e 'ta' | sed -n -e 's/ *&$//' \
    -e 's/^ *\([a-zA-Z]*[$#] \)\{0,1\}\(\.\/\)\{0,1\}sockmuxd \(.*\)/\3/p'
}

sed -n 's/^    //p' README.md | commands >"$temp/readme"
# Those in tables
sed -n 's/^| .*/&/p' README.md | tr '`' '\n' | sed -n -e 's/^sockmuxd \(.*=.*\)/\1/p' >>"$temp/readme"
sed -e 's/^\.Dl //' -e 's/\\e$/\\/' man/sockmuxd.8 | commands >"$temp/page8"
sed -n 's/^\.Dl //p' man/sockmux.conf.5 >"$temp/page5"
for where in readme page8 page5; do
  [ -s "$temp/$where" ] || bad "$where: no examples found"
  while read -r line; do
    case $where:$line in
    page5:*SERVER=sockmux*) ;;
    page5:*) line="SERVER=sockmux -P192.0.2.1:9000 $line" ;;
    esac
    example $where "$line"
  done <"$temp/$where"
done
sed -n '/^\.Bd/,/^\.Ed/{/^\./!p;}' man/sockmux.conf.5 | sed '/^SERVER=sockmux:/,/^OWNER/!d' >"$temp/sockmux.conf"
example 'the file in sockmux.conf(5)' +=/etc/sockmux.conf

# The example of a configuration: each of its parts alone
awk -v temp="$temp" '/^# ---/ { n++; close(out) } { out = temp "/part" n + 0; if (sub(/^#/, "") && /^[A-Z-]/) print >out }' packaging/sockmux.conf
for part in "$temp"/part[0-9]*; do
  grep -q -e '^SERVER=sockmux' "$part" || echo SERVER=sockmux://hostX:9000 >>"$part"
  example "packaging/sockmux.conf: $(head -n 1 "$part")" "+=$part"
done
if [ -s "$temp/part12" ]; then ok; else bad 'packaging/sockmux.conf: too few parts'; fi

# What users expect: each row of docs/users.md names its tests, and they are there.
cat tests/*.cc tests/*/*.cc | sed -n 's/^TEST_CASE("\(.*\)") {.*/\1/p' | sed 's/\\"/"/g' >"$temp/cases"
rows=0
while read -r row; do
  rows=$((rows + 1))
  echo "$row" | sed 's/ |$//; s/.*| //' | tr '`' '\n' | awk 'NR % 2 == 0' >"$temp/tests"
  [ -s "$temp/tests" ] || bad "docs/users.md: no test: $row"
  while read -r name; do
    if case $name in
      make\ *) grep -q "^${name#make }:" Makefile ;;
      tests/* | tools/*) [ -f "$name" ] ;;
      *) grep -q -x -F -e "$name" "$temp/cases" ;;
      esac
    then ok; else bad "docs/users.md: no test \"$name\""; fi
  done <"$temp/tests"
done <<END
$(grep '^| ' docs/users.md | grep -v -e '^| pain ' -e '^| convention ')
END
if [ "$rows" -ge 23 ]; then ok; else bad "docs/users.md: $rows rows"; fi

# What `make bench` says of its goals
if command -v python3 >/dev/null; then
  if python3 tests/test_bench.py >"$temp/bench" 2>&1; then ok; else
    bad 'the arithmetic of make bench'
    cat "$temp/bench"
  fi
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
