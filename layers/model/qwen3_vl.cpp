#include "layers/model/qwen3_vl.h"

namespace retinue::layers {

namespace {

std::int64_t block_numel(const ModelConfig& config, const TensorAxis& axis,
                         const ModelOptions& options) {
  return ops::KvView::block_numel(options.computation.kept_dtype(), options.kv_block_size,
                                  DecoderAttention::kv_heads_per_rank(config.text, axis),
                                  config.text.head_dim);
}

/// Allocates on the device; a planning model gets a view without memory.
TensorView place(Tensor& owner, bool planning, MemoryLedger& ledger, const Stream& stream,
                 DType dtype, Shape shape, MemoryTag tag) {
  if (planning) return {nullptr, dtype, shape};
  owner = Tensor(ledger, stream.device(), dtype, shape, tag);
  // Attention reads KV blocks that were never written, and multiplies them by a probability of
  // zero: they must be finite.
  stream.zero(owner.view().bytes(), owner.view().size_bytes());
  return owner.view();
}

}  // namespace

std::int64_t Qwen3Vl::kv_block_bytes(const ModelConfig& config, const TensorAxis& axis,
                                     const ModelOptions& options) {
  return config.text.num_hidden_layers * block_numel(config, axis, options) *
         static_cast<std::int64_t>(size_bytes(options.computation.kept_dtype()));
}

Qwen3Vl::Qwen3Vl(Context& ctx, MemoryLedger& ledger, const ModelConfig& config,
                 const TensorAxis& axis, WeightSource* source, const ModelOptions& options)
    : config_(config),
      axis_(axis),
      options_(options),
      store_(ctx, ledger, source, options.computation.dtype,
             config_.fp8 ? &*config_.fp8 : nullptr) {
  const int leaves = reduction_leaves(config, options.computation.most_leaves);
  axis_.leaves = options.computation.ordered ? leaves : axis.size;
  axis_.own_kernel = options.computation.wgmma;
  check_tensor_size(axis.size, config,
                    // Of FP8 a rank has whole groups, in any order of sums.
                    config.fp8 ? leaves : axis_.leaves);
  vision_ = std::make_unique<VisionTower>(store_, config.vision, options.pixel_values);
  decoder_ = std::make_unique<Decoder>(store_, config.text, axis_);
  if (source != nullptr) source->finish();
  store_.load();

  const std::int64_t kv_heads = DecoderAttention::kv_heads_per_rank(config.text, axis_);
  const std::int64_t layers = config.text.num_hidden_layers,
                     block = block_numel(config, axis_, options);
  const TensorView kv =
      place(kv_, ctx.planning(), ledger, ctx.stream(), options.computation.kept_dtype(),
            Shape{layers, options.kv_blocks, block}, MemoryTag::kKv);
  kv_bytes_ = static_cast<std::int64_t>(kv.size_bytes());
  for (std::int64_t i = 0; i < layers; ++i)
    caches_.push_back({kv.rows(i, 1).reshape({options.kv_blocks, kv_heads, block / kv_heads}),
                       options.kv_block_size, kv_heads, config.text.head_dim});
  features_view_ =
      place(features_, ctx.planning(), ledger, ctx.stream(), options.computation.dtype,
            Shape{options.feature_rows, config.vision.feature_width()}, MemoryTag::kFeatures);
  feature_bytes_ = static_cast<std::int64_t>(features_view_.size_bytes());
}

void Qwen3Vl::encode(Context& ctx, ConstTensorView patches, std::span<const GridThw> mine,
                     std::span<const ExchangedImage> images) {
  Frame frame(ctx);
  const std::int64_t visual_tokens = patches.dim(0) / config_.vision.merge_unit();
  TensorView encoded = ctx.alloc({visual_tokens, config_.vision.feature_width()}, dtype());
  if (visual_tokens > 0) vision_->forward(ctx, patches, mine, encoded);
  exchange_features(ctx, axis_, images, encoded, features_view_);
}

void Qwen3Vl::zero_blocks(Context& ctx, std::span<const std::int32_t> blocks) {
  for (const ops::KvView& cache : caches_)
    for (const std::int32_t block : blocks) {
      const TensorView rows = cache.data.rows(block, 1);
      ctx.stream().zero(rows.bytes(), rows.size_bytes());
    }
}

void Qwen3Vl::forward(Context& ctx, const StepInputs& inputs, TensorView logits) {
  decoder_->forward(ctx, inputs, {features_view_, config_.text.hidden_size}, config_.vision.taps(),
                    caches_, logits);
}

}  // namespace retinue::layers
