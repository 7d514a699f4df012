#include "runtime/status/thumbnails.h"

#include "runtime/media/image_thumbnail.h"

#include <utility>

namespace retinue::runtime {

void Thumbnails::decoded(std::uint64_t media_key, const layers::Patches& patches) {
  if ((media_key & 0xFFFFU) != 0) return;
  {
    const std::lock_guard lock(mutex_);
    const double now_s = clock_.now_s();
    if (now_s < next_s_) return;
    next_s_ = now_s + kEvery_s;
  }
  std::string jpeg = thumbnail_jpeg(patches, spec_, kMaxSide);
  if (jpeg.empty()) return;
  auto shared = std::make_shared<const std::string>(std::move(jpeg));
  const std::lock_guard lock(mutex_);
  // Any one will do. Thumbnails of items that never end on this rank must not fill the memory.
  if (kept_.size() >= kKept) kept_.erase(kept_.begin());
  kept_.insert_or_assign(static_cast<std::int64_t>(media_key >> 16), std::move(shared));
}

std::shared_ptr<const std::string> Thumbnails::take(std::int64_t item) {
  const std::lock_guard lock(mutex_);
  const auto node = kept_.extract(item);
  return node.empty() ? nullptr : std::move(node.mapped());
}

}  // namespace retinue::runtime
