#!/bin/sh
# Turns lists of sources into make rules that GNU make and BSD make both read. Called by the Makefile at its start.
#
#   GNU=.. BUILD=dir CC=.. CXX=.. CROSS_COMPILE=.. CHOSEN=.. rules.sh FLAGS -- KIND NAME source... [-- KIND NAME source...]...
#
# CHOSEN is a list of NAME=value, what was chosen on make's command line; a wrong one ends make with what was expected.
# Prints the name of the file that make shall include: BUILD/rules.mk.
#
# Writes BUILD/rules.mk (NAME_OBJS, a rule for each object that calls $(COMPILE_KIND), the header dependencies that the
# compiler left, the compilers' names) and BUILD/flags. A file is touched only if its content changes, so that make
# rebuilds what depends on it only then.
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
  SANDBOX=*) one_of "$choice" $(files sandbox) ;;
  *= | *=1) ;;
  *) wrong "$choice: expected ${choice%%=*}=1 or nothing" ;;
  esac
done
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
echo "$1" | put "$BUILD/flags"
shift

{
  echo "# Made by tools/rules.sh; your changes would be lost."
  echo "RULES_CC = $(compiler "$CC" gcc clang)"
  echo "RULES_CXX = $(compiler "$CXX" g++ clang++)"
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
