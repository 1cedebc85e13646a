# shellcheck shell=sh
# For tests that count what holds: `. tests/check.sh`, from the project's root. Sets $temp, a folder that goes with the script, and
# $passed and $failed, which check() adds to.
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
passed=0 failed=0

# check NAME COMMAND...
check() {
  name=$1
  shift
  if "$@" >"$temp/out" 2>&1; then
    passed=$((passed + 1))
  else
    echo "FAILED: $name"
    cat "$temp/out"
    failed=$((failed + 1))
  fi
}
