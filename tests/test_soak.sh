#!/bin/sh
# tests/soak in seconds, with everything that it does in hours but the judgement of what is flat: test_soak.sh FOLDER-OF-SOCKMUXD
# And beside it one whose line flips a bit now and then: that one has to fail, by a byte that was compared.
set -u
build=$1
passed=0 failed=0
ok() { passed=$((passed + 1)); }
bad() {
  echo "FAIL: $*"
  failed=$((failed + 1))
}
if [ ! -r /proc/self/smaps_rollup ] || ! command -v python3 >/dev/null; then
  echo 'skipped: it needs /proc of Linux, and python3'
  echo '1 passed, 0 failed'
  exit 0
fi
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
trap 'exit 1' HUP INT TERM

soak() {
  name=$1
  shift
  python3 tests/soak/soak.py --sockmuxd "$build/sockmuxd" --folder "$temp/$name" --seconds 12 --quiet "$@" >"$temp/$name.txt" 2>&1
}

soak flip --break flip --failures 1 &
flip=$!
if soak all --cut 3 --kill 5 --kill-second 1.4 --hup 3 --full 7 --full-for 1 --press 10 --press-for 2 --ping 1 &&
  tail -n 1 "$temp/all.txt" | grep -q '^[0-9]* passed, 0 failed$'; then ok; else
  bad 'a soak of some seconds'
  cat "$temp/all.txt" "$temp"/all/events.txt
fi
for done in 'killed' 'HUP' 'aborted by the script' 'UDP flow' 'half-close' 'start [3-9]'; do
  if grep '^checks: ' "$temp/all.txt" | grep -q "$done"; then ok; else bad "nothing was counted for: $done"; fi
done
if [ -s "$temp/all/samples.csv" ] && grep -q '</svg>' "$temp/all/soak.svg"; then ok; else bad 'the table of samples, and its picture'; fi
if wait "$flip"; then bad 'a line that flips bits was not noticed'; else ok; fi
if grep -q '^FAILED: plain .*\(wrong byte at\|lost it\)' "$temp/flip.txt"; then ok; else
  bad 'a flipped bit was not seen'
  cat "$temp/flip.txt"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
