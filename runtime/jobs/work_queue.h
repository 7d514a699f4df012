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

/// What rank 0 answers a lead that asks for items. Travels as it is.
struct ItemBatch {
  static constexpr std::size_t kMost = 64;

  std::int64_t left = 0;   ///< items that nobody has yet; 0: this lead gets no more
  std::int64_t count = 0;  ///< of `items`, in the order in which they are to be taken
  std::array<std::int64_t, kMost> items{};
};

/// Deals the open items of a job to replicas as they ask. Neighbours stay together, since they
/// share archives, pages of tables and beginnings of prompts; the costly ones go first, and
/// portions shrink towards the end: the last are single items, so that replicas of unlike speeds
/// end within about one item of each other. Lives on rank 0; only numbers of items pass through it.
class WorkQueue {
 public:
  /// Predicted cost of an item, in any unit.
  using Cost = std::function<std::uint32_t(std::size_t item)>;

  /// Memory: four bytes per 64 items.
  ///   open   per item: 1 where it is to be dealt; outlives the dealer
  ///   taken  items that somebody has already; outlives the dealer
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
  std::vector<std::uint32_t> runs_;  ///< of 64 neighbours, by number, in the order of dealing
  std::size_t run_ = 0, in_run_ = 0;
  std::int64_t left_ = 0;
  double cost_left_ = 0;
};

/// How many items a lead wants at hand, those that run included: enough to decode and encode ahead;
/// near the end no more than can run at once, or one replica would sit on what another could do.
///   left  that nobody has yet
std::int64_t items_at_hand(std::int64_t left, int replicas, std::int64_t max_sequences);

}  // namespace retinue::runtime
