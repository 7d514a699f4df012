#pragma once

#include "parallel/base/reduce_tree.h"
#include "parallel/comm/nccl/nccl_communicator.h"
#include "parallel/device/device.h"
#include "parallel/device/dtype.h"
#include "runtime/dataset/source.h"
#include "runtime/media/image.h"
#include "runtime/output/caption_files.h"
#include "runtime/text/prompt.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// The checkpoint's weights, or random ones of the true shape.
struct Weights {
  bool random = false;
  std::optional<std::uint64_t> seed = {};  ///< of random weights; none: 0

  /// As parse_weights reads it.
  [[nodiscard]] std::string text() const;
  friend bool operator==(const Weights&, const Weights&) = default;
};
/// "checkpoint", "random" or "random:SEED". Throws: UsageError for anything else.
Weights parse_weights(std::string_view text);

/// How many ranks read a byte of the checkpoint. kAuto: kOnce on several hosts, kEach on one.
enum class WeightsRead { kAuto, kOnce, kEach };

/// Where sampling starts before the flags: greedy, or as generation_config.json says.
enum class SamplingDefaults { kGreedy, kModel };

/// How many items of a job may fail: a number, or a share of all.
struct FailureBudget {
  std::optional<double> limit = {};  ///< none: any number
  bool percent = false;

  /// The failures that a job of `items` items may have.
  [[nodiscard]] std::int64_t of(std::int64_t items) const;
  /// As parse_failure_budget reads it.
  [[nodiscard]] std::string text() const;
  friend bool operator==(const FailureBudget&, const FailureBudget&) = default;
};
/// "N", "P%", or "" for any number. Throws: UsageError for anything else.
FailureBudget parse_failure_budget(std::string_view text);

/// The part of its work that a run of a study leaves out.
enum class AblationKind { kNone, kNullCollectives, kPreloadedPixels, kTextOnly };

/// The options that all verbs which run a model share, under the names of the command line (dashes
/// are underscores). The launcher fills them from flags and --config, through one table per struct.
struct RunOptions {
  std::string model;
  Weights weights;
  WeightsRead weights_read = WeightsRead::kAuto;
  int tensor_parallel = 0;              ///< 0: chosen
  std::optional<DeviceType> device;     ///< none: auto
  std::optional<DType> dtype;           ///< none: the checkpoint's
  std::optional<DType> kv_cache_dtype;  ///< none: the compute type
  Reduce reduce = Reduce::kOrdered;
  int leaves = kMaxLeaves;    ///< of an ordered sum, at most
  bool wgmma = false;         ///< whether wgmma_matmul.h multiplies row-parallel weights
  bool share_device = false;  ///< several ranks on one GPU; for tests
  int threads = 0;            ///< 0: cores / ranks of this host
  std::optional<std::int64_t> max_batch_tokens, max_sequences, kv_block_tokens;
  std::optional<double> kv_memory_gib;
  std::optional<std::int64_t> min_pixels, max_pixels;
  Alpha alpha = Alpha::kWhite;
  ExifOrientation exif = ExifOrientation::kApply;
  VideoPrompt video_prompt = VideoPrompt::kInner;
  bool isolate_decode = false;  ///< decode in worker processes, under limits
};

struct SamplingOptions {
  std::int64_t max_new_tokens = 256;
  SamplingDefaults sampling = SamplingDefaults::kGreedy;
  std::optional<double> temperature, top_p, min_p, repetition_penalty, presence_penalty;
  std::optional<std::int64_t> top_k;
  std::uint64_t seed = 0;
  std::vector<std::string> stop;
  std::int64_t max_repeats = 0;  ///< 0: an answer may repeat itself
  bool ignore_eos = false;
};

struct CaptionOptions {
  RunOptions run;
  SamplingOptions sampling;
  std::vector<std::string> input;
  std::optional<InputFormat> input_format;  ///< none: read from the content
  std::string output;
  OutputFormat output_format = OutputFormat::kJsonl;
  std::string prompt = "Describe this image.";
  bool prompt_given = false;  ///< `prompt` was given, be it the same text
  std::string prompt_file;
  std::string system;
  std::int64_t limit = 0;  ///< 0: all
  Shard shard;
  std::optional<std::uint64_t> shuffle;
  bool dry_run = false;
  bool retry_failed = false;
  FailureBudget max_failures;
  std::int64_t fsync_interval_ms = 50;
  std::int64_t stop_deadline_s = 8;
  bool logprobs = false;
  std::int64_t top_logprobs = 0;
  bool longest_first = false;
  AblationKind ablation = AblationKind::kNone;  ///< for studies; a part of the job's signature
  bool profile = false;  ///< for studies: what steps, collectives and decoding took
  bool no_progress = false;
  bool quiet = false;
};

struct AskOptions {
  RunOptions run;
  SamplingOptions sampling;
  std::vector<std::string> image, video;
  std::string prompt;
  std::string messages;  ///< file of OpenAI-style messages
  std::string system;
};

struct TraceOptions {
  AskOptions ask;
  std::string output;
  std::int64_t decode = 0;
};

struct QuantizeOptions {
  std::string model;
  std::string output;
  int threads = 0;  ///< 0: one per core
  bool no_progress = false;
  bool quiet = false;
};

}  // namespace retinue::runtime
