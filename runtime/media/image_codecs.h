#pragma once

// Tested through tests/runtime/media/image_test.cpp.

#include "runtime/media/image.h"

#include <cstddef>
#include <cstdint>
#include <span>

/// The functions of each file format that image.cpp calls. A decoder is called only after its header was accepted.
namespace retinue::runtime::detail {

Result<ImageHeader> read_jpeg_header(std::span<const std::byte> bytes);
Result<ImageHeader> read_png_header(std::span<const std::byte> bytes);
Result<ImageHeader> read_webp_header(std::span<const std::byte> bytes);

/// `frames` comes from sized_frame(): one frame of the header's size. Pixels are as stored, not
/// upright.
Result<Frames> decode_jpeg(std::span<const std::byte> bytes, Frames frames, int components);
Result<Frames> decode_png(std::span<const std::byte> bytes, Frames frames, Alpha alpha);
Result<Frames> decode_webp(std::span<const std::byte> bytes, Frames frames, Alpha alpha);

/// One frame of that size in the memory of `recycled`; its pixels are unspecified.
Frames sized_frame(ImageSize size, Frames recycled);

/// RGBA to RGB by `alpha`; `rgb` may be the start of `rgba`.
void rgba_to_rgb(const std::uint8_t* rgba, std::uint8_t* rgb, std::int64_t pixels, Alpha alpha);

}  // namespace retinue::runtime::detail
