#!/usr/bin/env bash
# Trains the captioner: scripts/demo/train.sh [--minutes N] [other flags of train.py]
# RETINUE_GOLDEN_ENV names the Python environment, as for scripts/golden/make.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
env=${RETINUE_GOLDEN_ENV:-$root/build/golden-env}

# torch returns memory to the system and allocates it again in each step; jemalloc, where it is installed, keeps it,
# which saves half of a step on two cores.
jemalloc=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2
if [ -e "$jemalloc" ]; then
  export LD_PRELOAD=$jemalloc MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always
fi
export OMP_WAIT_POLICY=passive HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TOKENIZERS_PARALLELISM=false
exec "$env/bin/python3" "$here/train.py" "$@"
