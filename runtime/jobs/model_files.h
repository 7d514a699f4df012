#pragma once

#include "layers/spec/computation.h"
#include "layers/spec/config.h"
#include "parallel/device/cuda/runtime.h"
#include "runtime/dataset/item.h"
#include "runtime/engine/request.h"
#include "runtime/jobs/options.h"
#include "runtime/media/image.h"
#include "runtime/media/processor_spec.h"
#include "runtime/text/chat_template.h"
#include "runtime/text/detokenizer.h"
#include "runtime/text/prompt.h"
#include "runtime/text/tokenizer.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace retinue::runtime {

/// A checkpoint folder without its weights, under the flags of this run. Every rank reads it,
/// before any collective.
struct ModelFiles {
  layers::ModelConfig config;
  layers::Computation computation;  ///< by --dtype, --kv-cache-dtype, --reduce and --leaves
  Device device;                    ///< its type; RankShare has the GPU that a rank takes
  VisionProcessorSpec processor;    ///< with --min-pixels and --max-pixels
  ImageOptions image;
  Tokenizer tokenizer;
  Detokenizer detokenizer;
  ChatTemplate chat_template;
  PromptOptions prompt;
  std::vector<std::int32_t> eos_ids;  ///< from generation_config.json, else from config.json
  SamplingParams generation;          ///< as generation_config.json asks
  /// Names the model: a hash of all these files, and of the weights' names and sizes.
  std::string identity;
};

/// Throws: UsageError for options that are out of range or exclude each other, whatever the model.
void check_options(const RunOptions& options);
/// Throws: UsageError, naming the flag or file that is missing, ill-formed or not served.
ModelFiles load_model_files(const RunOptions& options);

/// Throws: UsageError for a GPU that multiplies no FP8 weights, naming its compute capability.
void check_fp8_on(const cuda::DeviceFacts& gpu);
/// Throws: UsageError where --row-parallel-kernel wgmma does not fit what was chosen besides, or, with
/// the compute capability of the GPUs, the model.
void check_wgmma(const layers::ModelConfig& config, const layers::Computation& computation);
void check_wgmma_on(const cuda::DeviceFacts& gpu);

/// ModelFiles::identity. Names and sizes of the weights are enough to distinguish two models, and
/// cost no reading. A missing file is left out.
std::string model_identity(const RunOptions& options);

/// How tokens are chosen and where answers end.
struct Sampling {
  SamplingParams params;
  std::int64_t max_new_tokens = 256;
  std::vector<std::int32_t> stop_ids;
  std::vector<std::string> stop;  ///< texts
  std::int64_t max_repeats = 0;   ///< see Request
};

/// Flags over generation_config.json (--sampling model), else over greedy.
/// Throws: UsageError naming the flag that is out of range.
Sampling resolve_sampling(const SamplingOptions& options, const ModelFiles& model);

/// The same for one item: its own values win over the job's.
/// Errors: stage "prompt", naming the value that is out of range.
Result<Sampling> resolve_sampling(const ItemSampling& item, const Sampling& job,
                                  const ModelFiles& model);

/// The normalised value of every byte, [channels, 256]: f32((u8 - 127.5) / 127.5), as the fused
/// rescale and normalise of the reference gives for mean and deviation 0.5.
std::vector<float> pixel_values(const layers::VisionConfig& vision);

}  // namespace retinue::runtime
