#pragma once

#include "runtime/media/image.h"

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime {

/// Whole file; a test failure where it cannot be read.
std::vector<std::byte> read_file(const std::string& path);

/// tests/golden/<path> as JSON.
nlohmann::json read_golden(const std::string& path);

/// One input of the image goldens.
std::vector<std::byte> read_golden_image(const std::string& name);

/// Opens and decodes a whole file.
Result<Frames> decode_image(std::span<const std::byte> bytes, const ImageOptions& options = {});

/// `size` bytes of splitmix64, as scripts/golden/images.py counts them.
std::vector<unsigned char> random_bytes(unsigned long long seed, std::size_t size);

}  // namespace retinue::runtime
