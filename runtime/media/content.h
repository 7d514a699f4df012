#pragma once

#include "runtime/media/media_reference.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

/// The kind of a file, from its first bytes alone: its name does not count.
namespace retinue::runtime {

/// The image formats that are read.
enum class ImageKind { kJpeg, kPng, kWebp, kOther };
ImageKind image_kind(std::span<const std::byte> bytes);

/// An image that is read, or a video container: mp4, mov, mkv, webm, avi or gif. A hint, no promise:
/// nothing past the first bytes is looked at.
std::optional<MediaKind> media_kind(std::span<const std::byte> bytes);

/// "an empty file", "a GIF", "text", "unknown bytes 00 11 …": for messages.
std::string_view describe_content(std::span<const std::byte> bytes);

}  // namespace retinue::runtime
