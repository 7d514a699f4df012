#!/usr/bin/env bash
# Runs a caption job over several machines with mpirun. All machines see MODEL, INPUT, OUTPUT and the
# executable under the same paths, and can be reached by ssh without a prompt.
set -euo pipefail

MODEL=${MODEL:?a checkpoint folder}
INPUT=${INPUT:?images}
OUTPUT=${OUTPUT:?a folder for the job, shared by all machines}
HOSTFILE=${HOSTFILE:?a file with lines: NAME slots=N} # N ranks on that machine
TENSOR=${TENSOR:-1}                                   # ranks per replica; should fit in one machine's slots
INTERFACE=${INTERFACE:-}                              # network for MPI, as in `ip addr`; empty: all
RETINUE=$(realpath "${RETINUE:-$(dirname "${BASH_SOURCE[0]}")/../../build/bin/retinue}")

flags=()
if [ "$(id -u)" = 0 ]; then flags+=(--allow-run-as-root); fi
if [ -n "$INTERFACE" ]; then
  # On machines with several networks mpirun must not try those that do not connect them.
  # The first flag is for messages; the others are for starting ranks, under Open MPI 4 and 5.
  flags+=(--mca btl_tcp_if_include "$INTERFACE")
  if mpirun --version | grep -q '(Open MPI) 4'; then
    flags+=(--mca oob_tcp_if_include "$INTERFACE")
  else
    flags+=(--prtemca prte_if_include "$INTERFACE")
  fi
fi
# --map-by slot fills one machine before the next: the ranks of a replica stay together.
# Add --mca plm_rsh_agent "ssh -p 2222" for another ssh command.
exec mpirun "${flags[@]}" --hostfile "$HOSTFILE" --map-by slot --bind-to none \
  "$RETINUE" caption --model "$MODEL" --input "$INPUT" --output "$OUTPUT" --tensor-parallel "$TENSOR" "$@"
