#pragma once

#include "layers/model/qwen3_vl.h"
#include "parallel/base/build_config.h"
#include "parallel/base/clock.h"
#include "parallel/comm/communicator.h"
#include "runtime/engine/even_steps.h"
#include "runtime/engine/request.h"
#include "runtime/engine/stats.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace retinue::runtime {

/// The stage of the error with which a withdrawn request completes.
inline constexpr const char* kCancelledStage = "cancelled";

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
  EvenSteps even = {};                ///< how many of max_batch_tokens a step takes
};

/// How the leader plans. No option changes a bit of any result.
struct EngineOptions {
  /// Computes KV blocks of equal prompt beginnings, and features of equal images, only once.
  bool share = true;
  /// Starts requests with long expected answers first, so that none is left to run alone at the end.
  /// The scheduler bounds how often a request is overtaken.
  bool longest_first = false;
  /// Plans the next step while this one runs, before its tokens are known: a sequence that ends with
  /// this step has a wasted row in the next. Default: on where steps run beside the host.
  std::optional<bool> plan_ahead = std::nullopt;
  /// Encodes images beside steps that decode, for later steps. Default: on where images have a
  /// context of their own.
  std::optional<bool> encode_beside = std::nullopt;
  /// For tests: preempts the sequence that was admitted last every so many steps. 0: never.
  std::int64_t preempt_every = 0;
  /// For comparison: a step has prompts or decodes, never both; prompts go first.
  bool separate_phases = false;
  /// Checks after every plan that every block and feature is accounted for.
  bool check_accounts = build::kBuildType == "Debug";
};

/// The parts that an engine works with. All except `limits` and `options` outlive it.
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

/// Turns requests into completions on the ranks of one replica. Rank 0 of the tensor axis is the
/// leader: it takes requests, plans each step and samples. Every rank executes the broadcast plan.
/// The engine knows ids, patches, grids and limits; it opens no file and prints nothing.
class Engine {
 public:
  /// Every rank of the axis builds one.
  explicit Engine(const EngineParts& parts);
  ~Engine();

  /// Leader only. Nothing when accepted; else why it can never run (too long, grid too large).
  std::optional<DataError> submit(Request request);
  /// Leader only: no more requests will come; the engine ends when all are done.
  void drain();
  /// Leader only: ends every live request now; each completes with an error of kCancelledStage.
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
