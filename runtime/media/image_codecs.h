#pragma once

#include "runtime/media/image.h"

#include <cstddef>
#include <cstdint>
#include <span>

/// What image.cpp asks of the file formats. Sizes are as stored, before orientation; a decoder is
/// called after its size was found acceptable.
namespace retinue::runtime::detail {

Result<ImageSize> jpeg_size(std::span<const std::byte> bytes);
Result<ImageSize> png_size(std::span<const std::byte> bytes);
Result<ImageSize> webp_size(std::span<const std::byte> bytes);

/// `frames` comes from sized_frame(): one frame of that size.
Result<Frames> decode_jpeg(std::span<const std::byte> bytes, Frames frames);
Result<Frames> decode_png(std::span<const std::byte> bytes, Frames frames, Alpha alpha);
Result<Frames> decode_webp(std::span<const std::byte> bytes, Frames frames, Alpha alpha);

/// One frame of that size in the memory of `recycled`; its pixels are anything.
Frames sized_frame(ImageSize size, Frames recycled);

/// RGBA to RGB by `alpha`; `rgb` may be the start of `rgba`.
void rgba_to_rgb(const std::uint8_t* rgba, std::uint8_t* rgb, std::int64_t pixels, Alpha alpha);

}  // namespace retinue::runtime::detail
