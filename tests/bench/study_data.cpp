// Makes the data of scripts/bench/study.sh: a random model, larger than the demo's and smaller than
// a real one, and images that all differ, with requests for different numbers of tokens.
//   study_data DIR [--images N] [--width N] [--height N] [--tokens N]
// Writes DIR/model (without weights: --weights random:0), DIR/images and DIR/items.jsonl, a batch
// of requests whose answers have N/2 to 3N/2 tokens.
#include "parallel/base/rng.h"

#include <fmt/format.h>
#include <turbojpeg.h>

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
  std::uint64_t at = 2;
  std::size_t out = 0;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const std::uint64_t noise = random_bits(seed, at++);
      for (int channel = 0; channel < 3; ++channel) {
        const double wave =
            std::sin((0.02 + 0.05 * a) * x + channel) + std::cos((0.02 + 0.05 * b) * y - channel);
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

void write_model(const std::string& folder) {
  const std::string from = std::string(RETINUE_SOURCE_DIR) + "/configs/models/emoji-captioner";
  fs::create_directories(folder);
  for (const char* name :
       {"chat_template.jinja", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
        "preprocessor_config.json", "video_preprocessor_config.json"})
    fs::copy_file(from + "/" + name, folder + "/" + name, fs::copy_options::overwrite_existing);
  std::ofstream(folder + "/config.json") << kConfig;
}

int run(const std::string& folder, int images, int width, int height, int tokens) {
  write_model(folder + "/model");
  fs::create_directories(folder + "/images");
  std::ofstream items(folder + "/items.jsonl");
  for (int i = 0; i < images; ++i) {
    const auto seed = mix64(static_cast<std::uint64_t>(i) + 1);
    const std::string name = fmt::format("images/{:05}.jpg", i);
    write_jpeg(folder + "/" + name, image(seed, width, height), width, height);
    const auto most =
        static_cast<int>(tokens * (0.5 + to_unit_double(random_bits(seed, 1ULL << 40U))));
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
               "usage: study_data DIR [--images N] [--width N] [--height N] [--tokens N]\n");
    return 2;
  }
  int images = 160, width = 800, height = 600, tokens = 24;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string key = argv[i];
    int* const value = key == "--images"   ? &images
                       : key == "--width"  ? &width
                       : key == "--height" ? &height
                       : key == "--tokens" ? &tokens
                                           : nullptr;
    if (value == nullptr) {
      fmt::print(stderr,
                 "[study_data] unknown option {}. Known: --images --width --height --tokens\n",
                 key);
      return 2;
    }
    *value = std::stoi(argv[i + 1]);
  }
  return retinue::run(argv[1], images, width, height, tokens);
}
