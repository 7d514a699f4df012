#pragma once

#include "layers/ops/sample.h"
#include "runtime/engine/request.h"

#include <cstdint>
#include <span>
#include <vector>

namespace retinue::runtime {

/// Whether the next token follows from a row of logits by ops::sample() alone: no penalty changes it.
bool needs_no_penalty(const SamplingParams& params);

/// How the next token after `position` others is drawn.  HF GenerationMixin: temperature, top-k,
/// top-p, min-p, softmax, draw. `stream` and the position key the random number.
ops::SampleRow sample_row_of(const SamplingParams& params, std::uint64_t stream,
                             std::int64_t position);

/// Chooses the next token from one row of logits, to which it applies penalties.  HF
/// GenerationMixin: repetition penalty, (presence penalty), then as sample_row_of().
///   logits          [vocab]
///   prompt, output  ids so far; stream and output.size() key the random number
/// Returns: the id and its natural logarithm of probability in the unmodified distribution.
ops::DrawnToken sample_token(std::span<float> logits, const SamplingParams& params,
                             std::span<const std::int32_t> prompt,
                             std::span<const std::int32_t> output, std::uint64_t stream);

/// Appends the `count` likeliest tokens of one row, likeliest first; ties in the order of ids.
void top_logprobs(std::span<const float> logits, std::int64_t count, std::vector<TokenLogprob>& to);

/// Whether `ids` end in at least `times` repeats of one to 64 tokens.
bool repeats(std::span<const std::int32_t> ids, std::int64_t times);

}  // namespace retinue::runtime
