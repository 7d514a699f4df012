#pragma once

#include "layers/model/qwen3_vl.h"
#include "parallel/comm/communicator.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/engine_plan.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace retinue::test {

/// A model for the engine: its shape, and where each rank gets its weights from.
struct EngineModel {
  layers::ModelConfig config;
  layers::Computation computation{.dtype = DType::kF32};
  std::function<std::unique_ptr<layers::WeightSource>()> weights;
  /// [channels, 256] the value of each byte of a pixel; empty: bytes map to [-1, 1].
  std::vector<float> pixel_values;
};
/// A configuration of tests/golden/model with the weights of its reference.
EngineModel golden_engine_model(const std::string& config, DType dtype);
/// configs/models/emoji-captioner in bf16.
EngineModel captioner_engine_model();
/// The same model, in whose embedding the rows of these ids are `value`. The head keeps rows of its
/// own, so that the value shows only where a prompt or an output has such an id.
EngineModel poisoned(const EngineModel& model, const std::vector<std::int32_t>& ids, float value);

/// A request with the pixels of its items, and when it comes.
struct EngineTask {
  runtime::Request request;             ///< run() sets `id` and the images' keys
  std::vector<layers::Patches> pixels;  ///< of request.images, in order
  std::optional<DataError> broken{};    ///< why its first image cannot be decoded
  std::int64_t submit_at = 0;           ///< after so many steps
  std::int64_t cancel_at = -1;          ///< after so many steps, if it is still live
};

/// Under which conditions tasks run.
struct EngineConditions {
  runtime::EngineLimits limits;
  runtime::EngineOptions options;
  /// Pixels come at one of the first pixel_delay + 1 calls of take().
  int pixel_delay = 0;
  /// Draws, with the key, at which of these calls; 0: at the last.
  std::uint64_t pixel_seed = 0;
  std::int64_t cancel_at = -1;  ///< all live requests, after so many steps
};

struct EngineOutcome {
  std::vector<runtime::Completion> completions;  ///< in the order of the tasks
  runtime::EngineStats stats;                    ///< of the leader
};

/// A replica whose ranks are threads of this process. Models are built once; every run has engines
/// of its own, above caches that hold what earlier runs left there.
class EngineRanks {
 public:
  EngineRanks(const EngineModel& model, int ranks, const runtime::EngineSizing& most);
  ~EngineRanks();

  /// The most that a run may have: limits may be lowered, but for kv_block_tokens.
  [[nodiscard]] const runtime::EngineLimits& limits() const;
  [[nodiscard]] const layers::Qwen3Vl& model(int rank) const;

  /// Every task once; returns when all have ended. Throws what a rank has thrown.
  EngineOutcome run(const std::vector<EngineTask>& tasks, const EngineConditions& how);

  /// The loop below run(): an engine on every rank, stepped until it has drained. `leader` is called
  /// at rank 0 before each step and after the last. Returns the counters of every rank.
  std::vector<runtime::EngineStats> drive(
      const runtime::EngineLimits& limits, const runtime::EngineOptions& options,
      const std::function<std::unique_ptr<runtime::PixelSource>(int rank)>& pixels,
      const std::function<void(runtime::Engine&)>& leader);

 private:
  struct Rank;
  std::vector<std::unique_ptr<Communicator>> group_;
  std::vector<std::unique_ptr<Rank>> ranks_;
  runtime::EnginePlan plan_;
};

}  // namespace retinue::test
