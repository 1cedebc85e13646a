#!/bin/sh
# Two builds of the same sources are the same, byte by byte: test_reproducible.sh [KIND...]. KINDS: plain and tiny (with
# debugging information, which knows paths), static (with musl), deb (Debian's package; only if it is named). Ends with "N passed, N failed".
#
# The two folders, the time, its zone, the language, the mask of new files and the number of jobs differ; nothing is taken
# from a compiler's cache, which would hide a difference. Compared is what is built, with all its symbols.
set -u
[ $# -gt 0 ] || set -- plain tiny static
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
trap 'exit 1' HUP INT TERM
passed=0 failed=0
make=${MAKE:-make}
# What a make above says is not for these.
unset MAKEFLAGS MFLAGS MAKELEVEL
CCACHE_DISABLE=1
export CCACHE_DISABLE

one=$temp/one two=$temp/a-longer/path/to/the/second
mkdir -p "$one" "$two"
# As they are now, whether they are committed or not.
git ls-files >"$temp/files" 2>/dev/null
[ -s "$temp/files" ] || find . -name build -prune -o -type f -print >"$temp/files"
for folder in "$one" "$two"; do
  tar -cf - -T "$temp/files" 2>/dev/null | tar -xf - -C "$folder"
done

# build KIND: in this folder
build() {
  # shellcheck disable=SC2086  # lists of words
  case $1 in
  plain) $make $jobs CXXFLAGS=-g BUILD=build/plain build/plain/sockmuxd build/plain/sockmuxctl ;;
  tiny) $make $jobs TINY=1 CXXFLAGS=-g BUILD=build/tiny build/tiny/sockmuxd build/tiny/sockmuxctl ;;
  static) MAKE="$make $jobs" STATIC_BUILD=build/static sh tools/static.sh native no sockmuxd sockmuxctl ;;
  deb) $make deb && mv build/deb/sockmux_*.deb build/deb/sockmux.deb ;;
  *) echo "test_reproducible.sh: no kind $1" && return 64 ;;
  esac
}

kinds=$*
for kind in $kinds; do
  if (cd "$one" && TZ=UTC0 LC_ALL=C jobs=-j2 && export TZ LC_ALL && umask 022 && build "$kind") >"$temp/log" 2>&1 &&
    (cd "$two" && TZ=Asia/Kathmandu LC_ALL=C.UTF-8 USER=two jobs=-j3 && export TZ LC_ALL USER && umask 077 && build "$kind") >>"$temp/log" 2>&1; then
    case $kind in deb) set -- sockmux.deb ;; *) set -- sockmuxd sockmuxctl ;; esac
    for program; do
      if cmp "$one/build/$kind/$program" "$two/build/$kind/$program"; then
        passed=$((passed + 1))
      else
        echo "FAILED: $kind: $program differs"
        failed=$((failed + 1))
      fi
    done
  else
    tail -n 30 "$temp/log"
    echo "FAILED: $kind is not built"
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
