#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

/// The videos of scripts/golden/video_containers.py.
namespace retinue::test {

inline std::span<const std::byte> bytes_of(const std::string& file) {
  return std::as_bytes(std::span(file));
}

/// The names of all of them, ascending.
std::vector<std::string> container_videos();

/// The bytes of one of them.
std::string container_video(const std::string& name);

}  // namespace retinue::test
