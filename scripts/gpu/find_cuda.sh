# Finds the CUDA libraries of a host that may have a toolkit, NVIDIA's Python packages, or only a driver. The bundle's
# wrapper and gpu_check.sh source it. Needs bash and coreutils, no Python.
#   find_cuda_folders        folders to search, best first, one per line
#   find_cuda_library NAME   the first file of that name; fails when there is none
#   cuda_library_path NAME…  the folders of the libraries that were found, for LD_LIBRARY_PATH
#   cuda_library_version F   a library's version, from its name, its package or its text; else "unknown"
#   RETINUE_CUDA_LIB         folders (a:b) that come before all others
#   RETINUE_FIND_ROOT        prefix of every fixed path: tests search a tree of their own

# Prints the site-packages folders that a Python on this host may have.
_python_site_folders() {
  local root=${RETINUE_FIND_ROOT:-} python prefix
  local prefixes=("${VIRTUAL_ENV:-}" "${CONDA_PREFIX:-}")
  while IFS= read -r python; do
    # A virtual environment's python is a link: both its own folder and its target's count.
    prefixes+=("$(dirname "$(dirname "$python")")" "$(dirname "$(dirname "$(readlink -f "$python")")")")
  done < <(type -ap python3 python 2>/dev/null)
  prefixes+=("$root"/usr/local "$root"/usr "$root"/opt/* "$root"/opt/*/.venv "$root"/opt/*/venv "$root"/opt/*/envs/*
    "${HOME:-/root}/.local" "${HOME:-/root}"/*conda3 "${HOME:-/root}"/.venv)
  for prefix in "${prefixes[@]}"; do
    [ -n "$prefix" ] || continue
    printf '%s\n' "$prefix"/lib/python3*/site-packages "$prefix"/lib/python3*/dist-packages \
      "$prefix"/lib/python3/dist-packages
  done
}

find_cuda_folders() {
  local root=${RETINUE_FIND_ROOT:-} home site folder
  {
    tr ':' '\n' <<<"${RETINUE_CUDA_LIB:-}"
    for home in "${CUDA_HOME:-}" "${CUDA_PATH:-}" "$root"/usr/local/cuda "$root"/usr/local/cuda-*; do
      [ -n "$home" ] || continue
      printf '%s\n' "$home"/lib64 "$home"/lib "$home"/targets/x86_64-linux/lib
    done
    if [ -n "${NCCL_ROOT:-}" ]; then printf '%s\n' "$NCCL_ROOT/lib"; fi
    if [ -z "$root" ]; then
      { ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null || true; } |
        sed -n 's/.*lib\(cublasLt\|nccl\|cudart\|cuda\)\.so.* => \(.*\)\/[^/]*$/\2/p'
    fi
    printf '%s\n' "$root"/usr/lib/x86_64-linux-gnu "$root"/usr/lib64
    # Containers mount drivers here.
    printf '%s\n' "$root"/usr/local/nvidia/lib64 "$root"/usr/local/nvidia/lib
    _python_site_folders | while IFS= read -r site; do
      printf '%s\n' "$site"/nvidia/cu13/lib "$site"/nvidia/*/lib
    done
    tr ':' '\n' <<<"${LD_LIBRARY_PATH:-}"
  } | while IFS= read -r folder; do
    if [ -n "$folder" ] && [ -d "$folder" ]; then printf '%s\n' "$folder"; fi
  done | awk '!seen[$0]++'
}

# The search takes some milliseconds, so its result is cached.
_cuda_folders=''
find_cuda_library() {
  local folder
  if [ -z "$_cuda_folders" ]; then _cuda_folders=$(find_cuda_folders); fi
  while IFS= read -r folder; do
    if [ -e "$folder/$1" ]; then
      printf '%s\n' "$folder/$1"
      return 0
    fi
  done <<<"$_cuda_folders"
  return 1
}

cuda_library_path() {
  local name file path=''
  for name in "$@"; do
    if file=$(find_cuda_library "$name"); then
      file=$(dirname "$file")
      case :$path: in *":$file:"*) ;; *) path+=${path:+:}$file ;; esac
    fi
  done
  printf '%s\n' "$path"
}

cuda_library_version() {
  local name version='' site package
  name=$(basename "$(readlink -f "$1")")
  # A toolkit's files carry their version: libcublasLt.so.13.1.0.3.
  version=$(sed -n 's/.*\.so\.\([0-9]*\.[0-9.]*\)$/\1/p' <<<"$name")
  if [ -z "$version" ]; then
    # A Python package's files do not; the .dist-info folder beside them does.
    site=${1%/nvidia/*}
    case $1 in
      */nvidia/*libcublas*) package=cublas ;;
      */nvidia/*libnccl*) package=nccl ;;
      */nvidia/*libcudart*) package=cuda_runtime ;;
      *) package='' ;;
    esac
    if [ -n "$package" ]; then
      version=$(printf '%s\n' "$site"/nvidia_"$package"*.dist-info |
        sed -n 's/.*\/nvidia_'"$package"'\(_cu[0-9]*\)\{0,1\}-\([0-9][0-9.]*\)\.dist-info$/\2/p' | tail -n 1)
    fi
  fi
  case $1 in
    *libnccl*)
      if [ -z "$version" ]; then
        version=$(grep -a -o -m 1 'NCCL version [0-9][0-9.]*' "$1" 2>/dev/null | sed -n '1s/.* //p')
      fi
      ;;
  esac
  printf '%s\n' "${version:-unknown}"
}
