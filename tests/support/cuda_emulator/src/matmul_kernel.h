#pragma once

#include "cuda_emulator/cublaslt_types.h"

#include <cstddef>
#include <cstdint>

namespace cuda_emulator {

/// Of k, that share a scale.
inline constexpr std::int64_t kScaleGroup = 128;

/// A matrix of f32, bf16 or e4m3; element (i, j) lies at i * row_stride + j * column_stride.
struct MatrixView {
  const void* data = nullptr;
  cudaDataType_t type = CUDA_R_32F;
  std::int64_t row_stride = 0, column_stride = 0, batch_stride = 0;
};

float load_element(const void* data, cudaDataType_t type, std::int64_t index);
void store_element(void* data, cudaDataType_t type, std::int64_t index, float value);
/// The value after a store to memory of that type.
float rounded_to(cudaDataType_t type, float value);

/// How a sum over k is split: `slices` runs, each accumulated in f32 by one mma after the other.
struct Slicing {
  std::int64_t k = 0;
  int slices = 1;
  std::int64_t run = 0;  ///< length of all but the last; 0: all have about the same

  std::int64_t begin(int slice) const {
    return run > 0 ? (slice * run < k ? slice * run : k) : k * slice / slices;
  }
};

/// sums [slices, n, m] = the products of a [m, k] and b [k, n], slice by slice.
void multiply_slices(std::int64_t m, std::int64_t n, const Slicing& slicing, const MatrixView& a,
                     const MatrixView& b, float* sums);

}  // namespace cuda_emulator
