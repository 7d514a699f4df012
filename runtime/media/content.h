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

/// The packets of an MPEG transport stream, which has no other mark than the byte 0x47 in each.
struct TransportLayout {
  std::size_t packet_bytes = 188;  ///< 192 with a time before each, 204 with a checksum behind
  std::size_t sync = 0;            ///< where in a packet that byte is
};
/// Looks at the first three packets.
std::optional<TransportLayout> transport_layout(std::span<const std::byte> bytes);

/// An image that is read, or a video container: mp4, mov, mkv, webm, avi, gif, flv, wmv, ogv, an MPEG
/// transport or program stream. A hint, no promise: nothing past the first bytes is looked at. 412 of
/// them show any container; fewer show no transport stream.
std::optional<MediaKind> media_kind(std::span<const std::byte> bytes);

/// "an empty file", "a GIF", "text", "unknown bytes 00 11 …": for messages.
std::string_view describe_content(std::span<const std::byte> bytes);

}  // namespace retinue::runtime
