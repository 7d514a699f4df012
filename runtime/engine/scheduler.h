#pragma once

#include "layers/decoder/mrope.h"
#include "layers/spec/config.h"
#include "runtime/engine/encode_queue.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/kv_cache.h"
#include "runtime/engine/step.h"

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <vector>

namespace retinue::runtime {

/// A request on its way, as the lead sees it.
struct Sequence {
  enum class Pixels { kAwaited, kReady, kEncoded };
  struct Item {
    VisualItem visual;
    Pixels pixels = Pixels::kAwaited;
    std::int64_t first_row = -1;  ///< of the feature buffer while it holds them
    std::int64_t visual_tokens = 0;
  };

  Request request;
  layers::PromptPositions positions;
  std::vector<std::int32_t>
      feature_of;  ///< per prompt token: index among the prompt's visual tokens, or -1
  std::vector<Item> items;
  std::vector<std::int32_t> blocks;  ///< empty until admitted
  std::int64_t cached = 0;           ///< tokens in the cache
  bool dealt = false;
  Completion completion;
  double submitted_s = 0;

  [[nodiscard]] std::int64_t prompt_tokens() const {
    return static_cast<std::int64_t>(request.ids.size());
  }
  [[nodiscard]] bool prefilled() const { return cached >= prompt_tokens(); }
  [[nodiscard]] std::int64_t most_tokens() const {
    return prompt_tokens() + request.max_new_tokens;
  }
  [[nodiscard]] bool needs_whole_logits() const;
};

/// Which of a plan's logit rows belongs to whom.
struct LogitRow {
  Sequence* sequence = nullptr;
  bool samples = false;  ///< the row after the last token so far: its token comes next
};

/// Chooses what the next step does: a function of the sequences and the limits, without time or
/// devices. Decodes first, one token each; then prompts in order of arrival, in chunks of what is
/// left of the step.
class Scheduler {
 public:
  Scheduler(const layers::ModelConfig& config, const EngineLimits& limits, int ranks);

  /// Why a request can never run, if so.
  [[nodiscard]] std::optional<DataError> reason_to_refuse(const Request& request) const;
  void add(std::unique_ptr<Sequence> sequence) { waiting_.push_back(std::move(sequence)); }
  /// Pixels of an item are there, on the rank that owns it. Null when nobody waits for it any more.
  Sequence* mark_ready(std::uint64_t key);
  /// The sequence that waits for an item; null if none.
  Sequence* find(std::uint64_t key);

  /// Fills `plan`; `argmax` and `whole` name the plan's logit rows in order.
  void plan(StepPlan& plan, std::vector<LogitRow>& argmax, std::vector<LogitRow>& whole);
  /// Takes a finished or failed sequence out and frees what it held.
  std::unique_ptr<Sequence> remove(Sequence* sequence);

  /// Every sequence that waits or runs.
  [[nodiscard]] std::vector<Sequence*> all() const {
    std::vector<Sequence*> sequences;
    for (const auto* list : {&waiting_, &running_})
      for (const auto& sequence : *list) sequences.push_back(sequence.get());
    return sequences;
  }

  [[nodiscard]] std::int64_t live() const {
    return static_cast<std::int64_t>(waiting_.size() + running_.size());
  }

 private:
  void deal_items(StepPlan& plan);
  void encode_items(StepPlan& plan);
  void admit();
  void add_tokens(StepPlan& plan, Sequence& sequence, std::int64_t count,
                  std::vector<LogitRow>& argmax, std::vector<LogitRow>& whole);
  void release_features(Sequence& sequence);

  layers::ModelConfig config_;
  EngineLimits limits_;
  KvCache kv_;
  FeatureRows features_;
  EncodeQueue queue_;
  int ranks_;
  std::list<std::unique_ptr<Sequence>> waiting_, running_;
  std::vector<std::uint64_t> dropped_;
  std::vector<std::int32_t> whole_rows_;
};

}  // namespace retinue::runtime
