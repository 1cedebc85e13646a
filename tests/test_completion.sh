#!/bin/sh
# Shell completion offers what the programs know: test_completion.sh. Ends with "N passed, N failed".
#
# The lists of tools/completion are compared with the tables in config/ and tools/; then, where python3 is there, each shell that is
# installed completes lines on a terminal (test_completion.py).
set -u
LC_ALL=C
export LC_ALL
. tests/check.sh

quoted() { grep -o '"[^"]*"' | tr -d '"' | sort -u; }
table() { sed -n "/[ :]$1\\[\\] = {/,/^};/p" "$2" | grep -o '{"[^"]*"' | quoted; }
# list VARIABLE: of the bash file, and of the zsh file if it has it too
list() { sed -n "s/^_sockmux_$1='\\(.*\\)'$/\\1/p" tools/completion/sockmux.bash | tr ' ' '\n' | sort -u; }
zlist() { sed -n "s/^$1=(\\(.*\\))$/\\1/p" tools/completion/_sockmux | tr ' ' '\n' | sort -u; }

# same NAME BASH ZSH: are the lists in $temp/code, of the bash file and of the zsh file the same?
same() {
  list "$2" >"$temp/bash"
  zlist "$3" >"$temp/zsh"
  check "$1: something to compare" test -s "$temp/code"
  check "$1: code and bash" diff "$temp/code" "$temp/bash"
  check "$1: code and zsh" diff "$temp/code" "$temp/zsh"
}

sed -n '/[ :]kHandlers\[\] = {/,/^};/p' config/parse.cc | grep -o '{"[A-Z]*", true' | quoted >"$temp/code"
same parameters parameters parameters
{ table kOptions config/parse.cc && table kGlued config/parse.cc && echo --; } | grep -v -e '^-[SrTDd]$' | sort -u >"$temp/code"
same options options options
table kTimeouts config/values.cc >"$temp/code"
same TIMEOUT timeout timeouts
table kMaxima config/values.cc >"$temp/code"
same MAXIMA maxima maxima
table kCommands tools/ctl/sockmuxctl.cc >"$temp/code"
same commands commands commands
grep -o 'w == "-[A-Za-z-]*"' tools/ctl/sockmuxctl.cc | quoted | grep -v -x -e - -e -- >"$temp/code"
same 'options of sockmuxctl' ctl_options ctl_options
{ grep -o -e 'w == "-[A-Za-z-]*"' -e 'is_option(w, "--[a-z]*"' tools/ctl/dump.cc | quoted | grep -v -x -e - -e -- && echo --payload=; } |
  sort -u >"$temp/code"
same 'options of sockmuxctl dump' dump_options dump_options
# Of these the lists have values, too.
sed -n 's/.* kSoxconf\[\] = "\(.*\)";/\1/p' config/values.cc | tr ',' '\n' | sort -u >"$temp/code"
list soxconf >"$temp/bash"
zlist soxconf >"$temp/zsh"
check 'SOXCONF and its values: bash and zsh' diff "$temp/bash" "$temp/zsh"
sed 's/:.*//' "$temp/bash" | sort -u >"$temp/words"
check 'SOXCONF: code and bash' diff "$temp/code" "$temp/words"
list server >"$temp/bash"
zlist server >"$temp/zsh"
check 'SERVER: bash and zsh' diff "$temp/bash" "$temp/zsh"
# Each value that is offered whole is one that the daemon takes.
list soxconf | grep -v ':$' >"$temp/values"
while read -r value; do
  check "SOXCONF=$value" "$SOCKMUXD" -t SERVER=sockmux -P9000 DEST=a:1 "SOXCONF=$value"
done <"$temp/values"

if command -v python3 >/dev/null; then
  shells=
  for shell in bash zsh; do
    if command -v $shell >/dev/null; then shells="$shells $shell"; fi
  done
  # shellcheck disable=SC2086  # a list of words
  check "typed, and TAB:$shells" python3 tests/test_completion.py tools/completion $shells
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
