#!/usr/bin/env bash
# Measures the CPU path on a scaled Qwen3-VL (2B widths, random weights) as ratios: prefill over the register
# peak and over transformers, decode over the pure read, image input over plain libjpeg-turbo.
#   scripts/bench/model.sh [--threads N] [--rounds N] [--no-transformers]
# transformers runs from the environment of scripts/golden/make.sh (RETINUE_GOLDEN_ENV, build/golden-env).
# Prints a table, writes runs/bench/model.json. Run it on a quiet machine.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
threads=$(nproc) rounds=5 peer=1
while [ $# -gt 0 ]; do
  case $1 in
    --threads) threads=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --no-transformers) peer=0; shift ;;
    *) echo "[bench] unknown option $1. Known: --threads --rounds --no-transformers" >&2; exit 2 ;;
  esac
done
bin=build/cpu-release/bin
out=runs/bench
mkdir -p "$out"
cmake --preset cpu-release >/dev/null
cmake --build --preset cpu-release --target model_bench image_bench

lscpu | grep -E 'Model name|^CPU\(s\)|L2|L3' || true
echo
"$bin/model_bench" --threads "$threads" --rounds "$rounds" --json "$out/model.json"
echo
if [ $peer = 1 ]; then
  env=${RETINUE_GOLDEN_ENV:-build/golden-env}
  if [ ! -x "$env/bin/python3" ]; then
    echo "[bench] no Python environment in $env: scripts/golden/make.sh makes it; --no-transformers runs without it" >&2
    exit 2
  fi
  "$env/bin/python3" scripts/bench/transformers_peer.py --threads "$threads" --rounds 3 --json "$out/transformers.json" 2>/dev/null
  "$env/bin/python3" - "$out" <<'PY'
import json, sys
ours, theirs = (json.load(open(f"{sys.argv[1]}/{name}.json")) for name in ("model", "transformers"))
prefill = theirs["prefill_s"] / (ours["vision_s"] + ours["decoder_s"])
vision = theirs["vision_s"] / ours["vision_s"]
decoder = (theirs["prefill_s"] - theirs["vision_s"]) / ours["decoder_s"]
print(f"faster than transformers: prefill {prefill:.2f} x (vision {vision:.2f} x, decoder {decoder:.2f} x), "
      f"decode {theirs['decode_s'] / ours['decode_s']:.2f} x")
PY
  echo
fi
"$bin/image_bench" 7
