#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "layers/modules/norm.h"
#include "layers/modules/parallel_linear.h"
#include "layers/ops/kv_view.h"
#include "layers/spec/config.h"
#include "layers/spec/inputs.h"

#include <string>

namespace retinue::layers {

/// Grouped-query attention over the paged cache, heads split over the tensor axis: qkv, q and k
/// norms per head, rotary, cache, attention, o_proj. With more ranks than KV heads each rank holds
/// one KV head, and ranks / kv_heads neighbours hold the same one.  HF Qwen3VLTextAttention.
class DecoderAttention {
 public:
  DecoderAttention(WeightStore& store, const std::string& prefix, const TextConfig& config,
                   const TensorAxis& axis);
  /// What reads x of forward().
  [[nodiscard]] const ops::PackedMatrix& input_weight() const { return qkv_proj_.weight(); }
  ///   x, y      [tokens, hidden]         every rank of the axis enters: o_proj sums over it; x is
  ///                                      made for input_weight()
  ///   cos, sin  [tokens, head_dim / 2]   f32
  void forward(Context& ctx, const ops::MatmulInput& x, ConstTensorView cos, ConstTensorView sin,
               const StepInputs& inputs, const ops::KvView& cache, TensorView y) const;

  static std::int64_t kv_heads_per_rank(const TextConfig& config, const TensorAxis& axis);

 private:
  std::int64_t heads_per_rank_;
  std::int64_t kv_heads_per_rank_;
  std::int64_t head_dim_;
  ColumnParallelLinear qkv_proj_;
  RmsNorm q_norm_;
  RmsNorm k_norm_;
  RowParallelLinear o_proj_;
};

}  // namespace retinue::layers
