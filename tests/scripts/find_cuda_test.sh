#!/usr/bin/env bash
# Tests scripts/gpu/find_cuda.sh in file trees like those of real hosts.
. "$(dirname "${BASH_SOURCE[0]}")/harness.sh"

# Calls find_cuda.sh on a host whose root is $folder/host; it sees nothing of this machine.
on_host() {
  env -i PATH=/usr/bin:/bin HOME="$folder/host/root" RETINUE_FIND_ROOT="$folder/host" "${environment[@]}" \
    bash -c '. "$0/scripts/gpu/find_cuda.sh"; "$@"' "$root" "$@"
}
environment=()
library() { mkdir -p "$(dirname "$folder/host/$1")"; echo "${2:-}" >"$folder/host/$1"; }

test_a_toolkit_is_found() {
  library usr/local/cuda-13.0/targets/x86_64-linux/lib/libcublasLt.so.13.0.2.14
  ln -s libcublasLt.so.13.0.2.14 host/usr/local/cuda-13.0/targets/x86_64-linux/lib/libcublasLt.so.13
  ln -s cuda-13.0 host/usr/local/cuda
  found=$(on_host find_cuda_library libcublasLt.so.13)
  expect_equal "$found" "$folder/host/usr/local/cuda/targets/x86_64-linux/lib/libcublasLt.so.13"
  expect_equal "$(on_host cuda_library_version "$found")" 13.0.2.14
}
test_python_packages_of_a_virtual_environment_are_found() {
  library opt/torch/.venv/lib/python3.12/site-packages/nvidia/cu13/lib/libcublasLt.so.13
  library opt/torch/.venv/lib/python3.12/site-packages/nvidia/nccl/lib/libnccl.so.2
  mkdir -p host/opt/torch/.venv/lib/python3.12/site-packages/nvidia_nccl_cu13-2.28.9.dist-info \
    host/opt/torch/.venv/lib/python3.12/site-packages/nvidia_cublas-13.0.0.19.dist-info
  cublas=$(on_host find_cuda_library libcublasLt.so.13)
  nccl=$(on_host find_cuda_library libnccl.so.2)
  expect_match "$cublas" '/nvidia/cu13/lib/libcublasLt.so.13$'
  expect_match "$nccl" '/nvidia/nccl/lib/libnccl.so.2$'
  expect_equal "$(on_host cuda_library_version "$cublas")" 13.0.0.19
  expect_equal "$(on_host cuda_library_version "$nccl")" 2.28.9
}
test_the_environment_of_the_python_on_the_path_is_found() {
  library home/me/env/lib/python3.11/site-packages/nvidia/cublas/lib/libcublasLt.so.13
  program host/home/me/env/bin/python3 'exit 1'
  environment=(PATH="$folder/host/home/me/env/bin:/usr/bin:/bin")
  expect_match "$(on_host find_cuda_library libcublasLt.so.13)" '/home/me/env/lib/.*/cublas/lib/'
}
test_a_named_folder_comes_first() {
  library usr/local/cuda/lib64/libnccl.so.2
  library mine/libnccl.so.2
  environment=(RETINUE_CUDA_LIB="$folder/host/mine")
  expect_equal "$(on_host find_cuda_library libnccl.so.2)" "$folder/host/mine/libnccl.so.2"
}
test_a_toolkit_comes_before_python_packages() {
  library usr/local/lib/python3.12/dist-packages/nvidia/cublas/lib/libcublasLt.so.13
  library usr/local/cuda/lib64/libcublasLt.so.13
  expect_match "$(on_host find_cuda_library libcublasLt.so.13)" '/usr/local/cuda/lib64/'
}
test_another_major_version_is_not_taken() {
  library usr/local/cuda-12.8/lib64/libcublasLt.so.12
  found=$(on_host find_cuda_library libcublasLt.so.13)
  expect_equal "$found" ''
  if on_host find_cuda_library libcublasLt.so.13; then fail 'no library was found, yet the call succeeded'; fi
}
test_the_version_of_nccl_is_read_from_the_file_as_a_last_resort() {
  library usr/lib64/libnccl.so.2 'xx NCCL version 2.27.3+cuda13.0 yy'
  expect_equal "$(on_host cuda_library_version "$folder/host/usr/lib64/libnccl.so.2")" 2.27.3
}
test_a_version_found_nowhere_is_unknown() {
  library usr/lib64/libcublasLt.so.13
  expect_equal "$(on_host cuda_library_version "$folder/host/usr/lib64/libcublasLt.so.13")" unknown
}
test_the_path_has_each_folder_once_and_none_that_is_missing() {
  library usr/local/cuda/lib64/libcublasLt.so.13
  library usr/local/cuda/lib64/libnccl.so.2
  expect_equal "$(on_host cuda_library_path libcublasLt.so.13 libnccl.so.2 libcuda.so.1)" "$folder/host/usr/local/cuda/lib64"
}
run_tests
