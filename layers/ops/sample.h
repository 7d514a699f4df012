#pragma once

#include "parallel/device/context.h"

#include <cstdint>
#include <span>

namespace retinue::ops {

/// How one row is sampled.
struct SampleRow {
  double draw = 0;         ///< random number in [0, 1) (parallel/base/rng.h)
  double top_p = 1;        ///< 1: no cut
  double min_p = 0;        ///< 0: no cut
  float temperature = 0;   ///< 0: takes the largest logit, whatever the rest says
  std::int32_t top_k = 0;  ///< 0: no cut
};

inline constexpr std::int64_t kSampleRowWords = sizeof(SampleRow) / sizeof(std::int64_t);
static_assert(sizeof(SampleRow) % sizeof(std::int64_t) == 0);

/// Draws one id per row: temperature, top-k, top-p, min-p, softmax, draw. The caller has applied
/// penalties to the logits.  HF GenerationMixin, in its order.
///   logits    [rows, vocab]            f32 | bf16   vocab < 2^18
///   params    [rows, kSampleRowWords]  i64          each row the bytes of a SampleRow
///   ids       [rows]                   i32
///   logprobs  [rows]                   f32          natural, without temperature and cuts
/// Numerics: probabilities relative to the largest, in f64, cut to whole units of 2^-46. Their sums
///           are integers: exact, whatever the order. An id can differ from exact arithmetic only
///           where the draw or a cut lies within 2 · vocab · 2^-46 of a border, relative to the
///           kept sum: a term loses less than a unit, and the kept sum is at least 2^46 units. NaN
///           counts as -inf; ties go to the lower id; an infinite largest logit is the id drawn.
void sample(Context& ctx, ConstTensorView logits, ConstTensorView params, TensorView ids,
            TensorView logprobs);

struct DrawnToken {
  std::int32_t id = 0;
  float logprob = 0;  ///< as sample()'s
};
/// One row on the host, by the same rules and with the bits of sample() on CPU.
///   logits  [vocab]   vocab < 2^18
DrawnToken sample_row(std::span<const float> logits, const SampleRow& row);

namespace detail {
/// Units that the largest probability has.
inline constexpr double kSampleUnits = 0x1p46;
void sample(Cpu, Context& ctx, ConstTensorView logits, ConstTensorView params, TensorView ids,
            TensorView logprobs);
void sample(Cuda, Context& ctx, ConstTensorView logits, ConstTensorView params, TensorView ids,
            TensorView logprobs);
}  // namespace detail
}  // namespace retinue::ops
