#pragma once

#include "runtime/engine/request.h"

#include <cstdint>
#include <span>
#include <vector>

namespace retinue::runtime {

struct Sampled {
  std::int32_t id = 0;
  float logprob = 0;  ///< natural, of the unmodified distribution
};

/// Whether the largest logit is the answer: greedy, without penalties.
bool needs_only_argmax(const SamplingParams& params);

/// Chooses the next token from one row of logits, which it changes.  HF GenerationMixin: repetition
/// penalty, (presence penalty), temperature, top-k, top-p, min-p, softmax, draw.
///   logits          [vocab]
///   prompt, output  ids so far; stream and output.size() key the random number
/// Numerics: f32 logits as in the reference; sums of probabilities in f64, in the order of ids.
///           Ties go to the lower id.
Sampled sample_token(std::span<float> logits, const SamplingParams& params,
                     std::span<const std::int32_t> prompt, std::span<const std::int32_t> output,
                     std::uint64_t stream);

/// Appends the `count` likeliest tokens of one row, likeliest first; ties in the order of ids.
void top_logprobs(std::span<const float> logits, std::int64_t count, std::vector<TokenLogprob>& to);

/// Whether `ids` end in at least `times` repeats of one to 64 tokens.
bool repeats(std::span<const std::int32_t> ids, std::int64_t times);

}  // namespace retinue::runtime
