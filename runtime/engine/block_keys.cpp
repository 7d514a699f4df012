#include "runtime/engine/block_keys.h"

#include "parallel/base/hash.h"

#include <charconv>
#include <string>

namespace retinue::runtime {

namespace {

void update(Sha256& hash, std::span<const std::int32_t> values) {
  hash.update(std::as_bytes(values));
}

std::uint64_t from_hex(const char* digits) {
  std::uint64_t value = 0;
  std::from_chars(digits, digits + 16, value, 16);
  return value;
}

}  // namespace

std::vector<ContentKey> block_keys(const Request& request, const layers::PromptPositions& positions,
                                   std::span<const std::int32_t> feature_of,
                                   std::span<const std::int64_t> visual_tokens,
                                   std::int64_t block_tokens) {
  const std::size_t tokens = request.ids.size(), block = static_cast<std::size_t>(block_tokens);
  const std::span<const std::int32_t> ids = request.ids, places = positions.values;
  std::vector<ContentKey> keys;
  ContentKey key{};
  // The image of the visual token at hand; they come in prompt order.
  std::size_t image = 0;
  std::int64_t image_begin = 0;
  for (std::size_t begin = 0; begin + block <= tokens; begin += block) {
    Sha256 hash;
    hash.update(std::as_bytes(std::span(key)));
    update(hash, ids.subspan(begin, block));
    for (std::size_t axis = 0; axis < 3; ++axis)
      update(hash, places.subspan(axis * tokens + begin, block));
    for (std::size_t at = begin; at < begin + block; ++at) {
      if (feature_of[at] < 0) continue;
      while (feature_of[at] - image_begin >= visual_tokens[image])
        image_begin += visual_tokens[image++];
      const ContentKey& content = request.images[image].content;
      if (content == ContentKey{}) return keys;
      hash.update(std::as_bytes(std::span(content)));
      const auto row = static_cast<std::int32_t>(feature_of[at] - image_begin);
      update(hash, std::span(&row, 1));
    }
    const std::string hex = hash.finish_hex();
    key = {from_hex(hex.data()), from_hex(hex.data() + 16)};
    keys.push_back(key);
  }
  return keys;
}

}  // namespace retinue::runtime
