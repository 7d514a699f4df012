#include "layers/spec/config.h"

#include "layers/spec/config_section.h"
#include "layers/spec/json_text.h"
#include "parallel/base/check.h"
#include "parallel/base/file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

namespace retinue::layers {

namespace {

using nlohmann::json;

void refuse_other_models(const ConfigSection& top) {
  const std::string type = top.text_or("model_type", "");
  if (type == "qwen3_vl_moe")
    top.fail("model_type",
             "is qwen3_vl_moe: mixture-of-experts checkpoints are not served yet. Use a dense "
             "Qwen3-VL (2B, 4B, 8B or 32B).");
  if (type != "qwen3_vl")
    top.fail("model_type",
             fmt::format("is \"{}\", wanted \"qwen3_vl\". Retinue runs the Qwen3-VL family only.",
                         type));
}

/// Keys that change the frequencies in transformers and are not computed here may only have the
/// values that are computed.
void refuse_rope_keys(const ConfigSection& rope, const std::string& type) {
  if (type != "yarn") return;
  for (const auto& [key, value] : {std::pair{"beta_fast", 32.0}, std::pair{"beta_slow", 1.0}})
    if (rope.has(key) && rope.number(key) != value && rope.number(key) != 0)
      rope.fail(key, fmt::format("is {}, only {} is served", rope.number(key), value));
  const double scale = 0.1 * std::log(rope.number("factor")) + 1;
  if (rope.has("attention_factor") &&
      static_cast<float>(rope.number("attention_factor")) != static_cast<float>(scale))
    rope.fail("attention_factor",
              fmt::format("is {}, only {}, which follows from factor, is served",
                          rope.number("attention_factor"), scale));
  // Without both, and beside an attention_factor, transformers does not use them.
  if (!rope.has("attention_factor") && rope.has("mscale") && rope.has("mscale_all_dim") &&
      rope.number("mscale") != 0 && rope.number("mscale_all_dim") != 0)
    rope.fail("mscale", "and mscale_all_dim are set, which is not served");
  if (rope.has("truncate") && rope.raw("truncate") != json(true))
    rope.fail("truncate", "other than true is not served");
}

/// transformers 4.57 writes rope_theta beside rope_scaling, 5 writes both into rope_parameters, and
/// there are files with a mixture.
void read_rope(const ConfigSection& text, TextConfig& config) {
  const char* key = text.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const bool has_dict = text.has(key);
  const ConfigSection rope = has_dict ? text.object(key) : text;
  if (has_dict && rope.has("rope_theta"))
    config.rope_theta = rope.number("rope_theta");
  else
    config.rope_theta = text.number("rope_theta");
  if (!(config.rope_theta > 1)) text.fail("rope_theta", "must be greater than 1");
  config.mrope_section = {24, 20, 20};  // what transformers takes when the key is missing
  if (!has_dict) return;
  if (rope.has("mrope_section")) {
    const auto sections = rope.sizes("mrope_section");
    if (sections.size() != 3) rope.fail("mrope_section", "must have three entries");
    std::copy(sections.begin(), sections.end(), config.mrope_section.begin());
  }
  const std::string type = rope.text_or(rope.has("rope_type") ? "rope_type" : "type", "default");
  refuse_rope_keys(rope, type);
  if (type == "yarn") {
    config.yarn_factor = rope.number("factor");
    config.yarn_original_max_position_embeddings =
        rope.size_or("original_max_position_embeddings", config.max_position_embeddings);
    if (!(config.yarn_factor >= 1)) rope.fail("factor", "must be at least 1");
  } else if (type != "default" && type != "mrope") {
    rope.fail("rope_type", fmt::format("is \"{}\", wanted default, mrope or yarn", type));
  }
  if (text.has("partial_rotary_factor") && text.number("partial_rotary_factor") != 1.0)
    text.fail("partial_rotary_factor", "other than 1 is not served");
  if (rope.has("partial_rotary_factor") && rope.number("partial_rotary_factor") != 1.0)
    rope.fail("partial_rotary_factor", "other than 1 is not served");
}

TextConfig read_text(const ConfigSection& top, const ConfigSection& text) {
  TextConfig c;
  c.hidden_size = text.size("hidden_size");
  c.intermediate_size = text.size("intermediate_size");
  c.num_hidden_layers = text.size("num_hidden_layers");
  c.num_attention_heads = text.size("num_attention_heads");
  c.num_key_value_heads = text.size_or("num_key_value_heads", c.num_attention_heads);
  c.head_dim = text.size_or("head_dim", 128);
  c.vocab_size = text.size("vocab_size");
  c.max_position_embeddings = text.size_or("max_position_embeddings", 128000);
  c.rms_norm_eps =
      text.has("rms_norm_eps") ? static_cast<float>(text.number("rms_norm_eps")) : 1e-6F;
  // Where both levels have it, text_config decides, as in transformers 4.57.
  const ConfigSection& tie = text.has("tie_word_embeddings") ? text : top;
  if (tie.has("tie_word_embeddings")) {
    if (!tie.raw("tie_word_embeddings").is_boolean())
      tie.fail("tie_word_embeddings", "is no boolean");
    c.tie_word_embeddings = tie.raw("tie_word_embeddings").get<bool>();
  }
  read_rope(text, c);
  if (text.text_or("hidden_act", "silu") != "silu") text.fail("hidden_act", "must be silu");
  if (text.has("attention_bias") && text.raw("attention_bias") == json(true))
    text.fail("attention_bias", "true is not part of Qwen3-VL");
  if (text.has("num_experts") && text.raw("num_experts").is_number() &&
      text.raw("num_experts").get<double>() > 0)
    text.fail("num_experts", "is set: mixture-of-experts checkpoints are not served yet");
  if (c.num_attention_heads % c.num_key_value_heads != 0)
    text.fail("num_key_value_heads",
              fmt::format("is {}, which does not divide num_attention_heads = {}",
                          c.num_key_value_heads, c.num_attention_heads));
  // Kernels read channels in panels of sixteen; CUDA's attention is compiled up to 256.
  if (c.head_dim % 16 != 0 || c.head_dim > 256)
    text.fail("head_dim", fmt::format("is {}, wanted a multiple of 16 up to 256", c.head_dim));
  if (std::accumulate(c.mrope_section.begin(), c.mrope_section.end(), std::int64_t{0}) !=
      c.head_dim / 2)
    text.fail("rope_scaling.mrope_section",
              fmt::format("must add up to head_dim / 2 = {}", c.head_dim / 2));
  // bf16 products take their inputs in pairs.
  if (c.hidden_size % 2 != 0 || c.intermediate_size % 2 != 0)
    text.fail("hidden_size", "and intermediate_size must be even");
  return c;
}

VisionConfig read_vision(const ConfigSection& vision) {
  VisionConfig c;
  c.depth = vision.size_or("depth", 27);
  c.hidden_size = vision.size_or("hidden_size", 1152);
  c.intermediate_size = vision.size_or("intermediate_size", 4304);
  c.num_heads = vision.size_or("num_heads", 16);
  c.in_channels = vision.size_or("in_channels", 3);
  c.patch_size = vision.size_or("patch_size", 16);
  c.temporal_patch_size = vision.size_or("temporal_patch_size", 2);
  c.spatial_merge_size = vision.size_or("spatial_merge_size", 2);
  c.out_hidden_size = vision.size_or("out_hidden_size", 3584);
  c.num_position_embeddings = vision.size_or("num_position_embeddings", 2304);
  c.deepstack_visual_indexes = vision.has("deepstack_visual_indexes")
                                   ? vision.sizes("deepstack_visual_indexes")
                                   : std::vector<std::int64_t>{8, 16, 24};
  if (vision.text_or("hidden_act", "gelu_pytorch_tanh") != "gelu_pytorch_tanh")
    vision.fail("hidden_act", "must be gelu_pytorch_tanh");
  if (c.in_channels != 3) vision.fail("in_channels", "must be 3");
  // The rotary embedding turns pairs of channels, half of the pairs by row and half by column.
  if (c.hidden_size % c.num_heads != 0 || c.head_dim() % 4 != 0 || c.head_dim() > 256)
    vision.fail("num_heads",
                fmt::format("is {}: hidden_size / num_heads must be a multiple of 4 up to 256",
                            c.num_heads));
  std::int64_t side = 1;
  while (side * side < c.num_position_embeddings) ++side;
  if (side * side != c.num_position_embeddings)
    vision.fail("num_position_embeddings", "must be a square");
  for (std::size_t i = 0; i < c.deepstack_visual_indexes.size(); ++i)
    if (c.deepstack_visual_indexes[i] >= c.depth ||
        (i > 0 && c.deepstack_visual_indexes[i] <= c.deepstack_visual_indexes[i - 1]))
      vision.fail("deepstack_visual_indexes",
                  fmt::format("must rise and be below depth = {}", c.depth));
  return c;
}

/// The linear layers that stay bf16 here, by their paths in transformers' model.
std::vector<std::string> unquantized_modules(const ModelConfig& config) {
  std::vector<std::string> modules;
  const std::string visual = "model.visual.";
  for (std::int64_t i = 0; i < config.vision.depth; ++i)
    for (const char* part : {"attn.qkv", "attn.proj", "mlp.linear_fc1", "mlp.linear_fc2"})
      modules.push_back(fmt::format("{}blocks.{}.{}", visual, i, part));
  for (const char* part : {"linear_fc1", "linear_fc2"}) {
    modules.push_back(fmt::format("{}merger.{}", visual, part));
    for (std::int64_t i = 0; i < config.vision.taps(); ++i)
      modules.push_back(fmt::format("{}deepstack_merger_list.{}.{}", visual, i, part));
  }
  if (!config.text.tie_word_embeddings) modules.emplace_back("lm_head");
  return modules;
}

/// The projections of a layer of the decoder and their inputs.
std::array<std::pair<const char*, std::int64_t>, 7> projections(const TextConfig& text) {
  const std::int64_t heads_width = text.num_attention_heads * text.head_dim;
  return {{{"self_attn.q_proj", text.hidden_size},
           {"self_attn.k_proj", text.hidden_size},
           {"self_attn.v_proj", text.hidden_size},
           {"self_attn.o_proj", heads_width},
           {"mlp.gate_proj", text.hidden_size},
           {"mlp.up_proj", text.hidden_size},
           {"mlp.down_proj", text.intermediate_size}}};
}

/// Projections that are multiplied together are FP8 together.
void check_fp8_together(const ConfigSection& top, const ModelConfig& config) {
  const std::vector<std::vector<const char*>> together = {
      {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
      {"mlp.gate_proj", "mlp.up_proj"}};
  for (std::int64_t layer = 0; layer < config.text.num_hidden_layers; ++layer)
    for (const std::vector<const char*>& parts : together)
      for (const char* part : parts) {
        const std::string first = decoder_module(layer, parts.front()),
                          other = decoder_module(layer, part);
        if (config.fp8->covers(first) != config.fp8->covers(other))
          top.fail("quantization_config.modules_to_not_convert",
                   fmt::format("names only one of {} and {}, which are multiplied together. Use a "
                               "checkpoint in which both or none are FP8.",
                               first, other));
      }
}

/// FP8 serves the decoder's layers, whose groups of 128 inputs must be whole.
void check_fp8(const ConfigSection& top, const ModelConfig& config) {
  for (const std::string& module : unquantized_modules(config))
    if (config.fp8->covers(module))
      top.fail("quantization_config.modules_to_not_convert",
               fmt::format("does not hold {}: FP8 is served in the decoder's layers alone. Use a "
                           "checkpoint whose vision tower and lm_head are bfloat16.",
                           module));
  const TextConfig& text = config.text;
  for (const auto& [module, inputs] : projections(text))
    if (inputs % kFp8Block != 0 && config.fp8->covers_in_some_layer(module, text.num_hidden_layers))
      top.fail("quantization_config.modules_to_not_convert",
               fmt::format("does not hold {}, whose {} inputs are no multiple of {}. Use a "
                           "checkpoint in which it is bfloat16.",
                           module, inputs, kFp8Block));
  check_fp8_together(top, config);
  if (config.dtype != DType::kBF16)
    top.fail("dtype",
             "is not bfloat16, with which FP8 is multiplied. Write \"bfloat16\" there; no weight "
             "changes.");
}

bool names_dtype(const ConfigSection& section) {
  return section.has("dtype") || section.has("torch_dtype");
}

DType read_dtype(const ConfigSection& owner) {
  std::string dtype = owner.text_or(owner.has("dtype") ? "dtype" : "torch_dtype", "bfloat16");
  if (dtype.starts_with("torch.")) dtype.erase(0, 6);
  if (dtype == "bfloat16") return DType::kBF16;
  // float32 holds every float16 exactly; bfloat16 would drop three bits of each weight.
  if (dtype == "float32" || dtype == "float16") return DType::kF32;
  owner.fail("dtype", fmt::format("is \"{}\", wanted bfloat16, float16 or float32", dtype));
}

/// quantization_config is at the top or, where there is none, in text_config.
void read_quantization(const ConfigSection& top, ModelConfig& config) {
  const ConfigSection text = top.object("text_config");
  const bool at_top = top.has("quantization_config") && !top.raw("quantization_config").empty();
  config.fp8 = read_fp8_weights(at_top ? top : text);
  // Other methods are refused wherever they are.
  if (at_top) (void)read_fp8_weights(text);
  (void)read_fp8_weights(top.object("vision_config"));
  if (!config.fp8) return;
  check_fp8(top, config);
  // A list of all modules leaves nothing in FP8.
  if (std::ranges::none_of(projections(config.text), [&](const auto& projection) {
        return config.fp8->covers_in_some_layer(projection.first, config.text.num_hidden_layers);
      }))
    config.fp8.reset();
}

}  // namespace

ModelConfig parse_model_config(std::string_view text, const std::string& where) {
  const json root = parse_json<json>(text, "[config] " + where);
  if (root.is_discarded() || !root.is_object())
    throw UsageError(fmt::format("[config] {} is not a JSON object. Is the copy complete?", where));
  const ConfigSection top(root, where, "");
  refuse_other_models(top);
  const ConfigSection text_section = top.object("text_config");
  ModelConfig config;
  config.text = read_text(top, text_section);
  config.vision = read_vision(top.object("vision_config"));
  config.dtype_at_top = names_dtype(top);
  config.dtype = read_dtype(config.dtype_at_top ? top : text_section);
  read_quantization(top, config);
  config.image_token_id = top.id("image_token_id");
  config.video_token_id = top.id("video_token_id");
  config.vision_start_token_id = top.id("vision_start_token_id");
  config.vision_end_token_id = top.id("vision_end_token_id");
  if (config.vision.out_hidden_size != config.text.hidden_size)
    top.fail("vision_config.out_hidden_size",
             fmt::format("is {}, text_config.hidden_size is {}: they must be equal",
                         config.vision.out_hidden_size, config.text.hidden_size));
  if (config.vision.taps() > config.text.num_hidden_layers)
    top.fail("vision_config.deepstack_visual_indexes", "has more taps than the decoder has layers");
  return config;
}

ModelConfig load_model_config(const std::string& model_dir) {
  const std::string path = model_dir + "/config.json";
  const auto text = read_file(path, "[config]");
  if (!text)
    throw UsageError(fmt::format(
        "[config] {} cannot be read. --model wants a Hugging Face checkpoint folder.", path));
  return parse_model_config(*text, path);
}

}  // namespace retinue::layers
