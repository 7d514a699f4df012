#!/usr/bin/env bash
# Runs clang-tidy, with the checks of .clang-tidy, on the sources that differ from a revision.
#   scripts/lint.sh [--all | REVISION]      REVISION: main
# Makes build/cpu-debug/compile_commands.json when it is absent.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=build/cpu-debug
[ -e $build/compile_commands.json ] || cmake --preset cpu-debug >/dev/null
case ${1:-main} in
  --all) mapfile -t files < <(git ls-files 'parallel/*.cpp' 'layers/*.cpp' 'runtime/*.cpp' 'launcher/*.cpp') ;;
  -*) echo "[lint] unknown option $1. Known: --all" >&2; exit 2 ;;
  *) mapfile -t files < <(git diff --name-only --diff-filter=d "${1:-main}" -- 'parallel/*.cpp' 'layers/*.cpp' 'runtime/*.cpp' 'launcher/*.cpp') ;;
esac
# Kernels are compiled several times, with g++'s flags that clang reads differently: they are not checked.
checked=()
for file in "${files[@]}"; do [[ $file == layers/kernels/cpu/simd/* ]] || checked+=("$file"); done
if [ ${#checked[@]} -eq 0 ]; then
  echo "[lint] no source differs"
  exit 0
fi
# clang before 16 sees no std::source_location in g++'s library.
extra=(--extra-arg=-Wno-unknown-warning-option)
version=$(clang-tidy --version | sed -n 's/.*version \([0-9]*\).*/\1/p' | head -n 1)
if [ "${version:-0}" -lt 16 ]; then extra+=(--extra-arg=-include --extra-arg="$PWD/scripts/lint/source_location.h"); fi
printf '%s\0' "${checked[@]}" |
  xargs -0 -n 1 -P "$(nproc)" clang-tidy --quiet -p $build "${extra[@]}"
