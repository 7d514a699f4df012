#pragma once

#include "runtime/dataset/item_table.h"
#include "runtime/engine/request.h"

#include <cstdint>
#include <map>

namespace retinue::runtime {

/// Pixels that were decoded ahead of a run; everything else comes from the source behind it. Used
/// by one thread at a time.
class PreloadedPixels final : public PixelSource {
 public:
  /// `inner` outlives it.
  explicit PreloadedPixels(PixelSource& inner) : inner_(inner) {}

  /// Takes the pixels of all items from `loader`, a few of them at a time, and waits for them.
  /// Throws: UsageError when they take more than `most_bytes`; what `loader` throws.
  void load(PixelSource& loader, const ItemTable& items, std::int64_t most_bytes);

  void prefetch(std::uint64_t key) override;
  std::optional<Result<layers::Patches>> take(std::uint64_t key) override;

 private:
  PixelSource& inner_;
  std::map<std::uint64_t, Result<layers::Patches>> ready_;
};

}  // namespace retinue::runtime
