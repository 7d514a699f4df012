#!/usr/bin/env bash
# Runs every fuzzer of tests/fuzz on mutations of its corpus, with ASan and UBSan, as many at once as there are cores.
#   scripts/fuzz.sh [--seconds N] [--seed S] [--only NAME] [--no-build]
#     --seconds N  for each fuzzer (20)
#     --seed S     of the mutations (the day: every day tries others)
#     --only NAME  one fuzzer, such as tar_fuzz
# Prints the number of inputs for each. Exits 1 when one crashes or takes more than a minute of processor time for one
# input; that input then lies in build/fuzz/NAME/fuzz-last-input, and `build/cpu-asan/bin/NAME 1 1 FILE` repeats the crash.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
seconds=20 seed=$(date +%Y%m%d) only='' build=1
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=${2:?[fuzz] --seconds wants a number}; shift 2 ;;
    --seed) seed=${2:?[fuzz] --seed wants a number}; shift 2 ;;
    --only) only=${2:?[fuzz] --only wants a name}; shift 2 ;;
    --no-build) build=0; shift ;;
    --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "[fuzz] unknown option $1. Known: --seconds --seed --only --no-build" >&2; exit 2 ;;
  esac
done

corpus_of() {
  case $1 in
    cluster_fuzz) echo configs/clusters ;;
    image_fuzz) echo tests/golden/images/files ;;
    parquet_fuzz) echo tests/golden/parquet/files ;;
    tar_fuzz) echo tests/golden/archive_files ;;
    template_fuzz) echo tests/fuzz/corpus/template configs/models/emoji-captioner/chat_template.jinja ;;
    tokenizer_fuzz) echo tests/golden/text/tokenizer/tokenizer.json ;;
    video_fuzz) echo tests/golden/video_files/files tests/golden/video_containers ;;
    *) echo "tests/fuzz/corpus/${1%_fuzz}" ;;
  esac
}

fuzzers=()
for source in tests/fuzz/*_fuzz.cpp; do
  name=$(basename "$source" .cpp)
  if [ -z "$only" ] || [ "$only" = "$name" ]; then fuzzers+=("$name"); fi
done
if [ ${#fuzzers[@]} = 0 ]; then echo "[fuzz] there is no fuzzer $only" >&2; exit 2; fi
if [ $build = 1 ]; then
  scripts/build.sh --preset cpu-asan $(printf -- '--target %s ' "${fuzzers[@]}")
fi

run() {
  local name=$1 folder=$root/build/fuzz/$1 files=() file
  for file in $(corpus_of "$name"); do files+=("$root/$file"); done
  rm -rf "$folder"
  mkdir -p "$folder"
  cd "$folder"
  if "$root/build/cpu-asan/bin/$name" "$seconds" "$seed" "${files[@]}" >log 2>&1; then
    printf '%-22s %s\n' "$name" "$(tail -n 1 log)"
  else
    printf '%-22s FAILED\n' "$name"
    tail -n 40 log
    echo "repeat it: build/cpu-asan/bin/$name 1 1 build/fuzz/$name/fuzz-last-input"
    return 1
  fi
}
export ASAN_OPTIONS=allocator_may_return_null=1
export -f run corpus_of
export root seconds seed
printf '%s\n' "${fuzzers[@]}" | xargs -P "$(nproc)" -I{} bash -c 'run {}' || exit 1
