#pragma once

#include "layers/modules/tensor_axis.h"
#include "layers/ops/sample.h"
#include "parallel/device/context.h"

#include <cstddef>
#include <cstdint>

namespace retinue::runtime {

/// What the leader of the tensor axis draws by and into, on its device.
struct Drawing {
  Drawing() = default;
  /// `draws`: the bytes of a SampleRow per row; null while planning. The results lie in the
  /// enclosing Frame.
  Drawing(Context& ctx, std::byte* draws, std::int64_t rows)
      : params(draws, DType::kI64, Shape{rows, ops::kSampleRowWords}),
        ids(ctx.alloc({rows}, DType::kI32)),
        logprobs(ctx.alloc({rows}, DType::kF32)) {}

  TensorView params{};    ///< [rows, kSampleRowWords]  i64
  TensorView ids{};       ///< [rows]                   i32
  TensorView logprobs{};  ///< [rows]                   f32
};

/// Draws an id per row by ops::sample(), at rank 0 of the axis; the others give their part of the
/// vocabulary, some rows at a time. All ranks enter. Elsewhere `drawing` is ignored.
///   logits  [rows, vocab_slice(vocab, rank, ranks).count]   f32 | bf16, contiguous
void draw(Context& ctx, const layers::TensorAxis& axis, std::int64_t vocab, ConstTensorView logits,
          const Drawing& drawing);

}  // namespace retinue::runtime
