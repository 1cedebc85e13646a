#!/bin/sh
# Turns lists of sources into make rules that GNU make and BSD make both read. Called by the Makefile at its start.
#
#   GNU=.. BUILD=dir CC=.. CXX=.. CROSS_COMPILE=.. CHOSEN=.. WITHOUT=.. WITHOUT_FLAVOUR=.. TINY=.. STATIC=.. rules.sh FLAGS -- KIND NAME source... [-- KIND NAME source...]...
#
# CHOSEN is a list of NAME=value, what was chosen on make's command line; a wrong one ends make with what was expected.
# Prints the name of the file that make shall include: BUILD/rules.mk.
#
# Writes BUILD/rules.mk (NAME_OBJS, a rule for each object that calls $(COMPILE_KIND), the header dependencies that the
# compiler left, the compilers' names, and what of docs/size.md they can do for TINY=1) and BUILD/flags. A file is touched
# only if its content changes, so that make rebuilds what depends on it only then.
set -eu

# wrong TEXT: make ends with that.
wrong() {
  mkdir -p build
  if [ -n "$GNU" ]; then echo "\$(error $1)"; else echo ".error $1"; fi >build/wrong.mk
  echo build/wrong.mk
  exit
}

# one_of NAME=value WORD...: is the value a WORD?
one_of() {
  given=$1
  shift
  case " $* " in
  *" ${given#*=} "*) ;;
  *) wrong "$given: expected ${given%%=*}=$(echo "$*" | sed 's/ / or /g')" ;;
  esac
}

# files PREFIX: the X of core/io/PREFIX_X.cc
files() { for file in core/io/"$1"_*.cc; do basename "${file#core/io/"$1"_}" .cc; done; }

for choice in $CHOSEN; do
  # shellcheck disable=SC2046  # lists of words
  case $choice in
  SECURE=*) one_of "$choice" no sodium ;;
  POLLER=*) one_of "$choice" $(files poll) ;;
  FLAVOUR=*) one_of "$choice" '' small ;;
  SANDBOX=*) one_of "$choice" $(files sandbox) ;;
  *= | *=1) ;;
  *) wrong "$choice: expected ${choice%%=*}=1 or nothing" ;;
  esac
done
for name in ${WITHOUT-}; do
  grep -q "built_with(\"$name\")" core/base/features.h ||
    wrong "WITHOUT=$name: expected some of $(sed -n 's/.* = built_with("\([a-z0-9]*\)").*/\1/p' core/base/features.h | tr '\n' ' ')"
done
# What is said on the command line holds, in place of what the flavour says.
case " $CHOSEN " in
*' FLAVOUR=small '*) [ "${WITHOUT-}" = "${WITHOUT_FLAVOUR-}" ] || wrong 'FLAVOUR=small and WITHOUT=: expected one of them' ;;
esac
[ -n "$BUILD" ] || case " $CHOSEN " in
*' SANITIZE=1 '*) wrong 'SANITIZE=1 and STATIC=1: expected one of them' ;;
*) wrong 'BUILD=: expected a folder' ;;
esac

# compiler GIVEN NAME...: GIVEN, with CROSS_COMPILE in front unless it is there already or is a path; under
# CROSS_COMPILE the first NAME that exists goes before a GIVEN that does not.
compiler() {
  given=$1
  case $given in
  "${CROSS_COMPILE:-none}"* | */*) echo "$given" && return ;;
  esac
  if [ -z "$CROSS_COMPILE" ] || command -v "$CROSS_COMPILE$given" >/dev/null; then
    echo "$CROSS_COMPILE$given"
    return
  fi
  shift
  for name; do
    if command -v "$CROSS_COMPILE$name" >/dev/null; then
      echo "$CROSS_COMPILE$name"
      return
    fi
  done
  echo "$CROSS_COMPILE$given"
}

# put FILE: standard input becomes FILE, unless it is that already.
put() {
  cat >"$1.new.$$"
  if cmp -s "$1.new.$$" "$1"; then rm -f "$1.new.$$"; else mv -f "$1.new.$$" "$1"; fi
}

mkdir -p "$BUILD"
cc=$(compiler "$CC" gcc clang) cxx=$(compiler "$CXX" g++ clang++)

# can CFLAGS LDFLAGS [WORD]: do they build a program, without a warning? And is WORD somewhere in it?
can() {
  # shellcheck disable=SC2086  # lists of words
  $cxx $1 -Werror -c -o "$probe.o" "$probe.cc" && $cc $1 $2 -o "$probe" "$probe.o" && grep -q "${3-}" "$probe"
} >/dev/null 2>&1

# Sets what makes the program smaller, as far as the compilers have it. Each is tried on top of those before.
tiny='' tiny_link=''
probe() {
  probe=$BUILD/probe.$$  # another make may be at it
  echo 'int x; int* volatile p = &x; int main() { return *p; }' >"$probe.cc"
  if can -Oz ''; then tiny=-Oz; else tiny=-Os; fi
  # In one piece, which is smaller than several that are optimized side by side.
  if can "$tiny -flto -flto-partition=one" ''; then
    tiny="$tiny -flto -flto-partition=one"
  elif can "$tiny -flto" -fuse-ld=lld; then
    tiny="$tiny -flto" tiny_link=-fuse-ld=lld
  fi
  # Few places call each function of libc: a call through its address there is smaller than a stub of 16 bytes beside it.
  if [ -z "$STATIC" ] && can "$tiny -fno-plt" "$tiny_link"; then tiny="$tiny -fno-plt"; fi
  # Functions with the same code become one, but for those whose address is taken.
  if can "$tiny" "$tiny_link -Wl,--icf=safe"; then tiny_link="$tiny_link -Wl,--icf=safe"; fi
  # Each address that is to be relocated takes a bit, not 24 bytes. A libc that does not know of it would crash; glibc 2.36
  # and newer say that they do by this word, and a linker that knows of it asks them for it.
  relr=-Wl,-z,pack-relative-relocs
  if [ -z "$STATIC" ] && can "$tiny" "$tiny_link $relr" GLIBC_ABI_DT_RELR; then tiny_link="$tiny_link $relr"; fi
  rm -f "$probe" "$probe.o" "$probe.cc"
}
[ -z "${TINY-}" ] || probe

echo "$1 | $tiny | $tiny_link" | put "$BUILD/flags"
shift

{
  echo "# Made by tools/rules.sh; your changes would be lost."
  echo "RULES_CC = $cc"
  echo "RULES_CXX = $cxx"
  echo "TINY_PROBED = $tiny"
  echo "TINY_LINK_PROBED = $tiny_link"
  # GNU make need not tell that it enters the folder it is in.
  if [ -n "$GNU" ]; then echo 'NO_CHATTER = --no-print-directory'; fi
  echo "JOBS = $(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)"
  kind='' name=''
  while [ $# -gt 0 ]; do
    if [ "$1" = -- ]; then
      kind=$2 name=$3
      echo "${name}_OBJS ="
      shift 3
      continue
    fi
    object=$BUILD/${1%.cc}.o
    folder=${object%/*}
    [ -d "$folder" ] || mkdir -p "$folder"
    echo "${name}_OBJS += $object"
    case " ${seen-} " in
    *" $object "*) ;;
    *)
      seen="${seen-} $object"
      printf '%s: %s %s/flags\n' "$object" "$1" "$BUILD"
      # shellcheck disable=SC2016  # make's variables, not the shell's
      printf '\t@$(SAY) CXX %s\n\t$(QUIET)$(COMPILE_%s) %s\n' "$1" "$kind" "$1"
      printf -- '-include %s.d\n' "${object%.o}"
      ;;
    esac
    shift
  done
} | put "$BUILD/rules.mk"
echo "$BUILD/rules.mk"
