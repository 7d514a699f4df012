#include "runtime/engine/sampler.h"

#include "parallel/base/rng.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_set>
#include <vector>

namespace retinue::runtime {

namespace {

double log_sum_exp(std::span<const float> logits) {
  const double top = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - top);
  return top + std::log(sum);
}

void penalize(std::span<float> logits, const SamplingParams& p,
              std::span<const std::int32_t> prompt, std::span<const std::int32_t> output) {
  if (p.repetition_penalty != 1) {
    const auto penalty = static_cast<float>(p.repetition_penalty);
    std::unordered_set<std::int32_t> seen(prompt.begin(), prompt.end());
    seen.insert(output.begin(), output.end());
    for (const std::int32_t id : seen) {
      float& x = logits[static_cast<std::size_t>(id)];
      x = x < 0 ? x * penalty : x / penalty;
    }
  }
  if (p.presence_penalty != 0) {
    const std::unordered_set<std::int32_t> seen(output.begin(), output.end());
    for (const std::int32_t id : seen)
      logits[static_cast<std::size_t>(id)] -= static_cast<float>(p.presence_penalty);
  }
}

}  // namespace

bool needs_no_penalty(const SamplingParams& p) {
  return p.repetition_penalty == 1 && p.presence_penalty == 0;
}

ops::SampleRow sample_row_of(const SamplingParams& p, std::uint64_t stream, std::int64_t position) {
  return {.draw = to_unit_double(
              random_bits(sampling_key(p.seed, stream), static_cast<std::uint64_t>(position))),
          .top_p = p.top_p,
          .min_p = p.min_p,
          .temperature = static_cast<float>(p.temperature),
          .top_k = static_cast<std::int32_t>(
              std::clamp<std::int64_t>(p.top_k, 0, std::numeric_limits<std::int32_t>::max()))};
}

ops::DrawnToken sample_token(std::span<float> logits, const SamplingParams& p,
                             std::span<const std::int32_t> prompt,
                             std::span<const std::int32_t> output, std::uint64_t stream) {
  const auto row = sample_row_of(p, stream, static_cast<std::int64_t>(output.size()));
  if (needs_no_penalty(p)) return ops::sample_row(logits, row);
  const std::vector<float> raw(logits.begin(), logits.end());
  penalize(logits, p, prompt, output);
  const std::int32_t id = ops::sample_row(logits, row).id;
  return {id, static_cast<float>(static_cast<double>(raw[static_cast<std::size_t>(id)]) -
                                 log_sum_exp(raw))};
}

void top_logprobs(std::span<const float> logits, std::int64_t count,
                  std::vector<TokenLogprob>& to) {
  const std::size_t wanted = std::min(logits.size(), static_cast<std::size_t>(count));
  std::vector<std::int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto at = [&](std::int32_t id) { return logits[static_cast<std::size_t>(id)]; };
  std::partial_sort(
      ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(wanted), ids.end(),
      [&](std::int32_t a, std::int32_t b) { return at(a) > at(b) || (at(a) == at(b) && a < b); });
  const double all = log_sum_exp(logits);
  for (std::size_t i = 0; i < wanted; ++i)
    to.push_back({ids[i], static_cast<float>(static_cast<double>(at(ids[i])) - all)});
}

bool repeats(std::span<const std::int32_t> ids, std::int64_t times) {
  constexpr std::size_t kLongestPeriod = 64;
  if (times < 2) return false;
  for (std::size_t period = 1; period <= kLongestPeriod; ++period) {
    const std::size_t length = period * static_cast<std::size_t>(times);
    if (length > ids.size()) return false;
    const auto tail = ids.last(length);
    // Equal to itself one period later.
    if (std::equal(tail.begin() + static_cast<std::ptrdiff_t>(period), tail.end(), tail.begin()))
      return true;
  }
  return false;
}

}  // namespace retinue::runtime
