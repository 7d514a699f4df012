#!/usr/bin/env bash
# Takes a bare machine to captions: set-up, build, and `retinue caption` over configs/examples/, with the score.
#   scripts/quickstart.sh [MODEL]     MODEL: a checkpoint folder (configs/models/emoji-captioner)
# Needs root or sudo where packages are missing. May be repeated, and then skips finished set-up and build.
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
# A job with the user's checkpoint resumes; the small model's job starts anew, from the files of this checkout.
if [ $# -eq 0 ] || [ -n "${untrained:-}" ]; then rm -rf "$output"; fi
echo
echo "build/bin/retinue caption ${arguments[*]}"
build/bin/retinue caption "${arguments[@]}"

echo
awk -f scripts/score_captions.awk configs/examples/manifest.jsonl "$output/captions.jsonl"
echo
if [ -n "${untrained:-}" ]; then
  echo "These captions are noise: $model has no trained weights; they are drawn from a"
  echo "seed. The run shows that all parts work."
elif [ $# -eq 0 ]; then
  echo "The model is a small one of this project's own, of the full Qwen3-VL architecture: $model/README.md."
  echo "For your own images, with a Qwen3-VL checkpoint:"
  echo "  build/bin/retinue caption --model DIR --input IMAGES --output runs/images"
fi
echo "Captions: $output/captions.jsonl    report: $output/report.json"
