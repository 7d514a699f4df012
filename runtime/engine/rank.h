#pragma once
// Tested through tests/runtime/engine/engine_test.cpp.

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

/// The results of a step, at the leader.
struct StepResult {
  void clear() { largest_ids.clear(), largest.clear(), drawn.clear(), whole.clear(); }

  std::vector<std::int32_t> largest_ids;  ///< [argmax_rows + drawn_rows]
  std::vector<float> largest;             ///< [argmax_rows + drawn_rows]
  std::vector<ops::DrawnToken> drawn;     ///< [drawn_rows]
  std::vector<std::byte> whole;           ///< [whole_rows, vocab] in the model's dtype
};

/// Executes plans on one rank. The same code runs on every rank of the tensor axis, and all of them
/// enter each call. Plans, reports and results travel over `control`, in host memory; the model
/// exchanges over its own axis, in device memory.
class EngineRank {
 public:
  explicit EngineRank(const EngineParts& parts);

  /// Host memory that stages a rank's inputs and results.
  static std::int64_t staging_bytes(const EngineLimits& limits, const layers::ModelConfig& config,
                                    DType dtype, Device device, int tensor);

  /// Gathers at the leader which pixels have arrived or failed since the last call.
  void exchange_reports(std::vector<RankReport>& at_leader);
  /// Broadcasts the leader's plan.
  void share(StepPlan& plan);
  /// Encodes, exchanges and decodes. Enqueued on a device; done on return on CPU.
  void launch(const StepPlan& plan);
  /// Waits for what launch() enqueued, and fills `result` at the leader.
  void finish(const StepPlan& plan, StepResult& result);

  /// How many batches of images the device has encoded.
  [[nodiscard]] std::int64_t encodes_passed();
  /// Blocks until all are encoded: when the engine ends, some may be in flight that no step reads.
  void wait_for_encodes();

  [[nodiscard]] EngineStats& stats() { return stats_; }
  [[nodiscard]] bool is_leader() const { return model_.axis().rank == 0; }

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
  /// Draws an id per row, of logits [rows, vocab_per_rank].
  void draw_rows(const StepPlan& plan, ConstTensorView logits);
  /// Where the host reads a column of the results, or, with kColumns, the whole rows.
  std::byte* result_column(std::int64_t column);
  /// Blocks until the stream is done; where other ranks take part, no longer than their deadline.
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
  std::vector<std::uint64_t> awaited_;  ///< keys that this rank owns, without their pixels
  std::map<std::uint64_t, layers::Patches> patches_;  ///< that have arrived, by key
  /// Results of the launched step in host memory, valid after the wait.
  const std::byte *values_ = nullptr, *ids_ = nullptr, *whole_ = nullptr, *drawn_ids_ = nullptr,
                  *drawn_logprobs_ = nullptr;
  // Reused from step to step, so that a step allocates nothing.
  std::vector<std::int32_t> words_;
  std::vector<layers::GridThw> my_grids_;
  std::vector<layers::ExchangedImage> images_;
  std::vector<std::int64_t> rows_per_rank_;
  std::vector<Candidate> mine_, candidates_;
  std::vector<std::byte> by_rank_;
  StagingRing inputs_, patch_rows_, draws_;
  Buffer results_;
  GraphCache graphs_;
  // By batch number, modulo the batches in flight.
  std::array<Event, Scheduler::kEncodesBeside> encoded_;
  std::int64_t encodes_ = 0, encodes_passed_ = 0;
};

}  // namespace retinue::runtime
