#include "layers/ops/sample.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void sample(Context& ctx, ConstTensorView logits, ConstTensorView params, TensorView ids,
            TensorView logprobs) {
  check(logits.shape().rank() == 2 && logits.dim(1) >= 1 && logits.dim(1) < (1 << 18),
        "sample: logits are [rows, vocab], vocab below 2^18");
  const std::int64_t rows = logits.dim(0);
  check(params.shape() == Shape({rows, kSampleRowWords}) && params.dtype() == DType::kI64,
        "sample: params are a SampleRow per row of logits");
  check(ids.shape() == Shape{rows} && ids.dtype() == DType::kI32, "sample: ids are [rows] i32");
  check(logprobs.shape() == Shape{rows} && logprobs.dtype() == DType::kF32,
        "sample: logprobs are [rows] f32");
  on_backend(ctx, "sample",
             [&](auto backend) { detail::sample(backend, ctx, logits, params, ids, logprobs); });
}

}  // namespace retinue::ops
