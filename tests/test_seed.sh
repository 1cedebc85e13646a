#!/bin/sh
# tests/data/seed-table.txt holds every word of tests/data/seed.txt, and each test that it names is there. Ends with
# "N passed, N failed".
set -u
LC_ALL=C
export LC_ALL
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
table=${1:-tests/data/seed-table.txt}
passed=0 failed=0

ok() { passed=$((passed + 1)); }
bad() {
  echo "FAILED: $1"
  failed=$((failed + 1))
}

# The words of the text, one a line, so that line ends do not count.
words() { tr -s '[:space:]' '\n' | sed '/^$/d'; }
words <tests/data/seed.txt >"$temp/text"
sed -n 's/^> *//p' "$table" | words >"$temp/quoted"
if [ -s "$temp/text" ] && cmp -s "$temp/text" "$temp/quoted"; then
  ok
else
  bad "$table is not the whole text of seed.txt; the first difference (text, table): $(
    diff "$temp/text" "$temp/quoted" | sed -n '2,3p' | tr '\n' ' ')"
fi

# Names of tests, with C's escapes undone.
cat tests/*.cc tests/*/*.cc | sed -n 's/^TEST_CASE("\(.*\)") {.*/\1/p' | sed 's/\\"/"/g' | sort >"$temp/tests"
sed -n 's/^= //p' "$table" | sort -u >"$temp/named"
while read -r name; do
  if grep -q -x -F -e "$name" "$temp/tests"; then ok; else bad "$table: no test \"$name\""; fi
done <"$temp/named"

# Each piece is followed by a test.
naked=$(awk '/^> / { if (open == "") open = $0; next } /^= / { open = ""; next } /^$/ { if (open != "") { print open; open = "" } }' "$table")
if [ -z "$naked" ]; then ok; else bad "$table: no test for: $naked"; fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
