#pragma once

#include "runtime/dataset/item_table.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <vector>

namespace retinue::runtime {

/// Rank 0's answer to a leader's claim. Sent between ranks as raw bytes.
struct ItemBatch {
  static constexpr std::size_t kMost = 64;

  std::int64_t left = 0;   ///< unclaimed items; 0: this leader gets no more
  std::int64_t count = 0;  ///< of `items`, which are in the order to work on them
  std::array<std::int64_t, kMost> items{};
};

/// Hands out the open items of a job in batches, as replicas claim them (guided self-scheduling,
/// Polychronopoulos & Kuck 1987). Neighbours stay together, since they share archives, pages of
/// tables and beginnings of prompts. Costly runs of neighbours go first, and batches shrink towards
/// the end, down to single items, so that replicas of unlike speeds end within about one item of
/// each other. Lives on rank 0, and holds numbers of items alone.
class WorkQueue {
 public:
  /// Predicted cost of an item, in any unit.
  using Cost = std::function<std::uint32_t(std::size_t item)>;

  /// Memory: four bytes per 64 items.
  ///   open   per item: 1 where this run has to do it; outlives the queue
  ///   taken  items that replicas have without a claim; outlives the queue
  WorkQueue(std::span<const std::uint8_t> open, const std::set<std::int64_t>& taken, Cost cost,
            int replicas);

  /// At most `wanted` items, at least one if there is one.
  ItemBatch next(std::int64_t wanted);
  [[nodiscard]] std::int64_t left() const { return left_; }

 private:
  [[nodiscard]] bool is_open(std::size_t item) const;

  std::span<const std::uint8_t> open_;
  const std::set<std::int64_t>& taken_;
  Cost cost_;
  std::int64_t batches_;
  std::vector<std::uint32_t> runs_;  ///< numbers of runs of 64 neighbours, the costliest first
  std::size_t run_ = 0, in_run_ = 0;
  std::int64_t left_ = 0;
  double cost_left_ = 0;
};

/// How many items a leader keeps at hand, the running ones included: enough to decode and encode
/// ahead; near the end no more than can run at once, since other replicas could do the rest.
///   left  unclaimed items
std::int64_t items_at_hand(std::int64_t left, int replicas, std::int64_t max_sequences);

}  // namespace retinue::runtime
