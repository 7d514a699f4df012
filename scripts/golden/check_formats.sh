#!/usr/bin/env bash
# Reads the files of --output-format with pyarrow and webdataset, and compares them with captions.jsonl.
# The tests run no Python: run this by hand when a writer has changed.
# Usage: scripts/golden/check_formats.sh [FOLDER]      a job finalized in both formats; default: a new one
#   RETINUE_FORMATS_ENV  virtual environment, made when absent (build/formats-env)
#   RETINUE              the executable (build/bin/retinue)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
env=${RETINUE_FORMATS_ENV:-$root/build/formats-env}
retinue=${RETINUE:-$root/build/bin/retinue}

if [ ! -x "$env/bin/python3" ]; then python3 -m venv "$env"; fi
if ! "$env/bin/python3" -c 'import pyarrow, webdataset' 2>/dev/null; then
  "$env/bin/python3" -m pip install --quiet --requirement "$here/requirements_formats.txt"
fi
if [ $# -gt 0 ]; then
  job=$1
else
  job=$(mktemp -d)
  trap 'rm -rf "$job"' EXIT
  for format in parquet webdataset; do
    "$retinue" caption --model "$root/configs/models/emoji-captioner" --input "$root/configs/examples/*.png" \
      --output "$job" --output-format $format --logprobs --quiet
  done
fi
PYTHONDONTWRITEBYTECODE=1 "$env/bin/python3" "$here/check_formats.py" "$job"
