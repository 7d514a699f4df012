#!/usr/bin/env bash
# Scores the captioner on 500 fresh held-out scenes, with `retinue caption` and with transformers.
# Usage: scripts/demo/evaluate.sh [flags of evaluate.py]
# RETINUE_GOLDEN_ENV names the Python environment, as for scripts/golden/make.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
env=${RETINUE_GOLDEN_ENV:-$root/build/golden-env}
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TOKENIZERS_PARALLELISM=false
exec "$env/bin/python3" "$here/evaluate.py" "$@"
