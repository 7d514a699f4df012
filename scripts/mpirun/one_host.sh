#!/usr/bin/env bash
# A caption job on the ranks of one machine, through mpirun directly.
# `retinue caption --ranks N …` runs the same command; --print-launch shows it. Use this as a
# beginning where your site wants its own flags. Exit code 75, 9, or 128 and more: call it again to go on.
# `retinue caption --retries N` does so by itself, mpirun does not.
set -euo pipefail

MODEL=${MODEL:?a checkpoint folder}    # config.json, *.safetensors, tokenizer, template, processors
INPUT=${INPUT:?images}                 # folder, glob or .jsonl manifest
OUTPUT=${OUTPUT:?a folder for the job} # the same OUTPUT goes on where it ended
RANKS=${RANKS:-2}                      # processes; replicas = RANKS / TENSOR
TENSOR=${TENSOR:-1}                    # ranks that share one copy of the model: 1, 2, 4 or 8
RETINUE=${RETINUE:-$(dirname "${BASH_SOURCE[0]}")/../../build/bin/retinue}

cores=$(lscpu -p=CORE,SOCKET | grep -v '^#' | sort -u | wc -l)
flags=()
# mpirun refuses root unless told that root is meant.
if [ "$(id -u)" = 0 ]; then flags+=(--allow-run-as-root); fi
if [ "$RANKS" -gt "$cores" ]; then
  # More ranks than cores: let them share, and let those that wait give way.
  flags+=(--oversubscribe --bind-to none --mca mpi_yield_when_idle 1)
else
  # Each rank gets its own cores; Retinue takes one thread per CPU that its rank may use.
  flags+=(--map-by "slot:PE=$((cores / RANKS))" --bind-to core)
fi
# Point-to-point over shared memory, found without asking every network; the one-sided component is
# the one of shared memory.
flags+=(--mca pml ob1 --mca btl self,vader,tcp --mca osc '^ucx,pt2pt')

exec mpirun "${flags[@]}" -np "$RANKS" \
  "$RETINUE" caption --model "$MODEL" --input "$INPUT" --output "$OUTPUT" --tensor-parallel "$TENSOR" "$@"
