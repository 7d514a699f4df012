#!/usr/bin/env bash
# Formats every C++ file of the project with .clang-format; --check changes nothing and exits 1 when
# a file would change. Needs clang-format 14 or newer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mode=(-i)
case ${1:-} in
  '') ;;
  --check) mode=(--dry-run -Werror) ;;
  *) echo "[format] unknown option $1. Known: --check" >&2; exit 2 ;;
esac
command -v clang-format >/dev/null || {
  echo "[format] clang-format is missing: scripts/setup.sh --dev installs it." >&2
  exit 1
}
# Generated tables (*.inc) stay as their script wrote them.
find parallel layers runtime launcher tests \( -name '*.h' -o -name '*.cpp' -o -name '*.cuh' -o -name '*.cu' \) -print0 |
  xargs -0 clang-format "${mode[@]}"
