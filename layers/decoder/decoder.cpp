#include "layers/decoder/decoder.h"

#include "layers/ops/gather_rows.h"
#include "layers/ops/rope.h"
#include "layers/ops/scatter_add.h"
#include "layers/ops/scatter_rows.h"

#include <algorithm>
#include <string>

namespace retinue::layers {

namespace {
const std::string kPrefix = "model.language_model.";
}

Decoder::Decoder(WeightStore& store, const TextConfig& config, const TensorAxis& axis)
    : config_(config),
      dtype_(store.dtype()),
      rotary_(text_rotary(config)),
      embed_tokens_(store, kPrefix + "embed_tokens.weight", config.vocab_size, config.hidden_size,
                    axis),
      norm_(store, kPrefix + "norm", config.hidden_size, config.rms_norm_eps) {
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i)
    layers_.emplace_back(store, kPrefix + "layers." + std::to_string(i), config, axis);
  if (!config.tie_word_embeddings)
    lm_head_.emplace(store, "lm_head.weight", config.vocab_size, config.hidden_size, axis);
}

void Decoder::forward(Context& ctx, const StepInputs& inputs, const VisualFeatures& features,
                      std::int64_t taps, std::span<const ops::KvView> caches,
                      TensorView logits) const {
  Frame frame(ctx);
  const std::int64_t tokens = inputs.ids.dim(0);
  TensorView x = ctx.alloc({tokens, config_.hidden_size}, dtype_);
  embed_tokens_.forward(ctx, inputs.ids, x);
  const bool visual = inputs.visual_rows.numel() > 0;
  if (visual)
    ops::scatter_rows(ctx, features.embeddings(), inputs.visual_sources, inputs.visual_rows, x);
  ctx.stage("embed_tokens", x);

  TensorView cos = ctx.alloc({tokens, config_.head_dim / 2}, DType::kF32);
  TensorView sin = ctx.alloc({tokens, config_.head_dim / 2}, DType::kF32);
  ops::rope_table(ctx, inputs.positions, rotary_.axis_of_slot, rotary_.inv_freq, rotary_.scale,
                  dtype_, cos, sin);
  std::size_t normed_bytes = 0;
  for (const DecoderLayer& layer : layers_)
    normed_bytes = std::max(normed_bytes, layer.normed_bytes(ctx.device(), tokens));
  std::byte* const normed =
      ctx.alloc({static_cast<std::int64_t>(normed_bytes)}, DType::kU8).bytes();
  bool is_normed = false;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const auto tap = static_cast<std::int64_t>(i);
    const bool tapped = visual && tap < taps;
    if (!is_normed) layers_[i].normalize(ctx, x, normed);
    // A layer's last residual computes the next norm in the same pass. Not where DeepStack adds in
    // between, and not after the last layer, where only some rows go on.
    is_normed = !tapped && i + 1 < layers_.size();
    layers_[i].forward(ctx, cos, sin, inputs, caches[i], x, normed,
                       is_normed ? &layers_[i + 1] : nullptr);
    // After the layer's own residual: in bf16 the order of the two additions shows.
    if (tapped)
      ops::scatter_add(ctx, features.deepstack(tap), inputs.visual_sources, inputs.visual_rows, x);
    ctx.stage("layer", static_cast<int>(i), x);
  }

  const std::int64_t rows = inputs.logit_rows.dim(0);
  TensorView last = ctx.alloc({rows, config_.hidden_size}, dtype_);
  ops::gather_rows(ctx, x, inputs.logit_rows, last);
  norm_.forward(ctx, last, last);
  ctx.stage("norm", last);
  head().logits(ctx, last, logits);
}

}  // namespace retinue::layers
