#pragma once

#include "parallel/device/graph.h"
#include "parallel/device/staging.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/scheduler.h"
#include "runtime/engine/step.h"
#include "runtime/engine/step_block.h"

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace retinue::runtime {

/// What the lead gets back from a step.
struct StepResult {
  void clear() { largest_ids.clear(), largest.clear(), whole.clear(); }

  std::vector<std::int32_t> largest_ids;  ///< [argmax_rows]
  std::vector<float> largest;             ///< [argmax_rows]
  std::vector<std::byte> whole;           ///< [whole_rows, vocab] in the model's dtype
};

/// Executes plans on one rank; the same code on every rank of the tensor axis, all of which enter
/// each call. Plans, reports and results go over `control`, in host memory; what the model
/// exchanges goes over its axis, in the device's.
class EngineRank {
 public:
  explicit EngineRank(const EngineParts& parts);

  /// Host memory that a rank stages its inputs and results in.
  static std::int64_t staging_bytes(const EngineLimits& limits, const layers::ModelConfig& config,
                                    DType dtype, Device device, int tensor);

  /// Which pixels have arrived or failed since the last call; gathered at the lead.
  void exchange_reports(std::vector<RankReport>& at_leader);
  /// The lead's plan, to everybody.
  void share(StepPlan& plan);
  /// Encodes, exchanges, decodes: enqueued on the device, done on return on CPU.
  void launch(const StepPlan& plan);
  /// Waits for what launch() enqueued; `result` is filled at the lead.
  void finish(const StepPlan& plan, StepResult& result);

  /// Of the batches of images launched so far, how many the device has passed.
  [[nodiscard]] std::int64_t encodes_passed();
  /// Blocks until all have been: the engine ends, and some may be left that nobody reads.
  void wait_for_encodes();

  [[nodiscard]] EngineStats& stats() { return stats_; }
  [[nodiscard]] bool leaders() const { return model_.axis().rank == 0; }

 private:
  /// A rank's largest logit of a row.
  struct Candidate {
    float value;
    std::int32_t id;
  };

  void encode(const StepPlan& plan);
  void decode(const StepPlan& plan);
  void count_forward(const StepPlan& plan, double seconds);
  void forward(const StepPlan& plan, const StepBlock& block, TensorView logits);
  /// Blocks until the device has done all of it; where others take part, not for ever.
  static void wait(const Stream& stream, Communicator* comm);
  Event& event_of(std::int64_t batch) {
    return encoded_[static_cast<std::size_t>((batch - 1) % Scheduler::kEncodesBeside)];
  }
  void gather_largest(std::span<const float> values, std::span<const std::int32_t> ids,
                      StepResult& result);
  void gather_whole(const std::byte* logits, std::int64_t rows, StepResult& result);

  Context &ctx_, &vision_;
  layers::Qwen3Vl& model_;
  EngineLimits limits_;
  Communicator& control_;
  PixelSource& pixels_;
  const Clock& clock_;
  EngineStats stats_;
  std::vector<std::uint64_t> awaited_;  ///< keys that this rank owns and has no pixels of
  std::map<std::uint64_t, layers::Patches> patches_;  ///< … and those it has
  /// Where the host finds what a launched step gives, once it has been waited for.
  const std::byte *values_ = nullptr, *ids_ = nullptr, *whole_ = nullptr;
  // Kept from step to step, so that a step allocates nothing.
  std::vector<std::int32_t> words_;
  std::vector<layers::GridThw> my_grids_;
  std::vector<layers::ExchangedImage> images_;
  std::vector<std::int64_t> rows_per_rank_;
  std::vector<Candidate> mine_, candidates_;
  std::vector<std::byte> by_rank_;
  StagingRing inputs_, patch_rows_;
  Buffer results_;
  GraphCache graphs_;
  // Of the batches in flight, by their number; the plan has no more of them.
  std::array<Event, Scheduler::kEncodesBeside> encoded_;
  std::int64_t encodes_ = 0, encodes_passed_ = 0;
};

}  // namespace retinue::runtime
