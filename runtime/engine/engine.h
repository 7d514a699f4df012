#pragma once

#include "layers/model/qwen3_vl.h"
#include "parallel/base/build_config.h"
#include "parallel/base/clock.h"
#include "parallel/comm/communicator.h"
#include "runtime/engine/request.h"
#include "runtime/engine/stats.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace retinue::runtime {

struct StepPlan;

/// The limits of a replica, from the memory plan (engine_plan.h).
struct EngineLimits {
  std::int64_t max_batch_tokens = 2048;  ///< rows of one decoder step
  std::int64_t max_sequences = 32;       ///< running at once
  std::int64_t max_sequence_tokens = 0;  ///< prompt and output of one request
  std::int64_t kv_blocks = 0;
  std::int64_t kv_block_tokens = 32;
  std::int64_t max_item_patches = 0;  ///< of one image or video
  std::int64_t encode_patches = 0;    ///< per rank and step, at least max_item_patches
  std::int64_t feature_rows = 0;      ///< visual tokens held at once
  std::int64_t max_logit_rows = 0;    ///< per step, at least max_sequences
};

/// How the lead plans; nothing here changes a bit of any result.
struct EngineOptions {
  /// Pages of equal prompt beginnings and features of equal images are computed once.
  bool share = true;
  /// Requests that are expected to answer at length go first, so that none is left alone at the
  /// end; none is overtaken for ever.
  bool longest_first = false;
  /// The lead plans the next step while this one runs, without its tokens: a sequence that ends
  /// with this step has a row in the next that nobody reads. Not said: where steps run beside the
  /// host.
  std::optional<bool> plan_ahead = std::nullopt;
  /// Images are encoded beside the steps that decode, for later ones. Not said: where they have a
  /// context of their own.
  std::optional<bool> encode_beside = std::nullopt;
  /// For tests: of several sequences the one admitted last is sent back every so many
  /// steps. 0: never.
  std::int64_t preempt_every = 0;
  /// For comparison: a step takes prompts or decodes, never both; prompts go first.
  bool separate_phases = false;
  /// Every page and feature is accounted for after every plan.
  bool check_accounts = build::kBuildType == "Debug";
};

/// What an engine works with. All of it but `limits` and `options` outlives the engine.
struct EngineParts {
  Context& ctx;
  Context* vision = nullptr;  ///< where images are encoded, its stream beside ctx's; null: on ctx
  MemoryLedger& ledger;
  layers::Qwen3Vl& model;
  EngineLimits limits;    ///< equal on every rank
  Communicator& control;  ///< joins the ranks of the tensor axis, in host memory
  PixelSource& pixels;
  const Clock& clock;
  EngineOptions options = {};
};

/// Turns requests into completions on the ranks of one replica. Rank 0 of the tensor axis leads: it
/// takes requests, plans each step and samples; every rank executes the broadcast plan. Knows ids,
/// patches, grids and limits; opens no file, prints nothing.
class Engine {
 public:
  /// Every rank of the axis builds one.
  explicit Engine(const EngineParts& parts);
  ~Engine();

  /// Leader only. Nothing when accepted; else why it can never run (too long, grid too large).
  std::optional<DataError> submit(Request request);
  /// Leader only: no more requests will come; the engine ends when all are done.
  void drain();
  /// Leader only: ends every live request now; each completes with an error of stage "cancelled".
  void cancel();
  /// Leader only: the same for one request, by its id. Whether it was live.
  bool cancel(std::uint64_t id);
  /// Leader only: finished requests since the last call.
  std::vector<Completion> poll();
  /// Leader only: requests submitted and not finished. A job keeps this at a few times
  /// max_sequences.
  [[nodiscard]] std::int64_t live() const;

  /// All ranks of the axis, in step: plan, exchange, decode, sample. False when drained.
  /// Throws: SystemError when a peer is lost.
  bool step();

  [[nodiscard]] const EngineStats& stats() const;

 private:
  class Leader;
  class Rank;
  /// Every rank reports which pixels it has; the leader plans.
  void make_plan(StepPlan& plan);

  std::unique_ptr<Leader> leader_;  ///< null on other ranks
  std::unique_ptr<Rank> rank_;
  const Clock& clock_;
  bool plans_ahead_;
  bool planned_ = false;             ///< the next step has its plan
  std::int64_t waiting_pixels_ = 0;  ///< leader: images with pixels and no encoding, at planned_s_
  double planned_s_ = 0;
};

}  // namespace retinue::runtime
