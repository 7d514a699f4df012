#pragma once

#include "layers/spec/computation.h"
#include "layers/spec/config.h"
#include "parallel/comm/nccl/nccl_communicator.h"
#include "parallel/device/device.h"
#include "runtime/engine/engine.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace retinue::runtime {

/// The inputs that fix the engine's limits; the rest follows from the model and the memory.
struct EngineSizing {
  std::optional<std::int64_t> max_batch_tokens, max_sequences, kv_block_tokens;
  std::optional<double> kv_memory_gib;
  std::int64_t max_new_tokens = 256;
  std::int64_t max_image_patches = 0;   ///< of one image or video
  std::int64_t max_items = 1;           ///< most images and videos in one prompt
  std::int64_t max_logit_rows = 0;      ///< 0: one per sequence; trace wants one per prompt token
  std::int64_t max_text_tokens = 2048;  ///< in one prompt
};

/// Memory of a GPU beside our own allocations, per rank: context, kernels and their local memory,
/// cuBLASLt, recorded steps, and rounding of allocations. No library reports it in advance, so a
/// plan reserves this much.
inline constexpr std::int64_t kDriverBytes = 1'500'000'000;
/// A plan also reserves this much for the buffers of the channels of each NCCL communicator; a
/// replica has one communicator for sums and one for features.
inline constexpr std::int64_t kNcclBytes = 400'000'000;
inline constexpr std::int64_t kNcclCommunicators = 2;

/// The part of a GPU's memory, as its driver reports it, that a plan uses. The rest stays free: a
/// driver without memory fails in ways that name no cause.
constexpr std::int64_t gpu_budget_bytes(std::int64_t reported_bytes) {
  return reported_bytes / 100 * 97;
}

/// Bytes per rank, by tag, for a configuration and a mesh. The model runs in plan mode to find
/// them, so they are the bytes of the run. `retinue check` prints them.
struct EnginePlan {
  EngineLimits limits;
  std::int64_t weight_bytes = 0, kv_bytes = 0, feature_bytes = 0, activation_bytes = 0,
               scratch_bytes = 0;
  /// Activations and scratch of the vision tower on a GPU, where it runs beside the decoder. On CPU
  /// it uses the decoder's between steps.
  std::int64_t vision_activation_bytes = 0, vision_scratch_bytes = 0;
  std::int64_t communication_bytes = 0;  ///< for NCCL: our scratch and its own buffers
  std::int64_t driver_bytes = 0;         ///< kDriverBytes on a GPU
  std::int64_t staging_bytes = 0;        ///< host memory; in the total on CPU only
  DeviceType device = DeviceType::kCpu;

  enum class Kind { kFixed, kKvCache, kFeatures };
  struct Part {
    const char* name;
    std::int64_t bytes;
    Kind kind = Kind::kFixed;  ///< a kind that grows with the sequences or images held, or fixed
  };
  /// The parts on the device, for people.
  [[nodiscard]] std::array<Part, 9> parts() const {
    return {{{"weights", weight_bytes},
             {"KV cache", kv_bytes, Kind::kKvCache},
             {"features", feature_bytes, Kind::kFeatures},
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

/// `memory_bytes` is the memory that one rank may use; on CUDA gpu_budget_bytes(). On CPU 32
/// sequences run at once. On CUDA, where reading weights bounds steps of fewer than hundreds of
/// rows, as many run as the cache holds with one image and max_new_tokens each, and at most one
/// per row of a step. A step has 2048 rows, on CUDA more where so many sequences run that others
/// would end faster than new ones begin. (Seven parameters: no two belong together elsewhere.)
/// Throws: UsageError when the model does not split over `tensor` ranks, or no sequence fits.
EnginePlan plan_engine(const layers::ModelConfig& config, const layers::Computation& computation,
                       Device device, int tensor, int threads, std::int64_t memory_bytes,
                       const EngineSizing& sizing);

}  // namespace retinue::runtime
