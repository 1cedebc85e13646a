#!/bin/sh
# Checks who includes whom (README.md, "A tour of the sources"), and that the Makefile's lists name what is there.
#
#   check-includes.sh [DIR]       checks the sources in DIR (.); ends with "N passed, N failed"
#   check-includes.sh --self-test proves on bad sources in a temporary folder that each rule can fail
set -eu
LC_ALL=C
export LC_ALL

kRooms='core/base core/mux core/io core/control core/session transport transport/secure relay relay/text relay/bind config config/peers'
kMaxModules=24 # a folder; x.h and x.cc are one, and so are those of which the Makefile takes one
kMaxLines=400  # a file; only a warning

# may ROOM: the rooms that files in ROOM may include, beside itself
may() {
  case $1 in
  core/base) echo ;;
  core/mux | core/io) echo core/base ;;
  core/control) echo core/base core/io ;;
  core/session) echo core/base core/mux core/io ;;
  transport/secure) echo core/base core/mux core/io ;;
  transport) echo core/base core/mux core/io core/session transport/secure ;;
  relay/text) echo core/base ;;
  relay) echo core/base core/mux core/io core/session relay/text ;;
  config) echo core/base core/mux core/io core/session ;;
  relay/bind) echo core/base core/mux core/io core/session relay ;;
  config/peers) echo core/base core/mux core/io core/session config ;;
  esac
}

# pure FILE: must it do without system calls?
pure() {
  case $1 in
  core/base/check.cc | config/file.* | config/peers/table.* | transport/secure/key_file.*) return 1 ;;
  core/base/* | core/mux/* | relay/text/* | config/* | transport/secure/*) return 0 ;;
  esac
  return 1
}

has() { case " $2 " in *" $1 "*) return 0 ;; esac; return 1; }

# check_file ROOM FILE: prints what is wrong, one line a fault
check_file() {
  allowed="$1 $(may "$1")"
  sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*\(["<][^">]*[">]\).*/\1/p' "$2" | while read -r what; do
    name=${what#?}
    name=${name%?}
    case $what in
    '"'*)
      room=${name%/*}
      if [ "$room" = "$name" ] || ! has "$room" "$kRooms"; then
        echo "$2: includes \"$name\": write the path from the top folder"
      elif ! has "$room" "$allowed"; then
        echo "$2: includes \"$name\": $1 may include only: $allowed"
      fi
      ;;
    '<sys/'* | '<unistd.h>' | '<poll.h>' | '<time.h>' | '<errno.h>')
      if pure "$2"; then echo "$2: includes $what: this code makes no system calls"; fi
      ;;
    esac
  done
}

# listed FILE: complains if no list of the Makefile has it
listed() {
  case $1 in
  core/io/poll_*.cc | core/io/sandbox_*.cc) return ;;  # chosen by POLLER and SANDBOX
  esac
  grep -q "[[:space:]]$1" Makefile || echo "$1: in no list of the Makefile"
}

# faults: checks the sources in the current folder; faults on standard output, warnings on standard error
faults() {
  for room in $kRooms; do
    [ -d "$room" ] || continue
    count=0
    for file in "$room"/*.h "$room"/*.cc; do
      [ -f "$file" ] || continue
      count=$((count + 1))
      check_file "$room" "$file"
      lines=$(wc -l <"$file")
      if [ "$lines" -gt "$kMaxLines" ]; then
        echo "warning: $file: $lines lines, more than $kMaxLines" >&2
      fi
      case $file in
      *.cc)
        listed "$file"
        ;;
      esac
    done
    [ "$count" -ne 1 ] || echo "$room: a folder of one file"
    modules=$(for file in "$room"/*.h "$room"/*.cc; do echo "${file%.*}"; done | grep -v '/\*$' |
      sed -e 's|/poll_.*|/poller|' -e 's|/sandbox_.*|/sandbox|' | sort -u | wc -l)
    [ "$modules" -le $kMaxModules ] || echo "$room: $modules modules, more than $kMaxModules"
  done
  for file in tests/*.cc tests/sim/*.cc tests/e2e/*.cc tests/kqueue/*.cc tests/secure/*.cc; do
    [ ! -f "$file" ] || listed "$file"
  done
}

# fails TEXT LINE FILE: with LINE in FILE, the faults name TEXT
fails() {
  mkdir -p "$(dirname "$3")"
  echo "$2" >"$3"
  if faults 2>&1 | grep -q "$1"; then
    passed=$((passed + 1))
  else
    echo "self-test: \"$2\" in $3 was not found out"
    failed=$((failed + 1))
  fi
  rm -f "$3"
}

self_test() {
  trap 'rm -rf "$temp"' EXIT
  temp=$(mktemp -d)
  cd "$temp"
  passed=0 failed=0
  mkdir -p core/base core/mux core/io core/session transport/secure relay config
  printf '\t%s\n' core/base/a.cc core/mux/a.cc core/io/a.cc relay/a.cc config/a.cc config/file.cc >Makefile
  for file in core/base/a.cc core/base/a.h core/mux/a.cc core/mux/a.h core/io/a.cc core/io/a.h config/file.cc config/a.h; do
    echo '#include "core/base/a.h"' >$file
  done
  echo '#include <unistd.h>' >>config/file.cc
  good=$(faults 2>&1)
  if [ -n "$good" ]; then
    echo "self-test: faults in good sources: $good"
    failed=$((failed + 1))
  else
    passed=$((passed + 1))
  fi
  fails 'base/b.h: includes "core/mux/a.h"' '#include "core/mux/a.h"' core/base/b.h
  fails 'mux/b.h: includes "core/io/a.h"' '#include "core/io/a.h"' core/mux/b.h
  fails 'io/b.h: includes "core/mux/a.h"' ' # include "core/mux/a.h"' core/io/b.h
  fails 'session/b.h: includes "relay/a.h"' '#include "relay/a.h"' core/session/b.h
  fails 'relay/b.h: includes "config/a.h"' '#include "config/a.h"' relay/b.h
  fails 'transport/b.h: includes "relay/a.h"' '#include "relay/a.h"' transport/b.h
  fails 'secure/b.h: includes "transport/a.h"' '#include "transport/a.h"' transport/secure/b.h
  fails 'secure/b.h: includes <time.h>' '#include <time.h>' transport/secure/b.h
  fails 'mux/b.h: includes "transport/secure/a.h"' '#include "transport/secure/a.h"' core/mux/b.h
  fails 'relay/b.h: includes "transport/secure/a.h"' '#include "transport/secure/a.h"' relay/b.h
  fails 'config/b.h: includes "transport/a.h"' '#include "transport/a.h"' config/b.h
  fails 'mux/b.h: includes <sys/types.h>' '#include <sys/types.h>' core/mux/b.h
  fails 'base/b.h: includes <time.h>' '#include <time.h>' core/base/b.h
  fails 'config/b.h: includes <errno.h>' '#include <errno.h>' config/b.h
  fails 'write the path' '#include "a.h"' core/base/b.h
  fails 'in no list' '' core/base/b.cc
  fails 'in no list' '' tests/test_b.cc
  fails 'a folder of one file' '' relay/b.h
  fails 'warning.*more than' "$(yes '//' | head -n 401)" core/base/b.h
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}

case ${1-.} in
--self-test) self_test ;;
*)
  cd "${1-.}"
  found=$(faults)
  if [ -n "$found" ]; then
    echo "$found"
    echo "0 passed, $(echo "$found" | wc -l) failed"
    exit 1
  fi
  echo '1 passed, 0 failed'
  ;;
esac
