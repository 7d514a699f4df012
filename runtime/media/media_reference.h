#pragma once

// Tested through tests/runtime/media/media_decoder_test.cpp.

#include "layers/spec/inputs.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace retinue::runtime {

enum class MediaKind { kImage, kVideo };

/// Where the bytes of an image or video lie.
enum class MediaPlace : std::uint8_t {
  kWhole,   ///< a whole file, or a data: address
  kRange,   ///< `bytes` of the file from `offset` on: a member of an archive
  kBase64,  ///< as kRange, as base64 text: a data: address in a manifest
  kCell,    ///< row `offset`, value `bytes` of column `member` of a Parquet file
};

/// Names the bytes of an image, a frame or a video.
struct MediaFile {
  MediaFile(std::string file) : path(std::move(file)) {}  // NOLINT: a path names a whole file
  MediaFile(const char* file) : path(file) {}             // NOLINT: as above

  /// For messages and records: the path, "archive.tar:member", "table.parquet:row", or the type of
  /// a data: address.
  [[nodiscard]] std::string name() const;

  std::string path;  ///< of the file to open; or data:…
  MediaPlace place = MediaPlace::kWhole;
  std::string member;  ///< in the archive at `path`; of kBase64 the part before the text
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
};

/// An image or video that a message names.
struct MediaReference {
  MediaKind kind = MediaKind::kImage;
  std::vector<MediaFile> files;  ///< one; for a video given as frames, one per frame
  double fps = 0.0;              ///< that the message or manifest gives; 0: none

  /// Whether it is a list of frames without a rate: kAssumedFps takes its place.
  [[nodiscard]] bool assumes_rate() const;
};

/// The bytes that a MediaFile names.
using FileBytes = std::vector<std::byte>;

/// Patches of one image or video, without their pixels.
struct MediaGrid {
  MediaKind kind = MediaKind::kImage;
  layers::GridThw grid_thw;
  std::vector<double> timestamps_s;  ///< videos: one per grid_thw.frames, see group_timestamps
};

}  // namespace retinue::runtime
