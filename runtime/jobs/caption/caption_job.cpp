#include "runtime/jobs/caption/caption_job.h"

#include "layers/weights/content_sample.h"
#include "parallel/base/file.h"
#include "parallel/base/hash.h"
#include "parallel/base/utf8.h"
#include "runtime/jobs/option_names.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <string_view>
#include <utility>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

/// The text of a prompt file in UTF-8, without its byte order mark.   Throws: UsageError.
std::string prompt_text(std::string text, const std::string& name) {
  const auto refuse = [&](std::string_view found, std::string_view encoding) {
    throw UsageError(fmt::format(
        "[--prompt-file] {}: wanted UTF-8, got {}. Convert it: iconv -f {} -t UTF-8 '{}' > new.txt",
        name, found, encoding, name));
  };
  using namespace std::string_view_literals;
  if (text.starts_with("\xFF\xFE\0\0"sv) || text.starts_with("\0\0\xFE\xFF"sv))
    refuse("UTF-32", "UTF-32");
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) refuse("UTF-16", "UTF-16");
  // Every second byte of English text in UTF-16 is zero.
  if (const auto zero = text.find('\0'); zero != std::string::npos)
    refuse("a zero byte, as UTF-16 has", zero % 2 == 1 ? "UTF-16LE" : "UTF-16BE");
  if (!is_well_formed_utf8(text)) refuse("other bytes, perhaps Latin-1", "LATIN1");
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  return text;
}

JobPrompt read_prompt(const CaptionOptions& options) {
  JobPrompt prompt{options.prompt, options.system};
  if (options.prompt_file.empty()) return prompt;
  auto text = read_file(options.prompt_file, "[--prompt-file]");
  if (!text)
    throw UsageError(fmt::format("[--prompt-file] {}: cannot be read", options.prompt_file));
  prompt.prompt = prompt_text(std::move(*text), options.prompt_file);
  // Editors end a file with a line end, which is no part of the prompt.
  while (prompt.prompt.ends_with('\n') || prompt.prompt.ends_with('\r')) prompt.prompt.pop_back();
  return prompt;
}

void check_ablation(const CaptionOptions& options) {
  if (options.ablation == AblationKind::kNullCollectives && !options.sampling.ignore_eos)
    throw UsageError(
        "[--ablation] null-collectives: its answers are wrong, and would end where no answer does. "
        "Give --ignore-eos, so that all have --max-new-tokens.");
}

}  // namespace

std::int64_t CaptionJob::failures_allowed() const {
  return options.max_failures.of(static_cast<std::int64_t>(items.size()));
}

CaptionJob prepare_caption(const CaptionOptions& options) {
  if (options.fsync_interval_ms < 0)
    throw UsageError("[--fsync-interval-ms] wants milliseconds, 0 to sync every record");
  if (options.stop_deadline_s < 0)
    throw UsageError("[--stop-deadline-s] wants seconds, 0 to drop what is in flight");
  constexpr std::int64_t kMostTopLogprobs = 20;  // as OpenAI's
  if (options.top_logprobs < 0 || options.top_logprobs > kMostTopLogprobs)
    throw UsageError(fmt::format("[--top-logprobs] is {}, wanted 0 to {}", options.top_logprobs,
                                 kMostTopLogprobs));
  check_ablation(options);
  ModelFiles model = load_model_files(options.run);
  Sampling sampling = resolve_sampling(options.sampling, model);
  std::shared_ptr<IsolatedDecoder> isolated = isolated_decoder(options.run, model);
  return {.options = options,
          .model = std::move(model),
          .sampling = std::move(sampling),
          .prompt = read_prompt(options),
          .isolated = std::move(isolated),
          .items = {},
          .open = {}};
}

SourceOptions source_options(const CaptionOptions& options) {
  return {.inputs = options.input,
          .format = options.input_format,
          .limit = options.limit,
          .shard = options.shard,
          .shuffle = options.shuffle,
          .given = {.prompt = options.prompt_given || !options.prompt_file.empty(),
                    .system = !options.system.empty()}};
}

Json to_json(const Sampling& sampling) {
  const SamplingParams& params = sampling.params;
  Json json;
  json["max_new_tokens"] = sampling.max_new_tokens;
  json["temperature"] = params.temperature;
  json["top_p"] = params.top_p;
  json["top_k"] = params.top_k;
  json["min_p"] = params.min_p;
  json["repetition_penalty"] = params.repetition_penalty;
  json["presence_penalty"] = params.presence_penalty;
  json["seed"] = params.seed;
  json["stop"] = sampling.stop;
  json["stop_ids"] = sampling.stop_ids;
  json["max_repeats"] = sampling.max_repeats;
  return json;
}

Json signature_of(const CaptionJob& job) {
  Json json;
  json["model"] = job.model.identity;
  // Keys of their own: jobs of earlier versions lack them, and their "model" must stay comparable.
  if (!job.options.run.weights.random)
    json["weights_sample"] = layers::content_sample(layers::Checkpoint(job.options.run.model));
  if (const auto processor =
          read_file(job.options.run.model + "/processor_config.json", "[processor]"))
    json["processor_config"] = sha256_hex(*processor);
  json["weights"] = job.options.run.weights.text();
  json["dtype"] = name(job.model.computation.dtype);
  if (job.model.computation.kv_dtype)
    json["kv_cache_dtype"] = name_in(kKvCacheDtypeNames, job.options.run.kv_cache_dtype);
  if (job.model.computation.most_leaves != kMaxLeaves)
    json["leaves"] = name_in(kLeavesNames, job.options.run.leaves);
  if (job.model.computation.wgmma)
    json["row_parallel_kernel"] = name_in(kRowParallelKernelNames, job.options.run.wgmma);
  json["prompt"] = job.prompt.prompt;
  json["system"] = job.prompt.system;
  json["sampling"] = to_json(job.sampling);
  json["pixels"] = {{"min_pixels", job.model.processor.image.min_pixels},
                    {"max_pixels", job.model.processor.image.max_pixels},
                    {"alpha", name_in(kAlphaNames, job.options.run.alpha)},
                    {"exif", name_in(kExifNames, job.options.run.exif)},
                    {"video_prompt", name_in(kVideoPromptNames, job.options.run.video_prompt)}};
  json["logprobs"] = job.options.logprobs;
  if (job.options.ablation != AblationKind::kNone)
    json["ablation"] = name_in(kAblationNames, job.options.ablation);
  json["top_logprobs"] = job.options.top_logprobs;
  json["items"] = {{"count", job.items.size()}, {"sha256", job.items.sha256()}};
  return json;
}

}  // namespace retinue::runtime
