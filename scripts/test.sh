#!/usr/bin/env bash
# Sets up, builds, and runs every test that this machine can run. The last line is "N passed, M failed".
#   scripts/test.sh [--label L] [--exclude R] [--preset P] [--no-setup]
#     --label L    only tests with this label: fast slow mpi golden system; 'fast|golden' are two
#     --exclude R  leaves out tests whose names match, and says so
#     --preset P   of CMakePresets.json (cpu-release)
#     --no-setup   does not look for missing packages
# Exits 0 when no test failed, 1 otherwise. Tests that this machine cannot run are listed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
preset=cpu-release label='' exclude='' setup=1
while [ $# -gt 0 ]; do
  case $1 in
    --label) label=${2:?[test] --label wants a name}; shift 2 ;;
    --label=*) label=${1#*=}; shift ;;
    --exclude) exclude=${2:?[test] --exclude wants a pattern}; shift 2 ;;
    --preset) preset=${2:?[test] --preset wants a name}; shift 2 ;;
    --preset=*) preset=${1#*=}; shift ;;
    --no-setup) setup=0; shift ;;
    --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "[test] unknown option $1. Known: --label --exclude --preset --no-setup" >&2; exit 2 ;;
  esac
done

if [ $setup = 1 ]; then scripts/setup.sh --yes; fi
scripts/build.sh --preset "$preset"

select=()
if [ -n "$label" ]; then select=(-L "^($label)\$"); fi
if [ -n "$exclude" ]; then
  echo "[test] leaves out tests that match $exclude"
  select+=(-E "$exclude")
fi
results=$root/build/$preset/test-results.xml
rm -f "$results"
code=0
# ctest runs as many tests at once as there are cores; a test with ranks counts as two.
ctest --preset "$preset" "${select[@]}" -j "$(nproc)" --output-junit "$results" || code=$?
if [ ! -s "$results" ]; then
  echo "[test] ctest wrote no results" >&2
  echo "0 passed, 1 failed"
  exit 1
fi

# Reads the numbers of <testsuite tests="…" failures="…" disabled="…" skipped="…">.
count() { sed -n "s/.*[[:space:]]$1=\"\([0-9]*\)\".*/\1/p" "$results" | head -n 1; }
total=$(count tests) failed=$(count failures) skipped=$(($(count skipped) + $(count disabled)))
left_out=$(sed -n 's/^-- Left out: */  /p' "build/$preset/configure.log")
if [ -n "$left_out" ]; then printf 'left out on this machine:\n%s\n' "$left_out"; fi
if [ "$skipped" -gt 0 ]; then echo "$skipped of $total were skipped"; fi
if [ "$total" -eq 0 ]; then
  echo "[test] no test has the label '$label'" >&2
  code=1
fi
if [ "$failed" -gt 0 ]; then code=1; fi
echo "$((total - failed - skipped)) passed, $failed failed"
exit $((code != 0))
