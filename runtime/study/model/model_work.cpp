#include "runtime/study/model/model_work.h"

#include "layers/ops/kv_view.h"

#include <array>
#include <utility>

namespace retinue::study {

namespace {

/// The decoder's matrices. An e4m3 weight takes a byte, and a group of 128 has a scale in f32.
double layer_bytes(const layers::ModelConfig& config, double dtype_bytes) {
  const layers::TextConfig& t = config.text;
  const auto heads = static_cast<double>(t.num_attention_heads * t.head_dim),
             kv = static_cast<double>(t.num_key_value_heads * t.head_dim),
             hidden = static_cast<double>(t.hidden_size),
             intermediate = static_cast<double>(t.intermediate_size);
  const std::array<std::pair<const char*, double>, 7> modules = {
      {{"self_attn.q_proj", hidden * heads},
       {"self_attn.k_proj", hidden * kv},
       {"self_attn.v_proj", hidden * kv},
       {"self_attn.o_proj", hidden * heads},
       {"mlp.gate_proj", hidden * intermediate},
       {"mlp.up_proj", hidden * intermediate},
       {"mlp.down_proj", hidden * intermediate}}};
  double bytes = 0;
  for (std::int64_t layer = 0; layer < t.num_hidden_layers; ++layer)
    for (const auto& [module, weights] : modules) {
      const bool fp8 = config.fp8 && config.fp8->covers(layers::decoder_module(layer, module));
      bytes += weights * (fp8 ? 1 + 4.0 / layers::kFp8Block : dtype_bytes);
    }
  return bytes;
}

}  // namespace

ModelWork work_of(const layers::ModelConfig& config, DType dtype, std::optional<DType> kv_dtype) {
  const auto dtype_bytes = static_cast<double>(size_bytes(dtype));
  const layers::TextConfig& t = config.text;
  const layers::VisionConfig& v = config.vision;
  const auto n = [](std::int64_t value) { return static_cast<double>(value); };
  const double heads = n(t.num_attention_heads * t.head_dim);
  const double kv = n(t.num_key_value_heads * t.head_dim);
  const double layer = n(t.hidden_size) * (2 * heads + 2 * kv + 3 * n(t.intermediate_size));
  const double layers = n(t.num_hidden_layers);
  const double head = n(t.hidden_size) * n(t.vocab_size);
  ModelWork work;
  work.flops_per_row = 2 * layers * layer;
  work.flops_per_logit_row = 2 * head;
  work.flops_per_key = 4 * heads * layers;
  work.weight_bytes = layer_bytes(config, dtype_bytes) + dtype_bytes * head;
  const DType kept = kv_dtype.value_or(dtype);
  work.bytes_per_key = layers *
                       n(ops::KvView::block_numel(kept, 1, t.num_key_value_heads, t.head_dim)) *
                       static_cast<double>(size_bytes(kept));
  const double d = n(v.hidden_size);
  const double block = 4 * d * d + 2 * d * n(v.intermediate_size);
  const double merged = d * n(v.merge_unit());
  const double mergers =
      (1 + n(v.taps())) * (merged * merged + merged * n(v.out_hidden_size)) / n(v.merge_unit());
  work.flops_per_patch = 2 * (n(v.depth) * block + d * n(v.patch_width()) + mergers);
  return work;
}

std::optional<Peaks> peaks_of(std::string_view device_name) {
  // Longer names come first, since one name begins another.
  static constexpr std::array<std::pair<std::string_view, Peaks>, 6> kSheets = {{
      {"H100 PCIe", {756e12, 2.0e12}},
      {"H200", {989e12, 4.8e12}},
      {"H100", {989e12, 3.35e12}},
      {"B200", {2250e12, 8.0e12}},
      {"A100-SXM4-80GB", {312e12, 2.039e12}},
      {"A100", {312e12, 1.555e12}},
  }};
  for (const auto& [name, peaks] : kSheets)
    if (device_name.find(name) != device_name.npos) return peaks;
  return std::nullopt;
}

}  // namespace retinue::study
