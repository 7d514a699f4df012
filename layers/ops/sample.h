#pragma once

#include "parallel/device/context.h"

#include <cstdint>

namespace retinue::ops {

/// How one row is sampled.
struct SampleRow {
  double draw = 0;         ///< random number in [0, 1) (parallel/base/rng.h)
  double top_p = 1;        ///< 1: all
  double min_p = 0;        ///< 0: all
  float temperature = 0;   ///< 0: the largest, and nothing else counts
  std::int32_t top_k = 0;  ///< 0: all
};

inline constexpr std::int64_t kSampleRowWords = sizeof(SampleRow) / sizeof(std::int64_t);
static_assert(sizeof(SampleRow) % sizeof(std::int64_t) == 0);

/// Draws one id per row: temperature, top-k, top-p, min-p, softmax, draw, as runtime/engine's
/// sampler does. Penalties come before and are not its matter.
///   logits    [rows, vocab]              f32 | bf16   vocab < 2^18
///   params    [rows, kSampleRowWords]    i64          the bytes of a SampleRow each
///   ids       [rows]  i32
///   logprobs  [rows]  f32   natural, of the distribution without temperature and cuts
/// Numerics: probabilities relative to the largest, in f64, cut to whole units of 2^-46. Their sums
///           are integers: exact, whatever the order. Ids are those of exact arithmetic unless the
///           draw or a cut lies within 2 · vocab · 2^-46 of a border, relative to all that is kept:
///           a term is cut by less than a unit, and what is kept is at least 2^46 units. NaN count
///           as -inf; ties go to the lower id. A row whose largest is infinite gives that.
/// Order:    enqueued on ctx.stream(); never blocks; may be captured.   Throws: BugError on shape
/// or dtype.
void sample(Context& ctx, ConstTensorView logits, ConstTensorView params, TensorView ids,
            TensorView logprobs);

namespace detail {
/// Units of the largest probability.
inline constexpr double kSampleUnits = 0x1p46;
void sample(Cpu, Context& ctx, ConstTensorView logits, ConstTensorView params, TensorView ids,
            TensorView logprobs);
void sample(Cuda, Context& ctx, ConstTensorView logits, ConstTensorView params, TensorView ids,
            TensorView logprobs);
}  // namespace detail
}  // namespace retinue::ops
