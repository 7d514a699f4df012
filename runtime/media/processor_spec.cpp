#include "runtime/media/processor_spec.h"

#include "layers/spec/json_text.h"
#include "parallel/base/check.h"
#include "parallel/base/file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <optional>
#include <string_view>

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;

/// One of the files, or one section of processor_config.json. Every error names the file and the
/// key.
class ConfigFile {
 public:
  ConfigFile(std::string path, Json root) : path_(std::move(path)), root_(std::move(root)) {}

  static std::optional<ConfigFile> open(const std::string& path) {
    const auto text = read_file(path, "[processor]");
    if (!text) return std::nullopt;
    Json root = layers::parse_json<Json>(*text, "[processor] " + path);
    if (!root.is_object())
      throw UsageError(fmt::format(
          "[processor] {}: wanted a JSON object, got something else. Copy the file again.", path));
    return ConfigFile(path, std::move(root));
  }

  /// The object under `key`; transformers 5 writes all processors into one file.
  static std::optional<ConfigFile> open_section(const std::string& path, const char* key) {
    const auto file = open(path);
    const Json* section = file ? file->find(key) : nullptr;
    if (section == nullptr) return std::nullopt;
    if (!section->is_object()) file->refuse(key, "an object", *section);
    return ConfigFile(fmt::format("{}: {}", path, key), *section);
  }

  [[noreturn]] void refuse(std::string_view key, std::string_view wanted, const Json& got) const {
    throw UsageError(
        fmt::format("[processor] {}: {} must be {}, got {}.", path_, key, wanted, got.dump()));
  }

  [[nodiscard]] const Json* find(std::string_view key) const {
    const auto it = root_.find(key);
    return it == root_.end() || it->is_null() ? nullptr : &*it;
  }

  [[nodiscard]] const Json& require(std::string_view key) const {
    const Json* value = find(key);
    if (value == nullptr)
      throw UsageError(fmt::format(
          "[processor] {}: {} is missing. Copy the file from the checkpoint.", path_, key));
    return *value;
  }

  [[nodiscard]] std::int64_t positive(std::string_view key, const Json& value) const {
    constexpr std::int64_t kMost = std::int64_t{1} << 40;
    if (!value.is_number_integer() || value.get<std::int64_t>() < 1 ||
        value.get<std::int64_t>() > kMost)
      refuse(key, "a positive integer", value);
    return value.get<std::int64_t>();
  }

  void expect_true(std::string_view key) const {
    if (const Json* value = find(key); value != nullptr && *value != Json(true))
      refuse(key, "true", *value);
  }

  /// Mean and deviation must be 0.5, three times.
  void expect_halves(std::string_view key) const {
    const Json& value = require(key);
    if (value != Json::array({0.5, 0.5, 0.5})) refuse(key, "[0.5, 0.5, 0.5]", value);
  }

  [[nodiscard]] bool has_pixels_alone() const {
    return find("size") == nullptr &&
           (find("min_pixels") != nullptr || find("max_pixels") != nullptr);
  }

  [[nodiscard]] PixelBudget size() const {
    const Json& size = require("size");
    const auto edge = [&](const char* key) {
      if (!size.is_object() || !size.contains(key))
        refuse("size", "an object with shortest_edge and longest_edge", size);
      return positive(fmt::format("size.{}", key), size[key]);
    };
    return {.min_pixels = edge("shortest_edge"), .max_pixels = edge("longest_edge")};
  }

  void check_budget(const PixelBudget& budget) const {
    if (budget.min_pixels > budget.max_pixels)
      throw UsageError(
          fmt::format("[processor] {}: size.shortest_edge is {}, more than size.longest_edge {}.",
                      path_, budget.min_pixels, budget.max_pixels));
  }

  /// The values that must be equal in both files, for one vision tower.
  void check_steps() const {
    for (const char* key : {"do_resize", "do_rescale", "do_normalize", "do_convert_rgb"})
      expect_true(key);
    expect_halves("image_mean");
    expect_halves("image_std");
    if (const Json* value = find("resample"); value != nullptr && *value != Json(3))
      refuse("resample", "3 (bicubic)", *value);
    if (const Json* value = find("rescale_factor"); value != nullptr) {
      if (!value->is_number() || std::abs(value->get<double>() * 255.0 - 1.0) > 1e-9)
        refuse("rescale_factor", "1/255", *value);
    }
  }

 private:
  std::string path_;
  Json root_;
};

void read_video(const ConfigFile& video, VisionProcessorSpec& spec) {
  video.check_steps();
  for (const auto& [key, wanted] :
       {std::pair<const char*, std::int64_t>{"patch_size", spec.patch_size},
        {"temporal_patch_size", spec.temporal_patch_size},
        {"merge_size", spec.merge_size}}) {
    if (const Json& value = video.require(key); value != Json(wanted))
      video.refuse(key, fmt::format("{}, as in preprocessor_config.json", wanted), value);
  }
  spec.video = video.size();
  video.check_budget(spec.video);
  if (const Json* value = video.find("fps")) {
    if (!value->is_number() || !(value->get<double>() > 0.0))
      video.refuse("fps", "a positive number", *value);
    spec.frames.fps = value->get<double>();
  }
  if (const Json* value = video.find("min_frames"))
    spec.frames.min_frames = video.positive("min_frames", *value);
  if (const Json* value = video.find("max_frames"))
    spec.frames.max_frames = video.positive("max_frames", *value);
  if (spec.frames.max_frames < spec.frames.min_frames)
    video.refuse("max_frames", fmt::format("at least min_frames {}", spec.frames.min_frames),
                 Json(spec.frames.max_frames));
}

}  // namespace

VisionProcessorSpec load_processor_spec(const std::string& directory) {
  const std::string path = directory + "/preprocessor_config.json";
  const std::string joint = directory + "/processor_config.json";
  auto image = ConfigFile::open(path);
  if (!image) image = ConfigFile::open_section(joint, "image_processor");
  if (!image)
    throw UsageError(
        fmt::format("[processor] {}: cannot be read, and processor_config.json has no "
                    "image_processor. Copy one of them from the checkpoint.",
                    path));
  VisionProcessorSpec spec;
  image->check_steps();
  spec.patch_size = image->positive("patch_size", image->require("patch_size"));
  spec.temporal_patch_size =
      image->positive("temporal_patch_size", image->require("temporal_patch_size"));
  spec.merge_size = image->positive("merge_size", image->require("merge_size"));
  // With pixels and without a size, the reference fills up from its own class defaults.
  spec.image = image->has_pixels_alone()
                   ? PixelBudget{.min_pixels = 56 * 56, .max_pixels = 28 * 28 * 1280}
                   : image->size();
  if (const Json* value = image->find("min_pixels"))
    spec.image.min_pixels = image->positive("min_pixels", *value);
  if (const Json* value = image->find("max_pixels"))
    spec.image.max_pixels = image->positive("max_pixels", *value);
  image->check_budget(spec.image);

  spec.video = {.min_pixels = 128 * 32 * 32, .max_pixels = 32 * 32 * 768};
  auto video = ConfigFile::open(directory + "/video_preprocessor_config.json");
  if (!video) video = ConfigFile::open_section(joint, "video_processor");
  if (video) read_video(*video, spec);
  return spec;
}

}  // namespace retinue::runtime
