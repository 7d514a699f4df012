#!/usr/bin/env bash
# Tries to break Retinue for hours, in rounds: every fuzzer, killed jobs, every file-system call of a job disturbed, and
# requests without end through one engine.
#   scripts/soak.sh --hours H [--seed S]
#     --hours H  no round begins after these; 0 is one round
#     --seed S   of the first round (the day); each round adds 1
# Prints what each part prints. Exits 1 at the first fault; what it prints says how to repeat it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
SECONDS=0 hours='' seed=$(date +%Y%m%d)
while [ $# -gt 0 ]; do
  case $1 in
    --hours) hours=${2:?[soak] --hours wants a number}; shift 2 ;;
    --seed) seed=${2:?[soak] --seed wants a number}; shift 2 ;;
    --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "[soak] unknown option $1. Known: --hours --seed" >&2; exit 2 ;;
  esac
done
if [ -z "$hours" ]; then echo "[soak] --hours is required" >&2; exit 2; fi

scripts/build.sh --target retinue --target kill_jobs --target system_fault_at_call_test --target system_soak_test
bin=build/cpu-release/bin
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
end=$(awk -v h="$hours" 'BEGIN {print int(h * 3600)}')
for ((round = 1; ; ++round, ++seed)); do
  echo "=== round $round, seed $seed ($((SECONDS / 60)) min)"
  scripts/fuzz.sh --seconds 150 --seed "$seed"
  $bin/kill_jobs --kills 50 --cut-every 5 --seed "$seed"
  $bin/system_fault_at_call_test --gtest_brief=1
  RETINUE_SOAK_REQUESTS=20000 $bin/system_soak_test --gtest_brief=1
  if [ $SECONDS -ge "$end" ]; then break; fi
done
echo "$round rounds without a fault ($((SECONDS / 60)) min)"
