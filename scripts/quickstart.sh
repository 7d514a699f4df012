#!/usr/bin/env bash
# From a bare machine to captions: set-up, build, and `retinue caption` over configs/examples/.
#   scripts/quickstart.sh [MODEL]     MODEL: a checkpoint folder (configs/models/tiny-random)
# Needs root or sudo where packages are missing. Repeats harmlessly, and then at once.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
model=${1:-configs/models/tiny-random}
output=runs/quickstart-$(basename "$model")

scripts/setup.sh --yes
scripts/build.sh --target retinue

arguments=(--model "$model" --input configs/examples/manifest.jsonl --output "$output" --max-new-tokens 24)
if [ ! -e "$model/model.safetensors" ] && [ ! -e "$model/model.safetensors.index.json" ]; then
  arguments+=(--weights random:1)
  untrained=1
  rm -rf "$output" # its question is the one of this checkout, not of an earlier one
fi
echo
echo "build/bin/retinue caption ${arguments[*]}"
build/bin/retinue caption "${arguments[@]}"

echo
sed -E 's/^\{"id":"([^"]*)","caption":"(.*)","finish_reason".*/  \1: \2/' "$output/captions.jsonl"
echo
if [ -n "${untrained:-}" ]; then
  echo "These captions are noise: $model has no trained weights, every number in"
  echo "it is drawn from a seed. The run shows that all parts work. For captions that mean something:"
  echo "  scripts/quickstart.sh DIR      DIR: the folder of a Qwen3-VL checkpoint"
fi
echo "Captions: $output/captions.jsonl    what happened: $output/report.json"
