#!/usr/bin/env bash
# From a bare machine to captions: set-up, build, and `retinue caption` over configs/examples/, with the score.
#   scripts/quickstart.sh [MODEL]     MODEL: a checkpoint folder (configs/models/emoji-captioner)
# Needs root or sudo where packages are missing. Repeats harmlessly, and then at once.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
model=${1:-configs/models/emoji-captioner}
output=runs/quickstart-$(basename "$model")

scripts/setup.sh --yes
scripts/build.sh --target retinue

arguments=(--model "$model" --input configs/examples/manifest.jsonl --output "$output" --max-new-tokens 64)
if [ ! -e "$model/model.safetensors" ] && [ ! -e "$model/model.safetensors.index.json" ]; then
  arguments+=(--weights random:1)
  untrained=1
fi
# A checkpoint of one's own goes on where it was stopped; the small model starts anew, from the files of this checkout.
if [ $# -eq 0 ] || [ -n "${untrained:-}" ]; then rm -rf "$output"; fi
echo
echo "build/bin/retinue caption ${arguments[*]}"
build/bin/retinue caption "${arguments[@]}"

echo
awk -f scripts/score_captions.awk configs/examples/manifest.jsonl "$output/captions.jsonl"
echo
if [ -n "${untrained:-}" ]; then
  echo "These captions are noise: $model has no trained weights, every number in"
  echo "it is drawn from a seed. The run shows that all parts work."
elif [ $# -eq 0 ]; then
  echo "The model is a small one of this project's own, of the full Qwen3-VL architecture: $model/README.md."
  echo "For your own pictures, with a Qwen3-VL checkpoint:"
  echo "  build/bin/retinue caption --model DIR --input PICTURES --output runs/pictures"
fi
echo "Captions: $output/captions.jsonl    what happened: $output/report.json"
