#!/usr/bin/env bash
# Measures the engine with synthetic requests on two ranks: mixed steps beside separate phases, batching beside one
# by one, shared prefixes, each beside the decoder's own time for the same steps.
#   scripts/bench/engine.sh [--rounds N]
# Prints a table, writes runs/bench/engine.json. Run it on a quiet machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
rounds=3
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    *) echo "[bench] unknown option $1. Known: --rounds" >&2; exit 2 ;;
  esac
done
mkdir -p runs/bench
cmake --preset cpu-release >/dev/null
cmake --build --preset cpu-release --target engine_bench
build/cpu-release/bin/engine_bench --rounds "$rounds" --json runs/bench/engine.json
