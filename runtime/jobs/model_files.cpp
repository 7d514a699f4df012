#include "runtime/jobs/model_files.h"

#include "layers/ops/fp8_matmul.h"
#include "layers/ops/matmul.h"
#include "layers/spec/json_text.h"
#include "layers/weights/checkpoint.h"
#include "parallel/base/build_config.h"
#include "parallel/base/file.h"
#include "parallel/base/hash.h"
#include "parallel/base/path_error.h"
#include "parallel/device/choose_device.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <type_traits>

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;

/// The object in `path`; nothing where there is no such file.
std::optional<Json> read_object(const std::string& path) {
  const auto text = read_file(path, "[model]");
  if (!text) return std::nullopt;
  Json json = layers::parse_json<Json>(*text, "[model] " + path);
  if (!json.is_object())
    throw UsageError(fmt::format("[model] {}: wanted a JSON object. Copy the file again.", path));
  return json;
}

std::vector<std::int32_t> read_ids(const Json& json, const std::string& path) {
  const auto is_id = [](const Json& id) {
    return id.is_number_unsigned() &&
           id.get<std::uint64_t>() <= std::numeric_limits<std::int32_t>::max();
  };
  if (is_id(json)) return {json.get<std::int32_t>()};
  if (json.is_array() && std::all_of(json.begin(), json.end(), is_id))
    return json.get<std::vector<std::int32_t>>();
  throw UsageError(
      fmt::format("[model] {}: eos_token_id is {}, wanted an id or a list", path, json.dump()));
}

struct SamplingFault {
  std::string name;  ///< as a key of --config
  std::string message;
};

/// The first value that is out of range, be it of a flag, an item or a file.
std::optional<SamplingFault> fault_of(const Sampling& sampling) {
  const SamplingParams& params = sampling.params;
  std::optional<SamplingFault> fault;
  const auto want = [&](bool ok, const char* name, double got, const char* range) {
    if (!ok && !fault) fault = {name, fmt::format("is {}, wanted {}", got, range)};
  };
  // Logits are divided in float: smaller and larger divisors give no numbers, or zeros.
  want(params.temperature == 0 || (params.temperature >= 0.001 && params.temperature <= 1000),
       "temperature", params.temperature, "0, or 0.001 to 1000");
  want(params.top_p > 0 && params.top_p <= 1, "top_p", params.top_p, "above 0, at most 1");
  want(params.top_k >= 0, "top_k", static_cast<double>(params.top_k), "0 or more");
  want(params.min_p >= 0 && params.min_p <= 1, "min_p", params.min_p, "0 to 1");
  want(params.repetition_penalty >= 0.001 && params.repetition_penalty <= 1000,
       "repetition_penalty", params.repetition_penalty, "0.001 to 1000");
  want(params.presence_penalty >= -100 && params.presence_penalty <= 100, "presence_penalty",
       params.presence_penalty, "-100 to 100");
  want(sampling.max_new_tokens >= 1, "max_new_tokens", static_cast<double>(sampling.max_new_tokens),
       "1 or more");
  want(sampling.max_repeats == 0 || sampling.max_repeats >= 2, "max_repeats",
       static_cast<double>(sampling.max_repeats), "2 or more, or 0 for never");
  for (const std::string& stop : sampling.stop)
    if (stop.empty() && !fault) fault = {"stop", "is an empty text"};
  return fault;
}

template <class T>
void read_number(const Json& json, const char* key, const std::string& path, T& value) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return;
  constexpr bool kWhole = std::is_integral_v<T>;
  if (kWhole ? !found->is_number_integer() : !found->is_number())
    throw UsageError(fmt::format("[model] {}: {} is {}, wanted {}", path, key, found->dump(),
                                 kWhole ? "a whole number" : "a number"));
  value = found->get<T>();
}

void read_generation(const std::string& folder, ModelFiles& model) {
  const std::string path = folder + "/generation_config.json";
  const auto generation = read_object(path);
  if (generation) {
    if (const auto eos = generation->find("eos_token_id");
        eos != generation->end() && !eos->is_null())
      model.eos_ids = read_ids(*eos, path);
    SamplingParams& params = model.generation;
    const Json sample = generation->value("do_sample", Json(false));
    if (!sample.is_boolean() && !sample.is_null())
      throw UsageError(
          fmt::format("[model] {}: do_sample is {}, wanted true or false", path, sample.dump()));
    if (sample == Json(true)) {
      params.temperature = 1;
      params.top_k = 50;  // the reference's default where the file has none
      read_number(*generation, "temperature", path, params.temperature);
      read_number(*generation, "top_p", path, params.top_p);
      read_number(*generation, "top_k", path, params.top_k);
      read_number(*generation, "min_p", path, params.min_p);
    }
    read_number(*generation, "repetition_penalty", path, params.repetition_penalty);
    Sampling sampling;
    sampling.params = params;
    if (const auto fault = fault_of(sampling))
      throw UsageError(fmt::format("[model] {}: {} {}", path, fault->name, fault->message));
  }
  if (!model.eos_ids.empty()) return;
  const std::string config_path = folder + "/config.json";
  const auto config = read_object(config_path);
  for (const Json* at :
       {&*config, config->contains("text_config") ? &(*config)["text_config"] : nullptr})
    if (at != nullptr && at->is_object() && at->contains("eos_token_id") &&
        !(*at)["eos_token_id"].is_null() && model.eos_ids.empty())
      model.eos_ids = read_ids((*at)["eos_token_id"], config_path);
}

/// What --dtype auto is.
DType own_dtype(const RunOptions& options, const layers::ModelConfig& config) {
  if (config.dtype_at_top || options.weights.random || config.fp8) return config.dtype;
  // float32 holds every float16 exactly.
  return layers::Checkpoint(options.model).leading_type() == layers::StoredType::kBF16
             ? DType::kBF16
             : DType::kF32;
}

}  // namespace

void check_fp8_on(const cuda::DeviceFacts& gpu) {
  if (ops::fp8_kernel(gpu.major, gpu.minor) == ops::Fp8Kernel::kNone)
    throw UsageError(fmt::format(
        "[--device] cuda: {} has compute capability {}.{}, and FP8 checkpoints want 8.0 (Ampere) "
        "or newer. Use the bfloat16 checkpoint of the same size, or --device cpu.",
        gpu.name, gpu.major, gpu.minor));
}

void check_wgmma(const layers::ModelConfig& config, const layers::Computation& computation) {
  if (!computation.wgmma) return;
  if (config.fp8)
    throw UsageError(
        "[--row-parallel-kernel] wgmma multiplies bfloat16, and this checkpoint has FP8 weights. "
        "Use cublaslt.");
  if (!computation.ordered)
    throw UsageError(
        "[--row-parallel-kernel] wgmma adds in the order of --reduce ordered, not of nccl. Use "
        "cublaslt.");
  const int leaves = layers::reduction_leaves(config, computation.most_leaves);
  for (const std::int64_t inputs : layers::leaf_inputs(config, leaves))
    if (!ops::own_kernel_serves(9, 0, inputs))
      throw UsageError(
          fmt::format("[--row-parallel-kernel] wgmma wants leaves of a multiple of 64 inputs, and "
                      "this model has leaves of {}. Use cublaslt, or fewer --leaves.",
                      inputs));
}

void check_wgmma_on(const cuda::DeviceFacts& gpu) {
  if (!ops::own_kernel_serves(gpu.major, gpu.minor, 64))
    throw UsageError(
        fmt::format("[--row-parallel-kernel] wgmma: {} has compute capability {}.{}, and only 9.0 "
                    "(Hopper) has wgmma. Use cublaslt.",
                    gpu.name, gpu.major, gpu.minor));
}

namespace {

/// --device, --dtype and --reduce, which depend on each other.
void choose_computation(const RunOptions& options, ModelFiles& model) {
  model.computation.dtype = options.dtype ? *options.dtype : own_dtype(options, model.config);
  if (model.config.fp8 && model.computation.dtype != DType::kBF16)
    throw UsageError(
        "[--dtype] is float32, and this checkpoint has FP8 weights, which are multiplied with "
        "bfloat16 activations. Use --dtype bfloat16 or auto.");
  const DeviceChoice choice = choose_device(options.device, model.computation.dtype);
  if (!choice.missing.empty())
    throw UsageError(fmt::format("[--device] cuda: {}. Use --device cpu.", choice.missing));
  const bool gpu = choice.type == DeviceType::kCuda;
  if (gpu && model.computation.dtype != DType::kBF16)
    throw UsageError(
        "[--dtype] is float32, which is for CPUs. Use --dtype bfloat16 with --device cuda.");
  if constexpr (build::kCuda)
    for (int i = 0; gpu && model.config.fp8 && i < cuda::availability().devices; ++i)
      check_fp8_on(cuda::device_facts(i));
  model.device = Device{choice.type, 0};
  model.computation.kv_dtype = options.kv_cache_dtype;
  model.computation.ordered = options.reduce == Reduce::kOrdered;
  if (!model.computation.ordered && !gpu)
    throw UsageError("[--reduce] nccl: this device is a CPU. Use --reduce ordered.");
  model.computation.most_leaves = options.leaves;
  model.computation.wgmma = options.wgmma;
  if (options.wgmma && !gpu)
    throw UsageError("[--row-parallel-kernel] wgmma: this device is a CPU. Use cublaslt.");
  check_wgmma(model.config, model.computation);
  if constexpr (build::kCuda)
    for (int i = 0; options.wgmma && i < cuda::availability().devices; ++i)
      check_wgmma_on(cuda::device_facts(i));
}

void apply_pixel_flags(const RunOptions& options, VisionProcessorSpec& spec) {
  for (const auto& [flag, value] : {std::pair{"--min-pixels", options.min_pixels},
                                    std::pair{"--max-pixels", options.max_pixels}})
    if (value && *value < 1)
      throw UsageError(fmt::format("[{}] is {}, wanted 1 or more", flag, *value));
  if (options.min_pixels) spec.image.min_pixels = *options.min_pixels;
  if (options.max_pixels) spec.image.max_pixels = *options.max_pixels;
  if (spec.image.min_pixels > spec.image.max_pixels)
    throw UsageError(fmt::format("[--min-pixels] is {}, more than --max-pixels {}",
                                 spec.image.min_pixels, spec.image.max_pixels));
  if (spec.image.max_pixels < spec.factor() * spec.factor())
    throw UsageError(fmt::format("[--max-pixels] is {}, one block of patches has {}",
                                 spec.image.max_pixels, spec.factor() * spec.factor()));
}

/// A name as of the Hub, "Qwen/Qwen3-VL-2B-Instruct", is no folder that exists.
[[noreturn]] void refuse_model_folder(const std::string& model) {
  const std::size_t slash = model.find('/');
  const bool hub_name = slash != 0 && slash != std::string::npos && slash + 1 < model.size() &&
                        model.find('/', slash + 1) == std::string::npos && model[0] != '.' &&
                        model[0] != '~';
  if (!hub_name) throw UsageError(fmt::format("[--model] {}: no such folder", model));
  const std::string name = model.substr(slash + 1);
  throw UsageError(
      fmt::format("[--model] {}: no such folder. If it is a name on the Hugging Face Hub, download "
                  "it first: hf download {} --local-dir {}, then give --model {}",
                  model, model, name, name));
}

/// Throws: UsageError where --weights random meets a folder that lacks more than the weights.
void check_small_files(const RunOptions& options) {
  if (!options.weights.random) return;
  std::string missing;
  for (const char* name : {"config.json", "tokenizer.json", "preprocessor_config.json"})
    if (!exists_at(options.model + "/" + name, "[--weights]") &&
        // transformers 5 writes processor_config.json in its place
        !(std::string_view(name) == "preprocessor_config.json" &&
          exists_at(options.model + "/processor_config.json", "[--weights]")))
      missing += (missing.empty() ? "" : ", ") + std::string(name);
  if (!missing.empty())
    throw UsageError(fmt::format(
        "[--weights] {}: {} lacks {}. Only the weights are made: copy the checkpoint's small files "
        "(configurations, tokenizer, chat template) there.",
        options.weights.text(), options.model, missing));
}

}  // namespace

std::string model_identity(const RunOptions& options) {
  std::string all = options.weights.text() + "\n";
  for (const char* name :
       {"config.json", "generation_config.json", "preprocessor_config.json",
        "video_preprocessor_config.json", "tokenizer.json", "tokenizer_config.json",
        "chat_template.jinja", "chat_template.json", "model.safetensors.index.json"})
    if (const auto text = read_file(options.model + "/" + name, "[model]"))
      all += fmt::format("{} {}\n", name, sha256_hex(*text));
  std::vector<std::string> weights;
  std::error_code error;
  if (!options.weights.random)
    for (const auto& entry : std::filesystem::directory_iterator(options.model, error))
      if (entry.path().extension() == ".safetensors")
        weights.push_back(
            fmt::format("{} {}\n", entry.path().filename().string(), entry.file_size(error)));
  std::sort(weights.begin(), weights.end());
  for (const std::string& line : weights) all += line;
  return sha256_hex(all);
}

void check_options(const RunOptions& options) {
  if (options.model.empty()) throw UsageError("[--model] names no checkpoint folder");
  if (options.tensor_parallel < 0)
    throw UsageError("[--tensor-parallel] wants a number of ranks, 0 to choose");
  if (options.leaves == kMaxLeaves) return;
  if (options.reduce != Reduce::kOrdered)
    throw UsageError(fmt::format(
        "[--leaves] is {}, and with --reduce nccl a rank's sum is not cut. Use --reduce ordered.",
        options.leaves));
  if (options.tensor_parallel > options.leaves)
    throw UsageError(fmt::format(
        "[--leaves] is {}, and each of {} ranks of --tensor-parallel has at least one leaf. Use "
        "more --leaves, or --tensor-parallel {}.",
        options.leaves, options.tensor_parallel, options.leaves));
}

ModelFiles load_model_files(const RunOptions& options) {
  check_options(options);
  std::error_code error;
  if (!std::filesystem::is_directory(options.model, error)) refuse_model_folder(options.model);
  check_small_files(options);
  const std::string& folder = options.model;
  Tokenizer tokenizer = Tokenizer::load(folder + "/tokenizer.json");
  Detokenizer detokenizer(tokenizer.token_bytes(), tokenizer.special_flags());
  ModelFiles model{.config = layers::load_model_config(folder),
                   .computation = {},
                   .device = {},
                   .processor = load_processor_spec(folder),
                   .image = {},
                   .tokenizer = std::move(tokenizer),
                   .detokenizer = std::move(detokenizer),
                   .chat_template = ChatTemplate::load(folder),
                   .prompt = {},
                   .eos_ids = {},
                   .generation = {},
                   .identity = model_identity(options)};
  choose_computation(options, model);
  apply_pixel_flags(options, model.processor);
  const layers::VisionConfig& vision = model.config.vision;
  if (model.processor.patch_size != vision.patch_size ||
      model.processor.temporal_patch_size != vision.temporal_patch_size ||
      model.processor.merge_size != vision.spatial_merge_size)
    throw UsageError(
        fmt::format("[model] {}: preprocessor_config.json and config.json name different patches. "
                    "Copy both from one checkpoint.",
                    folder));
  model.image.alpha = options.alpha;
  model.image.exif_orientation = options.exif;
  model.prompt.video = options.video_prompt;
  model.prompt.tokens = {static_cast<std::int32_t>(model.config.image_token_id),
                         static_cast<std::int32_t>(model.config.video_token_id),
                         static_cast<std::int32_t>(model.config.vision_start_token_id),
                         static_cast<std::int32_t>(model.config.vision_end_token_id)};
  model.prompt.spatial_merge_size = vision.spatial_merge_size;
  read_generation(folder, model);
  return model;
}

Sampling resolve_sampling(const SamplingOptions& options, const ModelFiles& model) {
  Sampling sampling;
  SamplingParams& params = sampling.params;
  if (options.sampling == SamplingDefaults::kModel) params = model.generation;
  params.temperature = options.temperature.value_or(params.temperature);
  params.top_p = options.top_p.value_or(params.top_p);
  params.top_k = options.top_k.value_or(params.top_k);
  params.min_p = options.min_p.value_or(params.min_p);
  params.repetition_penalty = options.repetition_penalty.value_or(params.repetition_penalty);
  params.presence_penalty = options.presence_penalty.value_or(params.presence_penalty);
  params.seed = options.seed;
  sampling.max_new_tokens = options.max_new_tokens;
  sampling.stop = options.stop;
  sampling.max_repeats = options.max_repeats;
  if (!options.ignore_eos) sampling.stop_ids = model.eos_ids;
  if (const auto fault = fault_of(sampling)) {
    std::string flag = "--" + fault->name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    throw UsageError(fmt::format("[{}] {}", flag, fault->message));
  }
  return sampling;
}

Result<Sampling> resolve_sampling(const ItemSampling& item, const Sampling& job,
                                  const ModelFiles& model) {
  Sampling sampling = job;
  SamplingParams& params = sampling.params;
  params.temperature = item.temperature.value_or(params.temperature);
  params.top_p = item.top_p.value_or(params.top_p);
  params.top_k = item.top_k.value_or(params.top_k);
  params.min_p = item.min_p.value_or(params.min_p);
  params.repetition_penalty = item.repetition_penalty.value_or(params.repetition_penalty);
  params.presence_penalty = item.presence_penalty.value_or(params.presence_penalty);
  params.seed = item.seed.value_or(params.seed);
  sampling.max_new_tokens = item.max_new_tokens.value_or(sampling.max_new_tokens);
  if (item.stop) sampling.stop = *item.stop;
  if (item.ignore_eos) sampling.stop_ids.clear();
  for (const std::int32_t id : item.stop_ids) {
    if (id >= model.config.text.vocab_size)
      return DataError{"prompt", fmt::format("stop_token_ids: {} is no id of the model", id)};
    sampling.stop_ids.push_back(id);
  }
  if (const auto fault = fault_of(sampling))
    return DataError{"prompt", fmt::format("{} {}", fault->name, fault->message)};
  return sampling;
}

std::vector<float> pixel_values(const layers::VisionConfig& vision) {
  std::vector<float> values;
  for (std::int64_t channel = 0; channel < vision.in_channels; ++channel)
    for (int byte = 0; byte < 256; ++byte)
      values.push_back((static_cast<float>(byte) - 127.5F) / 127.5F);
  return values;
}

}  // namespace retinue::runtime
