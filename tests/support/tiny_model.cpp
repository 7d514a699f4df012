#include "tests/support/tiny_model.h"

#include "layers/decoder/mrope.h"
#include "layers/weights/safetensors.h"
#include "parallel/base/check.h"
#include "runtime/media/image.h"
#include "runtime/media/patchify.h"
#include "tests/support/source_folder.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>

namespace retinue::test {

namespace {

constexpr std::uint64_t kSeed = 20251;

std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  check(file.good(), "a golden file can be read");
  const std::vector<char> chars((std::istreambuf_iterator<char>(file)), {});
  std::vector<std::byte> bytes(chars.size());
  std::memcpy(bytes.data(), chars.data(), chars.size());
  return bytes;
}

runtime::Frames decode(const std::string& path) {
  const auto bytes = read_file(path);
  return runtime::open_image(bytes, {.alpha = runtime::Alpha::kDrop}).value().decode().value();
}

std::vector<float> to_floats(ConstTensorView view) {
  std::vector<float> values;
  const std::int64_t width = view.shape().rank() == 2 ? view.dim(1) : 1;
  for (std::int64_t r = 0; r < view.dim(0); ++r)
    for (std::int64_t c = 0; c < width; ++c) {
      const std::int64_t at = r * view.row_stride() + c;
      values.push_back(view.dtype() == DType::kF32 ? view.data<float>()[at]
                                                   : to_float(view.data<BFloat16>()[at]));
    }
  return values;
}

template <class T>
ConstTensorView view(std::span<const T> values, Shape shape) {
  return {reinterpret_cast<const std::byte*>(values.data()), dtype_of<T>(), shape};
}

}  // namespace

std::string golden_root(const std::string& config) {
  return source_folder() +
         (config.starts_with("fp8-") ? "/tests/golden/fp8/" : "/tests/golden/model/");
}

std::vector<std::string> golden_configs() { return {"gqa8-tied", "mha-untied", "gqa4-wide"}; }
std::vector<std::string> fp8_configs() { return {"fp8-wide", "fp8-narrow", "fp8-quantiser"}; }
std::vector<std::string> golden_cases() { return {"text", "image", "images", "frames", "mixed"}; }

std::vector<layers::Patches> load_items(const std::string& config, const nlohmann::json& messages,
                                        const std::string& folder, std::vector<bool>* is_video) {
  const auto spec = runtime::load_processor_spec(golden_root(config) + "configs/" + config);
  std::vector<layers::Patches> items;
  for (const auto& message : messages) {
    if (!message["content"].is_array()) continue;
    for (const auto& item : message["content"]) {
      const bool video = item["type"] == "video";
      if (!video && item["type"] != "image") continue;
      runtime::Frames frames;
      if (video)
        for (const auto& path : item["video"]) {
          const runtime::Frames frame = decode(folder + path.get<std::string>());
          frames.height = frame.height, frames.width = frame.width, ++frames.frames;
          frames.pixels.insert(frames.pixels.end(), frame.pixels.begin(), frame.pixels.end());
        }
      else
        frames = decode(folder + item["image"].get<std::string>());
      items.push_back(runtime::to_patches(frames, spec, video).value());
      if (is_video != nullptr) is_video->push_back(video);
    }
  }
  return items;
}

GoldenCase load_golden_case(const std::string& config, const std::string& name) {
  const std::string folder = golden_root(config) + "cases/" + config + "/";
  std::ifstream file(folder + name + ".json");
  const auto json = nlohmann::json::parse(file);
  GoldenCase golden;
  golden.config = config;
  golden.name = name;
  golden.ids = json["input_ids"].get<std::vector<std::int32_t>>();
  for (const auto& axis : json["position_ids"])
    for (const auto& p : axis) golden.positions.push_back(p.get<std::int32_t>());
  golden.logits_first_row = json["logits_first_row"].get<std::int64_t>();
  golden.error =
      json[json.contains("error_in_other_order") ? "error_in_other_order" : "bf16_reference_error"]
          .get<std::map<std::string, double>>();

  const auto model = layers::load_model_config(golden_root(config) + "configs/" + config);
  // The reference runs the tower once for images and once for videos.
  std::vector<layers::Patches> images, videos;
  std::vector<bool> is_video;
  auto items = load_items(config, json["messages"], folder, &is_video);
  for (std::size_t i = 0; i < items.size(); ++i)
    (is_video[i] ? videos : images).push_back(std::move(items[i]));
  std::int32_t image_row = 0, video_row = 0;
  for (const auto& patches : images)
    video_row += static_cast<std::int32_t>(patches.grid_thw.patches() / 4);
  std::size_t image = 0, video = 0;
  std::vector<std::int32_t> sources;
  for (const bool of_video : is_video) {
    const layers::Patches& patches = of_video ? videos[video++] : images[image++];
    golden.prompt_grids.push_back(patches.grid_thw);
    std::int32_t& row = of_video ? video_row : image_row;
    for (std::int64_t i = 0; i < patches.grid_thw.patches() / 4; ++i) sources.push_back(row++);
  }
  golden.items = images;
  golden.items.insert(golden.items.end(), videos.begin(), videos.end());
  golden.visual_sources = sources;
  for (std::size_t i = 0; i < golden.ids.size(); ++i)
    if (golden.ids[i] == model.image_token_id || golden.ids[i] == model.video_token_id)
      golden.visual_rows.push_back(static_cast<std::int32_t>(i));
  check(golden.visual_rows.size() == golden.visual_sources.size(), "placeholders match the grids");

  const layers::SafetensorsFile stages(folder + name + ".safetensors");
  for (const auto& [stage, tensor] : stages.tensors()) {
    if (tensor.type != layers::StoredType::kF32) continue;
    std::vector<float> values(tensor.bytes.size() / 4);
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    golden.stages.emplace(stage, std::move(values));
  }
  return golden;
}

std::unique_ptr<layers::WeightSource> golden_weights(const std::string& config) {
  const std::string folder = golden_root(config) + "configs/" + config;
  if (!std::filesystem::exists(folder + "/model.safetensors.index.json"))
    return std::make_unique<layers::RandomSource>(kSeed);
  return std::make_unique<layers::CheckpointSource>(folder);
}

TinyModel::TinyModel(const std::string& config, DType dtype, Communicator* tensor, int threads,
                     std::int64_t block_size)
    : source_(golden_weights(config)), ledger_(std::make_unique<MemoryLedger>()) {
  const auto model = layers::load_model_config(golden_root(config) + "configs/" + config);
  ctx_ = std::make_unique<Context>(Device{}, threads,
                                   Buffer(*ledger_, Device{}, 64 << 20, MemoryTag::kActivations),
                                   Buffer(*ledger_, Device{}, 16 << 20, MemoryTag::kScratch));
  if (tensor != nullptr) axis_ = {tensor->rank(), tensor->size(), tensor, 1};
  layers::ModelOptions options;
  options.computation.dtype = dtype;
  options.kv_block_size = block_size;
  options.kv_blocks = 512 / block_size;
  options.feature_rows = 256;
  for (int channel = 0; channel < 3; ++channel)
    for (int value = 0; value < 256; ++value)
      options.pixel_values.push_back((static_cast<float>(value) - 127.5F) / 127.5F);
  model_ = std::make_unique<layers::Qwen3Vl>(*ctx_, *ledger_, model, axis_, source_.get(), options);
}

std::vector<float> TinyModel::run(const GoldenCase& golden, std::int64_t chunk) {
  ctx_->set_stage_sink([&](std::string_view name, int index, ConstTensorView value) {
    const std::string key =
        index < 0 ? std::string(name) : std::string(name) + "." + std::to_string(index);
    stages[key] = to_floats(value);
  });
  std::vector<layers::ExchangedImage> images;
  std::vector<layers::GridThw> mine;
  std::vector<std::uint8_t> pixels;
  std::int64_t row = 0;
  for (std::size_t i = 0; i < golden.items.size(); ++i) {
    const auto& grid = golden.items[i].grid_thw;
    const int owner = static_cast<int>(i) % axis_.size;
    images.push_back({owner, grid.patches() / 4, row});
    row += grid.patches() / 4;
    if (owner != axis_.rank) continue;
    mine.push_back(grid);
    pixels.insert(pixels.end(), golden.items[i].pixels.begin(), golden.items[i].pixels.end());
  }
  const std::int64_t width = model_->config().vision.patch_width();
  model_->encode(
      *ctx_,
      view<std::uint8_t>(pixels, Shape{static_cast<std::int64_t>(pixels.size()) / width, width}),
      mine, images);

  length_ = 0;
  std::vector<float> logits;
  const auto tokens = static_cast<std::int64_t>(golden.ids.size());
  for (std::int64_t begin = 0; begin < tokens; begin += chunk) {
    const std::int64_t count = std::min(chunk, tokens - begin);
    std::vector<std::int32_t> positions, sources, rows;
    for (int axis = 0; axis < 3; ++axis)
      for (std::int64_t i = 0; i < count; ++i)
        positions.push_back(golden.positions[static_cast<std::size_t>(axis * tokens + begin + i)]);
    for (std::size_t i = 0; i < golden.visual_rows.size(); ++i)
      if (golden.visual_rows[i] >= begin && golden.visual_rows[i] < begin + count) {
        sources.push_back(golden.visual_sources[i]);
        rows.push_back(golden.visual_rows[i] - static_cast<std::int32_t>(begin));
      }
    const auto part =
        step(std::span(golden.ids)
                 .subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count)),
             positions, sources, rows);
    logits.insert(logits.end(), part.begin(), part.end());
  }
  return logits;
}

std::vector<float> TinyModel::prefill(std::span<const std::int32_t> ids) {
  length_ = 0;
  std::vector<std::int32_t> positions;
  for (int axis = 0; axis < 3; ++axis)
    for (std::size_t i = 0; i < ids.size(); ++i) positions.push_back(static_cast<std::int32_t>(i));
  return step(ids, positions, {}, {});
}

std::vector<float> TinyModel::decode(std::int32_t id, std::int32_t position) {
  const std::vector<std::int32_t> positions(3, position);
  return step(std::span(&id, 1), positions, {}, {});
}

std::vector<float> TinyModel::step(std::span<const std::int32_t> ids,
                                   std::span<const std::int32_t> positions,
                                   std::span<const std::int32_t> sources,
                                   std::span<const std::int32_t> rows) {
  const auto tokens = static_cast<std::int64_t>(ids.size());
  const auto& options = model_->options();
  // Blocks in falling order, so that no test passes because blocks happen to be consecutive.
  std::vector<std::int32_t> table(static_cast<std::size_t>(options.kv_blocks));
  std::iota(table.rbegin(), table.rend(), 0);
  std::vector<std::int32_t> slots, cu = {0, static_cast<std::int32_t>(tokens)}, all;
  for (std::int64_t i = 0; i < tokens; ++i) {
    const std::int64_t at = length_ + i;
    slots.push_back(table[static_cast<std::size_t>(at / options.kv_block_size)] *
                        static_cast<std::int32_t>(options.kv_block_size) +
                    static_cast<std::int32_t>(at % options.kv_block_size));
    all.push_back(static_cast<std::int32_t>(i));
  }
  length_ += tokens;
  const std::vector<std::int32_t> lens = {static_cast<std::int32_t>(length_)};
  layers::StepInputs inputs;
  inputs.ids = view<std::int32_t>(ids, Shape{tokens});
  inputs.positions = view<std::int32_t>(positions, Shape{3, tokens});
  inputs.slot_mapping = view<std::int32_t>(slots, Shape{tokens});
  inputs.block_table = view<std::int32_t>(table, Shape{1, options.kv_blocks});
  inputs.cu_seqlens = view<std::int32_t>(cu, Shape{2});
  inputs.seq_lens = view<std::int32_t>(lens, Shape{1});
  inputs.visual_sources =
      view<std::int32_t>(sources, Shape{static_cast<std::int64_t>(sources.size())});
  inputs.visual_rows = view<std::int32_t>(rows, Shape{static_cast<std::int64_t>(rows.size())});
  inputs.logit_rows = view<std::int32_t>(all, Shape{tokens});

  Frame frame(*ctx_);
  TensorView logits = ctx_->alloc({tokens, model_->vocab_per_rank()}, options.computation.dtype);
  model_->forward(*ctx_, inputs, logits);
  if (axis_.size == 1) return to_floats(logits);
  // Ranks hold columns: assemble the rows.
  TensorView gathered =
      ctx_->alloc({axis_.size * tokens, model_->vocab_per_rank()}, options.computation.dtype);
  const std::vector<std::int64_t> counts(static_cast<std::size_t>(axis_.size), tokens);
  axis_.comm->all_gather(ctx_->stream(), logits, gathered, counts);
  const std::vector<float> by_rank = to_floats(gathered);
  const std::int64_t width = model_->vocab_per_rank();
  std::vector<float> whole;
  for (std::int64_t t = 0; t < tokens; ++t)
    for (int r = 0; r < axis_.size; ++r)
      for (std::int64_t c = 0; c < width; ++c)
        whole.push_back(by_rank[static_cast<std::size_t>((r * tokens + t) * width + c)]);
  return whole;
}

double relative_l2(const std::vector<float>& a, const std::vector<float>& b) {
  check(a.size() == b.size(), "compared tensors have one size");
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    error += d * d, norm += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return std::sqrt(error / norm);
}

}  // namespace retinue::test
