#include "runtime/engine/encode_queue.h"

#include <algorithm>
#include <numeric>

namespace retinue::runtime {

double encode_cost(const layers::GridThw& grid, double alpha) {
  const auto slice = static_cast<double>(grid.rows * grid.columns);
  return static_cast<double>(grid.frames) * slice * (slice + alpha);
}

std::vector<OwnedItem> EncodeQueue::deal(std::span<const Item> items) {
  std::vector<std::size_t> order(items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return encode_cost(items[a].grid, alpha_) > encode_cost(items[b].grid, alpha_);
  });
  std::vector<OwnedItem> owned(items.size());
  for (const std::size_t i : order) {
    const auto least = std::min_element(load_.begin(), load_.end());
    const double cost = encode_cost(items[i].grid, alpha_);
    *least += cost;
    owned[i] = {items[i].key, static_cast<std::int32_t>(least - load_.begin())};
    claimed_[items[i].key] = {owned[i].owner, cost};
  }
  return owned;
}

void EncodeQueue::done(std::uint64_t key) {
  const auto found = claimed_.find(key);
  if (found == claimed_.end()) return;
  load_[static_cast<std::size_t>(found->second.owner)] -= found->second.cost;
  claimed_.erase(found);
}

}  // namespace retinue::runtime
