#include "runtime/jobs/caption/preloaded_pixels.h"

#include "parallel/base/check.h"
#include "runtime/decode/prefetcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

namespace retinue::runtime {
namespace {

/// Images and videos in the loader at once: enough for its threads, little beside the whole.
constexpr std::size_t kAhead = 16;

std::vector<std::uint64_t> keys_of(const ItemTable& items) {
  std::vector<std::uint64_t> keys;
  for (std::size_t item = 0; item < items.size(); ++item) {
    const std::size_t media = items.item(item).media.size();
    for (std::size_t i = 0; i < media; ++i) keys.push_back(media_key(item, i));
  }
  return keys;
}

Result<layers::Patches> wait_for(PixelSource& loader, std::uint64_t key) {
  while (true) {
    if (auto patches = loader.take(key)) return std::move(*patches);
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

}  // namespace

void PreloadedPixels::load(PixelSource& loader, const ItemTable& items, std::int64_t most_bytes) {
  const std::vector<std::uint64_t> keys = keys_of(items);
  std::int64_t bytes = 0;
  std::size_t asked = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    for (; asked < std::min(keys.size(), i + kAhead); ++asked) loader.prefetch(keys[asked]);
    Result<layers::Patches> patches = wait_for(loader, keys[i]);
    if (patches.ok()) bytes += static_cast<std::int64_t>(patches->pixels.size());
    if (bytes > most_bytes)
      throw UsageError(fmt::format(
          "[--ablation] preloaded-pixels: the pixels of {} of {} items take {:.1f} GiB, more "
          "than a rank may use here. Give a smaller --limit.",
          (keys[i] >> 16) + 1, items.size(), static_cast<double>(bytes) / 1073741824.0));
    ready_.insert_or_assign(keys[i], std::move(patches));
  }
}

void PreloadedPixels::prefetch(std::uint64_t key) {
  if (!ready_.contains(key)) inner_.prefetch(key);
}

std::optional<Result<layers::Patches>> PreloadedPixels::take(std::uint64_t key) {
  auto node = ready_.extract(key);
  if (node.empty()) return inner_.take(key);
  return std::move(node.mapped());
}

}  // namespace retinue::runtime
