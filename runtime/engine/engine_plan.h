#pragma once

#include "layers/spec/config.h"
#include "parallel/comm/nccl/nccl_communicator.h"
#include "parallel/device/device.h"
#include "runtime/engine/engine.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace retinue::runtime {

/// What a user may fix; the rest follows from the model and the memory there is.
struct EngineSizing {
  std::optional<std::int64_t> max_batch_tokens, max_sequences, kv_block_tokens;
  std::optional<double> kv_memory_gib;
  std::int64_t max_new_tokens = 256;
  std::int64_t max_image_pixels = 0;    ///< after resizing
  std::int64_t max_video_pixels = 0;    ///< volume after resizing; 0: no videos
  std::int64_t max_items = 1;           ///< images and videos in one prompt, at most
  std::int64_t max_logit_rows = 0;      ///< 0: one per sequence; trace wants one per prompt token
  std::int64_t max_text_tokens = 2048;  ///< of one prompt
  Reduce reduce = Reduce::kOrdered;     ///< of the tensor axis, on CUDA
};

/// What is on a GPU beside our own allocations, per rank: context, kernels and their local memory,
/// cuBLASLt, recorded steps, and what is lost in rounding allocations up. Nobody tells it before it
/// is taken, so this is set aside for it.
inline constexpr std::int64_t kDriverBytes = 1'500'000'000;
/// … and for the buffers that NCCL makes itself for a communicator's channels; a replica has one
/// for sums and one for features.
inline constexpr std::int64_t kNcclBytes = 400'000'000;
inline constexpr std::int64_t kNcclCommunicators = 2;

/// Of a GPU's memory, as its driver reports it, what a plan uses: the rest stays free, since a
/// driver that has none left fails in ways that name no cause.
constexpr std::int64_t gpu_budget_bytes(std::int64_t reported_bytes) {
  return reported_bytes / 100 * 97;
}

/// Bytes per rank, by tag, for a configuration and a mesh: found by running the model in plan mode,
/// so it is what the run then uses. That is `retinue check`.
struct EnginePlan {
  EngineLimits limits;
  std::int64_t weight_bytes = 0, kv_bytes = 0, feature_bytes = 0, activation_bytes = 0,
               scratch_bytes = 0;
  /// Activations and scratch of the vision tower where it runs beside the decoder, on a GPU. On CPU
  /// it takes the decoder's, between steps.
  std::int64_t vision_activation_bytes = 0, vision_scratch_bytes = 0;
  std::int64_t communication_bytes = 0;  ///< NCCL's, ours and its own
  std::int64_t driver_bytes = 0;         ///< kDriverBytes on a GPU
  std::int64_t staging_bytes = 0;        ///< of the host: beside a GPU it is no part of the total
  DeviceType device = DeviceType::kCpu;

  struct Part {
    const char* name;
    std::int64_t bytes;
  };
  /// Everything on the device, for people.
  [[nodiscard]] std::array<Part, 9> parts() const {
    return {{{"weights", weight_bytes},
             {"KV cache", kv_bytes},
             {"features", feature_bytes},
             {"activations", activation_bytes},
             {"scratch", scratch_bytes},
             {"vision", vision_activation_bytes + vision_scratch_bytes},
             {"staging", device == DeviceType::kCpu ? staging_bytes : 0},
             {"NCCL", communication_bytes},
             {"driver and libraries", driver_bytes}}};
  }
  [[nodiscard]] std::int64_t total_bytes() const;
  [[nodiscard]] std::int64_t kv_tokens() const { return limits.kv_blocks * limits.kv_block_tokens; }
};

/// `memory_bytes`: what one rank may use; on CUDA gpu_budget_bytes(). Sequences that run at once:
/// on CPU 32; on CUDA, whose steps are bound by reading weights until they have hundreds of rows,
/// as many as the cache holds of one item's visual tokens and max_new_tokens each, at most a row of
/// a step for each. Throws: UsageError when the model does not split over `tensor` ranks, or not
/// even one sequence fits.
EnginePlan plan_engine(const layers::ModelConfig& config, DType dtype, Device device, int tensor,
                       int threads, std::int64_t memory_bytes, const EngineSizing& sizing);

}  // namespace retinue::runtime
