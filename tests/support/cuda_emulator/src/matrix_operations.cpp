#include "cuda_emulator/simt.h"
#include "layers/kernels/cuda/ptx.cuh"
#include "tests/support/cuda_emulator/src/block_executor.h"
#include "tests/support/cuda_emulator/src/mma_order.h"

#include <bit>
#include <cstring>

namespace retinue::cuda {
namespace {

struct LoadMatrices {
  std::uint32_t* fragment;
  const void* row;
};

/// PTX ISA, ldmatrix: lane i names row i % 8 of matrix i / 8; fragment m of a lane is a pair of
/// elements of matrix m.
template <int kMatrices, bool kTransposed>
void complete_load(std::uint32_t, void* const* operands) {
  for (int m = 0; m < kMatrices; ++m) {
    std::uint16_t matrix[8][8];
    for (int row = 0; row < 8; ++row) {
      std::memcpy(matrix[row], static_cast<const LoadMatrices*>(operands[m * 8 + row])->row, 16);
    }
    for (int lane = 0; lane < 32; ++lane) {
      const int major = lane / 4, minor = lane % 4 * 2;
      const std::uint32_t low = kTransposed ? matrix[minor][major] : matrix[major][minor];
      const std::uint32_t high = kTransposed ? matrix[minor + 1][major] : matrix[major][minor + 1];
      static_cast<const LoadMatrices*>(operands[lane])->fragment[m] = low | high << 16;
    }
  }
}

constexpr cuda_emulator::WarpOperation kLoadX2{"load_matrix_x2", complete_load<2, false>, true};
constexpr cuda_emulator::WarpOperation kLoadX4{"load_matrix_x4", complete_load<4, false>, true};
constexpr cuda_emulator::WarpOperation kLoadX2Transposed{"load_matrix_x2_transposed",
                                                         complete_load<2, true>, true};
constexpr cuda_emulator::WarpOperation kLoadX4Transposed{"load_matrix_x4_transposed",
                                                         complete_load<4, true>, true};

struct MultiplyAdd {
  float* d;
  const std::uint32_t* a;
  const std::uint32_t* b;
};

float low_half(std::uint32_t pair) { return std::bit_cast<float>(pair << 16); }
float high_half(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xFFFF0000u); }

/// PTX ISA, mma.m16n8k16 with .bf16: which lane holds which element.
void complete_multiply_add(std::uint32_t, void* const* operands) {
  float a[16][16], b[16][8], d[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& mine = *static_cast<const MultiplyAdd*>(operands[lane]);
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int i = 0; i < 4; ++i) {
      const int row = group + (i % 2) * 8, column = pair + (i / 2) * 8;
      a[row][column] = low_half(mine.a[i]);
      a[row][column + 1] = high_half(mine.a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      b[pair + i * 8][group] = low_half(mine.b[i]);
      b[pair + i * 8 + 1][group] = high_half(mine.b[i]);
    }
    for (int i = 0; i < 4; ++i) d[group + (i / 2) * 8][pair + i % 2] = mine.d[i];
  }
  cuda_emulator::multiply_add(a, b, cuda_emulator::mma_order(), d);
  for (int lane = 0; lane < 32; ++lane) {
    const auto& mine = *static_cast<const MultiplyAdd*>(operands[lane]);
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int i = 0; i < 4; ++i) mine.d[i] = d[group + (i / 2) * 8][pair + i % 2];
  }
}

constexpr cuda_emulator::WarpOperation kMultiplyAdd{"mma_bf16_16x8x16", complete_multiply_add,
                                                    true};
constexpr std::uint32_t kWholeWarp = 0xFFFFFFFFu;

}  // namespace

void detail::load_matrices(std::uint32_t* fragment, int matrices, bool transposed,
                           const void* row) {
  // With .x2 the lanes 16 to 31 name no row.
  if (matrices == 4 || cuda_emulator::lane_index() < 16) {
    cuda_emulator::require_aligned(row, 16, "a row of load_matrix");
    cuda_emulator::note_access(row, 16, cuda_emulator::Access::kRead, __builtin_return_address(0));
  }
  LoadMatrices mine{fragment, row};
  const auto& operation = matrices == 4 ? (transposed ? kLoadX4Transposed : kLoadX4)
                                        : (transposed ? kLoadX2Transposed : kLoadX2);
  cuda_emulator::warp_rendezvous(operation, kWholeWarp, &mine);
}

void mma_bf16_16x8x16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  MultiplyAdd mine{d, a, b};
  cuda_emulator::warp_rendezvous(kMultiplyAdd, kWholeWarp, &mine);
}

}  // namespace retinue::cuda
