#!/usr/bin/env bash
# Runs a caption job on the ranks of one machine with mpirun. `retinue caption --ranks N …` runs the
# same command, and --print-launch shows it; start from this script where your site needs other flags.
# After exit code 75, 9, or 128 and more, call it again to resume the job. `retinue caption --retries N`
# does that by itself, mpirun does not.
set -euo pipefail

MODEL=${MODEL:?a checkpoint folder}    # config.json, *.safetensors, tokenizer, template, processors
INPUT=${INPUT:?images}                 # folder, glob or .jsonl manifest
OUTPUT=${OUTPUT:?a folder for the job} # the same OUTPUT resumes the job
RANKS=${RANKS:-2}                      # processes; replicas = RANKS / TENSOR
TENSOR=${TENSOR:-1}                    # ranks that share one copy of the model: 1, 2, 4 or 8
RETINUE=${RETINUE:-$(dirname "${BASH_SOURCE[0]}")/../../build/bin/retinue}

cores=$(lscpu -p=CORE,SOCKET | grep -v '^#' | sort -u | wc -l)
flags=()
# mpirun refuses to run as root without this flag.
if [ "$(id -u)" = 0 ]; then flags+=(--allow-run-as-root); fi
if [ "$RANKS" -gt "$cores" ]; then
  # More ranks than cores: let them share cores, and let waiting ranks yield.
  flags+=(--oversubscribe --bind-to none --mca mpi_yield_when_idle 1)
else
  # Each rank gets its own cores; Retinue starts one thread per CPU that its rank may use.
  flags+=(--map-by "slot:PE=$((cores / RANKS))" --bind-to core)
fi
# Messages go over shared memory, and mpirun does not probe every network; the excluded one-sided
# components leave the one of shared memory.
flags+=(--mca pml ob1 --mca btl self,vader,tcp --mca osc '^ucx,pt2pt')

exec mpirun "${flags[@]}" -np "$RANKS" \
  "$RETINUE" caption --model "$MODEL" --input "$INPUT" --output "$OUTPUT" --tensor-parallel "$TENSOR" "$@"
