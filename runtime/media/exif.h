#pragma once

#include "runtime/media/content.h"
#include "runtime/media/frames.h"

#include <cstddef>
#include <span>

namespace retinue::runtime {

/// Orientation (tag 0x0112) in the first directory of a TIFF block, with or without "Exif\0\0"
/// before it.  EXIF 2.32, 4.6.4
///   returns  the stored value; 0 where no value can be read
/// Never fails: every offset, count and type is checked. Only the first directory is read, so a
/// cycle of directories does no harm.
int exif_orientation(std::span<const std::byte> tiff);

/// Orientation 1 to 8 of a whole file; 1 where the file has none that is valid. Follows Pillow's
/// exif_transpose: JPEG APP1, PNG eXIf (also after the pixels) or an uncompressed "Raw profile type
/// exif", WebP EXIF; where these have no such tag, `tiff:Orientation` of an XMP packet.
int image_orientation(std::span<const std::byte> file, ImageKind kind);

/// The size after apply_orientation(): 5 to 8 swap the sides.
ImageSize oriented_size(ImageSize stored, int orientation);

/// Turns and mirrors every frame so that it is upright; 1 is the identity.
void apply_orientation(Frames& frames, int orientation);

}  // namespace retinue::runtime
