#!/usr/bin/env bash
# Configures and builds.
#   scripts/build.sh [--preset P] [--target T]
#     --preset P   of CMakePresets.json (cpu-release)
#     --target T   builds only T, such as `retinue`, the executable; may be given several times (all)
# build/bin/retinue is the release executable that was built last; build/P/bin has those of preset P.
#   RETINUE_JOBS  number of compilers at once (one per core, and at most one per 1.5 GiB of memory)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
preset=cpu-release targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=${2:?[build] --preset wants a name}; shift 2 ;;
    --preset=*) preset=${1#*=}; shift ;;
    --target) targets+=("${2:?[build] --target wants a name}"); shift 2 ;;
    --target=*) targets+=("${1#*=}"); shift ;;
    --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "[build] unknown option $1. Known: --preset --target" >&2; exit 2 ;;
  esac
done

if [ -z "${RETINUE_JOBS:-}" ]; then
  RETINUE_JOBS=$(nproc)
  memory_gib=$(awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
  fit=$((memory_gib * 2 / 3))
  if [ "$fit" -lt "$RETINUE_JOBS" ]; then RETINUE_JOBS=$((fit > 1 ? fit : 1)); fi
fi

mkdir -p "build/$preset"
log=build/$preset/configure.log
if ! cmake --preset "$preset" >"$log" 2>&1; then
  cat "$log" >&2
  echo "[build] configuration failed. scripts/setup.sh installs missing packages." >&2
  exit 1
fi
cmake --build --preset "$preset" --target "${targets[@]:-all}" -j "$RETINUE_JOBS"
if [[ $preset == *-release ]]; then
  mkdir -p build/bin
  ln -sfn "../$preset/bin/retinue" build/bin/retinue
fi
