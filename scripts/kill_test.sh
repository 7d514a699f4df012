#!/usr/bin/env bash
# Kills ranks, mpirun and whole process groups of running caption jobs at random moments, truncates their journals at
# every byte of the last records, and fills their disks; when it is run again, every job must end with the bytes of an
# undisturbed one.
#   scripts/kill_test.sh [--kills N] [--seed S] [--cut-every BYTES]
# Prints counts; exits 1 when any result differs. 200 kills take about ten minutes on two cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cmake --preset cpu-release >/dev/null
cmake --build --preset cpu-release --target kill_jobs retinue
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
exec build/cpu-release/bin/kill_jobs "$@"
