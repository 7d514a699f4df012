#include "layers/ops/sample.h"

#include "layers/kernels/cpu/parallel_for.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

namespace retinue::ops::detail {

namespace {

using Units = std::uint64_t;

/// e^(x - top) in whole units; 0 where x has been cut.
Units units_of(float x, float top) {
  return static_cast<Units>(std::exp(static_cast<double>(x) - static_cast<double>(top)) *
                            kSampleUnits);
}

/// Replaces every value that top-k, top-p or min-p cut by -inf.
void cut(std::vector<float>& x, float top, const SampleRow& row) {
  constexpr float kCut = -std::numeric_limits<float>::infinity();
  if (row.top_k > 0 && static_cast<std::size_t>(row.top_k) < x.size()) {
    std::vector<float> sorted = x;
    const auto last = sorted.begin() + (row.top_k - 1);
    std::nth_element(sorted.begin(), last, sorted.end(), std::greater<>());
    const float least = *last;
    for (float& value : x)
      if (value < least) value = kCut;  // equals of the k-th stay
  }
  if (row.top_p < 1) {
    std::vector<std::size_t> order(x.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return x[a] < x[b]; });
    Units total = 0;
    for (const float value : x) total += units_of(value, top);
    const auto limit = static_cast<Units>((1 - row.top_p) * static_cast<double>(total));
    Units cumulative = 0;
    // Cuts from the least likely up, while the sum of the cut stays within 1 - p. The most likely
    // id always stays.
    for (std::size_t i = 0; i + 1 < order.size(); ++i) {
      cumulative += units_of(x[order[i]], top);
      if (cumulative > limit) break;
      x[order[i]] = kCut;
    }
  }
  if (row.min_p > 0)
    for (float& value : x)
      if (std::exp(static_cast<double>(value) - static_cast<double>(top)) < row.min_p) value = kCut;
}

}  // namespace

void sample(Cpu, Context& ctx, ConstTensorView logits, ConstTensorView params, TensorView ids,
            TensorView logprobs) {
  on_float_dtype(logits.dtype(), [&](auto element) {
    using T = decltype(element);
    parallel_for(ctx, logits.dim(0), 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> raw(static_cast<std::size_t>(logits.dim(1)));
      for (std::int64_t r = begin; r < end; ++r) {
        SampleRow row;
        std::memcpy(static_cast<void*>(&row), params.data<std::int64_t>() + r * params.row_stride(),
                    sizeof row);
        const T* from = logits.data<T>() + r * logits.row_stride();
        for (std::size_t i = 0; i < raw.size(); ++i) {
          const float value = to_float(from[i]);
          raw[i] = value == value ? value : -std::numeric_limits<float>::infinity();
        }
        const auto first_largest = std::max_element(raw.begin(), raw.end());
        const float top = *first_largest;
        Units all = 0;
        if (std::isfinite(top))
          for (const float value : raw) all += units_of(value, top);
        auto id = static_cast<std::size_t>(first_largest - raw.begin());
        if (row.temperature > 0 && std::isfinite(top / row.temperature)) {
          std::vector<float> x = raw;
          for (float& value : x) value /= row.temperature;
          const float scaled_top = x[id];
          cut(x, scaled_top, row);
          Units kept = 0;
          for (const float value : x) kept += units_of(value, scaled_top);
          const auto target = static_cast<Units>(row.draw * static_cast<double>(kept));
          Units cumulative = 0;
          for (std::size_t i = 0; i < x.size(); ++i)
            if ((cumulative += units_of(x[i], scaled_top)) > target) {
              id = i;
              break;
            }
        }
        ids.data<std::int32_t>()[r] = static_cast<std::int32_t>(id);
        logprobs.data<float>()[r] =
            static_cast<float>(static_cast<double>(raw[id]) - static_cast<double>(top) -
                               std::log(static_cast<double>(all) / kSampleUnits));
      }
    });
  });
}

}  // namespace retinue::ops::detail
