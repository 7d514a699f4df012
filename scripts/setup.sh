#!/usr/bin/env bash
# Installs the packages that Retinue is built from, on Debian 12 and Ubuntu 24.04. Prints them first,
# installs only missing ones, and ends at once when none is missing.
#   scripts/setup.sh [--yes] [--video] [--dev]
#     --yes    do not ask
#     --video  FFmpeg's libraries, for builds that read video files
#     --dev    formatter, linter, fuzzing, benchmarks beside oneDNN, tools of tests with several hosts
# Without root and without sudo it prints the list and exits 1.
set -euo pipefail

# CMakeLists.txt asks for every package in this list.
build=(g++ cmake ninja-build pkg-config python3)
core=(
  libopenmpi-dev openmpi-bin  # ranks
  libfmt-dev                  # messages
  nlohmann-json3-dev          # configuration and records
  libturbojpeg0-dev libpng-dev libwebp-dev  # images
  zlib1g-dev libsnappy-dev libzstd-dev      # pages of Parquet files
  libutf8proc-dev             # NFC
  libxxhash-dev               # checksums
  libssl-dev                  # SHA-256
  libhwloc-dev                # cores and NUMA nodes
  libboost-dev                # Asio and Beast: the monitor
  libgtest-dev libgmock-dev   # tests
)
video=(libavformat-dev libavcodec-dev libswscale-dev libavutil-dev)
dev=(ccache clang clang-format clang-tidy gdb git iproute2 libdnnl-dev munge openssh-client slurm-wlm)

yes=0
packages=("${build[@]}" "${core[@]}")
for argument in "$@"; do
  case $argument in
    --yes) yes=1 ;;
    --video) packages+=("${video[@]}") ;;
    --dev) packages+=("${dev[@]}") ;;
    --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "[setup] unknown option $argument. Known: --yes --video --dev" >&2; exit 2 ;;
  esac
done

if ! command -v apt-get >/dev/null; then
  echo "[setup] this system has no apt. Install these Debian packages by other means:" >&2
  echo "  ${packages[*]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]; then
    missing+=("$package")
  fi
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "[setup] all ${#packages[@]} packages are installed"
  exit 0
fi

install=(apt-get install -y -q --no-install-recommends "${missing[@]}")
as_root=()
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "[setup] needs root and there is no sudo. Ask an administrator for:" >&2
    echo "  ${install[*]}" >&2
    exit 1
  fi
  as_root=(sudo env DEBIAN_FRONTEND=noninteractive)
fi
echo "[setup] installs: ${missing[*]}"
if [ $yes = 0 ]; then
  if [ ! -t 0 ]; then
    echo "[setup] no terminal to ask on: call it with --yes" >&2
    exit 1
  fi
  read -r -p "[setup] go on? [y/N] " answer
  [[ $answer == [yY]* ]] || exit 1
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
run() {
  if ! "${as_root[@]}" "$@" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "[setup] failed: $*" >&2
    exit 1
  fi
}
run apt-get update -q
run "${install[@]}"
echo "[setup] installed ${#missing[@]} packages and their dependencies"
