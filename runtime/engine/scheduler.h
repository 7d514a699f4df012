#pragma once

#include "layers/decoder/mrope.h"
#include "layers/spec/config.h"
#include "parallel/base/hash.h"
#include "runtime/engine/encode_queue.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/feature_cache.h"
#include "runtime/engine/kv_cache.h"
#include "runtime/engine/length_estimate.h"
#include "runtime/engine/step.h"

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <vector>

namespace retinue::runtime {

/// A request on its way, as the lead sees it.
struct Sequence {
  struct Item {
    VisualItem visual;
    std::int64_t visual_tokens = 0;
    std::int64_t end = 0;        ///< the prompt's token after its last visual one
    Feature* feature = nullptr;  ///< while it is needed
    bool pinned = false;
  };

  Request request;
  layers::PromptPositions positions;
  /// Per prompt token: index among the prompt's visual tokens, or -1.
  std::vector<std::int32_t> feature_of;
  std::vector<Item> items;
  std::vector<ContentKey> block_keys;  ///< of the prompt's full pages, as far as they can be named
  std::vector<std::int32_t> blocks;    ///< empty until admitted
  std::int64_t cached = 0;             ///< tokens in the cache
  std::int64_t awaited = 0;            ///< tokens that steps planned so far will bring
  Sha256 logits_hash;
  std::int64_t admission = 0;    ///< which of all admissions was its last; 0: it waits
  bool published = false;        ///< others may find its pages
  std::int64_t passed_over = 0;  ///< by later ones in the queue
  Completion completion;
  double submitted_s = 0;

  [[nodiscard]] std::int64_t prompt_tokens() const {
    return static_cast<std::int64_t>(request.ids.size());
  }
  /// Of prompt and output, those that are awaited included: what the cache must hold before another
  /// can come.
  [[nodiscard]] std::int64_t tokens() const {
    return prompt_tokens() + static_cast<std::int64_t>(completion.ids.size()) + awaited;
  }
  [[nodiscard]] std::int64_t pending() const { return tokens() - cached; }
  [[nodiscard]] std::int64_t most_tokens() const {
    return prompt_tokens() + request.max_new_tokens;
  }
  [[nodiscard]] bool needs_whole_logits() const;
};

/// Which of a plan's logit rows belongs to whom.
struct LogitRow {
  Sequence* sequence = nullptr;  ///< null: it has ended meanwhile
  bool samples = false;          ///< the row after the last token so far: its token comes next
  std::int64_t admission = 0;    ///< the sequence's when the row was planned
};

/// Whose a plan's rows are.
struct PlanRows {
  std::vector<LogitRow> argmax, whole;  ///< the plan's logit rows, in order
  struct Awaited {
    Sequence* sequence = nullptr;
    std::size_t row = 0;
    /// Of a sequence that has ended, its prompt's last: nobody reads the row, but what it writes
    /// stays behind and must be finite.
    std::int32_t id = 0;
  };
  std::vector<Awaited> awaited;  ///< rows whose token the step before brings

  void clear() { argmax.clear(), whole.clear(), awaited.clear(); }
  /// Writes the tokens that `plan` had to wait for.
  void fill(StepPlan& plan) const;
  /// Nobody asks for the rows of `ended` any more.
  void forget(const Sequence* ended);
};

/// Chooses what the next step does: a function of the sequences, their order and the limits,
/// without time or devices. Decodes first, one token each; then prompts in order of admission, in
/// chunks of what is left of the step.
///
/// A sequence is admitted when the pages that it is expected to need are there, beside those that
/// the running ones still will. Where more come than expected, the one admitted last goes back to
/// the head of the queue and is computed again: with the same bits, so that nobody can tell.
class Scheduler {
 public:
  Scheduler(const layers::ModelConfig& config, const EngineLimits& limits,
            const EngineOptions& options, int ranks);

  /// Why a request can never run, if so.
  [[nodiscard]] std::optional<DataError> reason_to_refuse(const Request& request) const;
  void add(Request request, double now_s);

  /// Pixels have arrived on rank `owner`. Returns the sequence that must fail since its pixels have
  /// another grid than its prompt; null if none.
  Sequence* pixels_arrived(std::uint64_t key, const layers::GridThw& grid);
  /// They never will. Returns the sequence that asked for them by this key; null if it is gone.
  Sequence* pixels_failed(std::uint64_t key);

  /// The device has passed the first so many batches of images that plans had.
  void encodes_passed(std::int64_t batches) { encodes_passed_ = batches; }
  /// Batches that plans may have in flight beside the decoder: one runs and one waits behind it.
  static constexpr std::int64_t kEncodesBeside = 2;

  /// Fills `plan` and says whose rows it has. The tokens of the plan before may still be awaited.
  void plan(StepPlan& plan, PlanRows& rows);
  /// The row's logits are finite, so that others may use what came before it: unless the sequence
  /// has been sent back meanwhile.
  void publish(const LogitRow& row);
  /// Takes a finished or failed sequence out and frees what it held. What is `spoiled` holds
  /// numbers that are not finite: its pages are zeroed before another reads them.
  std::unique_ptr<Sequence> remove(Sequence* sequence, bool poisoned = false);

  /// Every sequence that waits or runs.
  [[nodiscard]] std::vector<Sequence*> all() const;
  [[nodiscard]] std::int64_t live() const {
    return static_cast<std::int64_t>(waiting_.size() + running_.size());
  }
  /// Nobody lives, and nothing is left to be zeroed.
  [[nodiscard]] bool done() const { return live() == 0 && zero_blocks_.empty(); }
  /// Images and videos whose pixels wait to be encoded.
  [[nodiscard]] std::int64_t ready_items() const { return features_.ready(); }
  [[nodiscard]] const SchedulerStats& stats() const { return stats_; }
  /// Throws: BugError unless every page and feature is accounted for.
  void check_accounts() const;

 private:
  using Sequences = std::list<std::unique_ptr<Sequence>>;
  struct Chunk {
    Sequence* sequence;
    std::int64_t count;
  };

  void enqueue(std::unique_ptr<Sequence> sequence);
  void use_features(Sequence& sequence);
  void release_features(Sequence& sequence, std::int64_t up_to);
  /// Counts on rows for every item that will be read, or for none: a sequence that holds some and
  /// waits for others could wait for ever. False: not now.
  bool claim_features(Sequence& sequence, std::int64_t cached);
  static void unpin(Sequence::Item& item);
  /// Whether the token that it awaits is its last in any case.
  static bool ends_with_awaited(const Sequence& sequence);
  void gone(Feature& feature);
  void assign_items(StepPlan& plan);
  void join_encodes(StepPlan& plan);
  void encode_items(StepPlan& plan);
  void admit();
  void preempt_last();
  void release_blocks(Sequence& sequence, bool poisoned);
  void choose_chunks();
  void add_tokens(StepPlan& plan, Sequence& sequence, std::int64_t count, PlanRows& rows);
  /// Pages that the prompt may take over from others: never the last token's, whose logits are
  /// wanted.
  [[nodiscard]] std::span<const ContentKey> shared_blocks(const Sequence& sequence) const;
  [[nodiscard]] std::int64_t shared_tokens(const Sequence& sequence) const {
    return static_cast<std::int64_t>(shared_blocks(sequence).size()) * limits_.kv_block_tokens;
  }
  /// Whether the features of `item` will be read, with `cached` tokens already there.
  static bool is_read(const Sequence::Item& item, std::int64_t cached) { return item.end > cached; }
  [[nodiscard]] std::int64_t expected_blocks(const Sequence& sequence) const;

  layers::ModelConfig config_;
  EngineLimits limits_;
  EngineOptions options_;
  KvCache kv_;
  FeatureCache features_;
  EncodeQueue queue_;
  LengthEstimate lengths_;
  int ranks_;
  Sequences waiting_, running_;  ///< running: in order of admission
  std::vector<Chunk> chunks_;
  std::vector<std::uint64_t> dropped_;
  std::vector<std::int32_t> zero_blocks_;
  std::vector<std::int32_t> whole_rows_;
  std::vector<std::int64_t> encode_load_;
  std::int64_t encodes_ = 0, encodes_passed_ = 0, encodes_joined_ = 0;  ///< batches
  std::int64_t plans_ = 0;
  SchedulerStats stats_;
};

}  // namespace retinue::runtime
