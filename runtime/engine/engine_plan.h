#pragma once

#include "layers/spec/config.h"
#include "parallel/device/device.h"
#include "runtime/engine/engine.h"

#include <cstdint>
#include <optional>
#include <string>

namespace retinue::runtime {

/// What a user may fix; the rest follows from the model and the memory there is.
struct EngineWishes {
  std::optional<std::int64_t> max_batch_tokens, max_sequences, kv_block_tokens;
  std::optional<double> kv_memory_gib;
  std::int64_t max_new_tokens = 256;
  std::int64_t max_image_pixels = 0;    ///< after resizing
  std::int64_t max_video_pixels = 0;    ///< volume after resizing; 0: no videos
  std::int64_t max_items = 1;           ///< images and videos in one prompt, at most
  std::int64_t max_logit_rows = 0;      ///< 0: one per sequence; trace wants one per prompt token
  std::int64_t max_text_tokens = 2048;  ///< of one prompt
};

/// Bytes per rank, by tag, for a configuration and a mesh: found by running the model in plan mode,
/// so it is what the run then uses. That is `retinue check`.
struct EnginePlan {
  EngineLimits limits;
  std::int64_t weight_bytes = 0, kv_bytes = 0, feature_bytes = 0, activation_bytes = 0,
               scratch_bytes = 0;

  [[nodiscard]] std::int64_t total_bytes() const {
    return weight_bytes + kv_bytes + feature_bytes + activation_bytes + scratch_bytes;
  }
};

/// `memory_bytes`: what one rank may use.
/// Throws: UsageError when the model does not split over `tensor` ranks, or not even one sequence
/// fits.
EnginePlan plan_engine(const layers::ModelConfig& config, DType dtype, Device device, int tensor,
                       int threads, std::int64_t memory_bytes, const EngineWishes& wishes);

}  // namespace retinue::runtime
