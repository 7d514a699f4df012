#pragma once

#include "layers/spec/inputs.h"
#include "runtime/engine/step.h"

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace retinue::runtime {

/// Predicted cost of encoding: linear in patches with attention's square, patches · (patches + α)
/// summed over temporal slices, which do not attend to each other. α is where both are equal: the
/// FLOPs per patch of a block's matrices over those of one attended key.
double encode_cost(const layers::GridThw& grid, double alpha);

/// Deals items to the ranks of a replica, longest first, each to the rank with the least
/// outstanding cost (Graham 1969), so that one large image does not hold up its replica.
class EncodeQueue {
 public:
  EncodeQueue(int ranks, double alpha) : load_(static_cast<std::size_t>(ranks)), alpha_(alpha) {}

  struct Item {
    std::uint64_t key = 0;
    layers::GridThw grid;
  };
  /// Owners of newly submitted items; ties go to the earlier item and the lower rank.
  std::vector<OwnedItem> deal(std::span<const Item> items);
  [[nodiscard]] int owner(std::uint64_t key) const { return claimed_.at(key).owner; }
  /// The item is encoded or dropped: its cost no longer waits.
  void done(std::uint64_t key);

 private:
  struct Claimed {
    int owner;
    double cost;
  };
  std::vector<double> load_;
  std::map<std::uint64_t, Claimed> claimed_;
  double alpha_;
};

}  // namespace retinue::runtime
