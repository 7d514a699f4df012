// A thread block per row, a thread per run of neighbouring ids. Every sum is of integers (counts,
// and probabilities in units: layers/ops/sample.h), so the order of adding does not show. Cuts are
// found digit by digit of the values' order (a radix select), not by sorting.
#include "layers/kernels/cuda/elements.cuh"
#include "layers/ops/sample.h"

namespace retinue::ops::detail {

namespace {

using namespace cuda;

constexpr int kThreads = 512;  // 1024 would spill registers
constexpr int kWarp = 32;
constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;

using Units = unsigned long long;

struct SampleShared {
  Units of_digit[kDigits];
  Units of_warp[kThreads / kWarp];
  std::uint32_t prefix;
  Units below;
};

/// Integers in the order of the values.
__device__ __forceinline__ std::uint32_t order_of(float value) {
  const std::uint32_t bits = __float_as_uint(value + 0.0F);  // -0 as 0
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

__device__ __forceinline__ bool is_finite(float x) { return x - x == 0.0F; }

/// The sums of all threads before this one, and of all.
__device__ __forceinline__ Units scan(Units mine, SampleShared& shared, Units& total) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = threadIdx.x / kWarp;
  Units sum = mine;
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const Units before = __shfl_up_sync(0xFFFFFFFFU, sum, static_cast<unsigned>(distance));
    if (lane >= distance) sum += before;
  }
  __syncthreads();  // an earlier scan has been read
  if (lane == kWarp - 1) shared.of_warp[warp] = sum;
  __syncthreads();
  Units base = 0;
  total = 0;
  for (int w = 0; w < kThreads / kWarp; ++w) {
    if (w < warp) base += shared.of_warp[w];
    total += shared.of_warp[w];
  }
  return base + sum - mine;
}

/// The value at which the running sum of weight(i), values rising, first passes `limit`; `below`:
/// the sum of all smaller values. The sum of all is above `limit`.
template <class Order, class Weight>
__device__ __forceinline__ std::uint32_t select(std::int64_t begin, std::int64_t end, Units limit,
                                                SampleShared& shared, Order&& order,
                                                Weight&& weight, Units& below) {
  __syncthreads();
  if (threadIdx.x == 0) shared.prefix = 0, shared.below = 0;
  for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    if (threadIdx.x < kDigits) shared.of_digit[threadIdx.x] = 0;
    __syncthreads();
    const std::uint32_t prefix = shared.prefix;
    // Shifted by 32 in the first round, which C++ leaves open for 32 bits.
    const auto upper = [&](std::uint32_t key) {
      return static_cast<unsigned long long>(key) >> (shift + kDigitBits);
    };
    for (std::int64_t i = begin; i < end; ++i) {
      const std::uint32_t key = order(i);
      if (upper(key) != upper(prefix)) continue;
      const Units more = weight(i);
      if (more > 0) atomicAdd(&shared.of_digit[(key >> shift) % kDigits], more);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      Units sum = shared.below;
      std::uint32_t digit = 0;
      while (digit + 1 < kDigits && sum + shared.of_digit[digit] <= limit)
        sum += shared.of_digit[digit++];
      shared.prefix = prefix | digit << shift;
      shared.below = sum;
    }
    __syncthreads();
  }
  below = shared.below;
  return shared.prefix;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    sample_kernel(const T* logits, std::int64_t stride, std::int64_t n, const std::int64_t* params,
                  std::int64_t params_stride, std::int32_t* ids, float* logprobs) {
  __shared__ SampleShared shared;
  const std::int64_t row = blockIdx.x;
  const SampleRow p = *reinterpret_cast<const SampleRow*>(params + row * params_stride);
  logits += row * stride;
  const std::int64_t run = (n + kThreads - 1) / kThreads;
  const std::int64_t begin = min(n, static_cast<std::int64_t>(threadIdx.x) * run),
                     end = min(n, begin + run);
  const auto raw = [&](std::int64_t i) {
    const float value = to_f32(logits[i]);
    return value == value ? value : -INFINITY;
  };

  // The largest, and the first place of it.
  Units best = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    const Units key = static_cast<Units>(order_of(raw(i))) << 32 | ~static_cast<std::uint32_t>(i);
    best = best > key ? best : key;
  }
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const Units other = __shfl_xor_sync(0xFFFFFFFFU, best, distance);
    best = best > other ? best : other;
  }
  if (threadIdx.x % kWarp == 0) shared.of_warp[threadIdx.x / kWarp] = best;
  __syncthreads();
  for (int w = 0; w < kThreads / kWarp; ++w)
    best = best > shared.of_warp[w] ? best : shared.of_warp[w];
  const std::uint32_t first_largest = ~static_cast<std::uint32_t>(best);
  const float raw_top = raw(first_largest);

  const auto exponential = [](float x, float top) {
    return exp(static_cast<double>(x) - static_cast<double>(top));
  };
  const auto units = [&](float x, float top) {
    return static_cast<Units>(exponential(x, top) * kSampleUnits);
  };
  Units mine = 0, all = 0;
  if (is_finite(raw_top))
    for (std::int64_t i = begin; i < end; ++i) mine += units(raw(i), raw_top);
  (void)scan(mine, shared, all);
  const auto put = [&](std::int64_t id) {
    ids[row] = static_cast<std::int32_t>(id);
    logprobs[row] = static_cast<float>(static_cast<double>(raw(id)) - static_cast<double>(raw_top) -
                                       log(static_cast<double>(all) / kSampleUnits));
  };
  const auto scaled = [&](std::int64_t i) { return raw(i) / p.temperature; };
  const float top = scaled(first_largest);
  if (!(p.temperature > 0) || !is_finite(top)) {  // the same for the whole block
    if (threadIdx.x == 0) put(first_largest);
    return;
  }

  const auto order = [&](std::int64_t i) { return order_of(scaled(i)); };
  std::uint32_t least = 0;  // of top-k; equals of the k-th stay
  Units below = 0;
  if (p.top_k > 0 && p.top_k < n)
    least = select(
        begin, end, static_cast<Units>(n - p.top_k), shared, order,
        [](std::int64_t) { return Units{1}; }, below);
  const auto weight = [&](std::int64_t i) {
    const float x = scaled(i);
    return order_of(x) >= least ? units(x, top) : Units{0};
  };

  // top-p: smaller values than `edge` are out, and of its ties the first `out`.
  std::uint32_t edge = least;
  Units out = 0;
  if (p.top_p < 1) {
    Units total = 0;
    mine = 0;
    for (std::int64_t i = begin; i < end; ++i) mine += weight(i);
    (void)scan(mine, shared, total);
    const auto limit = static_cast<Units>((1 - p.top_p) * static_cast<double>(total));
    // The most likely always stays.
    const Units within = limit < total ? limit : total - 1;
    edge = select(begin, end, within, shared, order, weight, below);
    const std::uint32_t bits = (edge & 0x80000000U) != 0 ? edge & 0x7FFFFFFFU : ~edge;
    out = (within - below) / units(__uint_as_float(bits), top);
  }
  mine = 0;
  for (std::int64_t i = begin; i < end; ++i) mine += order(i) == edge ? 1 : 0;
  Units ties = 0;
  const Units ties_before = scan(mine, shared, ties);
  const auto for_kept = [&](auto&& body) {
    Units tie = ties_before;
    for (std::int64_t i = begin; i < end; ++i) {
      const float x = scaled(i);
      const std::uint32_t key = order_of(x);
      if (key < edge || (key == edge && tie++ < out)) continue;
      if (p.min_p > 0 && exponential(x, top) < p.min_p) continue;
      body(i, units(x, top));
    }
  };
  mine = 0;
  for_kept([&](std::int64_t, Units weight_of) { mine += weight_of; });
  Units kept = 0;
  const Units before = scan(mine, shared, kept);
  const auto target = static_cast<Units>(p.draw * static_cast<double>(kept));
  // One thread's run holds it.
  if (before <= target && target < before + mine) {
    Units sum = before;
    for_kept([&](std::int64_t i, Units weight_of) {
      if (sum <= target && target < sum + weight_of) put(i);
      sum += weight_of;
    });
  }
}

}  // namespace

void sample(Cuda, Context& ctx, ConstTensorView logits, ConstTensorView params, TensorView ids,
            TensorView logprobs) {
  on_element(logits.dtype(), [&](auto element) {
    using T = decltype(element);
    launch(ctx, sample_kernel<T>, {logits.dim(0)}, kThreads, 0, pointer<T>(logits),
           logits.row_stride(), logits.dim(1), params.data<std::int64_t>(), params.row_stride(),
           ids.data<std::int32_t>(), logprobs.data<float>());
  });
}

}  // namespace retinue::ops::detail
