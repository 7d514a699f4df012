#pragma once

#include "parallel/base/result.h"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace retinue::runtime {

/// Which frames of a video are used.  transformers: Qwen3VLVideoProcessor.sample_frames
struct FrameSampling {
  /// Frames per second of video. Without this and `num_frames`, every frame is used.
  std::optional<double> fps = 2.0;
  /// The number of frames; overrides `fps`.
  std::optional<std::int64_t> num_frames{};
  std::int64_t min_frames = 4;
  std::int64_t max_frames = 768;
};

/// The rate that the reference assumes for a container without one.
inline constexpr double kAssumedFps = 24.0;

/// Indices of frames, from the first to the last of `total_frames`, evenly spaced, halves to even.
///   container_fps  frames per second of the file; nothing where unknown
/// Numerics: f64 throughout, in numpy's order: index = rne(i · ((total - 1) / (n - 1))).
/// Errors: a video without frames; a rate that is not a positive number.
Result<std::vector<std::int64_t>> choose_frames(std::int64_t total_frames,
                                                std::optional<double> container_fps,
                                                const FrameSampling& sampling = {});

/// Seconds shown to the model, one per group of `temporal_patch_size` frames: the mean of the first
/// and last time of the group. An incomplete group repeats its last frame.
/// transformers: Qwen3VLProcessor._calculate_timestamps
///   indices        the chosen frames, as counted in the container
///   container_fps  the rate of the container, not of the sampling
std::vector<double> frame_timestamps(std::span<const std::int64_t> indices,
                                     std::optional<double> container_fps,
                                     std::int64_t temporal_patch_size = 2);

/// The same from the times of the chosen frames.
std::vector<double> group_timestamps(std::span<const double> times_s,
                                     std::int64_t temporal_patch_size);

}  // namespace retinue::runtime
