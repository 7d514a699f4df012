#!/usr/bin/env bash
# Remakes the golden data in tests/golden/ with the pinned reference (requirements.txt).
# Usage: scripts/golden/make.sh [maker...]      makers: model fp8 images text parquet_files video_files; default: all that exist
#   RETINUE_GOLDEN_ENV     virtual environment, made when absent, reused when present (build/golden-env)
#   RETINUE_GOLDEN_OUTPUT  folder that receives the data (tests/golden)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
env=${RETINUE_GOLDEN_ENV:-$root/build/golden-env}
all_makers=(model fp8 images text parquet_files video_files)

if [ $# -gt 0 ]; then
  makers=("$@")
else
  makers=()
  for maker in "${all_makers[@]}"; do
    if [ -f "$here/$maker.py" ]; then makers+=("$maker"); fi
  done
fi
for maker in "${makers[@]}"; do
  if [[ ! " ${all_makers[*]} " == *" $maker "* ]] || [ ! -f "$here/$maker.py" ]; then
    echo "[golden] no maker '$maker'. Known: ${all_makers[*]}" >&2
    exit 2
  fi
done

if [ ! -x "$env/bin/python3" ]; then
  echo "[golden] making $env"
  python3 -m venv "$env"
fi
wanted=$(sha256sum <"$here/requirements.txt")
if [ "$(cat "$env/.requirements" 2>/dev/null || true)" != "$wanted" ]; then
  "$env/bin/python3" -m pip install --quiet --requirement "$here/requirements.txt"
  echo "$wanted" >"$env/.requirements"
fi

# One thread fixes the order of every float sum; without the hub nothing is downloaded.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TOKENIZERS_PARALLELISM=false
export PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 CUDA_VISIBLE_DEVICES=
for maker in "${makers[@]}"; do
  echo "[golden] $maker"
  "$env/bin/python3" "$here/$maker.py"
done
