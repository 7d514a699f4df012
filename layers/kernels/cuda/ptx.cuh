#pragma once

// Tested through tests/layers/ops/attention_test.cpp.

#include <cstdint>

/// Every PTX instruction that the kernels use, one function each; no other file holds inline
/// assembly, but for ptx_hopper.cuh. "A warp operation": all 32 lanes of a warp call it together. Needs
/// nvcc; compute capability 8.0.
///
/// Numerics: `mma_bf16_16x8x16` multiplies exactly and accumulates in f32. NVIDIA does not document
///           the order in which it adds the 16 products, so results may differ between GPUs.
namespace retinue::cuda {

namespace detail {

// shared-space addresses are 32 bits wide in PTX.
__device__ __forceinline__ std::uint32_t shared_address(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

}  // namespace detail

/// The block's dynamic shared memory, 128-byte aligned.
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char retinue_dynamic_shared[];
  return reinterpret_cast<T*>(retinue_dynamic_shared);
}

/// Starts a copy of 16 bytes from global to shared memory, both 16-byte aligned, past the L1 cache.
/// The bytes are there for this thread after copy_async_wait, for others after a barrier behind it.
__device__ __forceinline__ void copy_async_16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(detail::shared_address(shared)),
               "l"(__cvta_generic_to_global(global))
               : "memory");
}

/// As copy_async_16, but writes zeros where not `valid`; `global` is not read then and may lie
/// anywhere.
__device__ __forceinline__ void copy_async_16_or_zero(void* shared, const void* global,
                                                      bool valid) {
  const int source_bytes = valid ? 16 : 0;
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(detail::shared_address(shared)),
      "l"(__cvta_generic_to_global(global)), "r"(source_bytes)
      : "memory");
}

/// Closes a group: the copies that this thread has started since the last one.
__device__ __forceinline__ void copy_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

/// Waits until at most the newest `kPending` groups of this thread are in flight.
template <int kPending>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// Loads four 8x8 matrices of 16-bit elements. Lane i names row i % 8 of matrix i / 8 (16 bytes,
/// aligned); lane i gets elements 2 (i % 4) and 2 (i % 4) + 1 of row i / 4 of each. A warp
/// operation.
__device__ __forceinline__ void load_matrix_x4(std::uint32_t (&fragment)[4],
                                               const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
               : "r"(detail::shared_address(shared_row))
               : "memory");
}

/// As load_matrix_x4, of the transposed matrices: lane i gets rows 2 (i % 4) and 2 (i % 4) + 1 of
/// column i / 4.
__device__ __forceinline__ void load_matrix_x4_transposed(std::uint32_t (&fragment)[4],
                                                          const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
               : "r"(detail::shared_address(shared_row))
               : "memory");
}

/// Two matrices; the rows are those that lanes 0 to 15 name. A warp operation.
__device__ __forceinline__ void load_matrix_x2(std::uint32_t (&fragment)[2],
                                               const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(fragment[0]), "=r"(fragment[1])
               : "r"(detail::shared_address(shared_row))
               : "memory");
}

/// Two transposed matrices.
__device__ __forceinline__ void load_matrix_x2_transposed(std::uint32_t (&fragment)[2],
                                                          const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(fragment[0]), "=r"(fragment[1])
               : "r"(detail::shared_address(shared_row))
               : "memory");
}

/// d += a b: a [16, 16] row-major, b [16, 8], bf16; d [16, 8], f32. A warp operation. With g = lane
/// / 4 and t = 2 (lane % 4), a lane holds
///   a[0], a[1]: rows g and g + 8, columns t, t + 1;  a[2], a[3]: the same, 8 columns on
///   b[0], b[1]: column g, rows t, t + 1 and 8 rows on
///   d[0], d[1]: row g, columns t, t + 1;             d[2], d[3]: row g + 8
__device__ __forceinline__ void mma_bf16_16x8x16(float (&d)[4], const std::uint32_t (&a)[4],
                                                 const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// 2^x within 2 ulp; subnormal inputs and results are 0.
__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Waits for the kernels before this one in the stream, where the launch asked for programmatic
/// dependent launch; nothing otherwise, and nothing below compute capability 9.0.
__device__ __forceinline__ void griddep_wait() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the next kernel start once every thread block has called this or ended. The next kernel
/// sees this one's writes only after its griddep_wait.
__device__ __forceinline__ void griddep_launch_dependents() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace retinue::cuda
