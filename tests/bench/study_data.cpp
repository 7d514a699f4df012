// Makes the data of scripts/bench/study.sh and scripts/gpu_check.sh: a model without weights, and
// images that all differ, with requests for different numbers of tokens.
//   study_data DIR [--images N] [--width N] [--height N] [--tokens N] [--shape S] [--files DIR]
// Writes DIR/model (for --weights random:0), DIR/images and DIR/items.jsonl, a batch of requests
// whose answers have N/2 to 3N/2 tokens.
//   --shape  small (27 M parameters), 32b or 32b-fp8: the model, but for the small vocabulary of
//            its tokenizer
//   --files  the checkpoint whose tokenizer and template are taken (the emoji captioner)
#include "parallel/base/rng.h"

#include <fmt/format.h>
#include <turbojpeg.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace retinue {
namespace {

namespace fs = std::filesystem;

/// Waves and noise: as much detail as a photograph, different in every image.
std::vector<unsigned char> image(std::uint64_t seed, int width, int height) {
  std::vector<unsigned char> pixels(static_cast<std::size_t>(width) *
                                    static_cast<std::size_t>(height) * 3);
  const double a = to_unit_double(random_bits(seed, 0)), b = to_unit_double(random_bits(seed, 1));
  std::vector<std::array<double, 3>> along_x(static_cast<std::size_t>(width)),
      along_y(static_cast<std::size_t>(height));
  for (int channel = 0; channel < 3; ++channel) {
    const auto at = static_cast<std::size_t>(channel);
    for (int x = 0; x < width; ++x)
      along_x[static_cast<std::size_t>(x)][at] = std::sin((0.02 + 0.05 * a) * x + channel);
    for (int y = 0; y < height; ++y)
      along_y[static_cast<std::size_t>(y)][at] = std::cos((0.02 + 0.05 * b) * y - channel);
  }
  std::uint64_t at = 2;
  std::size_t out = 0;
  for (const auto& of_y : along_y)
    for (const auto& of_x : along_x) {
      const std::uint64_t noise = random_bits(seed, at++);
      for (std::size_t channel = 0; channel < 3; ++channel) {
        const double wave = of_x[channel] + of_y[channel];
        const double grain = static_cast<double>((noise >> (8 * channel)) & 0xFFU) / 255 - 0.5;
        pixels[out++] = static_cast<unsigned char>(127.5 + 48 * wave + 40 * grain);
      }
    }
  return pixels;
}

void write_jpeg(const std::string& path, const std::vector<unsigned char>& pixels, int width,
                int height) {
  const tjhandle handle = tjInitCompress();
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  const int failed = tjCompress2(handle, pixels.data(), width, 0, height, TJPF_RGB, &bytes, &size,
                                 TJSAMP_420, 88, 0);
  if (failed == 0)
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes), static_cast<std::streamsize>(size));
  tjFree(bytes);
  tjDestroy(handle);
}

constexpr const char* kConfig = R"({
  "architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", "dtype": "bfloat16",
  "image_token_id": 756, "video_token_id": 757, "vision_start_token_id": 753, "vision_end_token_id": 754,
  "tie_word_embeddings": true,
  "text_config": {
    "model_type": "qwen3_vl_text", "dtype": "bfloat16", "hidden_act": "silu", "attention_bias": false,
    "hidden_size": 384, "intermediate_size": 1152, "num_hidden_layers": 12, "num_attention_heads": 8,
    "num_key_value_heads": 4, "head_dim": 48, "vocab_size": 832, "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-06, "rope_theta": 10000, "tie_word_embeddings": true, "eos_token_id": 746,
    "bos_token_id": 744,
    "rope_scaling": {"mrope_interleaved": true, "mrope_section": [8, 8, 8], "rope_type": "default"}
  },
  "vision_config": {
    "model_type": "qwen3_vl", "depth": 4, "hidden_size": 256, "intermediate_size": 1024, "num_heads": 4,
    "in_channels": 3, "patch_size": 16, "temporal_patch_size": 2, "spatial_merge_size": 2, "out_hidden_size": 384,
    "num_position_embeddings": 256, "deepstack_visual_indexes": [1, 2, 3], "hidden_act": "gelu_pytorch_tanh"
  }
}
)";

/// Qwen3-VL-32B with the ids of the small tokenizer; {} is a quantization_config or nothing.
constexpr const char* kConfig32B = R"({{
  "architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", "dtype": "bfloat16",
  "image_token_id": 756, "video_token_id": 757, "vision_start_token_id": 753, "vision_end_token_id": 754,
  "tie_word_embeddings": false,{}
  "text_config": {{
    "model_type": "qwen3_vl_text", "dtype": "bfloat16", "hidden_act": "silu", "attention_bias": false,
    "hidden_size": 5120, "intermediate_size": 25600, "num_hidden_layers": 64, "num_attention_heads": 64,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 262144,
    "rms_norm_eps": 1e-06, "rope_theta": 5000000, "tie_word_embeddings": false, "eos_token_id": 746,
    "bos_token_id": 744,
    "rope_scaling": {{"mrope_interleaved": true, "mrope_section": [24, 20, 20], "rope_type": "default"}}
  }},
  "vision_config": {{
    "model_type": "qwen3_vl", "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16,
    "in_channels": 3, "patch_size": 16, "temporal_patch_size": 2, "spatial_merge_size": 2, "out_hidden_size": 5120,
    "num_position_embeddings": 2304, "deepstack_visual_indexes": [8, 16, 24], "hidden_act": "gelu_pytorch_tanh"
  }}
}}
)";
constexpr const char* kFp8 = R"(
  "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
    "weight_block_size": [128, 128], "modules_to_not_convert": ["model.visual", "lm_head"]},)";

struct Wanted {
  std::string folder;
  int images = 160, width = 800, height = 600, tokens = 24;
  std::string shape = "small";
  std::string files = std::string(RETINUE_SOURCE_DIR) + "/configs/models/emoji-captioner";
};

std::string config_of(const std::string& shape) {
  if (shape == "small") return kConfig;
  return fmt::format(fmt::runtime(kConfig32B), shape == "32b-fp8" ? kFp8 : "");
}

void write_model(const Wanted& wanted) {
  const std::string folder = wanted.folder + "/model", from = wanted.files;
  fs::create_directories(folder);
  for (const char* name :
       {"chat_template.jinja", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
        "preprocessor_config.json", "video_preprocessor_config.json"})
    fs::copy_file(from + "/" + name, folder + "/" + name, fs::copy_options::overwrite_existing);
  std::ofstream(folder + "/config.json") << config_of(wanted.shape);
}

int run(const Wanted& wanted) {
  const std::string& folder = wanted.folder;
  write_model(wanted);
  fs::create_directories(folder + "/images");
  std::ofstream items(folder + "/items.jsonl");
  for (int i = 0; i < wanted.images; ++i) {
    const auto seed = mix64(static_cast<std::uint64_t>(i) + 1);
    const std::string name = fmt::format("images/{:05}.jpg", i);
    write_jpeg(folder + "/" + name, image(seed, wanted.width, wanted.height), wanted.width,
               wanted.height);
    const auto most =
        static_cast<int>(wanted.tokens * (0.5 + to_unit_double(random_bits(seed, 1ULL << 40U))));
    items << fmt::format(
        R"({{"custom_id":"image-{:05}","method":"POST","url":"/v1/chat/completions","body":{{"model":"any",)"
        R"("max_tokens":{},"messages":[{{"role":"user","content":[{{"type":"image_url","image_url":)"
        R"({{"url":"{}"}}}},{{"type":"text","text":"Describe this image."}}]}}]}}}})"
        "\n",
        i, most, name);
  }
  return items.good() ? 0 : 1;
}

}  // namespace
}  // namespace retinue

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr,
               "usage: study_data DIR [--images N] [--width N] [--height N] [--tokens N] "
               "[--shape small|32b|32b-fp8] [--files DIR]\n");
    return 2;
  }
  retinue::Wanted wanted;
  wanted.folder = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string key = argv[i], value = argv[i + 1];
    int* const number = key == "--images"   ? &wanted.images
                        : key == "--width"  ? &wanted.width
                        : key == "--height" ? &wanted.height
                        : key == "--tokens" ? &wanted.tokens
                                            : nullptr;
    if (number != nullptr) {
      *number = std::stoi(value);
    } else if (key == "--shape" && (value == "small" || value == "32b" || value == "32b-fp8")) {
      wanted.shape = value;
    } else if (key == "--files") {
      wanted.files = value;
    } else {
      fmt::print(stderr,
                 "[study_data] unknown option {} {}. Known: --images --width --height --tokens "
                 "--shape small|32b|32b-fp8 --files\n",
                 key, value);
      return 2;
    }
  }
  return retinue::run(wanted);
}
