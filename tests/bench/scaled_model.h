#pragma once

#include "layers/spec/config.h"

#include <cstdint>

namespace retinue::bench {

/// Dimensions of Qwen3-VL-2B that a benchmark reduces; the decoder's widths stay.
struct ModelScale {
  std::int64_t layers, vision_depth, vocab, positions;
  std::int64_t vision_hidden = 1024, vision_heads = 16, vision_positions = 2304;
};

/// A configuration of that size, for random weights. Its special tokens are 1 to 4.
inline layers::ModelConfig scaled_model(const ModelScale& scale) {
  layers::ModelConfig c;
  c.text = {.hidden_size = 2048,
            .intermediate_size = 6144,
            .num_hidden_layers = scale.layers,
            .num_attention_heads = 16,
            .num_key_value_heads = 8,
            .head_dim = 128,
            .vocab_size = scale.vocab,
            .max_position_embeddings = scale.positions,
            .tie_word_embeddings = true,
            .rope_theta = 5e6,
            .mrope_section = {24, 20, 20}};
  c.vision = {.depth = scale.vision_depth,
              .hidden_size = scale.vision_hidden,
              .intermediate_size = 4 * scale.vision_hidden,
              .num_heads = scale.vision_heads,
              .patch_size = 16,
              .temporal_patch_size = 2,
              .spatial_merge_size = 2,
              .out_hidden_size = 2048,
              .num_position_embeddings = scale.vision_positions};
  for (std::int64_t k = 1; k <= 3; ++k)
    c.vision.deepstack_visual_indexes.push_back(scale.vision_depth * k / 4);
  c.image_token_id = 1, c.video_token_id = 2, c.vision_start_token_id = 3,
  c.vision_end_token_id = 4;
  return c;
}

}  // namespace retinue::bench
