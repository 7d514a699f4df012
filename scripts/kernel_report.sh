#!/usr/bin/env bash
# Reports registers, stack, spills, shared memory and tensor-core instructions of every CUDA kernel, and facts of its main
# loop. Needs nvcc, no GPU.
#   scripts/kernel_report.sh [--arch A] [--output DIR] [--only PATTERN]
#     --arch A        sm_80, sm_90a, sm_100a, sm_120a … (sm_90a)
#     --output DIR    kernels.txt, a table, and kernels.json (build/kernels-A)
#     --only PATTERN  only sources whose path matches; demands on other kernels are then ignored
# Exits 1 when a kernel breaks a demand of scripts/gpu/hot_kernels.txt: a spill, no mma where one is required, or a main
# loop below its floors. Loops are read from SASS by cuobjdump, which is found beside nvcc, in PATH or in build/cuda-tools
# (`pip install --target build/cuda-tools nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm`). Without it instructions are counted
# in PTX and loops are not judged; the table says so.
#   RETINUE_JOBS  number of compilers at once (one per core)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
arch=sm_90a output='' only=.
while [ $# -gt 0 ]; do
  case $1 in
    --arch) arch=${2:?[kernels] --arch wants a name like sm_90a}; shift 2 ;;
    --output) output=${2:?[kernels] --output wants a folder}; shift 2 ;;
    --only) only=${2:?[kernels] --only wants a pattern}; shift 2 ;;
    --help) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "[kernels] unknown option $1. Known: --arch --output --only" >&2; exit 2 ;;
  esac
done
[[ $arch == sm_* ]] || { echo "[kernels] --arch wants a name like sm_90a, got '$arch'" >&2; exit 2; }
output=${output:-build/kernels-$arch}

# The build's own commands are compiled again with -Xptxas -v, so the flags are the same.
build=build/cuda-release
mkdir -p "$build"
if ! cmake --preset cuda-release >"$build/configure.log" 2>&1; then
  tail -n 5 "$build/configure.log" >&2
  echo "[kernels] the preset cuda-release cannot be configured: nvcc 13, cuBLASLt and NCCL are needed." >&2
  exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mapfile -t commands < <(sed -n 's/^ *"command": "\(.*\.cu -o .*\)",\{0,1\}$/\1/p' "$build/compile_commands.json" |
  sed 's/\\"/"/g' | grep -E -- "$only" | sort -u)
[ ${#commands[@]} -gt 0 ] || { echo "[kernels] the build has no .cu that matches '$only'" >&2; exit 2; }
nvcc=$(grep -o '[^ "]*/nvcc' <<<"${commands[0]}" | head -n 1)
toolkit=$(dirname "$nvcc")
PATH=$PATH:$toolkit:$root/build/cuda-tools/nvidia/cu13/bin  # cuobjdump calls nvdisasm
disassembler=$(command -v cuobjdump || true)
counted=PTX
if [ -n "$disassembler" ]; then counted=SASS; fi

# Compiles one source; writes its kernels' facts to $work/N.facts, or a failure to $work/N.failed.
report_one() {
  local number=$1 command=$2 folder=$work/$1 source
  source=$(grep -o '[^ ]*\.cu -o' <<<"$command" | sed 's/ -o$//')
  mkdir -p "$folder"
  command=$(sed -E "s/ -o [^ ]+//; s/^.* ([^ ]*\/nvcc )/\1/; s/--generate-code=arch=[^ ]+//g; s/-Werror=all-warnings//" <<<"$command")
  command+=" --generate-code=arch=${arch/sm_/compute_},code=[$arch] -Xptxas -v --keep --keep-dir $folder -o $folder/object.o"
  if ! (cd "$build" && eval "$command") >"$folder/ptxas.log" 2>&1; then
    cp "$folder/ptxas.log" "$work/$number.failed"
    return
  fi
  cat "$folder"/*.ptx >"$folder/all.txt"
  if [ -n "$disassembler" ]; then "$disassembler" -sass "$folder/object.o" >"$folder/sass.txt"; else : >"$folder/sass.txt"; fi
  awk -f scripts/gpu/kernel_facts.awk kind=ptxas "$folder/ptxas.log" kind=ptx "$folder/all.txt" \
    kind=sass "$folder/sass.txt" >"$folder/of_kernels"
  awk -f scripts/gpu/loop_facts.awk "$folder/sass.txt" >"$folder/of_loops"
  awk -F'\t' 'FNR == NR { loop[$1] = substr($0, length($1) + 2); next }
    { print $0 "\t" ($1 in loop ? loop[$1] : "-\t-\t-\t-\t-") }' "$folder/of_loops" "$folder/of_kernels" >"$folder/facts"
  cut -f1 "$folder/facts" | c++filt | awk -f scripts/gpu/short_names.awk >"$folder/names"
  cut -f2- "$folder/facts" | paste "$folder/names" - | sed "s|^|${source#"$root"/}\t|" >"$work/$number.facts"
  find "$folder" -mindepth 1 -delete
}
jobs=${RETINUE_JOBS:-$(nproc)}
for i in "${!commands[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
  report_one "$i" "${commands[$i]}" &
done
wait
if compgen -G "$work/*.failed" >/dev/null; then
  tail -n 20 "$work"/*.failed >&2
  echo "[kernels] a source does not compile for $arch" >&2
  exit 1
fi
sort "$work"/*.facts >"$work/all"

code=0
demands=scripts/gpu/hot_kernels.txt
# With --only, demands that name other kernels cannot be met.
if [ "$only" != . ]; then
  awk -F'\t' '{print $2}' "$work/all" >"$work/selected"
  while read -r line; do
    case $line in '#'* | '') continue ;; esac
    if grep -qxE -- "${line%%  *}" "$work/selected"; then echo "$line"; fi
  done <scripts/gpu/hot_kernels.txt >"$work/demands"
  # awk finds the end of its first file by its lines (FNR == NR), so the file needs at least one.
  echo '#' >>"$work/demands"
  demands=$work/demands
fi
awk -f scripts/gpu/judge_kernels.awk "$demands" "$work/all" >"$work/judged" || code=1

mkdir -p "$output"
version=$("$nvcc" --version | sed -n 's/.*release.*, V\([0-9.]*\).*/\1/p')
revision=$(git describe --always --dirty 2>/dev/null || echo unknown)
awk -v arch="$arch" -v version="$version" -v revision="$revision" -v counted="$counted" \
  -f scripts/gpu/kernel_table.awk "$work/judged" >"$output/kernels.txt"
awk -v arch="$arch" -v version="$version" -v revision="$revision" -v counted="$counted" \
  -f scripts/gpu/kernel_json.awk "$work/judged" >"$output/kernels.json"
cat "$output/kernels.txt"
bad=$(grep -c '^BAD' "$work/judged" || true)
echo
echo "$(wc -l <"$work/judged") kernels, $bad bad; table and JSON: $output"
exit $code
