#include "tests/runtime/media/image_golden.h"

#include "parallel/base/rng.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <iterator>

namespace retinue::runtime {

std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream.good()) << path << " cannot be read";
  const std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

nlohmann::json read_golden(const std::string& path) {
  const auto bytes = read_file(std::string(RETINUE_SOURCE_DIR "/tests/golden/") + path);
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  return nlohmann::json::parse(text, text + bytes.size());
}

std::vector<std::byte> read_golden_image(const std::string& name) {
  return read_file(std::string(RETINUE_SOURCE_DIR "/tests/golden/images/files/") + name);
}

Result<Frames> decode_image(std::span<const std::byte> bytes, const ImageOptions& options) {
  const auto image = open_image(bytes, options);
  return image.ok() ? image->decode() : image.error();
}

std::vector<unsigned char> random_bytes(unsigned long long seed, std::size_t size) {
  std::vector<unsigned char> bytes(size);
  for (std::size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<unsigned char>(random_bits(seed, i / 8) >> (i % 8 * 8));
  return bytes;
}

}  // namespace retinue::runtime
