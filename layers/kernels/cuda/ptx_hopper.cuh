#pragma once

// Tested through tests/support/cuda_emulator/tests/wgmma_test.cu.

#include "layers/kernels/cuda/ptx.cuh"
#include "layers/kernels/cuda/wgmma_descriptor.cuh"

#include <cstdint>
#include <cuda.h>

/// The PTX of Hopper that kernels use, a function each: mbarriers, copies of boxes of tensors (TMA) and
/// products by four warps at once (wgmma). Needs nvcc; what it holds is compiled for sm_90a alone
/// (`kHasWgmma`).
///
/// Words of the PTX ISA: an *mbarrier* counts arrivals and bytes. When both are complete, its *phase* is,
/// and the next one begins; phases alternate in parity, the first is 0. The *async proxy* is the way by
/// which copies of boxes and wgmma access shared memory; what threads themselves wrote there is visible
/// to it after fence_proxy_async(). A *warpgroup* is four warps, the first a multiple of four.
///
/// Numerics: a wgmma multiplies exactly and accumulates in f32. NVIDIA does not document the order in
///           which it adds its 16 products, so results may differ between GPUs.
namespace retinue::cuda {

/// Whether this compilation is for a GPU that has these instructions. Kernels name them only where it
/// is, in `if constexpr` of a template.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
inline constexpr bool kHasWgmma = true;
#else
inline constexpr bool kHasWgmma = false;
#endif

/// In shared memory, 8-byte aligned, in its thread block's use alone.
using Mbarrier = std::uint64_t;

/// Makes an mbarrier of so many arrivals per phase. Others may use it after mbarrier_init_fence by this
/// thread and a __syncthreads().
__device__ __forceinline__ void mbarrier_init(Mbarrier* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(detail::shared_address(barrier)),
               "r"(arrivals)
               : "memory");
}

/// Makes this thread's mbarrier_init visible to the async proxy.
__device__ __forceinline__ void mbarrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

/// Ends the use of an mbarrier; its bytes may hold other things then.
__device__ __forceinline__ void mbarrier_invalidate(Mbarrier* barrier) {
  asm volatile("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(detail::shared_address(barrier))
               : "memory");
}

/// Arrives. What this thread did before comes before what a thread does after it waited for the phase.
__device__ __forceinline__ void mbarrier_arrive(Mbarrier* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(detail::shared_address(barrier))
               : "memory");
}

/// Lets the phase wait for so many more bytes of copies, and arrives.
__device__ __forceinline__ void mbarrier_arrive_expect(Mbarrier* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                   detail::shared_address(barrier)),
               "r"(bytes)
               : "memory");
}

/// Waits until the phase of this parity is complete: returns at once where the phase under way has the
/// other one. So a thread's waits alternate in parity; on a new mbarrier parity 1 does not wait.
__device__ __forceinline__ void mbarrier_wait(Mbarrier* barrier, int parity) {
  int complete = 0;
  do {
    asm volatile(
        "{\n"
        ".reg .pred complete;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 complete, [%1], %2;\n"
        "selp.b32 %0, 1, 0, complete;\n"
        "}"
        : "=r"(complete)
        : "r"(detail::shared_address(barrier)), "r"(parity)
        : "memory");
  } while (complete == 0);
}

/// Makes what this thread wrote to shared memory, or knows of, visible to the async proxy.
__device__ __forceinline__ void fence_proxy_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/// Starts the copy of the box of a tensor of two dimensions whose first element is [row, column], zeros
/// where it lies beyond the tensor. All its bytes count for the mbarrier, whose phase expects them.
///   shared  128-byte aligned, with a swizzle to eight rows of its span
///   map     a kernel's parameter that is const __grid_constant__
__device__ __forceinline__ void copy_box_2d(void* shared, const CUtensorMap* map, int column,
                                            int row, Mbarrier* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, "
      "%4}], [%2];" ::"r"(detail::shared_address(shared)),
      "l"(map), "r"(detail::shared_address(barrier)), "r"(column), "r"(row)
      : "memory");
}

/// Brings a map to the cache before its first copy.
__device__ __forceinline__ void prefetch_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/// Changes how many registers a thread of this warpgroup may have; a warp operation of each of its warps.
/// Others must have given up what is taken. The block was launched with as many for all, which
/// __launch_bounds__ says.
///   kRegisters  a multiple of 8, 24 to 256
template <int kRegisters>
__device__ __forceinline__ void give_registers_but() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void take_registers_up_to() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

/// Names a matrix in shared memory for a wgmma.
///   first  the first row's first k that is read
__device__ __forceinline__ std::uint64_t shared_matrix(const void* first, Swizzle swizzle,
                                                       std::uint32_t eight_rows_bytes,
                                                       std::uint32_t eight_k_bytes = 16) {
  return SharedMatrix{detail::shared_address(first), swizzle, eight_rows_bytes, eight_k_bytes}
      .descriptor();
}

/// Comes before the first wgmma, and between any other access to its registers and a wgmma. As all of
/// wgmma a warp operation of each of the four warps.
__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

/// Closes a group: the products that this warp has started since the last one.
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/// Waits until at most the newest `kPending` groups are in flight. Before that the registers of a product
/// must not be touched, nor its matrices be overwritten.
template <int kPending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

/// Keeps the compiler from moving accesses to these registers across it, which it would do across
/// wgmma_wait, since that names none.
template <int kRegisters>
__device__ __forceinline__ void pin_registers(float (&d)[kRegisters]) {
#pragma unroll
  for (float& value : d) asm volatile("" : "+f"(value)::"memory");
}

/// Starts d = a bᵀ, or d += a bᵀ where `accumulate`: a [64, 16] and b [columns, 16] in shared memory
/// (shared_matrix), rows along k; d [64, columns], f32. With g = 16 warp + lane / 4 and t = 2 (lane % 4) a
/// lane holds d[4 n], d[4 n + 1]: row g, columns 8 n + t and the next; d[4 n + 2], d[4 n + 3]: row g + 8.
/// This one has 64 columns.
__device__ __forceinline__ void wgmma_m64k16(float (&d)[32], std::uint64_t a, std::uint64_t b,
                                             bool accumulate) {
  asm volatile(
      "{\n"
      ".reg .pred accumulate;\n"
      "setp.ne.b32 accumulate, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31}, "
      "%32, %33, accumulate, 1, 1, 0, 0;\n"
      "}"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
        "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
        "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
        "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
        "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
      : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));
}

/// The same with 128 columns.
__device__ __forceinline__ void wgmma_m64k16(float (&d)[64], std::uint64_t a, std::uint64_t b,
                                             bool accumulate) {
  asm volatile(
      "{\n"
      ".reg .pred accumulate;\n"
      "setp.ne.b32 accumulate, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, "
      "%40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, "
      "%56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, accumulate, 1, 1, 0, 0;\n"
      "}"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
        "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
        "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
        "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
        "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]),
        "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]),
        "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]),
        "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
        "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]),
        "+f"(d[63])
      : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));
}

}  // namespace retinue::cuda
