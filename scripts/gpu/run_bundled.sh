#!/usr/bin/env bash
# bin/NAME of a bundle: sets the variables that a moved Open MPI and the libraries need, then executes programs/NAME.
# A missing CUDA library is reported in one line. See scripts/bundle.sh.
set -eu
name=$(basename "$0")
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
if [ "${RETINUE_BUNDLE:-}" != "$here" ]; then
  . "$here/scripts/gpu/find_cuda.sh"
  read -r -a needed <"$here/programs/cuda_libraries" || true
  if [ "$name" != mpirun ]; then
    for library in "${needed[@]}"; do
      find_cuda_library "$library" >/dev/null || {
        echo "[bundle] $library is not on this host. Wanted: a CUDA 13 toolkit with NCCL, or the Python packages" \
          "nvidia-cublas and nvidia-nccl-cu13; RETINUE_CUDA_LIB=FOLDER names another place." >&2
        exit 2
      }
    done
  fi
  cuda=$(cuda_library_path "${needed[@]}" libcuda.so.1)
  export RETINUE_BUNDLE=$here
  export LD_LIBRARY_PATH=$here/lib${cuda:+:$cuda}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export PATH=$here/bin:$PATH
  export OPAL_PREFIX=$here/openmpi
  export PMIX_PKGLIBDIR=$here/pmix/lib/pmix PMIX_PKGDATADIR=$here/pmix/share/pmix
  # Without ssh Open MPI's launcher for other hosts fails, and with it a launch on this host alone.
  if ! command -v ssh >/dev/null; then export OMPI_MCA_plm_rsh_agent=${OMPI_MCA_plm_rsh_agent:-/bin/false}; fi
  export RETINUE_MPIRUN=${RETINUE_MPIRUN:-$here/bin/mpirun}
  export RETINUE_TEST_SOURCE=$here
fi
exec "$here/programs/$name" "$@"
