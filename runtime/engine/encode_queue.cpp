#include "runtime/engine/encode_queue.h"

#include <algorithm>
#include <numeric>

namespace retinue::runtime {

double encode_cost(const layers::GridThw& grid, double alpha) {
  const auto slice = static_cast<double>(grid.rows * grid.columns);
  return static_cast<double>(grid.frames) * slice * (slice + alpha);
}

std::vector<OwnedImage> EncodeQueue::assign(std::span<const Image> images) {
  std::vector<std::size_t> order(images.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return encode_cost(images[a].grid, alpha_) > encode_cost(images[b].grid, alpha_);
  });
  std::vector<OwnedImage> owned(images.size());
  for (const std::size_t i : order) {
    const auto least = std::min_element(load_.begin(), load_.end());
    const double cost = encode_cost(images[i].grid, alpha_);
    *least += cost;
    owned[i] = {images[i].key, static_cast<std::int32_t>(least - load_.begin())};
    assigned_[images[i].key] = {owned[i].owner, cost};
  }
  return owned;
}

void EncodeQueue::done(std::uint64_t key) {
  const auto found = assigned_.find(key);
  if (found == assigned_.end()) return;
  load_[static_cast<std::size_t>(found->second.owner)] -= found->second.cost;
  assigned_.erase(found);
}

}  // namespace retinue::runtime
