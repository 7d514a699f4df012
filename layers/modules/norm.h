#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "layers/ops/add_layer_norm.h"
#include "layers/ops/add_rms_norm.h"
#include "layers/ops/layer_norm.h"
#include "layers/ops/matmul_input.h"
#include "layers/ops/rms_norm.h"
#include "layers/weights/weight_store.h"

#include <string>

namespace retinue::layers {

/// HF Qwen3VLTextRMSNorm: PREFIX.weight.
class RmsNorm {
 public:
  RmsNorm(WeightStore& store, const std::string& prefix, std::int64_t width, float eps)
      : weight_(store.vector(prefix + ".weight", width)), eps_(eps) {}
  void forward(Context& ctx, ConstTensorView x, TensorView y) const {
    ops::rms_norm(ctx, x, weight_, eps_, y);
  }
  void forward(Context& ctx, ConstTensorView x, const ops::MatmulInput& y) const {
    ops::rms_norm(ctx, x, weight_, eps_, y);
  }
  /// x += branch, then y = norm(x); the branch may be f32 (see RowParallelLinear).
  void forward_after_add(Context& ctx, TensorView x, ConstTensorView branch,
                         const ops::MatmulInput& y) const {
    ops::add_rms_norm(ctx, x, branch, weight_, eps_, y);
  }
  [[nodiscard]] ConstTensorView weight() const { return weight_; }
  [[nodiscard]] float eps() const { return eps_; }

 private:
  ConstTensorView weight_;
  float eps_;
};

/// torch.nn.LayerNorm: PREFIX.weight and PREFIX.bias.
class LayerNorm {
 public:
  LayerNorm(WeightStore& store, const std::string& prefix, std::int64_t width, float eps)
      : weight_(store.vector(prefix + ".weight", width)),
        bias_(store.vector(prefix + ".bias", width)),
        eps_(eps) {}
  void forward(Context& ctx, ConstTensorView x, TensorView y) const {
    ops::layer_norm(ctx, x, weight_, bias_, eps_, y);
  }
  /// x += branch, then y = norm(x).
  void forward_after_add(Context& ctx, TensorView x, ConstTensorView branch, TensorView y) const {
    ops::add_layer_norm(ctx, x, branch, weight_, bias_, eps_, y);
  }

 private:
  ConstTensorView weight_;
  ConstTensorView bias_;
  float eps_;
};

}  // namespace retinue::layers
