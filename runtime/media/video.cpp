#include "runtime/media/video.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace retinue::runtime {
namespace {

DataError error(std::string message) { return {.stage = "video", .message = std::move(message)}; }

bool positive(double value) { return std::isfinite(value) && value > 0.0; }

}  // namespace

Result<std::vector<std::int64_t>> choose_frames(std::int64_t total_frames,
                                                std::optional<double> container_fps,
                                                const FrameSampling& sampling) {
  if (total_frames < 1)
    return error(fmt::format("wanted at least one frame, the video has {}", total_frames));
  const double rate = container_fps.value_or(kAssumedFps);
  if (!positive(rate)) return error(fmt::format("the video says {} frames per second", rate));
  check(sampling.min_frames >= 1 && sampling.max_frames >= sampling.min_frames,
        "choose_frames: min_frames and max_frames");
  std::int64_t count = 0;
  if (sampling.num_frames) {
    count = *sampling.num_frames;
  } else if (sampling.fps) {
    check(positive(*sampling.fps), "choose_frames: fps");
    const double wanted = static_cast<double>(total_frames) / rate * *sampling.fps;
    // Clamped as a double: a tiny rate must not overflow the integer.
    count = static_cast<std::int64_t>(std::min(wanted, static_cast<double>(sampling.max_frames)));
    count = std::min(std::max(count, sampling.min_frames), total_frames);
  } else {
    // Here alone, as in the reference, a video shorter than min_frames gets frames twice.
    count = std::clamp(total_frames, sampling.min_frames, sampling.max_frames);
  }
  check(count >= 1, "choose_frames: num_frames");

  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  const auto last = static_cast<double>(total_frames - 1);
  const double step = count > 1 ? last / static_cast<double>(count - 1) : 0.0;
  for (std::size_t i = 0; i < indices.size(); ++i)
    indices[i] = static_cast<std::int64_t>(std::nearbyint(static_cast<double>(i) * step));
  if (count > 1) indices.back() = total_frames - 1;
  return indices;
}

std::vector<double> frame_timestamps(std::span<const std::int64_t> indices,
                                     std::optional<double> container_fps,
                                     std::int64_t temporal_patch_size) {
  const double rate = container_fps.value_or(kAssumedFps);
  check(positive(rate), "frame_timestamps: no rate");
  std::vector<double> times_s;
  for (const std::int64_t index : indices) times_s.push_back(static_cast<double>(index) / rate);
  return group_timestamps(times_s, temporal_patch_size);
}

std::vector<double> group_timestamps(std::span<const double> times_s,
                                     std::int64_t temporal_patch_size) {
  check(temporal_patch_size >= 1, "group_timestamps: no group");
  const auto group = static_cast<std::size_t>(temporal_patch_size);
  std::vector<double> seconds;
  for (std::size_t i = 0; i < times_s.size(); i += group)
    seconds.push_back((times_s[i] + times_s[std::min(i + group, times_s.size()) - 1]) / 2.0);
  return seconds;
}

}  // namespace retinue::runtime
