#!/bin/sh
# Runs the fuzz targets that `make fuzz` has built: run.sh WHAT [TARGET...]; without targets all of them. WHAT is one of
#
#   run     each for TIME seconds, JOBS at once; a line each: runs, seconds, runs a second, coverage (edges), size of the corpus.
#           The last line is "N passed, N failed"; of one that fails the input is named
#   long    by turns, SLICE seconds each, JOBS at once, until each has had TIME seconds of a processor; FUZZ_CORPUS/table holds how
#           much each has had, so what was broken off is gone on with
#   merge   what of FUZZ_CORPUS reaches an edge that nothing smaller reaches goes into tests/fuzz/corpus
#
# FUZZ_BUILD: the folder of the program. FUZZ_CORPUS: a folder TARGET for each, which grows; by default FUZZ_BUILD/corpus.
# FUZZ_NICE: how nice they are. FUZZ_LESS: targets that get a quarter of TIME. An input that fails stays in FUZZ_CORPUS/TARGET.found;
# put it into tests/fuzz/finds/TARGET, with a name that says what it was, and `make check` runs it from then on.
set -u
here=tests/fuzz
build=${FUZZ_BUILD:-build/fuzz}
fuzz=$build/fuzz
corpus=${FUZZ_CORPUS:-$build/corpus}
time=${TIME:-60} jobs=${JOBS:-2} slice=${SLICE:-300}
what=${1:-run}
[ $# -eq 0 ] || shift
# shellcheck disable=SC2046  # a list of words
[ $# -gt 0 ] || set -- $($fuzz list | sed 's/ .*//')
[ $# -gt 0 ] || { echo "run.sh: $fuzz has no targets" >&2 && exit 70; }
table=$corpus/table
# Leaks would be told of each run; and what sodium locks into memory.
ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=1:handle_abort=1:quarantine_size_mb=16}
export ASAN_OPTIONS

# start TARGET: its folder, with what is checked in
start() {
  mkdir -p "$corpus/$1" "$corpus/$1.found" || return
  [ ! -f "$here/corpus/$1.pack" ] || $fuzz unpack "$here/corpus/$1.pack" "$corpus/$1" || return
  [ ! -d "$here/finds/$1" ] || cp "$here/finds/$1"/* "$corpus/$1/"
}

# field LOG NAME: a number of libFuzzer's final statistics
field() { sed -n "s/^stat::$2: *//p" "$1" | tail -n 1; }

# one TARGET SECONDS: says how it went; status 1: something was found. The timeout of an input is by the clock, and others may have the
# processor.
one() {
  log=$corpus/$1.log
  # Counted, so that FUZZ=long comes to an end.
  if ! start "$1"; then
    echo "FAILED $1: its corpus cannot be put into $corpus/$1"
    echo "$1 $2 0 1" >>"$corpus/slices"
    return 1
  fi
  most=$($fuzz list | sed -n "s/^$1 //p")
  set -- "$1" "$2" -max_total_time="$2" -max_len="$most" -len_control=20 -timeout=100 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$corpus/$1.found/" -reload=0
  [ ! -f "$here/dict/$1.dict" ] || set -- "$@" -dict="$here/dict/$1.dict"
  name=$1
  shift 2
  began=$(date +%s)
  FUZZ_TARGET=$name nice -n "${FUZZ_NICE:-0}" "$fuzz" "$@" "$corpus/$name" >"$log" 2>&1
  status=$?
  spent=$(($(date +%s) - began))
  # Of this shell's children, user and system: a busy machine gives less than the clock says.
  times >"$corpus/$name.times"
  cpu=$(awk 'NR == 2 { for (i = 1; i <= 2; ++i) { split($i, t, "[ms]"); s += t[1] * 60 + t[2] } } END { printf "%d", s }' "$corpus/$name.times")
  [ "$cpu" -ge 1 ] || cpu=1  # each slice brings it nearer to its TIME, even one that ends at once
  runs=$(field "$log" number_of_executed_units)
  last=$(sed -n 's/^#[0-9]*.* cov: \([0-9]*\) ft: [0-9]* corp: \([0-9]*\)\/\([0-9]*[KMG]*b\).*/\1 edges, corpus \2 inputs, \3/p' "$log" | tail -n 1)
  [ "$spent" -gt 0 ] || spent=1
  if [ "$status" -eq 0 ]; then verdict=ok; else verdict=FAILED; fi
  printf '%-6s %-16s %9s runs, %4s s, %6s/s, %s\n' "$verdict" "$name" "${runs:-0}" "$spent" "$((${runs:-0} / spent))" "$last"
  echo "$name $cpu ${runs:-0} $status" >>"$corpus/slices"
  [ "$status" -eq 0 ] && return
  grep -a -E -m 3 '^(==[0-9]*==ERROR|SUMMARY|.*MUST\(|.*CHECK\(|.*runtime error)' "$log" | cut -c 1-200
  sed -n 's/^Test unit written to /  /p;s/^artifact_prefix=.*Test unit written to /  /p' "$log"
  return 1
}

# at_once COMMAND SECONDS TARGET...: JOBS at a time
at_once() {
  seconds=$1
  shift
  results=$(mktemp)
  # shellcheck disable=SC2016  # of the inner shell
  printf '%s\n' "$@" | FUZZ_SECONDS=$seconds xargs -P "$jobs" -I '{}' sh "$here/run.sh" one '{}' | tee "$results"
  passed=$(grep -c '^ok ' "$results")
  failed=$(grep -c '^FAILED' "$results")
  rm -f "$results"
}

# so_far TARGET: seconds of a processor that it has had, over all runs
so_far() { awk -v t="$1" '$1 == t { s += $2 } END { print s + 0 }' "$corpus/slices" 2>/dev/null || echo 0; }

write_table() {
  awk '{ s[$1] += $2; r[$1] += $3; f[$1] += $4 != 0 && $4 != 72 }  # 72: somebody has broken it off
    END { for (t in s) printf "%-16s %7.1f min %12.0f runs %3d found\n", t, s[t] / 60, r[t], f[t] }' "$corpus/slices" | sort >"$table"
}

mkdir -p "$corpus"
case $what in
one)
  case " ${FUZZ_LESS:-} " in
  *" $1 "*) FUZZ_SECONDS=$(((FUZZ_SECONDS + 3) / 4)) ;;
  esac
  if [ "${FUZZ_UNTIL:-0}" -gt 0 ]; then  # no more than it still wants
    left=$((FUZZ_UNTIL - $(so_far "$1")))
    [ "$left" -ge "$FUZZ_SECONDS" ] || FUZZ_SECONDS=$((left + 1))
  fi
  one "$1" "$FUZZ_SECONDS"
  ;;
run)
  at_once "$time" "$@"
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
  ;;
long)
  FUZZ_UNTIL=$time
  export FUZZ_UNTIL
  while :; do
    left=
    for target; do [ "$(so_far "$target")" -ge "$time" ] || left="$left $target"; done
    [ -n "$left" ] || break
    # shellcheck disable=SC2086  # a list
    at_once "$slice" $left
    write_table
  done
  cat "$table"
  ! grep -qv ' 0 found$' "$table"
  ;;
merge)
  for target; do
    start "$target" || exit
    small=$(mktemp -d)
    most=$($fuzz list | sed -n "s/^$target //p")
    if ! FUZZ_TARGET=$target "$fuzz" -merge=1 -use_counters=0 -max_len="$most" -timeout=100 "$small" "$corpus/$target" >"$corpus/$target.merge" 2>&1 ||
      ! $fuzz pack "$small" "$here/corpus/$target.pack"; then
      echo "FAILED $target: $corpus/$target.merge"
      exit 1
    fi
    rm -rf "$small"
    printf '%-16s %8s bytes, %s inputs\n' "$target" "$(wc -c <"$here/corpus/$target.pack")" "$(grep -a -c '^[0-9]*:' "$here/corpus/$target.pack")"
  done
  ;;
*) echo "run.sh: run, long or merge, not $what" >&2 && exit 64 ;;
esac
