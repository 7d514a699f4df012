#include "layers/ops/sample.h"

#include "layers/kernels/cpu/parallel_for.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace retinue::ops {

namespace {

using Units = std::uint64_t;

/// A candidate: its logit over the temperature, and its probability relative to the largest.
struct Candidate {
  std::int32_t id;
  float x;
  Units units;
};

/// e^(x - top) in whole units.
Units units_of(float x, float top) {
  return static_cast<Units>(std::exp(static_cast<double>(x) - static_cast<double>(top)) *
                            detail::kSampleUnits);
}

Units sum_of(const std::vector<Candidate>& candidates) {
  Units sum = 0;
  for (const Candidate& candidate : candidates) sum += candidate.units;
  return sum;
}

/// The k-th largest: equals of it stay.
float least_of_top_k(std::span<const float> logits, const SampleRow& row) {
  if (row.top_k <= 0 || static_cast<std::size_t>(row.top_k) >= logits.size())
    return -std::numeric_limits<float>::infinity();
  std::vector<float> sorted(logits.begin(), logits.end());
  const auto last = sorted.begin() + (row.top_k - 1);
  std::nth_element(sorted.begin(), last, sorted.end(), std::greater<>());
  return *last / row.temperature;
}

/// Cuts from the least likely up, ties in the order of ids, while the sum of the cut stays within
/// 1 - p. The most likely candidate always stays. A selection by weight, since sorting a vocabulary
/// takes longer than all the rest.
void cut_top_p(std::vector<Candidate>& candidates, double top_p) {
  const Units total = sum_of(candidates);
  const Units limit =
      std::min(static_cast<Units>((1 - top_p) * static_cast<double>(total)), total - 1);
  const auto less = [](const Candidate& a, const Candidate& b) {
    return a.x < b.x || (a.x == b.x && a.id < b.id);
  };
  // Candidates before `begin` are cut, those from `end` on stay.
  auto begin = candidates.begin(), end = candidates.end();
  Units cut = 0;
  while (begin != end) {
    std::iter_swap(begin + (end - begin) / 2, end - 1);
    const Candidate pivot = *(end - 1);
    Units smaller = 0;
    const auto middle = std::partition(begin, end - 1, [&](const Candidate& candidate) {
      const bool is_smaller = less(candidate, pivot);
      if (is_smaller) smaller += candidate.units;
      return is_smaller;
    });
    std::iter_swap(middle, end - 1);
    if (cut + smaller > limit) {
      end = middle;
    } else if (cut + smaller + pivot.units > limit) {
      begin = end = middle;
    } else {
      cut += smaller + pivot.units;
      begin = middle + 1;
    }
  }
  candidates.erase(candidates.begin(), begin);
  std::ranges::sort(candidates, {}, &Candidate::id);
}

/// `logits` without NaN, `largest` the first of the largest.
std::int32_t draw(std::span<const float> logits, std::size_t largest, const SampleRow& row) {
  const float top = logits[largest] / row.temperature;
  if (!(row.temperature > 0) || !std::isfinite(top)) return static_cast<std::int32_t>(largest);
  const float least = least_of_top_k(logits, row);
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float x = logits[i] / row.temperature;
    if (x < least) continue;
    // What has no unit is neither drawn nor counted.
    if (const Units units = units_of(x, top); units > 0)
      candidates.push_back({static_cast<std::int32_t>(i), x, units});
  }
  if (row.top_p < 1) cut_top_p(candidates, row.top_p);
  if (row.min_p > 0)
    std::erase_if(candidates, [&](const Candidate& candidate) {
      return std::exp(static_cast<double>(candidate.x) - static_cast<double>(top)) < row.min_p;
    });
  const auto target = static_cast<Units>(row.draw * static_cast<double>(sum_of(candidates)));
  Units cumulative = 0;
  for (const Candidate& candidate : candidates)
    if ((cumulative += candidate.units) > target) return candidate.id;
  return static_cast<std::int32_t>(largest);
}

}  // namespace

DrawnToken sample_row(std::span<const float> logits, const SampleRow& row) {
  std::vector<float> x(logits.begin(), logits.end());
  for (float& value : x)
    if (value != value) value = -std::numeric_limits<float>::infinity();
  const auto largest = static_cast<std::size_t>(std::ranges::max_element(x) - x.begin());
  const float top = x[largest];
  Units all = 0;
  if (std::isfinite(top))
    for (const float value : x) all += units_of(value, top);
  const std::int32_t id = draw(x, largest, row);
  return {id, static_cast<float>(static_cast<double>(x[static_cast<std::size_t>(id)]) -
                                 static_cast<double>(top) -
                                 std::log(static_cast<double>(all) / detail::kSampleUnits))};
}

namespace detail {

void sample(Cpu, Context& ctx, ConstTensorView logits, ConstTensorView params, TensorView ids,
            TensorView logprobs) {
  on_float_dtype(logits.dtype(), [&](auto element) {
    using T = decltype(element);
    parallel_for(ctx, logits.dim(0), 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> values(static_cast<std::size_t>(logits.dim(1)));
      for (std::int64_t r = begin; r < end; ++r) {
        SampleRow row;
        std::memcpy(static_cast<void*>(&row), params.data<std::int64_t>() + r * params.row_stride(),
                    sizeof row);
        const T* from = logits.data<T>() + r * logits.row_stride();
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = to_float(from[i]);
        const DrawnToken drawn = sample_row(values, row);
        ids.data<std::int32_t>()[r] = drawn.id;
        logprobs.data<float>()[r] = drawn.logprob;
      }
    });
  });
}

}  // namespace detail

}  // namespace retinue::ops
