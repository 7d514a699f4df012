#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace retinue::runtime {

/// What all running verbs share, under the names of the command line (dashes are underscores). The
/// launcher fills these from flags and --config through one table per struct.
struct RunOptions {
  std::string model;
  std::string weights = "checkpoint";  ///< or random[:SEED]
  std::string weights_read = "auto";   ///< or once, each
  int tensor_parallel = 0;             ///< 0: chosen
  std::string device = "auto";
  std::string dtype = "auto";
  std::string reduce = "ordered";
  bool share_device = false;  ///< several ranks on one GPU; for tests
  int threads = 0;            ///< 0: cores / ranks of this host
  std::optional<std::int64_t> max_batch_tokens, max_sequences, kv_block_tokens;
  std::optional<double> kv_memory_gib;
  std::optional<std::int64_t> min_pixels, max_pixels;
  std::string alpha = "white";         ///< or drop
  std::string exif = "apply";          ///< or ignore
  std::string video_prompt = "inner";  ///< or outer
  bool isolate_decode = false;         ///< decode in helper processes, under limits
};

struct SamplingOptions {
  std::int64_t max_new_tokens = 256;
  std::string sampling;  ///< "model": from generation_config.json; empty: the flags
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
  std::string input_format;  ///< empty: read from the content
  std::string output;
  std::string output_format = "jsonl";  ///< or webdataset, parquet
  std::string prompt = "Describe this image.";
  std::string prompt_file;
  std::string system;
  std::int64_t limit = 0;  ///< 0: all
  std::string shard;       ///< "I/N", I from 0
  std::optional<std::uint64_t> shuffle;
  bool dry_run = false;
  bool retry_failed = false;
  std::string max_failures;  ///< "N" or "P%"; empty: no budget
  std::int64_t fsync_interval_ms = 50;
  std::int64_t stop_deadline_s = 8;
  bool logprobs = false;
  std::int64_t top_logprobs = 0;
  bool longest_first = false;
  /// For studies: what a run costs without one part of its work. Part of the question of a job.
  std::string ablation = "none";  ///< or null-collectives, preloaded-pixels, text-only
  bool profile = false;           ///< for studies: what steps, collectives and decoding took
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

}  // namespace retinue::runtime
