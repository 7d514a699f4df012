#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

/// What the structure of a video file says about its completeness, from the headers of its parts.
/// FFmpeg's demuxers read what they find: they end early, skip damage or stop before a second video
/// without a word.
namespace retinue::runtime {

/// Why the file is no single whole video, in words that follow its name: "is incomplete: …". Nothing
/// where its structure is sound, or where its format has no structure to check.
///   mp4, mov    without moov; with a second moov
///   mkv, webm   shorter than its segment says; with a second one behind it
///   avi         zeros where a part should be
///   gif         with a second one behind its end
///   flv, ts, mpg, ogv, wmv, png, webp   cut within a part, parts that are none, a second file behind it
std::optional<std::string> container_fault(std::span<const std::byte> file);

/// How many images an animated PNG or WebP says it holds; 1 for any other file.
std::int64_t animation_frames(std::span<const std::byte> file);

/// The bytes up to the end of a GIF, or of several that follow each other directly: what lies behind
/// is no part of it. Nothing where the file ends before its end mark.
std::optional<std::size_t> gif_bytes(std::span<const std::byte> file);

}  // namespace retinue::runtime
