# Shared by the tests of scripts, which source it. A test is a function whose name begins with `test_` and states a
# fact; `run_tests` at the end of a file runs each in a shell and an empty folder of its own ($folder).
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

fail() {
  echo "    ${BASH_SOURCE[2]##*/}:${BASH_LINENO[1]}: $*"
  echo failed >>"$folder/../failed"
}
expect_equal() { [ "$1" = "$2" ] || fail "wanted '$2', got '$1'"; }
expect_match() { grep -qE -- "$2" <<<"$1" || fail "wanted a line like '$2', got '$1'"; }
expect_no_match() { ! grep -qE -- "$2" <<<"$1" || fail "wanted no line like '$2', got '$1'"; }

# Writes an executable shell script.
program() { # path body
  mkdir -p "$(dirname "$1")"
  printf '#!/usr/bin/env bash\n%s\n' "$2" >"$1"
  chmod +x "$1"
}

run_tests() {
  local test count=0 bad=0 all
  all=$(mktemp -d)
  for test in $(declare -F | sed -n 's/^declare -f \(test_.*\)/\1/p'); do
    count=$((count + 1))
    mkdir "$all/$test"
    rm -f "$all/failed"
    (
      folder=$all/$test
      cd "$folder" && "$test"
    ) || echo "ended with $?" >>"$all/failed"
    if [ -e "$all/failed" ]; then
      echo "FAILED $test"
      bad=$((bad + 1))
    else
      echo "ok     $test"
    fi
  done
  rm -rf "$all"
  echo "$count tests, $bad failed"
  [ $bad = 0 ] && [ $count -gt 0 ]
}
