#include "layers/kernels/cuda/elements.cuh"
#include "layers/kernels/cuda/fp8_mma.h"
#include "layers/kernels/cuda/fp8_operand.h"
#include "layers/kernels/cuda/layout.h"
#include "layers/kernels/cuda/ptx.cuh"
#include "layers/ops/fp8_matmul.h"
#include "parallel/base/reduce_tree.h"

#include <algorithm>

// e4m3 is exact in bf16, so a group of 128 inputs is a product of bf16. Rows of x are widened when
// they are quantised, since many thread blocks read them; weights are widened in registers, so that
// memory and shared memory hold a byte for each.
//
// A thread block walks all groups of one tile upwards, a stage of shared memory for each group. A
// warp has all rows of the tile and 16 outputs, so that it alone widens its weights. All leaves of a
// sum meet in the registers of one thread, and y is written once.
//
// An mma adds 16 products, whichever inputs they belong to, as long as x and w agree. So a lane
// takes the inputs that lie side by side in memory: in each half of a group, lane % 4 = t has inputs
// 16 t to 16 t + 15, four for each of four instructions.

namespace retinue::cuda {

namespace {

constexpr int kGroup = ops::kFp8Group;
constexpr int kOutputsOfWarp = 16;
/// Pieces of 16 bytes, which one instruction copies or reads, in a group of a row.
constexpr int kXPieces = kGroup * 2 / 16, kWPieces = kGroup / 16;

struct Product {
  const std::byte* x;     ///< [padded, inputs] bf16
  const float* x_scales;  ///< [groups, padded]
  const std::byte* w;     ///< [outputs, inputs] e4m3
  const float* w_scales;  ///< fp8_scales
  void* y;
  std::int64_t y_stride;
  int rows, padded, outputs, inputs;
  int groups_of_leaf, w_scale_stride, w_scale_leaf_stride;
  bool y_is_f32;
};

/// What lies in a stage of shared memory, in bytes.
template <int kRows, int kOutputs>
struct Stage {
  static constexpr int kW = kRows * kXPieces * 16, kScales = kW + kOutputs * kWPieces * 16,
                       kBytes = kScales + kRows * 4;
};

// Eight lanes that read 16 bytes each at once read two rows: every second piece of x, or one half of
// the pieces of w. The second row's lie where the first row's do not, so that all banks are used.
__device__ __forceinline__ int x_offset(int row, int piece) {
  return (row * kXPieces + (piece ^ (row & 1))) * 16;
}
__device__ __forceinline__ int w_offset(int output, int piece) {
  return (output * kWPieces + (piece ^ (output & 1) * (kWPieces / 2))) * 16;
}

/// Starts the copies of one group of this thread block's tile; zeros past the last row and output.
template <int kRows, int kOutputs>
__device__ __forceinline__ void load_group(const Product& a, int group, unsigned char* stage) {
  constexpr unsigned kThreads = kOutputs / kOutputsOfWarp * 32;
  // Loops from 0 on: the compiler does not know that thread is below kThreads, and would provide
  // for other numbers of rounds. Unsigned numbers are divided by shifts alone.
  static_assert(kRows * kXPieces % kThreads == 0 && kOutputs * kWPieces % kThreads == 0);
  const unsigned thread = threadIdx.x;
  const int first_row = static_cast<int>(blockIdx.x) * kRows;
  const int first_output = static_cast<int>(blockIdx.y) * kOutputs;
#pragma unroll
  for (unsigned round = 0; round < kRows * kXPieces / kThreads; ++round) {
    const unsigned i = round * kThreads + thread;
    const int row = static_cast<int>(i / kXPieces), piece = static_cast<int>(i % kXPieces);
    const bool valid = first_row + row < a.padded;
    const unsigned at = static_cast<unsigned>(first_row + row) * static_cast<unsigned>(a.inputs) +
                        static_cast<unsigned>(group * kGroup);
    copy_async_16_or_zero(stage + x_offset(row, piece),
                          a.x + (valid ? at * 2 + static_cast<unsigned>(piece) * 16 : 0), valid);
  }
#pragma unroll
  for (unsigned round = 0; round < kOutputs * kWPieces / kThreads; ++round) {
    const unsigned i = round * kThreads + thread;
    const int output = static_cast<int>(i / kWPieces), piece = static_cast<int>(i % kWPieces);
    const bool valid = first_output + output < a.outputs;
    const unsigned at =
        static_cast<unsigned>(first_output + output) * static_cast<unsigned>(a.inputs) +
        static_cast<unsigned>(group * kGroup);
    copy_async_16_or_zero(stage + Stage<kRows, kOutputs>::kW + w_offset(output, piece),
                          a.w + (valid ? at + static_cast<unsigned>(piece) * 16 : 0), valid);
  }
  if (thread < kRows / 4) {
    const int row = first_row + static_cast<int>(thread) * 4;
    const bool valid = row < a.padded;
    copy_async_16_or_zero(
        stage + Stage<kRows, kOutputs>::kScales + thread * 16,
        valid ? a.x_scales + static_cast<std::int64_t>(group) * a.padded + row : a.x_scales, valid);
  }
}

/// sums[2 m + n] = the group's sums of rows 16 m to 16 m + 15 and outputs 8 n to 8 n + 7 of the warp,
/// in the layout of an mma's result.
template <int kRows>
__device__ __forceinline__ void multiply_group(const unsigned char* x, const unsigned char* w,
                                               float (&sums)[kRows / 8][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int tile = 0; tile < kRows / 8; ++tile)
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[tile][i] = 0;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    Vector<std::uint32_t, 4> bytes[2];
#pragma unroll
    for (int n = 0; n < 2; ++n)
      bytes[n] = load<4>(reinterpret_cast<const std::uint32_t*>(
          w + w_offset(warp * kOutputsOfWarp + n * 8 + lane / 4, half * 4 + lane % 4)));
#pragma unroll
    for (int quarter = 0; quarter < 2; ++quarter) {
      std::uint32_t b[2][2][2];  // [instruction][n]
#pragma unroll
      for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int n = 0; n < 2; ++n) widen_e4m3(bytes[n].at[quarter * 2 + i], b[i][n]);
#pragma unroll
      for (int m = 0; m < kRows / 16; ++m) {
        Vector<std::uint32_t, 4> rows[2];
#pragma unroll
        for (int h = 0; h < 2; ++h)
          rows[h] = load<4>(reinterpret_cast<const std::uint32_t*>(
              x + x_offset(m * 16 + h * 8 + lane / 4, half * 8 + lane % 4 * 2 + quarter)));
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const std::uint32_t a[4] = {rows[0].at[2 * i], rows[1].at[2 * i], rows[0].at[2 * i + 1],
                                      rows[1].at[2 * i + 1]};
          mma_bf16_16x8x16(sums[2 * m], a, b[i][0]);
          mma_bf16_16x8x16(sums[2 * m + 1], a, b[i][1]);
        }
      }
    }
  }
}

/// The tree of reduce_tree.h over leaves that arrive in order: a leaf waits until the sum it is to be
/// added to is whole. After the last of 2, 4 or 8 leaves the sum is in `total`. Loops are unrolled
/// because registers need indices known to the compiler.
template <int kTiles>
struct LeafTree {
  static constexpr int kLevels = 3;
  static_assert(1 << kLevels == kMaxLeaves);
  float waiting[kLevels][kTiles][4];

  __device__ __forceinline__ void push(float (&total)[kTiles][4], int leaf) {
#pragma unroll
    for (int level = 0; level < kLevels; ++level) {
      const bool whole = (leaf >> level & 1) != 0;
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (whole)
            total[tile][i] = waiting[level][tile][i] + total[tile][i];
          else
            waiting[level][tile][i] = total[tile][i];
        }
      if (!whole) return;
    }
  }
};

/// total = fma(sums, x scale · weight scale, total).
///   x_scales  of the tile's rows
template <int kTiles>
__device__ __forceinline__ void add_group(const float (&sums)[kTiles][4], const float* x_scales,
                                          float w_scale, float (&total)[kTiles][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int tile = 0; tile < kTiles; tile += 2)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float scale = x_scales[tile * 8 + h * 8 + lane / 4] * w_scale;
#pragma unroll
      for (int n = 0; n < 2; ++n)
#pragma unroll
        for (int i = 2 * h; i < 2 * h + 2; ++i)
          total[tile + n][i] = __fmaf_rn(sums[tile + n][i], scale, total[tile + n][i]);
    }
}

template <int kRows, int kOutputs>
__device__ __forceinline__ void write_tile(const Product& a, const float (&total)[kRows / 8][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int first_output = static_cast<int>(blockIdx.y) * kOutputs + warp * kOutputsOfWarp;
#pragma unroll
  for (int tile = 0; tile < kRows / 8; ++tile)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = static_cast<int>(blockIdx.x) * kRows + tile / 2 * 16 + i / 2 * 8 + lane / 4;
      const int output = first_output + tile % 2 * 8 + lane % 4 * 2 + i % 2;
      if (row >= a.rows || output >= a.outputs) continue;
      const std::int64_t at = row * a.y_stride + output;
      if (a.y_is_f32)
        static_cast<float*>(a.y)[at] = total[tile][i];
      else
        static_cast<__nv_bfloat16*>(a.y)[at] = __float2bfloat16_rn(total[tile][i]);
    }
}

/// A thread block per tile of kRows x kOutputs, a warp per 16 outputs.
///   kTree  whether the sum has leaves
template <int kRows, int kOutputs, int kStages, bool kTree>
__global__ void __launch_bounds__(kOutputs / kOutputsOfWarp * 32) fp8_mma_kernel(Product a) {
  static_assert(kRows % 16 == 0 && kGroup % kOutputs == 0, "a tile has one weight scale per group");
  using Layout = Stage<kRows, kOutputs>;
  constexpr int kTiles = kRows / 8;
  auto* const stages = dynamic_shared<unsigned char>();
  const int groups = a.inputs / kGroup;
  const float* w_scale =
      a.w_scales + static_cast<int>(blockIdx.y) * kOutputs / kGroup * a.w_scale_stride;
#pragma unroll
  for (int group = 0; group < kStages - 1; ++group) {
    if (group < groups) load_group<kRows, kOutputs>(a, group, stages + group * Layout::kBytes);
    copy_async_commit();
  }
  float total[kTiles][4] = {};
  [[maybe_unused]] LeafTree<kTiles> tree;
  int leaf = 0, group_of_leaf = 0;
  for (int group = 0; group < groups; ++group) {
    copy_async_wait<kStages - 2>();
    __syncthreads();  // this group is there, and all warps are done with the one before
    const int next = group + kStages - 1;
    if (next < groups)
      load_group<kRows, kOutputs>(a, next, stages + next % kStages * Layout::kBytes);
    copy_async_commit();  // empty at the end, so that the wait above always leaves as many
    const unsigned char* const stage = stages + group % kStages * Layout::kBytes;
    const float scale = w_scale[group_of_leaf];
    float sums[kTiles][4];
    multiply_group<kRows>(stage, stage + Layout::kW, sums);
    add_group(sums, reinterpret_cast<const float*>(stage + Layout::kScales), scale, total);
    if (++group_of_leaf < a.groups_of_leaf) continue;
    if constexpr (kTree) {
      tree.push(total, leaf);
      if (group + 1 == groups) break;
      ++leaf, group_of_leaf = 0, w_scale += a.w_scale_leaf_stride;
#pragma unroll
      for (auto& tile : total)
        for (float& sum : tile) sum = 0;
    }
  }
  write_tile<kRows, kOutputs>(a, total);
}

template <int kRows, int kOutputs, int kStages>
void launch_tiles(Context& ctx, const Product& a) {
  constexpr std::size_t kShared = std::size_t{Stage<kRows, kOutputs>::kBytes} * kStages;
  static_assert(kShared <= std::size_t{99} << 10, "what compute capability 8.6, 8.9 and 12.0 have");
  const auto kernel = a.groups_of_leaf * kGroup < a.inputs
                          ? fp8_mma_kernel<kRows, kOutputs, kStages, true>
                          : fp8_mma_kernel<kRows, kOutputs, kStages, false>;
  launch(ctx, kernel, {ceil_div(a.rows, kRows), ceil_div(a.outputs, kOutputs)},
         kOutputs / kOutputsOfWarp * 32, kShared, a);
}

}  // namespace

void fp8_mma_matmul(Context& ctx, const ops::detail::MatmulArgs& a) {
  const std::int64_t inputs = a.w.inputs;
  const Fp8Scales scales = fp8_scales(a.w.outputs, inputs, a.leaves);
  const Fp8Scratch scratch =
      fp8_mma_scratch({a.x.dim(0), inputs, a.w.outputs, a.leaves, a.quantized != nullptr});
  check(a.leaves <= kMaxLeaves, "fp8_matmul: a CUDA product has 1, 2, 4 or 8 leaves");
  check(scratch.chunk * inputs * 2 < kMostFp8Bytes && a.w.outputs * inputs < kMostFp8Bytes,
        "fp8_matmul: the operands of a CUDA product have less than 2 GiB each");
  for (std::int64_t first = 0; first < a.x.dim(0); first += scratch.chunk) {
    const Fp8Operand x = fp8_chunk(ctx, a, scratch, first, true);
    const auto number = [](std::int64_t n) { return static_cast<int>(n); };
    const Product product{.x = x.q,
                          .x_scales = x.scales,
                          .w = a.w.data.bytes(),
                          .w_scales = a.w.scales.data<float>(),
                          .y = a.y.rows(first, x.rows).bytes(),
                          .y_stride = a.y.row_stride(),
                          .rows = x.rows,
                          .padded = x.padded,
                          .outputs = number(a.w.outputs),
                          .inputs = number(inputs),
                          .groups_of_leaf = number(scales.groups),
                          .w_scale_stride = number(scales.stride),
                          .w_scale_leaf_stride = number(scales.leaf_stride),
                          .y_is_f32 = a.y.dtype() == DType::kF32};
    // Few rows wait for weights: the fewer the rows, the more thread blocks and groups on their way.
    if (x.rows <= 16)
      launch_tiles<16, 64, 4>(ctx, product);
    else if (x.rows <= 64)
      launch_tiles<64, 64, 3>(ctx, product);
    else
      launch_tiles<64, 128, 3>(ctx, product);
  }
}

}  // namespace retinue::cuda
