#!/usr/bin/env bash
# Packs a CUDA build for hosts with CUDA and NCCL but without package access: programs, tests, benchmarks, Open MPI,
# small libraries, the emoji captioner and the tests' data; no CUDA libraries, no glibc.
#   scripts/bundle.sh [--preset P] [--output DIR] [--no-build]
#     --preset P      of CMakePresets.json (cuda-release)
#     --output DIR    folder that receives retinue-bundle/ and retinue-bundle.tar.gz (dist)
#     --no-build      packs the programs in build/P/bin as they are
# On the host: tar xf retinue-bundle.tar.gz && retinue-bundle/scripts/gpu_check.sh --output results
# The bundle also has bin/retinue and bin/mpirun. The host needs bash and the glibc of this machine or a newer one.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
preset=cuda-release output=dist build=1
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=${2:?[bundle] --preset wants a name}; shift 2 ;;
    --output) output=${2:?[bundle] --output wants a folder}; shift 2 ;;
    --no-build) build=0; shift ;;
    --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "[bundle] unknown option $1. Known: --preset --output --no-build" >&2; exit 2 ;;
  esac
done
most_bytes=$((40 << 20))

# Programs that run on a GPU, or show that everything else works on the host.
required=(retinue layers_ops_test)
programs=(retinue layers_ops_test parallel_comm_nccl_test parallel_comm_nccl_mpi_test runtime_cuda_test
  cuda_kernels_bench study_data)
# The bundle has no FFmpeg: its libraries are many, and this project may not pass on their licence.
if [ $build = 1 ]; then
  cmake --preset "$preset" -DRETINUE_VIDEO=OFF >/dev/null
  scripts/build.sh --preset "$preset"
fi
from=build/$preset/bin
for program in "${required[@]}"; do
  if ldd "$from/$program" 2>/dev/null | grep -q libavcodec; then
    echo "[bundle] $from/$program is built with FFmpeg's libraries. Configure with -DRETINUE_VIDEO=OFF." >&2; exit 2
  fi
  [ -x "$from/$program" ] || { echo "[bundle] $from/$program is missing. Build first, or drop --no-build." >&2; exit 2; }
done

bundle=$output/retinue-bundle
mkdir -p "$output"
rm -rf "$bundle"
mkdir -p "$bundle"/{bin,programs,lib,scripts,configs/models,tests/golden,openmpi/bin,pmix}

packed=()
for program in "${programs[@]}"; do
  if [ ! -x "$from/$program" ]; then
    echo "[bundle] this build has no $program: the bundle lacks it"
    continue
  fi
  strip -o "$bundle/programs/$program" "$from/$program"
  packed+=("$program")
done

# Open MPI in another place: OPAL_PREFIX makes it look for its parts below openmpi/, under the same relative paths as
# below its prefix here. The bundle lacks fabrics (UCX, libfabric, PSM, verbs), other resource managers, and OpenSHMEM.
prefix=$(ompi_info --path prefix --parsable | sed 's/^path:prefix://')
plugins=$(ompi_info --path pkglibdir --parsable | sed 's/^path:pkglibdir://')
help=$(ompi_info --path pkgdatadir --parsable | sed 's/^path:pkgdatadir://')
for folder in "$plugins" "$help"; do
  case $folder in "$prefix"/*) ;; *) echo "[bundle] Open MPI's $folder is not below $prefix: it cannot be moved." >&2; exit 1 ;; esac
done
mkdir -p "$bundle/openmpi/${plugins#"$prefix"/}" "$bundle/openmpi/${help#"$prefix"/}"
for plugin in "$plugins"/mca_*.so; do
  case $(basename "$plugin") in
    *ucx* | *ofi* | *psm* | *openib* | *verbs* | *flux* | *jsm* | *monitoring* | *gridengine* | *_crs_* | \
      mca_spml_* | mca_scoll_* | mca_sshmem_* | mca_memheap_* | mca_atomic_* | *_io_romio* | *_vprotocol_*) ;;
    *) strip -o "$bundle/openmpi/${plugins#"$prefix"/}/$(basename "$plugin")" "$plugin" ;;
  esac
done
cp "$help"/*.txt "$bundle/openmpi/${help#"$prefix"/}/"
strip -o "$bundle/programs/mpirun" "$(readlink -f "$(command -v mpirun)")"
strip -o "$bundle/openmpi/bin/orted" "$(readlink -f "$(command -v orted)")"
# PMIx also opens plugins, by its own path.
pmix=$(ldd "$plugins"/mca_pmix_ext*.so 2>/dev/null | sed -n 's/.*libpmix\.so\.[0-9]* => \([^ ]*\).*/\1/p' | head -n 1)
if [ -n "$pmix" ]; then
  pmix_lib=$(dirname "$(readlink -f "$pmix")")
  if [ -d "$pmix_lib/pmix" ]; then
    mkdir -p "$bundle/pmix/lib/pmix"
    for plugin in "$pmix_lib"/pmix/*.so; do strip -o "$bundle/pmix/lib/pmix/$(basename "$plugin")" "$plugin"; done
  fi
  if [ -d "$pmix_lib/../share" ]; then cp -R "$pmix_lib/../share" "$bundle/pmix/share"; fi
fi

# Libraries that the programs and plugins load, except glibc's and CUDA's.
: >"$bundle/programs/cuda_libraries"
declare -A cuda_needed=()
while read -r name arrow file _; do
  case $name in
    linux-vdso* | */ld-linux* | ld-linux* | libc.so* | libm.so* | libpthread.so* | libdl.so* | librt.so* | libutil.so* | \
      libresolv.so* | libanl.so* | libmvec.so* | libnss_*) continue ;;
    libcublas* | libnccl* | libcudart* | libnvrtc* | libcuda.so*) cuda_needed[$name]=1; continue ;;
  esac
  [ "$arrow" = '=>' ] || continue
  if [ "$file" = not ]; then
    echo "[bundle] $name is not found on this machine; the bundle would lack it." >&2
    exit 1
  fi
  if [ ! -e "$bundle/lib/$name" ]; then strip --strip-unneeded -o "$bundle/lib/$name" "$(readlink -f "$file")"; fi
done < <(find "$bundle/programs" "$bundle/openmpi" "$bundle/pmix" -type f \( -perm -u+x -o -name '*.so' \) -print0 | sort -z |
  xargs -0 ldd 2>/dev/null | sed -n 's/^[[:space:]]\+//p' | sort -u)
echo "${!cuda_needed[*]}" >"$bundle/programs/cuda_libraries"
for file in "$bundle"/lib/* ; do
  # A build that links oneDNN, which only a benchmark needs, would double the bundle.
  case $file in *libdnnl* | *libOpenCL*) echo "[bundle] $(basename "$file") must not be in a bundle. Find the program that links it: ldd $bundle/programs/*" >&2; exit 1 ;; esac
done

cp -R scripts/gpu "$bundle/scripts/gpu"
cp scripts/gpu_check.sh scripts/score_captions.awk "$bundle/scripts/"
for program in mpirun "${packed[@]}"; do
  cp scripts/gpu/run_bundled.sh "$bundle/bin/$program"
  chmod +x "$bundle/bin/$program"
done
cp -R configs/models/emoji-captioner "$bundle/configs/models/"
cp -R configs/examples "$bundle/configs/examples"
cp -R tests/golden/model tests/golden/fp8 "$bundle/tests/golden/"
cp LICENSE "$bundle/"
revision=$(git describe --always --dirty 2>/dev/null || echo unknown)
needs=$({ find "$bundle/programs" "$bundle/lib" "$bundle/openmpi" -type f -exec objdump -T {} + 2>/dev/null || true; } |
  grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
{
  echo "Retinue, revision $revision, preset $preset, built $(date -u +%Y-%m-%d)"
  echo "needs ${needs/_/ } and: ${!cuda_needed[*]}"
  echo
  echo "scripts/gpu_check.sh --output DIR   every CUDA test, benchmark and a caption run; DIR/gpu_check.txt and .json"
  echo "bin/retinue, bin/mpirun             the program itself"
} >"$bundle/README"

archive=$output/retinue-bundle.tar.gz
tar -C "$output" --sort=name --owner=0 --group=0 --numeric-owner -cf - retinue-bundle | gzip -9 >"$archive"
size=$(stat -c %s "$archive")
sed -n '1,2p' "$bundle/README"
echo "$(du -sm "$bundle" | cut -f1) MiB unpacked; $archive: $(awk -v n="$size" 'BEGIN {printf "%.1f", n / 1048576}') MiB"
if [ "$size" -gt $most_bytes ]; then
  echo "[bundle] larger than $((most_bytes >> 20)) MiB. The largest:" >&2
  find "$bundle" -type f -printf '%s %P\n' | sort -rn | head -n 10 >&2
  exit 1
fi
