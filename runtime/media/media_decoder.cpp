#include "runtime/media/media_decoder.h"

#include "runtime/media/container.h"
#include "runtime/media/image_webp_video.h"
#include "runtime/media/patchify.h"
#include "runtime/media/video.h"
#include "runtime/media/video_ffmpeg.h"

#include <fmt/format.h>

#include <numeric>
#include <optional>

namespace retinue::runtime {
namespace {

bool is_video(const MediaReference& media) { return media.kind == MediaKind::kVideo; }

DataError at_file(const MediaFile& file, const DataError& error) {
  return {error.stage, fmt::format("{}: {}", file.name(), error.message)};
}

/// Opens every file of an item that is an image or a list of frames; all have one size.
Result<std::vector<OpenedImage>> open_images(const MediaReference& media,
                                             const std::vector<FileBytes>& files,
                                             const ImageOptions& options) {
  check(files.size() == media.files.size() && !files.empty(), "as many as the reference names");
  std::vector<OpenedImage> images;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto image = open_image(files[i], options);
    if (!image.ok()) return at_file(media.files[i], image.error());
    // The first frame alone would answer for all of them.
    if (const std::int64_t frames = animation_frames(files[i]); frames > 1)
      return at_file(
          media.files[i],
          {"image",
           fmt::format("wanted a still image, got {} with {} frames. Give it as "
                       "a video, or save one frame of it.",
                       image->kind() == ImageKind::kPng ? "an animated PNG" : "an animated WebP",
                       frames)});
    images.push_back(*image);
    const ImageSize first = images.front().size(), size = image->size();
    if (size != first) {
      return DataError{"video", fmt::format("{}: a frame of {} x {} pixels among others of {} x {}",
                                            media.files[i].name(), size.width, size.height,
                                            first.width, first.height)};
    }
  }
  return images;
}

/// Whether the item is a video file. In a list of frames every file is an image.
bool is_video_file(const MediaReference& media, const std::vector<FileBytes>& files) {
  return is_video(media) && files.size() == 1 &&
         (image_kind(files[0]) == ImageKind::kOther || animation_frames(files[0]) > 1);
}

Result<std::unique_ptr<Video>> open_video_file(const FileBytes& file, const ImageOptions& options) {
  return image_kind(file) == ImageKind::kWebp ? open_webp_video(file, options)
                                              : open_video(file, options);
}

/// The frames of a video to decode. Patches take pairs of frames, so a single frame counts twice.
Result<std::vector<std::int64_t>> frames_of(const MediaReference& media, const VideoHeader& video,
                                            const VisionProcessorSpec& spec) {
  FrameSampling sampling = spec.frames;
  if (media.fps > 0) sampling.fps = media.fps;
  auto indices = choose_frames(std::ssize(video.times_s), video.fps, sampling);
  if (indices.ok() && std::ssize(*indices) < spec.temporal_patch_size)
    indices->resize(static_cast<std::size_t>(spec.temporal_patch_size), indices->back());
  return indices;
}

Result<MediaHeader> read_video_header(const MediaReference& media, const FileBytes& file,
                                      const VisionProcessorSpec& spec,
                                      const ImageOptions& options) {
  const auto video = open_video_file(file, options);
  if (!video.ok()) return video.error();
  const VideoHeader& facts = (*video)->header();
  const auto indices = frames_of(media, facts, spec);
  if (!indices.ok()) return indices.error();
  MediaHeader header;
  header.size = facts.size;
  header.frames = std::ssize(*indices);
  const auto grid = patch_grid(header.frames, facts.size, spec, true);
  if (!grid.ok()) return grid.error();
  header.grid.kind = media.kind;
  header.grid.grid_thw = *grid;
  std::vector<double> times_s;
  for (const std::int64_t index : *indices)
    times_s.push_back(facts.times_s[static_cast<std::size_t>(index)]);
  header.grid.timestamps_s = group_timestamps(times_s, spec.temporal_patch_size);
  return header;
}

Result<layers::Patches> read_video_patches(const MediaReference& media, const FileBytes& file,
                                           const VisionProcessorSpec& spec,
                                           const ImageOptions& options) {
  const auto video = open_video_file(file, options);
  if (!video.ok()) return video.error();
  const VideoHeader& facts = (*video)->header();
  const auto indices = frames_of(media, facts, spec);
  if (!indices.ok()) return indices.error();
  auto cutter = PatchCutter::start(std::ssize(*indices), facts.size, spec, true);
  if (!cutter.ok()) return cutter.error();
  const auto failed =
      (*video)->decode(*indices, [&](std::span<const std::uint8_t> rgb) { cutter->add(rgb); });
  if (failed) return *failed;
  return cutter->finish();
}

}  // namespace

Result<MediaHeader> read_header(const MediaReference& media, const std::vector<FileBytes>& files,
                                const VisionProcessorSpec& spec, const ImageOptions& options) {
  if (is_video_file(media, files)) {
    auto header = read_video_header(media, files[0], spec, options);
    return header.ok() ? std::move(header) : at_file(media.files[0], header.error());
  }
  const auto images = open_images(media, files, options);
  if (!images.ok()) return images.error();
  MediaHeader header;
  header.size = images->front().size();
  header.frames = static_cast<std::int64_t>(files.size());
  const auto grid = patch_grid(header.frames, header.size, spec, is_video(media));
  if (!grid.ok()) return at_file(media.files[0], grid.error());
  header.grid.kind = media.kind;
  header.grid.grid_thw = *grid;
  if (is_video(media)) {
    std::vector<std::int64_t> indices(files.size());
    std::iota(indices.begin(), indices.end(), std::int64_t{0});
    header.grid.timestamps_s = frame_timestamps(
        indices, media.fps > 0 ? std::optional(media.fps) : std::nullopt, spec.temporal_patch_size);
  }
  return header;
}

Result<layers::Patches> read_patches(const MediaReference& media,
                                     const std::vector<FileBytes>& files,
                                     const VisionProcessorSpec& spec, const ImageOptions& options) {
  if (is_video_file(media, files)) {
    auto patches = read_video_patches(media, files[0], spec, options);
    return patches.ok() ? std::move(patches) : at_file(media.files[0], patches.error());
  }
  const auto images = open_images(media, files, options);
  if (!images.ok()) return images.error();
  Frames video;
  for (std::size_t i = 0; i < images->size(); ++i) {
    auto frame = (*images)[i].decode();
    if (!frame.ok()) return at_file(media.files[i], frame.error());
    if (i == 0) {
      video = std::move(frame).value();
      continue;
    }
    video.pixels.insert(video.pixels.end(), frame->pixels.begin(), frame->pixels.end());
    ++video.frames;
  }
  auto patches = to_patches(video, spec, is_video(media));
  if (!patches.ok()) return at_file(media.files[0], patches.error());
  return patches;
}

}  // namespace retinue::runtime
