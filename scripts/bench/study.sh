#!/usr/bin/env bash
# Runs a scaling study of this machine: tensor-parallel and replicated layouts of 1, 2, 4 and 8 ranks with one thread
# each, with and without collectives, decoding and images; measured times beside those that the study's model predicts.
#   scripts/bench/study.sh [--images N] [--trials N] [--output DIR] [flags of retinue study]
# Makes a random model of 27 M parameters and images that all differ, runs `retinue study` on them, prints its
# table and leaves the report in DIR (runs/bench/study), which must not hold another study. About seven minutes
# on two cores. Run it on a quiet machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
images=288 trials=2 output=runs/bench/study more=()
while [ $# -gt 0 ]; do
  case $1 in
    --images) images=$2; shift 2 ;;
    --trials) trials=$2; shift 2 ;;
    --output) output=$2; shift 2 ;;
    *) more+=("$1"); shift ;;
  esac
done
cmake --preset cpu-release >/dev/null
cmake --build --preset cpu-release --target retinue study_data >/dev/null
data=runs/bench/study-data-$images
[ -e "$data/items.jsonl" ] || build/cpu-release/bin/study_data "$data" --images "$images"
# --ignore-eos: every run gives answers of the lengths that the items request, also under an ablation.
build/cpu-release/bin/retinue study --model "$data/model" --weights random:0 --input "$data/items.jsonl" \
  --output "$output" --layouts 1x1,2x1,1x2,2x2,1x4,4x1,1x8,2x4,4x2 --trials "$trials" --threads 1 --max-pixels 16384 \
  --ignore-eos --ablations null-collectives,preloaded-pixels,text-only "${more[@]}"
