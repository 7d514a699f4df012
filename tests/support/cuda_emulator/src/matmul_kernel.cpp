#include "tests/support/cuda_emulator/src/matmul_kernel.h"

#include "tests/support/cuda_emulator/src/mma_order.h"

#include <algorithm>
#include <cstring>
#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <vector>

namespace cuda_emulator {
namespace {

constexpr std::int64_t kLanes = 8, kColumns = 4;
using Vector = EightFloats;
static_assert(sizeof(Vector) == kLanes * sizeof(float));

/// Multiplies columns of b with eight rows of a: one accumulator each, k ascending. Wider
/// instructions change no bit.
///   a [k, kLanes], b [k, kColumns], sums [kColumns, kLanes]
__attribute__((target_clones("avx2", "default"))) void accumulate(const float* a, const float* b,
                                                                  std::int64_t begin,
                                                                  std::int64_t end, float* sums) {
  Vector columns[kColumns] = {};
  for (std::int64_t k = begin; k < end; ++k) {
    Vector rows;
    std::memcpy(&rows, a + k * kLanes, sizeof rows);
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) columns[j] += rows * b[k * kColumns + j];
  }
  std::memcpy(sums, columns, sizeof columns);
}

/// The same in the steps of an mma, each of which adds its products in the order.
__attribute__((target_clones("avx2", "default"))) void accumulate_by_mma(
    MmaOrder order, const Mma& mma, const float* a, const float* b, std::int64_t begin,
    std::int64_t end, float* sums) {
  Vector columns[kColumns] = {};
  for (std::int64_t first = begin; first < end; first += mma.products) {
    const auto count = static_cast<int>(std::min<std::int64_t>(mma.products, end - first));
    for (int j = 0; j < kColumns; ++j) {
      Vector products[kMmaOfE4m3.products];
      for (int i = 0; i < count; ++i) {
        Vector rows;
        std::memcpy(&rows, a + (first + i) * kLanes, sizeof rows);
        products[i] = rows * b[(first + i) * kColumns + j];
      }
      add_products(order, mma, products, count, columns[j]);
    }
  }
  std::memcpy(sums, columns, sizeof columns);
}

}  // namespace

float load_element(const void* data, cudaDataType_t type, std::int64_t index) {
  if (type == CUDA_R_8F_E4M3)
    return static_cast<float>(static_cast<const __nv_fp8_e4m3*>(data)[index]);
  return type == CUDA_R_16BF ? static_cast<float>(static_cast<const __nv_bfloat16*>(data)[index])
                             : static_cast<const float*>(data)[index];
}

void store_element(void* data, cudaDataType_t type, std::int64_t index, float value) {
  if (type == CUDA_R_16BF) {
    static_cast<__nv_bfloat16*>(data)[index] = __float2bfloat16_rn(value);
  } else {
    static_cast<float*>(data)[index] = value;
  }
}

float rounded_to(cudaDataType_t type, float value) {
  return type == CUDA_R_16BF ? static_cast<float>(__float2bfloat16_rn(value)) : value;
}

void multiply_slices(std::int64_t m, std::int64_t n, const Slicing& slicing, const MatrixView& a,
                     const MatrixView& b, float* sums) {
  const std::int64_t k_size = slicing.k;
  // Tensor cores do not multiply f32.
  const MmaOrder order = a.type == CUDA_R_32F ? MmaOrder::kAscending : mma_order();
  const Mma& mma = a.type == CUDA_R_8F_E4M3 ? kMmaOfE4m3 : kMmaOfBf16;
  std::vector<float> rows(static_cast<std::size_t>(k_size * kLanes));
  // Groups of columns of b, k by k.
  const std::int64_t groups = (n + kColumns - 1) / kColumns;
  std::vector<float> columns(static_cast<std::size_t>(groups * k_size * kColumns));
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t k = 0; k < k_size; ++k) {
      columns[static_cast<std::size_t>((j / kColumns * k_size + k) * kColumns + j % kColumns)] =
          load_element(b.data, b.type, k * b.row_stride + j * b.column_stride);
    }
  }
  for (std::int64_t first = 0; first < m; first += kLanes) {
    const std::int64_t count = std::min(kLanes, m - first);
    for (std::int64_t k = 0; k < k_size; ++k) {
      float* row = rows.data() + k * kLanes;
      std::fill(row, row + kLanes, 0.0f);
      for (std::int64_t i = 0; i < count; ++i) {
        row[i] = load_element(a.data, a.type, (first + i) * a.row_stride + k * a.column_stride);
      }
    }
    for (std::int64_t group = 0; group < groups; ++group) {
      const float* b_group = columns.data() + group * k_size * kColumns;
      for (int slice = 0; slice < slicing.slices; ++slice) {
        float block[kColumns * kLanes];
        const std::int64_t begin = slicing.begin(slice), end = slicing.begin(slice + 1);
        if (order == MmaOrder::kAscending) {
          accumulate(rows.data(), b_group, begin, end, block);
        } else {
          accumulate_by_mma(order, mma, rows.data(), b_group, begin, end, block);
        }
        for (std::int64_t j = group * kColumns; j < std::min(n, (group + 1) * kColumns); ++j) {
          float* out = sums + (slice * n + j) * m + first;
          for (std::int64_t i = 0; i < count; ++i) out[i] = block[j % kColumns * kLanes + i];
        }
      }
    }
  }
}

}  // namespace cuda_emulator
