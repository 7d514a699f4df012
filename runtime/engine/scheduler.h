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

/// A live request, as the leader sees it.
struct Sequence {
  struct Image {
    RequestImage input;
    std::int64_t visual_tokens = 0;
    std::int64_t end = 0;        ///< the prompt's token after the image's last one
    Feature* feature = nullptr;  ///< while the sequence needs it
    bool pinned = false;         ///< the sequence has reserved the feature's rows
  };

  Request request;
  layers::PromptPositions positions;
  /// Per prompt token: index among the prompt's visual tokens, or -1.
  std::vector<std::int32_t> feature_of;
  std::vector<Image> images;
  std::vector<ContentKey> block_keys;  ///< of the prompt's full blocks, up to the first unknown one
  std::vector<std::int32_t> blocks;    ///< empty until admitted
  std::int64_t cached = 0;             ///< tokens in the cache
  std::int64_t reused = 0;             ///< tokens that were in the cache when it was admitted
  std::int64_t awaited = 0;            ///< tokens that planned steps will produce
  Sha256 logits_hash;
  std::int64_t admission = 0;    ///< number of its last admission; 0: it waits
  bool published = false;        ///< others may share its blocks
  std::int64_t passed_over = 0;  ///< how many later sequences have overtaken it
  Completion completion;
  double submitted_s = 0;

  [[nodiscard]] std::int64_t prompt_tokens() const {
    return static_cast<std::int64_t>(request.ids.size());
  }
  /// Prompt and output, awaited tokens included: the cache must hold them all before the next one.
  [[nodiscard]] std::int64_t tokens() const {
    return prompt_tokens() + static_cast<std::int64_t>(completion.ids.size()) + awaited;
  }
  [[nodiscard]] std::int64_t pending() const { return tokens() - cached; }
  [[nodiscard]] std::int64_t most_tokens() const {
    return prompt_tokens() + request.max_new_tokens;
  }
  /// How its next token follows from a row of logits.
  enum class Choice {
    kLargest,  ///< it is the largest: greedy
    kDrawn,    ///< by ops::sample()
    kWhole     ///< the host needs the row
  };
  [[nodiscard]] Choice choice() const;
};

/// The owner of one of a plan's logit rows.
struct LogitRow {
  Sequence* sequence = nullptr;  ///< null: it has ended since
  bool samples = false;          ///< the row gives the sequence's next token
  std::int64_t admission = 0;    ///< the sequence's when the row was planned
};

/// The owners of a plan's rows.
struct PlanRows {
  std::vector<LogitRow> argmax, drawn, whole;  ///< the plan's logit rows, in order
  struct Awaited {
    Sequence* sequence = nullptr;
    std::size_t row = 0;
    /// Once the sequence has ended, its prompt's last id. No one reads the row then, but the KV
    /// that it writes stays in its block and must be finite.
    std::int32_t id = 0;
  };
  std::vector<Awaited> awaited;  ///< rows whose token the previous step produces

  void clear() { argmax.clear(), drawn.clear(), whole.clear(), awaited.clear(); }
  /// Writes the awaited tokens into `plan`.
  void fill(StepPlan& plan) const;
  /// Clears the rows that belong to `ended`.
  void forget(const Sequence* ended);
};

/// The reason why a request can never run within these limits; nothing when it can.
std::optional<DataError> reason_to_refuse(const layers::ModelConfig& config,
                                          const EngineLimits& limits, const Request& request);

/// Chooses the work of the next step from the sequences, their order and the limits alone; it knows
/// neither time nor devices. Decodes come first, one token each, then prompts in order of
/// admission, in chunks that fill the rest of the step. Its size is that of even_steps.h.
///
/// A sequence is admitted when enough blocks are free for its expected length beside the expected
/// growth of the running ones. Where outputs grow longer than expected, the sequence admitted last
/// is preempted: it returns to the head of the queue and is computed again, bit for bit the same.
class Scheduler {
 public:
  Scheduler(const layers::ModelConfig& config, const EngineLimits& limits,
            const EngineOptions& options, int ranks);

  [[nodiscard]] std::optional<DataError> reason_to_refuse(const Request& request) const {
    return runtime::reason_to_refuse(config_, limits_, request);
  }
  void add(Request request, double now_s);

  /// Pixels have arrived on their rank. Returns the sequence that must fail because they have
  /// another grid than its prompt; null if none.
  Sequence* pixels_arrived(std::uint64_t key, const layers::GridThw& grid);
  /// Pixels cannot be had. Returns the sequence that asked for them by this key; null if it is
  /// gone.
  Sequence* pixels_failed(std::uint64_t key);

  /// The device has encoded the first `batches` batches of images.
  void encodes_passed(std::int64_t batches) { encodes_passed_ = batches; }
  /// Batches in flight beside the decoder, at most: one runs, one is queued behind it.
  static constexpr std::int64_t kEncodesBeside = 2;

  /// Fills `plan` and names the owners of its rows. Tokens of the previous plan may be awaited.
  void plan(StepPlan& plan, PlanRows& rows);
  /// The row's logits are finite, so others may share the prompt's blocks. Without effect where the
  /// sequence has been preempted since the row was planned.
  void publish(const LogitRow& row);
  /// Takes a finished or failed sequence out and frees what it held. A poisoned sequence has left
  /// numbers that are not finite: its blocks are zeroed before another sequence reads them.
  std::unique_ptr<Sequence> remove(Sequence* sequence, bool poisoned = false);

  /// Every sequence that waits or runs.
  [[nodiscard]] std::vector<Sequence*> all() const;
  [[nodiscard]] std::int64_t live() const {
    return static_cast<std::int64_t>(waiting_.size() + running_.size());
  }
  /// No sequence is left, and no block waits to be zeroed.
  [[nodiscard]] bool done() const { return live() == 0 && zero_blocks_.empty(); }
  /// Images and videos whose pixels wait to be encoded.
  [[nodiscard]] std::int64_t ready_images() const { return features_.ready(); }
  [[nodiscard]] const SchedulerStats& stats() const { return stats_; }
  /// Throws: BugError unless every block and feature is accounted for.
  void check_accounts() const;

 private:
  using Sequences = std::list<std::unique_ptr<Sequence>>;
  struct Chunk {
    Sequence* sequence;
    std::int64_t count;
  };
  /// Rows that are left in a step.
  struct Budget {
    std::int64_t tokens, logit_rows;
  };

  void enqueue(std::unique_ptr<Sequence> sequence);
  void use_features(Sequence& sequence);
  void release_features(Sequence& sequence, std::int64_t up_to);
  /// Reserves feature rows for all images that will be read, or none; partial holds can deadlock.
  /// False: not now.
  bool reserve_features(Sequence& sequence, std::int64_t cached);
  static void unpin(Sequence::Image& image);
  /// Whether the awaited token is the sequence's last, whatever it is.
  static bool ends_with_awaited(const Sequence& sequence);
  void gone(Feature& feature);
  void assign_images(StepPlan& plan);
  void join_encodes(StepPlan& plan);
  void encode_images(StepPlan& plan);
  void admit();
  void preempt_last();
  void release_blocks(Sequence& sequence, bool poisoned);
  void choose_chunks();
  void add_decodes(Budget& budget);
  void add_prompts(Budget& budget);
  bool grow(Sequence& sequence, std::int64_t tokens);
  void add_tokens(StepPlan& plan, Sequence& sequence, std::int64_t count, PlanRows& rows);
  /// Cached blocks that begin the sequence, never the last token's: its logits must be computed.
  [[nodiscard]] std::span<const ContentKey> shared_blocks(const Sequence& sequence) const;
  [[nodiscard]] std::int64_t shared_tokens(const Sequence& sequence) const {
    return static_cast<std::int64_t>(shared_blocks(sequence).size()) * limits_.kv_block_tokens;
  }
  /// Whether the features of `image` will be read, with `cached` tokens already there.
  static bool is_read(const Sequence::Image& image, std::int64_t cached) {
    return image.end > cached;
  }
  [[nodiscard]] std::int64_t expected_blocks(const Sequence& sequence) const;
  [[nodiscard]] std::int64_t expected_tokens(const Sequence& sequence) const;
  /// Rows that a step with `decodes` takes.
  [[nodiscard]] std::int64_t even_rows(std::int64_t decodes) const;

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
  std::vector<std::int32_t> drawn_rows_, whole_rows_;  ///< logit rows of the plan in the making
  std::vector<std::int64_t> encode_load_;
  std::int64_t encodes_ = 0, encodes_passed_ = 0, encodes_joined_ = 0;  ///< batches
  std::int64_t plans_ = 0;
  SchedulerStats stats_;
};

}  // namespace retinue::runtime
