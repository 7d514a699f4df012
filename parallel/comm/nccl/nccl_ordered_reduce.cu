#include "parallel/base/check.h"
#include "parallel/comm/nccl/nccl_ordered_reduce.h"
#include "parallel/device/cuda/error.h"

#include <cstdint>
#include <cuda_runtime.h>

namespace retinue::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kLevels = 7;  // levels of the tree over at most 64 partials, root included

__device__ float plus(float a, float b) { return a + b; }
__device__ float4 plus(float4 a, float4 b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

// Adds partials in the order of their ranks and carries as a binary counter does: level l holds the
// sum of 2^l neighbours until the sum of the next 2^l is there. That is reduce_tree for every
// count. With kRanks > 0 the loops unroll and the levels are registers; 0: the number is
// `parts.ranks`.
template <int kRanks, class Value>
__global__ void __launch_bounds__(kThreads)
    ordered_sum_kernel(OrderedParts parts, std::int64_t count, Value* out) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  constexpr std::int64_t kWidth = sizeof(Value) / sizeof(float);
  const int ranks = kRanks > 0 ? kRanks : parts.ranks;
  Value level[kLevels];
#pragma unroll
  for (int rank = 0; rank < ranks; ++rank) {
    const float* part = rank == parts.rank ? parts.own : parts.scratch + rank * parts.stride;
    Value value = *reinterpret_cast<const Value*>(part + i * kWidth);
    bool carries = true;
#pragma unroll
    for (int l = 0; l < kLevels; ++l) {
      if (!carries) continue;
      if ((rank >> l & 1) != 0) {
        value = plus(level[l], value);
      } else {
        level[l] = value;
        carries = false;
      }
    }
  }
  // The levels that are left are added from the right: the higher ranks have the smaller sums.
  Value sum{};
  bool any = false;
#pragma unroll
  for (int l = 0; l < kLevels; ++l) {
    if ((ranks >> l & 1) == 0) continue;
    sum = any ? plus(level[l], sum) : level[l];
    any = true;
  }
  out[i] = sum;
}

template <class Value>
void launch(void* stream, const OrderedParts& parts, std::int64_t count, float* out) {
  auto kernel = ordered_sum_kernel<0, Value>;
  switch (parts.ranks) {
    case 2:
      kernel = ordered_sum_kernel<2, Value>;
      break;
    case 4:
      kernel = ordered_sum_kernel<4, Value>;
      break;
    case 8:
      kernel = ordered_sum_kernel<8, Value>;
      break;
    default:
      break;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>((count + kThreads - 1) / kThreads));
  config.blockDim = dim3(kThreads);
  config.stream = static_cast<cudaStream_t>(stream);
  check_cuda(cudaLaunchKernelEx(&config, kernel, parts, count, reinterpret_cast<Value*>(out)),
             "cudaLaunchKernelEx of ordered_sum");
}

bool is_aligned(const float* data) {
  return reinterpret_cast<std::uintptr_t>(data) % sizeof(float4) == 0;
}

}  // namespace

void ordered_sum(void* stream, const OrderedParts& parts, std::int64_t count, float* out) {
  check(parts.ranks >= 2 && parts.ranks <= 64, "ordered_sum adds the partials of 2 to 64 ranks");
  check(count >= 0 && count < std::int64_t{1} << 31, "ordered_sum takes fewer than 2^31 elements");
  if (count == 0) return;
  if (count % 4 == 0 && parts.stride % 4 == 0 && is_aligned(parts.scratch) &&
      is_aligned(parts.own) && is_aligned(out))
    launch<float4>(stream, parts, count / 4, out);
  else
    launch<float>(stream, parts, count, out);
}

}  // namespace retinue::cuda
