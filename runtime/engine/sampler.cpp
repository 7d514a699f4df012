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

constexpr float kExcluded = -std::numeric_limits<float>::infinity();

std::size_t largest(std::span<const float> logits) {
  return static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

double log_sum_exp(std::span<const float> logits) {
  const double top = logits[largest(logits)];
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

void keep_top_k(std::span<float> logits, std::int64_t k) {
  if (k <= 0 || k >= static_cast<std::int64_t>(logits.size())) return;
  std::vector<float> sorted(logits.begin(), logits.end());
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const float last = sorted[static_cast<std::size_t>(k - 1)];
  for (float& x : logits)
    if (x < last) x = kExcluded;  // ties of the k-th stay, as in the reference
}

/// Softmax in f64; excluded entries get 0.
std::vector<double> probabilities(std::span<const float> logits) {
  std::vector<double> p(logits.size());
  const double top = logits[largest(logits)];
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i)
    sum += p[i] = std::exp(static_cast<double>(logits[i]) - top);
  for (double& x : p) x /= sum;
  return p;
}

void keep_top_p(std::span<float> logits, double top_p) {
  if (top_p >= 1) return;
  const std::vector<double> p = probabilities(logits);
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return p[a] < p[b]; });
  double cumulative = 0;
  // From the least likely up: excluded while the sum is at most 1 - p; the most likely stays.
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    cumulative += p[order[i]];
    if (cumulative > 1 - top_p) break;
    logits[order[i]] = kExcluded;
  }
}

void keep_min_p(std::span<float> logits, double min_p) {
  if (min_p <= 0) return;
  const std::vector<double> p = probabilities(logits);
  const double bound = min_p * *std::max_element(p.begin(), p.end());
  for (std::size_t i = 0; i < p.size(); ++i)
    if (p[i] < bound) logits[i] = kExcluded;
}

}  // namespace

bool needs_only_argmax(const SamplingParams& p) {
  return p.temperature <= 0 && p.repetition_penalty == 1 && p.presence_penalty == 0;
}

Sampled sample_token(std::span<float> logits, const SamplingParams& p,
                     std::span<const std::int32_t> prompt, std::span<const std::int32_t> output,
                     std::uint64_t stream) {
  const std::vector<float> raw(logits.begin(), logits.end());
  penalize(logits, p, prompt, output);
  std::size_t id = largest(logits);
  if (p.temperature > 0) {
    for (float& x : logits) x /= static_cast<float>(p.temperature);
    keep_top_k(logits, p.top_k);
    keep_top_p(logits, p.top_p);
    keep_min_p(logits, p.min_p);
    const std::vector<double> chances = probabilities(logits);
    const double draw = to_unit_double(random_bits(sampling_key(p.seed, stream), output.size()));
    double cumulative = 0;
    for (std::size_t i = 0; i < chances.size(); ++i) {
      if (chances[i] <= 0) continue;
      id = i;  // where rounding leaves the sum below the draw, the last possible id
      cumulative += chances[i];
      if (cumulative > draw) break;
    }
  }
  return {static_cast<std::int32_t>(id),
          static_cast<float>(static_cast<double>(raw[id]) - log_sum_exp(raw))};
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
