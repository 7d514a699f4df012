#pragma once

#include "runtime/engine/engine.h"
#include "runtime/engine/step.h"

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace retinue::runtime {

/// What the lead gets back from a step.
struct StepResult {
  std::vector<std::int32_t> largest_ids;  ///< [argmax_rows]
  std::vector<float> largest;             ///< [argmax_rows]
  std::vector<std::byte> whole;           ///< [whole_rows, vocab] in the model's dtype
};

/// Executes plans on one rank; the same code on every rank of the tensor axis, all of which enter
/// each call.
class EngineRank {
 public:
  EngineRank(Context& ctx, layers::Qwen3Vl& model, const EngineLimits& limits, PixelSource& pixels,
             const Clock& clock)
      : ctx_(ctx), model_(model), limits_(limits), pixels_(pixels), clock_(clock) {}

  /// Which pixels have arrived or failed since the last call; gathered at the lead.
  void exchange_reports(std::vector<RankReport>& at_lead);
  /// The lead's plan, to everybody.
  void share(StepPlan& plan);
  /// Encodes, exchanges, decodes; `result` is filled at the lead.
  void execute(const StepPlan& plan, StepResult& result);

  [[nodiscard]] EngineStats& stats() { return stats_; }
  [[nodiscard]] bool leads() const { return model_.axis().rank == 0; }

 private:
  void encode(const StepPlan& plan);
  void decode(const StepPlan& plan, StepResult& result);
  void gather_largest(TensorView logits, StepResult& result);
  void gather_whole(TensorView logits, StepResult& result);

  Context& ctx_;
  layers::Qwen3Vl& model_;
  EngineLimits limits_;
  PixelSource& pixels_;
  const Clock& clock_;
  EngineStats stats_;
  std::vector<std::uint64_t> awaited_;  ///< keys that this rank owns and has no pixels of
  std::map<std::uint64_t, layers::Patches> patches_;  ///< … and those it has
  std::vector<std::int32_t> words_;
  std::vector<std::uint8_t> staging_;
};

}  // namespace retinue::runtime
