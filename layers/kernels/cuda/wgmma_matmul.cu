#include "layers/kernels/cuda/cublaslt_product.h"
#include "layers/kernels/cuda/launch.h"
#include "layers/kernels/cuda/layout.h"
#include "layers/kernels/cuda/matmul_scratch.h"
#include "layers/kernels/cuda/ptx_hopper.cuh"
#include "layers/kernels/cuda/wgmma_matmul.h"
#include "parallel/base/reduce_tree.h"
#include "parallel/device/cuda/runtime.h"

#include <algorithm>
#include <cudaTypedefs.h>
#include <cuda_bf16.h>
#include <type_traits>

// A thread block walks k over one tile of y. One thread of its last warpgroup brings boxes of 64 inputs of
// x and w (TMA) into a ring of stages; warpgroups of 64 rows each multiply them (wgmma). Two mbarriers per
// stage pass it to and fro: `full` counts the bytes of its boxes, `empty` the warps that are done with it.
//
// The sums of a warpgroup are registers: 64 rows of 128 outputs are 64 for each thread. The tree of
// eight leaves has up to three sums waiting besides the one under way, 256 in all, and a thread has at
// most 255. The last of the three is used once per tile, when half of the leaves are done: it waits in
// shared memory, where each thread has a place of its own, and 192 registers are sums. A quarter of an SM has
// 512 registers for each lane: two warps that multiply have 240 each, and the third, of the warpgroup
// that brings boxes, 24. With 64 outputs per tile all sums are registers: 128.

namespace retinue::cuda {

namespace {

constexpr int kBoxInputs = 64;  ///< a row of a box is 128 bytes, the span of the swizzle
constexpr int kBoxRowBytes = kBoxInputs * 2;
[[maybe_unused]] constexpr int kEightRowsBytes = 8 * kBoxRowBytes;
constexpr int kWarpgroup = 128, kWarpgroupRows = 64;
constexpr int kPatternBytes = 1024;  ///< after which the swizzle repeats

struct Product {
  CUtensorMap x, w;  ///< [rows, inputs] and [outputs, inputs] bf16, in boxes of a tile's rows
  void* y;
  std::int64_t y_stride;
  int rows, outputs, leaves, boxes_of_leaf;
  bool y_is_f32, pairs;  ///< pairs: two outputs of y are one aligned access
};

/// A tile of y, and how its thread block divides shared memory, in bytes from a multiple of 1024.
template <int kWarpgroups_, int kOutputs_, int kStages_, bool kParks_>
struct Tile {
  static constexpr int kWarpgroups = kWarpgroups_, kOutputs = kOutputs_, kStages = kStages_;
  static constexpr bool kParks = kParks_;  ///< the last level of the tree waits in shared memory
  static constexpr int kRows = kWarpgroups * kWarpgroupRows;
  static constexpr int kMultipliers = kWarpgroups * kWarpgroup;
  static constexpr int kThreads = kMultipliers + kWarpgroup;
  static constexpr int kSums = kOutputs / 2;  ///< of a thread
  static constexpr int kX = kRows * kBoxRowBytes, kStage = kX + kOutputs * kBoxRowBytes;
  static constexpr int kPark = kStages * kStage;
  static constexpr int kBarriers = kPark + (kParks ? kMultipliers * kSums * 4 : 0);
  static constexpr std::size_t kBytes = kPatternBytes + kBarriers + 2 * kStages * sizeof(Mbarrier);
  static_assert(kBytes <= std::size_t{227} << 10, "what compute capability 9.0 has");
};

/// The stage that is next, and in which parity its mbarriers are: they change when all were used.
template <int kStages>
struct RingPlace {
  int stage = 0, parity = 0;
  __device__ __forceinline__ void advance() {
    if (++stage < kStages) return;
    stage = 0, parity ^= 1;
  }
};

/// Brings every box of this thread block's tile. One thread.
template <class T>
__device__ __forceinline__ void bring_boxes(const Product& a, unsigned char* stages, Mbarrier* full,
                                            Mbarrier* empty) {
  const int first_row = static_cast<int>(blockIdx.x) * T::kRows;
  const int first_output = static_cast<int>(blockIdx.y) * T::kOutputs;
  RingPlace<T::kStages> at;
  for (int box = 0; box < a.leaves * a.boxes_of_leaf; ++box, at.advance()) {
    unsigned char* const stage = stages + at.stage * T::kStage;
    mbarrier_wait(&empty[at.stage], at.parity ^ 1);  // does not wait in the first round
    mbarrier_arrive_expect(&full[at.stage], T::kStage);
    copy_box_2d(stage, &a.x, box * kBoxInputs, first_row, &full[at.stage]);
    copy_box_2d(stage + T::kX, &a.w, box * kBoxInputs, first_output, &full[at.stage]);
  }
}

/// A sum that waits, in registers or, with kParks, in shared memory.
template <class T>
struct Waiting {
  float registers[T::kParks ? 1 : T::kSums];
  float4* parked;  ///< this thread's places, one for each row of all threads

  __device__ __forceinline__ void keep(const float (&sum)[T::kSums]) {
#pragma unroll
    for (int i = 0; i < T::kSums; i += 4) {
      if constexpr (T::kParks) {
        parked[i / 4 * T::kMultipliers] = {sum[i], sum[i + 1], sum[i + 2], sum[i + 3]};
      } else {
        for (int j = i; j < i + 4; ++j) registers[j] = sum[j];
      }
    }
  }
  /// sum = what was kept + sum
  __device__ __forceinline__ void add_to(float (&sum)[T::kSums]) const {
#pragma unroll
    for (int i = 0; i < T::kSums; i += 4) {
      if constexpr (T::kParks) {
        const float4 kept = parked[i / 4 * T::kMultipliers];
        sum[i] = kept.x + sum[i];
        sum[i + 1] = kept.y + sum[i + 1];
        sum[i + 2] = kept.z + sum[i + 2];
        sum[i + 3] = kept.w + sum[i + 3];
      } else {
        for (int j = i; j < i + 4; ++j) sum[j] = registers[j] + sum[j];
      }
    }
  }
};

/// What a warpgroup needs to walk k.
template <class T>
struct Walk {
  std::uint64_t x, w;  ///< its rows and the outputs in stage 0, as a wgmma names them
  Mbarrier *full, *empty;
  RingPlace<T::kStages> at;

  __device__ __forceinline__ Walk(const unsigned char* stages, Mbarrier* full_, Mbarrier* empty_)
      : x(shared_matrix(
            stages + static_cast<int>(threadIdx.x) / kWarpgroup * kWarpgroupRows * kBoxRowBytes,
            Swizzle::k128Bytes, kEightRowsBytes)),
        w(shared_matrix(stages + T::kX, Swizzle::k128Bytes, kEightRowsBytes)),
        full(full_),
        empty(empty_) {}

  /// By one lane for its warp.
  __device__ __forceinline__ void give_back(int stage) const {
    if (threadIdx.x % 32 == 0) mbarrier_arrive(&empty[stage]);
  }
};

/// sums = the products of one leaf of this warpgroup's rows. Stages are given back when the products
/// after them are under way, so that the tensor cores have work while the next stage is waited for.
template <class T>
__device__ __forceinline__ void multiply_leaf(int boxes, Walk<T>& walk, float (&sums)[T::kSums]) {
  int before = 0;
  for (int box = 0; box < boxes; ++box) {
    const int stage = walk.at.stage;
    mbarrier_wait(&walk.full[stage], walk.at.parity);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kBoxRowBytes; k += 32) {
      const auto bytes = static_cast<std::uint32_t>(stage * T::kStage + k);
      wgmma_m64k16(sums, moved(walk.x, bytes), moved(walk.w, bytes), box > 0 || k > 0);
    }
    wgmma_commit();
    wgmma_wait<1>();
    if (box > 0) walk.give_back(before);
    before = stage;
    walk.at.advance();
  }
  wgmma_wait<0>();
  pin_registers(sums);
  walk.give_back(before);
}

/// total = the tree of reduce_tree.h over 2, 4 or 8 leaves. It is written out, and only products write
/// to the registers of products: otherwise ptxas copies them all, and there is no room for that.
template <class T>
__device__ __forceinline__ void multiply_tree(const Product& a, Walk<T>& walk, float4* parked,
                                              float (&total)[T::kSums]) {
  static_assert(kMaxLeaves == 8);
  float even[T::kSums], odd[T::kSums];
  Waiting<T> first_half;
  first_half.parked = parked;
  for (int leaf = 0; leaf < a.leaves; leaf += 4) {
    multiply_leaf<T>(a.boxes_of_leaf, walk, even);
    multiply_leaf<T>(a.boxes_of_leaf, walk, odd);
#pragma unroll
    for (int i = 0; i < T::kSums; ++i) total[i] = even[i] + odd[i];
    if (a.leaves == 2) return;
    multiply_leaf<T>(a.boxes_of_leaf, walk, even);
    multiply_leaf<T>(a.boxes_of_leaf, walk, odd);
#pragma unroll
    for (int i = 0; i < T::kSums; ++i) total[i] = total[i] + (even[i] + odd[i]);
    if (leaf == 4)
      first_half.add_to(total);
    else if (a.leaves == 8)
      first_half.keep(total);
  }
}

template <class Y>
__device__ __forceinline__ void write_pair(Y* y, float2 values) {
  if constexpr (std::is_same_v<Y, float>)
    *reinterpret_cast<float2*>(y) = values;
  else
    *reinterpret_cast<__nv_bfloat162*>(y) = __floats2bfloat162_rn(values.x, values.y);
}
template <class Y>
__device__ __forceinline__ void write_one(Y* y, float value) {
  if constexpr (std::is_same_v<Y, float>)
    *y = value;
  else
    *y = __float2bfloat16_rn(value);
}

template <class T, class Y>
__device__ __forceinline__ void write_tile(const Product& a, Y* y, const float (&total)[T::kSums]) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int first_row = static_cast<int>(blockIdx.x) * T::kRows + warp * 16 + lane / 4;
  const int first_output = static_cast<int>(blockIdx.y) * T::kOutputs + lane % 4 * 2;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first_row + half * 8;
    if (row >= a.rows) return;
    Y* const to = y + row * a.y_stride + first_output;
#pragma unroll
    for (int n = 0; n < T::kOutputs; n += 8) {
      const int i = n / 2 + half * 2, output = first_output + n;
      if (output >= a.outputs) break;
      if (a.pairs) {
        write_pair(to + n, {total[i], total[i + 1]});
      } else {
        write_one(to + n, total[i]);
        if (output + 1 < a.outputs) write_one(to + n + 1, total[i + 1]);
      }
    }
  }
}

/// The work of a thread block.
template <class T, bool kTree>
__device__ __forceinline__ void compute_tile(const Product& a) {
  auto* const memory = dynamic_shared<unsigned char>();
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  unsigned char* const stages = memory + (kPatternBytes - address % kPatternBytes) % kPatternBytes;
  auto* const full = reinterpret_cast<Mbarrier*>(stages + T::kBarriers);
  Mbarrier* const empty = full + T::kStages;
  if (threadIdx.x == 0) {
    for (int i = 0; i < T::kStages; ++i) {
      mbarrier_init(&full[i], 1);
      mbarrier_init(&empty[i], T::kMultipliers / 32);
    }
    mbarrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x >= T::kMultipliers) {
    if constexpr (T::kParks) give_registers_but<24>();
    if (threadIdx.x == T::kMultipliers) bring_boxes<T>(a, stages, full, empty);
    return;
  }
  if constexpr (T::kParks) take_registers_up_to<240>();
  float total[T::kSums];
  Walk<T> walk(stages, full, empty);
  if constexpr (kTree)
    multiply_tree<T>(a, walk, reinterpret_cast<float4*>(stages + T::kPark) + threadIdx.x, total);
  else
    multiply_leaf<T>(a.boxes_of_leaf, walk, total);
  if (a.y_is_f32)
    write_tile<T>(a, static_cast<float*>(a.y), total);
  else
    write_tile<T>(a, static_cast<__nv_bfloat16*>(a.y), total);
}

/// A thread block per tile.
///   kTree  whether there is more than one leaf
template <class T, bool kTree>
__global__ void __launch_bounds__(T::kThreads, 1)
    wgmma_matmul_kernel(const __grid_constant__ Product a) {
  if constexpr (kHasWgmma)
    compute_tile<T, kTree>(a);
  else
    __trap();  // compiled for another GPU than own_kernel_serves
}

/// The driver's function that describes a tensor: libcuda is not linked.
/// Throws: SystemError where the driver has none.
PFN_cuTensorMapEncodeTiled_v12000 tensor_map_encoder() {
  static const auto kEncoder = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found{};
    check_cuda(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                                cudaEnableDefault, &found),
               "cudaGetDriverEntryPointByVersion");
    if (found != cudaDriverEntryPointSuccess)
      throw SystemError("[cuda] this driver has no cuTensorMapEncodeTiled. Install a newer one.");
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
  }();
  return kEncoder;
}

/// Rows of bf16 in boxes of `box_rows`.
///   stride  elements from row to row
CUtensorMap map_rows(ConstTensorView rows, std::int64_t stride, int box_rows) {
  CUtensorMap map;
  const cuuint64_t dimensions[] = {static_cast<cuuint64_t>(rows.dim(1)),
                                   static_cast<cuuint64_t>(rows.dim(0))};
  const cuuint64_t row_bytes = static_cast<cuuint64_t>(stride) * 2;
  const cuuint32_t box[] = {kBoxInputs, static_cast<cuuint32_t>(box_rows)}, every[] = {1, 1};
  const CUresult result = tensor_map_encoder()(
      &map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<std::byte*>(rows.bytes()), dimensions,
      &row_bytes, box, every, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  check(result == CUDA_SUCCESS, "matmul: the driver refuses the tensor map of an operand");
  return map;
}

template <class T>
void launch_tiles(Context& ctx, Product& a, ConstTensorView x, const ops::PackedMatrix& w) {
  a.x = map_rows(x, x.row_stride(), T::kRows);
  const ConstTensorView rows(w.data.bytes(), DType::kBF16, Shape{w.outputs, w.inputs},
                             leading_dimension(w.inputs));
  a.w = map_rows(rows, rows.row_stride(), T::kOutputs);
  const auto kernel = a.leaves > 1 ? wgmma_matmul_kernel<T, true> : wgmma_matmul_kernel<T, false>;
  launch(ctx, kernel, {ceil_div(a.rows, T::kRows), ceil_div(a.outputs, T::kOutputs)}, T::kThreads,
         T::kBytes, a);
}

void multiply(Context& ctx, ConstTensorView x, const ops::detail::MatmulArgs& args, TensorView y) {
  const auto number = [](std::int64_t n) { return static_cast<int>(n); };
  const std::size_t pair_bytes = 2 * size_bytes(y.dtype());
  Product product{.x = {},
                  .w = {},
                  .y = y.bytes(),
                  .y_stride = y.row_stride(),
                  .rows = number(y.dim(0)),
                  .outputs = number(args.w.outputs),
                  .leaves = args.leaves,
                  .boxes_of_leaf = number(args.w.inputs / args.leaves / kBoxInputs),
                  .y_is_f32 = y.dtype() == DType::kF32,
                  .pairs = args.w.outputs % 2 == 0 && rows_are_aligned(y, pair_bytes)};
  // Few rows wait for weights: smaller tiles are more thread blocks, and have more boxes on their way.
  if (product.rows <= kWarpgroupRows)
    launch_tiles<Tile<1, 64, 12, false>>(ctx, product, x, args.w);
  else
    launch_tiles<Tile<2, 128, 5, true>>(ctx, product, x, args.w);
}

}  // namespace

void wgmma_matmul(Context& ctx, const ops::detail::MatmulArgs& a) {
  const auto [major, minor] = compute_capability(ctx.device().index);
  check(ops::own_kernel_serves(major, minor, a.w.inputs / a.leaves) && a.leaves <= kMaxLeaves,
        "matmul: wgmma wants compute capability 9.0 and leaves of a multiple of 64 inputs");
  const std::int64_t rows = a.x.dim(0), inputs = a.w.inputs;
  constexpr std::size_t kMapAlignment = 16;
  if (rows_are_aligned(a.x, kMapAlignment)) return multiply(ctx, a.x, a, a.y);
  const MatmulScratch scratch = matmul_scratch(rows, inputs, a.w.outputs, a.leaves);
  for (std::int64_t first = 0; first < rows; first += scratch.chunk) {
    const std::int64_t count = std::min(scratch.chunk, rows - first);
    const TensorView x(a.scratch + scratch.x, DType::kBF16, Shape{count, inputs}, inputs);
    copy_matrix(ctx.stream(), x, a.x.rows(first, count));
    multiply(ctx, x, a, a.y.rows(first, count));
  }
}

}  // namespace retinue::cuda
