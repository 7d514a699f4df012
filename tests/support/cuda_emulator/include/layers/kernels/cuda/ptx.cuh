#pragma once

#include "cuda_emulator/simt.h"

#include <cmath>
#include <cstdint>

/// The emulator's version of layers/kernels/cuda/ptx.cuh, which documents these functions.
///
/// Numerics: mma_bf16_16x8x16 adds the 16 products to d in the order of cuda_emulator/mma_order.h, by
/// default one by one, k ascending, each sum rounded to f32.
///   Hardware adds them in an order of its own.
namespace retinue::cuda {

namespace detail {

void load_matrices(std::uint32_t* fragment, int matrices, bool transposed, const void* row);

}  // namespace detail

template <class T>
inline T* dynamic_shared() {
  return static_cast<T*>(cuda_emulator::dynamic_shared_memory());
}

inline void copy_async_16(void* shared, const void* global) {
  cuda_emulator::start_copy(shared, global, true);
}
inline void copy_async_16_or_zero(void* shared, const void* global, bool valid) {
  cuda_emulator::start_copy(shared, global, valid);
}
inline void copy_async_commit() { cuda_emulator::close_copy_group(); }
template <int kPending>
inline void copy_async_wait() {
  cuda_emulator::land_copies(kPending);
}

inline void load_matrix_x4(std::uint32_t (&fragment)[4], const void* shared_row) {
  detail::load_matrices(fragment, 4, false, shared_row);
}
inline void load_matrix_x4_transposed(std::uint32_t (&fragment)[4], const void* shared_row) {
  detail::load_matrices(fragment, 4, true, shared_row);
}
inline void load_matrix_x2(std::uint32_t (&fragment)[2], const void* shared_row) {
  detail::load_matrices(fragment, 2, false, shared_row);
}
inline void load_matrix_x2_transposed(std::uint32_t (&fragment)[2], const void* shared_row) {
  detail::load_matrices(fragment, 2, true, shared_row);
}

void mma_bf16_16x8x16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]);

inline float exp2_approx(float x) {
  const auto flushed = [](float v) { return std::fpclassify(v) == FP_SUBNORMAL ? 0.0f : v; };
  return flushed(std::exp2(flushed(x)));
}

inline void griddep_wait() {}
inline void griddep_launch_dependents() {}

}  // namespace retinue::cuda
