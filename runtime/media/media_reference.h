#pragma once

#include "layers/spec/inputs.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace retinue::runtime {

enum class MediaKind { kImage, kVideo };

/// Where the bytes of a picture or clip lie.
enum class MediaPlace : std::uint8_t {
  kWhole,   ///< a file, or a data: address
  kRange,   ///< `bytes` of the file from `offset` on: a member of an archive
  kBase64,  ///< the same, as base64 text: a data: address in a manifest
  kCell,    ///< row `offset`, value `bytes` of column `member` of a Parquet file
};

/// The bytes of a picture, of a frame or of a clip.
struct MediaFile {
  MediaFile(std::string file) : path(std::move(file)) {}  // NOLINT: a path names a whole file
  MediaFile(const char* file) : path(file) {}             // NOLINT: as above

  /// For messages and records: the path, "archive.tar:member", "table.parquet:row", and of a data:
  /// address its type.
  [[nodiscard]] std::string name() const;

  std::string path;  ///< as it is opened; or data:…
  MediaPlace place = MediaPlace::kWhole;
  std::string member;  ///< of the archive at `path`; of a data: address what stands before the text
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
};

/// An image or video that a message names.
struct MediaReference {
  MediaKind kind = MediaKind::kImage;
  std::vector<MediaFile> files;  ///< one; for a video given as frames one per frame
  double fps = 0.0;              ///< of a list of frames, as the message says; 0: not said
};

/// The bytes of one file, or of its part, that a MediaFile names.
using FileBytes = std::vector<std::byte>;

/// What decoding one item gave.
struct MediaGrid {
  MediaKind kind = MediaKind::kImage;
  layers::GridThw grid_thw;
  std::vector<double> timestamps_s;  ///< videos: one per grid_thw.frames, see group_timestamps
};

}  // namespace retinue::runtime
