#pragma once

#include "layers/kernels/cuda/ptx.cuh"
#include "layers/kernels/cuda/wgmma_descriptor.cuh"

#include <cstdint>
#include <cuda.h>

/// The emulator's version of layers/kernels/cuda/ptx_hopper.cuh, which documents these functions.
///
/// Numerics: a wgmma adds its 16 products in the order of cuda_emulator/mma_order.h, as an mma does.
namespace retinue::cuda {

inline constexpr bool kHasWgmma = true;

using Mbarrier = std::uint64_t;

void mbarrier_init(Mbarrier* barrier, int arrivals);
void mbarrier_init_fence();
void mbarrier_invalidate(Mbarrier* barrier);
void mbarrier_arrive(Mbarrier* barrier);
void mbarrier_arrive_expect(Mbarrier* barrier, int bytes);
void mbarrier_wait(Mbarrier* barrier, int parity);

void fence_proxy_async();
void copy_box_2d(void* shared, const CUtensorMap* map, int column, int row, Mbarrier* barrier);
inline void prefetch_map(const CUtensorMap*) {}

namespace detail {

/// In the 18 bits that a descriptor has for it.
std::uint32_t shared_address(const void* shared);
void change_registers();
void start_wgmma(float* d, int columns, std::uint64_t a, std::uint64_t b, bool accumulate);
void wait_for_wgmma(int pending_groups);

}  // namespace detail

template <int kRegisters>
inline void give_registers_but() {
  static_assert(kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 256);
  detail::change_registers();
}
template <int kRegisters>
inline void take_registers_up_to() {
  give_registers_but<kRegisters>();
}

inline std::uint64_t shared_matrix(const void* first, Swizzle swizzle,
                                   std::uint32_t eight_rows_bytes,
                                   std::uint32_t eight_k_bytes = 16) {
  return SharedMatrix{detail::shared_address(first), swizzle, eight_rows_bytes, eight_k_bytes}
      .descriptor();
}

void wgmma_fence();
void wgmma_commit();
template <int kPending>
inline void wgmma_wait() {
  detail::wait_for_wgmma(kPending);
}
template <int kRegisters>
inline void pin_registers(float (&)[kRegisters]) {}

inline void wgmma_m64k16(float (&d)[32], std::uint64_t a, std::uint64_t b, bool accumulate) {
  detail::start_wgmma(d, 64, a, b, accumulate);
}
inline void wgmma_m64k16(float (&d)[64], std::uint64_t a, std::uint64_t b, bool accumulate) {
  detail::start_wgmma(d, 128, a, b, accumulate);
}

}  // namespace retinue::cuda
