#!/usr/bin/env bash
# Runs every check that needs a GPU: CUDA tests, NCCL, captions of the small model, the doctor, sanitizers, benchmarks.
#   scripts/gpu_check.sh [--part right|fast] [--output DIR] [--bin DIR] [--budget-s N] [--only NAME,NAME]
#     --part P       right: whether results are right; fast: speeds of ops and of whole jobs of the 32B's shape with
#                    random weights, and which goals they meet (both)
#     --output DIR   gpu_check.txt (a table), gpu_check.json, gpu_check.log (output of the steps) (runs/gpu_check)
#     --bin DIR      programs to check (bin/ of a bundle, else build/cuda-release/bin)
#     --budget-s N   seconds in all; a step that no longer fits is listed as NOT RUN (470 for each part)
#     --only LIST    steps, by name; the others do not run and are not in the table
# Needs bash, awk and coreutils. Finds the CUDA libraries of a toolkit or of NVIDIA's Python packages;
# RETINUE_CUDA_LIB=FOLDER names another place. A step that fails, crashes or hangs stops no other.
# Exits 0 only when every step passed or was left out, 1 otherwise, 2 for a bad command line.
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
parts=$root/scripts/gpu
output=runs/gpu_check bin='' budget_s='' only='' part=both
while [ $# -gt 0 ]; do
  case $1 in
    --part) part=${2:?[gpu_check] --part wants right or fast}; shift 2 ;;
    --output) output=${2:?[gpu_check] --output wants a folder}; shift 2 ;;
    --bin) bin=${2:?[gpu_check] --bin wants a folder}; shift 2 ;;
    --budget-s) budget_s=${2:?[gpu_check] --budget-s wants seconds}; shift 2 ;;
    --only) only=${2:?[gpu_check] --only wants names}; shift 2 ;;
    --help) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "[gpu_check] unknown option $1. Known: --part --output --bin --budget-s --only" >&2; exit 2 ;;
  esac
done
if [ -z "$budget_s" ]; then budget_s=470; [ "$part" != both ] || budget_s=940; fi
[[ $budget_s =~ ^[0-9]+$ ]] || { echo "[gpu_check] --budget-s wants seconds, got '$budget_s'" >&2; exit 2; }
case $part in right | fast | both) ;; *) echo "[gpu_check] --part wants right or fast, got '$part'" >&2; exit 2 ;; esac
known=' matmul_bits ops nccl nccl_one_gpu jobs trace_bits caption_cpu caption_gpu caption_text caption_tensor2 caption_data2 caption_once2 doctor doctor2 bench captions_32b captions_32b_fp8 memcheck racecheck '
for name in ${only//,/ }; do
  # With a mistyped name no step would run, and none would fail.
  case $known in *" $name "*) ;; *) echo "[gpu_check] --only $name: no such step. Known:$known" >&2; exit 2 ;; esac
done
if [ -z "$bin" ]; then
  bin=$root/bin
  if [ ! -d "$root/programs" ]; then bin=$root/build/cuda-release/bin; fi
fi
[ -x "$bin/retinue" ] || { echo "[gpu_check] no retinue in $bin. Build cuda-release, or name a folder with --bin." >&2; exit 2; }
bin=$(cd "$bin" && pwd)
mkdir -p "$output" || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/facts.tsv" >"$work/steps.tsv" >"$work/bench.tsv" >"$work/bench.json" >"$work/jobs.json"
. "$parts/find_cuda.sh"
. "$parts/steps.sh"
fact() { printf '%s\t%s\n' "$1" "$(tr '\t\n' '  ' <<<"$2" | sed 's/ *$//')" >>"$work/facts.tsv"; printf '%-12s %s\n' "$1" "$2"; }
wanted() {
  case $part:$1 in fast:bench | fast:captions_32b*) ;; right:bench | right:captions_32b* | fast:*) return 1 ;; esac
  [ -z "$only" ] || [[ ,$only, == *,"$1",* ]]
}

# Ranks of one host, also as root, on as few cores as there are.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mpirun=$bin/mpirun
if [ ! -x "$mpirun" ]; then mpirun=$(command -v mpirun || echo mpirun); fi
ranks=("$mpirun" --oversubscribe --bind-to none --mca pml ob1 --mca btl 'self,vader,tcp' --mca osc '^ucx,pt2pt' --mca mpi_yield_when_idle 1)

# --- facts of this host
fact date "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
if [ -r "$root/README" ]; then fact bundle "$(head -n 1 "$root/README")"; fi
for library in libcublasLt.so.13 libnccl.so.2 libcuda.so.1; do
  if file=$(find_cuda_library "$library"); then
    fact "${library%%.so*}" "$(cuda_library_version "$file") $file"
  else
    fact "${library%%.so*}" 'NOT FOUND'
  fi
done
smi=$(command -v nvidia-smi || true)
if [ -n "$smi" ] && gpus=$(timeout 20 "$smi" --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>&1); then
  fact gpu "$gpus"
else
  fact gpu "nvidia-smi ${smi:+failed: ${gpus:-}}${smi:-not found}"
fi
driver=$(sed -n 's/.*[^0-9]\([0-9]\{3,\}\.[0-9][0-9.]*\)[^0-9]*$/\1/p' <<<"${gpus:-}" | head -n 1)
if [ -z "$driver" ] && [ -r /proc/driver/nvidia/version ]; then
  driver=$(grep -o '[0-9]\{3,\}\.[0-9][0-9.]*' /proc/driver/nvidia/version | head -n 1)
fi
fact driver "${driver:-unknown}"

# --- the devices that the program can use
code=0
timeout 60 "$bin/retinue" info >"$work/info.log" 2>&1 || code=$?
state=$(sed -n 's/^cuda: *//p' "$work/info.log" | head -n 1)
fact revision "$(sed -n 's/^revision: *//p' "$work/info.log" | head -n 1)"
fact cuda "${state:-unknown}"
versions=$(awk '/^cuda_versions:/ {here = 1; next} /^[^ ]/ {here = 0} here {printf "%s ", $0}' "$work/info.log")
if [ -n "$versions" ]; then fact versions "$(tr -s ' ' <<<"$versions" | sed 's/^ //')"; fi
gpus_found=$(sed -n 's/^devices://p' "$work/info.log" | grep -o 'cuda:[0-9]*' | sort -u | wc -l)
# Jobs with FP8 weights want 8.0 or newer.
capabilities=$(sed -n 's/^ *compute_capability: *//p' "$work/info.log" | sort -u | paste -sd ' ')
fact capability "${capabilities:-unknown}"
emulated=0
case $code:$state in
  0:available*) note_step info passed 0 '' '' '' '' ;;
  0:emulated*)
    emulated=1
    patience=3
    # The plans of two ranks fit one emulated device; memory that is never written costs nothing.
    export RETINUE_EMULATOR_MEMORY_GIB=${RETINUE_EMULATOR_MEMORY_GIB:-16}
    note_step info passed 0 '' '' '' 'an emulator: no result about a GPU'
    ;;
  *)
    if [ $code != 0 ]; then
      blocked="retinue info: exit $code: $(last_line "$work/info.log")"
    elif [ -n "$driver" ] && [ "${driver%%.*}" -lt 580 ]; then
      blocked="the driver, $driver, is too old: CUDA 13 needs 580 or newer"
    elif [ -z "$driver" ] && ! find_cuda_library libcuda.so.1 >/dev/null; then
      blocked='no driver here: neither libcuda.so.1 nor nvidia-smi is found'
    else
      blocked="retinue info: cuda: ${state:-no answer}"
    fi
    note_step info failed 0 '' '' '' "$blocked"
    ;;
esac

# --- tests, the least certain first: one cuBLASLt algorithm must give a row the same bits in every shape
sequence='*DependOnTheSequenceAlone*' # chunks of one token: takes minutes on an emulator or under a sanitizer
if wanted matmul_bits; then gtest_step matmul_bits 90 "$bin/layers_ops_test" '--gtest_filter=MatmulBits*:Fp8MatmulBits*:WgmmaMatmulBits*'; fi
if wanted ops; then
  filter='--gtest_filter=-MatmulBits*:Fp8MatmulBits*:WgmmaMatmulBits*'
  if [ $emulated = 1 ]; then filter+=":$sequence"; fi
  gtest_step ops 150 "$bin/layers_ops_test" "$filter"
fi
if wanted nccl; then gtest_step nccl 60 "$bin/parallel_comm_nccl_test"; fi
if wanted nccl_one_gpu; then gtest_step nccl_one_gpu 90 "${ranks[@]}" -np 2 "$bin/parallel_comm_nccl_mpi_test"; fi
# Traces of the golden models, stage by stage within the reference's own error, and their captions.
if wanted jobs; then
  left_out=''
  # Ranks are threads with a device each; two processes on one device come below.
  if [ "$gpus_found" -lt 4 ]; then left_out+=':*OnEveryMesh*:*OrderOfTheLibrary*'; fi
  if ! [[ $capabilities =~ ^(([89]|[1-9][0-9])\.[0-9]+ ?)+$ ]]; then left_out+=':*fp8*:*Fp8*'; fi
  gtest_step jobs 90 "$bin/runtime_cuda_test" "--gtest_filter=*${left_out:+:-${left_out#:}}"
fi

# --- the same logits from one rank and from two that share the device
for config in gqa8-tied mha-untied; do
  wanted trace_bits || continue
  traced=()
  for count in 1 2; do
    plain_step "trace_${config}_$count" 40 gpu "$bin/retinue" trace --model "$root/tests/golden/model/configs/$config" \
      --weights random:20251 --alpha drop --messages "$root/tests/golden/model/cases/$config/mixed.json" \
      --output "$work/trace.safetensors" --device cuda --reduce ordered --ranks $count --tensor-parallel $count \
      $([ $count = 1 ] || echo --share-device) &&
      traced+=("$(sed -n 's/^logits_sha256 //p' "$work/trace_${config}_$count.log" | head -n 1)")
  done
  [ ${#traced[@]} = 2 ] || continue
  if [ -n "${traced[0]}" ] && [ "${traced[0]}" = "${traced[1]}" ]; then
    note_step "trace_${config}_bits" passed 0 '' '' '' 'all logits have the bits of one rank'
  else
    note_step "trace_${config}_bits" failed 0 '' '' '' "logits of one rank: ${traced[0]:-none}, of two: ${traced[1]:-none}"
  fi
done

# --- captions of the small model, end to end
# An emulator would take minutes for the batches that a GPU's plan allows.
few=()
if [ $emulated = 1 ]; then few=(--max-sequences 16 --max-batch-tokens 512); fi
caption() { # name cpu|gpu flags…
  local name=$1 where=$2
  shift 2
  wanted "$name" || return 1
  plain_step "$name" 60 "$where" "$bin/retinue" caption --model "$root/configs/models/emoji-captioner" \
    --input "$root/configs/examples/manifest.jsonl" --output "$work/$name" --max-new-tokens 64 --no-progress "${few[@]}" "$@"
}
hash_of() { sha256sum "$work/$1/captions.jsonl" | cut -c 1-64; }
caption caption_cpu cpu --device cpu
if caption caption_gpu gpu --device cuda && wanted caption_text; then
  fact captions "$(hash_of caption_gpu)"
  read -r equal total < <(awk -f "$parts/same_texts.awk" "$work/caption_cpu/captions.jsonl" "$work/caption_gpu/captions.jsonl" 2>/dev/null)
  detail="${equal:-0} of ${total:-0} texts equal those of the CPU"
  # CPU and GPU round sums in other orders, which may change a close choice of word; more than a fifth is a fault.
  if [ "${total:-0}" -gt 0 ] && [ $((equal * 5)) -ge $((total * 4)) ]; then status=passed; else status=failed; fi
  note_step caption_text $status 0 '' '' '' "$detail"
fi
same_captions() { # name: its captions have the bits of one rank's
  local found
  found=$(hash_of "$1")
  if [ "$found" = "$(hash_of caption_gpu)" ]; then
    note_step "$1_bits" passed 0 '' '' '' 'captions.jsonl is the same file'
  else
    note_step "$1_bits" failed 0 '' '' '' "captions.jsonl differs from one rank's: sha256 $found"
  fi
}
if caption caption_tensor2 gpu --device cuda --ranks 2 --tensor-parallel 2 --share-device --reduce ordered &&
  [ -e "$work/caption_gpu/captions.jsonl" ]; then same_captions caption_tensor2; fi
if caption caption_data2 gpu --device cuda --ranks 2 --tensor-parallel 1 --share-device --reduce ordered &&
  [ -e "$work/caption_gpu/captions.jsonl" ]; then same_captions caption_data2; fi

# Two ranks read the weights together, half each.
if caption caption_once2 gpu --device cuda --ranks 2 --tensor-parallel 2 --share-device --reduce ordered --weights-read once &&
  [ -e "$work/caption_gpu/captions.jsonl" ]; then same_captions caption_once2; fi

# --- the doctor; slow or broken is its verdict on this host, and no failure of the step
doctor() { # name ranks flags…
  local name=$1 count=$2
  shift 2
  wanted "$name" || return 0
  if [ -n "$blocked" ]; then
    note_step "$name" 'not run' 0 '' '' '' "$blocked"
    return 0
  fi
  if run_limited "$name" 40 "$bin/retinue" doctor --device cuda --sweep-s 0.5 --quiet --json "$@" && [ -z "$status" ]; then
    if [ $code != 0 ] && [ $code != 3 ]; then
      status=failed detail="exit $code: $(last_line "$work/$name.log")"
    elif detail=$(awk -v ranks="$count" -v emulated=$emulated -f "$parts/doctor_facts.awk" "$work/$name.log"); then
      status=passed
    else
      status=failed
    fi
  fi
  note_step "$name" "$status" "$seconds" '' '' '' "$detail"
}
doctor doctor 1
doctor doctor2 2 --ranks 2 --tensor-parallel 2 --share-device

# --- speed of the ops
if wanted bench; then
  small=()
  if [ $emulated = 1 ]; then small=(--small yes --rounds 1); fi
  if [ -n "$blocked" ]; then
    note_step bench 'not run' 0 '' '' '' "$blocked"
  else
    if run_limited bench 120 "$bin/cuda_kernels_bench" --json "$work/bench.json" "${small[@]}"; then
      # Rows from before a crash count, once the JSON list is closed.
      if [ -s "$work/bench.json" ] && [ "$(tail -n 1 "$work/bench.json")" != ']}' ]; then printf '\n]}\n' >>"$work/bench.json"; fi
      below=0
      # An emulator's times mean nothing: they are shown without demands.
      awk -v shown_only=$emulated -f "$parts/json_field.awk" -f "$parts/bench_rows.awk" "$parts/bench_floors.txt" "$work/bench.json" >"$work/bench.tsv" || below=$?
      found="$(wc -l <"$work/bench.tsv") ops: $(grep -c '^BELOW FLOOR' "$work/bench.tsv") below their floor, $(grep -c '^ERROR' "$work/bench.tsv") failed, $(grep -c '^below aim' "$work/bench.tsv") below their aim"
      if [ -n "$status" ]; then
        detail+="; until then $found"
      elif [ $below = 1 ]; then
        status=failed detail=$found
      elif [ $code != 0 ] || [ $below = 2 ]; then
        status=failed detail="exit $code: $(last_line "$work/bench.log")"
      else
        status=passed detail=$found
      fi
    fi
    note_step bench "$status" "$seconds" '' '' '' "$detail"
  fi
fi

# --- speed of whole jobs: images of 1024 x 1024, answers of 64 to 192 tokens, every image another
job=(--images 320 --width 1024 --height 1024 --tokens 128)
speed_step() { # name shape
  wanted "$1" || return 0
  local name=$1 data=$work/data_$1
  if [ $emulated = 1 ]; then
    note_step "$name" 'left out' 0 '' '' '' 'an emulator: its times mean nothing'
    return 0
  fi
  if [ -n "$blocked" ]; then
    note_step "$name" 'not run' 0 '' '' '' "$blocked"
    return 0
  fi
  if ! run_limited "${name}_data" 60 "$bin/study_data" "$data" --shape "$2" --files "$root/configs/models/emoji-captioner" "${job[@]}" ||
    [ -n "$status" ] || [ $code != 0 ]; then
    note_step "$name" "${status:-failed}" "$seconds" '' '' '' "${detail:-$(last_line "$work/${name}_data.log")}"
    return 0
  fi
  plain_step "$name" 200 gpu "$bin/retinue" caption --model "$data/model" --weights random:0 --input "$data/items.jsonl" \
    --output "$work/$name" --device cuda --ranks 1 --max-pixels 1048576 --ignore-eos --no-progress || return 0
  awk -v name="$name" -f "$parts/job_rate.awk" "$work/$name/report.json" >>"$work/jobs.json"
}
speed_step captions_32b 32b
# Below 8.0 there is no FP8.
if [[ $capabilities =~ ^(([89]|[1-9][0-9])\.[0-9]+ ?)+$ ]]; then speed_step captions_32b_fp8 32b-fp8; fi

# --- compute-sanitizer: finds errors that change no result
sanitizer=''
for folder in ${CUDA_HOME:+"$CUDA_HOME/bin" "$CUDA_HOME/compute-sanitizer"} /usr/local/cuda/bin /usr/local/cuda/compute-sanitizer \
  /usr/local/cuda-*/bin /usr/local/cuda-*/compute-sanitizer; do
  if [ -x "$folder/compute-sanitizer" ]; then sanitizer=$folder/compute-sanitizer; break; fi
done
sanitizer=$(command -v compute-sanitizer || echo "$sanitizer")
sanitize() { # step tool filter
  wanted "$1" || return 0
  if [ -z "$sanitizer" ] || [ $emulated = 1 ]; then
    note_step "$1" 'left out' 0 '' '' '' 'no compute-sanitizer here'
    return 0
  fi
  local name=$1
  if [ -n "$blocked" ]; then
    note_step "$name" 'not run' 0 '' '' '' "$blocked"
    return 0
  fi
  if run_limited "$name" 150 "$sanitizer" --tool "$2" --error-exitcode 99 --target-processes all \
    "$bin/layers_ops_test" "--gtest_filter=$3"; then
    if grep -q 'Device not supported' "$work/$name.log"; then
      status='left out' detail='compute-sanitizer does not support this device or its virtualisation'
    elif [ -z "$status" ] && [ $code = 0 ] && grep -q 'ERROR SUMMARY: 0 errors\|RACECHECK SUMMARY: 0 hazards' "$work/$name.log"; then
      status=passed
    elif [ -z "$status" ]; then
      status=failed detail="exit $code: $(grep -m 1 '=========.*\(Invalid\|hazard\|Error\|rror\)' "$work/$name.log" || last_line "$work/$name.log")"
    fi
  fi
  note_step "$name" "$status" "$seconds" '' '' '' "$detail"
}
sanitize memcheck memcheck "-MatmulBits*:$sequence"
sanitize racecheck racecheck "*Norm*:*Attention*:*TopK*:*PatchNormalize*:-$sequence"

# --- the results
fact seconds "$SECONDS"
awk -f "$parts/json_field.awk" -f "$parts/goals.awk" "$work/bench.json" "$work/jobs.json" >"$work/goals.txt"
awk -v emulated=$emulated -f "$parts/check_table.awk" "$work/facts.tsv" "$work/steps.tsv" "$work/bench.tsv" >"$work/table.txt"
# The verdict stays the last line.
{ sed '$d' "$work/table.txt"; if [ -s "$work/goals.txt" ]; then cat "$work/goals.txt"; echo; fi; tail -n 1 "$work/table.txt"; } >"$output/gpu_check.txt"
awk -v emulated=$emulated -f "$parts/check_json.awk" "$work/facts.tsv" "$work/steps.tsv" "$work/bench.json" >"$output/gpu_check.json"
for log in "$work"/*.log; do
  printf '\n=== %s\n' "$(basename "$log" .log)"
  # The end of a log has the most information.
  tail -c 200000 "$log"
done >"$output/gpu_check.log"
echo
cat "$output/gpu_check.txt"
echo "$output/gpu_check.txt  $output/gpu_check.json  $output/gpu_check.log"
tail -n 1 "$output/gpu_check.txt" | grep -q ': all well$'
