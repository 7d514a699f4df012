#include "runtime/jobs/work_queue.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace retinue::runtime {
namespace {

constexpr std::size_t kRun = ItemBatch::kMost;
/// A batch costs at most 1 / (4 · replicas) of what is left: the slowest replica's last batch is a
/// small part of the whole.
constexpr std::int64_t kBatchesPerReplica = 4;

}  // namespace

WorkQueue::WorkQueue(std::span<const std::uint8_t> open, const std::set<std::int64_t>& taken,
                     Cost cost, int replicas)
    : open_(open), taken_(taken), cost_(std::move(cost)), batches_(kBatchesPerReplica * replicas) {
  // Sorted by the costliest item's power of two: runs that cost nearly the same keep their order.
  std::vector<std::uint8_t> weight;
  for (std::size_t begin = 0; begin < open_.size(); begin += kRun) {
    int most = -1;
    for (std::size_t i = begin; i < std::min(begin + kRun, open_.size()); ++i) {
      if (!is_open(i)) continue;
      const std::uint32_t item_cost = std::max(1U, cost_(i));
      ++left_, cost_left_ += item_cost;
      most = std::max(most, static_cast<int>(std::bit_width(item_cost)));
    }
    weight.push_back(static_cast<std::uint8_t>(most + 1));
    if (most >= 0) runs_.push_back(static_cast<std::uint32_t>(begin / kRun));
  }
  std::ranges::stable_sort(runs_, std::greater<>{}, [&](std::uint32_t run) { return weight[run]; });
}

bool WorkQueue::is_open(std::size_t item) const {
  return open_[item] != 0 && !taken_.contains(static_cast<std::int64_t>(item));
}

ItemBatch WorkQueue::next(std::int64_t wanted) {
  ItemBatch batch;
  wanted = std::clamp<std::int64_t>(wanted, 1, ItemBatch::kMost);
  const double most = cost_left_ / static_cast<double>(batches_);
  double cost_taken = 0;
  for (; run_ < runs_.size(); ++run_, in_run_ = 0) {
    const std::size_t first = runs_[run_] * kRun, last = std::min(first + kRun, open_.size());
    for (; first + in_run_ < last; ++in_run_) {
      const std::size_t item = first + in_run_;
      if (!is_open(item)) continue;
      const double item_cost = std::max(1U, cost_(item));
      if (batch.count > 0 && (cost_taken + item_cost > most || batch.count == wanted)) {
        batch.left = left_;
        return batch;
      }
      batch.items[static_cast<std::size_t>(batch.count++)] = static_cast<std::int64_t>(item);
      cost_taken += item_cost;
      --left_, cost_left_ -= item_cost;
    }
  }
  batch.left = left_;
  return batch;
}

std::int64_t items_at_hand(std::int64_t left, int replicas, std::int64_t max_sequences) {
  // Safe up to 4x skew: while at least 4 · ahead · replicas items remain, a slow replica cannot
  // become the tail.
  const std::int64_t ahead = 3 * max_sequences;
  if (replicas == 1 || left >= 4 * ahead * replicas) return ahead;
  // While there is work for all, a few more, prepared for the places that fall free.
  const std::int64_t ready = std::max<std::int64_t>(1, max_sequences / 4);
  return left >= max_sequences * replicas ? max_sequences + ready : max_sequences;
}

}  // namespace retinue::runtime
